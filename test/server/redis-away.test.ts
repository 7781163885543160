// Redis goes away while people write: what is open stays readable, typing goes on, and everything flows when it is back.

import { pino } from 'pino'
import { describe, expect, it, vi } from 'vitest'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import type { Chain, DocId, Epoch, Position } from '../../src/protocol/ids.ts'
import type { InkwellServer, ServerOptions } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisLine, RedisServer } from '../redis.ts'
import { afterwards, connects, serverWith } from './worlds.ts'

vi.setConfig({ testTimeout: 120_000 }) // what never comes must not hang the whole run

const patience = { timeout: 60_000, interval: 20 }
const synced = ['--appendonly', 'yes', '--appendfsync', 'always']

/** As if another node had told of an edit that this one has not heard of. */
const unheard: Position = { epoch: 'elsewhere' as Epoch, version: 7, chain: 'ffffffffffffffff' as Chain }

interface Node {
  readonly server: InkwellServer
  readonly url: string
  /** Calls to the store that failed, of all documents. */
  readonly failures: () => number
}

const nodeOn = async (redis: string, options: ServerOptions = {}): Promise<Node> => {
  const log: { msg: string }[] = []
  const logger = pino({ level: 'debug' }, { write: line => log.push(JSON.parse(line)) })
  const server = await serverWith({ store: redisStore({ url: redis, callLimit: 2_000 }), logger, ...options })
  const { url } = await server.listen(0)
  return { server, url, failures: () => log.filter(({ msg }) => msg === 'store-failed').length }
}

interface Writer {
  readonly client: Client
  readonly doc: TextDocument
  /** What its line has lived through. */
  readonly lives: readonly string[]
}

const opens = async (url: string, id = 'notes'): Promise<Writer> => {
  const client = connect(url)
  afterwards(() => client.close())
  const doc = await client.open(id)
  const lives: string[] = []
  client.on('status', status => lives.push(status))
  client.on('error', error => lives.push(error.message))
  return { client, doc, lives }
}

const settles = (promise: Promise<unknown>): { yet: boolean } => {
  const settled = { yet: false }
  const done = (): void => void (settled.yet = true)
  promise.then(done, done)
  return settled
}

/** How many attempts the schedule allows in this time, for one document: at 50, 100, 200 … ms, then every five seconds, and the beats. */
const allowed = (ms: number): number => 12 + 2 * Math.ceil(ms / 5_000)

describe.each<[string, (redis: RedisServer) => Promise<{ url: string; away(): unknown; back(): unknown }>]>([
  ['killed', async redis => ({ url: redis.url, away: () => redis.kill(), back: () => redis.start() })],
  ['frozen', async redis => ({ url: redis.url, away: () => redis.stop(), back: () => redis.go() })],
  [
    'silent behind a line that is then cut',
    async redis => {
      const line = await RedisLine.to(redis.port)
      afterwards(() => line.discard())
      return { url: line.url, away: () => line.swallow(), back: () => line.cut() }
    },
  ],
])('while Redis is %s', (_, how) => {
  it('[P2] [P7] open documents are read and joined, typing goes on, its state is told, nobody is cut off; then it all flows, each edit once', async () => {
    const redis = await RedisServer.start({ settings: synced })
    afterwards(() => redis.discard())
    const { url, away, back } = await how(redis)
    const [a, b] = [await nodeOn(url), await nodeOn(url)]
    const [ann, ben, cleo] = [await opens(a.url), await opens(a.url), await opens(b.url)]
    ann.doc.insert(0, 'before. ')
    await ann.doc.settled('durable')
    for (const { doc } of [ben, cleo]) await vi.waitFor(() => expect(doc.text).toBe('before. '), patience)
    const writers = [ann, ben, cleo]

    await away()
    const since = performance.now()
    const ends = writers.map(({ doc }) => doc.length)
    for (let i = 0; i < 20; i++)
      for (const [k, { doc }] of writers.entries()) doc.insert((ends[k]! += 4) - 4, `<${'abc'[k]}${String.fromCharCode(97 + i)}>`)
    const sequenced = writers.map(({ doc }) => settles(doc.settled('sequenced')))
    const durable = writers.map(({ doc }) => settles(doc.settled('durable')))
    const dan = await opens(a.url) // joins on the node on which it is open
    expect(dan.doc.text).toBe('before. ')
    dan.doc.insert(0, '<da>')
    const read = await fetch(`${a.url}/v1/documents/notes`)
    expect([read.status, await read.json()]).toEqual([200, expect.objectContaining({ text: 'before. ', version: 1 })])
    // What is not open here cannot be read now; whoever asks is told to come again.
    const closed = await fetch(`${b.url}/v1/documents/elsewhere`)
    expect([closed.status, closed.headers.get('retry-after')]).toEqual([503, '1'])
    const late = opens(b.url, 'elsewhere')
    const far = connects(a.url)
    await far.next('welcome')
    far.send({ kind: 'join', doc: 'notes' as DocId, type: 'text', position: unheard })
    expect((await far.next('refused')).refusal).toMatchObject({ code: 'unavailable', advice: 'retry' })
    await vi.waitFor(() => expect(a.failures()).toBeGreaterThan(6), patience)
    for (const [k, { doc }] of writers.entries()) {
      expect(doc.status).toBe('saving')
      expect(doc.text).toContain(`<${'abc'[k]}t>`)
    }
    expect([...sequenced, ...durable].filter(({ yet }) => yet)).toEqual([])
    for (const node of [a, b]) expect(node.failures()).toBeLessThan(2 * allowed(performance.now() - since))

    await back()
    await Promise.all([...writers, dan].map(({ doc }) => doc.settled('durable')))
    const everything = [
      '<da>',
      ...writers.flatMap((_, k) => Array.from({ length: 20 }, (_, i) => `<${'abc'[k]}${String.fromCharCode(97 + i)}>`)),
    ]
    await vi.waitFor(() => {
      for (const { doc } of [...writers, dan]) expect(doc.text).toBe(ann.doc.text)
      expect(ann.doc.text).toHaveLength('before. '.length + 4 * everything.length)
    }, patience)
    expect(ann.doc.text.match(/<..>/g)!.sort()).toEqual(everything.sort())
    for (const { doc, lives } of [...writers, dan]) expect([doc.status, lives]).toEqual(['saved', []])
    const page = (await (await fetch(`${b.url}/v1/documents/notes/commits?limit=1000`)).json()) as {
      commits: { author: string; seq: number }[]
    }
    const numbers = page.commits.map(({ author, seq }) => `${author} ${seq}`)
    expect(new Set(numbers).size).toBe(numbers.length)
    const { doc } = await late
    doc.insert(0, 'here too')
    await doc.settled('durable')
  })

  it('[P3] a server with edits in hand can be closed, and its writers keep what they typed', async () => {
    const redis = await RedisServer.start({ settings: synced })
    afterwards(() => redis.discard())
    const { url, away } = await how(redis)
    const node = await nodeOn(url, { limits: { storeTimeout: 1_000 } }) // so long it waits for Redis
    const ann = await opens(node.url)
    await away()
    ann.doc.insert(0, 'kept')
    await node.server.close()
    await vi.waitFor(() => expect(ann.doc.status).toBe('offline'), patience)
    expect(ann.doc.text).toBe('kept')
  })
})

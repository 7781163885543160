// Redis loses everything while nodes run, or is another one: what they hold whole comes back, of the rest nothing is taken for empty.

import { expect, it, vi } from 'vitest'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, serving } from './worlds.ts'

vi.setConfig({ testTimeout: 60_000 })

const patience = { timeout: 60_000, interval: 20 }
const limits = {
  recentTime: 0,
  recentCommits: 2,
  checkpointCommits: 5,
  checkpointBytes: 50,
  idleDocument: 600_000,
  beat: 300,
  storeTimeout: 2_000,
  readsPerUser: 1_000_000, // it is read again and again until a node has looked
  readsPerAddress: 1_000_000,
}

const opens = async (url: string, id: string): Promise<{ readonly client: Client; readonly doc: TextDocument }> => {
  const client = connect(url)
  afterwards(() => client.close())
  return { client, doc: await client.open(id) }
}

const readyz = async (url: string) => {
  const response = await fetch(`${url}/readyz`)
  const { reasons = [] } = (await response.json()) as { reasons?: readonly string[] }
  return { status: response.status, reasons }
}

const reads = async (url: string, id: string): Promise<readonly [status: number, text: string | undefined]> => {
  const response = await fetch(`${url}/v1/documents/${id}`)
  return [response.status, ((await response.json()) as { text?: string }).text]
}

/** Two nodes on one Redis; a short document, which they hold whole, and a long one, whose beginning is in its checkpoint alone. */
const world = async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const nodes = [
    await serving({ store: redisStore(redis.url), limits }),
    await serving({ store: redisStore(redis.url), limits }),
  ] as const
  const ann = await opens(nodes[0], 'short')
  const ben = await opens(nodes[0], 'long')
  const cleo = await opens(nodes[1], 'long')
  ann.doc.insert(0, 'short')
  await ann.doc.settled('durable')
  for (let i = 0; i < 16; i++) {
    ben.doc.insert(ben.doc.length, `${i % 10}`)
    await ben.doc.settled('durable')
  }
  const long = ben.doc.text
  await vi.waitFor(() => expect(cleo.doc.text).toBe(long), patience)
  // A node that still holds the beginning would offer the whole again.
  for (const url of nodes)
    await vi.waitFor(async () => expect((await fetch(`${url}/v1/documents/long/commits?after=0`)).ok).toBe(false), patience)
  const replaced = expect.objectContaining({
    status: 503,
    reasons: expect.arrayContaining([
      'store redis: it is not the one that this node has worked with: it was emptied, or is another one',
    ]),
  })
  return { redis, nodes, ann, ben, cleo, long, replaced }
}

it('[R1] [P2] Redis is emptied under running nodes: they are not ready and say why, nobody is shown an empty document, and the file put back brings back all', async () => {
  const { redis, nodes, ann, ben, cleo, long, replaced } = await world()
  const copy = redis.copy()
  afterwards(() => copy.discard())
  await redis.do(client => client.flushall())
  for (const url of nodes) await vi.waitFor(async () => expect(await readyz(url)).toEqual(replaced), patience)

  // What a node holds from its beginning it offers again.
  ann.doc.insert(0, 'still ')
  await ann.doc.settled('durable')
  expect(await reads(nodes[0], 'short')).toEqual([200, 'still short'])
  // And when all of it is there the other node, which had none of it open, believes that by itself.
  await vi.waitFor(async () => expect(await reads(nodes[1], 'short')).toEqual([200, 'still short']), patience)
  const dora = await opens(nodes[1], 'short')
  dora.doc.insert(0, 'and ')
  await dora.doc.settled('durable')
  await vi.waitFor(() => expect(ann.doc.text).toBe('and still short'), patience)
  // Of the rest nobody is told that it is empty, at whatever node he asks, had it open or not.
  ben.doc.insert(0, 'typed meanwhile ')
  const settled = vi.fn()
  ben.doc.settled('sequenced').then(settled, () => {})
  for (const url of nodes) {
    // Until a node has looked it shows what it holds, which is the truth; then nothing.
    const shown: (string | undefined)[] = []
    await vi.waitFor(async () => {
      const [status, text] = await reads(url, 'long')
      if (status !== 503) shown.push(text)
      expect(status).toBe(503)
    }, patience)
    expect(shown.filter(text => text !== long)).toEqual([])
  }
  expect((await reads(nodes[1], 'elsewhere'))[0]).toBe(503)
  expect([ben.doc.text, cleo.doc.text, settled.mock.calls]).toEqual([`typed meanwhile ${long}`, long, []])
  expect(await redis.do(client => client.hget('inkwell:{long}:meta', 'v'))).toBe('0')

  await redis.kill()
  copy.putBack()
  await redis.start()
  for (const url of nodes) await vi.waitFor(async () => expect(await readyz(url)).toEqual({ status: 200, reasons: [] }), patience)
  await ben.doc.settled('durable')
  await vi.waitFor(() => expect(cleo.doc.text).toBe(`typed meanwhile ${long}`), patience)
  for (const url of nodes) expect(await reads(url, 'long')).toEqual([200, `typed meanwhile ${long}`])
  await vi.waitFor(async () => expect(await reads(nodes[1], 'short')).toEqual([200, 'and still short']), patience)
})

it('[R1] a Redis of somebody else in the place of ours is not believed; nodes that start then take it for theirs', async () => {
  const { redis, nodes, ann, replaced } = await world()
  const theirs = { e: 'theirs', v: '1', c: 'f'.repeat(16), h: '0', f: '0', fc: '0'.repeat(16), d: '1', k: '0', p: '0' }
  const first = ['1-0', `${'0'.repeat(16)} ${'f'.repeat(16)} 1 stranger`, '[0,["theirs"],"stranger",0,"text"]'] as const
  await redis.do(client =>
    client
      .multi()
      .flushall()
      .set('inkwell:{store}:mark', 'somebody else')
      .hset('inkwell:{short}:meta', theirs)
      .xadd('inkwell:{short}:log', ...first)
      .exec(),
  )
  for (const url of nodes) await vi.waitFor(async () => expect(await readyz(url)).toEqual(replaced), patience)
  // A document of the same name is neither shown for ours nor written to.
  ann.doc.insert(0, 'ours ')
  await vi.waitFor(async () => expect((await reads(nodes[0], 'short'))[0]).toBe(503), patience)
  expect(await redis.do(client => client.hget('inkwell:{short}:meta', 'v'))).toBe('1')
  const fresh = await serving({ store: redisStore(redis.url) })
  expect(await reads(fresh, 'short')).toEqual([200, 'theirs'])
  expect(await readyz(fresh)).toEqual({ status: 200, reasons: [] })
  const { doc } = await opens(fresh, 'new')
  doc.insert(0, 'a beginning')
  await doc.settled('durable')
})

it('a store that may be lost with Redis is believed empty, as it was promised', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const url = await serving({ store: redisStore({ url: redis.url, volatile: true }) })
  await redis.do(client => client.flushall())
  expect((await readyz(url)).status).toBe(200)
  await opens(url, 'new')
})

it('[P2] a long history that a node offers again is whole before anybody is shown it or adds to it', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const url = await serving({ store: redisStore(redis.url), limits: { idleDocument: 600_000, beat: 300, storeTimeout: 10_000 } })
  const ann = await opens(url, 'typed')
  for (let i = 0; i < 100; i++) {
    ann.doc.insert(ann.doc.length, `${i % 10}`)
    await ann.doc.settled('sequenced')
  }
  await ann.doc.settled('durable')
  const text = ann.doc.text
  await redis.do(client => client.flushall())
  // Whoever types while the node offers the history again, with numbers that are higher than any in it.
  const shown = new Set<string>()
  ann.doc.on('change', () => shown.add(ann.doc.text))
  for (let i = 0; i < 20; i++) {
    ann.doc.insert(0, '!')
    await ann.doc.settled('sequenced')
  }
  await ann.doc.settled('durable')
  expect(ann.doc.text).toBe(`${'!'.repeat(20)}${text}`)
  expect(await reads(url, 'typed')).toEqual([200, ann.doc.text])
  expect([...shown].filter(seen => !seen.endsWith(text))).toEqual([])
})

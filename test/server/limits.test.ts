// Every limit that a client can run into, run into through a real socket, and a neighbour who types through it all.

import { existsSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { io } from 'socket.io-client'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { defaultLimits } from '../../src/engine/index.ts'
import { type ErrorCode, type Refusal, refusal } from '../../src/protocol/errors.ts'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import type { ClientMessage } from '../../src/protocol/messages.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { systemClock } from '../../src/server/clock.ts'
import { connectionsOf } from '../../src/server/fanout.ts'
import { defaultLineLimits, type InkwellServer, memoryStore, type ServerLimits } from '../../src/server/index.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { frame } from '../websocket.ts'
import { ended, knock, line } from './knock.ts'
import type { Pen, RawClient, RawOptions } from './raw.ts'
import { newKey } from './raw.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

const patience = { timeout: 60_000, interval: 10 }

/** A server with one limit lowered, and somebody who works in the document `shared` all the time. */
class World {
  readonly server: InkwellServer
  readonly url: string
  private readonly neighbour: Pen
  private typed = ''
  private working = true
  private readonly work: Promise<void>
  private readonly clock: { ahead: number }

  private constructor(server: InkwellServer, url: string, neighbour: Pen, clock: { ahead: number }) {
    this.clock = clock
    this.server = server
    this.url = url
    this.neighbour = neighbour
    this.work = this.types()
  }

  static async with(limits: Partial<ServerLimits>, store = memoryStore()): Promise<World> {
    const clock = { ahead: 0 }
    const server = await serverWith({
      store,
      limits,
      clock: { ...systemClock, now: () => Date.now() + clock.ahead },
      authenticate: token => (token === undefined ? null : token === 'undecided' ? new Promise(() => {}) : { id: token }),
      authorize: (_, doc) => (doc === 'undecided' ? new Promise(() => {}) : 'write'),
      trustProxy: 1,
    })
    const { url } = await server.listen(0)
    return new World(server, url, await opens(url, 'shared', { token: 'neighbour', headers: from('198.51.100.1') }), clock)
  }

  /** So much later it is, for the server. */
  passes(ms: number): void {
    this.clock.ahead += ms
  }

  /** A client of somebody else's, welcome. */
  async client(token = 'mallory', options: RawOptions = {}): Promise<RawClient> {
    const client = connects(this.url, { token, ...options })
    await client.next('welcome')
    return client
  }

  /** Somebody in a document of his own. */
  async member(token = 'mallory', doc = 'other', options: RawOptions = {}) {
    const client = await this.client(token, options)
    const { handle, content } = await client.join(doc)
    const { position } = content
    const submit = (op: unknown, seq = 1): ClientMessage => ({ kind: 'submit', handle, seq, position, op }) as ClientMessage
    return { client, handle, position, submit }
  }

  /** The neighbour has typed all the while, and all of it is there, in order and once. */
  async undisturbed(): Promise<void> {
    const before = this.typed.length
    await vi.waitFor(() => expect(this.typed.length).toBeGreaterThan(before + 2), patience) // it goes on, too
    this.working = false
    await this.work
    expect(this.neighbour.shows).toBe(this.typed)
  }

  private async types(): Promise<void> {
    for (let n = 0; this.working; n++) {
      const letter = String.fromCharCode(97 + (n % 26))
      await this.neighbour.types(letter)
      this.typed += letter
      await sleep(40) // as fast as nobody types, and in step with every limit below
    }
  }

  stop(): void {
    this.working = false
  }
}

const worlds: World[] = []
afterEach(() => {
  for (const world of worlds.splice(0)) world.stop()
})

const from = (address: string): Readonly<Record<string, string>> => ({ 'x-forwarded-for': address })

const row = (why: Refusal): Partial<Refusal> => ({ code: why.code, advice: why.advice, message: why.message })
const is = (why: Refusal, code: ErrorCode): void => expect(row(why)).toEqual(row(refusal(code)))

/** Says something many times at once; answers what comes back as refusals until the line goes or goes quiet. */
const floods = (client: RawClient, message: ClientMessage, times: number): void => {
  for (let i = 0; i < times; i++) client.send(message)
}

const hour = 3_600_000 // ms: passes only where a test says so

/** What a limit is set to, how one runs into it, and what else has to be low for that. */
const table: {
  readonly [name in keyof ServerLimits]?: readonly [
    limit: number,
    reach: (world: World) => Promise<void>,
    beside?: Partial<ServerLimits>,
  ]
} = {
  connectionsPerUser: [
    2,
    async world => {
      const [first] = [await world.client(), await world.client()]
      const third = connects(world.url, { token: 'mallory' })
      const why = await third.refusedHello()
      is(why, 'too-many-connections')
      expect(why.after).toBeGreaterThan(0)
      await world.client('somebody else')
      first!.close()
      await vi.waitFor(async () => (await world.client('mallory')).close(), patience)
    },
  ],
  strangersPerAddress: [
    3,
    async world => {
      const lines = [await line(world.url), await line(world.url), await line(world.url)]
      const answer = await knock(world.url)
      expect(answer).toMatchObject({ kind: 'no', status: 429, headers: { 'retry-after': '1' } })
      is(JSON.parse((answer as { body: string }).body), 'slow-down')
      expect((await knock(world.url, from('203.0.113.9'))).kind).toBe('line')
      lines[0]!.destroy()
      await vi.waitFor(async () => await line(world.url), patience)
    },
  ],
  handshakesPerAddress: [
    4,
    async world => {
      const answers = await Promise.all(Array.from({ length: 40 }, () => knock(world.url)))
      const no = answers.filter(answer => answer.kind === 'no')
      expect(no.length).toBeGreaterThan(0)
      expect(no.every(({ status }) => status === 429)).toBe(true)
      is(JSON.parse(no[0]!.body), 'slow-down')
      expect((await knock(world.url, from('203.0.113.9'))).kind).toBe('line')
    },
  ],
  handshakesPerSecond: [
    4,
    async world => {
      const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => knock(world.url, from(`203.0.113.${i}`))))
      const no = answers.filter(answer => answer.kind === 'no')
      expect(no.length).toBeGreaterThan(0)
      expect(no.every(({ status }) => status === 429)).toBe(true)
      is(JSON.parse(no[0]!.body), 'slow-down')
    },
  ],
  handshakesPerUser: [
    3,
    async world => {
      const outcomes = async (token: string, times: number): Promise<(Refusal | null)[]> =>
        Promise.all(Array.from({ length: times }, () => helloOf(world, token)))
      const no = (await outcomes('mallory', 12)).filter(why => why?.code === 'slow-down')
      expect(no.length).toBeGreaterThan(0)
      is(no[0]!, 'slow-down')
      expect(no[0]!.after).toBeGreaterThan(0)
      expect(await helloOf(world, 'somebody else')).toBeNull()
      await vi.waitFor(async () => expect(await helloOf(world, 'mallory')).toBeNull(), patience)
    },
  ],
  strangerBytes: [
    1_000,
    async world => {
      // Only begun, and in pieces, and by one who polls: none of it is kept.
      const [whole, pieces] = [await line(world.url), await line(world.url)]
      whole.write(frame(1, 'x'.repeat(1_001)).subarray(0, 100))
      for (let i = 0; i < 11; i++) pieces.write(frame(i === 0 ? 1 : 0, 'x'.repeat(100), { fin: false }))
      const told = [whole, pieces].map(async socket => {
        let heard = Buffer.alloc(0)
        socket.on('data', bytes => (heard = Buffer.concat([heard, bytes])))
        await ended(socket)
        return heard.includes(Buffer.from([0x88, 2, 1009 >> 8, 1009 & 255])) // too long
      })
      expect(await Promise.all(told)).toEqual([true, true])
      // Who has said who he is says as much as anybody.
      const { client, submit } = await world.member()
      client.send(submit(['x'.repeat(5_000)]))
      await client.next('commits')
    },
  ],
  messagesPerLine: [50, world => isPaced(world, 'probe')],
  messagesPerUser: [
    50,
    async world => {
      const [one, two] = [await world.member(), await world.member('mallory', 'other')]
      floods(one.client, { kind: 'probe' } as ClientMessage, 190)
      is((await one.client.next('refused')).refusal, 'slow-down')
      two.client.send(two.submit(['x']))
      const { refusal: why, seq } = await two.client.next('refused', ({ seq }) => seq === 1)
      is(why, 'slow-down')
      expect([seq, why.after! > 0]).toEqual([1, true])
    },
  ],
  bytesPerLine: [10_000, world => isPaced(world, 'long')],
  bytesPerUser: [10_000, world => isPaced(world, 'long')],
  readsPerUser: [
    3,
    async world => {
      await world.member('mallory', 'read')
      const reads = (token: string) =>
        fetch(`${world.url}/v1/documents/shared/commits`, { headers: { authorization: `Bearer ${token}` } })
      const answers = await Promise.all(Array.from({ length: 30 }, () => reads('mallory')))
      await isToldToWait(answers)
      expect((await reads('somebody')).status).toBe(200)
      await vi.waitFor(async () => expect((await reads('mallory')).status).toBe(200), patience)
    },
  ],
  readsPerAddress: [
    3,
    async world => {
      const reads = (headers: Record<string, string>) => fetch(`${world.url}/v1/documents/shared`, { headers })
      const answers = await Promise.all(Array.from({ length: 30 }, () => reads(from('203.0.113.1'))))
      await isToldToWait(answers)
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401, 429])) // nobody has been given a text
      expect((await reads(from('203.0.113.2'))).status).toBe(401)
    },
  ],
  unreadBytes: [
    100_000,
    async world => {
      const [reads, deaf] = await doNotTake(world)
      await vi.waitFor(async () => expect(await reads('mallory')).toContain('have not been taken'), patience)
      expect(await reads('somebody')).toBe('')
      for (const socket of deaf) socket.destroy()
      await vi.waitFor(async () => expect(await reads('mallory')).toBe(''), patience)
    },
  ],
  connectTimeout: [
    300,
    async world => {
      await ended(await line(world.url))
    },
  ],
  malformedMessages: [
    3,
    async world => {
      const client = await world.client('mallory', { form: 'json' })
      for (let i = 0; i < 4; i++) client.emit('shout')
      is((await client.next('refused')).refusal, 'malformed')
      expect(await client.down).toMatch(/^transport/)
    },
  ],
  messageBytes: [
    2_000,
    async world => {
      const { client, submit } = await world.member()
      client.send(submit(['x'.repeat(3_000)]))
      is((await client.next('refused')).refusal, 'message-too-large')
      expect(await client.down).toMatch(/^transport/)
    },
  ],
  opComponents: [
    10,
    async world => {
      const { client, submit } = await world.member()
      const op = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'x' : 1))
      is((await client.refused(submit(op))).refusal, 'op-too-large')
    },
  ],
  documentLength: [
    1_000,
    async world => {
      const { client, submit } = await world.member()
      is((await client.refused(submit(['x'.repeat(1_001)]))).refusal, 'document-too-long')
    },
  ],
  presenceBytes: [
    100,
    async world => {
      const { client, handle } = await world.member()
      is(
        (await client.refused({ kind: 'present', handle, version: 0, state: { a: 'x'.repeat(100) } })).refusal,
        'presence-too-large',
      )
    },
  ],
  signalBytes: [
    100,
    async world => {
      const { client, handle } = await world.member()
      is((await client.refused({ kind: 'signal', handle, name: 'n', payload: 'x'.repeat(100) })).refusal, 'signal-too-large')
    },
  ],
  signalsPerSecond: [
    2,
    async world => {
      const { client, handle } = await world.member()
      floods(client, { kind: 'signal', handle, name: 'n', payload: 1 }, 10)
      const { refusal: why } = await client.next('refused')
      is(why, 'slow-down')
      expect(why.after).toBeGreaterThan(0)
    },
  ],
  documentsPerConnection: [
    2,
    async world => {
      const { client } = await world.member()
      await client.join('another')
      const { refusal: why } = await client.refused({ kind: 'join', doc: 'third' as DocId, type: 'text', position: null })
      is(why, 'too-many-documents')
    },
  ],
  writersPerDocument: [
    1,
    async world => {
      const [one, two] = [await world.member('writer'), await world.member()]
      one.client.send(one.submit(['x']))
      await two.client.next('commits')
      const { refusal: why } = await two.client.refused(two.submit(['y']))
      is(why, 'too-many-writers')
      expect([why.after! > 0, (await two.client.next('right')).right]).toEqual([true, 'full'])
    },
  ],
  peersShown: [
    1,
    async world => {
      for (const one of ['first', 'second', 'third']) await world.member(one)
      const { people, peers } = await (await world.client()).join('other')
      expect([people, peers.length]).toEqual([4, 1])
    },
  ],
  peerActive: [
    hour,
    async world => {
      const [first, second] = [await world.member('first'), await world.member('second')]
      const witness = (await world.member('witness')).client
      const moves = ({ client, handle }: typeof first, n: number): void =>
        client.send({ kind: 'present', handle, version: 0, state: { n } })
      const seen = (n: number) =>
        witness.next('presence', ({ changes }) => changes.some(change => change.kind === 'here' && change.state.n === n))
      moves(first, 1)
      await seen(1)
      moves(second, 2)
      await second.client.refused({ kind: 'leave', handle: (second.handle + 1) as Handle }) // the move has been read
      const { peers } = await (await world.client()).join('other')
      expect(peers.map(({ user }) => user.id)).toEqual(['first']) // who keeps the place
      world.passes(hour)
      moves(second, 3)
      expect((await seen(3)).changes.map(({ kind }) => kind)).toEqual(['gone', 'here'])
    },
    { peersShown: 1 },
  ],
  writerActive: [
    hour,
    async world => {
      const [one, two] = [await world.member('writer'), await world.member()]
      one.client.send(one.submit(['x']))
      await two.client.next('commits')
      is((await two.client.refused(two.submit(['y']))).refusal, 'too-many-writers')
      expect((await two.client.next('right')).right).toBe('full')
      world.passes(2 * hour)
      expect((await two.client.next('right')).right).toBe('write')
      two.client.send(two.submit(['y']))
      await one.client.next('commits', ({ commits }) => JSON.stringify(commits).includes('"y"'))
      is((await one.client.refused(one.submit(['z'], 2))).refusal, 'too-many-writers')
    },
    { writersPerDocument: 1 },
  ],
  catchUpTime: [
    hour,
    async world => {
      const { client, handle } = await world.member()
      const lines = connectionsOf(world.server.io.engine) as unknown as { transport: { socket: { _socket: Socket } } }[]
      const socket = lines.at(-1)!.transport.socket._socket
      const writer = await opens(world.url, 'other', { token: 'writer' })
      const misses = async (meanwhile: number): Promise<void> => {
        const { _write: write, _writev: writev } = socket
        let goesOn = (): void => {}
        socket._write = (...words) => (goesOn = () => write.apply(socket, words)) // nothing leaves, and Node keeps what comes after
        socket._writev = (...words) => (goesOn = () => writev!.apply(socket, words))
        await writer.types('x'.repeat(100_000))
        for (let i = 0; i < 30; i++) await writer.types('y')
        world.passes(meanwhile)
        Object.assign(socket, { _write: write, _writev: writev })
        goesOn()
      }
      await misses(hour / 2)
      for (let at = 0; at < 31; ) at += (await client.next('commits', commits => commits.handle === handle)).commits.length
      await misses(2 * hour)
      is((await client.next('left')).refusal, 'history-gone')
      await writer.types('!')
    },
    { catchUpCommits: 10 },
  ],
  authenticateTimeout: [
    300,
    async world => {
      is(await connects(world.url, { token: 'undecided' }).refusedHello(), 'unavailable')
      const read = await fetch(`${world.url}/v1/documents/shared`, { headers: { authorization: 'Bearer undecided' } })
      expect([read.status, Number(read.headers.get('retry-after')) > 0]).toEqual([503, true])
      is((await read.json()) as Refusal, 'unavailable')
      const client = await world.client()
      is((await client.refused({ kind: 'authenticate', token: 'undecided' })).refusal, 'unavailable')
      client.send({ kind: 'authenticate', token: 'mallory' }) // the line has not been lost by that
      await client.next('authenticated')
    },
  ],
  authorizeTimeout: [
    300,
    async world => {
      const client = await world.client()
      const { refusal: why } = await client.refused({ kind: 'join', doc: 'undecided' as DocId, type: 'text', position: null })
      is(why, 'unavailable')
    },
  ],
  submissionsWaiting: [
    2,
    async world => {
      const { client, submit } = await world.member('mallory', 'slow')
      for (let seq = 1; seq <= 6; seq++) client.send(submit(['x'], seq))
      is((await client.next('refused')).refusal, 'too-many-waiting')
    },
  ],
}

/** Mallory asks for a long document on many lines, of which she reads none. What else somebody's reading comes to: nothing is well. */
const doNotTake = async (world: World) => {
  const { client, submit } = await world.member('author')
  client.send(submit(['x'.repeat(900_000)]))
  await client.next('commits')
  const { hostname, port } = new URL(world.url)
  const request = 'GET /v1/documents/other HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mallory\r\n\r\n'
  const deaf = Array.from({ length: 20 }, () => {
    const socket = connect(Number(port), hostname).on('error', () => {})
    afterwards(() => socket.destroy())
    socket.pause()
    socket.write(request.repeat(10)) // kernel and socket take in some of it
    return socket
  })
  const reads = async (token: string): Promise<string> => {
    const answer = await fetch(`${world.url}/v1/documents/other`, { headers: { authorization: `Bearer ${token}` } })
    if (answer.status === 200) return (await answer.text()).slice(0, 0)
    const why = (await answer.json()) as Refusal
    is(why, 'slow-down')
    expect([answer.status, Number(answer.headers.get('retry-after')) > 0, why.after! > 0]).toEqual([429, true, true])
    return why.detail!
  }
  return [reads, deaf] as const
}

/** What somebody's hello comes to; null: he is welcome. He goes at once. */
const helloOf = async (world: World, token: string): Promise<Refusal | null> => {
  const client = connects(world.url, { token })
  const why = await client.answered()
  client.close()
  return why
}

/** Some of these have been refused for being too many, with the time to wait in the head and in the body. */
const isToldToWait = async (answers: readonly Response[]): Promise<void> => {
  const no = answers.filter(({ status }) => status === 429)
  expect(no.length).toBeGreaterThan(0)
  expect(Number(no[0]!.headers.get('retry-after'))).toBeGreaterThan(0)
  const why = (await no[0]!.json()) as Refusal
  is(why, 'slow-down')
  expect(why.after).toBeGreaterThan(0)
}

/** A line that sends far too much is told, then not shown, then refused, then cut. */
const isPaced = async (world: World, what: 'probe' | 'long'): Promise<void> => {
  const witness = await world.member('witness')
  const { client, handle, submit } = await world.member()
  const cost = what === 'probe' ? 1 : 50 // of a second's worth of either limit, each message is this many fiftieths
  const message: ClientMessage =
    what === 'probe'
      ? ({ kind: 'probe' } as ClientMessage)
      : { kind: 'signal', handle: (handle + 1) as typeof handle, name: 'n', payload: 'x'.repeat(9_900) }
  const worth = (seconds: number): number => Math.ceil((50 * seconds) / cost)
  floods(client, message, worth(1.9))
  const { refusal: told, seq } = await client.next('refused', ({ refusal: { code } }) => code === 'slow-down')
  is(told, 'slow-down')
  expect([seq, told.after! > 0]).toEqual([null, true])
  floods(client, message, worth(1.9))
  client.send({ kind: 'present', handle, version: 0, state: { shown: true } })
  client.send(submit(['x']))
  const { refusal: why } = await client.next('refused', ({ seq }) => seq === 1)
  is(why, 'slow-down')
  expect(why.after).toBeGreaterThan(0)
  floods(client, message, worth(6))
  expect(await client.down).toMatch(/^transport/)
  // The witness saw mallory come, and go, and nothing else of him.
  await witness.client.next('presence', ({ changes }) => changes.some(({ kind }) => kind === 'gone'))
  expect(JSON.stringify(witness.client.untaken)).not.toContain('shown')
}

it.each([
  ['messagesPerLine', 50],
  ['bytesPerLine', 10_000],
  ['messagesPerUser', 50],
  ['bytesPerUser', 10_000],
])(
  '[P5] %s: step by step, on a clock that stands still, one is told, then not shown, then refused, then cut',
  async (name, limit) => {
    const now = Date.now()
    const authenticate = (token: string | undefined) => ({ id: token! })
    const server = await serverWith({ limits: { [name]: limit }, authenticate, clock: { ...systemClock, now: () => now } })
    const { url } = await server.listen(0)
    const neighbour = await opens(url, 'shared', { token: 'neighbour' })
    const [witness, floods] = [connects(url, { token: 'witness' }), connects(url, { token: 'mallory' })]
    // A user's limits hold on a line of his that sends nothing but this.
    const speaks = name.endsWith('User') ? connects(url, { token: 'mallory' }) : floods
    await witness.join('other')
    const { handle, content } = await speaks.join('other')
    await floods.next('welcome')
    const { position } = content
    let spent = 0
    /** Sends until so many milliseconds are spent: fifty a second, or as many bytes as come to the same. */
    const spends = (ms: number): void => {
      for (; spent < ms; spent += limit === 50 ? 20 : 50)
        floods.send(
          limit === 50
            ? ({ kind: 'probe' } as ClientMessage)
            : { kind: 'signal', handle: (handle + 1) as typeof handle, name: 'n', payload: 'x'.repeat(485) },
        )
    }
    /** What was sent before has been read by now. */
    const read = async (): Promise<void> => {
      floods.send({ kind: 'leave', handle: (handle + 2) as typeof handle })
      await floods.next('refused', ({ handle: which }) => which === handle + 2)
    }
    const moves = (n: number): void => speaks.send({ kind: 'present', handle, version: 0, state: { n } })
    const seen = async (n: number): Promise<unknown> =>
      witness.next('presence', ({ changes }) => changes.some(change => change.kind === 'here' && change.state.n === n))
    const submits = (seq: number): void =>
      speaks.send({ kind: 'submit', handle, seq, position, op: [`edit ${seq}`] } as ClientMessage)
    const committed = async (seq: number): Promise<unknown> =>
      witness.next('commits', ({ commits }) => commits.some(commit => commit.seq === seq))
    const told = () => speaks.next('refused', ({ refusal: { code } }) => code === 'slow-down')
    const nobody = { doc: null, handle: null, seq: null }

    spends(500)
    await read()
    moves(1)
    await seen(1)
    expect(speaks.untaken.filter(message => message.kind === 'refused' && message.refusal.code === 'slow-down')).toEqual([])

    spends(1_500)
    await read()
    moves(2)
    await seen(2)
    submits(1)
    await committed(1)
    const word = await told()
    expect(word).toMatchObject(nobody)
    is(word.refusal, 'slow-down')
    expect(word.refusal.after).toBeGreaterThan(0)
    await neighbour.types('a')

    spends(2_500)
    await read()
    moves(3)
    speaks.send({ kind: 'signal', handle, name: 'n', payload: 'not heard' })
    submits(2)
    await committed(2)
    await neighbour.types('b')

    spends(4_000)
    await read()
    moves(4)
    submits(3)
    const no = await told()
    expect([no.handle, no.seq, no.refusal.after! > word.refusal.after!]).toEqual([handle, 3, true])
    is(no.refusal, 'slow-down')
    speaks.send({ kind: 'join', doc: 'another' as DocId, type: 'text', position: null })
    expect(await told()).toMatchObject({ doc: 'another', refusal: { code: 'slow-down' } })
    await neighbour.types('c')

    spends(6_000)
    expect(await floods.down).toMatch(/^transport/)
    if (speaks !== floods) {
      submits(4)
      expect(await told()).toMatchObject(nobody)
      expect(await speaks.down).toMatch(/^transport/)
    }
    await witness.next('presence', ({ changes }) => changes.some(({ kind }) => kind === 'gone'))
    expect(JSON.stringify(witness.untaken)).not.toMatch(/"n":[34]|not heard|edit [34]/)
    await neighbour.types('d')
    expect(neighbour.shows).toBe('abcd')
  },
)

const slowIn = (doc: string) => {
  const store = memoryStore({}, new MemoryLog())
  const { append } = store.log
  const log = {
    ...store.log,
    append: async (...words: Parameters<typeof append>) => {
      if (words[0] === doc) await sleep(1_000)
      return append(...words)
    },
  }
  return { ...store, log }
}

describe.each(Object.entries(table))('[P5] %s', (name, [limit, reach, beside]) => {
  it('is reached from outside, answered from the table, and no neighbour notices', async () => {
    const world = await World.with({ ...beside, [name]: limit }, slowIn('slow'))
    worlds.push(world)
    await reach(world)
    await world.undisturbed()
  })
})

it('[P5] every limit is in the table above, or another test, or nobody outside, reaches it', () => {
  const elsewhere = {
    behindBytes: 'slow.test.ts',
    waitingBytes: 'slow.test.ts',
    stuckTime: 'slow.test.ts',
    applicationBytes: 'adapter.test.ts',
    tokenGrace: 'tokens.test.ts',
    pingInterval: 'below: a line on which nobody answers',
    pingTimeout: 'the same',
    unreadyAfter: 'readiness.test.ts',
    canaryEvery: 'a pace of the server’s own',
    clockSkew: 'tells, refuses nobody',
    hotCommits: 'tells, refuses nobody',
    stopWithin: 'how long a stop takes; cli/serve.test.ts',
    writerPace: 'engine/writers.test.ts',
    rebaseWork: 'engine/engine.test.ts',
    recentCommits: 'what is kept; whoever is behind gets the snapshot',
    recentTime: 'engine/sequencer.test.ts',
    recentMost: 'engine/sequencer.test.ts',
    catchUpCommits: 'the form of an answer',
    catchUpWork: 'the form of an answer',
    checkpointCommits: 'inside',
    checkpointBytes: 'inside',
    authorRetention: 'inside',
    idleDocument: 'inside',
    frameTick: 'a pace of the server’s own',
    onlookerTick: 'a pace of the server’s own',
    presenceTick: 'a pace of the server’s own',
    durableTick: 'a pace of the server’s own',
    beat: 'a pace of the server’s own',
    storeTimeout: 'redis.test.ts',
  }
  const files = Object.values(elsewhere).filter(where => where.endsWith('.test.ts'))
  const paths = files.map(where => new URL(where.includes('/') ? `../${where.split(' ').at(-1)}` : where, import.meta.url))
  expect(paths.filter(path => !existsSync(path))).toEqual([])
  expect([...Object.keys(table), ...Object.keys(elsewhere)].sort()).toEqual(
    Object.keys({ ...defaultLimits, ...defaultLineLimits }).sort(),
  )
})

it.each(['sid=', 'sid=x&sid=', 'sid=%00&sid=', '#&sid=x'])(
  '[P5] no line is opened past the limits by naming one that is none: %s',
  async name => {
    const world = await World.with({ strangersPerAddress: 1 })
    worlds.push(world)
    await line(world.url)
    for (const path of ['/json/', '/socket.io/'])
      expect(await statusOf(world.url, `${path}?EIO=4&transport=websocket&${name}`)).toBe(429)
    await world.undisturbed()
  },
)

/** What a handshake is answered with, asked for in just these words. */
const statusOf = (url: string, target: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      socket.write(
        `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
          `Sec-WebSocket-Key: ${'A'.repeat(22)}==\r\n\r\n`,
      ),
    )
    socket.on('error', reject)
    socket.once('data', (bytes: Buffer) => {
      socket.destroy()
      resolve(Number(bytes.toString('latin1', 9, 12)))
    })
  })

it('[P5] a user who is known is held to his own limits, not to those of the address that he shares', async () => {
  const world = await World.with({ handshakesPerAddress: 5, strangersPerAddress: 5, connectionsPerUser: 1 })
  worlds.push(world)
  for (let i = 0; i < 40; i++) await world.client(`colleague ${i}`)
  await world.undisturbed()
})

it('[P5] an answer over HTTP of which nothing is taken for too long is let go of', async () => {
  const world = await World.with({ unreadBytes: 100_000, stuckTime: 1_000 })
  worlds.push(world)
  const [reads] = await doNotTake(world)
  await vi.waitFor(async () => expect(await reads('mallory')).toContain('have not been taken'), patience)
  await vi.waitFor(async () => expect(await reads('mallory')).toBe(''), patience)
  await world.undisturbed()
})

it('[P5] whoever comes anew has spent what he had sent before: a cut line and another one gain nothing', async () => {
  const world = await World.with({ messagesPerUser: 50 })
  worlds.push(world)
  // However slow the machine is, once he comes back before it is forgotten.
  await vi.waitFor(async () => {
    const client = await world.client()
    floods(client, { kind: 'probe' } as ClientMessage, 240)
    await client.next('refused')
    await vi.waitFor(() => expect(client.untaken.filter(({ kind }) => kind === 'alive').length).toBeGreaterThan(140), patience)
    client.close()
    await vi.waitFor(() => expect(world.server.engine.counts.connections).toBe(1), patience) // the neighbour's
    const why = await helloOf(world, 'mallory')
    expect(why?.code).toBe('slow-down')
    is(why!, 'slow-down')
    expect(why!.after).toBeGreaterThan(0)
  }, patience)
  await vi.waitFor(async () => expect(await helloOf(world, 'mallory')).toBeNull(), patience)
  await world.undisturbed()
})

it.each([
  [
    'of a user',
    async (url: string, transports: Transports) => {
      const client = connects(url, { transports })
      const { handle, content } = await client.join('notes')
      await moved(client.socket, transports)
      client.send({ kind: 'submit', handle, seq: 1, position: content.position, op: ['x'.repeat(50_000)] } as ClientMessage)
      await client.next('commits')
    },
  ],
  [
    'of the application’s',
    async (url: string, transports: Transports) => {
      const socket = io(`${url}/chat`, { parser: createParser({ end: 'client' }), transports: [...transports], forceNew: true })
      afterwards(() => socket.disconnect())
      await new Promise<void>(resolve => socket.on('connect', resolve))
      await moved(socket, transports)
      expect(await socket.emitWithAck('say', 'x'.repeat(50_000))).toBe(50_000)
    },
  ],
] as const)(
  '[P5] a line %s carries messages as long as anybody’s once it is known whose it is, also one that polls or has polled',
  async (_, speaks) => {
    const server = await serverWith({ transports: ['websocket', 'polling'], limits: { strangerBytes: 1_000 } })
    const { url } = await server.listen(0)
    server.io.of('/chat').on('connection', socket => socket.on('say', (text: string, answer) => answer(text.length)))
    for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']] as const) await speaks(url, transports)
    const opened = await (await fetch(`${url}/socket.io/?EIO=4&transport=polling`)).text()
    const { sid } = JSON.parse(opened.slice(1)) as { sid: string }
    const posted = await fetch(`${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`, {
      method: 'POST',
      body: `4${'x'.repeat(1_000)}`,
    })
    expect(posted.status).toBe(413)
  },
)

type Transports = readonly ('websocket' | 'polling')[]

/** Resolves when it has moved to the last of the transports. */
const moved = async ({ io }: { readonly io: object }, transports: Transports): Promise<void> => {
  const { engine } = io as { engine: { transport: { name: string } } }
  await vi.waitFor(() => expect(engine.transport.name).toBe(transports.at(-1)), patience)
}

it('[P5] a client that comes back before its dead line is noticed takes no second place, and keeps no more than two lines', async () => {
  const world = await World.with({ connectionsPerUser: 1 })
  worlds.push(world)
  const key = newKey()
  const lines = [await world.client('mallory', { key }), await world.client('mallory', { key })]
  lines.push(await world.client('mallory', { key }))
  expect(await lines[0]!.down).toMatch(/^transport/)
  is(await connects(world.url, { token: 'mallory' }).refusedHello(), 'too-many-connections')
  lines[1]!.close()
  lines[2]!.close()
  await vi.waitFor(async () => (await world.client('mallory')).close(), patience)
  await world.undisturbed()
})

it('[P5] a line on which nobody answers is ended after pingInterval and pingTimeout, and those who answer go on', async () => {
  const world = await World.with({ pingInterval: 200, pingTimeout: 5_000 })
  worlds.push(world)
  const socket = await line(world.url)
  const welcome = new Promise<void>(resolve => socket.on('data', (bytes: Buffer) => bytes.includes('"welcome"') && resolve()))
  socket.write(frame(1, `40${JSON.stringify({ protocol: [1, 1], key: newKey(), token: 'mallory' })}`))
  await welcome
  await ended(socket)
  await world.undisturbed()
})

it('[P5] pings are answered, a flood of them ends the line, and so does a flood of pongs', async () => {
  const world = await World.with({ messagesPerLine: 50 })
  worlds.push(world)
  for (const opcode of [9, 10]) {
    const socket = await line(world.url)
    if (opcode === 9) {
      const heard = new Promise<void>(resolve => {
        socket.on('data', (bytes: Buffer) => bytes.includes(Buffer.from([0x8a, 2, 104, 105])) && resolve())
      })
      socket.write(frame(9, 'hi'))
      await heard
    }
    socket.write(Buffer.concat(Array.from({ length: 400 }, () => frame(opcode))))
    await ended(socket)
  }
  await world.undisturbed()
})

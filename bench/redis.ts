// One document on one Redis: written from several nodes at once, beside compare-and-set in the same run; and opened.
// Invariant: every op that is timed is checked to be in the log, once.

import { Redis } from 'ioredis'
import { writeState } from '../src/engine/checkpoint.ts'
import { writeBody } from '../src/engine/entry.ts'
import { createEngine, type Engine } from '../src/engine/index.ts'
import { defaultLimits } from '../src/engine/limits.ts'
import type { LogReply, NewEntry } from '../src/engine/ports.ts'
import { Text } from '../src/ot/rope.ts'
import { servedText as textType } from '../src/ot/served.ts'
import type { AnyDocumentType, Json } from '../src/ot/type.ts'
import type { AuthorId, DocId, Position, Seq } from '../src/protocol/ids.ts'
import { emptyChain } from '../src/protocol/ids.ts'
import { systemClock } from '../src/server/clock.ts'
import { type RedisStore, redisStore } from '../src/stores/redis.ts'
import { RedisServer } from '../test/redis.ts'
import { cpuOf } from './redis-cpu.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'redis'

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  const seconds = quick ? 2 : 10
  const server = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  try {
    return [
      ...(await writing(server, seconds)),
      ...(await roundTrips(server, seconds)),
      ...(await telling(server, quick)),
      ...(await opening(server, quick)),
    ]
  } finally {
    await server.discard()
  }
}

/** What a keystroke weighs in the log. */
const body = JSON.stringify({ base: 12_345, op: [4_321, 'x', 678], user: 'u-123456', time: 1_790_000_000_000 })

const percentile = (values: number[], share: number): number => {
  const sorted = values.sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

/** Offers ops at an even rate, each at its own time whether the earlier ones are done or not; resolves after the last. */
const offering = (rate: number, seconds: number, offer: (at: number) => void): Promise<void> =>
  new Promise(resolve => {
    const since = performance.now()
    let offered = 0
    const timer = setInterval(() => {
      const due = Math.min(rate * seconds, ((performance.now() - since) * rate) / 1_000)
      for (; offered < due; offered++) offer(since + (offered * 1_000) / rate)
      if (offered < rate * seconds) return
      clearInterval(timer)
      resolve()
    }, 1)
  })

/** A node as the sequencer is one: a single append under way, with all that came while the last one was; it hears the feed meanwhile. */
class Node {
  readonly store: RedisStore
  readonly #doc: DocId
  readonly #author: AuthorId
  #at: Position
  #seq = 0
  #waiting: number[] = []
  #turning: Promise<void> | null = null
  #failed: Error | null = null
  readonly latencies: number[] = []
  unanswered = 0

  private constructor(store: RedisStore, doc: DocId, author: AuthorId, at: Position) {
    this.store = store
    this.#doc = doc
    this.#author = author
    this.#at = at
  }

  static async open(url: string, doc: DocId, number: number): Promise<Node> {
    const store = redisStore(url)
    const { epoch } = await store.log.open(doc)
    const node = new Node(store, doc, `node-${number}` as AuthorId, { epoch, version: 0, chain: emptyChain })
    await store.log.subscribe(doc, news => {
      if (news.kind === 'entries' && news.from <= node.#at.version) node.#reach(news.entries.at(-1))
    })
    return node
  }

  offer(at: number): void {
    this.#waiting.push(at)
    this.#turning ??= this.#turn().catch((error: Error) => {
      this.#failed = error
    })
  }

  /** @throws what has failed since it was opened */
  async settled(): Promise<void> {
    while (this.#turning !== null && this.#failed === null) await this.#turning
    if (this.#failed !== null) throw this.#failed
  }

  #reach(last: { readonly version: number; readonly chain: Position['chain'] } | undefined): void {
    if (last !== undefined && last.version > this.#at.version)
      this.#at = { ...this.#at, version: last.version, chain: last.chain }
  }

  /** What nobody answers is offered again: the log drops what it has. */
  async #append(entries: readonly NewEntry[]): Promise<LogReply> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.store.log.append(this.#doc, this.#at, entries)
      } catch (error) {
        this.unanswered++
        if (tries === 5) throw error
      }
    }
  }

  async #turn(): Promise<void> {
    await null // what is offered in one moment goes together, as submissions of one read of the sockets do
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const entries = batch.map((): NewEntry => ({ author: this.#author, seq: ++this.#seq, body }))
      const reply = await this.#append(entries)
      const now = performance.now()
      if (!reply.ok) throw new Error(`refused: ${reply.reason}`)
      this.#reach(reply.entries.at(-1))
      for (const at of batch) this.latencies.push(now - at)
    }
    this.#turning = null
  }
}

/** Calls that reach Redis for the log. Scripts look into the stream too, and Redis counts that as well. */
const callsOf = async (server: RedisServer, what = 'eval|evalsha'): Promise<number> => {
  const stats = await server.do(redis => redis.info('commandstats'))
  return [...stats.matchAll(new RegExp(`cmdstat_(?:${what}):calls=(\\d+)`, 'g'))].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  )
}

const checked = async (store: RedisStore, doc: DocId, count: number): Promise<void> => {
  let found = 0
  const last = new Map<string, number>()
  for (let page = await store.log.entries(doc, 0, 10_000); page.length > 0; page = await store.log.entries(doc, found, 10_000)) {
    for (const { author, seq, version } of page) {
      if (version !== ++found || seq !== (last.get(author) ?? 0) + 1)
        throw new Error(`${author}'s edit ${seq} is at version ${version}`)
      last.set(author, seq)
    }
  }
  if (found !== count) throw new Error(`${found} edits in the log, ${count} were written`)
}

interface Outcome {
  readonly p50: number
  readonly p99: number
  readonly callsPerCommit: number
  readonly unanswered: number
}

const load = async (server: RedisServer, doc: string, nodes: number, rate: number, seconds: number): Promise<Outcome> => {
  const id = doc as DocId
  const all = await Promise.all(Array.from({ length: nodes }, (_, i) => Node.open(server.url, id, i)))
  try {
    let turn = 0
    const offer = (at: number): void => all[turn++ % nodes]!.offer(at)
    await offering(rate, 1, offer) // for the compiler to have seen it all
    await Promise.all(all.map(node => node.settled()))
    for (const node of all) node.latencies.length = 0
    const before = await callsOf(server)
    await offering(rate, seconds, offer)
    await Promise.all(all.map(node => node.settled()))
    const calls = (await callsOf(server)) - before
    await checked(all[0]!.store, id, turn)
    const latencies = all.flatMap(node => node.latencies)
    return {
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      callsPerCommit: calls / (rate * seconds),
      unanswered: all.reduce((sum, node) => sum + node.unanswered, 0),
    }
  } finally {
    await Promise.all(all.map(node => node.store.close()))
  }
}

const compareAndSet = `
local head = tonumber(redis.call('GET', KEYS[1]) or '0')
if head ~= tonumber(ARGV[1]) then return head end
redis.call('XADD', KEYS[2], (head + 1) .. '-0', 'b', ARGV[2])
redis.call('SET', KEYS[1], head + 1)
redis.call('PUBLISH', KEYS[1], ARGV[2])
return -1`

/** The yardstick: each op is sent for the version that its node believes to be next, and sent again when another was faster. */
const contended = async (server: RedisServer, nodes: number, rate: number, seconds: number) => {
  const latencies: number[] = []
  const stop = performance.now() + seconds * 1_000
  let conflicts = 0
  const clients = Array.from({ length: nodes }, () => new Redis({ port: server.port, host: '127.0.0.1' }))
  const queues = clients.map((): number[] => [])
  const working = clients.map(async (redis, i) => {
    let head = 0
    while (performance.now() < stop) {
      const at = queues[i]!.shift()
      if (at === undefined) {
        await new Promise(resolve => setTimeout(resolve, 1))
        continue
      }
      for (;;) {
        const seen = (await redis.eval(compareAndSet, 2, '{cas}:v', '{cas}:s', head, body)) as number
        if (seen < 0) break
        head = seen
        conflicts++
      }
      head++
      latencies.push(performance.now() - at)
    }
  })
  let turn = 0
  await offering(rate, seconds, at => queues[turn++ % nodes]!.push(at))
  await Promise.all(working)
  for (const redis of clients) redis.disconnect()
  return { p99: percentile(latencies, 0.99), perSecond: latencies.length / seconds, conflicts: conflicts / latencies.length }
}

const writing = async (server: RedisServer, seconds: number): Promise<Row[]> => {
  const ours = await load(server, 'busy', 4, 20_000, seconds)
  const theirs = await contended(server, 4, 20_000, seconds)
  return [
    {
      what: 'append to one document from 4 stores, as 4 sequencers do it, 20,000 ops/s in all, p99',
      value: ours.p99,
      unit: 'ms',
      beside: {
        p50: ours.p50,
        'calls without an answer in time': ours.unanswered,
        'compare-and-set per op, p99': theirs.p99,
        'of which done per second': theirs.perSecond,
        'conflicts per op': theirs.conflicts,
      },
      gate: { atMost: 25 },
    },
    {
      what: 'calls to Redis per commit, 4 nodes, 20,000 ops/s',
      value: ours.callsPerCommit,
      unit: 'calls',
      gate: { atMost: 0.5 },
    },
  ]
}

const roundTrips = async (server: RedisServer, seconds: number): Promise<Row[]> => {
  const rows: Row[] = []
  for (const nodes of [1, 4]) {
    const { callsPerCommit, p50, p99 } = await load(server, `calm ${nodes}`, nodes, 5_000, seconds)
    rows.push({
      what: `calls to Redis per commit in one document, 5,000 ops/s, ${nodes === 1 ? 'one node' : `${nodes} nodes`}`,
      value: callsPerCommit,
      unit: 'calls',
      beside: { 'commit p50, ms': p50, 'p99, ms': p99 },
      gate: { atMost: 0.5 },
    })
  }
  return rows
}

/** A document of 1 MB, its checkpoint, and 10,000 keystrokes behind that, none of which was written together with another. */
const longDocument = async (server: RedisServer, doc: DocId): Promise<void> => {
  const { log, close } = redisStore(server.url)
  const { epoch } = await log.open(doc)
  const text = 'text '.repeat(209_715)
  const user = 'u-123456'
  let at: Position = { epoch, version: 0, chain: emptyChain }
  const write = async (op: Json): Promise<void> => {
    const { version } = at
    const entryBody = writeBody({ base: version, op, user, time: 1_790_000_000_000, type: version === 0 ? textType.name : null })
    const reply = await log.append(doc, at, [{ author: ann, seq: (version + 1) as Seq, body: entryBody }])
    if (!reply.ok) throw new Error(reply.reason)
    const last = reply.entries.at(-1)!
    at = { epoch, version: last.version, chain: last.chain }
  }
  const durable = new Promise<void>(resolve => {
    void log.subscribe(doc, news => {
      if (news.kind === 'durable' && news.version >= 2) resolve()
    })
  })
  await write([text])
  const floorChain = at.chain
  await write(['x'])
  await durable
  await log.raiseHorizon(doc, epoch, 1)
  const value = Text.of(`x${text}`)
  const commit = {
    ...at,
    author: ann,
    seq: 2 as Seq,
    op: textType.opFromJson(['x'], text.length),
    user,
    time: 1_790_000_000_000,
  }
  const state = writeState({
    type: textType as AnyDocumentType,
    value,
    authors: new Map([[ann, { seq: 2 as Seq, version: 2 }]]),
    marks: [],
    commits: [commit],
    floorChain,
  })
  if (!(await log.checkpoint(doc, { ...at, horizon: 1, pruned: 0, body: state }))) throw new Error('the checkpoint was refused')
  for (let i = 0; i < 10_000; i++) await write([1 + ((i * 7_919) % value.length), 'y'])
  await close()
}

const ann = 'ann_____________' as AuthorId

/** A node without sockets: whoever joins is told so by `joined`. */
const nodeOn = (store: RedisStore): { readonly engine: Engine; joins(count: number, doc: DocId): Promise<void> } => {
  let joined = 0
  let wanted = { count: 0, done: (): void => {} }
  let ids = 0
  const id = (): string => `node${(++ids).toString(36)}`.padEnd(16, '0')
  const engine = createEngine({
    store,
    clock: systemClock,
    randomId: id,
    types: [textType as AnyDocumentType],
    limits: defaultLimits,
    authorize: () => 'write',
    deliver: (outlets, message) => {
      if (message.kind === 'joined' && (joined += outlets.length) >= wanted.count) wanted.done()
    },
    observe: () => {},
  })
  return {
    engine,
    joins: (count, doc) =>
      new Promise(done => {
        wanted = { count: joined + count, done }
        for (let i = 0; i < count; i++)
          engine
            .connect({ author: id() as AuthorId, user: { id: `u${i}` } }, { name: `line${i}`, open: true, behind: false })
            .receive({ kind: 'join', doc, type: textType.name, position: null })
      }),
  }
}

const opening = async (server: RedisServer, quick: boolean): Promise<Row[]> => {
  const doc = 'long' as DocId
  await longDocument(server, doc)
  const opened = async (joiners: number): Promise<{ readonly ms: number; readonly calls: number }> => {
    const store = redisStore(server.url)
    await store.ready()
    const { engine, joins } = nodeOn(store)
    const before = await callsOf(server, 'eval|evalsha|xrange')
    const since = performance.now()
    await joins(joiners, doc)
    const ms = performance.now() - since
    const calls = (await callsOf(server, 'eval|evalsha|xrange')) - before
    const { version } = (await engine.read(doc))!
    if (version !== 10_002) throw new Error(`it is at version ${version}`)
    await engine.close()
    await store.close()
    return { ms, calls }
  }
  const alone = []
  for (let round = 0; round < (quick ? 3 : 15); round++) alone.push(await opened(1))
  const crowd = await opened(1_000)
  const median = (of: readonly number[]): number => percentile([...of], 0.5)
  const one = median(alone.map(({ calls }) => calls))
  return [
    {
      what: 'from a join to its answer, document of 1 MB with 10,000 commits behind its checkpoint, that no node has open, median',
      value: median(alone.map(({ ms }) => ms)),
      unit: 'ms',
      beside: { 'calls to Redis': one },
      gate: { atMost: 100 },
    },
    {
      what: 'calls to Redis for 1,000 who join it at once, against one',
      value: crowd.calls / one,
      unit: '×',
      beside: { 'all of them, ms': crowd.ms },
      gate: { atMost: 1.5 },
    },
  ]
}

// ---- telling

/** What it costs Redis that one more node has a document open: the same announcements to one and to five subscribers. */
const telling = async (server: RedisServer, quick: boolean): Promise<Row[]> => {
  const announcements = quick ? 20_000 : 200_000
  const announcement = 'x'.repeat(200)
  const costs: number[] = []
  for (const count of [1, 5]) {
    const nodes = Array.from({ length: count }, () => new Redis(server.url))
    const author = new Redis(server.url)
    let heard = 0
    const all = new Promise<void>(resolve => {
      for (const node of nodes) node.on('message', () => ++heard === announcements * count && resolve())
    })
    await Promise.all(nodes.map(node => node.subscribe('announced')))
    const before = await cpuOf(server)
    for (let sent = 0; sent < announcements; sent += 100) {
      const batch = author.pipeline()
      for (let i = 0; i < 100; i++) batch.publish('announced', announcement)
      await batch.exec()
    }
    await all
    costs.push(((await cpuOf(server)) - before) / announcements)
    for (const line of [author, ...nodes]) line.disconnect()
  }
  const [one, five] = costs as [number, number]
  return [
    {
      what: 'CPU of Redis for an announcement of 200 bytes to one more node',
      value: (five - one) / 4,
      unit: 'µs',
      beside: { 'to one µs': one, 'to five µs': five },
    },
  ]
}

// One document on one Redis: written from several nodes at once, beside compare-and-set in the same run; and opened.
// Invariant: every op that is timed is checked to be in the log, once.

import { Redis } from 'ioredis'
import type { NewEntry } from '../src/engine/ports.ts'
import type { AuthorId, DocId, Position } from '../src/protocol/ids.ts'
import { emptyChain } from '../src/protocol/ids.ts'
import { type RedisStore, redisStore } from '../src/stores/redis.ts'
import { RedisServer } from '../test/redis.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'redis'

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  const seconds = quick ? 2 : 10
  const server = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  try {
    return [...(await writing(server, seconds)), ...(await roundTrips(server, seconds)), ...(await opening(server, quick))]
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

  async #turn(): Promise<void> {
    await null // what is offered in one moment goes together, as submissions of one read of the sockets do
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const entries = batch.map((): NewEntry => ({ author: this.#author, seq: ++this.#seq, body }))
      const reply = await this.store.log.append(this.#doc, this.#at, entries)
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
    return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), callsPerCommit: calls / (rate * seconds) }
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
      what: 'commit in one document from 4 nodes, 20,000 ops/s in all, p99',
      value: ours.p99,
      unit: 'ms',
      beside: {
        p50: ours.p50,
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

const opening = async (server: RedisServer, quick: boolean): Promise<Row[]> => {
  const doc = 'long' as DocId
  const writer = redisStore(server.url)
  const { epoch } = await writer.log.open(doc)
  let at: Position = { epoch, version: 0, chain: emptyChain }
  const write = async (count: number, each: number): Promise<void> => {
    for (let i = 0; i < count; i += each) {
      const entries = Array.from(
        { length: each },
        (_, k): NewEntry => ({ author: 'ann' as AuthorId, seq: at.version + k + 1, body }),
      )
      const reply = await writer.log.append(doc, at, entries)
      if (!reply.ok) throw new Error(reply.reason)
      const last = reply.entries.at(-1)!
      at = { epoch, version: last.version, chain: last.chain }
    }
  }
  const durable = new Promise<void>(resolve => {
    void writer.log.subscribe(doc, news => {
      if (news.kind === 'durable' && news.version >= 2_000) resolve()
    })
  })
  await write(2_000, 20)
  await durable
  const stored = await writer.log.checkpoint(doc, { ...at, horizon: 0, pruned: 0, body: 'text '.repeat(209_715) })
  if (!stored) throw new Error('the checkpoint was refused')
  await write(10_000, 1) // the worst case: nobody wrote with anybody else
  await writer.close()

  const times: number[] = []
  for (let round = 0; round < (quick ? 3 : 15); round++) {
    const store = redisStore(server.url)
    await store.ready()
    const since = performance.now()
    const { tail, checkpoint } = await store.log.open(doc)
    times.push(performance.now() - since)
    if (tail.length !== 10_000 || checkpoint?.body.length !== 1_048_575) throw new Error('it is not what was written')
    await store.close()
  }
  const store = redisStore(server.url)
  await store.ready()
  const one = await callsOf(server, 'eval|evalsha|xrange')
  await store.log.open(doc)
  const forOne = (await callsOf(server, 'eval|evalsha|xrange')) - one
  const since = performance.now()
  await Promise.all(Array.from({ length: 1_000 }, () => store.log.open(doc)))
  const together = performance.now() - since
  const forAll = (await callsOf(server, 'eval|evalsha|xrange')) - one - forOne
  await store.close()
  return [
    {
      what: 'opening a document of 1 MB with 10,000 commits behind its checkpoint, median',
      value: percentile(times, 0.5),
      unit: 'ms',
      beside: { 'calls to Redis': forOne },
      gate: { atMost: 100 },
    },
    {
      what: 'reads for 1,000 joiners at once, against one joiner',
      value: forAll / forOne,
      unit: '×',
      beside: { 'all of them, ms': together },
      gate: { atMost: 1 },
    },
  ]
}

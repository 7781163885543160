// How Inkwell bears a load beside its peers: idle connections, many small rooms, one hot document, and what each delivery costs.
// Invariant: in a case the servers take turns, round by round, under the same clients; each server is a process of its own, alone in its round.

import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Outcome, type Round, run } from '../src/load/run.ts'
import { type Plan, seats } from '../src/load/schedule.ts'
import { issueToken } from '../src/server/jwt.ts'
import { freePort } from '../test/ports.ts'
import { RedisServer } from '../test/redis.ts'
import { build } from './built.ts'
import { cpuOf } from './redis-cpu.ts'
import { median } from './room.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'scale'

const secret = 'a secret of more than 32 bytes, for the bench alone'

// ---- the servers

type Peer = 'ws' | 'socketio' | 'socketio-msgpack' | 'sharedb' | 'hocuspocus' | 'y-websocket'
type Who = 'inkwell' | Peer

class Served {
  readonly url: URL
  readonly pid: number
  /** Whether it is one of ours that can be asked. */
  readonly answers: boolean
  private readonly child: ChildProcess

  private constructor(child: ChildProcess, url: string, answers: boolean) {
    this.child = child
    this.answers = answers
    this.pid = child.pid!
    this.url = new URL(url)
  }

  static async start(who: Who, place = 'memory:', tokens = false): Promise<Served> {
    const args = who === 'inkwell' ? [who, place, ...(tokens ? [secret] : [])] : [who]
    const child = fork(join(peersFolder, 'serve.mjs'), args, {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const [url] = (await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [null])])) as [string | null]
    if (url === null) throw new Error(`the server of ${who} has ended`)
    return new Served(child, url, true)
  }

  /** `inkwell serve` as an operator starts it, with its workers. */
  static async command(args: readonly string[]): Promise<Served> {
    const port = await freePort()
    const program = join(import.meta.dirname, '..', 'dist', 'cli', 'main.js')
    const child = fork(program, ['serve', '--port', String(port), '--log-level', 'error', ...args], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const url = `http://127.0.0.1:${port}`
    const ready = async (): Promise<boolean> => (await fetch(`${url}/readyz`).catch(() => null))?.ok === true
    while (!(await ready())) {
      if (child.exitCode !== null) throw new Error(`inkwell serve ended with ${child.exitCode}`)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    return new Served(child, url, false)
  }

  /** Its own and those of its workers. */
  get pids(): readonly number[] {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return []
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'latin1')
    return [this.pid, ...children.split(' ').filter(Boolean).map(Number)]
  }

  async ask(what: 'memory' | 'delay'): Promise<number> {
    this.child.send(what)
    const [answer] = (await once(this.child, 'message')) as [number]
    return answer
  }

  async stop(): Promise<void> {
    if (this.pids.length === 0) return
    const gone = once(this.child, 'exit')
    for (const pid of this.pids.toReversed()) process.kill(pid, 'SIGKILL')
    await gone
  }
}

const peersFolder = join(import.meta.dirname, 'peers')

/** The peers' packages are not Inkwell's: they are installed when somebody measures them. Inkwell is measured as it is built. */
const prepare = async (): Promise<void> => {
  await build()
  if (existsSync(join(peersFolder, 'node_modules', 'sharedb'))) return
  console.log('installing the peers (bench/peers) …')
  await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: peersFolder })
}

// ---- one load on one server

const player = join(peersFolder, 'player.ts')

const usual = { readers: 0, rate: 1, seconds: 5, rounds: 1, warmUp: 3, drain: 10, length: 1_000, connectRate: 1_000 } as const

interface Ran {
  readonly outcome: Outcome
  /** Of the server: p99 of the event loop's delay in ms, and bytes in memory before and with the clients, where that was asked for. */
  readonly delay: number
  readonly memory: { readonly before: number; readonly after: number } | null
}

interface How {
  readonly nodes?: readonly Served[]
  readonly tokens?: boolean
  readonly memory?: boolean
  readonly processes?: number
}

const ran = async (who: Who, load: Partial<Plan> & Pick<Plan, 'documents' | 'writers'>, how: How = {}): Promise<Ran> => {
  const plan: Plan = { ...usual, prefix: `${who}-${Math.floor(Math.random() * 2 ** 30).toString(36)}-`, ...load }
  const { tokens = false, memory = false } = how
  const nodes = how.nodes ?? [await Served.start(who, 'memory:', tokens)]
  try {
    const total = seats(plan)
    const before = memory ? await nodes[0]!.ask('memory') : 0
    let after = 0
    const outcome = await run({
      plan,
      tongue: who,
      addresses: nodes.map(({ url }) => ({ host: url.hostname, port: Number(url.port), secure: false })),
      tokens: tokens
        ? await Promise.all(
            Array.from({ length: total }, (_, i) =>
              issueToken({ secret, user: `load-${i}`, documents: { '*': 'write' }, lives: 3_600_000 }),
            ),
          )
        : null,
      locals: Array.from({ length: Math.ceil(total / 1_000) }, (_, i) => `127.0.0.${i + 2}`),
      processes: how.processes ?? 1,
      player,
      pids: nodes.flatMap(({ pids }) => pids),
      progress: stage => {
        if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${who}: ${stage}`)
      },
      gathered: async () => {
        if (memory) {
          await new Promise(resolve => setTimeout(resolve, 3_000)) // what the joins set off is over
          after = await nodes[0]!.ask('memory')
        }
        if (nodes[0]!.answers) await nodes[0]!.ask('delay') // from here on
      },
    })
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
    const delay = nodes[0]!.answers ? await nodes[0]!.ask('delay') : Number.NaN
    const lost = Object.entries({ ...outcome.failed, ...outcome.faults })
    if (lost.length > 0) console.log(`  ${who}: ${lost.map(([code, count]) => `${code} ${count}`).join(', ')}`)
    const { median } = outcome
    const clients = `  ${who.padEnd(16)} ${total} clients, ${plan.documents} documents`
    const { connecting } = outcome
    console.log(
      median.typed === 0
        ? `${clients}: ${memory ? `${short((after - before) / total / 1_024)} KiB and ` : ''}${short(connecting.cpuPerClient ?? Number.NaN)} µs each, in ${short(connecting.seconds)} s`
        : `${clients} at ${plan.rate}/s: ` +
            `${short(median.deliveriesPerSecond)} deliveries/s, p50 ${short(median.delivery.p50)} p99 ${short(median.delivery.p99)} p99.9 ${short(median.delivery.p999)} ms, ` +
            `${short(median.server?.perDelivery ?? Number.NaN)} µs a delivery, ${short(median.server?.cores ?? 0)} cores and ${short(median.server?.waited ?? 0)} waited, ` +
            `loop p99 ${short(delay)} ms, generator ${short(median.generator.cores)} and ${short(median.generator.waited)} waited`,
    )
    kept.push({ who, load, outcome, delay, memory: memory ? { before, after } : null })
    return { outcome, delay, memory: memory ? { before, after } : null }
  } finally {
    if (how.nodes === undefined) for (const node of nodes) await node.stop()
  }
}

const short = (value: number): string =>
  Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)))

/** Everything as it was measured, for whoever looks closer: SCALE_RAW=file keeps it. */
const kept: object[] = []

/** Rounds in which everybody has a turn; the first to go is another one each time. */
const turns = async <W extends Who>(
  whose: readonly W[],
  rounds: number,
  turn: (who: W) => Promise<Ran>,
): Promise<Readonly<Record<W, readonly Ran[]>>> => {
  const all = Object.fromEntries(whose.map(who => [who, [] as Ran[]])) as Record<W, Ran[]>
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < whose.length; i++) {
      const who = whose[(i + round) % whose.length]!
      all[who].push(await turn(who))
    }
  }
  return all
}

const middle = (runs: readonly Ran[], of: (round: Round) => number): number =>
  median(runs.map(({ outcome }) => of(outcome.median)))
const perDelivery = ({ server }: Round): number => server?.perDelivery ?? Number.NaN

const beside = <W extends Who>(
  all: Readonly<Record<W, readonly Ran[]>>,
  of: (runs: readonly Ran[]) => number,
): Record<string, number> => Object.fromEntries(Object.entries(all).map(([who, runs]) => [who, of(runs as readonly Ran[])]))

const best = (values: Readonly<Record<string, number>>, among: readonly Who[]): number =>
  Math.min(...among.map(who => values[who]!))

// ---- the cases

interface Sizes {
  readonly rounds: number
  readonly seconds: number
  readonly many: number
}

type Case = (sizes: Sizes) => Promise<readonly Row[]>

const documented: readonly Peer[] = ['sharedb', 'hocuspocus', 'y-websocket']

const idle: Case = async ({ rounds, many }) => {
  const whose = ['inkwell', 'ws', 'socketio', ...documented] as const
  const load = { documents: many / 10, writers: 0, readers: 10, rate: 1, seconds: 1, warmUp: 0, length: 0 }
  const warm = Object.fromEntries(whose.map(who => [who, [] as Ran[]])) as Record<(typeof whose)[number], Ran[]>
  const cold = await turns(whose, rounds, async who => {
    const tokens = who === 'inkwell'
    const node = await Served.start(who, 'memory:', tokens)
    try {
      const first = await ran(who, load, { nodes: [node], memory: true, tokens })
      await new Promise(resolve => setTimeout(resolve, 3_000)) // until it is through with those who have left
      warm[who].push(await ran(who, load, { nodes: [node], tokens }))
      return first
    } finally {
      await node.stop()
    }
  })
  const each = beside(cold, runs =>
    median(runs.map(({ memory, outcome }) => (memory!.after - memory!.before) / outcome.clients / 1_024)),
  )
  const cpuIn = (all: typeof warm | typeof cold): Record<string, number> =>
    beside(all, runs => median(runs.map(({ outcome }) => outcome.connecting.cpuPerClient ?? Number.NaN)))
  const [ofCold, ofWarm] = [cpuIn(cold), cpuIn(warm)]
  const said = many.toLocaleString('en-US')
  return [
    {
      what: `${said} idle connections, 10 a document, memory of each, token checked`,
      value: each.inkwell!,
      unit: 'KiB',
      beside: each,
      gate: { atMost: Math.min(12.5, each.hocuspocus!) },
    },
    {
      what: `${said} connections to a server that has had as many before, its CPU for each to connect and join, token checked`,
      value: ofWarm.inkwell!,
      unit: 'µs',
      beside: ofWarm,
      gate: { atMost: ofWarm.hocuspocus! },
    },
    {
      what: 'the same for the first of them, while everybody’s code is still being compiled',
      value: ofCold.inkwell!,
      unit: 'µs',
      beside: ofCold,
    },
  ]
}

/** Edits in which everybody's code is still being compiled: so long a server's slowest answers tell of the compiler. */
const uncompiled = 14_000

const rooms: Case = async ({ rounds, seconds, many }) => {
  const rate = 1_000 / many
  const whole = (time: number): number => Math.ceil(time * rate) / rate // in which each has typed as often
  const load = { documents: many / 10, writers: 10, rate, seconds: whole(seconds), warmUp: whole(uncompiled / 1_000) }
  const all = await turns(['inkwell', 'socketio'] as const, rounds, who => ran(who, load))
  const p99 = beside(all, runs => middle(runs, ({ delivery }) => delivery.p99))
  return [
    {
      what: `${many.toLocaleString('en-US')} connections in rooms of 10, 1,000 ops/s in all, p99 keystroke to peer, against bare Socket.IO`,
      value: p99.inkwell! / p99.socketio!,
      unit: '×',
      beside: {
        ...named(p99, 'p99 ms'),
        ...named(
          beside(all, runs => middle(runs, perDelivery)),
          'µs',
        ),
      },
      gate: { atMost: 2 },
    },
  ]
}

const busyOrQuiet =
  (rate: number, ...[gates]: [(figures: Figures) => readonly Row[]]): Case =>
  async ({ rounds, seconds }) => {
    const whose = ['inkwell', 'ws', 'socketio', 'socketio-msgpack', ...documented] as const
    const warmUp = Math.max(4, uncompiled / (1_000 * rate))
    const all = await turns(whose, rounds, who => ran(who, { documents: 100, writers: 10, rate, seconds, warmUp }))
    return gates({
      cpu: beside(all, runs => middle(runs, perDelivery)),
      p50: beside(all, runs => middle(runs, ({ delivery }) => delivery.p50)),
      p99: beside(all, runs => middle(runs, ({ delivery }) => delivery.p99)),
      p999: beside(all, runs => middle(runs, ({ delivery }) => delivery.p999)),
      up: beside(all, runs => middle(runs, ({ bytesUp }) => bytesUp)),
      down: beside(all, runs => middle(runs, ({ bytesDown }) => bytesDown)),
      each: beside(all, runs => middle(runs, ({ deliveriesPerSecond }) => deliveriesPerSecond)),
    })
  }

type Figures = Readonly<Record<'cpu' | 'p50' | 'p99' | 'p999' | 'up' | 'down' | 'each', Readonly<Record<string, number>>>>

const named = (values: Readonly<Record<string, number>>, unit: string): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([who, value]) => [`${who} ${unit}`, value]))

const busy = busyOrQuiet(5, ({ cpu, p99, each }) => [
  {
    what: '100 documents × 10 writers at 5 chars/s, CPU of a delivery, against the best peer with a document',
    value: cpu.inkwell! / best(cpu, documented),
    unit: '×',
    beside: named(cpu, 'µs'),
    gate: { atMost: 0.6 },
  },
  {
    what: '100 documents × 10 writers at 5 chars/s, p99 keystroke to peer',
    value: p99.inkwell!,
    unit: 'ms',
    beside: p99,
    gate: { atMost: 100 },
  },
  { what: '100 documents × 10 writers at 5 chars/s, deliveries a second', value: each.inkwell!, unit: '/s', beside: each },
])

const quiet = busyOrQuiet(1, ({ cpu, p50, p99, p999, up, down }) => [
  {
    what: '100 documents × 10 writers at 1 char/s, p50 keystroke to peer, against the best peer with a document',
    value: p50.inkwell! / best(p50, documented),
    unit: '×',
    beside: named(p50, 'ms'),
    gate: { atMost: 1 },
  },
  {
    what: '100 documents × 10 writers at 1 char/s, p99 keystroke to peer, the same',
    value: p99.inkwell! / best(p99, documented),
    unit: '×',
    beside: named(p99, 'ms'),
    gate: { atMost: 1 },
  },
  { what: '100 documents × 10 writers at 1 char/s, p99.9 keystroke to peer', value: p999.inkwell!, unit: 'ms', beside: p999 },
  { what: '100 documents × 10 writers at 1 char/s, CPU of a delivery', value: cpu.inkwell!, unit: 'µs', beside: cpu },
  {
    what: 'bytes up for a keystroke, frame included',
    value: up.inkwell!,
    unit: 'bytes',
    beside: up,
    gate: { atMost: best(up, documented) },
  },
  {
    what: 'bytes down for a keystroke, frame included',
    value: down.inkwell!,
    unit: 'bytes',
    beside: down,
    gate: { atMost: best(down, documented) },
  },
])

const steps = [50, 100, 150, 200, 300, 400, 600, 800, 1_000, 1_200, 1_600, 2_000] as const
const held = 250 // ms

/** Where the search begins: what is far below what anybody holds tells nothing. */
const firstStep = (who: Who): number => steps.indexOf(who === 'inkwell' ? 800 : 150)

/** The most writers of one document with everything delivered and p99 below `held`, and what there is past that. */
const hottest = async (who: Who, seconds: number): Promise<{ most: number; reached: number; beyond: number[] }> => {
  const at = async (writers: number): Promise<{ holds: boolean; reached: number }> => {
    const { outcome } = await ran(who, { documents: 1, writers, rate: 2, seconds, warmUp: 4, drain: 5 })
    const { delivery, deliveries, wanted, deliveriesPerSecond } = outcome.median
    return { holds: delivery.p99 < held && deliveries >= 0.99 * wanted, reached: deliveriesPerSecond }
  }
  let [most, reached] = [0, 0]
  const beyond: number[] = []
  const first = firstStep(who)
  for (const writers of steps.slice(first)) {
    const there = await at(writers)
    if (there.holds) [most, reached] = [writers, there.reached]
    else if (beyond.push(there.reached) === 2) break
  }
  for (const writers of most === 0 ? steps.slice(0, first).toReversed() : []) {
    const there = await at(writers)
    if (!there.holds) continue
    ;[most, reached] = [writers, there.reached]
    break
  }
  return { most, reached, beyond }
}

const hot: Case = async ({ rounds, seconds }) => {
  const whose = ['inkwell', 'ws', 'socketio', ...documented] as const
  const most: Record<string, number[]> = {}
  const falls: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (const who of whose) {
      const found = await hottest(who, seconds)
      most[who] = [...(most[who] ?? []), found.most]
      if (who === 'inkwell') falls.push(Math.min(...found.beyond) / found.reached)
    }
  }
  const held = Object.fromEntries(Object.entries(most).map(([who, counts]) => [who, median(counts)]))
  const rivals = Math.max(...whose.filter(who => who !== 'inkwell').map(who => held[who]!))
  return [
    {
      what: 'one document, everyone 2 chars/s: writers with delivery p99 < 250 ms',
      value: held.inkwell!,
      unit: 'writers',
      beside: held,
      gate: { atLeast: Math.max(1_000, 5 * rivals) },
    },
    {
      what: 'the same past the limit: deliveries a second, against the most that was held',
      value: median(falls),
      unit: '×',
      gate: { atLeast: 1 },
    },
  ]
}

const nodes: Case = async ({ rounds, seconds }) => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  const up: Served[] = []
  try {
    up.push(
      await Served.start('inkwell', join(folder, 'data')),
      await Served.start('inkwell', redis.url),
      await Served.start('inkwell', redis.url),
    )
    const [one, two]: Ran[][] = [[], []]
    const ofRedis: number[] = []
    for (let round = 0; round < rounds; round++) {
      const load = { documents: 100, writers: 10, rate: 5, seconds, warmUp: 4 }
      one!.push(await ran('inkwell', load, { nodes: [up[0]!] }))
      const before = await cpuOf(redis)
      const both = await ran('inkwell', load, { nodes: up.slice(1) })
      const typed = load.documents * load.writers * load.rate * (load.warmUp + load.seconds)
      ofRedis.push(((await cpuOf(redis)) - before) / typed)
      two!.push(both)
    }
    const [alone, both] = [middle(one!, perDelivery), middle(two!, perDelivery)]
    return [
      {
        what: 'two nodes over Redis, 100 documents × 10 writers at 5 chars/s: share of the deliveries that arrived',
        value: middle(two!, ({ deliveries, wanted }) => deliveries / wanted),
        unit: '×',
        gate: { atLeast: 1 },
      },
      {
        what: 'the same: CPU of a delivery, both nodes together, against one with the embedded store',
        value: both / alone,
        unit: '×',
        beside: {
          'one µs': alone,
          'two µs': both,
          'one p99 ms': middle(one!, ({ delivery }) => delivery.p99),
          'two p99 ms': middle(two!, ({ delivery }) => delivery.p99),
        },
        gate: { atMost: 1.3 },
      },
      { what: 'the same: CPU of Redis for a keystroke, its append-only file included', value: median(ofRedis), unit: 'µs' },
    ]
  } finally {
    for (const node of up) await node.stop()
    await redis.discard()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Frames with some twenty ops each, as far as the server's ticks make them so. */
const frames: Case = async ({ rounds, seconds }) => {
  const all = await turns(['inkwell'] as const, rounds, who =>
    ran(who, { documents: 1, writers: 100, readers: 300, rate: 10, seconds, warmUp: 4, drain: 5 }),
  )
  const cost = middle(all.inkwell, perDelivery)
  return [
    {
      what: 'one document, 1,000 ops/s to 400 clients: deliveries that a core makes in a second',
      value: 1e6 / cost,
      unit: '/s',
      beside: { 'p99 ms': middle(all.inkwell, ({ delivery }) => delivery.p99) },
      gate: { atLeast: 900_000 },
    },
  ]
}

const idleDocuments: Case = async ({ rounds, seconds, many }) => {
  const costs: number[][] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const [i, documents] of [many / 100, many / 10].entries()) {
      const node = await Served.start('inkwell')
      try {
        await ran(
          'inkwell',
          { documents, writers: 0, readers: 1, seconds: 0.5, warmUp: 0, drain: 0, length: 100 },
          { nodes: [node] },
        )
        const { outcome } = await ran('inkwell', { documents: 20, writers: 10, rate: 5, seconds, warmUp: 4 }, { nodes: [node] })
        costs[i]!.push(outcome.median.server!.perCharacter)
      } finally {
        await node.stop()
      }
    }
  }
  const [few, tenfold] = costs.map(median) as [number, number]
  return [
    {
      what: `CPU of an op beside ${many / 10} idle documents, against ${many / 100}`,
      value: tenfold / few,
      unit: '×',
      beside: { 'few µs': few, 'many µs': tenfold },
      gate: { atMost: 1.05 },
    },
  ]
}

const writer: Case = async ({ rounds, many }) => {
  const speeds: number[] = []
  for (let round = 0; round < rounds; round++) {
    const node = await Served.start('inkwell')
    try {
      const { stdout } = await promisify(execFile)(process.execPath, [
        join(peersFolder, 'writer.mjs'),
        node.url.origin,
        String(20 * many),
      ])
      speeds.push(Number(stdout))
    } finally {
      await node.stop()
    }
  }
  return [
    {
      what: 'one writer through the SDK, as fast as it takes his keys',
      value: median(speeds),
      unit: 'chars/s',
      gate: { atLeast: 100_000 },
    },
  ]
}

/** Seconds until the first beat of a document that has just been filled is over: it hashes all of the text, once. */
const firstBeat = 14

const length: Case = async ({ rounds, seconds }) => {
  const costs: number[][] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const [i, length] of [1_000, 1_000_000].entries()) {
      const { outcome } = await ran('inkwell', { documents: 1, writers: 10, rate: 10, seconds, warmUp: firstBeat, length })
      costs[i]!.push(outcome.median.server!.perCharacter)
    }
  }
  const [short, long] = costs.map(median) as [number, number]
  return [
    {
      what: 'CPU of an op in a document of 1 MB, against 1 KB: 10 writers at 10 chars/s',
      value: long / short,
      unit: '×',
      beside: { '1 KB µs': short, '1 MB µs': long },
      gate: { atMost: 1.1 },
    },
  ]
}

/** More than one worker can take: what is counted is how much they make of it. */
const workers: Case = async ({ rounds, seconds }) => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  const made: Record<'1' | '2', Ran[]> = { 1: [], 2: [] }
  try {
    for (let round = 0; round < rounds; round++) {
      for (const count of ['1', '2'] as const) {
        const node = await Served.command(['--store', redis.url, '--workers', count])
        try {
          made[count].push(
            await ran('inkwell', { documents: 200, writers: 10, rate: 10, seconds, warmUp: 4, drain: 5 }, { nodes: [node] }),
          )
        } finally {
          await node.stop()
        }
      }
    }
  } finally {
    await redis.discard()
  }
  const [one, two] = [made[1], made[2]].map(runs => middle(runs, ({ deliveriesPerSecond }) => deliveriesPerSecond)) as [
    number,
    number,
  ]
  const [ofOne, ofTwo] = [made[1], made[2]].map(runs => middle(runs, ({ server }) => server?.cores ?? Number.NaN)) as [
    number,
    number,
  ]
  // Two workers, Redis and the generator want four cores: with fewer the workers wait for one, and what they make with one they get tells more.
  const enough = availableParallelism() >= 4
  return [
    {
      what: 'inkwell serve --workers 2 against 1, over Redis, under more than one can take: deliveries a second',
      value: two / one,
      unit: '×',
      beside: {
        '1 worker /s': one,
        '2 workers /s': two,
        'server cores with 1': ofOne,
        'with 2': ofTwo,
        'without a core, share of the time, with 1': middle(made[1], ({ server }) => server?.waited ?? 0),
        'the same with 2': middle(made[2], ({ server }) => server?.waited ?? 0),
        'generator cores': middle(made[2], ({ generator }) => generator.cores),
      },
      ...(enough ? { gate: { atLeast: 1.6 } } : {}),
    },
    {
      what: 'the same: deliveries for a core that they get, twice that of 2 workers against that of 1',
      value: (2 * two) / ofTwo / (one / ofOne),
      unit: '×',
      beside: { '1 worker /s': one / ofOne, '2 workers /s': two / ofTwo },
      gate: { atLeast: 1.6 },
    },
  ]
}

const cases: Readonly<Record<string, Case>> = {
  idle,
  rooms,
  busy,
  quiet,
  hot,
  nodes,
  frames,
  writer,
  length,
  documents: idleDocuments,
  workers,
}

export const bench = async ({ quick, cases: asked = [] }: BenchOptions): Promise<readonly Row[]> => {
  const unknown = asked.filter(name => cases[name] === undefined)
  if (unknown.length > 0) throw new Error(`there is no case ${unknown.join(', ')}; there is ${Object.keys(cases).join(', ')}`)
  await prepare()
  const sizes: Sizes = quick ? { rounds: 1, seconds: 3, many: 1_000 } : { rounds: 3, seconds: 8, many: 10_000 }
  const rows: Row[] = []
  for (const [name, measure] of Object.entries(cases)) {
    if (asked.length > 0 && !asked.includes(name)) continue
    console.log(`\nscale, ${name}`)
    rows.push(...(await measure(sizes)).map(row => ({ ...row, command: `npm run bench -- scale --case ${name}` })))
  }
  if (process.env.SCALE_RAW !== undefined) writeFileSync(process.env.SCALE_RAW, JSON.stringify(kept))
  return rows
}

// A whole run of a load: the processes that play the clients, the rounds, and what came of it.
// Invariant: whatever was started here has ended when a run is over, however it ended.

import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import type { Count, RoundCount, Share } from './crowd.ts'
import { Histogram } from './histogram.ts'
import { now, type Plan, phase, placeOf, roundOf, seats, typed, waitedOf } from './schedule.ts'
import type { Told } from './share.ts'

export interface Load {
  readonly plan: Plan
  readonly tongue: string
  readonly addresses: Share['addresses']
  readonly tokens: readonly string[] | null
  readonly locals: readonly string[]
  readonly processes: number
  /** The program that calls `play`. */
  readonly player: string
  /** Processes of the server on this machine, whose CPU and memory are to be told. */
  readonly pids: readonly number[]
  readonly progress: (stage: string) => void
  /** Called when all are in their documents and nobody has typed yet. */
  readonly gathered?: () => Promise<void>
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface Round {
  /** Characters that were due, and typed. */
  readonly typed: number
  /** Of these: how often one reached somebody else, sooner or later, and how often it should have. */
  readonly deliveries: number
  readonly wanted: number
  /** In the time of the round, whenever they were due. */
  readonly deliveriesPerSecond: number
  /** From when a character was due until somebody else had it; until it was known to be in the history. */
  readonly delivery: Latency
  readonly confirmation: Latency
  /** Characters in one submission, on average. */
  readonly composed: number
  /** On the wire, per character that came into the history and per delivery. */
  readonly bytesUp: number
  readonly bytesDown: number
  /**
   * Of the generator: cores that its busiest process used, the share of the time in which one wanted a core and others had it, and by
   * how much it was late itself.
   */
  readonly generator: { readonly cores: number; readonly waited: number; readonly late99: number }
  /** Of the server, where its processes are known. */
  readonly server: {
    readonly cores: number
    /** The share of the time in which it wanted a core and others had it. */
    readonly waited: number
    readonly perCharacter: number
    readonly perDelivery: number
    readonly rss: number
  } | null
}

export interface Outcome {
  readonly machine: ReturnType<typeof machine>
  readonly clients: number
  /** Seconds until everybody was in; a second; the time that one took. */
  readonly connecting: {
    readonly seconds: number
    readonly perSecond: number
    readonly latency: Latency
    readonly cpuPerClient: number | null
  }
  readonly rounds: readonly Round[]
  /** The middle one of each number, over the rounds. */
  readonly median: Round
  /** Deliveries of all rounds: milliseconds, and how many took up to so long. */
  readonly distribution: readonly (readonly [ms: number, share: number])[]
  /** By seconds from the start, warming up included. */
  readonly seconds: readonly { readonly deliveries: number; readonly p50: number; readonly p99: number }[]
  readonly faults: Readonly<Record<string, number>>
  readonly failed: Readonly<Record<string, number>>
  /** Characters that were never confirmed. */
  readonly unconfirmed: number
}

export const machine = () => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memory: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform} ${release()}`,
  node: process.versions.node,
  date: new Date().toISOString(),
})

/** How many processes are worth starting for so many clients here. */
export const processesFor = (clients: number): number =>
  Math.max(1, Math.min(availableParallelism() - 1, Math.ceil(clients / 50)))

export const run = async ({ plan, processes, player, pids, progress, gathered, ...load }: Load): Promise<Outcome> => {
  const bounds = sharesOf(plan, processes)
  const players = bounds.map(() => new Player(player))
  const all = <T>(message: Told): Promise<T[]> => Promise.all(players.map(one => one.ask<T>(message)))
  try {
    await Promise.all(
      players.map((one, i) =>
        one.ask({
          kind: 'share',
          share: { ...load, plan, from: bounds[i]!.from, to: bounds[i]!.to, connectRate: plan.connectRate / players.length },
        }),
      ),
    )
    const total = seats(plan)
    const showing = setInterval(
      () => progress(`${players.reduce((sum, one) => sum + one.joined, 0)} of ${total} clients are in`),
      500,
    )
    const began = now()
    const before = cpuOf(pids)
    const names: (readonly [number, string])[] = []
    for (const first of [true, false]) for (const some of await all<typeof names>({ kind: 'gather', first })) names.push(...some)
    clearInterval(showing)
    const took = (now() - began) / 1_000
    const cpuPerClient = pids.length === 0 ? null : (cpuOf(pids) - before) / total
    await gathered?.()
    await all({ kind: 'meet', names })

    const start = now() + 200
    const typing = all({ kind: 'type', start })
    const seen = watch(plan, start, pids, progress)
    await typing
    await new Promise(resolve => setTimeout(resolve, 300)) // what is confirmed may still be on its way to readers
    const server = await seen
    const counts = await all<Count>({ kind: 'stop' })
    return outcome(plan, counts, server, { seconds: took, cpuPerClient })
  } finally {
    for (const one of players) one.end()
  }
}

/** Documents are kept whole where there are enough of them, so that both ends of a delivery are in one process. */
const sharesOf = (plan: Plan, processes: number): { readonly from: number; readonly to: number }[] => {
  const total = seats(plan)
  const each = plan.documents >= processes ? plan.writers + plan.readers : 1
  const units = total / each
  const count = Math.min(processes, units)
  return Array.from({ length: count }, (_, i) => ({
    from: Math.floor((i * units) / count) * each,
    to: Math.floor(((i + 1) * units) / count) * each,
  }))
}

class Player {
  joined = 0
  private readonly child: ChildProcess
  private waiting: { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void } | null = null

  constructor(program: string) {
    this.child = fork(program, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    type Said = { kind: 'progress'; joined: number } | { kind: 'done'; value: never } | { kind: 'broken'; why: string }
    this.child.on('message', (said: Said) => {
      if (said.kind === 'progress') this.joined = said.joined
      else this.settle(said.kind === 'done' ? said : new Error(said.why))
    })
    this.child.on('exit', code => this.settle(new Error(`a process of the load generator ended with ${code}`)))
  }

  ask<T>(message: Told): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject }
      this.child.send(message, error => error && this.settle(error))
    })
  }

  end(): void {
    this.child.kill('SIGKILL')
  }

  private settle(how: { readonly value: never } | Error): void {
    const { waiting } = this
    this.waiting = null
    if (how instanceof Error) waiting?.reject(how)
    else waiting?.resolve(how.value)
  }
}

// ---- the server's processes, on this machine

const tick = 10_000 // µs in one of the kernel's clock ticks: 100 a second on Linux everywhere

/** Microseconds of CPU that these processes have used. */
const cpuOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return sum + (Number(fields[11]) + Number(fields[12])) * tick
  }, 0)

/** MiB that they have in memory. */
const rssOf = (pids: readonly number[]): number =>
  pids.reduce(
    (sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1_024,
    0,
  )

const waited = (pids: readonly number[]): number => Math.max(0, ...pids.map(waitedOf))

interface Watched {
  readonly cpu: number
  readonly waited: number
  readonly rss: number
}

/** Looks at the server at the borders of rounds, and tells people how far it is. */
const watch = async (plan: Plan, start: number, pids: readonly number[], progress: Load['progress']): Promise<Watched[]> => {
  const until = (at: number): Promise<void> => new Promise(resolve => setTimeout(resolve, Math.max(0, at - now())))
  progress(`warming up for ${plan.warmUp} s`)
  await until(start + plan.warmUp * 1_000)
  const seen: Watched[] = []
  for (let round = 0; round < plan.rounds; round++) {
    progress(`round ${round + 1} of ${plan.rounds}, ${plan.seconds} s each`)
    const before = { cpu: cpuOf(pids), waited: waited(pids) }
    await until(start + (plan.warmUp + (round + 1) * plan.seconds) * 1_000)
    seen.push({ cpu: cpuOf(pids) - before.cpu, waited: waited(pids) - before.waited, rss: rssOf(pids) })
  }
  progress('waiting for what is under way')
  return seen
}

// ---- what came of it

const latencyOf = (histogram: Histogram): Latency => ({
  p50: histogram.quantile(0.5),
  p90: histogram.quantile(0.9),
  p99: histogram.quantile(0.99),
  p999: histogram.quantile(0.999),
  max: histogram.quantile(1),
})

const merged = (all: readonly { readonly counts: Float64Array }[]): Histogram => {
  const sum = new Histogram()
  for (const one of all) sum.merge(one)
  return sum
}

/** Characters of the whole run that are due in each round, and how often they should arrive. */
const dueIn = (plan: Plan): { readonly typed: number; readonly wanted: number }[] => {
  const due = Array.from({ length: plan.rounds }, () => ({ typed: 0, wanted: 0 }))
  const others = plan.writers + plan.readers - 1
  for (let seat = 0; seat < seats(plan); seat++) {
    if (!placeOf(plan, seat).writes) continue
    const first = phase(plan, seat)
    for (let k = 0; k < typed(plan); k++) {
      const round = due[roundOf(plan, first + (k * 1_000) / plan.rate)]
      if (round === undefined) continue
      round.typed++
      round.wanted += others
    }
  }
  return due
}

const outcome = (
  plan: Plan,
  counts: readonly Count[],
  server: readonly Watched[],
  { seconds, cpuPerClient }: { readonly seconds: number; readonly cpuPerClient: number | null },
): Outcome => {
  const watched = server.some(({ cpu }) => cpu > 0)
  const due = dueIn(plan)
  const rounds = due.map(({ wanted }, i): Round => {
    const parts = counts.map(({ rounds }) => rounds[i]!)
    const sum = (of: (part: RoundCount) => number): number => parts.reduce((sum, part) => sum + of(part), 0)
    const delivered = merged(parts.map(({ delivered }) => delivered))
    const deliveries = delivered.count
    const arrived = sum(({ arrived }) => arrived)
    const landed = sum(({ landed }) => landed)
    const keystrokes = sum(({ typed }) => typed)
    const { cpu, waited, rss } = server[i]!
    return {
      typed: keystrokes,
      deliveries,
      wanted,
      deliveriesPerSecond: arrived / plan.seconds,
      delivery: latencyOf(delivered),
      confirmation: latencyOf(merged(parts.map(({ confirmed }) => confirmed))),
      composed: landed / sum(({ sends }) => sends),
      bytesUp: sum(({ up }) => up) / landed,
      bytesDown: sum(({ down }) => down) / arrived,
      generator: {
        cores: Math.max(...parts.map(({ cpu }) => cpu)) / 1e6 / plan.seconds,
        waited: Math.max(...parts.map(({ waited }) => waited)) / 1e6 / plan.seconds,
        late99: merged(parts.map(({ late }) => late)).quantile(0.99),
      },
      server: watched
        ? {
            cores: cpu / 1e6 / plan.seconds,
            waited: waited / 1e6 / plan.seconds,
            perCharacter: cpu / landed,
            perDelivery: cpu / arrived,
            rss,
          }
        : null,
    }
  })
  const whole = merged(counts.flatMap(({ rounds }) => rounds.map(({ delivered }) => delivered)))
  const connect = merged(counts.map(({ connect }) => connect))
  const length = Math.max(0, ...counts.map(({ seconds }) => seconds.length))
  return {
    machine: machine(),
    clients: connect.count,
    connecting: { seconds, perSecond: connect.count / seconds, latency: latencyOf(connect), cpuPerClient },
    rounds,
    median: medianOf(rounds) as Round,
    distribution: shares.map(share => [whole.quantile(share), share] as const),
    seconds: Array.from({ length }, (_, i) => {
      const second = merged(counts.flatMap(({ seconds }) => seconds[i] ?? []))
      return { deliveries: second.count, p50: second.quantile(0.5), p99: second.quantile(0.99) }
    }),
    faults: added(counts.map(({ faults }) => faults)),
    failed: added(counts.map(({ failed }) => failed)),
    unconfirmed: counts.reduce((sum, { pending }) => sum + pending, 0),
  }
}

const shares = [0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1]

/** The middle of each number, the lower one of two. */
const medianOf = (values: readonly unknown[]): unknown => {
  const [first] = values
  if (typeof first === 'number') return (values as number[]).toSorted((a, b) => a - b)[(values.length - 1) >> 1]
  if (typeof first !== 'object' || first === null) return first
  return Object.fromEntries(
    Object.keys(first).map(key => [key, medianOf(values.map(value => (value as Record<string, unknown>)[key]))]),
  )
}

const added = (all: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
  const sum: Record<string, number> = {}
  for (const one of all) for (const [key, count] of Object.entries(one)) sum[key] = (sum[key] ?? 0) + count
  return sum
}

// One node of the chaos: its process, its line to Redis, and what its processes have said and how they ended.
// Invariant: a process that has once listened ends only when it is told to.

import { InkwellNode, type Run } from '../nodes.ts'
import { RedisLine, type RedisServer } from '../redis.ts'
import type { Faults } from './log-book.ts'

interface Inside {
  readonly heapUsed: number
  readonly external: number
  readonly rss: number
  readonly documents: number
  readonly connections: number
  readonly joined: number
}

interface SiteOptions {
  readonly redis: RedisServer
  readonly faults: Faults
  /** Limits of the engine that differ from what is usual. */
  readonly limits: object
}

/** Redis is away: what a node may complain of without having made a mistake. */
const redisIsAway = /no connection to|no answer from|ECONNREFUSED|Connection is closed|LOADING|MASTERDOWN/

export class Site {
  readonly name: string
  readonly line: RedisLine
  readonly node: InkwellNode
  readonly runs: Run[] = []
  /** Its process runs and has not been told to go. */
  up = true
  readonly #faults: Faults
  readonly #told = new Set<Run>()

  private constructor(name: string, line: RedisLine, node: InkwellNode, faults: Faults) {
    this.name = name
    this.line = line
    this.node = node
    this.#faults = faults
    this.#watch()
  }

  static async start(name: string, { redis, faults, limits }: SiteOptions): Promise<Site> {
    const line = await RedisLine.to(redis.port)
    const args = ['--limits', JSON.stringify(limits)]
    const node = await InkwellNode.start({ store: line.url, args, program: 'test/chaos/node.ts' })
    return new Site(name, line, node, faults)
  }

  /** The process is to end now; whatever way it does is no mistake of its own. */
  goes(): void {
    this.up = false
    this.#told.add(this.node.run)
  }

  /** Starts it again, and again as long as Redis is away. */
  async comes(): Promise<void> {
    for (;;) {
      try {
        await this.node.start()
        break
      } catch (error) {
        if (!(error instanceof Error && redisIsAway.test(error.message))) throw error
      }
    }
    this.#watch()
    this.up = true
  }

  /** What it holds, when what is not needed has been swept away. */
  async inside(): Promise<Inside> {
    const { run } = this.node
    const known = new Set(run.log.flatMap(({ nth }) => (typeof nth === 'number' ? [nth] : [])))
    run.signal('SIGUSR2')
    const { inside } = await run.says(({ nth }) => typeof nth === 'number' && !known.has(nth))
    return inside as Inside
  }

  /** What it has logged in all its lives. */
  get log(): readonly { readonly level: number; readonly msg?: string; readonly [field: string]: unknown }[] {
    return this.runs.flatMap(run => run.log)
  }

  /** Errors in the log that tell of more than an absent Redis. */
  judge(): void {
    for (const { level, msg, ...rest } of this.log) {
      if (level < 50) continue
      const text = JSON.stringify(rest)
      if (level > 50 || !redisIsAway.test(text)) this.#faults.push(`${this.name} logs: ${msg} ${text}`)
    }
  }

  #watch(): void {
    const { run } = this.node
    this.runs.push(run)
    run.ended.then(how => {
      if (!this.#told.has(run)) this.#faults.push(`${this.name} ended by itself, with ${how}: ${run.err}`)
    })
  }

  async discard(): Promise<void> {
    this.goes()
    await this.node.kill()
    await this.line.discard()
  }
}

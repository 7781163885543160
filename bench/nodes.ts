// What a second node and a Redis between them cost: the same load on two nodes over one Redis and on one with the embedded store.
// Invariant: both worlds are up all the time and measured in turn with the same writers, and both sides of every document end alike.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, connect, type TextDocument } from '../src/client/index.ts'
import { RedisServer } from '../test/redis.ts'
import { build } from './built.ts'
import { median } from './room.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'nodes'

// ---- a node, as a child

type Ask = 'cpu' | 'stop'

class Node {
  readonly url: string
  readonly #ask: <T>(ask: Ask) => Promise<T>
  readonly #ended: Promise<unknown>

  private constructor(url: string, ask: <T>(ask: Ask) => Promise<T>, ended: Promise<unknown>) {
    this.url = url
    this.#ask = ask
    this.#ended = ended
  }

  static async start(place: string): Promise<Node> {
    const child = fork(join(import.meta.dirname, 'node.mjs'), [place], { execArgv: [] })
    const ended = once(child, 'exit')
    const answer = async <T>(): Promise<T> => {
      const given = await Promise.race([once(child, 'message'), ended.then(() => null)])
      if (given === null) throw new Error('a node under measurement has ended')
      return given[0] as T // the child is ours
    }
    const url = await answer<string>()
    const ask = async <T>(ask: Ask): Promise<T> => {
      child.send(ask)
      return answer<T>()
    }
    return new Node(url, ask, ended)
  }

  /** Microseconds of CPU that it has used, all of its threads together. */
  async cpu(): Promise<number> {
    const { user, system } = await this.#ask<NodeJS.CpuUsage>('cpu')
    return user + system
  }

  async stop(): Promise<void> {
    this.#ask('stop').catch(() => {}) // it answers by ending
    await this.#ended
  }
}

// ---- the load

/** Both writers of each document, each with a line of its own. */
class Crowd {
  readonly #clients: Client[] = []
  readonly pairs: (readonly [TextDocument, TextDocument])[] = []

  static async gather(urls: readonly [string, string], documents: number): Promise<Crowd> {
    const crowd = new Crowd()
    for (let i = 0; i < documents; i++) {
      const [near, far] = urls.map(url => connect(url)) as [Client, Client]
      crowd.#clients.push(near, far)
      crowd.pairs.push([await near.open(`document-${i}`), await far.open(`document-${i}`)])
    }
    return crowd
  }

  get commits(): number {
    return this.pairs.reduce((sum, [near]) => sum + near.version, 0)
  }

  /** Types at an even rate, whoever's turn it is, whether earlier keys have arrived or not; resolves when all have. */
  async types(rate: number, seconds: number): Promise<void> {
    const writers = this.pairs.flat()
    const since = performance.now()
    await new Promise<void>(resolve => {
      let typed = 0
      const timer = setInterval(() => {
        const due = Math.min(rate * seconds, ((performance.now() - since) * rate) / 1_000)
        for (; typed < due; typed++) {
          const doc = writers[typed % writers.length]!
          doc.insert((typed * 7_919) % (doc.length + 1), 'x', { undo: 'never' })
        }
        if (typed < rate * seconds) return
        clearInterval(timer)
        resolve()
      }, 1)
    })
    await Promise.all(writers.map(doc => doc.settled('durable')))
    await Promise.all(this.pairs.map(([near, far]) => alike(near, far)))
  }

  async leave(): Promise<void> {
    await Promise.all(this.#clients.map(client => client.close()))
  }
}

const alike = async (near: TextDocument, far: TextDocument): Promise<void> => {
  while (near.version !== far.version) await new Promise(resolve => setTimeout(resolve, 5))
  if (near.text !== far.text) throw new Error(`${near.id} is not the same on both sides`)
}

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  await build()
  const [documents, rate, seconds, rounds] = quick ? [100, 2_000, 3, 2] : [100, 2_000, 8, 5]
  const warm = 2 // rounds in which both worlds get up to speed: three processes compile, and the two have less each to do it with
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  const nodes: Node[] = []
  const crowds: Crowd[] = []
  try {
    const alone = await Node.start(join(folder, 'data'))
    nodes.push(alone)
    const both = [await Node.start(redis.url), await Node.start(redis.url)] as const
    nodes.push(...both)
    const worlds = [
      { nodes: [alone], crowd: await Crowd.gather([alone.url, alone.url], documents), costs: [] as number[] },
      { nodes: both, crowd: await Crowd.gather([both[0].url, both[1].url], documents), costs: [] as number[] },
    ]
    crowds.push(...worlds.map(({ crowd }) => crowd))
    const cpu = async (of: readonly Node[]): Promise<number> =>
      (await Promise.all(of.map(node => node.cpu()))).reduce((sum, spent) => sum + spent, 0)
    for (let round = 0; round < warm + rounds; round++) {
      for (const { nodes, crowd, costs } of worlds) {
        const [before, committed] = [await cpu(nodes), crowd.commits]
        await crowd.types(rate, seconds)
        const commits = crowd.commits - committed
        if (round >= warm) costs.push(((await cpu(nodes)) - before) / commits)
      }
    }
    const [one, two] = worlds.map(({ costs }) => median(costs)) as [number, number]
    return [
      {
        what: `server CPU of a commit, ${documents} documents at ${rate.toLocaleString('en-US')} ops/s, two nodes over Redis against one with the embedded store`,
        value: two / one,
        unit: '×',
        beside: { 'one node µs': one, 'two nodes together µs': two },
        gate: { atMost: 1.5 },
      },
    ]
  } finally {
    await Promise.all(crowds.map(crowd => crowd.leave()))
    await Promise.all(nodes.map(node => node.stop()))
    await redis.discard()
    rmSync(folder, { recursive: true, force: true })
  }
}

// What the fuzzers and the processes that they start say to each other.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Route } from './requests.ts'

export type Ask = 'look' | 'held' | 'stop'

export interface Begun {
  readonly public: string
  readonly admin: string
  readonly routes: readonly Route[]
}

/** Of the time since the look before. */
export interface Look {
  /** The longest time for which the event loop did not turn, in ms of CPU. */
  readonly stall: number
  readonly wrong: readonly string[]
  readonly cpu: NodeJS.CpuUsage
}

export interface Held {
  readonly heapUsed: number
  readonly external: number
  readonly rss: number
  /** Of the network, whatever is spoken over them. */
  readonly sockets: number
  readonly connections: number
  readonly documents: number
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A process beside this one, which answers what it is asked in turn. */
export class Beside<First> {
  readonly begun: First
  readonly pid: number
  readonly #child: ChildProcess
  readonly #ended: Promise<string>
  readonly #waiting: ((answer: unknown) => void)[]

  private constructor(begun: First, child: ChildProcess, ended: Promise<string>, waiting: ((answer: unknown) => void)[]) {
    this.begun = begun
    this.pid = child.pid!
    this.#child = child
    this.#ended = ended
    this.#waiting = waiting
  }

  static async start<First>(file: string, args: readonly string[]): Promise<Beside<First>> {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: ['--import', 'tsx', '--expose-gc'] })
    running.add(child)
    const waiting: ((answer: unknown) => void)[] = []
    const ended = once(child, 'exit').then(([code, signal]) => {
      running.delete(child)
      return `${file} ended with ${code ?? signal}`
    })
    child.on('message', answer => waiting.shift()?.(answer))
    const begun = await Promise.race([new Promise(resolve => waiting.push(resolve)), ended])
    if (typeof begun === 'string') throw new Error(begun)
    return new Beside(begun as First, child, ended, waiting)
  }

  /** @throws when the process has ended, however */
  async asks<Answer>(ask: string): Promise<Answer> {
    const answer = new Promise(resolve => this.#waiting.push(resolve))
    if (this.#child.connected) this.#child.send(ask)
    const given = await Promise.race([answer, this.#ended])
    if (typeof given === 'string') throw new Error(given)
    return given as Answer // the process is of this folder
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.send('stop')
    await this.#ended
  }
}

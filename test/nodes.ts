// Inkwell nodes as processes of their own, for tests that kill, stop and restart them: the command, run from the sources.
// Invariant: whatever was started here is ended by its process id, even when the test failed.

import { type ChildProcess, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { freePort } from './ports.ts'

const root = join(import.meta.dirname, '..')

/** A line of the log, as pino writes it. */
export type LogLine = { readonly level: number; readonly msg: string; readonly [field: string]: unknown }

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** One run of the command `inkwell`, which need not be a server. */
export class Run {
  /** The code with which it ended, or the signal. */
  readonly ended: Promise<number | string>
  readonly #child: ChildProcess
  readonly #awaiting = new Set<() => void>()
  #out = ''
  #err = ''

  /** `environment` is all that it gets, besides PATH and HOME. `program`: another script than the command, e.g. one that is shipped. */
  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}, program = 'src/cli/main.ts') {
    const { PATH = '', HOME = '' } = process.env
    const compiler = program.endsWith('.ts') ? ['--import', 'tsx'] : []
    const child = spawn(process.execPath, [...compiler, resolve(root, program), ...args], {
      cwd: root,
      env: { PATH, HOME, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(child)
    this.#child = child
    child.stdout.on('data', chunk => {
      this.#out += chunk
      for (const look of this.#awaiting) look()
    })
    child.stderr.on('data', chunk => (this.#err += chunk))
    this.ended = new Promise(resolve =>
      child.on('close', (code, signal) => {
        running.delete(child)
        resolve(code ?? signal!)
      }),
    )
  }

  get out(): string {
    return this.#out
  }

  get err(): string {
    return this.#err
  }

  get pid(): number {
    return this.#child.pid!
  }

  get log(): readonly LogLine[] {
    const whole = this.#out.slice(0, this.#out.lastIndexOf('\n') + 1) // a line may still be on its way
    return whole
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as LogLine)
  }

  /** Resolves with the first line of the log for which `is` holds, be it there already; rejects when the process ends without it. */
  async says(is: (line: LogLine) => boolean): Promise<LogLine> {
    let look = (): void => {}
    const found = new Promise<LogLine>(resolve => {
      look = () => {
        const line = this.log.find(is)
        if (line !== undefined) resolve(line)
      }
      this.#awaiting.add(look)
      look()
    })
    try {
      const line = await Promise.race([found, this.ended])
      if (typeof line === 'object') return line
      throw new Error(`it ended with ${line}: ${this.#err}${this.#out}`)
    } finally {
      this.#awaiting.delete(look)
    }
  }

  /** From now on nobody reads what it says. */
  ignore(): void {
    this.#child.stdout!.destroy()
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }
}

export interface NodeOptions {
  /** As for `--store`, e.g. the `url` of a RedisServer. */
  readonly store: string
  /** Further flags of `inkwell serve`. */
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Another script than the command, started with the same arguments. */
  readonly program?: string
}

/** An `inkwell serve` that keeps its port over all its runs. */
export class InkwellNode {
  readonly port: number
  readonly #options: NodeOptions
  /** The present run, or the last one. */
  run: Run

  private constructor(port: number, options: NodeOptions) {
    this.port = port
    this.#options = options
    this.run = this.#begin()
  }

  /** Resolves once it listens. */
  static async start(options: NodeOptions): Promise<InkwellNode> {
    const node = new InkwellNode(await freePort(), options)
    await node.#listening()
    return node
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts it again, after it has ended. */
  async start(): Promise<void> {
    this.run = this.#begin()
    await this.#listening()
  }

  /** SIGSTOP: it is there and does nothing. */
  stop(): void {
    this.run.signal('SIGSTOP')
  }

  /** SIGCONT */
  go(): void {
    this.run.signal('SIGCONT')
  }

  /** `kill -9`, also of a node that is stopped or gone. */
  async kill(): Promise<void> {
    this.run.signal('SIGKILL')
    await this.run.ended
  }

  /** SIGTERM: it drains and ends; answers the code. */
  async leave(): Promise<number | string> {
    this.run.signal('SIGTERM')
    return this.run.ended
  }

  #begin(): Run {
    const { store, args = [], environment = {}, program } = this.#options
    return new Run(['serve', '--port', String(this.port), '--store', store, ...args], environment, program)
  }

  async #listening(): Promise<void> {
    await this.run.says(line => 'url' in line)
  }
}

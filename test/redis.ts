// Real Redis servers for tests: on free ports of this machine's own address, each with a directory of its own.
// Invariant: whatever was started here is ended by its process id and its directory removed, even when the test failed.

import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from './ports.ts'

export interface RedisServerOptions {
  /** Lines of redis.conf as arguments: `['--appendonly', 'yes']`. */
  readonly settings?: readonly string[]
  /** A redis.conf; `settings` are heeded after it. */
  readonly file?: string
}

const started = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL')
})

export class RedisServer {
  readonly port: number
  readonly #folder: string
  readonly #settings: readonly string[]
  readonly #file: readonly string[]
  #child: ChildProcess | null = null

  private constructor(port: number, { settings = [], file }: RedisServerOptions) {
    this.port = port
    this.#file = file === undefined ? [] : [file]
    this.#folder = mkdtempSync(join(tmpdir(), 'inkwell-redis-'))
    this.#settings = settings
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options)
    await server.start()
    return server
  }

  /** A sentinel that watches a master alone, and is quick to give it up. */
  static async sentinel(master: RedisServer, name: string): Promise<RedisServer> {
    const sentinel = new RedisServer(await freePort(), {})
    const lines = [
      `port ${sentinel.port}`,
      'bind 127.0.0.1',
      `dir ${sentinel.#folder}`,
      `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 5000`,
    ]
    const file = join(sentinel.#folder, 'sentinel.conf')
    writeFileSync(file, `${lines.join('\n')}\n`)
    await sentinel.#spawn([file, '--sentinel'])
    return sentinel
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const places = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder]
    await this.#spawn([...this.#file, ...places, '--save', '', '--daemonize', 'no', ...this.#settings])
  }

  async #spawn(words: readonly string[]): Promise<void> {
    const child = spawn('redis-server', words, { stdio: 'ignore' })
    started.add(child)
    child.once('exit', () => started.delete(child))
    this.#child = child
    await this.do(redis => redis.ping())
  }

  /** Commands of the test's own, on a connection of their own. */
  async do<T>(use: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis({ port: this.port, host: '127.0.0.1', retryStrategy: () => 20, maxRetriesPerRequest: 500 })
    redis.on('error', () => {}) // not there yet
    try {
      return await use(redis)
    } finally {
      redis.disconnect()
    }
  }

  stop(): void {
    this.#child?.kill('SIGSTOP')
  }

  go(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await gone
  }

  /** The end of its append-only file: where it writes now, and what a machine that fails may lose a part of. */
  get tail(): string {
    const folder = join(this.#folder, 'appendonlydir')
    const manifest = readFileSync(join(folder, 'appendonly.aof.manifest'), 'utf8')
    const files = [...manifest.matchAll(/^file (\S+) seq (\d+) type i$/gm)]
    const [, name] = files.reduce((last, next) => (Number(next[2]) > Number(last[2]) ? next : last))
    return join(folder, name!)
  }

  /** What is on its disk now, to be put back. The server is not running when it is. */
  copy(): { putBack(): void; discard(): void } {
    const copy = mkdtempSync(join(tmpdir(), 'inkwell-redis-copy-'))
    cpSync(this.#folder, copy, { recursive: true })
    return {
      putBack: () => {
        rmSync(this.#folder, { recursive: true })
        cpSync(copy, this.#folder, { recursive: true })
      },
      discard: () => rmSync(copy, { recursive: true, force: true }),
    }
  }

  async discard(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export interface RedisCluster {
  readonly url: string
  readonly nodes: readonly RedisServer[]
  flush(): Promise<void>
  discard(): Promise<void>
}

/** A cluster of masters without replicas, the slots shared among them. */
export const startCluster = async (size = 3, more: readonly string[] = []): Promise<RedisCluster> => {
  const own = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000']
  const settings = [...own, ...more]
  const nodes = await Promise.all(Array.from({ length: size }, () => RedisServer.start({ settings })))
  const [first, ...others] = nodes
  const share = Math.ceil(16_384 / size)
  for (const [i, node] of nodes.entries()) {
    const from = i * share
    const slots = Array.from({ length: Math.min(share, 16_384 - from) }, (_, k) => from + k)
    await node.do(redis => redis.cluster('ADDSLOTS', ...slots))
    await node.do(redis => redis.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1)))
  }
  for (const node of others) await node.do(redis => redis.call('CLUSTER', 'MEET', '127.0.0.1', String(first!.port)))
  for (const node of nodes) {
    while (!(await node.do(redis => redis.cluster('INFO'))).includes('cluster_state:ok')) await sleep(20)
    while (!(await node.do(redis => redis.cluster('INFO'))).includes(`cluster_known_nodes:${size}`)) await sleep(20)
  }
  return {
    url: `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    async flush() {
      await Promise.all(nodes.map(node => node.do(redis => redis.flushall())))
    },
    async discard() {
      await Promise.all(nodes.map(node => node.discard()))
    },
  }
}

/** A line to a server that a test can cut, and whose answers or announcements it can swallow. */
export class RedisLine {
  readonly #server: Server
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  readonly port: number
  #swallowing = false
  #held: (() => void)[] | null = null
  /** Bytes of answers that went nowhere. */
  swallowed = 0
  /** Of each announcement: whether it goes nowhere, while everything else arrives. */
  drops: (() => boolean) | null = null
  /** Announcements that went nowhere. */
  dropped = 0

  private constructor(server: Server, port: number, target: number) {
    this.#server = server
    this.port = port
    server.on('connection', near => {
      const far = connect(target, '127.0.0.1')
      const pair = [near, far] as const
      this.#pairs.add(pair)
      const end = (): void => {
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      }
      for (const socket of pair) socket.on('error', end).on('close', end)
      let feed: Buffer | null = null // what has come of the next reply, on a line that hears
      near.on('data', chunk => {
        if (chunk.includes('inkwell-feed')) feed = Buffer.alloc(0) // its name is the first thing that a line says
        far.write(chunk)
      })
      far.on('data', chunk => {
        if (this.#swallowing) this.swallowed += chunk.length
        else if (this.#held !== null) this.#held.push(() => near.write(chunk))
        else if (feed === null) near.write(chunk)
        else feed = this.#sift(Buffer.concat([feed, chunk]), near)
      })
    })
  }

  /** Passes on whole replies but those that are to be dropped; answers what is left over. */
  #sift(bytes: Buffer, near: Socket): Buffer {
    let at = 0
    for (let end = endOfReply(bytes, 0); end !== null; end = endOfReply(bytes, at)) {
      const reply = bytes.subarray(at, end)
      at = end
      if (reply.subarray(0, announcement.length).equals(announcement) && this.drops?.()) this.dropped++
      else near.write(reply)
    }
    return bytes.subarray(at)
  }

  static async to(target: number): Promise<RedisLine> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return new RedisLine(server, (server.address() as AddressInfo).port, target)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** From now on the server is told everything and is not heard. */
  swallow(): void {
    this.#swallowing = true
  }

  /** From now on the server is told everything and is heard only when `release` is called. Not for lines that hear announcements. */
  hold(): void {
    this.#held = []
  }

  release(): void {
    for (const pass of this.#held ?? []) pass()
    this.#held = null
  }

  /** Every connection breaks; the next ones work. */
  cut(): void {
    this.#swallowing = false
    for (const [near, far] of this.#pairs) {
      near.destroy()
      far.destroy()
    }
  }

  async discard(): Promise<void> {
    this.cut()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

const announcement = Buffer.from('>3\r\n$7\r\nmessage\r\n')

/** Where the reply that begins at `at` ends, in Redis' protocol (RESP3); null: it is not all there. */
const endOfReply = (bytes: Buffer, at: number): number | null => {
  const line = bytes.indexOf('\r\n', at)
  if (line < 0) return null
  const kind = String.fromCharCode(bytes[at]!)
  const count = Number(bytes.toString('latin1', at + 1, line))
  let end: number | null = line + 2
  if (kind === '$' || kind === '=') return count < 0 ? end : end + count + 2 <= bytes.length ? end + count + 2 : null
  if (kind === '*' || kind === '>' || kind === '~' || kind === '%')
    for (let i = kind === '%' ? 2 * count : count; i > 0 && end !== null; i--) end = endOfReply(bytes, end)
  return end
}

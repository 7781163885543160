// The connections to Redis, and calls over them that end in time.
// Invariant: every call settles within its limit, whatever Redis and its client do; no rejection is left without somebody to hear it.

import { createHash } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { Cluster, Redis } from 'ioredis'
import { Deadline } from '../../engine/deadline.ts'
import type { Clock, StoreLine } from '../../engine/ports.ts'
import type { Address, Endpoint } from './address.ts'
import { Pacing } from './pacing.ts'
import type { Script } from './scripts.ts'
import { scripts } from './scripts.ts'

export interface WireOptions {
  /** Milliseconds after which a call counts as lost. */
  readonly callLimit: number
  readonly tls: ConnectionOptions | undefined
  /** Where a cluster's nodes are reached when that is not where they say: `10.0.0.7:6379` → endpoint. */
  readonly natMap: Readonly<Record<string, Endpoint>> | undefined
}

type Client = Redis | Cluster
type Ask<T> = (client: Client) => Promise<T>
type Reply = string | number | null | readonly Reply[]

/** Whether a call may be kept for a moment, so that others leave with it. */
type Patience = 'at once' | 'a moment'

/** Redis does not answer, or says that it cannot serve. Whether the call has happened nobody knows. */
export class RedisAway extends Error {
  override readonly name = 'RedisAway'
}

const longestPause = 2_000 // between attempts to connect: a Redis that comes back is noticed within that time
const firstPause = 50

/** Full jitter: nodes that lost Redis together must not come back together. */
const pause = (times: number): number => Math.ceil(Math.random() * Math.min(longestPause, firstPause * 2 ** Math.min(times, 10)))

/** A replica that was the master a moment ago refuses writes; the line then looks for the new master. */
const demoted = (error: Error): boolean => error.message.startsWith('READONLY') || error.message.includes('-READONLY')

const plain = (address: Address, { tls }: WireOptions) => ({
  ...(address.username === null ? {} : { username: address.username }),
  ...(address.password === null ? {} : { password: address.password }),
  ...(address.tls ? { tls: tls ?? {} } : {}),
  ...('db' in address ? { db: address.db } : {}),
})

/** Milliseconds after which a line has given up a command, or has been given up with it. */
const lineLimit = (callLimit: number): number => 3 * callLimit

const bounded = ({ callLimit }: WireOptions) => ({
  replyMapping: 'legacy' as const,
  connectTimeout: callLimit,
  socketTimeout: lineLimit(callLimit), // without a reply for so long while one is due: the line is dead, or Redis is
  maxRetriesPerRequest: 1,
  autoResendUnfulfilledCommands: false, // whoever asked has been told that it may not have happened
  autoResubscribe: false, // the feed does it, so that it knows when
  enableOfflineQueue: false, // nothing is kept for later: whoever asks while Redis is away is told so
  reconnectOnError: demoted,
  disableClientInfo: true,
})

const connected = (address: Address, purpose: string, options: WireOptions): Client => {
  const client = unwatched(address, purpose, options)
  // The client gives up for good when the wrong thing happens while it connects; nobody but us ends a line.
  client.on('end', () => setTimeout(() => client.connect().catch(() => {}), pause(4)).unref())
  return client
}

/** Ends a line for good. */
export const hangUp = (client: Client): void => {
  client.removeAllListeners('end')
  client.disconnect(false)
}

const unwatched = (address: Address, purpose: string, options: WireOptions): Client => {
  const shared = { ...bounded(options), ...plain(address, options), connectionName: `inkwell-${purpose}` }
  switch (address.kind) {
    case 'standalone':
      return new Redis({ ...shared, ...address.at, retryStrategy: pause })
    case 'sentinel':
      return new Redis({
        ...shared,
        sentinels: [...address.at],
        name: address.master,
        retryStrategy: pause,
        sentinelRetryStrategy: pause,
        // Its failover detector hangs up in the middle of connecting and leaves the line dead for good. Nor is it needed: a demoted
        // master refuses writes, and hears what the new one says.
        ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: options.tls ?? {} } : {}),
      })
    case 'cluster': {
      const { reconnectOnError, enableOfflineQueue, ...rest } = shared
      const cluster = {
        redisOptions: { ...rest, reconnectOnError: null },
        enableOfflineQueue: false,
        clusterRetryStrategy: pause,
        slotsRefreshTimeout: options.callLimit,
        slotsRefreshInterval: 5_000,
        retryDelayOnFailover: 100,
        retryDelayOnClusterDown: 100,
        ...(options.natMap === undefined ? {} : { natMap: options.natMap }),
      }
      return new Cluster([...address.at], cluster)
    }
  }
}

/** By which calls are timed. An answer that has arrived while this process was busy is read before it counts as late. */
const clock: Clock = {
  now: () => performance.now(),
  after(ms, call) {
    const alarm = setTimeout(() => setImmediate(call), ms).unref() // the line keeps the process alive
    return () => clearTimeout(alarm)
  },
}

/** How often a line that was up has been lost. */
export class Losses {
  #up = false
  #count = 0

  constructor(client: Client) {
    client.on('ready', () => {
      this.#up = true
    })
    client.on('close', () => {
      if (this.#up) this.#count++ // an attempt to connect that fails closes too
      this.#up = false
    })
  }

  get count(): number {
    return this.#count
  }
}

/** One purpose's connection to Redis: to the server, or to every node of the cluster. */
export class Wire {
  readonly #client: Client
  readonly #origin: { readonly address: Address; readonly options: WireOptions }
  readonly #name: string
  readonly #purpose: string
  readonly #losses: Losses
  readonly #deadline: Deadline
  /** By which Redis knows the scripts. */
  readonly #shas: ReadonlyMap<string, string>
  /** Those that were sent whole over the line as it is now. Whatever follows finds them there, unless somebody has Redis forget them. */
  readonly #taught = new Set<string>()
  #lastError: Error | null = null
  /** Whether it has ever been connected: until then a call waits, afterwards it fails at once while Redis is away. */
  #met = false
  readonly #meeting: Promise<void>
  /** What is held back until this turn of the loop is over, or a little longer where all of it can wait. */
  #gathering: { uncork(): void } | null = null
  #leaves: 'at the end of this turn' | NodeJS.Timeout | null = null
  readonly #pacing = new Pacing()
  #closed = false

  constructor(address: Address, name: string, purpose: string, options: WireOptions) {
    this.#origin = { address, options }
    this.#name = name
    this.#deadline = new Deadline(
      clock,
      options.callLimit,
      () => new RedisAway(`no answer from ${name} within ${options.callLimit} ms`),
    )
    this.#purpose = purpose
    this.#client = connected(address, purpose, options)
    this.#losses = new Losses(this.#client)
    this.#shas = new Map(scripts.map(({ name, lua }) => [name, createHash('sha1').update(lua).digest('hex')]))
    this.#client.on('close', () => this.#taught.clear())
    this.#client.on('error', (error: Error) => {
      this.#lastError = error
    })
    this.#meeting = new Promise(meet =>
      this.#client.on('ready', () => {
        this.#met = true
        this.#lastError = null
        meet()
      }),
    )
  }

  get line(): StoreLine {
    return { name: this.#purpose, up: this.#client.status === 'ready', losses: this.#losses.count }
  }

  whenLost(down: () => void): void {
    this.#client.on('close', down)
  }

  /** Calls whenever one server of a cluster has been lost, however many there are left. */
  whenServerLost(lost: () => void): void {
    if (this.#client instanceof Cluster) this.#client.on('-node', lost)
  }

  /** The servers that take writes, each by itself: one, or the masters of a cluster. */
  async servers(): Promise<readonly Redis[]> {
    await this.#up()
    return this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client]
  }

  /** In a cluster: by slot, which server has it (host:port). Null for a single server. */
  get slots(): readonly (readonly string[])[] | null {
    return this.#client instanceof Cluster ? this.#client.slots : null
  }

  /** A connection of its own to a server of the cluster (host:port) or, for null, to the only one: one that hears. */
  listener(server: string | null): Redis {
    const { address, options } = this.#origin
    if (server === null || address.kind !== 'cluster') return connected(address, 'feed', options) as Redis
    const colon = server.lastIndexOf(':')
    const own = { host: server.slice(0, colon), port: Number(server.slice(colon + 1)) }
    return connected({ ...address, kind: 'standalone', at: own, db: 0 }, 'feed', options) as Redis
  }

  /** Calls whenever a cluster's map has been read anew. */
  whenMapped(mapped: () => void): void {
    if (this.#client instanceof Cluster) this.#client.on('refresh', mapped)
  }

  /** Reads the cluster's map anew. */
  map(): void {
    if (this.#client instanceof Cluster) this.#client.refreshSlotsCache(() => {}) // a failure is followed by the next look, in some seconds
  }

  /**
   * @param patience `at once`, or `a moment`: it may wait for others like it, some milliseconds
   * @throws {RedisAway} when there is no answer within the limit; what Redis itself refuses, as it says it
   */
  run<T extends Reply>(
    script: Script,
    keys: readonly string[],
    words: readonly (string | number)[],
    patience: Patience = 'at once',
  ): Promise<T> {
    const args = [...keys, ...words]
    // The casts: what a script answers is known where it is written. Not by a command that the client makes of it: that costs a third more.
    const ask = (client: Client) => client.evalsha(this.#shas.get(script.name)!, keys.length, ...args) as Promise<T>
    const teach = (client: Client) => {
      this.#taught.add(script.name)
      return client.eval(script.lua, keys.length, ...args) as Promise<T>
    }
    return this.#taught.has(script.name) ? this.#call(ask, patience, teach) : this.#call(teach, patience, null)
  }

  /** Any command; it is over within the limit. */
  call<T>(ask: Ask<T>): Promise<T> {
    return this.#call(ask, 'at once', null)
  }

  /** @param teach what to ask instead when Redis does not know the script */
  #call<T>(ask: Ask<T>, patience: Patience, teach: Ask<T> | null): Promise<T> {
    const send = (): Promise<T> =>
      new Promise((resolve, reject) => {
        this.#gather(patience)
        this.#deadline.answered(ask(this.#client), resolve, error => {
          if (teach !== null && error.message.startsWith('NOSCRIPT')) resolve(this.#call(teach, 'at once', null))
          else reject(this.#said(error))
        })
      })
    return this.#client.status === 'ready' ? send() : this.#up().then(send)
  }

  /**
   * Commands of one turn of the loop leave in one write: for a busy node the system calls are the dearest part of them. Where many come
   * and all of them can wait, they do so for a moment.
   */
  #gather(patience: Patience): void {
    const wait = patience === 'at once' ? 0 : this.#pacing.comes(performance.now())
    if (this.#client instanceof Cluster) return
    if (this.#gathering === null) {
      this.#gathering = this.#client.stream
      this.#client.stream.cork()
    }
    if (this.#leaves === 'at the end of this turn') return
    if (wait <= 0) {
      if (this.#leaves !== null) clearTimeout(this.#leaves)
      this.#leaves = 'at the end of this turn'
      setImmediate(this.#write)
    } else this.#leaves ??= setTimeout(this.#write, wait)
  }

  readonly #write = (): void => {
    const stream = this.#gathering
    this.#gathering = null
    this.#leaves = null
    this.#pacing.leaves(performance.now())
    stream?.uncork()
  }

  inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) =>
      this.#deadline.answered(answer, resolve, error => {
        reject(this.#said(error))
      }),
    )
  }

  /** What Redis says is told as it says it; the rest is the client's way of saying that the line is gone. */
  #said(error: Error): Error {
    return error.name === 'ReplyError' || error instanceof RedisAway ? error : this.#away(error)
  }

  close(): void {
    this.#closed = true
    hangUp(this.#client)
  }

  #up(): Promise<void> {
    if (this.#client.status === 'ready') return Promise.resolve()
    if (this.#met || this.#closed) return Promise.reject(this.#away())
    return this.#deadline.inTime(this.#meeting).catch(() => {
      throw this.#away()
    })
  }

  #away(cause: Error | null = this.#lastError): RedisAway {
    if (this.#closed) return new RedisAway('the store is closed')
    const why = cause === null ? '' : `: ${cause.message}`
    return new RedisAway(`no connection to ${this.#name}${why}`, cause === null ? {} : { cause })
  }
}

/** What is said over a wire to whoever listens now, at most once: what waits until Redis has taken it is bounded, the rest is not said. */
export class Saying {
  readonly #wire: Wire
  readonly #lineLimit: number
  readonly #most: number
  #waiting = 0

  /** @param most bytes that may wait */
  constructor(wire: Wire, { callLimit }: Pick<WireOptions, 'callLimit'>, most: number) {
    this.#wire = wire
    this.#lineLimit = lineLimit(callLimit)
    this.#most = most
  }

  /** Bytes that Redis has not taken yet. */
  get waiting(): number {
    return this.#waiting
  }

  /** @throws {RedisAway} when it was not said, or nobody knows */
  async say(bytes: number, publish: (client: Client) => Promise<unknown>): Promise<void> {
    if (this.#waiting + bytes > this.#most)
      throw new RedisAway(`${this.#waiting} bytes wait for Redis; the limit is ${this.#most}`)
    this.#waiting += bytes
    const taken = (): void => {
      this.#waiting -= bytes
    }
    let given = false
    const said = this.#wire.call(client => {
      given = true
      return publish(client)
    })
    await said.then(taken, error => {
      // The client holds it until it gives up the line, and then forgets it without a word.
      if (given) setTimeout(taken, this.#lineLimit).unref()
      else taken()
      throw error
    })
  }
}

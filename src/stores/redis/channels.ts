// Which channels this process hears, over one connection to each server that has some of them.
// Invariant: a channel that somebody listens to is subscribed, or will be as soon as its server can be reached, and whoever listens is then
// told that he may have missed something.

import type { Redis } from 'ioredis'
import type { StoreLine } from '../../engine/ports.ts'
import { slotOf } from './keys.ts'
import { hangUp, Losses, type Wire } from './wire.ts'

interface Listener {
  hear(message: Buffer): void
  /** The channel was not heard for a while, and is again. */
  missed(): void
}

interface Channel {
  readonly name: string
  readonly listeners: Set<Listener>
  line: Line | null
  linger: NodeJS.Timeout | null
}

const channelsAtOnce = 200 // in one SUBSCRIBE: a reconnect with 10,000 documents takes 50 of them
const pinging = 3_000 // ms between two looks at a quiet line; a dead one is noticed by the line's own limit

/** How channels are heard. */
interface Hearing {
  /** By sharded publish always, or only in a cluster. */
  readonly sharded: 'always' | 'in a cluster'
  /** Milliseconds that a channel nobody listens to is kept. */
  readonly lingering: number
}

const ofDocuments: Hearing = { sharded: 'in a cluster', lingering: 10_000 } // a page that is reloaded costs nothing

/** One connection that hears. */
class Line {
  readonly #redis: Redis
  readonly #wire: Wire
  readonly #sharded: boolean
  readonly #missed: (channel: string) => void
  /** What is to be heard here, and whether it is already. */
  readonly #wanted = new Map<string, Promise<void> | null>()
  #asked: { names: string[]; answer: Promise<void> } | null = null
  #up = deferred()
  readonly #pings: NodeJS.Timeout
  readonly #moved: () => void
  readonly #losses: Losses

  constructor(
    redis: Redis,
    wire: Wire,
    sharded: boolean,
    hear: (channel: Buffer, message: Buffer) => void,
    missed: (channel: string) => void,
    moved: () => void,
  ) {
    this.#redis = redis
    this.#losses = new Losses(redis)
    this.#wire = wire
    this.#sharded = sharded
    this.#missed = missed
    redis.on(sharded ? 'smessageBuffer' : 'messageBuffer', hear)
    redis.on('error', () => {}) // told to whoever asks for a channel
    redis.on('ready', () => {
      this.#up.resolve()
      this.again()
    })
    redis.on('close', () => {
      this.#up = deferred()
      this.#asked = null
      for (const name of this.#wanted.keys()) this.#wanted.set(name, null)
    })
    this.#moved = moved
    redis.on('moved', () => {
      // A slot went elsewhere, and its channels with it; the client does not say which.
      for (const name of this.#wanted.keys()) this.#wanted.set(name, null)
      moved()
    })
    this.#pings = setInterval(() => {
      if (redis.status === 'ready') redis.ping().catch(() => {}) // the line's limit ends it
    }, pinging)
  }

  get isUp(): boolean {
    return this.#redis.status === 'ready'
  }

  get losses(): number {
    return this.#losses.count
  }

  /** Resolves when the channel is heard. */
  want(name: string): Promise<void> {
    const known = this.#wanted.get(name)
    if (known !== undefined && known !== null) return known
    const heard = this.#ask(name)
    this.#wanted.set(name, heard)
    heard.catch(() => {
      if (this.#wanted.get(name) === heard) this.#wanted.set(name, null)
    })
    return heard
  }

  unwant(name: string): void {
    if (!this.#wanted.delete(name) || this.#redis.status !== 'ready') return
    const done = this.#sharded ? this.#redis.sunsubscribe(name) : this.#redis.unsubscribe(name)
    done.catch(() => {}) // the line is gone, and the channel with it
  }

  close(): void {
    clearInterval(this.#pings)
    this.#wanted.clear()
    hangUp(this.#redis)
  }

  /** Channels asked for in one moment share a command, where the server allows it. */
  #ask(name: string): Promise<void> {
    if (this.#sharded) return this.#subscribe([name])
    if (this.#asked !== null && this.#asked.names.length < channelsAtOnce) {
      this.#asked.names.push(name)
      return this.#asked.answer
    }
    const names = [name]
    const answer = Promise.resolve().then(() => {
      if (this.#asked?.names === names) this.#asked = null
      return this.#subscribe(names)
    })
    this.#asked = { names, answer }
    return answer
  }

  async #subscribe(names: readonly string[]): Promise<void> {
    if (this.#redis.status !== 'ready') await this.#wire.inTime(this.#up.promise)
    await this.#wire.inTime(this.#sharded ? this.#redis.ssubscribe(...names) : this.#redis.subscribe(...names))
  }

  /** What is not heard is asked for anew. What cannot be had now is had when the line has come up again, or the cluster has a new map. */
  again(): void {
    for (const [name, heard] of this.#wanted) {
      if (heard !== null) continue // asked for while the line came up
      this.want(name).then(
        () => this.#missed(name),
        (error: Error) => {
          if (error.name === 'ReplyError') this.#moved()
          else if (this.#redis.status === 'ready') this.#redis.disconnect(true)
        },
      )
    }
  }
}

const deferred = (): { readonly promise: Promise<void>; readonly resolve: () => void } => {
  let resolve = (): void => {}
  const promise = new Promise<void>(done => (resolve = done))
  return { promise, resolve }
}

export class Channels {
  readonly #wire: Wire
  readonly #connect: (server: string | null) => Redis
  readonly #hearing: Hearing
  readonly #channels = new Map<string, Channel>()
  /** By server; the one of a single server is ''. */
  readonly #lines = new Map<string, Line>()
  /** Of lines that are not needed any more. */
  #formerLosses = 0
  #closed = false
  #remapping: NodeJS.Timeout | null = null

  /** @param connect a connection of its own to a server of the cluster (host:port), or to the only one */
  constructor(wire: Wire, connect: (server: string | null) => Redis, hearing = ofDocuments) {
    this.#wire = wire
    this.#connect = connect
    this.#hearing = hearing
    wire.whenMapped(() => this.#place())
  }

  get size(): number {
    return this.#channels.size
  }

  /** All connections that hear, as one. */
  get line(): StoreLine {
    const lines = [...this.#lines.values()]
    const losses = lines.reduce((sum, line) => sum + line.losses, this.#formerLosses)
    return { name: 'feed', up: lines.every(line => line.isUp), losses }
  }

  /** Resolves when nothing later can be missed silently. */
  async listen(name: string, listener: Listener): Promise<() => void> {
    const own: Listener = { hear: message => listener.hear(message), missed: () => listener.missed() }
    let channel = this.#channels.get(name)
    if (channel === undefined) this.#channels.set(name, (channel = { name, listeners: new Set(), line: null, linger: null }))
    if (channel.linger !== null) clearTimeout(channel.linger)
    channel.linger = null
    channel.listeners.add(own)
    const there = channel
    const stop = (): void => {
      if (there.listeners.delete(own) && there.listeners.size === 0 && !this.#closed)
        there.linger = setTimeout(() => this.#forget(there), this.#hearing.lingering).unref()
    }
    try {
      await this.#wire.servers() // in a cluster nobody knows before where a channel is
      if (this.#closed) throw new Error('the store is closed')
      channel.line ??= this.#lineOf(name)
      await channel.line.want(name)
      return stop
    } catch (error) {
      stop()
      throw error
    }
  }

  close(): void {
    this.#closed = true
    if (this.#remapping !== null) clearTimeout(this.#remapping)
    for (const { linger } of this.#channels.values()) if (linger !== null) clearTimeout(linger)
    this.#channels.clear()
    for (const line of this.#lines.values()) line.close()
    this.#lines.clear()
  }

  #forget(channel: Channel): void {
    if (this.#channels.get(channel.name) !== channel || channel.listeners.size > 0) return
    this.#channels.delete(channel.name)
    channel.line?.unwant(channel.name)
  }

  #lineOf(name: string): Line {
    const { slots } = this.#wire
    const server = slots === null ? '' : (slots[slotOf(name)]?.[0] ?? '')
    if (slots !== null && server === '') throw new Error(`no server of the cluster has the slot of ${name}`)
    let line = this.#lines.get(server)
    if (line === undefined) {
      line = new Line(
        this.#connect(slots === null ? null : server),
        this.#wire,
        slots !== null || this.#hearing.sharded === 'always',
        (channel, message) => this.#hear(channel.toString(), message),
        channel => this.#missed(channel),
        () => this.#remap(),
      )
      this.#lines.set(server, line)
    }
    return line
  }

  /** Not more often than ten times a second: while slots move, every channel of them says so. */
  #remap(): void {
    this.#remapping ??= setTimeout(() => {
      this.#remapping = null
      if (!this.#closed) this.#wire.map()
    }, 100)
  }

  /** The cluster's slots may have moved: each channel goes to the line of its server. */
  #place(): void {
    if (this.#closed) return
    for (const channel of this.#channels.values()) {
      if (channel.line === null) continue
      let line: Line
      try {
        line = this.#lineOf(channel.name)
      } catch {
        continue // the next map of the cluster tells
      }
      if (line === channel.line) continue
      channel.line.unwant(channel.name)
      channel.line = line
      line.want(channel.name).then(
        () => this.#missed(channel.name),
        () => {}, // asked for again when the line comes up
      )
    }
    for (const line of this.#lines.values()) if (line.isUp) line.again()
    const used = new Set([...this.#channels.values()].map(channel => channel.line))
    for (const [server, line] of this.#lines) {
      if (used.has(line)) continue
      this.#formerLosses += line.losses
      this.#lines.delete(server)
      line.close()
    }
  }

  #hear(name: string, message: Buffer): void {
    const channel = this.#channels.get(name)
    if (channel !== undefined) for (const listener of [...channel.listeners]) listener.hear(message)
  }

  #missed(name: string): void {
    const channel = this.#channels.get(name)
    if (channel !== undefined) for (const listener of [...channel.listeners]) listener.missed()
  }
}

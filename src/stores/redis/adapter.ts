// An application's messages on their way from node to node, by sharded publish.
// Invariant: nobody waits for Redis here; what waits for it is bounded; what cannot be said now is not said later.

import type { ApplicationAdapter } from '../adapter.ts'
import type { Address } from './address.ts'
import { Channels } from './channels.ts'
import { Keys } from './keys.ts'
import { Saying, Wire, type WireOptions } from './wire.ts'

/** Bytes of messages that Redis has not taken yet. A page wants to know what is going on, not what went on some seconds ago. */
const mostWaiting = 4_194_304
const lookEvery = 1_000 // ms between two looks at a Redis that is away

interface Listening {
  readonly channel: string
  readonly listener: (message: Buffer) => void
  stop: (() => void) | null
  over: boolean
}

export class RedisAdapter implements ApplicationAdapter {
  readonly name: string
  readonly prefix: string
  readonly #wire: Wire
  readonly #channels: Channels
  readonly #saying: Saying
  readonly #unheard = new Set<Listening>()
  readonly #watchers: ((away: Error | null) => void)[] = []
  #away = false
  /** How often something did not get through since the last look. */
  #failures = 0
  #looking: NodeJS.Timeout | null = null
  #closed = false

  /** @param prefix before every channel */
  constructor(address: Address, name: string, prefix: string, options: WireOptions) {
    this.name = name
    this.prefix = new Keys(prefix, 'db' in address ? address.db : 0).application
    this.#wire = new Wire(address, name, 'application', options)
    this.#channels = new Channels(this.#wire, server => this.#wire.listener(server), { sharded: 'always', lingering: 0 })
    this.#saying = new Saying(this.#wire, options, mostWaiting)
    this.#wire.whenLost(() => this.#lost(new Error(`the connection to ${name} is gone`)))
  }

  get waiting(): number {
    return this.#saying.waiting
  }

  say(channel: string, message: string | Uint8Array): void {
    const words = typeof message === 'string' ? message : Buffer.from(message.buffer, message.byteOffset, message.byteLength)
    this.#saying.say(Buffer.byteLength(message), redis => redis.spublish(channel, words)).catch(error => this.#lost(error))
  }

  hear(channel: string, listener: (message: Buffer) => void): () => void {
    const listening: Listening = { channel, listener, stop: null, over: false }
    this.#listen(listening).catch(error => this.#lost(error))
    return () => {
      listening.over = true
      listening.stop?.()
      this.#unheard.delete(listening)
    }
  }

  /** Once it is heard, the channels look after it themselves. */
  async #listen(listening: Listening): Promise<void> {
    this.#unheard.add(listening)
    const stop = await this.#channels.listen(listening.channel, { hear: listening.listener, missed: () => {} })
    this.#unheard.delete(listening)
    if (listening.over) stop()
    else listening.stop = stop
  }

  async nodes(channel: string): Promise<number> {
    const servers = await this.#wire.servers()
    const counts = await Promise.all(
      servers.map(async server => {
        const [, count] = (await this.#wire.inTime(server.call('PUBSUB', 'SHARDNUMSUB', channel))) as [string, number]
        return count
      }),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  watch(changed: (away: Error | null) => void): void {
    this.#watchers.push(changed)
  }

  close(): void {
    this.#closed = true
    if (this.#looking !== null) clearTimeout(this.#looking)
    this.#unheard.clear()
    this.#channels.close()
    this.#wire.close()
  }

  #lost(error: Error): void {
    if (this.#closed) return
    this.#failures++
    if (!this.#away) {
      this.#away = true
      for (const changed of this.#watchers) changed(error)
    }
    this.#lookLater()
  }

  /** Redis is back when it takes a message and lets everything be heard, and nothing has failed since the look before. */
  async #look(): Promise<void> {
    this.#failures = 0
    try {
      await this.#wire.call(redis => redis.spublish(`${this.prefix}#look`, ''))
      await Promise.all([...this.#unheard].map(listening => this.#listen(listening)))
    } catch (error) {
      this.#looking = null
      return this.#lost(error as Error)
    }
    this.#looking = null
    if (this.#closed) return
    if (this.#failures > 0) return this.#lookLater()
    this.#away = false
    for (const changed of this.#watchers) changed(null)
  }

  #lookLater(): void {
    this.#looking ??= setTimeout(() => void this.#look(), lookEvery * (0.5 + Math.random())).unref()
  }
}

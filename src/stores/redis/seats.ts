// The clients of each user on all nodes, in Redis: a set for each user, and a lease for each node.
// Invariant: a seat counts only while the lease of its node lasts, a name whose lease has ended is never used again, and a node says under
// its present name what it holds.

import { randomBytes } from 'node:crypto'
import type { Seats } from '../../engine/ports.ts'
import type { Keys } from './keys.ts'
import * as scripts from './scripts.ts'
import type { Wire } from './wire.ts'

export interface SeatsParts {
  readonly wire: Wire
  readonly keys: Keys
  /** Milliseconds that a node's lease lasts; it is renewed three times in that time. */
  readonly lease: number
}

interface Seat {
  readonly user: string
  readonly client: string
  /** The name under which Redis knows of it; null: it does not. */
  node: string | null
  /** While it is being found out whether it may be had. */
  asked: Promise<boolean> | null
}

const kept = 86_400_000 // ms for which Redis keeps the seats of a user of whom no node says anything
const round = kept / 4 // ms in which a node says all of its seats again
const atOnce = 500 // seats said together when a node has got another name

export class RedisSeats implements Seats {
  readonly #parts: SeatsParts
  /** Those of this node; the one that was said last stands last. */
  readonly #seats = new Map<string, Seat>()
  /** Seats that were left while Redis was away. */
  readonly #owed: { readonly user: string; readonly seats: readonly string[] }[] = []
  #node: string | null = null
  #naming: Promise<string> | null = null
  #beating: NodeJS.Timeout | null = null
  #closed = false

  constructor(parts: SeatsParts) {
    this.#parts = parts
  }

  async take(user: string, client: string, most: number): Promise<boolean> {
    const key = keyOf(user, client)
    const mine = this.#seats.get(key)
    if (mine !== undefined) {
      if (mine.asked !== null) return mine.asked
      await this.#say(mine)
      return true
    }
    const seat: Seat = { user, client, node: null, asked: null }
    this.#seats.set(key, seat)
    this.#beat()
    seat.asked = this.#ask(seat, most).finally(() => (seat.asked = null))
    return seat.asked
  }

  async #ask(seat: Seat, most: number): Promise<boolean> {
    const { user, client } = seat
    const all = await this.#say(seat)
    const others = (seats: readonly string[]): number => new Set(seats.map(clientIn).filter(other => other !== client)).size
    if (others(all) < most) return true
    // Only now it matters who lives. Their seats were read before: whoever is not alive after that has died.
    const alive = new Set(await this.#parts.wire.run<string[]>(scripts.alive, [this.#parts.keys.hosts], []))
    const dead = all.filter(seat => !alive.has(nodeIn(seat)))
    if (dead.length > 0) this.#clear(user, dead)
    if (others(all.filter(seat => alive.has(nodeIn(seat)))) < most) return true
    this.leave(user, client)
    return false
  }

  leave(user: string, client: string): void {
    const key = keyOf(user, client)
    const seat = this.#seats.get(key)
    if (seat === undefined) return
    this.#seats.delete(key)
    if (seat.node !== null) this.#clear(user, [`${seat.node} ${client}`])
  }

  /** Lets go of the lease, and with it of all seats. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#beating !== null) clearTimeout(this.#beating)
    const { wire, keys } = this.#parts
    const node = this.#node
    if (node === null) return
    await wire.call(redis => redis.zrem(keys.hosts, node)).catch(() => {}) // then the lease runs out
  }

  async #say(seat: Seat): Promise<readonly string[]> {
    const { wire, keys } = this.#parts
    const node = await this.#name()
    seat.node = node // before the call: it may have happened, and is then to be taken back
    const key = keyOf(seat.user, seat.client)
    try {
      const all = await wire.run<string[]>(scripts.sit, [keys.seatsOf(seat.user)], [`${node} ${seat.client}`, kept])
      if (this.#seats.get(key) === seat) {
        this.#seats.delete(key)
        this.#seats.set(key, seat)
      } else if (!this.#seats.has(key)) this.#clear(seat.user, [`${node} ${seat.client}`]) // left meanwhile
      return all
    } catch (error) {
      if (this.#seats.get(key) === seat) seat.node = null
      throw error
    }
  }

  /** What cannot be taken away now is with a later beat. */
  #clear(user: string, seats: readonly string[]): void {
    const { wire, keys } = this.#parts
    wire.call(redis => redis.srem(keys.seatsOf(user), ...seats)).catch(() => this.#owed.push({ user, seats }))
  }

  /** Unless somebody sits there again. */
  #clearOwed(): void {
    for (const { user, seats } of this.#owed.splice(0)) {
      const free = seats.filter(seat => this.#seats.get(keyOf(user, clientIn(seat)))?.node !== nodeIn(seat))
      if (free.length > 0) this.#clear(user, free)
    }
  }

  async #name(): Promise<string> {
    if (this.#node !== null) return this.#node
    this.#naming ??= this.#rise().finally(() => (this.#naming = null))
    return this.#naming
  }

  async #rise(): Promise<string> {
    const node = randomBytes(9).toString('base64url')
    await this.#renew(node, true)
    this.#node = node
    return node
  }

  async #renew(node: string, fresh: boolean): Promise<boolean> {
    const { wire, keys, lease } = this.#parts
    return (await wire.run<number>(scripts.host, [keys.hosts], [node, lease, fresh ? '1' : '0'])) === 1
  }

  #beat(): void {
    if (this.#beating !== null || this.#closed) return
    this.#beating = setTimeout(() => {
      this.#beatNow()
        .catch(() => {}) // Redis is away; the next beat sees whether it has forgotten us
        .then(() => {
          this.#beating = null
          this.#beat()
        })
    }, this.#parts.lease / 3)
  }

  async #beatNow(): Promise<void> {
    const node = await this.#name()
    if (!(await this.#renew(node, false)) && this.#node === node) {
      this.#node = null
      await this.#name()
    }
    this.#clearOwed()
    const unsaid = [...this.#seats.values()].filter(seat => seat.node !== this.#node)
    for (let i = 0; i < unsaid.length; i += atOnce) await Promise.all(unsaid.slice(i, i + atOnce).map(seat => this.#say(seat)))
    // And a few of the others, so that none is ever old enough to be forgotten.
    const few = Math.ceil((this.#seats.size * this.#parts.lease) / 3 / round)
    await Promise.all([...this.#seats.values()].slice(0, few).map(seat => this.#say(seat)))
  }
}

const keyOf = (user: string, client: string): string => `${client} ${user}` // a client's name has no space in it

const nodeIn = (seat: string): string => seat.slice(0, seat.indexOf(' '))
const clientIn = (seat: string): string => seat.slice(seat.indexOf(' ') + 1)

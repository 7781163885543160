// How often somebody may read over HTTP, how much, and how much of it may lie here because he does not take it.
// Invariant: a user who is known is held to his own limit alone, never to that of the address that he shares with others; what is kept
// of anybody is gone a moment after he has stopped asking.

import type { IncomingMessage } from 'node:http'
import { take } from '../engine/bucket.ts'
import type { Clock } from '../engine/ports.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import { addressOf } from './address.ts'
import type { LineLimits } from './options.ts'

const piece = 65_536 // bytes of an answer that count as one read more: a user then reads by HTTP about as fast as he may write by lines
const longestDebt = 10_000 // ms; a clock that was put back must not shut anybody out for longer
const sweeping = 1_000 // ms

/** One read, from before it is known who asks. */
export interface Reading {
  /** It is this user's: what it took of the address is given back. A refusal when he has read too much. */
  by(user: string): Refusal | null
  /** So many bytes go out. Answers whom to tell when they have gone, or never will. */
  answers(bytes: number): () => void
}

/** Of users or of addresses. */
interface Kind {
  readonly size: number
  /** When the bucket is full again. */
  readonly fullAt: Map<string, number>
  /** Bytes that they have not taken yet. */
  readonly unread: Map<string, number>
}

export class Reads {
  private readonly proxies: number
  private readonly clock: Clock
  private readonly mostUnread: number
  private readonly ofUsers: Kind
  private readonly ofAddresses: Kind
  private swept = 0

  constructor({ limits, trustProxy, clock }: { limits: LineLimits; trustProxy: number; clock: Clock }) {
    this.proxies = trustProxy
    this.clock = clock
    this.mostUnread = limits.unreadBytes
    this.ofUsers = { size: limits.readsPerUser, fullAt: new Map(), unread: new Map() }
    this.ofAddresses = { size: limits.readsPerAddress, fullAt: new Map(), unread: new Map() }
  }

  begin(request: IncomingMessage): Reading | Refusal {
    this.sweep()
    let paying: readonly [kind: Kind, whose: string] = [this.ofAddresses, addressOf(request, this.proxies)]
    const no = this.takeFrom(...paying, ' from this address')
    if (no !== null) return no
    return {
      by: user => {
        this.spend(...paying, -1)
        paying = [this.ofUsers, user]
        return this.takeFrom(...paying)
      },
      answers: bytes => {
        const [{ unread }, whose] = paying
        this.spend(...paying, Math.floor(bytes / piece))
        unread.set(whose, (unread.get(whose) ?? 0) + bytes)
        return () => {
          const left = unread.get(whose)! - bytes
          if (left === 0) unread.delete(whose)
          else unread.set(whose, left)
        }
      },
    }
  }

  /** Takes one; why not, where there is none. */
  private takeFrom({ size, fullAt, unread }: Kind, whose: string, where = ''): Refusal | null {
    const waiting = unread.get(whose) ?? 0
    if (waiting > this.mostUnread)
      return refusal('slow-down', `${waiting} bytes of other answers have not been taken yet${where}`, 1_000)
    const now = this.clock.now()
    const owed = fullAt.get(whose) ?? 0
    const [after, wait] = take(owed, size, 1, now)
    if (wait === 0) {
      fullAt.set(whose, after)
      return null
    }
    // A long answer has taken more than there was.
    return refusal(
      'slow-down',
      `more than ${size} reads a second${where}`,
      Math.max(wait, Math.ceil(owed - now - 1_000 + 1_000 / size)),
    )
  }

  private spend({ size, fullAt }: Kind, whose: string, reads: number): void {
    if (reads === 0 || size === 0) return
    const now = this.clock.now()
    fullAt.set(whose, Math.min(Math.max(fullAt.get(whose) ?? 0, now) + (1_000 * reads) / size, now + longestDebt))
  }

  private sweep(): void {
    const now = this.clock.now()
    if (Math.abs(now - this.swept) < sweeping) return
    this.swept = now
    for (const { fullAt } of [this.ofUsers, this.ofAddresses])
      for (const [whose, at] of fullAt)
        if (at <= now) fullAt.delete(whose)
        else if (at > now + longestDebt) fullAt.set(whose, now + longestDebt)
  }
}

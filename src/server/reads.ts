// How often somebody may read over HTTP, and how much.
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
  /** So many bytes go out. */
  answers(bytes: number): void
}

/** By user or by address: when the bucket is full again. */
type Buckets = Map<string, number>

export class Reads {
  private readonly limits: Pick<LineLimits, 'readsPerUser' | 'readsPerAddress'>
  private readonly proxies: number
  private readonly clock: Clock
  private readonly ofUsers: Buckets = new Map()
  private readonly ofAddresses: Buckets = new Map()
  private swept = 0

  constructor({ limits, trustProxy, clock }: { limits: LineLimits; trustProxy: number; clock: Clock }) {
    this.limits = limits
    this.proxies = trustProxy
    this.clock = clock
  }

  begin(request: IncomingMessage): Reading | Refusal {
    const { readsPerAddress, readsPerUser } = this.limits
    this.sweep()
    let paying: readonly [buckets: Buckets, whose: string, size: number] = [
      this.ofAddresses,
      addressOf(request, this.proxies),
      readsPerAddress,
    ]
    const wait = this.takeFrom(...paying)
    if (wait > 0) return refusal('slow-down', `more than ${readsPerAddress} reads a second from this address`, wait)
    return {
      by: user => {
        this.spend(...paying, -1)
        paying = [this.ofUsers, user, readsPerUser]
        const longer = this.takeFrom(...paying)
        return longer > 0 ? refusal('slow-down', `more than ${readsPerUser} reads a second`, longer) : null
      },
      answers: bytes => this.spend(...paying, Math.floor(bytes / piece)),
    }
  }

  /** Takes one; milliseconds to wait where there is none. */
  private takeFrom(buckets: Buckets, whose: string, size: number): number {
    const now = this.clock.now()
    const owed = buckets.get(whose) ?? 0
    const [fullAt, wait] = take(owed, size, 1, now)
    // A long answer has taken more than there was.
    if (wait > 0) return Math.max(wait, Math.ceil(owed - now - 1_000 + 1_000 / size))
    buckets.set(whose, fullAt)
    return 0
  }

  private spend(buckets: Buckets, whose: string, size: number, reads: number): void {
    if (reads === 0 || size === 0) return
    const now = this.clock.now()
    buckets.set(whose, Math.min(Math.max(buckets.get(whose) ?? 0, now) + (1_000 * reads) / size, now + longestDebt))
  }

  private sweep(): void {
    const now = this.clock.now()
    if (Math.abs(now - this.swept) < sweeping) return
    this.swept = now
    for (const buckets of [this.ofUsers, this.ofAddresses])
      for (const [whose, fullAt] of buckets)
        if (fullAt <= now) buckets.delete(whose)
        else if (fullAt > now + longestDebt) buckets.set(whose, now + longestDebt)
  }
}

// How many clients this node holds, seen as a crowd that may have to come back all at once: what its clients are told of that.
// Invariant: clients that keep to the spread they were told last come back at no more than `reconnectRate` a second.

import type { Spread } from '../protocol/messages.ts'

/** Clients a second that a node is glad to welcome when those of another, or its own, come all together. */
export const reconnectRate = 500

/** Milliseconds over which clients are sent elsewhere, at most: orchestrators kill after 30 s, and what follows takes time too. */
const longestWindow = 20_000

/** Milliseconds over which this many clients are sent to other nodes. */
export const drainWindow = (size: number): number => Math.min(longestWindow, Math.ceil((1_000 * size) / reconnectRate))

/** Milliseconds. A handful of clients need not wait, yet not all of them come in one moment. */
const leastSpread = 1_000

/**
 * All are told anew when the crowd has grown by so much since; whoever came early would else think that few would come back. They hear it
 * with their next ping: by itself that word would cost each more than a system call whenever many come.
 */
const growth = 1.5

export class Crowd {
  /** What was told is true up to this many. */
  private most = reconnectRate

  /** What clients are told at present. */
  get spread(): Spread {
    return Math.max(leastSpread, Math.ceil((1_000 * this.most) / reconnectRate))
  }

  /** Whether, with this many, everybody has to be told anew. */
  outgrown(size: number): boolean {
    if (size <= this.most) return false
    this.most = Math.ceil(size * growth)
    return true
  }
}

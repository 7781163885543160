// When a client dials again: numbers in, milliseconds out.
// Invariant: clients that lost their lines in one moment do not come back in one moment, at the first attempt either.

/** Milliseconds. A writer in a tunnel should not wait long, and a few hundred clients spread over a second trouble nobody. */
export const firstDelay = 1_000

/** Milliseconds. Longer than that nobody believes that a page is still trying. */
const longestDelay = 30_000

/** Milliseconds. Whatever a server asks for, after five minutes a client looks again: the server may have been wrong, or replaced. */
export const longestHint = 300_000

export interface Attempt {
  /** Attempts that have failed since the line was last steady. */
  readonly failures: number
  /** Milliseconds over which the first attempts of a crowd should lie: `firstDelay`, or what the server has told. */
  readonly spread: number
  /** Milliseconds before which the server says that it is of no use; 0: it says nothing. */
  readonly after: number
  /** From 0 up to, not including, 1. */
  readonly chance: number
}

/**
 * Full jitter: the nth attempt after a break comes random(0, min(longest, spread · 2ⁿ)) after the one before, the very first too. What a
 * server asks for comes on top: it may have asked the same of everybody.
 */
export const delayBefore = ({ failures, spread, after, chance }: Attempt): number => {
  const first = Math.min(spread, longestHint)
  const most = Math.max(first, Math.min(longestDelay, first * 2 ** failures))
  return Math.min(after, longestHint) + chance * most
}

// How much somebody sends in a time, and what follows when it is too much: first a word, and a cut last.
// Invariant: whoever keeps to the rate is never more than a second ahead of it, and hears nothing of all this.

/** Per second. What it allows at once, from rest, is a second's worth. */
export interface Rate {
  readonly messages: number
  readonly bytes: number
}

/**
 * What is done to one who is so far ahead. `warned`: he is told, and all of it is taken. `quiet`: presence and signals are dropped.
 * `refused`: everything is refused, with the time to wait. `cut`: the line goes.
 */
export type Pace = 'in step' | 'warned' | 'quiet' | 'refused' | 'cut'

/** Milliseconds ahead from which each of them holds. */
const ahead = { warned: 1_000, quiet: 2_000, refused: 3_000, cut: 5_000 } as const

/** Milliseconds that a message takes up of what its sender may send. */
export const costOf = (bytes: number, rate: Rate): number => Math.max(1_000 / rate.messages, (1_000 * bytes) / rate.bytes)

/** Messages that nobody can send in one moment without being cut. */
export const mostAtOnce = ({ messages }: Rate): number => Math.ceil((messages * ahead.cut) / 1_000)

/** Until when the sender has spent what it may send, once it has spent `cost` more. From 0 on, all in milliseconds. */
export const spend = (until: number, cost: number, now: number): number =>
  Math.max(now, Math.min(until, now + ahead.cut)) + Math.min(cost, ahead.cut) // a clock that was put back must not shut anybody out

export const paceOf = (until: number, now: number): Pace => {
  const debt = until - now
  if (debt <= ahead.warned) return 'in step'
  if (debt <= ahead.quiet) return 'warned'
  if (debt <= ahead.refused) return 'quiet'
  return debt <= ahead.cut ? 'refused' : 'cut'
}

/** Milliseconds until one is in step again. */
export const pauseFor = (until: number, now: number): number => Math.max(1, Math.ceil(until - now - ahead.warned))

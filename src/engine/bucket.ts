// How much somebody may do in a time: a bucket that fills up by itself, known by the moment at which it will be full.
// Invariant: in any second no more is taken than twice what the bucket holds: what was in it, and what has run into it.

/**
 * Takes `cost` out of a bucket that holds `size` and fills up in a second. `fullAt` in milliseconds; 0 is a full one. Answers when it
 * will be full now, and the milliseconds to wait until there is enough; where they are not 0 nothing was taken. What costs more than
 * the bucket holds costs all of it.
 */
export const take = (fullAt: number, size: number, cost: number, now: number): readonly [fullAt: number, wait: number] => {
  if (size === 0) return [fullAt, second] // nothing of it, ever
  const before = Math.min(Math.max(fullAt, now), now + second) // a clock that was put back must not shut anybody out
  const after = before + (second * Math.min(cost, size)) / size
  const wait = Math.ceil(after - now - second)
  return wait > 0 ? [before, wait] : [after, 0]
}

const second = 1_000

// Chance that repeats: everything a simulation decides comes from one number.

import { seededRandom } from './type-laws.ts'

/** A source of chance. The same seed gives the same answers, on every machine. */
export interface Chance {
  /** From 0 up to, not including, 1. */
  next(): number
  /** A whole number from 0 up to, not including, `below`. */
  int(below: number): number
  /** True in the given share of cases. */
  chance(share: number): boolean
  pick<T>(from: readonly T[]): T
}

export const seeded = (seed: number): Chance => {
  const next = seededRandom(seed)
  const int = (below: number): number => Math.floor(next() * below)
  return {
    next,
    int,
    chance: share => next() < share,
    pick(from) {
      if (from.length === 0) throw new RangeError('nothing to pick from')
      return from[int(from.length)]!
    },
  }
}

// When each character is due: every writer types at an even rate, and the writers take turns.
// Invariant: the schedule is a function of the plan alone, so every process knows when somebody else's character was due.

import { readFileSync } from 'node:fs'

/** What all processes of a run have in common. */
export interface Plan {
  readonly documents: number
  /** In each document. */
  readonly writers: number
  readonly readers: number
  /** Characters a second that each writer types. */
  readonly rate: number
  /** Seconds of one round; */
  readonly seconds: number
  readonly rounds: number
  /** and of typing before the first of them. */
  readonly warmUp: number
  /** Seconds that what was typed may take to arrive once the typing is over. */
  readonly drain: number
  /** Characters that are put into an empty document first. */
  readonly length: number
  /** Clients that are opened in a second, at most, all processes together. */
  readonly connectRate: number
  /** Begins the names of the documents. */
  readonly prefix: string
}

export const seats = (plan: Plan): number => plan.documents * (plan.writers + plan.readers)

/** Where a seat is: seats are numbered document by document, in each the writers first. */
export const placeOf = (
  plan: Plan,
  seat: number,
): { readonly document: number; readonly writes: boolean; readonly nth: number } => {
  const each = plan.writers + plan.readers
  const nth = seat % each
  return { document: Math.floor(seat / each), writes: nth < plan.writers, nth }
}

/** Milliseconds between two characters of one writer. */
export const interval = (plan: Plan): number => 1_000 / plan.rate

/** Milliseconds from the start to a writer's first character: spread as evenly as can be, with neighbours far apart. */
export const phase = (plan: Plan, seat: number): number => ((seat * golden) % 1) * interval(plan)

const golden = (Math.sqrt(5) - 1) / 2

/** Characters that each writer types in a run. */
export const typed = (plan: Plan): number => Math.floor(plan.rate * (plan.warmUp + plan.rounds * plan.seconds))

/** In which round something was due so many milliseconds after the start; -1: while warming up, or after the last. */
export const roundOf = (plan: Plan, due: number): number => {
  const round = Math.floor((due / 1_000 - plan.warmUp) / plan.seconds)
  return round < 0 || round >= plan.rounds ? -1 : round
}

/** The k-th character that a writer types. Whoever reads it sees whether one is missing. */
const letter = (k: number): string => letters[k % letters.length]!

export const lettersFrom = (k: number, count: number): string => {
  let text = ''
  for (let i = 0; i < count; i++) text += letter(k + i)
  return text
}

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_'

/** How many characters are missing where this one stands in the place of the k-th. */
export const missing = (k: number, found: string): number => {
  const at = letters.indexOf(found)
  return at < 0 ? 0 : (at - (k % letters.length) + letters.length) % letters.length
}

/** Milliseconds by a clock that all processes of this machine share. */
export const now = (): number => performance.now() + base

const base = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Microseconds for which the main thread of a process has wanted a core that others had; 0 where the system does not tell. */
export const waitedOf = (process: number | 'self'): number => {
  try {
    return Number(readFileSync(`/proc/${process}/schedstat`, 'latin1').split(' ')[1]) / 1_000
  } catch {
    return 0 // not Linux
  }
}

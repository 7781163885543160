// What is known to be wrong with a server: for each check since when, why, and what to do about it.
// Invariant: a check that fails says so once in the log when it begins and once when it is over; what everybody may read names nobody.

import type { Clock } from '../engine/ports.ts'
import type { Logger } from './log.ts'

export const checkNames = [
  'accepting', // it takes newcomers
  'store', // it answers
  'canary', // an edit is taken, ordered, announced, heard and made durable
  'settings', // of what the store stands on: nothing in them loses documents
  'tokens', // those who would enter can be told apart
  'clock', // it goes like the store's
  'load', // the process keeps up with its work, no document takes all of it
  'readers', // clients read what they are sent
  'nodes', // the others are there
] as const
export type CheckName = (typeof checkNames)[number]

/** What is wrong. */
export interface Fault {
  readonly reason: string
  readonly mend: string
  /** Whether newcomers are better sent elsewhere. */
  readonly unready: boolean
  /** For the log alone: it may name a document, a user, a place. */
  readonly detail?: string | undefined
}

export interface Check {
  readonly name: CheckName
  readonly ok: boolean
  /** When it came to be so: ISO 8601. */
  readonly since: string
  readonly reason?: string
  readonly mend?: string
}

/** Those that somebody else tells the log of. */
const toldElsewhere: ReadonlySet<CheckName> = new Set(['accepting', 'store'])

export class Checks {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #found: Map<CheckName, { readonly fault: Fault | null; readonly since: number }>

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    const since = clock.now()
    this.#found = new Map(checkNames.map(name => [name, { fault: null, since }]))
  }

  /** How it stands with a check now; null: well. `since`: when it began, if that was not now. */
  set(name: CheckName, fault: Fault | null, since = this.#clock.now()): void {
    const before = this.#found.get(name)!
    if (fault === null && before.fault === null) return
    if (fault !== null && before.fault !== null) {
      this.#found.set(name, { fault, since: before.since }) // it may have other words by now
      return
    }
    this.#found.set(name, { fault, since })
    if (toldElsewhere.has(name)) return
    if (fault === null) this.#log.info({ check: name, ms: since - before.since }, 'a check is well again')
    else {
      const { reason, mend, detail } = fault
      this.#log.warn({ check: name, reason, mend, ...(detail === undefined ? {} : { detail }) }, 'a check fails')
    }
  }

  get all(): readonly Check[] {
    return [...this.#found].map(([name, { fault, since }]) => ({
      name,
      ok: fault === null,
      since: new Date(since).toISOString(),
      ...(fault === null ? {} : { reason: fault.reason, mend: fault.mend }),
    }))
  }

  get ready(): boolean {
    return [...this.#found.values()].every(({ fault }) => fault === null || !fault.unready)
  }
}

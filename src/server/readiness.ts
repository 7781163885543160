// Whether this server should be sent clients: what is known of its store, with patience for hiccups.
// Invariant: however many ask, one question at a time goes to the store; an absence shorter than `unreadyAfter` makes no server unready.

import type { Clock } from '../engine/ports.ts'
import { causeOf } from './causes.ts'
import type { Logger } from './log.ts'

const answerWithin = 2_000 // ms for the store to say that it is there
const probePatience = 500 // ms that a probe waits for it; probes have limits of their own, 1 s in Kubernetes
const glancePatience = 10 // ms: a scrape is not held up by a store that is slow
const askAgainAfter = 500 // ms between two questions to a store that is away

export interface ReadinessParts {
  /** Rejects when the store cannot serve. */
  readonly ask: () => Promise<void>
  /** What the store is called where everybody may read it. */
  readonly store: string
  /** Milliseconds that the store may be away before this server counts as unready. */
  readonly unreadyAfter: number
  readonly clock: Clock
  readonly log: Logger
}

/** How it stands with the store. */
export interface StoreHealth {
  readonly ready: boolean
  /** What is wrong, since when, and what to do; with a hiccup something is and the server is ready all the same. */
  readonly wrong: { readonly reason: string; readonly mend: string; readonly since: number } | null
}

const well: StoreHealth = { ready: true, wrong: null }

export class Readiness {
  readonly #parts: ReadinessParts
  #asking: { readonly since: number; readonly over: Promise<void> } | null = null
  /** When the first of the questions was asked that have not been answered since. */
  #awaySince: number | null = null
  #error: Error | null = null
  #callOff: (() => void) | null = null
  #closed = false

  constructor(parts: ReadinessParts) {
    this.#parts = parts
  }

  /** Never rejects, and answers soon: a store that is away is asked again in the background. */
  async health(): Promise<StoreHealth> {
    const { clock, store, unreadyAfter } = this.#parts
    if (this.#awaySince === null && !this.#closed) await this.#soon(this.#ask())
    const since = this.#awaySince ?? this.#asking?.since
    if (since === undefined) return well
    const ms = clock.now() - since
    const known = this.#error === null ? null : causeOf(this.#error)
    const mend = known?.mend ?? 'look at the store, and at the log of this node'
    // That the store is another one is no hiccup: what it lacks is not there.
    if (known?.final) return { ready: false, wrong: { reason: `store ${store}: ${known.cause}`, mend, since } }
    const reason = `store ${store} has not answered for ${Math.floor(ms / 1_000)} s${known === null ? '' : `: ${known.cause}`}`
    return { ready: ms < unreadyAfter, wrong: { reason, mend, since } }
  }

  /** The same for whoever cannot wait: what is known after 10 ms. `up`: as far as is known the store answers. */
  async glance(): Promise<{ readonly ready: boolean; readonly up: boolean }> {
    const { clock, unreadyAfter } = this.#parts
    if (this.#awaySince === null && !this.#closed) await this.#soon(this.#ask(), glancePatience)
    const since = this.#awaySince ?? this.#asking?.since
    if (since === undefined) return { ready: true, up: true }
    const ms = clock.now() - since
    return { ready: ms < unreadyAfter, up: this.#awaySince === null && ms < answerWithin }
  }

  close(): void {
    this.#closed = true
    this.#callOff?.()
  }

  #ask(): Promise<void> {
    if (this.#asking !== null) return this.#asking.over
    const { ask, clock } = this.#parts
    const since = clock.now()
    const over = this.#inTime(Promise.resolve().then(ask)).then(
      () => this.#found(since, null),
      (error: Error) => this.#found(since, error),
    )
    this.#asking = { since, over }
    return over
  }

  #found(since: number, error: Error | null): void {
    const { clock, log } = this.#parts
    this.#asking = null
    this.#error = error
    if (error === null) {
      if (this.#awaySince !== null) log.info({ ms: clock.now() - this.#awaySince }, 'the store answers again')
      this.#awaySince = null
      return
    }
    if (this.#awaySince === null) log.warn({ err: error }, 'the store does not answer')
    this.#awaySince ??= since
    if (!this.#closed) this.#callOff = clock.after(askAgainAfter, () => void this.#ask())
  }

  #inTime(answer: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`no answer within ${answerWithin} ms`))
      answer.then(resolve, reject).finally(this.#parts.clock.after(answerWithin, late))
    })
  }

  #soon(over: Promise<void>, patience = probePatience): Promise<void> {
    return new Promise(resolve => {
      over.then(resolve).finally(this.#parts.clock.after(patience, resolve))
    })
  }
}

// How a server looks after itself: what it tries out and looks at again and again, put together into one answer.
// Invariant: it answers at once from what is known; no look waits for another, and none of them serves a user.

import type { Song } from '../engine/index.ts'
import type { Clock, Store } from '../engine/ports.ts'
import { causeOf } from './causes.ts'
import { type Check, type CheckName, Checks, type Fault } from './checks.ts'
import type { Logger } from './log.ts'
import type { Readiness } from './readiness.ts'

export interface Health {
  readonly ready: boolean
  /** What is wrong; a server may be ready all the same. */
  readonly reasons: readonly string[]
  readonly checks: readonly Check[]
}

export interface HealthLimits {
  /** Milliseconds between two tries of the canary. */
  readonly canaryEvery: number
  /** Milliseconds by which the clock may differ from the store's. */
  readonly clockSkew: number
}

export interface HealthParts {
  readonly readiness: Readiness
  readonly store: Store
  readonly tryOut: () => Promise<Song>
  /** Rejects when those who would enter cannot be told apart now. */
  readonly identify: (() => Promise<void>) | null
  /** What can be told at once. */
  readonly looks: { readonly [name in CheckName]?: () => Fault | null }
  readonly limits: HealthLimits
  readonly clock: Clock
  readonly log: Logger
}

const looking = 1_000 // ms between two looks at what can be told at once
const patience = 5_000 // ms for the store to tell its settings and its time
const again = 1_000 // ms until the canary tries again when it has failed
const sooner = 5 // doublings from the first song to the usual pace: what it has all code do for the first time has been done before a crowd comes
const usual = 10_000 // ms between two looks at the store where there is no canary

export class HealthWatch {
  readonly #parts: HealthParts
  readonly #checks: Checks
  readonly #stops = new Set<() => void>()
  /** Songs in a row for which another node would be better. */
  #failures = 0
  /** How the canary sang last. */
  lastSong: Song | null = null
  #closed = false

  constructor(parts: HealthParts) {
    this.#parts = parts
    this.#checks = new Checks(parts.clock, parts.log)
  }

  start(): void {
    const { limits, identify } = this.#parts
    this.#every(looking, async () => void (await this.health()))
    const every = limits.canaryEvery > 0 ? limits.canaryEvery : usual
    this.#every(every, () => this.#store())
    if (limits.canaryEvery > 0) this.#sing(limits.canaryEvery / 2 ** sooner)
    if (identify !== null) {
      void this.#identify(identify)
      this.#every(1.5 * every, () => this.#identify(identify)) // a request to somebody else's server
    }
  }

  close(): void {
    this.#closed = true
    for (const stop of this.#stops) stop()
  }

  /** As far as is known without asking anybody. */
  get checks(): readonly Check[] {
    this.#look()
    return this.#checks.all
  }

  get ready(): boolean {
    this.#look()
    return this.#checks.ready
  }

  /** Never rejects, and answers soon. */
  async health(): Promise<Health> {
    const { ready, wrong } = await this.#parts.readiness.health()
    this.#checks.set('store', wrong === null ? null : { ...wrong, unready: !ready }, wrong?.since)
    this.#look()
    const { all } = this.#checks
    return {
      ready: this.#checks.ready,
      checks: all,
      reasons: all.flatMap(({ reason }) => (reason === undefined ? [] : [reason])),
    }
  }

  #look(): void {
    for (const [name, look] of Object.entries(this.#parts.looks)) this.#checks.set(name as CheckName, look())
  }

  /** An edit of the house's own goes all the way. */
  #sing(wait: number): void {
    this.#after(wait, () => {
      void this.#parts.tryOut().then(song => {
        if (this.#closed) return
        this.lastSong = song
        this.#failures = song.failed !== null && isGrave(song.failed) ? this.#failures + 1 : 0
        this.#checks.set('canary', song.failed && faultOf(song.failed, this.#failures))
        this.#sing(song.failed === null ? Math.min(2 * wait, this.#parts.limits.canaryEvery) : again)
      })
    })
  }

  /** What the store stands on may be set otherwise by now, and its clock or ours may have been. */
  async #store(): Promise<void> {
    const { store, limits, clock } = this.#parts
    const asked = clock.now()
    const [findings, time] = await Promise.all([
      this.#inTime(store.findings?.() ?? Promise.resolve([])),
      this.#inTime(store.time?.() ?? Promise.resolve(null)),
    ])
    const fault = findings.find(({ severity }) => severity === 'fault')
    this.#checks.set('settings', fault === undefined ? null : { reason: fault.sentence, mend: fault.mend, unready: false })
    if (time === null) return
    const now = clock.now()
    const off = time < asked ? asked - time : time > now ? time - now : 0 // it was read at some moment between the two
    const reason = `this node’s clock and that of the store are ${Math.round(off / 1_000)} s apart`
    const mend = 'set the clocks by NTP: tokens end too early or late, and times of edits are off'
    this.#checks.set('clock', off > limits.clockSkew ? { reason, mend, unready: false } : null)
  }

  async #identify(identify: () => Promise<void>): Promise<void> {
    const error = await identify().then(
      () => null,
      (error: Error) => error,
    )
    const reason = 'the issuer of tokens does not give its keys'
    const mend = 'bring it back: whoever comes with a token of a key that is not known yet is told to try again later'
    this.#checks.set('tokens', error === null ? null : { reason, mend, unready: false, detail: error.message })
  }

  #every(ms: number, look: () => Promise<void>): void {
    this.#after(ms, () => {
      look()
        .catch(() => {}) // the store is away, which is told elsewhere
        .finally(() => this.#every(ms, look))
    })
  }

  #after(ms: number, call: () => void): void {
    if (this.#closed) return
    const stop = this.#parts.clock.after(ms, () => {
      this.#stops.delete(stop)
      call()
    })
    this.#stops.add(stop)
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`no answer within ${patience} ms`))
      work.then(resolve, reject).finally(this.#parts.clock.after(patience, late))
    })
  }
}

const says: { readonly [step in NonNullable<Song['failed']>['step']]: string } = {
  append: 'an edit of this node’s own is not taken by the log',
  announcement: 'what is written is not announced to this node',
  hearing: 'a document that is open here does not hear what others write',
  sequence: 'an edit of this node’s own gets no place in its document',
  durability: 'what is written does not become durable; writers see saving',
}

type Failed = NonNullable<Song['failed']>

const isPartial = ({ on }: Failed): boolean => on !== undefined && on.failed < on.of

/**
 * What does not become durable is served no better by another node. Nor is what lies on some servers of the store: all nodes would go, and
 * with them the documents on the others.
 */
const isGrave = (failed: Failed): boolean => failed.step !== 'durability' && !isPartial(failed)

/** Once may be a hiccup. */
const faultOf = (failed: Failed, failures: number): Fault => {
  const { step, why, on } = failed
  const known = causeOf(new Error(why))
  return {
    reason: `${says[step]} (${step})${on === undefined ? '' : `, on ${on.failed} of ${on.of} servers of the store`}${known === null || step === 'durability' ? '' : `: ${known.cause}`}`,
    mend:
      step === 'durability'
        ? 'redis-cli info persistence: aof_enabled 1, aof_last_write_status ok; with replicas: are they there?'
        : (known?.mend ??
          (isPartial(failed)
            ? 'the log names the server (a check fails). If all nodes have it: bring that server, or a replica of it, back; if this one alone: drain it'
            : 'the log says why (a check fails); if this node alone has it, start it anew')),
    unready: failures > 1,
    detail: on === undefined ? why : `${on.server}: ${why}`,
  }
}

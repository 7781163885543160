// How long one waits for a store, and a store for what it asks.
// Invariant: whoever waits is answered in time, by the store or by a refusal; one alarm does for all who wait, however many there are.

import type { Clock } from './ports.ts'

/** Somebody who waits. */
interface Wait {
  readonly until: number
  readonly reject: (error: Error) => void
  over: boolean
}

export class Deadline {
  private readonly clock: Clock
  private readonly ms: number
  private readonly late: () => Error
  private readonly ticks: () => number
  /** The oldest first, from `first` on: all may wait equally long. */
  private waits: Wait[] = []
  private first = 0
  private cancel: (() => void) | null = null

  /** @param late what whoever has waited in vain is told */
  constructor(clock: Clock, ms: number, late = (): Error => new Error(`no answer from the store within ${ms} ms`)) {
    this.clock = clock
    this.ms = ms
    this.late = late
    this.ticks = () => clock.ticks?.() ?? clock.now()
  }

  /** What the store answers. Rejects when it has not within the time. */
  inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.answered(work, resolve, reject))
  }

  /** The same without a promise in between: one of the two is called, once. */
  answered<T>(work: Promise<T>, resolve: (answer: T) => void, reject: (error: Error) => void): void {
    const wait: Wait = { until: this.ticks() + this.ms, reject, over: false }
    this.forget()
    this.waits.push(wait)
    this.cancel ??= this.clock.after(this.ms, this.rings)
    work.then(
      answer => {
        if (wait.over) return
        wait.over = true
        resolve(answer)
      },
      error => {
        if (wait.over) return
        wait.over = true
        reject(error)
      },
    )
  }

  /** Lets go of those at the front who have their answer. */
  private forget(): void {
    const { waits } = this
    while (this.first < waits.length && waits[this.first]!.over) this.first++
    if (this.first * 2 <= waits.length) return
    this.waits = waits.slice(this.first)
    this.first = 0
  }

  private get next(): Wait | undefined {
    this.forget()
    return this.waits[this.first]
  }

  /** `cancel` stands until the end: whoever is told may ask again at once, and the alarm that is set then does for him too. */
  private readonly rings = (): void => {
    const now = this.ticks()
    try {
      for (let wait = this.next; wait !== undefined && wait.until <= now; wait = this.next) {
        wait.over = true
        wait.reject(this.late())
      }
    } finally {
      const { next } = this
      this.cancel = next === undefined ? null : this.clock.after(Math.max(0, next.until - now), this.rings)
    }
  }
}

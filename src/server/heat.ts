// Where this node's work comes from: how late it is, and which document is busiest.
// Invariant: it asks the documents only now and then, and keeps nothing of them.

import type { Clock } from '../engine/ports.ts'
import type { DocId } from '../protocol/ids.ts'
import type { Fault } from './checks.ts'

const looking = 1_000 // ms between two looks of whoever asks, as far as the process keeps up
const asking = 5_000 // ms between two looks at the documents
const late = 500 // ms behind, twice in a row, with which typing feels slow

interface Busy {
  readonly id: DocId
  readonly commitsPerSecond: number
}

export class Heat {
  readonly #clock: Clock
  readonly #busiest: () => readonly Busy[]
  readonly #most: number
  #asked = Number.NEGATIVE_INFINITY
  #hottest: Busy | null = null
  #looked: number | null = null
  #lateness = 0
  #latenessBefore = 0

  /** @param most commits a second in one document */
  constructor(clock: Clock, busiest: () => readonly Busy[], most: number) {
    this.#clock = clock
    this.#busiest = busiest
    this.#most = most
  }

  /** Called about once a second: how late the call comes tells how busy the process is. */
  fault(): Fault | null {
    const now = this.#clock.now()
    if (now - this.#asked >= asking) {
      this.#asked = now
      this.#hottest = this.#busiest().reduce<Busy | null>(hotter, null)
    }
    if (this.#looked === null || now - this.#looked > looking / 2) {
      this.#latenessBefore = this.#lateness
      this.#lateness = this.#looked === null ? 0 : now - this.#looked - looking
      this.#looked = now
    }
    const { id, commitsPerSecond: rate } = this.#hottest ?? { id: null, commitsPerSecond: 0 }
    const busy = Math.min(this.#lateness, this.#latenessBefore)
    const detail = id === null ? undefined : `${id}: ${Math.round(rate)} commits a second`
    if (rate > this.#most)
      return {
        reason: `one document has ${Math.round(rate)} commits a second`,
        mend: 'the log names it (detail); whoever writes there like that: inkwell revoke --doc … --read',
        unready: false,
        detail,
      }
    if (busy < late) return null
    return {
      reason: `this process is ${Math.round(busy)} ms late with its work`,
      mend: 'more nodes, or fewer clients at this one; the log names the busiest document (detail)',
      unready: false,
      detail,
    }
  }
}

const hotter = (a: Busy | null, b: Busy): Busy => (a === null || b.commitsPerSecond > a.commitsPerSecond ? b : a)

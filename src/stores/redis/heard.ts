// What the feed has lately brought of one document, so that an append need not bring it once more.
// Invariant: what is kept is one unbroken piece of one history.

import type { Announcement, Entry } from '../../engine/ports.ts'
import type { Chain, Epoch, Position, Version } from '../../protocol/ids.ts'
import { emptyChain } from '../../protocol/ids.ts'

const bounds = { entries: 4_000, bytes: 1_048_576 } // what nodes of one busy document write while an append is under way

export class Heard {
  #epoch: Epoch | null = null
  /** The chain before the first entry. */
  #before: Chain = emptyChain
  #from: Version = 0
  #entries: Entry[] = []
  #bytes = 0
  /** Up to here it was heard before the last turn. */
  #turned: Version = 0
  #waiting: { readonly version: Version; readonly wake: () => void } | null = null

  hear({ epoch, from, chain, entries }: Extract<Announcement, { kind: 'entries' }>): void {
    const last = this.#entries.at(-1) ?? { version: this.#from, chain: this.#before }
    const continues = epoch === this.#epoch && from === last.version && chain === last.chain
    if (!continues) {
      if (epoch === this.#epoch && from + entries.length <= last.version) return // repeated
      this.#epoch = epoch
      this.#from = from
      this.#before = chain
      this.#entries = []
      this.#bytes = 0
      this.#turned = from
    }
    for (const entry of entries) {
      this.#entries.push(entry)
      this.#bytes += entry.body.length
    }
    if (this.#entries.length > bounds.entries || this.#bytes > bounds.bytes) this.#forget(Math.ceil(this.#entries.length / 2))
    if (this.#waiting !== null && from + entries.length >= this.#waiting.version) this.#waiting.wake()
  }

  /** The entries between two places of one history; null when they are not all here. */
  between(at: Position, to: { readonly version: Version; readonly chain: Chain }): readonly Entry[] | null {
    if (at.epoch !== this.#epoch || at.version < this.#from) return null
    if (this.#chainAt(at.version) !== at.chain || this.#chainAt(to.version) !== to.chain) return null
    return this.#entries.slice(at.version - this.#from, to.version - this.#from)
  }

  /** Resolves when a version has been heard of, or after a while. One caller at a time waits; another does not. */
  until(version: Version, patience: number): Promise<void> {
    if (this.#waiting !== null) return Promise.resolve()
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(alarm)
        this.#waiting = null
        resolve()
      }
      const alarm = setTimeout(wake, patience)
      this.#waiting = { version, wake }
    })
  }

  #chainAt(version: Version): Chain | undefined {
    return version === this.#from ? this.#before : this.#entries[version - this.#from - 1]?.chain
  }

  /** Forgets what was heard before the last turn: appends that it could serve are over. */
  turn(): void {
    this.#forget(this.#turned - this.#from)
    this.#turned = this.#from + this.#entries.length
  }

  #forget(count: number): void {
    const gone = this.#entries.splice(0, Math.max(0, count))
    const last = gone.at(-1)
    if (last === undefined) return
    this.#from = last.version
    this.#before = last.chain
    for (const { body } of gone) this.#bytes -= body.length
  }
}

// What the readers of each document have been told of its authors.
// Invariant: as long as it is the very same list, those in it have all been sent the same frames, so an author is written out for them
// once; for another list it begins anew, with numbers that mean nobody else to anybody.

import { mostNumbers, Told } from '../protocol/authors.ts'
import type { Handle } from '../protocol/ids.ts'

interface Audience {
  readonly given: { last: number }
  readonly told: WeakMap<readonly object[], Told>
}

export class Audiences {
  private recent = new Map<Handle, Audience>()
  /** Looked at less lately. What is in neither is only written out again. */
  private older = new Map<Handle, Audience>()

  /** Says something to all of a list, who are told of authors by it. */
  tell<T>(document: Handle, readers: readonly object[], say: (told: Told) => T): T {
    let audience = this.recent.get(document) ?? this.older.get(document)
    // Once numbers are given anew, whatever anybody was told before means nothing. Those of a small room fit into one byte.
    const enough = readers.length < 32 ? 48 : mostNumbers / 2
    if (audience === undefined || (audience.given.last >= enough && !audience.told.has(readers)))
      audience = { given: { last: 0 }, told: new WeakMap() }
    const told = audience.told.get(readers) ?? new Told(audience.given)
    audience.told.set(readers, told)
    this.recent.delete(document) // until it is known that it could be said
    this.older.delete(document)
    const said = say(told)
    if (this.recent.size >= kept) {
      this.older = this.recent
      this.recent = new Map()
    }
    this.recent.set(document, audience)
    return said
  }
}

const kept = 4_096 // documents; twice as many may be

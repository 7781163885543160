// What the readers of each document have been told of its authors.
// Invariant: as long as it is the very same list, those in it have all been sent the same frames, so an author is written out for them
// once; for another list it begins anew, with numbers that mean nobody else to anybody.

import { mostNumbers, Told } from '../protocol/authors.ts'
import type { Handle } from '../protocol/ids.ts'
import { Lately } from '../stores/lately.ts'

interface Audience {
  readonly given: { last: number }
  readonly told: WeakMap<readonly object[], Told>
}

export class Audiences {
  /** What is not there is only written out again. */
  private readonly lately = new Lately<Handle, Audience>(kept)

  /** Says something to all of a list, who are told of authors by it. */
  tell<T>(document: Handle, readers: readonly object[], say: (told: Told) => T): T {
    let audience = this.lately.get(document)
    // Once numbers are given anew, whatever anybody was told before means nothing. Those of a small room fit into one byte.
    const enough = readers.length < 32 ? 48 : mostNumbers / 2
    if (audience === undefined || (audience.given.last >= enough && !audience.told.has(readers)))
      audience = { given: { last: 0 }, told: new WeakMap() }
    const told = audience.told.get(readers) ?? new Told(audience.given)
    audience.told.set(readers, told)
    this.lately.delete(document) // until it is known that it could be said
    const said = say(told)
    this.lately.set(document, audience)
    return said
  }
}

const kept = 4_096 // documents; twice as many may be

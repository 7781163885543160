// The numbers by which authors go in frames of commits: on one line each is written out once, and from then on takes a byte or two.
// Invariant: a number means the author with whom it was last written out to this reader; one that never was ends the line.

import type { Reader, Writer } from './bytes.ts'
import { authorOf, broken } from './fields.ts'
import type { AuthorId, Handle } from './ids.ts'

/** What readers who have been sent the very same frames of a document have been told. */
export class Told {
  private readonly numbers = new Map<AuthorId, number>()
  private readonly given: { last: number }

  /** @param given shared by all who number authors of this document: what one of them gives means nobody else at any reader */
  constructor(given: { last: number } = { last: 0 }) {
    this.given = given
  }

  numberOf(author: AuthorId): number | undefined {
    return this.numbers.get(author)
  }

  /** A number for one who has none; 0 when all are given. */
  give(author: AuthorId): number {
    if (this.given.last >= mostNumbers) return 0
    this.numbers.set(author, ++this.given.last)
    return this.given.last
  }
}

/** One reader, and what it has been told in each of its documents. */
export interface Listener {
  heard?: Map<Handle, Numbers>
}

/** By twice the number, as it stands in a frame. */
export type Numbers = Map<number, AuthorId>

export const mostNumbers = 8_191 // what two bytes hold; whoever comes later is written out each time

export const writeAuthor = (w: Writer, author: AuthorId): void => w.packed(authorOf(author))
export const readAuthor = (r: Reader): AuthorId => r.packed(16, 'author') as AuthorId

/** Twice the number of one who is known, or that and one more before the author; with the number 0, nothing is to be kept. */
export const writeNumbered = (w: Writer, author: AuthorId, told: Told): void => {
  const known = told.numberOf(author)
  if (known !== undefined) return w.varint(2 * known)
  w.varint(2 * told.give(author) + 1)
  writeAuthor(w, author)
}

export const readNumbered = (r: Reader, numbers: Numbers): AuthorId => {
  const word = r.varint()
  if (word % 2 === 0) return numbers.get(word) ?? broken('no author')
  const author = readAuthor(r)
  if (word > 1) numbers.set(word - 1, author)
  return author
}

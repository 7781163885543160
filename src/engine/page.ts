// Entries in one piece, for whoever goes through many of them: to replay them, to hold them against their hashes, to send them to a thread.
// Invariant: what is read of a page is what was put into it; it is a few long strings and arrays of numbers, since an object for each
// entry costs more than all that is done with it.

import type { AuthorId, Chain, Seq, Version } from '../protocol/ids.ts'
import type { Entry, Page, Texts } from './ports.ts'

export const textsOf = (texts: readonly string[]): Texts => {
  const ends = new Float64Array(texts.length)
  let end = 0
  for (let i = 0; i < texts.length; i++) ends[i] = end += texts[i]!.length
  return { all: texts.join(''), ends }
}

export const startOf = ({ ends }: Texts, i: number): number => (i === 0 ? 0 : ends[i - 1]!)

const textAt = (texts: Texts, i: number): string => texts.all.slice(startOf(texts, i), texts.ends[i])

export const pageOf = (entries: readonly Entry[]): Page => {
  const versions = new Float64Array(entries.length)
  const seqs = new Float64Array(entries.length)
  const whose = new Uint32Array(entries.length)
  const numbers = new Map<AuthorId, number>()
  for (const [i, { version, seq, author }] of entries.entries()) {
    versions[i] = version
    seqs[i] = seq
    let number = numbers.get(author)
    if (number === undefined) numbers.set(author, (number = numbers.size))
    whose[i] = number
  }
  const chains = textsOf(entries.map(entry => entry.chain))
  const bodies = textsOf(entries.map(entry => entry.body))
  return { versions, seqs, authors: [...numbers.keys()], whose, chains, bodies }
}

export const countOf = ({ versions }: Page): number => versions.length

export const authorAt = ({ authors, whose }: Page, i: number): AuthorId => authors[whose[i]!]!

export const chainAt = ({ chains }: Page, i: number): Chain => textAt(chains, i) as Chain

export const bodyAt = ({ bodies }: Page, i: number): string => textAt(bodies, i)

export const entryAt = (page: Page, i: number): Entry => ({
  version: page.versions[i] as Version,
  author: authorAt(page, i),
  seq: page.seqs[i] as Seq,
  chain: chainAt(page, i),
  body: bodyAt(page, i),
})

// Entries on their way to another thread.
// Invariant: they arrive as they were; a page is a few long strings and arrays of numbers, since each object in a message costs more than checking it.

import type { Entry } from '../engine/ports.ts'
import type { AuthorId, Chain } from '../protocol/ids.ts'

/** Texts one behind the other, and where each ends. */
interface Texts {
  readonly all: string
  readonly ends: Float64Array
}

export interface Page {
  readonly versions: Float64Array
  readonly seqs: Float64Array
  /** Authors, and by its number in there that of each entry. */
  readonly authors: readonly AuthorId[]
  readonly whose: Uint32Array
  readonly chains: Texts
  readonly bodies: Texts
}

const textsOf = (texts: readonly string[]): Texts => {
  const ends = new Float64Array(texts.length)
  let end = 0
  for (let i = 0; i < texts.length; i++) ends[i] = end += texts[i]!.length
  return { all: texts.join(''), ends }
}

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

export const entriesOf = ({ versions, seqs, authors, whose, chains, bodies }: Page): readonly Entry[] => {
  const entries: Entry[] = []
  let [chainAt, bodyAt] = [0, 0]
  for (let i = 0; i < versions.length; i++) {
    const [chainEnd, bodyEnd] = [chains.ends[i]!, bodies.ends[i]!]
    entries.push({
      version: versions[i]!,
      author: authors[whose[i]!]!,
      seq: seqs[i]!,
      chain: chains.all.slice(chainAt, chainEnd) as Chain,
      body: bodies.all.slice(bodyAt, bodyEnd),
    })
    chainAt = chainEnd
    bodyAt = bodyEnd
  }
  return entries
}

// Entries in one piece, for whoever goes through many of them: to replay them, to hold them against their hashes, to send them to a thread.
// Invariant: what is read of a page is what was put into it; it is a few arrays of bytes and numbers, which a thread can be given
// without a copy, since an object for each entry costs more than all that is done with it.

import type { AuthorId, Chain, Seq, Version } from '../protocol/ids.ts'
import type { Entry, Page, Texts } from './ports.ts'

// The two that every engine has; the types of this floor know no platform.
declare const TextEncoder: new () => { encode(text: string): Uint8Array }
declare const TextDecoder: new (
  encoding: string,
  options: { readonly fatal: boolean; readonly ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string }

const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })

const textsOf = (texts: readonly string[]): Texts => {
  const ends = new Uint32Array(texts.length)
  let end = 0
  for (let i = 0; i < texts.length; i++) ends[i] = end += texts[i]!.length
  const plain = encoder.encode(texts.join(''))
  if (plain.length === end) return { bytes: plain, ends, isPlain: true }
  const each = texts.map(text => encoder.encode(text)) // joined, half a character at an end would become part of a whole one
  end = 0
  for (let i = 0; i < each.length; i++) ends[i] = end += each[i]!.length
  const bytes = new Uint8Array(end)
  for (let i = 0; i < each.length; i++) bytes.set(each[i]!, i === 0 ? 0 : ends[i - 1])
  return { bytes, ends, isPlain: false }
}

/** The same as one string; ends are units of it. */
interface Strings {
  readonly all: string
  readonly ends: Uint32Array
}

const spelled = new WeakMap<Texts, Strings>()

/** Made when they are first asked for: not everybody who goes through a page reads it. */
export const stringsOf = (texts: Texts): Strings => {
  let strings = spelled.get(texts)
  if (strings === undefined) spelled.set(texts, (strings = spell(texts)))
  return strings
}

const spell = ({ bytes, ends, isPlain }: Texts): Strings => {
  if (isPlain) return { all: strict.decode(bytes), ends }
  try {
    const units = unitsOf(bytes, ends)
    return { all: strict.decode(bytes), ends: units }
  } catch {
    // Damaged: of each text whatever can be read.
    const each = Array.from(ends, (end, i) => lenient.decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], end)))
    let end = 0
    return { all: each.join(''), ends: Uint32Array.from(each, text => (end += text.length)) }
  }
}

/** Where each text ends in units, if it is sound. @throws when one begins inside a character */
const unitsOf = (bytes: Uint8Array, ends: Uint32Array): Uint32Array => {
  const isWithin = (byte: number): boolean => byte >= 0x80 && byte < 0xc0
  let [at, units] = [0, 0]
  return ends.map(end => {
    if (at < end && isWithin(bytes[at]!)) throw new RangeError(`half a character at byte ${at}`)
    for (; at < end; at++) {
      const byte = bytes[at]!
      if (byte >= 0xf0) units += 2
      else if (!isWithin(byte)) units++
    }
    return units
  })
}

export const startOf = ({ ends }: Pick<Texts, 'ends'>, i: number): number => (i === 0 ? 0 : ends[i - 1]!)

const textAt = (texts: Texts, i: number): string => {
  const strings = stringsOf(texts)
  return strings.all.slice(startOf(strings, i), strings.ends[i])
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

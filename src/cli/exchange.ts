// The file of an export: lines that each say whether they are whole.
// Invariant: what is read is what was written; a line that is not, and a file that ends before its end, are told by their place.

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { chainAt, startOf } from '../engine/page.ts'
import type { Page } from '../engine/ports.ts'
import { putAscii, putBytes, putNumber, viewOf } from '../stores/digits.ts'
import { type Beginning, cutsOf, type Part, type Stretch, stretchOf, type Void } from './parts.ts'

// Each line: 16 hexadecimal digits of the SHA-1 of what follows the space, then JSON.
//   {"inkwell":"export","format":1,"time":"…"}                                 the first line
//   {"doc":"…","epoch":"…","floor":{…},"checkpoint":{…}|null,"version":n,"chain":"…"}   a document begins
//   {"from":n,"chain":"…","entries":[["author",seq,"body"],…]}                 its entries n + 1, …; the chain after the last
//   {"void":"…"}                                                               what came of it does not count, it comes again
//   {"end":"…"}                                                                a document is whole
//   {"end":{"documents":n}}                                                    the last line

const format = 1
const digits = 16

export type Line =
  | { readonly inkwell: 'export'; readonly format: number; readonly time: string }
  | Part
  | { readonly end: string }
  | { readonly end: { readonly documents: number } }

const sumOf = (json: string | Uint8Array): string => createHash('sha1').update(json).digest('hex').slice(0, digits)

export const lineOf = (line: Line): string => {
  const json = JSON.stringify(line)
  return `${sumOf(json)} ${json}\n`
}

const [quote, backslash, comma, close] = [0x22, 0x5c, 0x2c, 0x5d]
const around = 48 // bytes of an entry besides its body: author, seq, quotes

/** What `lineOf` would make of each stretch of a page, put together from its bytes: most of an export is that. */
export function* linesOfPage(page: Page): Generator<Uint8Array> {
  const authors = page.authors.map(author => Uint8Array.from(Buffer.from(`[${JSON.stringify(author)},`)))
  for (const [first, end] of cutsOf(page))
    yield lineOfBytes(page, authors, first, end) ?? Buffer.from(lineOf(stretchOf(page, first, end)))
}

/** Null: something of it is spelled otherwise in JSON than by what is done here. */
const lineOfBytes = (page: Page, authors: readonly Uint8Array[], first: number, end: number): Uint8Array | null => {
  const { versions, seqs, whose, bodies } = page
  const head = Buffer.from(`{"from":${versions[first]! - 1},"chain":${JSON.stringify(chainAt(page, end - 1))},"entries":[`)
  const length = bodies.ends[end - 1]! - startOf(bodies, first)
  let bytes = new Uint8Array(digits + 1 + head.length + length + around * (end - first))
  let view = viewOf(bytes)
  const text = viewOf(bodies.bytes)
  bytes.set(head, digits + 1)
  let at = digits + 1 + head.length
  for (let i = first; i < end; i++) {
    const author = authors[whose[i]!]!
    const [from, to] = [startOf(bodies, i), bodies.ends[i]!]
    const wider = withRoom(bytes, at, author.length + 2 * (to - from) + around)
    if (wider !== bytes) {
      bytes = wider
      view = viewOf(bytes)
    }
    if (i > first) bytes[at++] = comma
    at = putBytes(bytes, at, author, 0, author.length)
    at = putNumber(bytes, at, seqs[i]!)
    bytes[at++] = comma
    bytes[at++] = quote
    at = putEscaped(view, at, text, from, to)
    if (at < 0 || !Number.isFinite(seqs[i]!)) return null
    bytes[at++] = quote
    bytes[at++] = close
  }
  if (!bodies.isPlain && !isUtf8(bytes.subarray(digits + 1, at))) return null
  bytes = withRoom(bytes, at, 3)
  at = putAscii(bytes, at, ']}')
  putAscii(bytes, 0, `${sumOf(bytes.subarray(digits + 1, at))} `)
  at = putAscii(bytes, at, '\n')
  return bytes.subarray(0, at)
}

/** Text within quotes of JSON; -1: some of it is spelled in more than a backslash. Four bytes at a time where they are as they are. */
const putEscaped = (bytes: DataView, at: number, text: DataView, from: number, to: number): number => {
  for (let place = from; place < to; ) {
    if (place + 4 <= to) {
      const four = text.getInt32(place)
      if (areThemselves(four)) {
        bytes.setInt32(at, four)
        at += 4
        place += 4
        continue
      }
    }
    for (const end = Math.min(place + 4, to); place < end; place++) {
      const byte = text.getUint8(place)
      if (byte < 0x20) return -1
      if (byte === quote || byte === backslash) bytes.setUint8(at++, backslash)
      bytes.setUint8(at++, byte)
    }
  }
  return at
}

/** Whether none of these four bytes is a quote, a backslash or below 0x20: a byte borrows from the next only where it is one of them. */
const areThemselves = (four: number): boolean => {
  const [quotes, backslashes] = [four ^ 0x22222222, four ^ 0x5c5c5c5c]
  const borrowed = ((quotes - 0x01010101) & ~quotes) | ((backslashes - 0x01010101) & ~backslashes) | ((four - 0x20202020) & ~four)
  return (borrowed & 0x80808080) === 0
}

/** The bytes up to here, in as many as are needed for some more. */
const withRoom = (bytes: Uint8Array<ArrayBuffer>, upTo: number, more: number): Uint8Array<ArrayBuffer> => {
  if (upTo + more <= bytes.length) return bytes
  const wider = new Uint8Array(2 * (upTo + more))
  wider.set(bytes.subarray(0, upTo))
  return wider
}

export const firstLine = (now: number): Line => ({ inkwell: 'export', format, time: new Date(now).toISOString() })

const longestLine = 1_073_741_824 // bytes: a checkpoint of the longest document

/** The lines of a file with where each ends. @throws naming the line that is damaged, or the format that is not known */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<{ readonly line: Line; readonly end: number }> {
  let waiting: Buffer[] = []
  let [length, number, end] = [0, 0, 0]
  const read = (bytes: Buffer): Line => {
    const text = bytes.toString('utf8')
    const json = text.slice(digits + 1)
    if (text[digits] !== ' ' || sumOf(json) !== text.slice(0, digits))
      throw new Error(number === 1 ? 'this is no file of inkwell export' : `line ${number} is damaged`)
    const line = JSON.parse(json) as Line
    if (number === 1 && !('inkwell' in line)) throw new Error('this is no file of inkwell export')
    if ('inkwell' in line && line.format !== format)
      throw new Error(`the file has format ${line.format}; this version of Inkwell reads format ${format}`)
    return line
  }
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      const whole = Buffer.concat([...waiting, rest.subarray(0, at)])
      waiting = []
      length = 0
      number++
      end += whole.length + 1
      yield { line: read(whole), end }
      rest = rest.subarray(at + 1)
    }
    if (rest.length > 0) waiting.push(rest)
    length += rest.length
    if (length > longestLine) throw new Error(`line ${number + 1} does not end: this is no file of inkwell export`)
  }
  if (number === 0) throw new Error('this is no file of inkwell export')
}

export const isBeginning = (line: Line): line is Beginning => 'doc' in line
export const isStretch = (line: Line): line is Stretch => 'entries' in line
export const isVoid = (line: Line): line is Void => 'void' in line

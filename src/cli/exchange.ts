// The file of an export: lines that each say whether they are whole.
// Invariant: what is read is what was written; a line that is not, and a file that ends before its end, are told by their place.

import { createHash } from 'node:crypto'
import type { Beginning, Part, Stretch, Void } from './parts.ts'

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

const sumOf = (json: string): string => createHash('sha1').update(json).digest('hex').slice(0, digits)

export const lineOf = (line: Line): string => {
  const json = JSON.stringify(line)
  return `${sumOf(json)} ${json}\n`
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

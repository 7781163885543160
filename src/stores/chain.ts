// The running hash that tells two histories with equal versions apart (R1).
// Invariant: the chain at a version depends on every entry up to it and on nothing else, in every store and on every node.

import * as crypto from 'node:crypto'
import { authorAt, startOf } from '../engine/page.ts'
import type { Page } from '../engine/ports.ts'
import type { AuthorId, Chain } from '../protocol/ids.ts'
import { emptyChain } from '../protocol/ids.ts'
import { putAscii, putBytes, putNumber } from './digits.ts'

// crypto.hash is one call without an object in between, but Node has it only from 20.12 on and the types of Node 20 do not all know it.
const oneShot = (crypto as { hash?: (algorithm: string, input: string | Uint8Array, encoding: 'hex') => string }).hash

const sha1: (input: string | Uint8Array) => string =
  oneShot === undefined ? input => crypto.createHash('sha1').update(input).digest('hex') : input => oneShot('sha1', input, 'hex')

const digits = emptyChain.length

/** The chain after `entry`, on a history whose chain is `previous`. Authors hold no "|", so no two entries spell the same line. */
export const link = (previous: Chain, entry: { readonly author: string; readonly seq: number; readonly body: string }): Chain =>
  sha1(`${previous}|${entry.author}|${entry.seq}|${entry.body}`).slice(0, digits) as Chain

const bar = 0x7c
const longestNumber = 24 // characters of a seq, whatever is in its place
let line = new Uint8Array(1_024)
/** Whoever wrote the last line, most often of the next one too. */
let known = { author: '' as AuthorId, bytes: new Uint8Array() }

/** Whether the chain of that one of a page is the one after its entry. @param before the chain before the page */
export const follows = (page: Page, i: number, before: Chain): boolean => {
  const { chains, bodies, seqs } = page
  const author = authorAt(page, i)
  if (author !== known.author) known = { author, bytes: Uint8Array.from(Buffer.from(author)) }
  const [from, to] = [startOf(bodies, i), bodies.ends[i]!]
  const place = startOf(chains, i)
  const most = (i === 0 ? before.length : place - startOf(chains, i - 1)) + known.bytes.length + longestNumber + 3 + to - from
  if (most > line.length) line = new Uint8Array(2 * most)
  let at = i === 0 ? putAscii(line, 0, before) : putBytes(line, 0, chains.bytes, startOf(chains, i - 1), place)
  line[at++] = bar
  at = putBytes(line, at, known.bytes, 0, known.bytes.length)
  line[at++] = bar
  at = putNumber(line, at, seqs[i]!)
  line[at++] = bar
  at = putBytes(line, at, bodies.bytes, from, to)
  const sum = sha1(line.subarray(0, at))
  if (chains.ends[i]! - place !== digits) return false
  for (let digit = 0; digit < digits; digit++) if (sum.charCodeAt(digit) !== chains.bytes[place + digit]) return false
  return true
}

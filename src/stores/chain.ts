// The running hash that tells two histories with equal versions apart (R1).
// Invariant: the chain at a version depends on every entry up to it and on nothing else, in every store and on every node.

import * as crypto from 'node:crypto'
import type { Chain } from '../protocol/ids.ts'
import { emptyChain } from '../protocol/ids.ts'

// crypto.hash is one call without an object in between, but Node has it only from 20.12 on and the types of Node 20 do not all know it.
const oneShot = (crypto as { hash?: (algorithm: string, input: string, encoding: 'hex') => string }).hash

const sha1: (input: string) => string =
  oneShot === undefined ? input => crypto.createHash('sha1').update(input).digest('hex') : input => oneShot('sha1', input, 'hex')

const digits = emptyChain.length

/** The chain after `entry`, on a history whose chain is `previous`. Authors hold no "|", so no two entries spell the same line. */
export const link = (previous: Chain, entry: { readonly author: string; readonly seq: number; readonly body: string }): Chain =>
  sha1(`${previous}|${entry.author}|${entry.seq}|${entry.body}`).slice(0, digits) as Chain

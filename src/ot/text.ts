// Plain text as a document type: the face of the text rooms to engine, client and stores.
// Invariant: a well-formed text under ops without a fault stays well-formed.
import { compose, mapPosition, transform, transformPair } from './algebra.ts'
import { diff } from './diff.ts'
import { opFromJson, opToJson } from './json.ts'
import { equals, isNoop, isWellFormed, longestText, noop, type TextOp } from './op.ts'
import { Text } from './rope.ts'
import { split } from './split.ts'
import { type DocumentType, OpError } from './type.ts'

export const textType: DocumentType<Text, TextOp> = {
  name: 'text',
  empty: Text.empty,
  size: text => text.length,
  baseSize: op => op.baseLength,
  targetSize: op => op.targetLength,
  apply: (text, op) => text.apply(op),
  compose,
  transform,
  transformPair,
  invert,
  isNoop,
  equals,
  noop,
  diff: (from, to) => (from === to ? noop(from.length) : diff(from.toString(), to.toString())),
  mapPosition,
  fault,
  opFromJson,
  opToJson,
  snapshotFromJson: json => {
    if (typeof json !== 'string') throw new OpError(`a text is a string, not ${json === null ? 'null' : typeof json}`)
    if (json.length > longestText) throw new OpError(`text of ${json.length} units: the longest is ${longestText}`)
    if (!isWellFormed(json)) throw new OpError('text has a lone surrogate')
    return Text.of(json)
  },
  snapshotToJson: text => text.toString(),
  split,
  hash: text => text.hash,
}

/** What takes before.apply(op) back to before. */
export function invert(op: TextOp, before: Text): TextOp {
  if (op.baseLength !== before.length) throw new RangeError(`op of base length ${op.baseLength} on a text of ${before.length}`)
  const { edits } = op
  const back = edits.slice() // the same places, with delete and insert exchanged
  let inserted = ''
  let at = 0
  for (let i = 0; i < edits.length; i += 3) {
    const deleted = edits[i + 1]!
    at += edits[i]!
    back[i + 1] = edits[i + 2]!
    back[i + 2] = deleted
    if (deleted > 0) inserted += before.slice(at, at + deleted)
    at += deleted
  }
  return { baseLength: op.targetLength, targetLength: op.baseLength, edits: back, inserted }
}

/** Null, or in which way op would leave half a surrogate pair in a text that has none. */
export function fault(op: TextOp, text: Text): string | null {
  const { edits, inserted } = op
  if (!isWellFormed(inserted)) return 'an insert has a lone surrogate'
  let at = 0
  let used = 0
  for (let i = 0; i < edits.length; i += 3) {
    at += edits[i]!
    if (cuts(text, at)) return `an edit at ${at} cuts a surrogate pair`
    // Two inserts may hold a half each, so that all inserted text together looks well-formed.
    if (used > 0 && isLow(inserted.charCodeAt(used))) return `an insert at ${at} begins with half a surrogate pair`
    used += edits[i + 2]!
    if (edits[i + 1]! > 0) {
      at += edits[i + 1]!
      if (cuts(text, at)) return `an edit at ${at} cuts a surrogate pair`
    }
  }
  return null
}

/**
 * The range, grown at either end to a border between code points, for edits that come from something that counts code units. An
 * empty range inside a pair moves before the pair.
 */
export function snapOutward(text: Text | string, from: number, to: number): readonly [from: number, to: number] {
  const start = cuts(text, from) ? from - 1 : from
  if (from === to) return [start, start]
  return [start, cuts(text, to) ? to + 1 : to]
}

/** Whether `at` lies between the two halves of a pair. */
function cuts(text: Text | string, at: number): boolean {
  if (at <= 0 || at >= text.length || !isLow(text.charCodeAt(at))) return false
  const before = text.charCodeAt(at - 1)
  return before >= 0xd800 && before < 0xdc00
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code < 0xe000
}

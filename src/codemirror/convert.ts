// Edits between CodeMirror and Inkwell: both count UTF-16 units, so nothing but the shape changes.
// Invariant: either form, applied to the same text, gives the same text.

import { ChangeSet, type Text as EditorText } from '@codemirror/state'
import { type Edit, fromEdits, type TextOp, toEdits } from '../ot/op.ts'
import type { Text } from '../ot/rope.ts'
import { snapOutward } from '../ot/text.ts'

/** Stands in an op where the changes had half of a surrogate pair; it is as long. */
export const replacementCharacter = '\ufffd'

/** The op of a transaction's changes. Line breaks are `\n`, as the extension's line separator makes them. */
export const opOfChanges = (changes: ChangeSet): TextOp => {
  const edits: Edit[] = []
  changes.iterChanges((from, to, _fromB, _toB, inserted) => edits.push([from, to, wellFormed(inserted.toString())]))
  return fromEdits(edits, changes.length)
}

/** What a transaction has to say so that the editor's text changes as op says. `toText` is the state's own, which knows its line breaks. */
export const changesOfOp = (op: TextOp, toText: (text: string) => EditorText): ChangeSet =>
  ChangeSet.of(
    toEdits(op).map(([from, to, insert]) => ({ from, to, insert: toText(insert) })),
    op.baseLength,
  )

/** The op without its cuts through surrogate pairs of `text`: a character of which half would go goes whole. */
export const snapped = (op: TextOp, text: Text): TextOp => {
  const edits: [from: number, to: number, text: string][] = []
  for (const [from, to, inserted] of toEdits(op)) {
    const [start, end] = snapOutward(text, from, to)
    const last = edits.at(-1)
    if (last === undefined || start > last[1]) {
      edits.push([start, end, inserted])
      continue
    }
    last[1] = Math.max(last[1], end)
    last[2] += inserted
  }
  return fromEdits(edits, op.baseLength)
}

/** An op that leads from one text to another, which is well-formed, by one replacement. The first may be ill-formed. */
export const replacing = (from: string, to: string): TextOp => {
  const shorter = Math.min(from.length, to.length)
  let start = 0
  while (start < shorter && from.charCodeAt(start) === to.charCodeAt(start)) start++
  if (isLow(to.charCodeAt(start))) start-- // a pair of `from` in which the two differ begins like one of `to`
  let end = 0
  while (end < shorter - start && from.charCodeAt(from.length - 1 - end) === to.charCodeAt(to.length - 1 - end)) end++
  if (isLow(to.charCodeAt(to.length - end))) end--
  return fromEdits([[start, from.length - end, to.slice(start, to.length - end)]], from.length)
}

const isLow = (code: number): boolean => code >= 0xdc00 && code < 0xe000

/** In every browser that has `isWellFormed`; the compiler's ES2023 library does not know it yet. */
const wellFormed = (text: string): string => (text as string & { toWellFormed(): string }).toWellFormed()

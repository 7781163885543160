// Edits between CodeMirror and Inkwell: both count UTF-16 units, so nothing but the shape changes.
// Invariant: either form, applied to the same text, gives the same text.

import { ChangeSet, type ChangeSpec, type Text } from '@codemirror/state'
import { fromEdits, type TextOp, toEdits } from '../ot/op.ts'

/** The op of a transaction's changes. Line breaks are `\n`, as the extension's line separator makes them. */
export const opOfChanges = (changes: ChangeSet): TextOp => {
  const edits: (readonly [from: number, to: number, text: string])[] = []
  changes.iterChanges((from, to, _fromB, _toB, inserted) => edits.push([from, to, inserted.toString()]))
  return fromEdits(edits, changes.length)
}

/** What a transaction has to say so that the editor's text changes as op says. `toText` is the state's own, which knows its line breaks. */
export const changesOfOp = (op: TextOp, toText: (text: string) => Text): ChangeSpec =>
  ChangeSet.of(
    toEdits(op).map(([from, to, insert]) => ({ from, to, insert: toText(insert) })),
    op.baseLength,
  )

// What is kept of the text that an edit handed back was made on: what lies around it, not a book for every word.
// Invariant: what the edit puts in and takes out is kept whole, and no surrogate pair is cut.

import { type Edit, fromEdits, type TextOp, toEdits } from '../ot/op.ts'
import { Text } from '../ot/rope.ts'
import { snapOutward } from '../ot/text.ts'

/** UTF-16 units. A text up to this long is kept whole: every edit then finds its place again as well as can be. */
const keptWhole = 16_384

/** UTF-16 units kept of a longer one before each edit and after the last: some lines, by which the diff finds the place again. */
const around = 1_024

/** The edit, and as much of what it was made on as is kept. */
export const nearby = <S, O>(op: O, before: S): { readonly op: O; readonly before: S } => {
  if (!(before instanceof Text) || before.length <= keptWhole) return { op, before }
  const edits = toEdits(op as TextOp) // a snapshot that is a Text has ops that are TextOps
  let kept = ''
  let at = 0
  const near = edits.map(([from, to, text]): Edit => {
    kept += before.slice(Math.max(at, snapOutward(before, from - around, to)[0]), to)
    at = to
    return [kept.length - (to - from), kept.length, text]
  })
  kept += before.slice(at, snapOutward(before, at, at + around)[1])
  return { op: fromEdits(near, kept.length) as O, before: Text.of(kept) as S }
}

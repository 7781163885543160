// What goes between an editor and a document, over random edits of texts with emoji and every kind of line break.

import { type ChangeSet, EditorState } from '@codemirror/state'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changesOfOp, opOfChanges } from '../../src/codemirror/convert.ts'
import { colorOf, palette } from '../../src/codemirror/peers.ts'
import { fromEdits } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'

const seed = Number(process.env.SEED ?? 1)
const runs = { seed, numRuns: 20_000 }

const piece = fc.constantFrom('a', 'bc', '😀', '\n', '\r\n', '\r', '\n\n', 'é', ' ')
const text = fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join(''))

/** A text and edits of it that cut no surrogate pair. */
const edited = fc.tuple(text, fc.array(fc.tuple(fc.nat(), fc.nat(3), text), { maxLength: 4 })).map(([before, rough]) => {
  const points = [...before]
  let from = 0
  const edits: [number, number, string][] = []
  for (const [skip, remove, insert] of rough) {
    const start = Math.min(points.length, from + (skip % 5) + (edits.length > 0 ? 1 : 0))
    const end = Math.min(points.length, start + remove)
    if (start < from || (edits.length > 0 && start <= from)) break
    const at = (n: number) => points.slice(0, n).join('').length
    if (end > start || insert !== '') edits.push([at(start), at(end), insert])
    from = end
  }
  return { before, edits }
})

const stateOf = (doc: string) => EditorState.create({ doc, extensions: [EditorState.lineSeparator.of('\n')] })

test('[P1] an editor’s changes, as an op, change the text as they change the editor', () => {
  fc.assert(
    fc.property(edited, ({ before, edits }) => {
      const state = stateOf(before)
      expect(state.doc.length).toBe(before.length)
      const { changes, state: after } = state.update({ changes: edits.map(([from, to, insert]) => ({ from, to, insert })) })
      expect(Text.of(before).apply(opOfChanges(changes)).toString()).toBe(after.sliceDoc())
    }),
    runs,
  )
})

test('[P1] an op, as an editor’s changes, changes the editor as it changes the text', () => {
  fc.assert(
    fc.property(edited, ({ before, edits }) => {
      const op = fromEdits(edits, before.length)
      const state = stateOf(before)
      const after = state.update({ changes: changesOfOp(op, string => state.toText(string)) }).state
      expect(after.sliceDoc()).toBe(Text.of(before).apply(op).toString())
    }),
    runs,
  )
})

test('there and back again is the same op', () => {
  fc.assert(
    fc.property(edited, ({ before, edits }) => {
      const op = fromEdits(edits, before.length)
      const back = opOfChanges(changesOfOp(op, string => stateOf('').toText(string)) as ChangeSet)
      expect(textType.equals(back, op)).toBe(true)
    }),
    runs,
  )
})

test('everybody has one of the colours, the same everywhere', () => {
  fc.assert(
    fc.property(fc.string(), id => {
      expect(palette[colorOf(id)]).toMatch(/^#[0-9a-f]{6}$/)
      expect(colorOf(id)).toBe(colorOf(id))
    }),
    { seed, numRuns: 1_000 },
  )
})

// What goes between an editor and a document, over random edits of texts with emoji and every kind of line break.

import { EditorState } from '@codemirror/state'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changesOfOp, opOfChanges, replacementCharacter, replacing, snapped } from '../../src/codemirror/convert.ts'
import { colorOf, nightPalette, palette } from '../../src/codemirror/peers.ts'
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
      const back = opOfChanges(changesOfOp(op, string => stateOf('').toText(string)))
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

test('half a surrogate pair becomes a replacement character, and positions stay', () => {
  const { changes } = stateOf('a😀b').update({ changes: { from: 1, to: 2, insert: 'x\ud83d' } })
  expect(opOfChanges(changes)).toEqual(fromEdits([[1, 2, `x${replacementCharacter}`]], 4))
})

/** Code units of which some are halves of pairs. */
const units = fc.array(fc.constantFrom('a', 'b', '\ud83d', '\ude00', '😀', '😁', '\n'), { maxLength: 8 }).map(all => all.join(''))

test('one replacement leads from any text, also an ill-formed one, to a well-formed one', () => {
  fc.assert(
    fc.property(units, text, (from, to) => {
      const op = replacing(from, to)
      expect(Text.of(from).apply(op).toString()).toBe(to)
      expect(op.edits.length).toBeLessThanOrEqual(3)
    }),
    runs,
  )
})

test('an op that cuts characters in two is made one that does not, and deletes what the first one touched', () => {
  const cutting = fc.tuple(text, fc.uniqueArray(fc.nat(24), { maxLength: 6 }), text).map(([before, rough, insert]) => {
    const points = rough.map(at => Math.min(at, before.length)).sort((x, y) => x - y)
    const edits: [number, number, string][] = []
    for (let i = 0; i + 1 < points.length; i += 2) edits.push([points[i]!, points[i + 1]!, i === 2 ? '' : insert])
    return { before, op: fromEdits(edits, before.length) }
  })
  fc.assert(
    fc.property(cutting, ({ before, op }) => {
      const snapshot = Text.of(before)
      const sound = snapped(op, snapshot)
      expect(textType.fault(sound, snapshot)).toBeNull()
      if (textType.fault(op, snapshot) === null) expect(textType.equals(sound, op)).toBe(true)
      expect(sound.inserted).toBe(op.inserted)
    }),
    runs,
  )
})

test('names can be read on every colour by day and by night, and the carets beside the text', () => {
  const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  const luminance = (color: string) => {
    const [red, green, blue] = [1, 3, 5].map(at => linear(Number.parseInt(color.slice(at, at + 2), 16) / 255))
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!
  }
  /** WCAG 2's ratio; 4.5 is asked for text. */
  const contrast = (a: string, b: string) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y)
    return (light! + 0.05) / (dark! + 0.05)
  }
  expect(nightPalette.length).toBe(palette.length)
  expect(palette.filter(color => contrast(color, '#ffffff') < 4.5)).toEqual([])
  expect(nightPalette.filter(color => contrast(color, '#000000') < 4.5 || contrast(color, '#22262f') < 4.5)).toEqual([])
})

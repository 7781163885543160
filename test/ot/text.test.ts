// What a caller of the text type sees: refusals that name the number, and the cases that the made-up ones seldom hit.
import fc from 'fast-check'
import fastDiff from 'fast-diff'
import { describe, expect, it } from 'vitest'
import { composeAll, mapPosition, mapSelection, transform } from '../../src/ot/algebra.ts'
import { diff } from '../../src/ot/diff.ts'
import { fromEdits, insert, longestText, noop, remove, replace, type TextOp, textOp, toEdits } from '../../src/ot/op.ts'
import { applyAll, Text } from '../../src/ot/rope.ts'
import { servedText } from '../../src/ot/served.ts'
import { fault, snapOutward, textType } from '../../src/ot/text.ts'
import { OpError } from '../../src/ot/type.ts'
import { seededRandom } from '../../src/testing/type-laws.ts'
import { patchesOf, sequentialTrace, sequentialTraces } from '../traces.ts'
import { applied } from './samples.ts'

const read = (json: unknown, base: number) => () => textType.opFromJson(json, base)

describe('a text op', () => {
  it('is written as JSON by what it keeps, inserts and deletes', () => {
    const json = (op: TextOp) => JSON.stringify(textType.opToJson(op))
    expect(json(insert(60_000, 52_341, 'x'))).toBe('[52341,"x"]')
    expect(json(remove(60_000, 52_341, 52_342))).toBe('[52341,-1]')
    expect(json(replace(60_000, 52_341, 52_346, 'hello'))).toBe('[52341,"hello",-5]')
    expect(json(noop(7))).toBe('[]')
  })

  it('is refused with the component and the limit that it broke', () => {
    expect(read('x', 3)).toThrow(new OpError('op is "x", not an array of components'))
    expect(read([4, 'x'], 3)).toThrow(new OpError('component 0, 4, reaches 4: the base ends at 3'))
    expect(read([1, -3], 3)).toThrow(new OpError('component 1, -3, reaches 4: the base ends at 3'))
    expect(read([1, 'x', -1, 1], 3)).toThrow(new OpError('component 3 keeps 1 at the end: what is left is kept unsaid'))
    expect(read([1.5, 'x'], 3)).toThrow(new OpError('component 0 is 1.5: neither text nor a whole number other than 0'))
    expect(read([-0], 3)).toThrow(new OpError('component 0 is -0: neither text nor a whole number other than 0'))
    expect(read([2 ** 53, 'x'], 3)).toThrow(OpError)
    expect(read([{ d: 1 }], 3)).toThrow(new OpError('component 0 is an object: neither text nor a whole number other than 0'))
    expect(read(['\ud83d'], 3)).toThrow(new OpError('component 0 inserts a lone surrogate: "\\ud83d"'))
    expect(read([-1, 'x'], 3)).toThrow(new OpError('component 1 inserts behind a delete: at one place the insert comes first'))
    expect(read([], longestText + 1)).toThrow(OpError)
    expect(read(['x'], longestText)).toThrow(
      new OpError(`op leads to ${longestText + 1} units: the longest text is ${longestText}`),
    )
  })

  it('may not bring half a surrogate pair in each of two inserts', () => {
    // All inserted text together looks well-formed.
    expect(read(['\ud83d', 1, '\ude00'], 3)).toThrow(OpError)
    const op: TextOp = { baseLength: 3, targetLength: 5, edits: [0, 0, 1, 1, 0, 1], inserted: '\ud83d\ude00' }
    expect(fault(op, Text.of('abc'))).toBe('an insert at 1 begins with half a surrogate pair')
    expect(() => insert(3, 0, '\ud83d')).toThrow(new OpError('inserted text "\\ud83d" has a lone surrogate'))
    expect(() => textOp(3).insert('\ude00')).toThrow(OpError)
  })

  it('may not cut a pair of the text, wherever it begins or ends', () => {
    const text = Text.of('a😀b')
    expect(fault(insert(4, 2, 'x'), text)).toBe('an edit at 2 cuts a surrogate pair')
    expect(fault(remove(4, 2, 3), text)).toBe('an edit at 2 cuts a surrogate pair')
    expect(fault(remove(4, 1, 2), text)).toBe('an edit at 2 cuts a surrogate pair')
    expect(fault(remove(4, 1, 3), text)).toBeNull()
    expect(snapOutward(text, 2, 2)).toEqual([1, 1])
    expect(snapOutward('a😀b', 1, 2)).toEqual([1, 3])
  })

  it('is not built beyond its base, nor of edits out of order', () => {
    expect(() => insert(3, 4, 'x')).toThrow(new RangeError('range 4..4 is not within a text of 3'))
    expect(() => remove(3, 2, 1)).toThrow(RangeError)
    expect(() => insert(3, 0.5, 'x')).toThrow(RangeError)
    expect(() => textOp(3).retain(2).delete(2)).toThrow(new RangeError('delete of 2 at 2 goes beyond the base length 3'))
    expect(() => textOp(-1)).toThrow(RangeError)
    expect(() =>
      fromEdits(
        [
          [2, 3, ''],
          [1, 1, 'x'],
        ],
        3,
      ),
    ).toThrow(new RangeError('edit at 1 begins before the end of the one before it, 3'))
    expect(() => composeAll([])).toThrow(RangeError)
  })

  it('is not joined with what was made on another text', () => {
    expect(() => Text.of('12345678901').apply(noop(12))).toThrow(new RangeError('op of base length 12 on a text of 11'))
    expect(() => transform(noop(1), noop(2), 'left')).toThrow(RangeError)
    expect(() => textType.transformPair(noop(1), noop(2), 'left')).toThrow(RangeError)
    expect(() => textType.compose(insert(0, 0, 'x'), noop(0))).toThrow(RangeError)
    expect(() => textType.invert(noop(1), Text.empty)).toThrow(RangeError)
  })
})

describe('the tie rule', () => {
  it('puts the left one first at one place', () => {
    expect(transform(insert(2, 1, 'a'), insert(2, 1, 'b'), 'left')).toEqual(insert(3, 1, 'a'))
    expect(transform(insert(2, 1, 'a'), insert(2, 1, 'b'), 'right')).toEqual(insert(3, 2, 'a'))
  })

  it('keeps an insert into a range that the other deletes', () => {
    const theirs = replace(6, 1, 5, 'X')
    for (const side of ['left', 'right'] as const) {
      expect(transform(insert(6, 3, 'B'), theirs, side)).toEqual(insert(3, 2, 'B'))
      expect(
        Text.of('abcdef')
          .apply(theirs)
          .apply(transform(insert(6, 3, 'B'), theirs, side))
          .toString(),
      ).toBe('aXBf')
    }
  })

  it('keeps what is inserted at either end of a selection outside it', () => {
    const op = fromEdits(
      [
        [2, 2, '<<'],
        [4, 4, '>>'],
      ],
      6,
    )
    expect(mapSelection({ anchor: 2, head: 4 }, op, 'left')).toEqual({ anchor: 4, head: 6 })
    expect(mapSelection({ anchor: 4, head: 2 }, op, 'left')).toEqual({ anchor: 6, head: 4 })
    expect(mapPosition(2, op, 'left')).toBe(2)
  })
})

describe('a text', () => {
  it('is a string in JSON', () => {
    expect(JSON.stringify({ text: Text.of('hé') })).toBe('{"text":"hé"}')
    expect(() => textType.snapshotFromJson(5)).toThrow(new OpError('a text is a string, not number'))
    expect(() => textType.snapshotFromJson('a\ud83d')).toThrow(new OpError('text has a lone surrogate'))
  })

  for (const name of [...sequentialTraces, 'friendsforever_flat'] as const) {
    it(`ends as ${name} ended, op by op, all at once and composed`, () => {
      const trace = sequentialTrace(name)
      let text = Text.of(trace.startContent)
      const ops = patchesOf(trace).map(([at, deleted, inserted]) => {
        const op = replace(text.length, at, at + deleted, inserted)
        text = text.apply(op)
        return op
      })
      expect(text.toString()).toBe(trace.endContent)
      expect(Text.of(trace.startContent).apply(composeAll(ops)).toString()).toBe(trace.endContent)
      const atOnce = applyAll(Text.of(trace.startContent), ops)
      expect([atOnce.toString(), atOnce.length, atOnce.hash]).toEqual([trace.endContent, text.length, text.hash])
      const hand = servedText.hand!(Text.of(trace.startContent))
      for (const [at, deleted, inserted] of patchesOf(trace)) expect(hand.types(at, inserted, deleted)).toBe(true)
      expect([hand.snapshot.toString(), hand.size]).toEqual([trace.endContent, text.length])
    })
  }

  it('stays as it was while others are made of it, one edit or many at once', () => {
    const before = 'a long text, '.repeat(20_000)
    const text = Text.of(before).apply(insert(before.length, 5, 'x')) // no longer one string
    const hash = text.hash
    const ops = [...Array(500).keys()].map(i => insert(text.length + i, (i * 7_919) % text.length, 'y'))
    const after = applyAll(text, ops)
    expect(after.toString()).toBe(ops.reduce((at, op) => at.apply(op), text).toString())
    expect(after.hash).toBe(Text.of(after.toString()).hash)
    expect([text.toString(), text.hash]).toEqual([`${before.slice(0, 5)}x${before.slice(5)}`, hash])
    expect(() => applyAll(text, [ops[0]!, ops[0]!])).toThrow(RangeError)
  })
})

describe('a hand', () => {
  it('types, takes back and goes elsewhere as ops do, whatever comes after what', () => {
    const edit = fc.tuple(
      fc.nat(),
      fc.constantFrom('', '', 'x', 'yz', 'w'.repeat(400)),
      fc.constantFrom(0, 0, 1, 1, 2, 5),
      fc.boolean(),
    )
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), fc.array(edit, { maxLength: 60 }), (start, edits) => {
        const hand = servedText.hand!(Text.of(start))
        let [text, at] = [start, 0]
        for (const [place, inserted, deleted, goesOn] of edits) {
          // Half of them go on where the last one was: type there, or take away before it.
          const from = goesOn
            ? Math.min(text.length, at) - (inserted === '' ? Math.min(deleted, at, text.length) : 0)
            : place % (text.length + 1)
          const fits = from + deleted <= text.length
          expect(hand.types(from, inserted, deleted)).toBe(fits)
          if (!fits) continue
          text = text.slice(0, from) + inserted + text.slice(from + deleted)
          at = from + inserted.length
          expect(hand.size).toBe(text.length)
          if (place % 7 === 0) expect(hand.snapshot.toString()).toBe(text)
        }
        expect(hand.snapshot.toString()).toBe(text)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a diff', () => {
  it('does not cut a pair of which only one half differs', () => {
    // U+1F600 and U+1F601 share the high half, U+1F600 and U+1FA00 the low one.
    expect(diff('a😀b', 'a😁b')).toEqual(replace(4, 1, 3, '😁'))
    expect(diff('a\u{1f600}b', 'a\u{1fa00}b')).toEqual(replace(4, 1, 3, '\u{1fa00}'))
    expect(diff('😀😀', '😀😁😀')).toEqual(insert(4, 2, '😁'))
  })

  it('finds small changes far apart in a long text', () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i} of a long text\n`)
    const from = lines.join('')
    const to = lines.toSpliced(15_000, 1, 'another\n').toSpliced(3, 0, 'new\n').join('')
    const op = diff(from, to)
    expect(Text.of(from).apply(op).toString()).toBe(to)
    expect(op.inserted.length).toBeLessThan(40)
  })

  it('finds them also where there are no lines', () => {
    const words = Array.from({ length: 20_000 }, (_, i) => `word${i}`)
    const from = words.join(' ')
    const to = words.toSpliced(15_000, 1, 'another').toSpliced(3, 0, 'new').join(' ')
    const op = diff(from, to)
    expect(Text.of(from).apply(op).toString()).toBe(to)
    expect(op.inserted.length).toBeLessThan(40)
  })

  it('inserts and deletes no more than a well-known package does, whatever the texts are', () => {
    const random = seededRandom(11)
    const some = (most: number) => Math.floor(random() * most)
    const noise = (length: number, kinds: string) => Array.from({ length }, () => kinds[some(kinds.length)]).join('')
    for (let i = 0; i < 20_000; i++) {
      const kinds = ['ab', 'abcd \n', 'abcdefghij'][i % 3]!
      const a = noise(some(24), kinds)
      const b =
        i % 2 === 0 ? noise(some(24), kinds) : a.slice(0, some(a.length)) + noise(some(4), kinds) + a.slice(some(a.length))
      const op = diff(a, b)
      const ours = toEdits(op).reduce((sum, [from, to, text]) => sum + to - from + text.length, 0)
      const theirs = fastDiff(a, b).reduce((sum, [kind, text]) => sum + (kind === fastDiff.EQUAL ? 0 : text.length), 0)
      if (applied(a, op) !== b || ours > theirs)
        throw new Error(`${JSON.stringify([a, b])}: ${ours} units, ${theirs} by the package`)
    }
  })

  it('leads there within its budget when nothing is alike', () => {
    const random = seededRandom(7)
    const noise = (length: number, from: number) =>
      Array.from({ length }, () => String.fromCodePoint(from + Math.floor(random() * 60))).join('')
    for (const [a, b] of [
      [noise(300_000, 0x1f600), noise(300_000, 0x1f640)],
      [noise(300_000, 65), noise(300_000, 65)],
      ['ab'.repeat(200_000), 'ba'.repeat(150_000)],
      ['x\n'.repeat(100_000), 'x\ny\n'.repeat(70_000)],
    ] as const) {
      const op = diff(a, b)
      expect(Text.of(a).apply(op).toString() === b).toBe(true)
      expect(fault(op, Text.of(a))).toBeNull()
    }
  })
})

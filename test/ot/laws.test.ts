// The laws of the text type, each over `CASES` (100,000) made-up cases, from `SEED` on.
import { describe, it } from 'vitest'
import { compose, composeAll, mapPosition, mapPositions, mapSelection, transform, transformPair } from '../../src/ot/algebra.ts'
import { diff } from '../../src/ot/diff.ts'
import { type Edit, equals, fromEdits, insert, isWellFormed, type TextOp, textOp, toEdits } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { servedText } from '../../src/ot/served.ts'
import { fault, invert, snapOutward, textType } from '../../src/ot/text.ts'
import { OpError, type Side } from '../../src/ot/type.ts'
import { checkLaw, documentTypeLaws, type Random } from '../../src/testing/type-laws.ts'
import { applied, below, bordersOf, edits, plain, rich, run, words } from './samples.ts'

const sides: Side[] = ['left', 'right']

describe('[P1] text ops keep the laws of a document type', () => {
  for (const law of documentTypeLaws(servedText, plain)) it(law.title, () => checkLaw(law, run))
})

describe('[P1] text ops keep the laws on texts full of surrogate pairs', () => {
  for (const law of documentTypeLaws(servedText, rich)) it(law.title, () => checkLaw(law, run))
})

describe('text ops keep laws of their own', () => {
  const law = (title: string, check: (random: Random) => void) => it(title, () => checkLaw({ title, check }, run))

  law('every result is in normal form', random => {
    const { s, a, b, side } = diamond(random)
    const moved = transform(b, a, side)
    for (const op of [a, b, moved, ...transformPair(a, b, side), compose(a, moved), invert(a, s)]) requireNormal(op)
    requireNormal(diff(s.toString(), plain.snapshot(random).toString()))
  })

  law('well-formed text stays well-formed', random => {
    const s = rich.snapshot(random)
    const a = rich.op(random, s)
    const b = rich.op(random, s)
    const [aAfter, bAfter] = transformPair(a, b, sides[below(random, 2)]!)
    const to = rich.snapshot(random).toString()
    for (const op of [aAfter, bAfter, compose(a, bAfter), invert(a, s), diff(s.toString(), to)]) {
      for (const [, , text] of toEdits(op)) require(isWellFormed(text), 'an insert is ill-formed', op)
    }
    for (const text of [s.apply(a).apply(bAfter), s.apply(diff(s.toString(), to))]) {
      require(isWellFormed(text.toString()), 'text is ill-formed', text.toString())
    }
  })

  law('a fault is seen exactly where an edit cuts a surrogate pair', random => {
    const text = words(random, 10, true)
    const anywhere = Array.from({ length: text.length + 1 }, (_, i) => i)
    const op = fromEdits(
      edits(random, anywhere, 3, r => words(r, 2, true)),
      text.length,
    )
    const borders = new Set(bordersOf(text))
    const cut = toEdits(op).some(([from, to]) => !borders.has(from) || !borders.has(to))
    const found = fault(op, Text.of(text))
    require((found !== null) === cut, `fault ${found}, but ${cut ? 'a' : 'no'} pair is cut`, { text, op })
  })

  law('snapping outward ends between code points and loses nothing that was in the range', random => {
    const text = words(random, 10, true)
    const from = below(random, text.length + 1)
    const to = from + below(random, text.length + 1 - from)
    const [start, end] = snapOutward(text, from, to)
    const borders = bordersOf(text)
    const wide = from === to || (start <= from && end >= to)
    require(wide && borders.includes(start) && borders.includes(end), 'snapped wrongly', { text, from, to, start, end })
    require(from - start <= 1 && end - to <= 1, 'snapped too far', { text, from, to, start, end })
  })

  law('positions keep their order', random => {
    const { s, a } = diamond(random)
    let last = 0
    for (let at = 0; at <= s.length; at++) {
      const left = mapPosition(at, a, 'left')
      const right = mapPosition(at, a, 'right')
      require(last <= left && left <= right && right <= a.targetLength, `order is lost at ${at}`, a)
      last = right
    }
  })

  law('a position moves as an insert at that place would', random => {
    const { s, a, side } = diamond(random)
    const at = below(random, s.length + 1)
    const moved = transform(insert(s.length, at, 'x'), a, side)
    require(moved.edits[0] === mapPosition(at, a, side), `position ${at} moves otherwise`, { a, moved })
  })

  law('an insert right at a position: left stays before it, right goes behind it', random => {
    const s = plain.snapshot(random)
    const at = below(random, s.length + 1)
    const text = `x${words(random, 3, true)}`
    const op = insert(s.length, at, text)
    require(mapPosition(at, op, 'left') === at && mapPosition(at, op, 'right') === at + text.length, 'wrong side', op)
  })

  law('many positions are mapped as each alone', random => {
    const { s, a, side } = diamond(random)
    const positions = Array.from({ length: 6 }, () => below(random, s.length + 1)).sort((x, y) => x - y)
    const each = positions.map(at => mapPosition(at, a, side))
    require(String(mapPositions(positions, a, side)) === String(each), 'differs', { positions, a, each })
  })

  law('a selection keeps its direction and takes in no text that is inserted at its ends', random => {
    const { s, a, side } = diamond(random)
    const anchor = below(random, s.length + 1)
    const head = below(random, s.length + 1)
    const after = mapSelection({ anchor, head }, a, side)
    const direction = Math.sign(head - anchor) * Math.sign(after.head - after.anchor)
    require(direction >= 0, 'turned round', { anchor, head, a })
    const edge = Math.min(anchor, head)
    const grown = mapSelection({ anchor, head }, insert(s.length, edge, 'xx'), side)
    require(Math.abs(grown.head - grown.anchor) === Math.abs(head - anchor), 'took in text', { anchor, head })
  })

  law('only the one JSON form of an op is read', random => {
    const s = rich.snapshot(random)
    const op = rich.op(random, s)
    const bad = mutated(random, textType.opToJson(op) as (number | string)[], s.length)
    try {
      const read = textType.opFromJson(bad.json, s.length)
      require(false, `accepted: ${bad.how}`, { json: bad.json, base: s.length, read })
    } catch (error) {
      if (!(error instanceof OpError)) throw error
    }
  })

  law('what is read from made-up JSON is written in the same way', random => {
    const json = Array.from({ length: below(random, 5) }, () => (random() < 0.4 ? words(random, 2, true) : below(random, 7) - 3))
    let op: TextOp
    try {
      op = textType.opFromJson(json, 6)
    } catch (error) {
      if (error instanceof OpError) return
      throw error
    }
    requireNormal(op)
    require(JSON.stringify(textType.opToJson(op)) === JSON.stringify(json), 'written otherwise', { json, op })
  })

  law(
    'a text is what a plain string would be, also over the borders of its chunks, and the text before stays as it was',
    random => {
      const seed = words(random, 20, true) || 'x'
      const long = random() < 0.05 // over several groups of chunks
      let model = seed.repeat(below(random, long ? 8000 : 400)).slice(0, below(random, long ? 100_000 : 9000))
      let text = Text.of(model)
      for (let i = 0; i < 3; i++) {
        const from = below(random, model.length + 1)
        const most = [5, 5, 5000, long ? 60_000 : 5000][below(random, 4)]!
        const to = random() < 0.3 ? from : Math.min(model.length, from + below(random, most))
        const added = ['', 'x', seed, seed.repeat(below(random, long ? 2000 : 200))][below(random, 4)]!
        const far = Math.min(model.length, to + below(random, most))
        const list: Edit[] =
          random() < 0.3 && far > to
            ? [
                [from, to, added],
                [far, far, 'z'],
              ]
            : [[from, to, added]]
        const op = fromEdits(list, model.length)
        const before = text
        const modelBefore = model
        text = text.apply(op)
        for (const [f, t, x] of list.toReversed()) model = model.slice(0, f) + x + model.slice(t)
        const a = below(random, model.length + 1)
        const b = a + below(random, 2000)
        const holds =
          text.length === model.length &&
          text.slice(a, b) === model.slice(a, b) &&
          Object.is(text.charCodeAt(a), model.charCodeAt(a)) &&
          (i < 2 || (text.toString() === model && text.slice(a, b) === model.slice(a, b))) &&
          (i > 0 || before.toString() === modelBefore)
        require(holds, 'differs from the string', { modelBefore, list, text: text.toString() })
      }
    },
  )

  law('apply does what the plain meaning of the op says', random => {
    const s = rich.snapshot(random)
    const op = rich.op(random, s)
    require(s.apply(op).toString() === applied(s.toString(), op), 'differs', { s, op })
  })

  law('composing all is composing one by one', random => {
    let s = plain.snapshot(random)
    const ops: TextOp[] = []
    for (let n = 1 + below(random, 9); n > 0; n--) {
      const op = plain.op(random, s)
      s = s.apply(op)
      ops.push(op)
    }
    const one = ops.reduce(compose)
    require(equals(composeAll(ops), one), 'differs', { ops, one, all: composeAll(ops) })
  })

  it('composing a long row of keystrokes, deletes and pastes is composing them one by one', () => {
    const title = 'a long row composes as one by one'
    const check = (random: Random) => {
      let length = below(random, 3000)
      const ops: TextOp[] = []
      for (let n = 50 + below(random, 400); n > 0; n--) {
        const from = random() < 0.5 ? Math.min(length, (ops.at(-1)?.edits[0] ?? 0) + 1) : below(random, length + 1)
        const most = random() < 0.01 ? 2000 : [0, 1, 3, 9][below(random, 4)]! // seldom much, so that many pieces gather
        const to = random() < 0.6 ? from : Math.min(length, from + below(random, most + 1))
        const text = random() < 0.02 ? words(random, 9, false).repeat(below(random, 500)) : words(random, 3, false)
        const last = Math.max(to, length - below(random, 9))
        const op = fromEdits(
          random() < 0.1
            ? [
                [from, to, text],
                [last, length, 'z'],
              ]
            : [[from, to, text]],
          length,
        )
        ops.push(op)
        length = op.targetLength
      }
      const one = ops.reduce(compose)
      const all = composeAll(ops)
      requireNormal(all)
      require(equals(all, one), 'differs', { ops, one, all })
    }
    checkLaw({ title, check }, { ...run, cases: Math.max(10, run.cases / 50) })
  })

  law('a builder takes steps in any order and builds the normal form', random => {
    const s = plain.snapshot(random)
    const list = edits(random, bordersOf(s.toString()), 4, r => words(r, 2, false))
    const op = textOp(s.length)
    let at = 0
    for (const [from, to, text] of list) {
      op.retain(from - at)
        .retain(0)
        .insert('')
      if (random() < 0.5) op.delete(to - from).insert(text)
      else
        op.insert(text.slice(0, 1))
          .delete(to - from)
          .insert(text.slice(1))
      at = to
    }
    const built = op.build()
    requireNormal(built)
    require(equals(built, fromEdits(list, s.length)), 'differs from fromEdits', { list, built })
    require(equals(fromEdits(toEdits(built), s.length), built), 'edits do not lead back', built)
  })
})

function diamond(random: Random) {
  const s = plain.snapshot(random)
  return { s, a: plain.op(random, s), b: plain.op(random, s), side: sides[below(random, 2)]! }
}

function require(holds: boolean, what: string, facts: unknown): void {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(facts)}`)
}

function requireNormal(op: TextOp): void {
  let kept = 0
  let deleted = 0
  let inserted = 0
  for (let i = 0; i < op.edits.length; i += 3) {
    const [skip, del, ins] = op.edits.slice(i, i + 3) as [number, number, number]
    require(skip >= 0 && del >= 0 && ins >= 0, 'negative', op)
    require(i === 0 || skip > 0, 'two edits at one place', op)
    require(del + ins > 0, 'an edit of nothing', op)
    kept += skip
    deleted += del
    inserted += ins
  }
  require(op.edits.length % 3 === 0 && inserted === op.inserted.length, 'inserted text does not fit', op)
  require(kept + deleted <= op.baseLength, 'longer than its base', op)
  require(op.targetLength === op.baseLength - deleted + inserted, 'wrong target length', op)
}

/** One mistake in an op's JSON, of any kind that a client could make. */
function mutated(random: Random, good: (number | string)[], base: number): { how: string; json: unknown } {
  const json: unknown[] = good.slice()
  const at = below(random, json.length + 1)
  const put = (how: string, ...values: unknown[]) => ({ how, json: json.toSpliced(at, 0, ...values) })
  const numbers = [0, -0, 1.5, -0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -(2 ** 53), 1e300]
  const others = [null, undefined, true, {}, [], { d: 1 }, 1n, () => 1, Symbol('x')]
  const lone = ['\ud83d', '\ude00', 'a\ud83d', '\ude00b', '\ude00\ud83d']
  const kinds = [
    () => ({ how: 'keep at the end', json: [...json, 1] }),
    () => put('not a count', numbers[below(random, numbers.length)]),
    () => put('not a component', others[below(random, others.length)]),
    () => put('empty insert', ''),
    () => put('lone surrogate', lone[below(random, lone.length)]),
    () => put('two inserts', 'x', 'y'),
    () => put('two keeps', 1, 1),
    () => put('two deletes', -1, -1),
    () => put('insert behind delete', -1, 'x'),
    () => ({ how: 'beyond the base', json: [base + 1, 'x'] }),
    () => ({ how: 'deletes beyond the base', json: [-(base + 1)] }),
    () => ({ how: 'beyond the base in sum', json: [...(base > 0 ? [base] : []), -1] }),
    () => ({ how: 'no array', json: [null, 'x', 5, { 0: 1, length: 1 }, undefined][below(random, 5)] }),
  ]
  return kinds[below(random, kinds.length)]!()
}

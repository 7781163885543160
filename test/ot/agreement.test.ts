// The text type beside three libraries that were written without it, on the same made-up cases, wherever their rules are the same.
import { createRequire } from 'node:module'
import { ChangeSet, Text as Doc } from '@codemirror/state'
import { describe, it } from 'vitest'
import { compose, mapPosition, transform, transformPair } from '../../src/ot/algebra.ts'
import { type Edit, fromEdits, type TextOp, toEdits } from '../../src/ot/op.ts'
import { invert, textType } from '../../src/ot/text.ts'
import { checkLaw, type Random } from '../../src/testing/type-laws.ts'
import { below, plain, rich, run, words } from './samples.ts'

const require = createRequire(import.meta.url)

interface OtJsOp {
  readonly baseLength: number
  readonly targetLength: number
  retain(n: number): OtJsOp
  insert(text: string): OtJsOp
  delete(n: number): OtJsOp
  apply(text: string): string
  compose(second: OtJsOp): OtJsOp
  invert(text: string): OtJsOp
  toJSON(): (number | string)[]
}

const { TextOperation } = require('ot') as {
  TextOperation: { new (): OtJsOp; transform(a: OtJsOp, b: OtJsOp): [OtJsOp, OtJsOp] }
}

interface OtTextUnicode {
  apply(text: string, op: unknown): string
  transform(op: unknown, over: unknown, side: 'left' | 'right'): unknown
  compose(first: unknown, second: unknown): unknown
}

const unicode = (require('ot-text-unicode') as { type: OtTextUnicode }).type

function must(holds: boolean, facts: unknown): void {
  if (!holds) throw new Error(JSON.stringify(facts))
}

const law = (title: string, check: (random: Random) => void) => it(title, () => checkLaw({ title, check }, run))

describe('ot.js agrees', () => {
  const theirs = (op: TextOp): OtJsOp => {
    const out = new TextOperation()
    let at = 0
    for (const [from, to, text] of toEdits(op)) {
      out
        .retain(from - at)
        .insert(text)
        .delete(to - from)
      at = to
    }
    return out.retain(op.baseLength - at)
  }
  // Theirs is written with the keep at the end.
  const same = (ours: TextOp, other: OtJsOp) =>
    ours.targetLength === other.targetLength && JSON.stringify(theirs(ours).toJSON()) === JSON.stringify(other.toJSON())

  law('on transform, its first argument being the left one', random => {
    const s = rich.snapshot(random)
    const a = rich.op(random, s)
    const b = rich.op(random, s)
    const ours = transformPair(a, b, 'left')
    const other = TextOperation.transform(theirs(a), theirs(b))
    must(same(ours[0], other[0]) && same(ours[1], other[1]), { s, a, b, ours })
  })

  law('on compose, apply and invert', random => {
    const s = rich.snapshot(random)
    const a = rich.op(random, s)
    const s1 = s.apply(a)
    const b = rich.op(random, s1)
    must(theirs(a).apply(s.toString()) === s1.toString(), { s, a })
    must(same(compose(a, b), theirs(a).compose(theirs(b))), { s, a, b })
    must(same(invert(a, s), theirs(a).invert(s.toString())), { s, a })
  })

  it('on ops of hundreds of edits, whose ends are copied in bulk', () => {
    const check = (random: Random) => {
      const length = 1 + below(random, 600)
      /** Of few edits or of many, in some part of the text, which touch as often as not. */
      const op = (base: number): TextOp => {
        let [at, end] = [below(random, base + 1), below(random, base + 1)].sort((x, y) => x - y) as [number, number]
        if (random() < 0.4) at = 0
        if (random() < 0.4) end = base
        const list: Edit[] = []
        for (let left = random() < 0.4 ? 1 + below(random, 2) : 300; left > 0 && at <= end; left--) {
          const to = random() < 0.5 ? at : Math.min(base, at + below(random, 3))
          list.push([at, to, words(random, 1, false)])
          at = to + below(random, 4)
        }
        return fromEdits(list, base)
      }
      const [a, b] = [op(length), op(length)]
      const c = op(a.targetLength)
      for (const side of ['left', 'right'] as const) {
        const ours = transformPair(a, b, side)
        const other =
          side === 'left'
            ? TextOperation.transform(theirs(a), theirs(b))
            : TextOperation.transform(theirs(b), theirs(a)).reverse()
        must(same(ours[0], other[0]!) && same(ours[1], other[1]!), { a, b, side, ours })
        must(same(transform(a, b, side), other[0]!), { a, b, side })
      }
      must(same(compose(a, c), theirs(a).compose(theirs(c))), { a, c })
    }
    checkLaw({ title: 'large ops', check }, { ...run, cases: Math.max(10, run.cases / 20) })
  })
})

describe('ot-text-unicode agrees', () => {
  // It counts code points and writes {d: n}; on text of the basic plane these are our units.
  const theirs = (op: TextOp): unknown[] =>
    (textType.opToJson(op) as (string | number)[]).map(part => (typeof part === 'number' && part < 0 ? { d: -part } : part))

  law('on the result of transform, with the same side', random => {
    const s = plain.snapshot(random)
    const a = plain.op(random, s)
    const b = plain.op(random, s)
    const side = random() < 0.5 ? 'left' : 'right'
    const [aAfter] = transformPair(a, b, side)
    const other = unicode.transform(theirs(a), theirs(b), side)
    const text = s.apply(b)
    must(unicode.apply(text.toString(), other) === text.apply(aAfter).toString(), { s, a, b, side, other })
  })

  law('on the result of compose and apply', random => {
    const s = plain.snapshot(random)
    const a = plain.op(random, s)
    const s1 = s.apply(a)
    const b = plain.op(random, s1)
    must(unicode.apply(s.toString(), theirs(a)) === s1.toString(), { s, a })
    const other = unicode.compose(theirs(a), theirs(b))
    must(unicode.apply(s.toString(), other) === s.apply(compose(a, b)).toString(), { s, a, b, other })
  })
})

describe('CodeMirror agrees', () => {
  const theirs = (op: TextOp) =>
    ChangeSet.of(
      toEdits(op).map(([from, to, text]) => ({ from, to, insert: text })),
      op.baseLength,
      '\n',
    )

  law('on compose, apply and invert', random => {
    const s = plain.snapshot(random)
    const doc = Doc.of(s.toString().split('\n'))
    const a = plain.op(random, s)
    const s1 = s.apply(a)
    const b = plain.op(random, s1)
    must(theirs(a).apply(doc).toString() === s1.toString(), { s, a })
    must(theirs(a).compose(theirs(b)).apply(doc).toString() === s1.apply(b).toString(), { s, a, b })
    must(theirs(a).invert(doc).apply(theirs(a).apply(doc)).toString() === s1.apply(invert(a, s)).toString(), { s, a })
  })

  law('on transform, where no edit begins at the place of another (there it also looks at what is deleted)', random => {
    const s = plain.snapshot(random)
    const a = plain.op(random, s)
    const b = plain.op(random, s)
    const places = new Set(toEdits(b).map(([from]) => from))
    if (toEdits(a).some(([from]) => places.has(from))) return
    const [aAfter] = transformPair(a, b, 'left')
    const text = s.apply(b)
    const other = theirs(a).map(theirs(b), true)
    must(other.apply(Doc.of(text.toString().split('\n'))).toString() === text.apply(aAfter).toString(), { s, a, b })
  })

  law('on where a position goes that is not inside a deleted range', random => {
    const s = plain.snapshot(random)
    const op = plain.op(random, s)
    const at = below(random, s.length + 1)
    if (toEdits(op).some(([from, to]) => from <= at && at <= to && from < to)) return
    const ours = [mapPosition(at, op, 'left'), mapPosition(at, op, 'right')]
    const other = [theirs(op).mapPos(at, -1), theirs(op).mapPos(at, 1)]
    must(String(ours) === String(other), { s, op, at, ours, other })
  })
})

// Makes docs/vectors.json: cases by which a text type in another language can be checked.
// Invariant: the same on every machine; every case is computed by the code and states what it was computed from.

import { compose, mapPosition, transformPair } from '../../src/ot/algebra.ts'
import { fromEdits, insert, longestText, remove, replace, type TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { fault, invert, textType } from '../../src/ot/text.ts'
import { OpError, type Side } from '../../src/ot/type.ts'
import { seededRandom } from '../../src/testing/type-laws.ts'
import { below, plain, rich } from './samples.ts'

const each = 40 // made-up cases of each kind
const json = textType.opToJson

export function makeVectors() {
  const random = seededRandom(1)
  const made = <T>(make: (sample: typeof plain, side: Side) => T): T[] =>
    Array.from({ length: each }, (_, i) => make(i % 2 === 0 ? plain : rich, i % 4 < 2 ? 'left' : 'right'))

  const applyCase = (text: string, op: TextOp) => {
    const after = Text.of(text).apply(op)
    return { text, op: json(op), result: after.toString(), inverse: json(invert(op, Text.of(text))) }
  }
  const transformCase = (text: string, a: TextOp, b: TextOp, side: Side) => {
    const [aAfterB, bAfterA] = transformPair(a, b, side)
    return { text, a: json(a), b: json(b), side, aAfterB: json(aAfterB), bAfterA: json(bAfterA), result: apply(text, a, bAfterA) }
  }
  const composeCase = (text: string, first: TextOp, second: TextOp) => {
    const composed = compose(first, second)
    return { text, first: json(first), second: json(second), composed: json(composed), result: apply(text, composed) }
  }
  const mapCase = (baseLength: number, op: TextOp) => ({
    baseLength,
    op: json(op),
    left: Array.from({ length: baseLength + 1 }, (_, at) => mapPosition(at, op, 'left')),
    right: Array.from({ length: baseLength + 1 }, (_, at) => mapPosition(at, op, 'right')),
  })
  const refuseCase = (json: string, baseLength: number) => ({ json, baseLength, because: refusal(JSON.parse(json), baseLength) })
  const cutCase = (text: string, op: TextOp) => ({ text, op: json(op), fault: fault(op, Text.of(text)) })

  return {
    about: [
      'Cases for text ops in other languages. Made by scripts/vectors.ts; the rules are in docs/PROTOCOL.md.',
      'Lengths and positions are UTF-16 code units. An op is an array: a positive number keeps, a negative one deletes, text is inserted.',
      "side: 'left' puts a's insert before b's at one place; bAfterA is b transformed over a with the other side.",
      'left, right: where each position from 0 to baseLength goes; at an insert right there, left stays before it.',
      'refused: json is to be parsed first (it may hold half a surrogate pair); the words of because are ours, the refusal is the rule.',
      'cuts: to be refused where the text is known, when fault is not null.',
    ],
    longestText,
    apply: [
      applyCase('', insert(0, 0, 'x')),
      applyCase('abc', remove(3, 0, 3)),
      applyCase('a😀b', replace(4, 1, 3, '😁')),
      ...made(sample => {
        const s = sample.snapshot(random)
        return applyCase(s.toString(), sample.op(random, s))
      }),
    ],
    transform: [
      transformCase('ab', insert(2, 1, 'x'), insert(2, 1, 'y'), 'left'),
      transformCase('ab', insert(2, 1, 'x'), insert(2, 1, 'y'), 'right'),
      transformCase('abcdef', insert(6, 3, 'B'), replace(6, 1, 5, 'X'), 'left'),
      transformCase('abcdef', insert(6, 1, 'B'), replace(6, 1, 5, 'X'), 'left'),
      transformCase('abcdef', insert(6, 1, 'B'), replace(6, 1, 5, 'X'), 'right'),
      transformCase('abcdef', insert(6, 5, 'B'), replace(6, 1, 5, 'X'), 'left'),
      transformCase('abcdef', remove(6, 1, 4), remove(6, 2, 6), 'left'),
      ...made((sample, side) => {
        const s = sample.snapshot(random)
        return transformCase(s.toString(), sample.op(random, s), sample.op(random, s), side)
      }),
    ],
    compose: [
      composeCase('', insert(0, 0, 'ac'), insert(2, 1, 'b')),
      composeCase('abc', insert(3, 1, 'x'), remove(4, 1, 2)),
      composeCase('abc', remove(3, 1, 2), insert(2, 1, 'B')),
      ...made(sample => {
        const s = sample.snapshot(random)
        const first = sample.op(random, s)
        return composeCase(s.toString(), first, sample.op(random, s.apply(first)))
      }),
    ],
    mapPosition: [
      mapCase(3, insert(3, 1, 'xx')),
      mapCase(4, replace(4, 1, 3, 'xyz')),
      ...made(sample => {
        const s = sample.snapshot(random)
        return mapCase(s.length, sample.op(random, s))
      }),
    ],
    accepted: made(sample => {
      const s = sample.snapshot(random)
      return { json: json(sample.op(random, s)), baseLength: s.length }
    }),
    refused: [
      ...['null', '5', '"x"', '{"0":1}', '[null]', '[true]', '[{"d":1}]', '[[1]]'].map(text => refuseCase(text, 3)),
      ...['[0]', '[-0]', '[1.5,"x"]', '[-0.5]', '[1e300,"x"]', '[9007199254740992,"x"]'].map(text => refuseCase(text, 3)),
      ...['[1]', '["x",1]', '[1,1,"x"]', '["x","y"]', '[-1,-1]', '[-1,"x"]', '[""]', '[1,""]'].map(text => refuseCase(text, 3)),
      ...['[4,"x"]', '[-4]', '[1,-3]', '[1,"x",-1,2,"y"]', '[9007199254740991,"x"]'].map(text => refuseCase(text, 3)),
      ...['["\\ud83d"]', '["\\ude00"]', '["\\ud83d",1,"\\ude00"]', '["\\ude00\\ud83d"]'].map(text => refuseCase(text, 3)),
      refuseCase('["x"]', longestText),
      refuseCase('[]', longestText + 1),
      refuseCase('[]', -1),
    ],
    cuts: [
      cutCase('a😀b', insert(4, 2, 'x')),
      cutCase('a😀b', remove(4, 1, 2)),
      cutCase('a😀b', remove(4, 2, 4)),
      cutCase('a😀b', remove(4, 1, 3)),
      cutCase('😀😁', remove(4, 1, 3)),
      ...Array.from({ length: each }, () => {
        const s = rich.snapshot(random)
        const from = below(random, s.length + 1)
        return cutCase(s.toString(), fromEdits([[from, from + below(random, s.length + 1 - from), 'x']], s.length))
      }),
    ],
  }
}

/** One case a line, so that a change can be read. */
export function printVectors(vectors: object): string {
  const parts = Object.entries(vectors).map(([name, value]) => {
    if (!Array.isArray(value)) return `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`
    return `  ${JSON.stringify(name)}: [\n${value.map(one => `    ${JSON.stringify(one)}`).join(',\n')}\n  ]`
  })
  return `{\n${parts.join(',\n')}\n}\n`
}

function apply(text: string, ...ops: TextOp[]): string {
  return ops.reduce((now, op) => now.apply(op), Text.of(text)).toString()
}

function refusal(json: unknown, baseLength: number): string {
  try {
    textType.opFromJson(json, baseLength)
  } catch (error) {
    if (error instanceof OpError) return error.message
    throw error
  }
  throw new Error(`${JSON.stringify(json)} on ${baseLength} is not refused`)
}

// What is read of an entry's body is what JSON says of it, however it is read.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Body, readBody, Strokes, writeBody } from '../../src/engine/entry.ts'
import { opFromJson, shortestBase } from '../../src/ot/json.ts'
import { longestText } from '../../src/ot/op.ts'

const plainly = (body: string): Body => {
  const [base, op, user, time, type] = JSON.parse(body)
  return { base, op, user, time, type: type ?? null }
}

const word = fc.oneof(
  fc.string({ maxLength: 16 }),
  fc.string({ unit: 'binary', maxLength: 16 }),
  fc.constantFrom('"', '\\', '\u0000', '\u007f', 'é', '\ud800'),
)
const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double(), fc.constantFrom(0, -0, 1e21, 1e-7, 10, -10))
/** What an editor makes, but for the words. */
const usual = fc.record({
  base: fc.nat(),
  op: fc.array(fc.oneof(fc.integer({ min: -1_000, max: 1_000 }), word), { maxLength: 3 }),
  user: word,
  time: fc.nat(),
  type: fc.constant(null),
})
const unusual = fc.record({
  base: fc.oneof(fc.maxSafeNat(), number),
  op: fc.oneof(fc.array(fc.oneof(number, word), { maxLength: 5 }), fc.jsonValue({ maxDepth: 2 })),
  user: word,
  time: fc.oneof(fc.maxSafeNat(), number),
  type: fc.option(word),
})

const body = fc.oneof(usual, unusual)

it('[R15] a body is read as JSON reads it', () => {
  fc.assert(
    fc.property(body, body => {
      const text = writeBody(body as Body)
      expect(readBody(text)).toEqual(plainly(text))
    }),
    { numRuns: 2_000 },
  )
})

it('[R15] a body in which something has been changed is read as JSON reads it, or not at all', () => {
  fc.assert(
    fc.property(
      body,
      fc.nat(),
      fc.constantFrom('', ' ', '0', '-', '"', ',', '[', ']', '1e3', '.5', '\\u0041', 'x'),
      (body, place, put) => {
        const text = writeBody(body as Body)
        const at = place % (text.length + 1)
        for (const damaged of [text.slice(0, at) + put + text.slice(at), text.slice(0, at) + put + text.slice(at + 1)]) {
          const read = (how: (body: string) => Body): Body | 'not at all' => {
            try {
              return how(damaged)
            } catch {
              return 'not at all'
            }
          }
          expect(read(readBody)).toEqual(read(plainly))
        }
      },
    ),
    { numRuns: 4_000 },
  )
})

/** What a stroke says of a body that lies somewhere in a longer text; null: nothing. */
const strokeIn = (body: string): { readonly base: number; readonly op: unknown } | null => {
  const strokes = new Strokes()
  if (!strokes.read(`"]${body},7]`, 2, 2 + body.length)) return null
  const { base, skip, inserted, deleted } = strokes
  return { base, op: [...(skip > 0 ? [skip] : []), ...(inserted === '' ? [] : [inserted]), ...(deleted > 0 ? [-deleted] : [])] }
}

it('[R15] what is read of a body as a stroke is what JSON says of it, damaged or not, and a good op', () => {
  let read = 0
  fc.assert(
    fc.property(
      body,
      fc.nat(),
      fc.constantFrom('', '', ' ', '0', '-', '"', ',', ']', '\\', '\ud800', 'x'),
      (body, place, put) => {
        const text = writeBody(body as Body)
        const at = place % (text.length + 1)
        for (const given of [text, text.slice(0, at) + put + text.slice(at + 1)]) {
          const stroke = strokeIn(given)
          if (stroke === null) continue
          read++
          const { base, op, type } = plainly(given)
          expect([stroke, type]).toEqual([{ base, op }, null])
          const length = shortestBase(op)
          if (length < longestText / 2) expect(() => opFromJson(op, length)).not.toThrow()
        }
      },
    ),
    { numRuns: 4_000 },
  )
  expect(read).toBeGreaterThan(50) // else it would say nothing
})

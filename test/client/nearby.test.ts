// What is kept around an edit that is handed back, held against the edit itself.

import { expect, it } from 'vitest'
import { nearby } from '../../src/client/nearby.ts'
import { type Edit, fromEdits, isWellFormed, toEdits } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { snapOutward, textType } from '../../src/ot/text.ts'

it('[P3] [P5] any edit puts in and takes out the same where less is kept, cuts no pair, and lies in what lay around it', () => {
  for (let seed = 1; seed <= 200; seed++) {
    let state = seed
    const chance = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below
    const long = Array.from({ length: 20_000 }, () => (chance(3) === 0 ? '🙂' : String.fromCharCode(97 + chance(26)))).join('')
    const edits: Edit[] = []
    for (let at = chance(9_000), i = 0; i < 6 && at < long.length; i++) {
      const [from, to] = snapOutward(long, at, Math.min(long.length, at + chance(300)))
      edits.push([from, to, `(${'🙂'.repeat(chance(4))})`])
      at = to + 1 + chance(chance(2) === 0 ? 4_000 : 2_200)
    }
    const before = Text.of(long)
    const made = fromEdits(edits, long.length)
    const kept = nearby(made, before)
    const text = kept.before.toString()
    expect(textType.fault(kept.op, kept.before), `seed ${seed}`).toBe(null)
    expect(isWellFormed(text), `seed ${seed}`).toBe(true)
    const what = toEdits(made).map(([from, to, put]) => [long.slice(from, to), put])
    expect(
      toEdits(kept.op).map(([from, to, put]) => [text.slice(from, to), put]),
      `seed ${seed}`,
    ).toEqual(what)
    for (const [i, [from]] of toEdits(kept.op).entries()) {
      const [start] = toEdits(made)[i]!
      const near = Math.min(1_024, start - (toEdits(made)[i - 1]?.[1] ?? 0))
      expect(text.slice(from - near, from), `seed ${seed}`).toEqual(long.slice(start - near, start))
    }
    const [end, last] = [toEdits(made).at(-1)![1], toEdits(kept.op).at(-1)![1]]
    expect(text.slice(last, last + 1_024), `seed ${seed}`).toEqual(long.slice(end, end + 1_024))
    const taken = edits.reduce((sum, [from, to]) => sum + to - from, 0)
    expect(text.length, `seed ${seed}`).toBeLessThanOrEqual(taken + (edits.length + 1) * 1_025)
  }
})

it('[P3] an edit of a short text keeps it whole', () => {
  const before = Text.of('x'.repeat(16_384))
  const op = fromEdits([[5, 6, 'y']], before.length)
  expect(nearby(op, before)).toEqual({ op, before })
})

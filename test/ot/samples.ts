// Made-up texts and ops for the tests of this room.
// Invariant: what `plain` and `rich` make is sound: no op cuts a surrogate pair.
import { type Edit, fromEdits, type TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import type { Random, TypeSample } from '../../src/testing/type-laws.ts'

/** How many cases each law is tried on, and the seed of the first; a failure prints the seed of its own. */
export const run = { cases: Number(process.env.CASES ?? 100_000), seed: Number(process.env.SEED ?? 20_240_607) }

export const below = (random: Random, n: number): number => Math.floor(random() * n)

const letters = ['a', 'b', 'c', ' ', '\n', 'é', 'ж', '漢']
const astral = ['😀', '👩‍👩‍👧', '𝒳', '🇪🇺', 'e\u0301', '\u{10ffff}', '😀']

/** Text of up to `most` letters; a third of them beyond the basic plane if `rich`. */
export function words(random: Random, most: number, rich: boolean): string {
  let text = ''
  for (let n = below(random, most + 1); n > 0; n--) {
    const from = rich && random() < 0.35 ? astral : letters
    text += from[below(random, from.length)]
  }
  return text
}

/** Replacements that ascend, any units apart, also touching; `borders` are the places where one may begin or end. */
export function edits(random: Random, borders: readonly number[], most: number, text: (random: Random) => string): Edit[] {
  const out: Edit[] = []
  let at = 0
  for (let n = below(random, most + 1); n > 0 && at < borders.length; n--) {
    const left = borders.length - at
    const from = at + below(random, random() < 0.6 ? Math.min(4, left) : left)
    const to = Math.min(borders.length - 1, from + (random() < 0.5 ? 0 : below(random, 5)))
    out.push([borders[from]!, borders[to]!, random() < 0.3 ? '' : text(random)])
    at = to
  }
  return out
}

/** The places between the code points of a text, its ends among them. */
export function bordersOf(text: string): number[] {
  const out = [0]
  for (const point of text) out.push(out[out.length - 1]! + point.length)
  return out
}

function sampleOf(rich: boolean): TypeSample<Text, TextOp> {
  return {
    snapshot: random => Text.of(words(random, 10, rich)),
    op: (random, text) => {
      const plain = text.toString()
      return fromEdits(
        edits(random, bordersOf(plain), 4, r => words(r, 3, rich)),
        plain.length,
      )
    },
  }
}

export const plain = sampleOf(false)
export const rich = sampleOf(true)

/** The plain meaning of an op, written as differently from the real one as can be. */
export function applied(text: string, op: TextOp): string {
  const units = text.split('')
  let used = op.inserted.length
  const triples: number[][] = []
  for (let i = 0; i < op.edits.length; i += 3) triples.push(op.edits.slice(i, i + 3))
  let at = triples.reduce((sum, [skip, deleted]) => sum + skip! + deleted!, 0)
  for (const [skip, deleted, inserted] of triples.reverse()) {
    at -= deleted!
    units.splice(at, deleted!, ...op.inserted.slice(used - inserted!, used).split(''))
    at -= skip!
    used -= inserted!
  }
  return units.join('')
}

// The vectors for other languages: as the code makes them, and right when they are read with nothing but their own words.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { makeVectors, printVectors } from './vectors.ts'

type OpJson = (number | string)[]

const file = readFileSync(new URL('../../docs/vectors.json', import.meta.url), 'utf8')
const vectors = JSON.parse(file) as ReturnType<typeof makeVectors>

/** What an op means, as a reader of the file would write it. */
function apply(text: string, op: OpJson): string {
  let out = ''
  let at = 0
  for (const part of op) {
    if (typeof part === 'string') out += part
    else if (part > 0) out += text.slice(at, (at += part))
    else at -= part
  }
  return out + text.slice(at)
}

describe('docs/vectors.json', () => {
  it('is what the code makes (npx tsx scripts/vectors.ts writes it)', () => {
    expect(file).toBe(printVectors(makeVectors()))
  })

  it('holds ops that do what it says when only its words are read', () => {
    for (const { text, op, result, inverse } of vectors.apply) {
      expect(apply(text, op as OpJson)).toBe(result)
      expect(apply(result, inverse as OpJson)).toBe(text)
    }
    for (const { text, a, b, aAfterB, bAfterA, result } of vectors.transform) {
      expect(apply(apply(text, a as OpJson), bAfterA as OpJson)).toBe(result)
      expect(apply(apply(text, b as OpJson), aAfterB as OpJson)).toBe(result)
    }
    for (const { text, first, second, composed, result } of vectors.compose) {
      expect(apply(apply(text, first as OpJson), second as OpJson)).toBe(result)
      expect(apply(text, composed as OpJson)).toBe(result)
    }
  })

  it('has cases of every kind, refused and accepted', () => {
    expect(vectors.refused.length).toBeGreaterThan(30)
    expect(vectors.cuts.some(({ fault }) => fault === null)).toBe(true)
    expect(vectors.cuts.some(({ fault }) => fault !== null)).toBe(true)
    for (const part of ['apply', 'transform', 'compose', 'mapPosition', 'accepted'] as const) {
      expect(vectors[part].length).toBeGreaterThanOrEqual(40)
    }
  })
})

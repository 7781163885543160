// The chain of a page is that of its entries, one by one, whatever is in them.

import { expect, it } from 'vitest'
import { chainAt, countOf, entryAt, pageOf } from '../../src/engine/page.ts'
import type { Entry } from '../../src/engine/ports.ts'
import type { AuthorId, Chain } from '../../src/protocol/ids.ts'
import { follows, link } from '../../src/stores/chain.ts'
import { putNumber } from '../../src/stores/digits.ts'

const bodies = ['', '|', 'ä€𝄞👩‍👩‍👧', '\ud83d', '\ude00', '\ufeff\u0000', 'x'.repeat(70_000), '[1,["x"],"u",2]']
const seqs = [1, 9, 10, 99, 2 ** 30, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]

const entries = (): Entry[] => {
  let chain = '00112233445566aa' as Chain
  return bodies.map((body, i) => {
    const entry = { author: ['ann', 'ben-_9'][i % 2] as AuthorId, seq: seqs[i]!, body }
    chain = link(chain, entry)
    return { ...entry, version: i + 1, chain }
  })
}

it('[R1] in a page an entry follows from the one before it where its chain says so, and nowhere else', () => {
  const page = pageOf(entries())
  const verdicts = (before: string) => entries().map((_, i) => follows(page, i, before as Chain))
  expect(verdicts('00112233445566aa')).toEqual(bodies.map(() => true))
  expect(verdicts('00112233445566ab')).toEqual(bodies.map((_, i) => i > 0))
  const harms: readonly Partial<Entry>[] = [
    { body: '?' },
    { seq: 7 },
    { author: 'eve' as AuthorId },
    { chain: '' as Chain },
    { chain: '0123' as Chain },
  ]
  for (const harm of harms)
    for (let at = 0; at < bodies.length; at++) {
      const harmed = pageOf(entries().map((entry, i) => (i === at ? { ...entry, ...harm } : entry)))
      const wrong = entries().flatMap((_, i) => (follows(harmed, i, '00112233445566aa' as Chain) ? [] : [i]))
      const next = 'chain' in harm && at + 1 < bodies.length ? [at + 1] : []
      expect(wrong, `${JSON.stringify(harm)} at ${at}`).toEqual([at, ...next])
    }
})

it('what a page holds is what was put into it, half characters apart', () => {
  const page = pageOf(entries())
  const whole = entries().map(entry => ({ ...entry, body: Buffer.from(entry.body).toString() }))
  expect(Array.from({ length: countOf(page) }, (_, i) => entryAt(page, i))).toEqual(whole)
  expect(chainAt(page, 7)).toBe(whole[7]!.chain)
})

it('of damaged bytes each text is what can be read of it, and the others are whole', () => {
  const read = (...parts: readonly number[][]): string[] => {
    let end = 0
    const ends = Uint32Array.from(parts, part => (end += part.length))
    const page = {
      ...pageOf(entries().slice(0, parts.length)),
      bodies: { bytes: Uint8Array.from(parts.flat()), ends, isPlain: false },
    }
    return parts.map((_, i) => entryAt(page, i).body)
  }
  expect(read([0x61, 0xc3], [0xa4, 0x62])).toEqual(['a\ufffd', '\ufffdb'])
  expect(read([0xf0, 0x9d, 0x84, 0x9e], [0xff], [])).toEqual(['𝄞', '\ufffd', ''])
})

it('a number is put as its digits', () => {
  for (const number of [0, 1, 9, 10, 11, 99, 100, 999_999_999, 1_000_000_000, 2 ** 31, 2 ** 48, -1, 1.5, Number.NaN]) {
    const bytes = new Uint8Array(40)
    const end = putNumber(bytes, 3, number)
    expect(Buffer.from(bytes.subarray(3, end)).toString()).toBe(String(number))
  }
})

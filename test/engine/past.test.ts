// A document read from its log page by page is what every node makes of the same entries, one by one.

import { expect, it } from 'vitest'
import { derive, History, readBody, writeBody } from '../../src/engine/entry.ts'
import { pageOf } from '../../src/engine/page.ts'
import { Past } from '../../src/engine/past.ts'
import type { Entry } from '../../src/engine/ports.ts'
import { type opFromJson, opToJson } from '../../src/ot/json.ts'
import { fromEdits } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { servedText } from '../../src/ot/served.ts'
import { textType } from '../../src/ot/text.ts'
import type { Json } from '../../src/ot/type.ts'
import { type AuthorId, type Chain, emptyChain } from '../../src/protocol/ids.ts'
import { link } from '../../src/stores/chain.ts'
import { seededRandom } from '../../src/testing/type-laws.ts'

/** A log of writers who are behind each other, with entries that say nothing sensible in between, and what a node makes of it. */
const world = (seed: number, count: number) => {
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const history = new History(0, emptyChain)
  const texts = [Text.empty]
  const entries: Entry[] = []
  let chain: Chain = emptyChain
  for (let i = 0; i < count; i++) {
    const base = Math.max(0, i - (random() < 0.6 ? 0 : below(5)))
    const length = texts[base]!.length
    const at = below(length + 1)
    const word = ['x', 'é', 'ab', '\u{1f600}', 'a long word of some letters', '"'][below(6)]!
    const op: Json =
      random() < 0.05
        ? [length + 1, 'x']
        : opToJson(
            fromEdits(
              random() < 0.3
                ? [[Math.max(0, at - 1), at, '']]
                : random() < 0.3
                  ? ([
                      [0, 0, 'v'],
                      [at, length, word],
                    ].slice(at > 0 ? 0 : 1) as [number, number, string][])
                  : [[at, at, word]],
              length,
            ),
          )
    const type = i === 0 ? 'text' : random() < 0.05 ? 'other' : null
    const entry = { author: `a${below(3)}` as AuthorId, seq: i + 1, body: writeBody({ base, op, user: 'u', time: i, type }) }
    chain = link(chain, entry)
    entries.push({ ...entry, version: i + 1, chain })
    const commit = derive(
      textType as never,
      history,
      version => texts[version]!.length,
      entries[i]!,
      readBody(entry.body),
      undefined,
    )
    history.push(commit)
    texts.push(texts[i]!.apply(commit.op as ReturnType<typeof opFromJson>))
  }
  return { random, entries, history, text: texts.at(-1)!.toString() }
}

it('[R15] a log read in pages, however they are cut, leads to the text and the commits that every node has', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const { random, entries, history, text } = world(seed, 60)
    const past = new Past([servedText as never], null)
    for (let at = 0; at < entries.length; ) {
      const end = at + 1 + Math.floor(random() * 20)
      past.take(pageOf(entries.slice(at, end)))
      at = Math.min(end, entries.length)
      if (random() < 0.2)
        expect((past.value as Text).length, `seed ${seed}`).toBe(textType.targetSize(history.at(at).op as never))
    }
    expect([past.head, past.chain, String(past.value)], `seed ${seed}`).toEqual([60, history.chain, text])
    for (let version = 1; version <= 60; version++) expect(past.at(version), `seed ${seed}`).toEqual(history.at(version))
    expect(past.chainAt(30)).toBe(history.chainAt(30))
  }
})

it('what does not follow is said, and so is what is no longer held', () => {
  const { entries } = world(7, 5)
  const past = new Past([servedText as never], null)
  past.take(pageOf(entries.slice(0, 3)))
  expect(() => past.take(pageOf(entries.slice(4)))).toThrow(new RangeError('entry 5 follows 3'))
  expect(() => past.at(4)).toThrow(new RangeError('commit 4 is not among 1 to 3'))
  expect([past.chainAt(0), past.chainAt(4)]).toEqual([emptyChain, undefined])
})

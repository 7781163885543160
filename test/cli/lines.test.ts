// The lines of an export are the same whether they are made of objects or of the bytes of a page.

import { expect, it } from 'vitest'
import { isStretch, lineOf, linesOf, linesOfPage } from '../../src/cli/exchange.ts'
import { cutsOf, stretchOf } from '../../src/cli/parts.ts'
import { pageOf } from '../../src/engine/page.ts'
import type { Entry, Page } from '../../src/engine/ports.ts'
import type { AuthorId, Chain } from '../../src/protocol/ids.ts'

const authors = ['AAAAAAAAAAAAAAAA', 'b"\\', 'é\u2028'] as AuthorId[]

const page = (bodies: readonly string[], from = 0): Page =>
  pageOf(
    bodies.map(
      (body, i): Entry => ({
        ...{ version: from + i + 1, author: authors[i % 3]!, seq: i * 7 ** (i % 9), body },
        chain: i.toString(16).padStart(16, '0') as Chain,
      }),
    ),
  )

const slowly = (page: Page): string => Array.from(cutsOf(page), cut => lineOf(stretchOf(page, ...cut))).join('')

const keystrokes = (count: number): string[] => Array.from({ length: count }, (_, i) => `[${i},[${i},"x"],"u\\n",${i}]`)

const worlds: Readonly<Record<string, Page>> = {
  'a key each': page(keystrokes(2_500), 40),
  'one entry': page(['[]']),
  'none at all': page([]),
  'everything that JSON spells otherwise': page([
    '',
    '"',
    '\\',
    '\n',
    '\u0000\u001f',
    '\u007f\u2028',
    'ä€𝄞👩‍👩‍👧',
    '\ufeff',
    '"\\'.repeat(99),
  ]),
  'other letters': page(keystrokes(1_200).map(body => body.replace('x', '鍵𝄞'))),
  'every byte in every place': page(
    Array.from({ length: 4 }, (_, place) =>
      Array.from(
        { length: 0x140 - 0x20 },
        (_, i) => `${'.'.repeat(place)}${String.fromCharCode(0x20 + i)}${'.'.repeat(3 - place)}`,
      ).join(''),
    ),
  ),
  'half characters': page(['a\ud83d', '\ude00b', '[1,["鍵"]]']),
  'long ones': page(['x', '"'.repeat(3_000_000), 'é'.repeat(900_000), ...keystrokes(3), '\u0001'.repeat(1_100_000), 'y']),
  'no number': { ...page(keystrokes(3)), seqs: Float64Array.of(1, Number.NaN, 1.5) },
}
for (const [what, bytes] of Object.entries({
  'half a character': [0x61, 0xc3, 0xa4, 0x62],
  'no character': [0xff, 0x22, 0x5d, 0xc0],
}))
  Object.assign(worlds, {
    [what]: { ...page(['ab', 'cd']), bodies: { bytes: Uint8Array.from(bytes), ends: Uint32Array.of(2, 4), isPlain: false } },
  })

it.each(Object.keys(worlds))('[P1] the lines of a page are those of its entries: %s', async what => {
  const world = worlds[what]!
  const bytes = Buffer.concat([...linesOfPage(world)])
  const expected = Buffer.from(slowly(world))
  expect(Buffer.compare(bytes, expected)).toBe(0)
  if (expected.length === 0) return
  // And they are read again as what they were.
  const first = Buffer.from(lineOf({ inkwell: 'export', format: 1, time: '' }))
  const read = []
  for await (const { line } of linesOf(
    (async function* () {
      yield first
      yield bytes
    })(),
  ))
    if (isStretch(line)) read.push(line)
  expect(read).toEqual(JSON.parse(JSON.stringify(Array.from(cutsOf(world), cut => stretchOf(world, ...cut)))))
})

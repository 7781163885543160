// The hash of a text: the same however the text came about, and as the document of the protocol says.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { replace } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { checkLaw } from '../../src/testing/type-laws.ts'
import { below, run, words } from './samples.ts'

/** As docs/PROTOCOL.md says it, without a thought for speed. */
const plainly = (text: string): string => {
  const word = (n: bigint) => n & 0xffff_ffffn
  let [a, b] = [0n, 0n]
  for (let i = 0; i < text.length; i++) {
    let x = word(BigInt(text.charCodeAt(i) + 1) * 0x9e3779b1n)
    x ^= x >> 15n
    a = word(a * 0x01000193n + x)
    b = word(b * 0x85ebca6bn + x)
  }
  return [a, b].map(n => n.toString(16).padStart(8, '0')).join('')
}

it('[P1] it is the one that the document of the protocol describes, and has the values listed there', () => {
  const document = readFileSync(join(import.meta.dirname, '../../docs/PROTOCOL.md'), 'utf8')
  const section = document.slice(document.indexOf('### The hash'), document.indexOf('## Binary layout'))
  const rows = [...section.matchAll(/^\| (.*) \| `([0-9a-f]{16})` \|$/gm)].map(([, text, hash]) => [
    text === 'nothing' ? '' : text!.slice(1, -1),
    hash!,
  ])
  expect(rows.length).toBeGreaterThan(3)
  expect(rows.map(([text]) => [text, Text.of(text!).hash])).toEqual(rows)
  expect(rows.map(([text]) => [text, plainly(text!)])).toEqual(rows)
})

it('[P1] a text of many pieces has the same one after every edit, asked for at any time', () => {
  const check = (random: () => number) => {
    let text = Text.of(words(random, 20_000, true))
    for (let n = below(random, 20); n > 0; n--) {
      if (random() < 0.5) expect(text.hash).toBe(plainly(text.toString()))
      const at = below(random, text.length + 1)
      const to = Math.min(text.length, at + (random() < 0.1 ? below(random, 30_000) : below(random, 4)))
      text = text.apply(replace(text.length, at, to, words(random, random() < 0.1 ? 3_000 : 3, false)))
    }
    expect(text.hash).toBe(plainly(text.toString()))
  }
  checkLaw({ title: 'hash', check }, { cases: 20, seed: run.seed })
})

it('[P1] a character changed, lost, doubled or exchanged with any other is seen, also at distances that are powers of two', () => {
  const text = Array.from({ length: 70_000 }, (_, i) => String.fromCharCode(32 + ((i * 7) % 90))).join('')
  const hash = Text.of(text).hash
  const seen = new Set([hash])
  const different = (changed: string) => {
    expect(changed).not.toBe(text)
    expect(seen.has(Text.of(changed).hash)).toBe(false)
  }
  for (let distance = 1; distance < 65_536; distance *= 2) {
    const [x, y] = [text[100]!, text[100 + distance]!]
    const put = (at: number, char: string, from: string) => from.slice(0, at) + char + from.slice(at + 1)
    if (x !== y) different(put(100, y, put(100 + distance, x, text)))
    different(
      put(100, String.fromCharCode(x.charCodeAt(0) + 256), put(100 + distance, String.fromCharCode(y.charCodeAt(0) - 32), text)),
    )
  }
  for (let bit = 0; bit < 16; bit++)
    different(text.slice(0, 500) + String.fromCharCode(text.charCodeAt(500) ^ (1 << bit)) + text.slice(501))
  different(text.slice(1))
  different(`${text}\0`)
  different(`\0${text}`)
  different(text[0] + text)
})

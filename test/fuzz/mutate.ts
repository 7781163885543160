// Spoils values and texts in their structure: what stays is like a message, and one thing of it is not.
// Invariant: all chance comes from the source that is given, so a seed tells the whole story.

import type { Chance } from '../../src/testing/random.ts'

type Fields = { [key: string]: unknown }

const nested = (depth: number, inside: unknown = 0): unknown => {
  let value = inside
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

/** JSON.parse makes `__proto__` a property like any other; a literal would not. */
const poison = (): unknown => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')

const numbers: readonly number[] = [
  ...[0, -0, -1, 1, 0.5, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 48 - 1, 2 ** 48],
  ...[2 ** 53, 2 ** 63, -(2 ** 31), 1e308, 5e-324, -1e21],
]
const texts: readonly string[] = [
  ...['', ' ', 'x', '\u0000', '\u001f', '\u007f', '\u0085', 'é', '🖋', '\ud800', 'a\udc00', '\udbff\udbff', '\ufeff', '\ufffd'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'length', 'text', 'null', 'NaN', '1e3'],
  ...['connect', 'disconnect', 'disconnecting', 'error', 'newListener', 'join', 'welcome', 'refused', 'A'.repeat(16)],
  ...[
    '0'.repeat(16),
    'f'.repeat(16),
    'k'.repeat(22),
    '../../etc/passwd',
    '%00',
    "'; DROP TABLE x; --",
    '{}',
    '[1]',
    '2["probe"]',
  ],
]

/** Anything at all, most of it at the edge of something. `heavy` allows what takes a megabyte. */
export const anything = (dice: Chance, heavy: boolean): unknown => {
  switch (dice.int(11)) {
    case 0:
    case 1:
      return dice.pick(numbers)
    case 2:
    case 3:
      return dice.pick(texts)
    case 4:
      return dice.pick([null, true, false, [], {}, [[]], [{}], { kind: 'x' }])
    case 5:
      return nested(dice.pick([1, 31, 32, 33, 100, 200]))
    case 6:
      return poison()
    case 7:
      return dice.pick(['x', 'é', '🖋', '\ud800', '"', '\\']).repeat(dice.pick([16, 63, 64, 65, 128, 129, 255, 256, 257, 4_096]))
    case 8:
      return 'y'.repeat(dice.pick([5_000, 20_000, heavy ? 1_040_000 : 60_000]))
    case 9:
      return Array.from({ length: dice.pick([2, 16, 17, 100, heavy ? 70_000 : 1_000]) }, () =>
        dice.pick([0, 1, -1, 'z', null, []]),
      )
    default:
      return Object.fromEntries(
        Array.from({ length: dice.pick([1, 16, 100, heavy ? 66_000 : 500]) }, (_, i) => [`${dice.pick(texts)}${i}`, i]),
      )
  }
}

/** Every place in a value, as the object or array that holds it and the key there. */
const places = (value: unknown, found: [holder: Fields, key: string][] = []): [holder: Fields, key: string][] => {
  if (typeof value !== 'object' || value === null) return found
  for (const key of Object.keys(value)) {
    found.push([value as Fields, key])
    places((value as Fields)[key], found)
  }
  return found
}

const set = (holder: Fields, key: string, value: unknown): void => {
  // Not by assignment: `__proto__` is to be a property.
  Object.defineProperty(holder, key, { value, enumerable: true, writable: true, configurable: true })
}

/** A copy with one to three things changed. */
export const spoilt = (dice: Chance, payload: Fields, heavy: boolean): Fields => {
  const copy = structuredClone(payload)
  for (let times = dice.pick([1, 1, 1, 2, 3]); times > 0; times--) {
    const all = places(copy)
    if (all.length === 0) return anything(dice, heavy) as Fields
    const [holder, key] = dice.pick(all)
    const [other, otherKey] = dice.pick(all)
    switch (dice.int(7)) {
      case 0:
        delete holder[key]
        break
      case 1: {
        const held = holder[key]
        set(holder, key, structuredClone(other[otherKey]))
        set(other, otherKey, structuredClone(held))
        break
      }
      case 2:
        if (!Array.isArray(holder)) set(holder, dice.pick(texts), anything(dice, false))
        break
      default:
        set(holder, key, anything(dice, heavy))
    }
  }
  return copy
}

/** A text with one to three pieces of it lost, doubled, moved or replaced by signs that mean something. */
export const garbled = (dice: Chance, text: string): string => {
  let out = text
  for (let times = 1 + dice.int(3); times > 0; times--) {
    const at = dice.int(out.length + 1)
    const end = at + dice.int(6)
    switch (dice.int(5)) {
      case 0:
        out = out.slice(0, at)
        break
      case 1:
        out = out.slice(0, at) + out.slice(end)
        break
      case 2:
        out = out.slice(0, end) + out.slice(at)
        break
      case 3:
        out = out + out
        break
      default:
        out = out.slice(0, at) + dice.pick(signs) + out.slice(dice.chance(0.5) ? at : end)
    }
    if (out.length > 200_000) return out.slice(0, 200_000)
  }
  return out
}

const signs = [
  ...[
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '\\',
    '\\u0000',
    '\\ud800',
    '1e999',
    '-',
    '-0',
    '.',
    'null',
    'true',
    'NaN',
    '\u0000',
    '\n',
  ],
  ...['"__proto__":', '"constructor":{},', '/', '/chat,', '5', '1-', '51-["x",{"_placeholder":true,"num":0}]', '9'.repeat(20)],
]

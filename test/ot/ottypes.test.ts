// Our text type among ottypes, and ottypes among our document types.
import { createRequire } from 'node:module'
import { type as json1 } from 'ot-json1'
import { describe, expect, it } from 'vitest'
import { remove, toEdits } from '../../src/ot/op.ts'
import { fromOttype, type Ottype, textOttype, toOttype } from '../../src/ot/ottypes.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import { type Json, OpError } from '../../src/ot/type.ts'
import { checkLaw, documentTypeLaws, type Random, seededRandom } from '../../src/testing/type-laws.ts'
import { below, plain, rich, run, words } from './samples.ts'

const require = createRequire(import.meta.url)

interface Fuzzer {
  (type: object, randomOp: (snapshot: Json) => [Json, Json], iterations: number): void
  randomReal(): number
}

interface SharedDoc {
  readonly data: string
  readonly type: { readonly name: string }
  create(initial: string, type: string, done: (error?: Error) => void): void
  subscribe(done: (error?: Error) => void): void
  submitOp(op: Json, done: (error?: Error) => void): void
  whenNothingPending(done: () => void): void
}

interface SharedBackend {
  connect(): { get(collection: string, id: string): SharedDoc; close(): void }
  close(done: () => void): void
}

describe('the text type as an ottype', () => {
  it('passes 20,000 iterations of ot-fuzzer', () => {
    const fuzzer = require('ot-fuzzer') as Fuzzer
    let made = 0
    fuzzer(
      { ...textOttype },
      snapshot => {
        made++
        const text = snapshot as string
        const op = text.length > 60 ? remove(text.length, 0, text.length) : rich.op(fuzzer.randomReal, Text.of(text))
        let after = text
        for (const [from, to, inserted] of toEdits(op).reverse()) after = after.slice(0, from) + inserted + after.slice(to)
        return [textType.opToJson(op), after]
      },
      Math.min(20_000, run.cases),
    )
    expect(made).toBeGreaterThan(0)
  })

  it('keeps the laws through the convention and back', () => {
    // Out as an ottype over plain JSON, and in again: sizes are gone, everything else must hold.
    const there = fromOttype(textOttype as unknown as Ottype<Json, Json>)
    const sample = {
      snapshot: (random: Random) => plain.snapshot(random).toString() as Json,
      op: (random: Random, text: Json) => textType.opToJson(plain.op(random, Text.of(text as string))),
    }
    for (const law of documentTypeLaws(there, sample)) checkLaw(law, { ...run, cases: Math.min(5_000, run.cases) })
  })

  it('mends hand-written ops in normalize and refuses what cannot be mended', () => {
    expect(textOttype.normalize([0, 2, 1, 'a', -1, 'b', 4])).toEqual([3, 'ab', -1])
    expect(() => textOttype.normalize([1.5])).toThrow(OpError)
    expect(() => textOttype.normalize(['\ud83d'])).toThrow(OpError)
    expect(() => textOttype.apply('a😀', [2, 'x'])).toThrow(new OpError('an edit at 2 cuts a surrogate pair'))
    expect(() => textOttype.apply('abc', [4, 'x'])).toThrow(OpError)
  })

  it('moves cursors and presence: own text pushes them on, others’ does not', () => {
    expect(textOttype.transformCursor(3, [3, 'xx'], true)).toBe(5)
    expect(textOttype.transformCursor(3, [3, 'xx'], false)).toBe(3)
    expect(textOttype.transformPresence({ index: 2, length: 3 }, ['x', 3, 'yy'], false)).toEqual({ index: 3, length: 5 })
    expect(textOttype.transformPresence(null, ['x'], false)).toBeNull()
  })

  it('lets two ShareDB clients write one document and agree', async () => {
    const ShareDB = require('sharedb') as { new (): SharedBackend; types: { register(type: object): void } }
    ShareDB.types.register(textOttype)
    const backend = new ShareDB()
    const connections = [backend.connect(), backend.connect()]
    const docs = connections.map(connection => connection.get('texts', 'one'))
    const done = (start: (end: (error?: Error) => void) => void) =>
      new Promise<void>((resolve, reject) => start(error => (error ? reject(error) : resolve())))
    await done(end => docs[0]!.create('hello 😀', textOttype.uri, end))
    for (const doc of docs) await done(end => doc.subscribe(end))

    const random = seededRandom(run.seed)
    for (let round = 0; round < 60; round++) {
      const sent: Promise<void>[] = []
      for (const doc of docs) {
        for (let n = below(random, 5); n > 0; n--) {
          const op = textType.opToJson(rich.op(random, Text.of(doc.data)))
          sent.push(done(end => doc.submitOp(op, end)))
          if (random() < 0.3) await new Promise(resolve => setImmediate(resolve)) // lets the network carry some of it
        }
      }
      await Promise.all(sent)
    }
    for (const doc of docs) await done(end => doc.whenNothingPending(end))
    // The last op of the other one reaches a subscriber in its own time: a subscribe is answered behind it.
    const third = backend.connect()
    const fresh = third.get('texts', 'one')
    await done(end => fresh.subscribe(end))
    for (const doc of docs) while (doc.data !== fresh.data) await new Promise(resolve => setImmediate(resolve))
    expect(docs.map(doc => doc.data)).toEqual([fresh.data, fresh.data])
    expect(fresh.data.length).toBeGreaterThan(0)

    await expect(done(end => docs[0]!.submitOp([fresh.data.length + 5, 'x'], end))).rejects.toThrow(/base ends at/)
    for (const connection of [...connections, third]) connection.close()
    await done(end => backend.close(end))
  })
})

describe('an ottype as a document type', () => {
  it('json1 keeps the laws', () => {
    const type = fromOttype(json1.typeAllowingConflictsPred(() => true) as unknown as Ottype<Json, Json>, {
      empty: {},
      // Coarse, but an op that json1 understands: the whole is replaced, key by key.
      diff: (from, to) => replaceAll(from as Flat, to as Flat),
    })
    const keys = ['a', 'b', 'c', 'd']
    const value = (random: Random): Json => [1, 'text', { x: 1 }, true][below(random, 4)]!
    const sample = {
      snapshot: (random: Random): Json =>
        Object.fromEntries(keys.filter(() => random() < 0.6).map(key => [key, value(random)])) as Json,
      op: (random: Random, snapshot: Json): Json => {
        const doc = snapshot as Flat
        const key = keys[below(random, keys.length)]!
        if (!(key in doc)) return [key, { i: value(random) }]
        if (typeof doc[key] === 'string' && random() < 0.6) {
          const text = doc[key]
          return [key, { es: [...(text.length > 1 ? [1] : []), words(random, 2, false) || 'x'] }]
        }
        return random() < 0.5 ? [key, { r: true }] : [key, { r: true, i: value(random) }]
      },
    }
    for (const law of documentTypeLaws(type, sample)) checkLaw(law, { ...run, cases: Math.min(20_000, run.cases) })
  })

  it('the text types of the field keep the laws', () => {
    for (const name of ['ot-text', 'ot-text-unicode']) {
      const { type: foreign } = require(name) as { type: Ottype<Json, Json> }
      const type = fromOttype(foreign, {
        // Replaces the whole: neither of them can diff.
        diff: (from, to) => foreign.normalize!([{ d: Array.from(from as string).length }, to].filter(keepsSomething) as Json),
      })
      const invertible = foreign.invertWithDoc !== undefined || foreign.makeInvertible !== undefined
      const sample = {
        snapshot: (random: Random) => plain.snapshot(random).toString() as Json,
        op: (random: Random, text: Json): Json =>
          (textType.opToJson(plain.op(random, Text.of(text as string))) as (string | number)[]).map(part =>
            typeof part === 'number' && part < 0 ? { d: -part } : part,
          ),
      }
      for (const law of documentTypeLaws(type, sample)) {
        if (!invertible && /undo|inverted|sizes|sound|nothing changes/.test(law.title)) continue
        checkLaw(law, { ...run, cases: Math.min(5_000, run.cases) })
      }
      expect(() => type.opFromJson('no op', 0)).toThrow(OpError)
    }
  })

  it('says what it lacks: compose at once, invert and diff when they are asked for', () => {
    const bare = { name: 'bare', create: () => 0, apply: (n: number, op: number) => n + op, transform: (op: number) => op }
    expect(() => fromOttype(bare)).toThrow(new TypeError('ottype bare cannot compose'))
    const type = fromOttype({ ...bare, compose: (a: number, b: number) => a + b }, { noop: 0 })
    expect(() => type.invert(1, 0)).toThrow(new TypeError('ottype bare cannot invert'))
    expect(() => type.diff(0, 1)).toThrow(new TypeError('ottype bare has no diff, and none was given'))
    expect(type.isNoop(type.noop(0))).toBe(true)
    expect(type.mapPosition(3, 1, 'left')).toBe(3)
  })

  it('a type of our own without sizes needs no option to go out', () => {
    const counter = fromOttype(
      {
        name: 'counter',
        create: (n?: unknown) => (n ?? 0) as number,
        apply: (n: number, op: number) => n + op,
        transform: (op: number) => op,
        compose: (a: number, b: number) => a + b,
        invert: (op: number) => -op,
        diff: (from: number, to: number) => to - from,
      },
      { noop: 0 },
    )
    const out = toOttype(counter)
    expect(out.apply(out.create(2), out.compose(3, 4))).toBe(9)
    expect(out.apply(9, out.invertWithDoc(7, 2))).toBe(2)
    expect(out.diff(2, 9)).toBe(7)
  })
})

type Flat = { readonly [key: string]: Json }

function replaceAll(from: Flat, to: Flat): Json {
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort()
  const parts = keys.map(key => [key, { ...(key in from ? { r: true } : {}), ...(key in to ? { i: to[key]! } : {}) }])
  if (parts.length === 0) return null
  return parts.length === 1 ? (parts[0] as Json) : (parts as Json)
}

function keepsSomething(part: string | { d: number } | Json): boolean {
  return typeof part === 'string' ? part !== '' : (part as { d: number }).d > 0
}

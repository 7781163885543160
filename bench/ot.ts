// How fast text ops are, beside the libraries that do the same, in the same run.
// Invariant: every result that is timed is checked against the others' or the true text; rounds of rivals alternate.

import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type ChangeDesc, ChangeSet, Text as Doc } from '@codemirror/state'
import { pack } from 'msgpackr'
import * as Y from 'yjs'
import { compose, composeAll, mapPosition, transform, transformPair } from '../src/ot/algebra.ts'
import { type Edit, fromEdits, insert, remove, replace, type TextOp, toEdits } from '../src/ot/op.ts'
import { textOttype } from '../src/ot/ottypes.ts'
import { Text } from '../src/ot/rope.ts'
import { textType } from '../src/ot/text.ts'
import { type Random, seededRandom } from '../src/testing/type-laws.ts'
import { type Patch, patchesOf, sequentialTrace, sequentialTraces } from '../test/traces.ts'
import type { BenchOptions, Gate, Row } from './row.ts'

const require = createRequire(import.meta.url)

interface OtJsOp {
  retain(n: number): OtJsOp
  insert(text: string): OtJsOp
  delete(n: number): OtJsOp
  apply(text: string): string
  compose(second: OtJsOp): OtJsOp
  toJSON(): unknown
}

type OtTextOp = (number | string | { d: number })[]

interface OtTextType {
  apply(text: string, op: OtTextOp): string
  transform(op: OtTextOp, over: OtTextOp, side: 'left' | 'right'): OtTextOp
  compose(first: OtTextOp, second: OtTextOp): OtTextOp
}

const { TextOperation } = require('ot') as {
  TextOperation: { new (): OtJsOp; transform(a: OtJsOp, b: OtJsOp): [OtJsOp, OtJsOp] }
}
const otText = (require('ot-text') as { type: OtTextType }).type
const unicode = (require('ot-text-unicode') as { type: OtTextType }).type

interface Fuzzer {
  (type: object, randomOp: (snapshot: string) => [unknown, string], iterations: number): void
  randomReal(): number
}

export const name = 'ot'

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  const effort = quick ? { windows: 15, rounds: 2 } : { windows: 80, rounds: 7 }
  return [
    ...transforming(effort),
    ...composing(effort),
    ...composingTrace(effort),
    ...merging(effort),
    ...replaying(effort),
    ...cursors(effort),
    ...bytes(),
    ...memory(quick),
    ...fuzzing(quick),
  ]
}

interface Effort {
  /** Of some milliseconds each, for what takes nanoseconds. */
  readonly windows: number
  /** For what takes milliseconds. */
  readonly rounds: number
}

// ---- the clock

/** Nanoseconds a call takes: of many short windows the best, as only the best is free of what else the machine does. */
function perCall<K extends string>(rivals: Record<K, () => unknown>, { windows }: Effort): Record<K, number> {
  const names = Object.keys(rivals) as K[]
  const calls = {} as Record<K, number>
  const best = {} as Record<K, number>
  for (const rival of names) {
    let n = 1
    let took = 0
    while ((took = time(rivals[rival], n)) < 6) n *= 2 // warms up besides
    calls[rival] = Math.max(1, Math.round((n * 6) / took))
    time(rivals[rival], calls[rival] * 30)
    best[rival] = Number.POSITIVE_INFINITY
  }
  for (let i = 0; i < windows; i++) {
    for (const rival of names) {
      best[rival] = Math.min(best[rival], (time(rivals[rival], calls[rival]) / calls[rival]) * 1e6)
    }
  }
  return best
}

/** Milliseconds one call takes, the best of some rounds. */
function perRound<K extends string>(rivals: Record<K, () => unknown>, { rounds }: Effort): Record<K, number> {
  const names = Object.keys(rivals) as K[]
  const best = Object.fromEntries(names.map(rival => [rival, Number.POSITIVE_INFINITY])) as Record<K, number>
  for (let i = 0; i <= rounds; i++) for (const rival of names) best[rival] = Math.min(best[rival], time(rivals[rival], 1))
  return best
}

let sink: unknown // what is timed must have been wanted by somebody

function time(call: () => unknown, times: number): number {
  const start = performance.now()
  for (let i = 0; i < times; i++) sink = call()
  if (sink === time) throw new Error('a timed call answered the clock')
  return performance.now() - start
}

const ratio = (ours: number, other: number): number => other / ours

/** Ours, and how many times longer each rival takes. */
function against(
  what: string,
  unit: string,
  ours: number,
  others: Record<string, number>,
  gates: { readonly atMost?: number; readonly faster?: Record<string, number> },
): Row[] {
  const rows: Row[] = [row(what, ours, unit, others, gates.atMost === undefined ? undefined : { atMost: gates.atMost })]
  for (const [rival, atLeast] of Object.entries(gates.faster ?? {})) {
    rows.push(row(`${what}: times as fast as ${rival}`, ratio(ours, others[rival]!), '×', undefined, { atLeast }))
  }
  return rows
}

function row(what: string, value: number, unit: string, beside?: Record<string, number>, gate?: Gate): Row {
  return { what, value, unit, ...(beside ? { beside } : {}), ...(gate ? { gate } : {}) }
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`wrong result: ${what}`)
}

// ---- the same op for everyone

const toOtJs = (op: TextOp): OtJsOp => {
  const out = new TextOperation()
  let at = 0
  for (const [from, to, text] of toEdits(op)) {
    out
      .retain(from - at)
      .insert(text)
      .delete(to - from)
    at = to
  }
  return out.retain(op.baseLength - at)
}

const toOtText = (op: TextOp): OtTextOp =>
  (textType.opToJson(op) as (number | string)[]).map(part => (typeof part === 'number' && part < 0 ? { d: -part } : part))

const toChangeSet = (op: TextOp): ChangeSet =>
  ChangeSet.of(
    toEdits(op).map(([from, to, text]) => ({ from, to, insert: text })),
    op.baseLength,
  )

interface Everyones {
  readonly ours: TextOp
  readonly otJs: OtJsOp
  readonly otText: OtTextOp
  readonly set: ChangeSet
  readonly desc: ChangeDesc
}

const everyones = (op: TextOp): Everyones => {
  const set = toChangeSet(op)
  return { ours: op, otJs: toOtJs(op), otText: toOtText(op), set, desc: set.desc }
}

const below = (random: Random, n: number): number => Math.floor(random() * n)
const letters = 'abcdefghijklmnopqrstuvwxyz     '
const letter = (random: Random): string => letters[below(random, letters.length)]!
const prose = (random: Random, length: number): string => Array.from({ length }, () => letter(random)).join('')

/** `count` edits anywhere in a text: an insert of one to three letters, or a delete of as many. */
function scattered(random: Random, length: number, count: number): TextOp {
  const places = new Set<number>()
  while (places.size < count) places.add(below(random, Math.floor(length / 4)) * 4)
  const edits = [...places]
    .sort((a, b) => a - b)
    .map((at): Edit => {
      const n = 1 + below(random, 3)
      return random() < 0.6 ? [at, at, prose(random, n)] : [at, Math.min(length, at + n), '']
    })
  return fromEdits(edits, length)
}

/** Takes one of the pairs after another, so that no call sees the same numbers twice in a row. */
function turn<T>(all: readonly T[], use: (one: T) => unknown): () => unknown {
  let i = 0
  return () => use(all[i++ & (all.length - 1)]!)
}

const pairs = 16 // a power of two, see turn
const base = 20_000

// ---- one against one

function transforming(effort: Effort): Row[] {
  const random = seededRandom(1)
  const text = prose(random, base)
  const figure = (k: number, m: number) => {
    const all = Array.from({ length: pairs }, () => {
      const a = everyones(scattered(random, base, k))
      const b = everyones(scattered(random, base, m))
      const truth = Text.of(text)
        .apply(b.ours)
        .apply(transform(a.ours, b.ours, 'left'))
        .toString()
      must(
        Text.of(text)
          .apply(a.ours)
          .apply(transform(b.ours, a.ours, 'right'))
          .toString() === truth,
        'transform',
      )
      must(TextOperation.transform(a.otJs, b.otJs)[0].apply(b.otJs.apply(text)) === truth, 'transform beside ot.js')
      must(otText.apply(otText.apply(text, b.otText), otText.transform(a.otText, b.otText, 'left')) === truth, 'beside ot-text')
      return { a, b }
    })
    const ns = perCall(
      {
        ours: turn(all, ({ a, b }) => transform(a.ours, b.ours, 'left')),
        pair: turn(all, ({ a, b }) => transformPair(a.ours, b.ours, 'left')),
        CodeMirror: turn(all, ({ a, b }) => a.desc.mapDesc(b.desc, true)),
        'ot.js': turn(all, ({ a, b }) => TextOperation.transform(a.otJs, b.otJs)),
        'ot-text': turn(all, ({ a, b }) => otText.transform(a.otText, b.otText, 'left')),
      },
      effort,
    )
    const each = k + m
    return {
      ours: ns.ours / each,
      pair: ns.pair / each,
      others: { 'ot.js per side': ns['ot.js'] / 2 / each, CodeMirror: ns.CodeMirror / each, 'ot-text': ns['ot-text'] / each },
    }
  }
  const key = figure(1, 1)
  const many = figure(1000, 1000)
  const few = figure(1, 1000)
  const double = (others: Record<string, number>) =>
    Object.fromEntries(Object.entries(others).map(([who, ns]) => [who, ns * 2])) as Record<string, number>
  return [
    ...against('transform a keystroke over a keystroke', 'ns', key.ours * 2, double(key.others), {
      atMost: 30,
      faster: { 'ot-text': 3, CodeMirror: 3 },
    }),
    ...against('transform 1000 edits over 1000, per edit', 'ns', many.ours, many.others, {
      atMost: 20,
      faster: { 'ot.js per side': 1.2, CodeMirror: 1.6 },
    }),
    row('transform 1000 edits over 1000, both ways at once, per edit', many.pair, 'ns', {
      'ot.js': many.others['ot.js per side'] * 2,
    }),
    ...against('transform 1 edit over 1000, per edit', 'ns', few.ours, few.others, { faster: { CodeMirror: 3 } }),
  ]
}

function composing(effort: Effort): Row[] {
  const random = seededRandom(2)
  const text = prose(random, base)
  const figure = (k: number, m: number, faster: number): Row[] => {
    const all = Array.from({ length: pairs }, () => {
      const a = everyones(scattered(random, base, k))
      const b = everyones(scattered(random, a.ours.targetLength, m))
      const truth = Text.of(text).apply(a.ours).apply(b.ours).toString()
      must(Text.of(text).apply(compose(a.ours, b.ours)).toString() === truth, 'compose')
      must(a.otJs.compose(b.otJs).apply(text) === truth, 'compose beside ot.js')
      return { a, b }
    })
    const ns = perCall(
      {
        ours: turn(all, ({ a, b }) => compose(a.ours, b.ours)),
        'ot.js': turn(all, ({ a, b }) => a.otJs.compose(b.otJs)),
        'ot-text': turn(all, ({ a, b }) => otText.compose(a.otText, b.otText)),
        CodeMirror: turn(all, ({ a, b }) => a.set.compose(b.set)),
      },
      effort,
    )
    const each = (who: keyof typeof ns) => ns[who] / (k + m)
    const others = { 'ot.js': each('ot.js'), 'ot-text': each('ot-text'), CodeMirror: each('CodeMirror') }
    return against(`compose ${k} edits with ${m}, per edit`, 'ns', each('ours'), others, { faster: { 'ot.js': faster } })
  }
  return [...figure(10, 10, 1.2), ...figure(100, 100, 1), ...figure(1000, 1000, 1), ...figure(1000, 1, 1.2)]
}

// ---- whole histories

function opsOf(patches: readonly Patch[], length: number): TextOp[] {
  let at = length
  return patches.map(([from, deleted, text]) => {
    const op = replace(at, from, from + deleted, text)
    at = op.targetLength
    return op
  })
}

/** Pairs, then pairs of pairs, for whoever has no way of their own. */
function tree<T>(ops: readonly T[], join: (a: T, b: T) => T): T {
  let level = ops
  while (level.length > 1) {
    const next: T[] = []
    for (let i = 0; i + 1 < level.length; i += 2) next.push(join(level[i]!, level[i + 1]!))
    if (level.length % 2 === 1) next.push(level[level.length - 1]!)
    level = next
  }
  return level[0]!
}

function composingTrace(effort: Effort): Row[] {
  const trace = sequentialTrace('automerge-paper')
  const ops = opsOf(patchesOf(trace), 0)
  const otTextOps = ops.map(toOtText)
  const otJsOps = ops.map(toOtJs)
  const sets = ops.map(toChangeSet)
  must(Text.empty.apply(composeAll(ops)).toString() === trace.endContent, 'composed trace')
  const ms = perRound(
    {
      ours: () => composeAll(ops),
      'ot-text': () => tree(otTextOps, otText.compose),
      'ot.js': () => tree(otJsOps, (a, b) => a.compose(b)),
      CodeMirror: () => tree(sets, (a, b) => a.compose(b)),
    },
    { ...effort, rounds: Math.min(effort.rounds, 4) },
  )
  const { ours, ...others } = ms
  return against('compose all 259,778 edits of automerge-paper', 'ms', ours, others, {
    atMost: 260,
    faster: { CodeMirror: 2.5, 'ot-text': 1 },
  })
}

/** Ten thousand keystrokes that one person made alone: words typed here and there, or each at another place. */
function branch(random: Random, length: number, kind: 'typing' | 'random'): Patch[] {
  const out: Patch[] = []
  let now = length
  while (out.length < 10_000) {
    let at = below(random, now + 1)
    if (kind === 'random') {
      const gone = at < now && random() < 0.3 ? 1 : 0
      out.push([at, gone, gone ? '' : letter(random)])
      now += gone ? -1 : 1
      continue
    }
    for (let keys = 5 + below(random, 40); keys > 0 && out.length < 10_000; keys--, now++) out.push([at++, 0, letter(random)])
  }
  return out
}

function merging(effort: Effort): Row[] {
  return (['typing', 'random'] as const).flatMap(kind => {
    const random = seededRandom(3)
    const start = prose(random, 50_000)
    const [mine, theirs] = [branch(random, start.length, kind), branch(random, start.length, kind)]
    const a = opsOf(mine, start.length)
    const b = opsOf(theirs, start.length)
    const [aJs, bJs] = [a.map(toOtJs), b.map(toOtJs)]
    const both = () => transformPair(composeAll(a), composeAll(b), 'left')
    const bothJs = () =>
      TextOperation.transform(
        tree(aJs, (x, y) => x.compose(y)),
        tree(bJs, (x, y) => x.compose(y)),
      )

    const [aAfter, bAfter] = both()
    const merged = Text.of(start).apply(composeAll(a)).apply(bAfter).toString()
    must(Text.of(start).apply(composeAll(b)).apply(aAfter).toString() === merged, 'merge')
    const js = tree(aJs, (x, y) => x.compose(y)).apply(start)
    must(bothJs()[1].apply(js) === merged, 'merge beside ot.js')

    const origin = new Y.Doc()
    origin.getText().insert(0, start)
    const common = Y.encodeStateAsUpdate(origin)
    const written = (patches: readonly Patch[]) => {
      const doc = new Y.Doc()
      Y.applyUpdate(doc, common)
      const text = doc.getText()
      for (const [at, deleted, inserted] of patches) {
        if (deleted > 0) text.delete(at, deleted)
        if (inserted !== '') text.insert(at, inserted)
      }
      return doc
    }
    const whole = Y.encodeStateAsUpdate(written(mine))
    const news = Y.encodeStateAsUpdate(written(theirs), Y.encodeStateVector(origin))
    let yjs = Number.POSITIVE_INFINITY
    const ms = perRound({ ours: both, 'ot.js': bothJs }, { ...effort, rounds: effort.rounds * 3 })
    for (let i = 0; i <= effort.rounds; i++) {
      const doc = new Y.Doc() // made anew each time, outside of what is timed
      Y.applyUpdate(doc, whole)
      yjs = Math.min(
        yjs,
        time(() => Y.applyUpdate(doc, news), 1),
      )
    }
    const others = { 'ot.js': ms['ot.js'], 'Yjs, one side': yjs }
    return against(`merge 10,000 keystrokes offline with 10,000 (${kind})`, 'ms', ms.ours, others, {
      atMost: kind === 'typing' ? 2.5 : 17,
      faster: { 'ot.js': 1, 'Yjs, one side': kind === 'typing' ? 1.4 : 10 },
    })
  })
}

function replaying(effort: Effort): Row[] {
  return sequentialTraces.flatMap(trace => {
    const { endContent, ...rest } = sequentialTrace(trace)
    const ops = opsOf(patchesOf({ endContent, ...rest }), 0)
    const sets = ops.map(toChangeSet)
    const ours = () => ops.reduce((text, op) => text.apply(op), Text.empty)
    const theirs = () => sets.reduce((doc, set) => set.apply(doc), Doc.empty)
    must(ours().toString() === endContent && theirs().toString() === endContent, `replay of ${trace}`)
    const ms = perRound({ ours, CodeMirror: theirs }, effort)
    const paper = trace === 'automerge-paper'
    return against(
      `replay ${trace} edit by edit`,
      'ms',
      ms.ours,
      { CodeMirror: ms.CodeMirror },
      {
        ...(paper ? { atMost: 150 } : {}),
        faster: { CodeMirror: paper ? 2 : 1 },
      },
    )
  })
}

// ---- the rest

function cursors(effort: Effort): Row[] {
  const random = seededRandom(4)
  const all = Array.from({ length: pairs }, () => everyones(scattered(random, base, 1000)))
  // Not at an edit: there, inside a deleted range, the two have different rules.
  const at = base - 1
  for (const op of all) must(mapPosition(at, op.ours, 'left') === op.set.mapPos(at, -1), 'cursor')
  const ns = perCall(
    {
      ours: turn(all, op => mapPosition(at, op.ours, 'left')),
      CodeMirror: turn(all, op => op.desc.mapPos(at, -1)),
    },
    effort,
  )
  return against(
    'map a cursor through 1000 edits',
    'µs',
    ns.ours / 1000,
    { CodeMirror: ns.CodeMirror / 1000 },
    {
      atMost: 2,
      faster: { CodeMirror: 1 },
    },
  )
}

function bytes(): Row[] {
  const of = (op: TextOp) => ({
    json: JSON.stringify(textType.opToJson(op)).length,
    packed: pack(textType.opToJson(op)).length,
    beside: { 'ot-text': pack(toOtText(op)).length, 'ot.js': pack(toOtJs(op).toJSON()).length },
  })
  const key = of(insert(104_852, 52_341, 'x'))
  const gone = of(remove(104_852, 52_341, 52_342))
  return [
    row('bytes of a keystroke, msgpack', key.packed, 'B', key.beside, { atMost: 6 }),
    row('bytes of a delete, msgpack', gone.packed, 'B', gone.beside, { atMost: 5 }),
    row('bytes of a keystroke, JSON', key.json, 'B'),
  ]
}

function memory(quick: boolean): Row[] {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const count = quick ? 50_000 : 200_000
  const kept = (make: (i: number) => unknown): number => {
    const all: unknown[] = new Array(count).fill(0)
    collect()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < count; i++) all[i] = make(i)
    collect()
    const used = process.memoryUsage().heapUsed - before
    must(all.length === count, 'history')
    return used / count
  }
  const op = (i: number) => insert(100_000 + i, 50_000 + (i % 40_000), letters[i % 26]!)
  const stored = kept(i => JSON.stringify(textType.opToJson(op(i))))
  const others = { 'as TextOp': kept(op), 'ot-text': kept(i => toOtText(op(i)).slice()), 'ot.js': kept(i => toOtJs(op(i))) }
  return [row('memory of a keystroke in a history, as JSON', stored, 'B', others, { atMost: 64 })]
}

function fuzzing(quick: boolean): Row[] {
  const fuzzer = require('ot-fuzzer') as Fuzzer
  const random = fuzzer.randomReal
  const made = (snapshot: string): [TextOp, string] => {
    const from = below(random, snapshot.length + 1)
    const to = snapshot.length > 50 ? snapshot.length : Math.min(snapshot.length, from + (random() < 0.5 ? below(random, 4) : 0))
    const text = random() < 0.7 ? prose(random, 1 + below(random, 5)) : ''
    return [replace(snapshot.length, from, to, text), snapshot.slice(0, from) + text + snapshot.slice(to)]
  }
  const iterations = quick ? 2_000 : 20_000
  const perSecond = (type: object, form: (op: TextOp) => unknown) => {
    const { log, warn, error, time, timeEnd } = console
    Object.assign(console, { log: () => {}, warn: () => {}, error: () => {}, time: () => {}, timeEnd: () => {} }) // it talks
    const start = performance.now()
    try {
      fuzzer(
        type,
        snapshot => {
          const [op, after] = made(snapshot)
          return [form(op), after]
        },
        iterations,
      )
    } finally {
      Object.assign(console, { log, warn, error, time, timeEnd })
    }
    return (iterations / (performance.now() - start)) * 1000
  }
  const beside = { 'ot-text-unicode': perSecond({ ...unicode, invert: undefined }, toOtText) }
  const ours = perSecond({ ...textOttype }, textType.opToJson)
  return [row('iterations of ot-fuzzer in a second', ours, '/s', beside, { atLeast: 10_000 })]
}

// The laws of a document type, for whoever writes one: engine and clients rely on each of them.
// Invariant: a law depends on nothing but the seed, so a failure is repeated by its number.
import type { DocumentType, Side } from '../ot/type.ts'

/** A number from 0 up to, not including, 1. */
export type Random = () => number

/** How to make up snapshots and ops. Small ones find more: most mistakes need two edits that touch. */
export interface TypeSample<S, O> {
  snapshot(random: Random): S
  /** Any sound op on this snapshot. */
  op(random: Random, snapshot: S): O
}

export interface TypeLaw {
  readonly title: string
  /** Tries the law on one made-up case. @throws {LawBroken} */
  check(random: Random): void
}

/** A law that does not hold; the message shows the case. */
export class LawBroken extends Error {
  override readonly name = 'LawBroken'
}

/** The same numbers for the same seed, whatever machine. */
export function seededRandom(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32
  }
}

/**
 * Tries a law on `cases` cases, case number i with the seed `seed + i`.
 *
 * @throws {LawBroken} with the seed with which one case is enough to see it again
 */
export function checkLaw(law: TypeLaw, { cases, seed }: { readonly cases: number; readonly seed: number }): void {
  for (let i = 0; i < cases; i++) {
    try {
      law.check(seededRandom(seed + i))
    } catch (error) {
      throw new LawBroken(`${law.title}: broken with seed ${seed + i}, case ${i}\n${String(error)}`, { cause: error })
    }
  }
}

const sides: readonly Side[] = ['left', 'right']

/** Every law that the contract in `DocumentType` states. Run each with `checkLaw`, in any test runner. */
export function documentTypeLaws<S, O>(type: DocumentType<S, O>, sample: TypeSample<S, O>): TypeLaw[] {
  const show = (value: Record<string, unknown>): string => JSON.stringify(value, null, 1)
  const json = (op: O) => type.opToJson(op)
  const text = (snapshot: S) => type.snapshotToJson(snapshot)
  const must = (holds: boolean, facts: () => Record<string, unknown>) => {
    if (!holds) throw new LawBroken(show(facts()))
  }
  const same = (a: S, b: S) => equalJson(text(a), text(b))
  const law = (title: string, check: (random: Random) => void): TypeLaw => ({ title, check })
  /** Two ops made on one snapshot, and a side. */
  const diamond = (random: Random) => {
    const s = sample.snapshot(random)
    return { s, a: sample.op(random, s), b: sample.op(random, s), side: random() < 0.5 ? sides[0]! : sides[1]! }
  }
  const otherSide = (side: Side): Side => (side === 'left' ? 'right' : 'left')
  /** Three ops, one after the other. */
  const row = (random: Random) => {
    const s = sample.snapshot(random)
    const a = sample.op(random, s)
    const s1 = type.apply(s, a)
    const b = sample.op(random, s1)
    const s2 = type.apply(s1, b)
    const c = sample.op(random, s2)
    return { s, a, b, c, s1, s2 }
  }

  return [
    law('two concurrent ops end in the same snapshot, whichever comes first', random => {
      const { s, a, b, side } = diamond(random)
      const aAfter = type.transform(a, b, side)
      const bAfter = type.transform(b, a, otherSide(side))
      const one = type.apply(type.apply(s, a), bAfter)
      const other = type.apply(type.apply(s, b), aAfter)
      must(same(one, other), () => ({ s: text(s), a: json(a), b: json(b), side, one: text(one), other: text(other) }))
    }),
    law('transforming a pair is transforming each', random => {
      const { s, a, b, side } = diamond(random)
      const [aAfter, bAfter] = type.transformPair(a, b, side)
      const holds = type.equals(aAfter, type.transform(a, b, side)) && type.equals(bAfter, type.transform(b, a, otherSide(side)))
      must(holds, () => ({ s: text(s), a: json(a), b: json(b), side, pair: [json(aAfter), json(bAfter)] }))
    }),
    law('a composed op does what its parts do one after the other', random => {
      const { s, a, b, s2 } = row(random)
      const composed = type.compose(a, b)
      const result = type.apply(s, composed)
      must(same(result, s2), () => ({ s: text(s), a: json(a), b: json(b), composed: json(composed), result: text(result) }))
    }),
    law('composing is associative', random => {
      const { s, a, b, c } = row(random)
      const left = type.compose(type.compose(a, b), c)
      const right = type.compose(a, type.compose(b, c))
      must(type.equals(left, right), () => ({
        s: text(s),
        a: json(a),
        b: json(b),
        c: json(c),
        left: json(left),
        right: json(right),
      }))
    }),
    law('an inverted op takes back what the op did, and its inverse does it again', random => {
      const s = sample.snapshot(random)
      const op = sample.op(random, s)
      const after = type.apply(s, op)
      const inverse = type.invert(op, s)
      const again = type.invert(inverse, after)
      const holds = same(type.apply(after, inverse), s) && same(type.apply(s, again), after)
      must(holds, () => ({ s: text(s), op: json(op), inverse: json(inverse), again: json(again) }))
    }),
    law('an undo converges with what others did meanwhile', random => {
      const s = sample.snapshot(random)
      const mine = sample.op(random, s)
      const after = type.apply(s, mine)
      const theirs = sample.op(random, after)
      const [undo, theirsAfter] = type.transformPair(type.invert(mine, s), theirs, 'left')
      const one = type.apply(type.apply(after, theirs), undo)
      const other = type.apply(s, theirsAfter)
      must(same(one, other), () => ({ s: text(s), mine: json(mine), theirs: json(theirs), one: text(one), other: text(other) }))
    }),
    law('sizes follow the op', random => {
      const { s, a, b, side } = diamond(random)
      const after = type.apply(s, a)
      const moved = type.transform(b, a, side)
      const composed = type.compose(a, moved)
      const undo = type.invert(a, s)
      const sizes = [
        [type.baseSize(a), type.size(s)],
        [type.targetSize(a), type.size(after)],
        [type.baseSize(moved), type.size(after)],
        [type.targetSize(moved), type.size(type.apply(after, moved))],
        [type.baseSize(composed), type.size(s)],
        [type.targetSize(composed), type.targetSize(moved)],
        [type.baseSize(undo), type.size(after)],
        [type.targetSize(undo), type.size(s)],
      ]
      must(
        sizes.every(([x, y]) => x === y),
        () => ({ s: text(s), a: json(a), b: json(b), side, sizes }),
      )
    }),
    law('the op that does nothing does nothing', random => {
      const { s, a, b, side } = diamond(random)
      const none = type.noop(type.size(s))
      const after = type.noop(type.targetSize(a))
      const holds =
        type.isNoop(none) &&
        same(type.apply(s, none), s) &&
        type.equals(type.compose(none, a), a) &&
        type.equals(type.compose(a, after), a) &&
        type.equals(type.transform(b, none, side), b) &&
        type.isNoop(type.transform(none, a, side))
      must(holds, () => ({ s: text(s), a: json(a), b: json(b), side }))
    }),
    law('what a sound op leaves is sound, and so is every op made from sound ones', random => {
      const { s, a, b, side } = diamond(random)
      const afterA = type.apply(s, a)
      const moved = type.transform(b, a, side)
      const faults = [
        type.fault(a, s),
        type.fault(moved, afterA),
        type.fault(type.compose(a, moved), s),
        type.fault(type.invert(a, s), afterA),
      ]
      must(
        faults.every(fault => fault === null),
        () => ({ s: text(s), a: json(a), b: json(b), side, faults }),
      )
      type.snapshotFromJson(text(type.apply(afterA, moved)))
    }),
    law('an op and a snapshot survive the way through JSON', random => {
      const s = sample.snapshot(random)
      const op = sample.op(random, s)
      const back = type.opFromJson(JSON.parse(JSON.stringify(json(op))), type.baseSize(op))
      const snapshot = type.snapshotFromJson(JSON.parse(JSON.stringify(text(s))))
      must(type.equals(back, op) && same(snapshot, s), () => ({ s: text(s), op: json(op), back: json(back) }))
    }),
    law('a diff leads from one snapshot to the other', random => {
      const from = sample.snapshot(random)
      const to = random() < 0.5 ? sample.snapshot(random) : type.apply(from, sample.op(random, from))
      const op = type.diff(from, to)
      const fault = type.fault(op, from)
      must(fault === null && same(type.apply(from, op), to), () => ({ from: text(from), to: text(to), op: json(op), fault }))
    }),
    law('many ops composed at once are what they are composed one by one', random => {
      const { s, a, b, c } = row(random)
      const all = type.composeAll?.([a, b, c])
      const one = type.compose(type.compose(a, b), c)
      must(all === undefined || type.equals(all, one), () => ({
        s: text(s),
        a: json(a),
        b: json(b),
        c: json(c),
        all: all && json(all),
      }))
    }),
    law('many ops applied at once lead to where they lead one by one', random => {
      const { s, a, b, c } = row(random)
      const before = JSON.stringify(text(s))
      const all = type.applyAll?.(s, [a, b, c])
      const one = [a, b, c].reduce((at, op) => type.apply(at, op), s)
      must(all === undefined || (same(all, one) && JSON.stringify(text(s)) === before), () => ({
        s: text(s),
        a: json(a),
        b: json(b),
        c: json(c),
        all: all && text(all),
      }))
    }),
    law('a hand leads to where applying leads, and does nothing by typing what it refuses', random => {
      const { s, a, b, c } = row(random)
      const hand = type.hand?.(s)
      if (hand === undefined) return
      hand.apply(a)
      const kept = hand.types(type.size(hand.snapshot) + 1, 'x', 0) || hand.types(0, '', type.size(hand.snapshot) + 1)
      hand.apply(b)
      hand.apply(c)
      const one = [a, b, c].reduce((at, op) => type.apply(at, op), s)
      must(!kept && same(hand.snapshot, one) && hand.size === type.size(one), () => ({
        s: text(s),
        a: json(a),
        b: json(b),
        c: json(c),
        kept,
        hand: text(hand.snapshot),
      }))
    }),
    law('an op split again and again does in all what it does as one', random => {
      const s = sample.snapshot(random)
      const op = sample.op(random, s)
      const most = { components: Math.floor(random() * 9), bytes: Math.floor(random() * 200) }
      const parts: O[] = []
      let rest = op
      for (let two = type.split?.(rest, most); two; two = type.split?.(rest, most)) {
        parts.push(two[0])
        rest = two[1]
        must(parts.length < 1_000 && !type.split?.(two[0], most), () => ({
          s: text(s),
          op: json(op),
          most,
          parts: parts.map(json),
        }))
      }
      const composed = [...parts, rest].reduce((first, second) => type.compose(first, second))
      const faults: unknown[] = []
      const end = [...parts, rest].reduce((at, part) => {
        faults.push(type.fault(part, at))
        return type.apply(at, part)
      }, s)
      must(type.equals(composed, op) && same(end, type.apply(s, op)) && faults.every(fault => fault === null), () => ({
        s: text(s),
        op: json(op),
        most,
        parts: [...parts, rest].map(json),
        faults,
      }))
    }),
    law('equal snapshots have equal hashes, others have others', random => {
      const { s, s1, s2 } = row(random)
      if (type.hash === undefined) return
      const read = type.snapshotFromJson(text(s2))
      const hashes = [s, s1, s2, read].map(snapshot => type.hash!(snapshot))
      const holds = [s, s1, s2].every((snapshot, i) => same(snapshot, read) === (hashes[i] === hashes[3]))
      must(holds && hashes.every(hash => /^[0-9a-f]{16}$/.test(hash)), () => ({ texts: [s, s1, s2].map(text), hashes }))
    }),
    law('nothing changes the ops and snapshots that it is given', random => {
      const { s, a, b, side } = diamond(random)
      const before = JSON.stringify([text(s), json(a), json(b)])
      const after = type.apply(s, a)
      type.transform(a, b, side)
      type.transformPair(a, b, side)
      type.compose(a, type.transform(b, a, side))
      type.invert(a, s)
      type.apply(after, type.transform(b, a, side))
      must(JSON.stringify([text(s), json(a), json(b)]) === before, () => ({ before, after: [text(s), json(a), json(b)] }))
    }),
  ]
}

function equalJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length || Array.isArray(a) !== Array.isArray(b)) return false
  return keys.every(key => Object.hasOwn(b, key) && equalJson(a[key as keyof typeof a], b[key as keyof typeof b]))
}

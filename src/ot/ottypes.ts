// Both ways between our document types and the ottypes convention (ShareDB's): one door out, one door in.
// Invariant: 'left' means the same on both sides: the transformed op's insert goes first.
import { shortestBase } from './json.ts'
import { isWellFormed, textOp } from './op.ts'
import { textType } from './text.ts'
import { type DocumentType, type Json, OpError, type Side } from './type.ts'

/** What the ottypes convention says of a type. Written as methods, so that packages with narrower types of their own fit. */
export interface Ottype<S, O> {
  readonly name: string
  readonly uri?: string
  create(initial?: unknown): S
  apply(snapshot: S, op: O): S
  transform(op: O, other: O, side: Side): O
  compose?(first: O, second: O): O
  invert?(op: O): O
  makeInvertible?(op: O, snapshot: S): O
  invertWithDoc?(op: O, snapshot: S): O
  normalize?(op: O): O
  checkValidOp?(op: O): void
  checkOp?(op: O): void
  isNoop?(op: O): boolean
  diff?(from: S, to: S): O
  transformCursor?(position: number, op: O, isOwnOp: boolean): number
  serialize?(snapshot: S): unknown
  deserialize?(json: unknown): S
}

/** What `toOttype` makes: snapshots and ops are plain JSON. */
export interface PlainOttype {
  readonly name: string
  readonly uri: string
  create(initial?: Json): Json
  apply(snapshot: Json, op: Json): Json
  transform(op: Json, other: Json, side: Side): Json
  compose(first: Json, second: Json): Json
  invertWithDoc(op: Json, snapshot: Json): Json
  normalize(op: Json): Json
  isNoop(op: Json): boolean
  diff(from: Json, to: Json): Json
  transformCursor(position: number, op: Json, isOwnOp: boolean): number
  transformPosition(position: number, op: Json, side?: Side): number
  transformPresence(range: PresenceRange | null, op: Json, isOwnOp: boolean): PresenceRange | null
}

/** The shape in which ShareDB's text presence travels. */
export interface PresenceRange {
  readonly index: number
  readonly length: number
}

interface OutwardOptions {
  readonly uri?: string
  /**
   * The smallest snapshot that the JSON of an op can be an op on. The convention's ops do not carry their base size, so it is
   * taken from the ops at hand, as small as they allow: what lies behind is kept. A type without sizes leaves this out.
   */
  readonly shortestBase?: (json: Json) => number
  /** Mends what a caller wrote by hand. Default: it must be right already. */
  readonly normalize?: (json: Json) => Json
}

/**
 * One of our types as an ottype, to be registered in ShareDB. Snapshots are JSON, so each `apply` reads and writes the whole: right
 * for a ShareDB server, slower than our own for large texts. There is no `invert`: our ops do not carry what they delete
 * (`invertWithDoc` does it). An op that would leave an unsound snapshot throws in `apply`, so that ShareDB refuses it.
 */
export function toOttype<S, O>(type: DocumentType<S, O>, options: OutwardOptions = {}): PlainOttype {
  const reach = options.shortestBase ?? (() => 0)
  const read = (json: Json): O => type.opFromJson(json, reach(json))
  const both = (a: Json, b: Json): [O, O] => {
    const base = Math.max(reach(a), reach(b))
    return [type.opFromJson(a, base), type.opFromJson(b, base)]
  }
  return {
    name: type.name,
    uri: options.uri ?? `inkwell:${type.name}`,
    create: initial => type.snapshotToJson(initial === undefined ? type.empty : type.snapshotFromJson(initial)),
    apply: (json, opJson) => {
      const snapshot = type.snapshotFromJson(json)
      const op = type.opFromJson(opJson, type.size(snapshot))
      const fault = type.fault(op, snapshot)
      if (fault !== null) throw new OpError(fault)
      return type.snapshotToJson(type.apply(snapshot, op))
    },
    transform: (opJson, otherJson, side) => {
      const [op, other] = both(opJson, otherJson)
      return type.opToJson(type.transform(op, other, side))
    },
    compose: (firstJson, secondJson) => {
      const shortest = reach(firstJson)
      const first = type.opFromJson(firstJson, shortest)
      const missing = reach(secondJson) - type.targetSize(first)
      if (missing > 0) return type.opToJson(type.compose(type.opFromJson(firstJson, shortest + missing), read(secondJson)))
      return type.opToJson(type.compose(first, type.opFromJson(secondJson, type.targetSize(first))))
    },
    invertWithDoc: (opJson, json) => {
      const snapshot = type.snapshotFromJson(json)
      return type.opToJson(type.invert(type.opFromJson(opJson, type.size(snapshot)), snapshot))
    },
    normalize: opJson => options.normalize?.(opJson) ?? type.opToJson(read(opJson)),
    isNoop: opJson => type.isNoop(read(opJson)),
    diff: (from, to) => type.opToJson(type.diff(type.snapshotFromJson(from), type.snapshotFromJson(to))),
    transformCursor: (position, opJson, isOwnOp) => type.mapPosition(position, read(opJson), isOwnOp ? 'right' : 'left'),
    transformPosition: (position, opJson, side = 'left') => type.mapPosition(position, read(opJson), side),
    transformPresence: (range, opJson, isOwnOp) => {
      if (range === null) return null
      const op = read(opJson)
      const side = isOwnOp ? 'right' : 'left'
      const index = type.mapPosition(range.index, op, side)
      return { index, length: type.mapPosition(range.index + range.length, op, side) - index }
    },
  }
}

/** Our text type for ShareDB. Its ops are `[5,"text",-2]`; a hand-written op may be in any order, `normalize` mends it. */
export const textOttype: PlainOttype = toOttype(textType, { uri: 'inkwell:text', shortestBase, normalize: normalizeText })

function normalizeText(json: Json): Json {
  if (!Array.isArray(json)) throw new OpError('op is not an array of components')
  for (const component of json) {
    if (typeof component === 'string' ? !isWellFormed(component) : !Number.isSafeInteger(component)) {
      throw new OpError(`component ${JSON.stringify(component)} is neither well-formed text nor a whole number`)
    }
  }
  const op = textOp(shortestBase(json))
  for (const component of json) {
    if (typeof component === 'string') op.insert(component)
    else if (component >= 0) op.retain(component)
    else op.delete(-component)
  }
  return textType.opToJson(op.build())
}

interface InwardOptions<S, O> {
  /** The snapshot of a new document, where `create()` answers none that JSON could hold (json1: undefined). */
  readonly empty?: S
  /** The op that does nothing. Default: null if the type calls that a no-op, else `[]`. */
  readonly noop?: O
  /** Needed for clients that were away for longer than history is kept, if the ottype has no `diff`. */
  readonly diff?: (from: S, to: S) => O
  readonly mapPosition?: (position: number, op: O, side: Side) => number
}

/**
 * A public ottype as one of our document types.
 *
 * The convention knows less, so: sizes are 0 (an op is checked by the type's own `checkValidOp`, `checkOp` or `transform`, no
 * stricter than they are, and again by `apply`); no snapshot is unsound but one that `apply` throws at; positions stay unless the
 * type has `transformCursor` or the options say how they move; `invert` needs `invertWithDoc` or `invert`, `diff` needs the
 * type's or the option, otherwise they throw when called. The type's `apply` must not change its argument.
 *
 * @throws {TypeError} when the type has no `compose`: a client composes what is typed while an op is on its way
 */
export function fromOttype<S, O>(ottype: Ottype<S, O>, options: InwardOptions<S, O> = {}): DocumentType<S, O> {
  const { name } = ottype
  if (ottype.compose === undefined) throw new TypeError(`ottype ${name} cannot compose`)
  const nothing = options.noop ?? (nullIsNoop(ottype) ? (null as O) : ([] as O))
  const isNoop = (op: O): boolean => ottype.isNoop?.(op) ?? sameJson(op, nothing)
  const other = (side: Side): Side => (side === 'left' ? 'right' : 'left')

  return {
    name,
    empty: 'empty' in options ? (options.empty as S) : ottype.create(),
    size: () => 0,
    baseSize: () => 0,
    targetSize: () => 0,
    apply: (snapshot, op) => ottype.apply(snapshot, op),
    compose: (first, second) => ottype.compose!(first, second),
    transform: (op, over, side) => ottype.transform(op, over, side),
    transformPair: (a, b, side) => [ottype.transform(a, b, side), ottype.transform(b, a, other(side))],
    invert: (op, before) => {
      if (ottype.invertWithDoc) return ottype.invertWithDoc(op, before)
      if (!ottype.invert) throw new TypeError(`ottype ${name} cannot invert`)
      return ottype.invert(ottype.makeInvertible ? ottype.makeInvertible(op, before) : op)
    },
    isNoop,
    equals: (a, b) => sameJson(a, b) || (isNoop(a) && isNoop(b)),
    noop: () => nothing,
    diff: (from, to) => {
      const diff = options.diff ?? ottype.diff
      if (!diff) throw new TypeError(`ottype ${name} has no diff, and none was given`)
      return diff(from, to)
    },
    mapPosition: (position, op, side) => {
      if (options.mapPosition) return options.mapPosition(position, op, side)
      return ottype.transformCursor ? ottype.transformCursor(position, op, side === 'right') : position
    },
    fault: (op, snapshot) => {
      try {
        ottype.apply(snapshot, op)
        return null
      } catch (error) {
        return sentence(error)
      }
    },
    opFromJson: json => {
      try {
        const op = json as O // the type's own check is what makes it one
        if (ottype.checkValidOp) ottype.checkValidOp(op)
        else if (ottype.checkOp) ottype.checkOp(op)
        else ottype.transform(op, nothing, 'left') // most types check what they transform
        return ottype.normalize ? ottype.normalize(op) : op
      } catch (error) {
        throw new OpError(`${name}: ${sentence(error)}`)
      }
    },
    opToJson: op => op as Json,
    snapshotFromJson: json => {
      try {
        return ottype.deserialize ? ottype.deserialize(json) : ottype.create(json)
      } catch (error) {
        throw new OpError(`${name}: ${sentence(error)}`)
      }
    },
    snapshotToJson: snapshot => (ottype.serialize ? ottype.serialize(snapshot) : snapshot) as Json,
  }
}

function nullIsNoop<S, O>(ottype: Ottype<S, O>): boolean {
  try {
    return ottype.isNoop?.(null as O) === true
  } catch {
    return false // a type whose ops are never null may fail on it
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(key => Object.hasOwn(b, key) && sameJson(a[key as keyof typeof a], b[key as keyof typeof b]))
}

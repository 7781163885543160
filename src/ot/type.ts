// The contract of a document type: what engine, client and stores know of an edit, and nothing more.
// Invariant: every function here is pure; snapshots and ops are values that nobody changes.

/** Which of two concurrent edits is placed first where both touch one place. `left` goes before, `right` after. */
export type Side = 'left' | 'right'

/** A JSON value: the form in which ops and snapshots travel and are stored. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** How large an op may be: components as the protocol counts them, and bytes in the protocol's binary form. */
export interface Most {
  readonly components: number
  readonly bytes: number
}

/** A snapshot to which many edits are done, of which nobody sees what lies between. */
export interface Hand<S, O> {
  /** Of the snapshot as it is by now. */
  readonly size: number
  /**
   * Keeps `skip`, puts `inserted` there, takes away `deleted` behind it: what the op of that JSON does, without an op being made of it.
   * False, and nothing done: it is none on what is there. `inserted` has no surrogates.
   */
  types(skip: number, inserted: string, deleted: number): boolean
  /** @throws {RangeError} now or later, when the op was made on a snapshot of another size */
  apply(op: O): void
  readonly snapshot: S
}

/**
 * A kind of document. `S` is a snapshot, `O` an op: one composite edit of a whole snapshot.
 *
 * The laws (`inkwell/testing` runs them for any type):
 *
 *     //        /\          a and b were made on one snapshot s
 *     //     a /  \ b       TP1: both ways round end in the same snapshot
 *     //      /    \
 *     //  b'  \    /  a'    a' = transform(a, b, 'left'),  b' = transform(b, a, 'right')
 *     //       \  /         apply(apply(s, a), b') = apply(apply(s, b), a')
 *     //        \/
 *
 * `compose` is associative and means "one after the other"; `invert(op, s)` undoes op on apply(s, op).
 * `transform` is NOT closed under composition: transforming over b then c may differ from transforming over compose(b, c).
 * Whoever transforms must therefore use the units that the log holds.
 */
export interface DocumentType<S, O> {
  /** The name on the wire and in the log, e.g. `text`. */
  readonly name: string
  /** The snapshot of a document nobody has written to. */
  readonly empty: S

  /**
   * What an op can be checked against when the snapshot is not at hand. For text: the length in UTF-16 code units.
   * A type without such a measure answers 0 in all three.
   */
  size(snapshot: S): number
  baseSize(op: O): number
  targetSize(op: O): number

  /** @throws {RangeError} when the op was made on a snapshot of another size */
  apply(snapshot: S, op: O): S
  /** first, then second, as one op. @throws {RangeError} when second was not made on the result of first */
  compose(first: O, second: O): O
  /** op as it must be after `over`, which was made on the same snapshot. @throws {RangeError} when they were not */
  transform(op: O, over: O, side: Side): O
  /** [transform(a, b, side), transform(b, a, the other side)] in one pass. */
  transformPair(a: O, b: O, side: Side): readonly [a: O, b: O]
  /** What takes apply(before, op) back to before. */
  invert(op: O, before: S): O
  isNoop(op: O): boolean
  /** True when both change every snapshot in the same way. */
  equals(a: O, b: O): boolean
  noop(size: number): O
  /** An op that leads from one snapshot to the other. Used only where history is gone. */
  diff(from: S, to: S): O
  /** Where a position (for text: an offset between characters) is after op. `side` decides at an insert right there. */
  mapPosition(position: number, op: O, side: Side): number

  /**
   * Null when the op leaves a sound snapshot sound, else a sentence that names what is wrong.
   * For text: an op must not cut a surrogate pair in two, which only the snapshot can tell.
   */
  fault(op: O, snapshot: S): string | null

  /** Reads untrusted JSON as an op on a snapshot of `baseSize`. @throws {OpError} naming the offending value and its limit */
  opFromJson(json: unknown, baseSize: number): O
  opToJson(op: O): Json
  /** @throws {OpError} */
  snapshotFromJson(json: unknown): S
  snapshotToJson(snapshot: S): Json

  /** Many ops one after the other as one, where the type knows a quicker way than composing them in pairs. At least one is given. */
  composeAll?(ops: readonly O[]): O
  /** A snapshot after many ops, where the type knows a quicker way than applying one after the other. @throws {RangeError} as `apply` */
  applyAll?(snapshot: S, ops: readonly O[]): S
  /** For a long history that has many edits by hand (a place, a few letters, some taken away), where the type has a quicker way for those. */
  hand?(snapshot: S): Hand<S, O>
  /**
   * Null when the op is within `most`; else as much of it as is, and the rest, to be done after it. Splitting the rest again and again
   * comes to an end. Without this, an op that the server finds too large is handed back to its writer.
   */
  split?(op: O, most: Most): readonly [first: O, rest: O] | null
  /**
   * 16 hexadecimal digits in lower case, the same for equal snapshots and as good as never for others. A type that has one lets
   * client and server check now and then that they hold the same; asked for every few seconds, so it should not read everything anew.
   */
  hash?(snapshot: S): string
}

/** Input that is no op (or no snapshot) of its type. The message names the offending value and the limit that it broke. */
export class OpError extends Error {
  override readonly name = 'OpError'
}

/** A document type about whose snapshots and ops the caller knows nothing. */
// biome-ignore lint/suspicious/noExplicitAny: existential type: engine and session carry snapshots and ops without looking inside
export type AnyDocumentType = DocumentType<any, any>

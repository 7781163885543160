// A queue of pending edits on top of an agreed snapshot, and how it moves when a commit joins the agreed history.
// Invariant: agreed with every unit applied in turn is what its owner shows; a step changes both sides alike.

import type { DocumentType } from './type.ts'

export interface Pending<O> {
  readonly op: O
}

export interface Queue<S, O, U extends Pending<O>> {
  readonly agreed: S
  readonly units: readonly U[]
}

/** What a commit did to a queue, and the op that takes the text shown before to the text shown after (null: nothing to do). */
export interface Advance<S, O, U extends Pending<O>> extends Queue<S, O, U> {
  readonly shown: O | null
}

/**
 * Moves units over `op`, which was made on the snapshot that the first unit stands on.
 *
 *     //        agreed
 *     //     op /    \ unit 1        op is in the log, the units will come after it:
 *     //       /      \             at one place they go left of it (R15)
 *     //  unit 1'\   / op'
 *     //          \ / …             op' meets unit 2, and so on: the last op' is what the view must apply
 */
export const moveOver = <S, O, U extends Pending<O>>(
  type: DocumentType<S, O>,
  units: readonly U[],
  op: O,
): { readonly units: readonly U[]; readonly shown: O } => {
  let shown = op
  if (units.length === 0) return { units, shown }
  const moved = units.map(unit => {
    const [mine, theirs] = type.transformPair(unit.op, shown, 'left')
    shown = theirs
    return { ...unit, op: mine }
  })
  return { units: moved, shown }
}

export const applyAll = <S, O>(type: DocumentType<S, O>, snapshot: S, units: readonly Pending<O>[]): S =>
  units.reduce((text, unit) => type.apply(text, unit.op), snapshot)

/** A commit by somebody else, or of an edit that is no longer pending. */
export const advanceOther = <S, O, U extends Pending<O>>(
  type: DocumentType<S, O>,
  queue: Queue<S, O, U>,
  commit: O,
): Advance<S, O, U> => {
  const { units, shown } = moveOver(type, queue.units, commit)
  return { agreed: type.apply(queue.agreed, commit), units, shown }
}

/**
 * The commit of `queue.units[own]`. As a rule it is the first and lands in the form it has here. Where it does not (an older copy, a
 * re-offer, a catch-up after a diff), what waits behind it moves over the difference between what was shown and what is (R9).
 */
export const advanceOwn = <S, O, U extends Pending<O>>(
  type: DocumentType<S, O>,
  queue: Queue<S, O, U>,
  commit: O,
  own: number,
): Advance<S, O, U> => {
  const { agreed, units } = queue
  if (own === 0 && type.equals(units[0]!.op, commit))
    return { agreed: type.apply(agreed, commit), units: units.slice(1), shown: null }
  const before = applyAll(type, agreed, units.slice(0, own + 1))
  const front = moveOver(type, units.slice(0, own), commit).units
  const next = type.apply(agreed, commit)
  const after = applyAll(type, next, front)
  const rest = moveOver(type, units.slice(own + 1), type.diff(before, after))
  return { agreed: next, units: [...front, ...rest.units], shown: rest.shown }
}

/** Takes units[at] out of the queue as if it had never been made; `shown` takes its effect out of the view. */
export const withdraw = <S, O, U extends Pending<O>>(
  type: DocumentType<S, O>,
  queue: Queue<S, O, U>,
  at: number,
): Queue<S, O, U> & { readonly shown: O; readonly before: S } => {
  const before = applyAll(type, queue.agreed, queue.units.slice(0, at))
  const rest = moveOver(type, queue.units.slice(at + 1), type.invert(queue.units[at]!.op, before))
  return { agreed: queue.agreed, units: [...queue.units.slice(0, at), ...rest.units], shown: rest.shown, before }
}

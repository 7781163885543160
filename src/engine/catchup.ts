// What a client that comes back lacks, in the form that is cheapest to send and to take in.
// Invariant: the units are the commits one after the other, and a commit of the receiver's own is a unit by itself (R9).

import type { AuthorId, Position } from '../protocol/ids.ts'
import type { CatchUp, Composed, ComposedUnit, WireCommit } from '../protocol/messages.ts'
import type { Commit, Type } from './entry.ts'
import type { Limits } from './limits.ts'

/** Null: there is so much that the whole document is less to send, and less to work out. */
export const missed = (
  type: Type,
  commits: readonly Commit[],
  receiver: AuthorId,
  position: Position,
  limits: Limits,
): CatchUp | Composed | null => {
  const from = position.version - commits.length
  const wire = commits.map(commit => wireCommit(type, commit))
  if (commits.length <= limits.catchUpCommits) return { kind: 'commits', from, commits: wire, position }
  // Each commit costs something by itself, however short: of half of all that may be kept a snapshot is cheaper.
  if (commits.length > limits.recentMost / 2 || componentsOf(wire) > limits.catchUpWork) return null
  return { kind: 'composed', from, units: unitsOf(type, commits, receiver), position }
}

/**
 * An op carried over commits in one step. It may come out otherwise than its author makes it, who goes commit by commit; R9 makes up
 * for that, as it does when the author has caught up in one step and the server has not.
 *
 * Undefined: there is so much that composing it would hold up the others. (Null is an op of some types: the one that does nothing.)
 */
export const overAll = (type: Type, op: unknown, commits: readonly Commit[], limits: Limits): unknown => {
  if (componentsOf(commits.map(commit => wireCommit(type, commit))) > limits.catchUpWork) return undefined
  const ops = commits.map(commit => commit.op)
  return type.transform(op, composed(type, ops), 'left')
}

const componentsOf = (commits: readonly WireCommit[]): number => {
  let components = 0
  for (const { op } of commits) components += Array.isArray(op) ? op.length : 1
  return components
}

export const wireCommit = (type: Type, { author, seq, op }: Commit): WireCommit => ({ author, seq, op: type.opToJson(op) })

const pieceBytes = 32_768 // of one piece for a slow reader, about; a longer commit goes alone

/** As many of these commits as make a frame that a slow reader can take. */
export const pieceOf = (type: Type, commits: readonly Commit[]): readonly WireCommit[] => {
  const piece: WireCommit[] = []
  let bytes = 0
  for (const commit of commits) {
    const wire = wireCommit(type, commit)
    bytes += 40 + JSON.stringify(wire.op).length
    if (piece.length > 0 && bytes > pieceBytes) break
    piece.push(wire)
  }
  return piece
}

const unitsOf = (type: Type, commits: readonly Commit[], receiver: AuthorId): ComposedUnit[] => {
  const units: ComposedUnit[] = []
  let others: unknown[] = []
  const close = () => {
    if (others.length === 0) return
    units.push({ commits: others.length, seq: null, op: type.opToJson(composed(type, others)) })
    others = []
  }
  for (const { author, seq, op } of commits) {
    if (author !== receiver) {
      others.push(op)
      continue
    }
    close()
    units.push({ commits: 1, seq, op: type.opToJson(op) })
  }
  close()
  return units
}

/** In pairs, then pairs of pairs: one after the other would read the first op again for every other. */
const composed = (type: Type, ops: readonly unknown[]): unknown => {
  if (type.composeAll !== undefined) return type.composeAll(ops)
  let level = ops
  while (level.length > 1) {
    const next: unknown[] = []
    for (let i = 0; i < level.length; i += 2) next.push(i + 1 < level.length ? type.compose(level[i], level[i + 1]) : level[i])
    level = next
  }
  return level[0]
}

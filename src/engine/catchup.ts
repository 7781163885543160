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
  let components = 0
  for (const { op } of wire) components += Array.isArray(op) ? op.length : 1
  return components > limits.catchUpWork ? null : { kind: 'composed', from, units: unitsOf(type, commits, receiver), position }
}

export const wireCommit = (type: Type, { author, seq, op }: Commit): WireCommit => ({ author, seq, op: type.opToJson(op) })

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

// What a checkpoint's body holds: enough to go on from its version as a node that had been there all along.
// Invariant: reading back what was written gives the same text, the same commits and the same authors.

import type { Json } from '../ot/type.ts'
import type { AuthorId, Chain, Seq, Version } from '../protocol/ids.ts'
import type { Commit, Type } from './entry.ts'
import type { Checkpoint } from './ports.ts'

/** An author's last edit: its number and the version as which it landed. */
export interface Last {
  readonly seq: Seq
  readonly version: Version
}

/** When a version was reached: from these the prune mark is found. */
export interface Mark {
  readonly version: Version
  readonly time: number
}

export interface State {
  readonly type: Type
  readonly value: unknown
  readonly authors: ReadonlyMap<AuthorId, Last>
  readonly marks: readonly Mark[]
  /** The commits in (horizon, version]. */
  readonly commits: readonly Commit[]
  /** The chain at the horizon. */
  readonly floorChain: Chain
}

interface Stored {
  readonly type: string
  readonly value: Json
  /** Of the value; null where the type has none. */
  readonly hash: string | null
  readonly authors: readonly (readonly [AuthorId, Seq, Version])[]
  readonly marks: readonly (readonly [Version, number])[]
  /** Each with the size of what its op was made on. */
  readonly commits: readonly (readonly [AuthorId, Seq, string, number, number, Json, Chain])[]
  readonly floorChain: Chain
}

export const writeState = (state: State): string => {
  const { type } = state
  const stored: Stored = {
    type: type.name,
    value: type.snapshotToJson(state.value),
    hash: type.hash?.(state.value) ?? null,
    authors: [...state.authors].map(([author, last]) => [author, last.seq, last.version]),
    marks: state.marks.map(mark => [mark.version, mark.time]),
    commits: state.commits.map(c => [c.author, c.seq, c.user, c.time, type.baseSize(c.op), type.opToJson(c.op), c.chain]),
    floorChain: state.floorChain,
  }
  return JSON.stringify(stored)
}

/** States read lately: whoever looks whether a checkpoint is sound and then starts from it reads it once. */
const read = new WeakMap<Checkpoint, State & { readonly isSound: boolean }>()

/**
 * `isSound`: the value is the one that was written, as far as its hash can tell.
 *
 * @throws when the type is not among those known, or the body is not one that `writeState` has made
 */
export const readState = (types: readonly Type[], checkpoint: Checkpoint): State & { readonly isSound: boolean } => {
  const known = read.get(checkpoint)
  if (known !== undefined) return known
  const stored = JSON.parse(checkpoint.body) as Stored
  const type = types.find(candidate => candidate.name === stored.type)
  if (type === undefined) throw new Error(`the checkpoint at version ${checkpoint.version} is of the unknown type ${stored.type}`)
  const commits = stored.commits.map(([author, seq, user, time, size, op, chain], i): Commit => {
    const version = checkpoint.horizon + 1 + i
    return { version, chain, author, seq, op: type.opFromJson(op, size), user, time }
  })
  const value = type.snapshotFromJson(stored.value)
  const state = {
    type,
    value,
    isSound: stored.hash === (type.hash?.(value) ?? null),
    authors: new Map(stored.authors.map(([author, seq, version]) => [author, { seq, version }])),
    marks: stored.marks.map(([version, time]) => ({ version, time })),
    commits,
    floorChain: stored.floorChain,
  }
  read.set(checkpoint, state)
  return state
}

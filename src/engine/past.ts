// A document as it was: read from its log entry by entry, by whoever looks on.
// Invariant: after the same entries it holds what every node holds.

import { type Chain, emptyChain, type Version } from '../protocol/ids.ts'
import { readState } from './checkpoint.ts'
import { type Commit, derive, History, readBody, type Type } from './entry.ts'
import type { Checkpoint, Entry } from './ports.ts'

const atOnce = 10_000 // ops applied in one go

/**
 * Commits that are held for entries with older bases. A node bases what it writes on its own head, which is behind by what is on its way;
 * after a minute in which it hung, by what a very busy document got in that.
 */
const held = 50_000

export class Past {
  /** Null until the first entry has said it. */
  type: Type | null = null
  private applied: unknown = null
  /** Ops that nobody has asked for the outcome of. */
  private pending: unknown[] = []
  readonly history: History
  private readonly types: readonly Type[]

  /** @throws when the checkpoint cannot be read */
  constructor(types: readonly Type[], checkpoint: Checkpoint | null) {
    this.types = types
    if (checkpoint === null) {
      this.history = new History(0, emptyChain)
      return
    }
    const state = readState(types, checkpoint)
    this.type = state.type
    this.applied = state.value
    this.history = new History(checkpoint.horizon, state.floorChain)
    for (const commit of state.commits) this.history.push(commit)
  }

  get value(): unknown {
    if (this.type !== null && this.pending.length > 0) this.apply(this.type)
    return this.applied
  }

  get version(): Version {
    return this.history.head
  }

  get chain(): Chain {
    return this.history.chain
  }

  /** @throws when the entry is none that follows here */
  step(entry: Entry): Commit {
    const { history } = this
    const body = readBody(entry.body)
    if (body.base > history.head || body.base < history.floor)
      throw new RangeError(`entry ${entry.version} is made on version ${body.base}; held are ${history.floor} to ${history.head}`)
    if (body.type !== null && history.head === 0) this.becomes(body.type)
    const { type } = this
    if (type === null) throw new Error(`entry ${entry.version} comes before the document has a type`)
    const commit = derive(type, history, this.sizeOf, entry, body, undefined)
    this.pending.push(commit.op)
    if (this.pending.length >= atOnce) this.apply(type)
    history.push(commit)
    if (history.head - history.floor > 2 * held) history.drop(history.head - held)
    return commit
  }

  private becomes(name: string): void {
    const type = this.types.find(candidate => candidate.name === name)
    if (type === undefined) throw new Error(`the document is of the unknown type ${name}`)
    this.type = type
    this.applied = type.empty
  }

  private apply(type: Type): void {
    const { pending } = this
    this.applied = type.applyAll?.(this.applied, pending) ?? pending.reduce((value, op) => type.apply(value, op), this.applied)
    this.pending = []
  }

  private readonly sizeOf = (version: Version): number => {
    const type = this.type!
    if (version < this.history.head) return type.baseSize(this.history.at(version + 1).op)
    const last = this.pending.at(-1)
    return last === undefined ? type.size(this.applied) : type.targetSize(last)
  }
}

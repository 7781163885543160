// Whether a document in a store is what its log says: every entry where it belongs, and the checkpoint what replaying gives.
// Invariant: it only reads; a fault is told once, by the version at which it shows.

import type { AuthorId, Chain, Seq, Version } from '../protocol/ids.ts'
import { readState, type State } from './checkpoint.ts'
import { type Commit, readBody, type Type } from './entry.ts'
import { Past } from './past.ts'
import type { About, Checkpoint, Entry, NewEntry } from './ports.ts'

export interface Flaw {
  readonly version: Version
  readonly sentence: string
}

/** More of one document are counted, not told: behind the first nobody reads them. */
const most = 100

export class Verification {
  readonly flaws: Flaw[] = []
  /** Flaws that are left out of `flaws`. */
  untold = 0
  /** How much could be checked: the text as well, or the chain of the log alone, and why. */
  unread: string | null = null
  private readonly about: About
  private readonly checkpoint: Checkpoint | null
  private readonly link: (previous: Chain, entry: NewEntry) => Chain
  private readonly state: State | null = null
  private past: Past | null = null
  private version: Version
  private chain: Chain | null
  private readonly seqs = new Map<AuthorId, Seq>()

  /**
   * @param checkpoint the stored one
   * @param link the chain after an entry
   */
  constructor(
    types: readonly Type[],
    about: About,
    checkpoint: Checkpoint | null,
    link: (previous: Chain, entry: NewEntry) => Chain,
  ) {
    this.about = about
    this.checkpoint = checkpoint
    this.link = link
    this.version = about.floor.version
    this.chain = about.floor.chain
    const { version, horizon, floor, durable, checkpointed } = about
    if (durable > version) this.flaw(durable, `counts as durable, and the log ends at ${version}`)
    if (horizon > version || horizon < floor.version)
      this.flaw(horizon, `is the horizon of a log from ${floor.version} to ${version}`)
    if ((checkpoint?.version ?? 0) !== checkpointed) this.flaw(checkpointed, 'should have a checkpoint, and has none')
    if (floor.version > 0 && checkpoint === null)
      this.flaw(floor.version, 'is where the log begins, and without a checkpoint it cannot be read')
    if (checkpoint !== null) this.state = this.read(types, checkpoint)
    if (floor.version === 0) this.past = new Past(types, null)
  }

  private read(types: readonly Type[], checkpoint: Checkpoint): State | null {
    const { version, horizon, pruned } = checkpoint
    const { about } = this
    if (version > about.version || version < about.floor.version)
      this.flaw(version, `has a checkpoint, and the log goes from ${about.floor.version} to ${about.version}`)
    if (horizon >= version || pruned > horizon || horizon > about.horizon)
      this.flaw(version, `has a checkpoint with horizon ${horizon} and prune mark ${pruned}; that of the log is ${about.horizon}`)
    try {
      const state = readState(types, checkpoint)
      if (!state.isSound) this.flaw(version, 'has a checkpoint whose text is not the one that was written')
      else if (state.commits.length !== version - horizon)
        this.flaw(version, `has a checkpoint with ${state.commits.length} commits after its horizon ${horizon}`)
      else {
        const last = state.commits.at(-1)
        if (last !== undefined && state.type.targetSize(last.op) !== state.type.size(state.value))
          this.flaw(version, 'has a checkpoint whose text is not of the length to which its last commit leads')
        if (last !== undefined && last.chain !== checkpoint.chain)
          this.flaw(version, 'has a checkpoint that ends with another commit')
      }
      return state
    } catch (error) {
      const { message } = error as Error
      if (message.includes('unknown type')) this.unread = message
      else this.flaw(version, `has a checkpoint that cannot be read: ${message}`)
      return null
    }
  }

  /** The next entries, in order. */
  take(entries: readonly Entry[]): void {
    for (const entry of entries) this.entry(entry)
  }

  /** Versions that could not be read; what follows is taken as it comes. */
  gap(from: Version, to: Version, why: string): void {
    this.flaw(from, `${to > from ? `and those up to ${to} ` : ''}cannot be read: ${why}`)
    this.version = to
    this.chain = null
    this.past = null
    this.unread ??= `the text after version ${from - 1} cannot be checked`
  }

  /** Nothing follows. */
  end(): void {
    const { version, chain } = this.about
    if (this.version !== version) this.flaw(version, `is where the log should end; it ends at ${this.version}`)
    else if (this.chain !== null && this.chain !== chain) this.flaw(version, 'has another chain than the log says of its end')
  }

  private entry(entry: Entry): void {
    const { version, author, seq, chain } = entry
    if (version !== this.version + 1) this.flaw(version, `comes after ${this.version}`)
    if (this.chain !== null && this.link(this.chain, entry) !== chain)
      this.flaw(version, 'is not what was written: its chain does not follow from the one before')
    const last = this.seqs.get(author)
    if (last !== undefined && seq <= last)
      this.flaw(version, `is edit ${seq} of ${author}, and edit ${last} is in before: it is doubled`)
    else this.seqs.set(author, seq)
    this.version = version
    this.chain = chain
    this.replay(entry)
    if (version === this.checkpoint?.version && this.state !== null) this.compare(this.checkpoint, this.state)
  }

  private replay(entry: Entry): void {
    const { past, checkpoint, state } = this
    if (past !== null) {
      try {
        past.step(entry)
      } catch (error) {
        this.past = null
        const { message } = error as Error
        if (message.includes('unknown type')) this.unread = message
        else this.flaw(entry.version, `cannot be replayed: ${message}`)
      }
    } else if (checkpoint !== null && state !== null && entry.version > checkpoint.horizon && entry.version <= checkpoint.version)
      this.againstCommit(entry, state, checkpoint)
  }

  /** Where the log does not reach back to the beginning: what the checkpoint says became of the entry must follow from it. */
  private againstCommit(entry: Entry, state: State, checkpoint: Checkpoint): void {
    const { type, commits } = state
    const commit = commits[entry.version - checkpoint.horizon - 1]
    if (commit === undefined) return
    if (commit.author !== entry.author || commit.seq !== entry.seq || commit.chain !== entry.chain)
      return this.flaw(checkpoint.version, `has a checkpoint with another commit ${entry.version} than the log`)
    try {
      const { base, op } = readBody(entry.body)
      if (base < checkpoint.horizon) return // what it was carried over is gone
      const between = commits.slice(base - checkpoint.horizon, entry.version - checkpoint.horizon - 1)
      const size = type.baseSize((commits[base - checkpoint.horizon] as Commit).op)
      let moved = type.opFromJson(op, size)
      for (const other of between) moved = type.transform(moved, other.op, 'left')
      if (!type.equals(moved, commit.op))
        this.flaw(checkpoint.version, `has a checkpoint in which commit ${entry.version} does something else than its entry`)
    } catch (error) {
      this.flaw(entry.version, `cannot be replayed: ${(error as Error).message}`)
    }
  }

  /** The log has come to the checkpoint's version. */
  private compare(checkpoint: Checkpoint, state: State): void {
    const { version, chain } = checkpoint
    const no = (what: string): void => this.flaw(version, `has a checkpoint that ${what}`)
    if (this.chain !== chain) no('is of another history')
    for (const [author, seq] of this.seqs) {
      const row = state.authors.get(author)
      if (row === undefined ? false : row.seq < seq) no(`does not know edit ${seq} of ${author}`)
    }
    const { past } = this
    if (past === null) {
      if (this.about.floor.version > 0 && this.flaws.length === 0) this.past = pastOf(state, checkpoint)
      return
    }
    const { type } = past
    if (type === null || type.name !== state.type.name) return no(`is of type ${state.type.name}`)
    if (!same(type, past.value, state.value)) return no('has another text than the log leads to')
    for (const commit of state.commits) {
      if (commit.version <= past.history.floor) continue
      const known = past.history.at(commit.version)
      if (
        known.author !== commit.author ||
        known.seq !== commit.seq ||
        known.chain !== commit.chain ||
        !type.equals(known.op, commit.op)
      )
        return no(`has another commit ${commit.version} than the log leads to`)
    }
    if (past.history.floor <= checkpoint.horizon && past.history.chainAt(checkpoint.horizon) !== state.floorChain)
      no('has another chain at its horizon')
  }

  private flaw(version: Version, sentence: string): void {
    if (this.flaws.length < most) this.flaws.push({ version, sentence })
    else this.untold++
  }
}

const pastOf = (state: State, checkpoint: Checkpoint): Past => new Past([state.type], checkpoint)

const same = (type: Type, a: unknown, b: unknown): boolean =>
  type.size(a) === type.size(b) && JSON.stringify(type.snapshotToJson(a)) === JSON.stringify(type.snapshotToJson(b))

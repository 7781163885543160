// Whether a document in a store is what its log says: every entry where it belongs, and the checkpoint what replaying gives.
// Invariant: it only reads; a fault is told once, by the version at which it shows.

import { type AuthorId, type Chain, emptyChain, type Seq, type Version } from '../protocol/ids.ts'
import { readState, type State } from './checkpoint.ts'
import { type Commit, readBody, type Type } from './entry.ts'
import { authorAt, chainAt, entryAt } from './page.ts'
import { Past } from './past.ts'
import type { About, Checkpoint, Entry, Page } from './ports.ts'

export interface Flaw {
  readonly version: Version
  readonly sentence: string
}

/** What a look at a document came to. */
export interface Findings {
  readonly flaws: readonly Flaw[]
  /** Flaws that are left out of `flaws`. */
  readonly untold: number
  /** Why not everything could be checked; null: everything was. */
  readonly unread: string | null
}

/** Goes through the entries of one document in their order. */
export interface Check {
  take(page: Page): void
  /** Versions that could not be read; what follows is taken as it comes. */
  gap(from: Version, to: Version, why: string): void
  /** Nothing follows. */
  end(): Findings
}

/** More of one document are counted, not told: behind the first nobody reads them. */
const most = 100

class Faults {
  readonly told: Flaw[] = []
  untold = 0

  tell(version: Version, sentence: string): void {
    if (this.told.length < most) this.told.push({ version, sentence })
    else this.untold++
  }
}

/** What two checks of one document found, in the order of the versions. */
export const together = (one: Findings, other: Findings): Findings => {
  const flaws = [...one.flaws, ...other.flaws].sort((a, b) => a.version - b.version)
  return {
    flaws: flaws.slice(0, most),
    untold: one.untold + other.untold + Math.max(0, flaws.length - most),
    unread: one.unread ?? other.unread,
  }
}

/** An author's last edit. */
interface Row {
  last: Seq
}

/** The row of each author of a page: looked up once, written into at each of his entries. */
const rowsOf = ({ authors }: Page, known: Map<AuthorId, Row>): readonly Row[] =>
  authors.map(author => {
    let row = known.get(author)
    if (row === undefined) known.set(author, (row = { last: -1 }))
    return row
  })

/** Whether the log is the one that was written: each entry in its place, its chain that of all before it, none of them twice. */
export class LinkCheck implements Check {
  private readonly faults = new Faults()
  private readonly about: About
  private readonly follows: (page: Page, i: number, before: Chain) => boolean
  private version: Version
  private chain: Chain | null
  private readonly seqs = new Map<AuthorId, Row>()

  /** @param follows whether the chain of that one of a page follows from the one before it; `before` is that of its first */
  constructor(about: About, follows: (page: Page, i: number, before: Chain) => boolean) {
    this.about = about
    this.follows = follows
    this.version = about.floor.version
    this.chain = about.floor.chain
    const { version, horizon, floor, durable } = about
    if (durable > version) this.faults.tell(durable, `counts as durable, and the log ends at ${version}`)
    if (horizon > version || horizon < floor.version)
      this.faults.tell(horizon, `is the horizon of a log from ${floor.version} to ${version}`)
  }

  take(page: Page): void {
    const { versions, seqs } = page
    const rows = rowsOf(page, this.seqs)
    const before = this.chain
    for (let i = 0; i < versions.length; i++) {
      const [version, seq] = [versions[i]!, seqs[i]!]
      if (version !== this.version + 1) this.faults.tell(version, `comes after ${this.version}`)
      if ((i > 0 || before !== null) && !this.follows(page, i, before ?? emptyChain))
        this.faults.tell(version, 'is not what was written: its chain does not follow from the one before')
      const row = rows[page.whose[i]!]!
      if (seq > row.last) row.last = seq
      else this.faults.tell(version, `is edit ${seq} of ${authorAt(page, i)}, and edit ${row.last} is in before: it is doubled`)
      this.version = version
    }
    if (versions.length > 0) this.chain = chainAt(page, versions.length - 1)
  }

  gap(from: Version, to: Version, why: string): void {
    this.faults.tell(from, `${to > from ? `and those up to ${to} ` : ''}cannot be read: ${why}`)
    this.version = to
    this.chain = null
  }

  end(): Findings {
    const { version, chain } = this.about
    if (this.version !== version) this.faults.tell(version, `is where the log should end; it ends at ${this.version}`)
    else if (this.chain !== null && this.chain !== chain)
      this.faults.tell(version, 'has another chain than the log says of its end')
    return { flaws: this.faults.told, untold: this.faults.untold, unread: null }
  }
}

/** Whether the log can be replayed, and the stored checkpoint is what that gives. */
export class TextCheck implements Check {
  private readonly faults = new Faults()
  private unread: string | null = null
  private readonly about: About
  private readonly checkpoint: Checkpoint | null
  private readonly state: State | null = null
  private past: Past | null = null
  private readonly seqs = new Map<AuthorId, Row>()

  /** @param checkpoint the stored one */
  constructor(types: readonly Type[], about: About, checkpoint: Checkpoint | null) {
    this.about = about
    this.checkpoint = checkpoint
    const { floor, checkpointed } = about
    if ((checkpoint?.version ?? 0) !== checkpointed) this.faults.tell(checkpointed, 'should have a checkpoint, and has none')
    if (floor.version > 0 && checkpoint === null)
      this.faults.tell(floor.version, 'is where the log begins, and without a checkpoint it cannot be read')
    if (checkpoint !== null) this.state = this.read(types, checkpoint)
    if (floor.version === 0) this.past = new Past(types, null)
  }

  private read(types: readonly Type[], checkpoint: Checkpoint): State | null {
    const { version, horizon, pruned } = checkpoint
    const { about } = this
    if (version > about.version || version < about.floor.version)
      this.faults.tell(version, `has a checkpoint, and the log goes from ${about.floor.version} to ${about.version}`)
    if (horizon >= version || pruned > horizon || horizon > about.horizon)
      this.faults.tell(
        version,
        `has a checkpoint with horizon ${horizon} and prune mark ${pruned}; that of the log is ${about.horizon}`,
      )
    try {
      const state = readState(types, checkpoint)
      if (!state.isSound) this.faults.tell(version, 'has a checkpoint whose text is not the one that was written')
      else if (state.commits.length !== version - horizon)
        this.faults.tell(version, `has a checkpoint with ${state.commits.length} commits after its horizon ${horizon}`)
      else {
        const last = state.commits.at(-1)
        if (last !== undefined && state.type.targetSize(last.op) !== state.type.size(state.value))
          this.faults.tell(version, 'has a checkpoint whose text is not of the length to which its last commit leads')
        if (last !== undefined && last.chain !== checkpoint.chain)
          this.faults.tell(version, 'has a checkpoint that ends with another commit')
      }
      return state
    } catch (error) {
      const { message } = error as Error
      if (message.includes('unknown type')) this.unread = message
      else this.faults.tell(version, `has a checkpoint that cannot be read: ${message}`)
      return null
    }
  }

  take(page: Page): void {
    const { versions, seqs, whose } = page
    const rows = rowsOf(page, this.seqs)
    for (let i = 0; i < versions.length; i++) {
      const row = rows[whose[i]!]!
      if (seqs[i]! > row.last) row.last = seqs[i]!
      this.replay(page, i)
      if (versions[i] === this.checkpoint?.version && this.state !== null)
        this.compare(this.checkpoint, this.state, chainAt(page, i))
    }
  }

  gap(from: Version): void {
    this.past = null
    this.unread ??= `the text after version ${from - 1} cannot be checked`
  }

  end(): Findings {
    return { flaws: this.faults.told, untold: this.faults.untold, unread: this.unread }
  }

  private replay(page: Page, i: number): void {
    const { past, checkpoint, state } = this
    const version = page.versions[i]!
    if (past !== null) {
      try {
        past.step(page, i)
      } catch (error) {
        this.past = null
        const { message } = error as Error
        if (message.includes('unknown type')) this.unread = message
        else this.faults.tell(version, `cannot be replayed: ${message}`)
      }
    } else if (checkpoint !== null && state !== null && version > checkpoint.horizon && version <= checkpoint.version)
      this.againstCommit(entryAt(page, i), state, checkpoint)
  }

  /** Where the log does not reach back to the beginning: what the checkpoint says became of the entry must follow from it. */
  private againstCommit(entry: Entry, state: State, checkpoint: Checkpoint): void {
    const { type, commits } = state
    const commit = commits[entry.version - checkpoint.horizon - 1]
    if (commit === undefined) return
    if (commit.author !== entry.author || commit.seq !== entry.seq || commit.chain !== entry.chain)
      return this.faults.tell(checkpoint.version, `has a checkpoint with another commit ${entry.version} than the log`)
    try {
      const { base, op } = readBody(entry.body)
      if (base < checkpoint.horizon) return // what it was carried over is gone
      const between = commits.slice(base - checkpoint.horizon, entry.version - checkpoint.horizon - 1)
      const size = type.baseSize((commits[base - checkpoint.horizon] as Commit).op)
      let moved = type.opFromJson(op, size)
      for (const other of between) moved = type.transform(moved, other.op, 'left')
      if (!type.equals(moved, commit.op))
        this.faults.tell(
          checkpoint.version,
          `has a checkpoint in which commit ${entry.version} does something else than its entry`,
        )
    } catch (error) {
      this.faults.tell(entry.version, `cannot be replayed: ${(error as Error).message}`)
    }
  }

  /** The log has come to the checkpoint's version. */
  private compare(checkpoint: Checkpoint, state: State, reached: Chain): void {
    const { version, chain } = checkpoint
    const no = (what: string): void => this.faults.tell(version, `has a checkpoint that ${what}`)
    if (reached !== chain) no('is of another history')
    for (const [author, { last: seq }] of this.seqs) {
      const row = state.authors.get(author)
      if (row === undefined ? false : row.seq < seq) no(`does not know edit ${seq} of ${author}`)
    }
    const { past } = this
    if (past === null) {
      if (this.about.floor.version > 0 && this.faults.told.length === 0) this.past = pastOf(state, checkpoint)
      return
    }
    const { type } = past
    if (type === null || type.name !== state.type.name) return no(`is of type ${state.type.name}`)
    if (!same(type, past.value, state.value)) return no('has another text than the log leads to')
    for (const commit of state.commits) {
      if (commit.version <= past.floor.version) continue
      const known = past.at(commit.version)
      if (
        known.author !== commit.author ||
        known.seq !== commit.seq ||
        known.chain !== commit.chain ||
        !type.equals(known.op, commit.op)
      )
        return no(`has another commit ${commit.version} than the log leads to`)
    }
    if (past.floor.version <= checkpoint.horizon && past.chainAt(checkpoint.horizon) !== state.floorChain)
      no('has another chain at its horizon')
  }
}

const pastOf = (state: State, checkpoint: Checkpoint): Past => new Past([state.type], checkpoint)

const same = (type: Type, a: unknown, b: unknown): boolean =>
  type.size(a) === type.size(b) && JSON.stringify(type.snapshotToJson(a)) === JSON.stringify(type.snapshotToJson(b))

// Where the others are: their presence states, and my own on its way to them.
// Invariant: positions are kept in the agreed text at the version reached, so what is shown is right for every queue of my own edits.

import type { DocumentType } from '../ot/type.ts'
import type { AuthorId, PeerId, Version } from '../protocol/ids.ts'
import type { PeerEntry, PresenceChange, PresenceState, User } from '../protocol/messages.ts'
import type { Session } from './session.ts'
import { mapRange, type Range } from './undo.ts'

export interface Peer {
  readonly peer: PeerId
  readonly user: User
  readonly author: AuthorId
  /** As that peer set it, with the positions under `cursor` as they are in the text shown here. */
  readonly state: PresenceState
}

interface Entry {
  readonly user: User
  readonly author: AuthorId
  /** At the version that `Peers` has reached. */
  readonly state: PresenceState
  /** Came from a version that is not here yet. */
  readonly ahead: { readonly version: Version; readonly state: PresenceState } | null
}

interface Passed<O> {
  readonly op: O
  /** Null where it stands for the commits of several. */
  readonly author: AuthorId | null
  /** The version on which it was made. */
  readonly from: Version
}

/** Commits kept for states from older versions: a second or two of a busy document. A state older than that keeps its positions. */
const commitsKept = 1_000

/** The others, as told by the server and moved by every commit. */
export class Peers<S, O> {
  private readonly type: DocumentType<S, O>
  private entries = new Map<PeerId, Entry>()
  private people = 0
  private version: Version = 0
  /** The commits that lead up to `version`, oldest first. */
  private readonly passed: Passed<O>[] = []

  constructor(type: DocumentType<S, O>) {
    this.type = type
  }

  get size(): number {
    return this.entries.size
  }

  /** How many are in the document, I too; 0 while there is no line. */
  get count(): number {
    return this.people
  }

  /** I have joined: these are all the others who are shown. */
  joined(people: number, peers: readonly PeerEntry[]): void {
    this.people = people
    this.entries = new Map()
    for (const { peer, user, author, version, state } of peers) this.here(peer, user, author, version, state)
  }

  /** `whole`: whoever is not among the changes is gone. */
  changed(people: number, whole: boolean, changes: readonly PresenceChange[]): void {
    this.people = people
    if (whole) {
      const named = new Set(changes.map(({ peer }) => peer))
      for (const peer of this.entries.keys()) if (!named.has(peer)) this.entries.delete(peer)
    }
    for (const change of changes) {
      if (change.kind === 'gone') this.entries.delete(change.peer)
      else this.here(change.peer, change.user, change.author, change.version, change.state)
    }
  }

  /** A commit that leads to `version`, or many of them composed. */
  commit(version: Version, op: O, author: AuthorId | null): void {
    const commit = { op, author, from: this.version }
    this.passed.push(commit)
    if (this.passed.length > commitsKept * 2) this.passed.splice(0, commitsKept) // in bulk: one by one would cost as much each time
    this.version = version
    for (const [peer, entry] of this.entries) {
      const { ahead } = entry
      if (ahead !== null && ahead.version <= version) this.entries.set(peer, { ...entry, state: ahead.state, ahead: null })
      else this.entries.set(peer, { ...entry, state: this.past(entry.state, entry.author, commit) })
    }
  }

  /** The agreed text was replaced: what was known of the way to it is of no use any more. */
  reset(version: Version, diff: O): void {
    this.version = version
    this.passed.length = 0
    for (const [peer, entry] of this.entries) {
      const { ahead } = entry
      if (ahead !== null && ahead.version <= version) this.entries.set(peer, { ...entry, state: ahead.state, ahead: null })
      else this.entries.set(peer, { ...entry, state: moveCursor(entry.state, range => mapRange(this.type, range, diff, 'left')) })
    }
  }

  /** Nobody is known to be here while there is no line. */
  clear(): void {
    this.people = 0
    this.entries = new Map()
  }

  /** The others as they stand in the text that `session` shows, no position beyond `limit`. */
  shown({ units }: Session<S, O>, limit: number): Peer[] {
    const { type } = this
    const within = (at: number) => Math.min(at, limit)
    return [...this.entries].map(([peer, { user, author, state }]) => ({
      peer,
      user,
      author,
      state: moveCursor(state, range => {
        // My own edits will come later in the log than the peer's place, as everybody else will see them: to the right of it.
        const { anchor, head } = units.reduce((place, unit) => mapRange(type, place, unit.op, 'left'), range)
        return { anchor: within(anchor), head: within(head) }
      }),
    }))
  }

  private here(peer: PeerId, user: User, author: AuthorId, version: Version, state: PresenceState): void {
    if (version > this.version) {
      const before = this.entries.get(peer)?.state ?? withoutCursor(state)
      this.entries.set(peer, { user, author, state: before, ahead: { version, state } })
      return
    }
    // Nobody can tell how a place moves that was true in the midst of commits known only composed: it stays until they end.
    const { passed } = this
    const isKnown = passed.length > 0 && passed[0]!.from <= version
    const way = isKnown ? passed.slice(passed.findLastIndex(({ from }) => from < version) + 1) : []
    this.entries.set(peer, { user, author, state: way.reduce((at, commit) => this.past(at, author, commit), state), ahead: null })
  }

  /** One's own typing carries one's caret along; what others type at its place comes to stand behind it. */
  private past(state: PresenceState, owner: AuthorId, { op, author }: Pick<Passed<O>, 'op' | 'author'>): PresenceState {
    return moveCursor(state, range => mapRange(this.type, range, op, author === owner ? 'right' : 'left'))
  }
}

/** My own state: what I set, and what the others can know of it. */
export class Appearance<S, O> {
  private readonly type: DocumentType<S, O>
  /** With positions in the text shown. */
  private mine: PresenceState | null = null
  /** What the others have now: the state told last, moved as they move it. */
  private told: PresenceState | null = null

  constructor(type: DocumentType<S, O>) {
    this.type = type
  }

  set(state: PresenceState): void {
    this.mine = state
  }

  /** The text shown changed, by my own doing or not. */
  follow(op: O, own: boolean): void {
    if (this.mine !== null) this.mine = moveCursor(this.mine, range => mapRange(this.type, range, op, own ? 'right' : 'left'))
  }

  commit(op: O, own: boolean): void {
    if (this.told !== null) this.told = moveCursor(this.told, range => mapRange(this.type, range, op, own ? 'right' : 'left'))
  }

  reset(): void {
    this.told = null
  }

  /** What must be told the others, with positions in the agreed text; null: they know it, or can work it out. */
  news(session: Session<S, O>): PresenceState | null {
    if (this.mine === null) return null
    const agreed = toAgreed(this.type, session, this.mine)
    return JSON.stringify(agreed) === JSON.stringify(this.told) ? null : agreed
  }

  telling(state: PresenceState): void {
    this.told = state
  }
}

/** Takes positions in the text shown back through my own edits, latest first, into the agreed text. */
const toAgreed = <S, O>(type: DocumentType<S, O>, { agreed, units }: Session<S, O>, state: PresenceState): PresenceState => {
  if (units.length === 0 || state.cursor === undefined) return state
  const back: O[] = []
  let text = agreed
  for (const { op } of units) {
    back.unshift(type.invert(op, text))
    text = type.apply(text, op)
  }
  return moveCursor(state, range => back.reduce((place, op) => mapRange(type, place, op, 'left'), range))
}

/**
 * The state with every range under `cursor` moved: `{ anchor, head }`, or `{ ranges: [{ anchor, head }, …] }`. Whatever has another
 * form is the application's own and stays as it is.
 */
const moveCursor = (state: PresenceState, move: (range: Range) => Range): PresenceState => {
  const { cursor } = state
  if (isRange(cursor)) return { ...state, cursor: Object.assign({}, cursor, move(cursor)) }
  if (typeof cursor !== 'object' || cursor === null || !('ranges' in cursor) || !Array.isArray(cursor.ranges)) return state
  const ranges = cursor.ranges.map(range => (isRange(range) ? Object.assign({}, range, move(range)) : range))
  return { ...state, cursor: Object.assign({}, cursor, { ranges }) }
}

const isRange = (value: unknown): value is Range => {
  if (typeof value !== 'object' || value === null || !('anchor' in value) || !('head' in value)) return false
  return isOffset(value.anchor) && isOffset(value.head)
}

const isOffset = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

const withoutCursor = ({ cursor: _, ...rest }: PresenceState): PresenceState => rest

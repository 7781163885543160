// The client's side of one document, as a pure step: state and event in, next state and effects out.
// Invariant: `shown` = `agreed` with every unit applied in turn; `agreed` is the text at `position`; nothing leaves `units` or
// `confirmed` but by being durable, or as a draft.

import { advanceOther, advanceOwn, applyAll, moveOver, type Pending, withdraw } from '../ot/queue.ts'
import type { DocumentType, Json, Most } from '../ot/type.ts'
import { serverBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId, DocId, Handle, PeerId, Position, Seq, Version } from '../protocol/ids.ts'
import type {
  Beat,
  CatchUp,
  ClientLimits,
  Commits,
  Composed,
  DocumentRequest,
  Joined,
  PeerEntry,
  Presence,
  PresenceChange,
  Refused,
  RightNow,
  Role,
  ServerMessage,
  Signalled,
  Snapshot,
  WireCommit,
} from '../protocol/messages.ts'
import { unreachable } from '../protocol/unreachable.ts'

/** An edit of mine that the log does not hold yet, made on the agreed text with the units before it. */
export type Unit<O> = FreshUnit<O> | SentUnit<O>

/** Never sent: what is typed next is composed into the last one, as long as that is not too large. */
export interface FreshUnit<O> extends Pending<O> {
  readonly seq: null
}

/** Sent at least once. `since` is the version at its first sending and is never moved (R7). */
export interface SentUnit<O> extends Pending<O> {
  readonly seq: Seq
  readonly since: Version
}

/** An edit of mine in the log, but above what is durable: a failover may take it back (R10). */
export interface Confirmed<O> {
  readonly seq: Seq
  /** Where it stands in the log, at most. */
  readonly version: Version
  readonly since: Version
  /** Takes it out of the agreed text as that is now. */
  readonly undo: O
  /** What a diff may have removed of it: told as drafts should it have to be offered again. */
  readonly doubts: readonly Draft<unknown, O>[]
}

/** An edit of mine that is handed back: `op` as it was made on `before`. */
export interface Draft<S, O> {
  /** `refused`: the server would not have it. `unknowable`: it may be in the document already; nobody can tell any more (R7). */
  readonly cause: 'refused' | 'unknowable'
  readonly refusal: Refusal | null
  readonly op: O
  readonly before: S
}

export type Link =
  /** No line, or the line has not been told of this document yet. */
  | { readonly kind: 'down' }
  /** `trust`: how much of what I hold is to be relied on; without it the whole text is asked for. */
  | { readonly kind: 'joining'; readonly trust: Trust }
  /** A pause before joining again; only the event `join` ends it. */
  | { readonly kind: 'waiting'; readonly trust: Trust }
  /** Closed before the join was answered: the answer is answered by leaving. */
  | { readonly kind: 'leaving' }
  /** `sent`: units[0] went out on this line. `fresh`: nothing has come since joining. */
  | {
      readonly kind: 'live'
      readonly handle: Handle
      readonly peer: PeerId
      readonly right: Role
      /** Milliseconds between two edits, and `resting` after one of them. */
      readonly pace: number
      readonly resting: boolean
      readonly sent: boolean
      readonly fresh: boolean
    }
  | { readonly kind: 'closed'; readonly refusal: Refusal | null }

/** `lost`: the history did not fit what I hold. `diverged`: my text has another hash than the server's at the same position. */
type Trust = 'kept' | 'lost' | 'diverged'

export interface Session<S, O> {
  readonly type: DocumentType<S, O>
  readonly doc: DocId
  readonly link: Link
  /** Null until the first welcome. */
  readonly author: AuthorId | null
  /** Null until the first join: `agreed` is then the empty document. */
  readonly position: Position | null
  readonly agreed: S
  readonly units: readonly Unit<O>[]
  readonly shown: S
  readonly confirmed: readonly Confirmed<O>[]
  readonly durable: Version
  /** The last number given to an edit of mine. */
  readonly seq: Seq
  /** How large an op may be sent. */
  readonly most: Most
}

export type SessionEvent<O> =
  /** I made an edit on the shown text. */
  | { readonly kind: 'edit'; readonly op: O }
  /** A line is there and says who I am, and what it takes. */
  | { readonly kind: 'up'; readonly author: AuthorId; readonly limits?: Limits }
  | { readonly kind: 'down' }
  | { readonly kind: 'message'; readonly message: ServerMessage }
  /** No answer for too long, or a wait is over: send what is in flight once more. */
  | { readonly kind: 'resend' }
  /** The pause after an edit, so that the next one carries more, is over. */
  | { readonly kind: 'rested' }
  /** The pause before joining again is over. */
  | { readonly kind: 'join' }
  /** A message could not be applied: what I know of the history is wrong, my own edits are not. */
  | { readonly kind: 'distrust' }
  /** What I was restored from may be older than what has been sent since. */
  | { readonly kind: 'doubt' }
  /** I leave the document. */
  | { readonly kind: 'close' }

/** What the server accepts of a submission. */
type Limits = Pick<ClientLimits, 'messageBytes' | 'opComponents'>

export type SessionEffect<S, O> =
  /** Store the state before any `send` that follows (R12). */
  | { readonly kind: 'persist' }
  | { readonly kind: 'send'; readonly message: DocumentRequest }
  /** What would have been sent under this number goes in two: every edit after it has a number one higher than it would have had. */
  | { readonly kind: 'split'; readonly seq: Seq }
  /** The shown text changed by somebody else's doing. `resync`: history was replaced by a diff. `withdrawn`: an edit of mine was taken out. */
  | {
      readonly kind: 'change'
      readonly op: O
      readonly origin: 'remote' | 'resync' | 'withdrawn'
      readonly author: AuthorId | null
    }
  /** The agreed text moved on by one commit. */
  | { readonly kind: 'commit'; readonly version: Version; readonly op: O; readonly author: AuthorId; readonly own: Seq | null }
  /** It moved on by many commits of others', `op` in all. */
  | { readonly kind: 'skip'; readonly version: Version; readonly op: O }
  /** The agreed text was replaced; `diff` leads from the old one to the new one, as near as can be told. */
  | { readonly kind: 'reset'; readonly version: Version; readonly diff: O }
  /** The agreed text was not what the server holds at this position; it will be asked for anew. */
  | { readonly kind: 'diverged'; readonly position: Position; readonly expected: string; readonly found: string }
  | { readonly kind: 'draft'; readonly draft: Draft<S, O> }
  | { readonly kind: 'peers'; readonly people: number; readonly peers: readonly PeerEntry[] }
  /** `whole`: who is not among the changes is gone. */
  | { readonly kind: 'presence'; readonly people: number; readonly whole: boolean; readonly changes: readonly PresenceChange[] }
  | { readonly kind: 'signal'; readonly signal: Signalled }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Come back with the event `next` after this many milliseconds; before joining again wait longer, the more often that was in vain. */
  | { readonly kind: 'wait'; readonly ms: number; readonly next: 'resend' | 'rested' | 'join' }
  | { readonly kind: 'closed'; readonly refusal: Refusal | null }

export type Step<S, O> = readonly [next: Session<S, O>, effects: readonly SessionEffect<S, O>[]]

/** Milliseconds before a document with edits of mine asks again whether there is room for it on the connection. */
const roomPause = 5_000

/** Milliseconds before sending again what the server refused for the moment without saying for how long. */
const retryPause = 1_000

/**
 * Edits of mine in the log that are not durable yet. Beyond it what is typed waits: each of them is carried over whatever the others do,
 * and a store that for so long has not made anything durable may never do so.
 */
const mostConfirmed = 1_000

/** Milliseconds before asking for the whole text after a message that could not be applied. */
const distrustPause = 1_000

/** Half of what the server takes: while an edit waits, what others write into a range that it deletes parts it into more components. */
const mostOf = ({ opComponents, messageBytes }: Limits): Most => ({
  components: Math.floor(opComponents / 2),
  bytes: Math.floor(messageBytes / 2),
})

export const openSession = <S, O>(type: DocumentType<S, O>, doc: DocId): Session<S, O> => ({
  type,
  doc,
  link: { kind: 'down' },
  author: null,
  position: null,
  agreed: type.empty,
  units: [],
  shown: type.empty,
  confirmed: [],
  durable: 0,
  seq: 0,
  most: mostOf(serverBounds),
})

export const step = <S, O>(state: Session<S, O>, event: SessionEvent<O>): Step<S, O> => {
  const run = new Run(state)
  run[event.kind](event as never) // what it takes is held by `Steps`
  return run.result()
}

/** How far an edit of mine has come: it is here only; it has left at least once; it is in the log; it is there for good. */
export type Level = 'typed' | 'sent' | 'sequenced' | 'durable'

/** How far the edit numbered `seq` (see `seqOfTyped`) has come. */
export const levelOf = (state: Session<unknown, unknown>, seq: Seq): Level => {
  if (seq > state.seq) return 'typed'
  if (state.units.some(unit => unit.seq !== null && unit.seq <= seq)) return 'sent'
  return state.confirmed.some(edit => edit.seq <= seq) ? 'sequenced' : 'durable'
}

/** The number under which everything typed so far will have been sent. */
export const seqOfTyped = (state: Session<unknown, unknown>): Seq =>
  state.seq + state.units.filter(unit => unit.seq === null).length

/** Confirmed edits over an op made on the text that they are in. */
const carried = <O>(type: DocumentType<unknown, O>, confirmed: readonly Confirmed<O>[], op: O): readonly Confirmed<O>[] =>
  confirmed.map(edit => ({ ...edit, undo: type.transform(edit.undo, op, 'left') }))

/** A method for each kind of event. */
type Steps<O> = { readonly [Event in SessionEvent<O> as Event['kind']]: (event: Event) => void }

/**
 * One step under way: owns a copy of the state and collects the effects. Its methods are the rules; each leaves the invariant true.
 */
class Run<S, O> implements Steps<O> {
  private state: Session<S, O>
  private readonly effects: SessionEffect<S, O>[] = []

  constructor(state: Session<S, O>) {
    this.state = state
  }

  result(): Step<S, O> {
    return [this.state, this.effects]
  }

  edit({ op }: { readonly op: O }): void {
    const { type, units } = this.state
    if (this.isOver || type.isNoop(op)) return
    const last = units.at(-1)
    const joined = last !== undefined && last.seq === null ? type.compose(last.op, op) : null
    // What is as large as may be sent is left at that: composing goes on in a unit of its own, and costs no more than it has so far.
    const next: readonly Unit<O>[] =
      joined === null || this.isTooLarge(joined) ? [...units, { seq: null, op }] : units.with(-1, { seq: null, op: joined })
    this.set({ units: next, shown: type.apply(this.state.shown, op) })
    this.flush()
  }

  private isTooLarge(op: O): boolean {
    const { type, most } = this.state
    return (type.split?.(op, most) ?? null) !== null
  }

  up({ author, limits }: { readonly author: AuthorId; readonly limits?: Limits }): void {
    // There may have been no `down`: the line is another one all the same, and owes nothing that the one before owed.
    if (this.state.link.kind === 'leaving') this.end(null)
    if (this.isOver) return
    this.set({ author, ...(limits && { most: mostOf(limits) }) })
    this.ask('kept')
  }

  down(): void {
    if (this.state.link.kind === 'leaving') this.end(null)
    else if (!this.isOver) this.set({ link: { kind: 'down' } })
  }

  /**
   * The log holds an edit of mine under a number that I have not given: I come from a storage that gave back less than it was given
   * (R12). What has no number here may be in that edit.
   */
  doubt(): void {
    while (this.state.units.at(-1)?.seq === null) this.withdraw(this.state.units.length - 1, null, 'unknowable')
  }

  close(): void {
    const { link } = this.state
    if (this.isOver) return
    if (link.kind === 'joining') return this.set({ link: { kind: 'leaving' } })
    this.leaveStay()
    this.end(null)
  }

  private end(refusal: Refusal | null): void {
    this.set({ link: { kind: 'closed', refusal } })
    this.effects.push({ kind: 'closed', refusal })
  }

  private get isOver(): boolean {
    return this.state.link.kind === 'closed' || this.state.link.kind === 'leaving'
  }

  resend(): void {
    const { link } = this.state
    if (link.kind !== 'live') return
    if (link.right === 'read') return this.rejoin() // it cannot be sent again; the history tells whether it is in
    this.set({ link: { ...link, sent: false, resting: false } })
    this.flush()
  }

  rested(): void {
    const { link } = this.state
    if (link.kind !== 'live') return
    this.set({ link: { ...link, resting: false } })
    this.flush()
  }

  message({ message }: { readonly message: ServerMessage }): void {
    const { link } = this.state
    if (message.kind === 'joined') {
      if (message.doc !== this.state.doc) return
      if (link.kind === 'joining') this.joined(message)
      else if (link.kind === 'leaving') {
        this.effects.push({ kind: 'send', message: { kind: 'leave', handle: message.handle } })
        this.end(null)
      }
      return
    }
    if (message.kind === 'refused') return this.refused(message)
    if (message.kind === 'authenticated') return // the line's business
    // What a document's earlier stay on this line left behind is not for us.
    if (link.kind !== 'live' || message.kind === 'alive' || message.handle !== link.handle) return
    switch (message.kind) {
      case 'commits':
        return this.commits(message)
      case 'durable':
        this.durable(message.version)
        return this.flush() // some may have waited for it
      case 'beat':
        return this.beat(message)
      case 'presence':
        return this.presence(message)
      case 'left':
        return this.left(message.refusal)
      case 'signalled':
        this.effects.push({ kind: 'signal', signal: message })
        return
      case 'right':
        return this.regraded(message)
      default:
        unreachable(message)
    }
  }

  // ---- joining

  private ask(trust: Trust): void {
    const { doc, type, position } = this.state
    this.set({ link: { kind: 'joining', trust } })
    const join = { kind: 'join', doc, type: type.name, position: trust === 'kept' ? position : null } as const
    this.effects.push({ kind: 'send', message: trust === 'diverged' ? { ...join, diverged: true } : join })
  }

  private leaveStay(): void {
    const { link } = this.state
    if (link.kind === 'live') this.effects.push({ kind: 'send', message: { kind: 'leave', handle: link.handle } })
  }

  private rejoin(): void {
    this.leaveStay()
    this.ask('kept')
  }

  /** Joins again after a while: at once would make a busy loop of a history that refuses what it has just handed out. */
  private rejoinLater(ms: number, trust: Trust): void {
    this.leaveStay()
    this.joinLater(ms, trust)
  }

  private joinLater(ms: number, trust: Trust): void {
    this.set({ link: { kind: 'waiting', trust } })
    this.effects.push({ kind: 'wait', ms, next: 'join' })
  }

  /** The pause before joining again is over. */
  join(): void {
    const { link } = this.state
    if (link.kind === 'waiting') this.ask(link.trust)
  }

  distrust(): void {
    if (this.state.link.kind === 'live') this.rejoinLater(distrustPause, 'lost')
  }

  private joined(message: Joined): void {
    const { handle, peer, right, content } = message
    this.set({ link: { kind: 'live', handle, peer, right, pace: 0, resting: false, sent: false, fresh: true } })
    if (content.kind === 'snapshot') this.snapshot(content)
    else if (content.from !== this.state.position?.version) return this.rejoin()
    else if (content.kind === 'commits') this.catchUp(content)
    else this.composed(content)
    this.durable(message.durable)
    this.effects.push({ kind: 'peers', people: message.people, peers: message.peers })
    if (right === 'read') this.giveUp(0)
    this.effects.push({ kind: 'persist' })
    this.flush()
  }

  /** The right to write is gone, or has come. */
  private regraded({ right, pace }: RightNow): void {
    const { link } = this.state
    if (link.kind !== 'live') return
    // What was refused for want of a place goes at once where there is one: to send again what was not does no harm.
    const sent = link.sent && !(link.right === 'full' && right === 'write')
    this.set({ link: { ...link, right, pace, sent, resting: link.resting && pace > 0 } })
    // What is in flight may have been taken before: its commit or its refusal is on the way.
    if (right === 'read') this.giveUp(link.sent ? 1 : 0)
    this.effects.push({ kind: 'persist' })
    this.flush()
  }

  /** What cannot land any more is handed back (P3), all but the first `kept`. */
  private giveUp(kept: number): void {
    while (this.state.units.length > kept) this.withdraw(this.state.units.length - 1, refusal('forbidden', 'writing'))
  }

  private catchUp(content: CatchUp): void {
    for (const [i, commit] of content.commits.entries()) this.commit(content.from + i + 1, commit)
    this.set({ position: content.position })
  }

  /**
   * The server knows of no edit of mine as it is between two commits of a unit: what I submit from now on is made behind it. What it
   * had from me before has gone its own way, commit by commit, and comes as a commit of my own (R9).
   */
  private composed(content: Composed): void {
    const author = this.state.author!
    let version = content.from
    for (const { commits, seq, op } of content.units) {
      version += commits
      if (seq !== null) this.commit(version, { author, seq, op })
      else this.skip(version, op)
    }
    this.set({ position: content.position })
  }

  private left(refusal: Refusal): void {
    this.effects.push({ kind: 'refused', refusal })
    switch (refusal.advice) {
      case 'rejoin':
        return this.ask('kept')
      case 'retry':
      case 'slow-down':
        return this.joinLater(refusal.after ?? 0, 'kept')
      default:
        this.end(refusal)
    }
  }

  private refused(message: Refused): void {
    const { link, units, confirmed, doc } = this.state
    const { refusal } = message
    if (
      (link.kind === 'joining' || link.kind === 'leaving') &&
      message.doc === doc &&
      message.handle === null &&
      message.seq === null
    ) {
      if (link.kind === 'leaving') return this.end(null)
      this.effects.push({ kind: 'refused', refusal })
      if (refusal.advice === 'retry' || refusal.advice === 'slow-down') return this.rejoinLater(refusal.after ?? 0, link.trust)
      // Nothing is wrong with the edits: there is room for them when another document is closed.
      if (refusal.code === 'too-many-documents' && units.length + confirmed.length > 0)
        return this.joinLater(roomPause, link.trust)
      return this.end(refusal)
    }
    if (link.kind !== 'live' || message.handle !== link.handle) return
    const at = units.findIndex(unit => unit.seq !== null && unit.seq === message.seq)
    // A late copy of an edit that has arrived is of no interest to anybody.
    if (message.seq !== null && at < 0) return
    this.effects.push({ kind: 'refused', refusal })
    if (message.seq === null) return refusal.advice === 'rejoin' ? this.rejoin() : undefined
    switch (refusal.advice) {
      case 'rejoin':
        return link.fresh ? this.rejoinLater(refusal.after ?? 0, 'kept') : this.rejoin()
      case 'retry':
      case 'slow-down':
        this.effects.push({ kind: 'wait', ms: refusal.after ?? retryPause, next: 'resend' })
        return
      default:
        this.withdraw(at, refusal)
        this.set({ link: { ...link, sent: false } })
        this.effects.push({ kind: 'persist' })
        this.flush()
    }
  }

  // ---- the history moves on

  private commits(message: Commits): void {
    const { position } = this.state
    if (position === null || message.from > position.version) return this.rejoin()
    this.alive()
    for (const [i, commit] of message.commits.entries()) {
      const version = message.from + i + 1
      if (version > position.version) this.commit(version, commit)
    }
    if (message.position.version >= position.version) this.set({ position: { ...position, ...message.position } })
    this.durable(message.durable)
    this.flush()
  }

  private commit(version: Version, wire: WireCommit): void {
    if (wire.author === this.state.author && wire.seq > this.state.seq) this.doubt()
    const { type, agreed, units, confirmed, position, link } = this.state
    const op = type.opFromJson(wire.op, type.size(agreed))
    const mine = wire.author === this.state.author
    const own = mine ? units.findIndex(unit => unit.seq === wire.seq) : -1
    const kept = carried(type, confirmed, op)
    const moved = own < 0 ? advanceOther(type, this.state, op) : advanceOwn(type, this.state, op, own)
    const landed = own < 0 ? null : (units[own] as SentUnit<O>)
    this.set({
      agreed: moved.agreed,
      units: moved.units,
      confirmed:
        landed === null
          ? kept
          : [...kept, { seq: landed.seq, version, since: landed.since, undo: type.invert(op, agreed), doubts: [] }],
      position: { ...position!, version },
      seq: mine ? Math.max(this.state.seq, wire.seq) : this.state.seq,
    })
    if (landed !== null && link.kind === 'live') this.set({ link: { ...link, sent: false } })
    this.show(moved.shown, 'remote', wire.author)
    this.effects.push({ kind: 'commit', version, op, author: wire.author, own: landed?.seq ?? null })
    // Whatever was numbered below it and has not landed never will: the log takes no lower number any more (R13).
    for (let i = 0; i < own; i++) this.withdraw(0, null)
  }

  private skip(version: Version, json: Json): void {
    const { type, agreed, confirmed, position } = this.state
    const op = type.opFromJson(json, type.size(agreed))
    const { shown, ...moved } = advanceOther(type, this.state, op)
    const kept = carried(type, confirmed, op)
    this.set({ ...moved, confirmed: kept, position: { ...position!, version } })
    this.show(shown, 'remote', null)
    this.effects.push({ kind: 'skip', version, op })
  }

  /** The line is ordered, so whoever is behind the beat has lost a frame. */
  private beat({ position, durable, hash }: Beat): void {
    const mine = this.state.position!
    if (mine.version !== position.version || mine.chain !== position.chain) return this.rejoin()
    this.durable(durable)
    this.flush()
    const { type, agreed } = this.state
    const found = type.hash?.(agreed)
    if (hash === null || found === undefined || found === hash) return
    this.effects.push({ kind: 'diverged', position: mine, expected: hash, found })
    this.rejoinLater(distrustPause, 'diverged')
  }

  private durable(version: Version): void {
    if (version <= this.state.durable) return
    this.set({ durable: version, confirmed: this.state.confirmed.filter(edit => edit.version > version) })
  }

  private presence(message: Presence): void {
    this.alive()
    const { people, whole, changes } = message
    this.effects.push({ kind: 'presence', people, whole, changes })
  }

  /**
   * The history I knew is replaced by a snapshot. What is mine stays mine: edits the snapshot holds are let go, edits it lacks are
   * queued again under their own numbers, and everything else that changed is one diff.
   *
   *     //   agreed ──undo what is confirmed but not in it──▶ ──apply what is in flight and in it──▶ A ──diff──▶ snapshot
   */
  private snapshot(content: Snapshot): void {
    if (content.landed !== null && content.landed.seq > this.state.seq) this.doubt()
    const { type, position, durable, shown } = this.state
    const value = type.snapshotFromJson(content.value)
    const newLog = position !== null && position.epoch !== content.position.epoch
    let base = this.state.agreed
    let confirmed = this.state.confirmed
    let landed = content.landed?.seq ?? 0

    // R7: an author the server has forgotten cannot learn whether old edits of its are in.
    const sent = this.state.units.filter(unit => unit.seq !== null)
    const oldest = Math.min(durable, ...sent.map(unit => unit.since), ...confirmed.map(edit => edit.since))
    const unknowable = content.landed === null && sent.length + confirmed.length > 0 && oldest < content.pruned
    if (unknowable) {
      landed = Number.POSITIVE_INFINITY
      for (const edit of confirmed) this.draft('unknowable', null, type.invert(edit.undo, base), type.apply(base, edit.undo))
      confirmed = []
    }

    // R10: what was confirmed in a history that is gone becomes pending again, latest first out, in order in again.
    const again: SentUnit<O>[] = []
    while (confirmed.length > 0 && confirmed.at(-1)!.seq > landed) {
      const edit = confirmed.at(-1)!
      const before = type.apply(base, edit.undo)
      again.unshift({ seq: edit.seq, since: Math.min(edit.since, durable), op: type.invert(edit.undo, base) })
      for (const doubt of edit.doubts) this.effects.push({ kind: 'draft', draft: doubt as Draft<S, O> })
      confirmed = carried(type, confirmed.slice(0, -1), edit.undo)
      base = before
    }

    // R6: what is in flight and already in the snapshot counts as agreed before the two are compared.
    let units: readonly Unit<O>[] = [...again, ...this.state.units]
    while (units.length > 0 && units[0]!.seq !== null && units[0]!.seq <= landed) {
      const unit = units[0] as SentUnit<O>
      if (unknowable) this.draft('unknowable', null, unit.op, base)
      else {
        confirmed = [
          ...carried(type, confirmed, unit.op),
          { seq: unit.seq, version: content.position.version, since: unit.since, undo: type.invert(unit.op, base), doubts: [] },
        ]
      }
      base = type.apply(base, unit.op)
      units = units.slice(1)
    }

    const diff = type.diff(base, value)
    const moved = moveOver(type, units, diff)
    const landedAt = content.landed?.version ?? content.position.version
    this.set({
      position: content.position,
      agreed: value,
      units: moved.units,
      shown: applyAll(type, value, moved.units),
      confirmed: confirmed.map(edit => ({ ...this.overDiff(edit, base, diff), version: landedAt })),
      durable: newLog ? 0 : durable,
      seq: Math.max(this.state.seq, content.landed?.seq ?? 0), // an earlier session of this author has used those
    })
    const change = type.diff(shown, this.state.shown)
    if (!type.isNoop(change)) this.effects.push({ kind: 'change', op: change, origin: 'resync', author: null })
    this.effects.push({ kind: 'reset', version: content.position.version, diff })
  }

  /** A confirmed edit whose text the diff has thinned out is remembered whole, lest restoring it bring back less. */
  private overDiff(edit: Confirmed<O>, base: S, diff: O): Confirmed<O> {
    const { type } = this.state
    const undo = type.transform(edit.undo, diff, 'left')
    const removes = (op: O) => type.baseSize(op) - type.targetSize(op)
    if (removes(undo) >= removes(edit.undo)) return { ...edit, undo }
    const doubt: Draft<unknown, O> = {
      cause: 'unknowable',
      refusal: null,
      op: type.invert(edit.undo, base),
      before: type.apply(base, edit.undo),
    }
    return { ...edit, undo, doubts: [...edit.doubts, doubt] }
  }

  // ---- what goes out

  /** Sends the first unit if nothing is in flight. */
  private flush(): void {
    const { link, units, position, type, most, confirmed } = this.state
    if (confirmed.length >= mostConfirmed) return
    if (link.kind !== 'live' || link.sent || link.resting || link.right === 'read' || units.length === 0 || position === null)
      return
    const first = units[0]!
    const parts = first.seq === null ? type.split?.(first.op, most) : null
    if (parts) {
      this.set({ units: [...parts.map(op => ({ seq: null, op })), ...units.slice(1)] })
      this.effects.push({ kind: 'split', seq: this.state.seq + 1 })
      return this.flush()
    }
    const unit: SentUnit<O> = first.seq === null ? { seq: this.state.seq + 1, since: position.version, op: first.op } : first
    if (first.seq === null && type.isNoop(first.op)) {
      this.set({ units: units.slice(1) })
      return this.flush()
    }
    const { handle, pace } = link
    this.set({
      link: { ...link, sent: true, resting: pace > 0 },
      seq: Math.max(this.state.seq, unit.seq),
      units: [unit, ...units.slice(1)],
    })
    if (first.seq === null) this.effects.push({ kind: 'persist' })
    if (pace > 0) this.effects.push({ kind: 'wait', ms: pace, next: 'rested' })
    const op: Json = type.opToJson(unit.op)
    this.effects.push({ kind: 'send', message: { kind: 'submit', handle, seq: unit.seq, position, op } })
  }

  private withdraw(at: number, refusal: Refusal | null, cause: Draft<S, O>['cause'] = 'refused'): void {
    const unit = this.state.units[at]!
    const { units, shown, before } = withdraw(this.state.type, this.state, at)
    this.set({ units })
    this.draft(cause, refusal, unit.op, before)
    this.show(shown, 'withdrawn', null)
  }

  // ---- small change

  private draft(cause: Draft<S, O>['cause'], refusal: Refusal | null, op: O, before: S): void {
    if (!this.state.type.isNoop(op)) this.effects.push({ kind: 'draft', draft: { cause, refusal, op, before } })
  }

  private show(op: O | null, origin: 'remote' | 'withdrawn', author: AuthorId | null): void {
    const { type } = this.state
    if (op === null || type.isNoop(op)) return
    this.set({ shown: type.apply(this.state.shown, op) })
    this.effects.push({ kind: 'change', op, origin, author })
  }

  private alive(): void {
    const { link } = this.state
    if (link.kind === 'live' && link.fresh) this.set({ link: { ...link, fresh: false } })
  }

  private set(part: Partial<Session<S, O>>): void {
    this.state = { ...this.state, ...part }
  }
}

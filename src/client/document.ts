// A document as an application holds it: its text, its edits and its events, over the pure session.
// Invariant: `snapshot` is what the events told so far have made of it; whoever applies every change event has the same.

import { fromEdits, type TextOp, toEdits } from '../ot/op.ts'
import { applyAll, moveOver } from '../ot/queue.ts'
import { Text } from '../ot/rope.ts'
import { snapOutward } from '../ot/text.ts'
import type { DocumentType, Json } from '../ot/type.ts'
import { serverBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import { measure, signalName, signalPayload, utf8Length } from '../protocol/fields.ts'
import type { AuthorId, DocId, PeerId, Position, Seq, Version } from '../protocol/ids.ts'
import type { ClientLimits, DocumentRequest, PresenceState, Role, ServerMessage, User } from '../protocol/messages.ts'
import { unreachable } from '../protocol/unreachable.ts'
import type { Clock } from './clock.ts'
import { type DraftCause, type DraftJson, type DraftNote, type Drafts, dropDraft, errorOf, keepDraft } from './drafts.ts'
import { Emitter } from './emitter.ts'
import { closedHere, diverged, InkwellError, parsed, storageFailed, tooManyDrafts } from './errors.ts'
import { Keeper, type Place } from './keeper.ts'
import { nearby } from './nearby.ts'
import { Appearance, type Peer, Peers } from './peers.ts'
import { type Kept, type Restored, schema } from './record.ts'
import { delayBefore, firstDelay } from './schedule.ts'
import {
  type Level,
  levelOf,
  openSession,
  type Session,
  type Draft as SessionDraft,
  type SessionEffect,
  type SessionEvent,
  seqOfTyped,
  step,
} from './session.ts'
import type { Changes } from './storage.ts'
import { type Range, UndoStack } from './undo.ts'

/**
 * `saved`: the server holds every edit at the durability its store promises. `saving`: some are on their way.
 * `offline`: there is no line; edits are kept and sent later. `full`: as many write here as the server takes; read for now, the
 * next change of status comes when there is room. `read-only`: the user may not write, or the
 * document has a hundred drafts. `closed`: here or by the server.
 */
export type DocumentStatus = 'saved' | 'saving' | 'offline' | 'full' | 'read-only' | 'closed'

export interface Change<O> {
  /** Made on the snapshot that the change before this one left. */
  readonly op: O
  /** `resync`: history was replaced by a difference. `withdrawn`: an edit of mine was taken out, see the event `draft`. */
  readonly origin: 'local' | 'remote' | 'undo' | 'redo' | 'resync' | 'withdrawn'
  /** Whose edit it is; null where no one author can be named. */
  readonly author: AuthorId | null
  /** With `undo` and `redo`: what was selected then, where the edit told. */
  readonly selection: Range | null
  /** With `local`, `undo` and `redo`: the `source` given with the edit, so that an editor knows its own. */
  readonly source: unknown
}

/** An edit of mine that is not in the document. */
export interface Draft<S, O> extends DraftNote {
  /** The edit as it was made, on `before`: of a text of more than 16,384 UTF-16 units the 1,024 around it, else the whole. */
  readonly op: O
  readonly before: S
  /** Makes the edit again in the document as it is now, and takes the draft off the list. @throws {InkwellError} when it cannot be edited */
  restore(): void
}

/** What was found when the text that client and server agree on turned out not to be one: for a bug report. */
export interface Divergence {
  readonly document: string
  readonly position: Position
  /** The hash of the server's text at that position, and that of the text here. */
  readonly expected: string
  readonly found: string
  /** The last ones that led there, oldest first, with the ops in their JSON form; an author is null where several are in one op. */
  readonly commits: readonly { readonly version: Version; readonly author: AuthorId | null; readonly op: Json }[]
}

/**
 * How many edits of mine are at each level below durable; all are 0 when the status is `saved`. Edits made while one is on its way are
 * one edit until they are sent. For one edit alone, ask `settled` right after it.
 */
export interface Progress {
  /** Here only. */
  readonly typed: number
  /** They have left at least once; nobody has said yet that they are in the document. */
  readonly sent: number
  /** In the document, and the others have them or will; the loss of a server may still take them back for a while. */
  readonly sequenced: number
}

export interface DocumentEvents<S, O> {
  change: Change<O>
  status: DocumentStatus
  progress: Progress
  /** See `Document.kept`. */
  kept: boolean
  draft: Draft<S, O>
  /** The list of drafts has changed. */
  drafts: readonly Draft<S, O>[]
  /** Every refusal that concerns this document, also of what is tried again by itself: `advice` says which. */
  error: InkwellError
  /** The agreed text was not the server's. It is mended by itself, with what is unsent kept; the report is for whoever looks for the cause. */
  diverged: Divergence
  signal: Signal
}

/** What somebody else in the document said by `signal`. */
export interface Signal {
  readonly name: string
  readonly payload: Json
  /** As in `presence.peers`. */
  readonly peer: PeerId
  /** Who that is, as the server vouches for it. */
  readonly user: User
}

export interface EditOptions {
  /** `join`: undone together with the edits before it where time and place allow. `new`: begins a group. `never`: undo passes it by. */
  readonly undo?: 'join' | 'new' | 'never'
  readonly selectionBefore?: Range
  readonly selectionAfter?: Range
  /** Comes back in the change event. */
  readonly source?: unknown
}

export interface Presence {
  /**
   * What the others see of me here. Positions under `cursor`, as `{ anchor, head }` or `{ ranges: [{ anchor, head }, …] }`, are of
   * the present text; edits move them here and there. At most one message per 50 ms goes out, and none that the others can work out.
   *
   * @throws {InkwellError} when the state is no JSON object, or larger than the server's limit
   */
  set(state: PresenceState): void
  /** How many are in the document on all nodes, I too: every tab counts. 0 while there is no line. */
  readonly count: number
  /**
   * The others, their positions moved into the present text: all of them in a room of up to a hundred (the server's `peersShown`), in a
   * larger one those who have done something lately.
   */
  readonly peers: readonly Peer[]
  /**
   * Someone came, went, changed their state, or was moved by somebody else's edit. Not told for my own edits: whoever draws carets
   * maps them through those, or reads `peers` again.
   */
  on(name: 'change', listener: (peers: readonly Peer[]) => void): () => void
}

export interface Document<S, O> {
  readonly id: string
  readonly type: DocumentType<S, O>
  readonly snapshot: S
  /** How many commits of the log are in the snapshot; my own pending edits are not counted. */
  readonly version: Version
  readonly status: DocumentStatus
  readonly progress: Progress
  /** This client's name as an author; null until the first welcome. */
  readonly author: AuthorId | null
  readonly canUndo: boolean
  readonly canRedo: boolean
  readonly presence: Presence
  /**
   * Whether everything I made outlives this page or process: it is in the client's storage. Within 100 ms of an edit, as a rule; false
   * without a storage, and while it fails (`error` has told of it then).
   */
  readonly kept: boolean
  /** Edits of mine that came back, in that order, until they are restored or discarded; with a storage, also those of before. */
  readonly drafts: readonly Draft<S, O>[]

  /**
   * Makes an edit, at once, also offline.
   *
   * May be called while an event is being told: the op is then of `snapshot` as it is at that moment, and is told to everyone before
   * what is still to come, which is moved over it.
   *
   * @throws {RangeError} when the op does not fit the snapshot
   * @throws {InkwellError} when the document is closed, read-only, or has too many drafts
   */
  apply(op: O, options?: EditOptions): void
  /**
   * Takes back my last group of edits, and nothing of anybody else's. False when there is nothing to take back: so after an edit was
   * handed back as a draft, since what it had changed is as it was already.
   */
  undo(source?: unknown): boolean
  redo(source?: unknown): boolean
  /**
   * Says something to everybody else in the document, on all nodes; my other tabs hear it too, this one does not. It arrives at most
   * once and is not kept: whoever comes later, has no line or a very slow one never hears of it. Whoever may read may say something.
   * What one says is heard in that order, but not in step with edits.
   *
   * False when it went nowhere because there is no line. A server that finds it too much sends a `slow-down`, told as an `error`.
   *
   * @param name 1 to 64 bytes of UTF-8
   * @param payload JSON, as large as the server lets it be: 16 KiB of MessagePack, where it says nothing else. Default null
   * @throws {InkwellError} `signal-too-large`; `malformed` when the name is none or the payload is no JSON
   */
  signal(name: string, payload?: Json): boolean
  /** The next edit begins an undo group of its own. */
  boundary(): void
  /**
   * Resolves when all edits made so far have come that far, or further. Only `durable` is a promise: around the loss of a server what is
   * merely sequenced can vanish and is then sent again, and what is merely sent may get lost on its way and is sent again too.
   * Rejects when an edit is handed back as a draft, or the document closes first.
   */
  settled(level?: 'sent' | 'sequenced' | 'durable'): Promise<void>
  on<Name extends keyof DocumentEvents<S, O>>(name: Name, listener: (event: DocumentEvents<S, O>[Name]) => void): () => void
  /**
   * Waits up to five seconds for what is on its way, then leaves. What could not be sent is kept, and sent when the client has a line
   * again, also in a later page or process; without a storage, or where it fails, it comes as drafts.
   */
  close(): Promise<void>
}

/** Positions count UTF-16 units. One inside a surrogate pair is moved to the outer side of the pair. */
export interface TextDocument extends Document<Text, TextOp> {
  readonly text: string
  readonly length: number
  /** @throws {RangeError} naming the value and its limit; so do the next two */
  insert(at: number, text: string, options?: EditOptions): void
  /** Deletes [from, to). */
  delete(from: number, to: number, options?: EditOptions): void
  /** Puts text in the place of [from, to). */
  replace(from: number, to: number, text: string, options?: EditOptions): void
}

/** Milliseconds without an answer on a live line after which a submission is sent once more; the server drops doubles. */
const answerWithin = 10_000

/** Milliseconds between two presence messages of a document. Twenty a second look smooth. */
const presencePause = 50

/** Milliseconds for which `close` waits for edits on their way. */
const closeGrace = 5_000

/** Milliseconds for which opening waits for the server's answer where what was kept could be shown instead. */
const openPatience = 1_000

/** Drafts of a document; with so many it takes no more edits, which would only make others: a draft is never dropped for another. */
const mostDrafts = 100

/** Commits remembered for a report on a text that is not the server's: those since the last check that went well, as a rule. */
const commitsReported = 64

/** What the document needs of its client. */
export interface DocumentPort {
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  /** What the server takes; before the first welcome, what servers take as a rule. */
  limits(): Omit<ClientLimits, 'documentLength'>
  send(message: DocumentRequest): void
  /** The document has come to its end; `last` is the highest number that no edit to come may have. */
  closed(last: Seq, end: DocumentEnd): void
  readonly drafts: Drafts
  /** A name that no other draft has. */
  draftId(): string
  /** Writes records of the document to its storage. Null: nothing is kept. */
  readonly write: ((changes: Changes) => Promise<void>) | null
}

/** `unsent`: edits are kept that may not be safe. `forbidden`: it is no longer the user's to see. */
export type DocumentEnd = 'done' | 'unsent' | 'forbidden'

/** How a document begins. */
export interface Beginning<S, O> {
  /** What was kept of it; null: nothing is known. */
  readonly restored: Restored<S, O> | null
  /** Null: it is not kept. */
  readonly place: Place | null
  /** The last number that this author has given to an edit of it. */
  readonly seq: Seq
}

type Awaited = Exclude<Level, 'typed'>

interface Waiter {
  readonly seq: Seq
  readonly level: Awaited
  /** All who ask for the same are given the same: somebody who asks at every key, offline for days, makes nothing grow. */
  readonly promise: Promise<void>
  resolve(): void
  reject(error: InkwellError): void
}

/** A change made here, in `seen` already, that is still to be told. */
interface Telling<O> {
  readonly kind: 'tell'
  readonly change: Change<O>
}

type Task<S, O> = SessionEffect<S, O> | Telling<O>

/** Drives one session: events in, effects out, in order. */
export class LiveDocument<S, O> implements Document<S, O> {
  readonly id: DocId
  readonly type: DocumentType<S, O>
  readonly presence: Presence
  /** Settles with the answer to the first join, or, where something was kept, when there is no line to bring it. */
  readonly opened: Promise<void>

  /** For this room alone. */
  session: Session<S, O>
  private seen: S
  private readonly port: DocumentPort
  private readonly events = new Emitter<DocumentEvents<S, O>>()
  private readonly presenceEvents = new Emitter<{ change: readonly Peer[] }>()
  private readonly undoStack: UndoStack<S, O>
  private readonly peers: Peers<S, O>
  private readonly appearance: Appearance<S, O>
  private readonly keeper: Keeper<S, O> | null
  private readonly draftsMade = new Map<string, Draft<S, O>>()

  /** The last commits, oldest first; up to twice as many as are reported, so that they go in bulk. */
  private recent: { readonly version: Version; readonly author: AuthorId | null; readonly op: O }[] = []

  /** What is still to be done, in order; `todo[at]` is next. */
  private todo: Task<S, O>[] = []
  private at = 0
  private busy = false

  private told: DocumentStatus = 'offline'
  private toldProgress: Progress = { typed: 0, sent: 0, sequenced: 0 }
  private toldKept = false
  private right: Role = 'write'
  private peersMoved = false
  private waiters: Waiter[] = []
  private closing: Promise<void> | null = null
  /** Resolves when the session has come to its end: at once, or when a join under way has been answered. */
  private readonly over: Promise<void>
  private tellOver = nothing
  private endedBy: InkwellError | null = null
  /** All that was unsent at the end has become drafts. */
  private handedBack = false
  private readonly opening: { resolve(): void; reject(error: InkwellError): void }
  private stopPatience = nothing

  private timedSeq: Seq | null = null
  private stopAnswerTimer = nothing
  private stopWait = nothing
  /** Pauses before joining again since the document was last joined with nothing left to send. */
  private failures = 0
  private stopPresence: (() => void) | null = null
  private lastPresence = Number.NEGATIVE_INFINITY

  constructor(id: DocId, type: DocumentType<S, O>, port: DocumentPort, { restored, place, seq }: Beginning<S, O>) {
    this.id = id
    this.type = type
    this.port = port
    const session = restored?.session ?? openSession(type, id)
    this.session = { ...session, seq: Math.max(session.seq, seq) }
    this.seen = this.session.shown
    this.undoStack = new UndoStack(type, this.seen instanceof Text ? { touches: touchesText as (undo: O, op: O) => boolean } : {})
    this.peers = new Peers(type)
    this.appearance = new Appearance(type)
    let opening = { resolve: nothing, reject: nothing as (error: InkwellError) => void }
    this.opened = new Promise<void>((resolve, reject) => (opening = { resolve, reject }))
    this.opened.catch(nothing) // whoever waits for it is told; nobody has to
    this.opening = opening
    this.over = new Promise(resolve => (this.tellOver = resolve))
    // A record that knows less than has been sent, or was handed back, is old: the storage had failed when the document was closed.
    const sound = (place?.sound ?? null) && seq <= session.seq
    this.keeper = place && this.keeps({ ...place, sound })
    this.toldKept = this.kept
    if (restored !== null) this.takeUp(restored, sound ?? true)
    const self = this
    this.presence = {
      set: state => this.appear(state),
      get count() {
        return self.peers.count
      },
      get peers() {
        return self.peersShown()
      },
      on: (name, listener) => this.presenceEvents.on(name, listener),
    }
  }

  private keeps(place: Place): Keeper<S, O> | null {
    const { clock, write, send } = this.port
    if (write === null) return null
    return new Keeper(this.type, this.id, place, {
      clock,
      write,
      send,
      state: () => (this.untold ? null : this.toBeKept()),
      news: () => this.take([this.session, []]),
      failed: error => this.events.emit('error', storageFailed(error)),
    })
  }

  /** Goes on where an earlier page, or this one before it closed the document, left off. */
  private takeUp({ undo, right }: Restored<S, O>, sound: boolean): void {
    this.right = right
    try {
      this.undoStack.fromJson(undo, this.type.size(this.seen))
    } catch {
      // Undo is worth less than the text that it does not fit: there is none then.
    }
    if (!sound) this.dispatch({ kind: 'doubt' })
    this.stopPatience = this.port.clock.after(openPatience, () => this.opening.resolve())
  }

  /** There is no line, and none to be expected at once. */
  offline(): void {
    if (this.session.position !== null || this.session.units.length > 0) this.opening.resolve()
  }

  // ---- what an application reads

  get snapshot(): S {
    return this.seen
  }

  get text(): string {
    return this.seenText().toString()
  }

  get length(): number {
    return this.seenText().length
  }

  get version(): Version {
    return this.session.position?.version ?? 0
  }

  get author(): AuthorId | null {
    return this.session.author
  }

  get status(): DocumentStatus {
    const { link, units, confirmed, position } = this.session
    if (link.kind === 'closed' || link.kind === 'leaving') return 'closed'
    // Who joins again on a line that is there has not gone: it is a matter of one answer.
    const here = link.kind === 'live' || (link.kind === 'joining' && position !== null)
    if (!here) return 'offline'
    const right = link.kind === 'live' ? link.right : this.right
    if (right === 'read' || this.isFull) return 'read-only'
    if (right === 'full') return right
    return units.length + confirmed.length > 0 ? 'saving' : 'saved'
  }

  get kept(): boolean {
    return this.keeper?.kept ?? false
  }

  get canUndo(): boolean {
    return this.writable && this.undoStack.canUndo
  }

  get canRedo(): boolean {
    return this.writable && this.undoStack.canRedo
  }

  on<Name extends keyof DocumentEvents<S, O>>(name: Name, listener: (event: DocumentEvents<S, O>[Name]) => void): () => void {
    return this.events.on(name, listener)
  }

  // ---- edits

  insert(at: number, text: string, options?: EditOptions): void {
    this.replace(at, at, text, options)
  }

  delete(from: number, to: number, options?: EditOptions): void {
    this.replace(from, to, '', options)
  }

  replace(from: number, to: number, text: string, options?: EditOptions): void {
    const seen = this.seenText()
    requirePosition(from, 0, seen.length)
    requirePosition(to, from, seen.length)
    requireWellFormed(text)
    const [start, end] = snapOutward(seen, from, to)
    this.apply(fromEdits([[start, end, text]], seen.length) as O, options) // seenText has shown that O is TextOp
  }

  apply(op: O, options: EditOptions = {}): void {
    this.requireWritable()
    this.edit(op, options)
  }

  private edit(op: O, { undo = 'join', selectionBefore, selectionAfter, source }: EditOptions): void {
    this.requireFitting(op)
    const { type, seen } = this
    if (type.isNoop(op)) return
    if (undo === 'never') this.undoStack.follow(op)
    else {
      this.undoStack.record(op, {
        before: seen,
        now: this.port.clock.now(),
        group: undo,
        selectionBefore: selectionBefore ?? null,
        selectionAfter: selectionAfter ?? null,
      })
    }
    this.enact(op, 'local', null, source)
  }

  undo(source?: unknown): boolean {
    return this.takeBack('undo', source)
  }

  redo(source?: unknown): boolean {
    return this.takeBack('redo', source)
  }

  boundary(): void {
    this.undoStack.boundary()
  }

  private takeBack(which: 'undo' | 'redo', source: unknown): boolean {
    this.requireWritable()
    const taken = this.undoStack[which](this.seen)
    if (taken === null) return false
    this.enact(taken.op, which, taken.selection, source)
    return true
  }

  /**
   * Carries out an edit of mine that was made on `seen`. Changes that are known to the session but not told yet lie between the two;
   * op and they change places, so that everybody is told first of the op and then of them:
   *
   *     //   seen ── not told yet ──▶ session.shown
   *     //    │ op                        │ op'  goes to the session
   *     //    ▼                           ▼
   *     //      ── told after op ────▶
   */
  private enact(op: O, origin: 'local' | 'undo' | 'redo', selection: Range | null, source: unknown): void {
    const { type } = this
    this.appearance.follow(op, true)
    if (!this.untold) {
      // The two are one, and the text need be worked out only once.
      const [session, effects] = this.stepped({ kind: 'edit', op })
      this.seen = session.shown
      return this.take([session, [this.telling(op, origin, selection, source), ...effects]])
    }
    this.seen = type.apply(this.seen, op)
    const rest = this.todo.slice(this.at)
    const untold = rest.filter(task => task.kind === 'change')
    const { units: moved, shown } = moveOver(type, untold, op)
    let next = 0
    const after = rest.map(task => (task.kind === 'change' ? moved[next++]! : task))
    let first = 0
    while (after[first]?.kind === 'tell') first++ // made here just before, and told before
    after.splice(first, 0, this.telling(op, origin, selection, source))
    this.todo = after
    this.at = 0
    this.dispatch({ kind: 'edit', op: shown })
  }

  private telling(op: O, origin: Change<O>['origin'], selection: Range | null, source: unknown): Telling<O> {
    return { kind: 'tell', change: { op, origin, author: this.session.author, selection, source } }
  }

  // ---- the line

  /** A line is there. */
  up(author: AuthorId): void {
    this.keeper?.line()
    this.dispatch({ kind: 'up', author, limits: this.port.limits() })
  }

  down(): void {
    this.stopWait()
    if (this.right === 'full') this.right = 'write' // offline one may always type
    this.peers.clear()
    this.peersMoved = true
    this.keeper?.line()
    this.dispatch({ kind: 'down' })
    this.offline()
  }

  receive(message: ServerMessage): void {
    let stepped: ReturnType<typeof step<S, O>>
    try {
      stepped = step(this.session, { kind: 'message', message })
    } catch (error) {
      // The step changed nothing. What cannot be applied here was not made for this text: ask for the history anew.
      this.events.emit('error', new InkwellError(refusal('internal', `message ${message.kind}: ${String(error)}`)))
      this.dispatch({ kind: 'distrust' })
      return
    }
    this.take(stepped)
  }

  /** There will be no line any more. */
  fail(error: InkwellError): void {
    if (this.session.link.kind === 'closed') return
    this.events.emit('error', error)
    this.finish(error)
  }

  get isClosing(): boolean {
    return this.closing !== null
  }

  /** What is not written yet is to be written now: the page may be about to go. */
  flush(): void {
    this.keeper?.hurry()
  }

  close(): Promise<void> {
    this.closing ??= this.leave()
    return this.closing
  }

  private async leave(): Promise<void> {
    const { link, units } = this.session
    if (link.kind === 'live' && link.right === 'write' && units.length > 0) {
      await new Promise<void>(resolve => {
        const stop = this.port.clock.after(closeGrace, resolve)
        const done = () => {
          stop()
          resolve()
        }
        this.settled('sequenced').then(done, done)
      })
    }
    this.finish(null)
    await this.over
  }

  private finish(error: InkwellError | null): void {
    if (this.session.link.kind === 'closed') return
    this.endedBy = error
    this.dispatch({ kind: 'close' })
  }

  settled(level: Awaited = 'durable'): Promise<void> {
    const seq = seqOfTyped(this.session)
    if (this.has(level, seq)) return Promise.resolve()
    if (this.session.link.kind === 'closed') return Promise.reject(this.endedBy ?? closedHere('document'))
    const same = this.waiters.find(waiter => waiter.seq === seq && waiter.level === level)
    if (same !== undefined) return same.promise
    let settle = { resolve: nothing, reject: nothing as (error: InkwellError) => void }
    const promise = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject }
    })
    this.waiters.push({ seq, level, promise, ...settle })
    return promise
  }

  private has(level: Awaited, seq: Seq): boolean {
    const { units, confirmed } = this.session
    // An edit that the next one undid is never sent, so its number may never come.
    if (units.length === 0 && (level !== 'durable' || confirmed.length === 0)) return true
    return ranks[levelOf(this.session, seq)] >= ranks[level]
  }

  get progress(): Progress {
    const { units, confirmed } = this.session
    const typed = seqOfTyped(this.session) - this.session.seq
    return { typed, sent: units.length - typed, sequenced: confirmed.length }
  }

  // ---- the loop

  private dispatch(event: SessionEvent<O>): void {
    this.take(this.stepped(event))
  }

  private stepped(event: SessionEvent<O>): ReturnType<typeof step<S, O>> {
    const stepped = step(this.session, event)
    if (event.kind === 'edit') this.keeper?.typed(this.session, event.op, stepped[0])
    return stepped
  }

  /** The session is a step further at once; what follows from it is done in its turn. */
  private take([session, effects]: readonly [Session<S, O>, readonly Task<S, O>[]]): void {
    this.session = session
    this.todo.push(...effects)
    if (this.busy) return
    this.busy = true
    try {
      do {
        while (this.at < this.todo.length) this.carryOut(this.todo[this.at++]!)
        this.todo = []
        this.at = 0
        this.settle()
      } while (this.todo.length > 0)
    } finally {
      this.busy = false
    }
  }

  private carryOut(task: Task<S, O>): void {
    switch (task.kind) {
      case 'tell':
        return this.events.emit('change', task.change)
      case 'change':
        this.seen = this.type.apply(this.seen, task.op)
        if (task.origin === 'withdrawn') this.undoStack.forget()
        else this.undoStack.follow(task.op)
        this.appearance.follow(task.op, false)
        return this.events.emit('change', {
          op: task.op,
          origin: task.origin,
          author: task.author,
          selection: null,
          source: undefined,
        })
      case 'commit':
      case 'skip': {
        const { version, op } = task
        const author = task.kind === 'commit' ? task.author : null
        this.keeper?.moved(op)
        this.remember(version, author, op)
        this.peers.commit(version, op, author)
        this.appearance.commit(op, author !== null && author === this.session.author)
        this.peersMoved = true
        return
      }
      case 'diverged':
        return this.diverged(task.position, task.expected, task.found)
      case 'reset':
        this.keeper?.replaced()
        this.recent = []
        this.peers.reset(task.version, task.diff)
        this.appearance.reset()
        this.peersMoved = true
        return
      case 'peers':
        this.peers.joined(
          task.people,
          task.peers.filter(({ author }) => author !== this.session.author),
        )
        this.appearance.reset()
        this.peersMoved = true
        return
      case 'presence':
        // An entry of my own is this line's, or one that an earlier line left behind.
        this.peers.changed(
          task.people,
          task.whole,
          task.changes.filter(change => change.kind === 'gone' || change.author !== this.session.author),
        )
        this.peersMoved = true
        return
      case 'signal': {
        const { name, payload, peer, user } = task.signal
        return this.events.emit('signal', { name, payload, peer, user })
      }
      case 'persist':
        return this.keeper?.persist()
      case 'send':
        return this.send(task.message)
      case 'split':
        this.waiters = this.waiters.map(waiter => (waiter.seq < task.seq ? waiter : { ...waiter, seq: waiter.seq + 1 }))
        return
      case 'draft':
        return this.handBack(task.draft)
      case 'refused':
        return this.events.emit('error', new InkwellError(task.refusal))
      case 'wait':
        return this.wait(task)
      case 'closed':
        return this.ended(task.refusal)
      default:
        unreachable(task)
    }
  }

  /** All effects are carried out: what follows from the state as it is now. */
  private settle(): void {
    const { link, units } = this.session
    if (link.kind === 'live') {
      if (units.length === 0) this.failures = 0
      this.right = link.right
      this.opening.resolve()
    }
    this.watchAnswer()
    this.keeper?.settle()
    const { status, kept } = this
    if (status !== this.told) {
      this.told = status
      if (status === 'saved') this.keeper?.touched()
      this.events.emit('status', status)
    }
    this.tellProgress()
    if (kept !== this.toldKept) {
      this.toldKept = kept
      this.events.emit('kept', kept)
    }
    if (this.waiters.length > 0) {
      const reached = this.waiters.filter(({ level, seq }) => this.has(level, seq))
      this.waiters = this.waiters.filter(waiter => !reached.includes(waiter))
      for (const waiter of reached) waiter.resolve()
    }
    if (this.peersMoved) {
      this.peersMoved = false
      this.presenceEvents.emit('change', this.presence.peers)
    }
    this.tellPresence()
  }

  private tellProgress(): void {
    const { progress, toldProgress } = this
    // One by one: this is done for every key.
    const { typed, sent, sequenced } = toldProgress
    if (progress.typed === typed && progress.sent === sent && progress.sequenced === sequenced) return
    this.toldProgress = progress
    this.events.emit('progress', progress)
  }

  private ended(refused: Refusal | null): void {
    const error = refused === null ? this.endedBy : new InkwellError(refused)
    this.endedBy = error
    this.stopWait()
    this.stopPresence?.()
    this.stopPatience()
    this.peers.clear()
    this.peersMoved = true
    // What the server has refused it will refuse again; what only found no line waits for one.
    if (this.keeper === null || refused !== null) this.handBackUnsent(error)
    this.rejectWaiters(error ?? closedHere('document'))
    this.opening.reject(error ?? closedHere('document'))
    this.closing ??= this.over
    const { keeper } = this
    if (keeper === null) return this.putAway(refused)
    // Not now: the keeper writes nothing while a step is still being told.
    queueMicrotask(() => void this.writeLast(keeper).then(isOld => this.putAway(refused, isOld)))
  }

  /** What is surely on the disk waits there, what is not is handed back. Answers whether what is there is older than that. */
  private async writeLast(keeper: Keeper<S, O>): Promise<boolean> {
    await keeper.flush()
    const { lacking } = keeper
    if (lacking !== null && !this.handedBack && this.session.units.length > 0) {
      this.handBackUnsent(storageFailed(lacking))
      await keeper.flush() // perhaps there is room for that
    }
    if (keeper.lacking === null) return false
    await keeper.disown()
    return true
  }

  private putAway(refused: Refusal | null, isOld = false): void {
    const { units, confirmed, seq } = this.session
    this.keeper?.close()
    this.tellOver()
    const unsent = !this.handedBack && units.length + confirmed.length > 0
    // A number that no edit gets tells whoever opens the document here again that the record is old.
    this.port.closed(isOld ? seq + 1 : seq, refused?.code === 'forbidden' ? 'forbidden' : unsent ? 'unsent' : 'done')
  }

  private handBackUnsent(error: InkwellError | null): void {
    const { type, session } = this
    this.handedBack = true
    for (const [i, { op }] of session.units.entries()) {
      this.tellDraft('unsent', error, op, applyAll(type, session.agreed, session.units.slice(0, i)))
    }
  }

  /** What is to be there when the document is opened again. */
  private toBeKept(): Kept<S, O> {
    const { session, undoStack, right } = this
    if (!this.handedBack) return { session, undo: undoStack.toJson(), right }
    return { session: { ...session, units: [], shown: session.agreed }, undo: { done: [], undone: [] }, right }
  }

  /** A submission that the server would not even read, and cut the line for, is refused here: else it would be sent for ever. */
  private send(message: DocumentRequest): void {
    const { messageBytes } = this.port.limits()
    if (message.kind !== 'submit' || fits(message.op, messageBytes)) return (this.keeper ?? this.port).send(message)
    const { handle, seq } = message
    const why = refusal('message-too-large', `the limit is ${messageBytes} bytes`)
    this.dispatch({ kind: 'message', message: { kind: 'refused', doc: null, handle, seq, refusal: why } })
  }

  // ---- timers

  /** Joining is tried again as a broken line is: by chance, and more seldom each time. */
  private wait({ ms: after, next }: { readonly ms: number; readonly next: 'resend' | 'rested' | 'join' }): void {
    const { clock, random } = this.port
    const ms = next === 'join' ? delayBefore({ failures: this.failures++, spread: firstDelay, after, chance: random() }) : after
    this.stopWait()
    this.stopWait = clock.after(ms, () => this.dispatch({ kind: next }))
  }

  /** Watches the submission in flight: an answer that does not come on a line that seems to live must not stop everything for good. */
  private watchAnswer(): void {
    const { link, units } = this.session
    const inFlight = link.kind === 'live' && link.sent ? (units[0]?.seq ?? null) : null
    if (inFlight === this.timedSeq) return
    this.stopAnswerTimer()
    this.stopAnswerTimer = nothing
    this.timedSeq = inFlight
    if (inFlight === null) return
    this.stopAnswerTimer = this.port.clock.after(answerWithin, () => {
      this.timedSeq = null
      this.dispatch({ kind: 'resend' })
    })
  }

  // ---- presence

  private appear(state: PresenceState): void {
    if (this.session.link.kind === 'closed') return
    const { presenceBytes } = this.port.limits()
    const bytes = sizeOfState(state)
    if (bytes > presenceBytes)
      throw new InkwellError(refusal('presence-too-large', `${bytes} bytes, the limit is ${presenceBytes}`))
    this.appearance.set(structuredClone(state)) // the application may go on writing in its own
    this.tellPresence()
  }

  /** The first news goes out at once, what comes within the pause goes out together at its end. */
  private tellPresence(): void {
    const { link, position } = this.session
    if (link.kind !== 'live' || position === null || this.stopPresence !== null || this.untold) return
    const state = this.appearance.news(this.session)
    if (state === null) return
    const { clock } = this.port
    const pause = this.lastPresence + Math.max(presencePause, link.pace) - clock.now()
    if (pause > 0) {
      this.stopPresence = clock.after(pause, () => {
        this.stopPresence = null
        this.tellPresence()
      })
      return
    }
    this.lastPresence = clock.now()
    this.appearance.telling(state)
    this.port.send({ kind: 'present', handle: link.handle, version: position.version, state })
  }

  /** Changes wait to be told: positions in `seen` are not yet those of the text that the session shows. */
  private get untold(): boolean {
    return this.at < this.todo.length
  }

  private peersShown(): Peer[] {
    return this.peers.shown(this.session, this.seen instanceof Text ? this.seen.length : Number.POSITIVE_INFINITY)
  }

  // ---- the check

  private remember(version: Version, author: AuthorId | null, op: O): void {
    if (this.recent.length === 2 * commitsReported) this.recent = this.recent.slice(commitsReported)
    this.recent.push({ version, author, op })
  }

  private diverged(position: Position, expected: string, found: string): void {
    const { type, id } = this
    const commits = this.recent.slice(-commitsReported).map(commit => ({ ...commit, op: type.opToJson(commit.op) }))
    this.events.emit('error', diverged(`version ${position.version}: hash ${found}, not ${expected}`))
    this.events.emit('diverged', { document: id, position, expected, found, commits })
  }

  // ---- signals

  signal(name: string, payload: Json = null): boolean {
    const { link } = this.session
    const bounds = { ...serverBounds, ...this.port.limits() }
    parsed(() => signalPayload(payload, measure(payload, bounds, 'the payload of the signal'), bounds))
    const said = { name: parsed(() => signalName(name)), payload: structuredClone(payload) }
    if (link.kind !== 'live') return false
    this.take([this.session, [{ kind: 'send', message: { kind: 'signal', handle: link.handle, ...said } }]])
    return true
  }

  // ---- drafts

  private handBack({ cause, refusal, op, before }: SessionDraft<S, O>): void {
    const error = refusal === null ? null : new InkwellError(refusal)
    this.tellDraft(cause, error, op, before)
    const reason = 'The edit was handed back.'
    this.rejectWaiters(error ?? new InkwellError({ code: 'bad-seq', advice: 'stop', message: reason }))
  }

  private tellDraft(cause: DraftCause, error: InkwellError | null, made: O, on: S): void {
    const { type, id, port } = this
    if (type.isNoop(made)) return
    const { op, before } = nearby(made, on)
    const json: DraftJson = {
      schema,
      id: port.draftId(),
      document: id,
      type: type.name,
      cause,
      error: error && { code: error.code, message: error.message, advice: error.advice },
      text: before instanceof Text ? (op as TextOp).inserted : '', // a snapshot that is a Text has ops that are TextOps
      before: type.snapshotToJson(before),
      op: type.opToJson(op),
    }
    const draft = this.draft(json, op, before, error)
    this.draftsMade.set(json.id, draft)
    this.keeper?.add(keepDraft(json))
    this.events.emit('draft', draft)
    port.drafts.add([json])
    if (this.isFull) this.events.emit('error', tooManyDrafts())
  }

  private draft(json: DraftJson, op: O, before: S, error = errorOf(json)): Draft<S, O> {
    const { type } = this
    const { id, document, cause, text } = json
    const discard = () => this.drop(json)
    const restore = () => {
      this.requireWritable(false)
      const edit = type.transform(op, type.diff(before, this.seen), 'left')
      this.requireFitting(edit)
      this.keeper?.add(dropDraft(json)) // written in one go with the edit
      this.edit(edit, { undo: 'new' })
      discard()
    }
    return { id, document, cause, error, text, op, before, restore, discard, toJSON: () => json }
  }

  get drafts(): readonly Draft<S, O>[] {
    return this.port.drafts.of(this.id).flatMap(json => {
      let draft = this.draftsMade.get(json.id)
      if (draft === undefined && json.type === this.type.name) {
        try {
          const before = this.type.snapshotFromJson(json.before)
          draft = this.draft(json, this.type.opFromJson(json.op, this.type.size(before)), before)
          this.draftsMade.set(json.id, draft)
        } catch {
          // Its text can still be had from the client's list, but it is no edit of this type.
        }
      }
      return draft ?? []
    })
  }

  /** The list of drafts has changed. */
  draftsChanged(): void {
    this.events.emit('drafts', this.drafts)
  }

  /** Takes a draft off the list. */
  drop(json: DraftJson): void {
    this.draftsMade.delete(json.id)
    this.keeper?.add(dropDraft(json))
    this.port.drafts.delete(json.id, this.id)
    this.take([this.session, []])
  }

  private rejectWaiters(error: InkwellError): void {
    const { waiters } = this
    this.waiters = []
    for (const waiter of waiters) waiter.reject(error)
  }

  // ---- small change

  private get writable(): boolean {
    return this.session.link.kind !== 'closed' && this.closing === null && this.right === 'write'
  }

  private requireWritable(isNew = true): void {
    if (this.session.link.kind === 'closed' || this.closing !== null) throw closedHere('document')
    if (this.right === 'full') throw new InkwellError(refusal('too-many-writers'))
    if (this.right !== 'write') throw new InkwellError(refusal('forbidden', 'writing'))
    if (isNew && this.isFull) throw tooManyDrafts()
  }

  private get isFull(): boolean {
    return this.port.drafts.of(this.id).length >= mostDrafts
  }

  private requireFitting(op: O): void {
    const { type, seen } = this
    if (type.baseSize(op) !== type.size(seen)) {
      throw new RangeError(`op of base length ${type.baseSize(op)} on a ${type.name} of ${type.size(seen)}`)
    }
    const fault = type.fault(op, seen)
    if (fault !== null) throw new RangeError(fault)
  }

  private seenText(): Text {
    if (this.seen instanceof Text) return this.seen
    throw new TypeError(`a document of type ${this.type.name} is no text`)
  }
}

const nothing = (): void => {}

const ranks: Readonly<Record<Level, number>> = { typed: 0, sent: 1, sequenced: 2, durable: 3 }

/** Whether an edit of a text touches what the inverse op `undo` would change. */
const touchesText = (undo: TextOp, op: TextOp): boolean => {
  const places = toEdits(undo)
  return toEdits(op).some(([from, to]) => places.some(([start, end]) => from <= end && to >= start))
}

/** Bytes beside the op in a submission's frame, and beside its text for each component; a little more than the codec needs. */
const frameBytes = 256
const componentBytes = 10

/** Whether a submission of this op surely is no longer than `limit` bytes. */
const fits = (op: Json, limit: number): boolean => {
  if (!Array.isArray(op)) return JSON.stringify(op).length * 3 + frameBytes <= limit
  let bytes = frameBytes
  for (const part of op as readonly Json[]) bytes += componentBytes + (typeof part === 'string' ? utf8Length(part) : 0)
  return bytes <= limit
}

/** @throws {InkwellError} when the state is no JSON object */
const sizeOfState = (state: PresenceState): number => {
  if (typeof state !== 'object' || state === null || Array.isArray(state)) {
    throw new InkwellError(refusal('malformed', 'the presence state must be an object'))
  }
  return parsed(() => measure(state, serverBounds, 'the presence state'))
}

const requirePosition = (at: number, least: number, most: number): void => {
  if (!Number.isSafeInteger(at) || at < least || at > most)
    throw new RangeError(`position ${at} is not a whole number from ${least} to ${most}`)
}

const requireWellFormed = (text: string): void => {
  const at = text.search(/\p{Cs}/u)
  if (at >= 0) throw new RangeError(`the text has a lone surrogate at offset ${at}`)
}

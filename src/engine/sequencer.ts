// A live document on this node: turns submissions into log entries, and log entries into commits. Knows no promise, no timer, no socket.
// Invariant: commits reach clients only through `ingest`, in version order, and are what the log says.

import { advanceOther, advanceOwn, type Pending, type Queue, withdraw } from '../ot/queue.ts'
import { OpError } from '../ot/type.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import {
  type AuthorId,
  type Chain,
  type DocId,
  type Epoch,
  emptyChain,
  type Position,
  type Seq,
  type Version,
} from '../protocol/ids.ts'
import { overAll } from './catchup.ts'
import { type Last, type Mark, readState, type State, writeState } from './checkpoint.ts'
import { type Body, baseOf, type Commit, derive, History, readBody, rebase, type Type, writeBody } from './entry.ts'
import type { EngineEvent } from './events.ts'
import type { Limits } from './limits.ts'
import type { Announcement, Checkpoint, Clock, Entry, LogReply, NewEntry, Opened } from './ports.ts'

/** What the sequencer asks of the world. Each call is answered later through the method of the same row, or never. */
export interface SequencerIo {
  /** Whose log it is. */
  readonly doc: DocId
  /** answered by `appended` or `appendFailed` with the same ticket */
  append(ticket: number, at: Position, entries: readonly NewEntry[]): void
  /** answered by `wasRead` or `readFailed` with the same ticket */
  read(ticket: number, at: Position): void
  /** answered by `reopened`: the log is not the one that we knew */
  reopen(): void
  /** answered by `raised` */
  raiseHorizon(epoch: Epoch, horizon: Version): void
  /** answered by `saved` */
  save(checkpoint: Checkpoint): void

  /** Commits for everybody who is here, each once and in their order. */
  deliver(commits: readonly Commit[]): void
  /** The durable version has moved on. */
  durable(version: Version): void
  refuse(submission: Submission, refusal: Refusal): void
  /** Whether its author may still write: asked at the last moment before it is offered to the log. */
  allows(submission: Submission): boolean
  /** Positions handed out so far may be of another history: everybody has to join again. */
  disrupt(reason: string): void
  tell(event: EngineEvent): void
}

/** An edit that a client wants in the history. `from` is opaque: whom to tell. */
export interface Submission {
  readonly author: AuthorId
  readonly seq: Seq
  readonly position: Position
  readonly op: unknown
  readonly user: string
  /** The name of the line on which it came. */
  readonly connection: string
  readonly from: unknown
}

/** A submission on its way: `op` is as it must be at version `at`. */
interface Waiting {
  readonly submission: Submission
  readonly at: Version
  readonly op: unknown
  readonly time: number
  /** The same moment, for measuring. */
  readonly ticks: number
}

/** An edit that this node has delivered and that a failover took out of the log (R11). */
interface LostUnit extends Pending<unknown> {
  readonly author: AuthorId
  readonly seq: Seq
  readonly user: string
  readonly time: number
}

type Lost = Queue<unknown, unknown, LostUnit>

/** An append under way, with what was offered in it. */
interface Call {
  readonly ticket: number
  readonly since: number
  readonly offered: readonly Waiting[]
  readonly own: readonly Own[]
  /** Of `own`, how many have come out of the log already: they come in the order in which they were offered. */
  came: number
}

/** An entry that this node has written itself and need not read again. */
interface Own extends NewEntry {
  readonly meant: Body
  readonly op: unknown
  /** As it came to this node; null: it was lost, and is offered again. */
  readonly waiting: Waiting | null
}

/** How far a checkpoint has come (R3): the horizon is raised, then a state taken, then stored once it is durable. */
type Saving =
  | { readonly kind: 'no' }
  | { readonly kind: 'raising' }
  | { readonly kind: 'reaching'; readonly horizon: Version; readonly atLeast: Version }
  | { readonly kind: 'hardening'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'storing'; readonly version: Version }

const nobody: readonly Waiting[] = []

const grows = (type: Type, { op }: Waiting): number => Math.max(0, type.targetSize(op) - type.baseSize(op))

export class Sequencer {
  private readonly types: readonly Type[]
  private readonly limits: Limits
  private readonly io: SequencerIo
  private readonly clock: Pick<Clock, 'now' | 'ticks'>
  private readonly now: () => number
  private readonly ticks: () => number

  epoch: Epoch
  /** Null until somebody has said of which type the document is to be. */
  type: Type | null = null
  private value: unknown = null
  private history: History
  private authors = new Map<AuthorId, Last>()
  private marks: readonly Mark[] = []
  private pruned: Version = 0
  durableVersion: Version = 0
  /** What the store has said to be durable: may be ahead of what has been read here. */
  private stable: Version = 0

  private queue: Waiting[] = []
  /** How many of the queue are whose. */
  private waiting = new Map<AuthorId, number>()
  /** By how much the document would grow by what waits or is on its way, deletions not counted. */
  private growth = 0
  private call: Call | null = null
  private lost: Lost | null = null
  /** `again`: something asked for a read while one was under way. */
  private reading: { readonly ticket: number; again: boolean } | null = null
  /** An append may or may not have happened: nothing is offered before the log has been read (R13). */
  private inDoubt = false
  private lastTicket = 0
  private reopening = false
  private emptied = false
  private saving: Saving = { kind: 'no' }
  private savedVersion: Version = 0
  private bytesSinceSaved = 0

  constructor(types: readonly Type[], limits: Limits, io: SequencerIo, clock: Pick<Clock, 'now' | 'ticks'>, opened: Opened) {
    this.types = types
    this.limits = limits
    this.io = io
    this.clock = clock
    this.now = () => clock.now()
    this.ticks = () => clock.ticks?.() ?? clock.now()
    this.epoch = opened.epoch
    this.history = new History(0, emptyChain)
    this.load(opened)
  }

  // ---- what others may know

  get head(): Version {
    return this.history.head
  }

  get position(): Position {
    return { epoch: this.epoch, version: this.history.head, chain: this.history.chain }
  }

  get snapshot(): unknown {
    return this.value
  }

  /** Of the document at the head; null where its type has none. */
  get hash(): string | null {
    return this.type?.hash?.(this.value) ?? null
  }

  get horizon(): Version {
    return this.history.floor
  }

  get prunedVersion(): Version {
    return this.pruned
  }

  /** False while the log is being opened anew: nothing can be said of the document then. */
  get open(): boolean {
    return !this.reopening && !this.restoring
  }

  /** The store was emptied, and not all of what is held here is in it again: what it has is not the document yet. */
  get restoring(): boolean {
    return this.emptied && this.lost !== null
  }

  /** Whether the log is being read from the head on. */
  get isReading(): boolean {
    return this.reading !== null
  }

  /**
   * Whether this document can be offered again to a log in a store that is not the one it came from: every commit since the beginning is
   * held, and the log there is empty, or begins as this one does because another node has been first.
   */
  canFill({ checkpoint, tail }: Opened): boolean {
    const { history, epoch } = this
    if (history.floor > 0 || history.head === 0) return false
    const first = checkpoint ?? tail[0]
    return first === undefined || this.holds({ epoch, version: first.version, chain: first.chain })
  }

  /** Nothing is under way or waiting. */
  get idle(): boolean {
    return this.queue.length === 0 && this.call === null && this.lost === null && this.reading === null && !this.reopening
  }

  /** Edits that have come and have no version yet. */
  get pending(): number {
    return this.queue.length + (this.call?.offered.length ?? 0)
  }

  /** When the oldest commit came that is not durable; null: all are. */
  get undurableSince(): number | null {
    const next = Math.max(this.durableVersion, this.history.floor) + 1
    return next <= this.head && !this.reopening ? this.history.at(next).time : null
  }

  lastOf(author: AuthorId): Last | null {
    return this.authors.get(author) ?? null
  }

  /** Whether this is a place in the history that is held here, so that what came after it can be told. */
  holds(position: Position): boolean {
    return position.epoch === this.epoch && this.history.chainAt(position.version) === position.chain
  }

  since(version: Version): readonly Commit[] {
    return this.history.after(version)
  }

  /** Fixes the type of a document that nobody has written to; false when it has another one. */
  adopt(type: Type): boolean {
    if (this.type === null) {
      this.type = type
      this.value = type.empty
    }
    return this.type.name === type.name
  }

  // ---- submissions

  /** Null when the submission is on its way (or has arrived before): its answer is the commit. */
  submit(submission: Submission): Refusal | null {
    const { type, history } = this
    const { position, author, seq } = submission
    if (!this.open || type === null) return refusal('unknown-position', 'the document is being opened anew')
    if (position.epoch === this.epoch && position.version < history.floor) {
      return refusal('history-gone', `version ${position.version} is below the horizon ${history.floor}`)
    }
    if (!this.holds(position))
      return refusal('unknown-position', `version ${position.version} of epoch ${position.epoch}; the head is ${history.head}`)

    // R8: it, or a later edit of its author, may have come in by another way.
    const twin = this.sameOrLater(author, seq, position.version)
    if (twin !== null)
      return twin === 'same' ? null : refusal('bad-seq', `seq ${seq}; the last one was ${this.authors.get(author)?.seq}`)

    let op: unknown
    try {
      op = type.opFromJson(submission.op, this.sizeAt(position.version))
    } catch (error) {
      if (error instanceof OpError) return refusal('bad-op', error.message)
      throw error
    }
    // Rebasing costs components × commits. An edit may be large and old at once, and the document so busy that it is never anything else.
    const work = (Array.isArray(submission.op) ? submission.op.length : 1) * (history.head - position.version)
    op =
      work > this.limits.rebaseWork
        ? overAll(type, op, history.after(position.version), this.limits)
        : rebase(type, history, op, position.version)
    if (op === undefined) return refusal('history-gone', `${history.head - position.version} commits are too much to rebase over`)
    const fault = type.fault(op, this.value)
    if (fault !== null) return refusal('bad-op', fault)
    const growth = Math.max(0, type.targetSize(op) - type.baseSize(op))
    const length = type.size(this.value) + this.growth + growth
    if (growth > 0 && length > this.limits.documentLength) {
      return refusal('document-too-long', `${length} units with what waits; the limit is ${this.limits.documentLength}`)
    }
    const waiting = this.waiting.get(author) ?? 0
    if (waiting >= this.limits.submissionsWaiting)
      return refusal('too-many-waiting', `${waiting} wait; the limit is ${this.limits.submissionsWaiting}`)
    const came: Waiting = { submission, at: history.head, op, time: this.now(), ticks: this.ticks() }
    if (this.busy) {
      this.queue.push(came)
      this.waiting.set(author, waiting + 1)
      this.growth += growth
    } else if (this.queue.length === 0 && this.lost === null) this.offerAlone(type, came, growth)
    else {
      this.queue.push(came)
      this.pump()
    }
    return null
  }

  /** What `pump` does for one that has been looked at this very moment, with nothing else under way: which is how most edits come. */
  private offerAlone(type: Type, waiting: Waiting, growth: number): void {
    const { submission } = waiting
    if (!this.io.allows(submission)) return this.io.refuse(submission, refusal('forbidden', 'writing'))
    const own = [this.own(type, submission, waiting, waiting)]
    this.growth = growth
    this.offer([waiting], own, waiting.ticks)
  }

  private offer(offered: readonly Waiting[], own: readonly Own[], since: number): void {
    this.call = { ticket: ++this.lastTicket, since, offered, own, came: 0 }
    this.io.append(this.lastTicket, this.position, own)
  }

  private sameOrLater(author: AuthorId, seq: Seq, since: Version): 'same' | 'later' | null {
    const last = this.authors.get(author)
    // A row that is pruned says nothing: only the commits do.
    if (last === undefined && since >= this.pruned) return null
    if (last !== undefined && (last.version <= since || last.seq < seq)) return null
    if (last?.seq === seq) return 'same'
    let later = last !== undefined
    for (const commit of this.history.after(since)) {
      if (commit.author !== author || commit.seq < seq) continue
      if (commit.seq === seq) return 'same'
      later = true
    }
    return later ? 'later' : null
  }

  // ---- the append: one at a time, each with all that came while the last one was under way

  /** Nothing can be offered to the log now: what comes has to wait. */
  private get busy(): boolean {
    return this.call !== null || this.inDoubt || this.reopening || this.type === null
  }

  /** Offers what waits to the log, if nothing stands in the way. */
  pump(): void {
    const { type } = this
    if (this.busy || type === null) return
    if (this.queue.length === 0 && this.lost === null) return this.recount() // what waited may have been let go
    const offered = this.offerable(type)
    this.dropOvertaken(type)
    const own = offered.map(waiting => this.own(type, waiting.submission, waiting, waiting))
    const first = this.lost?.units[0]
    if (first !== undefined) own.push(this.own(type, first, first, null))
    this.recount(offered)
    if (own.length > 0) this.offer(offered, own, this.ticks())
  }

  /** Takes what waits out of the queue, as it must be at the head; who may not write, or has been overtaken, is told. */
  private offerable(type: Type): readonly Waiting[] {
    const { queue } = this
    if (queue.length === 0) return queue
    this.queue = []
    const may = queue.filter(waiting => {
      if (!this.isNew(waiting)) return false
      const allowed = this.io.allows(waiting.submission)
      if (!allowed) this.io.refuse(waiting.submission, refusal('forbidden', 'writing'))
      return allowed
    })
    return this.atHead(type, may)
  }

  /** The same, carried over what has come since. */
  private atHead(type: Type, waitings: readonly Waiting[]): readonly Waiting[] {
    const { history } = this
    const { head } = history
    if (waitings.every(({ at }) => at === head)) return waitings
    return waitings.map(waiting => ({ ...waiting, at: head, op: rebase(type, history, waiting.op, waiting.at) }))
  }

  private own(
    type: Type,
    { author, seq, user }: Pick<LostUnit, 'author' | 'seq' | 'user'>,
    { op, time }: Pick<LostUnit, 'op' | 'time'>,
    waiting: Waiting | null,
  ): Own {
    const base = this.history.head
    const meant: Body = { base, op: type.opToJson(op), user, time, type: base === 0 ? type.name : null }
    return { author, seq, body: writeBody(meant), meant, op, waiting }
  }

  /** An edit that went lost and whose number has been used since is not offered again: its author has, or a copy of it is in. */
  private dropOvertaken(type: Type): void {
    while (this.lost !== null) {
      const first = this.lost.units[0]
      if (first === undefined) this.lost = null
      else if ((this.authors.get(first.author)?.seq ?? 0) < first.seq) return
      else this.lost = withdraw(type, this.lost, 0)
    }
  }

  private recount(offered: readonly Waiting[] = nobody): void {
    const { type } = this
    if (this.waiting.size > 0) this.waiting.clear()
    this.growth = 0
    for (const waiting of this.queue) {
      const { author } = waiting.submission
      this.waiting.set(author, (this.waiting.get(author) ?? 0) + 1)
      this.growth += grows(type!, waiting)
    }
    for (const waiting of offered) this.growth += grows(type!, waiting)
  }

  private refuseSeq(waiting: Waiting): void {
    const { author, seq } = waiting.submission
    this.io.refuse(waiting.submission, refusal('bad-seq', `seq ${seq}; the last one was ${this.authors.get(author)?.seq}`))
  }

  appended(ticket: number, reply: LogReply): void {
    const { call } = this
    if (call === null || call.ticket !== ticket) return
    if (!reply.ok) return this.resync(reply.reason)
    let bytes = 0
    for (const { body } of call.own) bytes += body.length
    this.io.tell({ kind: 'appended', doc: this.io.doc, entries: call.own.length, bytes, ms: this.ticks() - call.since })
    if (!this.take(reply)) return
    const left = this.call // its offers are less what was found while commits were let go
    this.call = null
    this.recount()
    // The log drops a number it has had before. Where that was this very edit, its commit is the answer.
    if (left !== null && left.came < left.own.length) {
      for (const waiting of left.offered) {
        const { author, seq, position } = waiting.submission
        if (this.sameOrLater(author, seq, position.version) !== 'same') this.refuseSeq(waiting)
      }
    }
    this.pump()
  }

  /** Nobody knows whether it happened: read the log, then offer again what is missing. */
  appendFailed(ticket: number): void {
    const { call } = this
    if (call === null || call.ticket !== ticket) return
    this.call = null
    this.inDoubt = true
    this.queue = [...call.offered, ...this.queue]
    this.recount()
    this.pull()
  }

  // ---- reading the log

  /** Reads the log from the head on. */
  pull(): void {
    if (this.reopening) return
    if (this.reading !== null) {
      this.reading.again = true
      return
    }
    const ticket = ++this.lastTicket
    this.reading = { ticket, again: false }
    this.io.read(ticket, this.position)
  }

  wasRead(ticket: number, reply: LogReply): void {
    const { reading } = this
    if (reading === null || reading.ticket !== ticket) return
    this.reading = null
    if (!reply.ok) return this.resync(reply.reason)
    if (!this.take(reply)) return
    if (reading.again)
      this.pull() // it began before whatever asked for another one
    else this.inDoubt = false
    this.pump()
  }

  readFailed(ticket: number): void {
    if (this.reading?.ticket === ticket) this.reading = null
  }

  /** False when the reply turned out to be of another history. */
  private take(reply: LogReply & { ok: true }): boolean {
    // R2: while it was under way the head may have moved, by a frame of the other history even.
    if (!this.continues(reply.entries)) {
      this.resync('fork')
      return false
    }
    this.ingest(reply.entries, reply.durable)
    // R4: only now, with the log read up to where the horizon was raised.
    this.forget(Math.min(reply.horizon, this.head))
    this.advanceSaving()
    return true
  }

  /**
   * Lets go of the commits up to `horizon`. What waits or is on its way is held against them for the last time: whether it has come in by
   * another way could not be told later, nor could it be rebased over them.
   */
  private forget(horizon: Version): void {
    const { type, history } = this
    if (horizon <= history.floor || type === null) return
    const carried = (waitings: readonly Waiting[]): readonly Waiting[] =>
      this.atHead(
        type,
        waitings.filter(waiting => this.isNew(waiting)),
      )
    this.queue = [...carried(this.queue)]
    if (this.call !== null) this.call = { ...this.call, offered: carried(this.call.offered) }
    history.drop(horizon)
  }

  /** False when a waiting submission needs no place in the log any more; its author is told unless its commit is the answer. */
  private isNew(waiting: Waiting): boolean {
    const { author, seq, position } = waiting.submission
    const twin = this.sameOrLater(author, seq, position.version)
    if (twin === 'later') this.refuseSeq(waiting)
    return twin === null
  }

  /** Whether entries that may begin below my head are the same history as mine as far as both go. */
  private continues(entries: readonly Entry[]): boolean {
    const first = entries[0]
    if (first === undefined) return true
    if (first.version > this.head + 1) return false
    const shared = entries[Math.min(this.head, entries.at(-1)!.version) - first.version]
    return shared === undefined || shared.chain === this.history.chainAt(shared.version)
  }

  // ---- the feed

  announced(announcement: Announcement): void {
    if (this.reopening) return
    if (announcement.epoch !== this.epoch) return this.pull()
    if (announcement.kind === 'durable') {
      const { version, chain } = announcement
      if (version < this.history.floor || version > this.head) return // told again with the entries, or long known
      return this.history.chainAt(version) === chain ? this.harden(version) : this.pull()
    }
    const { from, entries } = announcement
    const to = from + entries.length
    if (to <= this.head && this.continues(entries)) return this.harden(announcement.durable)
    if (from > this.head) {
      this.io.tell({ kind: 'gap', doc: this.io.doc, have: this.head, got: from })
      return this.pull()
    }
    const fits = from === this.head ? announcement.chain === this.history.chain : this.continues(entries)
    // R2: an entry whose base is below my horizon was announced by a history that is gone.
    if (!fits || entries.some(entry => entry.version > this.head && baseOf(entry.body) < this.history.floor)) return this.pull()
    this.ingest(entries, announcement.durable)
  }

  /** The single door: what the log holds after my head becomes commits, for me and for everybody here. */
  private ingest(entries: readonly Entry[], durable: Version): void {
    const from = this.head
    for (const entry of entries) if (entry.version > this.head) this.admit(entry)
    const hardened = this.nowDurable(durable)
    // Commits carry the durable version along, so it is told by itself only when nothing else is.
    if (this.head > from) this.io.deliver(this.history.after(from))
    else if (hardened) this.io.durable(this.durableVersion)
    this.advanceSaving()
  }

  private admit(entry: Entry): void {
    const own = this.ownOf(entry)
    this.commit(entry, own)
    const { author, seq, version } = entry
    const came = own?.waiting ?? (this.inDoubt ? this.queued(author, seq) : undefined)
    const { doc } = this.io
    if (came === undefined) {
      const ms = this.now() - this.history.at(version).time
      return this.io.tell({ kind: 'heard', doc, author, seq, version, ms })
    }
    const { user, connection } = came.submission
    this.io.tell({ kind: 'committed', doc, author, seq, version, user, connection, ms: this.ticks() - came.ticks })
  }

  private queued(author: AuthorId, seq: Seq): Waiting | undefined {
    return this.queue.find(({ submission }) => submission.author === author && submission.seq === seq)
  }

  private commit(entry: Entry, own?: Own): void {
    const { type, commit } = this.enter(entry, own, version => this.sizeAt(version))
    this.value = type.apply(this.value, commit.op)
    if (this.lost !== null) this.lost = advanceLost(type, this.lost, commit)
  }

  /** Puts the next entry into the history. The caller applies it. */
  private enter(
    entry: Entry,
    own: Own | undefined,
    sizeAt: (version: Version) => number,
  ): { readonly type: Type; readonly commit: Commit } {
    const body = own?.meant ?? readBody(entry.body)
    if (body.type !== null && this.head === 0) this.becomes(body.type)
    const type = this.type
    if (type === null) throw new Error(`entry ${entry.version} comes before the document has a type`)
    const commit = derive(type, this.history, sizeAt, entry, body, own?.op)
    this.history.push(commit)
    this.authors.set(commit.author, { seq: commit.seq, version: commit.version })
    this.bytesSinceSaved += entry.body.length
    return { type, commit }
  }

  /** Commits that nobody sees one by one. */
  private replay(entries: readonly Entry[]): void {
    const ops: unknown[] = []
    const sizeAt = (version: Version): number => {
      const last = ops.at(-1)
      return version === this.head && last !== undefined ? this.type!.targetSize(last) : this.sizeAt(version)
    }
    for (const entry of entries) ops.push(this.enter(entry, undefined, sizeAt).commit.op)
    if (ops.length === 0) return
    const type = this.type!
    this.value = type.applyAll?.(this.value, ops) ?? ops.reduce((value, op) => type.apply(value, op), this.value)
  }

  private ownOf(entry: Entry): Own | undefined {
    const { call } = this
    if (call === null) return undefined
    const isIt = ({ author, seq }: Own): boolean => author === entry.author && seq === entry.seq
    const next = call.own[call.came]
    const own = next !== undefined && isIt(next) ? next : call.own.find(isIt)
    if (own === next) call.came++
    return own?.body === entry.body ? own : undefined
  }

  /** The first entry says of which type the document is. Whoever wanted another one has to be told. */
  private becomes(name: string): void {
    const type = this.types.find(candidate => candidate.name === name)
    if (type === undefined) throw new Error(`the document is of the unknown type ${name}`)
    const mistaken = this.type !== null && this.type.name !== name
    if (this.type?.name !== name) this.value = type.empty
    this.type = type
    if (!mistaken) return
    this.queue = []
    this.call = null
    this.recount()
    this.io.disrupt('the document was created with another type')
  }

  private sizeAt(version: Version): number {
    const type = this.type!
    return version === this.head ? type.size(this.value) : type.baseSize(this.history.at(version + 1).op)
  }

  private harden(version: Version): void {
    if (!this.nowDurable(version)) return
    this.io.durable(this.durableVersion)
    this.advanceSaving()
  }

  private nowDurable(version: Version): boolean {
    this.stable = Math.max(this.stable, version)
    const durable = Math.min(this.stable, this.head)
    if (durable <= this.durableVersion) return false
    this.durableVersion = durable
    return true
  }

  // ---- when the log is not the one that we knew

  /** Something here is wrong: what the log says is right. */
  doubt(reason: string): void {
    this.resync(reason)
  }

  /** R11: opens the log anew, keeping what was delivered here and is in no history any more. */
  private resync(reason: string): void {
    if (this.reopening) return
    this.reopening = true
    this.resyncReason = reason
    this.call = null
    this.reading = null
    this.queue = []
    this.recount()
    this.saving = { kind: 'no' }
    this.io.disrupt(reason)
    this.io.reopen()
  }

  private resyncReason = ''

  reopened(opened: Opened): void {
    const before = { type: this.type, history: this.history, lost: this.lost, head: this.head }
    this.inDoubt = false
    this.lost = null
    let kept: { at: Version; value: unknown } | null = null
    // Below the horizon nothing is missing that others do not have; otherwise find where the two histories part.
    const keep = (version: Version, chain: Chain, value: unknown) => {
      if (version <= before.head && before.history.chainAt(version) === chain) kept = { at: version, value }
    }
    const isGone = opened.removed === true && opened.epoch !== this.epoch // on purpose: it must not come back
    this.load(opened, this.resyncReason === 'horizon' || isGone ? undefined : keep)
    const common = kept as { at: Version; value: unknown } | null
    const tail = common === null ? [] : before.history.after(common.at)
    if (
      common !== null &&
      common.at >= this.history.floor &&
      before.type !== null &&
      (tail.length > 0 || (before.lost !== null && before.lost.units.length > 0))
    ) {
      const units: LostUnit[] = [
        ...tail.map(({ author, seq, op, user, time }) => ({ author, seq, op, user, time })),
        ...(before.lost?.units ?? []),
      ]
      this.lost = { agreed: common.value, units }
      for (const commit of this.history.after(common.at)) this.lost = advanceLost(before.type, this.lost, commit)
    }
    this.emptied = opened.replaced === true
    this.reopening = false // last: a log that cannot be read leaves the document shut
    this.io.tell({ kind: 'resynced', doc: this.io.doc, reason: this.resyncReason, reoffered: this.lost?.units.length ?? 0 })
    this.pump()
  }

  /** Starts from a checkpoint and the entries after it; `visit` sees each state on the way. */
  private load(opened: Opened, visit?: (version: Version, chain: Chain, value: unknown) => void): void {
    const { checkpoint } = opened
    this.epoch = opened.epoch
    if (checkpoint === null) {
      this.history = new History(0, emptyChain)
      this.authors = new Map()
      this.marks = []
      this.pruned = 0
      this.value = this.type?.empty ?? null
      this.savedVersion = 0
    } else {
      const state = readState(this.types, checkpoint)
      this.type = state.type
      this.value = state.value
      this.authors = new Map(state.authors)
      this.marks = state.marks
      this.pruned = checkpoint.pruned
      this.history = new History(checkpoint.horizon, state.floorChain)
      for (const commit of state.commits) this.history.push(commit)
      this.savedVersion = checkpoint.version
    }
    this.bytesSinceSaved = 0
    visit?.(this.head, this.history.chain, this.value)
    if (visit === undefined) this.replay(opened.tail)
    else
      for (const entry of opened.tail) {
        this.commit(entry)
        visit(this.head, this.history.chain, this.value)
      }
    this.stable = opened.durable
    this.durableVersion = Math.min(opened.durable, this.head)
    this.history.drop(Math.min(opened.horizon, this.head))
  }

  /** Whether the log, read anew, leads to the value that is held here; null where it has come to another place meanwhile. */
  confirms(opened: Opened): boolean | null {
    const { type } = this
    const other = new Sequencer(this.types, this.limits, this.io, this.clock, opened)
    if (type === null || other.type !== type || other.head > this.head || !this.holds(other.position)) return null
    const value = this.history.after(other.head).reduce((at, commit) => type.apply(at, commit.op), other.value)
    return (type.hash?.(value) ?? null) === this.hash
  }

  // ---- checkpoints

  /** Whether so much has come since the last checkpoint that opening the document is getting slow. */
  get checkpointDue(): boolean {
    const { checkpointCommits, checkpointBytes, recentCommits } = this.limits
    if (this.saving.kind !== 'no' || this.reopening || this.type === null) return false
    const commits = this.head - this.savedVersion
    if (commits <= 0) return false
    // A large text is not written again for a handful of edits: its cost is shared by edits of a quarter of its length. Nor is a long
    // history: by a quarter of it, too.
    const long = this.head - this.horizon - recentCommits
    return (
      (commits >= checkpointCommits && commits * 4 >= long && this.bytesSinceSaved * 4 >= this.type.size(this.value)) ||
      this.bytesSinceSaved >= checkpointBytes
    )
  }

  /** R3, first step: raise the horizon. */
  beginCheckpoint(): void {
    if (this.saving.kind !== 'no' || this.reopening || this.type === null) return
    const { recentCommits, recentTime, recentMost } = this.limits
    const { floor } = this.history
    const last = Math.min(this.head, this.durableVersion)
    let horizon = Math.max(floor, last - recentCommits)
    const young = this.now() - recentTime
    while (horizon > floor && last - horizon < recentMost && this.history.at(horizon).time > young) horizon--
    this.saving = { kind: 'raising' }
    this.io.raiseHorizon(this.epoch, horizon)
  }

  raised(horizon: Version, atLeast: Version | null): void {
    if (this.saving.kind !== 'raising') return
    if (atLeast === null) {
      this.saving = { kind: 'no' }
      return this.pull()
    }
    this.saving = { kind: 'reaching', horizon, atLeast }
    this.takeCheckpoint()
    if (this.saving.kind === 'reaching') this.pull()
  }

  checkpointFailed(): void {
    this.saving = { kind: 'no' }
  }

  saved(version: Version, stored: boolean): void {
    if (this.saving.kind !== 'storing' || this.saving.version !== version) return
    this.saving = { kind: 'no' }
    if (!stored) return
    this.savedVersion = version
    this.bytesSinceSaved = 0
  }

  private advanceSaving(): void {
    if (this.saving.kind === 'reaching') this.takeCheckpoint()
    if (this.saving.kind === 'hardening' && this.saving.checkpoint.version <= this.durableVersion) {
      const { checkpoint } = this.saving
      this.saving = { kind: 'storing', version: checkpoint.version }
      this.io.save(checkpoint)
    }
  }

  /** R3, second step: a state at or above the version at which the horizon was raised; it waits until it is durable (R5). */
  private takeCheckpoint(): void {
    const { type, saving } = this
    if (saving.kind !== 'reaching' || type === null || this.head < saving.atLeast) return
    const version = this.head
    const now = this.now()
    const horizon = Math.max(saving.horizon, this.history.floor)
    if (version <= horizon) {
      this.saving = { kind: 'no' }
      return
    }
    const old = this.marks.filter(mark => mark.time < now - this.limits.authorRetention && mark.version <= horizon)
    const pruned = Math.max(this.pruned, ...old.map(mark => mark.version))
    const marks = [...this.marks.filter(mark => mark.version > pruned), { version, time: now }]
    const authors = new Map([...this.authors].filter(([, last]) => last.version > pruned))
    const floorChain = this.history.chainAt(horizon)
    if (floorChain === undefined) throw new Error(`no chain at the horizon ${horizon}`)
    const state: State = {
      type,
      value: this.value,
      authors,
      marks: thin(marks),
      commits: this.history.after(horizon),
      floorChain,
    }
    const checkpoint: Checkpoint = {
      epoch: this.epoch,
      version,
      chain: this.history.chain,
      horizon,
      pruned,
      body: writeState(state),
    }
    this.saving = { kind: 'hardening', checkpoint }
    this.authors = authors
    this.marks = state.marks
    this.pruned = pruned
    this.advanceSaving()
  }
}

const advanceLost = (type: Type, lost: Lost, commit: Commit): Lost => {
  const own = lost.units.findIndex(unit => unit.author === commit.author && unit.seq === commit.seq)
  return own < 0 ? advanceOther(type, lost, commit.op) : advanceOwn(type, lost, commit.op, own)
}

/** At most 64 marks, the newest kept; every second of the older half goes when there are more. */
const thin = (marks: readonly Mark[]): readonly Mark[] =>
  marks.length <= 64 ? marks : marks.filter((_, i) => i >= 32 || i % 2 === 0)

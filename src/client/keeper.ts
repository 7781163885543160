// Writes one document down as it changes, and holds back what must not leave before.
// Invariant: a submission leaves only when a writing that knows it has come to its end, well or badly; one writing at a time, and what
// changes meanwhile goes with the next. Only a page about to go puts one behind it, which is whole: it stands whatever comes of the first.
//
// Where writing fails, typing and sending go on, and R12 is not kept: a page opened from what is there would not know what this one has
// sent, and give its numbers to other edits. So before the first such submission leaves, the mark that the record is sound is taken
// away, which needs no room on a full disk. What is opened without the mark hands back what had no number as a draft, and nobody ever
// writes on under its author (pen.ts). Should even that fail, the session notices by the log what it lacks (`doubt` in session.ts).

import type { DocumentType } from '../ot/type.ts'
import type { DocId } from '../protocol/ids.ts'
import type { ClientMessage } from '../protocol/messages.ts'
import { type Clock, inTime } from './clock.ts'
import { type Kept, Scribe, soundKey } from './record.ts'
import type { Session } from './session.ts'
import type { Changes } from './storage.ts'

/**
 * Milliseconds from an edit to the beginning of its writing, so that what is typed in a word is written once. With the writing itself
 * an edit is kept within 100 ms, on a machine that is not out of breath.
 */
const editPause = 50

/** Milliseconds after which what others did is written: it can be had from the server again, and there may be a lot of it. */
const othersPause = 2_000

/** Milliseconds for a writing. A disk that takes longer must not keep edits from the server. */
const writeWithin = 5_000

/** Milliseconds before writing is tried again after it has failed. */
const retryAfter = 10_000

export interface KeeperPort<S, O> {
  readonly clock: Clock
  write(changes: Changes): Promise<void>
  send(message: ClientMessage): void
  /** What there is to be written; null while a step is still being told, after which `settle` is called. */
  state(): Kept<S, O> | null
  /** `kept` may have changed. */
  news(): void
  /** Writing has failed, for the first time since it went well. */
  failed(error: unknown): void
}

/** What is there of the document before the first writing. */
export interface Place {
  /** Which opening this is. */
  readonly used: number
  readonly cells: readonly number[]
  /** Null: there is nothing yet. A record that was found unsound is not called sound again. */
  readonly sound: boolean | null
}

interface Held {
  readonly message: ClientMessage
  /** Leaves when everything asked to be written up to this number is. */
  readonly after: number
}

export class Keeper<S, O> {
  private readonly scribe: Scribe<S, O>
  private readonly doc: DocId
  private readonly port: KeeperPort<S, O>

  /** Writings asked for because of what is to be sent, and how many of those requests the last writing that is over knew. */
  private asked = 0
  private done = 0
  private held: Held[] = []
  /** Edits and drafts so far, and how many of them are written. */
  private made = 0
  private safe = 0

  /** The last one that is not over. */
  private writing: Promise<void> | null = null
  /** Edits and drafts that it knows, and the records of drafts among it. */
  private begun = 0
  private carried: Changes = []
  /** Writings that the storage has not answered, also those whose time is over. */
  private unanswered = 0
  /** Whether another writing is to begin as soon as it can. */
  private due = false
  private stopTimer: (() => void) | null = null
  private timerIsOfEdit = false

  /** Other records of the document that go with the next writing. */
  private besides: Changes = []
  private trouble: { readonly error: unknown; stopRetry(): void; marked: 'sound' | 'being taken' | 'unsound' } | null = null
  /** Whether the mark of soundness is on the disk. */
  private marked: boolean
  private readonly unsound: boolean
  private closed = false

  constructor(type: DocumentType<S, O>, doc: DocId, place: Place, port: KeeperPort<S, O>) {
    this.scribe = new Scribe(type, doc, place.used, place.cells)
    this.marked = place.sound === true
    this.unsound = place.sound === false
    this.doc = doc
    this.port = port
  }

  /** Whether everything that I made is written. */
  get kept(): boolean {
    return this.safe === this.made && this.trouble === null
  }

  /** Why edits or drafts of mine are not on the disk; null when all are there, as they are or as they were. */
  get lacking(): unknown {
    return this.safe === this.made ? null : (this.trouble?.error ?? 'not written')
  }

  // ---- what happens to the document

  typed(before: Session<S, O>, op: O, after: Session<S, O>): void {
    this.scribe.typed(before, op, after)
    this.made++
    this.wait(editPause, true)
  }

  moved(op: O): void {
    this.scribe.moved(op)
    this.wait(othersPause, false)
  }

  replaced(): void {
    this.scribe.replaced()
    this.wait(othersPause, false)
  }

  /** What is sent from now on waits until the state is written. */
  persist(): void {
    this.asked++
    this.due = true
  }

  /** Records beside those of the session, to be written in one go with what comes next. */
  add(changes: Changes): void {
    this.besides = [...this.besides, ...changes]
    this.made++
    this.due = true
  }

  send(message: ClientMessage): void {
    if (this.held.length === 0 && (message.kind !== 'submit' || this.mayLeave)) return this.port.send(message)
    this.held.push({ message, after: this.asked })
    if (this.trouble !== null) this.releaseUnsound()
  }

  /** There is another line, or none: what was for the one before must not go out on it. */
  line(): void {
    this.held = []
  }

  /** What the server said of my edits has changed. */
  touched(): void {
    this.wait(othersPause, false)
  }

  /** A step has been told to its end. */
  settle(): void {
    if (this.due) this.begin()
  }

  /** Writes what is not written yet, and tries once more where that has failed; resolves when that is over, well or badly. */
  async flush(): Promise<void> {
    if (this.safe !== this.made || this.stopTimer !== null) this.due = true
    if (this.due) this.trouble === null ? this.begin() : this.retry()
    while (this.writing !== null) await this.writing
  }

  /** The page may be about to go: no promise of it may go on, so what is not written yet does not wait for what is on its way. */
  hurry(): void {
    if (this.writing === null || this.trouble !== null) void this.flush()
    else if (this.begun !== this.made && this.unanswered === 1) {
      this.scribe.forget()
      this.write(false)
    }
  }

  /** What is on the disk is handed back, or older than what is: nobody may send it. */
  async disown(): Promise<void> {
    if (this.trouble?.marked !== 'unsound') await this.put([[soundKey(this.doc), null]]).catch(() => {}) // told of, with the writing before
  }

  close(): void {
    this.closed = true
    this.stop()
    this.trouble?.stopRetry()
  }

  // ---- writing

  private wait(ms: number, ofEdit: boolean): void {
    if (this.stopTimer !== null && (this.timerIsOfEdit || !ofEdit)) return
    this.stopTimer?.()
    this.timerIsOfEdit = ofEdit
    this.stopTimer = this.port.clock.after(ms, () => {
      this.stopTimer = null
      this.due = true
      this.begin()
    })
  }

  private stop(): void {
    this.stopTimer?.()
    this.stopTimer = null
  }

  private begin(): void {
    // In trouble the retry begins them: a disk that is full is not to be asked at every key.
    if (this.writing !== null || this.trouble !== null || this.closed) return
    this.write(true)
  }

  /** Behind a writing that hangs none is to wait: each is whole. */
  private retry(): void {
    if (this.unanswered === 0) this.write(false)
    else this.retryLater()
  }

  private retryLater(): void {
    const { trouble } = this
    trouble?.stopRetry()
    if (trouble !== null && !this.closed) trouble.stopRetry = this.port.clock.after(retryAfter, () => this.retry())
  }

  /** `vouches`: nothing leaves meanwhile that the writing does not know. So with none after a failure, or beside another. */
  private write(vouches: boolean): void {
    const state = this.port.state()
    if (state === null) return
    this.due = false
    this.stop()
    const { asked, made } = this
    const besides = [...this.carried, ...this.besides]
    this.besides = []
    this.carried = besides
    this.begun = made
    const mark: Changes = this.marked || this.unsound || !vouches ? [] : [[soundKey(this.doc), '1']]
    const changes = [...this.scribe.write(state), ...besides, ...mark]
    const isLast = () => this.writing === writing
    const writing = this.put(changes).then(
      () => {
        if (isLast()) this.over()
        if (vouches) this.marked = true
        this.done = asked
        this.safe = made
        if (this.trouble !== null) this.recover()
        this.release()
        if (this.due) this.begin()
        this.port.news()
      },
      error => {
        if (isLast()) {
          this.over()
          this.besides = [...besides, ...this.besides]
        }
        this.scribe.forget()
        this.fail(error)
      },
    )
    this.writing = writing
  }

  private over(): void {
    this.writing = null
    this.carried = []
  }

  private fail(error: unknown): void {
    const first = this.trouble === null
    // A writing that is not answered may arrive yet, and the mark with it.
    const marked = this.marked || this.unanswered > 0 ? 'sound' : 'unsound'
    this.trouble ??= { error, stopRetry: () => {}, marked }
    this.retryLater()
    if (first) this.port.failed(error)
    this.releaseUnsound()
    this.port.news()
  }

  /** Writing goes again. What was sent meanwhile must be known before the record counts as sound. */
  private recover(): void {
    if (this.trouble?.marked !== 'sound') this.marked = false
    this.trouble?.stopRetry()
    this.trouble = null
    this.persist()
  }

  /** What comes of a writing that takes too long comes before any later one all the same. */
  private put(changes: Changes): Promise<void> {
    this.unanswered++
    const answer = this.port.write(changes).finally(() => this.unanswered--)
    return inTime(this.port.clock, writeWithin, answer, 'writing')
  }

  // ---- sending

  private get mayLeave(): boolean {
    return this.trouble === null ? this.done >= this.asked : this.trouble.marked === 'unsound'
  }

  private release(): void {
    while (this.held.length > 0 && (this.held[0]!.after <= this.done || this.trouble?.marked === 'unsound')) {
      this.port.send(this.held.shift()!.message)
    }
  }

  /** Lets go what cannot be written, once the record is marked as one that does not know it, or that has failed too. */
  private releaseUnsound(): void {
    const { trouble } = this
    if (trouble === null || this.held.length === 0) return
    if (trouble.marked === 'unsound') return this.release()
    if (trouble.marked === 'being taken') return
    trouble.marked = 'being taken'
    const over = () => {
      trouble.marked = 'unsound'
      this.marked = false
      this.release()
    }
    this.put([[soundKey(this.doc), null]]).then(over, over)
  }
}

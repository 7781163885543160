// A document open on this node: joins a sequencer to the store, the clock and the members who have it open.
// Invariant: a member hears of a document in one order: joined first, then every commit after its position, none twice.

import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId, DocId, Epoch, Handle, PeerId, Version } from '../protocol/ids.ts'
import { readServerMessage } from '../protocol/json.ts'
import type {
  Join,
  PeerEntry,
  Present,
  Right,
  Role,
  ServerMessage,
  Signal,
  Signalled,
  Snapshot,
  Submit,
  User,
} from '../protocol/messages.ts'
import { Cadence, type Load } from './cadence.ts'
import { missed, pieceOf, wireCommit } from './catchup.ts'
import { readState } from './checkpoint.ts'
import { Deadline } from './deadline.ts'
import type { Commit, Type } from './entry.ts'
import type { EngineOptions, OpenDocument, Outlet } from './face.ts'
import { Meter } from './meter.ts'
import { People } from './people.ts'
import type { Announcement, Opened, PresenceNews } from './ports.ts'
import { Sequencer, type SequencerIo, type Submission } from './sequencer.ts'
import type { Soon } from './soon.ts'
import { Writers } from './writers.ts'

/** One connection in one document. */
export interface Member {
  readonly outlet: Outlet
  readonly author: AuthorId
  /** As others see him from now on. */
  readonly user: User
  /** It may be another one the next time that it is looked at; null: it cannot be found out. */
  readonly right: Right | null
  readonly peer: PeerId
  /** Of the history that it was told of when it came in. */
  readonly epoch: Epoch
  /** Whether the client has gone while its join was under way. */
  readonly gone: boolean
  /** Called when the member is in, before anything is sent to it. */
  admitted(epoch: Epoch): void
  /** Called when the member is put out of the document, with what to tell. */
  ousted(refusal: Refusal): void
}

/** A join that waits until the log has been read. */
interface Reader {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const replaced = 'the store was replaced, and what was in this document is not known to be gone'

/** Who stands behind an edit of the house's own. */
const house: Pick<Member, 'right'> = { right: 'write' }

/** A frame of commits on its way to its readers. */
interface Sent {
  readonly commits: readonly Commit[]
  /** When the first of them was known. */
  readonly since: number
  readonly readers: number
  /** How many milliseconds writing it takes, where it is not done already. */
  readonly done: Promise<number> | undefined
}

/** Members by the version up to which they have been sent commits. */
const byPlace = (lagging: readonly (readonly [Member, Version])[]): ReadonlyMap<Version, readonly Member[]> => {
  const places = new Map<Version, Member[]>()
  for (const [member, version] of lagging) {
    const there = places.get(version)
    if (there === undefined) places.set(version, [member])
    else there.push(member)
  }
  return places
}

const idle: Load = { busy: 0, writing: 0, spared: 0 }

/** Milliseconds between two looks at who writes. */
const writersTick = 1_000

/** Milliseconds after which somebody for whom there was no place asks again, should nobody have told him. */
const placePause = 5_000

/** The highest wait between attempts at a store that does not answer, and the first. Milliseconds. */
const retry = { first: 50, longest: 5_000 }

/** One of each at a time; the two attempts apart, so that neither can call off the other. */
type Alarm =
  | 'say restored'
  | 'frame'
  | 'onlookers'
  | 'beat'
  | 'durable'
  | 'presence'
  | 'present'
  | 'writers'
  | 'laggards'
  | 'read again'
  | 'open again'
  | 'append again'

export class LiveDocument {
  readonly id: DocId
  readonly handle: Handle
  private readonly options: EngineOptions
  private readonly members = new Set<Member>()
  private outlets: readonly Outlet[] | null = null
  /** To whom the last frames went. */
  private lists: readonly (readonly Outlet[])[] = []
  /** Members who do not read as fast as commits come, and up to which version they have been sent any. */
  private readonly lagging = new Map<Member, Version>()
  /** Commits that nobody here has been sent yet, without a gap up to the head, and since when the first of them waits. */
  private unsent: Commit[] = []
  private unsentSince = 0
  /** Members who have already been told some of these, with their join or in catching up, and up to which version. */
  private readonly ahead = new Map<Member, Version>()
  /** Members who may not write now, and commits that wait for their next frame while the others have them, without a gap up to `unsent`. */
  private readonly onlookers = new Set<Member>()
  private held: Commit[] = []
  private heldSince = 0
  private readonly cadence = new Cadence()
  private readonly deadline: Deadline
  /** Frames that are still being written. */
  private leaving = 0
  /** Members whose commits are not durable yet, and up to which version. */
  private readonly unhardened = new Map<Member, Version>()
  private sequencer: Sequencer | null = null
  /** Resolves when there is a sequencer that knows its log; replaced whenever the log is opened anew. */
  private ready: Promise<void> = Promise.resolve()
  /** Makes it so, once all that an emptied store has lost is in it again. */
  private restored: (() => void) | null = null
  /** Other nodes are to be told when that has come true. */
  private owesWord = false
  private readonly writers: Writers
  private pace = 0
  private readonly people: People
  /** Resolves when `people` are all that the board knows; null: nobody has asked yet. From then on its news keep them so. */
  private listed: Promise<void> | null = null
  private isListed = false
  /** News that came while the list was on its way. */
  private overheard: PresenceNews[] | null = null
  /** Members who have shown themselves in this tick, and what they have said of themselves since. */
  private readonly presenting = new Map<Member, Present | null>()
  /** When the last news of people left. */
  private presenceTold = Number.NEGATIVE_INFINITY
  /** News of people are due, and go along with the frame that waits. */
  private presenceWaits = false
  /** Members who were passed by and have to be told of everybody, once they have caught up. */
  private readonly passedBy = new Set<Member>()
  private alarms = new Map<Alarm, () => void>()
  private failures = 0
  /** Appends in a row that failed. Of a store that takes nothing (a full disk), reads may go well all the while. */
  private failedAppends = 0
  /** A client has found that its text is not ours. */
  private suspect = false
  private readonly watchers = new Set<() => void>()
  private unsubscribe: (() => void)[] = []
  private commits = 0
  private readonly committing = new Meter()
  private readonly delivering = new Meter()
  private closed = false

  constructor(id: DocId, handle: Handle, options: EngineOptions) {
    this.id = id
    this.handle = handle
    this.options = options
    const { writersPerDocument, writerActive, writerPace } = options.limits
    this.writers = new Writers(writersPerDocument, writerActive, writerPace)
    this.deadline = new Deadline(options.clock, options.limits.storeTimeout)
    this.people = new People(options.limits.peersShown, options.limits.peerActive)
  }

  /** @throws when the store does not answer or holds something that cannot be read */
  async open(): Promise<void> {
    const { store } = this.options
    // Listening comes first, so that nothing can fall between the log as it was opened and the first announcement.
    const early: Announcement[] = []
    const listen = (announcement: Announcement) => {
      if (this.sequencer === null) early.push(announcement)
      else this.guard('announcement', () => this.sequencer?.announced(announcement))
    }
    await this.inTime(
      Promise.all([
        this.subscribed(store.log.subscribe(this.id, listen)),
        this.subscribed(store.presence.subscribe(this.id, news => this.guard('presence', () => this.hear(news)))),
        this.subscribed(store.signals.subscribe(this.id, said => this.guard('signal', () => this.signalled(said)))),
      ]),
    )
    const opened = await this.inTime(this.openLog())
    if (opened.replaced) throw new Error(replaced)
    const { types, limits, clock } = this.options
    this.sequencer = new Sequencer(types, limits, this.io(), clock, opened)
    this.tellOpened(opened)
    for (const announcement of early) this.sequencer.announced(announcement)
  }

  /** The log, from its beginning where its checkpoint is damaged and the beginning is still there. */
  private async openLog(): Promise<Opened> {
    const { store, types, observe } = this.options
    const opened = await store.log.open(this.id)
    const { checkpoint } = opened
    if (checkpoint === null || readState(types, checkpoint).isSound) return opened
    const { version, horizon } = checkpoint
    const before = horizon === 0 ? await store.log.entries(this.id, 0, version) : []
    const mended = before.length === version
    observe({ kind: 'damaged', doc: this.id, where: 'checkpoint', version, mended })
    if (!mended) return opened
    return { ...opened, checkpoint: null, tail: [...before, ...opened.tail] }
  }

  /** A subscription is called off with the document, also one that was granted too late. */
  private subscribed(granted: Promise<() => void>): Promise<void> {
    return granted.then(stop => {
      if (this.closed) stop()
      else this.unsubscribe.push(stop)
    })
  }

  get memberCount(): number {
    return this.members.size
  }

  /** Nobody is here and nothing is under way. */
  get idle(): boolean {
    return this.members.size === 0 && (this.sequencer?.idle ?? true)
  }

  /** Nothing that was accepted is under way, all of it is durable, and everybody has been sent it. */
  get quiet(): boolean {
    const { sequencer } = this
    if (this.unsent.length + this.held.length > 0 || this.leaving > 0) return false
    return sequencer === null || (sequencer.idle && sequencer.durableVersion === sequencer.head)
  }

  /** Members who do not read as fast as commits come. */
  get laggards(): number {
    return this.lagging.size
  }

  /** Edits that have come and have no version yet. */
  get pending(): number {
    return this.sequencer?.pending ?? 0
  }

  /** Whether there is no place for one more writer, and how many milliseconds those there are leave between two edits. */
  get crowd(): { readonly full: boolean; readonly pace: number } {
    return { full: this.writers.full, pace: this.pace }
  }

  /** When the oldest edit came that has a version and is not durable yet; null: all are durable. */
  get undurableSince(): number | null {
    return this.sequencer?.undurableSince ?? null
  }

  get version(): Version {
    return this.sequencer?.head ?? 0
  }

  get seen(): OpenDocument {
    const now = this.options.clock.now()
    return {
      id: this.id,
      version: this.version,
      durable: this.sequencer?.durableVersion ?? 0,
      members: this.members.size,
      commits: this.commits,
      commitsPerSecond: this.committing.perSecond(now),
      deliveriesPerSecond: this.delivering.perSecond(now),
    }
  }

  async everybody(limit: number): Promise<{ readonly people: number; readonly peers: readonly PeerEntry[] }> {
    await this.everybodyListed()
    return { people: this.people.count, peers: this.people.everybody(limit) }
  }

  get durableVersion(): Version {
    return this.sequencer?.durableVersion ?? 0
  }

  lastSeqOf(author: AuthorId): number {
    return this.sequencer?.lastOf(author)?.seq ?? 0
  }

  /** Calls whenever there are commits, or more of them are durable. */
  watch(changed: () => void): () => void {
    this.watchers.add(changed)
    return () => this.watchers.delete(changed)
  }

  /** An edit of the house's own, of nobody who is here; whether it is in shows in `lastSeqOf`. */
  submitForHouse(edit: Omit<Submission, 'from'>): Refusal | null {
    return this.sequencer?.submit({ ...edit, from: house }) ?? null
  }

  /** Uses the sequencer once it knows its log, in the very moment in which it is known to: a tick later the log may be another one. */
  async whenOpen<T>(use: (sequencer: Sequencer) => T): Promise<T> {
    for (;;) {
      await this.inTime(this.ready)
      if (this.sequencer === null || this.closed) throw new Error('the document is not open')
      if (this.sequencer.open) return use(this.sequencer)
    }
  }

  /**
   * The same, of the log as it is now: where nobody is no beat finds out that the last announcement was lost. While the store is away
   * what was known last is better than nothing.
   */
  async whenCurrent<T>(use: (sequencer: Sequencer) => T): Promise<T> {
    if (this.members.size === 0) await this.caughtUp().catch(() => undefined)
    return this.whenOpen(use)
  }

  // ---- members

  /** Answers the join and from then on sends everything that happens. A refusal when the document cannot be joined so. */
  join(member: Member, message: Join, type: Type): Soon<Refusal | null> {
    const { sequencer } = this
    const { position } = message
    const { outlet } = member
    const since = this.ticks()
    const known = this.isListed && sequencer?.open && (position === null || sequencer.holds(position))
    if (!known || this.closed || (outlet.open && outlet.behind)) return this.joinLater(member, message, type, since)
    return this.admit(sequencer, member, message, type, since)
  }

  private async joinLater(member: Member, message: Join, type: Type, since: number): Promise<Refusal | null> {
    const { position } = message
    // Another node may have told the client what this one has not heard yet, be it a tail or another history.
    if (position !== null && !(await this.whenOpen(sequencer => sequencer.holds(position)))) await this.caughtUp()
    await this.everybodyListed()
    for (;;) {
      const { outlet } = member
      const answer = await this.whenOpen(sequencer =>
        // A client that asks for many documents at once gets the next one when it has read the one before.
        outlet.open && outlet.behind ? 'later' : this.admit(sequencer, member, message, type, since),
      )
      if (answer !== 'later') return answer
      await new Promise<void>(resolve => this.options.clock.after(this.options.limits.presenceTick, resolve))
    }
  }

  private admit(sequencer: Sequencer, member: Member, message: Join, type: Type, since: number): Refusal | null {
    if (!member.outlet.open || member.gone) return null
    const { right, peer } = member
    if (right === null) return refusal('unavailable')
    if (right === 'none') return refusal('forbidden', 'reading')
    if (!sequencer.adopt(type))
      return refusal('type-mismatch', `the document is of type ${sequencer.type?.name}, not ${type.name}`)
    // A client that came back before its old line was known to be dead: two of one author would take each other's edits for their own.
    for (const other of this.members) if (other.author === member.author) this.oust(other, refusal('superseded'))
    if (this.members.size === 0) this.people.news() // nobody was there to be told
    this.members.add(member)
    this.outlets = null
    if (this.roleOf(member) !== 'write') this.onlookers.add(member)
    this.isAhead(member, sequencer.head)
    member.admitted(sequencer.epoch)
    this.show(member, sequencer.head, {})
    const last = sequencer.lastOf(member.author)
    if (last !== null && last.version > sequencer.durableVersion) this.unhardened.set(member, last.version)
    const { position, diverged } = message
    if (diverged) {
      this.suspect = true
      this.options.observe({ kind: 'diverged', ...this.whose(member), version: sequencer.head })
    }
    const known = position !== null && sequencer.holds(position) ? sequencer.since(position.version) : null
    const content =
      (known && missed(type, known, member.author, sequencer.position, this.options.limits)) ?? this.snapshot(sequencer, member)
    this.send([member.outlet], {
      kind: 'joined',
      doc: this.id,
      handle: this.handle,
      right: this.roleOf(member),
      peer,
      people: this.people.count,
      peers: this.people.known().filter(entry => entry.peer !== peer),
      durable: sequencer.durableVersion,
      content,
    })
    this.options.observe({
      kind: 'joined',
      ...this.whose(member),
      content: content.kind,
      version: sequencer.head,
      ms: this.ticks() - since,
    })
    if (this.pace > 0) this.tellRole([member])
    if (!this.alarms.has('beat')) this.alarm('beat', this.options.limits.beat, () => this.beat())
    return null
  }

  // ---- who may write

  /** Of somebody who has a right. */
  private roleOf({ right, author }: Pick<Member, 'right' | 'author'>): Role {
    return right !== 'write' ? 'read' : this.writers.may(author) ? 'write' : 'full'
  }

  /** What these, who have a right, may do now, and how often. */
  private tellRole(members: readonly Member[]): void {
    const { handle, pace, onlookers } = this
    const moves = members.filter(member => (this.roleOf(member) !== 'write') !== onlookers.has(member))
    if (moves.length > 0) this.sendCommits(true) // they are where all the others are, and go on with their new neighbours from there
    for (const member of moves) if (!onlookers.delete(member) && this.members.has(member)) onlookers.add(member)
    for (const right of ['read', 'write', 'full'] as const) {
      const outlets = members.filter(member => this.roleOf(member) === right).map(({ outlet }) => outlet)
      this.send(outlets, { kind: 'right', handle, right, pace })
    }
  }

  /** Takes a place for whoever writes. When there is none left, all who have none are told. */
  private seat({ author }: Member): Refusal | null {
    const { writers } = this
    const wasFull = writers.full
    const seated = writers.wrote(author, this.options.clock.now())
    if (!this.alarms.has('writers')) this.soonLookAtWriters()
    if (seated) return null
    if (!wasFull) {
      this.tellRole([...this.members].filter(member => this.roleOf(member) === 'full'))
      this.tellCrowd()
    }
    return refusal(
      'too-many-writers',
      `${writers.count} write; the limit is ${this.options.limits.writersPerDocument}`,
      placePause,
    )
  }

  private soonLookAtWriters(): void {
    this.alarm('writers', writersTick, () => this.lookAtWriters())
  }

  private lookAtWriters(): void {
    const { writers, options } = this
    const { came, went, opened } = writers.look(options.clock.now(), this.load.busy)
    const pace = writers.pace(options.limits.frameTick)
    const changed = pace === 0 ? this.pace !== 0 : Math.abs(pace - this.pace) >= Math.max(1, this.pace / 4)
    if (changed) this.pace = pace
    const moved = new Set([...came, ...went])
    const concerned = ({ author, right }: Member) =>
      right === 'write' && (opened || moved.has(author) || (changed && writers.may(author)))
    if (changed || opened || moved.size > 0) this.tellRole([...this.members].filter(concerned))
    if (changed || opened) this.tellCrowd()
    if (writers.restless) this.soonLookAtWriters()
  }

  private tellCrowd(): void {
    const { writers, pace, id: doc } = this
    this.options.observe({ kind: 'crowded', doc, writers: writers.count, waiting: writers.waiting, full: writers.full, pace })
  }

  /** The member's right is another one than before. What waits of his edits is held against it before it goes to the log. */
  regrade(member: Member): void {
    if (!this.members.has(member)) return
    const { right } = member
    if (right === null) return this.oust(member, refusal('unavailable'))
    if (right === 'none') this.oust(member, refusal('forbidden', 'reading'))
    else this.tellRole([member])
  }

  private oust(member: Member, why: Refusal): void {
    this.leave(member, why)
    member.ousted(why)
  }

  /** `why`: it is put out; null: it goes. */
  leave(member: Member, why: Refusal | null = null): void {
    if (!this.members.delete(member)) return
    this.outlets = null
    this.lists = []
    this.unhardened.delete(member)
    this.presenting.delete(member)
    this.writers.left(member.author)
    this.passedBy.delete(member)
    this.lagging.delete(member)
    this.ahead.delete(member)
    this.onlookers.delete(member)
    this.people.gone(member.peer)
    this.options.observe({ kind: 'left', ...this.whose(member), code: why?.code ?? null })
    this.options.store.presence.remove(this.id, member.peer)
    this.soonTellPresence()
    if (this.members.size === 0) this.silence('beat')
  }

  submit(member: Member, message: Submit): Refusal | null {
    if (!this.members.has(member)) return refusal('not-joined', `handle ${this.handle}`)
    if (member.right !== 'write') return refusal('forbidden', 'writing')
    if (this.sequencer === null || !this.sequencer.open) return refusal('unknown-position', 'the document is being opened anew')
    const no = this.seat(member)
    if (no !== null) return no
    const { seq, position, op } = message
    return this.sequencer.submit({
      author: member.author,
      seq,
      position: { epoch: member.epoch, version: position.version, chain: position.chain },
      op,
      user: member.user.id,
      connection: member.outlet.name,
      from: member,
    })
  }

  /** The first news goes to the others at once; what a member says of itself within a tick after that goes together at its end. */
  present(member: Member, message: Present): void {
    if (!this.members.has(member)) return
    const first = !this.presenting.has(member)
    this.presenting.set(member, first ? null : message)
    this.soonPresent()
    if (first) this.show(member, message.version, message.state)
  }

  private soonPresent(): void {
    if (this.alarms.has('present')) return
    this.alarm('present', this.presenceTick, () => {
      for (const [member, message] of this.presenting) {
        if (message === null) this.presenting.delete(member)
        else {
          this.presenting.set(member, null)
          this.show(member, message.version, message.state)
        }
      }
      if (this.presenting.size > 0) this.soonPresent()
    })
  }

  private show(member: Member, version: Version, state: Present['state']): void {
    const { peer, user, author } = member
    const appearance = { peer, user, author, version, state }
    this.people.here(appearance, this.options.clock.now())
    this.options.store.presence.show(this.id, appearance)
    this.soonTellPresence()
  }

  /** To everybody but the sender, at most once: whoever is behind is passed by, and nothing is kept. */
  signal(member: Member, { name, payload }: Signal): void {
    if (!this.members.has(member)) return
    const { peer, user } = member
    this.options.store.signals.send(this.id, { peer, user: { ...user }, name, payload })
  }

  /** What the store brings may come from a node of another version, so it is read like a stranger's word. */
  private signalled(said: unknown): void {
    const read = readServerMessage(
      'signalled',
      typeof said === 'object' && said !== null ? { ...said, handle: this.handle } : said,
    )
    if (!read.ok) return
    const message = read.message as Signalled
    const hear = ({ peer, outlet }: Member) => peer !== message.peer && !outlet.behind
    this.send(this.outletsOf(hear), message)
  }

  /** Reads the log once, to its end as it is now; the outcome shows in the sequencer. @throws when the store does not answer */
  private async caughtUp(): Promise<void> {
    await this.whenOpen(sequencer => {
      const read = new Promise<void>((resolve, reject) => {
        // A read that is under way may have begun before what this one is about was written.
        const readers = sequencer.isReading ? this.nextReaders : this.readers
        readers.push({ resolve, reject })
      })
      sequencer.pull()
      return this.inTime(read)
    })
  }

  /** Who waits for the read under way, and for the one after it. */
  private readers: Reader[] = []
  private nextReaders: Reader[] = []

  private wasRead(): void {
    for (const { resolve } of this.readers) resolve()
    this.readers = this.nextReaders
    this.nextReaders = []
    if (this.sequencer?.isReading) return
    for (const { resolve } of this.readers.splice(0)) resolve() // the log is being opened anew instead
  }

  private couldNotBeRead(error: unknown): void {
    for (const { reject } of [...this.readers.splice(0), ...this.nextReaders.splice(0)]) reject(error)
  }

  private snapshot(sequencer: Sequencer, member: Member): Snapshot {
    const last = sequencer.lastOf(member.author)
    return {
      kind: 'snapshot',
      position: sequencer.position,
      value: sequencer.type!.snapshotToJson(sequencer.snapshot),
      landed: last === null ? null : { seq: last.seq, version: last.version },
      pruned: sequencer.prunedVersion,
    }
  }

  // ---- what the sequencer asks of the world

  private io(): SequencerIo {
    const { log } = this.options.store
    // Each answer is for the sequencer that asked.
    const answer = (call: string, work: Promise<unknown>, then: (result: never) => void, failed: (error: unknown) => void) => {
      this.deadline.answered(
        work,
        result => this.guard(call, () => then(result as never)),
        error => {
          this.options.observe({ kind: 'store-failed', doc: this.id, call, error })
          this.guard(call, () => failed(error))
        },
      )
    }
    const well = () => {
      this.failures = 0
    }
    return {
      doc: this.id,
      append: (ticket, at, entries) => {
        const offer = () =>
          answer(
            'append',
            log.append(this.id, at, entries),
            reply => {
              well()
              this.failedAppends = 0
              this.sequencer?.appended(ticket, reply)
              this.seeRestored()
              this.checkpoint()
            },
            () => {
              this.failedAppends++
              this.sequencer?.appendFailed(ticket)
            },
          )
        // After the first failure the log has been read, and has told whether the entries are in.
        if (this.failedAppends < 2) return offer()
        this.alarm('append again', Math.min(retry.longest, retry.first * 2 ** (this.failedAppends - 2)), offer)
      },
      read: (ticket, at) =>
        answer(
          'read',
          log.read(this.id, at),
          reply => {
            well()
            this.sequencer?.wasRead(ticket, reply)
            this.seeRestored()
            this.wasRead()
          },
          error => {
            this.sequencer?.readFailed(ticket)
            this.couldNotBeRead(error)
            this.later('read again', () => this.sequencer?.pull())
          },
        ),
      reopen: () => this.reopen(),
      raiseHorizon: (epoch, horizon) =>
        answer(
          'raiseHorizon',
          log.raiseHorizon(this.id, epoch, horizon),
          version => this.sequencer?.raised(horizon, version),
          () => this.sequencer?.checkpointFailed(),
        ),
      save: checkpoint =>
        answer(
          'checkpoint',
          log.checkpoint(this.id, checkpoint),
          stored => {
            this.sequencer?.saved(checkpoint.version, stored)
            const { version, horizon, body } = checkpoint
            if (stored) this.options.observe({ kind: 'checkpointed', doc: this.id, version, horizon, bytes: body.length })
          },
          () => this.sequencer?.checkpointFailed(),
        ),
      deliver: commits => this.deliver(commits),
      durable: () => this.hardened(),
      refuse: (submission, no) => this.refuse(submission, no),
      allows: ({ from }) => (from as Member).right === 'write',
      disrupt: reason => this.disrupt(reason),
      tell: this.options.observe,
    }
  }

  private deliver(commits: readonly Commit[]): void {
    const now = this.options.clock.now()
    this.commits += commits.length
    this.committing.count(commits.length, now)
    this.delivering.count(commits.length * this.members.size, now)
    if (this.unsent.length === 0) this.unsentSince = this.ticks()
    for (const commit of commits) this.unsent.push(commit)
    this.soonSendCommits()
  }

  /** P8: at once where that is cheap; under load what comes meanwhile goes in the same frame. */
  private soonSendCommits(): void {
    if (this.unsent.length === 0 || this.leaving > 0 || this.alarms.has('frame')) return
    const wait = this.cadence.wait(this.ticks(), this.load, this.options.limits.frameTick)
    if (wait <= 0 || this.members.size === 0) this.sendCommits()
    else this.alarm('frame', wait, () => this.sendCommits())
  }

  /**
   * All that nobody has been sent yet, in one frame. Those who may not write get it with theirs, of which there are fewer while the
   * node is busy. `everybody`: they get it now.
   */
  private sendCommits(everybody = false): void {
    this.silence('frame')
    const { sequencer, unsent, held } = this
    if (sequencer === null) return
    const started = this.ticks()
    const due =
      everybody || this.onlookers.size === 0 || this.cadence.waitOfOnlookers(started, this.load, this.options.limits) <= 0
    const { durableVersion: durable } = sequencer
    if (unsent.length > 0) this.expectHardening(unsent, durable)
    const [first] = unsent
    const waits = held.length === 0 ? unsent : held.concat(unsent)
    const [firstHeld] = waits
    if (firstHeld === undefined || (first === undefined && !due)) {
      this.soonSendHeld() // an alarm may ring a little early, or the node be busier than it was
      return this.presenceWaits ? this.tellPresence() : undefined
    }
    this.unsent = []
    this.held = due ? [] : waits
    if (held.length === 0) this.heldSince = this.unsentSince
    const send = () => this.sendDue(unsent, waits, due, durable)
    const { together } = this.options
    let frames: readonly Sent[] = []
    if (together !== undefined && this.newsGoAlong(started))
      together(() => {
        const behind = this.behind() // before the commits, which may be long
        frames = send()
        this.tellPresence(behind)
      })
    else frames = send()
    this.cadence.leaves(started, unsent)
    if (due) {
      this.silence('onlookers')
      this.cadence.leavesForOnlookers(started)
      if (held.length > 0) this.hardened()
    } else this.soonSendHeld()
    this.written(frames, started)
    if (this.lagging.size > 0) this.soonLaggards()
    if (first === undefined) return
    const now = this.options.clock.now()
    for (const { author } of unsent) this.people.wrote(author, now)
    this.soonTellPresence()
    for (const changed of this.watchers) changed()
  }

  /** `unsent` for those who write, and for those who only read all that waits for them, if it is due. */
  private sendDue(unsent: readonly Commit[], waits: readonly Commit[], due: boolean, durable: Version): readonly Sent[] {
    if (due && waits === unsent) return [this.sendTo(null, unsent, durable, this.unsentSince)]
    const isOnlooker = (member: Member) => this.onlookers.has(member)
    const frames: Sent[] = []
    if (unsent.length > 0) frames.push(this.sendTo(member => !isOnlooker(member), unsent, durable, this.unsentSince))
    if (due) frames.push(this.sendTo(isOnlooker, waits, durable, this.heldSince))
    return frames
  }

  /** Whose commits are not durable yet is to be told when they are. */
  private expectHardening(commits: readonly Commit[], durable: Version): void {
    if (commits.at(-1)!.version <= durable) return
    const last = new Map(commits.map(commit => [commit.author, commit.version]))
    for (const member of this.members) {
      const version = last.get(member.author)
      if (version !== undefined) this.unhardened.set(member, version)
    }
  }

  /** One frame for all of these who keep up; who has been told some of it already gets the rest. */
  private sendTo(
    concerned: ((member: Member) => boolean) | null,
    commits: readonly Commit[],
    durable: Version,
    since: number,
  ): Sent {
    const { ahead, lagging } = this
    const from = commits[0]!.version - 1
    let early: Set<Member> | null = null
    for (const member of this.members) {
      if (ahead.size === 0 && !member.outlet.behind) continue
      if (concerned !== null && !concerned(member)) continue
      const version = ahead.get(member) ?? from
      if (member.outlet.behind && !lagging.has(member)) lagging.set(member, version)
      if (!ahead.delete(member)) continue
      early ??= new Set()
      early.add(member)
      if (!lagging.has(member)) this.sendFrame([member.outlet], version, commits.slice(version - from), durable)
    }
    const readers =
      concerned === null && early === null
        ? this.keepingUp()
        : this.outletsOf(member => (concerned?.(member) ?? true) && !lagging.has(member) && early?.has(member) !== true)
    return { commits, since, readers: readers.length, done: this.sendFrame(this.again(readers), from, commits, durable) }
  }

  /** The very list of before, where the same readers were sent a frame: what they have been told together need not be said again. */
  private again(readers: readonly Outlet[]): readonly Outlet[] {
    const { lists } = this
    const before = lists.find(
      list => list === readers || (list.length === readers.length && list.every((outlet, i) => outlet === readers[i])),
    )
    if (before !== undefined) return before
    this.lists = [readers, ...lists.slice(0, 2)] // writers, onlookers, and the one before
    return readers
  }

  /** What the frames have cost decides when the next one may leave; with many readers it is known only later. */
  private written(frames: readonly Sent[], started: number): void {
    if (frames.every(({ done }) => done === undefined)) return this.left(frames, this.ticks() - started)
    this.leaving++
    void Promise.all(frames.map(({ done }) => done ?? 0)).then(taken => {
      this.leaving--
      this.left(
        frames,
        taken.reduce((sum, ms) => sum + ms, 0),
      )
      this.guard('frame', () => this.soonSendCommits())
    })
  }

  private left(frames: readonly Sent[], ms: number): void {
    let [most, readers] = [0, 0]
    for (const frame of frames) {
      most = Math.max(most, frame.commits.length)
      readers += frame.done === undefined ? frame.readers : Number.POSITIVE_INFINITY // in turns: it takes long, for whomever
    }
    const spared = this.cadence.left(ms, most, readers, this.options.limits.frameTick)
    if (spared > 0) this.options.spared?.(spared)
    for (const { commits, since, readers } of frames) {
      const facts = { version: commits.at(-1)!.version, commits: commits.length, readers, behind: this.lagging.size }
      this.options.observe({ kind: 'delivered', doc: this.id, ...facts, ms: this.ticks() - since })
    }
  }

  private soonSendHeld(): void {
    if (this.held.length === 0 || this.alarms.has('onlookers')) return
    const { limits } = this.options
    const wait = this.leaving > 0 ? limits.frameTick : this.cadence.waitOfOnlookers(this.ticks(), this.load, limits)
    this.alarm('onlookers', Math.max(1, wait), () => (this.leaving > 0 ? this.soonSendHeld() : this.sendCommits()))
  }

  private sendFrame(
    outlets: readonly Outlet[],
    from: Version,
    commits: readonly Commit[],
    durable: Version,
  ): Promise<number> | undefined {
    const { sequencer, handle } = this
    const last = commits.at(-1)
    if (sequencer === null || last === undefined || outlets.length === 0) return undefined
    const type = sequencer.type!
    const position = { version: last.version, chain: last.chain }
    const wire = commits.map(commit => wireCommit(type, commit))
    const { deliverCommits = this.options.deliver } = this.options
    return deliverCommits(outlets, { kind: 'commits', handle, from, commits: wire, position, durable })
  }

  /** The member has been told everything up to `version`, of which others still wait for some. */
  private isAhead(member: Member, version: Version): void {
    if (this.unsent.length > 0 || (this.held.length > 0 && this.onlookers.has(member))) this.ahead.set(member, version)
  }

  private soonLaggards(): void {
    if (!this.alarms.has('laggards')) this.alarm('laggards', this.options.limits.presenceTick, () => this.catchUpLaggards())
  }

  /**
   * Whoever has read what waited for him gets what he missed, in pieces: each is written only once he is not behind, so it adds no more
   * than itself. Those who stand at one place, as all do after a pause of the machine, get one piece that is encoded once. One who lacks
   * more than would be sent one by one, and for long, joins again, and gets it in the form that is cheapest.
   */
  private catchUpLaggards(): void {
    const { sequencer, handle } = this
    if (sequencer === null || sequencer.type === null || !sequencer.open) return this.soonLaggards()
    const { durableVersion: durable } = sequencer
    let standing = byPlace([...this.lagging].filter(([{ outlet }]) => !outlet.behind))
    while (standing.size > 0) {
      const next: [Member, Version][] = []
      for (const [from, members] of standing) {
        const missing = from < sequencer.horizon ? null : sequencer.since(from)
        if (missing === null || this.isTooMuch(missing)) {
          for (const member of members) this.oust(member, refusal('history-gone', `${sequencer.head - from} commits behind`))
          continue
        }
        const piece = pieceOf(sequencer.type, missing)
        const last = missing[piece.length - 1]
        if (last === undefined) {
          for (const member of members) {
            this.lagging.delete(member)
            this.isAhead(member, from)
          }
          this.hardened()
          continue
        }
        const position = { version: last.version, chain: last.chain }
        const outlets = members.map(({ outlet }) => outlet)
        this.send(outlets, { kind: 'commits', handle, from, commits: piece, position, durable })
        for (const member of members) {
          if (!this.lagging.has(member)) continue // writing to it has ended its line
          this.lagging.set(member, last.version)
          if (!member.outlet.behind) next.push([member, last.version])
        }
      }
      standing = byPlace(next)
    }
    if (this.lagging.size > 0) this.soonLaggards()
  }

  /** A line that is too slow for so busy a document never catches up; one that was held up for a moment does. */
  private isTooMuch(missing: readonly Commit[]): boolean {
    const { limits, clock } = this.options
    return missing.length > limits.catchUpCommits && missing[0]!.time < clock.now() - limits.catchUpTime
  }

  /** Commits tell it in passing; who has waited for a tick without any is told by itself. */
  private hardened(): void {
    for (const changed of this.watchers) changed()
    if (this.unhardened.size > 0 && !this.alarms.has('durable'))
      this.alarm('durable', this.options.limits.durableTick, () => this.tellDurable())
  }

  private tellDurable(): void {
    if (this.unsent.length > 0) return this.hardened() // the frame that carries them will tell
    const version = this.sequencer?.durableVersion ?? 0
    const waiting = [...this.unhardened]
    // The others are told once they have caught up.
    const abreast = waiting.filter(
      ([member]) => !this.lagging.has(member) && !(this.held.length > 0 && this.onlookers.has(member)),
    )
    for (const [member, upTo] of abreast) if (upTo <= version) this.unhardened.delete(member)
    const outlets = abreast.map(([member]) => member.outlet)
    if (outlets.length > 0) this.send(outlets, { kind: 'durable', handle: this.handle, version })
  }

  private refuse(submission: Submission, no: Refusal): void {
    const member = submission.from as Member
    if (!this.members.has(member)) return
    const { seq } = submission
    this.options.observe({ kind: 'refused', ...this.whose(member), seq, code: no.code, detail: no.detail ?? null })
    this.send([member.outlet], { kind: 'refused', doc: this.id, handle: this.handle, seq, refusal: no })
  }

  private disrupt(reason: string): void {
    this.sendCommits(true)
    for (const member of [...this.members]) this.oust(member, refusal('unknown-position', reason))
  }

  /** Whoever waits for the log waits until all that an emptied store has lost is in it again. */
  private seeRestored(): void {
    if (this.sequencer?.restoring) return
    this.restored?.()
    this.restored = null
    if (!this.owesWord) return
    this.owesWord = false
    this.sayRestored()
  }

  private sayRestored(): void {
    const epoch = this.sequencer?.position.epoch
    if (epoch === undefined) return
    this.options.store.log.restored?.(this.id, epoch).catch(error => {
      this.options.observe({ kind: 'store-failed', doc: this.id, call: 'restored', error })
      this.later('say restored', () => this.sayRestored())
    })
  }

  private reopen(): void {
    this.restored?.() // who waits goes on to wait for this one
    this.restored = null
    this.owesWord = false
    this.ready = new Promise((resolve, reject) => {
      const attempt = () => {
        this.inTime(this.openLog()).then(
          opened => {
            try {
              // What this node holds whole it offers again; of the rest nobody knows here whether it is gone.
              if (opened.replaced && !this.sequencer?.canFill(opened)) throw new Error(replaced)
              this.sequencer?.reopened(opened)
              this.tellOpened(opened)
              this.restored = resolve
              this.owesWord = opened.replaced === true
              this.seeRestored()
            } catch (error) {
              this.options.observe({ kind: 'store-failed', doc: this.id, call: 'open', error })
              this.later('open again', attempt)
            }
          },
          error => {
            this.options.observe({ kind: 'store-failed', doc: this.id, call: 'open', error })
            if (this.closed) reject(error)
            else this.later('open again', attempt)
          },
        )
      }
      attempt()
    })
    // Whoever waits for it hears of a failure; when nobody waits there is nobody to tell.
    this.ready.catch(() => undefined)
  }

  private tellOpened(opened: Opened): void {
    this.options.observe({ kind: 'opened', doc: this.id, version: this.version, replayed: opened.tail.length })
  }

  private checkpoint(): void {
    if (this.sequencer?.checkpointDue) this.sequencer.beginCheckpoint()
  }

  // ---- presence

  /** Asks the board once, however many join; its news tell the rest as long as the document is open. */
  private everybodyListed(): Promise<void> {
    this.listed ??= this.list().catch(error => {
      this.listed = null // the next join asks again
      throw error
    })
    return this.listed
  }

  private async list(): Promise<void> {
    const overheard: PresenceNews[] = []
    this.overheard = overheard
    try {
      const listed = await this.inTime(this.options.store.presence.list(this.id))
      const now = this.options.clock.now()
      for (const appearance of listed) this.people.here(appearance, now)
      this.learn(overheard)
      this.isListed = true
    } finally {
      this.overheard = null
    }
  }

  private hear(news: readonly PresenceNews[]): void {
    if (this.overheard !== null) this.overheard.push(...news)
    else if (this.listed !== null) this.learn(news)
  }

  private learn(news: readonly PresenceNews[]): void {
    const now = this.options.clock.now()
    for (const item of news) item.kind === 'gone' ? this.people.gone(item.peer) : this.people.here(item.appearance, now)
    this.soonTellPresence()
  }

  /** What happens within a tick goes in one frame. The more readers, the longer it is: each frame costs each of them. */
  private soonTellPresence(): void {
    if (this.members.size === 0 || !this.people.restless || this.presenceWaits || this.alarms.has('presence')) return
    this.presenceAlarm()
  }

  private presenceAlarm(): void {
    this.alarm('presence', this.presenceTick, () => {
      if (this.options.together !== undefined && this.alarms.has('frame')) this.presenceWaits = true
      else this.tellPresence()
    })
  }

  /** So many say something of themselves as there are to hear it: of both there is less in a crowd. */
  private get presenceTick(): number {
    return this.options.limits.presenceTick * (1 + Math.floor(this.members.size / 100))
  }

  /** Who does not read as fast as he is sent. */
  private behind(): ReadonlySet<Member> {
    const behind = new Set<Member>()
    for (const member of this.members) if (member.outlet.behind) behind.add(member)
    return behind
  }

  /** Whether news of people leave with a frame: whoever types moves the caret too, and two writes would cost twice as much. */
  private newsGoAlong(now: number): boolean {
    return this.presenceWaits || (this.alarms.has('presence') && now - this.presenceTold >= this.presenceTick)
  }

  /** A client that is behind is passed by, so that frames do not heap up for it; when it has caught up it gets the whole instead. */
  private tellPresence(behind = this.behind()): void {
    const { handle } = this
    this.silence('presence')
    this.presenceWaits = false
    this.presenceTold = this.ticks()
    const news = this.people.news()
    if (news !== null) {
      for (const member of behind) if (this.members.has(member)) this.passedBy.add(member)
      const abreast = this.passedBy.size === 0 ? this.allOutlets() : this.outletsOf(member => !this.passedBy.has(member))
      this.send(abreast, { kind: 'presence', handle, ...news, whole: false })
    }
    if (this.passedBy.size === 0) return
    const back = [...this.passedBy].filter(member => !behind.has(member) && !this.lagging.has(member))
    for (const member of back) this.passedBy.delete(member)
    const changes = this.people.known().map(entry => ({ kind: 'here' as const, ...entry }))
    const outlets = back.map(({ outlet }) => outlet)
    this.send(outlets, { kind: 'presence', handle, people: this.people.count, whole: true, changes })
    if (this.passedBy.size > 0) this.presenceAlarm()
  }

  // ---- time

  /** Tells where this node stands, and looks where the log stands: either may have missed the last frame of all. */
  private beat(): void {
    const { sequencer } = this
    if (sequencer?.open) {
      if (this.suspect) this.check()
      if (!this.alarms.has('read again')) sequencer.pull() // a store that is away is asked by a schedule of its own
      const say = () => {
        this.sendCommits(true) // nobody may be told of a place that he has not been led to
        const { version, chain } = sequencer.position
        const { durableVersion: durable, hash } = sequencer
        const position = { version, chain }
        this.send(this.keepingUp(), { kind: 'beat', handle: this.handle, position, durable, hash })
      }
      const { together } = this.options
      if (together === undefined) say()
      else together(say)
    }
    this.alarm('beat', this.options.limits.beat, () => this.beat())
  }

  /** A client's text is another one than ours: the log knows which is right. At a beat, lest a client have it read all the time. */
  private check(): void {
    this.suspect = false
    this.inTime(this.openLog()).then(
      opened =>
        this.guard('check', () => {
          const { sequencer } = this
          const confirmed = sequencer?.open ? sequencer.confirms(opened) : null
          if (confirmed === null) this.suspect = true
          if (confirmed !== false) return
          this.options.observe({ kind: 'damaged', doc: this.id, where: 'memory', version: this.version, mended: true })
          this.sequencer?.doubt('the document is not what the log says')
        }),
      error => {
        this.suspect = true
        this.options.observe({ kind: 'store-failed', doc: this.id, call: 'check', error })
      },
    )
  }

  private later(name: 'read again' | 'open again' | 'say restored', attempt: () => void): void {
    const ms = Math.min(retry.longest, retry.first * 2 ** this.failures++)
    this.alarm(name, ms, attempt)
  }

  private alarm(name: Alarm, ms: number, call: () => void): void {
    if (this.closed) return
    this.silence(name)
    const cancel = this.options.clock.after(ms, () => {
      this.alarms.delete(name)
      this.guard(name, call)
    })
    this.alarms.set(name, cancel)
  }

  private silence(name: Alarm): void {
    this.alarms.get(name)?.()
    this.alarms.delete(name)
  }

  /** @throws when the store has not answered in time */
  private inTime<T>(work: Promise<T>): Promise<T> {
    return this.deadline.inTime(work)
  }

  // ---- the rest

  /** A mistake in one document must not reach the others: it is told, and the document opens its log anew. */
  private guard(call: string, work: () => void): void {
    if (this.closed) return
    try {
      work()
    } catch (error) {
      this.options.observe({ kind: 'store-failed', doc: this.id, call, error })
      this.sequencer?.doubt(`a mistake in ${call}`)
    }
  }

  private outletsOf(wanted: (member: Member) => boolean): readonly Outlet[] {
    return [...this.members].filter(wanted).map(({ outlet }) => outlet)
  }

  /** All who have been sent every commit so far. */
  private keepingUp(): readonly Outlet[] {
    return this.lagging.size === 0 ? this.allOutlets() : this.outletsOf(member => !this.lagging.has(member))
  }

  private whose({ author, user, outlet }: Member) {
    return { doc: this.id, author, user: user.id, connection: outlet.name }
  }

  private ticks(): number {
    const { clock } = this.options
    return clock.ticks?.() ?? clock.now()
  }

  private get load(): Load {
    return this.options.load?.() ?? idle
  }

  /** Milliseconds that a frame of commits has to be apart from the one before it, as things are now. */
  get interval(): number {
    return this.cadence.interval(this.load, this.options.limits.frameTick)
  }

  private allOutlets(): readonly Outlet[] {
    this.outlets ??= [...this.members].map(member => member.outlet)
    return this.outlets
  }

  private send(outlets: readonly Outlet[], message: ServerMessage): void {
    if (outlets.length > 0) this.options.deliver(outlets, message)
  }

  /** Lets go of everything. Nobody may be here. */
  close(): void {
    this.closed = true
    for (const name of [...this.alarms.keys()]) this.silence(name)
    for (const stop of this.unsubscribe.splice(0)) stop()
  }
}

// The authority of one node: documents open here, and the conversations of the clients connected here.
// Invariant: a client's message touches nothing but its own conversation and, through the log, its document.

import type { AnyDocumentType } from '../ot/type.ts'
import { clientBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import { measure } from '../protocol/fields.ts'
import type { AuthorId, DocId, Epoch, Handle, PeerId, Seq, Version } from '../protocol/ids.ts'
import type { DocumentRequest, Join, Right, Signal, User } from '../protocol/messages.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { take } from './bucket.ts'
import { Canary, limitsFor } from './canary.ts'
import { LiveDocument, type Member } from './document.ts'
import type { CommitPage, Connection, Engine, EngineOptions, OpenDocument, Outlet, Song } from './face.ts'
import { isPrivate } from './ports.ts'
import { andThen, type Soon } from './soon.ts'

export const createEngine = (options: EngineOptions): Engine => new Hub(options)

/** The documents open on this node. Each is opened once, however many ask, and let go when nobody has been there for a while. */
class Hub implements Engine {
  private readonly options: EngineOptions
  private readonly documents = new Map<DocId, Place>()
  private readonly conversations = new Set<Conversation>()
  private lastHandle = 0
  private draining = false

  private diverged = 0
  private readonly canary: Canary

  constructor(options: EngineOptions) {
    const observe: EngineOptions['observe'] = event => {
      if (event.doc !== null && isPrivate(event.doc)) return // no user's doing; how it goes is told by the canary
      if (event.kind === 'diverged') this.diverged++
      options.observe(event)
    }
    this.options = { ...options, observe }
    this.canary = new Canary({ options: this.options, visit: (doc, use) => this.visit(doc, use) })
  }

  connect(who: { readonly author: AuthorId; readonly user: User }, outlet: Outlet): Connection {
    const conversation = new Conversation(this.options, this, who, outlet)
    this.conversations.add(conversation)
    return conversation
  }

  closed(conversation: Conversation): void {
    this.conversations.delete(conversation)
  }

  get counts(): Engine['counts'] {
    const counts = { joined: 0, lagging: 0, waiting: 0, full: 0, paced: 0, interval: 0 }
    let undurableSince: number | null = null
    const users = this.ofUsers
    for (const document of users) {
      counts.joined += document.memberCount
      counts.lagging += document.laggards
      counts.waiting += document.pending
      counts.interval = Math.max(counts.interval, document.interval)
      if (document.crowd.full) counts.full++
      if (document.crowd.pace > 0) counts.paced++
      const since = document.undurableSince
      if (since !== null && (undurableSince === null || since < undurableSince)) undurableSince = since
    }
    const { diverged } = this
    return { documents: users.length, connections: this.conversations.size, ...counts, diverged, undurableSince }
  }

  private get ofUsers(): readonly LiveDocument[] {
    return [...this.documents.values()].flatMap(({ document }) => (isPrivate(document.id) ? [] : [document]))
  }

  tryOut(): Promise<Song> {
    return this.canary.sing()
  }

  get accepting(): boolean {
    return !this.draining
  }

  async read(doc: DocId): ReturnType<Engine['read']> {
    return this.visit(doc, document =>
      document.whenCurrent(({ type, epoch, head: version, snapshot }) => {
        if (type === null || version === 0) return null
        return { epoch, version, value: type.snapshotToJson(snapshot), type: type.name }
      }),
    )
  }

  async commits(doc: DocId, after: Version, limit: number): Promise<CommitPage | Refusal> {
    return this.visit(doc, document =>
      document.whenCurrent(sequencer => {
        const { epoch, head: version, type, horizon } = sequencer
        const start = after < 0 ? Math.max(horizon, version + after) : after
        if (start < horizon) return refusal('history-gone', `version ${start} is below the horizon ${horizon}`)
        const commits = sequencer.since(start).slice(0, limit)
        return { epoch, version, commits: commits.map(({ chain, op, ...rest }) => ({ ...rest, op: type!.opToJson(op) })) }
      }),
    )
  }

  async people(doc: DocId, limit: number): ReturnType<Engine['people']> {
    return this.visit(doc, document => document.everybody(limit))
  }

  busiest(limit: number): readonly OpenDocument[] {
    const all = this.ofUsers.map(document => document.seen)
    return all.sort((a, b) => b.deliveriesPerSecond - a.deliveriesPerSecond || b.members - a.members).slice(0, limit)
  }

  /** The document, opened if it is not; it stays as long as `use` runs, and a while longer. */
  visit<T>(doc: DocId, use: (document: LiveDocument) => Soon<T>): Soon<T> {
    const place = this.documents.get(doc) ?? this.open(doc)
    place.visitors++
    place.evict?.()
    place.evict = null
    let answer: Soon<T> | null = null
    try {
      answer = place.isOpen ? use(place.document) : this.whenOpen(place, use)
      return answer instanceof Promise ? answer.finally(() => this.visited(place)) : answer
    } finally {
      if (!(answer instanceof Promise)) this.visited(place)
    }
  }

  private open(doc: DocId): Place {
    const options = { ...this.options, limits: limitsFor(doc, this.options.limits) }
    const document = new LiveDocument(doc, ++this.lastHandle as Handle, options)
    const place = { document, opened: document.open(), isOpen: false, visitors: 0, evict: null }
    this.documents.set(doc, place)
    return place
  }

  private async whenOpen<T>(place: Place, use: (document: LiveDocument) => Soon<T>): Promise<T> {
    const { document, opened } = place
    try {
      await opened
    } catch (error) {
      // What could not be opened is not kept: the next one tries anew.
      if (this.documents.get(document.id) === place) {
        this.documents.delete(document.id)
        document.close()
      }
      throw error
    }
    place.isOpen = true
    return use(document)
  }

  private visited(place: Place): void {
    place.visitors--
    this.consider(place)
  }

  /** Called when somebody has left: a document that nobody needs goes after a while. */
  left(document: LiveDocument): void {
    const place = this.documents.get(document.id)
    if (place?.document === document) this.consider(place)
  }

  private consider(place: Place, again = false): void {
    if (place.visitors > 0 || place.document.memberCount > 0 || place.evict !== null) return
    if (this.documents.get(place.document.id) !== place) return
    // A document that nobody has written to costs nothing to open again, and anybody can name any number of them.
    const idle = place.document.version === 0 && !again ? 0 : this.options.limits.idleDocument
    place.evict = this.options.clock.after(idle, () => {
      place.evict = null
      if (place.visitors > 0 || place.document.memberCount > 0) return
      if (!place.document.idle) return this.consider(place, true)
      this.evict(place)
    })
  }

  private evict(place: Place): void {
    const { document } = place
    this.documents.delete(document.id)
    this.options.observe({ kind: 'evicted', doc: document.id, version: document.version })
    document.close()
  }

  async close(): Promise<void> {
    this.draining = true
    const { clock, limits } = this.options
    for (const conversation of [...this.conversations]) conversation.finish()
    // What was accepted is finished; a store that does not answer is waited for only so long.
    const deadline = clock.now() + limits.storeTimeout
    const users = this.ofUsers
    while (users.some(document => !document.quiet) && clock.now() < deadline) {
      await new Promise<void>(resolve => clock.after(5, resolve))
    }
    for (const conversation of [...this.conversations]) conversation.close()
    for (const place of this.documents.values()) {
      place.evict?.()
      place.document.close()
    }
    this.documents.clear()
  }
}

interface Place {
  readonly document: LiveDocument
  readonly opened: Promise<void>
  /** Whether that has come true. */
  isOpen: boolean
  visitors: number
  evict: (() => void) | null
}

/** Bytes of a signal for which one is counted: the longer it is, the more it costs everybody. */
const signalUnit = 1_024

/** A client in a document, from the join message until the leave. There are as many as connections: one object each, and no closures. */
class Stay implements Member {
  readonly doc: DocId
  private readonly conversation: Conversation
  /** What the client may do there as far as is known; null: it is not known. */
  right: Right | null = null
  /** Counts the reasons to ask for the right; an answer to an earlier one may be out of date. */
  asked = 0
  asking = false
  peer = '' as PeerId
  epoch = '' as Epoch
  /** Null until the client is in. */
  document: LiveDocument | null = null
  private target: LiveDocument | null = null

  constructor(doc: DocId, conversation: Conversation) {
    this.doc = doc
    this.conversation = conversation
  }

  /** The document that it is about to join, and as whom others will see it. */
  enters(document: LiveDocument, peer: PeerId): void {
    this.target = document
    this.peer = peer
  }

  /** It could not join, however far it has come. */
  isOut(): void {
    this.target?.leave(this)
  }

  get outlet(): Outlet {
    return this.conversation.outlet
  }

  get author(): AuthorId {
    return this.conversation.author
  }

  get user(): User {
    return this.conversation.user
  }

  get gone(): boolean {
    return this.conversation.over
  }

  admitted(epoch: Epoch): void {
    this.epoch = epoch
    this.document = this.target
  }

  ousted(why: Refusal): void {
    this.conversation.ousted(this, why)
  }
}

const nowhere: readonly Stay[] = []
/** Nowhere, and for good. */
const gone: readonly Stay[] = []

/** One client's conversation: which documents it has joined, and under which handles. */
class Conversation implements Connection {
  private readonly options: EngineOptions
  private readonly hub: Hub
  readonly author: AuthorId
  user: User
  readonly outlet: Outlet
  /** Documents asked for: from the join message until the leave. Mostly one, so a Map would cost more than it saves. */
  private stays = nowhere
  /** When this client may again signal as much at once as anybody may. */
  private signalsFullAt = 0
  /** Set when the node is about to stop: nothing new is accepted. */
  private finishing = false

  constructor(options: EngineOptions, hub: Hub, who: { readonly author: AuthorId; readonly user: User }, outlet: Outlet) {
    this.options = options
    this.hub = hub
    this.author = who.author
    this.user = who.user
    this.outlet = outlet
  }

  /** No field of its own: the first one that ends would change it, and V8 compile anew all that had counted on it. */
  get over(): boolean {
    return this.stays === gone
  }

  receive(message: DocumentRequest): void {
    if (this.over) return
    switch (message.kind) {
      case 'join':
        return this.join(message)
      case 'leave':
        return this.leave(message.handle)
      case 'submit': {
        const stay = this.stayAt(message.handle)
        const no = this.finishing
          ? refusal('draining')
          : stay === undefined
            ? refusal('not-joined', `handle ${message.handle}`)
            : stay.document!.submit(stay, message)
        if (no !== null) this.refuse(stay?.doc ?? null, message.handle, message.seq, no)
        return
      }
      case 'present': {
        const stay = this.stayAt(message.handle)
        if (stay === undefined) this.refuse(null, message.handle, null, refusal('not-joined', `handle ${message.handle}`))
        else stay.document!.present(stay, message)
        return
      }
      case 'signal': {
        const stay = this.stayAt(message.handle)
        const no = stay === undefined ? refusal('not-joined', `handle ${message.handle}`) : this.tooMuch(message)
        if (no !== null) this.refuse(stay?.doc ?? null, message.handle, null, no)
        else stay?.document?.signal(stay, message)
        return
      }
      default:
        unreachable(message)
    }
  }

  /** Counted over all documents, so that leaving and joining again gains nothing. */
  private tooMuch({ payload }: Signal): Refusal | null {
    const { signalsPerSecond: limit } = this.options.limits
    const now = this.options.clock.now()
    const cost = Math.ceil(measure(payload, clientBounds, 'the payload') / signalUnit)
    const [fullAt, wait] = take(this.signalsFullAt, limit, cost, now)
    this.signalsFullAt = fullAt
    return wait === 0 ? null : refusal('slow-down', `more than ${limit} signals a second`, wait)
  }

  private join(message: Join): void {
    const { doc } = message
    const { limits, types } = this.options
    const no = (why: Refusal) => this.refuse(doc, null, null, why)
    if (this.stayIn(doc) !== undefined) return no(refusal('already-joined', doc))
    if (this.finishing || !this.hub.accepting) return no(refusal('draining'))
    const { length } = this.stays
    if (length >= limits.documentsPerConnection)
      return no(refusal('too-many-documents', `${length}; the limit is ${limits.documentsPerConnection}`))
    const type = types.find(candidate => candidate.name === message.type)
    if (type === undefined) return no(refusal('unknown-type', message.type))
    const stay = new Stay(doc, this)
    this.stays = length === 0 ? [stay] : this.stays.concat(stay) // not by push, which makes room for sixteen more
    // Its failures are answers to the client; what is left over is a mistake of ours.
    const failed = (error: unknown): void => {
      stay.isOut()
      if (this.over) return
      this.forget(stay)
      this.options.observe({ kind: 'store-failed', doc, call: 'join', error })
      no(refusal('unavailable'))
    }
    const answered = (why: Refusal | null): void => {
      if (why === null || this.over) return
      this.forget(stay)
      no(why)
    }
    try {
      const answer = andThen(this.ask(stay), () => this.visit(stay, message, type))
      if (answer instanceof Promise) void answer.then(answered).catch(failed)
      else answered(answer)
    } catch (error) {
      failed(error)
    }
  }

  /** Goes to the document with the right that it has. @throws what went wrong, however far the client has come */
  private visit(stay: Stay, message: Join, type: AnyDocumentType): Soon<Refusal | null> {
    if (this.over) return null
    if (stay.right === 'none') return refusal('forbidden', 'reading')
    return this.hub.visit(stay.doc, document => {
      if (this.over) return null
      stay.enters(document, this.options.randomId() as PeerId)
      return document.join(stay, message, type)
    })
  }

  private stayIn(doc: DocId): Stay | undefined {
    return this.stays.find(stay => stay.doc === doc)
  }

  private stayAt(handle: Handle): Stay | undefined {
    for (const stay of this.stays) if (stay.document?.handle === handle) return stay
    return undefined
  }

  private forget(left: Stay): void {
    if (!this.over) this.stays = this.stays.filter(stay => stay !== left)
  }

  /** The document has put the client out. */
  ousted(stay: Stay, why: Refusal): void {
    const document = stay.document!
    this.forget(stay)
    this.hub.left(document)
    if (this.outlet.open) this.options.deliver([this.outlet], { kind: 'left', handle: document.handle, refusal: why })
  }

  get documents(): Connection['documents'] {
    return this.stays.flatMap(({ doc, right, document }) => (document === null ? [] : [{ id: doc, right }]))
  }

  private leave(handle: Handle): void {
    const stay = this.stayAt(handle)
    if (stay === undefined) return this.refuse(null, handle, null, refusal('not-joined', `handle ${handle}`))
    const document = stay.document!
    this.forget(stay)
    document.leave(stay)
    this.hub.left(document)
  }

  private refuse(doc: DocId | null, handle: Handle | null, seq: Seq | null, why: Refusal): void {
    const who = { author: this.author, user: this.user.id, connection: this.outlet.name }
    this.options.observe({ kind: 'refused', doc, ...who, seq, code: why.code, detail: why.detail ?? null })
    if (this.outlet.open) this.options.deliver([this.outlet], { kind: 'refused', doc, handle, seq, refusal: why })
  }

  recheck(doc: DocId | null): void {
    for (const stay of this.stays) {
      if (doc !== null && stay.doc !== doc) continue
      stay.asked++
      if (stay.asking) continue // it will see that it has to ask once more
      const failed = (error: unknown): void => {
        this.options.observe({ kind: 'store-failed', doc: stay.doc, call: 'authorize', error })
        this.grant(stay, null)
      }
      try {
        const asking = this.ask(stay)
        if (asking instanceof Promise) asking.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }

  renew(user: User): void {
    this.user = user
    this.recheck(null)
  }

  /**
   * Finds out what the client may do. One question at a time, so that no answer overtakes a later one; each is heeded at once, and
   * the next asked if there has been reason meanwhile.
   */
  private ask(stay: Stay): Soon<void> {
    const { asked } = stay
    const right = this.options.authorize(this.user, stay.doc, this.outlet)
    return right instanceof Promise ? this.askUntil(stay, asked, right) : this.grant(stay, right)
  }

  private async askUntil(stay: Stay, before: number, answer: Soon<Right>): Promise<void> {
    stay.asking = true
    try {
      for (let [asked, right] = [before, answer]; ; ) {
        this.grant(stay, await right)
        if (asked === stay.asked || this.over) return
        asked = stay.asked
        right = this.options.authorize(this.user, stay.doc, this.outlet)
      }
    } finally {
      stay.asking = false
    }
  }

  private grant(stay: Stay, right: Right | null): void {
    if (stay.right === right || this.over) return
    stay.right = right
    stay.document?.regrade(stay)
  }

  finish(): void {
    this.finishing = true
  }

  close(): void {
    if (this.over) return
    const { stays } = this
    this.stays = gone
    for (const stay of stays) {
      const { document } = stay
      if (document === null) continue
      document.leave(stay)
      this.hub.left(document)
    }
    this.hub.closed(this)
  }
}

// One client of one server: a line, and the documents that share it.
// Invariant: what the line says reaches every open document in the order in which it was said.

import type { TextOp } from '../ot/op.ts'
import type { Text } from '../ot/rope.ts'
import { textType } from '../ot/text.ts'
import type { DocumentType } from '../ot/type.ts'
import { joinsAhead, serverBounds } from '../protocol/bounds.ts'
import { letters } from '../protocol/bytes.ts'
import { refusal } from '../protocol/errors.ts'
import { docId, keyOf } from '../protocol/fields.ts'
import type { AuthorId, ClientKey, DocId, Seq } from '../protocol/ids.ts'
import type { Hello, Joined, ServerMessage, User } from '../protocol/messages.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { protocolVersions } from '../protocol/version.ts'
import { type Clock, inTime, systemClock } from './clock.ts'
import { type Document, type DocumentEnd, type DocumentPort, LiveDocument, type TextDocument } from './document.ts'
import { type DraftJson, type DraftNote, Drafts, dropDraft, errorOf } from './drafts.ts'
import { Emitter } from './emitter.ts'
import { runErrands } from './errands.ts'
import { closedHere, InkwellError, parsed, storageDamaged, storageFailed, unreachableNow } from './errors.ts'
import { lastingLine } from './line.ts'
import { type Opened, type Pen, type Tell, takePen } from './pen.ts'
import { Renewal } from './renewal.ts'
import { socketIo } from './socketio.ts'
import type { ClientStorage, OpenStorage } from './storage.ts'
import { type Surroundings, surroundings as usual } from './surroundings.ts'
import type { Line, LineEvent, Transport } from './transport.ts'

/** `connecting`: no line has been up yet. `offline`: the line broke and is being made anew, or is paused. `closed`: for good. */
export type ClientStatus = 'connecting' | 'online' | 'offline' | 'closed'

export interface ClientEvents {
  status: ClientStatus
  /** The list of drafts has changed. */
  drafts: readonly DraftNote[]
  /**
   * A refusal that concerns no one document, or the reason why the line is closed for good. `unreachable`, once in an outage: there has
   * been no line for ten seconds, though it is wanted; `detail` says why, and it is tried further. `storage-failed`: nothing is kept
   * on this device, and all the rest goes on; `storage-damaged`: something that was kept cannot be read.
   */
  error: InkwellError
}

export interface ConnectOptions {
  /**
   * Asked for a token at every attempt to connect, and again before the token of an open line ends, whose user must be the same. Without it the
   * client is a guest, where the server lets guests in.
   */
  readonly token?: () => string | Promise<string>
  /** This client's secret, 22 characters of base64url. Whoever gives the same one again is the same author. Default: a new one. */
  readonly key?: string
  /**
   * Where documents, edits and drafts are kept, so that they outlive the page or process: `browserStorage()`, or `fileStorage(…)` of
   * `inkwell/client/node`. The key is then kept there as well. Default: nothing is kept.
   */
  readonly storage?: OpenStorage
  /** Default: WebSocket alone. `polling` is for networks that break WebSockets, and the server must offer it. */
  readonly transports?: readonly ('websocket' | 'polling')[]
  /** Path of the server's Socket.IO endpoint. Default `/socket.io/`. */
  readonly path?: string
  /** A line of another kind in the place of Socket.IO's. It says hello, with what it is given for that. */
  readonly transport?: Transport
  readonly clock?: Clock
  /** From 0 up to, not including, 1: spreads the attempts of many clients. */
  readonly random?: () => number
  /** What wakes the line. Default: in a browser its events `online`, `visibilitychange`, `pageshow`, `resume`; everywhere, sleep. */
  readonly surroundings?: Surroundings
}

export interface Client {
  readonly status: ClientStatus
  /** Who the server takes this client for; null until the first welcome. */
  readonly user: User | null
  /** Edits that came back, of all documents, with a storage also those of before; `restore` is a matter of the open document. */
  readonly drafts: readonly DraftNote[]
  /**
   * Opens a document; resolves with the answer of the server. The same id gives the same document until that is closed.
   *
   * While there is no line, a document that was kept opens as it was, `offline`, and so it does when the server takes longer than a
   * second; any other waits for a line. Rejects with an InkwellError when the server refuses or the client is closed.
   */
  open(id: string): Promise<TextDocument>
  open<S, O>(id: string, options: { readonly type: DocumentType<S, O> }): Promise<Document<S, O>>
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void
  /** Cuts the line until `resume`; documents stay open and can be edited. */
  pause(): void
  resume(): void
  /** Closes every document as its own `close` does, then the line, and lets go of the storage. */
  close(): Promise<void>
}

/** @throws {InkwellError} when the key is none. @throws {TypeError} when there are both a key and a storage, which has one */
export const connect = (url: string, options: ConnectOptions = {}): Client => new LiveClient(url, options)

/** Milliseconds without a line after which the application is told: the hiccup of a restart is not worth a word. */
const unreachableAfter = 10_000

/** Milliseconds for opening the storage, with the two seconds that a pen may be waited for. Without it the client would never say hello. */
const storageWithin = 7_000

/**
 * Milliseconds after which, while there is a line, it is looked again for what pages have left that ended meanwhile; half of it more or
 * less by chance, so that the tabs of one browser do not look all at once.
 */
const errandsPause = 20_000

/** Milliseconds in which what nobody here has open must be safe; else it is left to the next errands, and keeps no other waiting. */
const sendWithin = 60_000

/** Documents with unsent edits that are opened at once without having been asked for: well below what a server lets a connection join (64). */
const sentAtOnce = 16

const noAttempt = 'no attempt has ended'

/** A pen and the storage that it lies in. */
interface Home {
  readonly storage: ClientStorage
  readonly pen: Pen
}

class LiveClient implements Client {
  status: ClientStatus = 'connecting'
  user: User | null = null

  private readonly clock: Clock
  private readonly random: () => number
  private readonly events = new Emitter<ClientEvents>()
  private readonly documents = new Map<DocId, LiveDocument<unknown, unknown>>()
  /** Those that the last hello has asked for: what it said is not said again. */
  private readonly asked = new Set<DocId>()
  /** Those on their way out of the storage. Before that is open, the pen is chosen by them. */
  private readonly starting = new Map<DocId, Promise<LiveDocument<unknown, unknown>>>()
  /** Those that nobody has asked for: they are open until what they hold is safe. */
  private readonly unasked = new Set<DocId>()
  private readonly types = new Map<string, DocumentType<unknown, unknown>>([
    [textType.name, textType as DocumentType<unknown, unknown>],
  ])
  private readonly book: Drafts
  /** Null: nothing is kept. It resolves with null where nothing can be. */
  private readonly home: Promise<Home | null> | null
  private readonly isStandIn: boolean
  private readonly standIn: (pen: Pen, storage: ClientStorage) => LiveClient
  private errands: Promise<void> | null = null
  /** Documents that closed because the user may no longer read them. */
  private readonly forbidden = new Set<DocId>()
  private stopErrandsPause = (): void => {}
  /** Boxes that could not be brought home, of which the application has been told. */
  private readonly failedBoxes = new Set<string>()
  private helper: LiveClient | null = null
  private readonly stopLeaving: () => void
  /** No edit of a document closed has a higher number: what is opened anew must not give its edits numbers that others may have yet (R12). */
  private last: Seq = 0
  private readonly line: Line
  private readonly renewal: Renewal | null
  /** Null while there is no line. */
  private author: AuthorId | null = null
  private limits: ReturnType<DocumentPort['limits']> = serverBounds
  private closing: Promise<void> | null = null
  private endedBy: InkwellError | null = null
  /** There is no line, and the last attempt has failed. */
  private away = false
  /** Why the last attempt failed. */
  private reason = ''
  private stopOutage: (() => void) | null = null

  /** With `home`: a stand-in, which sends what that pen has left and does nothing else. */
  constructor(url: string, options: ConnectOptions, home: Home | null = null) {
    const { token, transports = ['websocket'], path = '/socket.io/', clock = systemClock, random = Math.random } = options
    const { surroundings = usual } = options
    this.clock = clock
    this.random = random
    if (options.key !== undefined && options.storage !== undefined) throw new TypeError('give a key or a storage: that has one')
    const key = options.key === undefined ? newKey() : parsed(() => keyOf(options.key))
    this.book = new Drafts(document => {
      this.documents.get(document as DocId)?.draftsChanged()
      this.events.emit('drafts', this.drafts)
    })
    this.home =
      home !== null ? Promise.resolve(home) : options.storage === undefined ? null : this.settleIn(url, options.storage, key)
    this.isStandIn = home !== null
    this.standIn = (pen, storage) => {
      const { storage: _, ...rest } = options
      return new LiveClient(url, rest, { storage, pen })
    }
    this.stopLeaving = surroundings.onLeave(() => {
      for (const document of this.all) document.flush()
    })
    const hello = async (): Promise<Hello> => ({
      protocol: [protocolVersions.min, protocolVersions.max],
      key: (await this.home)?.pen.key ?? key,
      ...(token === undefined ? {} : { token: await token() }),
    })
    const joins = () => {
      this.asked.clear()
      const open = this.author === null ? this.all.slice(0, joinsAhead) : [] // beside a line they go on there
      return open.map(({ id: doc, type, session }) => {
        this.asked.add(doc)
        return { doc, type: type.name, position: session.position }
      })
    }
    const dial = socketIo({ url, hello, joins, transports, path, random })
    const transport = options.transport ?? lastingLine({ dial, renewable: token !== undefined, clock, random, surroundings })
    this.outage(noAttempt)
    this.renewal =
      token === undefined
        ? null
        : new Renewal({ clock, random, token, send: fresh => this.line.send({ kind: 'authenticate', token: fresh }) })
    this.line = transport(event => this.hear(event), hello)
  }

  open(id: string): Promise<TextDocument>
  open<S, O>(id: string, options: { readonly type: DocumentType<S, O> }): Promise<Document<S, O>>
  async open(id: string, options?: { readonly type: DocumentType<unknown, unknown> }): Promise<unknown> {
    return this.document(
      parsed(() => docId(id)),
      options?.type ?? (textType as DocumentType<Text, TextOp>),
    )
  }

  private async document<S, O>(id: DocId, type: DocumentType<S, O>): Promise<Document<S, O>> {
    if (this.closing !== null || this.status === 'closed') throw this.endedBy ?? closedHere('client')
    this.unasked.delete(id)
    const there = this.documents.get(id)
    if (there?.isClosing) {
      await there.close()
      return this.document(id, type)
    }
    const document = (there ?? (await this.start(id, type as DocumentType<unknown, unknown>))) as LiveDocument<S, O>
    if (document.type.name !== type.name) {
      throw new InkwellError(refusal('type-mismatch', `it is open here as ${document.type.name}, not ${type.name}`))
    }
    await document.opened // types of one name are one type
    return document
  }

  private start(id: DocId, type: DocumentType<unknown, unknown>): Promise<LiveDocument<unknown, unknown>> {
    this.types.set(type.name, type)
    let started = this.starting.get(id)
    if (started === undefined) {
      started = this.begin(id, type).finally(() => this.starting.delete(id))
      this.starting.set(id, started)
    }
    return started
  }

  private async begin(id: DocId, type: DocumentType<unknown, unknown>): Promise<LiveDocument<unknown, unknown>> {
    const pen = (this.home && (await this.home))?.pen ?? null
    const known = pen?.seqOf(id)
    let opened: Opened<unknown, unknown> | null = null
    try {
      opened = pen && (await pen.open(type, id))
    } catch (error) {
      this.events.emit('error', storageFailed(error))
    }
    if (this.closing !== null || this.status === 'closed') throw this.endedBy ?? closedHere('client')
    const seq = Math.max(known ?? this.last, opened?.seq ?? 0)
    const port: DocumentPort = {
      clock: this.clock,
      random: this.random,
      limits: () => this.limits,
      send: message => {
        if (message.kind !== 'join' || !this.asked.delete(id)) this.line.send(message)
      },
      closed: (last, end) => this.closed(id, last, end, pen),
      drafts: this.book,
      draftId: newKey,
      write: pen && (changes => pen.write(changes)),
    }
    const document = new LiveDocument(id, type, port, { restored: opened?.restored ?? null, place: opened?.place ?? null, seq })
    this.documents.set(id, document)
    if (this.author !== null) document.up(this.author)
    else if (this.away) document.offline()
    return document
  }

  private closed(id: DocId, last: Seq, end: DocumentEnd, pen: Pen | null): void {
    this.documents.delete(id)
    this.last = Math.max(this.last, last)
    const gone = end === 'forbidden'
    const done = pen?.closed(id, last, end === 'unsent', gone ? this.book.of(id) : null)
    done?.catch(error => this.events.emit('error', storageFailed(error)))
    this.forbidden.delete(id)
    if (!gone) return
    this.forbidden.add(id)
    if (!this.isStandIn && this.author !== null) this.goOnErrands()
  }

  get drafts(): readonly DraftNote[] {
    return this.book.all.map(json => {
      const { id, document, cause, text } = json
      return { id, document, cause, error: errorOf(json), text, discard: () => this.discard(json), toJSON: () => json }
    })
  }

  private discard(json: DraftJson): void {
    const open = this.documents.get(json.document as DocId)
    if (open !== undefined) return open.drop(json)
    this.book.delete(json.id, json.document)
    const written = this.home?.then(home => home?.pen.write(dropDraft(json)))
    written?.catch(error => this.events.emit('error', storageFailed(error)))
  }

  // ---- what is kept

  private async settleIn(url: string, open: OpenStorage, key: ClientKey): Promise<Home | null> {
    const moving = this.moveIn(url, open, key)
    try {
      const home = await inTime(this.clock, storageWithin, moving, 'opening the storage')
      this.book.add(home.pen.drafts)
      return home
    } catch (error) {
      this.events.emit('error', storageFailed(error))
      moving.then(moveOut).catch(() => {}) // too late: another key is in use; whoever waited for it has been told
      return null
    }
  }

  private async moveIn(url: string, open: OpenStorage, key: ClientKey): Promise<Home> {
    const storage = await open(url)
    return { storage, pen: await takePen(storage, () => [...this.starting.keys()], { key, box: newKey() }, this.tell) }
  }

  private readonly tell: Tell = (what, error) => this.events.emit('error', storageDamaged(what, error))

  /** There is a line: what is kept and belongs to nobody here is sent, and looked for again as long as there is one. */
  private async runErrands(): Promise<void> {
    this.stopErrandsPause()
    const home = this.home && (await this.home)
    const calledOff = () => this.closing !== null || this.author === null
    try {
      if (home === null || calledOff()) return
      const { storage, pen: own } = home
      await this.sendUnsent(own)
      await runErrands({
        storage,
        own,
        types: this.types,
        tell: this.tell,
        failed: this.boxFailed,
        send: pen => this.sendFor(pen, storage),
        forbidden: this.forbidden,
        found: drafts => this.book.add(drafts),
        calledOff,
      })
    } catch (error) {
      this.boxFailed('', error)
    } finally {
      this.errands = null
      if (home !== null && !calledOff()) {
        this.stopErrandsPause = this.clock.after(errandsPause * (0.5 + this.random()), this.goOnErrands)
      }
    }
  }

  private readonly goOnErrands = (): void => {
    this.errands ??= this.runErrands()
  }

  /** It is tried again and again, and told of once. */
  private readonly boxFailed = (box: string, error: unknown): void => {
    if (!this.failedBoxes.has(box)) this.events.emit('error', storageFailed(error))
    this.failedBoxes.add(box)
  }

  /** Sends what another pen has left, on a line of its own, under that pen's key. */
  private async sendFor(pen: Pen, storage: ClientStorage): Promise<readonly DraftJson[]> {
    if (!pen.unsent.some(([, type]) => this.types.has(type)) || this.closing !== null) return []
    this.helper = this.standIn(pen, storage)
    for (const type of this.types.values()) this.helper.types.set(type.name, type)
    this.helper.on('error', error => {
      if (error.code === 'storage-failed' || error.code === 'storage-damaged') this.events.emit('error', error)
    })
    await this.helper.sendUnsent(pen)
    await this.helper.close()
    const { all } = this.helper.book
    this.helper = null
    return all
  }

  /** Opens every document of this pen with edits that may not be safe, and closes it when they are, unless it has been asked for. */
  private async sendUnsent(pen: Pen): Promise<void> {
    const send = async (doc: DocId, type: DocumentType<unknown, unknown>) => {
      this.unasked.add(doc)
      try {
        await inTime(this.clock, sendWithin, (await this.start(doc, type)).settled(), 'sending')
      } catch {
        // Handed back as a draft, or the client is closed: the writer has been told, or what is unsent waits on. So it does after a minute.
      }
      if (this.unasked.delete(doc)) await this.documents.get(doc)?.close()
    }
    const waiting = pen.unsent.values() // one list, from which each takes the next
    const inTurn = async () => {
      for (const [doc, name] of waiting) {
        if (this.closing !== null) return
        const type = this.types.get(name)
        if (type !== undefined && !this.documents.has(doc) && !this.starting.has(doc)) await send(doc, type)
      }
    }
    await Promise.all(Array.from({ length: sentAtOnce }, inTurn))
  }

  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void {
    return this.events.on(name, listener)
  }

  pause(): void {
    this.line.pause()
    this.outageOver()
  }

  resume(): void {
    this.line.resume()
    this.away = false
    if (this.author === null) this.outage(noAttempt)
  }

  close(): Promise<void> {
    this.closing ??= this.leave()
    return this.closing
  }

  private async leave(): Promise<void> {
    await Promise.all([...this.starting.values()].map(started => started.catch(() => {}))) // whoever asked for it is told
    await Promise.all([...this.documents.values()].map(document => document.close()))
    this.renewal?.down()
    await this.helper?.close()
    await this.errands
    this.stopErrandsPause()
    this.line.close()
    this.outageOver()
    this.stopLeaving()
    const home = this.home && (await this.home)
    if (home !== null && !this.isStandIn) await moveOut(home).catch(error => this.events.emit('error', storageFailed(error)))
    this.become('closed')
  }

  /** There is no line, and one is wanted. An outage is told of once. */
  private outage(reason: string): void {
    this.reason = reason
    if (this.stopOutage !== null || this.status === 'closed') return
    this.stopOutage = this.clock.after(unreachableAfter, () => {
      this.events.emit('error', unreachableNow(this.reason))
    })
  }

  private outageOver(): void {
    this.stopOutage?.()
    this.stopOutage = null
  }

  private hear(event: LineEvent): void {
    switch (event.kind) {
      case 'up':
        this.author = event.welcome.author
        this.user = event.welcome.user
        this.limits = event.welcome.limits
        this.away = false
        this.outageOver()
        this.renewal?.up(event.welcome.expiresIn)
        this.become('online')
        for (const document of this.all) document.up(event.welcome.author)
        if (!this.isStandIn) this.goOnErrands()
        return
      case 'message':
        return this.receive(event.message)
      case 'down': {
        const wasUp = this.author !== null
        this.author = null
        this.stopErrandsPause()
        this.renewal?.down()
        this.away = true
        const error = event.refusal === null ? null : new InkwellError(event.refusal)
        for (const document of this.all) {
          if (wasUp) document.down()
          else document.offline()
        }
        if (event.final) {
          this.endedBy = error
          this.outageOver()
        } else this.outage(event.reason)
        this.become(event.final ? 'closed' : this.status === 'connecting' ? 'connecting' : 'offline')
        if (error !== null) this.events.emit('error', error)
        if (event.final) for (const document of this.all) document.fail(error ?? closedHere('client'))
        return
      }
      default:
        unreachable(event)
    }
  }

  private receive(message: ServerMessage): void {
    if (message.kind === 'authenticated') {
      this.user = message.user
      this.renewal?.renewed(message.expiresIn)
      return
    }
    if (message.kind === 'refused' && message.doc === null && message.handle === null) {
      if (message.refusal.advice === 'reauthenticate') this.renewal?.refused()
      this.events.emit('error', new InkwellError(message.refusal))
      return
    }
    // It has been closed since the hello.
    if (this.asked.delete((message as Joined).doc) && message.kind === 'joined')
      this.line.send({ kind: 'leave', handle: message.handle })
    for (const document of this.all) document.receive(message) // a session passes by what is not for it
  }

  /** Those open now: listeners may open and close others meanwhile. */
  private get all(): LiveDocument<unknown, unknown>[] {
    return [...this.documents.values()]
  }

  private become(status: ClientStatus): void {
    if (this.status === status || this.status === 'closed') return
    this.status = status
    this.events.emit('status', status)
  }
}

const moveOut = async ({ storage, pen }: Home): Promise<void> => {
  await pen.letGo(await pen.isEmpty())
  await storage.close()
}

/** 132 bits of chance. */
const newKey = (): ClientKey => {
  const bytes = crypto.getRandomValues(new Uint8Array(22))
  return Array.from(bytes, byte => letters[byte & 63]).join('') as ClientKey
}

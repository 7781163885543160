// One client of one server: a line, and the documents that share it.
// Invariant: what the line says reaches every open document in the order in which it was said.

import type { TextOp } from '../ot/op.ts'
import type { Text } from '../ot/rope.ts'
import { textType } from '../ot/text.ts'
import type { DocumentType } from '../ot/type.ts'
import { refusal } from '../protocol/errors.ts'
import { docId, keyOf } from '../protocol/fields.ts'
import type { AuthorId, ClientKey, DocId, Seq } from '../protocol/ids.ts'
import type { ClientLimits, Hello, ServerMessage, User } from '../protocol/messages.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { protocolVersions } from '../protocol/version.ts'
import { type Clock, systemClock } from './clock.ts'
import { type Document, LiveDocument, type TextDocument } from './document.ts'
import { Emitter } from './emitter.ts'
import { closedHere, InkwellError, parsed, unreachableNow } from './errors.ts'
import { lastingLine } from './line.ts'
import { Renewal } from './renewal.ts'
import { socketIo } from './socketio.ts'
import { type Surroundings, surroundings as usual } from './surroundings.ts'
import type { Line, LineEvent, Transport } from './transport.ts'

/** `connecting`: no line has been up yet. `offline`: the line broke and is being made anew, or is paused. `closed`: for good. */
export type ClientStatus = 'connecting' | 'online' | 'offline' | 'closed'

export interface ClientEvents {
  status: ClientStatus
  /**
   * A refusal that concerns no one document, or the reason why the line is closed for good. `unreachable`, once in an outage: there has
   * been no line for ten seconds, though it is wanted; `detail` says why, and it is tried further.
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
  /** Default: WebSocket alone. `polling` is for networks that break WebSockets, and the server must offer it. */
  readonly transports?: readonly ('websocket' | 'polling')[]
  /** Path of the server's Socket.IO endpoint. Default `/socket.io/`. */
  readonly path?: string
  /** A line of another kind in the place of Socket.IO's. It is then that line's business to say hello. */
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
  /**
   * Opens a document; resolves with the answer of the server. The same id gives the same document until that is closed.
   *
   * Rejects with an InkwellError when the server refuses or the client is closed; while there is no line it waits.
   */
  open(id: string): Promise<TextDocument>
  open<S, O>(id: string, options: { readonly type: DocumentType<S, O> }): Promise<Document<S, O>>
  on<Name extends keyof ClientEvents>(name: Name, listener: (event: ClientEvents[Name]) => void): () => void
  /** Cuts the line until `resume`; documents stay open and can be edited. */
  pause(): void
  resume(): void
  /** Closes every document as its own `close` does, then the line. */
  close(): Promise<void>
}

/** @throws {InkwellError} when the key is none */
export const connect = (url: string, options: ConnectOptions = {}): Client => new LiveClient(url, options)

/** Milliseconds without a line after which the application is told: the hiccup of a restart is not worth a word. */
const unreachableAfter = 10_000

const noAttempt = 'no attempt has come to an end'

class LiveClient implements Client {
  status: ClientStatus = 'connecting'
  user: User | null = null

  private readonly clock: Clock
  private readonly events = new Emitter<ClientEvents>()
  private readonly documents = new Map<DocId, LiveDocument<unknown, unknown>>()
  /** The last edit of documents closed: one opened again must not give its edits numbers that others may have yet (R12). */
  private readonly numbers = new Map<DocId, Seq>()
  private readonly line: Line
  private readonly renewal: Renewal | null
  /** Null while there is no line. */
  private author: AuthorId | null = null
  private limits: ClientLimits | null = null
  private closing: Promise<void> | null = null
  private endedBy: InkwellError | null = null
  /** Why the last attempt failed. */
  private reason = ''
  private stopOutage: (() => void) | null = null

  constructor(url: string, options: ConnectOptions) {
    const { token, transports = ['websocket'], path = '/socket.io/', clock = systemClock, random = Math.random } = options
    const { surroundings = usual } = options
    this.clock = clock
    const key = options.key === undefined ? newKey() : parsed(() => keyOf(options.key))
    const hello = async (): Promise<Hello> => ({
      protocol: [protocolVersions.min, protocolVersions.max],
      key,
      ...(token === undefined ? {} : { token: await token() }),
    })
    const dial = socketIo({ url, hello, transports, path, random })
    const transport = options.transport ?? lastingLine({ dial, renewable: token !== undefined, clock, random, surroundings })
    this.outage(noAttempt)
    this.renewal =
      token === undefined
        ? null
        : new Renewal({ clock, random, token, send: fresh => this.line.send({ kind: 'authenticate', token: fresh }) })
    this.line = transport(event => this.hear(event))
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
    const there = this.documents.get(id)
    if (there?.isClosing) {
      await there.close()
      return this.document(id, type)
    }
    if (there !== undefined && there.type.name !== type.name) {
      throw new InkwellError(refusal('type-mismatch', `it is open here as ${there.type.name}, not ${type.name}`))
    }
    const document = (there as LiveDocument<S, O> | undefined) ?? this.begin(id, type) // types of one name are one type
    await document.opened
    return document
  }

  private begin<S, O>(id: DocId, type: DocumentType<S, O>): LiveDocument<S, O> {
    const document = new LiveDocument(
      id,
      type,
      {
        clock: this.clock,
        limits: () => this.limits,
        send: message => this.line.send(message),
        closed: last => {
          this.documents.delete(id)
          this.numbers.set(id, last)
        },
      },
      this.numbers.get(id),
    )
    this.documents.set(id, document as LiveDocument<unknown, unknown>)
    if (this.author !== null) document.up(this.author)
    return document
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
    if (this.author === null) this.outage(noAttempt)
  }

  close(): Promise<void> {
    this.closing ??= this.leave()
    return this.closing
  }

  private async leave(): Promise<void> {
    await Promise.all([...this.documents.values()].map(document => document.close()))
    this.renewal?.down()
    this.line.close()
    this.outageOver()
    this.become('closed')
  }

  /** There is no line, and one is wanted. An outage is told of once. */
  private outage(reason: string): void {
    this.reason = reason
    if (this.stopOutage !== null || this.status === 'closed') return
    this.stopOutage = this.clock.after(unreachableAfter, () => {
      this.events.emit('error', unreachableNow(unreachableAfter, this.reason))
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
        this.outageOver()
        this.renewal?.up(event.welcome.expiresIn)
        this.become('online')
        for (const document of this.all) document.up(event.welcome.author)
        return
      case 'message':
        return this.receive(event.message)
      case 'down': {
        const wasUp = this.author !== null
        this.author = null
        this.renewal?.down()
        const error = event.refusal === null ? null : new InkwellError(event.refusal)
        if (wasUp) for (const document of this.all) document.down()
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

/** 128 bits of chance. */
const newKey = (): ClientKey => {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const base64 = btoa(String.fromCharCode(...bytes))
  return keyOf(base64.replaceAll('+', '-').replaceAll('/', '_').slice(0, 22))
}

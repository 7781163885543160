// A client that speaks messages and nothing else: for tests that say what no good client would say.
// Invariant: every message that arrives is kept in order until a test asks for it, so no test can miss one.

import { randomBytes } from 'node:crypto'
import { io, type Socket } from 'socket.io-client'
import { opToJson } from '../../src/ot/json.ts'
import { insert } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { Json } from '../../src/ot/type.ts'
import type { Refusal } from '../../src/protocol/errors.ts'
import type { ClientKey, DocId, Handle, Position } from '../../src/protocol/ids.ts'
import type { ClientMessage, Hello, Refused, ServerMessage, Welcome } from '../../src/protocol/messages.ts'
import { createParser } from '../../src/protocol/parser.ts'

export type Form = 'binary' | 'json'
type Kind = (ServerMessage | Welcome)['kind']
type OfKind<K extends Kind> = Extract<ServerMessage | Welcome, { kind: K }>

export interface RawOptions {
  readonly form?: Form
  readonly token?: string
  readonly key?: ClientKey
  /** Instead of a sound hello. */
  readonly hello?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly transports?: readonly ('websocket' | 'polling')[]
}

export const newKey = (): ClientKey => randomBytes(16).toString('base64url') as ClientKey

export class RawClient {
  readonly socket: Socket
  readonly form: Form
  /** Why the line ended, once it has. */
  readonly down: Promise<string>
  private readonly kept: (ServerMessage | Welcome)[] = []
  private readonly waiting: {
    readonly wants: (message: ServerMessage | Welcome) => boolean
    readonly give: (message: never) => void
  }[] = []

  constructor(
    url: string,
    { form = 'binary', token, key = newKey(), hello, headers, transports = ['websocket'] }: RawOptions = {},
  ) {
    this.form = form
    const sound: Hello = { protocol: [1, 1], key, ...(token === undefined ? {} : { token }) }
    this.socket = io(url, {
      path: form === 'json' ? '/json/' : '/socket.io/',
      ...(form === 'json' ? {} : { parser: createParser({ end: 'client' }) }), // JSON: the parser that every Socket.IO client has
      transports: [...transports],
      reconnection: false,
      forceNew: true,
      auth: (hello === undefined ? sound : hello) as { [key: string]: unknown },
      ...(headers === undefined ? {} : { extraHeaders: { ...headers } }),
    })
    this.down = new Promise(resolve => this.socket.on('disconnect', resolve))
    this.socket.onAny((kind: Kind, payload: object) => this.arrived({ ...payload, kind } as ServerMessage | Welcome))
  }

  /** The first message of this kind (and, with `where`, of this content) that no test has taken yet. */
  next<K extends Kind>(kind: K, where: (message: OfKind<K>) => boolean = () => true): Promise<OfKind<K>> {
    const wants = (message: ServerMessage | Welcome): boolean => message.kind === kind && where(message as OfKind<K>)
    const at = this.kept.findIndex(wants)
    if (at >= 0) return Promise.resolve(this.kept.splice(at, 1)[0] as OfKind<K>)
    return new Promise(give => this.waiting.push({ wants, give }))
  }

  /** What has come and was not asked for yet. */
  get untaken(): readonly (ServerMessage | Welcome)[] {
    return this.kept
  }

  /** What the hello comes to: a refusal, or null, which is a welcome. */
  answered(): Promise<Refusal | null> {
    return new Promise(resolve => {
      this.socket.on('connect_error', error => resolve((error as Error & { data: Refusal }).data))
      this.socket.on('connect', () => resolve(null))
    })
  }

  /** The refusal with which the server answered the hello. */
  async refusedHello(): Promise<Refusal> {
    const why = await this.answered()
    if (why === null) throw new Error('the server accepted the hello')
    return why
  }

  /** The error with which the line could not even be opened. */
  failedLine(): Promise<Error> {
    return new Promise((resolve, reject) => {
      this.socket.on('connect_error', resolve)
      this.socket.on('connect', () => reject(new Error('the server opened the line')))
    })
  }

  send(message: ClientMessage): void {
    const { kind, ...payload } = message
    this.socket.emit(kind, this.form === 'json' ? payload : message)
  }

  /** Any event at all. */
  emit(event: string, ...content: unknown[]): void {
    this.socket.emit(event, ...content)
  }

  /** A frame past every encoder. */
  sendFrame(frame: Uint8Array | string): void {
    this.socket.io.engine.write(frame as string)
  }

  /** Sends a message and answers the refusal to it. */
  async refused(message: ClientMessage): Promise<Refused> {
    this.send(message)
    return this.next('refused')
  }

  async join(doc: string, position: Position | null = null): Promise<OfKind<'joined'>> {
    this.send({ kind: 'join', doc: doc as DocId, type: 'text', position })
    return this.next('joined', joined => joined.doc === doc)
  }

  close(): void {
    this.socket.disconnect()
  }

  private arrived(message: ServerMessage | Welcome): void {
    const at = this.waiting.findIndex(({ wants }) => wants(message))
    if (at < 0) this.kept.push(message)
    else this.waiting.splice(at, 1)[0]!.give(message as never)
  }
}

/** A writer of the simplest kind: it shows an edit only when it has come back from the server. */
export class Pen {
  readonly client: RawClient
  readonly author: string
  readonly handle: Handle
  private text: Text
  private position: Position
  private seq = 0
  private readonly wanted: { readonly holds: () => boolean; readonly done: () => void }[] = []
  private readonly confirmed: { readonly seq: number; readonly done: () => void }[] = []

  private constructor(client: RawClient, author: string, joined: OfKind<'joined'>) {
    if (joined.content.kind !== 'snapshot') throw new Error('a newcomer gets a snapshot')
    this.client = client
    this.author = author
    this.handle = joined.handle
    this.text = Text.of(joined.content.value as string)
    this.position = joined.content.position
    void this.follow()
  }

  static async opens(url: string, doc: string, options: RawOptions = {}): Promise<Pen> {
    const client = new RawClient(url, options)
    const { author } = await client.next('welcome')
    return new Pen(client, author, await client.join(doc))
  }

  get shows(): string {
    return this.text.toString()
  }

  get length(): number {
    return this.text.length
  }

  get at(): Position {
    return this.position
  }

  /** Inserts at `place`; resolves when the edit is in the history. */
  types(text: string, place = this.text.length): Promise<void> {
    return this.edits(opToJson(insert(this.text.length, place, text)))
  }

  /** Any op on the text as it is shown; resolves when it is in the history. */
  edits(op: Json): Promise<void> {
    this.client.send({ kind: 'submit', handle: this.handle, seq: ++this.seq, position: this.position, op })
    const { seq } = this
    return new Promise(done => this.confirmed.push({ seq, done }))
  }

  /** Resolves when this text is shown. */
  showing(text: string): Promise<void> {
    return this.until(() => this.shows === text)
  }

  /** Resolves when this many edits are shown. */
  reaching(version: number): Promise<void> {
    return this.until(() => this.position.version >= version)
  }

  private until(holds: () => boolean): Promise<void> {
    return holds() ? Promise.resolve() : new Promise(done => this.wanted.push({ holds, done }))
  }

  private async follow(): Promise<void> {
    for (;;) {
      const frame = await this.client.next('commits', ({ handle }) => handle === this.handle)
      if (frame.from !== this.position.version) throw new Error(`commits from ${frame.from} at version ${this.position.version}`)
      for (const { author, seq, op } of frame.commits) {
        this.text = this.text.apply(textType.opFromJson(op, this.text.length))
        if (author !== this.author) continue
        for (const waiting of this.confirmed.splice(0)) seq >= waiting.seq ? waiting.done() : this.confirmed.push(waiting)
      }
      this.position = { ...this.position, ...frame.position }
      for (const waiting of this.wanted.splice(0)) waiting.holds() ? waiting.done() : this.wanted.push(waiting)
    }
  }
}

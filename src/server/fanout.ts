// How a message reaches its readers: encoded once, and the same bytes written to every socket.
// Invariant: what is delivered to one socket leaves in the order in which it was delivered, and what waits for a socket that does not
// read is bounded.

import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import type { Server, Socket } from 'socket.io'
import type { Outlet } from '../engine/index.ts'
import { encodeCommitsFrame, encodeJoinedHead, encodeServerFrame } from '../protocol/codec.ts'
import type { AuthorId } from '../protocol/ids.ts'
import { jsonEvent } from '../protocol/json.ts'
import type { Commits, Joined, ServerMessage, Snapshot, Welcome } from '../protocol/messages.ts'
import { Audiences } from './audiences.ts'
import type { Bearer } from './identity.ts'
import type { Tally } from './tally.ts'

/** In which of its two forms an endpoint speaks the protocol. */
export type Form = 'binary' | 'json'

type Engine = Server['engine']
export type EngineSocket = Socket['conn']

/** The end of a line that is in this process: a connection of engine.io, or one of those beside it. */
export interface Conn {
  readonly readyState: string
  readonly transport: object & { readonly name: string; readonly writable: boolean }
  send(packet: string | Buffer, options: object): unknown
  /** Politely; or at once. */
  close(discard?: boolean): void
}

/** On an engine.io: the lines of its endpoint that do not go through it. */
export const beside = Symbol('beside')

/**
 * One message in one form: the packet, and the whole WebSocket frame around it. engine.io takes the frame where it can and falls back
 * to the packet where it cannot (polling, or a version that no longer knows the option).
 */
interface Parcel {
  readonly packet: string | Buffer
  readonly frame: Buffer
  /** The end of the frame, where that is shared with others. */
  readonly tail?: Buffer
  readonly bytes: number
  readonly options: { readonly compress: false; readonly wsPreEncodedFrame: readonly [Buffer, Buffer?] }
}

/** Bytes that may wait for one client. */
export interface LineBounds {
  /** Above it the client is behind and gets only what has to arrive; the engine brings the rest once it has caught up. */
  readonly behindBytes: number
  /** When so much has to arrive at one that is behind, its line is cut. */
  readonly waitingBytes: number
  /** The same for a client of the application's, whose lines are not ours. */
  readonly applicationBytes: number
}

/** What all lines share. */
interface House {
  readonly bounds: LineBounds
  readonly tally: Tally
  /** Counts the ticks of the event loop in which anything is written. */
  readonly tick: number
  /** Has what a line holds written at the end of this tick. */
  releaseSoon(line: Line): void
}

/** A line to one client. Socket.IO's own packets go the same way, so the order of all is one. */
export class Line implements Outlet {
  readonly name: string
  readonly form: Form
  readonly author: AuthorId
  /** Who speaks here, by his latest token. */
  bearer: Bearer
  /** Bytes on their way into a socket that is not ours to look into (polling), which has not taken all of them yet, */
  private leaving = 0
  /** and bytes that engine.io holds back until it has. */
  private waiting = 0
  /** The tick of the event loop in which it was last written to. */
  private lastTick = -1
  /** What waits for its turn among very many readers, and its bytes. Null: nothing does. */
  private box: Parcel[] | null = null
  private boxed = 0
  /** Of these, what was written while the client was behind. */
  private extra = 0
  /** Grows with what the socket takes; a line on which nothing moves is stuck. */
  private moves = 0
  /** Bytes written to it so far. */
  sent = 0
  private placeSeen = ''
  /** Looks in a row at which the line stood still. */
  private standing = 0
  readonly conn: Conn
  private readonly house: House

  constructor(
    { name, form, author, conn, bearer }: Pick<Line, 'name' | 'form' | 'author' | 'bearer'> & { conn: Conn },
    house: House,
  ) {
    this.name = name
    this.form = form
    this.author = author
    this.conn = conn
    this.bearer = bearer
    this.house = house
  }

  get open(): boolean {
    return this.conn.readyState === 'open'
  }

  /** Bytes of ours that the client has not taken. */
  get held(): number {
    const tcp = tcpOf(this.conn.transport)
    if (tcp !== undefined) return this.boxed + tcp.writableLength + this.waiting
    return this.boxed + (this.conn.transport.writable ? 0 : this.leaving + this.waiting)
  }

  get behind(): boolean {
    return this.held > this.house.bounds.behindBytes
  }

  /** Puts a parcel behind what waits for its turn to be written; the line is released later. */
  hold(parcel: Parcel): void {
    this.box ??= []
    this.box.push(parcel)
    this.boxed += parcel.bytes
  }

  /** Writes what waits for its turn, all of it in one system call. */
  release(): void {
    const { box } = this
    if (box === null) return
    this.box = null
    this.boxed = 0
    this.lastTick = this.house.tick
    if (!this.open) return
    if (box.length === 1) return this.put(box[0]!)
    const whole = joined(box)
    if (whole !== null && direct(this.conn)) return this.put(whole)
    const tcp = tcpOf(this.conn.transport)
    tcp?.cork()
    for (const parcel of box) this.put(parcel)
    tcp?.uncork()
  }

  /** At once, unless it has been written to in this tick already: what is said on top of that leaves together, at the tick's end. */
  write(parcel: Parcel): void {
    if (this.box !== null) return this.hold(parcel)
    const { house } = this
    if (this.lastTick === house.tick) {
      this.hold(parcel)
      house.releaseSoon(this)
      return
    }
    this.lastTick = house.tick
    this.put(parcel)
  }

  private put(parcel: Parcel): void {
    const { conn } = this
    const { tally, bounds } = this.house
    const { frame, tail, bytes } = parcel
    const tcp = tcpOf(conn.transport)
    // One long message cuts nobody off; what is said on top of it may, since that may be any number.
    if (this.behind) {
      this.extra += bytes
      if (this.extra > bounds.waitingBytes) {
        if (this.open) tally.cuts.waiting++
        return cut(conn)
      }
    } else this.extra = 0
    tally.sentBytes += bytes
    this.sent += bytes
    // Straight into the socket: on its way through engine.io a frame costs half as much again as the system call itself.
    if (tcp !== undefined && direct(conn)) {
      this.waiting = 0
      if (tail === undefined) {
        tcp.write(frame)
        return
      }
      tcp.cork()
      tcp.write(frame)
      tcp.write(tail)
      tcp.uncork()
      return
    }
    if (conn.transport.writable) this.waiting = 0
    this.waiting += bytes
    conn.send(parcel.packet, parcel.options)
  }

  /** engine.io hands to the socket what has waited. */
  flushed(): void {
    this.leaving = tcpOf(this.conn.transport) === undefined ? this.waiting : 0
    this.waiting = 0
    this.moves++
  }

  /** For how many looks in a row the client, which is behind, has taken nothing. */
  stands(): number {
    if (!this.behind) return (this.standing = 0)
    const tcp = tcpOf(this.conn.transport)
    const taken = tcp === undefined ? 0 : tcp.bytesWritten - tcp.writableLength
    const place = `${this.moves} ${taken} ${tcp?._handle?.writeQueueSize}` // one long message may take minutes: it moves too
    this.standing = place === this.placeSeen ? this.standing + 1 : 0
    this.placeSeen = place
    return this.standing
  }

  /** Sends what waits, then closes; the client sees a broken line and comes back. */
  close(): void {
    this.release()
    this.conn.close()
  }

  /** Ends it at once, whether the client reads or not. */
  cut(): void {
    cut(this.conn)
  }
}

/** Lets go of the request that opened a line: half of what an idle connection would keep in memory. */
export const forgetRequest = (socket: Socket): void => {
  const conn: { request: IncomingMessage | null } = socket.conn
  conn.request = null
  const slot: { handshake: unknown } = socket
  slot.handshake = forgotten
}

/** Ends a connection at once: for a peer that does not read, a polite end would wait for ever. */
export const cut = (conn: Conn): void => {
  const { socket } = conn.transport as Inside
  if (typeof socket?.terminate === 'function') socket.terminate()
  else conn.close(true)
}

/** Every connection, also those that have not said hello yet. engine.io keeps this to itself; without it those wait for a timeout. */
export const connectionsOf = (engine: Engine): readonly Conn[] => {
  const { clients = {}, [beside]: others } = engine as object as {
    clients?: Record<string, EngineSocket>
    [beside]?: { readonly all: readonly Conn[] }
  }
  return [...Object.values(clients), ...(others?.all ?? [])]
}

/** Whether this is a line that polls, and may move to a WebSocket now. engine.io would move one that has a WebSocket already, too. */
export const mayMove = (engine: Engine, sid: string): boolean => {
  const { clients } = engine as object as { clients?: Record<string, EngineSocket> }
  if (clients === undefined) return true
  const conn = Object.hasOwn(clients, sid) ? clients[sid] : undefined
  const { upgrading, upgraded } = (conn ?? {}) as { upgrading?: boolean; upgraded?: boolean }
  return conn?.transport.name === 'polling' && upgrading !== true && upgraded !== true
}

const forgotten = Object.freeze({ headers: Object.freeze({}), query: Object.freeze({}), auth: Object.freeze({}) })

/** What engine.io and ws do not document but have had for years; where it is gone, the ordinary way is taken. */
interface Inside {
  readonly socket?: {
    readonly readyState?: number
    readonly terminate?: () => void
    readonly _socket?: Tcp | null
    /** Frames that wait to be compressed; those of ours never are. */
    readonly _sender?: { readonly _queue?: readonly unknown[] }
  }
}

type Tcp = Pick<NetSocket, 'cork' | 'uncork' | 'write' | 'writableLength' | 'bytesWritten'> & {
  readonly _handle?: { readonly writeQueueSize?: number } | null
}

/** The socket under a WebSocket; undefined: it polls, or is not open. */
const tcpOf = (transport: object): Tcp | undefined => {
  const { socket } = transport as Inside
  if (socket === undefined || socket.readyState !== 1) return undefined
  return socket._socket ?? undefined
}

/** Holds what is written to a connection until the event loop comes round, for one system call. */
export const corked = ({ transport }: Conn): void => {
  const tcp = tcpOf(transport)
  if (tcp === undefined) return
  tcp.cork()
  setImmediate(() => tcp.uncork())
}

/** Whether a frame may go into the socket at once: nothing stands before it anywhere. */
const direct = (conn: Conn): boolean => {
  const { writeBuffer, upgrading, readyState } = conn as object as {
    writeBuffer?: readonly unknown[]
    upgrading?: boolean
    readyState: string
  }
  return (
    readyState === 'open' &&
    upgrading === false &&
    writeBuffer?.length === 0 &&
    (conn.transport as Inside).socket?._sender?._queue?.length === 0
  )
}

export class Fanout implements House {
  private readonly lines = new Map<Conn, Line>()
  /** Bytes that wait for connections to which an application speaks in namespaces of its own. */
  private readonly applications = new WeakMap<EngineSocket, { waiting: number }>()
  readonly bounds: LineBounds
  readonly tally: Tally
  private ticks = 0
  private ticking = false
  /** Lines for which something is held until all that leaves together is known. */
  private gathered: Set<Line> | null = null
  private readonly soon: Line[] = []
  /** Lines have names that no other node gives: the log of all nodes is one. */
  private readonly prefix = randomBytes(3).toString('hex')
  private lastName = 0
  /** Messages for more readers than can be written to at one go. */
  private readonly rounds: Round[] = []
  private turns = 0
  private readonly texts = new Texts()
  private readonly audiences = new Audiences()

  constructor(bounds: LineBounds, tally: Tally) {
    this.bounds = bounds
    this.tally = tally
  }

  /** Follows an engine.io server: what it sends in one go to one socket leaves in one system call. */
  watch(engine: Engine): void {
    let corked: { uncork(): void } | undefined
    engine.on('flush', (conn: EngineSocket, packets: readonly unknown[]) => {
      this.lines.get(conn)?.flushed()
      const application = this.applications.get(conn)
      if (application !== undefined) application.waiting = 0
      if (packets.length < 2) return
      const tcp = tcpOf(conn.transport)
      tcp?.cork()
      corked = tcp
    })
    // engine.io emits both around one synchronous send, so there is never more than one corked socket.
    engine.on('drain', () => {
      corked?.uncork()
      corked = undefined
    })
  }

  /** An application writes past the lines: what waits for a client of its that does not read is bounded too. */
  bound(conn: EngineSocket): void {
    if (this.applications.has(conn)) return
    const application = { waiting: 0 }
    this.applications.set(conn, application)
    conn.on('packetCreate', ({ data }: { readonly data?: string | Uint8Array }) => {
      if (application.waiting > this.bounds.applicationBytes) {
        if (conn.readyState === 'open') this.tally.cuts.application++
        return cut(conn)
      }
      if (!conn.transport.writable && data !== undefined) application.waiting += Buffer.byteLength(data)
    })
  }

  open(form: Form, author: AuthorId, conn: Conn, bearer: Bearer): Line {
    const name = `${this.prefix}-${(++this.lastName).toString(36)}`
    return new Line({ name, form, author, conn, bearer }, this)
  }

  /** Tells a client that it is in, first by a packet of Socket.IO's, and as whom: with all that is said to it in this tick. */
  welcome(line: Line, packet: string | Uint8Array, welcome: Welcome): void {
    line.hold(typeof packet === 'string' ? textParcel(packet) : binaryParcel(packet))
    this.deliver([line], welcome)
    this.releaseSoon(line)
  }

  /** engine.io may hold back what is written to this one. */
  follow(line: Line): void {
    this.lines.set(line.conn, line)
  }

  forget(conn: Conn): void {
    this.lines.delete(conn)
  }

  get tick(): number {
    this.endTick()
    return this.ticks
  }

  releaseSoon(line: Line): void {
    this.endTick()
    this.soon.push(line)
  }

  private endTick(): void {
    if (this.ticking) return
    this.ticking = true
    void breath.then(this.tickEnds) // a microtask costs a third of what process.nextTick does
  }

  private readonly tickEnds = (): void => {
    this.ticking = false
    this.ticks++
    if (this.soon.length > 0) for (const line of this.soon.splice(0)) line.release()
  }

  /** What is delivered in `say` leaves each line in one system call. To very many readers it goes in turns, as ever. */
  together(say: () => void): void {
    if (this.gathered !== null) return say()
    const gathered = new Set<Line>()
    this.gathered = gathered
    try {
      say()
    } finally {
      this.gathered = null
      for (const line of gathered) line.release()
    }
  }

  /** Answers with the milliseconds that the writing takes, once it is done; undefined when it is done already. */
  deliver(lines: readonly Line[], message: ServerMessage | Welcome): Promise<number> | undefined {
    if (message.kind === 'commits') return this.deliverCommits(lines, message)
    const parcels: { [form in Form]?: Parcel } = {}
    const parcelFor = (line: Line): Parcel => (parcels[line.form] ??= parcel[line.form](message, this.texts))
    this.tally.sent[message.kind] += lines.length
    if ('refusal' in message) this.tally.refusals[message.refusal.code] += lines.length
    if (lines.length > atOnce) return this.deliverInTurns(lines, parcelFor)
    if (this.gathered !== null) this.gather(lines, parcelFor)
    else for (const line of lines) if (line.open) line.write(parcelFor(line))
    return undefined
  }

  /** The same for commits: nearly all that there is to say, so nothing of their way is shared with other messages. */
  deliverCommits(lines: readonly Line[], message: Commits): Promise<number> | undefined {
    let binary: Parcel | null = null
    let json: Parcel | null = null
    const parcelFor = (line: Line): Parcel =>
      line.form === 'binary'
        ? (binary ??= this.audiences.tell(message.handle, lines, told => binaryParcel(encodeCommitsFrame(message, told))))
        : (json ??= parcel.json(message, this.texts))
    this.tally.sent.commits += lines.length
    if (lines.length > atOnce) return this.deliverInTurns(lines, parcelFor)
    if (this.gathered !== null) {
      this.gather(lines, parcelFor)
      return undefined
    }
    // A write is a system call, and an author has seen its own edit already: those who have not come first.
    const author = lines.length > 1 ? message.commits[0]?.author : undefined
    let own: Line | null = null
    for (const line of lines) {
      if (line.author === author) {
        if (own?.open) own.write(parcelFor(own)) // it has another line, which will soon put this one out
        own = line
      } else if (line.open) line.write(parcelFor(line))
    }
    if (own?.open) own.write(parcelFor(own))
    return undefined
  }

  private gather(lines: readonly Line[], parcelFor: (line: Line) => Parcel): void {
    for (const line of lines) {
      if (!line.open) continue
      line.hold(parcelFor(line))
      this.gathered!.add(line)
    }
  }

  /**
   * Many thousand writes in one go would hold up everybody else, so after some milliseconds others have their turn. Each line keeps its
   * own order: what it may not be sent yet lies in its box, and whatever comes later lies behind that. Another line is first each time.
   */
  private deliverInTurns(lines: readonly Line[], parcelFor: (line: Line) => Parcel): Promise<number> | undefined {
    const first = ++this.turns % lines.length
    const inOrder = [...lines.slice(first), ...lines.slice(0, first)]
    for (const line of inOrder) if (line.open) line.hold(parcelFor(line))
    const round: Round = { lines: inOrder, next: 0, ms: 0, done: null }
    if (this.goOn(round)) return undefined
    const done = new Promise<number>(resolve => {
      round.done = resolve
    })
    this.rounds.push(round)
    if (this.rounds.length === 1) setImmediate(() => this.goRound())
    return done
  }

  /** True when it is through. */
  private goOn(round: Round): boolean {
    const since = performance.now()
    const { lines } = round
    let ms = 0
    while (round.next < lines.length && ms < turn) {
      const end = Math.min(round.next + betweenLooks, lines.length)
      while (round.next < end) lines[round.next++]!.release()
      ms = performance.now() - since
    }
    round.ms += ms
    return round.next === lines.length
  }

  private goRound(): void {
    const round = this.rounds.shift()!
    if (this.goOn(round)) round.done?.(round.ms)
    else this.rounds.push(round)
    if (this.rounds.length > 0) setImmediate(() => this.goRound())
  }
}

const breath = Promise.resolve()

/** A message on its way to many. */
interface Round {
  readonly lines: readonly Line[]
  next: number
  /** Spent on it so far. */
  ms: number
  done: ((ms: number) => void) | null
}

const atOnce = 128 // readers who are written to at one go: a millisecond or two
const turn = 4 // ms after which others are served in between
const betweenLooks = 16 // lines written to between two looks at the clock

const shared = 4_096 // UTF-16 units of a text; below it to share costs more than it saves
const sharedFor = 1_000 // ms for which a text in bytes is kept for the next who joins

/** The bytes of the text that is sent last: a crowd that comes for a document gets one copy of it, not one each. */
class Texts {
  private readonly last: { [form in Form]?: { readonly text: string; readonly bytes: Buffer } } = {}
  private kept = false

  /** In UTF-8; or as the value with which the JSON of a packet ends. */
  bytesOf(text: string, form: Form): Buffer {
    const last = this.last[form]
    if (last?.text === text) return last.bytes
    const bytes = form === 'binary' ? Buffer.from(text) : jsonEnd(text)
    this.last[form] = { text, bytes }
    if (!this.kept) setTimeout(this.forget, sharedFor).unref()
    this.kept = true
    return bytes
  }

  private readonly forget = (): void => {
    this.kept = false
    delete this.last.binary
    delete this.last.json
  }
}

const emptyValue = '""'
const afterValue = '}}]' // of its content, of what the packet says, of the packet

const jsonEnd = (text: string): Buffer => {
  const json = JSON.stringify(text)
  const size = Buffer.byteLength(json)
  const bytes = Buffer.allocUnsafe(size + afterValue.length)
  bytes.write(json, 0)
  bytes.write(afterValue, size, 'latin1')
  return bytes
}

type LongJoined = Joined & { readonly content: Snapshot & { readonly value: string } }

const isLongJoined = (message: ServerMessage | Welcome): message is LongJoined =>
  message.kind === 'joined' &&
  message.content.kind === 'snapshot' &&
  typeof message.content.value === 'string' &&
  message.content.value.length >= shared

/** Of a long text for somebody who joins: what is his own, and the text. */
const joinedParcel = (message: LongJoined, texts: Texts): Parcel => {
  const tail = texts.bytesOf(message.content.value, 'binary')
  const head = encodeJoinedHead(message, tail.length)
  const frame = frameFor(binaryFrame, head.length + tail.length, tail.length)
  frame.set(head, frame.length - head.length)
  return {
    // Only a line that polls asks for it.
    get packet() {
      return Buffer.concat([head, tail])
    },
    frame,
    tail,
    bytes: frame.length + tail.length,
    options: { compress: false, wsPreEncodedFrame: [frame, tail] },
  }
}

/** The same in JSON: the text is the last that the packet says. */
const joinedJson = ({ content: { value, ...position }, ...others }: LongJoined, texts: Texts): Parcel => {
  const packet = JSON.stringify(jsonEvent({ ...others, content: { ...position, value: '' } }))
  const head = packet.slice(0, -(emptyValue + afterValue).length)
  const tail = texts.bytesOf(value, 'json')
  const size = Buffer.byteLength(head)
  const frame = frameFor(textFrame, 2 + size + tail.length, tail.length)
  frame.write('42', frame.length - size - 2, 'latin1')
  frame.write(head, frame.length - size)
  return {
    get packet() {
      return `2${head}${tail.toString()}`
    },
    frame,
    tail,
    bytes: frame.length + tail.length,
    options: { compress: false, wsPreEncodedFrame: [frame, tail] },
  }
}

const shortest = 4_096 // bytes up to which copying costs less than a second buffer in a write

/** Parcels as one, where that is worth it; never through engine.io, which wants each packet for itself. */
const joined = (box: readonly Parcel[]): Parcel | null => {
  let bytes = 0
  for (const parcel of box) {
    bytes += parcel.bytes
    if (parcel.tail !== undefined || bytes > shortest) return null
  }
  return wrap(
    '',
    Buffer.concat(
      box.map(({ frame }) => frame),
      bytes,
    ),
  )
}

const binaryParcel = (bytes: Uint8Array): Parcel => {
  const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const frame = frameFor(binaryFrame, packet.length)
  packet.copy(frame, frame.length - packet.length)
  return wrap(packet, frame)
}

/** A packet with engine.io's "4" in front of it, which makes it a message. */
const textParcel = (packet: string): Parcel => {
  const size = Buffer.byteLength(packet)
  const frame = frameFor(textFrame, 1 + size)
  frame.write('4', frame.length - size - 1, 'latin1')
  frame.write(packet, frame.length - size)
  return wrap(packet, frame)
}

const parcel: { readonly [form in Form]: (message: ServerMessage | Welcome, texts: Texts) => Parcel } = {
  binary: (message, texts) => {
    if (isLongJoined(message)) return joinedParcel(message, texts)
    return binaryParcel(encodeServerFrame(message))
  },
  json: (message, texts) => {
    if (isLongJoined(message)) return joinedJson(message, texts)
    // An EVENT packet of the namespace "/", as Socket.IO's own parser writes it; engine.io's "4" in front of it makes it a message. The
    // two are not put in front of the text: of a long document that would be one copy more of it for the collector.
    const json = JSON.stringify(jsonEvent(message))
    const size = Buffer.byteLength(json)
    const frame = frameFor(textFrame, 2 + size)
    frame.write('42', frame.length - size - 2, 'latin1')
    frame.write(json, frame.length - size)
    return wrap(`2${json}`, frame)
  },
}

export const textFrame = 0x81 // FIN and the opcode
export const binaryFrame = 0x82

const wrap = (packet: string | Buffer, frame: Buffer): Parcel => ({
  packet,
  frame,
  bytes: frame.length,
  options: { compress: false, wsPreEncodedFrame: [frame] },
})

/**
 * An unmasked WebSocket frame (RFC 6455, 5.2) in one piece, so that it is one write; its payload is to be written to its end.
 * `apart`: bytes of the payload that are written by themselves.
 */
export const frameFor = (first: number, length: number, apart = 0): Buffer => {
  const head = length < 126 ? 2 : length < 0x10000 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length - apart)
  frame[0] = first
  if (head === 2) frame[1] = length
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  return frame
}

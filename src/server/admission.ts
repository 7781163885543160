// Who gets a line, and how much may come over it: what each address, each user and each line has taken up of its limits on this node.
// Invariant: a user who is known is held to his own limits alone, never to those of the address that he shares with others; whatever is
// counted up here is counted down when its line has ended.

import type { IncomingMessage } from 'node:http'
import type { Server } from 'socket.io'
import { take } from '../engine/bucket.ts'
import type { Clock, Seats } from '../engine/ports.ts'
import { andThen, type Soon } from '../engine/soon.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId } from '../protocol/ids.ts'
import { addressOf } from './address.ts'
import type { Logger } from './log.ts'
import type { LineLimits } from './options.ts'
import { costOf, mostAtOnce, type Pace, paceOf, pauseFor, type Rate, spend } from './pace.ts'
import type { Tally } from './tally.ts'

type Engine = Server['engine']

/** The end of a line that is in this process. */
interface Conn {
  [callerOf]?: Caller | undefined
  readonly readyState: string
  readonly transport: object & { readonly writable: boolean }
  close(discard?: boolean): void
}

interface EngineSocket extends Conn {
  readonly request: IncomingMessage
  on(event: string, listener: (this: EngineSocket, ...words: never[]) => void): unknown
  prependListener(event: string, listener: (this: EngineSocket, ...words: never[]) => void): unknown
}

/** On a line, and on its WebSocket: what is known of it. A map of all lines would be half as much again as what it holds. */
const callerOf = Symbol('caller')

/** On a WebSocket: a ping to be answered at the end of this tick. Of several the last one is answered (RFC 6455, 5.5.3). */
const pinged = Symbol('pinged')

/** A user as far as this node knows him. */
interface User {
  readonly id: string
  /** His lines, each by `next`: those of one client in a row, the oldest of them first. There are a few, and an array would weigh more. */
  first: Caller | null
  /** Until when he has spent what he may send. */
  until: number
}

/** One line, from its first byte to its last. */
export interface Caller {
  readonly conn: Conn
  /** Where it comes from, for whoever looks on. */
  readonly from: string
  readonly since: number
  /** Who has not said who he is counts for his address. */
  stranger: boolean
  /** Its messages may be as long as anybody's. */
  wide: boolean
  user: User | null
  /** The client that it is a line of: two while it moves from one to the other. */
  author: AuthorId | null
  /** The next line of the same user. */
  next: Caller | null
  until: number
  /** Bytes that have come over it. */
  received: number
}

const linesOfClient = 2 // the line that it has and the one to which it moves; of a third the oldest goes

export interface AdmissionParts {
  readonly limits: LineLimits
  readonly trustProxy: number
  readonly seats: Seats
  readonly clock: Clock
  readonly log: Logger
  readonly tally: Tally
  /** Ends a line at once. */
  readonly cut: (line: object) => void
}

export class Admission {
  private readonly parts: AdmissionParts
  private readonly ofLine: Rate
  private readonly ofUser: Rate
  private readonly users = new Map<string, User>()
  /** Address → when its bucket of handshakes is full again. */
  private readonly knocks = new Map<string, number>()
  /** User → when his bucket of handshakes is full again. */
  private readonly hellos = new Map<string, number>()
  /** User who has no line here any more → until when he has spent what he may send: to come anew gains nothing. */
  private readonly debts = new Map<string, number>()
  /** Address → lines of strangers. */
  private readonly strangers = new Map<string, number>()
  /** Those lines. */
  private readonly unknown = new Set<Caller>()
  private lines = 0
  private clients = 0
  private allKnocks = 0
  /** Bytes of the longest message, as engine.io has said it to whatever reads one. */
  private longest = 0
  /** Lines that were closed, since the last sweep and before it: ws waits half a minute for a peer that does not close its end. */
  private left: Conn[] = []
  private leaving: Conn[] = []

  constructor(parts: AdmissionParts) {
    this.parts = parts
    const { limits } = parts
    this.ofLine = { messages: limits.messagesPerLine, bytes: limits.bytesPerLine }
    this.ofUser = { messages: limits.messagesPerUser, bytes: limits.bytesPerUser }
  }

  /** Why a request may not open a line now; null: it may. What it takes is given back once it turns out to be a user's. */
  knock(request: IncomingMessage): Refusal | null {
    const { limits, trustProxy, clock } = this.parts
    const now = clock.now()
    const address = addressOf(request, trustProxy)
    const here = this.strangers.get(address) ?? 0
    if (here >= limits.strangersPerAddress)
      return refusal('slow-down', `${here} lines of this address have not said who they are; the limit is ${here}`, 1_000)
    const [ofAddress, wait] = take(this.knocks.get(address) ?? 0, limits.handshakesPerAddress, 1, now)
    if (wait > 0)
      return refusal('slow-down', `more than ${limits.handshakesPerAddress} handshakes a second from this address`, wait)
    const [ofAll, longer] = take(this.allKnocks, limits.handshakesPerSecond, 1, now)
    if (longer > 0) return refusal('slow-down', `more than ${limits.handshakesPerSecond} handshakes a second`, longer)
    this.knocks.set(address, ofAddress)
    this.allKnocks = ofAll
    return null
  }

  /** Follows an engine.io server: knows of every line, and counts what comes over it. */
  watch(engine: Engine): void {
    this.narrow(engine)
    engine.on('connection', (conn: EngineSocket) => {
      const caller = this.comes(conn, conn.request)
      conn.on('close', this.ended)
      exactly(conn, 'close') // engine.io and Socket.IO listen there, too
      conn.prependListener('packet', this.packet) // before Socket.IO reads it
      if (isWebSocket(conn.transport)) return
      conn.on('upgrade', this.upgraded)
      this.boundPayloads(caller)
      const transport = conn.transport as Bounded
      if (typeof transport.maxHttpBufferSize !== 'number') return
      this.longest = transport.maxHttpBufferSize
      transport.maxHttpBufferSize = this.parts.limits.strangerBytes
    })
  }

  /** A line has been opened, by this request. */
  comes(conn: Conn, request: IncomingMessage): Caller {
    const { clock, trustProxy } = this.parts
    const from = addressOf(request, trustProxy)
    const caller: Caller = {
      conn,
      from,
      since: clock.now(),
      stranger: true,
      wide: false,
      user: null,
      author: null,
      next: null,
      until: 0,
      received: 0,
    }
    conn[callerOf] = caller
    this.lines++
    this.unknown.add(caller)
    this.strangers.set(from, (this.strangers.get(from) ?? 0) + 1)
    this.heedControlFrames(caller)
    return caller
  }

  /** A line has a WebSocket of ws now. */
  listens(conn: Conn): void {
    const caller = conn[callerOf]
    if (caller !== undefined) this.heedControlFrames(caller)
  }

  /** So many bytes have come over a line. */
  hears(conn: Conn, bytes: number): void {
    const caller = conn[callerOf]
    if (caller === undefined) return
    this.heard(caller, bytes)
    // Whom the gateway talks to it tells why. Nobody else needs to be told.
    if (caller.user === null && this.paceOf(caller).pace === 'cut') this.parts.cut(conn)
  }

  /** A line has ended. */
  ends(conn: Conn): void {
    const caller = conn[callerOf]
    if (caller === undefined) return
    conn[callerOf] = undefined
    this.lines--
    this.left.push(conn)
    this.noStranger(caller)
    this.unseat(caller)
  }

  /** Null: it has ended. */
  of(conn: object): Caller | null {
    return (conn as Conn)[callerOf] ?? null
  }

  /** Gives a line to a user who is known: from now on his own limits are what counts. A refusal when he has as many clients as he may. */
  seat(line: object, id: string, author: AuthorId): Soon<Refusal | null> {
    const { seats, limits, clock, log } = this.parts
    const most = limits.connectionsPerUser
    const caller = this.of(line)
    if (caller === null) return refusal('internal') // it has gone: nobody hears this
    const now = clock.now()
    const [greeted, wait] = take(this.hellos.get(id) ?? 0, limits.handshakesPerUser, 1, now)
    // What it took of the address is not given back: otherwise one user could take all the handshakes of this node.
    if (wait > 0) return refusal('slow-down', `more than ${limits.handshakesPerUser} handshakes a second of this user`, wait)
    this.hellos.set(id, greeted)
    this.known(caller)
    const owed = this.users.get(id)?.until ?? this.debts.get(id) ?? 0
    if (paceOf(owed, now) === 'refused' || paceOf(owed, now) === 'cut')
      return refusal('slow-down', 'far too much was sent before', pauseFor(owed, now))
    let user = this.users.get(id)
    const last = user === undefined ? null : lastOf(user, author)
    if (last === null) {
      if ((user === undefined ? 0 : clientsOf(user)) >= most) return tooMany(most) // no need to ask the store
      if (user === undefined) this.users.set(id, (user = { id, first: null, until: owed }))
      this.debts.delete(id)
      caller.next = user.first
      user.first = caller
      this.clients++
    } else {
      caller.next = last.next
      last.next = caller
    }
    caller.user = user!
    caller.author = author
    this.widen(caller)
    const uncounted = (error: unknown): boolean => {
      log.debug({ err: error }, 'the seats of users cannot be counted over all nodes now') // those of this node have been
      return true
    }
    const taken = seats.take(id, author, most)
    return andThen(taken instanceof Promise ? taken.catch(uncounted) : taken, seated =>
      this.seated(caller, user!, author, seated),
    )
  }

  private seated(caller: Caller, user: User, author: AuthorId, seated: boolean): Refusal | null {
    if (!seated) {
      this.unseat(caller)
      return tooMany(this.parts.limits.connectionsPerUser)
    }
    const own = linesOf(user, author)
    for (const oldest of own.slice(0, Math.max(0, own.length - linesOfClient))) {
      this.unseat(oldest)
      this.parts.cut(oldest.conn)
    }
    return null
  }

  /** How far ahead of what it may send this line is, or its user. */
  paceOf(caller: Caller): { readonly pace: Pace; readonly pause: number } {
    const now = this.parts.clock.now()
    const until = Math.max(caller.until, caller.user?.until ?? 0)
    return { pace: paceOf(until, now), pause: pauseFor(until, now) }
  }

  /** Forgets what time has made good, and ends lines that do not end by themselves. Called about once a second. */
  sweep(): void {
    const { clock, limits } = this.parts
    const now = clock.now()
    for (const times of [this.knocks, this.hellos, this.debts])
      for (const [whose, until] of times) if (until <= now) times.delete(whose)
    // Whoever is still here by then has entered a namespace of the application's, which knows whom it lets in.
    for (const caller of this.unknown) if (now - caller.since > limits.connectTimeout) this.noStranger(caller)
    for (const conn of this.leaving) this.parts.cut(conn)
    this.leaving = this.left
    this.left = []
  }

  get counts(): { readonly lines: number; readonly strangers: number; readonly clients: number } {
    return { lines: this.lines, strangers: this.unknown.size, clients: this.clients }
  }

  private known(caller: Caller): void {
    if (!caller.stranger) return
    const { handshakesPerAddress: size } = this.parts.limits
    const fullAt = this.knocks.get(caller.from)
    if (fullAt !== undefined && size > 0) this.knocks.set(caller.from, fullAt - 1_000 / size)
    this.noStranger(caller)
  }

  private noStranger(caller: Caller): void {
    if (!caller.stranger) return
    caller.stranger = false
    this.unknown.delete(caller)
    const left = (this.strangers.get(caller.from) ?? 1) - 1
    if (left === 0) this.strangers.delete(caller.from)
    else this.strangers.set(caller.from, left)
  }

  private unseat(caller: Caller): void {
    const { user, author } = caller
    if (user === null || author === null) return
    caller.user = null
    caller.author = null
    if (user.first === caller) user.first = caller.next
    else for (let other = user.first; other !== null; other = other.next) if (other.next === caller) other.next = caller.next
    caller.next = null
    if (lastOf(user, author) !== null) return
    this.clients--
    this.parts.seats.leave(user.id, author)
    if (user.first !== null) return
    this.users.delete(user.id)
    if (user.until > this.parts.clock.now()) this.debts.set(user.id, user.until)
  }

  /** Somebody has entered a namespace of the application's. */
  admitted(conn: object): void {
    const caller = this.of(conn)
    if (caller !== null) this.widen(caller)
  }

  private widen(caller: Caller): void {
    caller.wide = true
    const transport = caller.conn.transport as Bounded
    const receiver = transport.socket?._receiver
    if (typeof transport.maxHttpBufferSize === 'number') transport.maxHttpBufferSize = this.longest
    if (typeof receiver?._maxPayload === 'number') receiver._maxPayload = this.longest
  }

  /**
   * Of a message that is not whole ws keeps all that there is, and a thousand strangers may keep it waiting; until it is known who
   * they are a message is no longer than a hello. Where ws is not as it has been for years, it is as long as any.
   */
  private narrow(engine: Engine): void {
    const { ws } = engine as object as { ws?: { handleUpgrade?: (...words: unknown[]) => void } }
    const { handleUpgrade } = ws ?? {}
    if (ws === undefined || typeof handleUpgrade !== 'function') return
    ws.handleUpgrade = (request, tcp, head, done) =>
      handleUpgrade.call(ws, request, tcp, head, (socket: NonNullable<Bounded['socket']>, ...more: unknown[]) => {
        this.shorten(socket)
        ;(done as (...words: unknown[]) => void)(socket, ...more)
      })
  }

  /** The same of one WebSocket that has just been opened. */
  shorten({ _receiver: receiver }: NonNullable<Bounded['socket']>): void {
    if (typeof receiver?._maxPayload !== 'number') return
    this.longest = receiver._maxPayload
    receiver._maxPayload = this.parts.limits.strangerBytes
  }

  /** A message of so many bytes has come, past the events that tell of it otherwise. */
  heard(caller: Caller, bytes: number): void {
    this.parts.tally.receivedBytes += bytes
    const now = this.parts.clock.now()
    caller.received += bytes
    caller.until = spend(caller.until, costOf(bytes, this.ofLine), now)
    const { user } = caller
    if (user !== null) user.until = spend(user.until, costOf(bytes, this.ofUser), now)
  }

  // These are shared by all lines, which call them as `this`.

  private readonly packet = ((admission: Admission) =>
    function (this: EngineSocket, { data }: { readonly data?: string | Buffer }): void {
      admission.hears(this, data?.length ?? 0)
    })(this)

  private readonly ended = ((admission: Admission) =>
    function (this: EngineSocket): void {
      admission.ends(this)
    })(this)

  private readonly upgraded = ((admission: Admission) =>
    function (this: EngineSocket): void {
      const caller = this[callerOf]
      if (caller === undefined) return
      admission.heedControlFrames(caller)
      if (caller.wide) admission.widen(caller)
    })(this)

  /** Pings are answered while their sender keeps to its rate and reads; ws by itself would answer any number, read or not. */
  private heedControlFrames(caller: Caller): void {
    const { transport } = caller.conn
    if (!isWebSocket(transport)) return
    const { socket } = transport
    socket[callerOf] = caller
    socket.on('ping', this.ping)
    socket.on('pong', this.pong)
  }

  /**
   * What is posted is a payload of packets, and engine.io takes it apart before it looks at the first: of a megabyte of nothing but
   * separators for a tenth of a second. Whoever posts so many at once would be cut for their number in any case.
   */
  private boundPayloads({ conn }: Caller): void {
    const transport = conn.transport as { onData?(payload: string): void }
    const { onData } = transport
    if (typeof onData !== 'function') return
    const most = mostAtOnce(this.ofLine)
    transport.onData = payload => {
      let at = -1
      for (let packets = 0; packets <= most; packets++) {
        at = payload.indexOf(separator, at + 1)
        if (at < 0) return onData.call(transport, payload)
      }
      this.parts.cut(conn)
    }
  }

  private heed(caller: Caller, bytes: number): Pace | null {
    if (this.of(caller.conn) === null) return null // it has ended
    this.heard(caller, bytes)
    const { pace } = this.paceOf(caller)
    if (pace === 'cut') this.parts.cut(caller.conn)
    return pace
  }

  private readonly ping = ((admission: Admission) =>
    function (this: WebSocket, data: Buffer): void {
      const caller = this[callerOf]!
      if (admission.heed(caller, data.length) !== 'in step' || !caller.conn.transport.writable) return
      if (this[pinged] === undefined) process.nextTick(answerPing, this)
      this[pinged] = data
    })(this)

  /** This server asks in another way, so nobody has to send one. */
  private readonly pong = ((admission: Admission) =>
    function (this: WebSocket, data: Buffer): void {
      admission.heed(this[callerOf]!, data.length)
    })(this)
}

/** A third listener takes an array with room for seventeen more; a copy is as long as it has to be. Where it is none, so be it. */
const exactly = (emitter: object, event: string): void => {
  const { _events: events } = emitter as { _events?: Record<string, unknown> }
  const listeners = events?.[event]
  if (Array.isArray(listeners)) events![event] = listeners.slice()
}

/** What engine.io and ws keep to, of one line: bytes of a message. */
interface Bounded {
  maxHttpBufferSize?: number
  readonly socket?: { readonly _receiver?: { _maxPayload?: number } }
}

const separator = '\u001e' // between the packets of a payload

interface WebSocket {
  [callerOf]?: Caller
  [pinged]?: Buffer | undefined
  on(event: string, listener: (this: WebSocket, data: Buffer) => void): void
  pong(data: Buffer): void
}

const answerPing = (ws: WebSocket): void => {
  const data = ws[pinged]!
  ws[pinged] = undefined
  ws.pong(data)
}

const isWebSocket = (transport: object): transport is { readonly socket: WebSocket } =>
  typeof (transport as { socket?: Partial<WebSocket> }).socket?.pong === 'function'

const linesOf = ({ first }: User, author: AuthorId): readonly Caller[] => {
  const found: Caller[] = []
  for (let line = first; line !== null; line = line.next) if (line.author === author) found.push(line)
  return found
}

/** The newest line of one of his clients; null: he has no such client. */
const lastOf = ({ first }: User, author: AuthorId): Caller | null => {
  let last: Caller | null = null
  for (let line = first; line !== null; line = line.next) if (line.author === author) last = line
  return last
}

const clientsOf = ({ first }: User): number => {
  let clients = 0
  let before: AuthorId | null = null
  for (let line = first; line !== null; line = line.next) {
    if (line.author !== before) clients++
    before = line.author
  }
  return clients
}

const tooMany = (most: number): Refusal => refusal('too-many-connections', `the limit is ${most}`, 5_000) // a tab may be closed, and what a dead node held frees itself

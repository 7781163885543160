// Who gets a line, and how much may come over it: what each address, each user and each line has taken up of its limits on this node.
// Invariant: a user who is known is held to his own limits alone, never to those of the address that he shares with others; whatever is
// counted up here is counted down when its line has ended.

import type { IncomingMessage } from 'node:http'
import type { Server } from 'socket.io'
import { take } from '../engine/bucket.ts'
import type { Clock, Seats } from '../engine/ports.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId } from '../protocol/ids.ts'
import { addressOf } from './address.ts'
import type { Logger } from './log.ts'
import type { LineLimits } from './options.ts'
import { costOf, type Pace, paceOf, pauseFor, type Rate, spend } from './pace.ts'
import type { Tally } from './tally.ts'

type Engine = Server['engine']
interface EngineSocket {
  readonly request: IncomingMessage
  readonly readyState: string
  readonly transport: object & { readonly writable: boolean }
  on(event: string, listener: (this: EngineSocket, ...words: never[]) => void): unknown
  prependListener(event: string, listener: (this: EngineSocket, ...words: never[]) => void): unknown
  close(discard?: boolean): void
}

/** A user as far as this node knows him. */
interface User {
  readonly id: string
  clients: readonly Client[]
  /** Until when he has spent what he may send. */
  until: number
}

/** A client of a user, with its lines: two while it moves from one to the other. */
interface Client {
  readonly user: User
  readonly author: AuthorId
  lines: readonly EngineSocket[]
}

/** One line, from its first byte to its last. */
export interface Caller {
  /** Where it comes from, for whoever looks on. */
  readonly from: string
  /** While it is a stranger's: where it comes from. */
  address: string | null
  readonly since: number
  client: Client | null
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
  private readonly callers = new Map<EngineSocket, Caller>()
  private readonly users = new Map<string, User>()
  /** Address → when its bucket of handshakes is full again. */
  private readonly knocks = new Map<string, number>()
  /** Address → lines of strangers. */
  private readonly strangers = new Map<string, number>()
  private allKnocks = 0
  /** Lines that were closed, since the last sweep and before it: ws waits half a minute for a peer that does not close its end. */
  private left: EngineSocket[] = []
  private leaving: EngineSocket[] = []

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
    engine.on('connection', (conn: EngineSocket) => {
      const { clock, trustProxy } = this.parts
      const address = addressOf(conn.request, trustProxy)
      this.callers.set(conn, { from: address, address, since: clock.now(), client: null, until: 0, received: 0 })
      this.strangers.set(address, (this.strangers.get(address) ?? 0) + 1)
      conn.on('close', this.ended)
      conn.prependListener('packet', this.packet) // before Socket.IO reads it
      if (!this.heedControlFrames(conn)) conn.on('upgrade', this.upgraded)
    })
  }

  of(conn: object): Caller | null {
    return this.callers.get(conn as EngineSocket) ?? null
  }

  /** Gives a line to a user who is known: from now on his own limits are what counts. A refusal when he has as many clients as he may. */
  async seat(line: object, id: string, author: AuthorId): Promise<Refusal | null> {
    const conn = line as EngineSocket
    const { seats, limits, log, cut } = this.parts
    const most = limits.connectionsPerUser
    const caller = this.callers.get(conn)
    if (caller === undefined) return refusal('internal') // it has gone: nobody hears this
    this.known(caller)
    let user = this.users.get(id)
    let client = user?.clients.find(client => client.author === author)
    if (client === undefined) {
      if ((user?.clients.length ?? 0) >= most) return tooMany(most) // no need to ask the store
      if (user === undefined) this.users.set(id, (user = { id, clients: [], until: 0 }))
      client = { user, author, lines: [] }
      user.clients = user.clients.concat(client) // not by push, which makes room for sixteen more, of every user
    }
    client.lines = client.lines.concat(conn)
    caller.client = client
    let seated = true
    try {
      seated = await seats.take(id, author, most)
    } catch (error) {
      log.debug({ err: error }, 'the seats of users cannot be counted over all nodes now') // those of this node have been
    }
    if (!seated) {
      this.unseat(conn, caller)
      return tooMany(most)
    }
    while (client.lines.length > linesOfClient) {
      const oldest = client.lines[0]!
      this.unseat(oldest, this.callers.get(oldest)!)
      cut(oldest)
    }
    return null
  }

  /** How far ahead of what it may send this line is, or its user. */
  paceOf(caller: Caller): { readonly pace: Pace; readonly pause: number } {
    const now = this.parts.clock.now()
    const until = Math.max(caller.until, caller.client?.user.until ?? 0)
    return { pace: paceOf(until, now), pause: pauseFor(until, now) }
  }

  /** Forgets what time has made good, and ends lines that do not end by themselves. Called about once a second. */
  sweep(): void {
    const { clock, limits } = this.parts
    const now = clock.now()
    for (const [address, fullAt] of this.knocks) if (fullAt <= now) this.knocks.delete(address)
    // Whoever is still here by then has entered a namespace of the application's, which knows whom it lets in.
    for (const caller of this.callers.values())
      if (caller.address !== null && now - caller.since > limits.connectTimeout) this.noStranger(caller)
    for (const conn of this.leaving) this.parts.cut(conn)
    this.leaving = this.left
    this.left = []
  }

  get counts(): { readonly lines: number; readonly strangers: number; readonly clients: number } {
    let strangers = 0
    for (const count of this.strangers.values()) strangers += count
    let clients = 0
    for (const user of this.users.values()) clients += user.clients.length
    return { lines: this.callers.size, strangers, clients }
  }

  private known(caller: Caller): void {
    const { address } = caller
    if (address === null) return
    const { handshakesPerAddress: size } = this.parts.limits
    const fullAt = this.knocks.get(address)
    if (fullAt !== undefined && size > 0) this.knocks.set(address, fullAt - 1_000 / size)
    this.noStranger(caller)
  }

  private noStranger(caller: Caller): void {
    const { address } = caller
    if (address === null) return
    caller.address = null
    const left = (this.strangers.get(address) ?? 1) - 1
    if (left === 0) this.strangers.delete(address)
    else this.strangers.set(address, left)
  }

  private unseat(conn: EngineSocket, caller: Caller): void {
    const { client } = caller
    if (client === null) return
    caller.client = null
    client.lines = client.lines.filter(line => line !== conn)
    if (client.lines.length > 0) return
    const { user, author } = client
    user.clients = user.clients.filter(other => other !== client)
    this.parts.seats.leave(user.id, author)
    if (user.clients.length === 0) this.users.delete(user.id)
  }

  private charge(conn: EngineSocket, bytes: number): void {
    const caller = this.callers.get(conn)
    if (caller !== undefined) this.heard(caller, bytes)
  }

  /** A message of so many bytes has come, past the events that tell of it otherwise. */
  heard(caller: Caller, bytes: number): void {
    this.parts.tally.receivedBytes += bytes
    const now = this.parts.clock.now()
    caller.received += bytes
    caller.until = spend(caller.until, costOf(bytes, this.ofLine), now)
    const user = caller.client?.user
    if (user !== undefined) user.until = spend(user.until, costOf(bytes, this.ofUser), now)
  }

  // These are shared by all lines, which call them as `this`.

  private readonly packet = ((admission: Admission) =>
    function (this: EngineSocket, { data }: { readonly data?: string | Buffer }): void {
      admission.charge(this, data?.length ?? 0)
      const caller = admission.callers.get(this)
      // Whom the gateway talks to it tells why. Nobody else needs to be told.
      if (caller?.client === null && admission.paceOf(caller).pace === 'cut') admission.parts.cut(this)
    })(this)

  private readonly ended = ((admission: Admission) =>
    function (this: EngineSocket): void {
      const caller = admission.callers.get(this)
      if (caller === undefined) return
      admission.callers.delete(this)
      admission.left.push(this)
      admission.noStranger(caller)
      admission.unseat(this, caller)
    })(this)

  private readonly upgraded = ((admission: Admission) =>
    function (this: EngineSocket): void {
      admission.heedControlFrames(this)
    })(this)

  /** Pings are answered while their sender keeps to its rate and reads; ws by itself would answer any number, read or not. */
  private heedControlFrames(conn: EngineSocket): boolean {
    const { socket } = conn.transport as { socket?: WebSocket }
    if (typeof socket?.pong !== 'function') return false
    socket[lineOf] = conn
    socket.on('ping', this.ping)
    socket.on('pong', this.pong)
    return true
  }

  private heed(conn: EngineSocket, bytes: number): Pace | null {
    this.charge(conn, bytes)
    const caller = this.callers.get(conn)
    if (caller === undefined) return null
    const { pace } = this.paceOf(caller)
    if (pace === 'cut') this.parts.cut(conn)
    return pace
  }

  private readonly ping = ((admission: Admission) =>
    function (this: WebSocket, data: Buffer): void {
      const conn = this[lineOf]!
      if (admission.heed(conn, data.length) === 'in step' && conn.transport.writable) this.pong(data)
    })(this)

  /** This server asks in another way, so nobody has to send one. */
  private readonly pong = ((admission: Admission) =>
    function (this: WebSocket, data: Buffer): void {
      admission.heed(this[lineOf]!, data.length)
    })(this)
}

/** On a WebSocket: its line. A listener of its own for each would be a quarter of all that is kept here. */
const lineOf = Symbol('line')

interface WebSocket {
  [lineOf]?: EngineSocket
  on(event: string, listener: (this: WebSocket, data: Buffer) => void): void
  pong(data: Buffer): void
}

const tooMany = (most: number): Refusal => refusal('too-many-connections', `the limit is ${most}`, 5_000) // a tab may be closed, and what a dead node held frees itself

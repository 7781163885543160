// The socket edge: turns Socket.IO connections into conversations with the engine, in both forms of the protocol.
// Invariant: nothing that one socket sends, and no mistake of ours in answering it, reaches another socket or ends the process.

import { createServer as createHttpServer, type IncomingMessage } from 'node:http'
import { type DefaultEventsMap, Server, type Socket } from 'socket.io'
import type { Connection, Engine } from '../engine/index.ts'
import { andThen, type Soon } from '../engine/soon.ts'
import { serverBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId, DocId } from '../protocol/ids.ts'
import { readClientMessage, readHello } from '../protocol/json.ts'
import type { Authenticate, ClientLimits, ClientMessage, DocumentRequest, Refused, Welcome } from '../protocol/messages.ts'
import { createParser, type Parser, refusedOf } from '../protocol/parser.ts'
import { negotiate } from '../protocol/version.ts'
import type { Admission, Caller } from './admission.ts'
import type { Fault } from './checks.ts'
import { Crowd } from './crowd.ts'
import { type Entry, hasTokenInAddress } from './entry.ts'
import { type Conn, corked, type Fanout, type Form, forgetRequest, type Line } from './fanout.ts'
import { authorOf, type Bearer } from './identity.ts'
import { Inlet } from './inlet.ts'
import type { Settings } from './options.ts'
import type { OriginRule } from './origins.ts'
import { Refusing } from './refusing.ts'
import type { Subject } from './revocations.ts'
import type { Tally } from './tally.ts'
import { Pings, settle } from './thrift.ts'
import { Wire, Wires } from './wire.ts'

/** Who a socket is, from its hello on; `talk` from its welcome on. */
interface Visit {
  /** Null once it has been said. */
  welcome: Welcome | null
  readonly bearer: Bearer
  /** Said with the hello, until they are heeded. */
  joins: readonly unknown[]
  talk: Talk | null
}

/** Which connections an operator means: all that fit everything that is named. */
export interface Whom {
  readonly connection?: string | undefined
  readonly user?: string | undefined
  readonly document?: string | undefined
}

/** A connection as an operator sees it. */
export interface Seen {
  /** As the log names it. */
  readonly id: string
  readonly user: Bearer['user']
  readonly author: string
  readonly address: string
  /** Milliseconds since 1970. */
  readonly since: number
  readonly form: Form
  readonly documents: Connection['documents']
  readonly bytesIn: number
  readonly bytesOut: number
  /** Bytes that wait for it, and whether those are so many that it is passed by. */
  readonly waiting: number
  readonly behind: boolean
}

interface Talk {
  readonly line: Line
  readonly connection: Connection
  readonly caller: Caller
  /** When the client was last told that it sends too much. */
  warned: number
  malformed: number
  /** As it was at the last sweep. */
  behind: boolean
  /** A token is being looked at. */
  renewing: boolean
  /** The client has been told that its token has ended. */
  reminded: boolean
  /** Where its turn to be pinged is. */
  readonly slot: number | null
  /** The spread that it was told last. */
  told: number
}

type Io = Server<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, Visit>
type IoSocket = Socket<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, Visit>
type EngineSocket = IoSocket['conn']

/** Where clients come in: by Socket.IO, or past it. */
export interface Endpoint {
  readonly io: Io
  readonly wires: Wires<Talk>
}

export interface GatewayParts {
  readonly settings: Settings
  readonly engine: Engine
  readonly entry: Entry
  readonly fanout: Fanout
  readonly admission: Admission
  readonly allows: OriginRule
  readonly tally: Tally
  readonly randomId: () => string
}

export class Gateway {
  private readonly settings: Settings
  private readonly engine: Engine
  private readonly entry: Entry
  private readonly fanout: Fanout
  private readonly admission: Admission
  private readonly allows: OriginRule
  private readonly tally: Tally
  private readonly randomId: () => string
  /** A connection says hello once; Socket.IO itself would take a second one while the first is being thought about. */
  private readonly greeted = new WeakSet<EngineSocket>()
  private readonly talks = new Set<Talk>()
  private readonly crowd = new Crowd()
  private readonly limits: ClientLimits
  private readonly pings: Pings
  private whenEmpty = (): void => {}
  /** Who was behind at the last two sweeps. */
  private slow: readonly Talk[] = []
  private draining = false
  private stopSweeping: () => void

  constructor({ settings, engine, entry, fanout, admission, allows, tally, randomId }: GatewayParts) {
    this.settings = settings
    this.engine = engine
    this.entry = entry
    this.fanout = fanout
    this.admission = admission
    this.allows = allows
    this.tally = tally
    this.randomId = randomId
    const { messageBytes, opComponents, documentLength, presenceBytes, signalBytes } = settings.limits
    this.limits = { messageBytes, opComponents, documentLength, presenceBytes, signalBytes }
    this.pings = new Pings(settings.limits.pingInterval)
    this.stopSweeping = this.sweepLater()
  }

  /** A Socket.IO server that listens nowhere: the door hands it its requests. */
  endpoint(form: Form, path: string): Endpoint {
    const { limits, transports, log } = this.settings
    const { messageBytes, opComponents, presenceBytes, signalBytes } = limits
    const polling = transports.includes('polling')
    const bounds = { ...serverBounds, messageBytes, opComponents, presenceBytes, signalBytes }
    const parser = weighing(createParser({ end: 'server', form, bounds }), messageBytes)
    const inlet = form === 'binary' ? new Inlet<Talk>(parser, this.heardDirectly) : null
    // A message that is too long ends its connection; one that is far too long is not even read, so it goes without an answer.
    // A line that polls writes bytes as base64.
    const maxPayload = polling ? Math.ceil(((messageBytes + overlong) * 4) / 3) : messageBytes + overlong
    const io: Io = new Server({
      path,
      transports: [...transports],
      parser,
      serveClient: false,
      perMessageDeflate: false, // a compressor for each connection would be fifteen times the memory of all the rest
      maxHttpBufferSize: maxPayload,
      connectTimeout: limits.connectTimeout,
      pingInterval: limits.pingInterval,
      pingTimeout: limits.pingTimeout,
      allowRequest: (request, answer) => {
        if (!this.allows(request)) {
          this.tally.refusals['origin-refused']++
          answer(refusal('origin-refused').message, false)
        } else if (hasTokenInAddress(request.url))
          answer('A token belongs into the payload of CONNECT, not into an address.', false)
        else answer(null, true)
      },
      // Only polling asks for it. A middleware costs every handshake, so without polling there is none.
      ...(polling ? { cors: (request: Asking, answer: CorsAnswer) => answer(null, { origin: this.allows(request) }) } : {}),
    })
    io.attach(createHttpServer()) // makes the engine.io server; this http.Server never listens
    tighten(io.engine)
    this.fanout.watch(io.engine)
    this.admission.watch(io.engine)
    io.engine.on('connection_error', ({ code, message }: { code: number; message: string }) =>
      log.debug({ code, message }, 'handshake refused'),
    )
    // The answer to an upgrade that is granted and Engine.IO's opening leave together.
    io.engine.on('headers', (_: unknown, { headers, socket }: IncomingMessage) => {
      if (headers.upgrade === undefined) return // it polls
      socket.cork()
      setImmediate(() => socket.uncork())
    })
    io.on('new_namespace', namespace =>
      namespace.on('connection', ({ conn }) => {
        this.fanout.bound(conn)
        this.admission.admitted(conn)
      }),
    )
    io.use((socket, next) => void this.answerSocket(socket).then(next))
    io.on('connection', socket => {
      try {
        this.welcomeSocket(form, inlet, socket)
      } catch (error) {
        log.error({ err: error }, 'a connection could not be welcomed')
        socket.conn.close()
      }
    })
    return { io, wires: this.wires(form, io.engine, parser, maxPayload) }
  }

  /** The lines of the same endpoint that go past Socket.IO. */
  private wires(form: Form, engine: object, parser: Parser, maxPayload: number): Wires<Talk> {
    const { admission } = this
    const allows = (request: IncomingMessage): boolean => this.allows(request) && !hasTokenInAddress(request.url)
    const wires: Wires<Talk> = new Wires(
      engine,
      parser,
      { ...this.settings.limits, maxPayload, allows, randomId: this.randomId },
      {
        came: wire => {
          admission.shorten(wire.socket)
          admission.comes(wire, wire.request!)
        },
        heard: (wire, bytes) => admission.hears(wire, bytes),
        hello: (wire, auth) => this.answerWire(form, wires, wire, auth),
        said: ({ talk }, event, content) => {
          if (talk?.line.open) this.heed(talk, event, content)
        },
        aside: wire => {
          if (wire.talk !== null) this.disregard(wire.talk)
          else if (!wire.writable) wire.close()
        },
        broken: ({ talk }, error) => this.cannotRead(talk, error),
        grew: wire => admission.listens(wire),
        asked: ({ talk }) => {
          if (talk !== null && talk.told !== this.crowd.spread) this.tellSpread([talk])
        },
        left: (wire, reason) => {
          const { talk } = wire
          wire.talk = null
          if (talk !== null) this.over(talk, reason)
        },
        ended: wire => admission.ends(wire),
      },
    )
    return wires
  }

  /** Nothing new is begun, and everybody is told to look for another node, each after a time of its own. */
  drain(wait: () => number): void {
    this.draining = true
    for (const { line } of this.talks) {
      const why = refusal('draining', undefined, wait())
      this.fanout.deliver([line], { kind: 'refused', doc: null, handle: null, seq: null, refusal: why })
    }
  }

  /** Somebody's rights may have changed: whoever has no business here any more goes, the others are looked at in their documents. */
  recheck({ user, token, document }: Subject): void {
    for (const talk of [...this.talks]) {
      const { bearer } = talk.line
      if ((user !== undefined && bearer.user.id !== user) || (token !== undefined && bearer.token !== token)) continue
      const no = this.entry.outcast(bearer)
      if (no !== null) this.dismiss(talk, no)
      else talk.connection.recheck(document === undefined ? null : (document as DocId)) // it has been read as one
    }
  }

  close(): void {
    this.stopSweeping()
  }

  /** The connections that fit, up to `limit`, and how many there are in all. */
  seen(whom: Whom, limit: number): { readonly connections: readonly Seen[]; readonly count: number } {
    const found = this.those(whom)
    return { connections: found.slice(0, limit).map(seen), count: found.length }
  }

  /** Closes the connections that fit, and answers how many; who is not kept out by something else comes back. */
  kick(whom: Whom): number {
    const found = this.those(whom)
    for (const { line } of found) {
      line.close()
      this.settings.clock.after(farewell, () => line.cut())
    }
    return found.length
  }

  private those({ connection, user, document }: Whom): readonly Talk[] {
    return [...this.talks].filter(
      talk =>
        (connection === undefined || talk.line.name === connection) &&
        (user === undefined || talk.line.bearer.user.id === user) &&
        (document === undefined || talk.connection.documents.some(({ id }) => id === document)),
    )
  }

  /** Whether more clients than one in a hundred read too slowly at present; a few telephones in tunnels always do. */
  slowReaders(): Fault | null {
    const { slow } = this
    if (slow.length === 0 || slow.length * 100 < this.talks.size) return null
    return {
      reason: `${slow.length} of ${this.talks.size} clients read more slowly than they are sent`,
      mend: 'nothing: each is passed by and catches up, or is cut after stuckTime; if it is all of them, look at this node’s network',
      unready: false,
      detail: slow
        .slice(0, 10)
        .map(({ line }) => line.bearer.user.id)
        .join(', '),
    }
  }

  get size(): number {
    return this.talks.size
  }

  /** Resolves when the last client has gone. */
  emptied(): Promise<void> {
    return this.talks.size === 0 ? Promise.resolve() : new Promise(resolve => (this.whenEmpty = resolve))
  }

  /** Answers a hello; Socket.IO passes that on, or closes. */
  private async answerSocket(socket: IoSocket): Promise<Error | undefined> {
    const { conn, handshake, request } = socket
    const again = this.greeted.has(conn)
    this.greeted.add(conn)
    const answer = await this.visitOf(conn, handshake.auth, request, again)
    if ('welcome' in answer) {
      socket.data = answer
      corked(conn) // the answer to CONNECT and the welcome leave together
      return undefined
    }
    setImmediate(() => conn.close()) // Socket.IO has written the refusal by then
    return new Refusing(answer)
  }

  /** The same on a line that goes past it. */
  private answerWire(form: Form, wires: Wires<Talk>, wire: Wire<Talk>, auth: unknown): void {
    const again = wire.stage !== 'silent'
    if (!again) wire.stage = 'greeting'
    // What comes in the same breath comes before the answer, here as there.
    void breath.then(() => {
      if (wire.readyState !== 'open') return undefined
      return andThen(this.visitOf(wire, auth, wire.request!, again), answer => this.letIn(form, wires, wire, answer))
    })
  }

  private letIn(form: Form, wires: Wires<Talk>, wire: Wire<Talk>, answer: Visit | Refusal): void {
    if (wire.readyState !== 'open') return
    try {
      if ('code' in answer) {
        wires.refuse(wire, new Refusing(answer))
        return wire.close()
      }
      wire.talk = this.welcome(form, wire, answer, null, wires.admit(wire))
      if (wire.talk === null) return
      this.lookAgain(wire.talk)
      this.joinAhead(wire.talk, answer)
    } catch (error) {
      this.settings.log.error({ err: error }, 'a connection could not be welcomed')
      wire.close()
    }
  }

  /** Reads a hello and finds out who says it. `again`: the line has said one before. */
  private visitOf(conn: Conn, auth: unknown, request: IncomingMessage, again: boolean): Soon<Visit | Refusal> {
    const found = (answer: Visit | Refusal): Visit | Refusal => {
      if ('welcome' in answer || conn.readyState !== 'open') return answer
      this.tally.refusals[answer.code]++
      this.settings.log.debug({ code: answer.code }, 'hello refused')
      return answer
    }
    const failed = (error: unknown): Visit | Refusal => {
      this.settings.log.error({ err: error }, 'a hello could not be answered')
      return found(refusal('internal'))
    }
    try {
      const answer = again ? refusal('malformed', 'this connection has said hello before') : this.find(conn, auth, request)
      return answer instanceof Promise ? answer.then(found).catch(failed) : found(answer)
    } catch (error) {
      return failed(error)
    }
  }

  private find(conn: Conn, auth: unknown, request: IncomingMessage): Soon<Visit | Refusal> {
    if (this.draining) return refusal('draining')
    const hello = readHello(auth)
    if (!hello.ok) return hello.refusal
    const { key, token, protocol, joins = none } = hello.message
    const agreed = negotiate(protocol)
    if (typeof agreed !== 'number') return agreed
    const author = authorOf(key)
    return andThen(this.entry.whoIs(token, request, author), bearer =>
      'code' in bearer
        ? bearer
        : andThen(this.admission.seat(conn, bearer.user.id, author), full => full ?? this.visitor(agreed, author, bearer, joins)),
    )
  }

  private visitor(protocol: number, author: AuthorId, bearer: Bearer, joins: Visit['joins']): Visit | Refusal {
    if (this.draining) return refusal('draining') // since it was asked who this is
    const { limits } = this
    const { spread } = this.crowd
    const { user } = bearer
    const expiresIn = this.expiresIn(bearer)
    return { welcome: { kind: 'welcome', protocol, author, user, expiresIn, limits, spread }, bearer, joins, talk: null }
  }

  private welcomeSocket(form: Form, inlet: Inlet<Talk> | null, socket: IoSocket): void {
    const talk = this.welcome(form, socket.conn, socket.data, this.pings.take(socket.conn))
    if (talk === null) return
    socket.data.talk = talk
    forgetRequest(socket)
    this.fanout.follow(talk.line)
    inlet?.open(talk)
    socket.onAny(this.heard)
    socket.on('error', this.broken)
    socket.on('disconnect', this.gone)
    settle(socket, inlet !== null)
    this.lookAgain(talk)
    this.joinAhead(talk, socket.data)
  }

  /** What has been said with the hello is heeded as if each had come right behind it. */
  private joinAhead(talk: Talk, visit: Visit): void {
    const { joins } = visit
    visit.joins = none
    for (const join of joins) {
      if (!talk.line.open) return
      const read = readClientMessage('join', join)
      if (read.ok) this.heardDirectly(talk, 'join', read.message, 0)
      else this.heardDirectly(talk, 'refused', refusedOf(read), 0)
    }
  }

  /**
   * Begins a conversation; null: it has been begun before, or the line has ended meanwhile. `answer`: what is still to be said to
   * the hello, in the packet of CONNECT.
   */
  private welcome(form: Form, conn: Conn, visit: Visit, slot: number | null, answer?: string | Uint8Array): Talk | null {
    const { welcome, bearer } = visit
    if (welcome === null) return null
    visit.welcome = null
    const line = this.fanout.open(form, welcome.author, conn, bearer)
    if (answer === undefined) this.fanout.deliver([line], welcome)
    else this.fanout.welcome(line, answer, welcome)
    const caller = this.admission.of(conn)
    if (caller === null) {
      conn.close()
      return null
    }
    const connection = this.engine.connect(welcome, line)
    const talk: Talk = {
      line,
      connection,
      caller,
      warned: 0,
      malformed: 0,
      behind: false,
      renewing: false,
      reminded: false,
      slot,
      told: welcome.spread,
    }
    this.talks.add(talk)
    this.tally.welcomed++
    const { log } = this.settings
    if (log.isLevelEnabled('info')) log.info({ ...this.whose(talk), author: welcome.author, form }, 'connected')
    this.crowd.outgrown(this.talks.size)
    return talk
  }

  /** It may have been revoked since the hello. */
  private lookAgain(talk: Talk): void {
    const no = this.entry.outcast(talk.line.bearer)
    if (no !== null) this.dismiss(talk, no)
  }

  // These are shared by all sockets; Socket.IO calls them with the socket as `this`.

  private readonly heard = ((gateway: Gateway) =>
    function (this: IoSocket, event: string, content: unknown): void {
      const { talk } = this.data
      if (talk?.line.open) gateway.heed(talk, event, content)
    })(this)

  private readonly heardDirectly = (talk: Talk, event: string, content: unknown, bytes: number): void => {
    this.admission.heard(talk.caller, bytes)
    this.heed(talk, event, content)
  }

  private heed(talk: Talk, event: string, content: unknown): void {
    try {
      this.hear(talk, event, content)
    } catch (error) {
      this.settings.log.error({ err: error, ...this.whose(talk) }, 'a message could not be answered')
      this.refuse(talk, { ...nothing, refusal: refusal('internal') })
    }
  }

  private readonly broken = ((gateway: Gateway) =>
    function (this: IoSocket, error: Error): void {
      gateway.cannotRead(this.data.talk, error)
    })(this)

  private readonly gone = ((gateway: Gateway) =>
    function (this: IoSocket, reason: string): void {
      const { talk } = this.data
      if (talk === null) return
      this.data.talk = null
      gateway.fanout.forget(this.conn)
      gateway.pings.forget(this.conn, talk.slot)
      gateway.over(talk, reason)
    })(this)

  /** The parser gave up on a frame. The connection is closed next; what we write now still goes out. */
  private cannotRead(talk: Talk | null, error: Error): void {
    if (talk === null) return
    this.settings.log.debug({ ...this.whose(talk), reason: error.name }, 'a frame could not be read')
    this.refuse(talk, { ...nothing, refusal: error instanceof Refusing ? error.data : refusal('malformed', error.message) })
    talk.line.close() // before Socket.IO does, which lets go of what waits for the end of the tick
  }

  /** A conversation is over: its line has ended, or has left the namespace. */
  private over(talk: Talk, reason: string): void {
    this.settings.log.info({ ...this.whose(talk), reason }, 'disconnected')
    this.talks.delete(talk)
    if (this.talks.size === 0) this.whenEmpty()
    talk.line.close() // it has nothing more to say
    try {
      talk.connection.close()
    } catch (error) {
      this.settings.log.error({ err: error }, 'a connection could not be closed')
    }
  }

  private hear(talk: Talk, event: string, content: unknown): void {
    if (this.entry.overdue(talk.line.bearer, this.settings.limits.tokenGrace)) return this.dismiss(talk, expired())
    const { received } = this.tally
    if (event === 'submit')
      received.submit++ // nearly all are; a name that is only known then is looked up far more slowly
    else received[isKind(received, event) ? event : 'malformed']++
    if (!this.inStep(talk, event, content)) return
    switch (event) {
      case 'join':
        if (this.draining) {
          const { doc } = content as ClientMessage & { kind: 'join' }
          return this.refuse(talk, { ...nothing, doc, refusal: refusal('draining') })
        }
        return talk.connection.receive(content as DocumentRequest)
      case 'leave':
      case 'submit':
      case 'present':
      case 'signal':
        return talk.connection.receive(content as DocumentRequest) // the parser gives these names to sound messages only
      case 'probe':
        return this.tellSpread([talk])
      case 'authenticate':
        this.renew(talk, content as Authenticate).catch(error => {
          this.settings.log.error({ err: error }, 'a token could not be looked at')
          this.refuse(talk, { ...nothing, refusal: refusal('internal') })
        })
        return
      case 'refused':
        return this.objectTo(talk, content as Refused) // the parser's own finding; no peer can send it
      default:
        return this.objectTo(talk, { ...nothing, refusal: refusal('malformed', 'no message of a client has this name') })
    }
  }

  /** Whether a message is to be heeded, given how much came before it. One that is refused has its answer by then. */
  private inStep(talk: Talk, event: string, content: unknown): boolean {
    const { pace, pause } = this.admission.paceOf(talk.caller)
    if (pace === 'in step') return true
    const no = (what: Partial<Refused>): void =>
      this.refuse(talk, { ...nothing, ...what, refusal: refusal('slow-down', undefined, pause) })
    if (pace === 'cut') {
      this.dismiss(talk, refusal('slow-down', 'far too much, for too long', pause))
      return false
    }
    const now = this.settings.clock.now()
    if (now - talk.warned >= warning) {
      talk.warned = now
      no({})
    }
    if (pace === 'warned' || event === 'leave') return true
    if (event === 'present' || event === 'signal') return false // the next one says more than this one
    if (pace === 'quiet') return true
    const { doc = null, handle = null, seq = null } = content as { doc?: DocId; handle?: Refused['handle']; seq?: Refused['seq'] }
    if (event === 'submit') no({ handle, seq })
    else if (event === 'join') no({ doc })
    return false
  }

  /** What is no message is bounded as messages are: in how much comes of it, and in what waits for a client that does not read. */
  private disregard(talk: Talk): void {
    const { pace, pause } = this.admission.paceOf(talk.caller)
    if (pace === 'cut') return this.dismiss(talk, refusal('slow-down', 'far too much, for too long', pause))
    if (talk.line.held <= this.settings.limits.waitingBytes) return
    this.tally.cuts.waiting++
    talk.line.cut()
  }

  /** Takes another token for a line that is open. One that is not taken changes nothing. */
  private async renew(talk: Talk, { token }: Authenticate): Promise<void> {
    const { line, connection } = talk
    const no = (why: Refusal): void => this.refuse(talk, { ...nothing, refusal: why })
    if (talk.renewing) return no(refusal('slow-down', 'another token is being looked at'))
    talk.renewing = true
    try {
      const bearer = await this.entry.whoIs(token, null, line.author)
      if (!line.open) return
      if ('code' in bearer) return no(bearer)
      if (bearer.user.id !== line.bearer.user.id)
        return no(refusal('unauthenticated', 'the token is that of another user: connect anew with it'))
      line.bearer = bearer
      talk.reminded = false
      this.fanout.deliver([line], { kind: 'authenticated', user: bearer.user, expiresIn: this.expiresIn(bearer) })
      connection.renew(bearer.user)
    } finally {
      talk.renewing = false
    }
  }

  private expiresIn({ expires }: Bearer): number | null {
    return expires === null ? null : Math.max(0, expires - this.settings.clock.now())
  }

  /** Looks at every line now and then: no line has a timer of its own. */
  private sweepLater(): () => void {
    return this.settings.clock.after(sweeping, () => {
      this.sweep()
      this.stopSweeping = this.sweepLater()
    })
  }

  private sweep(): void {
    const { tokenGrace, stuckTime } = this.settings.limits
    this.admission.sweep()
    this.pings.turn()
    let [held, behind] = [0, 0]
    const { spread } = this.crowd
    const slow: Talk[] = []
    const toTell: Talk[] = []
    for (const talk of this.talks) {
      const wasBehind = talk.behind
      talk.behind = talk.line.behind
      held += talk.line.held
      if (talk.behind) {
        behind++
        if (wasBehind) slow.push(talk)
      }
      // The others hear it with their ping, in one write.
      if (talk.told !== spread && !(talk.line.conn instanceof Wire)) toTell.push(talk)
      if (talk.line.stands() * sweeping > stuckTime) {
        this.tally.cuts.stuck++
        this.settings.log.info(this.whose(talk), 'a connection is cut: it has read nothing for too long')
        talk.line.cut()
        continue
      }
      const { bearer } = talk.line
      if (!this.entry.overdue(bearer, 0)) continue
      if (this.entry.overdue(bearer, tokenGrace)) this.dismiss(talk, expired())
      else if (!talk.reminded) {
        talk.reminded = true
        this.refuse(talk, { ...nothing, refusal: refusal('unauthenticated', 'the token has expired: bring another one') })
      }
    }
    this.slow = slow
    Object.assign(this.tally, { heldBytes: held, behind })
    this.tellSpread(toTell)
  }

  /** Tells why, and is done with a client, whether it reads that or not. */
  private dismiss(talk: Talk, why: Refusal): void {
    const { line, connection } = talk
    this.settings.log.info({ ...this.whose(talk), code: why.code, detail: why.detail }, 'a connection is closed')
    this.refuse(talk, { ...nothing, refusal: why })
    connection.close()
    line.close()
    this.settings.clock.after(farewell, () => line.cut())
  }

  private objectTo(talk: Talk, answer: Refused): void {
    this.refuse(talk, answer)
    if (++talk.malformed <= this.settings.limits.malformedMessages) return
    this.settings.log.warn(
      { ...this.whose(talk), malformed: talk.malformed },
      'a connection is closed: it sends too much that is no message',
    )
    talk.line.close()
  }

  private tellSpread(talks: readonly Talk[]): void {
    const { spread } = this.crowd
    for (const talk of talks) talk.told = spread
    const lines = talks.map(({ line }) => line)
    this.fanout.deliver(lines, { kind: 'alive', spread })
  }

  private whose({ line }: Talk): { readonly connection: string; readonly user: string } {
    return { connection: line.name, user: line.bearer.user.id }
  }

  private refuse({ line }: Talk, answer: Refused): void {
    this.fanout.deliver([line], answer)
  }
}

const isKind = <T extends object>(table: T, name: string): name is keyof T & string => Object.hasOwn(table, name)

const seen = ({ line, connection, caller }: Talk): Seen => ({
  id: line.name,
  user: line.bearer.user,
  author: line.author,
  address: caller.from,
  since: caller.since,
  form: line.form,
  documents: connection.documents,
  bytesIn: caller.received,
  bytesOut: line.sent,
  waiting: line.held,
  behind: line.behind,
})

const breath = Promise.resolve()

const none: Visit['joins'] = []

const nothing = { kind: 'refused', doc: null, handle: null, seq: null } as const

const expired = (): Refusal => refusal('unauthenticated', 'the token has expired')

const sweeping = 1_000 // ms between two looks at all lines: by so much a token may outlive its grace
const warning = 1_000 // ms between two words to a client that sends too much
const farewell = 1_000 // ms for a client that is dismissed to read why

const overlong = 65_536 // bytes above the limit that are still taken in, so that the sender learns what was wrong

/** The parser, with a word of its own for a frame that is too long. */
const weighing = ({ Encoder, Decoder }: Parser, most: number): Parser => ({
  Encoder,
  Decoder: class extends Decoder {
    override add(frame: unknown): void {
      const size = typeof frame === 'string' ? Buffer.byteLength(frame) : frame instanceof Uint8Array ? frame.length : 0
      if (size > most) throw new Refusing(refusal('message-too-large', `${size} bytes, the limit is ${most}`))
      super.add(frame)
    }
  },
})

type Asking = Parameters<OriginRule>[0]
type CorsAnswer = (error: Error | null, options: { origin: boolean }) => void

/**
 * ws reads 16,384 fragments and 262,144 chunks of a message before it objects, and engine.io passes no other number on. Browsers cut
 * a message of a megabyte into some hundred.
 */
const tighten = (engine: object): void => {
  const options = (engine as { ws?: { options?: { maxFragments?: number; maxBufferedChunks?: number; autoPong?: boolean } } }).ws
    ?.options
  if (options === undefined) return // another ws engine, or none
  options.autoPong = false // admission answers pings
  options.maxFragments = 1_024
  options.maxBufferedChunks = 8_192
}

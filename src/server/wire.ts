// The short way for a WebSocket over which documents alone are spoken of: what Engine.IO and Socket.IO say on the wire, without their
// objects, of which a connection has more than of everything else together.
//
//   upgrade ── plainly a WebSocket of Engine.IO 4 ─► Wire ─────────────────► Gateway
//      └────── anything else, or an application that has taken `server.io` ─ engine.io ─ Socket.IO ─► Gateway
//
// Invariant: who is at the other end cannot tell which way its line goes.

import type { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Decoder, Encoder, Packet, Parser } from '../protocol/parser.ts'
import { beside, binaryFrame, type Conn, frameFor, textFrame } from './fanout.ts'
import { answerTo, PlainSocket } from './plain.ts'
import { Straight } from './straight.ts'
import { lightenSocket } from './thrift.ts'

/** How far a line has come: it has said nothing, has said hello, is in, has left and is about to end, or has ended. */
type Stage = 'silent' | 'greeting' | 'in' | 'out' | 'ended'

/** A Wire, as those see it who do not care who talks over it. */
type Any = Pick<Wire<unknown>, 'hear' | 'end' | 'greeted' | 'timer'>

/** A WebSocket as ws has it, and whose it is. */
interface WebSocket extends EventEmitter, Owned {
  readonly readyState: number
  readonly _socket: NetSocket | null
  readonly _receiver?: EventEmitter & { _maxPayload?: number }
  setSocket(socket: Duplex, head: Buffer, options: object): void
  close(): void
  terminate(): void
}

interface Owned {
  [wireOf]?: Any
}

const wireOf = Symbol('wire')

/** What engine.io has made for its WebSockets. */
interface WebSocketServer {
  readonly options: object & { readonly WebSocket?: new (address: null, protocols: undefined, options: object) => WebSocket }
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, then: (ws: WebSocket) => void): void
  close(): void
}

/** Who hears of what happens on the lines. */
export interface Ears<Talk> {
  came(wire: Wire<Talk>): void
  /** So many bytes, before anybody looks at what they say. */
  heard(wire: Wire<Talk>, bytes: number): void
  hello(wire: Wire<Talk>, auth: unknown): void
  said(wire: Wire<Talk>, event: string, content: unknown): void
  /** It has said what nobody heeds, and what may have been answered all the same. */
  aside(wire: Wire<Talk>): void
  /** A frame cannot be read; the line is closed next. */
  broken(wire: Wire<Talk>, error: Error): void
  /** It has left the conversation, if it was in one. */
  left(wire: Wire<Talk>, reason: string): void
  ended(wire: Wire<Talk>): void
  /** Its WebSocket is one of ws' from now on. */
  grew(wire: Wire<Talk>): void
  /** It is about to be asked whether it is there: what is written now leaves together with that. */
  asked(wire: Wire<Talk>): void
}

/** One line. To whoever writes it is what a connection of engine.io is, and its transport: there is no other that it could move to. */
export class Wire<Talk> implements Conn {
  socket: WebSocket | PlainSocket
  readonly name = 'websocket'
  readonly upgrading = false
  /** What opened it; null once it is in. */
  request: IncomingMessage | null
  stage: Stage = 'silent'
  talk: Talk | null = null
  /** Runs while a hello, or the answer to a ping, is waited for. */
  timer: NodeJS.Timeout | null = null
  /** Something else has come meanwhile, which is as good once. */
  refreshed = false
  /** When it is asked. */
  slot = 0
  private readonly house: Wires<Talk>

  constructor(socket: WebSocket | PlainSocket, request: IncomingMessage, house: Wires<Talk>) {
    this.socket = socket
    this.request = request
    this.house = house
  }

  /** What its WebSocket has received. */
  hear(data: Buffer, isBinary: boolean): void {
    this.house.hear(this, data, isBinary)
  }

  /** Its WebSocket has ended. */
  end(reason: string): void {
    this.house.end(this, reason)
  }

  /** No field of its own: the first line that ends would change it, and V8 compile anew all that had counted on it. */
  get readyState(): 'open' | 'closed' {
    return this.stage === 'ended' ? 'closed' : 'open'
  }

  /** Whether its hello has been answered. */
  get greeted(): boolean {
    return this.stage === 'in' || this.stage === 'out'
  }

  /** Whether it owes an answer to a ping. */
  get asked(): boolean {
    return this.timer !== null && this.greeted
  }

  get transport(): this {
    return this
  }

  /** Whether what was said to it so far has been taken, but for a little: who reads nothing is sent nothing that can be left out. */
  get writable(): boolean {
    return this.socket._socket?.writableNeedDrain !== true
  }

  /** Nothing is ever held back here: Node does that. */
  get writeBuffer(): readonly never[] {
    return nothing
  }

  /** What can be written is written into the socket, past this; what cannot, the client will not read. */
  send(): void {}

  close(): void {
    this.house.end(this, 'forced close')
  }
}

const nothing: readonly never[] = []

/** What Socket.IO's packets are called on the wire. */
const connect = 0
const disconnect = 1
const event = 2
const ack = 3
const connectError = 4

export interface WireOptions {
  /** Milliseconds. */
  readonly connectTimeout: number
  readonly pingInterval: number
  readonly pingTimeout: number
  /** Bytes. */
  readonly maxPayload: number
  /** Looks at a request as engine.io does before it opens a line. */
  readonly allows: (request: IncomingMessage) => boolean
  readonly randomId: () => string
}

/** All lines of one endpoint that go the short way. */
export class Wires<Talk> {
  /** An application has taken Socket.IO in hand: whoever comes now goes the ordinary way, where it can be found. */
  taken = false
  private readonly ws: WebSocketServer | null
  private readonly encoder: Encoder
  private readonly decoder: Decoder
  private packet: Packet | null = null
  private readonly ears: Ears<Talk>
  private readonly options: WireOptions
  private readonly opening: string
  private readonly rounds: Rounds<Wire<Talk>>
  private readonly straight = new Straight(heard)
  private readonly plain = {
    came: this.straight.came,
    takeOver: (plain: PlainSocket & Owned) => this.takeOver(plain),
    closed: (plain: PlainSocket & Owned) => plain[wireOf]!.end('transport close'),
  }
  private closed = false

  /** @param engine engine.io, of whose WebSockets these are like */
  constructor(engine: object, { Encoder, Decoder }: Parser, options: WireOptions, ears: Ears<Talk>) {
    const { ws } = engine as { ws?: WebSocketServer & { constructor: new (options: object) => WebSocketServer } }
    // One of our own, without the listeners of engine.io, which look for what it has found in a request.
    this.ws = typeof ws?.handleUpgrade === 'function' ? new ws.constructor(ws.options) : null
    this.encoder = new Encoder()
    this.decoder = new Decoder().on('decoded', packet => {
      this.packet = packet
    })
    this.options = options
    this.ears = ears
    const { pingInterval, pingTimeout, maxPayload } = options
    this.opening = `,"upgrades":[],${JSON.stringify({ pingInterval, pingTimeout, maxPayload }).slice(1)}`
    this.rounds = new Rounds(pingInterval, wire => this.ask(wire))
    this.learn()
    Object.assign(engine, { [beside]: this })
  }

  /** False: this is not plainly a line of ours, and nothing has been done. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (this.ws === null || this.taken || request.method !== 'GET' || !isPlain(request.url) || !this.options.allows(request))
      return false
    const answer = this.straight.knows && !this.closed ? answerTo(request, socket, head) : null
    if (answer !== null) {
      this.openPlainly(answer, request, socket as NetSocket)
      return true
    }
    socket.cork() // the answer and Engine.IO's opening leave together
    this.ws.handleUpgrade(request, socket, head, ws => this.open(ws, request))
    socket.uncork()
    return true
  }

  get all(): readonly Wire<Talk>[] {
    return this.rounds.all
  }

  /** Lets it in, and answers with the packet that tells it so. */
  admit(wire: Wire<Talk>): string | Uint8Array {
    wire.stage = 'in'
    wire.request = null
    this.calm(wire)
    lightenSocket(wire.socket)
    return this.encoder.encode({ type: connect, nsp: '/', data: { sid: this.options.randomId() } })[0]!
  }

  /** Tells why it is not let in. */
  refuse(wire: Wire<Talk>, { message, data }: { readonly message: string; readonly data?: unknown }, nsp = '/'): void {
    this.write(wire, { type: connectError, nsp, data: { message, ...(data === undefined ? {} : { data }) } })
  }

  /** As engine.io does it: it is over here at once, and its peer may take its time. */
  end(wire: Wire<Talk>, reason: string): void {
    const { stage } = wire
    if (stage === 'ended') return
    wire.stage = 'ended'
    this.calm(wire)
    this.rounds.forget(wire)
    wire.socket.close()
    if (stage === 'in') this.ears.left(wire, reason)
    wire.request = null
    this.ears.ended(wire)
  }

  close(): void {
    this.closed = true
    for (const wire of this.all) wire.socket.terminate()
    this.rounds.close()
    this.ws?.close()
  }

  /** Looks at ws once, over a socket that leads nowhere: whether it is inside as it has been for years. */
  private learn(): void {
    const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    const ws = this.made(nowhere, 0)
    if (ws !== null) this.straight.open(ws)
    nowhere.destroy()
  }

  /** A WebSocket of ws, over a socket on which an upgrade has been answered. */
  private made(socket: Duplex, maxPayload: number): WebSocket | null {
    const { options } = this.ws ?? {}
    if (typeof options?.WebSocket !== 'function') return null
    const ws = new options.WebSocket(null, undefined, options)
    ws.setSocket(socket, Buffer.alloc(0), { ...options, maxPayload })
    return ws
  }

  private open(ws: WebSocket, request: IncomingMessage): void {
    const wire = new Wire<Talk>(ws, request, this)
    this.listen(wire, ws)
    this.begin(wire)
    this.putFrame(wire, this.openingFrame())
    this.ears.came(wire)
  }

  private openPlainly(answer: string, request: IncomingMessage, socket: NetSocket): void {
    const plain: PlainSocket & Owned = new PlainSocket(socket, this.options.maxPayload, this.plain)
    const wire = new Wire<Talk>(plain, request, this)
    plain[wireOf] = wire
    this.begin(wire)
    const opening = this.openingFrame()
    const both = Buffer.allocUnsafe(answer.length + opening.length)
    both.write(answer, 'latin1')
    opening.copy(both, answer.length)
    this.putFrame(wire, both)
    this.ears.came(wire)
  }

  private begin(wire: Wire<Talk>): void {
    wire.timer = setTimeout(lapsed, this.options.connectTimeout, wire)
    this.rounds.take(wire)
  }

  private listen(wire: Wire<Talk>, ws: WebSocket): void {
    ws[wireOf] = wire
    ws.on('message', heard)
    this.straight.open(ws)
    ws.on('close', closed)
    ws.on('error', failed)
  }

  /** ws goes on with a line on which something else than messages has come, or which is to be closed. */
  private takeOver(plain: PlainSocket & Owned): WebSocket {
    const wire = plain[wireOf] as Wire<Talk>
    const ws = this.made(plain._socket, plain._maxPayload)! // it could be made when it was looked at
    wire.socket = ws
    this.listen(wire, ws)
    this.ears.grew(wire)
    if (wire.stage === 'in') lightenSocket(ws)
    return ws
  }

  hear(wire: Wire<Talk>, data: Buffer, isBinary: boolean): void {
    if (wire.readyState !== 'open') return
    const first = isBinary ? binary : data[0]
    this.ears.heard(wire, isBinary ? data.length : Math.max(0, data.length - 1))
    if (first === pong) return wire.asked ? this.calm(wire) : this.ears.aside(wire)
    if (wire.asked && !wire.refreshed) {
      wire.timer!.refresh()
      wire.refreshed = true
    }
    switch (first) {
      case binary:
        return this.read(wire, data)
      case message:
        return this.read(wire, data.toString('utf8', 1))
      case base64:
        return this.read(wire, Buffer.from(data.toString('latin1', 1), 'base64'))
      case ping:
        return this.end(wire, 'transport error') // only servers ask
      default:
        if (first !== undefined && idle.has(first)) this.ears.aside(wire)
        else this.end(wire, 'parse error')
    }
  }

  private read(wire: Wire<Talk>, frame: Buffer | string): void {
    try {
      this.decoder.add(frame)
    } catch (error) {
      this.ears.broken(wire, error as Error)
      return wire.close()
    }
    this.take(wire, this.packet!)
  }

  private take(wire: Wire<Talk>, { type, nsp, data }: Packet): void {
    if (nsp !== '/') {
      // There is none; but where an application makes one only now, the line finds it when it comes again.
      if (type !== connect || this.taken || wire.stage === 'out') return wire.close()
      this.refuse(wire, { message: 'Invalid namespace' }, nsp)
      return this.ears.aside(wire)
    }
    if (wire.stage !== 'in') {
      if (type !== connect) return wire.close()
      return this.ears.hello(wire, data ?? {})
    }
    switch (type) {
      case event: {
        const [name, content] = data as [string, unknown]
        return this.ears.said(wire, name, content)
      }
      case ack:
        return this.ears.aside(wire) // of nothing: nobody here asks for one
      case disconnect:
        return this.out(wire, 'client namespace disconnect')
      default:
        return wire.close()
    }
  }

  private out(wire: Wire<Talk>, reason: string): void {
    wire.stage = 'out' // whoever hears of it may end the line
    this.ears.left(wire, reason)
  }

  private ask(wire: Wire<Talk>): void {
    if (wire.timer !== null) return // it has been asked, or has not even said hello
    const tcp = wire.socket._socket
    tcp?.cork()
    this.ears.asked(wire)
    this.putFrame(wire, pingFrame)
    tcp?.uncork()
    wire.refreshed = false
    wire.timer = setTimeout(lapsed, this.options.pingTimeout, wire)
  }

  private calm(wire: Wire<Talk>): void {
    if (wire.timer !== null) clearTimeout(wire.timer)
    wire.timer = null
  }

  private write(wire: Wire<Talk>, packet: Packet): void {
    const [frame] = this.encoder.encode(packet)
    if (typeof frame === 'string') this.put(wire, textFrame, `4${frame}`)
    else this.put(wire, binaryFrame, frame!)
  }

  private put(wire: Wire<Talk>, first: number, payload: string | Uint8Array): void {
    this.putFrame(wire, framed(first, payload))
  }

  private openingFrame(): Buffer {
    return framed(textFrame, `0{"sid":"${this.options.randomId()}"${this.opening}`)
  }

  private putFrame({ socket }: Wire<Talk>, frame: Buffer): void {
    if (socket.readyState === 1) socket._socket?.write(frame)
  }
}

const framed = (first: number, payload: string | Uint8Array): Buffer => {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
  const frame = frameFor(first, bytes.length)
  frame.set(bytes, frame.length - bytes.length)
  return frame
}

// ---- Engine.IO's packets by their first byte; a binary message has none, and a number of its own here

const binary = -1
const ping = 0x32
const pong = 0x33
const message = 0x34
const base64 = 0x62
const idle: ReadonlySet<number> = new Set([0x30, 0x31, 0x35, 0x36]) // open, close, upgrade, noop: of no meaning here
const pingFrame = Buffer.from([textFrame, 1, ping])

/** Whether an address asks for a WebSocket of Engine.IO 4 and nothing besides that Engine.IO would heed; most ask in the same words. */
const isPlain = (url = ''): boolean => {
  const at = url.indexOf('?')
  const query = at < 0 ? '' : url.slice(at + 1)
  if (query === 'EIO=4&transport=websocket') return true
  if (url.includes('#') || !URL.canParse(url, 'https://any.host')) return false
  const asked = new URLSearchParams(query)
  const is = (name: string, value: string): boolean => asked.getAll(name).join() === value
  return is('EIO', '4') && is('transport', 'websocket') && !asked.has('sid') && !asked.has('b64')
}

// ---- these are shared by all lines

function heard(this: Owned, data: Buffer, isBinary: boolean): void {
  this[wireOf]!.hear(data, isBinary)
}

function closed(this: WebSocket): void {
  this[wireOf]!.end('transport close')
}

function failed(this: WebSocket): void {
  this[wireOf]!.end('transport error')
}

/** No hello in time, or no answer. */
const lapsed = (wire: Any): void => {
  wire.timer = null
  wire.end(wire.greeted ? 'ping timeout' : 'forced close')
}

/** Calls on everybody once in an interval, on each when his turn comes: one timer for all of them. */
class Rounds<One extends { slot: number }> {
  /** By the step of a round in which they have their turn: that in which they came, so not all of them at once. */
  private readonly slots = new Map<number, Set<One>>()
  private readonly call: (one: One) => void
  private readonly step: number
  private readonly steps: number
  private at = 0
  private timer: NodeJS.Timeout | null = null
  /** When it began, and how many steps there have been since: an interval of Node's comes a little later each time. */
  private began = 0
  private made = 0

  /** @param interval milliseconds */
  constructor(interval: number, call: (one: One) => void) {
    this.call = call
    this.step = Math.max(shortest, Math.min(longest, interval / 16))
    this.steps = Math.max(1, Math.round(interval / this.step))
  }

  get all(): One[] {
    return [...this.slots.values()].flatMap(slot => [...slot])
  }

  take(one: One): void {
    one.slot = this.at
    const slot = this.slots.get(this.at)
    if (slot === undefined) this.slots.set(this.at, new Set([one]))
    else slot.add(one)
    if (this.timer !== null) return
    this.timer = setInterval(() => this.turn(), this.step).unref()
    this.began = performance.now()
    this.made = 0
  }

  forget(one: One): void {
    const slot = this.slots.get(one.slot)
    slot?.delete(one)
    if (slot?.size === 0) this.slots.delete(one.slot)
    if (this.slots.size === 0) this.close()
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  private turn(): void {
    const due = Math.floor((performance.now() - this.began) / this.step)
    for (let step = Math.max(this.made, due - this.steps); step < due; step++) {
      this.at = (this.at + 1) % this.steps
      for (const one of this.slots.get(this.at) ?? []) this.call(one)
    }
    this.made = due
  }
}

const longest = 200 // ms of a step: as many as come meanwhile are asked in one go
const shortest = 5 // ms

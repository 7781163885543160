// The listeners between ws, engine.io and Socket.IO on one connection, which these make anew for each: here one of a kind serves all.
// Invariant: each does what the one in whose place it stands did; where the listeners are not those that are expected, all are left.

import type { EventEmitter } from 'node:events'

type Listener = (...words: never[]) => void
type Listeners = Record<PropertyKey, Listener | Listener[] | undefined>

/** An emitter as Node keeps it. */
export interface Emitter extends EventEmitter {
  _events: Listeners
  _eventsCount: number
}

/** On an emitter or a decoder: whose it is. */
const owner = Symbol('owner')

interface Owned<O> {
  [owner]?: O
}

// ---- what is called, as far as it is

interface Transport extends Emitter, Owned<Conn> {
  readonly socket?: WebSocket
  writable: boolean
  readonly supportsBinary: boolean
  readonly parser: { encodePacket(packet: Packet, supportsBinary: boolean, then: (data: unknown) => void): void }
  _canSendPreEncodedFrame?(packet: Packet): boolean
  _doSend?: unknown
  _doSendLast?: unknown
  _onSent?: unknown
  _onSentLast?: unknown
  send(packets: readonly Packet[]): void
  onData(data: unknown): void
  onError(error: unknown): void
  onClose(): void
}

interface Packet {
  readonly options?: { readonly wsPreEncodedFrame?: readonly Buffer[] }
}

type Done = (error?: Error) => void

interface WebSocket extends Emitter, Owned<Transport> {
  readonly _sender: { sendFrame(frame: readonly Buffer[], done: Done): void }
  send(data: unknown, done: Done): void
}

interface Conn extends Emitter, Owned<Client> {
  readonly id: string
  readonly transport: Transport
  readonly server: { readonly clients: Record<string, unknown>; clientsCount: number }
  cleanupFn: { readonly length: number; shift(): (() => void) | undefined; push(clean: () => void): void }
  onError(error: unknown): void
  onPacket(packet: unknown): void
  onClose(reason: string): void
  onDrain(): void
  flush(): void
}

interface Client extends Owned<Client> {
  readonly conn: Conn
  readonly decoder: Owned<Client> & {
    on(name: 'decoded', listener: unknown): unknown
    removeListener(name: 'decoded', listener: unknown): unknown
  }
  ondata: unknown
  onerror: unknown
  onclose: unknown
  ondecoded: unknown
}

type ClientMethod = 'ondata' | 'onerror' | 'onclose' | 'ondecoded'

// ---- one of a kind

const ofTransport = {
  error(this: Transport, error: unknown): void {
    this[owner]!.onError(error)
  },
  ready(this: Transport): void {
    this[owner]!.flush()
  },
  packet(this: Transport, packet: unknown): void {
    this[owner]!.onPacket(packet)
  },
  drain(this: Transport): void {
    this[owner]!.onDrain()
  },
  close(this: Transport): void {
    this[owner]!.onClose('transport close')
  },
}

const ofWebSocket = {
  message(this: WebSocket, data: Buffer, isBinary: boolean): void {
    this[owner]!.onData(isBinary ? data : data.toString())
  },
  close(this: WebSocket): void {
    this[owner]!.onClose()
  },
  error(this: WebSocket, error: unknown): void {
    this[owner]!.onError(error)
  },
}

/** What engine.io does when it is done with a transport: a list of one, and of another if the client moves to another transport yet. */
class Cleanup {
  private transport: Transport | null
  private next: (() => void) | undefined = undefined

  constructor(transport: Transport) {
    this.transport = transport
  }

  get length(): number {
    return (this.transport === null ? 0 : 1) + (this.next === undefined ? 0 : 1)
  }

  push(clean: () => void): void {
    this.next = clean
  }

  shift(): (() => void) | undefined {
    const { transport, next } = this
    if (transport === null) {
      this.next = undefined
      return next
    }
    this.transport = null
    return () => {
      for (const [name, listener] of Object.entries(ofTransport)) transport.removeListener(name, listener)
    }
  }
}

function unlisted(this: Conn): void {
  const { server, id } = this
  if (!Object.hasOwn(server.clients, id)) return
  delete server.clients[id]
  server.clientsCount--
}

/** The methods of Socket.IO's Client, called by what they listen to, or by itself. */
const ofClient = (prototype: Record<ClientMethod, Listener>): Record<ClientMethod, Listener> => {
  const shared = (name: ClientMethod): Listener =>
    function (this: Owned<Client>, ...words: never[]): void {
      prototype[name].apply(this[owner] ?? this, words)
    }
  return { ondata: shared('ondata'), onerror: shared('onerror'), onclose: shared('onclose'), ondecoded: shared('ondecoded') }
}

const clients = new WeakMap<object, Record<ClientMethod, Listener>>()

/** As engine.io does it, which keeps four functions for it on every transport; here they live as long as the sending. */
function send(this: Transport, packets: readonly Packet[]): void {
  const ws = this.socket!
  this.writable = false
  for (const [i, packet] of packets.entries()) {
    const done = (error?: Error): void => {
      if (error) return (this.onError as (what: string, why: unknown) => void)('write error', error.stack)
      if (i + 1 < packets.length) return
      this.emit('drain')
      this.writable = true
      this.emit('ready')
    }
    if (this._canSendPreEncodedFrame!(packet)) ws._sender.sendFrame(packet.options!.wsPreEncodedFrame!, done)
    else this.parser.encodePacket(packet, this.supportsBinary, data => ws.send(data, done))
  }
}

const ofSending = ['_doSend', '_doSendLast', '_onSent', '_onSentLast'] as const

// ---- the exchange

const single = (listener: Listener | Listener[] | undefined): listener is Listener => typeof listener === 'function'
const isOnce = (listener: Listener): boolean => 'listener' in listener

const exchanged = (list: Listener | Listener[], by: (listener: Listener) => Listener): Listener | Listener[] =>
  Array.isArray(list) ? list.map(by) : by(list)

const transportListens = (conn: Conn): void => {
  const { transport } = conn
  const events = transport._events
  const names = Object.keys(ofTransport)
  if (!names.every(name => single(events[name])) || Object.keys(events).some(name => name !== 'headers' && !names.includes(name)))
    return
  if (conn.cleanupFn.length !== 1) return
  transport[owner] = conn
  for (const [name, listener] of Object.entries(ofTransport)) events[name] = listener as Listener
  transport.removeAllListeners('headers') // those of a request, of which there is no more
  conn.cleanupFn = new Cleanup(transport)
  if (typeof transport._canSendPreEncodedFrame !== 'function' || !ofSending.every(name => typeof transport[name] === 'function'))
    return
  for (const name of ofSending) transport[name] = undefined
  transport.send = send
}

const webSocketListens = (transport: Transport, ws: WebSocket, hasInlet: boolean): void => {
  const { message, close, error } = ws._events
  // Of two for errors the other is that of the time before the upgrade, and does nothing.
  if (!single(message) || !single(close) || !isOnce(close) || error === undefined || (Array.isArray(error) && error.length > 2))
    return
  ws[owner] = transport
  Object.assign(ws._events, hasInlet ? { ...ofWebSocket, message } : ofWebSocket)
}

const connListens = (conn: Conn, client: Client): void => {
  const { data, error, close } = conn._events
  if (data !== client.ondata || error !== client.onerror || !Array.isArray(close)) return
  const { onclose, ondecoded } = client
  if (!close.includes(onclose as Listener) || close.filter(isOnce).length !== 1) return
  const prototype = Object.getPrototypeOf(client) as Record<ClientMethod, Listener>
  let shared = clients.get(prototype)
  if (shared === undefined) clients.set(prototype, (shared = ofClient(prototype)))
  const { onclose: closed } = shared
  conn[owner] = client
  conn._events.data = shared.ondata
  conn._events.error = shared.onerror
  conn._events.close = exchanged(close, listener => (isOnce(listener) ? unlisted : listener === onclose ? closed : listener))
  client.decoder[owner] = client
  Object.assign(client, shared)
  client.decoder.removeListener('decoded', ondecoded)
  client.decoder.on('decoded', client.ondecoded)
}

/** For a connection by WebSocket that has been let in. Where it has an inlet, that hears its messages. */
export const share = (given: { readonly conn: object; readonly client: object }, hasInlet: boolean): void => {
  const conn = given.conn as Conn
  const { transport } = conn
  if (transport.socket === undefined) return
  transportListens(conn)
  webSocketListens(transport, transport.socket, hasInlet)
  connListens(conn, given.client as Client)
}

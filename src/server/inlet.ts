// The short way in: a client's message goes from its WebSocket straight to whoever hears it. Through engine.io and Socket.IO it would
// be handed on by seven events and a tick of the event loop, each time the same.
//
//   ws ─ message of ours ──────────────────────────────► Talk
//    └── anything else (pongs, packets of Socket.IO, what cannot be read) ─ engine.io ─ Socket.IO ─► as ever
//
// Invariant: whatever is not plainly a message of ours goes the ordinary way, unread.

import { isMessage } from '../protocol/frame.ts'
import type { Decoder, Packet, Parser } from '../protocol/parser.ts'
import type { Conn } from './fanout.ts'
import { Straight } from './straight.ts'

/** One who talks here. */
interface Talker {
  readonly line: { readonly conn: Conn }
}

/** On a WebSocket: who talks over it. */
const talkerOf = Symbol('talker')

/** On a WebSocket: a message is on the ordinary way. */
const detour = Symbol('detour')

interface WebSocket {
  [talkerOf]?: unknown
  [detour]?: boolean
  on(event: 'message', listener: Heard): unknown
  listeners?(event: 'message'): readonly unknown[]
  removeAllListeners(event: 'message'): unknown
}

type Heard = (this: WebSocket, data: Buffer, isBinary: boolean) => void

interface Transport {
  readonly socket?: WebSocket
  onData?(data: Buffer | string): void
}

export class Inlet<Who extends Talker> {
  private packet: Packet | null = null
  private readonly decoder: Decoder
  private readonly hear: (who: Who, event: string, content: unknown, bytes: number) => void

  /** @param hear takes a message, and the length of the frame in which it came */
  constructor({ Decoder }: Parser, hear: Inlet<Who>['hear']) {
    this.hear = hear
    this.decoder = new Decoder().on('decoded', packet => {
      this.packet = packet
    })
  }

  /** From now on its messages come the short way. Where engine.io is not as it has been for years, they do not. */
  open(who: Who): void {
    const { socket: ws, onData } = who.line.conn.transport as object as Transport
    if (typeof onData !== 'function' || ws?.listeners?.('message').length !== 1) return
    ws[talkerOf] = who
    ws.removeAllListeners('message') // engine.io's own does what the last line of `heard` does, and no more
    ws.on('message', this.heard)
    this.straight.open(ws)
  }

  /** What a frame says, where it is plainly a message; null: Socket.IO has to look at it. */
  private read(frame: Buffer): readonly [event: string, content: unknown] | null {
    if (frame.length === 0 || !isMessage(frame[0]!)) return null
    try {
      this.decoder.add(frame)
      return this.packet!.data as [string, unknown]
    } catch {
      return null // it will find the same fault, and end the line
    }
  }

  /** One for all lines, called with the WebSocket as `this`. */
  private readonly heard: Heard = ((inlet: Inlet<Who>): Heard =>
    function (data, isBinary) {
      const who = this[talkerOf] as Who
      const { conn } = who.line
      const said = isBinary && conn.readyState === 'open' && !this[detour] ? inlet.read(data) : null
      if (said !== null) {
        isAlive(conn)
        return inlet.hear(who, said[0], said[1], data.length)
      }
      const transport = conn.transport as object as Transport
      transport.onData!(isBinary ? data : data.toString())
      if (!isBinary || this[detour]) return
      // Socket.IO hears it a tick later. What came in the same breath must not overtake it.
      this[detour] = true
      process.nextTick(endDetour, this)
    })(this)

  private readonly straight = new Straight(this.heard)
}

const endDetour = (ws: WebSocket): void => {
  ws[detour] = false
}

/** What engine.io does with any packet while it waits for an answer to its ping. */
const isAlive = (conn: object): void => {
  const heartbeat = conn as { pingTimeoutTimer?: NodeJS.Timeout | null; hasRefreshedPingTimeout?: boolean }
  if (heartbeat.pingTimeoutTimer == null || heartbeat.hasRefreshedPingTimeout) return
  heartbeat.pingTimeoutTimer.refresh()
  heartbeat.hasRefreshedPingTimeout = true
}

// A WebSocket over which nothing but whole messages has come yet: its upgrade is answered here, and ws makes one of its own at the first
// frame that is anything else, or when it is to be closed. Most lines never need that, and it is most of what they would weigh.
// Invariant: to whoever is at the other end, and to whoever writes to it, it is a WebSocket of ws.

import * as crypto from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import type { Duplex } from 'node:stream'
import { closed, open, over, type Receiver } from './straight.ts'

/** Who is told, and who makes a WebSocket. */
interface PlainEars {
  /** Reads what comes; with the socket as `this`. */
  readonly came: (this: never, chunk: Buffer) => void
  /** From now on ws reads and writes, on the same socket. */
  takeOver(plain: PlainSocket): { close(): void }
  closed(plain: PlainSocket): void
}

type Tcp = NetSocket & { [over]?: object }

const closing = 2

/** What ws has inside, as it is as long as a frame is read as soon as it comes. */
abstract class AtRest implements Receiver {
  declare readonly _state: number
  declare readonly _loop: boolean
  declare readonly _bufferedBytes: number
  declare readonly _fragmented: number
  declare readonly _opcode: number
  declare readonly _errored: boolean
  declare readonly writableLength: number
  declare readonly writableEnded: boolean
  declare readonly destroyed: boolean
  /** Bytes of a message. */
  abstract _maxPayload: number
}

Object.assign(AtRest.prototype, {
  _state: 0,
  _loop: false,
  _bufferedBytes: 0,
  _fragmented: 0,
  _opcode: 0,
  _errored: false,
  writableLength: 0,
  writableEnded: false,
  destroyed: false,
})

export class PlainSocket extends AtRest {
  readyState = open
  readonly _socket: NetSocket
  _maxPayload: number
  private readonly ears: PlainEars

  /** @param socket an upgrade on it has been answered */
  constructor(socket: NetSocket, maxPayload: number, ears: PlainEars) {
    super()
    this._socket = socket
    this._maxPayload = maxPayload
    this.ears = ears
    const tcp = socket as Tcp
    tcp[over] = this
    // As ws does, for a socket of any http.Server.
    tcp.setTimeout(0)
    tcp.setNoDelay()
    tcp.on('close', tcpClosed)
    tcp.on('data', ears.came as (chunk: Buffer) => void)
    tcp.on('end', tcpEnded)
    tcp.on('error', tcpFailed)
  }

  get _receiver(): Receiver {
    return this
  }

  get _sender(): { readonly _queue: readonly never[] } {
    return nothingToCompress
  }

  handOver(): { close(): void } | null {
    if (this.readyState !== open) return null
    this.readyState = closed // this one; the line goes on
    const { _socket: tcp, ears } = this
    tcp.off('close', tcpClosed)
    tcp.off('data', ears.came as (chunk: Buffer) => void)
    tcp.off('end', tcpEnded)
    tcp.off('error', tcpFailed)
    return ears.takeOver(this)
  }

  close(): void {
    this.handOver()?.close()
  }

  terminate(): void {
    if (this.readyState !== closed) this.readyState = closing
    this._socket.destroy()
  }

  /** Its socket has ended. */
  ended(): void {
    this.readyState = closed
    this.ears.closed(this)
  }
}

const nothingToCompress = { _queue: [] } as const

// ---- these are shared by all sockets, which call them as `this`

const plainOver = (tcp: Tcp): PlainSocket => tcp[over] as PlainSocket // as long as these listen

function tcpClosed(this: Tcp): void {
  plainOver(this).ended()
}

function tcpEnded(this: Tcp): void {
  plainOver(this).readyState = closing
  this.end()
}

function tcpFailed(this: Tcp): void {
  plainOver(this).readyState = closing
  this.destroy()
}

// ---- the upgrade (RFC 6455, 4.2)

/** What is asked for in so many words, and nothing besides that ws would heed: the answer to it; null: let ws look. */
export const answerTo = ({ headers }: IncomingMessage, socket: Duplex, head: Buffer): string | null => {
  const { upgrade, 'sec-websocket-key': key, 'sec-websocket-version': version } = headers
  if (upgrade?.toLowerCase() !== 'websocket' || version !== '13' || key === undefined || !aKey.test(key)) return null
  if (headers['sec-websocket-protocol'] !== undefined || head.length > 0) return null
  if (socket.listenerCount('data') > 0) return null // somebody else reads along, and would get the pieces in another order
  if (!socket.readable || !socket.writable || typeof (socket as Partial<NetSocket>).setNoDelay !== 'function') return null
  return `${granted}${sha1(key + magic)}\r\n\r\n`
}

const aKey = /^[+/0-9A-Za-z]{22}==$/
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const granted = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: '

// One call without an object in between, but Node has it only from 20.12 on and the types of Node 20 do not all know it.
const oneShot = (crypto as { hash?: (algorithm: string, input: string, encoding: 'base64') => string }).hash

const sha1: (input: string) => string =
  oneShot === undefined
    ? input => crypto.createHash('sha1').update(input).digest('base64')
    : input => oneShot('sha1', input, 'base64')

// The short way through ws: a message that has come whole, in one frame, is read where it lies in what the socket brought.
//
//   socket ─ whole frame of a message, and nothing is under way ──────► whoever hears
//      └──── anything else ─ the receiver of ws, a stream of its own ─► as ever
//
// Invariant: what is heard, and in which order, is what the receiver of ws would have said.

import { isUtf8 } from 'node:buffer'

/** A WebSocket, of whose insides ws documents nothing; where they are not as they have been for years, the ordinary way is taken. */
interface WebSocket {
  readonly readyState: number
  readonly _socket?: Socket | null
  readonly _receiver?: Receiver
  /** Of what only stands for a WebSocket: has ws make one that reads on. */
  handOver?(): void
}

export interface Receiver {
  readonly _state: number
  readonly _loop: boolean
  readonly _bufferedBytes: number
  readonly _fragmented: number
  readonly _opcode: number
  readonly _maxPayload: number
  readonly _errored: boolean
  readonly writableLength: number
  readonly writableEnded: boolean
  readonly destroyed: boolean
}

interface Socket {
  [over]?: WebSocket
  listeners(event: 'data'): readonly unknown[]
  off(event: 'data', listener: Listener): unknown
  on(event: 'data', listener: Listener): unknown
}

type Listener = (this: Socket, chunk: Buffer) => void
type Heard = (this: never, data: Buffer, isBinary: boolean) => void

/** On a socket: the WebSocket over it. */
export const over = Symbol('over')

export const open = 1
export const closed = 3
const atFrame = 0 // of a receiver: the next byte begins a frame
const close = 8 // the opcode behind which nothing is read any more
const finalText = 0x81 // FIN, no extension, opcode 1
const finalBinary = 0x82
const masked = 0x80
const in16Bits = 126 // of a length: it stands in the next two bytes
const in64Bits = 127
const maskBytes = 4

export class Straight {
  /** What ws does with anything that comes, for each of its WebSockets alike. */
  private ordinary: Listener | null = null
  private readonly heard: Heard

  /** @param heard gets a message as a listener of the WebSocket would */
  constructor(heard: Heard) {
    this.heard = heard
  }

  /** Whether ws is as it has been for years. */
  get knows(): boolean {
    return this.ordinary !== null
  }

  /** From now on its whole messages come without the receiver of ws. What that still reads is emitted as ever. */
  open(ws: object): void {
    const { _socket: socket, _receiver: receiver } = ws as WebSocket
    const [ordinary, ...others] = socket?.listeners('data') ?? []
    if (socket == null || typeof ordinary !== 'function' || others.length > 0) return
    if (receiver?._state === undefined || receiver._loop === undefined || receiver._fragmented === undefined) return
    this.ordinary ??= ordinary as Listener
    if (ordinary !== this.ordinary) return
    socket[over] = ws as WebSocket
    socket.off('data', this.ordinary)
    socket.on('data', this.came)
  }

  /** One for all sockets, called with the socket as `this`. */
  readonly came: Listener = ((straight: Straight): Listener =>
    function (chunk) {
      const ws = this[over]!
      const receiver = ws._receiver!
      if (isOver(receiver)) return // ws would have taken its own listener away
      const rest = straight.read(ws, receiver, chunk)
      if (rest === chunk.length) return
      ws.handOver?.()
      if (ws.handOver !== undefined && ws.readyState !== closed) return // it has ended, and was not handed over
      straight.ordinary!.call(this, rest === 0 ? chunk : chunk.subarray(rest))
    })(this)

  /** Answers with where what is left for ws begins. */
  private read(ws: WebSocket, receiver: Receiver, chunk: Buffer): number {
    let at = 0
    while (at < chunk.length && ws.readyState === open && isAtRest(receiver) && !isOver(receiver)) {
      const start = payloadAt(chunk, at)
      if (start === 0) return at
      const length = lengthAt(chunk, at)
      const end = start + length
      if (end > chunk.length || (receiver._maxPayload > 0 && length > receiver._maxPayload)) return at
      const isBinary = chunk[at] === finalBinary
      unmask(chunk, start, end)
      const payload = chunk.subarray(start, end)
      if (!isBinary && !isUtf8(payload)) {
        unmask(chunk, start, end) // twice is not at all: ws will say what is wrong
        return at
      }
      at = end
      this.heard.call(ws as never, payload, isBinary)
    }
    return at
  }
}

/** Nothing is read any more: after a close frame, or a wrong one. */
const isOver = (receiver: Receiver): boolean =>
  receiver._errored || receiver.destroyed || receiver.writableEnded || (receiver._opcode === close && receiver._state === atFrame)

/** Of no frame, and of no message of several frames, has a part come, and nothing that was given to the receiver waits there. */
const isAtRest = (receiver: Receiver): boolean =>
  receiver._state === atFrame &&
  !receiver._loop &&
  receiver._bufferedBytes === 0 &&
  receiver._fragmented === 0 &&
  receiver.writableLength === 0

/** Where the payload begins of a frame that is a whole message of less than 64 KiB; 0: it is something else, or cut off. */
const payloadAt = (chunk: Buffer, at: number): number => {
  if (chunk.length - at < 2 + maskBytes || (chunk[at] !== finalBinary && chunk[at] !== finalText)) return 0
  const second = chunk[at + 1]!
  if (second < masked || second === masked + in64Bits) return 0
  if (second < masked + in16Bits) return at + 2 + maskBytes
  return chunk.length - at < 4 + maskBytes ? 0 : at + 4 + maskBytes
}

const lengthAt = (chunk: Buffer, at: number): number => {
  const length = chunk[at + 1]! - masked
  return length < in16Bits ? length : chunk.readUInt16BE(at + 2)
}

const unmask = (chunk: Buffer, start: number, end: number): void => {
  const mask = start - maskBytes
  for (let i = start, k = 0; i < end; i++, k = (k + 1) & 3) chunk[i]! ^= chunk[mask + k]!
}

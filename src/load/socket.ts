// A WebSocket as cheap as can be: frames in, frames out, over a socket of Node.
// Invariant: a frame is handed on once and whole, and its bytes are only good until the listener returns.

// Why not `ws`: a load generator has to cost less than what it measures. All sockets of a process read into one buffer, frames are
// looked at where they lie, and nothing is allocated for an idle one.

import { randomBytes } from 'node:crypto'
import { connect as connectTcp, type Socket as TcpSocket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface Address {
  readonly host: string
  readonly port: number
  readonly secure: boolean
  /** From which address of this machine; undefined: whichever the system takes. */
  readonly from?: string | undefined
}

export interface Listener {
  open(): void
  frame(bytes: Buffer, text: boolean): void
  /** Once, whatever happened. */
  closed(why: string): void
}

/** Bytes on the wire, frames included, handshakes not. */
export interface Traffic {
  up: number
  down: number
}

const readInto = Buffer.allocUnsafe(262_144)
const mask = randomBytes(4)
const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export class WebSocketLine {
  private readonly tcp: TcpSocket
  private readonly listener: Listener
  private readonly traffic: Traffic
  private upgraded = false
  private over = false
  /** What has come of a frame, or of the handshake, that is not whole yet. */
  private rest: Buffer | null = null
  /** Frames of a message in several. */
  private parts: Buffer[] = []
  private partsText = false

  constructor({ host, port, secure, from }: Address, path: string, listener: Listener, traffic: Traffic) {
    this.listener = listener
    this.traffic = traffic
    const local = from === undefined ? {} : { localAddress: from }
    if (secure) {
      this.tcp = connectTls({ host, port, servername: host, ...local })
      this.tcp.on('data', bytes => this.read(bytes))
    } else {
      const onread = {
        buffer: readInto,
        callback: (size: number, bytes: Uint8Array) => {
          this.read((bytes as Buffer).subarray(0, size))
          return true
        },
      }
      this.tcp = connectTcp({ host, port, ...local, onread })
    }
    this.tcp.setNoDelay(true)
    const key = randomBytes(16).toString('base64')
    this.tcp.once(secure ? 'secureConnect' : 'connect', () => {
      this.tcp.write(
        `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      )
    })
    this.tcp.on('error', error => this.end((error as NodeJS.ErrnoException).code ?? error.message))
    this.tcp.on('close', () => this.end('the line broke'))
  }

  send(payload: Uint8Array | string): void {
    if (this.over) return
    const text = typeof payload === 'string'
    this.write(text ? opcode.text : opcode.binary, text ? Buffer.from(payload) : payload)
  }

  hangUp(): void {
    this.end('hung up')
  }

  private end(why: string): void {
    if (this.over) return
    this.over = true
    this.tcp.destroy()
    this.listener.closed(why)
  }

  private write(code: number, payload: Uint8Array): void {
    const { length } = payload
    const head = length < 126 ? 6 : length < 0x10000 ? 8 : 14
    const frame = Buffer.allocUnsafe(head + length)
    frame[0] = 0x80 | code
    if (head === 6) frame[1] = 0x80 | length
    else if (head === 8) {
      frame[1] = 0x80 | 126
      frame.writeUInt16BE(length, 2)
    } else {
      frame[1] = 0x80 | 127
      frame.writeBigUInt64BE(BigInt(length), 2)
    }
    mask.copy(frame, head - 4)
    for (let i = 0; i < length; i++) frame[head + i] = payload[i]! ^ mask[i & 3]!
    this.traffic.up += frame.length
    this.tcp.write(frame)
  }

  private read(chunk: Buffer): void {
    if (this.over) return
    let bytes = chunk
    if (this.rest !== null) {
      bytes = Buffer.concat([this.rest, chunk])
      this.rest = null
    }
    if (!this.upgraded) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) return this.keep(bytes)
      const status = bytes.toString('latin1', 9, 12)
      if (status !== '101') return this.end(`HTTP ${status}`)
      this.upgraded = true
      this.listener.open()
      bytes = bytes.subarray(end + 4)
    }
    let at = 0
    while (!this.over && bytes.length - at >= 2) {
      let length = bytes[at + 1]! & 0x7f
      let head = 2
      if (length === 126) {
        head = 4
        if (bytes.length - at < head) break
        length = bytes.readUInt16BE(at + 2)
      } else if (length === 127) {
        head = 10
        if (bytes.length - at < head) break
        length = Number(bytes.readBigUInt64BE(at + 2))
      }
      if (bytes.length - at < head + length) break
      this.traffic.down += head + length
      const payload = bytes.subarray(at + head, at + head + length)
      const first = bytes[at]!
      at += head + length
      this.take(first & 0x0f, (first & 0x80) !== 0, payload)
    }
    if (at < bytes.length && !this.over) this.keep(bytes.subarray(at))
  }

  private keep(bytes: Buffer): void {
    this.rest = Buffer.from(bytes) // the buffer that it lies in is read into again
  }

  private take(code: number, last: boolean, payload: Buffer): void {
    if (code === opcode.close)
      return this.end(`closed by the server${payload.length >= 2 ? ` (${payload.readUInt16BE(0)})` : ''}`)
    if (code === opcode.ping) return this.write(opcode.pong, Buffer.from(payload))
    if (code === opcode.pong) return
    if (last && code !== opcode.continuation) return this.listener.frame(payload, code === opcode.text)
    if (code !== opcode.continuation) this.partsText = code === opcode.text
    this.parts.push(Buffer.from(payload))
    if (!last) return
    const whole = Buffer.concat(this.parts)
    this.parts = []
    this.listener.frame(whole, this.partsText)
  }
}

// A WebSocket made by hand, for those who do with it what no library would.
// Invariant: nothing is sent but what was asked for, not even an answer to a ping.

import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Socket } from 'node:net'

/** A masked frame, as a client writes it (RFC 6455, 5.2). */
export const frame = (opcode: number, payload: Uint8Array | string = '', { fin = true, mask = true } = {}): Buffer => {
  const bytes = Buffer.from(payload as string)
  const { length } = bytes
  const head = length < 126 ? [length] : length < 0x10000 ? [126, length >> 8, length & 255] : [127, 0, 0, 0, 0, ...int(length)]
  head[0]! |= mask ? 0x80 : 0
  const key = mask ? randomBytes(4) : Buffer.alloc(0)
  if (mask) for (let i = 0; i < length; i++) bytes[i]! ^= key[i & 3]!
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode, ...head]), key, bytes])
}

const int = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]

/** How a server answered a handshake: with a line, or with a status and what it says. */
export type Opened =
  | { readonly kind: 'line'; readonly socket: Socket; readonly head: Buffer }
  | { readonly kind: 'no'; readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly body: string }

/** @throws what the network says when there is no answer at all */
export const open = (url: string, headers: Readonly<Record<string, string>> = {}): Promise<Opened> =>
  new Promise((resolve, reject) => {
    const asking = request(url, {
      agent: false,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        ...headers,
      },
    })
    asking.on('error', reject)
    asking.on('upgrade', (_response, socket: Socket, head) => {
      socket.on('error', () => {}) // a server that cuts it is what many wait for
      resolve({ kind: 'line', socket, head })
    })
    asking.on('response', response => {
      let body = ''
      response.setEncoding('utf8').on('data', part => (body += part))
      response.on('end', () => resolve({ kind: 'no', status: response.statusCode!, headers: response.headers, body }))
    })
    asking.end()
  })

/** Frames of a server, in pieces as they come: none of them is masked. */
export class Frames {
  #bytes: Buffer = Buffer.alloc(0)
  readonly #hear: (opcode: number, payload: Buffer) => void

  constructor(hear: (opcode: number, payload: Buffer) => void) {
    this.#hear = hear
  }

  add(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
    for (;;) {
      const all = this.#bytes
      if (all.length < 2) return
      const short = all[1]! & 127
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (all.length < head) return
      const length = short < 126 ? short : short === 126 ? all.readUInt16BE(2) : Number(all.readBigUInt64BE(2))
      if (all.length < head + length) return
      this.#bytes = all.subarray(head + length)
      this.#hear(all[0]! & 15, all.subarray(head, head + length))
    }
  }
}

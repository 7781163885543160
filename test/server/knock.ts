// A WebSocket made by hand, for tests that do with it what no library would.
// Invariant: what was opened here is destroyed after the test.

import { randomBytes } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { afterwards } from './worlds.ts'

/** How the server answered a handshake: with a line, or with a status and what it says. */
export type Answer =
  | { readonly kind: 'line'; readonly socket: Socket }
  | { readonly kind: 'no'; readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: string }

export const knock = (url: string, headers: Readonly<Record<string, string>> = {}, path = '/json/'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asking = request(`${url}${path}?EIO=4&transport=websocket`, {
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
    asking.on('upgrade', (_response, socket: Socket) => {
      afterwards(() => socket.destroy())
      socket.on('error', () => {}) // a server that cuts it is what many a test waits for
      resolve({ kind: 'line', socket })
    })
    asking.on('response', response => {
      let body = ''
      response.setEncoding('utf8').on('data', part => (body += part))
      response.on('end', () => resolve({ kind: 'no', status: response.statusCode!, headers: response.headers, body }))
    })
    asking.end()
  })

/** A line, or the test has failed. */
export const line = async (url: string, headers?: Readonly<Record<string, string>>): Promise<Socket> => {
  const answer = await knock(url, headers)
  if (answer.kind === 'no') throw new Error(`the server answered ${answer.status} ${answer.body}`)
  return answer.socket
}

/** Resolves when the server has ended a line; what it says before that is let go. */
export const ended = (socket: Socket): Promise<void> =>
  new Promise(resolve => {
    socket.resume()
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })

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

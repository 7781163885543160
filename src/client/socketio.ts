// A call over Socket.IO with Inkwell's parser: one manager and one socket, which are not used again.
// Invariant: nothing is given to a socket that is not connected, for it would be kept and sent ahead of the next join; and whatever
// ends a call, Socket.IO dials no second time by itself.

import { Manager } from 'socket.io-client'
import { opcodes } from '../protocol/codec.ts'
import { readRefusal } from '../protocol/json.ts'
import type { Hello, ServerMessage, Welcome } from '../protocol/messages.ts'
import { parser } from './parser.ts'
import type { Call, CallEvent, Dial } from './transport.ts'

export interface SocketIoOptions {
  readonly url: string
  /** Asked anew for every call, once the server is there, so that a token may be fresh. */
  readonly hello: () => Promise<Hello>
  /** Asked when that is said. */
  readonly joins: () => readonly object[]
  readonly transports: readonly ('websocket' | 'polling')[]
  readonly path: string
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

/** What a server sends by name; what else may come is the application's own. */
const isMessage = (kind: string, _: unknown): _ is ServerMessage =>
  Object.hasOwn(opcodes, kind) && opcodes[kind as ServerMessage['kind']] > opcodes.welcome

export const socketIo =
  ({ url, hello, joins, transports, path, random }: SocketIoOptions): Dial =>
  (listen): Call => {
    let over = false
    let written = 0
    const tell = (event: CallEvent): void => {
      if (!over) listen(event)
    }
    const hangUp = (): void => {
      over = true
      socket.offAny()
      socket.off()
      manager.off()
      socket.disconnect()
    }

    // A manager and a socket for each call: neither buffers nor listeners of an earlier one can get into it. Socket.IO's own
    // reconnection stays away for good after a disconnect by the server, and lets a crowd come back in step.
    const manager = new Manager(url, {
      path,
      parser,
      transports: [...transports],
      tryAllTransports: true, // what breaks WebSockets mostly refuses them; then polling comes in the same call
      autoConnect: false,
      reconnection: false,
      timeout: 120_000, // whoever dials is less patient
      ...(transports.includes('polling') ? { query: { line: lineName(random) } } : {}),
    })
    const greet = (give: (hello: object) => void): void => {
      hello().then(
        said => {
          if (!over) give({ ...said, joins: joins() })
        },
        error => end(`no token: ${error?.message ?? error}`, null),
      )
    }
    const socket = manager.socket('/', { auth: greet })
    const end = (reason: string, data: unknown): void => {
      tell({ kind: 'ended', reason, refusal: readRefusal(data) })
      over = true
    }
    socket.on('connect_error', (error: Error & { readonly data?: unknown }) => end(error.message, error.data))
    socket.on('disconnect', reason => end(reason, null))
    manager.on('ping', () => tell({ kind: 'pulse' }))
    socket.onAny((kind: string, content: unknown) => {
      if (kind === 'welcome')
        tell({ kind: 'welcome', welcome: content as Welcome }) // the parser gives this name to a sound Welcome only
      else tell(isMessage(kind, content) ? { kind: 'message', message: content } : { kind: 'pulse' })
    })
    socket.connect()
    manager.engine.on('packetCreate', ({ data }: { readonly data?: string | Uint8Array }) => {
      written += data?.length ?? 0
    })

    return {
      send: message => {
        if (!socket.connected) return 0
        const before = written
        socket.emit(message.kind, message)
        return written - before
      },
      hangUp,
    }
  }

/**
 * A line that polls is many requests, all for the node that opened it. By this name a load balancer sends them there without cookies,
 * which a browser keeps back from another origin. It is another one at each attempt, so that the next may reach another node.
 */
const lineName = (random: () => number): string => Math.floor(random() * 2 ** 48).toString(36)

// Which part of the house answers a request on an http.Server that may be somebody else's.
// Invariant: a request or upgrade that is not for Inkwell reaches the application as if Inkwell were not there.

import type { Server as HttpServer, IncomingMessage, RequestListener } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Refusal } from '../protocol/errors.ts'

/** Paths that begin with `prefix`, and who answers there. */
export interface Room {
  readonly prefix: string
  readonly request: RequestListener
  readonly upgrade: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | null
}

/** Stands in the door; answers how to step out of it again. */
export const standInDoor = (
  server: HttpServer | HttpsServer,
  rooms: readonly Room[],
  otherwise: RequestListener | null,
): (() => void) => {
  const before = server.listeners('request') as RequestListener[]
  server.removeAllListeners('request')

  const roomFor = (url = '/'): Room | undefined => {
    const query = url.indexOf('?')
    const path = query < 0 ? url : url.slice(0, query)
    return rooms.find(({ prefix }) => (prefix.endsWith('/') ? path.startsWith(prefix) : path === prefix))
  }

  const request: RequestListener = (request, response) => {
    const room = roomFor(request.url)
    if (room !== undefined) return room.request(request, response)
    if (otherwise !== null) return otherwise(request, response)
    for (const listener of before) listener.call(server, request, response)
    // Nobody is left to answer: the application has no listener of its own, or added one after us, which is then called by Node.
    if (before.length === 0 && server.listenerCount('request') === 1) response.writeHead(404).end()
  }

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const room = roomFor(request.url)
    if (room?.upgrade) return room.upgrade(request, socket, head)
    // Without any listener Node would answer an upgrade as an ordinary request; by listening we have taken that on.
    if (room !== undefined || server.listenerCount('upgrade') === 1) refuseUpgrade(socket, '404 Not Found')
  }

  server.on('request', request)
  server.on('upgrade', upgrade)
  return () => {
    server.off('upgrade', upgrade)
    server.off('request', request)
    for (const listener of before) server.on('request', listener)
  }
}

/**
 * An endpoint of Socket.IO that opens a new line only when `refuses` has nothing against it; lines that are open, polled ones too, go on.
 * To a WebSocket only one moves that `mayMove`: any other would be a way to as many WebSockets as somebody likes.
 * 503 is what makes a proxy ask another node, before the client has noticed anything; 429 is for the client itself.
 */
export const turningAway = (
  refuses: (request: IncomingMessage) => Refusal | null,
  mayMove: (sid: string) => boolean,
  room: Room,
): Room => {
  const after = ({ after = 1_000 }: Refusal): string => String(Math.ceil(after / 1_000))
  return {
    prefix: room.prefix,
    request: (request, response) => {
      const why = lineIn(request.url) === null ? refuses(request) : null
      if (why === null) return room.request(request, response)
      const status = why.code === 'draining' ? 503 : 429
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': after(why) }).end(JSON.stringify(why))
    },
    upgrade: (request, socket, head) => {
      const sid = lineIn(request.url)
      if (sid !== null && !mayMove(sid)) return refuseUpgrade(socket, '400 Bad Request')
      const why = refuses(request)
      if (why === null) return room.upgrade?.(request, socket, head)
      const status = why.code === 'draining' ? '503 Service Unavailable' : '429 Too Many Requests'
      refuseUpgrade(socket, status, JSON.stringify(why), 'Content-Type: application/json', `Retry-After: ${after(why)}`)
    },
  }
}

/** The line that a request names, read as engine.io reads it: with an empty `sid`, or one behind a #, it would open a new one. */
const lineIn = (url = ''): string | null => {
  if (!/[?&]sid=/.test(url) || !URL.canParse(url, anyHost)) return null
  return new URL(url, anyHost).searchParams.getAll('sid').at(-1) || null
}

const anyHost = 'https://any.host'

const refuseUpgrade = (socket: Duplex, status: string, body = '', ...headers: readonly string[]): void => {
  socket.on('error', () => socket.destroy()) // the peer went first
  const length = `Content-Length: ${Buffer.byteLength(body)}`
  socket.end([`HTTP/1.1 ${status}`, 'Connection: close', length, ...headers, '', body].join('\r\n'))
}

// Which part of the house answers a request on an http.Server that may be somebody else's.
// Invariant: a request or upgrade that is not for Inkwell reaches the application as if Inkwell were not there.

import type { Server as HttpServer, IncomingMessage, RequestListener } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { refusal } from '../protocol/errors.ts'

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
 * An endpoint of Socket.IO that, while `draining`, opens no new line: 503 is what makes a proxy ask another node, before the client
 * has noticed anything. Lines that are open, polled ones too, go on.
 */
export const turningAway = (draining: () => boolean, room: Room): Room => {
  const opens = ({ url = '' }: IncomingMessage): boolean => !/[?&]sid=/.test(url)
  return {
    prefix: room.prefix,
    request: (request, response) => {
      if (!draining() || !opens(request)) return room.request(request, response)
      const why = refusal('draining')
      response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' }).end(JSON.stringify(why))
    },
    upgrade: (request, socket, head) => {
      if (draining() && opens(request)) refuseUpgrade(socket, '503 Service Unavailable', 'Retry-After: 1')
      else room.upgrade?.(request, socket, head)
    },
  }
}

const refuseUpgrade = (socket: Duplex, status: string, ...headers: readonly string[]): void => {
  socket.on('error', () => socket.destroy()) // the peer went first
  socket.end([`HTTP/1.1 ${status}`, 'Connection: close', 'Content-Length: 0', ...headers, '', ''].join('\r\n'))
}

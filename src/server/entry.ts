// Lets somebody in, or not: the application's `authenticate`, and guests where there is none.
// Invariant: whoever leaves here is a sound User or a refusal of the table, whatever the application did.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'socket.io'
import { serverBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId } from '../protocol/ids.ts'
import type { User } from '../protocol/messages.ts'
import { guest, soundUser } from './identity.ts'
import type { Settings } from './options.ts'
import { Refusing } from './refusing.ts'

/**
 * Who stands behind a token; a refusal when nobody does or it cannot be found out. `author` names a guest where there is one.
 * @throws when the application vouches for somebody who is no User
 */
export const identify = async (
  { authenticate, log }: Settings,
  token: string | undefined,
  request: IncomingMessage,
  author: AuthorId | null,
): Promise<User | Refusal> => {
  if (authenticate === null) return guest(author)
  let user: User | null
  try {
    user = await authenticate(token, request)
  } catch (error) {
    log.error({ err: error }, 'authenticate failed')
    return refusal('unavailable')
  }
  return user === null || user === undefined ? refusal('unauthenticated') : soundUser(user)
}

/**
 * Middleware for an application's own namespaces: `server.io.of('/chat').use(server.authenticate)`. The token is that of the client's
 * `auth: { token }`; the user is then `socket.data.user`. Whoever is refused hears `connect_error` with the refusal as `error.data`. It
 * is asked once: what happens to a user's rights later is the application's to act on.
 */
export type Middleware = (socket: Socket, next: (error?: Error) => void) => void

export const middleware =
  (settings: Settings): Middleware =>
  (socket, next) => {
    visitor(settings, socket).then(
      found => {
        if ('code' in found) return next(new Refusing(found))
        socket.data.user = found
        next()
      },
      error => {
        settings.log.error({ err: error }, 'a visitor of the application’s could not be identified')
        next(new Refusing(refusal('internal')))
      },
    )
  }

const visitor = async (settings: Settings, { handshake, request }: Socket): Promise<User | Refusal> => {
  const token: unknown = handshake.auth.token
  if (token !== undefined && (typeof token !== 'string' || Buffer.byteLength(token) > serverBounds.tokenBytes))
    return refusal('unauthenticated', 'a token is a string')
  // Typed as always there; a connection that has said hello to Inkwell has let go of it.
  const asked: IncomingMessage | null = request
  if (asked === null) return refusal('malformed', 'this connection is in use for documents; the application needs one of its own')
  return identify(settings, token, asked, null)
}

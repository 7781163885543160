// Lets somebody in, or not: the application's `authenticate`, and guests where there is none.
// Invariant: whoever leaves here is a sound User or a refusal of the table, whatever the application did.

import type { IncomingMessage } from 'node:http'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId } from '../protocol/ids.ts'
import type { User } from '../protocol/messages.ts'
import { guest, soundUser } from './identity.ts'
import type { Settings } from './options.ts'

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

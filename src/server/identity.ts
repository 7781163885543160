// Who a client is: the name under which it writes, and the user whom the application vouches for.
// Invariant: an AuthorId comes from a secret key only, so nobody writes under another's; a User that leaves here keeps its bounds.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { colorOf, userId, userName } from '../protocol/fields.ts'
import type { AuthorId, ClientKey } from '../protocol/ids.ts'
import type { User } from '../protocol/messages.ts'

/**
 * Says whose token this is; null: nobody's. A throw means that it could not be found out, and the client will try again later, so
 * answer a bad token with null.
 */
export type Authenticate = (token: string | undefined, request: IncomingMessage) => User | null | Promise<User | null>

export const authorOf = (key: ClientKey): AuthorId =>
  createHash('sha256').update(key).digest('base64url').slice(0, 16) as AuthorId

/**
 * What `authenticate` answered, held against the bounds of the protocol; what else the application's object has stays here.
 * @throws naming the field, since it is the application's fault
 */
export const soundUser = ({ id, name, color }: User): User => ({
  id: userId(id),
  ...(name === undefined ? {} : { name: userName(name) }),
  ...(color === undefined ? {} : { color: colorOf(color) }),
})

/** A stranger in development: the same key is always the same guest. */
export const guest = (author: AuthorId | null): User => {
  if (author === null) return { id: 'guest', name: 'Guest' }
  const digest = createHash('sha256').update(author).digest()
  return {
    id: `guest-${author}`,
    name: `Guest ${1000 + (digest.readUInt16BE(0) % 9000)}`,
    color: colors[digest[2]! % colors.length]!,
  }
}

// Told apart at a glance and readable on white and on black.
const colors = ['#c2410c', '#b45309', '#4d7c0f', '#047857', '#0e7490', '#1d4ed8', '#6d28d9', '#a21caf', '#be185d', '#b91c1c']

// Who a client is: the name under which it writes, and the user whom the application vouches for.
// Invariant: an AuthorId comes from a secret key only, so nobody writes under another's; a Bearer that leaves here keeps its bounds.

import { createHash, hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { colorOf, maxWhole, userId, userName } from '../protocol/fields.ts'
import type { AuthorId, ClientKey } from '../protocol/ids.ts'
import type { User } from '../protocol/messages.ts'
import { type Documents, documentsFault, shared } from './patterns.ts'

/** Whose a token is, and how far it goes. A plain User is one whose token neither ends nor says anything of rights. */
export interface Identity extends User {
  /** Milliseconds since 1970 from which the token is no longer good. An open line is told so, and cut `tokenGrace` later. */
  readonly expires?: number
  /** The token's own name (the claim `jti`), by which it alone can be revoked. At most 256 characters. */
  readonly token?: string
  /** What the token says about rights. It decides where no `authorize` is given, and is there for it to read where one is. */
  readonly documents?: Documents
}

/** Nobody; why, in a sentence that the client may read. */
export interface Stranger {
  readonly stranger: string
}

/**
 * Says whose token this is; null or a Stranger: nobody's. A throw means that it could not be found out, and the client will try again
 * later, so answer a bad token with null. `request` opened the line; null when a client renews its token on a line that is open.
 */
export interface Authenticate {
  (token: string | undefined, request: IncomingMessage | null): Identity | Stranger | null | Promise<Identity | Stranger | null>
  /** Rejects with the reason when nobody new could be told apart now. Asked four times a minute, for `/readyz`. */
  readonly check?: () => Promise<void>
}

/** An Identity held against the bounds of the protocol. */
export interface Bearer {
  /** What others see. */
  readonly user: User
  readonly expires: number | null
  readonly token: string | null
  readonly documents: Documents | null
}

export const authorOf = (key: ClientKey): AuthorId => hash('sha256', key, 'base64url').slice(0, 16) as AuthorId

/**
 * What `authenticate` answered, held against the bounds; what else the application's object has stays there.
 * @throws naming the field, since it is the application's fault
 */
export const soundBearer = ({ id, name, color, expires, token, documents }: Identity): Bearer => {
  if (expires !== undefined && !Number.isFinite(expires)) throw new TypeError(`expires must be milliseconds, not ${expires}`)
  if (token !== undefined && (typeof token !== 'string' || token === '' || token.length > tokenNameLength))
    throw new TypeError(`the name of a token must be a string of 1 to ${tokenNameLength} characters`)
  const fault = documents === undefined ? null : documentsFault(documents)
  if (fault !== null) throw new TypeError(fault)
  return {
    user: {
      id: userId(id),
      ...(name === undefined ? {} : { name: userName(name) }),
      ...(color === undefined ? {} : { color: colorOf(color) }),
    },
    expires: expires === undefined ? null : Math.min(Math.floor(expires), maxWhole),
    token: token ?? null,
    documents: documents === undefined ? null : shared(documents),
  }
}

/** What is handed to `authorize`. */
export const identityOf = ({ user, expires, token, documents }: Bearer): Identity => ({
  ...user,
  ...(expires === null ? {} : { expires }),
  ...(token === null ? {} : { token }),
  ...(documents === null ? {} : { documents }),
})

export const tokenNameLength = 256

/** A stranger in development: the same key is always the same guest. */
export const guest = (author: AuthorId | null): Bearer => {
  const nothing = { expires: null, token: null, documents: null }
  if (author === null) return { user: { id: 'guest', name: 'Guest' }, ...nothing }
  const digest = createHash('sha256').update(author).digest()
  const user = {
    id: `guest-${author}`,
    name: `Guest ${1000 + (digest.readUInt16BE(0) % 9000)}`,
    color: colors[digest[2]! % colors.length]!,
  }
  return { user, ...nothing }
}

// Told apart at a glance and readable on white and on black.
const colors = ['#c2410c', '#b45309', '#4d7c0f', '#047857', '#0e7490', '#1d4ed8', '#6d28d9', '#a21caf', '#be185d', '#b91c1c']

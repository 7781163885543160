// Lets somebody in, or not, and how far: the application's `authenticate` and `authorize`, and what has been revoked.
// Invariant: whoever leaves here is a sound Bearer whose token is good now, or a refusal of the table, whatever the application did.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'socket.io'
import { Deadline } from '../engine/deadline.ts'
import { andThen, type Soon } from '../engine/soon.ts'
import { serverBounds } from '../protocol/bounds.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import type { AuthorId, DocId } from '../protocol/ids.ts'
import type { Right } from '../protocol/messages.ts'
import { type Authenticate, type Bearer, guest, identityOf, soundBearer } from './identity.ts'
import { without } from './log.ts'
import type { Settings } from './options.ts'
import { isRight, lower, rightIn } from './patterns.ts'
import { Refusing } from './refusing.ts'
import type { Revocations } from './revocations.ts'

export class Entry {
  private readonly settings: Settings
  private readonly revocations: Revocations
  private readonly authenticating: Deadline

  constructor(settings: Settings, revocations: Revocations) {
    this.settings = settings
    this.revocations = revocations
    const { authenticateTimeout } = settings.limits
    const late = () => new Error(`no answer from authenticate within ${authenticateTimeout} ms`)
    this.authenticating = new Deadline(settings.clock, authenticateTimeout, late)
  }

  /**
   * Who stands behind a token; a refusal when nobody does or it cannot be found out in time. `author` names a guest where there is one.
   * @throws when the application vouches for somebody who is no User
   */
  whoIs(token: string | undefined, request: IncomingMessage | null, author: AuthorId | null): Soon<Bearer | Refusal> {
    const { authenticate, log } = this.settings
    if (authenticate === null) return this.admit(guest(author))
    const failed = (error: unknown): Refusal => {
      log.error({ err: without(error, token) }, 'authenticate failed')
      return refusal('unavailable')
    }
    let said: ReturnType<Authenticate>
    try {
      said = authenticate(token, request)
    } catch (error) {
      return failed(error)
    }
    if (!isPromise(said)) return this.vouchedFor(said)
    return this.authenticating.inTime(Promise.resolve(said)).then(answer => this.vouchedFor(answer), failed)
  }

  private vouchedFor(answer: Awaited<ReturnType<Authenticate>>): Bearer | Refusal {
    if (answer === null || answer === undefined) return refusal('unauthenticated')
    if ('stranger' in answer) return refusal('unauthenticated', answer.stranger)
    return this.admit(soundBearer(answer))
  }

  readonly middleware: Middleware = (socket, next) => {
    this.visitor(socket).then(
      found => {
        if ('code' in found) return next(new Refusing(found))
        socket.data.user = found.user
        next()
      },
      error => {
        this.settings.log.error({ err: error }, 'a visitor of the application’s could not be identified')
        next(new Refusing(refusal('internal')))
      },
    )
  }

  private async visitor({ handshake, request }: Socket): Promise<Bearer | Refusal> {
    const token: unknown = handshake.auth.token
    if (token !== undefined && (typeof token !== 'string' || Buffer.byteLength(token) > serverBounds.tokenBytes))
      return refusal('unauthenticated', 'a token is a string')
    // Typed as always there; a connection that has said hello to Inkwell has let go of it.
    const asked: IncomingMessage | null = request
    if (asked === null)
      return refusal('malformed', 'this connection is in use for documents; the application needs one of its own')
    return this.whoIs(token, asked, null)
  }

  private admit(bearer: Bearer): Bearer | Refusal {
    return this.overdue(bearer, 0) ? refusal('unauthenticated', 'the token has expired') : (this.outcast(bearer) ?? bearer)
  }

  /** Whether the token has been expired for `grace` milliseconds. */
  overdue({ expires }: Bearer, grace: number): boolean {
    return expires !== null && this.settings.clock.now() >= expires + grace
  }

  /** Why somebody whose token is good may not be here all the same; null: he may. */
  outcast(bearer: Bearer): Refusal | null {
    return this.revocations.outcast(bearer)
  }

  /**
   * What he may do in a document now.
   * @throws when `authorize` does, gives no right, or takes longer than `authorizeTimeout`
   */
  rightOf(bearer: Bearer, doc: DocId): Soon<Right> {
    if (this.revocations.cap(bearer, doc) === 'none') return 'none'
    // As that is after the answer, which may have taken its time.
    return andThen(this.granted(bearer, doc), right => lower(right, this.revocations.cap(bearer, doc)))
  }

  private granted(bearer: Bearer, doc: DocId): Soon<Right> {
    const { authorize, clock, limits } = this.settings
    if (authorize === null) return bearer.documents === null ? 'write' : rightIn(bearer.documents, doc)
    return new Promise((resolve, reject) => {
      const cancel = clock.after(limits.authorizeTimeout, () =>
        reject(new Error(`no answer from authorize within ${limits.authorizeTimeout} ms`)),
      )
      Promise.resolve(authorize(identityOf(bearer), doc)).then(
        right => {
          cancel()
          if (isRight(right)) resolve(right)
          else reject(new TypeError(`authorize answered ${JSON.stringify(right)}, which is no right`))
        },
        error => {
          cancel()
          reject(error)
        },
      )
    })
  }
}

/** An application may answer at once. */
const isPromise = <T>(said: T | PromiseLike<T>): said is PromiseLike<T> =>
  typeof (said as Partial<PromiseLike<T>> | null | undefined)?.then === 'function'

/** Addresses stand in logs, histories and Referer headers: a token in one is told to everybody on the way. */
export const hasTokenInAddress = (url: string | undefined): boolean => {
  const query = url?.indexOf('?') ?? -1
  if (query < 0 || !mayName.test(url!)) return false
  const parameters = new URLSearchParams(url!.slice(query))
  return parameters.has('token') || parameters.has('access_token')
}

/** What names no token, however it is written. */
const mayName = /%|token/

/**
 * Middleware for an application's own namespaces: `server.io.of('/chat').use(server.authenticate)`. The token is that of the client's
 * `auth: { token }`; the user is then `socket.data.user`. Whoever is refused hears `connect_error` with the refusal as `error.data`. It
 * is asked once: what happens to a user's rights later is the application's to act on.
 */
export type Middleware = (socket: Socket, next: (error?: Error) => void) => void

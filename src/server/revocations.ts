// What has been taken back before its time, on all nodes: of a user, of a token, in a document.
// Invariant: what this node has read it heeds until its time is over or a later word takes its place, also when the board has lost it.

import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Clock, Notice, Store } from '../engine/ports.ts'
import type { Json } from '../ot/type.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import { docId, userId } from '../protocol/fields.ts'
import type { DocId } from '../protocol/ids.ts'
import type { Right } from '../protocol/messages.ts'
import { type Bearer, tokenNameLength } from './identity.ts'
import type { Logger } from './log.ts'
import { lower } from './patterns.ts'

/** Whom, or what, it is about: a user or a token, a document, or one of the former in the latter. */
export interface Subject {
  readonly user?: string | undefined
  /** The token's own name: its claim `jti`. */
  readonly token?: string | undefined
  readonly document?: string | undefined
}

export interface Revocation extends Subject {
  /** What is left. Default: none, which for a user or a token everywhere means that he is put out. */
  readonly leaves?: 'none' | 'read' | undefined
  /** Milliseconds for which it holds: for a token at least as long as it lives. Default: a day. */
  readonly lasts?: number | undefined
}

/** Whose rights may have changed: those of a user, in a document, of him in it; of everybody when nothing is named. */
export type Recheck = Omit<Subject, 'token'>

/** A revocation that holds. */
export interface Holding extends Subject {
  readonly leaves: 'none' | 'read'
  readonly until: number
}

const usualTerm = 86_400_000 // ms
const looking = 1_000 // ms between two looks at the board, so that a call that went lost costs no more than that
const recheckKept = 600_000 // ms for which a node that cannot reach the store may be behind without asking about everybody
const restoredKept = 600_000 // ms, or as long as what it takes back: a node that comes late must not put the old word back

const subject = { user: z.string().optional(), token: z.string().optional(), document: z.string().optional() }
const bodyOf = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('revocation'), ...subject, leaves: z.enum(['none', 'read', 'write']) }),
  z.object({ kind: z.literal('recheck'), ...subject, id: z.string() }),
])
type Body = z.infer<typeof bodyOf>

interface Known {
  readonly notice: Notice
  /** Null: the word of a later version of Inkwell, kept for the others. */
  readonly body: Body | null
}

export interface RevocationsParts {
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  /** Called whenever somebody's rights may have changed. */
  readonly affected: (subject: Subject) => void
}

export class Revocations {
  private readonly store: Store
  private readonly clock: Clock
  private readonly log: Logger
  private readonly known = new Map<string, Known>()
  /** What is left of rights, by subject. */
  private readonly caps = new Map<string, Right>()
  private readonly affected: (subject: Subject) => void
  private mark: string | null = null
  private lastLook = 0
  private away = false
  private reading: Promise<void> | null = null
  private again = false
  private stops: (() => void)[] = []
  private closed = false

  constructor({ store, clock, log, affected }: RevocationsParts) {
    this.store = store
    this.clock = clock
    this.log = log
    this.affected = affected
  }

  /** Reads what holds, and goes on reading. @throws when the store is away */
  async start(): Promise<void> {
    this.lastLook = this.clock.now()
    await this.look()
    this.stops.push(await this.store.control.subscribe(word => isCall(word) && void this.tryToLook()))
    this.lookLater()
  }

  close(): void {
    this.closed = true
    for (const stop of this.stops.splice(0)) stop()
  }

  // ---- what holds

  /** Why this bearer has no business here at all; null: he may be here. */
  outcast({ user, token }: Bearer): Refusal | null {
    if (this.caps.size === 0) return null
    if (this.caps.get(keyOf({ user: user.id })) === 'none') return refusal('revoked')
    if (token !== null && this.caps.get(keyOf({ token })) === 'none')
      return refusal('unauthenticated', 'the token has been revoked')
    return null
  }

  /** What is left at most. */
  cap({ user: { id: user }, token }: Bearer, document: DocId): Right {
    if (this.caps.size === 0) return 'write'
    const ofUser: readonly Subject[] = [{ document }, { user }, { user, document }]
    const all = token === null ? ofUser : [...ofUser, { token }, { token, document }]
    return all.reduce<Right>((least, each) => lower(least, this.caps.get(keyOf(each)) ?? 'write'), 'write')
  }

  /** All that holds now, and until when: milliseconds since 1970. */
  list(): readonly Holding[] {
    return [...this.known.values()].flatMap(({ notice: { until }, body }) => {
      if (body?.kind !== 'revocation' || body.leaves === 'write') return []
      const { kind: _, leaves, ...about } = body
      return [{ ...about, leaves, until }]
    })
  }

  // ---- what is to hold

  /** @throws when the subject is none, or the store does not take it */
  async revoke({ leaves = 'none', lasts = usualTerm, ...given }: Revocation): Promise<void> {
    const about = sound(given)
    if (Object.keys(about).length === 0) throw new TypeError('a revocation names a user, a token or a document')
    if (!(lasts > 0 && lasts <= longestTerm)) throw new RangeError(`a revocation lasts up to ${longestTerm} ms, not ${lasts}`)
    await this.post(keyOf(about), { kind: 'revocation', ...about, leaves }, this.clock.now() + lasts)
  }

  /** Takes a revocation back before its time. Nothing happens where there is none. @throws as `revoke` */
  async restore(given: Subject): Promise<void> {
    await this.look()
    const about = sound(given)
    const key = keyOf(about)
    const until = this.known.get(key)?.notice.until ?? 0
    if (until <= this.clock.now()) return
    await this.post(key, { kind: 'revocation', ...about, leaves: 'write' }, Math.max(until, this.clock.now() + restoredKept))
  }

  /** Has `authorize` asked again. @throws as `revoke` */
  async recheck(whom: Recheck): Promise<void> {
    const about = sound(whom)
    await this.post(`recheck ${keyOf(about)}`, { kind: 'recheck', ...about, id: randomUUID() }, this.clock.now() + recheckKept)
  }

  private async post(key: string, body: Body, until: number): Promise<void> {
    await this.store.notices.post({ key, body: body as Json, until }, this.clock.now())
    this.store.control.publish(call)
    await this.look()
  }

  // ---- the board

  private lookLater(): void {
    if (this.closed) return
    const cancel = this.clock.after(looking, () => {
      this.stops.splice(this.stops.indexOf(cancel), 1)
      void this.tryToLook().then(() => this.lookLater())
    })
    this.stops.push(cancel)
  }

  private async tryToLook(): Promise<void> {
    try {
      await this.look()
      if (this.away) this.log.info('revocations can be read again')
      this.away = false
    } catch (error) {
      if (!this.away && !this.closed) this.log.warn({ err: error }, 'revocations cannot be read now; those that are known hold')
      this.away = true
    }
  }

  /** Reads the board; whoever asks while it is being read waits for a reading that began after he asked. */
  private async look(): Promise<void> {
    if (this.reading !== null) {
      this.again = true
      return this.reading
    }
    this.reading = (async () => {
      do {
        this.again = false
        await this.read()
      } while (this.again)
    })().finally(() => {
      this.reading = null
    })
    return this.reading
  }

  private async read(): Promise<void> {
    const now = this.clock.now()
    const read = await this.store.notices.read(this.mark, now)
    if (this.closed) return
    if (now - this.lastLook > recheckKept) this.affected({}) // a call to ask again may have come and gone
    this.lastLook = now
    if (read !== null) {
      this.mark = read.mark
      for (const notice of read.notices) this.take(notice)
      const there = new Set(read.notices.map(({ key }) => key))
      for (const { notice } of [...this.known.values()])
        if (notice.until > now && !there.has(notice.key)) await this.store.notices.post(notice, now) // a failover has lost it
    }
    for (const { notice, body } of [...this.known.values()]) if (notice.until <= now) this.drop(notice.key, body)
  }

  private take(notice: Notice): void {
    const { key, until } = notice
    const before = this.known.get(key)
    if (
      before !== undefined &&
      before.notice.until === until &&
      JSON.stringify(before.notice.body) === JSON.stringify(notice.body)
    )
      return
    const { success, data } = bodyOf.safeParse(notice.body)
    const body = success ? data : null
    this.known.set(key, { notice, body })
    if (body === null) return
    if (body.kind === 'revocation') this.caps.set(keyOf(body), body.leaves)
    this.affected(body)
  }

  private drop(key: string, body: Body | null): void {
    this.known.delete(key)
    if (body?.kind !== 'revocation') return
    this.caps.delete(keyOf(body))
    this.affected(body)
  }
}

const longestTerm = 3_153_600_000_000 // ms: a hundred years

/** "Look at the board": what hangs there says the rest, and nothing is lost with the call. */
const call: Json = { kind: 'notices' }
const isCall = (word: Json): boolean => JSON.stringify(word) === JSON.stringify(call)

const keyOf = ({ user, token, document }: Subject): string => JSON.stringify([user ?? null, token ?? null, document ?? null])

/** @throws naming the field */
const sound = ({ user, token, document }: Subject): Subject => {
  if (user !== undefined && token !== undefined) throw new TypeError('either a user or a token, not both')
  if (token !== undefined && (typeof token !== 'string' || token === '' || token.length > tokenNameLength))
    throw new TypeError(`the name of a token must be a string of 1 to ${tokenNameLength} characters`)
  return {
    ...(user === undefined ? {} : { user: userId(user) }),
    ...(token === undefined ? {} : { token }),
    ...(document === undefined ? {} : { document: docId(document) }),
  }
}

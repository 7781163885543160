// Whether this is still the Redis that this node has worked with: a mark that whoever came first has made, and that all remember.
// Invariant: a node never takes another mark for its own, and makes one only where it knows of none; so an emptied Redis is noticed.

import { randomBytes } from 'node:crypto'
import type { DocId } from '../../protocol/ids.ts'
import type { Hardening } from './durability.ts'
import type { Keys } from './keys.ts'
import type { Wire } from './wire.ts'

/** Redis has been emptied, or is another one: what is not in it is not known to be gone. */
export class StoreReplaced extends Error {
  override readonly name = 'StoreReplaced'
  constructor() {
    super('Redis was replaced: it has not the mark that this node knows')
  }
}

const soonest = 400 // ms for a part of a cluster to show its mark: less than a probe of a node's readiness waits
const young = 5_000 // ms after it was made in which a crash of Redis' machine may take the mark along with everything else

export interface IdentityParts {
  readonly wire: Wire
  readonly keys: Keys
  readonly hardening: Hardening
  /** Documents may be lost with Redis: then so may the mark. */
  readonly volatile: boolean
  /** A cluster has many servers, of which one may be emptied: a mark in each of so many parts of its slots, and so on each of them. */
  readonly cluster: boolean
}

/** One of the marks. */
interface Mark {
  readonly key: string
  known: string | null
  /** Until when whoever knows it may make it again where it is gone, by this process's clock. */
  youngUntil: number
  sure: boolean
}

export class Identity {
  readonly #parts: IdentityParts
  readonly #marks: readonly Mark[]

  constructor(parts: IdentityParts) {
    this.#parts = parts
    const { keys, cluster, wire } = parts
    const made = (key: string): Mark => ({ key, known: null, youngUntil: Number.NEGATIVE_INFINITY, sure: false })
    this.#marks = (cluster ? keys.marks : [keys.mark]).map(made)
    wire.whenLost(() => {
      for (const mark of this.#marks) mark.sure = false
    })
  }

  /** Nothing has given reason for doubt since that part of Redis where a document lies was last seen to be the same. */
  sure(doc: DocId): boolean {
    return this.#of(doc).sure
  }

  /** By which it was known to this node; null: it has not been seen yet, or there is none. */
  markOf(doc: DocId): string | null {
    return this.#of(doc).known
  }

  /** Looks where a document lies. The first time whatever is there is the one. @throws when Redis does not answer */
  same(doc: DocId): Promise<boolean> {
    return this.#same(this.#of(doc))
  }

  /** Looks everywhere; a part of a cluster that does not answer is not known to be another one. @throws when none answers */
  async whole(): Promise<boolean> {
    const looks = this.#marks.map(mark => this.#same(mark))
    const seen = await Promise.allSettled(this.#parts.cluster ? looks.map(soon) : looks)
    const [first] = seen
    if (first?.status === 'rejected' && seen.every(({ status }) => status === 'rejected')) throw first.reason
    return seen.every(look => look.status === 'rejected' || look.value)
  }

  #of(doc: DocId): Mark {
    return this.#parts.cluster ? this.#marks[this.#parts.keys.markOf(doc)]! : this.#marks[0]!
  }

  async #same(mark: Mark): Promise<boolean> {
    const { wire, hardening, volatile } = this.#parts
    if (volatile) return (mark.sure = true)
    const found = await wire.call(redis => redis.get(mark.key))
    const mayMake = mark.known === null || (!hardening.atOnce && performance.now() < mark.youngUntil)
    const here = found ?? (mayMake ? await this.#make(mark) : null)
    if (mark.known === null && here !== null) {
      mark.known = here
      // Others may have made it a moment ago and be gone when it is lost: each who has seen it so young may make it again.
      mark.youngUntil = performance.now() + young - ((await this.#now()) - madeAt(here))
    }
    return (mark.sure = here === mark.known)
  }

  async #make({ key, known }: Mark): Promise<string | null> {
    const { wire } = this.#parts
    const mark = known ?? fresh(await this.#now())
    await wire.call(redis => redis.set(key, mark, 'NX'))
    return wire.call(redis => redis.get(key))
  }

  /** Milliseconds by Redis' clock, which all nodes share. */
  async #now(): Promise<number> {
    return Number((await this.#parts.wire.call(redis => redis.time()))[0]) * 1_000
  }
}

/** One server that hangs does not keep the others from being heard while whoever asks still listens. */
const soon = <T>(look: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no answer from a server of the cluster within ${soonest} ms`)), soonest)
    look.then(resolve, reject).finally(() => clearTimeout(late))
  })

/** It says when it was made. */
const fresh = (now: number): string => `${randomBytes(12).toString('base64url')}.${now}`

const madeAt = (mark: string): number => Number(mark.split('.')[1] ?? Number.NEGATIVE_INFINITY)

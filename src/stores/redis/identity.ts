// Whether this is still the Redis that this node has worked with: a mark that whoever came first has made, and that all remember.
// Invariant: a node never takes another mark for its own, and makes one only where it knows of none; so an emptied Redis is noticed.

import { randomBytes } from 'node:crypto'
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

const young = 5_000 // ms after it was made in which a crash of Redis' machine may take the mark along with everything else

export interface IdentityParts {
  readonly wire: Wire
  readonly keys: Keys
  readonly hardening: Hardening
  /** Documents may be lost with Redis: then so may the mark. */
  readonly volatile: boolean
}

export class Identity {
  readonly #parts: IdentityParts
  #known: string | null = null
  #made = Number.NEGATIVE_INFINITY
  #sure = false

  constructor(parts: IdentityParts) {
    this.#parts = parts
    parts.wire.whenLost(() => (this.#sure = false))
  }

  /** Nothing has given reason for doubt since it was last seen to be the same. */
  get sure(): boolean {
    return this.#sure
  }

  /** Looks. The first time whatever is there is the one. @throws when Redis does not answer */
  async same(): Promise<boolean> {
    const { wire, keys, volatile } = this.#parts
    if (volatile) return (this.#sure = true)
    const found = await wire.call(redis => redis.get(keys.mark))
    const known = this.#known
    const here = found ?? (known === null || this.#mayRepeat ? await this.#make(known ?? fresh()) : null)
    this.#known ??= here
    this.#sure = here === this.#known
    return this.#sure
  }

  /** It was made here a moment ago, and is not known to have been on the disk. */
  get #mayRepeat(): boolean {
    return !this.#parts.hardening.atOnce && performance.now() - this.#made < young
  }

  async #make(mark: string): Promise<string | null> {
    const { wire, keys } = this.#parts
    if ((await wire.call(redis => redis.set(keys.mark, mark, 'NX'))) === 'OK') this.#made = performance.now()
    return wire.call(redis => redis.get(keys.mark))
  }
}

const fresh = (): string => randomBytes(12).toString('base64url')

// Sets and maps for the one thing that most connections have of each kind: a Set or Map of Node's own takes two hundred bytes.
// Invariant: to whoever uses them they are the Sets and Maps in whose place they stand, as far as Socket.IO uses those.

/** A room with one socket in it, or the rooms of a socket that is in its own alone; never added to. */
export class Alone {
  private only: string | null

  constructor(only: string) {
    this.only = only
  }

  get size(): number {
    return this.only === null ? 0 : 1
  }

  has(id: string): boolean {
    return this.only === id
  }

  delete(id: string): boolean {
    if (this.only !== id) return false
    this.only = null
    return true
  }

  forEach(visit: (id: string) => void): void {
    if (this.only !== null) visit(this.only)
  }

  *[Symbol.iterator](): Generator<string> {
    if (this.only !== null) yield this.only
  }

  values(): Generator<string> {
    return this[Symbol.iterator]()
  }
}

/** A map that is empty or has one entry, and becomes a real one when it gets a second. */
export class Few<K, V> {
  private key: K | undefined = undefined
  private value: V | undefined = undefined
  private rest: Map<K, V> | null = null

  static of<K, V>(entries: Iterable<readonly [K, V]>): Few<K, V> {
    const few = new Few<K, V>()
    for (const [key, value] of entries) few.set(key, value)
    return few
  }

  get size(): number {
    return this.rest?.size ?? (this.key === undefined ? 0 : 1)
  }

  has(key: K): boolean {
    return this.rest === null ? key !== undefined && this.key === key : this.rest.has(key)
  }

  get(key: K): V | undefined {
    if (this.rest !== null) return this.rest.get(key)
    return this.key === key ? this.value : undefined
  }

  set(key: K, value: V): this {
    if (this.rest === null && this.key !== undefined && this.key !== key) this.rest = new Map(this.entries())
    if (this.rest !== null) this.rest.set(key, value)
    else {
      this.key = key
      this.value = value
    }
    return this
  }

  delete(key: K): boolean {
    if (this.rest !== null) return this.rest.delete(key)
    if (!this.has(key)) return false
    this.clear()
    return true
  }

  clear(): void {
    this.key = undefined
    this.value = undefined
    this.rest = null
  }

  forEach(visit: (value: V, key: K) => void): void {
    for (const [key, value] of this.entries()) visit(value, key)
  }

  *entries(): Generator<[K, V]> {
    if (this.rest !== null) yield* this.rest
    else if (this.key !== undefined) yield [this.key, this.value as V]
  }

  *keys(): Generator<K> {
    for (const [key] of this.entries()) yield key
  }

  *values(): Generator<V> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.entries()
  }
}

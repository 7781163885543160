// Hands news about a document to those who listen to it, within one process.
// Invariant: every listener hears everything from its subscription on, once, in the order in which it was told; nobody hears from inside
// another's hearing, and a listener that throws harms neither its neighbours nor the teller.

type Listener<News> = (news: News) => void

export class Feed<Key, News> {
  readonly #listeners = new Map<Key, Set<Listener<News>>>()
  readonly #waiting: [Key, News][] = []
  #telling = false

  subscribe(key: Key, listener: Listener<News>): () => void {
    const own: Listener<News> = news => listener(news) // the same function may listen twice
    let set = this.#listeners.get(key)
    if (set === undefined) this.#listeners.set(key, (set = new Set()))
    set.add(own)
    return () => {
      const set = this.#listeners.get(key)
      if (set?.delete(own) && set.size === 0) this.#listeners.delete(key)
    }
  }

  /** What is told from inside a listener waits until the present news has reached everybody. */
  tell(key: Key, news: News): void {
    if (!this.#listeners.has(key)) return
    this.#waiting.push([key, news])
    if (this.#telling) return
    this.#telling = true
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#deliver(...next)
    this.#telling = false
  }

  clear(): void {
    this.#listeners.clear()
    this.#waiting.length = 0
  }

  #deliver(key: Key, news: News): void {
    const set = this.#listeners.get(key)
    if (set === undefined) return
    for (const listener of [...set]) {
      if (!set.has(listener)) continue // called off by one of its neighbours
      try {
        listener(news)
      } catch (bug) {
        // The store's step has happened and must be answered; the bug surfaces as the process's uncaught exception.
        queueMicrotask(() => {
          throw bug
        })
      }
    }
  }
}

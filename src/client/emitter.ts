// Typed events: who listens to what.
// Invariant: a listener that throws harms neither the others nor the one who emits; its error comes up as an uncaught one.

type Listener<T> = (event: T) => void

export class Emitter<Events extends object> {
  private readonly listeners = new Map<keyof Events, Set<{ readonly call: Listener<never> }>>()

  /** Returns how to stop listening. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    let all = this.listeners.get(name)
    if (all === undefined) this.listeners.set(name, (all = new Set()))
    const entry = { call: listener }
    all.add(entry)
    return () => all.delete(entry)
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    const all = this.listeners.get(name)
    if (all === undefined) return
    for (const entry of [...all]) {
      if (!all.has(entry)) continue // an earlier listener has just ended it
      try {
        ;(entry.call as Listener<Events[Name]>)(event)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}

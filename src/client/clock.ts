// Time for the client's shell: milliseconds, and one-shot alarms.
// Invariant: nothing else in the client measures time (surroundings.ts alone looks at the wall clock), so a test can drive every wait.

export interface Clock {
  /** Milliseconds from any fixed moment; never runs backwards. */
  now(): number
  /** Calls once after `ms`; returns how to call it off. */
  after(ms: number, call: () => void): () => void
}

/** What the promise brings, or a rejection when it takes longer; what it brings later is lost. */
export const inTime = <T>(clock: Clock, ms: number, promise: Promise<T>, what: string): Promise<T> =>
  new Promise((resolve, reject) => {
    const stop = clock.after(ms, () => reject(new Error(`${what} has taken ${ms} ms`)))
    promise.then(resolve, reject).finally(stop)
  })

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}

// What goes on around a client: the network is back, the page is looked at again or about to go, the machine has slept.
// Invariant: the one place in the client that listens to the browser and reads the wall clock; a test gives another one.

export interface Surroundings {
  /** Calls whenever there is reason to think that the line is broken, or could be made now. Returns how to stop listening. */
  onWake(call: () => void): () => void
  /** Calls whenever the page may be about to go. Returns how to stop listening. */
  onLeave(call: () => void): () => void
}

/** Milliseconds between two looks at the wall clock, */
const lookEvery = 5_000
/** and by how much one may come late before the machine counts as having slept. A page in the background is called once a minute. */
const sleptAfter = 5_000

/** A browser's, where there is one; in Node what is left of it is sleep. */
export const surroundings: Surroundings = {
  onWake(call) {
    const stops = [
      listens(globalThis, 'online', call),
      listens(globalThis, 'pageshow', call), // back from the cache of pages, in which connections are cut
      listens(globalThis.document, 'resume', call), // thawed after the browser had frozen the page
      listens(globalThis.document, 'visibilitychange', () => {
        if (!hidden()) call()
      }),
      watchesSleep(call),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  },
  onLeave(call) {
    const stops = [
      listens(globalThis, 'pagehide', call),
      // The last that many a telephone tells of a page that it will throw away.
      listens(globalThis.document, 'visibilitychange', () => {
        if (hidden()) call()
      }),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  },
}

const listens = (target: Partial<EventTarget> | undefined, name: string, call: () => void): (() => void) => {
  if (target?.addEventListener === undefined) return () => {}
  target.addEventListener(name, call)
  return () => target.removeEventListener?.(name, call)
}

const hidden = (): boolean => globalThis.document?.visibilityState === 'hidden'

/** Timers and monotonic clocks may stand still while a machine sleeps; the wall clock shows how long that was. */
const watchesSleep = (call: () => void): (() => void) => {
  let last = Date.now()
  const timer = setInterval(() => {
    const now = Date.now()
    const late = now - last - lookEvery
    last = now
    // The timers of a hidden page are late as a rule; it calls when it is shown.
    if (late > sleptAfter && !hidden()) call()
  }, lookEvery)
  const inNode: { unref?(): void } = Object(timer)
  inNode.unref?.() // a look at the clock keeps no process alive
  return () => clearInterval(timer)
}

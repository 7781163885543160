// How busy this process is.
// Invariant: no timer; whoever asks often enough gets the present, whoever asks seldom an old mean that soon goes.

import { type EventLoopUtilization, performance } from 'node:perf_hooks'

const window = 100 // ms over which a share is taken
const weight = 0.5 // of the newest window in the running mean

/** Answers which share of its time, 0 to 1, the event loop has been busy of late. */
export const loopLoad = (): (() => number) => {
  let seen: EventLoopUtilization = performance.eventLoopUtilization()
  let at = performance.now()
  let load = 0
  return () => {
    const now = performance.now()
    if (now - at < window) return load
    const { utilization } = performance.eventLoopUtilization(seen)
    load += weight * (utilization - load)
    seen = performance.eventLoopUtilization()
    at = now
    return load
  }
}

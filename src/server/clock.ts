// Real time for the engine.
// Invariant: an alarm rings once or is called off, and none of them keeps the process alive.

import type { Clock } from '../engine/ports.ts'

const longestTimeout = 2 ** 31 - 1 // ms; Node rings a longer one at once

export const systemClock: Clock = {
  now: Date.now,
  ticks: () => performance.now(),
  after: (ms, call) => {
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      const part = Math.min(left, longestTimeout)
      timer = setTimeout(() => (left > part ? wait(left - part) : call()), part).unref()
    }
    wait(Math.max(0, ms))
    return () => clearTimeout(timer)
  },
}

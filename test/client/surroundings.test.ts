// Sleep, as a process notices it that has no browser around it.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { surroundings } from '../../src/client/surroundings.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Timers stand still while a machine sleeps, the wall clock does not. */
const sleeps = (ms: number): void => {
  vi.setSystemTime(Date.now() + ms)
}

it('a machine that has slept is noticed within seconds of its waking, once; one that was a little busy is not', () => {
  const woken: number[] = []
  const stop = surroundings.onWake(() => woken.push(Date.now()))
  vi.advanceTimersByTime(60_000)
  sleeps(4_900)
  vi.advanceTimersByTime(60_000)
  expect(woken).toEqual([])
  sleeps(3_600_000)
  const awake = Date.now()
  vi.advanceTimersByTime(60_000)
  expect(woken).toHaveLength(1)
  expect(woken[0]! - awake).toBeLessThanOrEqual(5_000)
  sleeps(-7_200_000) // somebody has set the clock
  vi.advanceTimersByTime(60_000)
  expect(woken).toHaveLength(1)
  stop()
  sleeps(3_600_000)
  vi.advanceTimersByTime(60_000)
  expect([woken.length, vi.getTimerCount()]).toEqual([1, 0])
})

import { expect, it } from 'vitest'
import { Lately } from '../../src/stores/lately.ts'

it('[P8] what was used among the last is there, and of the rest no more than as much again', () => {
  const lately = new Lately<number, string>(10)
  lately.set(0, 'kept')
  for (let i = 1; i < 1_000; i++) {
    expect(lately.get(0)).toBe('kept') // used again and again
    lately.set(i, String(i))
    expect(lately.get(i - 1 || 0)).toBe(i === 1 ? 'kept' : String(i - 1))
  }
  const there = Array.from({ length: 1_000 }, (_, i) => 999 - i).filter(i => lately.get(i) !== undefined)
  expect(there.slice(0, 9)).toEqual([999, 998, 997, 996, 995, 994, 993, 992, 991])
  expect(there.length).toBeLessThanOrEqual(20)
  lately.delete(999)
  expect(lately.get(999)).toBeUndefined()
})

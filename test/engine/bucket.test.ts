import { expect, test } from 'vitest'
import { take } from '../../src/engine/bucket.ts'

test('a bucket gives at once what it holds, then what runs into it, and says when there will be enough', () => {
  let fullAt = 0
  const asks = (cost: number, now: number): number => {
    const [next, wait] = take(fullAt, 5, cost, now)
    fullAt = next
    return wait
  }
  expect([asks(3, 1_000), asks(2, 1_000), asks(1, 1_000)]).toEqual([0, 0, 200])
  expect([asks(1, 1_199), asks(1, 1_200), asks(1, 1_200)]).toEqual([1, 0, 200])
  expect([asks(5, 2_000), asks(5, 2_200)], 'what was refused has taken nothing').toEqual([200, 0])
  expect([asks(5, 60_000), asks(1, 60_000)], 'it holds no more after a long time').toEqual([0, 200])
  expect([asks(100, 61_000), asks(1, 61_000)], 'what costs more than it holds costs all of it').toEqual([0, 200])
  expect([asks(1, 7), asks(1, 207)], 'a clock that was put back fills nothing and shuts nobody out').toEqual([200, 0])
  expect(take(0, 0, 1, 60_000)[1], 'one that holds nothing gives nothing').toBeGreaterThan(0)
})

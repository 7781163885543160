// What reading over HTTP takes of a limit, by a clock in the hand.

import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { defaultLineLimits } from '../../src/server/index.ts'
import { type Reading, Reads } from '../../src/server/reads.ts'

const from = (remoteAddress: string) => ({ headers: {}, socket: { remoteAddress } }) as unknown as IncomingMessage

const world = () => {
  let now = 1_000_000
  const reads = new Reads({
    limits: { ...defaultLineLimits, readsPerUser: 4, readsPerAddress: 2, unreadBytes: 1_000 },
    trustProxy: 0,
    clock: { now: () => now, after: () => () => {} },
  })
  /** A read of a user, or of nobody; how long he has to wait, or his reading. */
  const asks = (user: string | null, address = '203.0.113.1'): Reading | number => {
    const reading = reads.begin(from(address))
    if ('code' in reading) return reading.after!
    const no = user === null ? null : reading.by(user)
    return no === null ? reading : no.after!
  }
  const passes = (ms: number): void => void (now += ms)
  return { asks, passes }
}

const got = (answer: Reading | number): boolean => typeof answer === 'object'

it('[P5] many users behind one address do not take from each other, nor from those who are nobody there', () => {
  const { asks } = world()
  for (let user = 0; user < 50; user++) expect(got(asks(`user ${user}`))).toBe(true)
  expect([got(asks(null)), got(asks(null)), got(asks(null))]).toEqual([true, true, false])
  expect(got(asks(null, '203.0.113.2'))).toBe(true)
})

it('[P5] a user has his reads wherever he asks from, and they come back', () => {
  const { asks, passes } = world()
  for (let i = 0; i < 4; i++) expect(got(asks('ann', `203.0.113.${i}`))).toBe(true)
  expect(asks('ann', '203.0.113.9')).toBe(250)
  passes(249)
  expect(asks('ann')).toBe(1)
  passes(1)
  expect(got(asks('ann'))).toBe(true)
})

it('[P5] a long answer takes as much as many short ones, and whoever was sent one waits', () => {
  const { asks, passes } = world()
  const long = asks('ann') as Reading
  long.answers(16 * 65_536)() // taken at once
  expect(asks('ann')).toBe(3_500) // seventeen and this one reads, of which four are there at once
  passes(3_500)
  const longest = asks('ann') as Reading
  longest.answers(100_000_000)()
  expect(asks('ann')).toBeLessThanOrEqual(9_250)
  passes(9_250)
  expect(got(asks('ann')), 'nobody is shut out for longer than that').toBe(true)
})

it('[P5] who does not take what he is answered is answered no more, others are, and he is again when he has taken it', () => {
  const { asks } = world()
  const taken = [asks('ann'), asks('ann')].map(reading => (reading as Reading).answers(600))
  expect([asks('ann'), got(asks('ben'))]).toEqual([1_000, true])
  taken[0]!()
  expect(got(asks('ann'))).toBe(true)
  const stranger = asks(null) as Reading
  stranger.answers(1_001)
  expect([asks(null), got(asks('ben')), got(asks(null, '203.0.113.2'))]).toEqual([1_000, false, true])
})

it('[P5] a clock that was put back shuts nobody out', () => {
  const { asks, passes } = world()
  for (let i = 0; i < 5; i++) asks('ann')
  passes(-500_000)
  expect(got(asks('ann'))).toBe(false)
  passes(10_000)
  expect(got(asks('ann'))).toBe(true)
})

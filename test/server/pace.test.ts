// What follows from sending too much, in numbers; and from where a request comes.

import type { IncomingMessage } from 'node:http'
import { expect, it } from 'vitest'
import { addressOf } from '../../src/server/address.ts'
import { costOf, paceOf, pauseFor, spend } from '../../src/server/pace.ts'

const rate = { messages: 100, bytes: 10_000 }

/** What is done to each of so many messages that come at one moment. */
const atOnce = (count: number, bytes = 1): string[] => {
  let until = 0
  return Array.from({ length: count }, () => paceOf((until = spend(until, costOf(bytes, rate), 5_000)), 5_000))
}

it('[P5] a second’s worth may come at once; what comes beyond it is warned of, not shown, refused, and cut', () => {
  const counts = { 'in step': 0, warned: 0, quiet: 0, refused: 0, cut: 0 }
  for (const pace of atOnce(600)) counts[pace as keyof typeof counts]++
  expect(counts).toEqual({ 'in step': 100, warned: 100, quiet: 100, refused: 200, cut: 100 })
  expect(atOnce(6, 10_000)).toEqual(['in step', 'warned', 'quiet', 'refused', 'refused', 'cut'])
})

it('[P5] whoever keeps to the rate is in step for ever, and one message costs no more than a cut, however long it is', () => {
  let until = 0
  for (let now = 0; now < 60_000; now += 10) {
    until = spend(until, costOf(100, rate), now)
    expect(paceOf(until, now)).toBe('in step')
  }
  expect(spend(0, costOf(Number.MAX_SAFE_INTEGER, rate), 1_000)).toBe(6_000)
})

it('[P5] the pause that is told is the one after which one is in step, and a clock that was put back shuts nobody out', () => {
  let until = 0
  for (let i = 0; i < 250; i++) until = spend(until, costOf(1, rate), 1_000)
  const pause = pauseFor(until, 1_000)
  expect([pause, paceOf(until, 1_000 + pause), paceOf(until, 999 + pause)]).toEqual([1_500, 'in step', 'warned'])
  const back = spend(1_000_000, costOf(1, rate), 10)
  expect(pauseFor(back, 10)).toBeLessThanOrEqual(4_010)
})

it('[P5] an address is that of the socket, or what the proxies say that are there, and never what the client says', () => {
  const asked = (remoteAddress: string | undefined, forwarded?: string | string[]) =>
    ({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } }) as unknown as IncomingMessage
  const cases: readonly (readonly [IncomingMessage, number, string])[] = [
    [asked('10.0.0.1', '1.2.3.4'), 0, '10.0.0.1'],
    [asked('::ffff:10.0.0.1'), 0, '10.0.0.1'],
    [asked('10.0.0.1', 'forged, 1.2.3.4'), 1, '1.2.3.4'],
    [asked('10.0.0.1', 'forged, 1.2.3.4, 10.0.0.2'), 2, '1.2.3.4'],
    [asked('10.0.0.1', ['forged', '1.2.3.4 ']), 1, '1.2.3.4'],
    [asked('10.0.0.1', ''), 1, '10.0.0.1'],
    [asked('10.0.0.1', '1.2.3.4'), 2, '10.0.0.1'],
    [asked('2001:db8:1:2:3:4:5:6'), 0, '2001:db8:1:2::/64'],
    [asked('2001:db8:1:2::7'), 0, '2001:db8:1:2::/64'],
    [asked('2001:0DB8::1'), 0, '2001:db8:0:0::/64'],
    [asked('::1'), 0, '0:0:0:0::/64'],
    [asked('fe80::1%eth0'), 0, 'fe80:0:0:0::/64'],
    [asked('10.0.0.1', `${'x'.repeat(10_000)}`), 1, 'x'.repeat(45)],
    [asked(undefined), 0, ''],
  ]
  expect(cases.map(([request, proxies]) => addressOf(request, proxies))).toEqual(cases.map(([, , address]) => address))
})

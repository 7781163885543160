// The numbers of the operator's page, from Prometheus' text, by hand.

import { expect, it } from 'vitest'
import { numberOf, quantileOf, rateOf, readScrape } from '../../dashboard/numbers.ts'

const before = readScrape(
  [
    '# HELP a_total x',
    'a_total{origin="here"} 10',
    'a_total{origin="elsewhere"} 5',
    't_bucket{le="0.1"} 1',
    't_bucket{le="+Inf"} 1',
  ].join('\n'),
  100,
)
const now = readScrape(
  [
    'a_total{origin="here"} 30',
    'a_total{origin="elsewhere"} 6',
    'a_total_more 99',
    't_bucket{le="0.1"} 1',
    't_bucket{le="0.2"} 11',
    't_bucket{le="+Inf"} 21',
  ].join('\n'),
  110,
)

it('[P7] a metric is the sum of its own lines, or of those that fit; what is not there is not nought', () => {
  expect(numberOf(now, 'a_total')).toBe(36)
  expect(numberOf(now, 'a_total', 'origin="here"')).toBe(30)
  expect(numberOf(now, 'a')).toBe(null)
})

it('[P7] a rate is by the second, and never below nought: a server that was started anew begins at nothing', () => {
  expect(rateOf(before, now, 'a_total', 'origin="here"')).toBe(2)
  expect(rateOf(now, { ...before, at: 120 }, 'a_total')).toBe(0)
  expect(rateOf(now, now, 'a_total')).toBe(null)
})

it('[P7] a quantile is that of what came between two scrapes, linear within its bucket', () => {
  expect(quantileOf(before, now, 't', 0.25)).toBeCloseTo(0.15)
  expect(quantileOf(before, now, 't', 0.99)).toBe(0.2) // beyond the last bound nothing is known
  expect(quantileOf(now, now, 't', 0.5)).toBe(null)
})

// When another token is asked for, and on which line it goes out.

import { expect, test } from 'vitest'
import { Renewal } from '../../src/client/renewal.ts'
import { handClock, settle } from '../simulation/hand.ts'

/** A renewal whose application answers when the test says so. */
const renewal = (random = 0.5) => {
  const clock = handClock()
  const questions: { give(token: string): void; fail(): void }[] = []
  const sent: string[] = []
  const renews = new Renewal({
    clock,
    random: () => random,
    token: () => new Promise((give, reject) => questions.push({ give, fail: () => reject(new Error('the session has ended')) })),
    send: token => sent.push(token),
  })
  return { clock, questions, sent, renews }
}

test.each([
  [0, 70],
  [0.5, 80],
  [0.999, 90],
])('[P6] another token is asked for between 70 and 90 % of its life, so that not all are renewed at once', async (random, at) => {
  const { clock, questions, sent, renews } = renewal(random)
  renews.up(100_000)
  clock.pass(at * 1_000 - 1_000)
  expect(questions).toHaveLength(0)
  clock.pass(1_000)
  questions[0]!.give('fresh')
  await settle()
  expect(sent).toEqual(['fresh'])
  renews.renewed(10_000)
  clock.pass(9_000)
  expect(questions).toHaveLength(2)
})

test('a token without end is never renewed, and one with hardly any life left not more than once a second', async () => {
  const { clock, questions, renews } = renewal()
  renews.up(null)
  clock.pass(10 ** 12)
  expect(questions).toHaveLength(0)
  renews.up(0)
  for (let second = 1; second <= 5; second++) {
    clock.pass(999)
    expect(questions).toHaveLength(second - 1)
    clock.pass(1)
    expect(questions).toHaveLength(second)
    questions.at(-1)!.give('old')
    await settle()
    renews.renewed(0)
  }
})

test('one that the server does not take, or that the application cannot give, is asked for again after a while', async () => {
  const { clock, questions, sent, renews } = renewal()
  renews.up(10_000)
  clock.pass(8_000)
  questions[0]!.fail()
  await settle()
  clock.pass(2_500)
  questions[1]!.give('bad')
  await settle()
  renews.refused()
  clock.pass(2_500)
  questions[2]!.give('good')
  await settle()
  expect(sent).toEqual(['bad', 'good'])
})

test('a token that was asked for on a line that is gone does not go out on the next, which asks for its own', async () => {
  const { clock, questions, sent, renews } = renewal()
  renews.up(10_000)
  clock.pass(8_000)
  renews.down()
  clock.pass(100_000)
  expect(questions).toHaveLength(1)
  renews.up(10_000)
  clock.pass(8_000)
  expect(questions).toHaveLength(2)
  questions[0]!.give('late')
  questions[1]!.give('fresh')
  await settle()
  expect(sent).toEqual(['fresh'])
})

test('one question is asked at a time', async () => {
  const { clock, questions, renews } = renewal()
  renews.up(10_000)
  clock.pass(8_000)
  renews.refused() // the server says that the old one has ended, while the application is still looking for another
  clock.pass(60_000)
  expect(questions).toHaveLength(1)
})

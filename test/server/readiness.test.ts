// How a server decides whether it should be sent clients, with time and the store's answers in the test's hand.

import { pino } from 'pino'
import { expect, it } from 'vitest'
import { Readiness } from '../../src/server/readiness.ts'
import { handClock, settle } from '../simulation/hand.ts'

interface Health {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/** A store that answers when the test says so, or at once while it is `well`. */
const world = (unreadyAfter: number) => {
  const clock = handClock()
  const lines: { msg: string; level: number }[] = []
  const store = { well: true, questions: 0, answer: () => {}, fail: () => {} }
  const ask = (): Promise<void> => {
    store.questions++
    if (store.well) return Promise.resolve()
    return new Promise((resolve, reject) => Object.assign(store, { answer: resolve, fail: () => reject(new Error('away')) }))
  }
  const log = pino({ base: null, timestamp: false }, { write: line => lines.push(JSON.parse(line)) })
  const readiness = new Readiness({ ask, store: 'redis', unreadyAfter, clock, log })
  /** What a probe is told, with as much time as probes have. */
  const probe = async (patience = 900): Promise<Health | null> => {
    let told: Health | null = null
    asked(readiness).then(health => (told = health))
    await settle()
    for (let ms = 0; told === null && ms < patience; ms += 100) {
      clock.pass(100)
      await settle()
    }
    return told
  }
  /** The store fails whatever is asked during this time. */
  const failsFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      store.fail()
      await settle()
      clock.pass(100)
      await settle()
    }
  }
  return { clock, store, readiness, lines, probe, failsFor }
}

const ready: Health = { ready: true, reasons: [] }

const asked = async (readiness: Readiness): Promise<Health> => {
  const { ready, wrong } = await readiness.health()
  return { ready, reasons: wrong === null ? [] : [wrong.reason] }
}

it('[P7] a store that is away for less than the limit makes nobody unready, one that stays away does, and its return shows', async () => {
  const { store, probe, failsFor, lines } = world(5_000)
  expect(await probe()).toEqual(ready)
  store.well = false
  expect(await probe(), 'while the first question is open').toMatchObject({ ready: true })
  await failsFor(4_000)
  expect(await probe()).toEqual({ ready: true, reasons: ['store redis has not answered for 4 s'] })
  await failsFor(600)
  expect(await probe()).toEqual({ ready: false, reasons: ['store redis has not answered for 5 s'] })
  store.well = true
  await failsFor(1_100) // whatever was asked before is still lost
  expect(await probe()).toEqual(ready)
  expect(lines.map(({ msg }) => msg)).toEqual(['the store does not answer', 'the store answers again'])
})

it('two hiccups far from each other are not one long absence, even when only they were probed', async () => {
  const { store, probe, failsFor } = world(5_000)
  for (let hiccup = 0; hiccup < 3; hiccup++) {
    store.well = false
    await probe()
    await failsFor(600)
    store.well = true
    await failsFor(4_000) // nobody probes meanwhile
  }
  expect(await probe()).toEqual(ready)
})

it('any number of probes are one question at a time; while the store is away they are told at once what is known', async () => {
  const { store, readiness, clock, failsFor } = world(5_000)
  store.well = false
  const many = Array.from({ length: 1_000 }, () => asked(readiness))
  await settle()
  expect(store.questions).toBe(1)
  clock.pass(500)
  expect((await Promise.all(many)).every(({ ready }) => ready)).toBe(true)
  await failsFor(600)
  const before = store.questions
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => asked(readiness)))
  expect(answers).toEqual(Array(1_000).fill({ ready: true, reasons: ['store redis has not answered for 1 s'] }))
  expect(store.questions).toBe(before)
})

it('a store that is away is asked some times a second, and no more once the server is closed', async () => {
  const { store, readiness, probe, failsFor } = world(5_000)
  store.well = false
  await probe()
  await failsFor(60_000)
  expect(store.questions).toBeGreaterThan(80)
  expect(store.questions).toBeLessThan(130)
  readiness.close()
  const before = store.questions
  await failsFor(5_000)
  expect(store.questions).toBe(before)
})

it('a limit of nothing is strict: the first question that is not answered counts', async () => {
  const { store, probe, failsFor } = world(0)
  expect(await probe()).toEqual(ready)
  store.well = false
  expect(await probe()).toMatchObject({ ready: false })
  store.well = true
  await failsFor(1_100)
  expect(await probe()).toEqual(ready)
})

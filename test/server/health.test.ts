// What a server finds out about itself, with time in the test's hand: what fails, since when, and that the log has it once.

import { pino } from 'pino'
import { expect, it } from 'vitest'
import type { Song } from '../../src/engine/index.ts'
import type { Store } from '../../src/engine/ports.ts'
import type { Fault } from '../../src/server/checks.ts'
import { HealthWatch } from '../../src/server/health.ts'
import { Readiness } from '../../src/server/readiness.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import { handClock, settle } from '../simulation/hand.ts'

const well: Song = { took: {}, failed: null }

const world = (store: Partial<Store> = {}) => {
  const clock = handClock()
  const lines: { msg: string; check?: string; detail?: string; ms?: number }[] = []
  const log = pino({ base: null, timestamp: false }, { write: line => lines.push(JSON.parse(line)) })
  const now: { song: Song; load: Fault | null; keys: Error | null } = { song: well, load: null, keys: null }
  const watch = new HealthWatch({
    readiness: new Readiness({ ask: async () => {}, store: 'redis', unreadyAfter: 5_000, clock, log }),
    store: { ...memoryStore(), ...store },
    tryOut: async () => now.song,
    identify: async () => {
      if (now.keys !== null) throw now.keys
    },
    looks: { load: () => now.load },
    limits: { canaryEvery: 10_000, clockSkew: 2_000 },
    clock,
    log,
  })
  watch.start()
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 500) {
      clock.pass(500)
      await settle()
    }
  }
  const wrong = async () => {
    const { ready, checks } = await watch.health()
    return [ready, ...checks.filter(({ ok }) => !ok).map(({ name, since, reason }) => `${name} ${since}: ${reason}`)]
  }
  return { clock, now, pass, wrong, watch, lines }
}

const at = (ms: number): string => new Date(ms).toISOString()

it('[P7] a canary that fails once is told, one that fails twice makes unready, and its next song clears it', async () => {
  const { now, pass, wrong, lines, clock } = world()
  await pass(10_500)
  expect(await wrong()).toEqual([true])
  now.song = { took: {}, failed: { step: 'hearing', why: 'the document did not hear of it within 3000 ms' } }
  await pass(10_000)
  const since = at(clock.now())
  expect(await wrong()).toEqual([
    true,
    `canary ${since}: a document that is open here does not hear what others write (hearing): no answer in time`,
  ])
  await pass(1_000)
  expect((await wrong())[0]).toBe(false)
  now.song = well
  await pass(1_000)
  expect(await wrong()).toEqual([true])
  expect(lines.map(({ msg, check }) => [msg, check])).toEqual([
    ['a check fails', 'canary'],
    ['a check is well again', 'canary'],
  ])
})

it('[P7] a node that has just started is tried out soon, and from then on half as often each time until the usual pace', async () => {
  const { clock, now, pass } = world()
  const sung: number[] = []
  Object.defineProperty(now, 'song', {
    get: () => {
      sung.push(clock.now())
      return well
    },
  })
  const began = clock.now()
  await pass(35_000)
  const [first, ...more] = sung
  expect(first! - began).toBeLessThanOrEqual(500)
  const waits = more.map((at, i) => at - sung[i]!)
  expect(waits.slice(0, 5)).toEqual(waits.slice(0, 5).toSorted((a, b) => a - b))
  expect(waits.slice(4)).toEqual([10_000, 10_000])
})

it('[P7] what does not become durable is told and makes no node unready, however long: another one serves no better', async () => {
  const { now, pass, wrong } = world()
  now.song = { took: {}, failed: { step: 'durability', why: 'it stays in doubt' } }
  await pass(60_000)
  expect(await wrong()).toEqual([
    true,
    expect.stringMatching(/^canary .*: what is written does not become durable; writers see saving \(durability\)$/),
  ])
})

it('[P7] where a part of the store fails a node says so and stays ready, since all would go; where all of it fails none is', async () => {
  const { now, pass, wrong } = world()
  const fails = (failed: number): Song => ({
    took: {},
    failed: { step: 'append', why: 'ECONNREFUSED', on: { server: '10.0.0.7:6379', failed, of: 3 } },
  })
  now.song = fails(2)
  await pass(60_000)
  expect(await wrong()).toEqual([true, expect.stringMatching(/^canary .* \(append\), on 2 of 3 servers of the store/)])
  now.song = fails(3)
  await pass(1_000)
  expect((await wrong())[0], 'once may be a hiccup, whatever was the matter before').toBe(true)
  await pass(1_000)
  expect(await wrong()).toEqual([false, expect.stringMatching(/^canary .* \(append\), on 3 of 3 servers of the store/)])
  now.song = fails(1)
  await pass(1_000)
  expect((await wrong())[0]).toBe(true)
})

it('[P7] what the canary heard of the store is told without its words; the log has them', async () => {
  const { now, pass, wrong, lines } = world()
  now.song = { took: {}, failed: { step: 'append', why: 'no connection to redis://me:hunter2@10.0.0.7' } }
  await pass(10_500)
  expect(JSON.stringify(await wrong())).not.toContain('hunter2')
  expect(lines[0]).toMatchObject({ detail: 'no connection to redis://me:hunter2@10.0.0.7' })
})

it('[P7] settings that have become bad, a clock that goes wrong and keys that cannot be had are told within a quarter of a minute, and cleared', async () => {
  let fault: 'fault' | 'warning' = 'warning'
  let off = 0
  const { now, pass, wrong, clock } = world({
    findings: async () => [{ severity: fault, sentence: 'Redis keeps no append-only file', mend: 'set appendonly yes' }],
    time: async () => clock.now() + off,
  })
  await pass(20_000)
  expect(await wrong()).toEqual([true])
  fault = 'fault'
  off = -61_000
  now.keys = new Error('ECONNREFUSED')
  await pass(15_000)
  expect((await wrong()).map(line => String(line).replace(/ \d{4}-.*?Z/, ''))).toEqual([
    'true',
    'settings: Redis keeps no append-only file',
    'tokens: the issuer of tokens does not give its keys',
    'clock: this node’s clock and that of the store are 61 s apart',
  ])
  fault = 'warning'
  off = 0
  now.keys = null
  await pass(15_000)
  expect(await wrong()).toEqual([true])
})

it('a server that is closed looks at nothing any more', async () => {
  const { now, pass, watch, lines } = world()
  watch.close()
  now.load = { reason: 'busy', mend: 'wait', unready: false }
  await pass(60_000)
  expect(lines).toEqual([])
})

// Thousands of lines that lose their server in one moment: how many a second come back. Nothing here is measured, all of it is counted:
// time and chance are held in the hand, and only the server's answers are made up.
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/client/clock.ts'
import { Crowd, drainWindow, reconnectRate } from '../../src/server/crowd.ts'
import { seeded } from '../../src/testing/random.ts'
import { type HandCall, HeldLine } from './calls.ts'

const seed = Number(process.env.SEED ?? 20_261_126)

/** Whole milliseconds, one after the other: quick also for ten thousand alarms. */
class TickClock implements Clock {
  private time = 0
  private readonly due = new Map<number, Set<{ readonly call: () => void }>>()

  now(): number {
    return this.time
  }

  after(ms: number, call: () => void): () => void {
    const at = Math.ceil(this.time + ms)
    const alarm = { call }
    const alarms = this.due.get(at) ?? new Set()
    this.due.set(at, alarms.add(alarm))
    return () => void alarms.delete(alarm)
  }

  pass(ms: number): void {
    for (const end = this.time + ms; ; this.time++) {
      const alarms = this.due.get(this.time)
      for (const alarm of alarms ?? []) {
        alarms!.delete(alarm)
        alarm.call()
      }
      this.due.delete(this.time)
      if (this.time >= end) return
    }
  }
}

const roundTrip = 5 // ms

/** As many clients as asked for, at a server that can go away. */
class Storm {
  readonly clock = new TickClock()
  /** When clients were welcomed. */
  readonly welcomed: number[] = []
  up = true
  draining = false
  private crowd = new Crowd()
  private readonly here = new Set<HandCall>()

  constructor(size: number, random: () => number) {
    for (let i = 0; i < size; i++) {
      new HeldLine({ clock: this.clock, random }, call => this.dialled(call))
      this.clock.pass(2) // they came one by one, over the day
    }
    this.clock.pass(10_000)
    this.welcomed.length = 0
  }

  private dialled(call: HandCall): void {
    this.clock.after(roundTrip, () => {
      if (call.over) return
      if (!this.up) return call.ends('refused')
      this.here.add(call)
      this.welcomed.push(this.clock.now())
      call.welcomes(this.crowd.spread)
      if (this.crowd.outgrown(this.here.size))
        for (const each of this.here) each.says({ kind: 'alive', spread: this.crowd.spread })
    })
  }

  /** Everybody loses the line in the same moment; the server is there again after `ms`, and knows of nobody. */
  restarts(ms: number): void {
    this.up = false
    this.crowd = new Crowd()
    const lost = [...this.here]
    this.here.clear()
    for (const call of lost) call.ends()
    this.clock.pass(ms)
    this.up = true
  }

  /** Another node takes them over, told by this one when. */
  drains(random: () => number): void {
    const window = drainWindow(this.here.size)
    this.crowd = new Crowd()
    const lost = [...this.here]
    this.here.clear()
    for (const call of lost) call.drains(Math.round(random() * window))
  }

  get back(): number {
    return this.here.size
  }

  /** The most that were welcomed within one second, wherever that second begins. */
  get most(): number {
    let most = 0
    let first = 0
    for (const [i, at] of this.welcomed.entries()) {
      while (this.welcomed[first]! <= at - 1_000) first++
      most = Math.max(most, i - first + 1)
    }
    return most
  }
}

describe(`two thousand clients, SEED=${seed}`, () => {
  it.each([0, 300, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000, 20_000, 60_000])(
    '[P5] whose server is away for %i ms: no second with more than twice the target rate, and all are back in the end',
    away => {
      const random = seeded(seed + away).next
      const storm = new Storm(2_000, random)
      storm.restarts(away)
      storm.clock.pass(65_000)
      expect(storm.back).toBe(2_000)
      expect(storm.most).toBeLessThanOrEqual(2 * reconnectRate)
    },
  )

  it('[P5] whose server restarts, and again before all are back', () => {
    const storm = new Storm(2_000, seeded(seed).next)
    for (const away of [1_500, 700, 100, 2_500]) {
      storm.restarts(away)
      storm.clock.pass(1_000)
    }
    storm.clock.pass(65_000)
    expect(storm.back).toBe(2_000)
    expect(storm.most).toBeLessThanOrEqual(2 * reconnectRate)
  })

  it('[P5] whose node drains: they move within its window, and no second has more than twice the target rate', () => {
    const random = seeded(seed).next
    const storm = new Storm(2_000, random)
    storm.drains(random)
    storm.clock.pass(drainWindow(2_000) + roundTrip)
    expect(storm.back).toBe(2_000)
    expect(storm.most).toBeLessThanOrEqual(2 * reconnectRate)
  })
})

describe('other crowds', () => {
  it.each([50, 500, 700, 10_000])('[P5] of %i', size => {
    const storm = new Storm(size, seeded(seed + size).next)
    storm.restarts(1_000)
    storm.clock.pass(size < 1_000 ? 20_000 : 65_000)
    expect(storm.back).toBe(size)
    expect(storm.most).toBeLessThanOrEqual(2 * reconnectRate)
  })
})

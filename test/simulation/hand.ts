// The world outside an engine, held in the hand: store calls, announcements and time move only when a test says so.
// Invariant: given the same moves, the same things happen; nothing here waits for a real clock.

import type { Announcement, Clock, Log, Store } from '../../src/engine/ports.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import type { MemoryLog } from '../../src/stores/memory.ts'
import { localPresence } from '../../src/stores/presence.ts'
import { localSeats } from '../../src/stores/seats.ts'
import { localControl, localSignals } from '../../src/stores/signals.ts'

/** A call to the log that somebody has made. It happens when `execute` is called, and is answered when `answer` is. */
export interface Call {
  readonly name: string
  readonly executed: boolean
  execute(): void
  answer(): void
  /** The caller learns nothing; whether it has happened, or will yet, is another matter. */
  fail(): void
}

export interface HandStore {
  readonly store: Store
  readonly calls: Call[]
  readonly feed: Announcement[]
  /** Hands the oldest announcement to its listener. */
  hear(): void
  /** Loses the oldest announcement. */
  miss(): void
  /** The process is gone: nothing is heard any more. */
  die(): void
}

/** A store in front of a log that others use too. `overhear` decides what of an announcement reaches this node: 0, 1 or 2 copies. */
export const handStore = (log: MemoryLog, overhear: () => number): HandStore => {
  const calls: Call[] = []
  const heard: { announcement: Announcement; listener: (announcement: Announcement) => void }[] = []
  const feed: Announcement[] = []
  const stops: (() => void)[] = []
  let alive = true

  const later = <T>(name: string, run: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      let outcome: { value: T } | null = null
      const call = {
        name,
        get executed() {
          return outcome !== null
        },
        execute() {
          outcome ??= { value: run() }
        },
        answer() {
          call.execute()
          remove()
          resolve(outcome!.value)
        },
        fail() {
          remove()
          reject(new Error(`${name} was not answered`))
        },
      }
      const remove = () => calls.splice(calls.indexOf(call), 1)
      calls.push(call)
    })

  const board = localPresence()
  const port: Log = {
    durability: 'memory',
    open: doc => later('open', () => log.open(doc)),
    append: (doc, at, entries) => later('append', () => log.append(doc, at, entries)),
    read: (doc, at) => later('read', () => log.read(doc, at)),
    entries: async (doc, after, limit) => log.entries(doc, after, limit),
    raiseHorizon: (doc, epoch, horizon) => later('raiseHorizon', () => log.raiseHorizon(doc, epoch, horizon)),
    checkpoint: (doc, checkpoint) => later('checkpoint', () => log.checkpoint(doc, checkpoint)),
    documents: async (after, limit) => log.documents(after, limit),
    about: async doc => log.about(doc),
    remove: doc => later('remove', () => log.remove(doc)),
    plant: async (doc, seed) => log.plant(doc, seed),
    settle: async (doc, epoch, checkpoint) => log.settle(doc, epoch, checkpoint),
    async subscribe(doc: DocId, listener) {
      const stop = log.subscribe(doc, announcement => {
        for (let copies = alive ? overhear() : 0; copies > 0; copies--) {
          heard.push({ announcement, listener })
          feed.push(announcement)
        }
      })
      stops.push(stop)
      return stop
    },
    close: async () => undefined,
  }
  return {
    store: {
      name: 'hand:',
      shared: true,
      log: port,
      presence: { ...board, list: async doc => board.list(await later('presence', () => doc)) },
      control: localControl(),
      notices: log.notices,
      signals: localSignals(),
      seats: localSeats(),
      ready: async () => undefined,
      close: async () => undefined,
    },
    calls,
    feed,
    hear() {
      feed.shift()
      const next = heard.shift()
      next?.listener(next.announcement)
    },
    miss() {
      feed.shift()
      heard.shift()
    },
    die() {
      alive = false
      heard.length = 0
      feed.length = 0
      for (const stop of stops.splice(0)) stop()
    },
  }
}

export interface HandClock extends Clock {
  /** Moves time on and rings every alarm that is due, in order. */
  pass(ms: number): void
}

export const handClock = (): HandClock => {
  let time = 1_000_000
  let last = 0
  const alarms = new Map<number, { at: number; call: () => void }>()
  return {
    now: () => time,
    after(ms, call) {
      const id = ++last
      alarms.set(id, { at: time + ms, call })
      return () => {
        alarms.delete(id)
      }
    },
    pass(ms) {
      const until = time + ms
      for (;;) {
        let next: readonly [number, { at: number; call: () => void }] | null = null
        for (const alarm of alarms) if (alarm[1].at <= until && (next === null || alarm[1].at < next[1].at)) next = alarm
        if (next === null) break
        time = Math.max(time, next[1].at)
        alarms.delete(next[0])
        next[1].call()
      }
      time = until
    },
  }
}

/** Lets every promise that can go on go on. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 24; i++) await undefined
}

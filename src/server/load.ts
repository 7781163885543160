// How busy this process is, and how much of that is writing frames.
// Invariant: no timer; whoever asks often enough gets the present, whoever asks seldom an old mean that soon goes.

import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import type { Load } from '../engine/index.ts'

const window = 100 // ms over which a share is taken
const longest = 4 // ms that writing at one go counts for: what is more is a pause of the machine
const weight = 0.5 // of the newest window in the running mean

export class ProcessLoad {
  private seen: EventLoopUtilization = performance.eventLoopUtilization()
  private at = performance.now()
  private wrote = 0
  private spared = 0
  private measuring = false
  private load: Load = { busy: 0, writing: 0, spared: 0 }

  /** Writes a frame: what it answers is the milliseconds that this takes where it is not done at one go. */
  writing(write: () => Promise<number> | undefined): Promise<number> | undefined {
    if (this.measuring) return write() // as a part of what is measured already
    this.measuring = true
    const since = performance.now()
    let later: Promise<number> | undefined
    try {
      later = write()
    } finally {
      this.measuring = false
    }
    if (later === undefined) this.took(Math.min(performance.now() - since, longest))
    else void later.then(ms => this.took(ms)) // it never rejects
    return later
  }

  /** So many milliseconds of writing were spared. */
  spare(ms: number): void {
    this.spared += ms
  }

  private took(ms: number): void {
    this.wrote += ms
  }

  /** The shares of late. */
  get now(): Load {
    const now = performance.now()
    const passed = now - this.at
    if (passed < window) return this.load
    const { utilization } = performance.eventLoopUtilization(this.seen)
    const { busy, writing, spared } = this.load
    this.load = {
      busy: busy + weight * (utilization - busy),
      writing: writing + weight * (this.wrote / passed - writing),
      spared: spared + weight * (this.spared / passed - spared),
    }
    this.seen = performance.eventLoopUtilization()
    this.at = now
    this.wrote = 0
    this.spared = 0
    return this.load
  }
}

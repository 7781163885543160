// When the next frame of a document's commits may leave.
// Invariant: while the process has time and a frame is cheap, nobody waits; how long one waits otherwise follows from what was measured.

//   wait, ms
//   frameTick ┤            ┌──────────────       saturated: as long as it takes that frames
//             │          ╱                       leave half of the process to everybody else
//             │        ╱
//           0 ┼───────┴───────────────────  busy, and what is spared already
//                    0.25  0.45
//
// What is spared counts as if it were not: gathering makes the process less busy, and would otherwise undo itself half way.
// And where the process is busy with something else than frames (handshakes, refusals, whoever joins), fewer of them would spare nothing.
// Nor where nobody else writes: one who waits for each answer before the next edit would only wait longer.

import type { AuthorId } from '../protocol/ids.ts'
import type { Limits } from './limits.ts'

/** Shares of the process' time, 0 to 1, of late. */
export interface Load {
  readonly busy: number
  /** With writing frames of commits, of all documents. */
  readonly writing: number
  /** More that writing would have taken if every commit had left in a frame of its own. May be above 1. */
  readonly spared: number
}

const calm = 0.25 // share of its time that the process is busy; up to it, frames go at once
const crowded = 0.45 // from here on, frames wait for as long as they may: one carries what would have been many
const little = 0.05 // share that goes into writing frames; up to it, frames go at once however busy the process is
const much = 0.15 // from here on, how busy it is decides alone
const share = 0.25 // of the process' time that one document's frames may take before they wait
const most = 0.5 // the same when they wait for as long as they may already
const alone = 0.75 // edits of others that come within a tick; up to it, waiting for them spares too little
const inCompany = 1.5 // from here on it spares as much as it can
const hard = 0.7 // share of its time that the process is busy; from here on a frame waits for less and less company
const hardest = 0.9 // up to here
const muchLess = 0.75 // by which the company may be less then
const latest = 1_000 // ms in which what was counted of the company fades to a third
const many = 16 // readers; for fewer a frame takes no time of its own, whatever else the machine did meanwhile
const notWorthIt = 2 // ms; below it a timer costs more than it saves
const leap = 2 // times what frames have taken so far, and a millisecond: what is more is a pause of the machine, not the readers
const memory = 0.3 // of the newest measurement in the running mean

export class Cadence {
  private last = Number.NEGATIVE_INFINITY
  private lastOfOnlookers = Number.NEGATIVE_INFINITY
  private cost = 0
  /** Edits of somebody else than the one before, of late. */
  private turns = 0
  private counted = Number.NEGATIVE_INFINITY
  private lastAuthor: AuthorId | null = null

  /** Milliseconds that a frame has to be apart from the one before it. `frameTick`: the longest, unless the readers take longer. */
  interval({ busy, writing, spared }: Load, frameTick: number): number {
    const others =
      rise(busy + spared, calm, crowded) * rise(writing + spared, little, much) * this.worth(busy, frameTick) * frameTick
    const interval = Math.max(others, this.own(frameTick))
    return interval < notWorthIt ? 0 : interval
  }

  /** How much a wait of a tick would spare, 0 to 1: frames are spared only where others write too. */
  private worth(busy: number, frameTick: number): number {
    const company = (this.turns * frameTick) / latest
    const enough = 1 - muchLess * rise(busy, hard, hardest)
    return rise(company, alone * enough, inCompany * enough)
  }

  /** What this document's own frames ask for, however idle the process is. */
  private own(frameTick: number): number {
    return Math.max(Math.min(this.cost / share, frameTick), this.cost / most)
  }

  /** Milliseconds until the next frame may leave; 0: now. */
  wait(now: number, load: Load, frameTick: number): number {
    return Math.max(0, this.last + this.interval(load, frameTick) - now)
  }

  /** Milliseconds until the next frame for those who only read; 0: with everybody's. */
  waitOfOnlookers(now: number, load: Load, { frameTick, onlookerTick }: Pick<Limits, 'frameTick' | 'onlookerTick'>): number {
    const interval = this.interval(load, frameTick)
    const longer = Math.max(1, onlookerTick / Math.max(1, frameTick))
    return Math.max(0, this.lastOfOnlookers + interval * longer - now)
  }

  /** A frame with edits of these begins to leave. */
  leaves(now: number, authors: readonly { readonly author: AuthorId }[]): void {
    this.last = now
    this.turns *= Math.exp((this.counted - now) / latest)
    this.counted = now
    for (const { author } of authors) {
      if (author !== this.lastAuthor) this.turns++
      this.lastAuthor = author
    }
  }

  leavesForOnlookers(now: number): void {
    this.lastOfOnlookers = now
  }

  /**
   * It has left with so many commits to so many readers, and writing it took so many milliseconds. Answers with the milliseconds that were spared for the
   * sake of the process: a document of so many readers that its frames wait in any case spares them for its own.
   */
  left(ms: number, commits: number, readers: number, frameTick: number): number {
    const took = Math.min(ms, leap * this.cost + 1)
    this.cost += memory * ((readers < many ? 0 : took) - this.cost)
    return this.own(frameTick) < notWorthIt ? took * (commits - 1) : 0
  }
}

/** 0 up to `from`, 1 from `to` on. */
const rise = (value: number, from: number, to: number): number => Math.max(0, Math.min(1, (value - from) / (to - from)))

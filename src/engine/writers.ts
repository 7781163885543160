// Who may write in a crowded document, and how often: places for so many writers, and a pace that follows the load.
// Invariant: no more than `places` have written within `activeFor`; whoever was turned away gets the next place, in that order.

import type { AuthorId } from '../protocol/ids.ts'

const opensAt = 0.9 // of the places taken: from there on everybody may try again. At once would turn most of them away again
const hot = 0.8 // share of its time that the process is busy; above it writers are slowed down,
const cool = 0.5 // and below it they are let go again
const hardlyOlder = 1 / 16 // of the time for which a place is kept: by so much it may be too short, lest each edit turns a list round
const step = 0.25 // of the way, at each look

/** What a look at the places has changed. */
export interface Turn {
  /** These have a place now, */
  readonly came: readonly AuthorId[]
  /** these, who have not written for a while, have none any more, */
  readonly went: readonly AuthorId[]
  /** and whether there are places for whoever comes. */
  readonly opened: boolean
}

export class Writers {
  private readonly places: number
  private readonly activeFor: number
  private readonly each: number
  /** When each of those who have a place wrote last; the one who has not for the longest time is first. */
  private readonly seated = new Map<AuthorId, number>()
  /** Those who were turned away. */
  private readonly wanting = new Set<AuthorId>()
  private taken = false
  private heat = 0

  /**
   * @param places how many may write at a time
   * @param activeFor milliseconds for which somebody who does not write keeps the place, if another wants it
   * @param each milliseconds by which each writer lengthens the pace of all when the process has no time left
   */
  constructor(places: number, activeFor: number, each: number) {
    this.places = places
    this.activeFor = activeFor
    this.each = each
  }

  /** Whether there is no place for one more. */
  get full(): boolean {
    return this.taken
  }

  /** Whether the next look may change anything. */
  get restless(): boolean {
    return this.taken || this.heat > 0 || this.seated.size > 0
  }

  /** Who have written lately. */
  get count(): number {
    return this.seated.size
  }

  get waiting(): number {
    return this.wanting.size
  }

  may(author: AuthorId): boolean {
    return !this.taken || this.seated.has(author)
  }

  /** An edit of this author has come. False: it cannot be taken now, and the author is on the list. */
  wrote(author: AuthorId, now: number): boolean {
    const before = this.seated.get(author)
    if (before !== undefined && now - before < this.activeFor * hardlyOlder) return true
    if (!this.seated.delete(author)) {
      if (this.taken || this.seated.size >= this.places) {
        this.taken = true
        this.wanting.add(author)
        return false
      }
    }
    this.seated.set(author, now)
    return true
  }

  /** Keeps the place, lest a line that broke cost it, but waits for none any more. */
  left(author: AuthorId): void {
    this.wanting.delete(author)
  }

  /** Looks who has written lately. `load`: the share of its time that the process is busy. */
  look(now: number, load: number): Turn {
    this.heat = Math.max(0, Math.min(1, this.heat + (load > hot ? step : load < cool ? -step : 0)))
    const idle: AuthorId[] = []
    for (const [author, at] of this.seated) {
      if (now - at <= this.activeFor) break
      idle.push(author)
    }
    if (!this.taken) {
      for (const author of idle) this.seated.delete(author)
      return { came: [], went: [], opened: false }
    }
    const free = this.places - this.seated.size + idle.length
    const came = [...this.wanting].slice(0, free)
    const went = idle.slice(0, Math.max(0, came.length - (free - idle.length)))
    for (const author of went) this.seated.delete(author)
    for (const author of came) {
      this.wanting.delete(author)
      this.seated.set(author, now)
    }
    const opened = this.wanting.size === 0 && this.seated.size - (idle.length - went.length) <= this.places * opensAt
    if (opened) for (const author of idle) this.seated.delete(author)
    this.taken = !opened
    return { came, went, opened }
  }

  /** Milliseconds that a writer leaves between two submissions; below `least` it is 0. */
  pace(least: number): number {
    const pace = Math.round(this.heat * this.seated.size * this.each)
    return pace < least ? 0 : pace
  }
}

// When calls that can wait for a moment leave for Redis.
// Invariant: where few come none waits, and none waits for longer than `longest` from the write before; pure but for what it has counted.

const longest = 12 // ms from one write to the next: of what a keystroke takes to its reader, what nobody sees
const few = 600 // calls a second; up to it each leaves at once
const many = 1_000 // from here on they wait for as long as they may, a dozen or more together
const fading = 200 // ms in which what was counted fades to a third: one burst does not make anybody wait

/**
 * Each write costs this node, Redis and each node that hears of it a turn of its loop and some system calls, and what it finds in the
 * processor's caches is what others have left there. So the more there are, the more of them go together.
 */
export class Pacing {
  #calls = 0
  #counted = Number.NEGATIVE_INFINITY
  #left = Number.NEGATIVE_INFINITY

  /** A call comes. Milliseconds that it may wait for others. */
  comes(now: number): number {
    this.#calls = this.#calls * Math.exp((this.#counted - now) / fading) + 1
    this.#counted = now
    const perSecond = (this.#calls * 1_000) / fading
    const crowd = Math.max(0, Math.min(1, (perSecond - few) / (many - few)))
    return Math.max(0, this.#left + crowd * longest - now)
  }

  /** What has come leaves. */
  leaves(now: number): void {
    this.#left = now
  }
}

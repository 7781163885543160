// How often something happens, of late.
// Invariant: what is counted weighs less with every second, so that a meter needs no past and no timer.

const memory = 10_000 // ms in which what was counted falls to a third

export class Meter {
  private sum = 0
  private at = 0

  count(times: number, now: number): void {
    this.sum = this.left(now) + times
    this.at = now
  }

  perSecond(now: number): number {
    return (this.left(now) * 1_000) / memory
  }

  private left(now: number): number {
    return this.sum === 0 ? 0 : this.sum * Math.exp(-Math.max(0, now - this.at) / memory)
  }
}

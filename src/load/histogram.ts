// How long things took, counted in buckets of three percent.
// Invariant: adding costs a few steps and no memory, so that millions of deliveries can be counted; two histograms add up to one.

const octave = 32 // buckets each time the value doubles, so that a bucket is at most 1/32 of its value wide
const size = octave * 28

export class Histogram {
  readonly counts: Float64Array

  constructor(counts = new Float64Array(size)) {
    this.counts = counts
  }

  /** Milliseconds. Below zero is a clock's noise, and counts as zero. */
  add(ms: number): void {
    const us = Math.min(0x7fffffff, Math.max(0, Math.round(ms * 1_000)))
    const shift = Math.max(0, 26 - Math.clz32(us))
    this.counts[shift * octave + (us >> shift)]!++
  }

  merge({ counts }: { readonly counts: Float64Array }): void {
    for (let i = 0; i < size; i++) this.counts[i]! += counts[i]!
  }

  get count(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  /** Milliseconds below which this share of all lies, from 0 to 1; NaN when there is nothing. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.count))
    let seen = 0
    for (let i = 0; i < size; i++) {
      seen += this.counts[i]!
      if (seen >= rank) return middle(i)
    }
    return Number.NaN
  }

  get mean(): number {
    const { count } = this
    return this.counts.reduce((sum, n, i) => sum + n * middle(i), 0) / count
  }
}

const middle = (bucket: number): number => {
  const shift = Math.max(0, Math.floor(bucket / octave) - 1)
  const low = (bucket - shift * octave) * 2 ** shift
  return (low + (2 ** shift - 1) / 2) / 1_000
}

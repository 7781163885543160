// What the fuzzers have done and found: inputs, outcomes, failures.
// Invariant: of a failure the last inputs are kept as they were sent.

import { writeFileSync } from 'node:fs'

const kept = 400 // inputs, for whoever looks for what led to a failure
const shown = 200 // bytes of what failed

export class Story {
  /** Stands in a document that nobody among the fuzzers may read. */
  readonly canary: string
  readonly failures: string[] = []
  readonly tally = new Map<string, number>()
  inputs = 0
  over = false
  /** Submissions by author and seq, and whether the model has something against them; null: it does not know. */
  private readonly submitted = new Map<string, boolean | null>()
  private readonly recent: string[] = []

  constructor(canary: string) {
    this.canary = canary
  }

  input(bytes: Buffer): void {
    this.inputs++
    this.recent.push(bytes.length > 4_000 ? `${bytes.toString('hex', 0, 4_000)}… ${bytes.length} bytes` : bytes.toString('hex'))
    if (this.recent.length > kept) this.recent.shift()
  }

  counts(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1)
  }

  fails(what: string, bytes: Buffer): void {
    this.counts('failure')
    if (this.failures.length < 50)
      this.failures.push(`${what}: ${JSON.stringify(bytes.toString('latin1', 0, shown))} (input ${this.inputs})`)
  }

  /** `any`: whichever of this author's; what has no number cannot enter under one. */
  submits(author: string, seq: unknown, isSound: boolean | null): void {
    if (typeof seq !== 'number' && seq !== 'any') return
    const key = `${author} ${seq}`
    // Said twice, once well and once badly: then there is nothing against it.
    const before = this.submitted.get(key)
    this.submitted.set(key, before === undefined || before === false ? isSound : before)
  }

  /** Whether a commit is one that the model has something against. */
  forbids(author: string, seq: number): boolean {
    return this.submitted.get(`${author} ${seq}`) === false && !this.submitted.has(`${author} any`)
  }

  /** Writes the last inputs down. */
  keeps(path: string): void {
    writeFileSync(path, `${this.recent.join('\n')}\n`)
  }
}

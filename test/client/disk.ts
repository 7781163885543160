// A storage in the hand of a test: it is slow, full, or forgets, when the test says so.
// Invariant: what a write brings is on the disk as a whole or not at all, in the order of writes, and only once it is committed.

import { type Clock, systemClock } from '../../src/client/clock.ts'
import type { Box, Changes, ClientStorage, Records } from '../../src/client/storage.ts'

export class HandDisk {
  readonly boxes = new Map<string, Map<string, string>>()
  readonly holders = new Map<string, HandStorage>()
  /** Those who wait for boxes to fall free. */
  queue: { readonly box: string; look(): void }[] = []
  /** UTF-16 units written so far. */
  written = 0

  /** What one page sees of it. */
  storage(clock: Clock = systemClock): HandStorage {
    return new HandStorage(this, clock)
  }

  copy(): Map<string, Map<string, string>> {
    return new Map([...this.boxes].map(([name, records]) => [name, new Map(records)]))
  }

  /** Goes back to what it was. */
  become(earlier: ReadonlyMap<string, Map<string, string>>): void {
    this.boxes.clear()
    for (const [name, records] of earlier) this.boxes.set(name, records)
  }

  free(box: string): void {
    this.holders.delete(box)
    for (const waiting of this.queue.filter(each => each.box === box)) waiting.look()
  }

  /** All records of a box under a prefix. */
  under(prefix: string): string[] {
    return [...this.boxes.values()].flatMap(records => [...records.keys()].filter(key => key.startsWith(prefix)))
  }
}

interface Waiting {
  readonly box: string
  readonly changes: Changes
  done(): void
  fail(error: Error): void
}

export class HandStorage implements ClientStorage {
  /** Writes wait until `commit`. */
  held = false
  /** Writes fail; `growing`: only those that need room. */
  full: 'no' | 'growing' | 'all' = 'no'
  beforeHold = (): void => {}
  readonly waiting: Waiting[] = []
  /** Every write that was committed. */
  readonly history: Changes[] = []
  private readonly disk: HandDisk
  private readonly clock: Clock
  private dead = false

  constructor(disk: HandDisk, clock: Clock) {
    this.disk = disk
    this.clock = clock
  }

  async boxes(): Promise<readonly string[]> {
    return [...this.disk.boxes.keys()]
  }

  async read(box: string, prefix: string): Promise<Records> {
    return new Map([...(this.disk.boxes.get(box) ?? [])].filter(([key]) => key.startsWith(prefix)))
  }

  async hold(name: string, within = 0): Promise<Box | null> {
    this.beforeHold()
    if (within > 0 && this.disk.holders.has(name)) await this.free(name, within)
    if (this.dead || this.disk.holders.has(name)) return null
    this.disk.holders.set(name, this)
    return {
      name,
      write: changes => this.write(name, changes),
      letGo: async emptied => {
        if (emptied) this.disk.boxes.delete(name)
        if (this.disk.holders.get(name) === this) this.disk.free(name)
      },
    }
  }

  /** Until nobody holds the box, or it is waited for no more. */
  private free(box: string, within: number): Promise<void> {
    return new Promise(resolve => {
      const waiting = {
        box,
        look: () => {
          this.disk.queue = this.disk.queue.filter(each => each !== waiting)
          resolve()
        },
      }
      this.disk.queue.push(waiting)
      this.clock.after(within, waiting.look)
    })
  }

  async close(): Promise<void> {
    for (const [box, holder] of this.disk.holders) if (holder === this) this.disk.free(box)
  }

  private write(box: string, changes: Changes): Promise<void> {
    return new Promise((done, fail) => {
      this.waiting.push({ box, changes, done, fail })
      if (!this.held) this.commit()
    })
  }

  /** Lets the first `count` writes through that wait. */
  commit(count = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < count && this.waiting.length > 0; i++) {
      const { box, changes, done, fail } = this.waiting.shift()!
      if (this.full === 'all' || (this.full === 'growing' && changes.some(([, value]) => value !== null))) {
        fail(new Error('QuotaExceededError: the disk is full'))
        continue
      }
      const records = this.disk.boxes.get(box) ?? new Map<string, string>()
      for (const [key, value] of changes) {
        if (value === null) records.delete(key)
        else records.set(key, value)
        this.disk.written += value?.length ?? 0
      }
      this.disk.boxes.set(box, records)
      this.history.push(changes)
      done()
    }
  }

  /** The page is gone: what was not committed never will be, and its boxes are free. */
  die(): void {
    this.dead = true
    this.held = true
    this.waiting.length = 0
    void this.close()
  }
}

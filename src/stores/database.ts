// An LMDB database with the embedded store's tables, whose commits report twice: visible, then on disk.
// Invariant: the writes of one commit happen together or not at all, and commits happen in the order in which they were asked for.

import { mkdirSync } from 'node:fs'
import type { RootDatabase, Database as Table } from 'lmdb'
import { open } from 'lmdb'
import type { ClaimSlot } from './ownership.ts'

export type Rows = Table<Buffer, Buffer>

/** A row to put, or to remove. */
export interface Write {
  readonly table: Rows
  readonly key: Buffer
  readonly value: Buffer | null
}

export interface Commit {
  /** Readers see the writes, and the kernel has them: they outlive this process. */
  readonly visible: Promise<void>
  /** The disk has them: they outlive the machine. Rejects when `visible` does, or when the disk fails later. */
  readonly flushed: Promise<void>
}

export interface Database {
  readonly heads: Rows
  readonly names: Rows
  readonly entries: Rows
  readonly authors: Rows
  readonly checkpoints: Rows
  readonly counters: Rows
  readonly slot: ClaimSlot
  /** Asked for one at a time: the next only after the last one is visible. */
  commit(writes: readonly Write[]): Commit
  close(): Promise<void>
}

/** Version of the layout of tables and rows; a server refuses data of another one instead of misreading it. */
const layout = '1'

const layoutKey = Buffer.from('layout')
const ownerKey = Buffer.from('owner')
const encoding = { encoding: 'binary', keyEncoding: 'binary' } as const

const ignore = (): void => {}

export const openDatabase = (path: string): Database => {
  mkdirSync(path, { recursive: true })
  // Keys and values are our own bytes. Everything else is LMDB's default: commits on another thread, each followed by a sync that
  // does not hold up the next commit ("overlapping sync"), a file that grows as needed, and pages that are never overwritten in use.
  const root: RootDatabase<Buffer, Buffer> = open({ path, noSubdir: false, separateFlushed: true, ...encoding })
  const table = (name: string): Rows => root.openDB<Buffer, Buffer>({ name, ...encoding })
  const house = table('house')
  // This commit waits for the disk, and with it for whatever a killed process committed and had not flushed yet.
  const found = root.transactionSync(() => {
    const found = house.get(layoutKey)?.toString() ?? layout
    if (found === layout) house.put(layoutKey, Buffer.from(layout))
    return found
  })
  if (found !== layout) throw new Error(`the data in ${path} has layout ${found}; this version of Inkwell reads layout ${layout}`)
  const visible = visibility(root)
  return {
    heads: table('heads'),
    names: table('names'),
    entries: table('entries'),
    authors: table('authors'),
    checkpoints: table('checkpoints'),
    counters: table('counters'),
    slot: {
      read: () => house.get(ownerKey)?.toString() || null,
      swap: (expected, next) =>
        root.transactionSync(() => {
          if ((house.get(ownerKey)?.toString() || null) !== expected) return false
          house.put(ownerKey, Buffer.from(next ?? ''))
          return true
        }),
    },
    commit(writes) {
      const seen = visible()
      let parts: Promise<boolean> | undefined
      const whole: Promise<boolean> & { flushed?: Promise<boolean> } = root.batch(() => {
        for (const { table, key, value } of writes) {
          const part = value === null ? table.remove(key) : table.put(key, value)
          if (part === parts) continue
          parts = part
          part.catch(ignore) // one promise for many rows, which fails as the whole does
        }
      })
      const committed = whole.then(ignore, async failure => {
        throw await reasonOf(failure)
      })
      const flushed = committed.then(async () => {
        await whole.flushed
      })
      flushed.catch(ignore) // who waits for visibility only is told there
      return {
        visible: Promise.race([seen, committed]).then(() => {
          root.resetReadTxn() // reads from here on see it
        }),
        flushed,
      }
    },
    close: () => root.close(),
  }
}

/** LMDB's failure tells its reason in a promise that rejects a little later. */
const reasonOf = async (failure: Error & { commitError?: Promise<never> }): Promise<Error> => {
  try {
    await failure.commitError
  } catch (reason) {
    return new Error(`the store could not write: ${(reason as Error).message}`, { cause: reason })
  }
  return failure
}

/**
 * LMDB syncs after a commit is visible, and its promises wait for both: ten times as long, for a guarantee that writers need not wait
 * for. Its writing thread does report visibility, to a callback that only its own code sees; this listens in. Each call gives a
 * promise for the next commit. The report is a courtesy: where a version of the library lacks it, or one gets lost, that promise stays
 * open, and the commit counts as visible when it is flushed.
 */
const visibility = (root: RootDatabase<Buffer, Buffer>): (() => Promise<void>) => {
  const becameVisible = 1
  let tell = ignore
  // `env` is not in the library's types, hence the cast; all that is used of it is checked here.
  const env = (root as unknown as { env?: { startWriting?: (at: number, report: (status: number) => unknown) => unknown } }).env
  const start = env?.startWriting
  if (env !== undefined && typeof start === 'function') {
    Object.defineProperty(env, 'startWriting', {
      value(at: number, report: (status: number) => unknown) {
        const told = tell
        return start.call(env, at, status => {
          const answer = report(status)
          if (status === becameVisible) told()
          return answer
        })
      },
    })
  }
  return () =>
    new Promise(resolve => {
      tell = resolve
    })
}

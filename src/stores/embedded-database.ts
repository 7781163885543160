// The tables of the embedded store: LMDB for what has been settled, a journal in front of it for what has just been written.
// Invariant: readers see a commit from the moment it is in the journal; LMDB holds every commit up to a number that it knows, and the
// journals hold all that follow, so that reading those over it after a crash gives the same tables. No commit is durable before every
// commit before it.

import { mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase, Database as Table } from 'lmdb'
import { open } from 'lmdb'
import { Journal, readJournal, syncDirectory } from './journal.ts'
import type { ClaimSlot } from './ownership.ts'
import { lastNumber } from './rows.ts'

/** A row to put, or to remove. */
export interface Write {
  readonly table: Rows
  readonly key: Buffer
  readonly value: Buffer | null
}

export interface Range {
  readonly start?: Buffer
  readonly end?: Buffer
  readonly exclusiveStart?: boolean
  readonly limit?: number
}

interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

interface Change {
  readonly key: Buffer
  readonly value: Buffer | null
  /** The commit that made it, the last of those that touched this row. */
  readonly commit: number
}

/** Milliseconds between two moves from the journal into LMDB: each costs some milliseconds, whether it moves one edit or a thousand. */
const settlePause = 250

/** Changes after which a move does not wait any longer: more would hold up this thread for too long at a time. */
const settleSoon = 4_000

/** Changes that may wait for LMDB before writers are refused: some seconds of the busiest server, about 100 MB. */
const mostUnsettled = 500_000

export interface DatabaseOptions {
  /**
   * Bytes after which a journal is followed by a new one and, once LMDB has it all on disk, deleted. Default 16 MiB: reading that again
   * after a crash takes a fraction of a second.
   */
  readonly journalBytes?: number
}

/** Version of the layout of tables, rows and journals; a server refuses data of another one instead of misreading it. */
const layout = '3'

const layoutKey = Buffer.from('layout')
const ownerKey = Buffer.from('owner')
/** The number of the last commit that LMDB holds. */
const settledKey = Buffer.from('settled')
const encoding = { encoding: 'binary', keyEncoding: 'binary' } as const
/** A second way into a table: a row is given as it lies in LMDB's own buffer, and of its key one number is made. */
const passing = {
  encoding: 'binary',
  encoder: { encode: (value: Buffer) => value, decode: (value: Buffer) => value },
  keyEncoder: {
    writeKey(key: Buffer, target: Uint8Array, at: number): number {
      target.set(key, at)
      return at + key.length
    },
    readKey: (bytes: Uint8Array, _from: number, to: number) => lastNumber(bytes, to),
  },
} as const
const journalName = /^journal-(\d+)$/

/** One table as it is with everything that the journal holds. */
export class Rows {
  readonly id: number
  readonly settled: Table<Buffer, Buffer>
  readonly changes = new Map<string, Change>()
  readonly #passing: Table<Buffer, number>

  constructor(id: number, settled: Table<Buffer, Buffer>, passing: Table<Buffer, number>) {
    this.id = id
    this.settled = settled
    this.#passing = passing
  }

  get(key: Buffer): Buffer | undefined {
    const change = this.changes.get(key.toString('latin1'))
    return change === undefined ? this.settled.get(key) : (change.value ?? undefined)
  }

  /** The same, sooner: what it gives is overwritten by the next that is got. */
  glance(key: Buffer): Buffer | undefined {
    const change = this.changes.size === 0 ? undefined : this.changes.get(key.toString('latin1'))
    return change === undefined ? this.settled.getBinaryFast(key) : (change.value ?? undefined)
  }

  /**
   * Rows in the order of their keys, from `start` to before `end`, of each key the number at its end: thrice as fast as glancing at one
   * after the other. A row is overwritten by the next, and by whatever else is got. Null while changes wait: they lie elsewhere.
   */
  pass(start: Buffer, end: Buffer): Iterable<{ readonly key: number; readonly value: Buffer }> | null {
    return this.changes.size > 0 ? null : this.#passing.getRange({ start, end })
  }

  /** Rows in the order of their keys, from `start` to before `end`. */
  range({ start, end, exclusiveStart = false, limit = Number.POSITIVE_INFINITY }: Range): Row[] {
    const inside = ({ key }: { readonly key: Buffer }): boolean => {
      const from = start === undefined ? 1 : Buffer.compare(key, start)
      return (exclusiveStart ? from > 0 : from >= 0) && (end === undefined || Buffer.compare(key, end) < 0)
    }
    const changed = [...this.changes.values()].filter(inside).sort((a, b) => Buffer.compare(a.key, b.key))
    const bounds = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }), exclusiveStart }
    const found: Row[] = []
    let next = 0
    const take = (upTo: Buffer | null): void => {
      for (; next < changed.length && (upTo === null || Buffer.compare(changed[next]!.key, upTo) <= 0); next++) {
        const { key, value } = changed[next]!
        if (value !== null && found.length < limit) found.push({ key, value })
      }
    }
    for (const { key, value } of this.settled.getRange(bounds)) {
      if (found.length >= limit) return found
      take(key)
      if (found.length < limit && !this.changes.has(key.toString('latin1'))) found.push({ key, value })
    }
    take(null)
    return found
  }
}

export interface Database {
  readonly heads: Rows
  readonly names: Rows
  readonly entries: Rows
  readonly authors: Rows
  readonly checkpoints: Rows
  readonly counters: Rows
  readonly notices: Rows
  readonly slot: ClaimSlot
  /** Reads what a killed process has left in its journals. Once, by the owner of the directory, before anything else. */
  recover(): Promise<void>
  /**
   * Makes the writes, together or not at all: when it returns they outlive this process. Resolves when they outlive the machine.
   * @throws when the disk does not take them, or has not taken earlier ones for too long; nothing has happened then
   */
  commit(writes: readonly Write[]): Promise<void>
  /** Writes what has been committed by now, and nothing half, into an empty directory, while commits go on. @throws when a disk does not take it */
  copyTo(directory: string): Promise<void>
  close(): Promise<void>
}

const encode = (writes: readonly Write[]): Buffer => {
  const parts: Buffer[] = []
  for (const { table, key, value } of writes) {
    const head = Buffer.allocUnsafe(8)
    head.writeUInt8(table.id, 0)
    head.writeUInt8(value === null ? 1 : 0, 1)
    head.writeUInt16LE(key.length, 2)
    head.writeUInt32LE(value?.length ?? 0, 4)
    parts.push(head, key)
    if (value !== null) parts.push(value)
  }
  return Buffer.concat(parts)
}

const decode = (record: Buffer, tables: readonly Rows[]): Write[] => {
  const writes: Write[] = []
  for (let at = 0; at < record.length; ) {
    const [id, removed, keyLength, length] = [
      record.readUInt8(at),
      record.readUInt8(at + 1) === 1,
      record.readUInt16LE(at + 2),
      record.readUInt32LE(at + 4),
    ]
    const key = record.subarray(at + 8, at + 8 + keyLength)
    at += 8 + keyLength
    writes.push({ table: tables[id]!, key, value: removed ? null : record.subarray(at, at + length) })
    at += length
  }
  return writes
}

export const openDatabase = (path: string, { journalBytes = 16_777_216 }: DatabaseOptions = {}): Database => {
  mkdirSync(path, { recursive: true })
  // Keys and values are our own bytes. Everything else is LMDB's default: commits on another thread, a file that grows as needed, and
  // pages that are never overwritten in use. Only its batches by event turn are off: we make our own, and when one of those fails, a
  // promise inside the library that nobody can catch rejects too, and ends the process.
  const root: RootDatabase<Buffer, Buffer> = open({ path, noSubdir: false, eventTurnBatching: false, ...encoding })
  const house = root.openDB<Buffer, Buffer>({ name: 'house', ...encoding })
  const found = root.transactionSync(() => {
    const found = house.get(layoutKey)?.toString() ?? layout
    if (found === layout) house.put(layoutKey, Buffer.from(layout))
    return found
  })
  if (found !== layout) throw new Error(`the data in ${path} has layout ${found}; this version of Inkwell reads layout ${layout}`)
  return new Journaled(path, journalBytes, root, house)
}

class Journaled implements Database {
  readonly heads: Rows
  readonly names: Rows
  readonly entries: Rows
  readonly authors: Rows
  readonly checkpoints: Rows
  readonly counters: Rows
  readonly notices: Rows
  readonly slot: ClaimSlot
  readonly #path: string
  readonly #journalBytes: number
  readonly #house: Table<Buffer, Buffer>
  readonly #root: RootDatabase<Buffer, Buffer>
  readonly #tables: readonly Rows[]
  #journal: Journal | null = null
  #journalNumber = 0
  /** Full journals of which LMDB may not have everything yet. */
  #full: Journal[] = []
  /** What the full ones still owe the disk: their commits come before all of the present one's. */
  #fullSynced: Promise<unknown> | null = null
  /** The number of the last commit. */
  #commit = 0
  #unsettled = 0
  #settling: Promise<void> | null = null
  /** Ends the pause before the next move. */
  #hurry: () => void = () => {}
  #closing = false
  /** Why LMDB did not take the last move. It is tried again; meanwhile the journal keeps everything. */
  #trouble: Error | null = null

  constructor(path: string, journalBytes: number, root: RootDatabase<Buffer, Buffer>, house: Table<Buffer, Buffer>) {
    this.#path = path
    this.#journalBytes = journalBytes
    this.#house = house
    this.#root = root
    const table = (name: string, id: number): Rows =>
      new Rows(id, root.openDB<Buffer, Buffer>({ name, ...encoding }), root.openDB<Buffer, number>({ name, ...passing }))
    // A journal knows a table by its place here: a new one goes to the end.
    const tables = ['heads', 'names', 'entries', 'authors', 'checkpoints', 'counters', 'notices'].map(table)
    const [heads, names, entries, authors, checkpoints, counters, notices] = tables as [Rows, Rows, Rows, Rows, Rows, Rows, Rows]
    this.heads = heads
    this.names = names
    this.entries = entries
    this.authors = authors
    this.checkpoints = checkpoints
    this.counters = counters
    this.notices = notices
    this.#tables = tables
    this.slot = {
      read: () => house.get(ownerKey)?.toString() || null,
      swap: (expected, next) =>
        root.transactionSync(() => {
          if ((house.get(ownerKey)?.toString() || null) !== expected) return false
          house.put(ownerKey, Buffer.from(next ?? ''))
          return true
        }),
    }
  }

  async recover(): Promise<void> {
    const numbers = readdirSync(this.#path)
      .flatMap(name => journalName.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b)
    this.#commit = Number(this.#house.get(settledKey)?.toString() ?? 0)
    const writes: Write[] = []
    for (const record of numbers.flatMap(number => readJournal(this.#file(number)))) {
      if (record.number <= this.#commit) continue // LMDB has it
      if (record.number > this.#commit + 1) break // the machine died before the disk had what comes between; so nothing after it was durable
      writes.push(...decode(record.bytes, this.#tables))
      this.#commit = record.number
    }
    if (writes.length > 0) await this.#settle(writes, this.#commit)
    for (const number of numbers) unlinkSync(this.#file(number))
    this.#journalNumber = numbers.at(-1) ?? 0
    this.#journal = this.#newJournal()
  }

  commit(writes: readonly Write[]): Promise<void> {
    const journal = this.#journal
    if (journal === null) throw new Error('the database is not open')
    if (this.#unsettled > mostUnsettled) throw new Error(`${this.#unsettled} changes wait for the disk`, { cause: this.#trouble })
    journal.append({ number: this.#commit + 1, bytes: encode(writes) })
    const commit = ++this.#commit
    for (const { table, key, value } of writes) {
      const name = key.toString('latin1')
      if (!table.changes.has(name)) this.#unsettled++
      table.changes.set(name, { key, value, commit })
    }
    this.#settling ??= this.#settleAll()
    if (this.#unsettled > settleSoon) this.#hurry()
    const synced = journal.synced()
    return this.#fullSynced === null ? synced : Promise.all([this.#fullSynced, synced]).then(() => {})
  }

  async copyTo(directory: string): Promise<void> {
    const upTo = this.#commit
    while (Number(this.#house.get(settledKey)?.toString() ?? 0) < upTo) {
      if (this.#trouble !== null) throw this.#trouble
      this.#hurry()
      await new Promise(resolve => setTimeout(resolve, 10))
      this.#root.resetReadTxn()
    }
    await this.#root.backup(directory, false) // a snapshot of LMDB's, with the number of the commit up to which it goes
  }

  /** Moves what the journal holds into LMDB, as long as there is something. */
  async #settleAll(): Promise<void> {
    while (this.#unsettled > 0) {
      if (!this.#closing) await this.#pause()
      try {
        if (this.#journal!.bytes > this.#journalBytes) this.#turnOver(this.#journal!)
        await this.#settleUpTo(this.#commit)
        this.#trouble = null
      } catch (error) {
        this.#trouble = error as Error
        if (this.#closing) break // the journals stay, and are read at the next start
      }
    }
    this.#settling = null
  }

  async #settleUpTo(upTo: number): Promise<void> {
    const full = this.#full.length
    const writes = this.#tables.flatMap(table => [...table.changes.values()].map(({ key, value }) => ({ table, key, value })))
    await this.#settle(writes, upTo)
    for (const table of this.#tables) {
      for (const [name, { commit }] of table.changes) if (commit <= upTo) this.#unsettled -= table.changes.delete(name) ? 1 : 0
    }
    for (const journal of this.#full.splice(0, full)) {
      await journal.close()
      unlinkSync(journal.path) // should it come back after a power cut, its numbers say that it is old
    }
  }

  /** Lets a new journal take over from a full one. */
  #turnOver(full: Journal): void {
    this.#journal = this.#newJournal()
    this.#full.push(full)
    const synced = Promise.all([this.#fullSynced, full.synced()])
    synced.then(
      () => {
        if (this.#fullSynced === synced) this.#fullSynced = null
      },
      () => {}, // told to every commit that waits for it
    )
    this.#fullSynced = synced
  }

  #newJournal(): Journal {
    return new Journal(this.#file(++this.#journalNumber))
  }

  /** Puts rows into LMDB in one transaction, and with them how far it has come; resolves when the disk has them. */
  async #settle(writes: readonly Write[], upTo: number): Promise<void> {
    const whole = this.#root.batch(() => {
      this.#house.put(settledKey, Buffer.from(String(upTo))).catch(() => {})
      for (const { table, key, value } of writes) {
        const part = value === null ? table.settled.remove(key) : table.settled.put(key, value)
        part.catch(() => {}) // fails as the whole does, which is awaited
      }
    })
    try {
      await whole
    } catch (failure) {
      throw await reasonOf(failure as Error)
    }
    await this.#root.flushed
    this.#root.resetReadTxn() // reads from here on see it
  }

  #pause(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, settlePause)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #file(number: number): string {
    return join(this.#path, `journal-${number}`)
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#hurry()
    await this.#settling
    const journal = this.#journal
    this.#journal = null
    if (journal !== null) {
      for (const each of [...this.#full, journal]) {
        await each.close()
        if (this.#unsettled === 0) unlinkSync(each.path)
      }
      syncDirectory(this.#path)
    }
    await this.#root.close()
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

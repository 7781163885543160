// Puts the embedded store together: claims the directory, recovers the database, opens the log in the background.
// Invariant: nothing is read or written before the directory is this store's own.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Log, Notice, NoticeBoard, Store } from '../engine/ports.ts'
import type { Database } from './embedded-database.ts'
import { EmbeddedLog } from './embedded-log.ts'
import { syncDirectory } from './journal.ts'
import { localNotices, type NoticeShelf } from './notices.ts'
import { claim } from './ownership.ts'
import { localPresence } from './presence.ts'
import { localSeats } from './seats.ts'
import { localControl, localSignals } from './signals.ts'

/** A store over the database at `path`; tests give one of other proportions. `ready()`, and every call, rejects when it could not open. */
export const embeddedOver = (
  path: string,
  database: (path: string) => Database,
): Store & { rowsRead(): number; backup(directory: string): Promise<void> } => {
  const opening = start(path, database)
  opening.catch(() => {}) // told to whoever asks
  let opened: Opened | null = null
  const open = async (): Promise<EmbeddedLog> => (opened ??= await opening).log
  const board = async (): Promise<NoticeBoard> => (opened ??= await opening).notices
  let closing: Promise<void> | null = null
  const close = (): Promise<void> =>
    (closing ??= opening.then(
      ({ log }) => log.close(),
      () => {}, // it never opened
    ))
  const log: Log = {
    durability: 'disk',
    open: async doc => (await open()).open(doc),
    append: async (doc, at, entries) => (await open()).append(doc, at, entries),
    read: async (doc, at) => (await open()).read(doc, at),
    entries: async (doc, after, limit) => (await open()).entries(doc, after, limit),
    page: async (doc, after, limit) => (await open()).page(doc, after, limit),
    raiseHorizon: async (doc, epoch, horizon) => (await open()).raiseHorizon(doc, epoch, horizon),
    checkpoint: async (doc, checkpoint) => (await open()).checkpoint(doc, checkpoint),
    subscribe: async (doc, listener) => (await open()).subscribe(doc, listener),
    about: async doc => (await open()).about(doc),
    remove: async doc => (await open()).remove(doc),
    plant: async (doc, seed) => (await open()).plant(doc, seed),
    settle: async (doc, epoch, checkpoint) => (await open()).settle(doc, epoch, checkpoint),
    documents: async (after, limit) => (await open()).documents(after, limit),
    close,
  }
  return {
    name: `embedded:${path}`,
    shared: false,
    log,
    presence: localPresence(),
    control: localControl(),
    notices: {
      post: async (notice, now) => (await board()).post(notice, now),
      read: async (mark, now) => (await board()).read(mark, now),
    },
    signals: localSignals(),
    seats: localSeats(),
    ready: async () => (await open()).check('write'),
    backup: async directory => copied(directory, (opened ??= await opening).db),
    rowsRead: () => opened?.log.rowsRead ?? 0,
    close,
  }
}

/** In one step the copy is there under its name; what was broken off before stays beside it, and goes with the next one. */
const copied = async (directory: string, db: Database): Promise<void> => {
  if (existsSync(directory)) throw new Error(`there is something at ${directory} already`)
  const partial = `${directory}.partial`
  rmSync(partial, { recursive: true, force: true })
  try {
    mkdirSync(partial) // not what it lies in: below /proc Node would try that for ever
    await db.copyTo(partial)
    const data = openSync(join(partial, 'data.mdb'), 'r+')
    fsyncSync(data)
    closeSync(data)
    renameSync(partial, directory)
    syncDirectory(dirname(directory))
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    throw new Error(`no backup at ${directory}: ${(error as Error).message}`, { cause: error })
  }
}

interface Opened {
  readonly db: Database
  readonly log: EmbeddedLog
  readonly notices: NoticeBoard
}

const start = async (path: string, database: (path: string) => Database): Promise<Opened> => {
  const db = database(path)
  try {
    const release = await claim(path, db.slot)
    await db.recover()
    return { db, log: new EmbeddedLog(db, release), notices: localNotices(shelfIn(db)) }
  } catch (error) {
    await db.close()
    throw error
  }
}

const shelfIn = (db: Database): NoticeShelf => ({
  keep: (notice, gone) =>
    db.commit([
      ...gone.map(key => ({ table: db.notices, key: Buffer.from(key), value: null })),
      { table: db.notices, key: Buffer.from(notice.key), value: Buffer.from(JSON.stringify(notice)) },
    ]),
  kept: db.notices.range({}).map(({ value }) => JSON.parse(value.toString()) as Notice),
})

// What a crash may leave behind of journals, and what the next start makes of it.

import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Database } from '../../src/stores/embedded-database.ts'
import { openDatabase } from '../../src/stores/embedded-database.ts'
import type { JournalRecord } from '../../src/stores/journal.ts'
import { checksum, Journal, readJournal, slowChecksum } from '../../src/stores/journal.ts'

const house = mkdtempSync(join(tmpdir(), 'inkwell-journal-'))
afterAll(() => rmSync(house, { recursive: true }))

let rooms = 0
const freshPath = (): string => join(house, `room-${rooms++}`)

const started = async (path: string, journalBytes?: number): Promise<Database> => {
  const db = openDatabase(path, journalBytes === undefined ? {} : { journalBytes })
  await db.recover()
  return db
}

const set = (db: Database, key: string, value: string | null): Promise<void> =>
  db.commit([{ table: db.names, key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }])

const rows = (db: Database): Record<string, string> =>
  Object.fromEntries(db.names.range({}).map(({ key, value }) => [key.toString(), value.toString()]))

const journals = (path: string): string[] => readdirSync(path).filter(name => name.startsWith('journal-'))

/** The rows that a start makes of these journals in an empty directory. */
const recovered = async (...files: (readonly JournalRecord[])[]): Promise<Record<string, string>> => {
  const path = freshPath()
  await openDatabase(path).close()
  for (const [i, records] of files.entries()) {
    const journal = new Journal(join(path, `journal-${i + 1}`))
    for (const record of records) journal.append(record)
    await journal.close()
  }
  const db = await started(path)
  const found = rows(db)
  expect(journals(path)).toHaveLength(1)
  await db.close()
  return found
}

describe('a journal', () => {
  const written: JournalRecord[] = []

  beforeAll(async () => {
    const path = freshPath()
    const db = await started(path)
    const done = [set(db, 'a', '1'), set(db, 'b', '1'), set(db, 'a', '2'), set(db, 'b', null), set(db, 'c', '1')]
    copyFileSync(join(path, 'journal-1'), join(house, 'copy')) // before LMDB has any of it
    await Promise.all(done)
    await db.close()
    written.push(...readJournal(join(house, 'copy')))
    expect(written.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5])
  })

  it('is read again at the next start', async () => {
    expect(await recovered(written)).toEqual({ a: '2', c: '1' })
    expect(await recovered(written.slice(0, 3))).toEqual({ a: '2', b: '1' })
    expect(await recovered()).toEqual({})
  })

  it('is read up to the first record that is torn, wherever it is torn', () => {
    const whole = readFileSync(join(house, 'copy'))
    const last = whole.length - (14 + written[4]!.bytes.length)
    const torn = join(house, 'torn')
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(torn, whole.subarray(0, length))
      const found = readJournal(torn)
      expect(found).toEqual(written.slice(0, found.length))
      if (length >= last) expect(found).toHaveLength(4)
      const spoilt = Buffer.from(whole)
      spoilt[length] = spoilt[length]! ^ 0x10
      writeFileSync(torn, spoilt)
      const kept = readJournal(torn)
      expect(kept).toEqual(written.slice(0, kept.length))
      expect(kept.length).toBeLessThan(5)
    }
  })

  it('is followed by the next one only where that continues it', async () => {
    expect(await recovered(written.slice(0, 2), written.slice(2))).toEqual({ a: '2', c: '1' })
    expect(await recovered(written.slice(0, 2), written.slice(3)), 'the third is lost').toEqual({ a: '1', b: '1' })
    expect(await recovered(written.slice(1))).toEqual({})
    expect(await recovered(written.slice(0, 4), written.slice(2)), 'two were written twice').toEqual({ a: '2', c: '1' })
  })

  it('that comes back after it was deleted does no harm', async () => {
    const path = freshPath()
    const db = await started(path)
    await set(db, 'a', 'old')
    copyFileSync(join(path, 'journal-1'), join(house, 'old'))
    await set(db, 'a', 'new')
    await set(db, 'b', 'new')
    await db.close()
    expect(journals(path)).toEqual([])
    copyFileSync(join(house, 'old'), join(path, 'journal-1'))
    const again = await started(path)
    expect(rows(again)).toEqual({ a: 'new', b: 'new' })
    await set(again, 'c', 'newer')
    await again.close()
    const last = await started(path)
    expect(rows(last)).toEqual({ a: 'new', b: 'new', c: 'newer' })
    await last.close()
  })

  it('gives way to a new one when it is full, and is deleted once LMDB has it; readers see one table all the while', async () => {
    const path = freshPath()
    let db = await started(path, 200)
    const expected: Record<string, string> = {}
    const seen = new Set<string>()
    for (let i = 0; i < 60; i++) {
      const key = `k${i % 7}`
      if (i % 5 === 4) delete expected[key]
      else expected[key] = String(i)
      const done = set(db, key, expected[key] ?? null)
      expect(rows(db)).toEqual(Object.fromEntries(Object.entries(expected).sort()))
      for (const name of journals(path)) seen.add(name)
      await done
      await new Promise(resolve => setTimeout(resolve, 5)) // gives LMDB the turns in which it follows
      if (i % 20 === 19) {
        await db.close()
        expect(journals(path)).toEqual([])
        db = await started(path, 200)
      }
    }
    expect(seen.size).toBeGreaterThan(1)
    await db.close()
  })

  it('is read by every Node: the checksum of one that has none of its own is the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        expect(slowChecksum(Buffer.from(bytes))).toBe(checksum(Buffer.from(bytes)))
      }),
    )
    expect(slowChecksum(Buffer.from('123456789'))).toBe(0xcbf43926) // the check value of CRC-32
  })
})

// Boxes in files, each in the hands of one process: the storage of a client in Node.
// Invariant: a file is written to by the process whose sign of life is in its name; a line is there as a whole or not at all.
//
//   <box>.<sign>.pen     lines of a checksum and [[key, value or null], …], each of which changes what the lines before it say
//
// A box changes hands by being renamed: of several that try, the system lets one.

import { createHash } from 'node:crypto'
import { copyFile, type FileHandle, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Sign, type Signs, signsIn } from '../../process/life.ts'
import { soundPrefix } from '../record.ts'
import type { Box, Changes, ClientStorage, OpenStorage, Records } from '../storage.ts'

export interface FileStorageOptions {
  /** A folder of its own; it is made where it is not there. Several processes may share it, each with a box of its own. */
  readonly path: string
}

/** Keeps documents in files, so that they outlive the process, also one that is killed, and a machine that loses its power. */
export const fileStorage =
  ({ path }: FileStorageOptions): OpenStorage =>
  async server => {
    const name = createHash('sha256').update(new URL(server).href).digest('hex').slice(0, 16)
    const directory = join(resolve(path), name)
    await mkdir(directory, { recursive: true })
    const signs = signsIn(directory)
    await signs.sweep()
    for (const file of await readdir(directory)) {
      const [, sign] = unfinished.exec(file) ?? []
      if (sign !== undefined && !(await signs.lives(sign))) await unlink(join(directory, file)).catch(ignoreMissing)
    }
    return new FileStorage(directory, signs)
  }

const fileName = /^([A-Za-z0-9_-]+)\.([0-9a-f]{16})\.pen$/
const unfinished = /\.([0-9a-f]{16})\.pen\.next$/

/** Milliseconds between two looks at a box that is waited for: nothing tells when a process is gone. */
const lookAgainAfter = 50

class FileStorage implements ClientStorage {
  private readonly directory: string
  private readonly signs: Signs
  private readonly held = new Map<string, FileBox>()

  constructor(directory: string, signs: Signs) {
    this.directory = directory
    this.signs = signs
  }

  async boxes(): Promise<readonly string[]> {
    return [...new Set((await this.files()).map(({ box }) => box))]
  }

  async read(box: string, prefix: string): Promise<Records> {
    const records = this.held.get(box)?.records ?? (await this.recordsOf(box))
    return new Map([...records].filter(([key]) => key.startsWith(prefix)))
  }

  async hold(name: string, within = 0): Promise<Box | null> {
    if (this.held.has(name)) return null
    const sign = await this.signs.give() // before the file bears it: nobody must take this process for dead
    let box = await this.take(name, sign)
    for (let waited = 0; box === null && waited < within; waited += lookAgainAfter) {
      await sleep(lookAgainAfter)
      box = await this.take(name, sign)
    }
    if (box === null) await sign.end()
    else this.held.set(name, box)
    return box
  }

  async close(): Promise<void> {
    for (const box of [...this.held.values()]) await box.letGo(false)
    this.signs.close()
  }

  private async take(name: string, sign: Sign): Promise<FileBox | null> {
    const path = join(this.directory, `${name}.${sign.token}.pen`)
    const gone = async (): Promise<void> => {
      this.held.delete(name)
      await sign.end()
    }
    const there = (await this.files()).find(({ box }) => box === name)
    if (there === undefined) return new FileBox(name, path, emptyFile, gone)
    if (await this.signs.lives(there.sign)) return null
    try {
      await rename(join(this.directory, there.file), path)
    } catch (error) {
      if (isMissing(error)) return null // somebody else was quicker
      throw error
    }
    const content = contentOf(await readFile(path))
    // Kept for whoever wants to know; what it said before the damage goes on, as something that is not known to be whole.
    if (content.damaged) await copyFile(path, `${path}.damaged`)
    return new FileBox(name, path, content, gone)
  }

  private async recordsOf(box: string): Promise<Records> {
    for (const { file } of (await this.files()).filter(found => found.box === box)) {
      try {
        return contentOf(await readFile(join(this.directory, file))).records
      } catch (error) {
        if (!isMissing(error)) throw error // it has just changed hands, or was removed
      }
    }
    return new Map()
  }

  private async files(): Promise<{ readonly file: string; readonly box: string; readonly sign: string }[]> {
    return (await readdir(this.directory)).flatMap(file => {
      const [, box, sign] = fileName.exec(file) ?? []
      return box === undefined || sign === undefined ? [] : [{ file, box, sign }]
    })
  }
}

/** What a file says. */
interface Content {
  readonly records: Map<string, string>
  /** Bytes up to the end of the last line that could be read. */
  readonly length: number
  /** A line in its midst cannot be read. */
  readonly damaged: boolean
}

const emptyFile: Content = { records: new Map(), length: 0, damaged: false }

/** The file is written anew when it is this long, in bytes, and four times as long as what it says. */
const leastRewrite = 262_144

class FileBox implements Box {
  readonly name: string
  readonly records: Map<string, string>
  private readonly path: string
  private readonly gone: () => Promise<void>
  private length: number
  /** Null: the next writing makes the file anew. */
  private file: FileHandle | null = null
  private anew: boolean
  private last: Promise<unknown> = Promise.resolve()

  constructor(name: string, path: string, { records, length, damaged }: Content, gone: () => Promise<void>) {
    this.name = name
    this.path = path
    this.records = new Map(records)
    this.length = length
    this.anew = damaged || length === 0
    this.gone = gone
  }

  write(changes: Changes): Promise<void> {
    return this.inTurn(async () => {
      const before = new Map(changes.map(([key]) => [key, this.records.get(key)]))
      applyTo(this.records, changes)
      try {
        if (this.anew || (this.length > leastRewrite && this.length > 4 * sizeOf(this.records))) await this.rewrite()
        else await this.append(lineOf(changes))
      } catch (error) {
        this.anew = true // half a line may be at its end
        applyTo(
          this.records,
          [...before].map(([key, value]) => [key, value ?? null]),
        )
        throw error
      }
    })
  }

  letGo(emptied: boolean): Promise<void> {
    return this.inTurn(async () => {
      await this.file?.close()
      this.file = null
      if (emptied) await unlink(this.path).catch(ignoreMissing)
      await this.gone()
    })
  }

  private async append(line: Buffer): Promise<void> {
    if (this.file === null) {
      this.file = await open(this.path, 'r+')
      await this.file.truncate(this.length) // a line cut off by the end of the process before
    }
    await this.file.write(line, 0, line.length, this.length)
    await this.file.datasync()
    this.length += line.length
  }

  private async rewrite(): Promise<void> {
    await this.file?.close()
    this.file = null
    const line = lineOf([...this.records])
    const next = `${this.path}.next`
    const file = await open(next, 'w')
    try {
      await file.writeFile(line)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(next, this.path)
    await syncDirectory(dirname(this.path))
    this.length = line.length
    this.anew = false
  }

  /** One after the other, whatever becomes of those before. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work)
    this.last = mine.catch(() => {}) // told to whoever asked for it
    return mine
  }
}

/** Without it a machine that loses its power may have the old name again. Windows knows no such thing. */
const syncDirectory = async (path: string): Promise<void> => {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const applyTo = (records: Map<string, string>, changes: Changes): void => {
  for (const [key, value] of changes) {
    if (value === null) records.delete(key)
    else records.set(key, value)
  }
}

const sizeOf = (records: Records): number => {
  let size = 0
  for (const [key, value] of records) size += key.length + value.length
  return size
}

const sumOf = (json: string): string => createHash('sha256').update(json).digest('hex').slice(0, 8)

const lineOf = (changes: Changes): Buffer => {
  const json = JSON.stringify(changes)
  return Buffer.from(`${sumOf(json)} ${json}\n`)
}

/**
 * A line at the end that cannot be read was being written when its process ended: nobody was told that it is there. One in the midst
 * was there once, and is damaged: what follows it is not to be relied on, and so nothing is sound any more.
 */
const contentOf = (bytes: Buffer): Content => {
  const records = new Map<string, string>()
  let at = 0
  while (at < bytes.length) {
    const end = bytes.indexOf(10, at)
    const changes = end < 0 ? null : changesIn(bytes.toString('utf8', at, end))
    if (changes === null) break
    applyTo(records, changes)
    at = end + 1
  }
  const next = bytes.indexOf(10, at)
  const damaged = next >= 0 && next + 1 < bytes.length
  if (damaged) for (const key of [...records.keys()]) if (key.startsWith(soundPrefix)) records.delete(key)
  return { records, length: at, damaged }
}

const changesIn = (line: string): Changes | null => {
  const json = line.slice(9)
  return line[8] === ' ' && line.startsWith(sumOf(json)) ? (JSON.parse(json) as Changes) : null
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

const ignoreMissing = (error: unknown): void => {
  if (!isMissing(error)) throw error
}

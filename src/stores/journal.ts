// A file to which writes are appended before anything else learns of them, so that a commit costs one system call.
// Invariant: what `append` has taken outlives this process, what `synced` has answered outlives the machine, and reading finds every
// record up to the first one that was not written whole. Records are numbered, so that a file that has lost its end, or that should be
// gone, is noticed.

import { closeSync, fdatasync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import * as zlib from 'node:zlib'

/** Before each record: its length, the checksum of what follows, its number. */
const headBytes = 14
const numberAt = 8
const numberBytes = 6

export interface JournalRecord {
  readonly number: number
  readonly bytes: Buffer
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

/** CRC-32 as in zlib, for a Node that does not offer it. */
export const slowChecksum = (bytes: Buffer): number => {
  let c = 0xffffffff
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}

// From Node 20.15 on; the types of Node 20 do not all know it. A checkpoint of a megabyte takes it a hundredth of the time.
export const checksum: (bytes: Buffer) => number = (zlib as { crc32?: (bytes: Buffer) => number }).crc32 ?? slowChecksum

/** Milliseconds between syncs. A person cannot tell when an edit became durable to a hundredth of a second. */
const syncPause = 12

export class Journal {
  readonly path: string
  bytes = 0
  readonly #fd: number
  #closing = false
  #hurry = (): void => {}
  /** The sync that is under way, and the one after it, which covers what is appended meanwhile. */
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  /** Makes a new file; its name is on disk when this returns. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'wx')
    syncDirectory(dirname(path))
  }

  /** @throws when the disk is full or fails; the file is then as it was */
  append(record: JournalRecord): void {
    const bytes = Buffer.concat([Buffer.allocUnsafe(headBytes), record.bytes])
    bytes.writeUInt32LE(record.bytes.length, 0)
    bytes.writeUIntLE(record.number, numberAt, numberBytes)
    bytes.writeUInt32LE(checksum(bytes.subarray(numberAt)), 4)
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done, bytes.length - done, this.bytes + done)
    } catch (error) {
      ftruncateSync(this.#fd, this.bytes) // half a record must not hide the ones that follow it
      throw error
    }
    this.bytes += bytes.length
  }

  /** Resolves when the disk has all that has been appended before this call. */
  synced(): Promise<void> {
    this.#next ??= this.#moment().then(() => this.#sync())
    return this.#next
  }

  /** Waits for the sync under way and a little longer, so that few appends meet one: the kernel lets nobody write to a file while it syncs. */
  async #moment(): Promise<void> {
    await this.#running?.catch(() => {}) // its callers are told themselves
    if (this.#closing) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, syncPause)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #sync(): Promise<void> {
    this.#next = null
    const running = new Promise<void>((resolve, reject) => {
      fdatasync(this.#fd, error => {
        this.#running = null
        if (error === null) resolve()
        else reject(error)
      })
    })
    this.#running = running
    return running
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#hurry()
    for (let last = this.#next ?? this.#running; last !== null; last = this.#next ?? this.#running) await last.catch(() => {}) // as above
    closeSync(this.#fd)
  }
}

/** The whole records of a journal, oldest first. Whatever follows the first torn one was never reported durable. */
export const readJournal = (path: string): JournalRecord[] => {
  const bytes = readFileSync(path)
  const records: JournalRecord[] = []
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const end = at + headBytes + bytes.readUInt32LE(at)
    if (end > bytes.length || checksum(bytes.subarray(at + numberAt, end)) !== bytes.readUInt32LE(at + 4)) break
    records.push({ number: bytes.readUIntLE(at + numberAt, numberBytes), bytes: bytes.subarray(at + headBytes, end) })
    at = end
  }
  return records
}

/** Brings the names in a directory to the disk: a file made or removed in it stays so. */
export const syncDirectory = (path: string): void => {
  if (process.platform === 'win32') return // no such call, and no need of it
  const directory = openSync(path, 'r')
  fsyncSync(directory)
  closeSync(directory)
}

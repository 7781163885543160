// A file to which writes are appended before anything else learns of them, so that a commit costs one system call.
// Invariant: what `append` has taken outlives this process, what `synced` has answered outlives the machine, and reading finds every
// record up to the first one that was not written whole.

import { closeSync, fdatasync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Before each record: its length and the checksum of its bytes. */
const headBytes = 8

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c
})

/** CRC-32 as in zlib, which Node offers from 20.15 on only. */
const checksum = (bytes: Buffer): number => {
  let c = 0xffffffff
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}

export class Journal {
  readonly path: string
  bytes = 0
  readonly #fd: number
  /** The sync that is under way, and the one after it, which covers what is appended meanwhile. */
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  /** Makes a new file; its name is on disk when this returns. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'wx')
    const directory = openSync(dirname(path), 'r')
    fsyncSync(directory)
    closeSync(directory)
  }

  /** @throws when the disk is full or fails; the file is then as it was */
  append(record: Buffer): void {
    const head = Buffer.allocUnsafe(headBytes)
    head.writeUInt32LE(record.length, 0)
    head.writeUInt32LE(checksum(record), 4)
    const bytes = Buffer.concat([head, record])
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
    if (this.#running === null) return this.#sync()
    this.#next ??= this.#running.then(
      () => this.#sync(),
      () => this.#sync(),
    )
    return this.#next
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
    while (this.#running !== null) await this.#running.catch(() => {}) // its callers are told themselves
    closeSync(this.#fd)
  }
}

/** The whole records of a journal, oldest first. Whatever follows the first torn one was never answered. */
export const readJournal = (path: string): Buffer[] => {
  const bytes = readFileSync(path)
  const records: Buffer[] = []
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const end = at + headBytes + bytes.readUInt32LE(at)
    if (end > bytes.length) break
    const record = bytes.subarray(at + headBytes, end)
    if (checksum(record) !== bytes.readUInt32LE(at + 4)) break
    records.push(record)
    at = end
  }
  return records
}

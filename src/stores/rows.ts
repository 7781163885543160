// How the embedded store spells its rows as bytes.
// Invariant: keys sort as their meaning does (by document, then by version or author), and what is encoded decodes to the same value.

import type { Checkpoint, Entry, Page } from '../engine/ports.ts'
import type { AuthorId, Chain, DocId, Epoch, Seq, Version } from '../protocol/ids.ts'
import { viewOf } from './digits.ts'

/** What is known of a document without reading its entries. `number` stands for its id in keys, which are therefore short. */
export interface Head {
  readonly number: number
  readonly epoch: Epoch
  readonly version: Version
  readonly chain: Chain
  readonly horizon: Version
  /** Entries at and below this are trimmed; the chain at it is kept, because positions at it are still good. */
  readonly floor: { readonly version: Version; readonly chain: Chain }
  /** Version and prune mark of the stored checkpoint; 0 and 0: there is none. */
  readonly checkpointed: Version
  readonly pruned: Version
  /** Something of this id has been removed before this log began. */
  readonly removed: boolean
  /** It is being brought here from elsewhere. */
  readonly planted: boolean
}

/** An author's last edit. */
export interface AuthorRow {
  readonly seq: Seq
  readonly version: Version
}

const integerBytes = 6 // 2^48 versions: at a thousand a second, nine thousand years
const chainBytes = 8

/** LMDB keys end at 1,978 bytes; ids of documents and authors are far shorter by contract. */
const longestId = 1_024

export const idKey = (doc: DocId): Buffer => {
  const key = Buffer.from(doc)
  if (key.length === 0 || key.length > longestId) throw new RangeError(`a document id of ${key.length} bytes`)
  return key
}

export const readId = (key: Uint8Array): DocId => Buffer.from(key).toString() as DocId

const pair = (number: number, version: Version): Buffer => {
  const key = Buffer.allocUnsafe(2 * integerBytes)
  key.writeUIntBE(number, 0, integerBytes)
  key.writeUIntBE(version, integerBytes, integerBytes)
  return key
}

export const entryKey = pair

/** Makes of an entry's key that of another one of its document. */
export const toVersion = (key: Buffer, version: Version): Buffer => {
  key.writeUIntBE(version, integerBytes, integerBytes)
  return key
}

/** The number with which a key ends: an entry's version. Keys lie in bytes that are not their own. */
export const lastNumber = (bytes: Uint8Array, end: number): number => {
  let number = 0
  for (let at = end - integerBytes; at < end; at++) number = number * 256 + bytes[at]!
  return number
}

export const checkpointKey = (number: number): Buffer => pair(number, 0)

export const authorKey = (number: number, author: AuthorId | ''): Buffer => {
  const name = Buffer.from(author)
  if (name.length > longestId) throw new RangeError(`an author id of ${name.length} bytes`)
  const key = Buffer.allocUnsafe(integerBytes + name.length)
  key.writeUIntBE(number, 0, integerBytes)
  name.copy(key, integerBytes)
  return key
}

/** The key after every author of the document. */
export const afterAuthors = (number: number): Buffer => authorKey(number + 1, '')

export const authorOf = (key: Uint8Array): AuthorId => Buffer.from(key).toString('utf8', integerBytes) as AuthorId

export const authorBytes = ({ seq, version }: AuthorRow): Buffer => pair(seq, version)

export const readAuthor = (bytes: Buffer): AuthorRow => ({
  seq: bytes.readUIntBE(0, integerBytes),
  version: bytes.readUIntBE(integerBytes, integerBytes),
})

/** seq, chain, length of the author, author, body: everything of an entry but its version, which is its key's. */
export const entryBytes = ({ seq, chain, author, body }: Entry): Buffer => {
  const authorLength = Buffer.byteLength(author)
  const bytes = Buffer.allocUnsafe(entryFixed + authorLength + Buffer.byteLength(body))
  bytes.writeUIntBE(seq, 0, integerBytes)
  bytes.write(chain, integerBytes, 'hex')
  bytes.writeUInt16BE(authorLength, integerBytes + chainBytes)
  bytes.write(author, entryFixed)
  bytes.write(body, entryFixed + authorLength)
  return bytes
}

const entryFixed = integerBytes + chainBytes + 2

export const chainOf = (bytes: Buffer): Chain => bytes.toString('hex', integerBytes, integerBytes + chainBytes) as Chain

/** Whether these are the bytes of a text that is plain ASCII: then it need not be made again. */
const spells = (bytes: Buffer, from: number, to: number, text: string): boolean => {
  if (to - from !== text.length) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f || bytes[from + i] !== code) return false
  }
  return true
}

/** @param known whose it probably is; most often whoever wrote the one before */
export const readEntry = (version: Version, bytes: Buffer, known: AuthorId | '' = ''): Entry => {
  const bodyAt = entryFixed + bytes.readUInt16BE(integerBytes + chainBytes)
  return {
    author:
      known !== '' && spells(bytes, entryFixed, bodyAt, known) ? known : (bytes.toString('utf8', entryFixed, bodyAt) as AuthorId),
    seq: bytes.readUIntBE(0, integerBytes),
    body: bytes.toString('utf8', bodyAt, bytes.length),
    version,
    chain: chainOf(bytes),
  }
}

/** Copies bytes, four at a time as long as there are so many; answers all their bits. */
const copied = (from: DataView, at: number, length: number, to: DataView, place: number): number => {
  let bits = 0
  let i = 0
  for (; i + 4 <= length; i += 4) {
    const four = from.getInt32(at + i)
    bits |= four
    to.setInt32(place + i, four)
  }
  for (; i < length; i++) {
    const byte = from.getUint8(at + i)
    bits |= byte
    to.setUint8(place + i, byte)
  }
  return bits
}

/** Rows of entries, one version after the other, on their way into a page. */
export class PageOfRows {
  count = 0
  readonly #first: Version
  readonly #seqs: Float64Array
  readonly #authors: AuthorId[] = []
  readonly #numbers = new Map<AuthorId, number>()
  readonly #whose: Uint32Array
  readonly #chains: Uint8Array
  readonly #ends: Uint32Array
  #bodies: Uint8Array
  #view: DataView
  #end = 0
  /** The bytes of the last row: most often those of the next one too, with something else in them. */
  #given: Uint8Array | null = null
  #givenView: DataView
  /** All bits of all bodies, four bytes beside each other: without the highest of any of them it is plain ASCII. */
  #bits = 0

  constructor(first: Version, most: number) {
    this.#first = first
    this.#seqs = new Float64Array(most)
    this.#whose = new Uint32Array(most)
    this.#chains = new Uint8Array(most * 2 * chainBytes)
    this.#ends = new Uint32Array(most)
    this.#bodies = new Uint8Array(Math.min(most, pageEntries) * entryRoom)
    this.#view = this.#givenView = viewOf(this.#bodies)
  }

  /** Reads all that it needs of it now. @throws RangeError when there is no room for it: fewer are to be asked for */
  add(bytes: Buffer): void {
    const i = this.count++
    const chains = this.#chains
    this.#seqs[i] = bytes.readUIntBE(0, integerBytes)
    for (let at = 0, to = i * 2 * chainBytes; at < chainBytes; at++) {
      const byte = bytes[integerBytes + at]!
      chains[to++] = hexadecimal[byte >> 4]!
      chains[to++] = hexadecimal[byte & 15]!
    }
    const bodyAt = entryFixed + bytes.readUInt16BE(integerBytes + chainBytes)
    this.#whose[i] = this.#authorIn(bytes, bodyAt, i === 0 ? 0 : this.#whose[i - 1]!)
    const length = bytes.length - bodyAt
    if (this.#end + length > longestPage)
      throw new RangeError(`a page of more than ${longestPage} bytes of entries: ask for fewer`)
    if (this.#end + length > this.#bodies.length) this.#grow(length)
    if (bytes !== this.#given) {
      this.#given = bytes
      this.#givenView = viewOf(bytes)
    }
    this.#bits |= copied(this.#givenView, bodyAt, length, this.#view, this.#end)
    this.#end = this.#ends[i] = this.#end + length
  }

  whole(): Page {
    const { count } = this
    const versions = new Float64Array(count)
    const chainEnds = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      versions[i] = this.#first + i
      chainEnds[i] = (i + 1) * 2 * chainBytes
    }
    return {
      versions,
      seqs: this.#seqs.subarray(0, count),
      authors: this.#authors,
      whose: this.#whose.subarray(0, count),
      chains: { bytes: this.#chains.subarray(0, count * 2 * chainBytes), ends: chainEnds, isPlain: true },
      bodies: {
        bytes: this.#bodies.subarray(0, this.#end),
        ends: this.#ends.subarray(0, count),
        isPlain: (this.#bits & 0x80808080) === 0,
      },
    }
  }

  /** Its number among those that are known. @param likely most often whoever wrote the one before */
  #authorIn(bytes: Buffer, end: number, likely: number): number {
    const authors = this.#authors
    if (likely < authors.length && spells(bytes, entryFixed, end, authors[likely]!)) return likely
    const author = bytes.toString('utf8', entryFixed, end) as AuthorId
    let number = this.#numbers.get(author)
    if (number === undefined) this.#numbers.set(author, (number = authors.push(author) - 1))
    return number
  }

  #grow(more: number): void {
    const wider = new Uint8Array(2 * (this.#bodies.length + more))
    wider.set(this.#bodies.subarray(0, this.#end))
    this.#bodies = wider
    this.#view = viewOf(wider)
  }
}

const hexadecimal = Buffer.from('0123456789abcdef')

const longestPage = 134_217_728 // bytes of bodies: twice as many are held while there is made room for more
const pageEntries = 8_192 // for so many there is room at first
const entryRoom = 80 // bytes: a keystroke's body, and then some

export const headBytes = (head: Head): Buffer =>
  Buffer.from(
    JSON.stringify([
      head.number,
      head.epoch,
      head.version,
      head.chain,
      head.horizon,
      head.floor.version,
      head.floor.chain,
      head.checkpointed,
      head.pruned,
      ...(head.removed || head.planted ? [head.removed, head.planted] : []),
    ]),
  )

export const readHead = (bytes: Buffer): Head => {
  const [number, epoch, version, chain, horizon, floorVersion, floorChain, checkpointed, pruned, removed, planted] = JSON.parse(
    bytes.toString(),
  )
  const floor = { version: floorVersion, chain: floorChain }
  return {
    number,
    epoch,
    version,
    chain,
    horizon,
    floor,
    checkpointed,
    pruned,
    removed: removed === true,
    planted: planted === true,
  }
}

/** A line of JSON, then the body as it is: bodies are long and must not be parsed twice. */
export const checkpointBytes = ({ body, ...rest }: Checkpoint): Buffer => Buffer.from(`${JSON.stringify(rest)}\n${body}`)

export const readCheckpoint = (bytes: Buffer): Checkpoint => {
  const line = bytes.indexOf(0x0a)
  return { ...JSON.parse(bytes.toString('utf8', 0, line)), body: bytes.toString('utf8', line + 1) }
}

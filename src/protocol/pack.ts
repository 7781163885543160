// JSON values (and, for an application's own events, byte arrays) as MessagePack.
// Invariant: bytes reach the decoder only after a scan has found in them nothing but plain values within the bounds.

import { Packr, Unpackr } from 'msgpackr'
import type { Json } from '../ot/type.ts'
import type { Bounds } from './bounds.ts'
import type { Reader, Writer } from './bytes.ts'
import { arraySize, broken, isForbiddenKey, mapSize, measure, numberSize, refuse, stringSize } from './fields.ts'

const options = {
  useRecords: false,
  variableMapSize: true,
  mapsAsObjects: true,
  moreTypes: false,
  int64AsType: 'number',
  copyBuffers: true,
} as const
// skipValues is an option that the package's types leave out: a property that is undefined is absent, as in JSON.
const packr = new Packr({ ...options, skipValues: [undefined] } as ConstructorParameters<typeof Packr>[0])
const unpackr = new Unpackr(options)

/**
 * Walks over the values of one MessagePack item without making any. Checks that it is whole, plain (no extension types, keys are
 * strings and no way into a prototype, finite numbers, strict UTF-8) and within depth and number; sums up its shortest size.
 */
class Scan {
  size = 0
  private values = 0
  private at: number
  private readonly bytes: Uint8Array
  private readonly end: number
  private readonly bounds: Bounds
  private readonly what: string
  private readonly binary: boolean

  constructor(bytes: Uint8Array, at: number, end: number, bounds: Bounds, what: string, binary: boolean) {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.bounds = bounds
    this.what = what
    this.binary = binary
  }

  whole(): void {
    this.value(0)
    if (this.at !== this.end) broken(`${this.end - this.at} bytes too many after ${this.what}`)
  }

  private value(depth: number): void {
    if (++this.values > this.bounds.values) refuse('malformed', `${this.what} has more than ${this.bounds.values} values`)
    const head = this.byte()
    if (head < 0x80 || head >= 0xe0) this.size += 1
    else if (head < 0x90) this.map(head & 15, depth)
    else if (head < 0xa0) this.array(head & 15, depth)
    else if (head < 0xc0) this.text(head & 31)
    else this.long(head, depth)
  }

  private long(head: number, depth: number): void {
    switch (head) {
      case 0xc0: // null
      case 0xc2: // false
      case 0xc3: // true
        this.size += 1
        return
      case 0xc4:
        return this.blob(this.uint(1))
      case 0xc5:
        return this.blob(this.uint(2))
      case 0xc6:
        return this.blob(this.uint(4))
      case 0xca:
        return this.number(this.view(4).getFloat32(0))
      case 0xcb:
        return this.number(this.view(8).getFloat64(0))
      case 0xcc:
        return this.number(this.uint(1))
      case 0xcd:
        return this.number(this.uint(2))
      case 0xce:
        return this.number(this.uint(4))
      case 0xcf:
        return this.number(Number(this.view(8).getBigUint64(0)))
      case 0xd0:
        return this.number(this.view(1).getInt8(0))
      case 0xd1:
        return this.number(this.view(2).getInt16(0))
      case 0xd2:
        return this.number(this.view(4).getInt32(0))
      case 0xd3:
        return this.number(Number(this.view(8).getBigInt64(0)))
      case 0xd9:
        return this.text(this.uint(1))
      case 0xda:
        return this.text(this.uint(2))
      case 0xdb:
        return this.text(this.uint(4))
      case 0xdc:
        return this.array(this.uint(2), depth)
      case 0xdd:
        return this.array(this.uint(4), depth)
      case 0xde:
        return this.map(this.uint(2), depth)
      case 0xdf:
        return this.map(this.uint(4), depth)
      default:
        refuse('malformed', `${this.what} has the MessagePack type 0x${head.toString(16)}`)
    }
  }

  private byte(): number {
    return this.at < this.end ? this.bytes[this.at++]! : broken(`${this.what} is cut off`)
  }

  private uint(size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + this.byte()
    return value
  }

  private view(size: number): DataView {
    if (size > this.end - this.at) broken(`${this.what} is cut off`)
    this.at += size
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at - size, size)
  }

  private number(value: number): void {
    if (!Number.isFinite(value)) refuse('malformed', `${this.what} has the number ${value}`)
    this.size += numberSize(value)
  }

  private take(size: number): number {
    if (size > this.end - this.at) broken(`${this.what} declares ${size} bytes where ${this.end - this.at} are left`)
    const from = this.at
    this.at += size
    return from
  }

  private blob(size: number): void {
    if (!this.binary) refuse('malformed', `${this.what} has bytes, which are not JSON`)
    this.take(size)
    this.size += size + (size < 0x100 ? 2 : size < 0x10000 ? 3 : 5)
  }

  private text(size: number): void {
    const from = this.take(size)
    if (!isUtf8(this.bytes, from, this.at)) broken(`${this.what} has a string that is not UTF-8`)
    this.size += stringSize(size)
  }

  private array(length: number, depth: number): void {
    this.deeper(length, depth)
    this.size += arraySize(length)
    for (let i = 0; i < length; i++) this.value(depth + 1)
  }

  private map(length: number, depth: number): void {
    this.deeper(2 * length, depth)
    this.size += mapSize(length)
    for (let i = 0; i < length; i++) {
      this.key()
      this.value(depth + 1)
    }
  }

  private key(): void {
    const head = this.byte()
    const size =
      head >= 0xa0 && head < 0xc0
        ? head & 31
        : head === 0xd9
          ? this.uint(1)
          : head === 0xda
            ? this.uint(2)
            : head === 0xdb
              ? this.uint(4)
              : refuse('malformed', `${this.what} has a key that is no string`)
    const from = this.at
    this.text(size)
    if (size !== 9 && size !== 11) return
    let key = ''
    for (let i = from; i < this.at; i++) key += String.fromCharCode(this.bytes[i]!)
    if (isForbiddenKey(key)) refuse('malformed', `${this.what} has the key ${key}`)
  }

  private deeper(least: number, depth: number): void {
    if (depth >= this.bounds.depth) refuse('malformed', `${this.what} is nested deeper than ${this.bounds.depth}`)
    if (least > this.end - this.at) broken(`${this.what} declares ${least} values where ${this.end - this.at} bytes are left`)
  }
}

/** Strict UTF-8: no surrogates, no overlong forms, nothing above U+10FFFF. */
const isUtf8 = (bytes: Uint8Array, from: number, to: number): boolean => {
  let i = from
  while (i < to) {
    const first = bytes[i++]!
    if (first < 0x80) continue
    const more = first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0
    if (more === 0 || i + more > to) return false
    const second = bytes[i]!
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
    if (second < low || second > high) return false
    for (let k = 1; k < more; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return false
    i += more
  }
  return true
}

/** One item in the bytes from `at` to `end`, and its shortest size. */
export const unpack = (
  bytes: Uint8Array,
  at: number,
  end: number,
  bounds: Bounds,
  what: string,
  binary = false,
): { value: unknown; size: number } => {
  const scan = new Scan(bytes, at, end, bounds, what, binary)
  scan.whole()
  return { value: unpackr.unpack(bytes.subarray(at, end)), size: scan.size }
}

/** One item as bytes that stay valid until the next one is packed. The value has been measured. */
export const pack = (value: unknown): Uint8Array => packr.pack(value)

/** A JSON value behind its length. */
export const writeJson = (to: Writer, value: Json, bounds: Bounds, what: string): void => {
  measure(value, bounds, what)
  const bytes = pack(value)
  to.varint(bytes.length)
  to.raw(bytes)
}

export const readJson = (from: Reader, bounds: Bounds, what: string): { value: Json; size: number } => {
  const size = from.count(1, `bytes of ${what}`)
  const read = unpack(from.bytes, from.at, from.at + size, bounds, what)
  from.at += size
  return { value: read.value as Json, size: read.size }
}

// JSON values (and, for an application's own events, byte arrays) as MessagePack.
// Invariant: what is read is plain and within the bounds; what is written is as long as `measure` says.

import type { Json } from '../ot/type.ts'
import { type Bounds, keyed } from './bounds.ts'
import { Reader, type Writer } from './bytes.ts'
import {
  arraySize,
  blobSize,
  broken,
  isForbiddenKey,
  mapSize,
  measure,
  numberSize,
  refuse,
  stringSize,
  utf8Length,
} from './fields.ts'

// Of our own making, since the well-known packages would be a third of what a page loads of Inkwell, make code from strings (which a
// page's content security policy may forbid), and know types that nobody may send here.

type Plain = null | boolean | number | string | Uint8Array | readonly Plain[] | { readonly [key: string]: Plain }

/**
 * One MessagePack item being read. It must be whole and plain (no extension types, keys are strings and no way into a prototype,
 * finite numbers, strict UTF-8) and within depth and number; its shortest size is summed up.
 */
class Unpacking {
  size = 0
  private values = 0
  private readonly r: Reader
  private readonly bounds: Bounds
  private readonly what: string
  private readonly binary: boolean

  constructor(r: Reader, bounds: Bounds, what: string, binary: boolean) {
    this.r = r
    this.bounds = bounds
    this.what = what
    this.binary = binary
  }

  whole(): Plain {
    const value = this.value(0)
    if (this.r.left > 0) broken(`${this.r.left} bytes too many after ${this.what}`)
    return value
  }

  private value(depth: number): Plain {
    if (++this.values > this.bounds.values) refuse('malformed', `${this.what} has more than ${this.bounds.values} values`)
    const head = this.r.byte()
    if (head < 0x80) return this.number(head)
    if (head < 0x90) return this.map(head & 15, depth)
    if (head < 0xa0) return this.array(head & 15, depth)
    if (head < 0xc0) return this.text(head & 31)
    if (head >= 0xe0) return this.number(head - 0x100)
    return this.long(head, depth)
  }

  private long(head: number, depth: number): Plain {
    // A family has one head for each width, the narrowest first.
    if (head >= 0xde) return this.map(this.uint(2 << (head - 0xde)), depth)
    if (head >= 0xdc) return this.array(this.uint(2 << (head - 0xdc)), depth)
    if (head >= 0xd9) return this.text(this.uint(1 << (head - 0xd9)))
    if (head >= 0xd0 && head <= 0xd2) return this.number(this.int(1 << (head - 0xd0)))
    if (head >= 0xcc && head <= 0xce) return this.number(this.uint(1 << (head - 0xcc)))
    if (head >= 0xc4 && head <= 0xc6) return this.blob(this.uint(1 << (head - 0xc4)))
    switch (head) {
      case 0xc0:
        return this.constant(null)
      case 0xc2:
        return this.constant(false)
      case 0xc3:
        return this.constant(true)
      case 0xca:
        return this.number(this.view(4).getFloat32(0))
      case 0xcb:
        return this.number(this.view(8).getFloat64(0))
      case 0xcf:
        return this.number(Number(this.view(8).getBigUint64(0)))
      case 0xd3:
        return this.number(Number(this.view(8).getBigInt64(0)))
      default:
        return refuse('malformed', `${this.what} has the MessagePack type 0x${head.toString(16)}`)
    }
  }

  private uint(size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value = value * 256 + this.r.byte()
    return value
  }

  private int(size: number): number {
    const value = this.uint(size)
    return value - (value < 2 ** (8 * size - 1) ? 0 : 2 ** (8 * size))
  }

  private view(size: number): DataView {
    const { buffer, byteOffset } = this.take(size)
    return new DataView(buffer, byteOffset, size)
  }

  private take(size: number): Uint8Array {
    const { r } = this
    if (size > r.left) broken(`${this.what} declares ${size} bytes where ${r.left} are left`)
    return r.bytes.subarray(r.at, (r.at += size))
  }

  private constant<T>(value: T): T {
    this.size += 1
    return value
  }

  private number(value: number): number {
    if (!Number.isFinite(value)) refuse('malformed', `${this.what} has the number ${value}`)
    this.size += numberSize(value)
    return value
  }

  private blob(size: number): Uint8Array {
    if (!this.binary) refuse('malformed', `${this.what} has bytes, which are not JSON`)
    this.size += blobSize(size)
    return this.take(size).slice() // a view would keep the whole frame in memory
  }

  private text(size: number): string {
    this.size += stringSize(size)
    return this.r.utf8(size, this.what)
  }

  private array(length: number, depth: number): Plain[] {
    this.deeper(length, depth)
    this.size += arraySize(length)
    const array: Plain[] = []
    for (let i = 0; i < length; i++) array.push(this.value(depth + 1))
    return array
  }

  private map(length: number, depth: number): Plain {
    this.deeper(2 * length, depth)
    this.size += mapSize(length)
    const map: { [key: string]: Plain } = {}
    for (let i = 0; i < length; i++) {
      const key = this.key()
      this.values += keyed - 1
      map[key] = this.value(depth + 1)
    }
    return map
  }

  private key(): string {
    const head = this.r.byte()
    const size =
      head >= 0xa0 && head < 0xc0
        ? head & 31
        : head >= 0xd9 && head <= 0xdb
          ? this.uint(1 << (head - 0xd9))
          : refuse('malformed', `${this.what} has a key that is no string`)
    const key = this.text(size)
    return isForbiddenKey(key) ? refuse('malformed', `${this.what} has the key ${key}`) : key
  }

  private deeper(least: number, depth: number): void {
    if (depth >= this.bounds.depth) refuse('malformed', `${this.what} is nested deeper than ${this.bounds.depth}`)
    if (least > this.r.left) broken(`${this.what} declares ${least} values where ${this.r.left} bytes are left`)
  }
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
  const unpacking = new Unpacking(new Reader(bytes.subarray(at, end)), bounds, what, binary)
  const value = unpacking.whole()
  return { value, size: unpacking.size }
}

/** The value in its shortest form. It has been measured: what is undefined is left out, as in JSON. */
export const pack = (to: Writer, given: unknown): void => {
  const value = given as Plain
  if (value === null) return to.byte(0xc0)
  switch (typeof value) {
    case 'boolean':
      return to.byte(value ? 0xc3 : 0xc2)
    case 'number':
      return packNumber(to, value)
    case 'string': {
      const size = utf8Length(value)
      packHead(to, size, ofText)
      return to.utf8(value, size)
    }
    default:
  }
  if (value instanceof Uint8Array) {
    packHead(to, value.length, ofBlob)
    return to.raw(value)
  }
  if (isArray(value)) {
    packHead(to, value.length, ofArray)
    for (let i = 0; i < value.length; i++) pack(to, value[i])
    return
  }
  const keys = Object.keys(value).filter(key => value[key] !== undefined)
  packHead(to, keys.length, ofMap)
  for (const key of keys) {
    pack(to, key)
    pack(to, value[key])
  }
}

const isArray: (value: unknown) => value is readonly unknown[] = Array.isArray

/** First bytes: one that holds a length up to `most` itself, and those before one, two or four bytes of length. */
interface Heads {
  readonly fix: number
  readonly most: number
  readonly one: number | null
  readonly two: number
  readonly four: number
}

const ofText: Heads = { fix: 0xa0, most: 31, one: 0xd9, two: 0xda, four: 0xdb }
const ofBlob: Heads = { fix: 0, most: -1, one: 0xc4, two: 0xc5, four: 0xc6 }
const ofArray: Heads = { fix: 0x90, most: 15, one: null, two: 0xdc, four: 0xdd }
const ofMap: Heads = { fix: 0x80, most: 15, one: null, two: 0xde, four: 0xdf }

const packHead = (to: Writer, length: number, { fix, most, one, two, four }: Heads): void => {
  if (length <= most) return to.byte(fix | length)
  if (length < 0x100 && one !== null) return to.uint(one, length, 1)
  if (length < 0x10000) return to.uint(two, length, 2)
  to.uint(four, length, 4)
}

const packNumber = (to: Writer, n: number): void => {
  const size = numberSize(n)
  if (size === 1) return to.byte(n & 0xff)
  if (size === 9) return to.double(0xcb, n)
  const bytes = size - 1
  to.uint((n >= 0 ? 0xcc : 0xd0) + (bytes >> 1), n, bytes)
}

/** A JSON value behind its length. */
export const writeJson = (to: Writer, value: Json, bounds: Bounds, what: string): void => {
  to.varint(measure(value, bounds, what))
  pack(to, value)
}

export const readJson = (from: Reader, bounds: Bounds, what: string): { value: Json; size: number } => {
  const size = from.count(1, `bytes of ${what}`)
  const read = unpack(from.bytes, from.at, from.at + size, bounds, what)
  from.at += size
  return { value: read.value as Json, size: read.size }
}

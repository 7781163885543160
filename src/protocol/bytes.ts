// Reading and writing the primitives of the binary form: varints, texts, packed names, hexadecimal digits.
// Invariant: a reader never looks beyond its end and never allocates for a length that is not there in bytes.

import type { ErrorCode } from './errors.ts'
import { broken, maxWhole, refuse, utf8Length } from './fields.ts'

// Both exist wherever JavaScript runs, but in no ECMAScript library: these are the parts used here.
declare const TextEncoder: new () => { encodeInto(text: string, into: Uint8Array): { readonly written: number } }
declare const TextDecoder: new (
  label: 'utf-8',
  options: { readonly fatal: true; readonly ignoreBOM: true },
) => { decode(bytes: Uint8Array): string }

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

// Six bits a character, the alphabet of base64url.
export const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const sextet = new Uint8Array(128).fill(255)
for (let i = 0; i < 64; i++) sextet[letters.charCodeAt(i)] = i
const pairs: string[] = [] // two letters for every twelve bits: eight steps for an author
for (const a of letters) for (const b of letters) pairs.push(a + b)
const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const nibble = new Uint8Array(128).fill(255)
for (let i = 0; i < 16; i++) nibble['0123456789abcdef'.charCodeAt(i)] = i

const firstRoom = 1_024 // bytes; most frames fit
const keptRoom = 65_536 // bytes; a buffer that one large message made larger is let go

export class Writer {
  bytes = new Uint8Array(firstRoom)
  at = 0

  begin(): void {
    this.at = 0
  }

  /** The bytes written, which nothing is written over. */
  end(): Uint8Array {
    const { bytes, at } = this
    if (bytes.length <= keptRoom) return bytes.slice(0, at)
    this.bytes = new Uint8Array(firstRoom)
    return bytes.subarray(0, at)
  }

  room(more: number): void {
    const need = this.at + more
    if (need <= this.bytes.length) return
    const wider = new Uint8Array(Math.max(need + firstRoom, 2 * this.bytes.length))
    wider.set(this.bytes.subarray(0, this.at))
    this.bytes = wider
  }

  byte(value: number): void {
    this.room(1)
    this.bytes[this.at++] = value
  }

  varint(value: number): void {
    this.room(8)
    let rest = value
    while (rest > 0x7fffffff) {
      this.bytes[this.at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    while (rest > 127) {
      this.bytes[this.at++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.bytes[this.at++] = rest
  }

  signed(value: number): void {
    this.varint(value >= 0 ? 2 * value : -2 * value - 1)
  }

  raw(bytes: Uint8Array): void {
    this.room(bytes.length)
    this.bytes.set(bytes, this.at)
    this.at += bytes.length
  }

  /** Length in bytes, then UTF-8. With `tag`, the length is the upper part of a number whose two lowest bits are the tag. */
  text(text: string, what: string, tag = -1): void {
    const size = utf8Length(text)
    if (size < 0) refuse('malformed', `${what} has a lone surrogate`)
    this.varint(tag < 0 ? size : 4 * size + tag)
    this.utf8(text, size)
  }

  /** UTF-8 alone; `size` is its length. */
  utf8(text: string, size: number): void {
    this.room(size)
    if (size === text.length && size < 32) {
      for (let i = 0; i < size; i++) this.bytes[this.at++] = text.charCodeAt(i)
      return
    }
    this.at += encoder.encodeInto(text, this.bytes.subarray(this.at, this.at + size)).written
  }

  /** A first byte, then the lowest `size` bytes of a whole number, highest first. */
  uint(first: number, value: number, size: number): void {
    this.byte(first)
    for (let shift = 8 * (size - 1); shift >= 0; shift -= 8) this.byte((value >> shift) & 0xff)
  }

  /** A first byte, then a number in eight. */
  double(first: number, value: number): void {
    this.byte(first)
    this.room(8)
    new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at).setFloat64(0, value)
    this.at += 8
  }

  /** Characters of base64url in six bits each, the last byte filled up with zeros; the reader must know how many. */
  packed(text: string): void {
    const { length } = text // of a string that may be of any kind, a look at it costs more than all the rest
    this.room(length)
    let bits = 0
    let held = 0
    for (let i = 0; i < length; i++) {
      held = ((held << 6) | sextet[text.charCodeAt(i)]!) & 0xffff
      bits += 6
      if (bits >= 8) {
        bits -= 8
        this.bytes[this.at++] = held >> bits
      }
    }
    if (bits > 0) this.bytes[this.at++] = held << (8 - bits)
  }

  hex(text: string): void {
    const { length } = text
    this.room(length)
    for (let i = 0; i < length; ) {
      this.bytes[this.at++] = (nibble[text.charCodeAt(i++)]! << 4) | nibble[text.charCodeAt(i++)]!
    }
  }
}

export class Reader {
  readonly bytes: Uint8Array
  readonly end: number
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.end = bytes.length
    this.at = at
  }

  get left(): number {
    return this.end - this.at
  }

  byte(): number {
    return this.at < this.end ? this.bytes[this.at++]! : broken(`the frame ends at byte ${this.end}`)
  }

  /** A whole number up to 2^53 - 1, in its shortest form only. */
  varint(): number {
    let byte = this.byte()
    if (byte < 128) return byte
    let value = byte & 127
    let scale = 128
    for (let i = 1; i < 8; i++) {
      byte = this.byte()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (byte === 0) broken(`a number is longer than it need be at byte ${this.at}`)
        if (value > Number.MAX_SAFE_INTEGER) broken(`a number is above 2^53 - 1 at byte ${this.at}`)
        return value
      }
      scale *= 128
    }
    return broken(`a number has more than eight bytes at byte ${this.at}`)
  }

  whole(what: string): number {
    const value = this.varint()
    return value <= maxWhole ? value : refuse('malformed', `${what} is above 2^48 - 1`)
  }

  signed(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** A declared number of things that take at least `each` bytes: refused when they cannot be there. */
  count(each: number, what: string): number {
    const declared = this.varint()
    return declared * each <= this.left ? declared : broken(`${declared} ${what} declared, ${this.left} bytes left`)
  }

  text(what: string, maxBytes: number, code: ErrorCode = 'malformed'): string {
    const size = this.count(1, `bytes of ${what}`)
    return size <= maxBytes ? this.utf8(size, what) : refuse(code, `${what} has ${size} bytes, the limit is ${maxBytes}`)
  }

  utf8(size: number, what: string): string {
    if (size > this.left) broken(`${size} bytes of ${what} declared, ${this.left} bytes left`)
    const from = this.at
    const to = (this.at += size)
    if (size < 24) {
      let text = ''
      let i = from
      for (; i < to; i++) {
        const byte = this.bytes[i]!
        if (byte > 127) break
        text += String.fromCharCode(byte)
      }
      if (i === to) return text
    }
    try {
      return decoder.decode(this.bytes.subarray(from, to))
    } catch {
      // The one thing that a fatal decoder throws for.
      return broken(`${what} is not UTF-8`)
    }
  }

  packed(length: number, what: string): string {
    if ((length * 6 + 7) >> 3 > this.left) broken(`the frame ends inside ${what}`)
    let text = ''
    let left = length
    for (; left >= 4; left -= 4) {
      const three = (this.bytes[this.at]! << 16) | (this.bytes[this.at + 1]! << 8) | this.bytes[this.at + 2]!
      this.at += 3
      text += pairs[three >> 12]! + pairs[three & 0xfff]!
    }
    if (left === 0) return text
    let rest = 0
    for (let i = 0; i < left; i++) rest = (rest << 8) | this.bytes[this.at++]! // as many bytes as letters
    const spare = left * 2
    if ((rest & ((1 << spare) - 1)) !== 0) broken(`${what} has bits beyond its end`)
    rest >>= spare
    for (let i = left - 1; i >= 0; i--) text += letters[(rest >> (6 * i)) & 63]!
    return text
  }

  hex(bytes: number, what: string): string {
    if (bytes > this.left) broken(`the frame ends inside ${what}`)
    let text = ''
    for (let i = 0; i < bytes; i++) text += hexPairs[this.bytes[this.at++]!]!
    return text
  }
}

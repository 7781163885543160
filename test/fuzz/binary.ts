// Messages in the binary form, written by hand so that what is written may be wrong.
// Invariant: without a lie the frame is what docs/PROTOCOL.md says, or `faithful` is false.

import type { Chance } from '../../src/testing/random.ts'

type Fields = { readonly [key: string]: unknown }

/** A piece of a frame, with what it means. */
type Part =
  | { readonly kind: 'byte' | 'number'; readonly value: number }
  | { readonly kind: 'raw'; readonly bytes: Buffer }
  /** Behind its length. */
  | { readonly kind: 'text'; readonly bytes: Buffer; readonly tag?: number }

const opcodes: { readonly [kind: string]: number } = {
  ...{ join: 1, leave: 2, submit: 3, present: 4, signal: 5, authenticate: 6, probe: 7 },
}

/** A lone surrogate as three bytes, which is no UTF-8. */
const utf8 = (text: string): Buffer =>
  /\p{Cs}/u.test(text)
    ? Buffer.concat(
        [...text].map(sign => {
          const code = sign.codePointAt(0)!
          return code >= 0xd800 && code < 0xe000
            ? Buffer.from([0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)])
            : Buffer.from(sign)
        }),
      )
    : Buffer.from(text)

const varint = (value: number, longer = 0): Buffer => {
  const out: number[] = []
  let rest = value
  while (rest >= 128) {
    out.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  if (longer === 0) return Buffer.from([...out, rest])
  return Buffer.from([...out, rest | 128, ...Array(longer - 1).fill(128), 0])
}

const uint = (first: number, value: number, bytes: number): Buffer => {
  const out = Buffer.alloc(1 + bytes)
  out[0] = first
  out.writeUIntBE(value, 1, bytes)
  return out
}

/** MessagePack, not always in the shortest form. */
const packed = (value: unknown): Buffer => {
  if (value === null || value === undefined) return Buffer.from([0xc0])
  if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2])
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 0 && value < 128) return Buffer.from([value])
    const out = Buffer.alloc(9, 0xcb)
    out.writeDoubleBE(value, 1)
    return out
  }
  if (typeof value === 'string') {
    const bytes = utf8(value)
    return Buffer.concat([bytes.length < 32 ? Buffer.from([0xa0 | bytes.length]) : uint(0xdb, bytes.length, 4), bytes])
  }
  if (Array.isArray(value))
    return Buffer.concat([
      value.length < 16 ? Buffer.from([0x90 | value.length]) : uint(0xdd, value.length, 4),
      ...Array.from(value, inside => packed(inside)), // a hole becomes null, as in JSON
    ])
  const entries = Object.entries(value as Fields)
  const head = entries.length < 16 ? Buffer.from([0x80 | entries.length]) : uint(0xdf, entries.length, 4)
  return Buffer.concat([head, ...entries.flatMap(([key, inside]) => [packed(key), packed(inside)])])
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const sextets = (text: string): Buffer => {
  let bits = ''
  for (const letter of text) bits += Math.max(0, letters.indexOf(letter)).toString(2).padStart(6, '0')
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map(byte => Number.parseInt(byte, 2)))
}

class Writing {
  faithful = true
  readonly parts: Part[] = []

  number(value: unknown): void {
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER
    if (!fits) this.faithful = false
    this.parts.push({ kind: 'number', value: fits ? value : 0 })
  }

  text(value: unknown): void {
    if (typeof value !== 'string') this.faithful = false
    this.parts.push({ kind: 'text', bytes: utf8(typeof value === 'string' ? value : JSON.stringify(value ?? null)) })
  }

  value(value: unknown): void {
    if (value === undefined) this.faithful = false
    this.parts.push({ kind: 'text', bytes: packed(value) })
  }

  position(value: unknown, withEpoch: boolean): void {
    const { epoch, version, chain } = (typeof value === 'object' && value !== null ? value : {}) as Fields
    if (typeof chain !== 'string' || !/^[0-9a-f]{16}$/.test(chain)) this.faithful = false
    this.number(version)
    if (withEpoch) {
      if (typeof epoch !== 'string' || !/^[\w-]{1,255}$/.test(epoch)) this.faithful = false
      const name = typeof epoch === 'string' ? epoch.slice(0, 255) : ''
      this.parts.push({ kind: 'byte', value: name.length }, { kind: 'raw', bytes: sextets(name) })
    }
    this.parts.push({ kind: 'raw', bytes: Buffer.from(typeof chain === 'string' ? chain.slice(0, 16) : '', 'hex') })
  }

  op(value: unknown): void {
    const isCompact =
      Array.isArray(value) &&
      value.every(part => typeof part === 'string' || (Number.isInteger(part) && part !== 0 && Math.abs(part) < 2 ** 50))
    if (!isCompact) {
      this.parts.push({ kind: 'number', value: 0 })
      return this.value(value)
    }
    this.parts.push({ kind: 'number', value: value.length + 1 })
    for (const part of value as (number | string)[])
      if (typeof part === 'string') this.parts.push({ kind: 'text', bytes: utf8(part), tag: 2 })
      else this.parts.push({ kind: 'number', value: part > 0 ? 4 * part : -4 * part + 1 })
  }
}

/** The parts of a message, the first of them its head. */
const partsOf = (kind: string, payload: unknown): Writing => {
  const w = new Writing()
  const fields = (typeof payload === 'object' && payload !== null ? payload : {}) as Fields
  const own = (key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined)
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) w.faithful = false
  w.parts.push({ kind: 'byte', value: 0x80 | opcodes[kind]! })
  switch (kind) {
    case 'join':
      w.text(own('doc'))
      w.text(own('type'))
      w.parts.push({ kind: 'byte', value: own('position') === null ? 0 : 1 })
      if (own('position') !== null) w.position(own('position'), true)
      break
    case 'submit':
      w.number(own('handle'))
      w.number(own('seq'))
      w.position(own('position'), false)
      w.op(own('op'))
      break
    case 'present':
      w.number(own('handle'))
      w.number(own('version'))
      w.value(own('state'))
      break
    case 'signal':
      w.number(own('handle'))
      w.text(own('name'))
      w.value(own('payload'))
      break
    case 'leave':
      w.number(own('handle'))
      break
    case 'authenticate':
      w.text(own('token'))
      break
    default:
  }
  return w
}

const written = (part: Part): Buffer => {
  switch (part.kind) {
    case 'byte':
      return Buffer.from([part.value & 255])
    case 'number':
      return varint(part.value)
    case 'raw':
      return part.bytes
    default:
      return Buffer.concat([varint(part.tag === undefined ? part.bytes.length : 4 * part.bytes.length + part.tag), part.bytes])
  }
}

export interface Written {
  readonly frame: Buffer
  /** The bytes say what the payload says. */
  readonly faithful: boolean
}

export const encoded = (kind: string, payload: unknown): Written => {
  const { parts, faithful } = partsOf(kind, payload)
  return { frame: Buffer.concat(parts.map(written)), faithful }
}

const lengths = [0, 1, 127, 128, 65_535, 1_048_577, 2 ** 31, 2 ** 32 - 1, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 56 - 1]

/** A sound message told with a lie. `must`: no server may take it. `strays`: its second number, the seq of an edit, may be another. */
export const lying = (
  dice: Chance,
  kind: string,
  payload: unknown,
): { readonly frame: Buffer; readonly must: boolean; readonly strays: boolean } => {
  const { parts } = partsOf(kind, payload)
  const pieces = parts.map(written)
  const at = dice.int(parts.length)
  const part = parts[at]!
  switch (dice.int(9)) {
    case 0: // an opcode that is reserved, of a server, or none
      pieces[0] = Buffer.from([0x80 | dice.pick([0, 8, 9, 15, 16, 17, 18, 23, 27, 28, 31])])
      return { frame: Buffer.concat(pieces), must: true, strays: false }
    case 1: // more than there should be
      return { frame: Buffer.concat([...pieces, Buffer.from([dice.int(256)])]), must: true, strays: false }
    case 2: // less than there should be
      if (pieces.length === 1) return { frame: Buffer.alloc(0), must: true, strays: false }
      return { frame: Buffer.concat(pieces).subarray(0, -1), must: true, strays: false }
    case 3: // a length that lies
      if (part.kind === 'text') pieces[at] = Buffer.concat([varint(dice.pick(lengths)), part.bytes])
      else pieces[at] = varint(dice.pick(lengths))
      break
    case 4: // a number longer than it need be
      if (part.kind !== 'number') break
      pieces[at] = varint(part.value, 1 + dice.int(12))
      return { frame: Buffer.concat(pieces), must: true, strays: false }
    case 5: // fields swapped
      pieces.push(...pieces.splice(at, 1))
      break
    case 6: // the message twice
      return { frame: Buffer.concat([...pieces, ...pieces]), must: true, strays: false }
    case 7: // another head: a namespace where there is none, an acknowledgement asked for, another type of packet
      pieces[0] = Buffer.from([dice.int(256)])
      break
    default: // a bit
      if (pieces[at]!.length > 0) {
        const bytes = Buffer.from(pieces[at]!)
        bytes[dice.int(bytes.length)]! ^= 1 << dice.int(8)
        pieces[at] = bytes
      }
  }
  return { frame: Buffer.concat(pieces), must: false, strays: at <= 2 }
}

/** A packet of Socket.IO: its type and flags, a namespace, a number, its content. */
export const packetFrame = (first: number, nsp: string | null, id: number | null, content: unknown): Buffer =>
  Buffer.concat([
    Buffer.from([first | (nsp === null ? 0 : 0x40) | (id === null ? 0 : 0x20)]),
    ...(nsp === null ? [] : [varint(Buffer.byteLength(nsp)), Buffer.from(nsp)]),
    ...(id === null ? [] : [varint(id)]),
    ...(content === undefined ? [] : [packed(content)]),
  ])

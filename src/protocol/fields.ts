// The checks of single fields, shared by the binary and the JSON form of a message.
// Invariant: a brand of ids.ts is given to a value here and nowhere else in the protocol; what fails leaves as a Fault.

import type { Json } from '../ot/type.ts'
import { type Bounds, keyed } from './bounds.ts'
import { type ErrorCode, errorCodes, type Refusal, refusal } from './errors.ts'
import type { AuthorId, Chain, ClientKey, DocId, Epoch, Handle, PeerId, PositionInEpoch, Seq } from './ids.ts'
import type { ComposedUnit } from './messages.ts'

/**
 * What stops the reading of a message. It is thrown inside the protocol only; every door turns it into a value.
 * `broken`: the bytes have not the shape of any message, so whoever sent them speaks another language.
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly refusal: Refusal
  readonly broken: boolean
  constructor(why: Refusal, broken: boolean) {
    super(why.detail === undefined ? why.message : `${why.message} ${why.detail}`)
    this.refusal = why
    this.broken = broken
  }
}

export function refuse(code: ErrorCode, detail: string): never {
  throw new Fault(refusal(code, detail), false)
}

export function broken(detail: string): never {
  throw new Fault(refusal('malformed', detail), true)
}

/** What a message is about, as far as it could be read before it was refused. */
export interface About {
  doc: DocId | null
  handle: Handle | null
  seq: Seq | null
}

/** A message, or why it is none. */
export type Read<M> = { readonly ok: true; readonly message: M } | Unreadable

export interface Unreadable {
  readonly ok: false
  readonly refusal: Refusal
  /** Not a message with a bad field but no message at all: the connection is better closed. */
  readonly broken: boolean
  readonly doc: DocId | null
  readonly handle: Handle | null
  readonly seq: Seq | null
}

export const unreadable = (fault: unknown, about: Readonly<About>): Unreadable => {
  if (!(fault instanceof Fault)) throw fault // a bug of ours, never a property of the input
  return { ok: false, refusal: fault.refusal, broken: fault.broken, doc: about.doc, handle: about.handle, seq: about.seq }
}

// ---- numbers

/** Versions, seqs, handles: what stores keep in six bytes; twice a difference is still exact. */
export const maxWhole = 2 ** 48 - 1

export const whole = (value: unknown, what: string): number =>
  typeof value === 'number' && value >= 0 && value <= maxWhole && Number.isInteger(value)
    ? value
    : refuse('malformed', `${what} must be a whole number up to 2^48 - 1, not ${glimpse(value)}`)

export const positive = (value: unknown, what: string): number => {
  const number = whole(value, what)
  return number > 0 ? number : refuse('malformed', `${what} must be at least 1`)
}

export const handleOf = (value: unknown): Handle => whole(value, 'handle') as Handle

// ---- strings

// Without a lone surrogate: with the u flag, a pair is one code point that is not in Cs.
const surrogate = /\p{Cs}/u
const beyondAscii = /\P{ASCII}/u
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f]/
const nameShape = /^[A-Za-z0-9_-]+$/
const hexShape = /^[0-9a-f]{16}$/
const colorShape = /^#[0-9A-Fa-f]{6}$/

export const isWellFormed = (text: string): boolean => !surrogate.test(text)

/** Bytes of a string in UTF-8; -1 when it has a lone surrogate. */
export const utf8Length = (text: string): number => {
  let bytes = text.length
  if (!beyondAscii.test(text)) return bytes // a loop takes ten times as long
  if (!isWellFormed(text)) return -1
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) bytes += unit < 0x800 || unit >> 11 === 27 ? 1 : 2 // a pair is four bytes for two units
  }
  return bytes
}

/** A well-formed string of at most `maxBytes` in UTF-8. */
const sound = (value: unknown, what: string, maxBytes: number, code: ErrorCode = 'malformed'): string => {
  if (typeof value !== 'string') return refuse(code, `${what} must be a string, not ${glimpse(value)}`)
  if (value.length > maxBytes) return refuse(code, `${what} has ${value.length} characters, the limit is ${maxBytes} bytes`)
  const bytes = utf8Length(value)
  if (bytes < 0) return refuse(code, `${what} has a lone surrogate`)
  if (bytes > maxBytes) return refuse(code, `${what} has ${bytes} bytes, the limit is ${maxBytes}`)
  return value
}

const shaped = (value: unknown, what: string, shape: RegExp, min: number, max: number): string =>
  typeof value === 'string' && value.length >= min && value.length <= max && shape.test(value)
    ? value
    : refuse(
        'malformed',
        `${what} must be ${min === max ? min : `${min} to ${max}`} characters of ${shape.source}, not ${glimpse(value)}`,
      )

/** A name that can be written on one line. */
const named = (value: unknown, what: string, maxBytes: number, code?: ErrorCode): string => {
  const name = sound(value, what, maxBytes, code)
  return name === '' || control.test(name) ? refuse(code ?? 'malformed', `${what} is empty or has a control character`) : name
}

export const docIdBytes = 256
export const docId = (value: unknown): DocId => named(value, 'document id', docIdBytes, 'bad-document-id') as DocId

export const typeNameBytes = 256 // room for the URI of a type of the ottypes family
export const typeName = (value: unknown): string => named(value, 'document type', typeNameBytes)

export const signalNameBytes = 64
export const signalName = (value: unknown): string => named(value, 'the name of the signal', signalNameBytes)

/** The payload of a signal, of which `size` bytes came or are to go. */
export const signalPayload = (payload: Json, size: number, bounds: Bounds): Json =>
  size <= bounds.signalBytes
    ? payload
    : refuse('signal-too-large', `the payload has ${size} bytes, the limit is ${bounds.signalBytes}`)

export const epochLength = 32
export const epochOf = (value: unknown): Epoch => shaped(value, 'epoch', nameShape, 1, epochLength) as Epoch
export const peerLength = 64
export const peerOf = (value: unknown): PeerId => shaped(value, 'peer', nameShape, 1, peerLength) as PeerId
export const authorOf = (value: unknown): AuthorId => shaped(value, 'author', nameShape, 16, 16) as AuthorId
export const keyOf = (value: unknown): ClientKey => shaped(value, 'client key', nameShape, 22, 22) as ClientKey
export const chainOf = (value: unknown): Chain => shaped(value, 'chain', hexShape, 16, 16) as Chain
export const hashOf = (value: unknown): string => shaped(value, 'hash', hexShape, 16, 16)

/** A well-formed string of at most `length` characters. */
const short = (value: unknown, what: string, length: number): string => {
  const text = sound(value, what, 4 * length)
  return text.length <= length ? text : refuse('malformed', `${what} has ${text.length} characters, the limit is ${length}`)
}

export const userTextLength = 128 // characters
export const userId = (value: unknown): string =>
  short(value, 'user id', userTextLength) || refuse('malformed', 'the user id is empty')
export const userName = (value: unknown): string => short(value, 'user name', userTextLength)
export const colorOf = (value: unknown): string => shaped(value, 'color', colorShape, 7, 7)

export const tokenOf = (value: unknown, bounds: Bounds): string => sound(value, 'token', bounds.tokenBytes, 'unauthenticated')

export const detailLength = 512 // characters; a detail is for people and is cut, never refused, when we write it
export const detailOf = (value: unknown): string => short(value, 'detail', detailLength)

const codes: ReadonlySet<unknown> = new Set(errorCodes)
export const errorCodeOf = (value: unknown): ErrorCode =>
  codes.has(value) ? (value as ErrorCode) : refuse('malformed', `unknown error code ${glimpse(value)}`)

/** The refusal with a detail that is fit to be sent: it may quote what a client sent, of any length and soundness. */
export const presentable = (given: Refusal): Refusal => {
  if (given.detail === undefined) return given
  const cut = given.detail.length > detailLength ? `${given.detail.slice(0, detailLength - 1)}…` : given.detail
  const detail = isWellFormed(cut) ? cut : cut.replace(/\p{Cs}/gu, '\ufffd')
  return detail === given.detail ? given : { ...given, detail }
}

/** A frame of `count` commits after `from` ends at from + count; the position in it must say the same. */
export const endsAt = <P extends PositionInEpoch>(position: P, from: number, count: number): P =>
  position.version === from + count
    ? position
    : refuse('malformed', `${count} commits after version ${from} do not end at version ${position.version}`)

/** How many commits are in all the units together. */
export const commitsIn = (units: readonly ComposedUnit[]): number => {
  let commits = 0
  for (const unit of units) commits += unit.commits
  return commits
}

// ---- JSON values

/** Keys that a careless merge would follow into a prototype. No message has them, so nobody has to remember. */
export const isForbiddenKey = (key: string): boolean => key === '__proto__' || key === 'constructor' || key === 'prototype'

const headSize = (length: number, small: number): number => (length <= small ? 1 : length <= 0xffff ? 3 : 5)
const textSize = (bytes: number): number => bytes + (bytes < 32 ? 1 : bytes < 0x100 ? 2 : bytes < 0x10000 ? 3 : 5)

export const numberSize = (n: number): number => {
  if (!Number.isInteger(n)) return 9
  if (n >= 0) return n < 0x80 ? 1 : n < 0x100 ? 2 : n < 0x10000 ? 3 : n < 0x100000000 ? 5 : 9
  return n >= -0x20 ? 1 : n >= -0x80 ? 2 : n >= -0x8000 ? 3 : n >= -0x80000000 ? 5 : 9
}
export const arraySize = (length: number): number => headSize(length, 15)
export const mapSize = (length: number): number => headSize(length, 15)
export const stringSize = textSize
export const blobSize = (bytes: number): number => bytes + (bytes < 0x100 ? 2 : bytes < 0x10000 ? 3 : 5)

/**
 * Checks that a value is JSON as we carry it: plain objects, finite numbers, well-formed strings, bounded depth and number.
 * Answers the bytes of its shortest MessagePack form. With `binary`, byte arrays count as values too.
 */
export const measure = (value: unknown, bounds: Bounds, what: string, binary = false): number => {
  let values = 0
  const visit = (it: unknown, depth: number): number => {
    if (++values > bounds.values) return refuse('malformed', `${what} has more than ${bounds.values} values`)
    if (it === null) return 1
    switch (typeof it) {
      case 'boolean':
        return 1
      case 'number':
        return Number.isFinite(it) ? numberSize(it) : refuse('malformed', `${what} has the number ${it}`)
      case 'string': {
        const bytes = utf8Length(it)
        return bytes < 0 ? refuse('malformed', `${what} has a lone surrogate`) : textSize(bytes)
      }
      case 'object':
        break
      default:
        return refuse('malformed', `${what} has a ${typeof it}, which is not JSON`)
    }
    if (binary && it instanceof Uint8Array) return blobSize(it.length)
    if (depth >= bounds.depth) return refuse('malformed', `${what} is nested deeper than ${bounds.depth}`)
    let size: number
    if (Array.isArray(it)) {
      size = arraySize(it.length)
      for (let i = 0; i < it.length; i++) size += visit(it[i], depth + 1)
      return size
    }
    const prototype = Object.getPrototypeOf(it)
    if (prototype !== Object.prototype && prototype !== null)
      return refuse('malformed', `${what} has an object that is not plain`)
    let keys = 0
    size = 0
    for (const key of Object.keys(it)) {
      const inside = (it as Record<string, unknown>)[key]
      if (inside === undefined) continue // as JSON does; only our own side can have one
      if (isForbiddenKey(key)) return refuse('malformed', `${what} has the key ${key}`)
      const bytes = utf8Length(key)
      if (bytes < 0) return refuse('malformed', `${what} has a key with a lone surrogate`)
      values += keyed - 1
      size += textSize(bytes) + visit(inside, depth + 1)
      keys++
    }
    return size + mapSize(keys)
  }
  return visit(value, 0)
}

export const jsonOf = (value: unknown, bounds: Bounds, what: string): Json => {
  measure(value, bounds, what)
  return value as Json
}

/** The largest length that the compact form of a text op carries; others travel as any JSON does. */
export const maxComponent = 0x7fffffff

/** True for the wire form of a text op: an array of non-zero integers and strings. */
export const isCompactOp = (op: unknown): op is readonly (number | string)[] => {
  if (!Array.isArray(op)) return false
  for (let i = 0; i < op.length; i++) {
    const part = op[i]
    if (typeof part === 'string') continue
    if (typeof part !== 'number' || !Number.isInteger(part) || part === 0 || part > maxComponent || part < -maxComponent)
      return false
  }
  return true
}

export const opOf = (value: unknown, bounds: Bounds): Json => {
  if (Array.isArray(value) && value.length > bounds.opComponents)
    return refuse('op-too-large', `the op has ${value.length} components, the limit is ${bounds.opComponents}`)
  if (!isCompactOp(value)) return jsonOf(value, bounds, 'op')
  for (let i = 0; i < value.length; i++) {
    const part = value[i]!
    if (typeof part === 'string' && !isWellFormed(part)) return refuse('bad-op', 'the op inserts a lone surrogate')
  }
  return value
}

/** A short quotation of a bad value for a person. It must not fail on anything, least of all on an object with its own toString. */
export const glimpse = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null) return String(value)
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}

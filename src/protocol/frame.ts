// The head of a binary frame: which packet or message it is, its Socket.IO namespace, the number of the acknowledgement it asks for.
//
//   first byte   10aooooo   a message: a an acknowledgement is wanted, ooooo the message's opcode
//                0xa00ttt   any other packet: x a namespace follows, ttt its Socket.IO type (0 connect, 1 disconnect, 2 event, 3 ack,
//                           4 connect error)
//   namespace    length as varint and UTF-8, when x; otherwise, and for every message, it is "/"
//   number       varint, when a
//
// Invariant: a head has one spelling; "/" is never written out.

import type { Bounds } from './bounds.ts'
import type { Reader, Writer } from './bytes.ts'
import { broken } from './fields.ts'

const message = 0x80
const withNamespace = 0x40
const withId = 0x20

export interface Head {
  /** The opcode of a message, or null. */
  readonly opcode: number | null
  /** The Socket.IO type of the packet: an event, when it is a message. */
  readonly type: number
  readonly nsp: string
  readonly id: number | undefined
}

const event = 2

/** Whether a frame that begins so is a message for which no acknowledgement is wanted. */
export const isMessage = (first: number): boolean => (first & (message | withNamespace | withId)) === message

const write = (w: Writer, first: number, nsp: string, id: number | undefined): void => {
  w.byte(first | (nsp === '/' ? 0 : withNamespace) | (id === undefined ? 0 : withId))
  if (nsp !== '/') w.text(nsp, 'namespace')
  if (id !== undefined) w.varint(id)
}

export const writeMessageHead = (w: Writer, opcode: number, id: number | undefined): void => write(w, message | opcode, '/', id)
export const writePacketHead = (w: Writer, type: number, nsp: string, id: number | undefined): void => write(w, type, nsp, id)

export const readHead = (r: Reader, bounds: Bounds): Head => {
  const first = r.byte()
  if ((first & (message | withNamespace)) === (message | withNamespace)) broken('a message lives in the namespace "/"')
  const nsp = first & withNamespace ? r.text('namespace', bounds.namespaceBytes) : '/'
  const id = first & withId ? r.varint() : undefined
  if (first & withNamespace && (nsp === '/' || nsp[0] !== '/')) broken('a namespace begins with "/" and is longer')
  if (first & message) return { opcode: first & 0x1f, type: event, nsp, id }
  const type = first & 0x1f
  return type <= 4 ? { opcode: null, type, nsp, id } : broken(`no packet has the type ${type}`)
}

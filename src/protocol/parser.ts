// The Socket.IO parser of both ends: one packet, one binary frame (or, in the JSON form, one text frame).
//
//   new Server(http, { parser: createParser({ end: 'server' }) })        io(url, { parser: createParser({ end: 'client' }) })
//
// A message arrives as the event [kind, message]: socket.on('submit', (message: Submit) => …). On the server, a message that is one
// but breaks a limit arrives as ['refused', Refused], ready to be sent back; nobody can forge that event, because kinds of messages
// are no names for other events in the namespace "/", and of messages each end reads only those that the other end may send.
// In every other namespace there are no messages, and all of these names are the application's.
// On the client such a message breaks the connection: a server that sends it does not speak this protocol.
//
// Invariant: add() emits one sound packet or throws a ParseError. Socket.IO closes the connection that it came from, and no other.

import type { Listener } from './authors.ts'
import { type Bounds, clientBounds, keyed, serverBounds } from './bounds.ts'
import { Reader, Writer } from './bytes.ts'
import { encodeClientFrame, encodeServerFrame, opcodes, type ReadBody, readClientBody, readServerBody } from './codec.ts'
import { refusal } from './errors.ts'
import { Fault, glimpse, isWellFormed, measure, type Read, type Unreadable } from './fields.ts'
import { readHead, writePacketHead } from './frame.ts'
import { jsonEvent, readClientMessage, readServerMessage } from './json.ts'
import type { ClientMessage, Refused, ServerMessage, Welcome } from './messages.ts'
import { pack, unpack } from './pack.ts'

/** The packet types of Socket.IO 5, less the two that exist only where a packet takes several frames. */
const connect = 0
const disconnect = 1
const event = 2
const ack = 3
const connectError = 4

export interface Packet {
  readonly type: number
  readonly nsp: string
  readonly data?: unknown
  readonly id?: number
}

/** A frame that no peer of ours sends. */
export class ParseError extends Error {
  override readonly name = 'ParseError'
}

export interface ParserOptions {
  /** At which end this parser stands: a server reads the messages of clients and writes those of servers. */
  readonly end: 'server' | 'client'
  /** `json`: text frames as Socket.IO's own parser writes them, without attachments. Default `binary`. */
  readonly form?: 'binary' | 'json'
  /** What is accepted of the other end. Default: `serverBounds` or `clientBounds`. */
  readonly bounds?: Bounds
}

/** What Socket.IO's `parser` option takes, at either end. */
export interface Parser {
  readonly Encoder: new () => Encoder
  readonly Decoder: new () => Decoder
}

export interface Encoder {
  encode(packet: Packet): (Uint8Array | string)[]
}

/** Shaped like the component-emitter of Socket.IO's own decoder, as far as server and client call it. */
export interface Decoder {
  add(frame: unknown): void
  on(event: 'decoded', listener: (packet: Packet) => void): this
  off(event: 'decoded', listener: (packet: Packet) => void): this
  removeListener(event: 'decoded', listener: (packet: Packet) => void): this
  destroy(): void
}

type AnyMessage = ClientMessage | ServerMessage | Welcome

/** Whether an event of this name in this namespace is a message. */
const isKind = (name: unknown, nsp: string): name is AnyMessage['kind'] =>
  nsp === '/' && typeof name === 'string' && Object.hasOwn(opcodes, name)

/** Names that mean something to Socket.IO itself or to an EventEmitter. */
const reserved: ReadonlySet<string> = new Set([
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'error',
  'newListener',
  'removeListener',
])

const fail = (why: string): never => {
  throw new ParseError(why)
}

// ---- packets that are not messages: the same checks in both forms

/** The data of such a packet, held against what Socket.IO does with it: names become events, arguments those of a call. */
const checkData = ({ type, nsp, data, id }: Packet, bounds: Bounds): void => {
  switch (type) {
    case connect:
    case connectError:
      if (data !== undefined && !isObject(data)) fail('the data must be an object')
      if (type === connectError && data === undefined) fail('a connect error says nothing')
      break
    case disconnect:
      if (data !== undefined) fail('disconnect has no data')
      break
    case event:
    case ack: {
      const what = type === event ? 'an event' : 'an acknowledgement'
      if (!Array.isArray(data)) return fail(`the data of ${what} must be an array`)
      if (type === event) checkName(data[0], nsp, bounds)
      else if (id === undefined) fail(`${what} has no number`)
      const args = type === event ? data.length - 1 : data.length
      if (args > bounds.args) fail(`${what} has ${args} arguments, the limit is ${bounds.args}`)
      break
    }
    default:
      fail(`no packet has the type ${type}`)
  }
  if (id !== undefined && type !== event && type !== ack) fail('only events and acknowledgements have numbers')
}

const checkName = (name: unknown, nsp: string, bounds: Bounds): void => {
  if (typeof name !== 'string') return fail(`an event must be named by a string, not ${glimpse(name)}`)
  if (name === '' || name.length > bounds.eventNameBytes) fail(`the name of an event has ${name.length} characters`)
  if (reserved.has(name)) fail(`${name} is a name of Socket.IO's own`)
  if (isKind(name, nsp)) fail(`${name} is the name of a message, and this is none`)
}

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

// ---- messages

/** The event as which a message that was read, or could not be, reaches the listeners. */
const arrival = (read: Read<AnyMessage>, answer: Answer): unknown[] => {
  if (read.ok) return [read.message.kind, read.message]
  return read.broken || answer === null ? fail(read.refusal.detail ?? read.refusal.message) : ['refused', answer(read)]
}

/** What a message that could not be read is answered with; null: by breaking the connection. */
type Answer = ((read: Unreadable) => Refused) | null

/** A server's answer. */
export const refusedOf = ({ doc, handle, seq, refusal }: Unreadable): Refused => ({ kind: 'refused', doc, handle, seq, refusal })

/** The message that an outgoing event carries; null for an application's own event. */
const messageIn = ({ type, nsp, data }: Packet, end: ParserOptions['end']): AnyMessage | null => {
  if (type !== event || !Array.isArray(data) || !isKind(data[0], nsp)) return null
  const [kind, message] = data
  const mine = opcodes[kind] < 16 ? 'client' : 'server'
  if (mine !== end) throw new TypeError(`a ${end} does not send the message ${kind}`)
  if (data.length !== 2 || !isObject(message) || message.kind !== kind)
    throw new TypeError(`the event ${kind} must carry one message of this kind`)
  return message as AnyMessage
}

// ---- the two forms

interface Form {
  write(packet: Packet): Uint8Array | string
  /** `listener`: who reads on this line. */
  read(frame: unknown, listener: Listener): Packet
}

const packet = (type: number, nsp: string, data: unknown, id: number | undefined): Packet => ({
  type,
  nsp,
  ...(data === undefined ? {} : { data }),
  ...(id === undefined ? {} : { id }),
})

/** What is written and read in the binary form at one end. Apart, so that a page does not load what only servers read and write. */
interface BinaryEnd {
  readonly end: ParserOptions['end']
  readonly encode: (message: never, id?: number) => Uint8Array
  readonly readBody: ReadBody<AnyMessage>
  readonly answer: Answer
}

const serverEnd: BinaryEnd = {
  end: 'server',
  encode: encodeServerFrame,
  readBody: readClientBody,
  answer: refusedOf,
}
const clientEnd: BinaryEnd = {
  end: 'client',
  encode: encodeClientFrame,
  readBody: readServerBody,
  answer: null,
}

const writer = new Writer()

const binaryForm = ({ end, encode, readBody, answer }: BinaryEnd, bounds: Bounds): Form => {
  return {
    write(given) {
      const message = messageIn(given, end)
      if (message) return encode(message as never, given.id) // messageIn lets only those through that this end sends
      const data = outgoing(given)
      writer.begin()
      writePacketHead(writer, given.type, given.nsp, given.id)
      if (data !== undefined) {
        measure(data, clientBounds, 'an event', true)
        pack(writer, data)
      }
      return writer.end()
    },

    read(frame, listener) {
      const bytes = bytesOf(frame)
      const r = new Reader(bytes)
      const { opcode, type, nsp, id } = readHead(r, bounds)
      if (opcode !== null) return packet(event, nsp, arrival(readBody(r, opcode, bounds, listener), answer), id)
      if (r.end > bounds.messageBytes) fail(`a frame has ${r.end} bytes, the limit is ${bounds.messageBytes}`)
      const data = r.left === 0 ? undefined : unpack(bytes, r.at, r.end, bounds, 'a packet', true).value
      const read = packet(type, nsp, data, id)
      checkData(read, bounds)
      return read
    },
  }
}

const bytesOf = (frame: unknown): Uint8Array => {
  if (frame instanceof Uint8Array) return frame
  if (frame instanceof ArrayBuffer) return new Uint8Array(frame)
  return fail(`a frame must be binary, not ${glimpse(frame)}`)
}

/** The data of a packet as it can be written: an argument that is undefined becomes null, as in JSON. */
const outgoing = ({ type, data }: Packet): unknown => {
  if (type === event || type === ack) return (data as unknown[]).map(argument => (argument === undefined ? null : argument))
  return data ?? undefined
}

/** Text frames: type, namespace and comma unless it is "/", number, JSON. */
const jsonForm = (end: ParserOptions['end'], bounds: Bounds): Form => {
  const readMessage = end === 'server' ? readClientMessage : readServerMessage
  const answer = end === 'server' ? refusedOf : null

  return {
    write(given) {
      const message = messageIn(given, end)
      const data = message ? jsonEvent(message) : outgoing(given)
      if (data !== undefined && !message) measure(data, clientBounds, 'an event')
      const nsp = given.nsp === '/' ? '' : `${given.nsp},`
      return `${given.type}${nsp}${given.id ?? ''}${data === undefined ? '' : JSON.stringify(data)}`
    },

    read(frame) {
      if (typeof frame !== 'string') return fail('a frame must be text')
      const head = textHead.exec(frame)
      if (!head) return fail('a frame does not begin as a packet does')
      const [whole, type, namespace, number] = head
      const nsp = namespace ?? '/'
      if (nsp.length > bounds.namespaceBytes || !isWellFormed(nsp)) fail('a namespace is too long or has a lone surrogate')
      const id = number === '' ? undefined : Number(number)
      const data = whole.length === frame.length ? undefined : parseJson(frame.slice(whole.length), bounds)
      if (Number(type) === event && Array.isArray(data) && isKind(data[0], nsp)) {
        if (data.length !== 2) fail(`the event ${data[0]} must carry one message`)
        const message = readMessage(data[0], data[1], bounds)
        return packet(
          event,
          nsp,
          arrival(frame.length > bounds.messageBytes ? tooLarge(message, frame, bounds) : message, answer),
          id,
        )
      }
      if (frame.length > bounds.messageBytes) fail(`a frame has ${frame.length} characters, the limit is ${bounds.messageBytes}`)
      const read = packet(Number(type), nsp, data, id)
      checkData(read, bounds)
      if (data !== undefined) measure(data, bounds, 'a packet')
      return read
    },
  }
}

/** A text must be parsed to know what it is about; the transport has bounded it before. */
const tooLarge = (read: Read<AnyMessage>, text: string, bounds: Bounds): Unreadable => ({
  ok: false,
  refusal: refusal('message-too-large', `the message has ${text.length} characters, the limit is ${bounds.messageBytes}`),
  broken: !read.ok && read.broken,
  ...(read.ok ? aboutOf(read.message) : { doc: read.doc, handle: read.handle, seq: read.seq }),
})

const aboutOf = (message: AnyMessage) => ({
  doc: 'doc' in message ? message.doc : null,
  handle: 'handle' in message ? message.handle : null,
  seq: 'seq' in message ? message.seq : null,
})

const textHead = /^([0-4])(?:(\/[^,]*)(?:,|$))?(\d{0,15})/

const parseJson = (text: string, { values, opComponents }: Bounds): unknown => {
  // JSON.parse itself takes any number of values: a megabyte of brackets costs it a tenth of a second, before anybody could refuse it.
  // A value has a comma, or a key and a colon, or opens something, so no frame within the bounds has more of these, a colon counting as
  // much as a key does.
  if (hasMore(text, 2 * Math.max(values, opComponents) + 256)) return fail(`a frame has more than ${values} values`)
  try {
    return JSON.parse(text)
  } catch {
    // The one thing that it throws for.
    return fail('a frame is not JSON')
  }
}

/** Whether a JSON text has more than so many signs between its values. */
const hasMore = (text: string, most: number): boolean => {
  if (keyed * text.length <= most) return false
  let count = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const sign = text.charCodeAt(i)
    if (sign === 0x22) quoted = !quoted
    else if (quoted) {
      if (sign === 0x5c) i++
    } else if (sign === 0x3a) {
      if ((count += keyed) > most) return true
    } else if (sign === 0x2c || sign === 0x5b || sign === 0x7b) {
      if (++count > most) return true
    }
  }
  return false
}

/** Makes the parser of one end. */
export const createParser = ({
  end,
  form = 'binary',
  bounds = end === 'server' ? serverBounds : clientBounds,
}: ParserOptions): Parser =>
  parserOf(form === 'json' ? jsonForm(end, bounds) : binaryForm(end === 'server' ? serverEnd : clientEnd, bounds))

/** The parser of a client in the binary form, and nothing more than that. */
export const clientParser = (): Parser => parserOf(binaryForm(clientEnd, clientBounds))

const parserOf = ({ write, read }: Form): Parser => {
  return {
    // Encoder and Decoder are constructed by Socket.IO, one encoder a server and one decoder a connection.
    Encoder: class {
      /** @throws what is wrong with the packet: a bug of whoever emitted it */
      encode(given: Packet): (Uint8Array | string)[] {
        return [write(given)]
      }
    },

    Decoder: class implements Listener {
      heard?: NonNullable<Listener['heard']>
      private listener: ((packet: Packet) => void) | null = null // Socket.IO has one, at either end

      /** @throws {ParseError} */
      add(frame: unknown): void {
        let decoded: Packet
        try {
          decoded = read(frame, this)
        } catch (error) {
          if (error instanceof Fault) return fail(error.refusal.detail ?? error.message)
          throw error
        }
        this.listener?.(decoded)
      }

      on(_: 'decoded', listener: (packet: Packet) => void): this {
        this.listener = listener
        return this
      }

      off(_: 'decoded', listener: (packet: Packet) => void): this {
        if (this.listener === listener) this.listener = null
        return this
      }

      removeListener(name: 'decoded', listener: (packet: Packet) => void): this {
        return this.off(name, listener)
      }

      /** Nothing waits here for a second frame: there is nothing to let go of. */
      destroy(): void {}
    },
  }
}

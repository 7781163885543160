// Inkwell's own protocol, as a client speaks it that keeps no text: the binary form, one submission in flight, the rest composed.
// Invariant: a submission keeps its number until it is in the history or the client gives up, over however many lines.

import { randomBytes } from 'node:crypto'
import type { Json } from '../ot/type.ts'
import type { Listener } from '../protocol/authors.ts'
import { clientBounds } from '../protocol/bounds.ts'
import { decodeServerMessage, encodeClientFrame, opcodes } from '../protocol/codec.ts'
import type { Refusal } from '../protocol/errors.ts'
import type { ClientKey, DocId, Epoch, Handle, PositionInEpoch } from '../protocol/ids.ts'
import type { ClientMessage, Hello, Join, Joined, Refused, WireCommit } from '../protocol/messages.ts'
import { clientParser, type Packet } from '../protocol/parser.ts'
import { lettersFrom, missing } from './schedule.ts'
import type { Ear, Ledger, Seat, Talk, Tongue, Wire } from './tongue.ts'

export const inkwell: Tongue = {
  pathOf: () => '/socket.io/?EIO=4&transport=websocket',
  talk: (seat, wire, ear, ledger) => new InkwellTalk(seat, wire, ear, ledger),
}

const { Encoder, Decoder } = clientParser()
const encoder = new Encoder()

/** Put into a document that is empty, so that writers have places of their own; no writer types these. */
const filling = '. '

class InkwellTalk implements Talk {
  private readonly seat: Seat
  private readonly wire: Wire
  private readonly ear: Ear
  private readonly ledger: Ledger
  private readonly key = randomBytes(16).toString('base64url') as ClientKey
  private author = ''
  private handle: Handle | null = null
  private epoch = '' as Epoch
  private position: PositionInEpoch | null = null
  private told: Listener = {}
  private seq = 0
  /** Characters typed; of them, those that have been submitted, and those of which it is known that they are in. */
  private typed = 0
  private submitted = 0
  private landed = 0
  private inFlight: { readonly seq: number; readonly op: Json } | null = null
  /** Milliseconds between two edits, and whether the pause after one is still on. */
  private pace = 0
  private resting = false
  /** As many write as the server takes: what was refused goes when there is room. */
  private full = false
  private seeded = false
  private known = false
  sends = 0

  constructor(seat: Seat, wire: Wire, ear: Ear, ledger: Ledger) {
    this.seat = seat
    this.wire = wire
    this.ear = ear
    this.ledger = ledger
  }

  get pending(): number {
    return this.typed - this.landed
  }

  opened(): void {
    this.handle = null
    this.told = {}
  }

  type(): void {
    this.typed++
    this.submit()
  }

  heard(bytes: Buffer, text: boolean): void {
    if (text) return this.transport(bytes)
    const first = bytes[0]!
    if (first === (0x80 | opcodes.commits)) return this.commits(bytes)
    if (first < 0x80) return this.packet(bytes)
    const kind = first & 0x1f
    if (kind === opcodes.presence || kind === opcodes.durable || kind === opcodes.beat || kind === opcodes.alive) return
    const read = decodeServerMessage(bytes, clientBounds, this.told)
    if (!read.ok) return this.ear.failed(`not understood: ${read.refusal.detail}`)
    const { message } = read
    switch (message.kind) {
      case 'welcome':
        this.author = message.author
        return // it has asked to join with its hello, as a client does
      case 'joined':
        return this.joined(message)
      case 'refused':
        return this.refused(message)
      case 'left':
        this.handle = null
        this.ear.fault(`left: ${message.refusal.code}`)
        return message.refusal.advice === 'rejoin' ? this.join() : this.ear.failed(message.refusal.code)
      case 'right':
        this.pace = message.pace
        if (message.right !== 'write') return this.ear.fault(`right: ${message.right}`)
        if (this.full) this.resend()
        this.full = false
        return
      default:
        return
    }
  }

  /** Engine.IO's own: 0 opens a line, 2 is a ping. */
  private transport(bytes: Buffer): void {
    const type = bytes[0]
    if (type === 0x32) this.wire.send('3')
    if (type !== 0x30) return
    const { token } = this.seat
    const { kind: _, ...join } = this.asking
    const hello: Hello = { protocol: [1, 1], key: this.key, ...(token === null ? {} : { token }), joins: [join] }
    this.wire.send(encoder.encode({ type: 0, nsp: '/', data: hello })[0]!)
  }

  /** Socket.IO's own: the answer to CONNECT, or a refusal. */
  private packet(bytes: Buffer): void {
    new Decoder()
      .on('decoded', ({ type, data }: Packet) => {
        if (type !== 4) return
        const { data: refusal } = data as { readonly data?: Partial<Refusal> }
        const code = refusal?.code ?? 'connect_error'
        this.ear.fault(code)
        if (refusal?.advice === 'retry' || refusal?.advice === 'slow-down') this.wire.again(refusal.after ?? 1_000)
        else this.ear.failed(code)
      })
      .add(bytes)
  }

  private say(message: ClientMessage): void {
    this.wire.send(encodeClientFrame(message))
  }

  private join(): void {
    this.say(this.asking)
  }

  private get asking(): Join {
    const { epoch, position } = this
    return { kind: 'join', doc: this.seat.document as DocId, type: 'text', position: position && { epoch, ...position } }
  }

  private joined({ handle, content, right }: Joined): void {
    this.handle = handle
    this.pace = 0
    this.full = right === 'full'
    if (this.seat.writes && right === 'read') return this.ear.failed('right: read')
    const { inFlight, position: before } = this
    const { epoch, ...position } = content.position
    this.epoch = epoch
    this.position = position
    if (content.kind !== 'commits' && before !== null) this.skipped(before.version, content.position.version)
    if (content.kind === 'snapshot') {
      const { landed, value } = content
      if (inFlight !== null && landed !== null && landed.seq >= inFlight.seq) this.confirm()
      const empty = typeof value === 'string' && value === ''
      if (this.seat.seed > 0 && empty && !this.seeded) return this.seed()
      if (typeof value === 'string' && value.length < this.seat.place)
        return this.ear.failed('the document is shorter than the places in it')
    } else if (content.kind === 'commits') {
      this.note(content.from, content.commits, position)
      this.take(content.from, content.position.version)
    } else if (content.units.some(({ seq }) => seq !== null && seq === inFlight?.seq)) this.confirm()
    if (this.inFlight !== null) this.resend()
    this.ready()
  }

  private ready(): void {
    if (!this.known) this.ear.joined(this.author)
    this.known = true
    this.submit()
  }

  private seed(): void {
    this.seeded = true
    const text = filling.repeat(Math.ceil(this.seat.seed / filling.length)).slice(0, this.seat.seed)
    this.inFlight = { seq: ++this.seq, op: [text] }
    this.resend()
  }

  /** What has been typed since goes as one edit, as soon as the one before is in. */
  private submit(): void {
    const count = this.typed - this.submitted
    if (this.inFlight !== null || this.handle === null || count === 0 || this.resting) return
    const at = this.seat.place + this.submitted // behind what it has typed, as far as it knows: others move it by a little
    const text = lettersFrom(this.submitted, count)
    this.submitted = this.typed
    this.inFlight = { seq: ++this.seq, op: at === 0 ? [text] : [at, text] }
    if (this.pace > 0) this.rest()
    this.resend()
  }

  private rest(): void {
    this.resting = true
    setTimeout(() => {
      this.resting = false
      this.submit()
    }, this.pace)
  }

  private readonly resend = (): void => {
    if (this.inFlight === null || this.handle === null || this.position === null) return
    const { seq, op } = this.inFlight
    this.sends++
    this.say({ kind: 'submit', handle: this.handle, seq, position: this.position, op })
  }

  private confirm(): void {
    this.inFlight = null
    this.landed = this.submitted
    this.ear.confirmed(this.landed)
  }

  private refused({ refusal: { code, advice, after, detail }, doc, seq }: Refused): void {
    this.ear.fault(code)
    if (code === 'too-many-writers') this.full = true
    if (code === 'draining') return this.wire.again(after ?? 1_000)
    if (seq !== null && seq !== this.inFlight?.seq) return // of an older sending
    if (seq === null && doc === null && (advice === 'slow-down' || advice === 'retry')) return // a word of warning: it was taken
    switch (advice) {
      case 'retry':
      case 'slow-down':
        setTimeout(this.handle === null ? () => this.join() : this.resend, after ?? 250)
        return
      case 'rejoin':
        if (this.handle !== null) this.say({ kind: 'leave', handle: this.handle })
        this.handle = null
        return this.join()
      default:
        return this.ear.failed(detail === undefined ? code : `${code}: ${detail}`)
    }
  }

  private commits(bytes: Buffer): void {
    if (this.handle === null) return // of the stay before; what is in it comes with `joined`
    // The head only: what these commits are has mostly been read for another client of the document.
    at = 1
    varint(bytes)
    const from = varint(bytes)
    const count = varint(bytes)
    const to = from + (count >> 2)
    const position = this.ledger.note(to)
    let whole = position !== undefined && count % 2 === 0 // otherwise it tells of authors, whom this line will name by numbers
    for (let version = from + 1; whole && version < to; version++) whole = this.ledger.has(version)
    if (whole) {
      this.position = position as PositionInEpoch
      return this.take(from, to)
    }
    const read = decodeServerMessage(bytes, clientBounds, this.told)
    if (!read.ok || read.message.kind !== 'commits') return this.ear.failed('commits not understood')
    const { message } = read
    this.note(message.from, message.commits, message.position)
    this.position = message.position
    this.take(from, to)
  }

  /** Writes down what the commits are, for all clients of the document here. */
  private note(from: number, commits: readonly WireCommit[], position: PositionInEpoch): void {
    for (const [i, { author, op }] of commits.entries()) {
      const version = from + 1 + i
      if (this.ledger.has(version)) continue
      const writer = this.ear.whose(author)
      const text = (op as readonly unknown[]).find(part => typeof part === 'string') as string | undefined
      if (writer < 0 || text === undefined || text.startsWith(filling[0]!)) {
        this.ledger.write(version, -1, 0, 0) // not typed in this run
        continue
      }
      const first = this.ledger.nextOf(writer)
      const gap = missing(first, text[0]!)
      if (gap > 0) this.ear.fault('characters missing')
      this.ledger.write(version, writer, first + gap, text.length)
    }
    this.ledger.annotate(position.version, position)
  }

  /** What has come in a snapshot, or composed: as far as others here have heard of each commit. */
  private skipped(from: number, to: number): void {
    for (let version = from + 1; version <= to; version++) {
      const writer = this.ledger.has(version) ? this.ledger.writer(version) : -1
      if (writer >= 0) this.ear.arrived(writer, this.ledger.first(version), this.ledger.count(version))
    }
  }

  private take(from: number, to: number): void {
    for (let version = from + 1; version <= to; version++) {
      const writer = this.ledger.writer(version)
      if (writer >= 0) this.ear.arrived(writer, this.ledger.first(version), this.ledger.count(version))
      if (writer !== this.seat.index || this.inFlight === null) continue
      this.confirm()
      this.submit()
    }
    if (this.seeded && !this.known && to > 0) {
      this.inFlight = null // nobody is known by name yet, and the document was empty: it is what this client has put in
      this.ready()
    }
  }
}

let at = 0 // where `varint` reads; whoever reads a frame reads it to the end before another begins

const varint = (bytes: Buffer): number => {
  let value = 0
  let scale = 1
  for (;;) {
    const byte = bytes[at++]!
    value += (byte & 127) * scale
    if (byte < 128) return value
    scale *= 128
  }
}

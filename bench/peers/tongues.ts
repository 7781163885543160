// The peers' languages, as clients speak them that keep no text: hand-made, so that no peer's own client is measured in place of its server.
// Invariant: every peer types one character at a time, as its own client would, and one that composes composes.

import { lettersFrom } from '../../src/load/schedule.ts'
import type { Ear, Ledger, Seat, Talk, Tongue, Wire } from '../../src/load/tongue.ts'
import { clientBounds } from '../../src/protocol/bounds.ts'
import { Writer } from '../../src/protocol/bytes.ts'
import { pack, unpack } from '../../src/protocol/pack.ts'

// ---- without a document: floors, not competitors

/** A talk in which the k-th character goes at once, named by who types it and k. */
abstract class Plain implements Talk {
  protected readonly seat: Seat
  protected readonly wire: Wire
  protected readonly ear: Ear
  protected typed = 0
  protected landed = 0

  constructor(seat: Seat, wire: Wire, ear: Ear) {
    this.seat = seat
    this.wire = wire
    this.ear = ear
  }

  get pending(): number {
    return this.typed - this.landed
  }

  get sends(): number {
    return this.typed
  }

  protected confirm(): void {
    this.ear.confirmed(++this.landed)
  }

  opened(): void {}
  abstract type(): void
  abstract heard(bytes: Buffer, text: boolean): void
}

class WsTalk extends Plain {
  type(): void {
    this.wire.send(`[${this.seat.index},${this.typed},"${lettersFrom(this.typed, 1)}"]`)
    this.typed++
  }

  heard(bytes: Buffer): void {
    const said = bytes.toString('latin1')
    if (said === 'ready') return this.ear.joined(String(this.seat.index))
    const [writer, k] = JSON.parse(said) as [number, number]
    if (writer === this.seat.index) this.confirm()
    else this.ear.arrived(writer, k, 1)
  }
}

/** What Socket.IO's packets are in one of its parsers. */
interface Packets {
  write(type: number, data: unknown, id?: number): string | Uint8Array
  read(bytes: Buffer, text: boolean): { readonly type: number; readonly data?: unknown; readonly id?: number } | null
}

const inJson: Packets = {
  write: (type, data, id) => `4${type}${id ?? ''}${data === undefined ? '' : JSON.stringify(data)}`,
  read: bytes => {
    const said = bytes.toString('utf8')
    const [head, type, id] = /^4(\d)(\d*)/.exec(said) ?? []
    if (head === undefined) return null
    const rest = said.slice(head.length)
    return { type: Number(type), ...(id === '' ? {} : { id: Number(id) }), ...(rest === '' ? {} : { data: JSON.parse(rest) }) }
  },
}

const writer = new Writer()
const inMessagePack: Packets = {
  write: (type, data, id) => {
    writer.begin()
    pack(writer, { type, nsp: '/', ...(data === undefined ? {} : { data }), ...(id === undefined ? {} : { id }) })
    return writer.end()
  },
  read: (given, text) => {
    if (text) return null
    let bytes = given
    for (let i = bytes.indexOf(notThere); i >= 0; i = bytes.indexOf(notThere))
      bytes = Buffer.concat([bytes.subarray(0, i), nil, bytes.subarray(i + notThere.length)])
    return unpack(bytes, 0, bytes.length, clientBounds, 'a packet').value as { type: number; data?: unknown; id?: number }
  },
}

/** How its writer spells what is undefined: an extension type, which ours do not read. Nothing else in what is said here is so. */
const notThere = Buffer.from([0xd4, 0, 0])
const nil = Buffer.from([0xc0])

class SocketIoTalk extends Plain {
  private readonly packets: Packets
  constructor(seat: Seat, wire: Wire, ear: Ear, packets: Packets) {
    super(seat, wire, ear)
    this.packets = packets
  }

  type(): void {
    const { index, document } = this.seat
    this.wire.send(this.packets.write(2, ['edit', document, index, this.typed, lettersFrom(this.typed, 1)], this.typed + 1))
    this.typed++
  }

  heard(bytes: Buffer, text: boolean): void {
    if (text && bytes[0] === 0x32) return this.wire.send('3')
    if (text && bytes[0] === 0x30) return this.wire.send(this.packets.write(0, undefined))
    const packet = this.packets.read(bytes, text)
    if (packet === null) return
    if (packet.type === 0) this.wire.send(this.packets.write(2, ['join', this.seat.document], 0))
    else if (packet.type === 3) {
      if (packet.id === 0) this.ear.joined(String(this.seat.index))
      else this.confirm()
    } else if (packet.type === 2) {
      const [, who, k] = packet.data as [string, number, number]
      this.ear.arrived(who, k, 1)
    }
  }
}

// ---- ShareDB: as its own client, one op in flight and the rest composed

class ShareDbTalk implements Talk {
  private readonly seat: Seat
  private readonly wire: Wire
  private readonly ear: Ear
  private readonly ledger: Ledger
  private version = 0
  private seq = 1
  private src = ''
  private typed = 0
  private submitted = 0
  private landed = 0
  private busy = true
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
    this.say({ a: 'hs', id: null, protocol: 1, protocolMinor: 1 })
  }

  type(): void {
    this.typed++
    this.submit()
  }

  private say(message: object): void {
    this.wire.send(JSON.stringify(message))
  }

  private op(content: object): void {
    this.busy = true
    this.say({ a: 'op', c: 'load', d: this.seat.document, v: this.version, seq: this.seq++, x: {}, ...content })
  }

  private submit(): void {
    const count = this.typed - this.submitted
    if (this.busy || count === 0) return
    const at = this.seat.place + this.submitted
    const text = lettersFrom(this.submitted, count)
    this.submitted = this.typed
    this.sends++
    this.op({ op: at === 0 ? [text] : [at, text] })
  }

  heard(bytes: Buffer): void {
    const message = JSON.parse(bytes.toString('utf8')) as Said
    if (message.error !== undefined) return this.ear.failed(String(message.error.code))
    if (message.a === 'hs') {
      this.src = message.id!
      return this.say({ a: 's', c: 'load', d: this.seat.document, v: null })
    }
    if (message.a === 's') {
      this.version = message.data!.v
      if (this.version > 0 || this.seat.seed === 0) return this.ready()
      const data = '. '.repeat(Math.ceil(this.seat.seed / 2)).slice(0, this.seat.seed)
      return this.op({ create: { type: 'http://sharejs.org/types/text-unicode', data } })
    }
    if (message.a !== 'op' || message.v === undefined || message.v < this.version) return // it tells some ops twice
    this.version = message.v + 1
    if (message.src === this.src) {
      if (this.seq === 2 && this.landed === 0 && this.submitted === 0) return this.ready()
      this.landed = this.submitted
      this.ear.confirmed(this.landed)
      this.busy = false
      return this.submit()
    }
    const text = message.op?.find(part => typeof part === 'string') as string | undefined
    if (text === undefined) return
    if (!this.ledger.has(this.version)) {
      const who = this.ear.whose(message.src!)
      this.ledger.write(this.version, who, this.ledger.nextOf(who), text.length)
    }
    const who = this.ledger.writer(this.version)
    if (who >= 0) this.ear.arrived(who, this.ledger.first(this.version), this.ledger.count(this.version))
  }

  private ready(): void {
    this.busy = false
    this.ear.joined(this.src)
  }
}

interface Said {
  readonly a: string
  readonly id?: string
  readonly v?: number
  readonly src?: string
  readonly op?: readonly unknown[]
  readonly data?: { readonly v: number }
  readonly error?: { readonly code: string }
}

// ---- Yjs: each character an item behind the writer's last one, by hand

const varints = (...numbers: readonly number[]): number[] =>
  numbers.flatMap(number => {
    const bytes: number[] = []
    let rest = number
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
    return [...bytes, rest]
  })

const text = (word: string): number[] => [...varints(Buffer.byteLength(word)), ...Buffer.from(word)]

const firstClient = 1_000 // client ids, from here on; real ones are four bytes long
const idOf = (seat: number): number => firstClient * 1_000_000 + seat

/** One character of one client as an update of Yjs. */
const updateOf = (client: number, clock: number, letter: string): number[] => {
  const origin = clock === 0 ? [4, 1, ...text('text')] : [4 | 0x80, ...varints(client, clock - 1)]
  return [1, 1, ...varints(client, clock), ...origin, ...text(letter), 0]
}

class YjsTalk extends Plain {
  private readonly name: readonly number[]
  private readonly token: readonly number[] | null
  private here = false

  /** `named`: every message begins with the document's name, and the first one brings a token. */
  constructor(seat: Seat, wire: Wire, ear: Ear, named: boolean) {
    super(seat, wire, ear)
    this.name = named ? text(seat.document) : []
    this.token = named ? text(seat.token ?? 'nobody') : null
  }

  override opened(): void {
    if (this.token === null) this.sync()
    else this.say([2, 0, ...this.token])
  }

  type(): void {
    const update = updateOf(idOf(this.seat.index), this.typed, lettersFrom(this.typed, 1))
    this.typed++
    this.say([0, 2, ...varints(update.length), ...update])
  }

  private say(bytes: readonly number[]): void {
    this.wire.send(Uint8Array.from([...this.name, ...bytes]))
  }

  private sync(): void {
    this.say([0, 0, 1, 0])
  }

  heard(bytes: Buffer): void {
    at = this.name.length
    const kind = read(bytes)
    if (kind === 2 && this.token !== null) return read(bytes) === 2 ? this.sync() : this.ear.failed('permission denied')
    if (kind !== 0 && kind !== 4) return
    const step = read(bytes)
    if (step === 0) return
    if (step === 1 && !this.here) {
      this.here = true
      return this.ear.joined(String(idOf(this.seat.index)))
    }
    read(bytes)
    for (let clients = read(bytes); clients > 0; clients--) this.structs(bytes)
  }

  private structs(bytes: Buffer): void {
    let count = read(bytes)
    const client = read(bytes)
    let clock = read(bytes)
    for (; count > 0; count--) {
      const info = bytes[at++]!
      if ((info & 31) !== 4) return this.ear.failed(`a struct of kind ${info & 31}`)
      if (info & 0x80) for (let i = 0; i < 2; i++) read(bytes)
      if (info & 0x40) for (let i = 0; i < 2; i++) read(bytes)
      if ((info & 0xc0) === 0) {
        read(bytes)
        const name = read(bytes)
        at += name
      }
      const length = read(bytes)
      at += length
      const writer = client - idOf(0)
      if (writer === this.seat.index) {
        this.landed = clock + length
        this.ear.confirmed(this.landed)
      } else this.ear.arrived(writer, clock, length)
      clock += length
    }
  }
}

let at = 0

const read = (bytes: Buffer): number => {
  let value = 0
  let scale = 1
  for (;;) {
    const byte = bytes[at++]!
    value += (byte & 127) * scale
    if (byte < 128) return value
    scale *= 128
  }
}

export const tongues: Readonly<Record<string, Tongue>> = {
  ws: { pathOf: ({ document }) => `/${document}`, talk: (seat, wire, ear) => new WsTalk(seat, wire, ear) },
  socketio: {
    pathOf: () => '/socket.io/?EIO=4&transport=websocket',
    talk: (seat, wire, ear) => new SocketIoTalk(seat, wire, ear, inJson),
  },
  'socketio-msgpack': {
    pathOf: () => '/socket.io/?EIO=4&transport=websocket',
    talk: (seat, wire, ear) => new SocketIoTalk(seat, wire, ear, inMessagePack),
  },
  sharedb: { pathOf: () => '/', talk: (seat, wire, ear, ledger) => new ShareDbTalk(seat, wire, ear, ledger) },
  hocuspocus: { pathOf: () => '/', talk: (seat, wire, ear) => new YjsTalk(seat, wire, ear, true) },
  'y-websocket': { pathOf: ({ document }) => `/${document}`, talk: (seat, wire, ear) => new YjsTalk(seat, wire, ear, false) },
}

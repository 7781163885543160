// Somebody who writes in some documents through the real client, with a hand of his own.
// Invariant: whatever he is told (changes, drafts, errors, what is durable) is held against what he did.

import { systemClock } from '../../src/client/clock.ts'
import {
  type Client,
  type ClientKey,
  connect,
  type DocumentStatus,
  type TextDocument,
  type Transport,
} from '../../src/client/index.ts'
import { lastingLine } from '../../src/client/line.ts'
import { socketIo } from '../../src/client/socketio.ts'
import { surroundings } from '../../src/client/surroundings.ts'
import type { Text } from '../../src/ot/rope.ts'
import type { Chance } from '../../src/testing/index.ts'
import type { Alphabet, Ledger } from './ledger.ts'
import type { Faults } from './log-book.ts'

export interface Desk {
  readonly alphabet: Alphabet
  readonly ledgers: ReadonlyMap<string, Ledger>
  readonly faults: Faults
  /** Redis loses nothing that it has answered: then nothing need be handed back either. */
  readonly lossless: boolean
  count(what: string): void
}

/** What may be said to a client while nodes, Redis and lines come and go. Anything else is a mistake of somebody. */
const expected = new Set([
  'draining',
  'unreachable',
  'unavailable',
  'unknown-position',
  'history-gone',
  'not-joined',
  'bad-seq',
  'too-many-waiting',
])

const filling = 'z'

/** One document open in one writer's hands. */
export class Pen {
  readonly doc: TextDocument
  readonly #desk: Desk
  readonly #ledger: Ledger
  /** The text as the change events have made it. */
  #view: Text
  /** Typed here, and not reported durable yet. */
  readonly #open = new Set<string>()
  /** Author and number of the edit in which a character first went out. */
  readonly #numbers = new Map<string, string>()
  #asking = false

  constructor(writer: Writer, doc: TextDocument, desk: Desk) {
    this.doc = doc
    this.#desk = desk
    this.#ledger = desk.ledgers.get(doc.id)!
    this.#view = doc.snapshot
    doc.on('change', ({ op, origin }) => {
      if (origin === 'local' || origin === 'undo' || origin === 'redo') {
        const { typed, taken } = this.#ledger.change(writer.name, this.#view, op)
        for (const char of typed) this.#open.add(char)
        for (const char of taken) this.#open.delete(char) // whether it ever reaches the log nobody promises
      } else desk.count(`change ${origin}`)
      this.#view = this.#view.apply(op)
    })
    doc.on('draft', ({ cause, text }) => {
      desk.count(`draft ${cause}`)
      if (cause === 'unsent' || desk.lossless) desk.faults.push(`${writer.name} is handed back a draft of ${doc.id}: ${cause}`)
      this.#ledger.draft(text)
      for (const char of text) this.#open.delete(char)
    })
    doc.on('error', error => writer.told(error, doc.id))
  }

  get status(): DocumentStatus {
    return this.doc.status
  }

  /** What the change events have made of the text. */
  get seen(): string {
    return this.#view.toString()
  }

  edit(chance: Chance): void {
    const { doc } = this
    const { length } = doc
    const at = chance.int(length + 1)
    const kind = chance.int(20)
    if (kind < 5 && length > 0) this.#replace(at, at + 1 + chance.int(length > 1_500 ? 24 : 4), '')
    else if (kind < 7) this.#replace(at, at + 1 + chance.int(4), this.#desk.alphabet.fresh(1 + chance.int(4)))
    else if (kind === 7) doc.undo()
    else if (kind === 8) doc.redo()
    else this.#replace(at, at, this.#desk.alphabet.fresh(1 + chance.int(4)))
    this.#ask()
  }

  #replace(from: number, to: number, text: string): void {
    this.doc.replace(from, Math.min(to, this.doc.length), text)
  }

  /** A paste of so many units, which `clean` takes out again. */
  paste(chance: Chance, units: number): void {
    this.doc.insert(chance.int(this.doc.length + 1), filling.repeat(units), { undo: 'never' })
  }

  clean(): void {
    for (;;) {
      const { text } = this.doc
      const from = text.indexOf(filling.repeat(4))
      if (from < 0) return
      let to = from
      while (text[to] === filling) to++
      this.doc.delete(from, to, { undo: 'never' })
    }
  }

  /** Its edit number `seq` goes out, maybe not for the first time. */
  sends(seq: number, op: unknown): void {
    const inserted = (op as readonly unknown[]).filter(part => typeof part === 'string').join('')
    for (const char of inserted) if (!this.#numbers.has(char)) this.#numbers.set(char, `${this.doc.author} ${seq}`)
  }

  #keep(chars: readonly string[]): void {
    this.#ledger.promise(new Map(chars.map(char => [char, this.#numbers.get(char) ?? 'no number'])))
  }

  /** One question at a time whether all so far is durable. */
  #ask(): void {
    if (this.#asking) return
    this.#asking = true
    const asked = [...this.#open]
    const over = (): void => void (this.#asking = false)
    this.doc.settled('durable').then(() => {
      const kept = asked.filter(char => this.#open.delete(char))
      this.#keep(kept)
      over()
    }, over) // handed back as a draft, or closed
  }

  /** Leaves once everything is durable: what nobody holds any more may be lost with Redis' tail. */
  async leave(): Promise<void> {
    while (this.doc.status !== 'closed') {
      const durable = await this.doc.settled('durable').then(
        () => true,
        () => false, // something came back as a draft; the rest goes on
      )
      if (durable) break
    }
    this.#keep([...this.#open])
    await this.doc.close()
  }
}

export class Writer {
  readonly name: string
  readonly client: Client
  readonly pens = new Map<string, Pen>()
  /** Also those that he is putting down. */
  readonly #lastPens = new Map<string, Pen>()
  /** Away: the line is cut until he comes back. */
  away = false
  /** Lines that were up. */
  lines = 0
  readonly #desk: Desk

  constructor(name: string, url: string, desk: Desk, random: () => number = Math.random) {
    this.name = name
    this.#desk = desk
    this.client = connect(url, { transport: this.#overheard(url, random) })
    this.client.on('error', error => this.told(error, 'the line'))
    this.client.on('status', status => {
      if (status === 'online') this.lines++
      if (status === 'closed' && !this.#leaving) desk.faults.push(`${name}: the line is closed for good`)
    })
  }

  #leaving = false

  /** The client's own line, on which it is noted under which number each character goes out first. */
  #overheard(url: string, random: () => number): Transport {
    const key = crypto.randomUUID().replaceAll('-', '').slice(0, 22) as ClientKey
    const hello = async () => ({ protocol: [1, 1] as const, key })
    const dial = socketIo({ url, hello, joins: () => [], transports: ['websocket'], path: '/socket.io/', random })
    const handles = new Map<number, string>()
    return listen => {
      const line = lastingLine({ dial, renewable: false, clock: systemClock, random, surroundings })(event => {
        if (event.kind === 'message' && event.message.kind === 'joined') handles.set(event.message.handle, event.message.doc)
        listen(event)
      })
      const send: typeof line.send = message => {
        if (message.kind === 'submit') this.#lastPens.get(handles.get(message.handle)!)?.sends(message.seq, message.op)
        line.send(message)
      }
      return { send, pause: () => line.pause(), resume: () => line.resume(), close: () => line.close() }
    }
  }

  told({ code, message }: { readonly code: string; readonly message: string }, where: string): void {
    this.#desk.count(`error ${code}`)
    if (!expected.has(code)) this.#desk.faults.push(`${this.name} is told of ${where}: ${code}: ${message}`)
  }

  async open(id: string): Promise<Pen> {
    const pen = new Pen(this, await this.client.open(id), this.#desk)
    this.pens.set(id, pen)
    this.#lastPens.set(id, pen)
    return pen
  }

  async reopen(id: string): Promise<void> {
    const pen = this.pens.get(id)
    this.pens.delete(id)
    await pen?.leave()
    await this.open(id).catch(error => {
      if (!this.#leaving) throw error
    })
  }

  async leave(): Promise<void> {
    this.#leaving = true
    this.pens.clear()
    await Promise.all([...this.#lastPens.values()].map(pen => pen.leave()))
    await this.quit()
  }

  /** Closes whatever there is, and does not mind what comes of it. */
  async quit(): Promise<void> {
    this.#leaving = true
    await this.client.close()
  }
}

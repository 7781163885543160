// One hostile client after the other: each opens a line, says hello, and says things that are nearly right.
// Invariant: every input is followed by a question that has an answer, so what an input brought about is known before the next.

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, errorCodes } from '../../src/protocol/errors.ts'
import { createParser, type Packet } from '../../src/protocol/parser.ts'
import type { Chance } from '../../src/testing/random.ts'
import { Frames, frame, open } from '../websocket.ts'
import { encoded, lying, packetFrame } from './binary.ts'
import { anything, garbled, spoilt } from './mutate.ts'
import { sound, soundHello } from './sound.ts'
import type { Story } from './story.ts'

type Form = 'binary' | 'json'
type Fields = { readonly [key: string]: unknown }
type Message = Fields & { readonly kind: string }

const patience = 120_000 // ms; only ends a hang

/** A line to one endpoint. What comes is read by the client's own parser, which takes nothing that is not of the protocol. */
class Line {
  readonly closed: Promise<void>
  isOpen = true
  readonly heard: Message[] = []
  /** Answers to CONNECT. */
  readonly packets: Packet[] = []
  private readonly socket: Socket
  private readonly form: Form
  private look = (): void => {}

  constructor(socket: Socket, head: Buffer, form: Form, story: Story) {
    this.socket = socket
    this.form = form
    const decoder = new (createParser({ end: 'client', form }).Decoder)().on('decoded', packet => {
      if (packet.type !== 2) this.packets.push(packet)
      else {
        const [, content] = packet.data as [string, unknown]
        if (packet.nsp === '/') this.heard.push(content as Message)
      }
      this.look()
    })
    const frames = new Frames((opcode, payload) => {
      if (opcode === 8) return void this.socket.end(frame(8, payload))
      if (opcode === 2) return decode(payload)
      if (opcode !== 1) return
      const text = payload.toString()
      if (text === '2') this.socket.write(frame(1, '3'))
      else if (text[0] === '4') decode(text.slice(1))
    })
    const decode = (given: Buffer | string): void => {
      try {
        decoder.add(given)
      } catch (error) {
        story.fails(`the server sent what no client takes: ${String(error)}`, Buffer.from(given as string))
      }
    }
    const hear = (bytes: Buffer): void => {
      if (bytes.includes(story.canary)) story.fails('a text was given to one who has no right to it', bytes)
      frames.add(bytes)
    }
    if (head.length > 0) hear(head)
    socket.on('data', hear)
    this.closed = new Promise(resolve =>
      socket.on('close', () => {
        this.isOpen = false
        this.look()
        resolve()
      }),
    )
  }

  write(given: Buffer | string): void {
    const text = typeof given === 'string'
    this.socket.write(frame(text ? 1 : 2, given))
  }

  raw(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** Resolves when this holds, or the line has ended. */
  until(holds: () => boolean, what: string): Promise<void> {
    if (holds() || !this.isOpen) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer to ${what} within ${patience} ms`)), patience)
      this.look = () => {
        if (!holds() && this.isOpen) return
        clearTimeout(late)
        this.look = () => {}
        resolve()
      }
    })
  }

  packet(type: number, content?: unknown): void {
    if (this.form === 'binary') this.write(packetFrame(type, null, null, content))
    else this.write(`4${type}${content === undefined ? '' : JSON.stringify(content)}`)
  }

  message(kind: string, payload: Fields): void {
    if (this.form === 'binary') this.write(encoded(kind, payload).frame)
    else this.write(`42${JSON.stringify([kind, payload])}`)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

interface Joined {
  readonly handle: number
  readonly position: Fields
  readonly length: number
}

/** Above every handle that there is: whoever leaves there is told that he is not there. */
const noHandle = 2 ** 40

const long = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...long(n >> 7)])

const key = (): string => randomBytes(16).toString('base64url')
const roles = ['writer', 'writer', 'writer', 'reader', 'stranger'] as const

export class Session {
  private readonly dice: Chance
  private readonly story: Story
  private readonly url: string
  private readonly heavy: boolean
  private form: Form = 'json'
  private author = ''
  private line!: Line
  private seq = 0
  private asked = 0
  private readonly joined = new Map<string, Joined>()

  constructor(url: string, dice: Chance, story: Story, heavy: boolean) {
    this.url = url
    this.dice = dice
    this.story = story
    this.heavy = heavy
  }

  /** From the handshake to the end of the line, whoever ends it. */
  async lives(steps: number, pause: number): Promise<void> {
    const { dice, story } = this
    this.form = dice.pick(['binary', 'json'])
    this.joined.clear()
    this.seq = 0
    const path = this.form === 'json' ? '/json/' : '/socket.io/'
    const address = `203.0.${dice.int(256)}.${dice.int(256)}`
    const opened = await open(`${this.url}${path}?EIO=4&transport=websocket`, { 'x-forwarded-for': address })
    if (opened.kind === 'no') return story.counts(`handshake ${opened.status}`)
    this.line = new Line(opened.socket, opened.head, this.form, story)
    try {
      if (!(await this.hello())) return
      for (let i = 0; i < steps && this.line.isOpen && !story.over; i++) {
        await this.step()
        if (pause > 0) await sleep(pause)
      }
      if (this.line.isOpen && dice.chance(0.3)) this.line.packet(1)
    } finally {
      this.line.destroy()
    }
  }

  private async hello(): Promise<boolean> {
    const { dice, story, line, form } = this
    const role = dice.pick(roles)
    const token =
      role === 'stranger' ? dice.pick([undefined, '', 'nobody', 'owner\u0000', 'x'.repeat(9_000)]) : `${role}:${key()}`
    const good: Fields = { protocol: [1, 1], key: key(), ...(token === undefined ? {} : { token }) }
    const hello = dice.chance(0.3) ? spoilt(dice, good, this.isHeavy()) : good
    const may = soundHello(hello) && role !== 'stranger' && hello?.token === token
    story.input(form === 'binary' ? packetFrame(0, null, null, hello) : Buffer.from(`40${JSON.stringify(hello)}`))
    line.packet(0, hello)
    await line.until(() => line.packets.length > 0, 'a hello')
    const [answer] = line.packets
    if (answer === undefined || answer.type !== 0) {
      if (answer === undefined) {
        story.counts('hello unanswered') // broken, or too late on a busy machine
        return false
      }
      const why = (answer.data as { data?: unknown }).data
      this.isRow(why)
      if (role !== 'stranger' && hello === good)
        story.fails('a sound hello was refused', Buffer.from(JSON.stringify([hello, why])))
      story.counts(`hello refused ${form}`)
      await this.ends('a refused hello')
      return false
    }
    if (!may) story.fails('a hello was taken that none may take', Buffer.from(JSON.stringify(hello)))
    await line.until(() => line.heard.some(({ kind }) => kind === 'welcome'), 'a hello')
    this.author = String(line.heard.find(({ kind }) => kind === 'welcome')?.author)
    line.heard.length = 0
    story.counts(`welcome ${form}`)
    return line.isOpen
  }

  /** What takes a megabyte is rare: each takes the server some tens of milliseconds, and nobody would see what the others do. */
  private isHeavy(): boolean {
    return this.heavy && this.dice.chance(0.02)
  }

  private async step(): Promise<void> {
    const { dice } = this
    if (this.joined.size === 0) await this.join('arena')
    if (!this.line.isOpen || this.joined.size === 0) return
    const share = dice.next()
    if (share < 0.25) return this.sends(...this.good(), null)
    if (share < 0.6) {
      const [kind, payload] = this.good()
      return this.sends(kind, spoilt(dice, payload, this.isHeavy()), null)
    }
    if (share < 0.9) return this.form === 'binary' ? this.lies() : this.garbles()
    return this.controls()
  }

  /** A message that is as it should be, now. */
  private good(): [kind: string, payload: Fields] {
    const { dice } = this
    const { handle, position, length } = dice.pick([...this.joined.values()])
    switch (dice.int(8)) {
      case 0:
        return ['join', { doc: dice.pick(documents(dice)), type: 'text', position: dice.chance(0.5) ? null : position }]
      case 1:
        if (this.joined.size > 1) return ['leave', { handle }]
        return ['probe', {}]
      case 2:
        return ['present', { handle, version: 0, state: { cursor: { anchor: dice.int(9), head: 3 }, name: 'm' } }]
      case 3:
        return ['signal', { handle, name: 'n', payload: { offer: [1, 'two', null] } }]
      case 4:
        return dice.chance(0.2) ? ['authenticate', { token: `writer:${key()}` }] : ['probe', {}]
      default: {
        const at = dice.int(length + 1)
        const gone = dice.int(Math.min(4, length - at + 1))
        const op = [...(at > 0 ? [at] : []), dice.pick(['x', 'yz', '🖋']), ...(gone > 0 ? [-gone] : [])]
        return ['submit', { handle, seq: ++this.seq, position, op }]
      }
    }
  }

  private async join(doc: string): Promise<void> {
    await this.sends('join', { doc, type: 'text', position: null }, null)
    const { line } = this
    await line.until(() => line.heard.some(({ kind, doc: about }) => kind === 'joined' && about === doc), 'a join')
    for (const message of line.heard) this.follows(message, undefined)
  }

  private async lies(): Promise<void> {
    const [kind, payload] = this.good()
    const { frame: bytes, must, strays } = lying(this.dice, kind, payload)
    if (kind === 'submit') this.story.submits(this.author, strays ? 'any' : Number(payload.seq), must ? false : null)
    await this.says(bytes, must)
  }

  private async garbles(): Promise<void> {
    const [kind, payload] = this.good()
    const text = `42${JSON.stringify([kind, payload])}`
    const spoiltText = Buffer.from(this.dice.chance(0.1) ? text + text : garbled(this.dice, text)).toString() // as it arrives
    if (kind === 'submit') this.story.submits(this.author, 'any', null)
    await this.says(spoiltText, mustNot(spoiltText))
  }

  /** Packets of engine.io and Socket.IO, where and as they do not belong. */
  private async controls(): Promise<void> {
    const { dice, form } = this
    const names = ['connect', 'disconnect', 'disconnecting', 'error', 'newListener', 'removeListener', 'connect_error']
    const name = dice.pick(names)
    const deep = dice.pick([40, 5_000, this.isHeavy() ? 500_000 : 20_000])
    const choices: readonly (readonly [what: Buffer | string, must: boolean])[] = [
      ...(['0', '1', '2', '3', '5', '6', '9', '', '2probe', '3probe', 'b4AAAA', '4', '44', '45', '451-["x"]', '49'] as const).map(
        text => [text, false] as const,
      ),
      ...(form === 'json'
        ? ([
            [`42${JSON.stringify([name, anything(dice, false)])}`, true],
            [`42/chat,${dice.int(99)}${JSON.stringify(['say', anything(dice, false)])}`, false],
            [`40/chat,${JSON.stringify({ token: 'nobody' })}`, false],
            [`43${dice.int(99)}${JSON.stringify([anything(dice, false)])}`, false],
            [`42${JSON.stringify([anything(dice, false)])}`, false],
            [Buffer.from([0x80 | dice.int(32), dice.int(256)]), true],
            [`42["signal",{"handle":1,"name":"n","payload":${'['.repeat(deep)}${']'.repeat(deep)}}]`, true],
          ] as const)
        : ([
            [packetFrame(2, null, null, [name, anything(dice, false)]), true],
            [packetFrame(2, '/chat', dice.int(99), ['say', anything(dice, false)]), false],
            [packetFrame(0, '/chat', null, { token: 'nobody' }), false],
            [packetFrame(0, '/', null, {}), true],
            [packetFrame(3, null, dice.int(99), [anything(dice, false)]), false],
            [packetFrame(dice.pick([5, 6, 7, 0x10, 0x1f]), null, null, ['x']), true],
            [packetFrame(2, null, null, Array(40).fill('x')), true],
            [Buffer.concat([Buffer.from([0x85, 1, 1, 0x6e, ...long(deep)]), Buffer.alloc(deep, 0x91)]), true],
            [Buffer.concat([Buffer.from([2]), Buffer.alloc(deep, 0x91)]), true],
            [packetFrame(2, null, null, anything(dice, this.isHeavy())), false],
          ] as const)),
    ]
    const [what, must] = dice.pick(choices)
    await this.says(what, must)
  }

  private async sends(kind: string, payload: Fields, must: boolean | null): Promise<void> {
    const isSound = sound(kind, payload)
    if (kind === 'submit') this.story.submits(this.author, payload.seq, isSound)
    if (this.form === 'json') return this.says(`42${JSON.stringify([kind, payload])}`, must ?? !isSound, payload)
    const { frame: bytes, faithful } = encoded(kind, payload)
    await this.says(bytes, must ?? (faithful && !isSound), payload)
  }

  /** Sends, asks, and looks at what it brought about. `must`: nothing but a refusal, or the end of the line. */
  private async says(what: Buffer | string, must: boolean, payload?: Fields): Promise<void> {
    const { line, story, form } = this
    const bytes = Buffer.from(what as string)
    story.input(bytes)
    line.heard.length = 0
    line.write(what)
    const question = noHandle + this.asked++
    line.message('leave', { handle: question })
    const isAnswer = ({ kind, handle }: Message): boolean => kind === 'refused' && handle === question
    await line.until(() => line.heard.some(isAnswer), bytes.toString('latin1', 0, 80))
    const heard = line.heard.filter(message => !isAnswer(message))
    const refused = heard.filter(({ kind }) => kind === 'refused')
    for (const { refusal } of refused) this.isRow(refusal)
    if (!line.isOpen) story.counts(`closed ${form}`)
    else if (refused.length > 0) story.counts(`refused ${form}`)
    else {
      story.counts(`taken ${form}`)
      if (must) story.fails('what none may take was neither refused nor ended the line', bytes)
    }
    for (const message of heard) this.follows(message, payload)
  }

  private follows(message: Message, payload: Fields | undefined): void {
    const { story } = this
    if (message.kind === 'joined') {
      const { doc, handle, content } = message as unknown as { doc: string; handle: number; content: Fields & { kind: string } }
      if (doc.startsWith('guarded')) story.fails('a document was opened by one who has no right to it', Buffer.from(doc))
      if (payload != null && payload.doc !== doc) story.counts('joined late')
      const value = content.kind === 'snapshot' ? String(content.value) : ''
      this.joined.set(doc, { handle, position: content.position as Fields, length: value.length })
      story.counts('joined')
    } else if (message.kind === 'commits') {
      const { handle, position: at } = message as unknown as { handle: number; position: Fields }
      for (const [doc, held] of this.joined)
        if (held.handle === handle) this.joined.set(doc, { ...held, position: { ...held.position, ...at }, length: 0 })
    } else if (message.kind === 'left') {
      for (const [doc, held] of this.joined) if (held.handle === message.handle) this.joined.delete(doc)
    }
  }

  /** A refusal is a row of the table, whole. */
  private isRow(refusal: unknown): void {
    const { code, message, advice } = (refusal ?? {}) as Fields
    const isKnown = (errorCodes as readonly unknown[]).includes(code as ErrorCode)
    if (!isKnown || typeof message !== 'string' || typeof advice !== 'string')
      this.story.fails('a refusal that is no row of the table', Buffer.from(JSON.stringify(refusal) ?? 'none'))
    if (code === 'internal') this.story.fails('the server says that it made a mistake', Buffer.from(JSON.stringify(refusal)))
    this.story.counts(`code ${String(code)}`)
  }

  private async ends(what: string): Promise<void> {
    const late = setTimeout(() => this.story.fails(`the line outlives ${what}`, Buffer.alloc(0)), patience)
    await this.line.closed
    clearTimeout(late)
  }
}

const documents = (dice: Chance): readonly string[] => [
  ...['arena', 'arena', 'readonly', 'quiet', 'guarded', 'guarded/more', '__proto__', 'constructor', 'é🖋', `free-${dice.int(20)}`],
]

/** Of a text: whether it is surely no packet of the protocol. */
const mustNot = (text: string): boolean => {
  const head = /^42(\/[^,]*(?:,|$))?(\d*)/.exec(text)
  if (head === null || head[1] !== undefined || head[2]!.length > 15) return false
  let parts: unknown
  try {
    parts = JSON.parse(text.slice(head[0].length))
  } catch {
    return true
  }
  if (!Array.isArray(parts) || parts.length !== 2) return true
  return typeof parts[0] !== 'string' || !sound(parts[0], parts[1])
}

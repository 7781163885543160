// Clients and an engine without sockets: every message and every tick of the clock moves when a test says so.
// Invariant: a line that is not held delivers in order and before the test goes on; one that is held keeps its order.
import { type Client, connect } from '../../src/client/index.ts'
import type { Line, LineEvent, Transport } from '../../src/client/transport.ts'
import { type Connection, createEngine, defaultLimits, type Engine, type Limits, type Outlet } from '../../src/engine/index.ts'
import { textType } from '../../src/ot/text.ts'
import type { AnyDocumentType } from '../../src/ot/type.ts'
import { refusal } from '../../src/protocol/errors.ts'
import type { AuthorId } from '../../src/protocol/ids.ts'
import type { ClientMessage, DocumentRequest, Hello, Right, ServerMessage } from '../../src/protocol/messages.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import type { HandDisk, HandStorage } from './disk.ts'

/** Time that stands still until `pass`. */
export class HandClock {
  private time = 0
  private alarms: { readonly at: number; readonly call: () => void }[] = []

  now(): number {
    return this.time
  }

  after(ms: number, call: () => void): () => void {
    const alarm = { at: this.time + ms, call }
    this.alarms.push(alarm)
    return () => {
      this.alarms = this.alarms.filter(other => other !== alarm)
    }
  }

  /** Alarms that wait. */
  get waiting(): number {
    return this.alarms.length
  }

  pass(ms: number): void {
    const until = this.time + ms
    for (;;) {
      const next = this.alarms.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.alarms = this.alarms.filter(other => other !== next)
      this.time = Math.max(this.time, next.at)
      next.call()
    }
    this.time = until
  }
}

/** One connection's end at the server. */
interface HandOutlet extends Outlet {
  deliver(message: ServerMessage): void
}

/** One client's line, seen from the test. */
export class HandLine implements Line {
  open = false
  closed = false
  behind = false
  /** While true, messages wait on their way: `up` to the server, `down` to the client. */
  holdUp = false
  holdDown = false
  readonly up: DocumentRequest[] = []
  readonly down: ServerMessage[] = []
  /** Everything that the client has sent. */
  readonly sent: ClientMessage[] = []

  private readonly world: HandWorld
  author: AuthorId
  private readonly listen: (event: LineEvent) => void
  private readonly hello: () => Promise<Hello>
  private connection: Connection | null = null
  private outlet: HandOutlet | null = null

  constructor(world: HandWorld, author: AuthorId, listen: (event: LineEvent) => void, hello: () => Promise<Hello>) {
    this.world = world
    this.author = author
    this.listen = listen
    this.hello = hello
  }

  /** Connects as whoever has the key that the client says hello with. */
  async greet(): Promise<void> {
    const { key } = await this.hello()
    this.author = key.slice(0, 16) as AuthorId
    if (!this.closed) this.rise()
  }

  /** Connects, or connects again. */
  rise(): void {
    const user = { id: this.author as string }
    this.open = true
    const line = this
    const outlet: HandOutlet = {
      name: this.author,
      get open() {
        return line.open && line.outlet === outlet
      },
      get behind() {
        return line.behind
      },
      deliver: message => this.deliver(message),
    }
    this.outlet = outlet
    this.connection = this.world.engine.connect({ author: this.author, user }, outlet)
    const { messageBytes, opComponents, documentLength, presenceBytes, signalBytes } = defaultLimits
    const limits = { messageBytes, opComponents, documentLength, presenceBytes, signalBytes }
    this.listen({
      kind: 'up',
      welcome: { kind: 'welcome', protocol: 1, author: this.author, user, expiresIn: null, limits, spread: 1_000 },
    })
  }

  /**
   * Another node takes over from one that is about to stop: up again without having been down. What was on its way up still arrives
   * there, after the joins here; what was on its way down is not heard any more.
   */
  move(): void {
    const { connection, up } = this
    const late = up.splice(0)
    this.down.length = 0
    this.rise()
    for (const message of late) connection?.receive(message)
    connection?.close()
  }

  /** Breaks. What was on its way up arrives when `late`, or is lost; what was on its way down is lost. */
  cut(late = false): void {
    if (late) this.flushUp()
    this.open = false
    this.up.length = 0
    this.down.length = 0
    this.connection?.close()
    this.connection = null
    this.listen({ kind: 'down', reason: 'cut', refusal: null, final: false })
  }

  /** Nobody is at this end any more. */
  deaf(): void {
    this.open = false
    this.up.length = 0
    this.down.length = 0
    this.connection?.close()
    this.connection = null
  }

  /** The server says no for good. */
  end(code: 'unsupported-protocol'): void {
    this.open = false
    this.connection?.close()
    this.listen({ kind: 'down', reason: 'refused', refusal: refusal(code), final: true })
  }

  send(message: ClientMessage): void {
    this.sent.push(message)
    if (!this.open || message.kind === 'authenticate' || message.kind === 'probe') return // the business of a server's edge
    this.up.push(message)
    if (!this.holdUp) this.flushUp()
  }

  deliver(message: ServerMessage): void {
    this.down.push(message)
    // Not now: the engine is in the middle of something, and no socket would call it back from there.
    queueMicrotask(() => {
      if (!this.holdDown) this.flushDown()
    })
  }

  flushUp(): void {
    while (this.up.length > 0) this.connection?.receive(this.up.shift()!)
  }

  flushDown(count = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < count && this.down.length > 0; i++) this.listen({ kind: 'message', message: this.down.shift()! })
  }

  /** Something that no server of ours would say. */
  say(message: ServerMessage): void {
    this.listen({ kind: 'message', message })
  }

  pause(): void {
    this.cut()
  }

  resume(): void {
    this.rise()
  }

  close(): void {
    this.open = false
    this.closed = true
    this.connection?.close()
  }
}

/** A page of a browser, which may be closed, or die, and opened again on the same disk. */
export class HandPage {
  readonly client: Client
  readonly storage: HandStorage
  readonly lines: HandLine[] = []
  readonly errors: string[] = []
  online: boolean

  constructor(world: HandWorld, disk: HandDisk, online: boolean) {
    this.online = online
    this.storage = disk.storage(world.clock)
    const transport: Transport = (listen, hello) => {
      const line = new HandLine(world, '' as AuthorId, listen, hello)
      this.lines.push(line)
      if (this.online) void line.greet()
      else queueMicrotask(() => listen({ kind: 'down', reason: 'offline', refusal: null, final: false }))
      return line
    }
    const surroundings = {
      onWake: () => () => {},
      onLeave: (call: () => void) => {
        this.leave = call
        return () => {}
      },
    }
    this.client = connect('hand:', { transport, surroundings, clock: world.clock, storage: async () => this.storage })
    this.client.on('error', ({ code }) => this.errors.push(code))
  }

  /** What the browser would call when the page may be about to go. */
  leave = (): void => {}

  get line(): HandLine {
    return this.lines[0]!
  }

  /** The line comes back. */
  async rise(): Promise<void> {
    this.online = true
    for (const line of this.lines) if (!line.open && !line.closed) await line.greet()
  }

  cut(): void {
    this.online = false
    for (const line of this.lines) if (line.open) line.cut()
  }

  /** Without a word, as a process that is killed; what it has sent arrives. */
  die(): void {
    this.dieSpeaking()()
  }

  /** Dies, while what it has sent is still on its way; answers how to let that arrive. */
  dieSpeaking(): () => void {
    for (const line of this.lines) line.closed = true
    this.storage.die()
    return () => {
      for (const line of this.lines) {
        line.flushUp()
        line.deaf()
      }
    }
  }
}

export interface HandOptions {
  readonly limits?: Partial<Limits>
  readonly right?: () => Right
  readonly types?: readonly AnyDocumentType[]
}

export class HandWorld {
  readonly clock = new HandClock()
  readonly engine: Engine
  readonly store = memoryStore()
  private ids = 0

  constructor({ limits = {}, right = () => 'write', types = [textType] }: HandOptions = {}) {
    this.engine = createEngine({
      store: this.store,
      clock: this.clock,
      randomId: () => `id${String(++this.ids).padStart(14, '0')}`,
      types,
      limits: { ...defaultLimits, ...limits },
      authorize: async () => right(),
      deliver: (outlets, message) => {
        for (const outlet of outlets) if (outlet.open) (outlet as HandOutlet).deliver(message)
      },
      observe: () => {},
    })
  }

  /** A client and its line, which is up. */
  client(name: string, random = () => 0): { readonly client: Client; readonly line: HandLine } {
    let line: HandLine | undefined
    const author = name.padEnd(16, '_') as AuthorId
    const transport: Transport = (listen, hello) => (line = new HandLine(this, author, listen, hello))
    const client = connect('hand:', { transport, clock: this.clock, random })
    line!.rise()
    return { client, line: line! }
  }

  /** A page that keeps what it is given on this disk. Its lines rise by themselves while `online`. */
  page(disk: HandDisk, online = true): HandPage {
    return new HandPage(this, disk, online)
  }

  /** Until everything that was set going is done; the clock stands. */
  async calm(): Promise<void> {
    for (let i = 0; i < 4; i++) await new Promise(resolve => setImmediate(resolve))
  }

  async close(): Promise<void> {
    await this.engine.close()
    await this.store.close()
  }
}

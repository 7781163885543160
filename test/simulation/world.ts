// The whole protocol in one seeded world: real engines and real sessions over one log, with everything that can go wrong in between.
// Invariant checked at the end: every client, node, fresh node and independent replay hold the same text; each (author, seq) is in the
// log once; every character typed is in the text once, or was deleted, or was handed back in a draft.

import { isDeepStrictEqual } from 'node:util'
import { cellPrefix, type Restored, readRecord, rootKey, Scribe } from '../../src/client/record.ts'
import { type Draft, levelOf, openSession, type Session, type SessionEvent, step } from '../../src/client/session.ts'
import { type Connection, createEngine, type Engine, type Outlet } from '../../src/engine/index.ts'
import { defaultLimits, type Limits } from '../../src/engine/limits.ts'
import type { Entry } from '../../src/engine/ports.ts'
import { mapPosition } from '../../src/ot/algebra.ts'
import { replace, type TextOp, toEdits } from '../../src/ot/op.ts'
import { applyAll } from '../../src/ot/queue.ts'
import type { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { AuthorId, DocId, Epoch } from '../../src/protocol/ids.ts'
import type { DocumentRequest, ServerMessage } from '../../src/protocol/messages.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { type HandClock, type HandStore, handClock, handStore, settle } from './hand.ts'

export interface WorldOptions {
  readonly seed: number
  readonly steps: number
  /** `mix`: edits anywhere, every character unique. `type`: everybody types forward. `same`: two letters only, so that diffs are ambiguous. */
  readonly mode: 'mix' | 'type' | 'same'
  /**
   * `all`: also a log that loses its tail. `noloss`: all but that. `none`: only interleaving. `days`: all, and what befalls writers
   * over days: long sleep, rights taken away, a full document, clocks that jump, another epoch; with a check of the text at every beat.
   * `rot`: `noloss`, and characters that change in the memory of a client, or of a node where nothing is trimmed.
   */
  readonly faults: 'all' | 'noloss' | 'none' | 'days' | 'rot'
  /** Default: 1 to 3 by the seed. */
  readonly nodes?: number
  /** Commits that a client coming back gets one by one; more are composed. Default: few or none, by the seed. */
  readonly catchUpCommits?: number
  readonly trace?: (line: string) => void
}

export interface Outcome {
  readonly commits: number
  readonly counts: Record<string, number>
  /** Texts typed forward by one writer, and how many of them have somebody else's characters in between. */
  readonly typed: number
  readonly mixed: number
}

/** What broke; its message begins with the seed, so that it can be run again. */
class Broken extends Error {}

const doc = 'simulated' as DocId

export const simulate = (options: WorldOptions): Promise<Outcome> => new World(options).run()

interface Node {
  readonly name: string
  hand: HandStore
  engine: Engine
  up: boolean
  clients: Set<Client>
  /** By how much its clock is wrong, in milliseconds. */
  skew: number
}

class World {
  readonly seed: number
  readonly options: WorldOptions
  readonly clock: HandClock = handClock()
  readonly log: MemoryLog
  readonly nodes: Node[] = []
  readonly clients: Client[] = []
  /** Every entry that the log holds, also those it has trimmed. */
  readonly history: Entry[] = []
  readonly limits: Limits
  /** Appends of dead or impatient callers that may happen yet, and messages of dead lines that may arrive yet. */
  readonly zombies: (() => void)[] = []
  late: { readonly by: Client; arrive(): void; vanish(): void }[] = []
  readonly counts: Record<string, number> = {}
  readonly born = new Map<string, string>()
  readonly deleted = new Set<string>()
  readonly inDrafts = new Set<string>()
  readonly faulty: boolean
  readonly loses: boolean
  readonly tabs: boolean
  /**
   * Power cuts: a writer's disk gives back less than it was given, though never without its beginning. Not where the log does the same:
   * when a node offers again what both have forgotten, a number may have been given twice.
   */
  readonly forgetful: boolean
  readonly days: boolean
  readonly rots: boolean
  calm = false
  /** Writers who may only read. */
  readonly barred = new Set<string>()
  /** How many moves have been made. */
  moves = 0
  /** Components of an op that a server takes. */
  readonly opComponents: number
  /** Every (author, seq) of which its author was told that it is durable. */
  readonly promised = new Map<string, string>()
  private state: number
  private nextChar = 0x100
  private failure: Error | null = null
  private epochs = 0

  constructor(options: WorldOptions) {
    this.options = options
    this.seed = options.seed
    this.state = Math.imul(options.seed, 2_654_435_761) >>> 0 || 1
    this.faulty = options.faults !== 'none'
    this.days = options.faults === 'days'
    this.loses = (options.faults === 'all' || this.days) && options.seed % 3 === 0
    this.opComponents = this.days && options.seed % 4 === 1 ? 6 : defaultLimits.opComponents
    this.rots = options.faults === 'rot'
    this.tabs = this.faulty && !this.rots && options.seed % 7 < 2
    this.forgetful = this.tabs && !this.loses && options.seed % 7 === 1
    const trims = this.faulty && options.seed % 8 < 5
    this.log = new MemoryLog({ durable: 'by hand', epochs: () => `e${++this.epochs}` as Epoch })
    this.limits = {
      ...defaultLimits,
      recentTime: options.seed % 5 === 0 ? 300 : 0,
      recentCommits: options.seed % 4 === 1 ? this.int(3) : 1 + this.int(7),
      checkpointCommits: trims ? 1 + this.int(4) : 1_000_000,
      checkpointBytes: 100_000_000,
      // A machine that has forgotten must be back before the server forgets it too: then nobody can tell what it had sent.
      authorRetention: trims && !this.forgetful ? this.int(4_000) : defaultLimits.authorRetention,
      idleDocument: 10_000,
      catchUpCommits: options.catchUpCommits ?? [0, 1, 3, 1_000_000][(options.seed >>> 1) % 4]!,
    }
    // Documents with fewer places than writers, who are told to send less often while the node is busy.
    if (options.seed % 13 === 6 || options.seed % 13 === 10)
      this.limits = { ...this.limits, writersPerDocument: 1 + (options.seed % 2), writerActive: 900, writerPace: 60 }
    if (this.rots) this.limits = { ...this.limits, beat: 400 }
    if (this.days) {
      this.limits = {
        ...this.limits,
        beat: 400,
        documentLength: this.chance(0.3) ? 20 + this.int(150) : defaultLimits.documentLength,
        catchUpWork: this.chance(0.2) ? 1 + this.int(30) : defaultLimits.catchUpWork,
        rebaseWork: this.chance(0.5) ? this.int(5) : defaultLimits.rebaseWork,
      }
    }
    this.log.open(doc)
    this.log.subscribe(doc, announcement => {
      if (announcement.kind !== 'entries') return
      this.history.push(...announcement.entries)
      if (options.trace)
        for (const { version, author, seq, body } of announcement.entries) this.say('LOG', version, author, seq, body)
    })
  }

  // ---- chance

  random(): number {
    let x = this.state
    x ^= x << 13
    x >>>= 0
    x ^= x >>> 17
    x ^= x << 5
    x >>>= 0
    this.state = x
    return x / 2 ** 32
  }

  int(below: number): number {
    return Math.floor(this.random() * below)
  }

  chance(p: number): boolean {
    return this.random() < p
  }

  pick<T>(of: readonly T[]): T {
    return of[this.int(of.length)]!
  }

  fresh(count: number): string {
    let text = ''
    for (; count > 0; count--) {
      if (this.options.mode === 'same') text += this.pick(['a', 'b'])
      else {
        text += String.fromCharCode(this.nextChar++)
        if (this.nextChar === 0xd800) this.nextChar = 0xe000
      }
    }
    return text
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  must(holds: boolean, what: string): void {
    if (!holds) throw new Broken(`seed ${this.seed}: ${what}`)
  }

  say(...words: unknown[]): void {
    this.options.trace?.(words.map(word => (typeof word === 'string' ? word : JSON.stringify(word))).join(' '))
  }

  // ---- nodes

  boot(node: Node): void {
    const hand = handStore(this.log, () =>
      this.calm || !this.faulty ? 1 : this.chance(this.seed % 4 === 1 ? 0.5 : 0.12) ? 0 : this.chance(0.08) ? 2 : 1,
    )
    let ids = 0
    node.hand = hand
    node.up = true
    node.clients = new Set()
    node.skew = 0
    node.engine = createEngine({
      store: hand.store,
      clock: { now: () => this.clock.now() + node.skew, after: this.clock.after },
      randomId: () => `${node.name}${(++ids).toString(36)}`.padEnd(16, '0'),
      types: [textType],
      limits: this.limits,
      authorize: async user => (this.barred.has(user.id) ? 'read' : 'write'),
      deliver: (outlets, message) => {
        for (const outlet of outlets) (outlet as Client['outlet'] & object).take(message)
        // P8: some worlds have many readers, to whom a frame is long on its way, and are busy at times.
        if (this.seed % 3 !== 1 || outlets.length < 2) return undefined
        return new Promise(resolve => this.clock.after(7, () => resolve(7)))
      },
      load: () => ({ busy: this.seed % 3 === 0 ? 0 : (this.clock.now() % 1_000) / 1_000, writing: 0.5, spared: 0 }),
      observe: event => {
        this.count(event.kind)
        if (event.kind === 'resynced' && event.reoffered > 0) this.count('re-offer')
        this.say(node.name, event, 'error' in event ? String((event.error as Error).stack) : '')
        if (
          event.kind === 'store-failed' &&
          !(event.error instanceof Error && / was not answered$|within \d+ ms$/.test(event.error.message))
        ) {
          this.failure ??= event.error instanceof Error ? event.error : new Error(String(event.error))
        }
      },
    })
  }

  crash(node: Node): void {
    if (!node.up) return
    this.count('crash')
    this.say(node.name, 'crashes')
    for (const call of node.hand.calls)
      if (!call.executed && call.name === 'append' && this.chance(0.5)) this.zombies.push(() => call.execute())
    for (const client of [...node.clients]) client.cut()
    node.hand.die()
    node.up = false
  }

  moveCall(node: Node): void {
    const { calls } = node.hand
    if (calls.length === 0) return
    const call = this.pick(calls)
    const luck = this.int(10)
    if (this.faulty && luck === 0 && this.chance(0.4)) {
      this.count('unanswered')
      if (!call.executed) this.zombies.push(() => call.execute())
      call.fail()
    } else if (luck < 4) call.execute()
    else call.answer()
  }

  // ---- the log's own fate

  fate(): void {
    const version = this.history.length
    if (this.chance(0.5)) this.log.durableUpTo(doc, Math.max(0, version - this.int(this.loses ? 8 : 2)))
    if (this.loses && this.chance(0.2)) {
      const { durable } = this.log.open(doc)
      if (version <= durable) return
      // As a rule little is lost, so that another node has soon filled the gap with something else.
      const to = Math.max(durable, version - 1 - this.int(this.chance(0.8) ? 2 : 8))
      this.count('loss')
      this.say('LOSS', version, '->', to)
      this.log.lose(doc, to, this.days && this.chance(0.3) ? (`e${++this.epochs}` as Epoch) : undefined)
      this.history.length = to
    }
  }

  // ---- the run

  async run(): Promise<Outcome> {
    try {
      return await this.story()
    } catch (error) {
      if (error instanceof Broken) throw error
      throw new Broken(`seed ${this.seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }

  private async story(): Promise<Outcome> {
    const { steps, nodes = [3, 2, 1, 2, 3][this.seed % 5]! } = this.options
    for (let i = 0; i < nodes; i++) {
      const node = { name: `n${i}` } as Node
      this.nodes.push(node)
      this.boot(node)
    }
    const clients = 3 + this.int(3)
    for (let i = 0; i < clients; i++) this.clients.push(new Client(this, `c${i}`))
    for (let i = 0; i < steps; i++) {
      this.move()
      // Answers may meet: what one promise chain is half through with, the next move may change.
      for (let more = this.int(4); more > 1; more--) {
        for (let ticks = this.int(4); ticks > 0; ticks--) await undefined
        this.move()
      }
      await settle()
      if (this.forgetful && this.chance(0.02)) await this.powerCut(this.pick(this.clients))
      if (this.failure !== null) throw this.failure
      for (const client of this.clients) client.agrees()
    }
    await this.calmDown()
    await this.judge()
    const outcome = { commits: this.history.length, counts: this.counts, typed: 0, mixed: 0 }
    if (this.options.mode !== 'type') return outcome
    const text = this.replay()
    const words = this.tabs ? [] : this.clients.map(client => client.words).filter(word => word !== '')
    return { ...outcome, typed: words.length, mixed: words.filter(word => !text.includes(word)).length }
  }

  private move(): void {
    this.moves++
    const client = this.pick(this.clients)
    const node = this.pick(this.nodes)
    if (this.days && this.chance(0.02)) return this.badDay(client, node)
    if (this.rots && this.chance(0.005)) return this.rot(client, node)
    switch (this.int(17)) {
      case 15:
      case 16:
      case 0:
      case 1:
      case 2:
        client.randomEdit()
        if (this.tabs && this.chance(0.15)) client.persist()
        if (this.tabs && this.chance(0.03)) client.reload()
        return
      case 3:
      case 4:
        client.sendOne()
        return
      case 5:
      case 6:
        for (let i = this.int(3); i >= 0; i--) client.receiveOne()
        return
      case 7:
      case 8:
      case 9:
        for (let i = 0; i < 3 && node.up; i++) this.moveCall(node)
        return
      case 10:
        for (let i = this.int(3); i >= 0 && node.up; i--) node.hand.hear()
        return
      case 11:
        if (client.node === null) client.dial()
        else if (this.faulty && this.chance(0.15)) client.cut()
        return
      case 12:
        if (this.faulty && this.chance(0.04)) this.crash(node)
        if (!node.up && this.chance(0.5)) this.boot(node)
        if (this.zombies.length > 0 && this.chance(0.5)) this.zombies.splice(this.int(this.zombies.length), 1)[0]!()
        return
      case 13:
        this.fate()
        if (this.late.length > 0 && this.chance(0.4)) this.late.splice(this.int(this.late.length), 1)[0]!.arrive()
        return
      case 14:
        this.clock.pass(this.faulty && this.chance(0.03) ? 6_000 : this.pick([5, 50, 300]))
        client.waited()
    }
  }

  private badDay(client: Client, node: Node): void {
    switch (this.int(4)) {
      case 0:
      case 1:
        this.count('sleep')
        return client.sleep(this.chance(0.3) ? 300 : this.int(100))
      case 2:
        this.count('right changed')
        if (!this.barred.delete(client.name) && this.chance(0.5)) this.barred.add(client.name)
        return client.cut()
      case 3:
        this.count('clock jump')
        node.skew += this.pick([-100_000, -2_000, 300, 5_000, 100_000])
    }
  }

  /** A character changes in somebody's memory. What a node has written into a checkpoint would be past mending. */
  private rot(client: Client, node: Node): void {
    const { documents } = node.engine as unknown as {
      documents: Map<DocId, { document: { sequencer: { value: Text | null } | null } }>
    }
    const held = node.up && this.limits.checkpointCommits > 1_000 ? documents.get(doc)?.document.sequencer : null
    const rotten = (text: Text) => {
      const at = this.int(text.length)
      this.count('rot')
      this.say('ROT', client.name, node.name, at)
      this.deleted.add(text.slice(at, at + 1)) // as far as anybody can see who deletes the place now
      return textType.apply(text, replace(text.length, at, at + 1, '!'))
    }
    if (held?.value && held.value.length > 0 && this.chance(0.5)) held.value = rotten(held.value)
    else if (client.session.agreed.length > 0) client.rot(rotten(client.session.agreed))
  }

  /** It takes a machine longer to start again than a server needs to do what it has been asked. */
  private async powerCut(client: Client): Promise<void> {
    this.count('power cut')
    client.cut()
    for (const { by, vanish } of this.late) if (by === client) vanish()
    this.late = this.late.filter(({ by }) => by !== client)
    for (const zombie of this.zombies.splice(0)) zombie()
    for (let round = 0; round < 8; round++) {
      for (const { hand, up } of this.nodes) {
        while (up && hand.calls.length > 0) {
          hand.calls[0]!.answer()
          await settle()
        }
        while (up && hand.feed.length > 0) hand.hear()
      }
      this.clock.pass(1_500)
      await settle()
    }
    client.reload(client.older)
  }

  /** Nothing goes wrong any more; everything that is under way arrives. */
  private async calmDown(): Promise<void> {
    this.calm = true
    this.barred.clear()
    for (const client of this.clients) if (client.mayOnlyRead) client.cut()
    for (const zombie of this.zombies.splice(0)) zombie()
    for (const node of this.nodes) if (!node.up) this.boot(node)
    for (let round = 0; round < 600; round++) {
      if (this.failure !== null) throw this.failure
      for (const { arrive } of this.late.splice(0)) arrive()
      for (const node of this.nodes) {
        while (node.hand.calls.length > 0) {
          node.hand.calls[0]!.answer()
          await settle()
        }
        while (node.hand.feed.length > 0) node.hand.hear()
        await settle()
      }
      for (const client of this.clients) {
        if (client.node === null) client.dial()
        client.waited()
        while (client.up.length > 0) client.sendOne()
        await settle()
        while (client.down.length > 0) client.receiveOne()
      }
      this.clock.pass(1_100)
      this.log.durableUpTo(doc, this.history.length)
      await settle()
      const still = this.clients.every(
        c =>
          c.session.link.kind === 'live' && c.session.units.length === 0 && c.session.position?.version === this.history.length,
      )
      // Where beats come often, one more look at the log is always under way.
      const quiet = this.nodes.every(
        ({ hand }) => hand.calls.every(call => (this.days || this.rots) && call.name === 'read') && hand.feed.length === 0,
      )
      if (round > 30 && still && quiet) return
    }
    const states = this.clients.map(c => [
      c.name,
      c.session.link.kind,
      c.session.units.map(u => u.seq),
      c.session.position?.version,
    ])
    this.must(false, `never came to rest: log ${this.history.length}, clients ${JSON.stringify(states)}`)
  }

  /** The text as the log says it, by the plainest possible reading. */
  private replay(): string {
    let text: Text = textType.empty
    const ops: TextOp[] = []
    const sizes = [0]
    for (const entry of this.history) {
      const [base, json] = JSON.parse(entry.body) as [number, unknown]
      let op = textType.opFromJson(json, sizes[base]!)
      for (const other of ops.slice(base)) op = textType.transform(op, other, 'left')
      text = textType.apply(text, op)
      ops.push(op)
      sizes.push(text.length)
    }
    return text.toString()
  }

  private async judge(): Promise<void> {
    if (this.failure !== null) throw this.failure
    const text = this.replay()
    this.history.forEach((entry, i) => {
      this.must(entry.version === i + 1, `versions are not contiguous at ${entry.version}`)
    })
    const seen = new Set<string>()
    for (const entry of this.history) {
      const key = `${entry.author}:${entry.seq}`
      this.must(!seen.has(key), `${key} is in the log twice`)
      seen.add(key)
    }
    for (const client of this.clients) {
      client.agrees()
      this.must(client.session.shown.toString() === text, `${client.name} differs from the replay of the log`)
    }
    for (const [key, who] of this.promised) this.must(seen.has(key), `${who} was told that ${key} is durable, and it is gone`)
    const fresh = { name: 'fresh' } as Node
    this.boot(fresh)
    for (const node of [...this.nodes, fresh]) {
      const read = node.engine.read(doc)
      await settle()
      while (node.hand.calls.length > 0) {
        node.hand.calls[0]!.answer()
        await settle()
      }
      const value = (await read)?.value ?? ''
      this.must(value === text, `${node.name} differs from the replay of the log`)
    }
    for (const client of this.clients) client.close()
    this.clock.pass(60_000)
    for (const node of this.nodes)
      this.must(node.engine.counts.joined === 0, `${node.name} still counts members when everybody has gone`)
    if (this.options.mode === 'same') return
    const times = new Map<string, number>()
    for (const char of text) times.set(char, (times.get(char) ?? 0) + 1)
    for (const [char, who] of this.born) {
      const found = times.get(char) ?? 0
      this.must(found <= 1, `a character of ${who} is in the text twice (${char.charCodeAt(0)})`)
      if (found === 0)
        this.must(this.deleted.has(char) || this.inDrafts.has(char), `a character of ${who} (${char.charCodeAt(0)}) is lost`)
    }
  }
}

/** What of a session is to outlive it, so that two can be compared. */
const written = ({ position, agreed, units, shown, confirmed, durable, seq }: Session<Text, TextOp>) => ({
  ...{ position, units, durable, seq, agreed: agreed.toString(), shown: shown.toString() },
  confirmed: confirmed.map(({ doubts, ...edit }) => ({
    ...edit,
    doubts: doubts.map(({ op, before }) => ({ op, before: String(before) })),
  })),
})

const noUndo = { done: [], undone: [] }

/** One writer: a session, its line to a node, and what its disk holds. */
class Client {
  readonly world: World
  readonly name: string
  readonly author: AuthorId
  session: Session<Text, TextOp>
  private scribe = new Scribe(textType, doc, 0)
  /** What its storage holds, and what of that has come to the disk itself. */
  private records = new Map<string, string>()
  older = this.records
  /** The view: only what the session's effects say is done to it. */
  private view: Text = textType.empty
  node: Node | null = null
  private connection: Connection | null = null
  up: DocumentRequest[] = []
  down: ServerMessage[] = []
  private waits: ('resend' | 'rested' | 'join')[] = []
  outlet: (Outlet & { take(message: ServerMessage): void }) | null = null
  /** The session that was last found to agree with itself and the view. */
  private agreed: Session<Text, TextOp> | null = null
  caret = 0
  words = ''
  private wakes = 0
  private readonly landed = new Set<number>()

  constructor(world: World, name: string) {
    this.world = world
    this.name = name
    this.author = name.padEnd(16, '_') as AuthorId
    this.session = openSession(textType, doc)
  }

  private do(event: SessionEvent<TextOp>): void {
    const before = this.session
    const [next, effects] = step(before, event)
    this.session = next
    if (event.kind === 'edit') this.scribe.typed(before, event.op, next)
    let due = false
    if (this.world.options.trace) {
      if (event.kind === 'message' && event.message.kind === 'joined')
        this.world.say(this.name, 'gets', { ...event.message, peers: 0 })
      for (const effect of effects) if (effect.kind !== 'persist') this.world.say(this.name, effect.kind, effect)
    }
    if (event.kind === 'edit') this.view = textType.apply(this.view, event.op)
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          this.up.push(effect.message)
          break
        case 'persist':
          due = true
          break
        case 'change':
          this.view = textType.apply(this.view, effect.op)
          this.caret = mapPosition(this.caret, effect.op, 'left')
          break
        case 'commit':
          this.scribe.moved(effect.op)
          if (effect.own !== null) this.landed.add(effect.own)
          break
        case 'reset':
          this.scribe.replaced()
          break
        case 'draft':
          this.world.count(`draft ${effect.draft.cause}`)
          this.keep(effect.draft)
          this.landed.clear() // a writer who waits for `settled` is told that something has come back
          break
        case 'wait':
          this.waits.push(effect.next)
          break
        case 'refused':
          this.world.count(`refused ${effect.refusal.code}`)
          break
        case 'skip':
          this.world.count('composed')
          this.scribe.moved(effect.op)
          break
        case 'diverged':
          this.world.count('diverged')
          this.world.must(this.world.rots, `${this.name}: the agreed text is not the server's at ${effect.position.version}`)
      }
    }
    if (due) this.persist()
  }

  private keep(draft: Draft<Text, TextOp>): void {
    for (const char of draft.op.inserted) this.world.inDrafts.add(char)
  }

  persist(): void {
    if (!this.world.tabs) return
    const records = new Map(this.records)
    for (const [key, value] of this.scribe.write({ session: this.session, undo: noUndo, right: 'write' })) {
      if (value === null) records.delete(key)
      else records.set(key, value)
    }
    this.records = records
    if (this.world.forgetful && this.world.chance(0.3)) this.older = records
    const same = isDeepStrictEqual(written(this.read(records).session), written(this.session))
    this.world.must(same, `${this.name}: what was written is not what is read`)
  }

  private read(records: ReadonlyMap<string, string>): Pick<Restored<Text, TextOp>, 'session' | 'cells'> {
    const root = records.get(rootKey(doc))
    if (root === undefined) return { session: openSession(textType, doc), cells: [] }
    return readRecord(textType, doc, root, new Map([...records].filter(([key]) => key.startsWith(cellPrefix(doc)))))
  }

  /** The tab dies, and opens again from what it had stored. */
  reload(from = this.records): void {
    this.world.count('reload')
    const { units, confirmed, agreed } = this.session
    const lost = new Set(units.filter(unit => unit.seq === null).flatMap(unit => [...unit.op.inserted]))
    if (from !== this.records) {
      // So is what was written since: it is in the log, or went with the machine.
      for (const unit of units) for (const char of unit.op.inserted) lost.add(char)
      for (const { undo } of confirmed)
        for (const [from, to] of toEdits(undo)) for (const char of agreed.slice(from, to)) lost.add(char)
    }
    this.cut()
    const { session, cells } = this.read(from)
    this.session = session
    this.scribe = new Scribe(textType, doc, 0, cells)
    this.records = this.older = new Map(from)
    this.view = this.session.shown
    this.caret = 0
    // What was typed since the last storing went with the tab: no promise covers it.
    for (const unit of this.session.units) for (const char of unit.op.inserted) lost.delete(char)
    for (const char of lost) this.world.inDrafts.add(char)
    this.waits = []
  }

  /** What a writer would be told to be safe. */
  private trusts(): void {
    for (const seq of this.landed) {
      if (levelOf(this.session, seq) !== 'durable') continue
      this.landed.delete(seq)
      this.world.promised.set(`${this.author}:${seq}`, this.name)
    }
  }

  agrees(): void {
    if (this.session === this.agreed) return
    this.agreed = this.session
    this.trusts()
    let text = this.session.agreed
    for (const unit of this.session.units) text = textType.apply(text, unit.op)
    this.world.must(text.toString() === this.session.shown.toString(), `${this.name}: shown is not agreed with my edits`)
    this.world.must(this.view.toString() === this.session.shown.toString(), `${this.name}: the view was not told of everything`)
  }

  edit(at: number, remove: number, insert: string): void {
    const { world } = this
    for (const char of this.session.shown.slice(at, at + remove)) world.deleted.add(char)
    for (const char of insert) world.born.set(char, this.name)
    world.say(
      this.name,
      'edits',
      at,
      remove,
      [...insert].map(char => char.charCodeAt(0)),
    )
    this.do({ kind: 'edit', op: replace(this.session.shown.length, at, at + remove, insert) })
  }

  /** What was agreed is taken for another text. */
  rot(agreed: Text): void {
    this.session = { ...this.session, agreed, shown: applyAll(textType, agreed, this.session.units) }
    this.view = this.session.shown
  }

  get mayOnlyRead(): boolean {
    const { link } = this.session
    return link.kind === 'live' && link.right === 'read'
  }

  /** Away for so many moves; offline one can write. */
  sleep(moves: number): void {
    this.cut()
    this.wakes = this.world.moves + moves
  }

  randomEdit(): void {
    const { world } = this
    if (this.session.link.kind === 'closed' || this.mayOnlyRead) return
    const length = this.session.shown.length
    if (world.options.mode === 'type') {
      const char = world.fresh(1)
      this.edit(this.caret, 0, char)
      this.caret++
      this.words += char
      return
    }
    const at = world.int(length + 1)
    const left = length - at
    const kind = world.int(10)
    if (kind < 3 && left > 0) this.edit(at, 1 + world.int(Math.min(4, left)), '')
    else if (kind === 3 && left > 0) this.edit(at, 1 + world.int(Math.min(3, left)), world.fresh(1 + world.int(3)))
    else this.edit(at, 0, world.fresh(1 + world.int(3)))
  }

  // ---- the line

  dial(): void {
    const { world } = this
    if (world.moves < this.wakes && !world.calm) return
    const up = world.nodes.filter(node => node.up)
    if (up.length === 0) return
    const node = world.pick(up)
    const outlet = {
      name: this.name,
      open: true,
      behind: false,
      take: (message: ServerMessage) => {
        if (outlet.open) this.down.push(structuredClone(message))
      },
    }
    this.outlet = outlet
    this.node = node
    node.clients.add(this)
    this.connection = node.engine.connect({ author: this.author, user: { id: this.name } }, outlet)
    const { messageBytes } = defaultLimits
    this.do({ kind: 'up', author: this.author, limits: { messageBytes, opComponents: world.opComponents } })
  }

  close(): void {
    this.connection?.close()
  }

  cut(): void {
    const { node, connection, outlet, world } = this
    if (node === null || connection === null || outlet === null) return
    // What was on its way may still arrive, on a connection that the node does not yet know to be dead.
    const linger = world.faulty && !world.calm && node.up && this.up.length > 0 && world.chance(0.5)
    const messages = this.up
    this.up = []
    this.down = []
    ;(outlet as { open: boolean }).open = false
    node.clients.delete(this)
    this.node = null
    this.connection = null
    this.waits = []
    if (linger) {
      world.count('late')
      const arrive = () => {
        for (const message of messages) if (node.up) connection.receive(structuredClone(message))
        connection.close()
      }
      world.late.push({ by: this, arrive, vanish: () => connection.close() })
    } else connection.close()
    this.do({ kind: 'down' })
  }

  sendOne(): void {
    const message = this.up.shift()
    if (message === undefined || this.connection === null) return
    const copies = this.world.faulty && !this.world.calm && message.kind === 'submit' && this.world.chance(0.05) ? 2 : 1
    for (let i = 0; i < copies; i++) this.connection.receive(structuredClone(message))
  }

  receiveOne(): void {
    const message = this.down.shift()
    if (message === undefined) return
    if (message.kind === 'beat' && message.hash !== null) this.world.count('hash told')
    this.do({ kind: 'message', message })
  }

  /** A wait is over, if there is one; a submission without an answer is sent again. */
  waited(): void {
    const next = this.waits.shift()
    if (next !== undefined) this.do({ kind: next })
    else if (this.world.chance(0.1)) this.do({ kind: 'resend' })
  }
}

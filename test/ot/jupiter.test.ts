// Many writers, one order: the whole way of edits through a server, on a network that delays, doubles and cuts.
import { describe, expect, it } from 'vitest'
import { compose, mapPosition, transform, transformPair } from '../../src/ot/algebra.ts'
import { insert, remove, type TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import type { Side } from '../../src/ot/type.ts'
import { type Random, seededRandom } from '../../src/testing/type-laws.ts'
import { below, plain, run } from './samples.ts'

interface Submission {
  readonly author: number
  readonly seq: number
  readonly base: number
  readonly op: TextOp
}

interface Commit {
  readonly author: number
  readonly op: TextOp
}

const other = (side: Side): Side => (side === 'left' ? 'right' : 'left')

/** Gives every submission its place and moves it over the commits since its base, one by one. */
class Server {
  readonly log: Commit[] = []
  readonly texts: Text[] // at every version
  readonly clients: Client[] = []
  private readonly lastSeq = new Map<number, number>()
  private readonly later: Side

  constructor(text: Text, later: Side) {
    this.texts = [text]
    this.later = later
  }

  receive({ author, seq, base, op }: Submission): void {
    if ((this.lastSeq.get(author) ?? 0) >= seq) return // resent, and here already
    let moved = op
    for (const commit of this.log.slice(base)) moved = transform(moved, commit.op, this.later)
    this.lastSeq.set(author, seq)
    const commit = { author, op: moved }
    this.log.push(commit)
    this.texts.push(this.texts[this.texts.length - 1]!.apply(moved))
    for (const client of this.clients) if (client.online) client.down.push(commit)
  }
}

/** One op in flight, what is written meanwhile composed behind it. */
class Client {
  online = true
  down: Commit[] = []
  up: Submission[] = []
  view: Text
  caret = 0
  private version = 0
  private seq = 0
  private inFlight: Submission | undefined // as it was sent
  private moved: TextOp | undefined // the same, as it is at `version`
  private buffer: TextOp | undefined
  private readonly server: Server
  private readonly author: number
  private readonly later: Side

  constructor(server: Server, author: number, later: Side) {
    this.server = server
    this.author = author
    this.later = later
    this.view = server.texts[0]!
    server.clients.push(this)
  }

  edit(op: TextOp): void {
    this.view = this.view.apply(op)
    this.buffer = this.buffer === undefined ? op : compose(this.buffer, op)
  }

  send(): void {
    if (!this.online || this.inFlight !== undefined || this.buffer === undefined) return
    this.inFlight = { author: this.author, seq: ++this.seq, base: this.version, op: this.buffer }
    this.moved = this.buffer
    this.buffer = undefined
    this.up.push(this.inFlight)
  }

  /** The same again: as it was first sent, or as it is now. The server must make the same of both. */
  resend(asItIsNow: boolean): void {
    if (!this.online || this.inFlight === undefined) return
    this.up.push(asItIsNow ? { ...this.inFlight, base: this.version, op: this.moved! } : this.inFlight)
  }

  cut(): void {
    this.online = false
    this.down = []
    this.up = []
  }

  reconnect(asItIsNow: boolean): void {
    this.online = true
    this.down = this.server.log.slice(this.version)
    this.up = []
    this.resend(asItIsNow)
  }

  receive(commit: Commit): void {
    this.version++
    if (commit.author === this.author) {
      this.inFlight = undefined
      this.moved = undefined
    } else {
      let op = commit.op
      if (this.moved !== undefined) [this.moved, op] = transformPair(this.moved, op, this.later)
      if (this.buffer !== undefined) [this.buffer, op] = transformPair(this.buffer, op, this.later)
      this.view = this.view.apply(op)
      this.caret = mapPosition(this.caret, op, 'left')
    }
    const settled = this.moved === undefined && this.buffer === undefined
    const expected = this.server.texts[this.version]!
    if (settled && !this.view.equals(expected)) {
      throw new Error(`client ${this.author} has ${this.view} at version ${this.version}, the server ${expected}`)
    }
  }

  type(letter: string): void {
    const op = insert(this.view.length, this.caret, letter)
    this.edit(op)
    this.caret = mapPosition(this.caret, op, 'right')
  }

  get idle(): boolean {
    const { inFlight, buffer, down, up, server } = this
    return !inFlight && !buffer && down.length + up.length === 0 && this.version === server.log.length
  }
}

/** One thing that may happen to a client, at random. */
function happen(random: Random, server: Server, client: Client, edit: () => void): void {
  const dice = random()
  if (dice < 0.3) edit()
  else if (dice < 0.5) client.send()
  else if (dice < 0.7) arrive(server, client)
  else if (dice < 0.88)
    for (let n = 1 + below(random, 3); n > 0 && client.down.length > 0; n--) client.receive(client.down.shift()!)
  else if (dice < 0.94) client.resend(random() < 0.5)
  else if (client.online) client.cut()
  else client.reconnect(random() < 0.5)
}

function arrive(server: Server, client: Client): void {
  const submission = client.up.shift()
  if (submission !== undefined) server.receive(submission)
}

/** Lets everything arrive. */
function settle(server: Server): void {
  const { clients } = server
  while (!clients.every(client => client.idle)) {
    for (const client of clients) {
      if (!client.online) client.reconnect(false)
      client.send()
      while (client.up.length > 0) arrive(server, client)
      while (client.down.length > 0) client.receive(client.down.shift()!)
    }
  }
}

/** The texts that a session ends in: the server's, every client's, and that of a fresh replay of the log. */
function session(seed: number): string[] {
  const random = seededRandom(seed)
  const server = new Server(plain.snapshot(random), 'left')
  const clients = Array.from({ length: 2 + below(random, 3) }, (_, author) => new Client(server, author, 'left'))
  for (let steps = 10 + below(random, 50); steps > 0; steps--) {
    const client = clients[below(random, clients.length)]!
    happen(random, server, client, () => {
      const { view } = client
      client.edit(view.length > 40 ? remove(view.length, 5, view.length) : plain.op(random, view))
    })
  }
  settle(server)
  const replayed = server.log.reduce((text, commit) => text.apply(commit.op), server.texts[0]!)
  return [replayed, server.texts[server.log.length]!, ...clients.map(client => client.view)].map(String)
}

/** Two people type a word each at one place. True when the words came out whole. */
function typed(seed: number, later: Side): boolean {
  const random = seededRandom(seed)
  const server = new Server(Text.of('..'), later)
  const words = ['ABCDEFGH', 'stuvwxyz']
  const clients = words.map((_, author) => new Client(server, author, later))
  const done = [0, 0]
  for (const client of clients) client.caret = 1
  while (done[0]! < 8 || done[1]! < 8) {
    const who = below(random, 2)
    happen(random, server, clients[who]!, () => {
      if (done[who]! < 8) clients[who]!.type(words[who]![done[who]!++]!)
    })
  }
  settle(server)
  const text = server.texts[server.log.length]!.toString()
  return words.every(word => text.includes(word))
}

describe('[P1] writers around one server', () => {
  it('end with one text, over random batches, delays, resends and cuts', () => {
    for (let i = 0; i < run.cases; i++) {
      const seed = run.seed + i
      let texts: string[]
      try {
        texts = session(seed)
      } catch (error) {
        throw new Error(`session with seed ${seed} broke: ${String(error)}`, { cause: error })
      }
      if (texts.some(text => text !== texts[0])) expect.fail(`session with seed ${seed} ends in ${JSON.stringify(texts)}`)
    }
  })

  it('never mix the words of two who type forward at one place, as the later one goes left', () => {
    const sessions = Math.min(run.cases, 30_000)
    for (let i = 0; i < sessions; i++) {
      if (!typed(run.seed + i, 'left')) expect.fail(`words are mixed with seed ${run.seed + i}`)
    }
  })

  it('would mix them in most sessions if the later one went right', () => {
    const sessions = Math.min(run.cases, 3_000)
    let mixed = 0
    for (let i = 0; i < sessions; i++) if (!typed(run.seed + i, other('left'))) mixed++
    expect(mixed / sessions).toBeGreaterThan(0.4)
  })
})

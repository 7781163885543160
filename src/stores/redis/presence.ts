// Who is in which document, on all nodes: two-level leases in Redis.
// Invariant: an appearance lives no longer than the lease of the node that shows it, and whoever takes it away tells so in the same step, so it
// is told once.

import { randomBytes } from 'node:crypto'
import type { Appearance, PresenceBoard, PresenceNews } from '../../engine/ports.ts'
import type { DocId, PeerId } from '../../protocol/ids.ts'
import type { Keys } from './keys.ts'
import type { Rooms } from './rooms.ts'
import * as scripts from './scripts.ts'
import type { Wire } from './wire.ts'

export interface PresenceParts {
  readonly wire: Wire
  readonly keys: Keys
  readonly rooms: Rooms
  readonly publish: 'PUBLISH' | 'SPUBLISH'
  /** Milliseconds that a node's lease lasts; it is renewed three times in that time. */
  readonly lease: number
  readonly peersPerDocument: number
}

type Change = { readonly kind: '+'; readonly appearance: Appearance } | { readonly kind: '-'; readonly peer: PeerId }

const peerOf = (change: Change): PeerId => (change.kind === '+' ? change.appearance.peer : change.peer)

/** What this node has to say about one document: at most one message under way, the next holds whatever came meanwhile. */
interface Outbox {
  readonly shown: Map<PeerId, Appearance>
  waiting: Change[]
  sending: Promise<void> | null
  /** Under which name Redis knows that this node has somebody in the document. */
  filedUnder: string | null
}

const looksInALease = 9 // a look at some rooms each second, of a lease of nine
const leasesInARound = 2 // in which each room has its turn: a third of what the log's own beat asks of Redis

const changesAtOnce = 500 // in one message; beyond it only the latest of each peer waits

export class RedisPresence implements PresenceBoard {
  readonly #parts: PresenceParts
  readonly #outboxes = new Map<DocId, Outbox>()
  /** Peers that listeners on this node have heard of: what they are told is gone when the news of it was missed. */
  readonly #heard = new Map<DocId, { readonly peers: Set<PeerId>; listeners: number }>()
  /** The name under which this node has its lease; a new one whenever something may have been missed, so that what is late is told apart. */
  #node: string | null = null
  /** Names that this node had before, under which people may still be shown who have left. */
  readonly #formers = new Set<string>()
  #naming: Promise<string> | null = null
  #beating: NodeJS.Timeout | null = null
  #rising: NodeJS.Timeout | null = null
  #looking: NodeJS.Timeout | null = null
  #round: Iterator<DocId> | null = null
  #closed = false

  constructor(parts: PresenceParts) {
    this.#parts = parts
    parts.wire.whenLost(() => this.#doubt())
    parts.rooms.whenMissed(doc => this.#reconcile(doc))
  }

  show(doc: DocId, appearance: Appearance): void {
    const outbox = this.#outbox(doc)
    if (outbox.shown.size >= this.#parts.peersPerDocument && !outbox.shown.has(appearance.peer)) return
    outbox.shown.set(appearance.peer, appearance)
    this.#say(doc, outbox, { kind: '+', appearance })
  }

  remove(doc: DocId, peer: PeerId): void {
    const outbox = this.#outboxes.get(doc)
    if (outbox?.shown.delete(peer)) this.#say(doc, outbox, { kind: '-', peer })
  }

  /** While Redis is away: those of this node. */
  async list(doc: DocId): Promise<readonly Appearance[]> {
    const own = this.#outboxes.get(doc)
    try {
      while (own?.sending != null) await own.sending
      const found = await this.#read(doc)
      const known = this.#heard.get(doc)
      for (const { peer } of found) known?.peers.add(peer)
      return found
    } catch {
      this.#parts.rooms.lookAfter(doc) // who listens is told of the others once they can be read
      return [...(own?.shown.values() ?? [])]
    }
  }

  async subscribe(doc: DocId, listener: (news: readonly PresenceNews[]) => void): Promise<() => void> {
    const { rooms } = this.#parts
    let known = this.#heard.get(doc)
    if (known === undefined) this.#heard.set(doc, (known = { peers: new Set(), listeners: 0 }))
    const { peers } = known
    if (known.listeners++ === 0) this.#keepBooks(doc, peers)
    const stopHearing = rooms.news.subscribe(doc, listener)
    let leave = (): void => {}
    let over = false
    const stop = (): void => {
      if (over) return
      over = true
      stopHearing()
      leave()
      const known = this.#heard.get(doc)
      if (known === undefined || --known.listeners > 0) return
      this.#heard.delete(doc)
      this.#books.get(doc)?.()
      this.#books.delete(doc)
    }
    try {
      leave = await rooms.hold(doc)
      this.#beat() // whoever listens also looks after the dead
      this.#look()
    } catch (error) {
      stop()
      throw error
    }
    return stop
  }

  /** Lets go of the lease; everybody of this node is gone at once. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#beating !== null) clearTimeout(this.#beating)
    if (this.#rising !== null) clearTimeout(this.#rising)
    if (this.#looking !== null) clearTimeout(this.#looking)
    const node = this.#node
    if (node === null) return
    for (const outbox of this.#outboxes.values()) outbox.waiting = []
    try {
      await Promise.all([...this.#outboxes.values()].map(({ sending }) => sending))
      await this.#renew('', false, node) // from now on it has a grave, so whatever happens to us somebody looks after it
      await this.#bury(node, true)
    } catch {
      // Then the lease runs out, or the grave is looked after by another node.
    }
  }

  readonly #books = new Map<DocId, () => void>()

  #keepBooks(doc: DocId, peers: Set<PeerId>): void {
    const note = (news: readonly PresenceNews[]): void => {
      for (const item of news) item.kind === 'here' ? peers.add(item.appearance.peer) : peers.delete(item.peer)
    }
    this.#books.set(doc, this.#parts.rooms.news.subscribe(doc, note))
  }

  #outbox(doc: DocId): Outbox {
    let outbox = this.#outboxes.get(doc)
    if (outbox === undefined) {
      outbox = { shown: new Map(), waiting: [], sending: null, filedUnder: null }
      this.#outboxes.set(doc, outbox)
    }
    return outbox
  }

  #say(doc: DocId, outbox: Outbox, change: Change): void {
    if (this.#closed) return
    outbox.waiting.push(change)
    if (outbox.waiting.length > changesAtOnce) {
      const latest = new Map(outbox.waiting.map(change => [peerOf(change), change]))
      if (latest.size < outbox.waiting.length) outbox.waiting = [...latest.values()]
    }
    outbox.sending ??= this.#send(doc, outbox).finally(() => (outbox.sending = null))
  }

  /** Never rejects: what could not be said is said anew under another name. */
  async #send(doc: DocId, outbox: Outbox): Promise<void> {
    const { wire, keys, publish, peersPerDocument } = this.#parts
    try {
      await null // what is said in one moment goes in one message
      while (outbox.waiting.length > 0) {
        const node = await this.#name()
        if (outbox.filedUnder !== node) {
          // First filed, then shown: whatever a dead node shows can be found.
          await wire.call(redis => redis.sadd(keys.documentsOf(node), doc))
          outbox.filedUnder = node
        }
        const changes = outbox.waiting.splice(0, changesAtOnce)
        const words = changes.flatMap(change =>
          change.kind === '+' ? ['+', change.appearance.peer, JSON.stringify(change.appearance)] : ['-', change.peer, ''],
        )
        await wire.run<number>(scripts.show, [keys.here(doc)], [node, peersPerDocument, keys.channel(doc), publish, ...words])
        if (outbox.waiting.length > 0 || outbox.shown.size > 0) continue
        await wire.call(redis => redis.srem(keys.documentsOf(node), doc))
        outbox.filedUnder = null
        if (outbox.waiting.length === 0 && outbox.shown.size === 0) this.#outboxes.delete(doc)
      }
    } catch {
      outbox.waiting = []
      this.#doubt()
    }
  }

  async #read(doc: DocId): Promise<readonly Appearance[]> {
    const { wire, keys } = this.#parts
    const [alive, here] = await Promise.all([
      wire.run<string[]>(scripts.alive, [keys.leases], []),
      wire.call(redis => redis.hvals(keys.here(doc))),
    ])
    const living = new Set(alive)
    return here.flatMap(text => {
      const space = text.indexOf(' ')
      return living.has(text.slice(0, space)) ? [JSON.parse(text.slice(space + 1)) as Appearance] : []
    })
  }

  /** The room was not heard for a while: what has changed meanwhile is told. */
  async #reconcile(doc: DocId): Promise<void> {
    const known = this.#heard.get(doc)
    if (known === undefined) return
    const { news } = this.#parts.rooms
    const before = new Set(known.peers)
    // What is told while we read is newer than what we read, or the same.
    const overheard = new Set<PeerId>()
    const stop = news.subscribe(doc, told => {
      for (const item of told) overheard.add(item.kind === 'here' ? item.appearance.peer : item.peer)
    })
    const found = await this.#read(doc).finally(stop)
    const here = new Set(found.map(({ peer }) => peer))
    const missed: PresenceNews[] = [
      ...found.map((appearance): PresenceNews => ({ kind: 'here', appearance })),
      ...[...before].filter(peer => !here.has(peer)).map((peer): PresenceNews => ({ kind: 'gone', peer })),
    ]
    const still = missed.filter(item => !overheard.has(item.kind === 'here' ? item.appearance.peer : item.peer))
    if (still.length > 0) news.tell(doc, still)
  }

  /** News may be lost on a line that seems to be whole. Who is known in a room is held against who is there, one room after the other. */
  #look(): void {
    if (this.#looking !== null || this.#closed) return
    this.#looking = setTimeout(() => {
      this.#looking = null
      for (let left = Math.ceil(this.#heard.size / (looksInALease * leasesInARound)); left > 0; left--) {
        this.#round ??= this.#heard.keys()
        const { done, value } = this.#round.next()
        if (done) this.#round = null
        else this.#compare(value).catch(() => {}) // Redis is away; the room has another turn
      }
      if (this.#heard.size > 0) this.#look()
    }, this.#parts.lease / looksInALease)
  }

  async #compare(doc: DocId): Promise<void> {
    const { wire, keys, rooms } = this.#parts
    const peers = (await wire.call(redis => redis.hkeys(keys.here(doc)))) as PeerId[]
    const known = this.#heard.get(doc)?.peers
    if (known === undefined || (peers.length === known.size && peers.every(peer => known.has(peer)))) return
    rooms.lookAfter(doc)
  }

  // ---- the lease

  /** The name of this node, which has a lease by then. */
  async #name(): Promise<string> {
    if (this.#node !== null) return this.#node
    this.#naming ??= this.#take(null).finally(() => (this.#naming = null))
    return this.#naming
  }

  async #take(former: string | null): Promise<string> {
    const node = randomBytes(9).toString('base64url')
    await this.#renew(node, true, former)
    this.#node = node
    this.#beat()
    return node
  }

  /** Something that was said may not have arrived, or may arrive late: everything is said anew under another name. */
  #doubt(): void {
    if (this.#closed || this.#rising !== null || (this.#node === null && this.#outboxes.size === 0)) return
    const wait = this.#parts.lease / 45 // 200 ms; a Redis that is away is asked again and again
    this.#rising = setTimeout(
      () => {
        this.#rising = null
        this.#rise().catch(() => this.#doubt())
      },
      wait * (0.5 + Math.random()),
    )
  }

  async #rise(): Promise<void> {
    const former = this.#node
    if (former !== null) this.#formers.add(former)
    await this.#take(former)
    for (const [doc, outbox] of this.#outboxes) {
      if (outbox.shown.size === 0 && outbox.sending === null) {
        this.#outboxes.delete(doc)
        continue
      }
      outbox.waiting = []
      for (const appearance of outbox.shown.values()) this.#say(doc, outbox, { kind: '+', appearance })
    }
    await Promise.all([...this.#outboxes.values()].map(({ sending }) => sending))
    // Whoever left meanwhile is still there under a former name. Its grave is looked after again: something may arrive late.
    for (const former of [...this.#formers]) {
      if (this.#rising !== null) return // not everything has arrived; who is burying now would take away people who stay
      await this.#bury(former, false)
      this.#formers.delete(former)
    }
  }

  #beat(): void {
    if (this.#beating !== null || this.#closed) return
    this.#beating = setTimeout(() => this.#beatNow(), this.#parts.lease / 3)
  }

  #beatNow(): void {
    const node = this.#node
    this.#renew(node ?? '', false, null).then(
      ({ known, next }) => {
        this.#beating = null
        if (this.#closed) return
        if (node !== null && node === this.#node && !known) this.#doubt() // declared dead, or Redis is another one
        // A dead node is noticed when its lease ends, not a beat later.
        this.#beating = setTimeout(() => this.#beatNow(), Math.max(50, Math.min(this.#parts.lease / 3, next + 20)))
      },
      () => {
        this.#beating = null
        this.#beat()
      },
    )
  }

  async #renew(node: string, fresh: boolean, former: string | null): Promise<{ readonly known: boolean; readonly next: number }> {
    const { wire, keys, lease } = this.#parts
    const [known, next, dead, again] = await wire.run<[number, number, string[], string[]]>(
      scripts.renew,
      [keys.leases, keys.graves],
      [node, lease, fresh ? '1' : '0', former ?? ''],
    )
    const burials = [...dead.map(node => this.#bury(node, false)), ...again.map(node => this.#bury(node, true))]
    Promise.all(burials).catch(() => {}) // the grave is looked after again, by whoever comes first
    return { known: known === 1, next }
  }

  /** Takes away what a dead node showed. `last`: what came late is taken too, so its grave may go. */
  async #bury(node: string, last: boolean): Promise<void> {
    const { wire, keys, publish } = this.#parts
    const docs = (await wire.call(redis => redis.smembers(keys.documentsOf(node)))) as DocId[]
    for (let i = 0; i < docs.length; i += 32) {
      await Promise.all(
        docs.slice(i, i + 32).map(doc => wire.run<number>(scripts.bury, [keys.here(doc)], [node, keys.channel(doc), publish])),
      )
    }
    if (!last) return
    await wire.call(redis => redis.del(keys.documentsOf(node)))
    await wire.call(redis => redis.zrem(keys.graves, node))
  }
}

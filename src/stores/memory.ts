// The store that forgets everything when its process ends: the readable statement of what a store is.
// Invariant: every operation is one synchronous step, so what it checks, changes and announces cannot part.

import type {
  About,
  Announcement,
  Checkpoint,
  Entry,
  Log,
  LogReply,
  NewEntry,
  Opened,
  Refusal,
  Seed,
  Store,
} from '../engine/ports.ts'
import { isPrivate } from '../engine/ports.ts'
import type { AuthorId, Chain, DocId, Epoch, Position, Seq, Version } from '../protocol/ids.ts'
import { emptyChain } from '../protocol/ids.ts'
import { link } from './chain.ts'
import { freshEpoch } from './epoch.ts'
import { Feed } from './feed.ts'
import { localNotices } from './notices.ts'
import { unfinished } from './planted.ts'
import { localPresence } from './presence.ts'
import { type Benches, localSeats } from './seats.ts'
import { localControl, localSignals } from './signals.ts'

export interface MemoryOptions {
  /** When an entry counts as durable: with its append (the default), or when a test says so by `durableUpTo`. */
  readonly durable?: 'at once' | 'by hand'
  /** Names each new log. Default: random; a simulation gives its own so that a seed repeats. */
  readonly epochs?: () => Epoch
}

/** The order of document ids in listings: that of their UTF-8 bytes, which is the one that every store can keep. */
const compareIds = (a: DocId, b: DocId): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

interface Row {
  readonly seq: Seq
  readonly version: Version
}

/** One document. `entries[0]` has version `floor.version + 1`; `floor` and all below it are trimmed. */
interface Document {
  readonly epoch: Epoch
  floor: { readonly version: Version; readonly chain: Chain }
  entries: Entry[]
  durable: Version
  horizon: Version
  checkpoint: Checkpoint | null
  /** Each author's last edit, as of the log's version and as of the floor; the second is what a lost tail falls back to. */
  authors: Map<AuthorId, Row>
  readonly authorsAtFloor: Map<AuthorId, Row>
  readonly removed: boolean
  planted: boolean
}

const versionOf = (log: Document): Version => log.floor.version + log.entries.length

const chainAt = (log: Document, version: Version): Chain =>
  version === log.floor.version ? log.floor.chain : log.entries[version - log.floor.version - 1]!.chain

const after = (log: Document, version: Version): readonly Entry[] => log.entries.slice(Math.max(0, version - log.floor.version))

/** Why the log does not know this position; null: it does. */
const refusal = (log: Document | undefined, at: Position): Refusal | null => {
  if (log === undefined || at.epoch !== log.epoch) return 'epoch'
  if (at.version > versionOf(log)) return 'behind'
  if (at.version < log.horizon) return 'horizon'
  return chainAt(log, at.version) === at.chain ? null : 'fork'
}

const holds = (log: Document, { version, chain, horizon }: Checkpoint): boolean =>
  version >= log.floor.version && version <= versionOf(log) && chainAt(log, version) === chain && horizon >= log.floor.version

const landed = (entry: Entry): Row => ({ seq: entry.seq, version: entry.version })

/** The log port with every method synchronous, and the faults that a test may cause. Announcements are made before a method returns. */
export class MemoryLog {
  /** These lie beside the log, so that whoever finds the one finds the others. */
  readonly notices = localNotices()
  readonly benches: Benches = new Map()
  readonly #documents = new Map<DocId, Document>()
  readonly #feed = new Feed<DocId, Announcement>()
  readonly #durable: 'at once' | 'by hand'
  readonly #epochs: () => Epoch

  constructor({ durable = 'at once', epochs = freshEpoch }: MemoryOptions = {}) {
    this.#durable = durable
    this.#epochs = epochs
  }

  open(doc: DocId): Opened {
    const log = this.#documents.get(doc) ?? this.#create(doc, this.#epochs())
    if (log.planted) throw new Error(unfinished(doc))
    const tail = after(log, log.checkpoint?.version ?? 0)
    const { epoch, checkpoint, durable, horizon, removed } = log
    return { epoch, checkpoint, tail, durable, horizon, ...(removed ? { removed } : {}) }
  }

  about(doc: DocId): About | null {
    const log = this.#documents.get(doc)
    if (log === undefined) return null
    const { epoch, durable, horizon, floor, planted, removed } = log
    const version = versionOf(log)
    const checkpointed = log.checkpoint?.version ?? 0
    return { epoch, version, chain: chainAt(log, version), durable, horizon, floor, checkpointed, planted, removed }
  }

  remove(doc: DocId): boolean {
    const log = this.#documents.get(doc)
    if (log === undefined || (versionOf(log) === 0 && !log.planted)) return false
    const { epoch } = this.#create(doc, this.#epochs(), { removed: true })
    this.#feed.tell(doc, { kind: 'durable', epoch, version: 0, chain: emptyChain })
    return true
  }

  plant(doc: DocId, { epoch, floor, authors }: Seed): About | null {
    const log = this.#documents.get(doc)
    const same = log?.planted && log.epoch === epoch && log.floor.version === floor.version && log.floor.chain === floor.chain
    if (log !== undefined && !same && (log.planted || versionOf(log) > 0)) return null
    const planted = same ? log : this.#create(doc, epoch, { floor, planted: true })
    for (const { author, ...row } of authors) {
      if (!planted.authors.has(author)) planted.authors.set(author, row)
      planted.authorsAtFloor.set(author, row)
    }
    return this.about(doc)
  }

  settle(doc: DocId, epoch: Epoch, checkpoint: Checkpoint | null): boolean {
    const log = this.#documents.get(doc)
    if (log === undefined || log.epoch !== epoch) return false
    if (!log.planted) return true // done before
    if (checkpoint === null ? log.floor.version > 0 : !holds(log, checkpoint)) return false
    log.planted = false
    log.checkpoint = checkpoint
    log.horizon = Math.max(log.floor.version, checkpoint?.horizon ?? 0)
    const version = versionOf(log)
    this.#feed.tell(doc, { kind: 'durable', epoch, version: log.durable, chain: chainAt(log, Math.min(log.durable, version)) })
    return true
  }

  append(doc: DocId, at: Position, entries: readonly NewEntry[]): LogReply {
    const log = this.#documents.get(doc)
    const reason = refusal(log, at)
    if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }
    const from = versionOf(log)
    const chain = chainAt(log, from)
    for (const { author, seq, body } of entries) {
      if (seq <= (log.authors.get(author)?.seq ?? 0)) continue // R13: it is there already, or one after it is
      const version = versionOf(log) + 1
      const entry = { author, seq, body, version, chain: link(chainAt(log, version - 1), { author, seq, body }) }
      log.entries.push(entry)
      log.authors.set(author, landed(entry))
    }
    if (this.#durable === 'at once') log.durable = versionOf(log)
    if (versionOf(log) > from) {
      this.#feed.tell(doc, { kind: 'entries', epoch: log.epoch, from, chain, entries: after(log, from), durable: log.durable })
    }
    return { ok: true, entries: after(log, at.version), durable: log.durable, horizon: log.horizon }
  }

  read(doc: DocId, at: Position): LogReply {
    const log = this.#documents.get(doc)
    const reason = refusal(log, at)
    if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }
    return { ok: true, entries: after(log, at.version), durable: log.durable, horizon: log.horizon }
  }

  entries(doc: DocId, start: Version, limit: number): readonly Entry[] {
    const log = this.#documents.get(doc)
    return log === undefined ? [] : after(log, start).filter(entry => entry.version <= start + limit)
  }

  /** A horizon above the log's version would shut out everybody, so it stops there: a caller who asks for that has lost a tail. */
  raiseHorizon(doc: DocId, epoch: Epoch, horizon: Version): Version | null {
    const log = this.#documents.get(doc)
    if (log === undefined || log.epoch !== epoch) return null
    log.horizon = Math.max(log.horizon, Math.min(horizon, versionOf(log)))
    return versionOf(log)
  }

  checkpoint(doc: DocId, checkpoint: Checkpoint): boolean {
    const log = this.#documents.get(doc)
    const { epoch, version, horizon, pruned } = checkpoint
    if (log === undefined || epoch !== log.epoch) return false
    if (version > versionOf(log) || version < log.floor.version || chainAt(log, version) !== checkpoint.chain) return false
    if (version < (log.checkpoint?.version ?? 0)) return false
    if (version > log.durable || version <= horizon) return false // R5
    if (horizon > log.horizon) return false // R3
    if (pruned > horizon || pruned < (log.checkpoint?.pruned ?? 0)) return false // R7: openers learn the mark from the checkpoint alone
    log.checkpoint = checkpoint
    this.#trim(log, horizon)
    for (const [author, row] of log.authors) if (row.version <= pruned) log.authors.delete(author)
    for (const [author, row] of log.authorsAtFloor) if (row.version <= pruned) log.authorsAtFloor.delete(author)
    return true
  }

  subscribe(doc: DocId, listener: (announcement: Announcement) => void): () => void {
    return this.#feed.subscribe(doc, listener)
  }

  documents(start: DocId | null, limit: number): readonly DocId[] {
    const written = [...this.#documents]
      .filter(([doc, log]) => (versionOf(log) > 0 || log.planted) && !isPrivate(doc))
      .map(([doc]) => doc)
    return written
      .sort(compareIds)
      .filter(doc => start === null || compareIds(doc, start) > 0)
      .slice(0, limit)
  }

  // ---- for tests: what happens to a store from outside

  /** With `durable: 'by hand'`: entries up to `version` are safe now, and that is announced. */
  durableUpTo(doc: DocId, version: Version): void {
    const log = this.#existing(doc)
    const reached = Math.min(version, versionOf(log))
    if (reached <= log.durable) return
    log.durable = reached
    this.#feed.tell(doc, { kind: 'durable', epoch: log.epoch, version: reached, chain: chainAt(log, reached) })
  }

  /**
   * A failover to a copy that had only the first `to` entries. Nobody is told. The epoch stays, unless another is given: which of the
   * two happens depends on the store.
   */
  lose(doc: DocId, to: Version, epoch?: Epoch): void {
    const log = this.#existing(doc)
    const kept = Math.max(log.floor.version, log.checkpoint?.version ?? 0)
    if (to < kept || to > versionOf(log))
      throw new RangeError(`cannot fall back to version ${to} of a log that holds ${kept} to ${versionOf(log)}`)
    log.entries = log.entries.slice(0, to - log.floor.version)
    log.authors = new Map(log.authorsAtFloor)
    for (const entry of log.entries) log.authors.set(entry.author, landed(entry))
    for (const [author, row] of log.authors) if (row.version <= (log.checkpoint?.pruned ?? 0)) log.authors.delete(author)
    log.durable = Math.min(log.durable, to)
    log.horizon = Math.min(log.horizon, to)
    if (epoch !== undefined)
      this.#documents.set(doc, { ...log, epoch, checkpoint: log.checkpoint && { ...log.checkpoint, epoch } })
  }

  /** The whole document is gone; whoever opens it finds another, empty one. Nobody is told. */
  loseAll(doc: DocId): void {
    this.#documents.delete(doc)
  }

  #existing(doc: DocId): Document {
    const log = this.#documents.get(doc)
    if (log === undefined) throw new RangeError(`nobody has opened ${JSON.stringify(doc)}`)
    return log
  }

  #create(doc: DocId, epoch: Epoch, given: Partial<Pick<Document, 'floor' | 'removed' | 'planted'>> = {}): Document {
    const floor = given.floor ?? { version: 0, chain: emptyChain }
    const log: Document = {
      epoch,
      floor,
      entries: [],
      durable: floor.version,
      horizon: floor.version,
      checkpoint: null,
      authors: new Map(),
      authorsAtFloor: new Map(),
      removed: given.removed ?? false,
      planted: given.planted ?? false,
    }
    this.#documents.set(doc, log)
    return log
  }

  #trim(log: Document, to: Version): void {
    if (to <= log.floor.version) return
    const trimmed = log.entries.slice(0, to - log.floor.version)
    for (const entry of trimmed) log.authorsAtFloor.set(entry.author, landed(entry))
    log.entries = log.entries.slice(trimmed.length)
    log.floor = { version: to, chain: trimmed.at(-1)!.chain }
  }
}

/** The log port over a synchronous log: the same steps, answered by promises. Closing it ends its own subscriptions only. */
const promised = (log: MemoryLog): Log => {
  const subscriptions = new Set<() => void>()
  return {
    durability: 'memory',
    open: async doc => log.open(doc),
    append: async (doc, at, entries) => log.append(doc, at, entries),
    read: async (doc, at) => log.read(doc, at),
    entries: async (doc, start, limit) => log.entries(doc, start, limit),
    raiseHorizon: async (doc, epoch, horizon) => log.raiseHorizon(doc, epoch, horizon),
    checkpoint: async (doc, checkpoint) => log.checkpoint(doc, checkpoint),
    about: async doc => log.about(doc),
    remove: async doc => log.remove(doc),
    plant: async (doc, seed) => log.plant(doc, seed),
    settle: async (doc, epoch, checkpoint) => log.settle(doc, epoch, checkpoint),
    async subscribe(doc, listener) {
      const stop = log.subscribe(doc, listener)
      subscriptions.add(stop)
      return () => {
        subscriptions.delete(stop)
        stop()
      }
    },
    documents: async (start, limit) => log.documents(start, limit),
    async close() {
      for (const stop of subscriptions) stop()
      subscriptions.clear()
    },
  }
}

export interface MemoryStore extends Store {
  /** The synchronous log inside, for tests and simulations. */
  readonly core: MemoryLog
}

/** A store in this process's memory. Give it `core` to stand before a log that already exists, as a restarted server does. */
export const memoryStore = (options: MemoryOptions = {}, core: MemoryLog = new MemoryLog(options)): MemoryStore => {
  const log = promised(core)
  const seats = localSeats(core.benches)
  return {
    name: 'memory:',
    shared: false,
    core,
    log,
    presence: localPresence(),
    control: localControl(),
    notices: core.notices,
    signals: localSignals(),
    seats,
    ready: async () => {},
    async close() {
      seats.close()
      await log.close()
    },
  }
}

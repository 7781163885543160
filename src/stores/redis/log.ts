// The log in Redis.
// Invariant: what the scripts answer is the log; nothing here remembers a document.

import type {
  About,
  Announcement,
  Checkpoint,
  Durability,
  Entry,
  Log,
  LogReply,
  NewEntry,
  Opened,
  Refusal,
  Seed,
} from '../../engine/ports.ts'
import { isPrivate } from '../../engine/ports.ts'
import type { Chain, DocId, Epoch, Position, Version } from '../../protocol/ids.ts'
import { emptyChain } from '../../protocol/ids.ts'
import { freshEpoch } from '../epoch.ts'
import { unfinished } from '../planted.ts'
import type { Hardening } from './durability.ts'
import { announcementOf, entriesOf, type From, type Stretch, type Stretches, stretchesOf } from './entries.ts'
import { Flights } from './flights.ts'
import { Heard } from './heard.ts'
import type { Identity } from './identity.ts'
import type { Keys } from './keys.ts'
import type { Rooms } from './rooms.ts'
import * as scripts from './scripts.ts'
import type { Wire } from './wire.ts'

const bytesAtFirst = 65_536 // of entries in a script's answer: a quiet document comes in one piece
const bytesAtOnce = 524_288 // of entries in an answer to a long read
const versionsAtOnce = { fewest: 4, most: 1_000 } // in such an answer: three milliseconds of Redis' time, that others wait for
const pagesAhead = 2 // answers to a long read on their way while one is taken apart: neither side then waits for the other
const feedDelay = 5 // ms that the feed may be behind the answer to an append before the log is read instead
const heardFor = 10_000 // ms, or twice that, for which an append may need what was heard: longer than a call lasts
const betweenTurns = 2 // ms from one append of a node to its next in the same document; what 500 calls a second cost Redis is little
const unwrittenFor = 86_400_000 // ms that the epoch of a document nobody writes to is kept: opening random ids fills no memory
const removedFor = 7_776_000_000 // ms for which it is known that an empty document was removed: ninety days, longer than any node hangs
const authorsAtOnce = 1_000 // planted in one call
const readAttempts = 5 // a reader that is overtaken by a trim begins again

export interface LogParts {
  readonly append: Wire
  readonly read: Wire
  readonly keys: Keys
  readonly rooms: Rooms
  readonly hardening: Hardening
  readonly identity: Identity
  readonly publish: 'PUBLISH' | 'SPUBLISH'
}

/** Redis has lost some keys of a document and kept others: it evicts, or somebody deleted them. */
class Torn extends Error {
  constructor(doc: DocId) {
    super(`Redis has lost a part of the document ${JSON.stringify(doc)}; does it evict keys (maxmemory-policy)?`)
  }
}

type OpenReply =
  | ['torn']
  | ['planted']
  | ['ok', Epoch, number, number, number, number, Chain, string[], Stretches, number, string]
type AboutReply = [] | [Epoch, number, Chain, number, number, number, Chain, number, number, number]
type Appended = [head: string, chain: Chain, durable: string, horizon: string, missed: Stretches, ...taken: (number | Chain)[]]
type ReadReply = [Refusal | 'torn'] | ['ok', Epoch, number, number, number, number, Chain, Stretches]
type LastReply = ['epoch'] | ['ok', Epoch, number, Stretch[]]

export class RedisLog implements Log {
  readonly #parts: LogParts
  readonly #opening = new Flights<Opened>()
  readonly #reading = new Flights<LogReply>()
  readonly #subscriptions = new Set<() => void>()
  readonly #following = new Map<DocId, Following>()
  readonly #writing = new Set<Promise<unknown>>()
  #forgetting: NodeJS.Timeout | null = null
  #closed = false

  constructor(parts: LogParts) {
    this.#parts = parts
    parts.rooms.whenMissed(doc => this.#repeat(doc))
  }

  get durability(): Durability {
    return this.#parts.hardening.durability
  }

  open(doc: DocId): Promise<Opened> {
    return this.#opening.share(doc, () => this.#open(doc))
  }

  append(doc: DocId, at: Position, entries: readonly NewEntry[]): Promise<LogReply> {
    return this.#written(() => this.#append(doc, at, entries))
  }

  /** Before something is written to it, so that nothing is there that no list shows. */
  async #list(doc: DocId): Promise<void> {
    const { append, keys } = this.#parts
    if (!isPrivate(doc)) await append.call(redis => redis.zadd(keys.index(doc), 0, doc))
  }

  /** A store that closes lets what is under way end. */
  #written<T>(write: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the store is closed'))
    const done = write()
    const over = (): void => void this.#writing.delete(done)
    this.#writing.add(done)
    done.then(over, over)
    return done
  }

  async #append(doc: DocId, at: Position, entries: readonly NewEntry[]): Promise<LogReply> {
    const { append, keys, publish, hardening } = this.#parts
    if (!hardening.isKnown) await hardening.known()
    const following = this.#following.get(doc)
    const pause = following === undefined ? 0 : pauseOf(following)
    if (pause > 0) await new Promise(resolve => setTimeout(resolve, pause))
    const heard = following?.heard
    const isFirst = at.version === 0 && entries.length > 0
    if (isFirst) await this.#list(doc)
    const words = [
      at.epoch,
      at.version,
      at.chain,
      keys.channel(doc),
      publish,
      hardening.atOnce ? '1' : '0',
      heard ? 0 : bytesAtFirst,
    ]
    for (const { author, seq, body } of entries) words.push(author, seq, body)
    const reply = await append.run<string>(
      scripts.append,
      [keys.meta(doc), keys.log(doc), keys.authors(doc)],
      words,
      heard === undefined ? 'at once' : 'a moment',
    )
    if (isFirst) await this.#list(doc) // a removal of what was there before may have taken it off the list in between
    if (!reply.startsWith('[')) return this.#refused(doc, reply as Refusal | 'torn')
    const answer = JSON.parse(reply) as Appended
    const [head, durable, horizon] = [Number(answer[0]), Number(answer[2]), Number(answer[3])]
    const chain = answer[1]
    let missed: readonly Entry[] | null = head === at.version ? [] : null
    if (heard !== undefined && missed === null) {
      missed = heard.between(at, { version: head, chain })
      if (missed === null) {
        await heard.until(head, feedDelay)
        missed = heard.between(at, { version: head, chain })
      }
    }
    missed ??= await this.#rest(doc, at, head, answer[4])
    if (missed === null)
      throw new Error(`what was appended to ${JSON.stringify(doc)} is there; what came before was trimmed meanwhile`)
    const own: Entry[] = []
    for (let i = 5; i < answer.length; i += 2) {
      const { author, seq, body } = entries[answer[i] as number]!
      own.push({ author, seq, body, version: head + own.length + 1, chain: answer[i + 1] as Chain })
    }
    const last = own.at(-1)
    if (last !== undefined && last.version > durable) hardening.note(doc, { ...last, epoch: at.epoch }, true)
    return { ok: true, entries: missed.length === 0 ? own : [...missed, ...own], durable, horizon }
  }

  read(doc: DocId, at: Position): Promise<LogReply> {
    return this.#reading.share(`${at.epoch} ${at.version} ${at.chain} ${doc}`, () => this.#read(doc, at))
  }

  async entries(doc: DocId, after: Version, limit: number): Promise<readonly Entry[]> {
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const reply = await this.#page(doc, '', after, '')
      if (reply[0] === 'torn') throw new Torn(doc)
      if (reply[0] !== 'ok') return []
      const [, , head, , floor, , , stretches] = reply
      const [end = '0'] = stretchesOf(stretches).at(-1) ?? []
      if (Number.parseInt(end, 10) > head) throw new Error(`the log of ${JSON.stringify(doc)} goes on after its end at ${head}`)
      const start = Math.max(after, floor)
      const entries = await this.#rest(doc, { version: start, chain: null }, Math.min(head, after + limit), stretches)
      if (entries !== null) return entries
    }
    throw new Error(`the log of ${JSON.stringify(doc)} is trimmed faster than it can be read`)
  }

  /** A horizon above the log's version would shut out everybody, so it stops there: a caller who asks for that has lost a tail. */
  async raiseHorizon(doc: DocId, epoch: Epoch, horizon: Version): Promise<Version | null> {
    const { append, keys } = this.#parts
    if (this.#closed) throw new Error('the store is closed')
    const version = await append.run<number>(scripts.raise, [keys.meta(doc)], [epoch, horizon])
    return version < 0 ? null : version
  }

  checkpoint(doc: DocId, checkpoint: Checkpoint): Promise<boolean> {
    return this.#written(() => this.#checkpoint(doc, checkpoint))
  }

  async #checkpoint(doc: DocId, { epoch, version, chain, horizon, pruned, body }: Checkpoint): Promise<boolean> {
    const { append, keys, hardening } = this.#parts
    await hardening.known()
    const stored = await append.run<number>(
      scripts.checkpoint,
      [keys.meta(doc), keys.log(doc), keys.checkpoint(doc)],
      [epoch, version, chain, horizon, pruned, body, hardening.atOnce ? '1' : '0'],
    )
    if (stored === 0) return false
    // In small steps, so that nobody waits for a long history to go. What is left over when this breaks off is invisible already.
    while ((await append.run<number>(scripts.trim, [keys.meta(doc), keys.log(doc)], [epoch])) > 0) {}
    if (stored !== 2) return true
    let cursor = '0'
    do {
      cursor = await append.run<string>(scripts.prune, [keys.meta(doc), keys.log(doc), keys.authors(doc)], [epoch, cursor])
    } while (cursor !== '0')
    return true
  }

  async subscribe(doc: DocId, listener: (announcement: Announcement) => void): Promise<() => void> {
    const { rooms } = this.#parts
    const unfollow = this.#follow(doc)
    const stopHearing = rooms.announcements.subscribe(doc, listener)
    let leave = (): void => {}
    const stop = (): void => {
      if (!this.#subscriptions.delete(stop)) return
      stopHearing()
      unfollow()
      leave()
    }
    this.#subscriptions.add(stop)
    try {
      leave = await rooms.hold(doc)
    } catch (error) {
      stop()
      throw error
    }
    if (!this.#subscriptions.has(stop)) leave() // closed meanwhile
    return stop
  }

  /** What the store itself makes of a document's announcements, before anybody else hears them. */
  #follow(doc: DocId): () => void {
    let following = this.#following.get(doc)
    if (following === undefined) {
      const heard = new Heard()
      const stop = this.#parts.rooms.announcements.subscribe(doc, announcement => this.#heed(doc, heard, announcement))
      this.#following.set(doc, (following = { heard, followers: 0, lastTurn: 0, stop }))
    }
    const own = following
    own.followers++
    this.#forget()
    return () => {
      if (--own.followers > 0) return
      own.stop()
      this.#following.delete(doc)
    }
  }

  /** What was heard is for appends under way, and does not stay for as long as a document is open. */
  #forget(): void {
    this.#forgetting ??= setTimeout(() => {
      this.#forgetting = null
      for (const { heard } of this.#following.values()) heard.turn()
      if (this.#following.size > 0) this.#forget()
    }, heardFor).unref()
  }

  #heed(doc: DocId, heard: Heard, announcement: Announcement): void {
    const { hardening } = this.#parts
    if (announcement.kind === 'durable') {
      // Of an empty log it is news that something was removed, not that this is safe.
      if (announcement.version > 0) hardening.reached(doc, announcement)
      return
    }
    heard.hear(announcement)
    const { epoch, entries, durable } = announcement
    const last = entries.at(-1)
    if (last !== undefined && last.version > durable) hardening.note(doc, { ...last, epoch }, false)
  }

  async about(doc: DocId): Promise<About | null> {
    const { read, keys, hardening } = this.#parts
    await hardening.known()
    const reply = await read.run<AboutReply>(scripts.about, [keys.meta(doc)], [])
    if (reply.length === 0) return null
    const [epoch, version, chain, known, horizon, floor, floorChain, checkpointed, planted, removed] = reply
    const durable = hardening.atOnce ? version : known
    if (version > durable) hardening.note(doc, { epoch, version, chain }, false)
    return {
      ...{ epoch, version, chain, durable, horizon, checkpointed },
      floor: { version: floor, chain: floorChain },
      planted: planted === 1,
      removed: removed === 1,
    }
  }

  remove(doc: DocId): Promise<boolean> {
    return this.#written(async () => {
      const { append, keys, publish, hardening } = this.#parts
      await hardening.known()
      const epoch = freshEpoch()
      const removed = await append.run<number>(
        scripts.remove,
        [keys.meta(doc), keys.log(doc), keys.authors(doc), keys.checkpoint(doc)],
        [epoch, removedFor, keys.channel(doc), publish],
      )
      await append.call(redis => redis.zrem(keys.index(doc), doc))
      // The list lies elsewhere in a cluster. Whoever has begun to write anew before it was gone there is put back; whoever comes now does so himself.
      const now = await this.about(doc)
      if (now !== null && (now.version > 0 || now.planted)) await this.#list(doc)
      if (removed === 0) return false
      await hardening.proved(doc, { epoch, version: 0, chain: emptyChain })
      return true
    })
  }

  plant(doc: DocId, { epoch, floor, authors }: Seed): Promise<About | null> {
    return this.#written(async () => {
      const { append, keys, hardening } = this.#parts
      await hardening.known()
      await this.#list(doc)
      for (let i = 0; i === 0 || i < authors.length; i += authorsAtOnce) {
        const rows = authors.slice(i, i + authorsAtOnce).flatMap(({ author, seq, version }) => [author, `${seq} ${version}`])
        const begun = await append.run<number>(
          scripts.plant,
          [keys.meta(doc), keys.log(doc), keys.authors(doc), keys.checkpoint(doc)],
          [epoch, floor.version, floor.chain, ...rows],
        )
        if (begun === 0) return null
      }
      await this.#list(doc) // a removal may have taken it off the list in between
      return this.about(doc)
    })
  }

  async restored(doc: DocId, epoch: Epoch): Promise<void> {
    const { append, keys, identity } = this.#parts
    const mark = identity.markOf(doc)
    if (mark !== null) await append.run<number>(scripts.restored, [keys.meta(doc)], [epoch, mark])
  }

  settle(doc: DocId, epoch: Epoch, checkpoint: Checkpoint | null): Promise<boolean> {
    return this.#written(async () => {
      const { append, keys, publish } = this.#parts
      const { version = 0, chain = '', horizon = 0, pruned = 0, body = '' } = checkpoint ?? {}
      const settled = await append.run<number>(
        scripts.settle,
        [keys.meta(doc), keys.log(doc), keys.checkpoint(doc)],
        [epoch, keys.channel(doc), publish, ...(checkpoint === null ? [] : [version, chain, horizon, pruned, body])],
      )
      return settled === 1
    })
  }

  async documents(after: DocId | null, limit: number): Promise<readonly DocId[]> {
    const { read, keys } = this.#parts
    const found: DocId[] = []
    for (let start = after; found.length < limit; ) {
      const from = start === null ? '-' : `(${start}`
      const pages = await Promise.all(
        keys.indexes.map(index => read.call(redis => redis.zrangebylex(index, from, '+', 'LIMIT', 0, limit))),
      )
      const page = pages.flat().sort(compareBytes).slice(0, limit) as DocId[]
      // A document is indexed before it is written, so one may be there that never was.
      const logs = await Promise.all(page.map(doc => read.call(redis => redis.hmget(keys.meta(doc), 'v', 'i'))))
      found.push(...page.filter((_, i) => Number(logs[i]![0] ?? 0) > 0 || logs[i]![1] !== null))
      if (page.length < limit) break
      start = page.at(-1)!
    }
    return found.slice(0, limit)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const stop of [...this.#subscriptions]) stop()
    await Promise.allSettled(this.#writing)
  }

  #refused(doc: DocId, reason: Refusal | 'torn'): LogReply {
    if (reason === 'torn') throw new Torn(doc)
    return { ok: false, reason }
  }

  #page(doc: DocId, epoch: Epoch | '', after: Version, chain: Chain | ''): Promise<ReadReply> {
    const { read, keys } = this.#parts
    return read.run<ReadReply>(scripts.read, [keys.meta(doc), keys.log(doc)], [epoch, after, chain, bytesAtFirst])
  }

  /** The entries from a place up to a version, of which the first are at hand; null when they are not there, or are of another log. */
  async #rest(doc: DocId, from: From, upTo: Version, stretches: Stretches): Promise<Entry[] | null> {
    const { read, keys } = this.#parts
    const all = entriesOf(stretchesOf(stretches), from)
    if (all === null) return null
    let count = versionsFor(all)
    let asked = (all.at(-1) ?? from).version
    const pages: Promise<Stretches>[] = []
    const ask = (): void => {
      const [start, end] = [asked + 1, Math.min(asked + count, upTo - 1)]
      // What holds the last one may end behind it; what follows that may be of any length.
      const asks = start <= end ? [`${start}-0`, `${end}-0`, count] : [`${upTo}-0`, '+', 1]
      const page = read.run<Stretches>(scripts.page, [keys.log(doc)], [...asks, 2 * bytesAtOnce])
      asked = Math.max(end, start)
      page.catch(() => {}) // told by the first that fails
      pages.push(page)
    }
    while (from.version + all.length < upTo) {
      while (asked < upTo && pages.length <= pagesAhead) ask()
      const page = await pages.shift()
      if (page === undefined) return null
      const isCut = page.startsWith(scripts.cut)
      const more = entriesOf(stretchesOf(isCut ? page.slice(scripts.cut.length) : page), all.at(-1) ?? from)
      if (more === null) return null
      if (more.length === 0) {
        count = Math.min(4 * count, versionsAtOnce.most) // what holds these ends behind them, and so in a later answer
        continue
      }
      for (const entry of more) all.push(entry)
      count = Math.min(4 * count, versionsFor(more))
      if (!isCut) continue
      pages.length = 0 // those on their way do not go on from here
      asked = (all.at(-1) ?? from).version
    }
    return all.length > upTo - from.version ? all.slice(0, Math.max(0, upTo - from.version)) : all
  }

  async #open(doc: DocId): Promise<Opened> {
    const { append, keys, hardening } = this.#parts
    await hardening.known()
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const reply = await append.run<OpenReply>(
        scripts.open,
        [keys.meta(doc), keys.log(doc), keys.authors(doc), keys.checkpoint(doc)],
        [freshEpoch(), unwrittenFor, bytesAtFirst],
      )
      if (reply[0] === 'torn') throw new Torn(doc)
      if (reply[0] === 'planted') throw new Error(unfinished(doc))
      const [, epoch, version, horizon, , known, chain, fields, stretches, removed, origin] = reply
      const checkpoint = checkpointOf(fields)
      const from = checkpoint ?? { version: 0, chain: emptyChain }
      const tail = await this.#rest(doc, from, version, stretches)
      if (tail === null) {
        if (stretches === '' && version > from.version) throw new Torn(doc)
        continue // another checkpoint has overtaken us
      }
      const durable = hardening.atOnce ? version : known
      if (version > durable) hardening.note(doc, { epoch, version, chain }, false)
      // Heals an index that a failover has taken from us; the next opening tries again.
      if (version > 0 && !isPrivate(doc)) append.call(redis => redis.zadd(keys.index(doc), 0, doc)).catch(() => {})
      const opened = { epoch, checkpoint, tail, durable, horizon, ...(removed === 1 ? { removed: true } : {}) }
      // What is there, or that nothing is, is believed only of the Redis that this node has always worked with; or of another node that
      // has worked with that one, and has brought all of it here.
      const { identity } = this.#parts
      const doubtful = removed !== 1 || !identity.sure(doc)
      if (!doubtful || (await identity.same(doc))) return opened
      return origin === identity.markOf(doc) ? opened : { ...opened, replaced: true }
    }
    throw new Error(`the log of ${JSON.stringify(doc)} is trimmed faster than it can be read`)
  }

  async #read(doc: DocId, at: Position): Promise<LogReply> {
    const { hardening } = this.#parts
    await hardening.known()
    for (let attempt = 0; attempt < readAttempts; attempt++) {
      const reply = await this.#page(doc, at.epoch, at.version, at.chain)
      if (reply[0] !== 'ok') return this.#refused(doc, reply[0])
      const [, epoch, version, horizon, , known, chain, stretches] = reply
      const entries = await this.#rest(doc, at, version, stretches)
      if (entries === null) continue // trimmed meanwhile: the next answer says so
      const durable = hardening.atOnce ? version : known
      if (version > durable) hardening.note(doc, { epoch, version, chain }, false)
      return { ok: true, entries, durable, horizon }
    }
    throw new Error(`the log of ${JSON.stringify(doc)} is trimmed faster than it can be read`)
  }

  /** In a room that was not heard for a while the last announcement is repeated, so whoever has missed something finds the gap. */
  async #repeat(doc: DocId): Promise<void> {
    const { read, keys, rooms, hardening } = this.#parts
    const reply = await read.run<LastReply>(scripts.last, [keys.meta(doc), keys.log(doc)], [])
    const last = reply[3]?.[0]
    if (reply[0] === 'epoch' || last === undefined) {
      // Nothing is there, not yet or not any more: a frame of no known history makes everybody look.
      return rooms.announcements.tell(doc, {
        kind: 'entries',
        epoch: freshEpoch(),
        from: 0,
        chain: emptyChain,
        entries: [],
        durable: 0,
      })
    }
    const [, epoch, durable] = reply
    const announcement = announcementOf(epoch, durable, last)
    rooms.announcements.tell(
      doc,
      hardening.atOnce ? { ...announcement, durable: announcement.from + announcement.entries.length } : announcement,
    )
  }
}

interface Following {
  readonly heard: Heard
  followers: number
  /** When the last append of this node was sent, or is going to be. */
  lastTurn: number
  readonly stop: () => void
}

/**
 * Milliseconds that an append waits. The first goes at once, the next when the last one is a little while ago; meanwhile its caller gathers a
 * longer batch. Many nodes with one busy document would otherwise each call for every keystroke or two.
 */
const pauseOf = (following: Following): number => {
  const now = performance.now()
  following.lastTurn = Math.max(now, following.lastTurn + betweenTurns)
  return following.lastTurn - now
}

/** How many versions to ask for, given what the last ones weighed. */
const versionsFor = (entries: readonly Entry[]): number => {
  let bytes = 0
  for (const { body } of entries) bytes += body.length + 60 // what its label weighs
  const wanted = bytes === 0 ? 0 : Math.floor((entries.length * bytesAtOnce) / bytes)
  return Math.max(versionsAtOnce.fewest, Math.min(versionsAtOnce.most, wanted))
}

const checkpointOf = (fields: readonly string[]): Checkpoint | null => {
  if (fields.length === 0) return null
  const [epoch, version, chain, horizon, pruned, body] = fields
  return {
    epoch: epoch as Epoch,
    version: Number(version),
    chain: chain as Chain,
    horizon: Number(horizon),
    pruned: Number(pruned),
    body: body!,
  }
}

/** The order of document ids in listings: that of their UTF-8 bytes, which is also the index's. */
const compareBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

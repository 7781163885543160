// The log of the embedded store: one process's hold on its database.
// Invariant: an append is answered and announced when its commit outlives this process, and counts as durable when it outlives the
// machine; commits hold whole appends, one after the other, so a crash at any moment leaves a log that ends after some append.

import { pageOf } from '../engine/page.ts'
import type {
  About,
  Announcement,
  Checkpoint,
  Entry,
  Log,
  LogReply,
  NewEntry,
  Opened,
  Page,
  Refusal,
  Seed,
} from '../engine/ports.ts'
import { privateMark } from '../engine/ports.ts'
import type { AuthorId, Chain, DocId, Epoch, Position, Version } from '../protocol/ids.ts'
import { emptyChain } from '../protocol/ids.ts'
import { link } from './chain.ts'
import type { Database, Rows, Write } from './embedded-database.ts'
import { freshEpoch } from './epoch.ts'
import { Feed } from './feed.ts'
import { Lately } from './lately.ts'
import { unfinished } from './planted.ts'
import type { AuthorRow, Head } from './rows.ts'
import {
  afterAuthors,
  authorBytes,
  authorKey,
  authorOf,
  chainOf,
  checkpointBytes,
  checkpointKey,
  entryBytes,
  entryKey,
  headBytes,
  idKey,
  PageOfRows,
  readAuthor,
  readCheckpoint,
  readEntry,
  readHead,
  readId,
  toVersion,
} from './rows.ts'

/** Steps in one commit. A commit holds whatever arrived during the last one; this bounds how long one can take. */
const stepsPerCommit = 1_000

/** Rows removed in one step of trimming or pruning: about a millisecond of this thread. */
const sweepRows = 1_000

/** A document during one commit: what stands in the tables, and what this commit adds. */
interface Draft {
  head: Head
  /** The head as the tables have it; null: the document is new. */
  readonly found: Head | null
  readonly committed: Version
  readonly added: Entry[]
  readonly authors: Map<AuthorId, AuthorRow>
}

/** Something to do within a commit: checks and plans at once, and answers when the commit is visible. It plans all or throws before. */
type Step<T> = (plan: Plan) => () => T

interface Waiting {
  readonly run: (plan: Plan) => () => void
  readonly fail: (error: unknown) => void
}

const append = (draft: Draft, { author, seq, body }: NewEntry): void => {
  const { version, chain } = draft.head
  const entry = { author, seq, body, version: version + 1, chain: link(chain, { author, seq, body }) }
  draft.added.push(entry)
  draft.authors.set(author, { seq, version: entry.version })
  draft.head = { ...draft.head, version: entry.version, chain: entry.chain }
}

const headsKept = 4_096 // documents; twice as many may be, of some hundred bytes each
const authorsKept = 16 // of a document

/** What stands in the tables, read as it is asked for; of the documents that were written to lately, it is known what a row says. */
class Reader {
  rows = 0
  readonly #db: Database
  readonly #heads = new Lately<DocId, Head>(headsKept)
  /** By the number of a document. */
  readonly #authors = new Lately<number, Lately<AuthorId, AuthorRow>>(headsKept)

  constructor(db: Database) {
    this.#db = db
  }

  /** These have just been written. */
  wrote(documents: ReadonlyMap<DocId, Draft>): void {
    for (const [doc, { head, found, authors }] of documents) {
      if (head !== found) this.#heads.set(doc, head)
      if (authors.size === 0) continue
      let known = this.#authors.get(head.number)
      if (known === undefined) this.#authors.set(head.number, (known = new Lately(authorsKept)))
      for (const [author, row] of authors) known.set(author, row)
    }
  }

  /** Rows of its authors have been removed. */
  removedAuthors(number: number): void {
    this.#authors.delete(number)
  }

  head(doc: DocId): Head | null {
    const known = this.#heads.get(doc)
    if (known !== undefined) return known
    const bytes = this.#db.heads.get(idKey(doc))
    return bytes === undefined ? null : readHead(bytes)
  }

  author(head: Head, author: AuthorId): AuthorRow | null {
    const known = this.#authors.get(head.number)?.get(author)
    if (known !== undefined) return known
    const bytes = this.#db.authors.get(authorKey(head.number, author))
    return bytes === undefined ? null : readAuthor(bytes)
  }

  checkpoint(head: Head): Checkpoint | null {
    if (head.checkpointed === 0) return null
    this.rows++
    return readCheckpoint(this.#db.checkpoints.get(checkpointKey(head.number))!)
  }

  /** Entries in (after, upTo], whatever of them is kept. */
  entries(head: Head, after: Version, upTo: Version): Entry[] {
    const found: Entry[] = []
    this.#each(head, after, upTo, (version, bytes) => found.push(readEntry(version, bytes, found.at(-1)?.author)))
    return found
  }

  /** The same in one piece. */
  page(head: Head, after: Version, upTo: Version): Page {
    const first = Math.max(after, head.floor.version) + 1
    const page = new PageOfRows(first, Math.max(0, upTo - first + 1))
    this.#each(head, after, upTo, (_version, bytes) => page.add(bytes))
    return page.whole()
  }

  /** Rows of the entries in (after, upTo] that are kept, each overwritten by the next. @throws when one is not there */
  #each({ number, floor }: Head, after: Version, upTo: Version, take: (version: Version, bytes: Buffer) => void): void {
    const { entries } = this.#db
    const first = Math.max(after, floor.version) + 1
    if (first > upTo) return
    const key = entryKey(number, first)
    let version = first
    for (const row of entries.pass(key, entryKey(number, upTo + 1)) ?? []) {
      if (row.key !== version) break
      take(version++, row.value)
    }
    // Where changes wait, each is asked for.
    for (; version <= upTo; version++) {
      const bytes = entries.glance(toVersion(key, version))
      if (bytes === undefined) throw new Error(`the log of document ${number} lacks version ${version}`)
      take(version, bytes)
    }
    this.rows += upTo - first + 1
  }

  /** The chain at a version from the floor to the head. */
  chain(head: Head, version: Version): Chain {
    if (version === head.version) return head.chain
    if (version === head.floor.version) return head.floor.chain
    this.rows++
    return chainOf(this.#db.entries.get(entryKey(head.number, version))!)
  }

  /** Why the log does not know this position; null: it does. */
  refusal(head: Head | null, at: Position): Refusal | null {
    if (head === null || at.epoch !== head.epoch) return 'epoch'
    if (at.version > head.version) return 'behind'
    if (at.version < head.horizon) return 'horizon'
    return this.chain(head, at.version) === at.chain ? null : 'fork'
  }
}

const start: Head['floor'] = { version: 0, chain: emptyChain }

/** The writes of one commit while it is being put together. */
class Plan {
  readonly documents = new Map<DocId, Draft>()
  readonly #writes: Write[] = []
  readonly #db: Database
  readonly #read: Reader

  constructor(db: Database, read: Reader) {
    this.#db = db
    this.#read = read
  }

  document(doc: DocId): Draft | null {
    const draft = this.documents.get(doc)
    if (draft !== undefined) return draft
    const head = this.#read.head(doc)
    return head === null ? null : this.#add(doc, head, head)
  }

  create(doc: DocId, number: number, epoch: Epoch, { floor = start, removed = false, planted = false } = {}): void {
    const horizon = floor.version
    this.#add(doc, { number, epoch, ...floor, horizon, floor, checkpointed: 0, pruned: 0, removed, planted }, null)
  }

  author(draft: Draft, author: AuthorId): AuthorRow | null {
    return draft.authors.get(author) ?? this.#read.author(draft.head, author)
  }

  refusal(draft: Draft | null, at: Position): Refusal | null {
    if (draft === null) return 'epoch'
    const added = draft.added[at.version - draft.committed - 1]
    if (added === undefined || at.epoch !== draft.head.epoch || at.version < draft.head.horizon)
      return this.#read.refusal(draft.head, at)
    return added.chain === at.chain ? null : 'fork'
  }

  /** Every entry after a version that the log holds. */
  after(draft: Draft, version: Version): readonly Entry[] {
    const before = version < draft.committed ? this.#read.entries(draft.head, version, draft.committed) : []
    return [...before, ...draft.added.slice(Math.max(0, version - draft.committed))]
  }

  put(table: Rows, key: Buffer, value: Buffer): void {
    this.#writes.push({ table, key, value })
  }

  remove(table: Rows, key: Buffer): void {
    this.#writes.push({ table, key, value: null })
  }

  /** All writes: what steps asked for by themselves, then each document's news. */
  writes(): readonly Write[] {
    const { heads, names, entries, authors } = this.#db
    for (const [doc, draft] of this.documents) {
      const key = idKey(doc)
      if (draft.head !== draft.found) this.put(heads, key, headBytes(draft.head))
      const isListed = draft.head.version > 0 || draft.head.planted
      if ((draft.committed === 0 || draft.found === null) && isListed) this.put(names, key, Buffer.of(1))
      for (const entry of draft.added) this.put(entries, entryKey(draft.head.number, entry.version), entryBytes(entry))
      for (const [author, row] of draft.authors) this.put(authors, authorKey(draft.head.number, author), authorBytes(row))
    }
    return this.#writes
  }

  #add(doc: DocId, head: Head, found: Head | null): Draft {
    const draft: Draft = { head, found, committed: head.version, added: [], authors: new Map() }
    this.documents.set(doc, draft)
    return draft
  }
}

/** Before the id of every document that is a user's. */
const firstId = Buffer.from(String.fromCharCode(privateMark.charCodeAt(0) + 1))

/** One process's hold on the database: the queue of steps, the commit that is being made, and what the disk still owes. */
export class EmbeddedLog implements Log {
  readonly durability = 'disk'
  readonly #feed = new Feed<DocId, Announcement>()
  readonly #db: Database
  readonly #read: Reader
  readonly #release: () => Promise<void>

  readonly #waiting: Waiting[] = []
  #turning: Promise<void> | null = null
  #nextNumber: number
  /** Commits that the disk has not confirmed, oldest first. */
  readonly #unflushed = new Set<Promise<void>>()
  /** By the number of a document: how much of it is on disk, where that is not all of it, and the last commit that it waits for. */
  readonly #owed = new Map<number, { durable: Version; last: Plan }>()
  /** What the last sync has made durable, still to be told. */
  readonly #hardened = new Map<DocId, Announcement>()
  /** Why nothing can be written any more: a disk that failed to sync, after which nobody knows what it holds. */
  #failed: Error | null = null
  #closed: Error | null = null

  constructor(db: Database, release: () => Promise<void>) {
    this.#db = db
    this.#read = new Reader(db)
    this.#release = release
    this.#nextNumber = Number(db.counters.get(numberKey)?.toString() ?? 1)
  }

  get rowsRead(): number {
    return this.#read.rows
  }

  /** @throws when the log can no longer be read, or written. */
  check(use: 'read' | 'write'): void {
    if (this.#closed !== null) throw this.#closed
    if (this.#failed !== null && use === 'write') throw this.#failed
  }

  async open(doc: DocId): Promise<Opened> {
    this.check('read')
    let head = this.#read.head(doc)
    if (head === null) {
      await this.#step(plan => {
        if (plan.document(doc) === null) this.#create(plan, doc)
        return () => {}
      })
      head = this.#read.head(doc)!
    }
    if (head.planted) throw new Error(unfinished(doc))
    const { epoch, version, horizon, removed } = head
    const checkpoint = this.#read.checkpoint(head)
    const tail = this.#read.entries(head, checkpoint?.version ?? 0, version)
    return { epoch, checkpoint, tail, durable: this.#durable(head, version), horizon, ...(removed ? { removed } : {}) }
  }

  async about(doc: DocId): Promise<About | null> {
    this.check('read')
    return this.#read.head(doc) === null ? null : this.#aboutNow(doc)
  }

  /** In one step nothing leads to the rows any more; the rows themselves go in steps of their own, also when this process dies over it. */
  async remove(doc: DocId): Promise<boolean> {
    const removed = await this.#step(plan => {
      const draft = plan.document(doc)
      if (draft === null || (draft.head.version === 0 && !draft.head.planted)) return () => false
      plan.put(this.#db.counters, orphanKey(draft.head.number), Buffer.of(1))
      plan.remove(this.#db.names, idKey(doc))
      this.#create(plan, doc, freshEpoch(), { removed: true })
      return () => true
    })
    if (removed) this.#tellNew(doc)
    await this.#bury()
    await Promise.all(this.#unflushed)
    this.check('write') // the disk has failed over it
    return removed
  }

  plant(doc: DocId, { epoch, floor, authors }: Seed): Promise<About | null> {
    return this.#step(plan => {
      const head = plan.document(doc)?.head ?? null
      const same =
        head?.planted && head.epoch === epoch && head.floor.version === floor.version && head.floor.chain === floor.chain
      if (head !== null && !same && (head.planted || head.version > 0)) return () => null
      const unknown = same ? authors.filter(({ author }) => plan.author(plan.document(doc)!, author) === null) : authors
      if (!same) this.#create(plan, doc, epoch, { floor, planted: true })
      const { number } = plan.document(doc)!.head
      for (const { author, ...row } of unknown) plan.put(this.#db.authors, authorKey(number, author), authorBytes(row))
      return () => this.#aboutNow(doc)
    })
  }

  async settle(doc: DocId, epoch: Epoch, checkpoint: Checkpoint | null): Promise<boolean> {
    const settled = await this.#step(plan => {
      const draft = plan.document(doc)
      if (draft === null || draft.head.epoch !== epoch) return () => false
      const { head } = draft
      if (!head.planted) return () => true // done before
      if (checkpoint === null) {
        if (head.floor.version > 0) return () => false
      } else {
        const { version, chain, horizon } = checkpoint
        if (version < head.floor.version || version > draft.committed || horizon < head.floor.version) return () => false
        if (this.#read.chain(head, version) !== chain) return () => false
        plan.put(this.#db.checkpoints, checkpointKey(head.number), checkpointBytes(checkpoint))
      }
      const { version: checkpointed = 0, pruned = 0, horizon = 0 } = checkpoint ?? {}
      draft.head = { ...head, planted: false, checkpointed, pruned, horizon: Math.max(head.horizon, horizon) }
      return () => true
    })
    if (settled) this.#tellNew(doc)
    return settled
  }

  append(doc: DocId, at: Position, entries: readonly NewEntry[]): Promise<LogReply> {
    return this.#step<LogReply>(plan => {
      const draft = plan.document(doc)
      const reason = plan.refusal(draft, at)
      if (draft === null || reason !== null) return () => ({ ok: false, reason: reason ?? 'epoch' })
      const known = entries.map(({ author }) => plan.author(draft, author)) // every read that can fail comes before the first change
      const missed = plan.after(draft, at.version)
      const from = draft.added.length
      entries.forEach((entry, i) => {
        const last = draft.authors.get(entry.author) ?? known[i]
        if (entry.seq > (last?.seq ?? 0)) append(draft, entry) // R13
      })
      const all = [...missed, ...draft.added.slice(from)]
      const { horizon } = draft.head
      return () => ({ ok: true, entries: all, durable: this.#durable(draft.head, draft.head.version), horizon })
    })
  }

  async read(doc: DocId, at: Position): Promise<LogReply> {
    this.check('read')
    const head = this.#read.head(doc)
    const reason = this.#read.refusal(head, at)
    if (head === null || reason !== null) return { ok: false, reason: reason ?? 'epoch' }
    const entries = this.#read.entries(head, at.version, head.version)
    return { ok: true, entries, durable: this.#durable(head, head.version), horizon: head.horizon }
  }

  async entries(doc: DocId, after: Version, limit: number): Promise<readonly Entry[]> {
    const head = this.#readable(doc, after, limit)
    return head === null ? [] : this.#read.entries(head, after, Math.min(head.version, after + limit))
  }

  async page(doc: DocId, after: Version, limit: number): Promise<Page> {
    const head = this.#readable(doc, after, limit)
    return head === null ? pageOf([]) : this.#read.page(head, after, Math.min(head.version, after + limit))
  }

  /** Of a document whose entries are read. @throws when they go on after its end */
  #readable(doc: DocId, after: Version, limit: number): Head | null {
    this.check('read')
    const head = this.#read.head(doc)
    if (head === null) return null
    if (after + limit >= head.version && this.#db.entries.get(entryKey(head.number, head.version + 1)) !== undefined)
      throw new Error(`the log of ${JSON.stringify(doc)} goes on after its end at ${head.version}`)
    return head
  }

  /** A horizon above the log's version would shut out everybody, so it stops there: a caller who asks for that has lost a tail. */
  raiseHorizon(doc: DocId, epoch: Epoch, horizon: Version): Promise<Version | null> {
    return this.#step(plan => {
      const draft = plan.document(doc)
      if (draft === null || draft.head.epoch !== epoch) return () => null
      const { version } = draft.head
      const raised = Math.min(horizon, version)
      if (raised > draft.head.horizon) draft.head = { ...draft.head, horizon: raised }
      return () => version
    })
  }

  async checkpoint(doc: DocId, checkpoint: Checkpoint): Promise<boolean> {
    const { epoch, version, horizon, pruned } = checkpoint
    const stored = await this.#step(plan => {
      const draft = plan.document(doc)
      if (draft === null || draft.head.epoch !== epoch) return () => null
      const { head } = draft
      if (version > this.#durable(head, draft.committed) || version <= horizon) return () => null // R5
      if (version < head.checkpointed || version < head.floor.version || horizon > head.horizon) return () => null // R3
      if (pruned > horizon || pruned < head.pruned) return () => null // R7: openers learn the mark from the checkpoint alone
      if (this.#read.chain(head, version) !== checkpoint.chain) return () => null // what is durable is in the tables
      plan.put(this.#db.checkpoints, checkpointKey(head.number), checkpointBytes(checkpoint))
      draft.head = { ...head, checkpointed: version, pruned }
      return () => ({ number: head.number, prune: pruned > head.pruned })
    })
    if (stored === null) return false
    while (await this.#trim(doc, horizon)) {} // steps of their own, so that writers need not wait for a long history to go
    for (let from: AuthorId | '' | null = ''; from !== null && stored.prune; )
      from = await this.#prune(doc, stored.number, pruned, from)
    return true
  }

  async subscribe(doc: DocId, listener: (announcement: Announcement) => void): Promise<() => void> {
    this.check('read')
    return this.#feed.subscribe(doc, listener)
  }

  async documents(after: DocId | null, limit: number): Promise<readonly DocId[]> {
    this.check('read')
    const start = after === null ? { start: firstId } : { start: idKey(after), exclusiveStart: true }
    return this.#db.names.range({ ...start, limit }).map(({ key }) => readId(key))
  }

  async close(): Promise<void> {
    this.#closed = new Error('the store is closed')
    while (this.#turning !== null) await this.#turning // what came before the close is still written
    await Promise.allSettled([...this.#unflushed])
    this.#feed.clear()
    await this.#release()
    await this.#db.close()
  }

  /** How much of a document is on disk, given the version up to which it is committed. */
  #durable({ number }: Head, committed: Version): Version {
    return this.#owed.get(number)?.durable ?? committed
  }

  #aboutNow(doc: DocId): About {
    const head = this.#read.head(doc)!
    const { epoch, version, chain, horizon, floor, checkpointed, planted, removed } = head
    return { epoch, version, chain, durable: this.#durable(head, version), horizon, floor, checkpointed, planted, removed }
  }

  /** Whoever has the document open looks at the log. */
  #tellNew(doc: DocId): void {
    const head = this.#read.head(doc)
    if (head === null) return
    const version = this.#durable(head, head.version)
    this.#feed.tell(doc, { kind: 'durable', epoch: head.epoch, version, chain: this.#read.chain(head, version) })
  }

  /** Removes the rows of documents that are no more. */
  async #bury(): Promise<void> {
    const graves = this.#db.counters.range({ start: orphanKey(0), end: orphanKey(2 ** 48 - 1) })
    for (const { key } of graves) {
      const number = key.readUIntBE(1, 6)
      for (const { table, from } of [
        { table: this.#db.entries, from: entryKey(number, 0) },
        { table: this.#db.authors, from: authorKey(number, '') },
        { table: this.#db.checkpoints, from: checkpointKey(number) },
      ])
        while (
          await this.#step(plan => {
            const rows = table.range({ start: from, end: afterAuthors(number), limit: sweepRows })
            for (const row of rows) plan.remove(table, row.key)
            return () => rows.length === sweepRows
          })
        ) {}
      await this.#step(plan => {
        plan.remove(this.#db.counters, key)
        return () => {}
      })
    }
  }

  #create(plan: Plan, doc: DocId, epoch = freshEpoch(), given: Parameters<Plan['create']>[3] = {}): void {
    const number = this.#nextNumber++
    plan.create(doc, number, epoch, given)
    plan.put(this.#db.counters, numberKey, Buffer.from(String(this.#nextNumber)))
  }

  /** Removes some entries at or below `to`; false: none are left. */
  #trim(doc: DocId, to: Version): Promise<boolean> {
    return this.#step(plan => {
      const draft = plan.document(doc)!
      const { number, floor } = draft.head
      const upTo = Math.min(to, floor.version + sweepRows)
      if (upTo <= floor.version) return () => false
      const chain = this.#read.chain(draft.head, upTo)
      for (let version = floor.version + 1; version <= upTo; version++) plan.remove(this.#db.entries, entryKey(number, version))
      draft.head = { ...draft.head, floor: { version: upTo, chain } }
      return () => upTo < to
    })
  }

  /** Removes the old ones among some authors' rows, from `from` on; answers where to go on, null at the end. */
  #prune(doc: DocId, number: number, pruned: Version, from: AuthorId | ''): Promise<AuthorId | null> {
    return this.#step(plan => {
      const draft = plan.document(doc)!
      const rows = [
        ...this.#db.authors.range({ start: authorKey(number, from), end: afterAuthors(number), limit: sweepRows + 1 }),
      ]
      for (const { key, value } of rows.slice(0, sweepRows)) {
        if (readAuthor(value).version <= pruned && !draft.authors.has(authorOf(key))) plan.remove(this.#db.authors, key)
      }
      const next = rows[sweepRows]
      return () => {
        this.#read.removedAuthors(number)
        return next === undefined ? null : authorOf(next.key)
      }
    })
  }

  #step<T>(step: Step<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const refused = this.#closed ?? this.#failed
      if (refused !== null) return reject(refused)
      const run = (plan: Plan) => {
        const answer = step(plan)
        return () => resolve(answer())
      }
      this.#waiting.push({ run, fail: reject })
      this.#turning ??= this.#turn()
    })
  }

  /** Makes commits as long as steps wait: a commit holds whatever arrived in the same moment. */
  async #turn(): Promise<void> {
    await null // so that steps of the same moment share a commit
    while (this.#waiting.length > 0) {
      this.#commit(this.#waiting.splice(0, stepsPerCommit))
    }
    this.#turning = null
  }

  #commit(steps: readonly Waiting[]): void {
    const plan = new Plan(this.#db, this.#read)
    const answers: { readonly give: () => void; readonly fail: (error: unknown) => void }[] = []
    for (const { run, fail } of steps) {
      try {
        answers.push({ give: run(plan), fail })
      } catch (error) {
        fail(error)
      }
    }
    try {
      if (this.#failed !== null) throw this.#failed
      const writes = plan.writes()
      if (writes.length > 0) this.#written(plan, writes)
    } catch (error) {
      for (const { fail } of answers) fail(error)
      return
    }
    this.#read.wrote(plan.documents)
    for (const [doc, { head, found, committed, added }] of plan.documents) {
      if (added.length === 0) continue
      const { epoch } = head
      const chain = found?.chain ?? head.floor.chain
      this.#feed.tell(doc, {
        kind: 'entries',
        epoch,
        from: committed,
        chain,
        entries: added,
        durable: this.#durable(head, head.version),
      })
    }
    for (const { give } of answers) give()
  }

  /** Makes the writes, and sees to it that their durability is told. */
  #written(plan: Plan, writes: readonly Write[]): void {
    const flushed = this.#db.commit(writes)
    for (const { head, committed, added } of plan.documents.values()) {
      if (added.length > 0) this.#owed.set(head.number, { durable: this.#durable(head, committed), last: plan })
    }
    const told = flushed.then(
      () => {
        for (const [doc, { head, added }] of plan.documents) if (added.length > 0) this.#reached(doc, head, plan)
      },
      error => {
        this.#failed ??= new Error(`the disk failed to keep what was written: ${(error as Error).message}`, { cause: error })
      },
    )
    this.#unflushed.add(told)
    told.finally(() => this.#unflushed.delete(told))
  }

  /** The disk has everything of the document up to a head, and with it everything before. */
  #reached(doc: DocId, { number, epoch, version, chain }: Head, plan: Plan): void {
    const owed = this.#owed.get(number)
    if (owed === undefined || version <= owed.durable) return // a later commit has said so already
    if (owed.last === plan) this.#owed.delete(number)
    else owed.durable = version
    // One sync answers for many commits at once; only the last of them is news.
    if (this.#hardened.size === 0) queueMicrotask(() => this.#tellDurable())
    this.#hardened.set(doc, { kind: 'durable', epoch, version, chain })
  }

  #tellDurable(): void {
    const news = [...this.#hardened]
    this.#hardened.clear()
    for (const [doc, announcement] of news) this.#feed.tell(doc, announcement)
  }
}

const numberKey = Buffer.from('next document')

/** Names the number of a document whose rows are still to be removed. */
const orphanKey = (number: number): Buffer => {
  const key = Buffer.alloc(7)
  key.writeUIntBE(number, 1, 6)
  return key
}

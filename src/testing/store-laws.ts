// The laws of a store, for whoever writes one: the engine relies on each of them.
// Invariant: a law uses nothing but the store's ports and the doors that its setup opens, so every store can be held to it, by any
// test runner.

import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert'
import { createHash } from 'node:crypto'
import { countOf, entryAt } from '../engine/page.ts'
import type {
  Announcement,
  Appearance,
  Checkpoint,
  Entry,
  Log,
  LogReply,
  NewEntry,
  Notice,
  Opened,
  PresenceNews,
  Store,
} from '../engine/ports.ts'
import { privateMark, signalBytes } from '../engine/ports.ts'
import type { Json } from '../ot/type.ts'
import type { AuthorId, Chain, DocId, Epoch, PeerId, Position, Version } from '../protocol/ids.ts'
import { emptyChain } from '../protocol/ids.ts'
import type { Chance } from './random.ts'
import { seeded } from './random.ts'

/** A fresh, empty store, and what can be done to it from outside. What it cannot do it leaves out; the laws about that are then moot. */
export interface StoreUnderLaw {
  readonly store: Store
  /** Closes the store and opens another on what it stored. */
  reopen?(): Promise<Store>
  /** Another server's store on the same data, while the first stays open. `discard` closes it. */
  beside?(): Promise<Store>
  /** Says what is durable, in a store whose durability is in the test's hand. */
  durableUpTo?(doc: DocId, version: Version): Promise<void>
  /** A failover to a copy that had only the first `to` entries, in the same epoch, of which nobody is told. */
  lose?(doc: DocId, to: Version): Promise<void>
  /** Closes and removes everything. */
  discard(): Promise<void>
}

export interface StoreLaw {
  /** The rule it proves, if it has a number in docs/ARCHITECTURE.md, and the law. */
  readonly name: string
  /** @throws when the store breaks the law. */
  run(): Promise<void>
}

export interface StoreLawOptions {
  /** How long an announcement may take. Default 10,000 ms: far more than any store needs, less than a test runner waits. */
  readonly patience?: number
  /** Where the searches begin. */
  readonly seed?: number
  /** How many seeds each search tries. Default 20. */
  readonly searches?: number
}

const entry = (author: string, seq: number, body = `${author}${seq}`): NewEntry => ({ author: author as AuthorId, seq, body })

const many = (author: string, from: number, to: number): NewEntry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(author, from + i))

const epochOf = (opened: Opened): Position => ({ epoch: opened.epoch, version: 0, chain: emptyChain })

const after = (at: Position, entries: readonly Entry[]): Position => {
  const last = entries.at(-1)
  return last === undefined ? at : { epoch: at.epoch, version: last.version, chain: last.chain }
}

const accepted = (reply: LogReply): Extract<LogReply, { ok: true }> => {
  if (!reply.ok) throw new Error(`the log refused a position that it should know: ${reply.reason}`)
  return reply
}

const refused = (reply: LogReply, reason: string): void => deepStrictEqual(reply, { ok: false, reason })

/** The chain after an entry, worked out from its definition in protocol/ids, not by what the stores use. */
const link = (previous: Chain, { author, seq, body }: NewEntry): Chain =>
  createHash('sha1').update(`${previous}|${author}|${seq}|${body}`).digest('hex').slice(0, 16) as Chain

/** Versions without a gap from `at` on, and chains that link. */
const continues = (at: Position, entries: readonly Entry[]): void => {
  let { version, chain } = at
  for (const entry of entries) {
    strictEqual(entry.version, ++version, 'versions must be contiguous')
    strictEqual(entry.chain, (chain = link(chain, entry)), `the chain at version ${version} must link to the one before`)
  }
}

const bare = (entries: readonly Entry[]): NewEntry[] => entries.map(({ author, seq, body }) => ({ author, seq, body }))

/** One document of the store under law, and a position in it that advances with what is written. */
class Page {
  readonly world: World
  readonly log: Log
  readonly doc: DocId
  at: Position
  private constructor(world: World, log: Log, doc: DocId, at: Position) {
    this.world = world
    this.log = log
    this.doc = doc
    this.at = at
  }

  static async open(world: World, name = 'doc', log = world.store.log): Promise<Page> {
    const doc = name as DocId
    return new Page(world, log, doc, epochOf(await log.open(doc)))
  }

  /** Appends where the page stands, and moves on. */
  async append(...entries: NewEntry[]): Promise<readonly Entry[]> {
    const reply = accepted(await this.log.append(this.doc, this.at, entries))
    this.at = after(this.at, reply.entries)
    return reply.entries
  }

  /** Every entry, as the log has it now. */
  all(): Promise<readonly Entry[]> {
    return this.log.entries(this.doc, 0, Number.MAX_SAFE_INTEGER - 1)
  }

  opened(): Promise<Opened> {
    return this.log.open(this.doc)
  }

  /** Resolves when everything up to a version is durable. */
  async durable(version = this.at.version): Promise<void> {
    const feed = await this.world.follow(this)
    await this.world.parts.durableUpTo?.(this.doc, version)
    if ((await this.opened()).durable < version)
      await feed.until(() => feed.durable >= version, `version ${version} to be durable`)
    feed.stop()
  }

  /** A checkpoint at a version with everything that makes it acceptable, but for what is given. */
  async checkpoint(version: Version, rest: Partial<Checkpoint> = {}): Promise<Checkpoint> {
    const [entry] = await this.log.entries(this.doc, version - 1, 1)
    const chain = entry?.chain ?? emptyChain
    return { epoch: this.at.epoch, version, chain, horizon: 0, pruned: 0, body: `text at ${version}`, ...rest }
  }
}

/** What a listener heard of one document. */
interface Following {
  readonly heard: readonly Announcement[]
  readonly durable: Version
  until(what: () => boolean, name: string): Promise<void>
  stop(): void
}

/** The store under law during one law. */
class World {
  readonly parts: StoreUnderLaw
  readonly patience: number
  store: Store
  constructor(parts: StoreUnderLaw, patience: number) {
    this.parts = parts
    this.store = parts.store
    this.patience = patience
  }

  async follow({ log, doc }: Page, hear: (announcement: Announcement) => void = () => {}): Promise<Following> {
    const heard: Announcement[] = []
    const wakes = new Set<() => void>()
    let durable = 0
    const stop = await log.subscribe(doc, announcement => {
      heard.push(announcement)
      durable = announcement.kind === 'entries' ? announcement.durable : announcement.version
      hear(announcement)
      for (const wake of wakes) wake()
    })
    return {
      heard,
      get durable() {
        return durable
      },
      until: (what, name) => this.until(what, name, wakes),
      stop,
    }
  }

  /** For what comes about in the background. */
  async eventually(what: () => Promise<boolean>, name: string): Promise<void> {
    const deadline = Date.now() + this.patience
    while (!(await what())) {
      if (Date.now() > deadline) throw new Error(`waited ${this.patience} ms in vain for ${name}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  until(what: () => boolean, name: string, wakes: Set<() => void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(alarm)
        wakes.delete(look)
        error === undefined ? resolve() : reject(error)
      }
      const look = (): void => {
        if (what()) finish()
      }
      const alarm = setTimeout(() => finish(new Error(`waited ${this.patience} ms in vain for ${name}`)), this.patience)
      wakes.add(look)
      look()
    })
  }
}

const entriesHeard = (heard: readonly Announcement[]): Entry[] => {
  const all = new Map<Version, Entry>()
  for (const news of heard) if (news.kind === 'entries') for (const entry of news.entries) all.set(entry.version, entry)
  return [...all.values()]
}

type Case = readonly [name: string, run: (world: World) => Promise<void>]

const logCases: readonly Case[] = [
  [
    'a document nobody has written to is empty, and everybody who opens it finds the same log',
    async world => {
      const opened = await world.store.log.open('doc' as DocId)
      deepStrictEqual({ ...opened, epoch: '' }, { epoch: '', checkpoint: null, tail: [], durable: 0, horizon: 0 })
      ok(/^[A-Za-z0-9_-]{1,32}$/.test(opened.epoch), `an epoch of 1 to 32 characters, not ${JSON.stringify(opened.epoch)}`)
      deepStrictEqual(await world.store.log.open('doc' as DocId), opened)
      notStrictEqual((await world.store.log.open('other' as DocId)).epoch, opened.epoch, 'two logs must not share an epoch')
      const page = await Page.open(world)
      deepStrictEqual(await page.log.read(page.doc, page.at), { ok: true, entries: [], durable: 0, horizon: 0 })
    },
  ],
  [
    'versions are contiguous from 1, and each chain links to the one before',
    async world => {
      const page = await Page.open(world)
      const start = page.at
      const written = [...(await page.append(entry('ann', 1))), ...(await page.append(...many('bob', 1, 3), entry('ann', 2)))]
      continues(start, written)
      strictEqual(page.at.version, 5)
      deepStrictEqual(await page.all(), written)
      deepStrictEqual((await page.opened()).tail, written)
      deepStrictEqual(accepted(await page.log.read(page.doc, start)).entries, written)
    },
  ],
  [
    'an append brings exactly what its caller missed, and its own entries after that',
    async world => {
      const [ahead, late] = [await Page.open(world), await Page.open(world)]
      const first = await ahead.append(...many('ann', 1, 3))
      const own = await late.append(entry('bob', 1))
      deepStrictEqual(own.slice(0, 3), first)
      deepStrictEqual(bare(own.slice(3)), [entry('bob', 1)])
      deepStrictEqual(bare(await ahead.append(entry('ann', 4))), [entry('bob', 1), entry('ann', 4)])
      deepStrictEqual(bare(await late.append()), [entry('ann', 4)])
      deepStrictEqual(await late.append(), [])
      const middle = after(late.at, first.slice(0, 2))
      deepStrictEqual(bare(accepted(await late.log.read(late.doc, middle)).entries), [
        entry('ann', 3),
        entry('bob', 1),
        entry('ann', 4),
      ])
    },
  ],
  [
    'entries come back as they were given: long, empty, of any character',
    async world => {
      const page = await Page.open(world)
      const bodies = [
        '',
        ' ',
        '|',
        'a|1|b',
        '\n',
        '\u0000',
        '"\\',
        'ä€𝄞👩‍👩‍👧',
        '\u{10ffff}\ufeff\uffff',
        'x'.repeat(300_000),
        '{"op":[1,"é"]}',
      ]
      const given = bodies.map((body, i) => entry('ann', i + 1, body))
      await page.append(...given)
      await page.append(entry('b-_9', 2 ** 40, 'a long way from the last seq'))
      deepStrictEqual(bare(await page.all()), [...given, entry('b-_9', 2 ** 40, 'a long way from the last seq')])
      continues(epochOf(await page.opened()), await page.all())
      const all = await page.all()
      for (const [after, limit] of [
        [0, 1],
        [0, 7],
        [7, 2],
        [1, 100],
        [all.length, 5],
      ] as const) {
        const piece = await page.log.page?.(page.doc, after, limit)
        if (piece === undefined) continue
        const entries = Array.from({ length: countOf(piece) }, (_, i) => entryAt(piece, i))
        deepStrictEqual(entries, all.slice(after, after + limit))
      }
    },
  ],
  [
    '[R13] an entry that is sent again is dropped: alone, twice in one batch, with its whole batch, from an old position',
    async world => {
      const page = await Page.open(world)
      const start = page.at
      await page.append(entry('ann', 1), entry('ann', 1, 'again'), entry('bob', 1), entry('ann', 1))
      const batch = [...many('ann', 2, 4), entry('bob', 2)]
      await page.append(...batch)
      const end = page.at
      deepStrictEqual(await page.append(entry('ann', 4)), [])
      deepStrictEqual(await page.append(...batch), [])
      deepStrictEqual(await page.append(...batch, ...batch), [])
      const again = accepted(await page.log.append(page.doc, start, batch))
      deepStrictEqual(again.entries, await page.all())
      deepStrictEqual(page.at, end)
      deepStrictEqual(bare(await page.all()), [entry('ann', 1), entry('bob', 1), ...batch])
    },
  ],
  [
    '[R13] a seq below its author’s last one is dropped, one above is taken, and authors do not count for each other',
    async world => {
      const page = await Page.open(world)
      await page.append(entry('ann', 5), entry('an', 1), entry('annx', 2))
      await page.append(entry('ann', 4), entry('ann', 6), entry('an', 1), entry('annx', 3), entry('ann', 3))
      deepStrictEqual(bare(await page.all()), [
        entry('ann', 5),
        entry('an', 1),
        entry('annx', 2),
        entry('ann', 6),
        entry('annx', 3),
      ])
      const other = await Page.open(world, 'other')
      deepStrictEqual(bare(await other.append(entry('ann', 1))), [entry('ann', 1)])
    },
  ],
  [
    'a position that the log does not know is refused with its reason, and nothing is written or announced',
    async world => {
      const page = await Page.open(world)
      const start = page.at
      await page.append(...many('ann', 1, 4))
      await page.durable()
      await page.log.raiseHorizon(page.doc, page.at.epoch, 2)
      const before = await page.opened()
      const chainAt = (version: Version): Chain => before.tail[version - 1]!.chain
      const feed = await world.follow(page)
      const wrong: readonly (readonly [Position, string])[] = [
        [{ ...page.at, epoch: 'elsewhere' as Epoch }, 'epoch'],
        [{ ...page.at, version: 5 }, 'behind'],
        [{ ...page.at, version: 5, epoch: 'elsewhere' as Epoch }, 'epoch'],
        [{ ...page.at, chain: 'ffffffffffffffff' as Chain }, 'fork'],
        [{ ...page.at, chain: chainAt(3) }, 'fork'],
        [{ ...page.at, version: 3 }, 'fork'],
        [{ ...page.at, version: 2, chain: emptyChain }, 'fork'],
        [{ ...page.at, version: 1, chain: chainAt(1) }, 'horizon'],
        [{ ...page.at, version: 1, chain: 'ffffffffffffffff' as Chain }, 'horizon'],
        [start, 'horizon'],
      ]
      for (const [at, reason] of wrong) {
        refused(await page.log.append(page.doc, at, [entry('bob', 1)]), reason)
        refused(await page.log.append(page.doc, at, []), reason)
        refused(await page.log.read(page.doc, at), reason)
      }
      refused(await page.log.append('nobody' as DocId, page.at, [entry('bob', 1)]), 'epoch')
      refused(await page.log.read('nobody' as DocId, page.at), 'epoch')
      deepStrictEqual(await page.opened(), before)
      deepStrictEqual(await page.log.documents(null, 9), [page.doc])
      const last = await page.append(entry('bob', 1)) // bob's 1 is free: no refusal has used it up
      await feed.until(() => entriesHeard(feed.heard).length > 0, 'the entry to be announced')
      const heard = feed.heard.flatMap(news => (news.kind === 'entries' ? news.entries : []))
      deepStrictEqual(heard, last)
    },
  ],
  [
    'what is announced is in the log by then, in order, without a gap, with the chain before it; every listener hears it',
    async world => {
      const page = await Page.open(world)
      const start = page.at
      const reads: Promise<unknown>[] = []
      const expect = (read: Promise<unknown>): void => {
        read.catch(() => {}) // awaited below
        reads.push(read)
      }
      const look = (news: Announcement): void => {
        if (news.kind === 'durable')
          return expect(page.opened().then(({ tail }) => ok(tail.length >= news.version, 'durable beyond the log')))
        const { epoch, from, chain, entries } = news
        expect(page.log.entries(page.doc, from, entries.length).then(found => deepStrictEqual(found, entries)))
        expect(page.log.read(page.doc, { epoch, version: from, chain }).then(accepted))
      }
      const feeds = [await world.follow(page, look), await world.follow(page)]
      const other = await Page.open(world, 'other')
      const stranger = await world.follow(other)
      for (let i = 1; i <= 20; i++) await page.append(...many('ann', 3 * i - 2, 3 * i - (i % 3)), entry('bob', i))
      const all = await page.all()
      for (const feed of feeds) {
        await feed.until(() => entriesHeard(feed.heard).length === all.length, 'every entry to be announced')
        let next = start
        for (const news of feed.heard) {
          strictEqual(news.epoch, start.epoch)
          if (news.kind === 'durable') continue
          ok(news.entries.length > 0, 'an announcement of nothing')
          deepStrictEqual({ version: news.from, chain: news.chain }, { version: next.version, chain: next.chain })
          continues(next, news.entries)
          next = after(next, news.entries)
        }
        deepStrictEqual(entriesHeard(feed.heard), all)
      }
      for (const feed of feeds) feed.stop()
      await Promise.all(reads)
      deepStrictEqual(stranger.heard, [], 'news of another document')
    },
  ],
  [
    'an append that adds nothing announces nothing, and who has called off hears no more',
    async world => {
      const page = await Page.open(world)
      const [gone, feed] = [await world.follow(page), await world.follow(page)]
      await page.append(entry('ann', 1))
      await gone.until(() => entriesHeard(gone.heard).length === 1, 'the first entry to be announced')
      gone.stop()
      gone.stop()
      const before = entriesHeard(gone.heard)
      await page.append(entry('ann', 1))
      await page.append()
      await page.append(entry('ann', 2))
      await feed.until(() => entriesHeard(feed.heard).length === 2, 'the second entry to be announced')
      strictEqual(feed.heard.filter(({ kind }) => kind === 'entries').length, 2)
      deepStrictEqual(entriesHeard(gone.heard), before)
    },
  ],
  [
    'a listener that throws keeps neither the append nor its neighbours from happening',
    async world => {
      const page = await Page.open(world)
      const bugs: unknown[] = []
      const catchBug = (bug: unknown): void => void bugs.push(bug)
      const standing = process.listeners('uncaughtException') // a store may let the bug surface; the runner must not take it for its own
      process.removeAllListeners('uncaughtException')
      process.on('uncaughtException', catchBug)
      try {
        await page.log.subscribe(page.doc, () => {
          throw new Error('a bug in a listener')
        })
        const feed = await world.follow(page)
        await page.append(entry('ann', 1))
        await page.append(entry('ann', 2))
        await feed.until(() => entriesHeard(feed.heard).length === 2, 'both entries to be announced')
        await page.durable()
        await new Promise(resolve => setImmediate(resolve))
      } finally {
        process.removeListener('uncaughtException', catchBug)
        for (const listener of standing) process.on('uncaughtException', listener)
      }
      for (const bug of bugs) strictEqual((bug as Error).message, 'a bug in a listener')
      strictEqual((await page.all()).length, 2)
    },
  ],
  [
    'whoever subscribes and then opens misses nothing',
    async world => {
      const writer = await Page.open(world)
      let done = false
      const writing = (async () => {
        try {
          for (let i = 1; i <= 60; i++) await writer.append(entry('ann', i))
        } finally {
          done = true
        }
      })()
      const readers = Array.from({ length: 6 }, async (_, i) => {
        while (!done && writer.at.version < 8 * i) await new Promise(resolve => setImmediate(resolve))
        const page = await Page.open(world)
        const feed = await world.follow(page)
        const { tail } = await page.opened()
        await feed.until(() => (entriesHeard(feed.heard).at(-1)?.version ?? tail.length) === 60, 'the last entry to be announced')
        const known = new Map([...tail, ...entriesHeard(feed.heard)].map(entry => [entry.version, entry]))
        deepStrictEqual([...known.values()], await page.all())
      })
      await Promise.all([writing, ...readers])
    },
  ],
  [
    'everything becomes durable without more being written, and durable never goes back nor ahead of the log',
    async world => {
      const page = await Page.open(world)
      const feed = await world.follow(page)
      for (let i = 1; i <= 5; i++) {
        const { durable } = accepted(await page.log.append(page.doc, page.at, []))
        ok(durable <= page.at.version)
        await page.append(...many('ann', 2 * i, 2 * i + 1))
      }
      await page.durable()
      strictEqual((await page.opened()).durable, page.at.version)
      strictEqual(accepted(await page.log.read(page.doc, page.at)).durable, page.at.version)
      await feed.until(() => feed.durable >= page.at.version, 'durability to be announced')
      const all = await page.all()
      let last = 0
      for (const news of feed.heard) {
        const durable = news.kind === 'entries' ? news.durable : news.version
        if (news.kind === 'durable') strictEqual(news.chain, all[durable - 1]?.chain, 'durable in another history')
        ok(durable >= last && durable <= page.at.version, `durable went from ${last} to ${durable}`)
        last = durable
      }
    },
  ],
  [
    '[R3] raising the horizon answers the log’s version, deletes nothing, and shuts out positions below it',
    async world => {
      const page = await Page.open(world)
      const all = await page.append(...many('ann', 1, 6))
      const { doc, log } = page
      const { epoch } = page.at
      strictEqual(await log.raiseHorizon(doc, 'elsewhere' as Epoch, 3), null)
      strictEqual(await log.raiseHorizon('nobody' as DocId, epoch, 3), null)
      strictEqual((await page.opened()).horizon, 0)
      strictEqual(await log.raiseHorizon(doc, epoch, 3), 6)
      strictEqual(await log.raiseHorizon(doc, epoch, 2), 6)
      strictEqual((await page.opened()).horizon, 3)
      strictEqual(accepted(await log.append(doc, page.at, [])).horizon, 3)
      refused(await log.read(doc, after(page.at, all.slice(0, 2))), 'horizon')
      deepStrictEqual(accepted(await log.read(doc, after(page.at, all.slice(0, 3)))).entries, all.slice(3))
      await page.append(entry('ann', 7))
      strictEqual(await log.raiseHorizon(doc, epoch, 4), 7)
      deepStrictEqual((await page.opened()).tail, await page.all())
      strictEqual((await page.all()).length, 7)
    },
  ],
  [
    'a horizon asked for above the log’s version stops there, so that the next append still finds a place',
    async world => {
      const page = await Page.open(world)
      await page.append(...many('ann', 1, 2))
      strictEqual(await page.log.raiseHorizon(page.doc, page.at.epoch, 9), 2)
      strictEqual((await page.opened()).horizon, 2)
      deepStrictEqual(bare(await page.append(entry('ann', 3))), [entry('ann', 3)])
    },
  ],
  [
    '[R3] [R5] a checkpoint that breaks a rule is refused, and nothing is done',
    async world => {
      const page = await Page.open(world)
      const { doc, log } = page
      await page.append(...many('ann', 1, 8))
      await page.durable()
      await log.raiseHorizon(doc, page.at.epoch, 6)
      ok(await log.checkpoint(doc, await page.checkpoint(5, { horizon: 2, pruned: 1 })), 'a sound checkpoint must be stored')
      const before = await page.opened()
      const wrong: readonly (readonly [string, Partial<Checkpoint>])[] = [
        ['of another epoch', { epoch: 'elsewhere' as Epoch }],
        ['ahead of the log', { version: 9 }],
        ['with another chain', { chain: 'ffffffffffffffff' as Chain }],
        ['with the chain of another version', { chain: before.tail[0]!.chain }],
        ['older than the stored one', { version: 4, chain: (await log.entries(doc, 3, 1))[0]!.chain }],
        ['not above its horizon', { version: 6, horizon: 6, chain: (await log.entries(doc, 5, 1))[0]!.chain }],
        ['with a horizon above the log’s', { horizon: 7 }],
        ['with a prune mark above its horizon', { horizon: 3, pruned: 4 }],
        ['with a prune mark below the stored one', { horizon: 3, pruned: 0 }],
      ]
      for (const [what, part] of wrong) {
        const checkpoint = await page.checkpoint(8, { horizon: 3, pruned: 2, ...part })
        strictEqual(await log.checkpoint(doc, checkpoint), false, `a checkpoint ${what} was stored`)
        deepStrictEqual(await page.opened(), before, `a refused checkpoint ${what} did something`)
        strictEqual((await page.all())[0]?.version, 3, `a refused checkpoint ${what} trimmed`)
      }
      strictEqual(await log.checkpoint('nobody' as DocId, await page.checkpoint(8, { horizon: 3 })), false)
      ok(
        await log.checkpoint(doc, await page.checkpoint(8, { horizon: 3, pruned: 2 })),
        'a sound checkpoint must still be stored',
      )
    },
  ],
  [
    'a checkpoint comes back as it was given, with every entry after it',
    async world => {
      const page = await Page.open(world)
      const all = await page.append(...many('ann', 1, 9))
      await page.durable()
      const first = await page.checkpoint(4, { body: 'a\nb\n\u0000ä👩‍👩‍👧'.repeat(50_000) })
      ok(await page.log.checkpoint(page.doc, first))
      deepStrictEqual(await page.opened(), {
        epoch: page.at.epoch,
        checkpoint: first,
        tail: all.slice(4),
        durable: 9,
        horizon: 0,
      })
      deepStrictEqual(await page.all(), all)
      await page.log.raiseHorizon(page.doc, page.at.epoch, 8)
      const last = await page.checkpoint(9, { horizon: 8, pruned: 3, body: '' })
      ok(await page.log.checkpoint(page.doc, last))
      deepStrictEqual(await page.opened(), { epoch: page.at.epoch, checkpoint: last, tail: [], durable: 9, horizon: 8 })
    },
  ],
  [
    '[R3] a checkpoint trims what is at or below its own horizon, and not an entry more',
    async world => {
      const page = await Page.open(world)
      const all = await page.append(...many('ann', 1, 9))
      const { doc, log } = page
      const place = (version: Version): Position => after(page.at, all.slice(0, version))
      await page.durable()
      await log.raiseHorizon(doc, page.at.epoch, 5)
      ok(await log.checkpoint(doc, await page.checkpoint(7, { horizon: 4 })))
      deepStrictEqual(await page.all(), all.slice(4))
      deepStrictEqual(await log.entries(doc, 2, 4), all.slice(4, 6))
      deepStrictEqual((await page.opened()).tail, all.slice(7))
      refused(await log.read(doc, place(4)), 'horizon')
      deepStrictEqual(accepted(await log.read(doc, place(5))).entries, all.slice(5))
      refused(await log.append(doc, place(4), [entry('bob', 1)]), 'horizon')
      ok(await log.checkpoint(doc, await page.checkpoint(9, { horizon: 5 })))
      deepStrictEqual(await page.all(), all.slice(5))
      deepStrictEqual(accepted(await log.read(doc, place(5))).entries, all.slice(5)) // the chain at the horizon outlives its entry
      refused(await log.read(doc, { ...place(5), chain: emptyChain }), 'fork')
      deepStrictEqual(bare(await page.append(entry('bob', 1))), [entry('bob', 1)])
      continues(place(5), await page.all())
    },
  ],
  [
    '[R7] [R13] an author’s row goes with the prune mark, not with the entries; only then is an old seq taken again',
    async world => {
      const page = await Page.open(world)
      const { doc, log } = page
      await page.append(entry('old', 5), entry('mid', 5), entry('new', 5), entry('back', 5), entry('end', 1))
      await page.append(entry('back', 6), entry('end', 2))
      await page.durable()
      const again = ['old', 'mid', 'new', 'back', 'end'].map(author => entry(author, 1))
      await log.raiseHorizon(doc, page.at.epoch, 6)
      ok(await log.checkpoint(doc, await page.checkpoint(7, { horizon: 4, pruned: 0 })))
      deepStrictEqual(await page.append(...again), [], 'a trimmed entry is still known')
      ok(await log.checkpoint(doc, await page.checkpoint(7, { horizon: 5, pruned: 2 })))
      deepStrictEqual(bare(await page.append(...again)), [entry('old', 1), entry('mid', 1)])
      deepStrictEqual(await page.append(...again), [])
      await page.durable()
      ok(await log.checkpoint(doc, await page.checkpoint(9, { horizon: 6, pruned: 5 })))
      deepStrictEqual(
        bare(await page.append(...again)),
        [entry('new', 1)],
        'an author who wrote again after the mark is still known',
      )
    },
  ],
  [
    'many authors and a long history are pruned and trimmed to the mark',
    async world => {
      const page = await Page.open(world)
      const { doc, log } = page
      const authors = Array.from({ length: 2_500 }, (_, i) => `a${i}`)
      for (let i = 0; i < authors.length; i += 500)
        await page.append(...authors.slice(i, i + 500).map(author => entry(author, 2)))
      await page.durable()
      await log.raiseHorizon(doc, page.at.epoch, 2_400)
      ok(await log.checkpoint(doc, await page.checkpoint(2_500, { horizon: 2_400, pruned: 2_200 })))
      deepStrictEqual(
        (await page.all()).map(({ version }) => version),
        Array.from({ length: 100 }, (_, i) => 2_401 + i),
      )
      const taken = await page.append(...authors.map(author => entry(author, 1)))
      deepStrictEqual(
        taken.map(({ author }) => author),
        authors.slice(0, 2_200),
      )
    },
  ],
  [
    'entries() pages through whatever is kept',
    async world => {
      const page = await Page.open(world)
      const all = await page.append(...many('ann', 1, 10))
      const { doc, log } = page
      deepStrictEqual(await log.entries(doc, 0, 3), all.slice(0, 3))
      deepStrictEqual(await log.entries(doc, 3, 3), all.slice(3, 6))
      deepStrictEqual(await log.entries(doc, 9, 3), all.slice(9))
      deepStrictEqual(await log.entries(doc, 10, 3), [])
      deepStrictEqual(await log.entries(doc, 99, 3), [])
      deepStrictEqual(await log.entries(doc, 0, 0), [])
      deepStrictEqual(await log.entries('nobody' as DocId, 0, 3), [])
    },
  ],
  [
    'documents() lists what has been written to but the house’s own, in the order of their UTF-8 bytes, page by page',
    async world => {
      const { log } = world.store
      deepStrictEqual(await log.documents(null, 9), [])
      const names = ['b', 'a', 'ab', 'a/b', 'a b', 'A', 'é', '\uffee', '𝄞', '0', 'b'.repeat(256)]
      for (const name of names) await (await Page.open(world, name)).append(entry('ann', 1))
      await Page.open(world, 'opened, never written')
      await (await Page.open(world, `${privateMark}a`)).append(entry('ann', 1))
      const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))) as DocId[]
      deepStrictEqual(await log.documents(null, 99), sorted)
      const paged: DocId[] = []
      for (let page = await log.documents(null, 4); page.length > 0; page = await log.documents(paged.at(-1)!, 4)) {
        ok(page.length <= 4 && paged.length < names.length, 'pages without end')
        paged.push(...page)
      }
      deepStrictEqual(paged, sorted)
      deepStrictEqual(
        await log.documents('a!' as DocId, 2),
        sorted.filter(name => Buffer.compare(Buffer.from(name), Buffer.from('a!')) > 0).slice(0, 2),
      )
    },
  ],
  [
    'documents with hostile ids keep apart: prefixes of each other, separators, brackets, emoji, 256 bytes',
    async world => {
      const long = `${'👩‍👩‍👧'.repeat(14)}xxxx`
      const names = [
        'a',
        'a:',
        'a:b',
        'a/',
        'a/..',
        '..',
        '.',
        '{a}',
        '{a',
        'a}',
        '*',
        'a*',
        '%00',
        ' ',
        'a ',
        '"',
        "'",
        '\\',
        'A',
        'é',
        'e\u0301',
      ]
      names.push(
        long,
        long.slice(0, -1),
        `${'z'.repeat(255)}a`,
        `${'z'.repeat(255)}b`,
        '__proto__',
        'constructor',
        'next document',
      )
      const pages = await Promise.all(names.map(name => Page.open(world, name)))
      strictEqual(new Set(pages.map(({ at }) => at.epoch)).size, names.length)
      await Promise.all(
        pages.map((page, i) =>
          page.append(...many('ann', 1, 1 + (i % 3)).map(each => ({ ...each, body: `${names[i]}: ${each.seq}` }))),
        ),
      )
      for (const [i, page] of pages.entries()) {
        deepStrictEqual(
          (await page.all()).map(({ body }) => body),
          Array.from({ length: 1 + (i % 3) }, (_, k) => `${names[i]}: ${k + 1}`),
        )
        await page.durable()
        if (page.at.version < 2) continue
        await page.log.raiseHorizon(page.doc, page.at.epoch, 1)
        ok(await page.log.checkpoint(page.doc, await page.checkpoint(2, { horizon: 1, pruned: 1, body: names[i]! })))
      }
      for (const [i, page] of pages.entries()) {
        const { checkpoint } = await page.opened()
        strictEqual(checkpoint?.body, page.at.version < 2 ? undefined : names[i])
        strictEqual((await page.all()).length, page.at.version < 2 ? 1 : page.at.version - 1)
        deepStrictEqual(bare(await page.append(entry('bob', 1))), [entry('bob', 1)])
      }
    },
  ],
]

/** A log above version 0 as it is elsewhere, with a checkpoint at version 8 and what comes after it. */
const elsewhere = () => {
  const epoch = 'elsewhere' as Epoch
  const floor = { version: 5, chain: '00112233445566aa' as Chain }
  const authors = [
    { author: 'ann' as AuthorId, seq: 4, version: 5 },
    { author: 'bob' as AuthorId, seq: 9, version: 2 },
  ]
  const kept = [...many('ann', 5, 7), entry('cem', 1)]
  let { chain } = floor
  const chains = kept.map(each => (chain = link(chain, each)))
  const checkpoint: Checkpoint = { epoch, version: 8, chain: chains[2]!, horizon: 6, pruned: 2, body: 'text at 8' }
  return { seed: { epoch, floor, authors }, kept, checkpoint, start: { epoch, ...floor } }
}

const moveCases: readonly Case[] = [
  [
    'what is known about a log is what it has, and asking begins none',
    async world => {
      const { log } = world.store
      strictEqual(await log.about('doc' as DocId), null)
      strictEqual(await log.about('doc' as DocId), null)
      const page = await Page.open(world)
      const start = { version: 0, chain: emptyChain }
      const rest = { durable: 0, horizon: 0, floor: start, checkpointed: 0, planted: false, removed: false }
      deepStrictEqual(await log.about(page.doc), { ...page.at, ...rest })
      const all = await page.append(...many('ann', 1, 9))
      await page.durable()
      await log.raiseHorizon(page.doc, page.at.epoch, 4)
      ok(await log.checkpoint(page.doc, await page.checkpoint(8, { horizon: 3 })))
      const floor = { version: 3, chain: all[2]!.chain }
      const now = { ...page.at, ...rest, durable: 9, horizon: 4, floor, checkpointed: 8 }
      deepStrictEqual(await log.about(page.doc), now)
    },
  ],
  [
    'a removed document is gone for good: its log is another one, empty, and says that something was removed',
    async world => {
      const page = await Page.open(world)
      const other = await Page.open(world, 'other')
      strictEqual(await page.log.remove(page.doc), false)
      strictEqual(await page.log.remove('never opened' as DocId), false)
      await page.append(...many('ann', 1, 9))
      await other.append(entry('ann', 1))
      await page.durable()
      await page.log.raiseHorizon(page.doc, page.at.epoch, 4)
      ok(await page.log.checkpoint(page.doc, await page.checkpoint(8, { horizon: 3 })))
      const before = page.at
      strictEqual(await page.log.remove(page.doc), true)
      strictEqual((await page.log.about(page.doc))?.removed, true)
      strictEqual(await page.log.remove(page.doc), false)
      const opened = await page.opened()
      notStrictEqual(opened.epoch, before.epoch)
      const empty = { epoch: '', checkpoint: null, tail: [], durable: 0, horizon: 0, removed: true }
      deepStrictEqual({ ...opened, epoch: '' }, empty)
      deepStrictEqual(await page.all(), [])
      refused(await page.log.read(page.doc, before), 'epoch')
      refused(await page.log.append(page.doc, before, [entry('ann', 10)]), 'epoch')
      strictEqual(await page.log.checkpoint(page.doc, { ...(await page.checkpoint(0)), version: 8, horizon: 3 }), false)
      deepStrictEqual(await page.log.documents(null, 9), [other.doc])
      deepStrictEqual((await other.opened()).tail.length, 1)

      page.at = epochOf(opened)
      const again = await page.append(entry('ann', 1, 'another text'))
      continues(epochOf(opened), again)
      deepStrictEqual(bare(again), [entry('ann', 1, 'another text')])
      await page.durable()
      deepStrictEqual(await page.opened(), { ...opened, tail: again, durable: 1 })
      deepStrictEqual(await page.log.documents(null, 9), [page.doc, other.doc])
    },
  ],
  [
    'whoever has a removed document open hears of another epoch',
    async world => {
      const page = await Page.open(world)
      await page.append(...many('ann', 1, 3))
      const feed = await world.follow(page)
      await page.log.remove(page.doc)
      const { epoch } = await page.opened()
      await feed.until(() => feed.heard.some(news => news.epoch === epoch), 'news of the other log')
      feed.stop()
    },
  ],
  [
    '[R1] a log that is brought from elsewhere has the versions, chains and authors that it had there',
    async world => {
      const { log } = world.store
      const doc = 'doc' as DocId
      const { seed, kept, checkpoint, start } = elsewhere()
      const rest = { durable: 5, horizon: 5, checkpointed: 0, planted: true, removed: false }
      deepStrictEqual(await log.plant(doc, seed), { ...start, ...rest, floor: seed.floor })
      await rejects(log.open(doc), 'an unfinished log')
      const reply = accepted(await log.append(doc, start, [entry('ann', 4), entry('bob', 9), ...kept.slice(0, 2)]))
      continues(start, reply.entries)
      deepStrictEqual(bare(reply.entries), kept.slice(0, 2)) // R13: the others are below the floor
      deepStrictEqual(await log.documents(null, 9), [doc])

      const on = await log.plant(doc, seed) // broken off and begun again: it goes on
      deepStrictEqual([on?.version, on?.chain, on?.planted], [7, reply.entries.at(-1)!.chain, true])
      strictEqual(await log.plant(doc, { ...seed, epoch: 'another' as Epoch }), null)
      strictEqual(await log.plant(doc, { ...seed, floor: { ...seed.floor, version: 6 } }), null)
      strictEqual(await log.settle(doc, seed.epoch, checkpoint), false, 'the log does not hold the checkpoint yet')
      const more = accepted(await log.append(doc, after(start, reply.entries), kept.slice(2)))
      const all = [...reply.entries, ...more.entries]
      strictEqual(await log.settle(doc, seed.epoch, null), false, 'nobody could read it without its checkpoint')
      strictEqual(await log.settle(doc, 'another' as Epoch, checkpoint), false)
      strictEqual(await log.settle(doc, seed.epoch, { ...checkpoint, chain: emptyChain }), false)
      await rejects(log.open(doc), 'an unfinished log')
      ok(await log.settle(doc, seed.epoch, checkpoint))
      ok(await log.settle(doc, seed.epoch, checkpoint), 'asked for again')

      const opened = await log.open(doc)
      deepStrictEqual({ ...opened, durable: 0 }, { epoch: seed.epoch, checkpoint, tail: all.slice(3), durable: 0, horizon: 6 })
      deepStrictEqual(await log.entries(doc, 0, 99), all)
      deepStrictEqual(await log.documents(null, 9), [doc])
      refused(await log.read(doc, start), 'horizon')
      const next = accepted(await log.append(doc, after(start, all), [entry('cem', 1), entry('ann', 7), entry('ann', 8)]))
      deepStrictEqual(bare(next.entries), [entry('ann', 8)])
      strictEqual(await log.plant(doc, seed), null, 'it is somebody’s document now')
    },
  ],
  [
    '[R13] a log is planted again with the authors that the first try did not bring; what has been appended since stands',
    async world => {
      const { log } = world.store
      const doc = 'doc' as DocId
      const { seed, kept, start } = elsewhere()
      const crowd = Array.from({ length: 2_500 }, (_, i) => ({ author: `author ${i}` as AuthorId, seq: 3, version: 4 }))
      ok(await log.plant(doc, { ...seed, authors: seed.authors.slice(0, 1) }))
      const first = accepted(await log.append(doc, start, kept.slice(0, 1)))
      ok(await log.plant(doc, { ...seed, authors: [...crowd, ...seed.authors] }))
      const old = [...crowd.map(({ author }) => entry(author, 3)), entry('ann', 5), entry('bob', 9)]
      const more = accepted(await log.append(doc, after(start, first.entries), [...old, entry('author 2499', 4)]))
      deepStrictEqual(bare(more.entries), [entry('author 2499', 4)])
      strictEqual(await log.remove(doc), true)
    },
  ],
  [
    'a log that is brought from elsewhere takes the place of none in which something is written',
    async world => {
      const page = await Page.open(world)
      const { seed } = elsewhere()
      const unwritten = await Page.open(world, 'unwritten')
      ok(await page.log.plant(unwritten.doc, seed), 'an epoch alone is in nobody’s way')
      refused(await page.log.append(unwritten.doc, unwritten.at, [entry('ann', 1)]), 'epoch')
      const written = await page.append(...many('ann', 1, 3))
      strictEqual(await page.log.plant(page.doc, seed), null)
      deepStrictEqual((await page.opened()).tail, written)
    },
  ],
  [
    'a log from version 0 needs no checkpoint; one that is not finished can be removed',
    async world => {
      const { log } = world.store
      const doc = 'doc' as DocId
      const seed = { epoch: 'elsewhere' as Epoch, floor: { version: 0, chain: emptyChain }, authors: [] }
      const start = { epoch: seed.epoch, ...seed.floor }
      ok(await log.plant(doc, seed))
      deepStrictEqual(await log.documents(null, 9), [doc])
      await rejects(log.open(doc), 'an unfinished log')
      strictEqual(await log.remove(doc), true)
      deepStrictEqual(await log.documents(null, 9), [])
      deepStrictEqual((await log.open(doc)).tail, [])
      ok(await log.plant(doc, seed))
      const { entries } = accepted(await log.append(doc, start, many('ann', 1, 3)))
      const feed = await world.follow(await Page.open(world, 'other'))
      feed.stop()
      ok(await log.settle(doc, seed.epoch, null))
      const opened = await log.open(doc)
      deepStrictEqual({ ...opened, durable: 0 }, { epoch: seed.epoch, checkpoint: null, tail: entries, durable: 0, horizon: 0 })
    },
  ],
]

const searchCases: readonly (readonly [string, (world: World, random: Chance) => Promise<void>])[] = [
  [
    'many appends in flight, from several callers at different heads, end in one log that every reply and announcement agrees with',
    async (world, random) => {
      const stores = [world.store, ...(world.parts.beside === undefined ? [] : [await world.parts.beside()])]
      const witness = await Page.open(world)
      const feed = await world.follow(witness)
      const start = witness.at
      const last = new Map<string, number>()
      const told: { readonly at: Position; readonly entries: readonly Entry[] }[] = []
      const shared: NewEntry[] = [] // what another caller sends too: a client that changed its node in the middle
      const caller = async (name: string): Promise<void> => {
        const page = await Page.open(world, 'doc', random.pick(stores).log)
        let seq = 0
        for (let turn = 0; turn < 6; turn++) {
          const calls = Array.from({ length: 1 + random.int(3) }, async () => {
            const at = page.at
            const batch = Array.from({ length: random.int(4) }, () => entry(name, ++seq))
            if (shared.length > 0 && random.chance(0.5)) batch.splice(random.int(batch.length + 1), 0, random.pick(shared))
            if (batch.length > 0 && random.chance(0.3)) shared.push(random.pick(batch))
            for (const { author, seq } of batch) last.set(author, Math.max(seq, last.get(author) ?? 0))
            const reply = accepted(await page.log.append(page.doc, at, random.chance(0.2) ? [...batch, ...batch] : batch))
            told.push({ at, entries: reply.entries })
            if (after(at, reply.entries).version > page.at.version && random.chance(0.8)) page.at = after(at, reply.entries)
          })
          await Promise.all(calls)
        }
      }
      await Promise.all(['ann', 'bob', 'cem', 'dee'].map(caller))
      const all = await witness.all()
      continues(start, all)
      const once = new Set(all.map(({ author, seq }) => `${author} ${seq}`))
      strictEqual(once.size, all.length, 'an (author, seq) is there twice')
      for (const [author, seq] of last) ok(once.has(`${author} ${seq}`), `${author}'s last edit, ${seq}, is missing`)
      for (const { at, entries } of told) deepStrictEqual(entries, all.slice(at.version, at.version + entries.length))
      await feed.until(() => entriesHeard(feed.heard).length === all.length, 'every entry to be announced')
      deepStrictEqual(entriesHeard(feed.heard), all)
      deepStrictEqual((await witness.opened()).tail, all)
    },
  ],
  [
    'writers, checkpoints and trims at once leave a log that continues its last checkpoint, and lose nothing on the way',
    async (world, random) => {
      const witness = await Page.open(world)
      const feed = await world.follow(witness)
      const start = witness.at
      const { doc, log } = witness
      let writing = true
      const writer = async (name: string): Promise<void> => {
        const page = await Page.open(world)
        for (let seq = 1, tries = 0; seq <= 30; ) {
          ok(++tries < 1_000, 'the end of the log is below its horizon, again and again')
          const batch = many(name, seq, seq + random.int(3))
          const reply = await log.append(doc, page.at, batch)
          if (!reply.ok) {
            strictEqual(reply.reason, 'horizon')
            page.at = await where(log, doc)
            continue
          }
          seq += batch.length
          if (random.chance(0.7)) page.at = after(page.at, reply.entries)
        }
      }
      const keeper = async (): Promise<void> => {
        while (writing) {
          const { durable, horizon, checkpoint } = await witness.opened()
          await world.parts.durableUpTo?.(doc, Number.MAX_SAFE_INTEGER)
          const to = Math.max(horizon, durable - 1 - random.int(6))
          const version = await log.raiseHorizon(doc, start.epoch, to)
          ok(version !== null && version >= durable)
          const [entry] = await log.entries(doc, durable - 1, 1)
          const pruned = checkpoint?.pruned ?? 0
          if (entry !== undefined && durable > to) {
            const stored = await log.checkpoint(doc, {
              epoch: start.epoch,
              version: durable,
              chain: entry.chain,
              horizon: to,
              pruned,
              body: `${durable}`,
            })
            ok(stored, 'a sound checkpoint was refused')
          }
          await new Promise(resolve => setImmediate(resolve))
        }
      }
      const kept = keeper()
      const written = Promise.all(['ann', 'bob', 'cem'].map(writer)).finally(() => (writing = false))
      await Promise.all([written, kept])
      const { tail, checkpoint } = await witness.opened()
      const end = tail.at(-1)?.version ?? checkpoint?.version ?? 0
      await feed.until(() => entriesHeard(feed.heard).at(-1)?.version === end, 'every entry to be announced')
      const all = entriesHeard(feed.heard)
      continues(start, all)
      strictEqual(new Set(all.map(({ author, seq }) => `${author} ${seq}`)).size, all.length)
      for (const name of ['ann', 'bob', 'cem']) ok(all.some(({ author, seq }) => author === name && seq >= 30))
      deepStrictEqual(tail, all.slice(checkpoint?.version ?? 0))
      if (checkpoint !== null) strictEqual(checkpoint.chain, all[checkpoint.version - 1]!.chain)
      const kepts = await witness.all()
      deepStrictEqual(kepts, all.slice(all.length - kepts.length))
      strictEqual(kepts[0]!.version, (checkpoint?.horizon ?? 0) + 1)
    },
  ],
]

/** Where the log ends now. */
const where = async (log: Log, doc: DocId): Promise<Position> => {
  const { epoch, checkpoint, tail } = await log.open(doc)
  return after(checkpoint ?? { epoch, version: 0, chain: emptyChain }, tail)
}

const reopenCases: readonly Case[] = [
  [
    'a store that is closed and opened again has the same logs, checkpoints, marks and authors',
    async world => {
      const page = await Page.open(world)
      const short = await Page.open(world, 'short')
      const empty = await Page.open(world, 'empty')
      const all = await page.append(...many('ann', 1, 5), entry('bob', 7), ...many('ann', 6, 9))
      await page.durable()
      await page.log.raiseHorizon(page.doc, page.at.epoch, 6)
      ok(await page.log.checkpoint(page.doc, await page.checkpoint(8, { horizon: 3, pruned: 2 })))
      await short.append(entry('cem', 1))
      await short.durable()
      const pages = [page, short, empty]
      const before = await Promise.all(pages.map(each => each.opened()))
      const kept = await page.all()
      await world.parts.durableUpTo?.(short.doc, 1)
      const store = await world.parts.reopen!()
      world.store = store
      deepStrictEqual(await Promise.all(pages.map(each => store.log.open(each.doc))), before)
      deepStrictEqual(await store.log.entries(page.doc, 0, 99), kept)
      deepStrictEqual(kept, all.slice(3))
      deepStrictEqual(await store.log.documents(null, 9), [page.doc, short.doc])
      const reply = accepted(await store.log.append(page.doc, page.at, [entry('bob', 7), entry('ann', 9), entry('bob', 8)]))
      deepStrictEqual(bare(reply.entries), [entry('bob', 8)])
      continues(page.at, reply.entries)
      refused(await store.log.read(page.doc, after(page.at, all.slice(0, 5))), 'horizon')
      const fresh = await store.log.open('another' as DocId)
      ok(before.every(({ epoch }) => epoch !== fresh.epoch))
    },
  ],
  [
    'a store that is closed and opened again knows what was removed, and where an import stopped',
    async world => {
      const page = await Page.open(world)
      await page.append(...many('ann', 1, 5))
      await page.durable()
      await page.log.remove(page.doc)
      const opened = await page.opened()
      const { seed, kept, checkpoint, start } = elsewhere()
      const planted = 'planted' as DocId
      await page.log.plant(planted, seed)
      const { entries } = accepted(await page.log.append(planted, start, kept.slice(0, 1)))
      const store = await world.parts.reopen!()
      world.store = store
      deepStrictEqual(await store.log.open(page.doc), opened)
      deepStrictEqual(await store.log.entries(page.doc, 0, 99), [])
      await rejects(store.log.open(planted))
      strictEqual((await store.log.plant(planted, seed))?.version, 6)
      accepted(await store.log.append(planted, after(start, entries), [entry('bob', 9), ...kept.slice(1)]))
      ok(await store.log.settle(planted, seed.epoch, checkpoint))
      deepStrictEqual(bare((await store.log.open(planted)).tail), kept.slice(3))
    },
  ],
  [
    'closing writes what is under way: every append made before it is answered, and is there afterwards',
    async world => {
      const page = await Page.open(world)
      const other = await Page.open(world, 'other')
      const replies = Array.from({ length: 50 }, (_, i) =>
        world.store.log.append(i % 2 ? page.doc : other.doc, i % 2 ? page.at : other.at, [entry('ann', i + 1)]),
      )
      const store = await world.parts.reopen!()
      world.store = store
      for (const reply of await Promise.all(replies)) accepted(reply)
      for (const { doc } of [page, other]) {
        const { tail, durable } = await store.log.open(doc)
        strictEqual(tail.length, 25)
        if (world.parts.durableUpTo === undefined) strictEqual(durable, 25)
      }
    },
  ],
]

const handCases: readonly Case[] = [
  [
    '[R5] a checkpoint above the durable version is refused until it is durable',
    async world => {
      const page = await Page.open(world)
      const { doc, log } = page
      const feed = await world.follow(page)
      await page.append(...many('ann', 1, 5))
      strictEqual((await page.opened()).durable, 0)
      await world.parts.durableUpTo!(doc, 3)
      await feed.until(() => feed.durable === 3, 'durability to be announced')
      const chain = (await page.all())[2]!.chain
      deepStrictEqual(feed.heard.at(-1), { kind: 'durable', epoch: page.at.epoch, version: 3, chain })
      await log.raiseHorizon(doc, page.at.epoch, 2)
      strictEqual(await log.checkpoint(doc, await page.checkpoint(4, { horizon: 2 })), false)
      strictEqual((await page.opened()).checkpoint, null)
      strictEqual((await page.all()).length, 5)
      ok(await log.checkpoint(doc, await page.checkpoint(3, { horizon: 2 })))
      await world.parts.durableUpTo!(doc, 5)
      strictEqual(accepted(await log.read(doc, page.at)).durable, 5)
      ok(await log.checkpoint(doc, await page.checkpoint(5, { horizon: 2 })))
    },
  ],
]

const loseCases: readonly Case[] = [
  [
    '[R1] after a lost tail a position on it is behind, and a fork once others have written there; its edits are taken again',
    async world => {
      const page = await Page.open(world)
      const { doc, log } = page
      await page.append(...many('ann', 1, 2), entry('bob', 1))
      const kept = page.at
      await page.append(entry('bob', 2), entry('cem', 1))
      const lost = page.at
      await world.parts.lose!(doc, 3)
      refused(await log.read(doc, lost), 'behind')
      refused(await log.append(doc, lost, [entry('dee', 1)]), 'behind')
      page.at = kept
      await page.append(...many('dee', 1, 2))
      refused(await log.append(doc, lost, [entry('eve', 1)]), 'fork')
      deepStrictEqual(bare(await page.append(entry('bob', 1), entry('bob', 2), entry('cem', 1), entry('ann', 2))), [
        entry('bob', 2),
        entry('cem', 1),
      ])
      continues(epochOf(await page.opened()), await page.all())
    },
  ],
]

const besideCases: readonly Case[] = [
  [
    'two servers on one store share its log: each hears and is brought what the other writes',
    async world => {
      const page = await Page.open(world)
      const other = await Page.open(world, 'doc', (await world.parts.beside!()).log)
      deepStrictEqual(other.at, page.at)
      const feeds = [await world.follow(page), await world.follow(other)]
      await page.append(entry('ann', 1))
      deepStrictEqual(bare(await other.append(entry('ann', 1), entry('bob', 1))), [entry('ann', 1), entry('bob', 1)])
      await page.append(entry('ann', 2))
      for (const feed of feeds) {
        await feed.until(() => entriesHeard(feed.heard).length === 3, 'every entry to be announced')
        deepStrictEqual(entriesHeard(feed.heard), await page.all())
      }
    },
  ],
]

const appearance = (peer: string, version = 0): Appearance => ({
  peer: peer as PeerId,
  user: { id: `user of ${peer}` },
  author: `author of ${peer}` as AuthorId,
  version,
  state: { cursor: { anchor: version, head: version } },
})

const presenceCases: readonly Case[] = [
  [
    'who is shown is listed with the latest state, and everybody hears of it, the shower included',
    async world => {
      const { presence } = world.store
      const doc = 'doc' as DocId
      const [first, second] = [await watch(world, doc), await watch(world, doc)]
      deepStrictEqual(await presence.list(doc), [])
      presence.show(doc, appearance('p1', 1))
      presence.show(doc, appearance('p2', 1))
      presence.show(doc, appearance('p1', 2))
      for (const watcher of [first, second]) {
        await watcher.until(3)
        deepStrictEqual(watcher.news, [
          { kind: 'here', appearance: appearance('p1', 1) },
          { kind: 'here', appearance: appearance('p2', 1) },
          { kind: 'here', appearance: appearance('p1', 2) },
        ])
      }
      const listed = [...(await presence.list(doc))].sort((a, b) => (a.peer < b.peer ? -1 : 1))
      deepStrictEqual(listed, [appearance('p1', 2), appearance('p2', 1)])
    },
  ],
  [
    'who is removed is gone, once; nobody else is; and documents do not hear each other',
    async world => {
      const { presence } = world.store
      const [doc, other] = ['doc' as DocId, 'other' as DocId]
      const [watcher, stranger] = [await watch(world, doc), await watch(world, other)]
      presence.show(doc, appearance('p1'))
      presence.show(doc, appearance('p2'))
      presence.remove(doc, 'p1' as PeerId)
      presence.remove(doc, 'p1' as PeerId)
      presence.remove(doc, 'nobody' as PeerId)
      presence.remove(other, 'p2' as PeerId)
      presence.show(doc, appearance('p1', 7))
      await watcher.until(4)
      deepStrictEqual(watcher.news.slice(2), [
        { kind: 'gone', peer: 'p1' },
        { kind: 'here', appearance: appearance('p1', 7) },
      ])
      deepStrictEqual(new Set((await presence.list(doc)).map(({ peer }) => peer)), new Set(['p1', 'p2']))
      deepStrictEqual(await presence.list(other), [])
      deepStrictEqual(stranger.news, [])
      presence.show(other, appearance('p3'))
      await stranger.until(1)
      deepStrictEqual(await presence.list(other), [appearance('p3')])
      strictEqual((await presence.list(doc)).length, 2)
    },
  ],
  [
    'who has stopped listening to a presence board hears no more',
    async world => {
      const { presence } = world.store
      const doc = 'doc' as DocId
      const [gone, watcher] = [await watch(world, doc), await watch(world, doc)]
      presence.show(doc, appearance('p1'))
      await gone.until(1)
      gone.stop()
      presence.remove(doc, 'p1' as PeerId)
      await watcher.until(2)
      strictEqual(gone.news.length, 1)
    },
  ],
]

const signalCases: readonly Case[] = [
  [
    'a signal is heard by all who listen in its document, in order and as it was when it was said; by nobody else, and by nobody who has stopped',
    async world => {
      const { signals } = world.store
      const [doc, other] = ['doc' as DocId, 'other' as DocId]
      const [first, second, stranger] = [await overhear(world, doc), await overhear(world, doc), await overhear(world, other)]
      const payload = { to: ['all', 'ä🖋'] }
      signals.send(doc, payload)
      payload.to.push('and more')
      signals.send(doc, null)
      throws(() => signals.send(doc, 'x'.repeat(signalBytes - 1)), RangeError)
      const longest = 'x'.repeat(signalBytes - 2)
      signals.send(doc, longest)
      await Promise.all([first.until(3), second.until(3)])
      first.stop()
      signals.send(doc, 'last')
      signals.send(other, 'theirs')
      await Promise.all([second.until(4), stranger.until(1)])
      deepStrictEqual(first.news, [{ to: ['all', 'ä🖋'] }, null, longest])
      deepStrictEqual(second.news, [{ to: ['all', 'ä🖋'] }, null, longest, 'last'])
      deepStrictEqual(stranger.news, ['theirs'])
    },
  ],
]

const controlCases: readonly Case[] = [
  [
    'a control message is heard by all who listen, once, in order and as it was when it was said, after the call; by nobody who has stopped',
    async world => {
      const { control } = world.store
      const [first, second] = [await heed(world), await heed(world)]
      const message = { kick: ['ann', 'ä🖋'] }
      control.publish(message)
      message.kick.push('bob')
      deepStrictEqual(first.news, [], 'nobody hears from inside the call')
      for (const word of [null, 7, 'drain']) control.publish(word)
      await Promise.all([first.until(4), second.until(4)])
      first.stop()
      control.publish('last')
      await second.until(5)
      deepStrictEqual(first.news, [{ kick: ['ann', 'ä🖋'] }, null, 7, 'drain'])
      deepStrictEqual(second.news, [{ kick: ['ann', 'ä🖋'] }, null, 7, 'drain', 'last'])
    },
  ],
]

interface Watching<T> {
  readonly news: readonly T[]
  until(count: number): Promise<void>
  stop(): void
}

const watching = async <T>(
  world: World,
  subscribe: (listener: (news: readonly T[]) => void) => Promise<() => void>,
): Promise<Watching<T>> => {
  const news: T[] = []
  const wakes = new Set<() => void>()
  const stop = await subscribe(heard => {
    news.push(...heard)
    for (const wake of wakes) wake()
  })
  return { news, stop, until: count => world.until(() => news.length >= count, `${count} pieces of news`, wakes) }
}

const watch = (world: World, doc: DocId): Promise<Watching<PresenceNews>> =>
  watching(world, listener => world.store.presence.subscribe(doc, listener))

const overhear = (world: World, doc: DocId): Promise<Watching<Json>> =>
  watching(world, listener => world.store.signals.subscribe(doc, payload => listener([payload])))

const heed = (world: World): Promise<Watching<Json>> =>
  watching(world, listener => world.store.control.subscribe(message => listener([message])))

const notice = (key: string, until: number, body: Json = { says: key }): Notice => ({ key, body, until })

const byKey = (read: { readonly notices: readonly Notice[] } | null): readonly Notice[] =>
  [...(read?.notices ?? [])].sort((a, b) => (a.key < b.key ? -1 : 1))

const noticeCases: readonly Case[] = [
  [
    'a notice is read until its time is over; a later one with its key takes its place, and no other’s',
    async world => {
      const { notices } = world.store
      const now = 1_700_000_000_000
      deepStrictEqual(byKey(await notices.read(null, now)), [])
      const hostile = notice('["ann","{a} \u0000 é 𝄞"]', now + 1_000, { deep: [null, 'é 𝄞', 1.5, { until: '1 2' }] })
      for (const each of [hostile, notice('b', now + 1), notice('c', now + 500.5)]) await notices.post(each, now)
      await notices.post(notice('b', now + 900, 'later'), now)
      const read = await notices.read(null, now)
      deepStrictEqual(
        byKey(read).map(({ key, body }) => [key, body]),
        [
          [hostile.key, hostile.body],
          ['b', 'later'],
          ['c', { says: 'c' }],
        ],
      )
      for (const { key, until } of byKey(read)) if (key !== hostile.key) ok(until >= now + (key === 'b' ? 900 : 500.5), key)
      deepStrictEqual(
        byKey(await notices.read(null, now + 950)).map(({ key }) => key),
        [hostile.key],
      )
      deepStrictEqual(byKey(await notices.read(null, now + 1_000)), [])
    },
  ],
  [
    'who has read the notices is brought them again after the next post, and not before',
    async world => {
      const { notices } = world.store
      const empty = await notices.read(null, 0)
      ok(empty !== null)
      strictEqual(await notices.read(empty.mark, 0), null)
      await notices.post(notice('a', 1_000), 0)
      const one = await notices.read(empty.mark, 0)
      deepStrictEqual(byKey(one), [notice('a', 1_000)])
      strictEqual(await notices.read(one!.mark, 500), null)
      await notices.post(notice('a', 1_000), 0)
      ok((await notices.read(one!.mark, 0)) !== null, 'the same words once more are a post too')
      deepStrictEqual(byKey(await notices.read('of another board', 0)), [notice('a', 1_000)])
    },
  ],
]

const reopenNotices: Case = [
  'a store that is closed and opened again has the same notices',
  async world => {
    await world.store.notices.post(notice('a', 1_000), 0)
    await world.store.notices.post(notice('b', 2_000), 0)
    await world.store.notices.post(notice('a', 3_000, 'later'), 0)
    world.store = await world.parts.reopen!()
    deepStrictEqual(byKey(await world.store.notices.read(null, 0)), [notice('a', 3_000, 'later'), notice('b', 2_000)])
    await world.store.notices.post(notice('c', 3_000), 2_000)
    world.store = await world.parts.reopen!()
    deepStrictEqual(byKey(await world.store.notices.read(null, 0)), [notice('a', 3_000, 'later'), notice('c', 3_000)])
  },
]

const besideNotices: Case = [
  'two servers on one store read each other’s notices, and each notices the other’s post',
  async world => {
    const [here, there] = [world.store.notices, (await world.parts.beside!()).notices]
    const before = await there.read(null, 0)
    await here.post(notice('a', 1_000), 0)
    const after = await there.read(before!.mark, 0)
    deepStrictEqual(byKey(after), [notice('a', 1_000)])
    await there.post(notice('a', 2_000, 'theirs'), 0)
    deepStrictEqual(byKey(await here.read(after!.mark, 0)), [notice('a', 2_000, 'theirs')])
  },
]

const seatCases: readonly Case[] = [
  [
    '[P5] as many clients of a user get a seat as there are; one that is given back is free, and users do not count for each other',
    async world => {
      const { seats } = world.store
      const user = 'ann {a} \u0001é/𝄞'
      deepStrictEqual(
        [await seats.take(user, 'a', 2), await seats.take(user, 'b', 2), await seats.take(user, 'c', 2)],
        [true, true, false],
      )
      strictEqual(await seats.take(user, 'a', 2), true, 'a client that has a seat keeps it')
      strictEqual(await seats.take('ann', 'c', 2), true, 'another user')
      strictEqual(await seats.take(user, 'c', 3), true, 'more are allowed now')
      seats.leave(user, 'c')
      seats.leave(user, 'c')
      seats.leave('nobody', 'c')
      seats.leave(user, 'b')
      await world.eventually(async () => await seats.take(user, 'd', 2), 'the seat that was given back')
      strictEqual(await seats.take(user, 'b', 2), false)
      strictEqual(await seats.take(user, 'e', 0), false)
    },
  ],
  [
    '[P5] of many who come at once no more get a seat than there are',
    async world => {
      const { seats } = world.store
      const got = await Promise.all(Array.from({ length: 20 }, (_, i) => seats.take('ann', `client-${i}`, 5)))
      ok(got.filter(Boolean).length <= 5, `${got.filter(Boolean).length} seats of 5`)
    },
  ],
]

const reopenSeats: Case = [
  '[P5] nobody sits in a store that was closed and is opened again, and nobody new is kept out',
  async world => {
    deepStrictEqual([await world.store.seats.take('ann', 'a', 1), await world.store.seats.take('ann', 'b', 1)], [true, false])
    world.store = await world.parts.reopen!()
    await world.eventually(async () => await world.store.seats.take('ann', 'b', 1), 'the seat of before')
  },
]

const besideSeats: readonly Case[] = [
  [
    '[P5] seats on two servers are counted together; a client that sits on both counts once, and until it has left both',
    async world => {
      const [here, there] = [world.store.seats, (await world.parts.beside!()).seats]
      deepStrictEqual([await here.take('ann', 'a', 2), await there.take('ann', 'b', 2)], [true, true])
      deepStrictEqual([await here.take('ann', 'c', 2), await there.take('ann', 'c', 2)], [false, false])
      strictEqual(await there.take('ann', 'a', 2), true, 'it moves from one server to the other')
      here.leave('ann', 'a')
      strictEqual(await here.take('ann', 'c', 2), false, 'it still sits there')
      there.leave('ann', 'a')
      await world.eventually(async () => await here.take('ann', 'c', 2), 'the seat that was given back')
    },
  ],
  [
    '[P5] the seats of a server that has closed are free',
    async world => {
      const other = await world.parts.beside!()
      deepStrictEqual([await other.seats.take('ann', 'a', 1), await world.store.seats.take('ann', 'b', 1)], [true, false])
      await other.close()
      await world.eventually(async () => await world.store.seats.take('ann', 'b', 1), 'the seat of the other server')
    },
  ],
]

/**
 * Every law of a store. Run each in any test runner; each makes its own store by `setup` and discards it.
 * `can` says which doors the setup opens, so that the list of laws is known before the first store is made.
 */
export const storeLaws = (
  setup: () => Promise<StoreUnderLaw>,
  can: { readonly [door in 'reopen' | 'beside' | 'durableUpTo' | 'lose']?: boolean } = {},
  { patience = 10_000, seed = 1, searches = 20 }: StoreLawOptions = {},
): readonly StoreLaw[] => {
  const within = async (run: (world: World) => Promise<void>): Promise<void> => {
    const parts = await setup()
    try {
      await run(new World(parts, patience))
    } finally {
      await parts.discard()
    }
  }
  const law = ([name, run]: Case): StoreLaw => ({ name, run: () => within(run) })
  const search = ([name, run]: (typeof searchCases)[number]): StoreLaw => ({
    name,
    async run() {
      for (let i = seed; i < seed + searches; i++) {
        try {
          await within(world => run(world, seeded(i)))
        } catch (error) {
          throw new Error(`broken with seed ${i}: ${(error as Error).message}`, { cause: error })
        }
      }
    },
  })
  return [
    ...logCases.map(law),
    ...moveCases.map(law),
    ...(can.reopen ? [...reopenCases, reopenNotices, reopenSeats].map(law) : []),
    ...(can.durableUpTo ? handCases.map(law) : []),
    ...(can.lose ? loseCases.map(law) : []),
    ...(can.beside ? [...besideCases, besideNotices, ...besideSeats].map(law) : []),
    ...searchCases.map(search),
    ...presenceCases.map(law),
    ...signalCases.map(law),
    ...noticeCases.map(law),
    ...seatCases.map(law),
    ...controlCases.map(law),
  ]
}

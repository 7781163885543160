// A document on its way from one store to another, in parts that a file or a wire can carry.
// Invariant: what arrives has the epoch, versions and chains that it had; a document is there as a whole, or cannot be opened yet.

import { setTimeout as sleep } from 'node:timers/promises'
import { authorAt, bodyAt, chainAt, countOf, startOf } from '../engine/page.ts'
import type { Checkpoint, Page } from '../engine/ports.ts'
import type { AuthorId, Chain, DocId, Epoch, Seq, Version } from '../protocol/ids.ts'
import { link } from '../stores/chain.ts'
import { type Records, somePageAt } from './reach.ts'

/** What stands before the entries of a document. */
export interface Beginning {
  readonly doc: DocId
  readonly epoch: Epoch
  /** Entries begin after it. */
  readonly floor: { readonly version: Version; readonly chain: Chain }
  readonly checkpoint: Checkpoint | null
  /** Where they end. */
  readonly version: Version
  readonly chain: Chain
}

/** Entries one after the other; `chain` is the one after the last. */
export interface Stretch {
  readonly from: Version
  readonly chain: Chain
  readonly entries: readonly (readonly [AuthorId, Seq, string])[]
}

/** The log was trimmed under the reader's hands: what came of this document does not count, it comes again. */
export interface Void {
  readonly void: DocId
}

export type Part = Beginning | Stretch | Void

const atOnce = { entries: 1_000, bytes: 1_048_576 } // of a stretch: one call of an append
const pageLength = 5_000 // entries read at a time
const attempts = 5

/** A document as it is now, or its entries from a version on. Nothing when nobody has written to it. @throws when it is damaged */
export async function* partsOf(records: Records, doc: DocId, known: Version | null = null): AsyncGenerator<Part> {
  for await (const piece of piecesOf(records, doc, known)) {
    if (!isPage(piece)) yield piece
    else for (const [first, end] of cutsOf(piece)) yield stretchOf(piece, first, end)
  }
}

export const isPage = (piece: Beginning | Page | Void): piece is Page => 'versions' in piece

/** The same, its entries as they were read. */
export async function* piecesOf(
  records: Records,
  doc: DocId,
  known: Version | null = null,
): AsyncGenerator<Beginning | Page | Void> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const about = await records.about(doc)
    if (about === null || about.version === 0) return
    if (about.planted) throw new Error(`${JSON.stringify(doc)} is itself being imported`)
    // Without a checkpoint opening it would read all of it, which is read below.
    const { epoch, checkpoint, tail } =
      about.checkpointed === 0 ? { ...about, checkpoint: null, tail: [] } : await records.open(doc)
    const end = tail.at(-1) ?? checkpoint ?? about
    if (epoch !== about.epoch || (checkpoint !== null && checkpoint.horizon < about.floor.version)) continue
    const start = Math.max(known ?? about.floor.version, about.floor.version)
    const { floor } = about
    yield { doc, epoch, floor, checkpoint, version: end.version, chain: end.chain }
    let at = start
    let whole = true
    while (at < end.version && whole) {
      const page = await somePageAt(records, doc, at, Math.min(pageLength, end.version - at))
      whole = page.versions[0] === at + 1
      if (!whole) break
      at = page.versions.at(-1)!
      yield page
    }
    if (whole) return
    yield { void: doc }
  }
  throw new Error(`the log of ${JSON.stringify(doc)} is trimmed faster than it can be read`)
}

/** Where the stretches of a page begin and end. */
export function* cutsOf(page: Page): Generator<readonly [first: number, end: number]> {
  const count = countOf(page)
  for (let first = 0, end = 1; end <= count; end++) {
    const bytes = page.bodies.ends[end - 1]! - startOf(page.bodies, first)
    if (end < count && end - first < atOnce.entries && bytes < atOnce.bytes) continue
    yield [first, end]
    first = end
  }
}

export const stretchOf = (page: Page, first: number, end: number): Stretch => ({
  from: page.versions[first]! - 1,
  chain: chainAt(page, end - 1),
  entries: Array.from({ length: end - first }, (_, i) => {
    const at = first + i
    return [authorAt(page, at), page.seqs[at]!, bodyAt(page, at)]
  }),
})

/** Authors whose last edit lies at or below the floor: nothing else in the log tells their numbers. */
const authorsBelow = (floor: Version, checkpoint: Checkpoint | null) => {
  if (checkpoint === null || floor === 0) return []
  const { authors } = JSON.parse(checkpoint.body) as { readonly authors: readonly (readonly [AuthorId, Seq, Version])[] }
  return authors.filter(([, , version]) => version <= floor).map(([author, seq, version]) => ({ author, seq, version }))
}

const durableWithin = 60_000 // ms for the store to have on disk what it has taken
const looks = { first: 2, longest: 100 } // ms between two looks: most of what is waited for is there at once

/** Takes the parts of one document into a store. */
export class Planting {
  readonly #records: Records
  readonly #doc: DocId
  readonly #beginning: Beginning
  /** The version up to which the store has it, and the chain there. */
  #version: Version
  #chain: Chain
  /** Where the parts have come to: behind that where the store had some of it before. */
  #passed: { readonly version: Version; readonly chain: Chain } | null = null

  private constructor(records: Records, doc: DocId, beginning: Beginning, at: { version: Version; chain: Chain }) {
    this.#records = records
    this.#doc = doc
    this.#beginning = beginning
    this.#version = at.version
    this.#chain = at.chain
  }

  /** Null: the store has exactly this already. @throws when another document is in its place */
  static async begin(records: Records, doc: DocId, beginning: Beginning): Promise<Planting | null> {
    const { epoch, floor, checkpoint } = beginning
    const there = await records.about(doc)
    if (there !== null && !there.planted && there.version > 0) {
      if (there.epoch === epoch && there.version === beginning.version && there.chain === beginning.chain) return null
      throw new Error(
        `there is another ${JSON.stringify(doc)} already, at version ${there.version}: delete it first, or leave it`,
      )
    }
    // Begun before, from a floor that has risen since: it goes on where it stands. It is planted again, since that may have broken off too.
    const goesOn =
      there?.planted && there.epoch === epoch && there.version >= floor.version && there.floor.version <= floor.version
    const from = goesOn ? there.floor : floor
    const planted = await records.plant(doc, { epoch, floor: from, authors: authorsBelow(from.version, checkpoint) })
    if (planted === null) throw otherImport(doc)
    return new Planting(records, doc, beginning, planted)
  }

  get version(): Version {
    return this.#version
  }

  async take({ from, chain, entries }: Stretch): Promise<void> {
    const { floor } = this.#beginning
    if (from > this.#version || (this.#passed !== null && from !== this.#passed.version))
      throw new Error(`the entries of ${JSON.stringify(this.#doc)} up to ${from} are missing`)
    const before = this.#passed?.chain ?? (from === floor.version ? floor.chain : null)
    const end = from + entries.length
    this.#passed = { version: end, chain }
    const known = entries.slice(0, this.#version - from)
    if (known.length > 0 && before !== null) {
      const there = known.reduce((at, [author, seq, body]) => link(at, { author, seq, body }), before)
      if (from + known.length === this.#version && there !== this.#chain) throw otherImport(this.#doc)
    }
    if (known.length === entries.length) return
    const last = await this.#append(entries.slice(known.length).map(([author, seq, body]) => ({ author, seq, body })))
    if (last.version !== end || last.chain !== chain)
      throw new Error(`version ${end} of ${JSON.stringify(this.#doc)} is not what it was: the source is damaged (inkwell verify)`)
    this.#version = end
    this.#chain = chain
  }

  async #append(news: readonly { readonly author: AuthorId; readonly seq: Seq; readonly body: string }[]) {
    const at = { epoch: this.#beginning.epoch, version: this.#version, chain: this.#chain }
    const reply = await this.#whenItTakes(() => this.#records.append(this.#doc, at, news))
    const last = reply.ok ? reply.entries.at(-1) : undefined
    if (last === undefined)
      throw new Error(`somebody else is at ${JSON.stringify(this.#doc)} too${reply.ok ? '' : ` (${reply.reason})`}: begin again`)
    return last
  }

  /** A store that has too much to write yet is waited for. */
  async #whenItTakes<T>(append: () => Promise<T>): Promise<T> {
    for (const [until, pause] = [Date.now() + durableWithin, pauses()]; ; ) {
      try {
        return await append()
      } catch (error) {
        const busy = (error as Error).message.includes('wait for the disk')
        if (!busy || Date.now() > until) throw error
        await pause()
      }
    }
  }

  /** All parts have come. From now on the document can be opened. */
  async end(): Promise<void> {
    const { epoch, version, chain, checkpoint } = this.#beginning
    const doc = JSON.stringify(this.#doc)
    if (this.#version !== version || this.#chain !== chain)
      throw new Error(`${doc} should end at version ${version}, and ends at ${this.#version}`)
    await this.durable()
    if (!(await this.#records.settle(this.#doc, epoch, checkpoint)))
      throw new Error(`the checkpoint of ${doc} is not of its log: the source is damaged (inkwell verify)`)
  }

  /** Resolves when what has come so far is safe. */
  async durable(): Promise<void> {
    for (const [until, pause] = [Date.now() + durableWithin, pauses()]; ; ) {
      const about = await this.#records.about(this.#doc)
      if (about !== null && about.durable >= this.#version) return
      if (about === null || Date.now() > until)
        throw new Error(`${JSON.stringify(this.#doc)} does not become durable: begin again`)
      await pause()
    }
  }
}

/** Short pauses at first, each twice as long as the one before. */
const pauses = (): (() => Promise<void>) => {
  let next = looks.first / 2
  return () => sleep((next = Math.min(2 * next, looks.longest)))
}

const otherImport = (doc: DocId): Error =>
  new Error(`there is half of another import in the place of ${JSON.stringify(doc)}: give it up first (inkwell delete)`)

// A document as it was: read from its log page by page, by whoever looks on.
// Invariant: after the same entries it holds what every node holds.

import type { Hand } from '../ot/type.ts'
import { type Chain, emptyChain, type Version } from '../protocol/ids.ts'
import { readState } from './checkpoint.ts'
import { type Commit, type Commits, derive, readBody, Strokes, type Type } from './entry.ts'
import { chainAt, countOf, entryAt, startOf, stringsOf } from './page.ts'
import type { Checkpoint, Page } from './ports.ts'

const atOnce = 10_000 // ops applied in one go

/**
 * Commits that are held for entries with older bases. A node bases what it writes on its own head, which is behind by what is on its way;
 * after a minute in which it hung, by what a very busy document got in that.
 */
const held = 50_000

/** Commits one after the other. */
interface Stretch {
  readonly before: Version
  readonly page: Page | null
  /** Where in the page the first of them lies. */
  readonly from: number
  /** Of the document before each. */
  readonly sizes: Float64Array
  /** What was made by hand on the version before it is read again from the page when somebody asks for it, which is seldom. */
  readonly commits: (Commit | undefined)[]
  count: number
}

/** For a type that has no hand of its own. */
class PlainHand implements Hand<unknown, unknown> {
  private readonly type: Type
  private applied: unknown
  private ops: unknown[] = []

  constructor(type: Type, snapshot: unknown) {
    this.type = type
    this.applied = snapshot
  }

  get size(): number {
    const last = this.ops.at(-1)
    return last === undefined ? this.type.size(this.applied) : this.type.targetSize(last)
  }

  types(): boolean {
    return false
  }

  apply(op: unknown): void {
    if (this.ops.push(op) >= atOnce) this.flush()
  }

  get snapshot(): unknown {
    if (this.ops.length > 0) this.flush()
    return this.applied
  }

  private flush(): void {
    const { type, ops } = this
    this.applied = type.applyAll?.(this.applied, ops) ?? ops.reduce((value, op) => type.apply(value, op), this.applied)
    this.ops = []
  }
}

const handOf = (type: Type, snapshot: unknown): Hand<unknown, unknown> => type.hand?.(snapshot) ?? new PlainHand(type, snapshot)

export class Past implements Commits {
  /** Null until the first entry has said it. */
  type: Type | null = null
  /** The version and chain behind which commits are held. */
  floor: { readonly version: Version; readonly chain: Chain }
  head: Version
  private hand: Hand<unknown, unknown> | null = null
  private readonly stretches: Stretch[] = []
  private readonly strokes = new Strokes()
  /** The bodies of the page that is being taken. */
  private bodies: { readonly of: Page; readonly all: string; readonly ends: Uint32Array } | null = null
  private readonly types: readonly Type[]

  /** @throws when the checkpoint cannot be read */
  constructor(types: readonly Type[], checkpoint: Checkpoint | null) {
    this.types = types
    this.floor = { version: 0, chain: emptyChain }
    this.head = 0
    if (checkpoint === null) return
    const { type, value, commits, floorChain } = readState(types, checkpoint)
    this.type = type
    this.hand = handOf(type, value)
    this.floor = { version: checkpoint.horizon, chain: floorChain }
    this.head = checkpoint.horizon + commits.length
    const sizes = Float64Array.from(commits, ({ op }) => type.baseSize(op))
    this.stretches.push({ before: checkpoint.horizon, page: null, from: 0, sizes, commits: [...commits], count: commits.length })
  }

  get value(): unknown {
    return this.hand?.snapshot ?? null
  }

  get chain(): Chain {
    return this.chainAt(this.head)!
  }

  /** Undefined where nothing is held. */
  chainAt(version: Version): Chain | undefined {
    if (version === this.floor.version) return this.floor.chain
    if (version < this.floor.version || version > this.head) return undefined
    const { page, from, before, commits } = this.stretchOf(version)
    const i = version - before - 1
    return page === null ? commits[i]!.chain : chainAt(page, from + i)
  }

  /** The commit that made `version`. @throws {RangeError} when it is not held */
  at(version: Version): Commit {
    const { before, page, from, sizes, commits } = this.stretchOf(version)
    const i = version - before - 1
    let commit = commits[i]
    if (commit === undefined) {
      const { author, seq, chain, body } = entryAt(page!, from + i)
      const { op, user, time } = readBody(body)
      commits[i] = commit = { version, chain, author, seq, user, time, op: this.type!.opFromJson(op, sizes[i]!) }
    }
    return commit
  }

  /** All entries of a page. @throws when one of them is none that follows here */
  take(page: Page): void {
    for (let i = 0; i < countOf(page); i++) this.step(page, i)
  }

  /** The next entry, which is that one of a page. @throws when it is none that follows here */
  step(page: Page, i: number): void {
    if (page.versions[i] !== this.head + 1) throw new RangeError(`entry ${page.versions[i]} follows ${this.head}`)
    const size = this.hand?.size ?? 0
    const commit = this.isTyped(page, i) ? undefined : this.derived(page, i)
    const stretch = this.stretchFor(page, i)
    stretch.sizes[stretch.count] = size
    if (commit !== undefined) stretch.commits[stretch.count] = commit
    stretch.count++
    this.head++
  }

  /** What is typed on the version before it has nothing to be carried over, and need not become an op. */
  private isTyped(page: Page, i: number): boolean {
    const { hand, strokes } = this
    if (this.bodies?.of !== page) this.bodies = { of: page, ...stringsOf(page.bodies) }
    const { bodies } = this
    if (hand === null || !strokes.read(bodies.all, startOf(bodies, i), bodies.ends[i]!) || strokes.base !== this.head)
      return false
    return hand.types(strokes.skip, strokes.inserted, strokes.deleted)
  }

  private derived(page: Page, i: number): Commit {
    const entry = entryAt(page, i)
    const body = readBody(entry.body)
    const { floor, head } = this
    if (body.base > head || body.base < floor.version)
      throw new RangeError(`entry ${entry.version} is made on version ${body.base}; held are ${floor.version} to ${head}`)
    if (body.type !== null && head === 0) this.becomes(body.type)
    const { type, hand } = this
    if (type === null || hand === null) throw new Error(`entry ${entry.version} comes before the document has a type`)
    const commit = derive(type, this, this.sizeOf, entry, body, undefined)
    hand.apply(commit.op)
    return commit
  }

  private becomes(name: string): void {
    const type = this.types.find(candidate => candidate.name === name)
    if (type === undefined) throw new Error(`the document is of the unknown type ${name}`)
    this.type = type
    this.hand = handOf(type, type.empty)
  }

  private readonly sizeOf = (version: Version): number => {
    if (version === this.head) return this.hand!.size
    const { before, sizes } = this.stretchOf(version + 1)
    return sizes[version - before]!
  }

  /** Where the commit of an entry is to be held. */
  private stretchFor(page: Page, i: number): Stretch {
    const last = this.stretches.at(-1)
    if (last !== undefined && last.page === page && last.from + last.count === i) return last
    this.forget()
    const count = countOf(page) - i
    const stretch: Stretch = {
      before: this.head,
      page,
      from: i,
      sizes: new Float64Array(count),
      commits: new Array(count),
      count: 0,
    }
    this.stretches.push(stretch)
    return stretch
  }

  private stretchOf(version: Version): Stretch {
    for (let i = this.stretches.length - 1; i >= 0; i--) {
      const stretch = this.stretches[i]!
      if (version > stretch.before && version <= stretch.before + stretch.count) return stretch
    }
    throw new RangeError(`commit ${version} is not among ${this.floor.version + 1} to ${this.head}`)
  }

  private forget(): void {
    for (let first = this.stretches[0]; first !== undefined; first = this.stretches[0]) {
      const end = first.before + first.count
      if (this.head - end < held) return
      this.floor = { version: end, chain: this.chainAt(end)! }
      this.stretches.shift()
    }
  }
}

// A text as a value: every edit answers a new text and shares what it did not touch with the old one.
// Invariant: no chunk and no group is empty; `length` is the sum of all chunks; nothing reachable from a Text changes but what was
// reckoned from it.
import { hexOf, join, nothing, type Sum, sumOf } from './hash.ts'
import { isWellFormed, type TextOp } from './op.ts'

/** A run of neighbouring chunks, so that an edit copies one short list of chunks and one short list of groups. */
interface Group {
  length: number
  readonly chunks: string[]
  /** Of its text; found when somebody asks. */
  sum: Sum | undefined
}

// An edit copies one chunk, so chunks are short; but each costs a slot, so not too short. Best of 256..4096 on the traces.
const longestChunk = 1024 // code units
const shortChunk = 128 // code units; shorter ones are joined with a neighbour when the text around them is rewritten
const longestGroup = 48 // chunks
const shortGroup = 12 // chunks

/** An immutable text in UTF-16 code units, in which an edit costs the same in one page as in a thousand. */
export class Text {
  readonly length: number
  /** For this file alone. */
  readonly groups: readonly Group[]
  private whole: string | undefined

  /** For this file alone; others use `Text.of`. */
  constructor(length: number, groups: readonly Group[], whole: string | undefined) {
    this.length = length
    this.groups = groups
    this.whole = whole
  }

  static readonly empty = new Text(0, [], '')

  static of(text: string): Text {
    if (text === '') return Text.empty
    if (text.length <= longestChunk) return new Text(text.length, [{ length: text.length, chunks: [text], sum: undefined }], text)
    const writer = new Writer()
    writer.text(text)
    return new Text(text.length, writer.finish(), text)
  }

  /** @throws {RangeError} when the op was made on a text of another length */
  apply(op: TextOp): Text {
    if (op.baseLength !== this.length) {
      throw new RangeError(`op of base length ${op.baseLength} on a text of ${this.length}`)
    }
    const { edits } = op
    if (edits.length === 0) return this
    return (edits.length === 3 && this.withinChunk(edits[0]!, edits[1]!, op)) || this.rewritten(op)
  }

  /** Text from `from` up to, not including, `to`. */
  slice(from: number, to = this.length): string {
    if (this.whole !== undefined) return this.whole.slice(from, to)
    let out = ''
    let at = 0
    for (const group of this.groups) {
      if (at >= to) break
      if (at + group.length <= from) {
        at += group.length
        continue
      }
      for (const chunk of group.chunks) {
        const end = at + chunk.length
        if (end > from && at < to) out += at >= from && end <= to ? chunk : chunk.slice(Math.max(from - at, 0), to - at)
        at = end
      }
    }
    return out
  }

  /** NaN outside the text, as of a string. */
  charCodeAt(index: number): number {
    if (this.whole !== undefined) return this.whole.charCodeAt(index)
    let at = index
    for (const group of this.groups) {
      if (at >= group.length) {
        at -= group.length
        continue
      }
      for (const chunk of group.chunks) {
        if (at < chunk.length) return chunk.charCodeAt(at)
        at -= chunk.length
      }
    }
    return Number.NaN
  }

  toString(): string {
    if (this.whole === undefined) {
      const chunks: string[] = []
      for (const group of this.groups) for (const chunk of group.chunks) chunks.push(chunk)
      this.whole = chunks.join('')
    }
    return this.whole
  }

  toJSON(): string {
    return this.toString()
  }

  equals(other: Text): boolean {
    return this === other || (this.length === other.length && this.toString() === other.toString())
  }

  /**
   * 16 hexadecimal digits, the same for the same text however it came about. A group that an edit has not touched is not read again,
   * so in a long text it costs a walk over the groups.
   */
  get hash(): string {
    let sum = nothing
    for (const group of this.groups) sum = join(sum, (group.sum ??= sumOf(group.chunks)))
    return hexOf(sum)
  }

  /** No lone surrogate anywhere. */
  get isWellFormed(): boolean {
    return isWellFormed(this.toString())
  }

  /** The common edit, which stays in one chunk that neither overflows nor shrinks away; undefined when it does not. */
  private withinChunk(from: number, deleted: number, op: TextOp): Text | undefined {
    const { groups } = this
    const place = placeOf(groups, from, deleted, op.inserted.length)
    if (place === undefined) return undefined
    const { g, c, at } = place
    const group = groups[g]!
    const chunk = group.chunks[c]!
    const newChunks = group.chunks.slice()
    newChunks[c] = chunk.slice(0, at) + op.inserted + chunk.slice(at + deleted)
    const newGroups = groups.slice()
    newGroups[g] = { length: group.length - deleted + op.inserted.length, chunks: newChunks, sum: undefined }
    return new Text(op.targetLength, newGroups, undefined)
  }

  /** Any edit, in one pass from left to right. */
  private rewritten(op: TextOp): Text {
    if (op.targetLength === 0) return Text.empty
    const { edits, inserted } = op
    const writer = new Writer()
    const source = new Reader(this.groups)
    let used = 0
    for (let i = 0; i < edits.length; i += 3) {
      source.copy(edits[i]!, writer)
      const count = edits[i + 2]!
      if (count > 0) writer.text(inserted.slice(used, used + count))
      used += count
      source.skip(edits[i + 1]!)
    }
    source.copy(Number.POSITIVE_INFINITY, writer)
    return new Text(op.targetLength, writer.finish(), undefined)
  }
}

/** Where an edit lies that leaves all other chunks as they are: at a place in a chunk of a group. */
interface Place {
  readonly g: number
  readonly c: number
  readonly at: number
}

/** Undefined when the edit crosses a border, or would leave a chunk that is too long or too short. */
const placeOf = (groups: readonly Group[], from: number, deleted: number, inserted: number): Place | undefined => {
  let g = 0
  let at = from
  // At a border an insert goes to the end of what is before it, a delete begins in what is behind it.
  const reach = deleted > 0 ? 1 : 0
  while (g < groups.length && at + reach > groups[g]!.length) at -= groups[g++]!.length
  if (g === groups.length) return undefined
  const { chunks } = groups[g]!
  let c = 0
  while (at + reach > chunks[c]!.length) at -= chunks[c++]!.length
  const chunk = chunks[c]!
  const length = chunk.length - deleted + inserted
  if (at + deleted > chunk.length || length > longestChunk || length === 0) return undefined
  if (length < shortChunk && chunk.length >= shortChunk) return undefined
  return { g, c, at }
}

/**
 * One op after the other. What lies between is nobody's to see, so a long history is gone through without a copy for every edit.
 *
 * @throws {RangeError} when an op was not made on what the one before it leads to
 */
export const applyAll = (start: Text, ops: readonly TextOp[]): Text => {
  let text = start
  let open: { readonly groups: Group[]; readonly ours: boolean[]; length: number } | null = null // copies that nobody else has are ours
  for (const op of ops) {
    const { edits, inserted, baseLength } = op
    open ??= { groups: text.groups.slice(), ours: [], length: text.length }
    const { groups, ours, length } = open
    const place = edits.length === 3 && baseLength === length && placeOf(groups, edits[0]!, edits[1]!, inserted.length)
    if (!place) {
      text = new Text(length, groups, undefined).apply(op)
      open = null
      continue
    }
    const { g, c, at } = place
    if (!ours[g]) groups[g] = { ...groups[g]!, chunks: groups[g]!.chunks.slice(), sum: undefined }
    ours[g] = true
    const group = groups[g]!
    const chunk = group.chunks[c]!
    group.chunks[c] = chunk.slice(0, at) + inserted + chunk.slice(at + edits[1]!)
    group.length += inserted.length - edits[1]!
    open.length = op.targetLength
  }
  return open === null ? text : new Text(open.length, open.groups, undefined)
}

/** Walks the chunks of a text once, from left to right. */
class Reader {
  private readonly groups: readonly Group[]
  private g = 0
  private c = 0
  private at = 0 // in chunk c of group g

  constructor(groups: readonly Group[]) {
    this.groups = groups
  }

  /** Hands on the next `count` units, or all that are left, whole groups and chunks where it can. */
  copy(count: number, to: Writer): void {
    this.move(count, to)
  }

  skip(count: number): void {
    this.move(count, undefined)
  }

  private move(count: number, to: Writer | undefined): void {
    let left = count
    while (left > 0 && this.g < this.groups.length) {
      const group = this.groups[this.g]!
      if (this.c === 0 && this.at === 0 && group.length <= left) {
        to?.group(group)
        left -= group.length
        this.g++
        continue
      }
      const chunk = group.chunks[this.c]!
      const rest = chunk.length - this.at
      const n = Math.min(rest, left)
      to?.text(n === chunk.length ? chunk : chunk.slice(this.at, this.at + n))
      left -= n
      if (n < rest) {
        this.at += n
        continue
      }
      this.at = 0
      if (++this.c === group.chunks.length) {
        this.c = 0
        this.g++
      }
    }
  }
}

/** Builds the groups of a text from pieces handed over in order; joins what is short, parts what is long. */
class Writer {
  private readonly groups: Group[] = []
  private chunks: string[] = []
  private tail = '' // the chunk that may still grow

  text(piece: string): void {
    const { tail } = this
    if (tail.length + piece.length <= longestChunk && (tail.length < shortChunk || piece.length < shortChunk)) {
      this.tail = tail + piece
      return
    }
    this.closeChunk()
    // Half full, so that typing into a pasted text does not part every chunk at once.
    let at = 0
    for (; piece.length - at > longestChunk; at += longestChunk / 2) this.push(piece.slice(at, at + longestChunk / 2))
    this.tail = at === 0 ? piece : piece.slice(at)
  }

  /** A group that was not touched: shared as it is, unless it or what is before it is short enough to be joined. */
  group(group: Group): void {
    const pending = this.chunks.length + (this.tail === '' ? 0 : 1)
    if (
      pending > 0 &&
      (pending < shortGroup || group.chunks.length < shortGroup) &&
      pending + group.chunks.length <= longestGroup
    ) {
      for (const chunk of group.chunks) this.text(chunk)
      return
    }
    this.closeChunk()
    this.closeGroup()
    this.groups.push(group)
  }

  finish(): readonly Group[] {
    this.closeChunk()
    this.closeGroup()
    return this.groups
  }

  private closeChunk(): void {
    if (this.tail !== '') this.push(this.tail)
    this.tail = ''
  }

  private push(chunk: string): void {
    this.chunks.push(chunk)
    if (this.chunks.length === longestGroup) this.closeGroup(longestGroup / 2)
  }

  /** Closes a group of the first `count` chunks. */
  private closeGroup(count = this.chunks.length): void {
    if (count === 0) return
    const chunks = this.chunks.slice(0, count)
    let length = 0
    for (const chunk of chunks) length += chunk.length
    this.groups.push({ length, chunks, sum: undefined })
    this.chunks = this.chunks.slice(count)
  }
}

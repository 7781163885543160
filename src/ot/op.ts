// One composite edit of a whole text: the value, and the ways to write one down.
// Invariant: every TextOp is in its one normal form, so two ops that do the same to every text are equal number by number.
import { OpError } from './type.ts'

/**
 * An edit of a text of `baseLength` UTF-16 code units that leaves `targetLength` of them. Nobody changes one after it is made.
 *
 * `edits` is a flat run of triples (skip, delete, insert): keep `skip` units of the base, put the next `insert` units of
 * `inserted`, then delete `delete` units of the base. What lies behind the last triple is kept.
 *
 * Normal form: only the first skip may be 0; no triple both deletes and inserts nothing; at one place the insert comes first.
 */
export interface TextOp {
  readonly baseLength: number
  readonly targetLength: number
  readonly edits: readonly number[]
  readonly inserted: string
}

/** One replacement of base[from, to) by text, all positions in the base. */
export type Edit = readonly [from: number, to: number, text: string]

/**
 * The longest text that an op may be made on or lead to, in UTF-16 code units. It keeps every sum below within V8's small
 * integers and every text below the longest string of the engines; documents are limited far below it, by the server.
 */
export const longestText = 2 ** 27

const nothing: readonly number[] = []

/** Text without a lone surrogate. Half a pair would be replaced silently by every UTF-8 encoder on the way. */
export function isWellFormed(text: string): boolean {
  // In every engine that runs Node 20 or newer; the compiler's ES2023 library does not know it yet.
  return (text as string & { isWellFormed(): boolean }).isWellFormed()
}

export function noop(length: number): TextOp {
  return { baseLength: length, targetLength: length, edits: nothing, inserted: '' }
}

/** @throws {RangeError} when `at` is outside the base. @throws {OpError} when the text has a lone surrogate */
export function insert(baseLength: number, at: number, text: string): TextOp {
  return replace(baseLength, at, at, text)
}

/** Deletes base[from, to). */
export function remove(baseLength: number, from: number, to: number): TextOp {
  return replace(baseLength, from, to, '')
}

/** Puts `text` in the place of base[from, to). */
export function replace(baseLength: number, from: number, to: number, text: string): TextOp {
  requireRange(baseLength, from, to)
  requireText(text)
  if (from === to && text === '') return noop(baseLength)
  // A literal of the exact size: an array grown by push would keep spare slots for its whole life in a history.
  return {
    baseLength,
    targetLength: baseLength - (to - from) + text.length,
    edits: [from, to - from, text.length],
    inserted: text,
  }
}

/** All the replacements at once. They ascend and do not overlap; each speaks of the base, not of the result of the one before. */
export function fromEdits(edits: readonly Edit[], baseLength: number): TextOp {
  requireLength(baseLength)
  const triples: number[] = []
  let inserted = ''
  let deleted = 0
  let at = 0
  let skip = 0
  for (const [from, to, text] of edits) {
    requireRange(baseLength, from, to)
    requireText(text)
    if (from < at) throw new RangeError(`edit at ${from} begins before the end of the one before it, ${at}`)
    skip += from - at
    at = to
    if (from === to && text === '') continue
    deleted += to - from
    inserted += text
    skip = put(triples, skip, to - from, text.length)
  }
  return built(baseLength, deleted, triples, inserted)
}

/** The edits of an op, for whoever splices them into an editor: ascending, in positions of the base. */
export function toEdits(op: TextOp): Edit[] {
  const { edits, inserted } = op
  const out: Edit[] = []
  let at = 0
  let used = 0
  for (let i = 0; i < edits.length; i += 3) {
    const from = at + edits[i]!
    at = from + edits[i + 1]!
    out.push([from, at, inserted.slice(used, (used += edits[i + 2]!))])
  }
  return out
}

/** Writes an op from left to right: `textOp(5).retain(3).insert('x').delete(2).build()`. */
export function textOp(baseLength: number): TextOpBuilder {
  return new TextOpBuilder(baseLength)
}

/** An op being written. Takes steps in any order and of any size; what it builds is in normal form. */
export class TextOpBuilder {
  private readonly baseLength: number
  private readonly edits: number[] = []
  private inserted = ''
  private at = 0
  private deleted = 0
  private skip = 0

  constructor(baseLength: number) {
    requireLength(baseLength)
    this.baseLength = baseLength
  }

  retain(count: number): this {
    this.consume('retain', count)
    this.skip += count
    return this
  }

  insert(text: string): this {
    requireText(text)
    if (text !== '') {
      this.skip = put(this.edits, this.skip, 0, text.length)
      this.inserted += text
    }
    return this
  }

  delete(count: number): this {
    this.consume('delete', count)
    if (count > 0) this.skip = put(this.edits, this.skip, count, 0)
    this.deleted += count
    return this
  }

  /** What is left of the base is kept. */
  build(): TextOp {
    return built(this.baseLength, this.deleted, this.edits, this.inserted)
  }

  private consume(verb: string, count: number): void {
    if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`${verb} of ${count}: not a count`)
    if (this.at + count > this.baseLength) {
      throw new RangeError(`${verb} of ${count} at ${this.at} goes beyond the base length ${this.baseLength}`)
    }
    this.at += count
  }
}

/** Adds to an op what comes behind `skip` units that stay; answers what is skipped now. */
function put(edits: number[], skip: number, deleted: number, inserted: number): 0 {
  const last = edits.length
  if (skip === 0 && last > 0) {
    edits[last - 2]! += deleted
    edits[last - 1]! += inserted
  } else edits.push(skip, deleted, inserted)
  return 0
}

function built(baseLength: number, deleted: number, edits: readonly number[], inserted: string): TextOp {
  const targetLength = baseLength - deleted + inserted.length
  if (targetLength > longestText) throw new OpError(`op leads to ${targetLength} units, the longest text is ${longestText}`)
  // Of just its length: an array grown by push would keep spare slots for its whole life in a history.
  return { baseLength, targetLength, edits: edits.slice(), inserted }
}

export function isNoop(op: TextOp): boolean {
  return op.edits.length === 0
}

export function equals(a: TextOp, b: TextOp): boolean {
  if (a.baseLength !== b.baseLength || a.inserted !== b.inserted || a.edits.length !== b.edits.length) return false
  for (let i = 0; i < a.edits.length; i++) if (a.edits[i] !== b.edits[i]) return false
  return true
}

function requireLength(length: number): void {
  if (!Number.isSafeInteger(length) || length < 0 || length > longestText) {
    throw new RangeError(`base length ${length} is not a whole number from 0 to ${longestText}`)
  }
}

function requireRange(baseLength: number, from: number, to: number): void {
  requireLength(baseLength)
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || from > to || to > baseLength) {
    throw new RangeError(`range ${from}..${to} is not within a text of ${baseLength}`)
  }
}

function requireText(text: string): void {
  if (!isWellFormed(text)) throw new OpError(`inserted text ${JSON.stringify(text.slice(0, 40))} has a lone surrogate`)
}

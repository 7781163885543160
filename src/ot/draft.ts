// A composition being written: ops are added one after the other, and read off as one.
// Invariant: the pieces, read in order, are the composition of all ops added so far.
import type { TextOp } from './op.ts'

const longestBlock = 64 // pieces
const longestText = 1024 // code units in one piece: an insert into a long one must not copy it all

/** A run of neighbouring pieces. Piece i keeps skip[i] units of the base, deletes the next deleted[i] and inserts text[i]. */
interface Block {
  readonly skip: number[]
  readonly deleted: number[]
  readonly text: string[]
}

/**
 * Adding a keystroke costs little more than finding its place: no op is made for the steps in between. Unlike an op's edits the
 * pieces may stand at one place, or be of nothing.
 */
export class Draft {
  private readonly baseLength: number
  private targetLength: number
  private readonly blocks: Block[]
  /** What each block leaves of the text, beside the blocks so that looking for a place reads nothing else. */
  private readonly lengths: number[]

  constructor(baseLength: number) {
    this.baseLength = baseLength
    this.targetLength = baseLength
    // The one first piece keeps the whole base, so that every place is within a piece.
    this.blocks = [{ skip: [baseLength], deleted: [0], text: [''] }]
    this.lengths = [baseLength]
  }

  add(op: TextOp): void {
    if (op.baseLength !== this.targetLength) {
      throw new RangeError(`op of base length ${op.baseLength} after an op that leaves ${this.targetLength}`)
    }
    const { edits, inserted } = op
    let at = 0
    let used = 0
    for (let i = 0; i < edits.length; i += 3) {
      at += edits[i]!
      if (edits[i + 1]! > 0) this.delete(at, edits[i + 1]!)
      const count = edits[i + 2]!
      if (count === 0) continue
      this.insert(at, count === inserted.length ? inserted : inserted.slice(used, used + count))
      used += count
      at += count
    }
    this.targetLength = op.targetLength
  }

  private insert(place: number, added: string): void {
    const { blocks, lengths } = this
    let at = place
    let b = 0
    while (at > lengths[b]!) at -= lengths[b++]!
    const { skip, text } = blocks[b]!
    let i = 0
    // The first piece that reaches the place, so that what is typed on goes to the end of what was typed.
    for (let length = skip[0]! + text[0]!.length; at > length; length = skip[i]! + text[i]!.length) {
      at -= length
      i++
    }
    lengths[b]! += added.length
    const inText = at - skip[i]!
    if (inText < 0) {
      skip[i] = -inText
      this.put(b, i, at, 0, added)
      return
    }
    const old = text[i]!
    if (old.length + added.length <= longestText) {
      text[i] = inText === old.length ? old + added : old.slice(0, inText) + added + old.slice(inText)
      return
    }
    // Too long for one piece: what lies before the place, what is added, what lies behind it.
    const behind = old.slice(inText)
    text[i] = old.slice(0, inText)
    let last = i
    for (let from = 0; from < added.length; from += longestText) {
      const piece = added.slice(from, from + longestText)
      if (text[last]!.length + piece.length <= longestText) text[last]! += piece
      else insertAt(blocks[b]!, ++last, 0, 0, piece)
    }
    if (behind !== '') insertAt(blocks[b]!, ++last, 0, 0, behind)
    this.part(b)
  }

  private delete(place: number, count: number): void {
    const { blocks, lengths } = this
    let at = place
    let b = 0
    while (at >= lengths[b]!) at -= lengths[b++]!
    let { skip, deleted, text } = blocks[b]!
    let i = 0
    for (let length = skip[0]! + text[0]!.length; at >= length; length = skip[i]! + text[i]!.length) {
      at -= length
      i++
    }
    let left = count
    while (true) {
      if (at < skip[i]!) {
        const n = Math.min(left, skip[i]! - at)
        left -= n
        lengths[b]! -= n
        if (at + n < skip[i]!) {
          // Ends within what is kept, so this is the last step.
          if (at === 0 && i > 0) {
            skip[i]! -= n
            deleted[i - 1]! += n
          } else {
            skip[i]! -= at + n
            this.put(b, i, at, n, '')
          }
          return
        }
        skip[i] = at
        deleted[i]! += n
      }
      const inText = at - skip[i]!
      const n = Math.min(left, text[i]!.length - inText)
      if (n > 0) {
        text[i] = text[i]!.slice(0, inText) + text[i]!.slice(inText + n)
        left -= n
        lengths[b]! -= n
      }
      if (left === 0) return
      at = 0
      if (++i < skip.length) continue
      i = 0
      ;({ skip, deleted, text } = blocks[++b]!)
    }
  }

  /** A new piece before piece i of block b. */
  private put(b: number, i: number, skip: number, deleted: number, text: string): void {
    insertAt(this.blocks[b]!, i, skip, deleted, text)
    this.part(b)
  }

  /** Parts block b in two when it has grown too long. */
  private part(b: number): void {
    const block = this.blocks[b]!
    if (block.skip.length <= longestBlock) return
    const half = block.skip.length >> 1
    const right: Block = { skip: block.skip.splice(half), deleted: block.deleted.splice(half), text: block.text.splice(half) }
    let length = 0
    for (let i = 0; i < right.skip.length; i++) length += right.skip[i]! + right.text[i]!.length
    this.lengths[b]! -= length
    this.blocks.splice(b + 1, 0, right)
    this.lengths.splice(b + 1, 0, length)
  }

  finish(): TextOp {
    const edits: number[] = []
    const inserted: string[] = []
    let kept = 0
    for (const { skip, deleted, text } of this.blocks) {
      for (let i = 0; i < skip.length; i++) {
        kept += skip[i]!
        const d = deleted[i]!
        const n = text[i]!.length
        if (d === 0 && n === 0) continue
        const last = edits.length
        if (kept === 0 && last > 0) {
          edits[last - 2]! += d
          edits[last - 1]! += n
        } else edits.push(kept, d, n)
        kept = 0
        if (n > 0) inserted.push(text[i]!)
      }
    }
    const { baseLength, targetLength } = this
    return { baseLength, targetLength, edits: edits.slice(), inserted: inserted.join('') }
  }
}

function insertAt(block: Block, i: number, skip: number, deleted: number, text: string): void {
  block.skip.splice(i, 0, skip)
  block.deleted.splice(i, 0, deleted)
  block.text.splice(i, 0, text)
}

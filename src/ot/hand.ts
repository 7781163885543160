// A text under a long history: most of it are keys pressed one after the other, which are put in together.
// Invariant: `snapshot` is what applying one edit after the other would have given.
import { longestText, type TextOp } from './op.ts'
import { applyAll, type Text } from './rope.ts'
import type { Hand } from './type.ts'

const longestRun = 1_000 // code units that are typed on before they are put in: joining them must stay cheap
const atOnce = 10_000 // ops applied in one go

export class TextHand implements Hand<Text, TextOp> {
  size: number
  private text: Text
  private ops: TextOp[] = []
  /** What is typed on and not among the ops yet: at `from` it takes `deleted` away and puts `inserted` there. */
  private from = 0
  private deleted = 0
  private inserted = ''

  constructor(text: Text) {
    this.text = text
    this.size = text.length
  }

  types(skip: number, inserted: string, deleted: number): boolean {
    const target = this.size - deleted + inserted.length
    if (skip + deleted > this.size || target > longestText) return false
    const end = this.from + this.inserted.length
    if (deleted === 0 && skip === end && end - this.from < longestRun) this.inserted += inserted
    else if (inserted === '' && skip + deleted === end && deleted < end - this.from)
      this.inserted = this.inserted.slice(0, this.inserted.length - deleted)
    else {
      this.end()
      this.from = skip
      this.deleted = deleted
      this.inserted = inserted
    }
    this.size = target
    return true
  }

  apply(op: TextOp): void {
    this.end()
    this.add(op)
    this.size = op.targetLength
  }

  get snapshot(): Text {
    this.end()
    this.flush()
    return this.text
  }

  /** What was typed on is an op. */
  private end(): void {
    const { size, from, deleted, inserted } = this
    if (deleted === 0 && inserted === '') return
    this.add({
      baseLength: size + deleted - inserted.length,
      targetLength: size,
      edits: [from, deleted, inserted.length],
      inserted,
    })
    this.deleted = 0
    this.inserted = ''
  }

  private add(op: TextOp): void {
    if (this.ops.push(op) >= atOnce) this.flush()
  }

  private flush(): void {
    this.text = applyAll(this.text, this.ops)
    this.ops = []
  }
}

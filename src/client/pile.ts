// Ops one after the other, kept as few composed ones, each to be written down once.
// Invariant: a part stands for as many ops as all parts behind it together, as the bits of a counter do, so that adding n ops one by
// one and writing after each composes and writes n log n, not n².

import type { DocumentType } from '../ot/type.ts'

export interface Part<O> {
  readonly op: O
  readonly count: number
}

export class Pile<O> {
  readonly parts: Part<O>[] = []

  add(type: Pick<DocumentType<unknown, O>, 'compose'>, op: O): void {
    const { parts } = this
    let last: Part<O> = { op, count: 1 }
    while (parts.length > 0 && parts.at(-1)!.count <= last.count) {
      const first = parts.pop()!
      last = { op: type.compose(first.op, last.op), count: first.count + last.count }
    }
    parts.push(last)
  }
}

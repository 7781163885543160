// The verbs of text ops that need no text: compose, transform, and where a position goes.
// Invariant: every result is in normal form, and costs one pass over the edits it was made from; inserted text is shared, not copied.
import { Draft } from './draft.ts'
import { noop, type TextOp } from './op.ts'
import type { Side } from './type.ts'

/** Stands for the skip behind the last edit: longer than any text. */
const rest = 0x3fffffff

/** From this many triples on, copying the unchanged ends of an op in bulk beats copying them number by number. */
const bulk = 24

/**
 * `op` as it must be after `over`, which was made on the same text.
 *
 * At one place `side` tells whose insert comes first: 'left' puts op's before over's. An insert into a range that `over`
 * deletes stays, at the place of the deletion; a range that both delete is deleted once.
 *
 * @throws {RangeError} when the two were made on texts of different length
 */
export function transform(op: TextOp, over: TextOp, side: Side): TextOp {
  if (op.baseLength !== over.baseLength) throw unequalBases(op, over)
  const A = op.edits
  const B = over.edits
  const endA = A.length
  const endB = B.length
  const baseLength = over.targetLength
  const { inserted } = op
  if (endB === 0) return op
  if (endA === 0) return noop(baseLength)
  if (endA === 3 && endB === 3) {
    // One keystroke against another, at different places: either nothing moves or all of it does.
    const at = A[0]!
    const overAt = B[0]!
    const targetLength = baseLength - A[1]! + inserted.length
    if (at < overAt && at + A[1]! <= overAt) return { baseLength, targetLength, edits: A, inserted }
    if (overAt < at && overAt + B[1]! <= at) {
      return { baseLength, targetLength, edits: [at - B[1]! + B[2]!, A[1]!, A[2]!], inserted }
    }
  }
  const left = side === 'left'
  let out: number[] = []
  let skip = 0 // kept units of the result since its last edit
  let deleted = 0
  let i = 0
  let j = 0
  let bs = B[0]!
  if (endA > bulk * 3) {
    for (; i + 3 < endA && A[i]! + A[i + 1]! < bs; i += 3) {
      bs -= A[i]! + A[i + 1]!
      deleted += A[i + 1]!
    }
    if (i > 0) out = A.slice(0, i)
  }
  // What is left of the edit of each that is being read: skip, delete, insert.
  let as = A[i]!
  let ad = A[i + 1]!
  let ai = A[i + 2]!
  let bd = B[1]!
  let bi = B[2]!
  while (true) {
    if (bs === 0 && bi > 0 && !(left && as === 0 && ai > 0)) {
      skip += bi
      bi = 0
    }
    if (as === 0 && ai > 0) {
      const last = out.length
      if (skip === 0 && last > 0) out[last - 1]! += ai
      else out.push(skip, 0, ai)
      skip = 0
      ai = 0
      continue // over's insert at the same place, if it has one, is next
    }
    if (as > 0) {
      if (bs > 0) {
        const n = Math.min(as, bs)
        skip += n
        as -= n
        bs -= n
      } else {
        const n = Math.min(as, bd)
        as -= n
        bd -= n
      }
    } else if (bs > 0) {
      const n = Math.min(ad, bs)
      if (n > 0) {
        const last = out.length
        if (skip === 0 && last > 0) out[last - 2]! += n
        else out.push(skip, n, 0)
        skip = 0
        deleted += n
        ad -= n
        bs -= n
      }
    } else {
      const n = Math.min(ad, bd)
      ad -= n
      bd -= n
    }
    if (as === 0 && ad === 0 && ai === 0) {
      i += 3
      if (i === endA) break
      as = A[i]!
      ad = A[i + 1]!
      ai = A[i + 2]!
    }
    if (bs === 0 && bd === 0 && bi === 0) {
      j += 3
      if (j < endB) {
        bs = B[j]!
        bd = B[j + 1]!
        bi = B[j + 2]!
        continue
      }
      // Nothing of over is left: the rest of op stays as it is.
      out = withRest(out, skip + as, ad, ai, A, i + 3)
      deleted += ad + deletedIn(A, i + 3)
      break
    }
  }
  return { baseLength, targetLength: baseLength - deleted + inserted.length, edits: out, inserted }
}

/** [transform(a, b, side), transform(b, a, the other side)], in one pass over both. */
export function transformPair(a: TextOp, b: TextOp, side: Side): readonly [a: TextOp, b: TextOp] {
  if (a.baseLength !== b.baseLength) throw unequalBases(a, b)
  const A = a.edits
  const B = b.edits
  const endA = A.length
  const endB = B.length
  if (endA === 0) return [noop(b.targetLength), b]
  if (endB === 0) return [a, noop(a.targetLength)]
  const left = side === 'left'
  let outA: number[] = []
  let outB: number[] = []
  let skipA = 0
  let skipB = 0
  let deletedA = 0
  let deletedB = 0
  let i = 0
  let j = 0
  let as = A[0]!
  let bs = B[0]!
  if (endA > bulk * 3) {
    for (; i + 3 < endA && A[i]! + A[i + 1]! < bs; i += 3) {
      bs -= A[i]! + A[i + 1]!
      skipB += A[i]! + A[i + 2]!
      deletedA += A[i + 1]!
    }
    if (i > 0) outA = A.slice(0, i)
    as = A[i]!
  } else if (endB > bulk * 3) {
    for (; j + 3 < endB && B[j]! + B[j + 1]! < as; j += 3) {
      as -= B[j]! + B[j + 1]!
      skipA += B[j]! + B[j + 2]!
      deletedB += B[j + 1]!
    }
    if (j > 0) outB = B.slice(0, j)
    bs = B[j]!
  }
  let ad = A[i + 1]!
  let ai = A[i + 2]!
  let bd = B[j + 1]!
  let bi = B[j + 2]!
  while (i < endA || j < endB) {
    if (as === 0 && ai > 0 && (left || bs > 0 || bi === 0)) {
      const last = outA.length
      if (skipA === 0 && last > 0) outA[last - 1]! += ai
      else outA.push(skipA, 0, ai)
      skipA = 0
      skipB += ai
      ai = 0
      continue
    }
    if (bs === 0 && bi > 0) {
      const last = outB.length
      if (skipB === 0 && last > 0) outB[last - 1]! += bi
      else outB.push(skipB, 0, bi)
      skipB = 0
      skipA += bi
      bi = 0
      continue
    }
    if (as > 0) {
      if (bs > 0) {
        const n = Math.min(as, bs)
        skipA += n
        skipB += n
        as -= n
        bs -= n
      } else if (bd > 0) {
        const n = Math.min(as, bd)
        const last = outB.length
        if (skipB === 0 && last > 0) outB[last - 2]! += n
        else outB.push(skipB, n, 0)
        skipB = 0
        deletedB += n
        as -= n
        bd -= n
      }
    } else if (ad > 0) {
      if (bs > 0) {
        const n = Math.min(ad, bs)
        const last = outA.length
        if (skipA === 0 && last > 0) outA[last - 2]! += n
        else outA.push(skipA, n, 0)
        skipA = 0
        deletedA += n
        ad -= n
        bs -= n
      } else {
        const n = Math.min(ad, bd)
        ad -= n
        bd -= n
      }
    }
    if (as === 0 && ad === 0 && ai === 0) {
      i += 3
      as = i < endA ? A[i]! : rest
      ad = i < endA ? A[i + 1]! : 0
      ai = i < endA ? A[i + 2]! : 0
    }
    if (bs === 0 && bd === 0 && bi === 0) {
      j += 3
      bs = j < endB ? B[j]! : rest
      bd = j < endB ? B[j + 1]! : 0
      bi = j < endB ? B[j + 2]! : 0
    }
    // Nothing of one is left: the rest of the other stays as it is.
    if (j === endB && i < endA) {
      outA = withRest(outA, skipA + as, ad, ai, A, i + 3)
      deletedA += ad + deletedIn(A, i + 3)
      break
    }
    if (i === endA && j < endB) {
      outB = withRest(outB, skipB + bs, bd, bi, B, j + 3)
      deletedB += bd + deletedIn(B, j + 3)
      break
    }
  }
  return [
    {
      baseLength: b.targetLength,
      targetLength: b.targetLength - deletedA + a.inserted.length,
      edits: outA,
      inserted: a.inserted,
    },
    {
      baseLength: a.targetLength,
      targetLength: a.targetLength - deletedB + b.inserted.length,
      edits: outB,
      inserted: b.inserted,
    },
  ]
}

/**
 * `first`, then `second`, as one op.
 *
 * @throws {RangeError} when second was not made on the result of first
 */
export function compose(first: TextOp, second: TextOp): TextOp {
  if (first.targetLength !== second.baseLength) {
    throw new RangeError(`op of base length ${second.baseLength} after an op that leaves ${first.targetLength}`)
  }
  const A = first.edits
  const B = second.edits
  const endA = A.length
  const endB = B.length
  if (endA === 0) return second
  if (endB === 0) return first
  const { baseLength } = first
  const { targetLength } = second
  const atext = first.inserted
  const btext = second.inserted
  if (endA === 3 && endB === 3) {
    const quick = composeSingle(first, second)
    if (quick !== undefined) return quick
  }
  let out: number[] = []
  let text = ''
  let skip = 0
  let i = 0
  let j = 0
  let usedA = 0
  let usedB = 0
  let bs = B[0]!
  if (endA > bulk * 3) {
    for (; i < endA && A[i]! + A[i + 2]! <= bs; i += 3) {
      bs -= A[i]! + A[i + 2]!
      usedA += A[i + 2]!
    }
    if (i > 0) {
      out = A.slice(0, i)
      text = atext.slice(0, usedA)
    }
  }
  let as = i < endA ? A[i]! : rest
  let ad = i < endA ? A[i + 1]! : 0
  let ai = i < endA ? A[i + 2]! : 0
  let bd = B[1]!
  let bi = B[2]!
  while (true) {
    if (bs === 0 && bi > 0) {
      const last = out.length
      if (skip === 0 && last > 0) out[last - 1]! += bi
      else out.push(skip, 0, bi)
      skip = 0
      text += btext.slice(usedB, usedB + bi)
      usedB += bi
      bi = 0
    }
    if (bs === 0 && bd === 0) {
      j += 3
      if (j < endB) {
        bs = B[j]!
        bd = B[j + 1]!
        bi = B[j + 2]!
      } else {
        // Nothing of second is left: the rest of first stays as it is.
        if (i < endA) {
          out = withRest(out, skip + as, ad, ai, A, i + 3)
          text += usedA === 0 ? atext : atext.slice(usedA)
        }
        break
      }
    }
    if (as > 0) {
      if (bs > 0) {
        const n = Math.min(as, bs)
        skip += n
        as -= n
        bs -= n
      } else {
        const n = Math.min(as, bd)
        const last = out.length
        if (skip === 0 && last > 0) out[last - 2]! += n
        else out.push(skip, n, 0)
        skip = 0
        as -= n
        bd -= n
      }
    } else if (ai > 0) {
      if (bs > 0) {
        const n = Math.min(ai, bs)
        const last = out.length
        if (skip === 0 && last > 0) out[last - 1]! += n
        else out.push(skip, 0, n)
        skip = 0
        text += atext.slice(usedA, usedA + n)
        usedA += n
        ai -= n
        bs -= n
      } else {
        const n = Math.min(ai, bd)
        usedA += n
        ai -= n
        bd -= n
      }
    }
    if (as === 0 && ai === 0) {
      if (ad > 0) {
        const last = out.length
        if (skip === 0 && last > 0) out[last - 2]! += ad
        else out.push(skip, ad, 0)
        skip = 0
      }
      i += 3
      as = i < endA ? A[i]! : rest
      ad = i < endA ? A[i + 1]! : 0
      ai = i < endA ? A[i + 2]! : 0
    }
  }
  return { baseLength, targetLength, edits: out, inserted: text }
}

/** Two ops of one edit each, as typing makes them; undefined where the two edits meet in some other way. */
function composeSingle(first: TextOp, second: TextOp): TextOp | undefined {
  const { baseLength } = first
  const { targetLength } = second
  const at = first.edits[0]!
  const ad = first.edits[1]!
  const ai = first.edits[2]!
  const bt = second.edits[0]!
  const bd = second.edits[1]!
  const bi = second.edits[2]!
  const end = at + ai
  if (bt > end) {
    return { baseLength, targetLength, edits: [at, ad, ai, bt - end, bd, bi], inserted: first.inserted + second.inserted }
  }
  if (bt + bd < at) {
    return { baseLength, targetLength, edits: [bt, bd, bi, at - bt - bd, ad, ai], inserted: second.inserted + first.inserted }
  }
  if (bd === 0 && bt >= at) {
    const k = bt - at
    const inserted =
      k === ai ? first.inserted + second.inserted : first.inserted.slice(0, k) + second.inserted + first.inserted.slice(k)
    return { baseLength, targetLength, edits: [at, ad, ai + bi], inserted }
  }
  if (ai === 0 && bi === 0 && bt <= at && bt + bd >= at) {
    return { baseLength, targetLength, edits: [bt, ad + bd, 0], inserted: '' }
  }
  return undefined
}

/** An op of more edits is cheaper composed in one pass than edit by edit. */
const fewEdits = 8

/** Shorter rows are composed one by one. */
const shortRow = 4

/** A draft that has taken this many ops is closed, as finding a place in it takes time linear in its blocks. */
const longestRow = 16_384

/**
 * All of them, one after the other, as one op. Time is O(n log n) in the number of edits, with a small factor for keystrokes.
 *
 * Composing is associative, so the order of the brackets cannot be seen in the result: rows of small ops are written into a
 * draft, and what that leaves is composed in pairs, then pairs of pairs.
 */
export function composeAll(ops: readonly TextOp[]): TextOp {
  if (ops.length === 0) throw new RangeError('no op to compose: the base length of nothing is unknown')
  let level = ops.length < shortRow ? ops : rows(ops)
  while (level.length > 1) {
    const next: TextOp[] = []
    for (let i = 0; i + 1 < level.length; i += 2) next.push(compose(level[i]!, level[i + 1]!))
    if (level.length % 2 === 1) next.push(level[level.length - 1]!)
    level = next
  }
  return level[0]!
}

function rows(ops: readonly TextOp[]): TextOp[] {
  const out: TextOp[] = []
  let start = 0
  while (start < ops.length) {
    let end = start
    while (end < ops.length && end - start < longestRow && ops[end]!.edits.length <= fewEdits * 3) end++
    if (end - start < shortRow) {
      end = Math.max(end, start + 1)
      for (let i = start; i < end; i++) out.push(ops[i]!)
    } else {
      const draft = new Draft(ops[start]!.baseLength)
      for (let i = start; i < end; i++) draft.add(ops[i]!)
      out.push(draft.finish())
    }
    start = end
  }
  return out
}

/**
 * Where `position` is after op: it moves as an insert at that place would. `side` decides at an insert right there: 'left'
 * stays before it, 'right' goes behind it. Inside a deleted range it goes to the place of the deletion, behind what replaced it.
 */
export function mapPosition(position: number, op: TextOp, side: Side): number {
  const { edits } = op
  const stay = side === 'left'
  let at = 0 // in the base
  let shift = 0 // from the base to the result
  for (let i = 0; i < edits.length; i += 3) {
    at += edits[i]!
    if (at > position || (stay && at === position)) break
    shift += edits[i + 2]!
    const end = at + edits[i + 1]!
    if (position < end) return at + shift
    shift += at - end
    at = end
  }
  return position + shift
}

/** mapPosition of many positions, ascending, in one pass. */
export function mapPositions(positions: readonly number[], op: TextOp, side: Side): number[] {
  const { edits } = op
  const stay = side === 'left'
  const out: number[] = []
  let i = 0
  let at = edits.length > 0 ? edits[0]! : rest // the place of edit i, in the base
  let shift = 0 // of what lies before edit i
  for (const position of positions) {
    while (i < edits.length && position >= at + edits[i + 1]! && !(position === at && stay)) {
      shift += edits[i + 2]! - edits[i + 1]!
      at += edits[i + 1]!
      i += 3
      at += i < edits.length ? edits[i]! : rest
    }
    const replaced = position > at || (position === at && !stay)
    out.push(replaced ? at + shift + edits[i + 2]! : position + shift)
  }
  return out
}

/** A caret (both ends alike) or a selected range; `anchor` is where it was begun, `head` the end that moves. */
export interface Selection {
  readonly anchor: number
  readonly head: number
}

/**
 * A caret moves by `side`, as mapPosition does. A selected range keeps to the text that was selected: what is inserted right at
 * either end stays outside.
 */
export function mapSelection(selection: Selection, op: TextOp, side: Side): Selection {
  const { anchor, head } = selection
  if (anchor === head) {
    const at = mapPosition(anchor, op, side)
    return { anchor: at, head: at }
  }
  const forward = anchor < head
  return {
    anchor: mapPosition(anchor, op, forward ? 'right' : 'left'),
    head: mapPosition(head, op, forward ? 'left' : 'right'),
  }
}

/** `out`, then an edit, then the triples of `edits` from number i on. */
function withRest(out: number[], skip: number, deleted: number, inserted: number, edits: readonly number[], i: number): number[] {
  const last = out.length
  if (skip === 0 && last > 0) {
    out[last - 2]! += deleted
    out[last - 1]! += inserted
  } else out.push(skip, deleted, inserted)
  if (edits.length - i > bulk * 3) return out.concat(edits.slice(i))
  for (let k = i; k < edits.length; k++) out.push(edits[k]!)
  return out
}

/** What the triples from number i on delete. */
function deletedIn(edits: readonly number[], i: number): number {
  let deleted = 0
  for (let k = i + 1; k < edits.length; k += 3) deleted += edits[k]!
  return deleted
}

function unequalBases(a: TextOp, b: TextOp): RangeError {
  return new RangeError(`ops of base lengths ${a.baseLength} and ${b.baseLength} were not made on one text`)
}

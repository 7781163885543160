// An op that leads from one text to another, where the edits between them are not known any more.
// Invariant: the op never cuts a surrogate pair, and the work is bounded whatever the texts are.
import { type Edit, fromEdits, type TextOp } from './op.ts'

/** A stretch that both texts have: a[atA, atA + length) is b[atB, atB + length). */
interface Match {
  readonly atA: number
  readonly atB: number
  readonly length: number
}

/**
 * Comparing character by character costs up to (units of one side) × (units of the other), so all such comparisons of one diff
 * together may cost this much: about a tenth of a second. Finding the lines and words that both texts have costs n log n.
 */
const budget = 20_000_000

/** Stretches up to this many units on both sides together are compared by character at once, longer ones by lines, words first. */
const smallEnough = 2_000

/**
 * The op that turns `from` into `to`.
 *
 * Common ends are cut off; what differs in the middle is compared by character if it is small, otherwise split at the lines,
 * then the words, that occur once in both, and what is left between those is compared by character until `budget` is spent.
 * What is left then is replaced as a whole: correct, but coarse. Time is O(n log n) plus the budget.
 */
export function diff(from: string, to: string): TextOp {
  const matches: Match[] = []
  const compare = new Comparison(from, to, matches)
  compare.between(0, from.length, 0, to.length, 0)

  const edits: Edit[] = []
  let atA = 0
  let atB = 0
  const end: Match = { atA: from.length, atB: to.length, length: 0 }
  for (const match of [...matches, end]) {
    // The match may begin or end between the halves of a pair whose other halves differ. Then both halves belong to the edit.
    const head = isLow(from.charCodeAt(match.atA)) ? 1 : 0
    const tail = isHigh(from.charCodeAt(match.atA + match.length - 1)) ? 1 : 0
    const length = match.length - head - tail
    if (length <= 0 && match !== end) continue
    const startA = match.atA + head
    const startB = match.atB + head
    if (startA > atA || startB > atB) edits.push([atA, startA, to.slice(atB, startB)])
    atA = startA + length
    atB = startB + length
  }
  return fromEdits(edits, from.length)
}

class Comparison {
  private readonly a: string
  private readonly b: string
  private readonly matches: Match[]
  private left = budget

  constructor(a: string, b: string, matches: Match[]) {
    this.a = a
    this.b = b
    this.matches = matches
  }

  /**
   * Finds the matches of a[fromA, toA) and b[fromB, toB), in order. `level`: 0 may split by lines, 1 by words, 2 no more; what is
   * small is compared by character, and so are its parts (3).
   */
  between(fromA: number, toA: number, fromB: number, toB: number, level: number): void {
    const { a, b } = this
    let head = 0
    const most = Math.min(toA - fromA, toB - fromB)
    while (head < most && a.charCodeAt(fromA + head) === b.charCodeAt(fromB + head)) head++
    if (head > 0 && isHigh(a.charCodeAt(fromA + head - 1))) head--
    let tail = 0
    while (tail < most - head && a.charCodeAt(toA - 1 - tail) === b.charCodeAt(toB - 1 - tail)) tail++
    if (tail > 0 && isLow(a.charCodeAt(toA - tail))) tail--
    this.match(fromA, fromB, head)
    this.middle(fromA + head, toA - tail, fromB + head, toB - tail, level)
    this.match(toA - tail, toB - tail, tail)
  }

  private middle(fromA: number, toA: number, fromB: number, toB: number, level: number): void {
    const lengthA = toA - fromA
    const lengthB = toB - fromB
    if (lengthA === 0 || lengthB === 0) return
    if (level === 3) return this.part(fromA, toA, fromB, toB)
    if (level < 2 && lengthA + lengthB > smallEnough) {
      const anchors = commonOnce(
        pieces(this.a.slice(fromA, toA), splitters[level]!),
        pieces(this.b.slice(fromB, toB), splitters[level]!),
      )
      let atA = fromA
      let atB = fromB
      for (const anchor of anchors) {
        this.between(atA, fromA + anchor.atA, atB, fromB + anchor.atB, level + 1)
        this.match(fromA + anchor.atA, fromB + anchor.atB, anchor.length)
        atA = fromA + anchor.atA + anchor.length
        atB = fromB + anchor.atB + anchor.length
      }
      this.between(atA, toA, atB, toB, level + 1)
      return
    }
    if (lengthA * lengthB > this.left) return
    this.left -= lengthA * lengthB
    this.part(fromA, toA, fromB, toB)
  }

  /** Parts what differs at both ends where a shortest edit script can be parted, and compares the two. */
  private part(fromA: number, toA: number, fromB: number, toB: number): void {
    const [x, y] = this.halfway(fromA, toA, fromB, toB)
    const atStart = x === fromA && y === fromB
    const atEnd = x === toA && y === toB
    if (atStart || atEnd) return // ends that are alike but would cut a pair, and were left for that
    this.between(fromA, x, fromB, y, 3)
    this.between(x, toA, y, toB, 3)
  }

  /**
   * A place on a shortest edit script, half of its edits on either side (E. W. Myers, An O(ND) difference algorithm, 1986). Two
   * searches with ever more edits, from the start and from the end, until one has come as far as the other:
   *
   *     //   b ▲         ╱ end
   *     //     │      ⋰╱      diagonal k: where x − y = k; a match goes along it, an edit to the next one
   *     //     │   ╱⋰         ahead[k], back[k]: how far along a each search has come on it
   *     // start └────────▶ a
   */
  private halfway(fromA: number, toA: number, fromB: number, toB: number): readonly [atA: number, atB: number] {
    const { a, b } = this
    const [lengthA, lengthB] = [toA - fromA, toB - fromB]
    const most = Math.ceil((lengthA + lengthB) / 2)
    const delta = lengthA - lengthB
    const ahead = new Int32Array(2 * most + 2).fill(-1)
    const back = ahead.slice()
    ahead[most + 1] = back[most + 1] = 0
    /** One search goes a step; the place where it meets the other, if it does. `skip`: diagonals that have run off the square. */
    const step = (
      edits: number,
      mine: Int32Array,
      others: Int32Array,
      skip: [low: number, high: number],
      same: (x: number, y: number) => boolean,
      meets: boolean,
    ): readonly [number, number] | null => {
      for (let k = skip[0] - edits; k <= edits - skip[1]; k += 2) {
        const down = k === -edits || (k !== edits && mine[most + k - 1]! < mine[most + k + 1]!)
        let x = down ? mine[most + k + 1]! : mine[most + k - 1]! + 1
        let y = x - k
        while (x < lengthA && y < lengthB && same(x, y)) {
          x++
          y++
        }
        mine[most + k] = x
        if (x > lengthA) skip[1] += 2
        else if (y > lengthB) skip[0] += 2
        else if (meets) {
          const other = most + delta - k
          if (other >= 0 && other < others.length && others[other]! >= 0 && x + others[other]! >= lengthA) return [x, y]
        }
      }
      return null
    }
    const skipAhead: [number, number] = [0, 0]
    const skipBack: [number, number] = [0, 0]
    const isOdd = delta % 2 !== 0
    for (let edits = 0; edits <= most; edits++) {
      const met = step(edits, ahead, back, skipAhead, (x, y) => a.charCodeAt(fromA + x) === b.charCodeAt(fromB + y), isOdd)
      if (met !== null) return [fromA + met[0], fromB + met[1]]
      const behind = step(edits, back, ahead, skipBack, (x, y) => a.charCodeAt(toA - 1 - x) === b.charCodeAt(toB - 1 - y), !isOdd)
      if (behind !== null) return [toA - behind[0], toB - behind[1]]
    }
    return [toA, toB] // never: the two searches have met
  }

  private match(atA: number, atB: number, length: number): void {
    if (length === 0) return
    const last = this.matches[this.matches.length - 1]
    if (last !== undefined && last.atA + last.length === atA && last.atB + last.length === atB) {
      this.matches[this.matches.length - 1] = { ...last, length: last.length + length }
    } else this.matches.push({ atA, atB, length })
  }
}

const splitters = [/[^\n]*\n|[^\n]+$/g, /\s+|[^\s]+/g]

interface Piece {
  readonly at: number
  readonly text: string
}

function pieces(text: string, splitter: RegExp): Piece[] {
  return Array.from(text.matchAll(splitter), found => ({ at: found.index, text: found[0] }))
}

/** The pieces that occur once on either side, as many as can be kept in one order: the longest rising run (patience). */
function commonOnce(a: readonly Piece[], b: readonly Piece[]): Match[] {
  const onceA = onlyOnce(a)
  const onceB = onlyOnce(b)
  const pairs: Match[] = []
  for (const piece of a) {
    const other = onceB.get(piece.text)
    if (other !== undefined && onceA.has(piece.text)) pairs.push({ atA: piece.at, atB: other.at, length: piece.text.length })
  }
  // ends[n]: the pair that ends a rising run of n + 1 pairs at the smallest place in b; before[i]: the pair before pair i in its run.
  const ends: number[] = []
  const before: number[] = []
  for (let i = 0; i < pairs.length; i++) {
    let low = 0
    let high = ends.length
    while (low < high) {
      const mid = (low + high) >> 1
      if (pairs[ends[mid]!]!.atB < pairs[i]!.atB) low = mid + 1
      else high = mid
    }
    before.push(low > 0 ? ends[low - 1]! : -1)
    ends[low] = i
  }
  const run: Match[] = []
  for (let i = ends.length > 0 ? ends[ends.length - 1]! : -1; i >= 0; i = before[i]!) run.push(pairs[i]!)
  return run.reverse()
}

function onlyOnce(all: readonly Piece[]): Map<string, Piece> {
  const once = new Map<string, Piece>()
  const more = new Set<string>()
  for (const piece of all) {
    if (more.has(piece.text)) continue
    if (once.delete(piece.text)) more.add(piece.text)
    else once.set(piece.text, piece)
  }
  return once
}

function isHigh(code: number): boolean {
  return code >= 0xd800 && code < 0xdc00
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code < 0xe000
}

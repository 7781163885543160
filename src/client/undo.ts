// Undo and redo of one's own edits, over what others do to the text meanwhile.
// Invariant: what undo takes back is mine: it deletes only text that I put there and restores only text that I took away.

import { type DocumentType, type Json, OpError } from '../ot/type.ts'
import { Pile } from './pile.ts'

/** The part of a document type that needs no snapshot. */
type Ops<O> = Pick<DocumentType<unknown, O>, 'compose' | 'isNoop' | 'mapPosition'>

/** What was selected: `anchor` is where it was begun, `head` the end that moves. Alike: a caret. */
export type Range = {
  readonly anchor: number
  readonly head: number
}

/** Groups kept; the oldest goes when one more is made. An editor's writer rarely goes back further; each costs its deleted text. */
const undoGroups = 200

/**
 * UTF-16 units of JSON that all groups of a stack may have together; the oldest go when there are more, but never the last one made:
 * whoever has deleted a whole book by mistake wants just that back.
 */
const undoUnits = 4_194_304

/** Milliseconds without an edit after which the next one begins a group of its own, as in CodeMirror. */
const groupPause = 500

/** One group of edits, to be taken back as one. */
interface Group<O> {
  /** Takes the group back; made on the text as it was when the last op in `drift` had not come yet. */
  readonly op: O
  /** The selection once `op` has been applied, and the one while it has not. */
  readonly goal: Range | null
  readonly here: Range | null
}

interface Layer<O> {
  readonly group: Group<O>
  /** What others did since, as it looks from here once all groups above are taken back. */
  readonly drift: Drift<O>
  /** UTF-16 units of its op's JSON; 0 as long as it is the top one, which may still grow. */
  readonly weight: number
}

/** A group as it is stored: the size of what its op was made on, the op, `goal`, `here`, and the drift, made on the same, if any. */
type StoredLayer = readonly [size: number, op: Json, goal: StoredRange, here: StoredRange, drift: Json]
type StoredRange = readonly [anchor: number, head: number] | null

/** Both stacks, oldest group first. */
export interface StoredUndo {
  readonly done: readonly Json[]
  readonly undone: readonly Json[]
}

export interface Recorded<S> {
  /** The text before the edit. */
  readonly before: S
  /** Milliseconds on any clock that does not run backwards. */
  readonly now: number
  /** `new`: begins a group whatever the time and place. */
  readonly group: 'join' | 'new'
  readonly selectionBefore: Range | null
  readonly selectionAfter: Range | null
}

export interface Taken<O> {
  readonly op: O
  readonly selection: Range | null
}

export interface UndoOptions<O> {
  readonly groups?: number
  readonly units?: number
  readonly pause?: number
  /** Whether an edit touches what a group changed: `undo` takes the group back, `op` is the edit, both made on one text. */
  readonly touches?: (undo: O, op: O) => boolean
}

/**
 * Two stacks of inverse ops. An op by somebody else is only put on top of each (`follow`); it is carried down through a group when
 * that group comes to the top, and what lies below sees it as one op composed with the others that waited there:
 *
 *     //   now ──group 2⁻¹──▶ ──group 1⁻¹──▶            r came while group 2 was on top:
 *     //    │ r        │ r′          │                   group 2⁻¹ moves over r, group 1⁻¹ over r′, r as it
 *     //    ▼          ▼             ▼                   is where group 2 never happened
 */
export class UndoStack<S, O> {
  private readonly type: DocumentType<S, O>
  private readonly groups: number
  private readonly units: number
  private readonly pause: number
  private readonly touches: (undo: O, op: O) => boolean
  private readonly done: Layer<O>[] = []
  private readonly undone: Layer<O>[] = []
  /** What `toJson` made of a layer, and how often its drift had changed then. */
  private readonly given = new WeakMap<Layer<O>, { readonly stored: StoredLayer; readonly changes: number }>()
  private lastEdit = Number.NEGATIVE_INFINITY

  constructor(
    type: DocumentType<S, O>,
    { groups = undoGroups, units = undoUnits, pause = groupPause, touches = () => true }: UndoOptions<O> = {},
  ) {
    this.type = type
    this.groups = groups
    this.units = units
    this.pause = pause
    this.touches = touches
  }

  /** Both stacks, to be kept where the text is kept. A group that is as it was is given as the same object again. */
  toJson(): StoredUndo {
    const { type, given } = this
    const store = (layer: Layer<O>): StoredLayer => {
      const { group, drift } = layer
      const known = given.get(layer)
      if (known?.changes === drift.changes) return known.stored
      const over = drift.whole()
      const { op, goal, here } = group
      const stored: StoredLayer = [
        type.baseSize(op),
        type.opToJson(op),
        storeRange(goal),
        storeRange(here),
        over && type.opToJson(over),
      ]
      given.set(layer, { stored, changes: drift.changes })
      return stored
    }
    return { done: this.done.map(store), undone: this.undone.map(store) }
  }

  /**
   * Takes up what `toJson` gave, over the text as it was then; `size` is that text's.
   *
   * @throws {OpError} when it does not fit that text: the stacks are empty then
   */
  fromJson(json: StoredUndo, size: number): void {
    this.forget()
    const layers = [
      this.read(json.done as readonly StoredLayer[], size),
      this.read(json.undone as readonly StoredLayer[], size),
    ] as const
    this.done.push(...layers[0])
    this.undone.push(...layers[1])
  }

  private read(stored: readonly StoredLayer[], size: number): Layer<O>[] {
    const { type } = this
    const layers: Layer<O>[] = []
    let after = size // of the text that the drift of the layer leads to, from the top layer down
    for (const [base, json, goal, here, over] of stored.toReversed()) {
      const op = type.opFromJson(json, base)
      const drift = new Drift(type)
      const moved = over === null ? null : type.opFromJson(over, base)
      if (moved !== null) drift.add(moved)
      const reached = moved === null ? base : type.targetSize(moved)
      if (reached !== after) throw new OpError(`undo of a text of ${reached} where the text has ${after}`)
      layers.unshift({ group: { op, goal: readRange(goal), here: readRange(here) }, drift, weight: JSON.stringify(json).length })
      after = type.targetSize(op)
    }
    return layers
  }

  get canUndo(): boolean {
    return this.settleTop(this.done) !== undefined
  }

  get canRedo(): boolean {
    return this.settleTop(this.undone) !== undefined
  }

  /** I made an edit. What was undone before it can no longer be done again. */
  record(op: O, { before, now, group, selectionBefore, selectionAfter }: Recorded<S>): void {
    const { type, done } = this
    const inverse = type.invert(op, before)
    this.undone.length = 0
    const top = group === 'join' && now - this.lastEdit < this.pause ? this.settleTop(done) : undefined
    this.lastEdit = now
    if (top === undefined || !this.touches(top.op, op)) {
      this.push(done, { op: inverse, goal: selectionBefore, here: selectionAfter })
      return
    }
    const joined = type.compose(inverse, top.op)
    // What was typed and deleted again is no group; what waits above the group below it goes on waiting there.
    if (type.isNoop(joined)) done.pop()
    else
      done[done.length - 1] = { group: { op: joined, goal: top.goal, here: selectionAfter }, drift: new Drift(type), weight: 0 }
  }

  /** The text changed by an op that undo must not take back: somebody else's, or one of mine that is not recorded. */
  follow(op: O): void {
    this.done.at(-1)?.drift.add(op)
    this.undone.at(-1)?.drift.add(op)
  }

  /** One of mine was taken out again: what a group would bring back may be there already, so none of them can be trusted. */
  forget(): void {
    this.done.length = 0
    this.undone.length = 0
    this.boundary()
  }

  /** The next edit begins a group of its own. */
  boundary(): void {
    this.lastEdit = Number.NEGATIVE_INFINITY
  }

  /** What must be applied to `text` now to take back my last group; the caller applies it. Null: there is none. */
  undo(text: S): Taken<O> | null {
    return this.take(this.done, this.undone, text)
  }

  redo(text: S): Taken<O> | null {
    return this.take(this.undone, this.done, text)
  }

  private take(from: Layer<O>[], to: Layer<O>[], text: S): Taken<O> | null {
    const top = this.settleTop(from)
    if (top === undefined) return null
    from.pop()
    // What waits on `to` was made while the text was as it is before this very op, so nothing has to be carried there.
    this.push(to, { op: this.type.invert(top.op, text), goal: top.here, here: top.goal })
    this.boundary()
    return { op: top.op, selection: top.goal }
  }

  private push(stack: Layer<O>[], group: Group<O>): void {
    const below = stack.at(-1)
    if (below !== undefined && below.weight === 0)
      stack[stack.length - 1] = { ...below, weight: JSON.stringify(this.type.opToJson(below.group.op)).length }
    stack.push({ group, drift: new Drift(this.type), weight: 0 })
    let weight = 0
    for (const layer of stack) weight += layer.weight
    while (stack.length > this.groups || (weight > this.units && stack.length > 1)) weight -= stack.shift()!.weight
  }

  /** The top group as it is on the present text. Groups of which nothing is left are dropped. */
  private settleTop(stack: Layer<O>[]): Group<O> | undefined {
    const { type } = this
    while (stack.length > 0) {
      const { group, drift } = stack.at(-1)!
      const over = drift.whole()
      if (over === null) return group
      // Restored text is later in the log than what others put at its place, and goes left of it as all that comes later does.
      const [op, below] = type.transformPair(group.op, over, 'left')
      stack.pop()
      stack.at(-1)?.drift.add(below)
      if (type.isNoop(op)) continue
      const goal = group.goal && mapRange(type, group.goal, below, 'left')
      const here = group.here && mapRange(type, group.here, over, 'left')
      stack.push({ group: { op, goal, here }, drift: new Drift(type), weight: 0 })
    }
    return undefined
  }
}

const storeRange = (range: Range | null): StoredRange => range && [range.anchor, range.head]
const readRange = (stored: StoredRange): Range | null => stored && { anchor: stored[0], head: stored[1] }

/** What has been done since a group was made. */
class Drift<O> {
  private readonly type: Ops<O>
  private readonly pile = new Pile<O>()
  /** Grows whenever an op is added. */
  changes = 0

  constructor(type: Ops<O>) {
    this.type = type
  }

  add(op: O): void {
    if (this.type.isNoop(op)) return
    this.changes++
    this.pile.add(this.type, op)
  }

  whole(): O | null {
    return this.pile.parts.reduceRight<O | null>((rest, { op }) => (rest === null ? op : this.type.compose(op, rest)), null)
  }
}

/**
 * A selection after op. A caret goes to the given side of an insert at its place; a range keeps to the text that was selected.
 */
export const mapRange = <O>(type: Ops<O>, { anchor, head }: Range, op: O, side: 'left' | 'right'): Range => {
  if (anchor === head) {
    const at = type.mapPosition(anchor, op, side)
    return { anchor: at, head: at }
  }
  const from = type.mapPosition(Math.min(anchor, head), op, 'right')
  const to = Math.max(from, type.mapPosition(Math.max(anchor, head), op, 'left'))
  return anchor < head ? { anchor: from, head: to } : { anchor: to, head: from }
}

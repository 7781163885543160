// What is kept of one document: written as differences to what was written before, read back as the session that was.
// Invariant: the root names every cell that it needs, and a writing changes both in one go, so that whatever writing was the last to
// arrive whole, the records are one state of the session.

import { applyAll } from '../ot/queue.ts'
import type { DocumentType, Json } from '../ot/type.ts'
import { chainOf, epochOf, positive, whole } from '../protocol/fields.ts'
import type { DocId, Position, Seq, Version } from '../protocol/ids.ts'
import type { Role } from '../protocol/messages.ts'
import { nearby } from './nearby.ts'
import { Pile } from './pile.ts'
import { type Confirmed, openSession, type Session, type Draft as SessionDraft, type Unit } from './session.ts'
import type { Changes, Records } from './storage.ts'
import type { StoredUndo } from './undo.ts'

/** The form described here. Records of a higher one are left as they are. */
export const schema = 1

/** Cells are values that are written once and never changed; a root is all the rest, and small. */
interface Root {
  readonly schema: number
  readonly type: string
  /** When the document was last opened, counted in openings: what is needed least goes first. */
  readonly used: number
  readonly position: Position | null
  readonly durable: Version
  readonly seq: Seq
  /** The agreed text: a snapshot, null where it is the empty document, and what came since. */
  readonly base: number | null
  readonly since: readonly number[]
  readonly units: readonly RootUnit[]
  readonly confirmed: readonly RootConfirmed[]
  readonly undo: readonly number[]
  readonly redo: readonly number[]
  /** What I might do when it was last said. */
  readonly right: Role
}

/** `ops`: cells to be composed. A unit that has never been sent has no numbers. */
interface RootUnit {
  readonly ops: readonly number[]
  readonly seq?: Seq
  readonly since?: Version
}

interface RootConfirmed {
  readonly seq: Seq
  readonly version: Version
  readonly since: Version
  readonly undo: number
  readonly doubts: readonly number[]
}

/** What there is to be kept of a document. */
export interface Kept<S, O> {
  readonly session: Session<S, O>
  readonly undo: StoredUndo
  readonly right: Role
}

export interface Restored<S, O> extends Kept<S, O> {
  /** The numbers of all cells that are there, needed or not. */
  readonly cells: readonly number[]
}

/** Records that cannot be read, and why. */
export class Damaged extends Error {
  override readonly name = 'Damaged'
}

// ---- names

/** A document's name in keys: without a slash, so that no document's cells are among another's. */
const nameOf = encodeURIComponent

export const draftPrefix = 'draft/'
export const draftKey = (doc: string, id: string): string => `${draftPrefix}${nameOf(doc)}/${id}`

export const rootPrefix = 'doc/'
export const rootKey = (doc: DocId): string => `${rootPrefix}${nameOf(doc)}`
export const docOfRootKey = (key: string): string => decodeURIComponent(key.slice(rootPrefix.length))
export const cellPrefix = (doc: DocId): string => `cell/${nameOf(doc)}/`

/** There as long as nothing has been sent that the record does not know. It is a mark to be taken away, which needs no room. */
export const soundPrefix = 'sound/'
export const soundKey = (doc: DocId): string => `${soundPrefix}${nameOf(doc)}`

// ---- writing

/** The base is written anew when what came since is this long, in UTF-16 units of JSON, and half as long as the base itself. */
const leastRebase = 16_384

/** Writes one session down again and again. */
export class Scribe<S, O> {
  private readonly type: DocumentType<S, O>
  private readonly doc: DocId
  private readonly used: number
  /** The number of the next cell; none is given twice, so that an old root never finds a new cell under an old number. */
  private next: number
  /** The cells that are there, and those that the last writing has taken away. */
  private there: ReadonlySet<number>
  private gone: readonly number[] = []
  private cells = new WeakMap<object, { readonly cell: number; readonly units: number }>()
  /** How a unit came to be what it is, so that only what was typed last need be written. */
  private piles = new WeakMap<object, Pile<O>>()
  private base: { readonly cell: number | null; readonly units: number } | null = null
  private since = new Pile<O>()

  /** `cells`: the numbers of those that are there. */
  constructor(type: DocumentType<S, O>, doc: DocId, used: number, cells: readonly number[] = []) {
    this.type = type
    this.doc = doc
    this.used = used
    this.there = new Set(cells)
    this.next = Math.max(0, ...cells) + 1
  }

  /** `op` was typed: it is the last unit now, or was composed into it. */
  typed(before: Session<S, O>, op: O, after: Session<S, O>): void {
    if (before.units === after.units) return
    const grown = after.units.at(-1)?.op
    if (!isObject(grown)) return
    const last = before.units.at(-1)
    const isComposed = last?.seq === null && after.units.length === before.units.length
    if (grown !== op && !isComposed) return // a part of what was typed, which was too large to be sent: written as it is
    const pile = grown === op ? new Pile<O>() : this.pileOf(last!.op)
    pile.add(this.type, op)
    this.piles.set(grown, pile)
  }

  /** The agreed text has moved on by `op`. */
  moved(op: O): void {
    this.since.add(this.type, op)
  }

  /** The agreed text is another one. */
  replaced(): void {
    this.base = null
    this.since = new Pile()
  }

  /** What was written may not be there: the next writing brings everything. */
  forget(): void {
    this.there = new Set([...this.there, ...this.gone])
    this.cells = new WeakMap()
    this.replaced()
  }

  /** What makes the records those of this state. */
  write({ session, undo, right }: Kept<S, O>): Changes {
    const { type, doc, used } = this
    const puts: [cell: number, text: string][] = []
    const needed = new Set<number>()
    const cell = (json: Json): { readonly cell: number; readonly units: number } => {
      const text = JSON.stringify(json)
      const number = this.next++
      puts.push([number, text])
      return { cell: number, units: text.length }
    }
    const keep = (of: unknown, json: () => Json): { readonly cell: number; readonly units: number } => {
      let found = isObject(of) ? this.cells.get(of) : undefined
      if (found === undefined) {
        found = cell(json())
        if (isObject(of)) this.cells.set(of, found)
      }
      needed.add(found.cell)
      return found
    }
    const keepPile = ({ parts }: Pile<O>) => parts.map(part => keep(part, () => type.opToJson(part.op)))

    let since = this.base === null ? [] : keepPile(this.since)
    const length = since.reduce((sum, { units }) => sum + units, 0)
    if (this.base === null || length > Math.max(leastRebase, this.base.units / 2)) {
      for (const { cell } of since) needed.delete(cell)
      since = []
      this.since = new Pile()
      this.base = session.agreed === type.empty ? { cell: null, units: 0 } : cell(type.snapshotToJson(session.agreed))
    }
    if (this.base.cell !== null) needed.add(this.base.cell)

    const root: Root = {
      schema,
      type: type.name,
      used,
      position: session.position,
      durable: session.durable,
      seq: session.seq,
      base: this.base.cell,
      since: since.map(({ cell }) => cell),
      units: session.units.map(unit => ({
        ops: keepPile(this.pileOf(unit.op)).map(({ cell }) => cell),
        ...(unit.seq === null ? {} : { seq: unit.seq, since: unit.since }),
      })),
      confirmed: session.confirmed.map(({ undo, doubts, ...numbers }) => ({
        ...numbers,
        undo: keep(undo, () => type.opToJson(undo)).cell,
        doubts: doubts.map(doubt => keep(doubt, () => doubtToJson(type, doubt as SessionDraft<S, O>)).cell),
      })),
      undo: undo.done.map(group => keep(group, () => group).cell),
      redo: undo.undone.map(group => keep(group, () => group).cell),
      right,
    }
    const gone = [...this.there].filter(number => !needed.has(number))
    this.gone = gone
    this.there = needed
    return [
      ...puts.filter(([number]) => needed.has(number)).map(([number, text]) => [cellPrefix(doc) + number, text] as const),
      ...gone.map(number => [cellPrefix(doc) + number, null] as const),
      [rootKey(doc), JSON.stringify(root)],
    ]
  }

  private pileOf(op: O): Pile<O> {
    const known = isObject(op) ? this.piles.get(op) : undefined
    if (known !== undefined) return known
    const pile = new Pile<O>()
    pile.add(this.type, op)
    if (isObject(op)) this.piles.set(op, pile)
    return pile
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

const doubtToJson = <S, O>(type: DocumentType<S, O>, doubt: SessionDraft<S, O>): Json => {
  const { op, before } = nearby(doubt.op, doubt.before)
  return [type.snapshotToJson(before), type.opToJson(op)]
}

// ---- reading

/** Only what can be told without the cells; of a root of a later age, only that it is one. @throws {Damaged} */
export const readRoot = (
  text: string,
): Pick<Root, 'schema' | 'type' | 'used' | 'seq'> & {
  /** Edits of mine that are not known to be safe. */
  readonly unsent: boolean
} =>
  soundly(() => {
    const root = JSON.parse(text) as Root
    if (whole(root.schema, 'schema') > schema) return { schema: root.schema, type: '', used: 0, seq: 0, unsent: true }
    return {
      schema,
      type: root.type,
      used: whole(root.used, 'used'),
      seq: whole(root.seq, 'seq'),
      unsent: root.units.length > 0 || root.confirmed.length > 0,
    }
  })

/** The session that was written down; `cells` are the records under `cellPrefix`. @throws {Damaged} */
export const readRecord = <S, O>(type: DocumentType<S, O>, doc: DocId, text: string, cells: Records): Restored<S, O> =>
  soundly(() => {
    const root = JSON.parse(text) as Root
    if (root.type !== type.name) throw new Damaged(`a document of type ${root.type} is opened as ${type.name}`)
    const json = (cell: number): Json => {
      const found = cells.get(cellPrefix(doc) + cell)
      if (found === undefined) throw new Damaged(`cell ${cell} is not there`)
      return JSON.parse(found) as Json
    }
    /** The ops in these cells as one, the first of them made on something of this size. */
    const composed = (numbers: readonly number[], size: number): O =>
      numbers.reduce<O>((op, cell) => type.compose(op, type.opFromJson(json(cell), type.targetSize(op))), type.noop(size))

    const base = root.base === null ? type.empty : type.snapshotFromJson(json(root.base))
    const agreed = type.apply(base, composed(root.since, type.size(base)))
    const units: Unit<O>[] = []
    let size = type.size(agreed)
    for (const { ops, seq, since } of root.units) {
      const op = composed(ops, size)
      size = type.targetSize(op)
      units.push(seq === undefined ? { seq: null, op } : { seq: positive(seq, 'seq'), since: whole(since, 'since'), op })
    }
    const confirmed = root.confirmed.map(
      ({ seq, version, since, undo, doubts }): Confirmed<O> => ({
        seq: positive(seq, 'seq'),
        version: whole(version, 'version'),
        since: whole(since, 'since'),
        undo: type.opFromJson(json(undo), type.size(agreed)),
        doubts: doubts.map(doubt => doubtFromJson(type, json(doubt))),
      }),
    )
    const session: Session<S, O> = {
      ...openSession(type, doc),
      position: root.position && positionOf(root.position),
      agreed,
      units,
      shown: applyAll(type, agreed, units),
      confirmed,
      durable: whole(root.durable, 'durable'),
      seq: whole(root.seq, 'seq'),
    }
    const undo = { done: root.undo.map(json), undone: root.redo.map(json) }
    const right = root.right === 'read' ? 'read' : 'write'
    return { session, undo, right, cells: [...cells.keys()].map(key => whole(Number(key.slice(cellPrefix(doc).length)), 'cell')) }
  })

const positionOf = ({ epoch, version, chain }: Position): Position => ({
  epoch: epochOf(epoch),
  version: whole(version, 'version'),
  chain: chainOf(chain),
})

const doubtFromJson = <S, O>(type: DocumentType<S, O>, json: Json): SessionDraft<unknown, O> => {
  const [snapshot, op] = json as readonly [Json, Json]
  const before = type.snapshotFromJson(snapshot)
  return { cause: 'unknowable', refusal: null, op: type.opFromJson(op, type.size(before)), before }
}

/** Records come from a disk that anybody may have written to: whatever goes wrong with them, they are damaged. */
const soundly = <T>(read: () => T): T => {
  try {
    return read()
  } catch (error) {
    throw error instanceof Damaged ? error : new Damaged(String(error))
  }
}

// A pen: the key of one author, in the box that holds everything written with it that may not be safe yet.
// Invariant: under one key writes only who holds its box and knows all that may have been sent under it. So a pen is taken up again only
// where every record in its box is sound; what is in other boxes is brought home under its own key, and nothing new is written with that.
//
// Every tab or process is an author of its own, with a box of its own. When it ends, however it ends, its box falls free, and the next
// one to open takes it up and goes on as the same author: a page opened again is the page that was closed. More boxes than pages are
// brought home by whoever has a line (errands.ts). Tabs never share a queue, so nothing of one can be sent, doubled or lost by another.

import type { DocumentType } from '../ot/type.ts'
import { keyOf } from '../protocol/fields.ts'
import type { ClientKey, DocId, Seq } from '../protocol/ids.ts'
import { type DraftJson, keepDraft, readDrafts } from './drafts.ts'
import type { Place } from './keeper.ts'
import {
  cellPrefix,
  Damaged,
  docOfRootKey,
  draftPrefix,
  type Restored,
  readRecord,
  readRoot,
  rootKey,
  rootPrefix,
  Scribe,
  schema,
  soundKey,
  soundPrefix,
} from './record.ts'
import { openSession } from './session.ts'
import type { Box, Changes, ClientStorage, Records } from './storage.ts'

/** Documents kept in a box that wait for nothing; the one opened longest ago goes first. Each costs its text. */
const documentsKept = 50

const keyRecord = 'key'
const asidePrefix = 'aside/'

/** One document in a box, as far as its root tells. */
interface Entry {
  readonly used: number
  readonly type: string
  /** Edits of mine that are not known to be safe. */
  readonly unsent: boolean
  readonly sound: boolean
  readonly seq: Seq
}

/** What a box holds. */
export interface Inventory {
  readonly key: ClientKey
  readonly entries: ReadonlyMap<DocId, Entry>
  readonly drafts: number
  /** Roots that cannot be read. */
  readonly damaged: readonly string[]
}

export interface Opened<S, O> {
  /** Null: nothing is known of the document. */
  readonly restored: Restored<S, O> | null
  readonly place: Place
  /** The last number given to an edit of it. */
  readonly seq: Seq
}

/** The types of documents that the client knows, by name. */
export type Types = ReadonlyMap<string, DocumentType<unknown, unknown>>

/** Told what has been found unreadable and set aside. */
export type Tell = (what: string, error: Damaged) => void

/** What is in a box; null when it is no pen, or one of a later age, which is left alone. */
export const inventory = async (storage: ClientStorage, box: string): Promise<Inventory | null> => {
  const key = (await storage.read(box, keyRecord)).get(keyRecord)
  if (key === undefined) return null
  const [roots, marks, drafts] = await Promise.all([
    storage.read(box, rootPrefix),
    storage.read(box, soundPrefix),
    storage.read(box, draftPrefix),
  ])
  const entries = new Map<DocId, Entry>()
  const damaged: string[] = []
  for (const [name, text] of roots) {
    try {
      const doc = docOfRootKey(name) as DocId
      const root = readRoot(text)
      if (root.schema > schema) return null
      entries.set(doc, { ...root, sound: marks.has(soundKey(doc)) })
    } catch (error) {
      if (!(error instanceof Damaged || error instanceof URIError)) throw error
      damaged.push(name)
    }
  }
  return { key: keyOf(key), entries, drafts: drafts.size, damaged }
}

/** What one pen knows of a document without what was written with it, for another pen to begin with. */
const textOf = <S, O>({ session, right }: Restored<S, O>): Restored<S, O> => {
  const { type, doc, position, agreed } = session
  return {
    session: { ...openSession(type, doc), position, agreed, shown: agreed },
    undo: { done: [], undone: [] },
    right,
    cells: [],
  }
}

/** Whether one may write on with this pen. */
const usable = ({ entries, damaged }: Inventory): boolean =>
  damaged.length === 0 && [...entries.values()].every(({ sound }) => sound)

/** Milliseconds to wait for a pen with unsent edits of a document that is opened: a page reloaded may be there before the old one is gone. */
const adoptWithin = 2_000

/** How much it is worth that it holds unsent edits of a document that is opened. */
const missed = 8

/** How much a writer who opens these documents would miss it, were it left lying. */
const worth = ({ entries, drafts }: Inventory, wanted: readonly DocId[]): number => {
  const all = [...entries.values()]
  const mine = wanted.flatMap(doc => entries.get(doc) ?? [])
  return (
    missed * Number(mine.some(({ unsent }) => unsent)) +
    4 * Number(all.some(({ unsent }) => unsent)) +
    2 * Number(mine.length > 0) +
    Number(all.length + drafts > 0)
  )
}

/** Takes up the free pen that would be missed most by whoever opens `wanted`; a new one with `key` where none is free. */
export const takePen = async (
  storage: ClientStorage,
  wanted: () => readonly DocId[],
  fresh: { readonly key: ClientKey; readonly box: string },
  tell: Tell,
): Promise<Pen> => {
  const found: { readonly box: string; readonly value: number }[] = []
  for (const box of await storage.boxes()) {
    const there = await inventory(storage, box).catch(() => null) // a box that cannot be read is as good as none
    if (there !== null && usable(there)) found.push({ box, value: worth(there, wanted()) })
  }
  found.sort((a, b) => b.value - a.value)
  for (const [i, { box, value }] of found.entries()) {
    const held = await storage.hold(box, i === 0 && value >= missed ? adoptWithin : 0)
    if (held === null) continue
    const there = await inventory(storage, box) // now that nobody else writes to it
    if (there !== null && usable(there)) return Pen.open(storage, held, there, tell)
    await held.letGo(false)
  }
  const held = await storage.hold(fresh.box)
  if (held === null) throw new Error('the new box is held by somebody else')
  await held.write([[keyRecord, fresh.key]])
  return Pen.open(storage, held, { key: fresh.key, entries: new Map(), drafts: 0, damaged: [] }, tell)
}

export class Pen {
  readonly key: ClientKey
  readonly drafts: readonly DraftJson[]
  private readonly storage: ClientStorage
  private readonly box: Box
  private readonly tell: Tell
  private readonly entries: Map<DocId, Entry>
  private opened: number
  /** Documents that are open. */
  private readonly inUse = new Set<DocId>()
  /** Whatever takes documents away comes one after the other, and never while one of them is being opened. Resolves when all is done. */
  turn: Promise<void> = Promise.resolve()

  private constructor(storage: ClientStorage, box: Box, { key, entries }: Inventory, drafts: readonly DraftJson[], tell: Tell) {
    this.key = key
    this.storage = storage
    this.box = box
    this.entries = new Map(entries)
    this.opened = Math.max(0, ...[...entries.values()].map(({ used }) => used))
    this.drafts = drafts
    this.tell = tell
  }

  static async open(storage: ClientStorage, box: Box, there: Inventory, tell: Tell): Promise<Pen> {
    const aside: [string, Damaged][] = []
    const drafts = readDrafts(await storage.read(box.name, draftPrefix), (key, error) => aside.push([key, error]))
    const pen = new Pen(storage, box, there, drafts, tell)
    for (const [key, error] of aside) await pen.setAside(await storage.read(box.name, key), key, error)
    for (const name of there.damaged) {
      await pen.setAside(await storage.read(box.name, name), name, new Damaged('the root of a record cannot be read'))
    }
    await pen.tidy()
    return pen
  }

  get name(): string {
    return this.box.name
  }

  /** Documents with edits that are not known to be safe, and their types. */
  get unsent(): (readonly [doc: DocId, type: string])[] {
    return [...this.entries].flatMap(([doc, { unsent, type }]) => (unsent ? [[doc, type] as const] : []))
  }

  get documents(): readonly DocId[] {
    return [...this.entries.keys()]
  }

  /** Nothing in it would be missed. */
  async isEmpty(): Promise<boolean> {
    await this.turn
    const records = await this.storage.read(this.name, '')
    return [...records.keys()].every(key => key === keyRecord)
  }

  write(changes: Changes): Promise<void> {
    return this.box.write(changes)
  }

  /** What is known of a document: what this pen has of it, else the text that any other box has. */
  async open<S, O>(type: DocumentType<S, O>, doc: DocId): Promise<Opened<S, O>> {
    const used = ++this.opened
    this.inUse.add(doc)
    await this.turn
    const known = this.entries.get(doc)
    const text = (await this.storage.read(this.name, rootKey(doc))).get(rootKey(doc))
    const cells = await this.storage.read(this.name, cellPrefix(doc))
    this.entries.set(doc, { unsent: false, sound: true, seq: 0, ...known, used, type: type.name })
    if (text === undefined) {
      return { restored: await this.elsewhere(type, doc), place: { used, cells: [], sound: null }, seq: 0 }
    }
    const { seq } = readRoot(text)
    try {
      const restored = readRecord(type, doc, text, cells)
      return { restored, place: { used, cells: restored.cells, sound: known?.sound ?? true }, seq }
    } catch (error) {
      if (!(error instanceof Damaged)) throw error
      await this.setAside(new Map([[rootKey(doc), text], ...cells]), rootKey(doc), error)
      return { restored: null, place: { used, cells: [], sound: null }, seq }
    }
  }

  /** The last number that an edit of a document in the box may have. */
  seqOf(doc: DocId): Seq | undefined {
    return this.entries.get(doc)?.seq
  }

  /**
   * How a document stands that has just been closed. Given its drafts, it is no longer to be seen: they may be the only copy of what was
   * unsent, so its text goes when they are written.
   */
  closed(doc: DocId, seq: Seq, unsent: boolean, drafts: readonly DraftJson[] | null): Promise<void> {
    this.inUse.delete(doc)
    const known = this.entries.get(doc)
    if (known !== undefined) this.entries.set(doc, { ...known, seq, unsent })
    return this.inTurn(async () => {
      if (drafts === null) return this.tidy()
      await this.keepDrafts(drafts)
      await this.remove(doc)
    })
  }

  /** Removes a document from the box, unless it is open. */
  forget(doc: DocId): Promise<void> {
    return this.inTurn(() => this.remove(doc))
  }

  private inTurn(act: () => Promise<void>): Promise<void> {
    const done = this.turn.then(act)
    this.turn = done.catch(() => {}) // whoever asked for it is told
    return done
  }

  private async remove(doc: DocId): Promise<void> {
    if (this.inUse.has(doc)) return
    this.entries.delete(doc)
    const cells = await this.storage.read(this.name, cellPrefix(doc))
    await this.write([rootKey(doc), soundKey(doc), ...cells.keys()].map(key => [key, null]))
  }

  /** Has the text of a document that another pen has of it, where it has none of its own. */
  async copy(doc: DocId, from: Pen, types: Types): Promise<void> {
    const entry = from.entries.get(doc)
    const type = entry && types.get(entry.type)
    if (type === undefined || this.entries.has(doc)) return
    const { restored } = await from.open(type, doc)
    if (restored === null || this.entries.has(doc)) return
    const used = ++this.opened
    this.entries.set(doc, { used, type: type.name, unsent: false, sound: true, seq: 0 })
    await this.write([...new Scribe(type, doc, used).write(textOf(restored)), [soundKey(doc), '1']])
  }

  /** Records that have been set aside. */
  aside(): Promise<Records> {
    return this.storage.read(this.name, asidePrefix)
  }

  keepDrafts(drafts: readonly DraftJson[]): Promise<void> {
    return this.write(drafts.flatMap(keepDraft))
  }

  letGo(emptied: boolean): Promise<void> {
    return this.box.letGo(emptied)
  }

  /** The text that another pen has of the document, without what was written with that one. */
  private async elsewhere<S, O>(type: DocumentType<S, O>, doc: DocId): Promise<Restored<S, O> | null> {
    let best: Restored<S, O> | null = null
    for (const box of await this.storage.boxes()) {
      if (box === this.name) continue
      try {
        const text = (await this.storage.read(box, rootKey(doc))).get(rootKey(doc))
        if (text === undefined || readRoot(text).schema > schema) continue
        const found = readRecord(type, doc, text, await this.storage.read(box, cellPrefix(doc)))
        const { position } = found.session
        if (position === null || position.version < (best?.session.position?.version ?? 0)) continue
        best = textOf(found)
      } catch (error) {
        // Its holder may have been writing between the two reads; it is the holder's to set aside what is damaged.
        if (!(error instanceof Damaged)) throw error
      }
    }
    return best
  }

  /** Keeps records that cannot be read where they harm nobody. */
  private async setAside(records: Records, name: string, error: Damaged): Promise<void> {
    await this.write([...records].flatMap(([key, text]) => [[asidePrefix + key, text] as const, [key, null] as const]))
    this.tell(name, error)
  }

  private async tidy(): Promise<void> {
    const idle = [...this.entries].filter(([doc, { unsent }]) => !unsent && !this.inUse.has(doc))
    idle.sort(([, a], [, b]) => b.used - a.used)
    for (const [doc] of idle.slice(documentsKept)) await this.remove(doc)
  }
}

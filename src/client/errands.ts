// Brings home what pens that nobody holds any more have left, one pen after the other.
// Invariant: an edit is sent by whoever holds the box that it is in, under the key that is in it; a box goes only when nothing is left
// in it that its writer could miss.

import type { DocId } from '../protocol/ids.ts'
import { type DraftJson, dropDraft, readDrafts } from './drafts.ts'
import { inventory, Pen, type Tell, type Types } from './pen.ts'
import { draftPrefix } from './record.ts'
import type { ClientStorage } from './storage.ts'

export interface Errands {
  readonly storage: ClientStorage
  /** The pen that I write with. */
  readonly own: Pen
  readonly types: Types
  readonly tell: Tell
  /** A box could not be brought home; the others are, and this one is tried again with the next errands. */
  failed(box: string, error: unknown): void
  /**
   * Sends what a pen holds; resolves when that is safe or has been handed back, or when it has been called off. The drafts are those
   * handed back, which a full disk may not have in the pen's box.
   */
  send(pen: Pen): Promise<readonly DraftJson[]>
  /** Documents that the user may no longer read: their text is not kept. */
  readonly forbidden: ReadonlySet<DocId>
  /** These drafts are in my own box now. */
  found(drafts: readonly DraftJson[]): void
  calledOff(): boolean
}

export const runErrands = async (errands: Errands): Promise<void> => {
  const { storage, own, calledOff } = errands
  for (const name of await storage.boxes()) {
    if (calledOff()) return
    if (name === own.name) continue
    try {
      await visit(errands, name)
    } catch (error) {
      errands.failed(name, error)
    }
  }
}

const visit = async (errands: Errands, name: string): Promise<void> => {
  const { storage, tell } = errands
  const box = await storage.hold(name)
  if (box === null) return
  let emptied = false
  try {
    const there = await inventory(storage, name)
    if (there !== null) emptied = await bringHome(errands, await Pen.open(storage, box, there, tell))
  } finally {
    await box.letGo(emptied)
  }
}

/** Whether nothing is left in the box. */
const bringHome = async ({ storage, own, types, send, forbidden, found, calledOff }: Errands, pen: Pen): Promise<boolean> => {
  const handedBack = await send(pen)
  await pen.turn
  // Written to mine before it leaves the other: should this page end in between, there are two of them, and they have one name.
  const drafts = [...handedBack, ...readDrafts(await storage.read(pen.name, draftPrefix), () => {})] // some twice: they have names
  await own.keepDrafts(drafts)
  found(drafts)
  await pen.write(drafts.flatMap(dropDraft))
  const unsent = new Set(pen.unsent.map(([doc]) => doc))
  for (const doc of pen.documents) if (forbidden.has(doc) && !unsent.has(doc)) await pen.forget(doc)
  if (calledOff() || unsent.size > 0) return false
  for (const doc of pen.documents) await own.copy(doc, pen, types)
  await own.write([...(await pen.aside())])
  return true
}

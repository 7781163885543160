// How a document is deleted: whoever has it open is put out first, so that nothing unsent goes with it.
// Invariant: nothing is removed before every node has had the time in which it promises to heed a revocation.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../engine/ports.ts'
import type { DocId } from '../protocol/ids.ts'
import type { Revocations } from './revocations.ts'

export interface DeletionParts {
  readonly store: Store
  readonly revocations: Revocations
}

const keptOut = 2_592_000_000 // ms: thirty days, in which most who were away come back and get their unsent text as a draft
const heeding = { alone: 250, shared: 2_500 } // ms until nobody is in it: two seconds are promised, on other nodes

/**
 * Deletes a document for good. For `lasts` ms nobody may open it: clients with unsent text get that back as a draft. False: nothing was
 * in it. @throws when the store is away; what has been done by then need not be undone, and the whole may be asked for again
 */
export const deleteDocument = async ({ store, revocations }: DeletionParts, doc: DocId, lasts = keptOut): Promise<boolean> => {
  await revocations.revoke({ document: doc, leaves: 'none', lasts })
  await sleep(store.shared ? heeding.shared : heeding.alone) // a clock's timer would not keep a command alive
  return store.log.remove(doc)
}

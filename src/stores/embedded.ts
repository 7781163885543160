// The store of a server that stands alone: an LMDB database and its journal in a directory of its own.
// Invariant: the types of this face name nothing of LMDB's, which an application's compiler need not like.

import type { Store } from '../engine/ports.ts'
import { openDatabase } from './embedded-database.ts'
import { embeddedOver } from './embedded-store.ts'

export interface EmbeddedOptions {
  /** The directory that holds the data; made when missing. One process at a time: a second one is refused. */
  readonly path: string
}

export interface EmbeddedStore extends Store {
  /** Rows of entries and checkpoints read since the start. Opening a document reads its checkpoint and what came after, whatever its age. */
  rowsRead(): number
  /** Copies all that has been written by now into a new directory, which another server can be started on, while this one goes on. */
  backup(directory: string): Promise<void>
}

/** An embedded store. It opens in the background; `ready()`, and every call, rejects when it could not. */
export const embeddedStore = ({ path }: EmbeddedOptions): EmbeddedStore => embeddedOver(path, openDatabase)

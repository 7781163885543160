// What the engine tells of itself, for logs and metrics: facts, one a line; nobody's text is in them.
// Invariant: telling changes nothing; the engine works the same when nobody listens.

import type { ErrorCode } from '../protocol/errors.ts'
import type { AuthorId, DocId, Version } from '../protocol/ids.ts'

export type EngineEvent =
  | { readonly kind: 'opened'; readonly doc: DocId; readonly version: Version; readonly replayed: number }
  | { readonly kind: 'evicted'; readonly doc: DocId; readonly version: Version }
  | { readonly kind: 'appended'; readonly doc: DocId; readonly entries: number; readonly bytes: number; readonly ms: number }
  | { readonly kind: 'delivered'; readonly doc: DocId; readonly commits: number; readonly readers: number }
  | {
      readonly kind: 'checkpointed'
      readonly doc: DocId
      readonly version: Version
      readonly horizon: Version
      readonly bytes: number
    }
  | { readonly kind: 'gap'; readonly doc: DocId; readonly have: Version; readonly got: Version }
  | { readonly kind: 'resynced'; readonly doc: DocId; readonly reason: string; readonly reoffered: number }
  /** A client's text is not the one that this node has. */
  | { readonly kind: 'diverged'; readonly doc: DocId; readonly author: AuthorId; readonly version: Version }
  /**
   * A document is not what it was: in a checkpoint (the store has changed it) or in this node's memory. `mended`: it was made anew from
   * the log; otherwise it is served as it is, since nothing tells what it was.
   */
  | {
      readonly kind: 'damaged'
      readonly doc: DocId
      readonly where: 'checkpoint' | 'memory'
      readonly version: Version
      readonly mended: boolean
    }
  | { readonly kind: 'store-failed'; readonly doc: DocId; readonly call: string; readonly error: unknown }
  | {
      readonly kind: 'refused'
      readonly doc: DocId | null
      readonly author: AuthorId
      readonly code: ErrorCode
      readonly detail: string | null
    }

export type Observe = (event: EngineEvent) => void

// What the engine tells of itself, for logs and metrics: facts, one a line; nobody's text is in them.
// Invariant: telling changes nothing; the engine works the same when nobody listens.

import type { ErrorCode } from '../protocol/errors.ts'
import type { AuthorId, DocId, Seq, Version } from '../protocol/ids.ts'

/** A client: the author, the user as whom it came, and the name of its line. */
interface Who {
  readonly author: AuthorId
  readonly user: string
  readonly connection: string
}

export type EngineEvent =
  | { readonly kind: 'opened'; readonly doc: DocId; readonly version: Version; readonly replayed: number }
  | { readonly kind: 'evicted'; readonly doc: DocId; readonly version: Version }
  /** A client is in a document. `content`: in which form it got what it lacked; `ms`: from its message on. */
  | (Who & {
      readonly kind: 'joined'
      readonly doc: DocId
      readonly content: 'commits' | 'composed' | 'snapshot'
      readonly version: Version
      readonly ms: number
    })
  /** A client is in it no more. `code`: why it was put out; null: it went. */
  | (Who & { readonly kind: 'left'; readonly doc: DocId; readonly code: ErrorCode | null })
  | { readonly kind: 'appended'; readonly doc: DocId; readonly entries: number; readonly bytes: number; readonly ms: number }
  /** An edit that came to this node has its version. `ms`: since it came. */
  | (Who & { readonly kind: 'committed'; readonly doc: DocId; readonly seq: Seq; readonly version: Version; readonly ms: number })
  /** An edit that came to another node is known here. `ms`: since it came there, by the two nodes' clocks. */
  | {
      readonly kind: 'heard'
      readonly doc: DocId
      readonly author: AuthorId
      readonly seq: Seq
      readonly version: Version
      readonly ms: number
    }
  /** What was committed or heard has been written to everybody who keeps up. `ms`: how long that took. */
  | {
      readonly kind: 'delivered'
      readonly doc: DocId
      /** Of the last of them. */
      readonly version: Version
      readonly commits: number
      readonly readers: number
      readonly behind: number
      readonly ms: number
    }
  /** A document is full of writers, or is so no longer; or those who write are to send their edits less often, or as they please again. */
  | {
      readonly kind: 'crowded'
      readonly doc: DocId
      /** Who write, and who would and have no place. */
      readonly writers: number
      readonly waiting: number
      readonly full: boolean
      /** Milliseconds that each of them leaves between two edits. */
      readonly pace: number
    }
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
  | (Who & { readonly kind: 'diverged'; readonly doc: DocId; readonly version: Version })
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
  | (Who & {
      readonly kind: 'refused'
      readonly doc: DocId | null
      /** The submission that was refused; null: something else was. */
      readonly seq: Seq | null
      readonly code: ErrorCode
      readonly detail: string | null
    })

export type Observe = (event: EngineEvent) => void

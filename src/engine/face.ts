// What the engine offers and what it is given: the types between it, the documents inside it and the server around it.
// Invariant: types only; whoever reads this knows the engine's whole face.

import type { AnyDocumentType, Json } from '../ot/type.ts'
import type { Refusal } from '../protocol/errors.ts'
import type { AuthorId, DocId, Epoch, Seq, Version } from '../protocol/ids.ts'
import type { Commits, DocumentRequest, PeerEntry, Right, ServerMessage, User } from '../protocol/messages.ts'
import type { Load } from './cadence.ts'
import type { Observe } from './events.ts'
import type { Limits } from './limits.ts'
import type { Clock, Store } from './ports.ts'
import type { Soon } from './soon.ts'

/** One client's end of the line, opaque to the engine: the gateway made it and knows how to write to it. */
export interface Outlet {
  /** What logs call it; nothing that lets anybody in. */
  readonly name: string
  /** False once the client is gone; the engine then writes no more to it. */
  readonly open: boolean
  /** True while so much waits for the client that what need not arrive is better left out. */
  readonly behind: boolean
}

export interface EngineOptions {
  readonly store: Store
  readonly clock: Clock
  /** A fresh random string of 16 base64url characters. */
  readonly randomId: () => string
  readonly types: readonly AnyDocumentType[]
  readonly limits: Limits
  /** What the client behind an outlet may do in a document now. May be slow; a rejection counts as `unavailable`. */
  readonly authorize: (user: User, doc: DocId, outlet: Outlet) => Soon<Right>
  /**
   * Sends one message to many: encode once. Called in order; for one outlet it must deliver in order. The same array means the same
   * readers; another one with the same in it is as good, but costs them a few bytes. Where there are too many to be
   * written to at one go, it answers with the milliseconds that it will have taken, once it has been written to all.
   */
  readonly deliver: (outlets: readonly Outlet[], message: ServerMessage) => Promise<number> | undefined
  /** The same for the frames of commits by which those who keep up are told. Without it, they go as the rest does. */
  readonly deliverCommits?: (outlets: readonly Outlet[], message: Commits) => Promise<number> | undefined
  /** Has what is delivered meanwhile leave each outlet in one go. Without it, each message leaves by itself. */
  readonly together?: (say: () => void) => void
  /** How busy the process has been of late. Without it, it never counts as busy. */
  readonly load?: () => Load
  /** Takes the milliseconds of writing that were spared by putting several commits into one frame. */
  readonly spared?: (ms: number) => void
  readonly observe: Observe
}

/** One client's conversation. */
export interface Connection {
  receive(message: DocumentRequest): void
  /** Asks `authorize` again, for the documents joined or asked for, or for that one; what the answer changes happens and is told. */
  recheck(doc: DocId | null): void
  /** The same user came with another token: what others see of him may have changed, and so may his rights. */
  renew(user: User): void
  /** The documents that it is in, with what the client may do there; null: that is not known. */
  readonly documents: readonly { readonly id: DocId; readonly right: Right | null }[]
  /** The line is gone: leaves every document. */
  close(): void
}

/** A document open on this node, for whoever looks on. */
export interface OpenDocument {
  readonly id: DocId
  readonly version: Version
  readonly durable: Version
  /** Connections of this node that are in it. */
  readonly members: number
  /** Commits since it was opened here, whoever wrote them; */
  readonly commits: number
  /** those of a second, over the last ten or so; */
  readonly commitsPerSecond: number
  /** and how many that were with each reader of this node counted by itself: what the document costs. */
  readonly deliveriesPerSecond: number
}

export interface Engine {
  connect(who: { readonly author: AuthorId; readonly user: User }, outlet: Outlet): Connection
  /** A document as it is now; null when nobody has ever written to it. */
  read(
    doc: DocId,
  ): Promise<{ readonly epoch: Epoch; readonly version: Version; readonly value: Json; readonly type: string } | null>
  /** Commits in (after, after + limit], or the last `-after` of them; a refusal when they are no longer kept. */
  commits(doc: DocId, after: Version, limit: number): Promise<CommitPage | Refusal>
  /** Who is in a document, on all nodes: how many, and up to `limit` of them. */
  people(doc: DocId, limit: number): Promise<{ readonly people: number; readonly peers: readonly PeerEntry[] }>
  /** The documents open here, up to `limit`, the costliest first. */
  busiest(limit: number): readonly OpenDocument[]
  /** Tries out in a document of its own whether edits are taken, ordered, announced, heard and made durable. Never rejects. */
  tryOut(): Promise<Song>
  /** How much is in memory now; and how often, since the start, a client has found that its text was not the server's. */
  readonly counts: {
    readonly documents: number
    readonly connections: number
    readonly joined: number
    readonly diverged: number
    /** Members of documents who do not read as fast as commits come. */
    readonly lagging: number
    /** Edits that have come and have no version yet. */
    readonly waiting: number
    /** Documents with as many writers as they take, and those whose writers are to send their edits less often. */
    readonly full: number
    readonly paced: number
    /** The longest that commits of a document are gathered for a frame now, in milliseconds; 0: every frame goes at once. */
    readonly interval: number
    /** When the oldest edit came that has a version and is not durable yet, in milliseconds since 1970; null: all are durable. */
    readonly undurableSince: number | null
  }
  /** Stops: nothing new is accepted (`draining`), what is under way is finished and made durable. */
  close(): Promise<void>
}

/**
 * In this order:
 *
 * - `append`: the log has taken an entry and given it a version.
 * - `announcement`: the store's feed has brought it to this node.
 * - `hearing`: the document that is open here has made a commit of it. It was not offered through that document, so it came like another node's.
 * - `sequence`: an edit offered to the document itself has become a commit.
 * - `durability`: all of it counts as durable.
 */
export type Step = 'append' | 'announcement' | 'hearing' | 'sequence' | 'durability'

/** How one try went. */
export interface Song {
  /** Milliseconds for which each step that came true was waited for. */
  readonly took: { readonly [step in Step]?: number }
  /** The first step that did not, and why. */
  readonly failed: {
    readonly step: Step
    readonly why: string
    /** Where the store has documents on several servers: the first on which it failed, on how many, and how many there are. */
    readonly on?: { readonly server: string; readonly failed: number; readonly of: number }
  } | null
}

export interface CommitPage {
  readonly epoch: Epoch
  readonly version: Version
  readonly commits: readonly {
    readonly version: Version
    readonly author: AuthorId
    readonly seq: Seq
    readonly user: string
    /** Milliseconds since 1970 on the node that took it. */
    readonly time: number
    /** The op that changes version - 1 into version. */
    readonly op: Json
  }[]
}

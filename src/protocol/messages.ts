// Every message that client and server exchange, as unions; the codec turns untrusted bytes into these or into a refusal.
// Invariant: a value of these types is well-formed. Whether an op fits its document is the engine's business (`op` is still JSON here).

import type { Json } from '../ot/type.ts'
import type { Refusal } from './errors.ts'
import type { AuthorId, ClientKey, DocId, Handle, PeerId, Position, PositionInEpoch, Seq, Version } from './ids.ts'

/** Rights in one document. */
export type Right = 'none' | 'read' | 'write'

/**
 * What a client may do in a document that it is in. `full`: it may write, but the document has as many writers as it takes: it reads for
 * now, keeps what it has typed, and is told when there is room.
 */
export type Role = 'read' | 'write' | 'full'

/** Who a person is, as the server vouches for it. */
export interface User {
  /** 1 to 128 characters. */
  readonly id: string
  /** For people to read; at most 128 characters. */
  readonly name?: string
  /** A CSS colour of the form #rrggbb. */
  readonly color?: string
}

/** A commit as clients see it: the op in the form in which it changes version n-1 into version n. */
export interface WireCommit {
  readonly author: AuthorId
  readonly seq: Seq
  readonly op: Json
}

/** A peer's presence state: an application's own JSON object; the editor binding keeps its selection under `cursor`. */
export type PresenceState = { readonly [key: string]: Json }

export interface PeerEntry {
  readonly peer: PeerId
  readonly user: User
  readonly author: AuthorId
  /** The version at which positions inside `state` were true. */
  readonly version: Version
  readonly state: PresenceState
}

// ---- on connecting (the payload of Socket.IO's CONNECT packet, and of its answer)

export interface Hello {
  /** The protocol versions that the client speaks, lowest and highest. */
  readonly protocol: readonly [min: number, max: number]
  readonly key: ClientKey
  readonly token?: string
  /** Each is read as a `join` once the hello is answered; at most `joinsAhead`. */
  readonly joins?: readonly unknown[]
}

export interface Welcome {
  readonly kind: 'welcome'
  readonly protocol: number
  readonly author: AuthorId
  readonly user: User
  /** Milliseconds from now for which the token is good; null: it has no end. The client brings another one before. */
  readonly expiresIn: number | null
  /** Bounds that a client must keep; it composes and splits so that it does. */
  readonly limits: ClientLimits
  readonly spread: Spread
}

/**
 * Milliseconds over which the clients of this node should come back if it went away now: they all lose their lines in one moment,
 * and only the server knows how many they are.
 */
export type Spread = number

export interface ClientLimits {
  readonly messageBytes: number
  readonly opComponents: number
  readonly documentLength: number
  readonly presenceBytes: number
  readonly signalBytes: number
}

// ---- client to server

export type ClientMessage = DocumentRequest | Authenticate | Probe

/** What concerns a document; the rest is between the client and the edge of the server. */
export type DocumentRequest = Join | Leave | Submit | Present | Signal

export interface Join {
  readonly kind: 'join'
  readonly doc: DocId
  /** Name of the document type; a new document is made with it, an existing one must have it. */
  readonly type: string
  /** Where the client stands; null: it has nothing and wants a snapshot. */
  readonly position: Position | null
  /** It had something, but not what a beat's hash said; then the position is null. */
  readonly diverged?: true
}

export interface Leave {
  readonly kind: 'leave'
  readonly handle: Handle
}

/** "Put op, made on the text at `position`, into the history, once." There is no answer but the commit itself, or a refusal. */
export interface Submit {
  readonly kind: 'submit'
  readonly handle: Handle
  readonly seq: Seq
  readonly position: PositionInEpoch
  readonly op: Json
}

export interface Present {
  readonly kind: 'present'
  readonly handle: Handle
  /** The version at which positions inside `state` were true. */
  readonly version: Version
  readonly state: PresenceState
}

/** Something said to everybody else in the document: it arrives at most once, and nothing of it is kept. */
export interface Signal {
  readonly kind: 'signal'
  readonly handle: Handle
  /** 1 to 64 bytes of UTF-8, no control characters. */
  readonly name: string
  readonly payload: Json
}

/** "Are you there?" The answer is `alive`. */
export interface Probe {
  readonly kind: 'probe'
}

/** Another token of the same user, for the line that is open. */
export interface Authenticate {
  readonly kind: 'authenticate'
  readonly token: string
}

// ---- server to client

export type ServerMessage =
  | Joined
  | Commits
  | Durable
  | Beat
  | Presence
  | Left
  | Refused
  | Signalled
  | RightNow
  | Authenticated
  | Alive

export interface Joined {
  readonly kind: 'joined'
  readonly doc: DocId
  readonly handle: Handle
  readonly right: Role
  readonly peer: PeerId
  /** How many are in the document, this one included. */
  readonly people: number
  /** The others: all of them in a small room, the active ones in a large one. */
  readonly peers: readonly PeerEntry[]
  readonly durable: Version
  readonly content: CatchUp | Composed | Snapshot
}

/** The commits that the client lacks: it stood in this history at the version `from`. */
export interface CatchUp {
  readonly kind: 'commits'
  readonly from: Version
  readonly commits: readonly WireCommit[]
  /** Where the client stands after them. */
  readonly position: Position
}

/** What the client lacks of a long history, in few ops. */
export interface Composed {
  readonly kind: 'composed'
  readonly from: Version
  readonly units: readonly ComposedUnit[]
  /** Where the client stands after them: `from` and all the commits in the units. */
  readonly position: Position
}

/**
 * Commits one after the other, composed. It counts as one step: who has edits pending transforms them over `op` as a whole, and the
 * edits submitted after it say the position behind it. An own commit of the receiver is a unit of its own (R9).
 */
export interface ComposedUnit {
  /** How many commits. */
  readonly commits: number
  /** The number of the one commit, where it is the receiver's; null for others'. */
  readonly seq: Seq | null
  readonly op: Json
}

/** The whole text, for a newcomer or for a client whose position this history does not know. */
export interface Snapshot {
  readonly kind: 'snapshot'
  readonly position: Position
  readonly value: Json
  /** The last edit of this very author that the snapshot holds, and the version as which it landed (R6); null: none is known. */
  readonly landed: { readonly seq: Seq; readonly version: Version } | null
  /** Authors whose last commit is at or below this version are forgotten (R7). */
  readonly pruned: Version
}

/** Commits in order: `commits[i]` makes version from + 1 + i. The one way in which anybody, the author too, learns of an edit. */
export interface Commits {
  readonly kind: 'commits'
  readonly handle: Handle
  readonly from: Version
  readonly commits: readonly WireCommit[]
  readonly position: PositionInEpoch
  readonly durable: Version
}

/** Everything up to `version` now holds at the durability that the store promises. */
export interface Durable {
  readonly kind: 'durable'
  readonly handle: Handle
  readonly version: Version
}

/** Where the node stands: betrays a lost last frame, and a text that has become another one. */
export interface Beat {
  readonly kind: 'beat'
  readonly handle: Handle
  readonly position: PositionInEpoch
  readonly durable: Version
  /** Of the document at that position, 16 hexadecimal digits; null for a type that has none. */
  readonly hash: string | null
}

export type PresenceChange = ({ readonly kind: 'here' } & PeerEntry) | { readonly kind: 'gone'; readonly peer: PeerId }

export interface Presence {
  readonly kind: 'presence'
  readonly handle: Handle
  /** How many are in the document, this client included. */
  readonly people: number
  /** Whether the changes name everybody who is shown: whoever is not among them is gone. */
  readonly whole: boolean
  readonly changes: readonly PresenceChange[]
}

/** What somebody said by `signal`; the server vouches for who it was. */
export interface Signalled {
  readonly kind: 'signalled'
  readonly handle: Handle
  readonly peer: PeerId
  readonly user: User
  readonly name: string
  readonly payload: Json
}

/** The server has closed the document for this client; the refusal says why and what to do. */
export interface Left {
  readonly kind: 'left'
  readonly handle: Handle
  readonly refusal: Refusal
}

/** An answer to one message that could not be served. Nothing else of the client's is affected. */
export interface Refused {
  readonly kind: 'refused'
  /** The document that it concerns, where there is one. */
  readonly doc: DocId | null
  readonly handle: Handle | null
  /** The submission that it concerns, where there is one. */
  readonly seq: Seq | null
  readonly refusal: Refusal
}

/** The answer to a probe; it comes unasked when the spread has grown since the client was last told. */
export interface Alive {
  readonly kind: 'alive'
  readonly spread: Spread
}

/** What the client may do in the document from now on, and how often. */
export interface RightNow {
  readonly kind: 'right'
  readonly handle: Handle
  readonly right: Role
  /** Milliseconds from one new edit's being sent to the next one's, and between two presence states; 0: as there is something to send. */
  readonly pace: number
}

/** The answer to `authenticate`: the new token is taken. */
export interface Authenticated {
  readonly kind: 'authenticated'
  readonly user: User
  /** As in `welcome`. */
  readonly expiresIn: number | null
}

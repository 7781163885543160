// What the engine needs of the world: a log, a presence board, a clock. Stores implement these; the laws are in inkwell/testing.
// Invariant: nothing here assumes that this node is the only one that writes, announces, trims or stands in front of the log.

import type { Json } from '../ot/type.ts'
import type { AuthorId, Chain, DocId, Epoch, PeerId, Position, Seq, Version } from '../protocol/ids.ts'
import type { PresenceState, User } from '../protocol/messages.ts'
import type { Soon } from './soon.ts'

// ---- documents of the house's own

/** Before the ids of documents that are no user's: a control character, which the protocol lets into no id. */
export const privateMark = '\u0001'

/** Whether a document is the house's own; listings of documents leave it out. */
export const isPrivate = (doc: DocId): boolean => doc.startsWith(privateMark)

// ---- the log

/** An edit on its way into the log. `body` is the engine's own (base, op, user, time); the store keeps it byte for byte. */
export interface NewEntry {
  readonly author: AuthorId
  readonly seq: Seq
  readonly body: string
}

/** An edit in the log. `chain` is the running hash up to and including it: `link(previous chain, entry)`, see stores/chain. */
export interface Entry extends NewEntry {
  readonly version: Version
  readonly chain: Chain
}

/** Texts as UTF-8, one behind the other, and where each ends. */
export interface Texts {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
  /** All of it is ASCII. */
  readonly isPlain: boolean
}

/** Entries in one piece: see engine/page. */
export interface Page {
  readonly versions: Float64Array
  readonly seqs: Float64Array
  /** Authors, and by its number in there that of each entry. */
  readonly authors: readonly AuthorId[]
  readonly whose: Uint32Array
  readonly chains: Texts
  readonly bodies: Texts
}

/**
 * Why the log did not accept a caller's position.
 * `epoch`: the log is another one. `behind`: the log is shorter than the position (its tail was lost).
 * `fork`: the chain at that version differs (R1). `horizon`: the position lies below what is kept.
 */
export type Refusal = 'epoch' | 'behind' | 'fork' | 'horizon'

export type LogReply =
  | {
      readonly ok: true
      /** Every entry after the caller's head up to the log's head, the caller's own included, without a gap. */
      readonly entries: readonly Entry[]
      readonly durable: Version
      readonly horizon: Version
    }
  | { readonly ok: false; readonly reason: Refusal }

/**
 * A document's log as it was when somebody opened it. `tail` holds every entry after the checkpoint.
 * A document nobody has written to has version 0, the empty chain and no checkpoint; opening it writes nothing but its epoch.
 */
export interface Opened {
  readonly epoch: Epoch
  readonly checkpoint: Checkpoint | null
  readonly tail: readonly Entry[]
  readonly durable: Version
  readonly horizon: Version
  /** Whether somebody has removed what was there before: what another epoch had in it is then gone on purpose, and is not offered again. */
  readonly removed?: boolean
  /**
   * The store is not the one that this node has worked with: it was emptied, or is another one. What is not there may be somewhere else,
   * so only a node that holds a document from its beginning goes on with it.
   */
  readonly replaced?: boolean
}

/** A log without its entries. */
export interface About {
  readonly epoch: Epoch
  readonly version: Version
  readonly chain: Chain
  readonly durable: Version
  readonly horizon: Version
  /** Entries at and below it are gone; the chain there is kept. */
  readonly floor: { readonly version: Version; readonly chain: Chain }
  /** The version of the checkpoint; 0: there is none. */
  readonly checkpointed: Version
  /** Whether it is being brought here from elsewhere, and cannot be opened before all of it is there. */
  readonly planted: boolean
  /** Whether something of this id was removed before this log began. */
  readonly removed: boolean
}

/** Where a log begins that is brought from elsewhere. */
export interface Seed {
  readonly epoch: Epoch
  readonly floor: { readonly version: Version; readonly chain: Chain }
  /** Of each author the last edit at or below the floor. */
  readonly authors: readonly { readonly author: AuthorId; readonly seq: Seq; readonly version: Version }[]
}

/**
 * The state at a version, from which reading can start (R3–R7). `body` is the engine's own: the snapshot, the commits in
 * (horizon, version], the last edit of each author not pruned.
 */
export interface Checkpoint {
  readonly epoch: Epoch
  readonly version: Version
  readonly chain: Chain
  readonly horizon: Version
  /** Rows of the (author, seq) table whose version is at or below this are deleted with this checkpoint; never above horizon. */
  readonly pruned: Version
  readonly body: string
}

/** What the feed tells about a document. It may lose, repeat and delay; it does not corrupt. */
export type Announcement =
  | {
      readonly kind: 'entries'
      readonly epoch: Epoch
      /** The version and chain before the first entry. */
      readonly from: Version
      readonly chain: Chain
      readonly entries: readonly Entry[]
      readonly durable: Version
    }
  /** Everything up to `version` is durable. The chain there says of which history: a version alone would vouch for a lost one too (R1). */
  | { readonly kind: 'durable'; readonly epoch: Epoch; readonly version: Version; readonly chain: Chain }

/** What an entry's survival rests on once it counts as durable. */
export type Durability = 'memory' | 'disk' | 'replicated'

export interface Log {
  readonly durability: Durability

  open(doc: DocId): Promise<Opened>

  /**
   * In one step: check `at` against the log (epoch, head not ahead, not below the horizon, same chain), drop each entry whose seq is
   * at or below its author's last one (R13), give the rest the next versions, announce them. Never "stale, try again":
   * the reply brings what the caller missed. Versions are contiguous from 1.
   * @throws when the store cannot tell whether it happened; the caller then reads the log and offers again what is missing.
   */
  append(doc: DocId, at: Position, entries: readonly NewEntry[]): Promise<LogReply>

  /** Every entry after `at`. */
  read(doc: DocId, at: Position): Promise<LogReply>

  /** For people and tools: entries in (after, after + limit], whatever of them is kept. */
  entries(doc: DocId, after: Version, limit: number): Promise<readonly Entry[]>

  /** The same in one piece, where the store has a quicker way to that: for whoever goes through a long log. */
  page?(doc: DocId, after: Version, limit: number): Promise<Page>

  /** R3, first step. Raises the horizon to at least `horizon` and answers the log's version at that moment; null: another epoch. */
  raiseHorizon(doc: DocId, epoch: Epoch, horizon: Version): Promise<Version | null>

  /**
   * R3, second and third step: stores the checkpoint, then deletes entries at or below its horizon and authors' rows at or below its
   * prune mark. False, and nothing done, when the log does not hold its position, when the stored one is newer, when its
   * version is not durable or not above its horizon (R5), or when its horizon is above the log's.
   */
  checkpoint(doc: DocId, checkpoint: Checkpoint): Promise<boolean>

  /** Listens to one document's announcements. The listener is called in order for one log; resolves once nothing later can be missed silently. */
  subscribe(doc: DocId, listener: (announcement: Announcement) => void): Promise<() => void>

  /** Null: nobody has opened it, or it has been forgotten since. Does not open it. */
  about(doc: DocId): Promise<About | null>

  /**
   * Removes everything of a document, for good; false: nothing was in it. Whoever opens it from then on finds an empty log of another
   * epoch, which says that something was removed; whoever had it open hears that, or finds out by the epoch. Resolves when that is
   * durable. @throws when it is done, and nothing tells in time that it is durable
   */
  remove(doc: DocId): Promise<boolean>

  /**
   * Begins a log that is brought from elsewhere with the versions and chains that it has there: it takes appends from the floor on, and
   * `open` rejects until `settle`. Where one from this epoch and floor has been begun it goes on, with the authors added that it does not
   * know yet: the first try may have broken off. Null, and nothing done, when there is any other log that has something in it.
   */
  plant(doc: DocId, seed: Seed): Promise<About | null>

  /**
   * Ends what `plant` has begun: with a checkpoint, which a log from above version 0 needs, and without trimming anything. Whoever had
   * the document open hears of it. False, and nothing done, when the log is not that one, or does not hold the checkpoint's position.
   */
  settle(doc: DocId, epoch: Epoch, checkpoint: Checkpoint | null): Promise<boolean>

  /**
   * All that this node has held of a document, from its beginning on, is in the log again after the store was replaced. Other nodes that
   * have worked with the same store before may then open it (`replaced` is no more true of it). Without it they stay shut.
   */
  restored?(doc: DocId, epoch: Epoch): Promise<void>

  /** Ids of documents that are written to, or planted, in ascending order after `after`, at most `limit`; private ones are not among them. */
  documents(after: DocId | null, limit: number): Promise<readonly DocId[]>

  /** Flushes and lets go of everything. */
  close(): Promise<void>
}

// ---- presence

/** One connection's appearance in one document. */
export interface Appearance {
  readonly peer: PeerId
  readonly user: User
  readonly author: AuthorId
  readonly version: Version
  readonly state: PresenceState
}

export type PresenceNews =
  | { readonly kind: 'here'; readonly appearance: Appearance }
  | { readonly kind: 'gone'; readonly peer: PeerId }

/** Who is in which document, on all nodes. An entry lives no longer than the node that made it. */
export interface PresenceBoard {
  show(doc: DocId, appearance: Appearance): void
  remove(doc: DocId, peer: PeerId): void
  list(doc: DocId): Promise<readonly Appearance[]>
  /** News of every peer of the document, this node's own included. */
  subscribe(doc: DocId, listener: (news: readonly PresenceNews[]) => void): Promise<() => void>
}

// ---- what nodes tell each other

/** News from any node to all of them, this one included: kick, revoke, drain. At most once, in no order between nodes. */
export interface ControlChannel {
  publish(message: Json): void
  subscribe(listener: (message: Json) => void): Promise<() => void>
}

/** Something that every node has to heed until its time is over, also a node that starts later or did not hear of it at first. */
export interface Notice {
  /** A later notice with the same key takes its place. 1 to 1,024 characters. */
  readonly key: string
  readonly body: Json
  /** Milliseconds since 1970. */
  readonly until: number
}

/** What hangs on the wall for all nodes: few things, seldom changed, looked at often. */
export interface NoticeBoard {
  /** Resolves when whoever reads from now on, on any node, sees it. @throws {RangeError} when `noticesKept` others hang there at `now` */
  post(notice: Notice, now: number): Promise<void>
  /**
   * The notices whose time is not over at `now`, and a mark; null: nothing has been posted since the read that gave `mark`. Marks are
   * told apart by inequality alone: a board that was lost has another one.
   */
  read(mark: string | null, now: number): Promise<{ readonly mark: string; readonly notices: readonly Notice[] } | null>
}

/** Notices on one board: some megabytes in every node. */
export const noticesKept = 10_000

/** What an application says to everybody in a document. At most once; nothing of it is kept. */
export interface Signals {
  /** @throws {RangeError} when the payload is longer than `signalBytes` as JSON */
  send(doc: DocId, payload: Json): void
  subscribe(doc: DocId, listener: (payload: Json) => void): Promise<() => void>
}

/** Bytes of one signal's payload as JSON: what a page needs to say and who says it, not a file. */
export const signalBytes = 131_072

/**
 * The clients of each user on all nodes. A seat is held no longer than the node that holds it lives, so what a crash leaves behind frees
 * itself.
 */
export interface Seats {
  /**
   * Takes a seat for a client of this user, on this node. False, and none taken, when `most` other clients of the user have one, on
   * whatever nodes; a client with seats on several nodes counts once. Whoever has the seat already keeps it. Two who come for the last
   * one at the same moment may both go without. Rejects while the store is away: the seat is then taken all the same, and counts once the
   * store is back.
   */
  take(user: string, client: string, most: number): Soon<boolean>
  /** Gives back the seat that this node holds. */
  leave(user: string, client: string): void
}

/** What a store has to say about how it is set up. A `fault` keeps a server in production from starting. */
export interface Finding {
  readonly severity: 'warning' | 'fault'
  readonly sentence: string
  /** What to do about it. */
  readonly mend: string
}

/** A connection of a store to what it stands on. */
export interface StoreLine {
  readonly name: string
  readonly up: boolean
  /** How often it has been lost since the start. */
  readonly losses: number
}

/** A log, a presence board, a notice board, the seats and the channels between nodes behind one door. */
export interface Store {
  readonly log: Log
  readonly presence: PresenceBoard
  readonly control: ControlChannel
  readonly notices: NoticeBoard
  readonly signals: Signals
  readonly seats: Seats
  /** For people: `embedded:./inkwell-data`, `memory:`. */
  readonly name: string
  /** Whether other nodes may serve the same documents: clients of one that stops then have somewhere to go. */
  readonly shared: boolean
  /** Rejects with a reason when the store cannot serve now. */
  ready(): Promise<void>
  /** What is found in the settings of what the store stands on, as they are now; a store that stands on nothing of the kind has none. */
  findings?(): Promise<readonly Finding[]>
  /** The connections on which it stands, as they are now; a store without any has none to tell of. */
  lines?(): readonly StoreLine[]
  /**
   * Private documents that begin with this id, one on each server on which documents lie, and what that server is called. A store whose
   * documents all lie in one place has no such thing, and one that knows no servers now has none.
   */
  spread?(stem: DocId): readonly { readonly server: string; readonly doc: DocId }[]
  /** Milliseconds since 1970 by the clock of what the store stands on; a store on this machine has none of its own. */
  time?(): Promise<number>
  /** Copies all that has been written by now into a new directory on this machine; a store that is elsewhere has its own way. */
  backup?(directory: string): Promise<void>
  close(): Promise<void>
}

// ---- time

/** Time for the engine: milliseconds since 1970, and one-shot alarms. */
export interface Clock {
  now(): number
  /** Milliseconds, with fractions, of a clock that only goes on: for measuring. Without it `now` serves. */
  ticks?(): number
  /** Calls once after `ms`; returns how to call it off. */
  after(ms: number, call: () => void): () => void
}

// The names that both ends use for things: strings and numbers that cannot be confused with each other.
// Invariant: a branded value is made only by the codec or by the store that owns it, never from a string found lying about.

declare const brand: unique symbol
type Branded<T, Name extends string> = T & { readonly [brand]: Name }

/** Name of a document, chosen by the application. 1 to 256 UTF-8 bytes, well-formed, no control characters. */
export type DocId = Branded<string, 'DocId'>

/**
 * One writing client (a tab, a bot): 16 characters of base64url. It is a digest of the client's secret `ClientKey`,
 * made by the server, so nobody can write under the name of another.
 */
export type AuthorId = Branded<string, 'AuthorId'>

/** 22 characters of base64url (128 bits), random, kept by the client and its storage, told to the server only. */
export type ClientKey = Branded<string, 'ClientKey'>

/** The identity of a log. A log that was lost and begun anew has another epoch. 1 to 32 characters of [A-Za-z0-9_-]. */
export type Epoch = Branded<string, 'Epoch'>

/**
 * A running hash of the entries of a log up to a version: 16 hexadecimal digits, the first 64 bits of
 * SHA-1(previous chain + "|" + author + "|" + seq + "|" + body). It tells two histories with equal versions apart (R1).
 */
export type Chain = Branded<string, 'Chain'>

/** Number by which a node names an open document in messages: shorter than the id, the same for all of its connections. */
export type Handle = Branded<number, 'Handle'>

/** One connection's appearance in one document, as the others see it: assigned by the server. */
export type PeerId = Branded<string, 'PeerId'>

/** How many commits lie behind a text. */
export type Version = number

/** An author's edits are numbered 1, 2, 3 … */
export type Seq = number

/** A place in a history: the state after `version` commits of the log that `epoch` and `chain` name. */
export interface Position extends PositionInEpoch {
  readonly epoch: Epoch
}

/** The same for whoever is in a document: the epoch is the one that `joined` told, and with another one everybody joins again. */
export interface PositionInEpoch {
  readonly version: Version
  readonly chain: Chain
}

/** The chain before the first entry of every log. */
export const emptyChain = '0000000000000000' as Chain

export const samePosition = (a: Position, b: Position): boolean =>
  a.version === b.version && a.epoch === b.epoch && a.chain === b.chain

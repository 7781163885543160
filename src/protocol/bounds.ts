// How large a thing may be that comes from outside: limits with names and units, handed to every reader.
// Invariant: nothing is allocated in proportion to a number that a peer declares before that number is held against these.

export interface Bounds {
  /** Bytes of one frame (of the text of one packet, in the JSON form). */
  readonly messageBytes: number
  /** Components of an op that is an array. */
  readonly opComponents: number
  /** Bytes of a presence state in its shortest MessagePack form, whichever form it came in. */
  readonly presenceBytes: number
  /** Bytes of a signal's payload, counted in the same way. */
  readonly signalBytes: number
  /** Containers inside containers, in any JSON value. */
  readonly depth: number
  /**
   * Values, counted one by one, in any JSON value: an empty array is one byte on the wire and some thirty in memory. A value with a key
   * counts as `keyed`.
   */
  readonly values: number
  /** UTF-8 bytes of a token in Hello. */
  readonly tokenBytes: number
  /** Arguments of an application's event or acknowledgement: they end up as arguments of a function call, on the stack. */
  readonly args: number
  /** UTF-8 bytes of the name of an application's event. */
  readonly eventNameBytes: number
  /** UTF-8 bytes of a Socket.IO namespace. */
  readonly namespaceBytes: number
}

/** So many values cost as much as one with a key: a property with a name of its own takes a microsecond, whoever parses it. */
export const keyed = 8

/** Joins in a hello: so many, each as long as it may be, and a token are still a message that a server takes of a stranger. */
export const joinsAhead = 8

/** Values in a hello, counted as those of a message: twice what so many joins take. It is kept while it is asked who says it, and a thousand strangers may be. */
export const helloValues = 1_024

/** What a server accepts of a client. */
export const serverBounds: Bounds = {
  messageBytes: 1_048_576, // a pasted book; more than one submission at a time is never waiting in one frame
  opComponents: 65_536, // a reformatting of a large source file
  presenceBytes: 4_096, // a selection with a hundred ranges; every state goes to every peer
  signalBytes: 16_384, // what a page needs to say, the offer of a video call included; not a file
  depth: 32, // consumers recurse; no editor's op comes near it
  values: 65_536, // keeps a frame of empty arrays under a few MiB of memory, and one of 8,192 keys under ten milliseconds
  tokenBytes: 8_192, // a JWT with many groups; proxies cut headers off at the same size
  args: 16, // nobody passes more by hand
  eventNameBytes: 128, // names, not payloads
  namespaceBytes: 128, // names, not payloads
}

/** What a client accepts of its server: whole documents, and what a server with wider bounds let through. */
export const clientBounds: Bounds = {
  messageBytes: 268_435_456, // a snapshot of the longest string that engines can hold is not much longer
  opComponents: 4_000_000, // catch-up may carry an op that another server configuration allowed
  presenceBytes: 1_048_576, // the same
  signalBytes: 1_048_576, // the same
  depth: 128, // the same
  values: 32_000_000, // a snapshot of a document type that is not text
  tokenBytes: 8_192, // never sent to a client
  args: 16, // nobody passes more by hand
  eventNameBytes: 128, // names, not payloads
  namespaceBytes: 128, // names, not payloads
}

// The closed table of refusals: every way in which the server says no, and what the peer should do then.
// Invariant: nothing is refused with a code that is not a row here, and docs/PROTOCOL.md lists exactly these rows.

/** What the peer should do. `retry`: the same again later. `rejoin`: join the document again at its position. `stop`: do not repeat it. */
export type Advice = 'retry' | 'rejoin' | 'reload' | 'reauthenticate' | 'slow-down' | 'stop'

const rows = {
  // -- the connection
  'unsupported-protocol': ['reload', 'The client speaks no protocol version that this server accepts.'],
  unauthenticated: ['reauthenticate', 'The token is missing, expired, revoked or not valid.'],
  revoked: ['stop', 'The user has been put out.'],
  'too-many-connections': ['retry', 'The user has as many connections as one may have.'],
  'origin-refused': ['stop', 'Pages of this origin may not connect.'],
  malformed: ['stop', 'The message is not one of the protocol.'],
  'message-too-large': ['stop', 'The message is longer than the limit.'],
  // -- the document
  'bad-document-id': ['stop', 'The document id is empty, too long, ill-formed, or has control characters.'],
  'not-found': ['stop', 'There is nothing here: no such page, or a document that nobody has written to.'],
  'unknown-type': ['stop', 'The server has no document type of this name.'],
  'type-mismatch': ['stop', 'The document is of another type.'],
  forbidden: ['stop', 'The user has no right to do this in the document.'],
  'already-joined': ['stop', 'The connection has joined this document before.'],
  'not-joined': ['rejoin', 'The connection has not joined this document.'],
  superseded: ['stop', 'Another connection of the same client has taken the place of this one in the document.'],
  'too-many-documents': ['stop', 'The connection has joined as many documents as it may.'],
  // -- the submission
  'bad-op': ['stop', 'The op is not valid on the version on which it says it was made.'],
  'op-too-large': ['stop', 'The op has more components or text than the limit.'],
  'document-too-long': ['stop', 'The document would be longer than the limit.'],
  'bad-seq': ['stop', 'Another edit of this author has been committed under this number or a higher one.'],
  'unknown-position': ['rejoin', 'The position is not in the history that this node knows.'],
  'history-gone': ['rejoin', 'The position is older than the history that is kept.'],
  'too-many-writers': ['slow-down', 'As many write in the document as it takes; there will be room.'],
  'too-many-waiting': ['slow-down', 'More submissions of this connection wait than the limit.'],
  // -- presence and signals
  'presence-too-large': ['stop', 'The presence state is larger than the limit.'],
  'signal-too-large': ['stop', 'The payload of the signal is larger than the limit.'],
  // -- the server
  'slow-down': ['slow-down', 'Too much in too short a time.'],
  unavailable: ['retry', 'The store does not answer.'],
  draining: ['retry', 'The node is about to stop.'],
  internal: ['retry', 'The server made a mistake; it is in its log.'],
} as const satisfies Record<string, readonly [Advice, string]>

export type ErrorCode = keyof typeof rows

/** A row of the table as it is sent: `detail` names the offending value and its limit; `after` is a wait in milliseconds. */
export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
  readonly advice: Advice
  readonly detail?: string
  readonly after?: number
}

export const errorCodes = Object.keys(rows) as readonly ErrorCode[]

export const refusal = (code: ErrorCode, detail?: string, after?: number): Refusal => {
  const [advice, message] = rows[code]
  return { code, message, advice, ...(detail === undefined ? {} : { detail }), ...(after === undefined ? {} : { after }) }
}

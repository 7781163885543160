// The client's face: connect to a server, open documents, edit them.
// Invariant: nothing here needs more than a browser has.
export type { DocumentType } from '../ot/type.ts'
export type { Advice, ErrorCode } from '../protocol/errors.ts'
export type { AuthorId, ClientKey, DocId, PeerId } from '../protocol/ids.ts'
export type { PresenceState, User } from '../protocol/messages.ts'
export { type BrowserStorageOptions, browserStorage } from './browser.ts'
export { type Client, type ClientEvents, type ClientStatus, type ConnectOptions, connect } from './client.ts'
export type { Clock } from './clock.ts'
export type {
  Change,
  Divergence,
  Document,
  DocumentEvents,
  DocumentStatus,
  Draft,
  EditOptions,
  Presence,
  Progress,
  Signal,
  TextDocument,
} from './document.ts'
export type { DraftCause, DraftJson, DraftNote } from './drafts.ts'
export { InkwellError } from './errors.ts'
export { parser } from './parser.ts'
export type { Peer } from './peers.ts'
export type { Box, Changes, ClientStorage, OpenStorage, Records } from './storage.ts'
export type { Surroundings } from './surroundings.ts'
export type { Line, LineEvent, Transport } from './transport.ts'
export type { Range } from './undo.ts'

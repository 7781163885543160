// What the protocol offers to the rooms above it.
// Invariant: names are listed by hand; whatever is not here is the protocol's own business.

export { type Bounds, clientBounds, serverBounds } from './bounds.ts'
export { decodeClientMessage, decodeServerMessage, encodeClientFrame, encodeServerFrame, opcodes } from './codec.ts'
export { type Advice, type ErrorCode, errorCodes, type Refusal, refusal } from './errors.ts'
export type { Read, Unreadable } from './fields.ts'
export {
  type AuthorId,
  type Chain,
  type ClientKey,
  type DocId,
  type Epoch,
  emptyChain,
  type Handle,
  type PeerId,
  type Position,
  type Seq,
  samePosition,
  type Version,
} from './ids.ts'
export { jsonEvent, readClientMessage, readHello, readRefusal, readServerMessage } from './json.ts'
export type {
  Authenticate,
  Authenticated,
  Beat,
  CatchUp,
  ClientLimits,
  ClientMessage,
  Commits,
  Composed,
  ComposedUnit,
  Durable,
  Hello,
  Join,
  Joined,
  Leave,
  Left,
  PeerEntry,
  Presence,
  PresenceChange,
  PresenceState,
  Present,
  Refused,
  Right,
  RightNow,
  Role,
  ServerMessage,
  Signal,
  Signalled,
  Snapshot,
  Submit,
  User,
  Welcome,
  WireCommit,
} from './messages.ts'
export {
  createParser,
  type Decoder,
  type Encoder,
  type Packet,
  ParseError,
  type Parser,
  type ParserOptions,
  refusedOf,
} from './parser.ts'
export { unreachable } from './unreachable.ts'
export { negotiate, type ProtocolVersions, protocolVersions } from './version.ts'

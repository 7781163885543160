// The server's face: create a server, give it a store, say who may enter.
export { defaultLimits, type EngineEvent, type Limits } from '../engine/index.ts'
export type { Store } from '../engine/ports.ts'
export type { DocId } from '../protocol/ids.ts'
export type { Right, User } from '../protocol/messages.ts'
export type { ApplicationAdapter } from '../stores/adapter.ts'
export { embeddedStore } from '../stores/embedded.ts'
export { memoryStore } from '../stores/memory.ts'
export type { Middleware } from './entry.ts'
export type { Authenticate, Identity, Stranger } from './identity.ts'
export { type JwtOptions, jwt } from './jwt.ts'
export {
  type Authorize,
  ConfigurationError,
  defaultLineLimits,
  type LineLimits,
  type ServerLimits,
  type ServerOptions,
} from './options.ts'
export type { Documents } from './patterns.ts'
export type { Recheck, Revocation, Subject } from './revocations.ts'
export { createServer, type InkwellServer } from './server.ts'

// What an application may say about its server, and what holds when it says nothing.
// Invariant: all faults of a configuration are told at once, before anything is opened or listens.

import type { Server as HttpServer } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { z } from 'zod'
import { defaultLimits, type Limits } from '../engine/index.ts'
import { type Clock, type Store, signalBytes } from '../engine/ports.ts'
import { servedText } from '../ot/served.ts'
import type { AnyDocumentType } from '../ot/type.ts'
import type { DocId } from '../protocol/ids.ts'
import type { Right } from '../protocol/messages.ts'
import type { ApplicationAdapter } from '../stores/adapter.ts'
import { systemClock } from './clock.ts'
import type { Authenticate, Identity } from './identity.ts'
import { type Logger, type LogLevel, loggerOf, logLevels } from './log.ts'
import { type Origins, originFault } from './origins.ts'

/** Bounds of the server's edge; the engine's own are beside them. */
export interface LineLimits {
  /** Bytes that wait for one client before all that need not arrive passes it by; commits come to it in pieces of as much as it takes them. */
  readonly behindBytes: number
  /** Bytes that have to arrive at a client that is behind, on top of that, before its line is cut; it reads what it missed on coming back. */
  readonly waitingBytes: number
  /** Bytes that may wait for a client of the application's own namespaces before its line is cut. */
  readonly applicationBytes: number
  /** Milliseconds for which a client that is behind may take nothing at all before its line, or its answer over HTTP, is cut. */
  readonly stuckTime: number
  /** Clients of one user that may be connected at a time, on all nodes together. */
  readonly connectionsPerUser: number
  /** Lines of one address that have not said yet who they are. */
  readonly strangersPerAddress: number
  /** Handshakes a second from one address, or at once; whoever turns out to be a user gives his back. */
  readonly handshakesPerAddress: number
  /** Handshakes a second of one user with one node, or at once. */
  readonly handshakesPerUser: number
  /** Handshakes a second on one node, or at once. */
  readonly handshakesPerSecond: number
  /** Bytes of one message of somebody who has not said yet who he is; longer ones end the line. */
  readonly strangerBytes: number
  /** Messages a second from one line, or at once. Whoever sends more is told, then not shown, then refused, then cut. */
  readonly messagesPerLine: number
  /** Bytes a second from one line, or at once. */
  readonly bytesPerLine: number
  /** Messages a second from one user over all his lines to one node, or at once. */
  readonly messagesPerUser: number
  /** Bytes a second from one user over all his lines to one node, or at once. */
  readonly bytesPerUser: number
  /** Documents and pages of commits that one user may read over HTTP in a second, or at once; each 64 KiB of an answer counts as one more. */
  readonly readsPerUser: number
  /** The same of one address, for those who are nobody. */
  readonly readsPerAddress: number
  /** Bytes of answers over HTTP that one user, or the strangers of an address, may have on their way and still ask for another one. */
  readonly unreadBytes: number
  /** Messages that are none, after which a connection is closed. */
  readonly malformedMessages: number
  /** Milliseconds that a line outlives its token, so that the client can bring another one. */
  readonly tokenGrace: number
  /** Milliseconds for `authenticate` to answer, on a line or over HTTP; later counts as "try again later". */
  readonly authenticateTimeout: number
  /** Milliseconds for `authorize` to answer; later counts as "try again later". */
  readonly authorizeTimeout: number
  /** Milliseconds from opening a line to being welcome. */
  readonly connectTimeout: number
  /** Milliseconds between two pings of the server; */
  readonly pingInterval: number
  /** milliseconds to answer one. A dead line is noticed after both. */
  readonly pingTimeout: number
  /** Milliseconds that the store may be away before `/readyz` says 503. */
  readonly unreadyAfter: number
  /** Milliseconds from being told to stop until the store is let go, whatever clients do. */
  readonly stopWithin: number
  /** Milliseconds between two edits of the server's own, with which it tries itself out; 0: none. */
  readonly canaryEvery: number
  /** Milliseconds by which the clock of this node may differ from the store's before `/readyz` tells so. */
  readonly clockSkew: number
  /** Commits a second in one document, over ten seconds, from which on `/readyz` tells of it. */
  readonly hotCommits: number
}

export const defaultLineLimits: LineLimits = {
  behindBytes: 65_536, // some seconds of a slow line: what comes behind them would be late news
  waitingBytes: 196_608, // answers to a client that asks and does not read: with the former a quarter of a megabyte
  applicationBytes: 4_194_304, // four of the longest messages said in one moment, which wait for each other also where somebody reads
  stuckTime: 30_000, // a train in a tunnel
  connectionsPerUser: 5, // a laptop, a telephone and a few tabs
  strangersPerAddress: 1_000, // ten megabytes, seventy while all of them wait for authenticate with the largest hello; an office behind one address that comes back at once passes
  handshakesPerAddress: 500, // as many as a node is glad to welcome in all; those of users do not count
  handshakesPerUser: 50, // all his clients at once, ten times over
  handshakesPerSecond: 2_000, // four times what comes when clients keep to their spread
  strangerBytes: 16_384, // a token, twice over; a thousand who keep a message waiting for its end then hold no more than sixteen megabytes
  messagesPerLine: 500, // ten times what a person at an editor sends; a program composes what it types meanwhile
  bytesPerLine: 2_097_152, // two of the longest messages
  messagesPerUser: 1_000, // two lines at their limit
  bytesPerUser: 4_194_304, // the same
  readsPerUser: 100, // a program that goes through a folder of documents; 6 MiB a second of long ones
  readsPerAddress: 500, // as many as handshakes: what a token check costs at most
  unreadBytes: 8_388_608, // a second's worth of reading; the longest document, and no second one beside it
  malformedMessages: 100, // a client with a bug is told about it; a client that is a fuzzer goes
  tokenGrace: 30_000, // a laptop that wakes up, an issuer that restarts
  authenticateTimeout: 8_000, // less than connectTimeout, so that whoever waits is told why
  authorizeTimeout: 5_000, // whoever waits longer for a document has gone
  connectTimeout: 10_000, // a token check that takes longer helps nobody
  pingInterval: 25_000, // load balancers close a quiet connection after 60 s
  pingTimeout: 20_000, // a phone that changes cells
  unreadyAfter: 5_000, // a hiccup of Redis is one for all nodes: a load balancer that takes them all out at once serves nobody
  stopWithin: 28_000, // orchestrators kill after thirty seconds
  canaryEvery: 10_000, // some hundred bytes; a fault shows within a scrape of Prometheus, which comes every fifteen seconds
  clockSkew: 2_000, // under the tolerance of tokens
  hotCommits: 1_000, // as many as one core sequences and delivers to hundreds of readers
}

export type ServerLimits = Limits & LineLimits

export type Transport = 'websocket' | 'polling'

export type Authorize = (user: Identity, documentId: DocId) => Right | Promise<Right>

export interface ServerOptions {
  /** Default: `embeddedStore({ path: './inkwell-data' })`. The server closes it when it closes. */
  readonly store?: Store
  /**
   * What carries an application's own messages in its own namespaces of `server.io` to the clients of other servers, e.g.
   * `redisAdapter(url)` of inkwell/redis. Default: they reach this server's clients alone. Documents do not use it, and do not notice
   * when it is away. The server closes it when it closes.
   */
  readonly adapter?: ApplicationAdapter
  /** Default in development: everyone is a guest, and the log says so. Without it no server starts in production. */
  readonly authenticate?: Authenticate
  /**
   * What a user may do in a document: asked when he joins, when he comes with another token, and by `recheck`. A throw counts as "try
   * again later". Default: what his token says of rights; where it says nothing of them, everyone who got in may write everywhere.
   */
  readonly authorize?: Authorize
  /** Default: text alone. */
  readonly types?: readonly AnyDocumentType[]
  readonly limits?: Partial<ServerLimits>
  /** Origins of the web pages that may connect. Default: pages of this host, and in development pages of any port of localhost. */
  readonly origins?: Origins
  /**
   * Proxies in front of the server, each of which appends to X-Forwarded-For who called it. Default 0: the header is not believed, and
   * limits by address see the address of the socket.
   */
  readonly trustProxy?: number
  /** A server of the application's own, which it listens with and closes itself; its request listener must be there already. */
  readonly attach?: HttpServer | HttpsServer
  /** Default: WebSocket alone. HTTP long-polling is for networks that break WebSockets; over several nodes it needs sticky sessions. */
  readonly transports?: readonly Transport[]
  /** Default `/socket.io/`. */
  readonly path?: string
  /** Where Socket.IO clients of any language speak the protocol in JSON. Default `/json/`; false: nowhere. */
  readonly jsonPath?: string | false
  /** A folder of static files served at `/`. Not with `attach`. */
  readonly demo?: string
  /**
   * Part of the edits of which there are spans, where the application has registered a tracer of OpenTelemetry; the same edits on every
   * node that says the same. Default 0.01: an edit is a keystroke. 1 for all of them.
   */
  readonly traceRatio?: number
  /** A pino logger of the application's own, or a level. Default `info`, to standard output. */
  readonly logger?: Logger | LogLevel
  readonly clock?: Clock
}

/** Options with nothing left open but the store, which is opened only once everything else is sound. */
export interface Settings {
  readonly development: boolean
  readonly store: Store | null
  readonly adapter: ApplicationAdapter | null
  readonly authenticate: Authenticate | null
  readonly authorize: Authorize | null
  readonly types: readonly AnyDocumentType[]
  readonly limits: ServerLimits
  readonly origins: Origins | null
  readonly trustProxy: number
  readonly attach: HttpServer | HttpsServer | null
  readonly transports: readonly Transport[]
  readonly path: string
  readonly jsonPath: string | null
  readonly demo: string | null
  readonly traceRatio: number
  readonly log: Logger
  readonly clock: Clock
}

/** A configuration with which no server can start: every fault of it, one sentence each. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError'
  readonly faults: readonly string[]
  /** What is at fault may get better without anybody mending it: another start is worth a try. */
  readonly passing: boolean
  constructor(faults: readonly string[], passing = false) {
    super(
      faults.length === 1
        ? faults[0]
        : `The configuration has ${faults.length} faults:\n${faults.map(fault => `- ${fault}`).join('\n')}`,
    )
    this.faults = faults
    this.passing = passing
  }
}

const isFunction = (value: unknown): boolean => typeof value === 'function'
const func = z.custom(isFunction, 'must be a function')
const having = (what: string, ...members: readonly string[]) =>
  z.custom<object>(
    value => typeof value === 'object' && value !== null && members.every(member => member in value),
    `must be ${what}`,
  )
const path = z.string().regex(/^\/[\w./-]*$/, 'must begin with a slash, e.g. /socket.io/')
const bound = z.number().int().nonnegative()

/** A store carries a signal as JSON, in which a byte of MessagePack takes six at most, together with who says it. */
const mostSignalBytes = Math.floor((signalBytes - 4_096) / 6)

const limitsShape = z.strictObject(
  Object.fromEntries(Object.keys({ ...defaultLimits, ...defaultLineLimits }).map(name => [name, bound.optional()])),
)

const shape = z.strictObject({
  store: having(
    'a store, e.g. memoryStore() or embeddedStore({ path })',
    'log',
    'presence',
    'signals',
    'seats',
    'ready',
    'close',
  ).optional(),
  adapter: having('an adapter, e.g. redisAdapter(url)', 'say', 'hear', 'close').optional(),
  authenticate: func.optional(),
  authorize: func.optional(),
  types: z
    .array(having('a document type', 'name', 'apply', 'transform'))
    .min(1)
    .optional(),
  limits: limitsShape.optional(),
  origins: z
    .array(
      z.string().superRefine((origin, context) => {
        const fault = originFault(origin)
        if (fault !== null) context.addIssue({ code: 'custom', message: fault })
      }),
    )
    .optional(),
  trustProxy: z.number().int().min(0).max(16).optional(),
  attach: having('an http.Server', 'on', 'listeners').optional(),
  transports: z
    .array(z.enum(['websocket', 'polling']))
    .min(1)
    .optional(),
  path: path.optional(),
  jsonPath: path.or(z.literal(false)).optional(),
  demo: z.string().min(1).optional(),
  traceRatio: z.number().min(0).max(1).optional(),
  logger: z
    .enum(logLevels)
    .or(having('a pino logger or a level', 'info', 'child'))
    .optional(),
  clock: having('a clock', 'now', 'after').optional(),
})

/** @throws {ConfigurationError} with all faults */
export const settle = (options: ServerOptions, environment: { readonly NODE_ENV?: string | undefined }): Settings => {
  const development = environment.NODE_ENV !== 'production'
  const { success, error } = shape.safeParse(options)
  const faults = success ? [] : error.issues.map(issue => `${issue.path.join('.') || 'options'}: ${issue.message}`)
  const given = options
  if (given.authenticate === undefined && !development)
    faults.push('authenticate: is missing, and with NODE_ENV=production nobody gets in without it')
  if (!development && given.origins?.includes('*'))
    faults.push('origins: * lets the pages of every site in; with NODE_ENV=production name those that may')
  if (given.demo !== undefined && given.attach !== undefined) faults.push('demo: needs a server of its own, so not with attach')
  const { signalBytes: signals = 0 } = given.limits ?? {}
  if (signals > mostSignalBytes) faults.push(`limits.signalBytes: is ${signals}, and a store carries at most ${mostSignalBytes}`)
  const socketPath = slashed(given.path ?? '/socket.io/')
  const jsonPath = given.jsonPath === false ? null : slashed(given.jsonPath ?? '/json/')
  if (jsonPath !== null && (jsonPath.startsWith(socketPath) || socketPath.startsWith(jsonPath)))
    faults.push(`jsonPath: ${jsonPath} and path ${socketPath} must not lie inside each other`)
  if (faults.length > 0) throw new ConfigurationError(faults)
  return {
    development,
    store: given.store ?? null,
    adapter: given.adapter ?? null,
    authenticate: given.authenticate ?? null,
    authorize: given.authorize ?? null,
    types: given.types ?? [servedText],
    limits: { ...defaultLimits, ...defaultLineLimits, ...given.limits },
    origins: given.origins ?? null,
    trustProxy: given.trustProxy ?? 0,
    attach: given.attach ?? null,
    transports: given.transports ?? ['websocket'],
    path: socketPath,
    jsonPath,
    demo: given.demo ?? null,
    traceRatio: given.traceRatio ?? 0.01,
    log: loggerOf(given.logger ?? 'info'),
    clock: given.clock ?? systemClock,
  }
}

const slashed = (path: string): string => (path.endsWith('/') ? path : `${path}/`)

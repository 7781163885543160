// One Inkwell server: the engine, its edges, and the order in which they start and stop.
// Invariant: a server stops accepting before it finishes, finishes before it lets go of its clients, and lets go before the store closes.

import { randomBytes, randomFillSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Server as IoServer } from 'socket.io'
import { createEngine, type Engine } from '../engine/index.ts'
import type { Json } from '../ot/type.ts'
import { type Refusal, refusal } from '../protocol/errors.ts'
import { embeddedStore } from '../stores/embedded.ts'
import { acrossNodes } from './adapter.ts'
import { adminSide, adminTokenFault } from './admin.ts'
import { Admission } from './admission.ts'
import { afterwards } from './afterwards.ts'
import { systemClock } from './clock.ts'
import { drainWindow } from './crowd.ts'
import { type Room, standInDoor, turningAway } from './door.ts'
import { Entry, type Middleware } from './entry.ts'
import { heedOperators } from './everywhere.ts'
import { type Conn, connectionsOf, cut, Fanout, type Line, mayMove } from './fanout.ts'
import { Gateway, type Whom } from './gateway.ts'
import { type Health, HealthWatch } from './health.ts'
import { Heat } from './heat.ts'
import { httpSide } from './http.ts'
import { ProcessLoad } from './load.ts'
import { type LogLevel, writeDown } from './log.ts'
import { Metrics } from './metrics.ts'
import { Nodes } from './nodes.ts'
import { ConfigurationError, type ServerOptions, settle } from './options.ts'
import { originRule } from './origins.ts'
import { pagesIn } from './pages.ts'
import { Readiness } from './readiness.ts'
import { type Recheck, type Revocation, Revocations, type Subject } from './revocations.ts'
import { newTally } from './tally.ts'
import { lightRooms } from './thrift.ts'
import { followEdits } from './tracing.ts'

export interface Listening {
  readonly port: number
  readonly url: string
}

export interface InkwellServer {
  /** Listens. Default host: 127.0.0.1, so that nothing is reachable from outside before somebody says so. Not with `attach`. */
  listen(port: number, host?: string): Promise<Listening>
  /** Accepts nothing new and tells clients to look for another node; what is joined goes on. */
  drain(): void
  /**
   * Drains; with a store that other nodes share waits for clients to move there; finishes what is under way, lets go of clients, store
   * and port. May be called more than once.
   */
  close(): Promise<void>
  /** Has `close`, under way or to come, wait for no client any more; what was accepted is finished all the same. */
  hurry(): void
  /**
   * Takes rights back before their time: of a user, of a token, in a document, of one of the former in the latter. It holds on every
   * node within two seconds, on lines that are open too, for nodes that start later, and lasts a day unless said otherwise. Resolves
   * when the store has it.
   */
  revoke(revocation: Revocation): Promise<void>
  /** Takes a revocation back before its time. */
  restore(subject: Subject): Promise<void>
  /** Rights may have changed: `authorize` is asked again for those of this user, in this document, or for everybody; on every node. */
  recheck(whom?: Recheck): Promise<void>
  /**
   * Listens for an operator's commands (`inkwell revoke`, …) on a port of its own, for whoever says the token. Default host: 127.0.0.1.
   * A browser finds the dashboard there, which asks for the token; `dashboard` is another folder than the package's own, or false.
   * @throws {ConfigurationError} when the token is too short to keep anybody out
   */
  listenAdmin(
    port: number,
    options: { readonly token: string; readonly host?: string; readonly dashboard?: string | false },
  ): Promise<Listening>
  readonly engine: Engine
  /** The level of the log; setting it holds from the next line on, of this server alone. */
  logLevel: LogLevel
  /** What `/metrics` answers, in Prometheus' text format: for an application that has a `/metrics` of its own. */
  metrics(): Promise<string>
  /**
   * For an application's own namespaces, `io.of('/chat')`, to be taken before clients come: its clients connect with socket.io-client and the `parser` of inkwell/client.
   * The namespace `/` is Inkwell's, and so is all of the JSON endpoint. Origins are checked here too; who may enter is for the
   * application to say, with `authenticate` or a middleware of its own.
   */
  readonly io: IoServer
  /** Lets into a namespace of the application's whom the option `authenticate` lets in. */
  readonly authenticate: Middleware
}

/** Beside what is built; run from its sources, a server has none. */
const ownDashboard = fileURLToPath(new URL('../dashboard', import.meta.url))

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

/** Bytes for so many ids at a time: to ask for twelve costs as much. */
const pool = Buffer.alloc(12 * 256)
let pooled = pool.length

const randomId = (): string => {
  if (pooled === pool.length) {
    randomFillSync(pool)
    pooled = 0
  }
  return pool.toString('base64url', pooled, (pooled += 12))
}

const sliceSize = 256 // lines closed in one turn of the event loop
const moving = 3_000 // ms for the last of them to be welcome there; who is later finds the line broken and comes back all the same
const ending = 3_000 // ms for the last lines, leases and the store's own connections
const telling = 2_000 // ms between two words about how far it is
const farewell = 1_000 // ms for clients to answer a close; longer only helps those who do not read

/** @throws {ConfigurationError} with everything that is wrong with the options, or why the store cannot be opened */
export const createServer = async (options: ServerOptions = {}): Promise<InkwellServer> => {
  const settings = settle(options, process.env)
  const { log, limits, clock } = settings
  const store = settings.store ?? embeddedStore({ path: './inkwell-data' })
  let gateway: Gateway | null = null
  const revocations = new Revocations({ store, clock, log, affected: subject => gateway?.recheck(subject) })
  try {
    await store.ready()
    const findings = (await store.findings?.()) ?? []
    for (const { severity, sentence, mend } of findings) log.warn({ store: store.name, severity, mend }, sentence)
    const faults = findings.filter(({ severity }) => severity === 'fault')
    if (faults.length > 0 && !settings.development)
      throw new ConfigurationError(faults.map(({ sentence, mend }) => `store: ${sentence}: ${mend}`))
    await revocations.start() // before anybody comes in who may not
  } catch (error) {
    revocations.close()
    if (settings.store === null) await store.close()
    if (error instanceof ConfigurationError) throw error
    const why = `store: ${store.name} cannot be opened: ${error instanceof Error ? error.message : String(error)}`
    throw new ConfigurationError([why], store.shared) // one that is reached over a network may be back soon
  }

  const entry = new Entry(settings, revocations)
  const tally = newTally()
  const fanout = new Fanout(limits, tally)
  const metrics = new Metrics({
    version,
    counts: () => engine.counts,
    store,
    tally,
    admission: () => admission.counts,
    connections: () => edge.size,
    draining: () => draining,
    health: async () => {
      const { ready, up } = await readiness.glance()
      return { ready: ready && watch.ready, up }
    },
    checks: () => watch.checks,
    lastSong: () => watch.lastSong,
    now: () => clock.now(),
  })
  const writes = writeDown(log, () => clock.now())
  const heat = new Heat(clock, () => engine.busiest(20), limits.hotCommits)
  const load = new ProcessLoad()
  const follows = followEdits(() => clock.now(), settings.traceRatio)
  const engine = createEngine({
    store,
    clock,
    randomId,
    types: settings.types,
    limits,
    // The gateway made all outlets.
    authorize: (_user, doc, outlet) => entry.rightOf((outlet as Line).bearer, doc),
    deliver: (outlets, message) => fanout.deliver(outlets as readonly Line[], message),
    deliverCommits: (outlets, message) => load.writing(() => fanout.deliverCommits(outlets as readonly Line[], message)),
    together: say =>
      void load.writing(() => {
        fanout.together(say)
        return undefined
      }),
    ...(clock === systemClock ? { load: () => load.now, spared: (ms: number) => load.spare(ms) } : {}), // how busy the process is says nothing to a clock that a test holds
    observe: afterwards(
      event => {
        metrics.observe(event)
        writes(event)
        follows(event)
      },
      error => log.error({ err: error }, 'an event could not be told'),
    ),
  })
  const allows = originRule(settings.origins, settings.development)
  const admission = new Admission({
    limits,
    trustProxy: settings.trustProxy,
    seats: store.seats,
    clock,
    log,
    tally,
    cut: line => cut(line as Conn),
  })
  const edge = new Gateway({ settings, engine, entry, fanout, admission, allows, tally, randomId })
  gateway = edge
  const main = edge.endpoint('binary', settings.path)
  const { io } = main
  if (settings.adapter !== null) {
    acrossNodes(io, settings.adapter, log)
    main.wires.taken = true
  }
  const ends = settings.jsonPath === null ? [main] : [main, edge.endpoint('json', settings.jsonPath)]
  for (const { io } of ends) lightRooms(io.of('/').adapter)

  /** Here at once, and on the other nodes as soon as they hear of it. */
  const kick = (whom: Whom): number => {
    const here = edge.kick(whom)
    if (store.shared) store.control.publish({ kind: 'kick', node, whom: { ...whom } } as Json)
    return here
  }
  const node = randomBytes(6).toString('base64url')
  let name = hostname()
  const stopKicking = await heedOperators({ control: store.control, node, name: () => name, edge })

  let draining = false
  let closing: Promise<void> | null = null
  const asides: FastifyInstance[] = []

  const nodes = new Nodes({
    control: store.control,
    node,
    name: () => name,
    version,
    about: () => ({ state: draining ? 'draining' : 'serving', connections: edge.size, ready: watch.ready }),
    drain: () => {
      drain()
      nodes.tell()
    },
    clock,
  })

  const readiness = new Readiness({
    ask: () => store.ready(),
    store: store.name.split(':', 1)[0]!, // where it lies is nobody's business
    unreadyAfter: limits.unreadyAfter,
    clock,
    log,
  })
  const identify = settings.authenticate?.check
  const watch = new HealthWatch({
    readiness,
    store,
    tryOut: () => engine.tryOut(),
    identify: identify === undefined ? null : () => identify(),
    looks: {
      accepting: () =>
        draining ? { reason: 'draining', mend: 'nothing: its clients move to other nodes', unready: true } : null,
      load: () => heat.fault(),
      readers: () => edge.slowReaders(),
      nodes: () => nodes.fault(),
    },
    limits,
    clock,
    log,
  })
  watch.start()
  await nodes.start()
  const health = (): Promise<Health> => watch.health()

  const app = await httpSide({
    settings,
    engine,
    entry,
    allows,
    health,
    draining: () => draining,
    // Otherwise they are where the operator is. In production a proxy of this machine that says nothing of whom it brings would look like a program of it.
    metrics: () => (settings.development && asides.length === 0 ? metrics : null),
  })
  const pages: Room['request'] = (request, response) => app.routing(request, response)
  const turnsAway = (request: IncomingMessage): Refusal | null => {
    const why = draining ? refusal('draining') : admission.knock(request)
    if (why !== null) tally.refusals[why.code]++
    return why
  }
  const rooms: Room[] = [
    ...ends.map(({ io, wires }) =>
      turningAway(turnsAway, sid => mayMove(io.engine, sid), {
        prefix: `${io.path()}/`,
        request: (request, response) => io.engine.handleRequest(request, response),
        upgrade: (request, socket, head) => {
          if (!wires.accept(request, socket, head)) io.engine.handleUpgrade(request, socket, head)
        },
      }),
    ),
    ...['/livez', '/readyz', '/v1/documents/'].map((prefix): Room => ({ prefix, request: pages, upgrade: null })),
  ]

  const own: HttpServer | null =
    settings.attach === null
      ? createHttpServer({ headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 })
      : null
  const leaveDoor = standInDoor(settings.attach ?? own!, rooms, own === null ? null : pages)

  if (settings.authenticate === null)
    log.warn(
      'ANYBODY MAY ENTER: no authenticate is given, so everyone is a guest. Development only; production refuses to start so.',
    )

  /** A request of which only a half has come does not hold up the end. */
  const closes = async (side: FastifyInstance): Promise<void> => {
    const late = setTimeout(() => side.server.closeAllConnections(), farewell)
    await side.close()
    clearTimeout(late)
  }

  const stop = async (): Promise<void> => {
    drain()
    if (store.shared) await left()
    const stayed = edge.size
    if (stayed > 0) log.info({ connections: stayed }, 'the rest is let go')
    watch.close()
    await engine.close().catch(error => log.error({ err: error }, 'the engine could not finish'))
    // From here on nobody new gets in: a server of ours takes no more connections, one of the application's hands us no more requests.
    const closed = own === null ? leaveDoor() : new Promise<void>(resolve => own.close(() => resolve()))
    own?.closeIdleConnections()
    const connections = ends.flatMap(({ io }) => connectionsOf(io.engine))
    const cutAll = (): void => {
      for (const connection of connections) cut(connection)
      own?.closeAllConnections()
    }
    const late = setTimeout(cutAll, hurried ? 0 : farewell)
    hurrying = cutAll
    for (let i = 0; i < connections.length; i += sliceSize) {
      for (const connection of connections.slice(i, i + sliceSize)) connection.close()
      await turn()
    }
    await closed
    if (own === null) late.unref()
    else clearTimeout(late)
    for (const { wires } of ends) wires.close()
    await Promise.all(ends.map(({ io }) => io.close()))
    settings.adapter?.close()
    stopKicking()
    nodes.close()
    edge.close()
    revocations.close()
    await Promise.all([app, ...asides].map(closes))
    readiness.close()
    await store.close()
    log.info('stopped')
  }

  let windowEnds = 0
  let hurried = false
  /** Ends whatever is being waited for. */
  let hurrying = (): void => {}

  const drain = (): void => {
    if (draining) return
    draining = true
    const window = Math.min(drainWindow(edge.size), Math.max(0, limits.stopWithin - moving - limits.storeTimeout - ending))
    log.info({ connections: edge.size, window }, 'draining')
    windowEnds = clock.now() + window
    edge.drain(() => Math.round(Math.random() * window))
  }

  /** Everybody who can go to another node has gone, or the time for it is over. */
  const left = async (): Promise<void> => {
    const of = edge.size
    let stopWaiting = (): void => {}
    const over = new Promise<void>(resolve => {
      stopWaiting = clock.after(windowEnds + moving - clock.now(), resolve)
      hurrying = resolve
      if (hurried) resolve()
    })
    let stopTelling = (): void => {}
    const tell = (): void => {
      log.info({ connections: edge.size, of, ms: Math.max(0, windowEnds - clock.now()) }, 'clients move to other nodes')
      stopTelling = clock.after(telling, tell)
    }
    stopTelling = clock.after(telling, tell)
    await Promise.race([edge.emptied(), over])
    stopTelling()
    stopWaiting()
  }

  return {
    engine,
    get logLevel() {
      return log.level as LogLevel
    },
    set logLevel(level) {
      log.level = level
    },
    metrics: () => metrics.text(),
    get io() {
      main.wires.taken = true
      return io as unknown as IoServer // the same server; its events are the application's to type
    },
    authenticate: entry.middleware,
    drain,
    revoke: revocation => revocations.revoke(revocation),
    restore: subject => revocations.restore(subject),
    recheck: (whom = {}) => revocations.recheck(whom),
    close: () => (closing ??= stop()),
    hurry: () => {
      hurried = true
      hurrying()
    },
    listenAdmin: async (port, { token, host = '127.0.0.1', dashboard = ownDashboard }) => {
      const fault = adminTokenFault(token)
      if (fault !== null) throw new ConfigurationError([`token: ${fault}`])
      const pages = dashboard === false || !existsSync(dashboard) ? new Map() : pagesIn(dashboard)
      const side = await adminSide({ log, revocations, metrics, pages, token, engine, edge, store, clock, kick, nodes })
      asides.push(side)
      await side.listen({ port, host })
      const there = listening(side.server.address() as AddressInfo)
      log.info({ url: there.url }, `listening on ${there.url} for an operator`)
      return there
    },
    listen: async (port, host = '127.0.0.1') => {
      if (own === null)
        throw new ConfigurationError(['listen: this server is attached to one of the application; let that one listen'])
      await new Promise<void>((resolve, reject) => {
        own.once('error', reject)
        own.listen(port, host, () => {
          own.off('error', reject)
          resolve()
        })
      })
      const there = listening(own.address() as AddressInfo)
      const { url } = there
      name = `${hostname()}:${there.port}`
      nodes.tell()
      const { durability } = store.log
      const entry = settings.authenticate === null ? 'anybody may enter, as a guest' : 'who may enter is for authenticate to say'
      const rights =
        settings.authorize !== null
          ? 'what they may do for authorize'
          : settings.authenticate !== null
            ? 'what they may do is in their tokens, and everything where those do not say'
            : 'all of them may write everywhere'
      log.info(
        { url, store: store.name, durability, transports: settings.transports, trustProxy: settings.trustProxy },
        `listening on ${url}; edits are kept in ${store.name} and count as durable ${lasting[durability]}; ${entry}; ${rights}`,
      )
      return there
    },
  }
}

const lasting = { memory: 'as long as memory lasts', disk: 'once on disk', replicated: 'once replicated' } as const

const listening = (address: AddressInfo): Listening => ({
  port: address.port,
  url: `http://${urlHost(address)}:${address.port}`,
})

const urlHost = ({ address, family }: AddressInfo): string => {
  if (address === '0.0.0.0' || address === '::') return 'localhost' // a name that works where one reads it
  return family === 'IPv6' ? `[${address}]` : address
}

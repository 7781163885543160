// The server that is tried, in a process of its own: it tells what it has spent, what it holds and what went wrong in it.
// Invariant: it ends when it is told to, and of nothing else.

import { subscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type * as Inkwell from '../../src/server/index.ts'
import type { Ask, Begun, Held, Look } from './asks.ts'
import type { Route } from './requests.ts'

/** Milliseconds between two looks at the clock: a turn of the event loop that takes longer is a stall. */
const tick = 5

const wrong: string[] = []
process.on('unhandledRejection', error => wrong.push(`unhandled: ${error instanceof Error ? error.stack : String(error)}`))
process.on('uncaughtException', error => wrong.push(`uncaught: ${error.stack}`))
const log = pino({ level: 'error', base: null }, { write: (line: string) => void wrong.push(`log: ${line.trim()}`) })

const sides: { readonly app: FastifyInstance; readonly routes: Omit<Route, 'side'>[] }[] = []
subscribe('fastify.initialization', message => {
  const { fastify: app } = message as { fastify: FastifyInstance }
  const routes: Omit<Route, 'side'>[] = []
  sides.push({ app, routes })
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push({ method: each, path: url })
  })
})

const rights = (user: string, doc: string) => {
  if (user === 'owner') return 'write'
  if (doc.startsWith('guarded')) return 'none'
  if (user.startsWith('neighbour')) return 'write'
  return doc === 'quiet' || doc === 'readonly' || user.startsWith('reader') ? 'read' : 'write'
}

const folder = mkdtempSync(join(tmpdir(), 'inkwell-fuzz-'))
const adminToken = process.argv[2]!
const [isShared, isBuilt] = ['shared', 'built'].map(word => process.argv.includes(word, 3))
// Where time is measured it is that of what people run; from the sources every function costs a name more.
const { createServer, embeddedStore } = (await import(isBuilt ? 'inkwell/server' : '../../src/server/index.ts')) as typeof Inkwell
const server = await createServer({
  store: embeddedStore({ path: join(folder, 'data') }),
  logger: log,
  authenticate: token =>
    token !== undefined && /^(owner$|(neighbour|writer|reader):[\w-]{1,40}$)/.test(token) ? { id: token } : null,
  authorize: ({ id }, doc) => rights(id, doc),
  transports: ['websocket', 'polling'],
  trustProxy: 1,
  limits: {
    // Whoever tries things is not to be slowed down by what is not being tried,
    messagesPerLine: 100_000,
    messagesPerUser: 100_000,
    bytesPerLine: 2 ** 30,
    bytesPerUser: 2 ** 30,
    malformedMessages: 100_000,
    handshakesPerUser: 10_000,
    readsPerUser: 10_000,
    readsPerAddress: 10_000,
    // documents are not to be what makes a join long,
    documentLength: 65_536,
    // and what is let go in time is to be let go in this time.
    connectTimeout: 3_000,
    idleDocument: 1_000,
  },
})
if (isShared)
  server.io.of('/chat').on('connection', socket => socket.on('say', (...words) => socket.emit('said', ...words.slice(0, 2))))
const { url } = await server.listen(0)
const admin = await server.listenAdmin(0, { token: adminToken })

/** The longest stall since the last look, in ms of CPU: what others take of the machine is not counted. */
let stall = 0
let before = { at: performance.now(), cpu: process.cpuUsage() }
setInterval(() => {
  const at = performance.now()
  const { user, system } = process.cpuUsage(before.cpu)
  stall = Math.max(stall, Math.min(at - before.at, (user + system) / 1_000) - tick)
  before = { at, cpu: process.cpuUsage() }
}, tick).unref()

const held = async (): Promise<Held> => {
  for (let i = 0; i < 3; i++) {
    global.gc!() // the child is started so that it is there
    await sleep(50)
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  const of = sides.map(({ app }) => new Promise<number>(resolve => app.server.getConnections((_, count) => resolve(count ?? 0))))
  const sockets = (await Promise.all(of)).reduce((sum, count) => sum + count, 0)
  return { heapUsed, external, rss, sockets, ...server.engine.counts }
}

process.on('message', async (ask: Ask) => {
  switch (ask) {
    case 'look': {
      process.send!({ stall, wrong: wrong.splice(0), cpu: process.cpuUsage() } satisfies Look)
      stall = 0
      return
    }
    case 'held':
      return process.send!(await held())
    default:
      await server.close()
      rmSync(folder, { recursive: true, force: true })
      process.disconnect()
      process.exit() // engine.io waits half a minute longer for clients that poll and are gone
  }
})
const routes = sides.flatMap(({ app, routes }): Route[] =>
  routes.map(route => ({ ...route, side: app.server.listening ? 'admin' : 'public' })),
)
process.send!({ public: url, admin: admin.url, routes } satisfies Begun)

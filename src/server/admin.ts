// What an operator may ask of a running server: take rights back and give them back, put connections out, look at what is going on.
// Invariant: nothing is done or told for whoever does not say the token, nor for a page of any other origin in a browser.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Engine } from '../engine/index.ts'
import type { Clock, Store } from '../engine/ports.ts'
import { refusal } from '../protocol/errors.ts'
import { attempt, bearerOf, Stop, sendRefusal, sideWith } from './answers.ts'
import { whomShape } from './everywhere.ts'
import type { Gateway, Whom } from './gateway.ts'
import { type Logger, logLevels } from './log.ts'
import { logDoor } from './logdoor.ts'
import { lookingAround } from './look.ts'
import type { Metrics } from './metrics.ts'
import type { Nodes } from './nodes.ts'
import { pagePolicy, type StaticPage } from './pages.ts'
import type { Revocations } from './revocations.ts'

export interface AdminParts {
  readonly log: Logger
  readonly revocations: Revocations
  readonly metrics: Pick<Metrics, 'text' | 'contentType'>
  /** What a browser gets without the token: the page that asks for it. */
  readonly pages: ReadonlyMap<string, StaticPage>
  readonly token: string
  readonly engine: Engine
  readonly edge: Gateway
  readonly store: Store
  readonly clock: Clock
  /** Closes connections on all nodes; answers how many those of this one were. */
  readonly kick: (whom: Whom) => number
  readonly nodes: Nodes
}

/** Characters of an admin token, at least: nobody counts how often one is guessed. */
export const adminTokenLength = 16

/** What keeps a text from being an admin token, in one sentence; null: nothing. It travels in a header. */
export const adminTokenFault = (token: string): string | null =>
  token.length < adminTokenLength
    ? `has ${token.length} characters, and at least ${adminTokenLength} are needed`
    : /^[\x21-\x7e]+$/.test(token)
      ? null
      : 'has characters other than letters, digits and signs of ASCII, or white space'

const subject = { user: z.string().optional(), token: z.string().optional(), document: z.string().optional() }
const bodies = {
  revoke: z.strictObject({ ...subject, leaves: z.enum(['none', 'read']).optional(), lasts: z.number().optional() }),
  restore: z.strictObject(subject),
  recheck: z.strictObject({ user: subject.user, document: subject.document }),
  drain: z.strictObject({ node: z.string().optional() }),
  logLevel: z.strictObject({ level: z.enum(logLevels) }),
}

export const adminSide = async ({ log, revocations, metrics, pages, token, ...parts }: AdminParts): Promise<FastifyInstance> => {
  const { kick, nodes } = parts
  const app = sideWith(log, {
    routerOptions: { maxParamLength: 16_384 }, // an id that is too long is told so, by name
    bodyLimit: 16_384,
    requestTimeout: 30_000,
  }) // a user, a token's name and a document's id, escaped

  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(token)
  app.addHook('onRequest', async ({ raw, method, url }, reply) => {
    const page = method === 'GET' ? pages.get(url.split('?', 1)[0]!) : undefined
    if (page !== undefined) return reply.header('content-security-policy', pagePolicy).type(page.type).send(page.content)
    if (raw.headers.origin !== undefined) throw new Stop(refusal('origin-refused'))
    if (!timingSafeEqual(digest(bearerOf(raw) ?? ''), expected)) throw new Stop(refusal('unauthenticated'))
  })
  app.setNotFoundHandler((_request, reply) => sendRefusal(reply, refusal('not-found')))

  const route = <Body>(name: string, shape: z.ZodType<Body>, call: (body: Body) => Promise<void>): void => {
    app.post(`/v1/${name}`, async (request, reply) => {
      const { success, data, error } = shape.safeParse(request.body)
      if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
      await attempt(log, name, () =>
        call(data).catch(error => {
          if (error instanceof TypeError || error instanceof RangeError) throw new Stop(refusal('malformed', error.message))
          throw error
        }),
      )
      log.info({ asked: data }, name)
      return reply.code(204).send()
    })
  }
  route('revoke', bodies.revoke, body => revocations.revoke(body))
  route('restore', bodies.restore, body => revocations.restore(body))
  route('recheck', bodies.recheck, body => revocations.recheck(body))
  app.get('/v1/revocations', async () => revocations.list())
  app.get('/v1/log-level', async () => ({ level: log.level }))
  app.route({
    method: ['PUT', 'POST'],
    url: '/v1/log-level',
    async handler(request) {
      const { success, data, error } = bodies.logLevel.safeParse(request.body)
      if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
      const was = log.level
      log.level = data.level
      log.info({ logLevel: data.level, was }, 'log level')
      return { level: data.level, was }
    },
  })
  app.post('/v1/kick', async request => {
    const { success, data, error } = whomShape.safeParse(request.body)
    if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
    if (Object.keys(data).length === 0) throw new Stop(refusal('malformed', 'nobody is named'))
    const kicked = kick(data)
    log.info({ asked: data, kicked }, 'kick')
    return { kicked }
  })
  app.get('/v1/nodes', async () => ({ nodes: nodes.list() }))
  app.post('/v1/drain', async request => {
    const { success, data, error } = bodies.drain.safeParse(request.body)
    if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
    const node = nodes.drain(data.node)
    if (node === null) throw new Stop(refusal('not-found', `no node ${data.node} has been heard of`))
    log.info({ asked: data, node }, 'drain')
    return { node }
  })
  lookingAround(app, { log, ...parts })
  logDoor(app, { log, revocations, ...parts })
  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()))

  await app.ready()
  return app
}

// The server's HTTP side: is it alive, is it ready, what is in a document.
// Invariant: every answer that is not the thing asked for is a row of the error table with the status that goes with it.

import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Engine } from '../engine/index.ts'
import { refusal } from '../protocol/errors.ts'
import { docId } from '../protocol/fields.ts'
import type { DocId } from '../protocol/ids.ts'
import { isLocal } from './address.ts'
import { attempt, bearerOf, Stop, sendRefusal, sideWith } from './answers.ts'
import { type Entry, hasTokenInAddress } from './entry.ts'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import type { Settings } from './options.ts'
import type { OriginRule } from './origins.ts'
import { type Reading, Reads } from './reads.ts'

export interface HttpParts {
  readonly settings: Settings
  readonly engine: Engine
  readonly entry: Entry
  readonly allows: OriginRule
  readonly health: () => Promise<Health>
  readonly draining: () => boolean
  /** Null: they are not here. */
  readonly metrics: () => Pick<Metrics, 'text' | 'contentType'> | null
}

const asked = 600 // s for which a browser need not ask again whether a page may ask

const pageOf = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
})

export const httpSide = async ({
  settings,
  engine,
  entry,
  allows,
  health,
  draining,
  metrics,
}: HttpParts): Promise<FastifyInstance> => {
  const { log, demo } = settings

  const app = sideWith(log, {
    routerOptions: { maxParamLength: 16_384 }, // as much as Node reads of a head: an id that is too long is told so, by name
    bodyLimit: 1_024, // nothing here takes a body
  })

  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers
    if (!allows(request.raw)) throw new Stop(refusal('origin-refused'))
    if (hasTokenInAddress(request.url))
      throw new Stop(refusal('malformed', 'a token belongs into the header Authorization, not into an address'))
    if (origin === undefined) return
    reply.header('vary', 'origin').header('access-control-allow-origin', origin)
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return
    return reply
      .code(204)
      .header('access-control-allow-methods', 'GET')
      .header('access-control-allow-headers', 'authorization')
      .header('access-control-max-age', asked)
      .send()
  })

  app.setNotFoundHandler((request, reply) => {
    // The page reads from its address which document it shows, so every address that a person may open is the page.
    const page = demo !== null && request.method === 'GET' && request.headers.accept?.includes('text/html') === true
    return page && !request.url.startsWith('/v1/') ? reply.sendFile('index.html') : sendRefusal(reply, refusal('not-found'))
  })

  app.get('/livez', async () => ({ status: 'ok' }))

  // Those checks that fail; with ?verbose all of them.
  app.get('/readyz', async (request, reply) => {
    const { ready, reasons, checks } = await health()
    const verbose = Object.hasOwn(request.query as object, 'verbose')
    const shown = verbose ? checks : checks.filter(({ ok }) => !ok)
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ok' : 'unready',
      ...(reasons.length === 0 ? {} : { reasons }),
      ...(shown.length === 0 ? {} : { checks: shown }),
    })
  })

  app.get('/metrics', async (request, reply) => {
    const here = metrics()
    if (here === null || !isLocal(request.raw)) throw new Stop(refusal('not-found'))
    return reply.type(here.contentType).send(await here.text())
  })

  const reads = new Reads(settings)

  /** The document that a request names, once its sender may read it. */
  const readable = async (request: FastifyRequest): Promise<{ readonly id: DocId; readonly reading: Reading }> => {
    const reading = reads.begin(request.raw)
    if ('code' in reading) throw new Stop(reading)
    const id = docId((request.params as { id: unknown }).id)
    if (draining()) throw new Stop(refusal('draining'))
    const who = await entry.whoIs(bearerOf(request.raw), request.raw, null)
    if ('code' in who) throw new Stop(who)
    const much = settings.authenticate === null ? null : reading.by(who.user.id) // guests are nobody
    if (much !== null) throw new Stop(much)
    const right = await attempt(log, 'authorize', async () => entry.rightOf(who, id))
    if (right === 'none') throw new Stop(refusal('forbidden', 'reading'))
    return { id, reading }
  }

  const send = (reply: FastifyReply, reading: Reading, answer: object): FastifyReply => {
    const body = Buffer.from(JSON.stringify(answer))
    whenGone(reply, reading.answers(body.length))
    // All of it lies here until it is taken. A slow reader may be slow; Node tells of one who takes nothing at all.
    reply.raw.setTimeout(settings.limits.stuckTime, () => reply.raw.destroy())
    return reply.type('application/json; charset=utf-8').send(body)
  }

  app.get('/v1/documents/:id', async (request, reply) => {
    const { id, reading } = await readable(request)
    const found = await attempt(log, 'reading a document', () => engine.read(id))
    if (found === null) throw new Stop(refusal('not-found', 'nobody has written to this document'))
    const { epoch, version, type, value } = found
    return send(reply, reading, { id, type, epoch, version, ...(typeof value === 'string' ? { text: value } : { value }) })
  })

  app.get('/v1/documents/:id/commits', async (request, reply) => {
    const page = pageOf.safeParse(request.query)
    if (!page.success) throw new Stop(refusal('malformed', z.prettifyError(page.error)))
    const { id, reading } = await readable(request)
    const found = await attempt(log, 'reading commits', () => engine.commits(id, page.data.after, page.data.limit))
    if ('code' in found) throw new Stop(found)
    return send(reply, reading, { id, ...found })
  })

  if (demo !== null) {
    await app.register(fastifyStatic, {
      root: demo,
      setHeaders: reply => {
        // The editor's styles are made at run time; scripts come from here alone.
        reply.setHeader(
          'content-security-policy',
          "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
            "connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
      },
    })
  }

  await app.ready()
  return app
}

/** Calls once when an answer has been taken, or never will be. One that waits behind another hears only its socket end. */
const whenGone = ({ raw, request }: FastifyReply, call: () => void): void => {
  const { socket } = request.raw
  if (socket.destroyed) return call()
  const gone = (): void => {
    raw.off('close', gone)
    socket.off('close', gone)
    call()
  }
  raw.on('close', gone)
  socket.setMaxListeners(0) // as many as were asked for in one breath
  socket.on('close', gone)
}

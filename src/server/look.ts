// What an operator sees of a running server: documents, people, commits, connections, as JSON.
// Invariant: looking changes nothing, and no answer is longer than what was asked for; whoever asks has said the token by then.

import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Engine } from '../engine/index.ts'
import type { Store } from '../engine/ports.ts'
import { refusal } from '../protocol/errors.ts'
import { docId } from '../protocol/fields.ts'
import type { DocId } from '../protocol/ids.ts'
import { attempt, Stop } from './answers.ts'
import type { Gateway } from './gateway.ts'
import type { Logger } from './log.ts'

export interface LookParts {
  readonly log: Logger
  readonly engine: Engine
  readonly edge: Gateway
  readonly store: Store
}

const limit = z.coerce.number().int().min(1).max(10_000).default(100)
const queries = {
  load: z.strictObject({ limit }),
  documents: z.strictObject({ after: z.string().optional(), limit }),
  document: z.strictObject({
    text: z.enum(['yes', 'no']).default('yes'),
    people: z.coerce.number().int().min(0).max(1_000).default(100),
  }),
  commits: z.strictObject({ after: z.coerce.number().int().min(0).optional(), limit }),
  connections: z.strictObject({
    connection: z.string().optional(),
    user: z.string().optional(),
    document: z.string().optional(),
    limit,
  }),
}

const read = <T>(shape: z.ZodType<T>, query: unknown): T => {
  const { success, data, error } = shape.safeParse(query)
  if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
  return data
}

/** The routes: `/v1/load`, `/v1/documents`, `/v1/documents/:id`, `/v1/documents/:id/commits`, `/v1/connections`. */
export const lookingAround = (app: FastifyInstance, { log, engine, edge, store }: LookParts): void => {
  const named = (params: unknown): DocId => docId((params as { id: unknown }).id)

  /** What is open on this node, the costliest first. */
  app.get('/v1/load', async request => {
    const { limit } = read(queries.load, request.query)
    return { ...engine.counts, busiest: engine.busiest(limit) }
  })

  /** Documents in the store, in the order of their ids; `next` to go on with, null at the end. */
  app.get('/v1/documents', async request => {
    const { after, limit } = read(queries.documents, request.query)
    const start = after === undefined ? null : docId(after)
    const ids = await attempt(log, 'listing documents', () => store.log.documents(start, limit))
    return { documents: ids.map(id => ({ id })), next: ids.length < limit ? null : (ids.at(-1) ?? null) }
  })

  /** One document, with its text unless that is not wanted, and who is in it on all nodes. */
  app.get('/v1/documents/:id', async request => {
    const id = named(request.params)
    const { people, text } = read(queries.document, request.query)
    const about = await attempt(log, 'reading a document', () => store.log.about(id))
    if (about === null || about.version === 0 || about.planted)
      // looking begins no log
      throw new Stop(refusal('not-found', 'nobody has written to this document'))
    const [found, here] = await attempt(log, 'reading a document', () =>
      Promise.all([engine.read(id), engine.people(id, people)]),
    )
    if (found === null) throw new Stop(refusal('not-found', 'nobody has written to this document'))
    const { epoch, version, type, value } = found
    const content = text === 'no' ? {} : typeof value === 'string' ? { text: value } : { value }
    return { id, type, epoch, version, ...content, ...here }
  })

  /** Its latest commits, or those after a version. */
  app.get('/v1/documents/:id/commits', async request => {
    const id = named(request.params)
    const { after, limit } = read(queries.commits, request.query)
    const found = await attempt(log, 'reading commits', () => engine.commits(id, after ?? -limit, limit))
    if ('code' in found) throw new Stop(found)
    return { id, ...found }
  })

  app.get('/v1/connections', async request => {
    const { limit, ...whom } = read(queries.connections, request.query)
    return edge.seen(whom, limit)
  })
}

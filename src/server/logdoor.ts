// The log for an operator's commands, over HTTP: what a command does with a store it can do with a running server.
// Invariant: an entry that gets in here can be read by every node; whoever asks has said the token by then.

import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { readBody } from '../engine/entry.ts'
import type { Store } from '../engine/ports.ts'
import { refusal } from '../protocol/errors.ts'
import { docId } from '../protocol/fields.ts'
import type { AuthorId, Chain, DocId, Epoch } from '../protocol/ids.ts'
import { attempt, Stop } from './answers.ts'
import { type DeletionParts, deleteDocument } from './deletion.ts'
import type { Logger } from './log.ts'

export interface LogDoorParts extends DeletionParts {
  readonly log: Logger
  readonly store: Store
}

/** Bytes of one call: a batch of the longest entries, or a checkpoint of the longest document. */
const longestCall = 268_435_456

const version = z.number().int().min(0)
const epoch = z
  .string()
  .regex(/^[\w-]{1,32}$/)
  .transform(text => text as Epoch)
const chain = z
  .string()
  .regex(/^[0-9a-f]{16}$/)
  .transform(text => text as Chain)
const author = z
  .string()
  .regex(/^[\w-]{1,64}$/)
  .transform(text => text as AuthorId)
const shapes = {
  page: z.strictObject({ after: z.coerce.number().int().min(0).default(0), limit: z.coerce.number().int().min(1).max(100_000) }),
  append: z.strictObject({
    at: z.strictObject({ epoch, version, chain }),
    entries: z.array(
      z.strictObject({
        author,
        seq: z.number().int().min(1),
        body: z.string().refine(isBody, 'is none'),
      }),
    ),
  }),
  seed: z.strictObject({
    epoch,
    floor: z.strictObject({ version, chain }),
    authors: z.array(z.strictObject({ author, seq: version, version })),
  }),
  settle: z.strictObject({
    epoch,
    checkpoint: z.strictObject({ epoch, version, chain, horizon: version, pruned: version, body: z.string() }).nullable(),
  }),
  backup: z.strictObject({ directory: z.string().startsWith('/') }),
  deletion: z.strictObject({ document: z.string(), lasts: z.number().optional() }),
}

function isBody(text: string): boolean {
  try {
    const { base, user, time } = readBody(text)
    return Number.isSafeInteger(base) && typeof user === 'string' && typeof time === 'number'
  } catch {
    return false
  }
}

const sound = <T>(shape: z.ZodType<T>, given: unknown): T => {
  const { success, data, error } = shape.safeParse(given)
  if (!success) throw new Stop(refusal('malformed', z.prettifyError(error)))
  return data
}

/** The routes `/v1/log/:id`, `…/open`, `…/entries`, `…/append`, `…/plant`, `…/settle`; and `/v1/delete`. */
export const logDoor = (app: FastifyInstance, { log, store, ...parts }: LogDoorParts): void => {
  const named = (params: unknown): DocId => docId((params as { id: unknown }).id)
  const from = <T>(call: () => Promise<T>): Promise<T> => attempt(log, 'a command on a log', call)
  const large = { bodyLimit: longestCall }

  app.get('/v1/log/:id', async request => {
    const id = named(request.params)
    const about = await from(() => store.log.about(id))
    if (about === null) throw new Stop(refusal('not-found', 'nobody has written to this document'))
    return about
  })

  app.get('/v1/log/:id/open', async request => {
    const id = named(request.params)
    const about = await from(() => store.log.about(id))
    if (about === null || about.version === 0 || about.planted)
      throw new Stop(refusal('not-found', 'nobody has written to this document'))
    return from(() => store.log.open(id))
  })

  app.get('/v1/log/:id/entries', async request => {
    const id = named(request.params)
    const { after, limit } = sound(shapes.page, request.query)
    return from(() => store.log.entries(id, after, limit))
  })

  app.post('/v1/log/:id/append', large, async request => {
    const id = named(request.params)
    const { at, entries } = sound(shapes.append, request.body)
    return from(() => store.log.append(id, at, entries))
  })

  app.post('/v1/log/:id/plant', large, async request => {
    const id = named(request.params)
    const seed = sound(shapes.seed, request.body)
    log.info({ doc: id, epoch: seed.epoch, floor: seed.floor }, 'import')
    return { about: await from(() => store.log.plant(id, seed)) }
  })

  app.post('/v1/log/:id/settle', large, async request => {
    const id = named(request.params)
    const { epoch, checkpoint } = sound(shapes.settle, request.body)
    const settled = await from(() => store.log.settle(id, epoch, checkpoint))
    log.info({ doc: id, settled }, 'import ended')
    return { settled }
  })

  app.post('/v1/backup', async request => {
    const { directory } = sound(shapes.backup, request.body)
    if (store.backup === undefined)
      throw new Stop(
        refusal('malformed', `${store.name.split(':', 1)[0]} is not backed up by its servers: see docs/OPERATIONS.md`),
      )
    await store.backup(directory).catch(error => {
      log.error({ err: error, directory }, 'a backup failed')
      throw new Stop(refusal('internal', (error as Error).message))
    })
    log.info({ directory }, 'backup')
    return { directory }
  })

  app.post('/v1/delete', async request => {
    const { document, lasts } = sound(shapes.deletion, request.body)
    const id = docId(document)
    const removed = await from(() => deleteDocument({ store, ...parts }, id, lasts))
    log.warn({ doc: id, removed }, 'a document is deleted')
    return { removed }
  })
}

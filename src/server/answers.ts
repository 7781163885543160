// How HTTP requests are answered that do not get what they ask for.
// Invariant: every such answer is a row of the error table with the status that goes with it, and none says what serves it.

import { type IncomingMessage, STATUS_CODES } from 'node:http'
import { type FastifyInstance, type FastifyReply, type FastifyServerOptions, fastify } from 'fastify'
import { type ErrorCode, type Refusal, refusal } from '../protocol/errors.ts'
import { Fault } from '../protocol/fields.ts'
import type { Logger } from './log.ts'

const statuses: { readonly [code in ErrorCode]?: number } = {
  unauthenticated: 401,
  forbidden: 403,
  revoked: 403,
  'origin-refused': 403,
  'not-found': 404,
  'history-gone': 410,
  'message-too-large': 413,
  'slow-down': 429,
  internal: 500,
  unavailable: 503,
  draining: 503,
}

/** What stops a request on its way. */
export class Stop extends Error {
  readonly refusal: Refusal
  constructor(why: Refusal) {
    super(why.message)
    this.refusal = why
  }
}

export const sendRefusal = (reply: FastifyReply, why: Refusal): FastifyReply => {
  if (why.advice === 'retry' || why.advice === 'slow-down') reply.header('retry-after', Math.ceil((why.after ?? 1_000) / 1_000))
  if (why.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  return reply.code(statuses[why.code] ?? 400).send(why)
}

/** An HTTP side without routes, which keeps to this. */
export const sideWith = (log: Logger, options: FastifyServerOptions): FastifyInstance => {
  const answer = (error: unknown, reply: FastifyReply): FastifyReply => {
    if (error instanceof Stop || error instanceof Fault) return sendRefusal(reply, error.refusal)
    const status = (error as { statusCode?: unknown }).statusCode
    if (status === 413) return sendRefusal(reply, refusal('message-too-large'))
    if (typeof status === 'number' && status < 500) return sendRefusal(reply, refusal('malformed'))
    log.error({ err: error }, 'an HTTP request could not be answered')
    return sendRefusal(reply, refusal('internal'))
  }

  const app = fastify({
    logger: false,
    ...options,
    frameworkErrors: (error, _request, reply) => void answer(error, reply),
    // What Node could not read as a request.
    clientErrorHandler: ({ code }, socket) => {
      const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
      const body = JSON.stringify(refusal('malformed'))
      const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, 'Connection: close', 'Content-Type: application/json']
      if (socket.writable) socket.write([...head, `Content-Length: ${body.length}`, '', body].join('\r\n'))
      socket.destroySoon()
    },
  })
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff').header('referrer-policy', 'no-referrer')
    if (!reply.hasHeader('content-security-policy'))
      reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  })
  app.setErrorHandler((error, _request, reply) => answer(error, reply))
  return app
}

/** What lies behind may be away for a while; that is no mistake of ours. */
export const attempt = async <T>(log: Logger, what: string, call: () => Promise<T>): Promise<T> =>
  call().catch(error => {
    if (error instanceof Fault || error instanceof Stop) throw error
    log.error({ err: error }, `${what} failed`)
    throw new Stop(refusal('unavailable'))
  })

/** The token of the header Authorization. */
export const bearerOf = ({ headers }: IncomingMessage): string | undefined =>
  /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]

// The listener for an operator: for whoever says the token, and for no page in a browser.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { describe, expect, it } from 'vitest'
import { refusal } from '../../src/protocol/errors.ts'
import { ConfigurationError, memoryStore } from '../../src/server/index.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

const token = 'sixteen-or-more-characters'

/** The routes of each HTTP side that is made from now on in this test: the server's own, and then the operator's. */
const routesOf = () => {
  const sides: (readonly [method: string, path: string])[][] = []
  const begun = (message: unknown): void => {
    const { fastify: app } = message as { fastify: FastifyInstance }
    const routes: (readonly [string, string])[] = []
    sides.push(routes)
    app.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat()) routes.push([each, url.replace(/:\w+|\*/g, 'x')])
    })
  }
  subscribe('fastify.initialization', begun)
  afterwards(() => unsubscribe('fastify.initialization', begun))
  return { sides }
}

const operator = async () => {
  const store = memoryStore()
  let away = false
  const post: typeof store.notices.post = async (...args) =>
    away ? Promise.reject(new Error('away')) : store.notices.post(...args)
  const server = await serverWith({
    store: { ...store, notices: { ...store.notices, post } },
    authenticate: token => ({ id: token ?? 'nobody' }),
  })
  const { url } = await server.listen(0)
  const admin = await server.listenAdmin(0, { token })
  const asks = async (path: string, body?: unknown, headers: Record<string, string> = { authorization: `Bearer ${token}` }) => {
    const response = await fetch(`${admin.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>) }
  }
  return { url, adminUrl: admin.url, asks, leaves: () => (away = true) }
}

describe('an operator', () => {
  it('[P6] revokes, lists and restores', async () => {
    const { url, asks } = await operator()
    const ann = connects(url, { token: 'ann' })
    await ann.next('welcome')
    expect(await asks('/v1/revoke', { user: 'ann', lasts: 60_000 })).toEqual({ status: 204, body: null })
    expect((await ann.next('refused')).refusal.code).toBe('revoked')
    expect(await asks('/v1/revocations')).toEqual({
      status: 200,
      body: [{ user: 'ann', leaves: 'none', until: expect.closeTo(Date.now() + 60_000, -4) }],
    })
    expect((await asks('/v1/restore', { user: 'ann' })).status).toBe(204)
    expect((await asks('/v1/recheck', {})).status).toBe(204)
    expect((await asks('/v1/revocations')).body).toEqual([])
    await connects(url, { token: 'ann' }).next('welcome')
  })

  it.each([
    ['nobody and nothing', '/v1/revoke', {}, 400, 'malformed'],
    ['a user and a token', '/v1/revoke', { user: 'a', token: 'b' }, 400, 'malformed'],
    ['a document that is none', '/v1/revoke', { document: '' }, 400, 'bad-document-id'],
    ['no time', '/v1/revoke', { user: 'a', lasts: -1 }, 400, 'malformed'],
    ['what there is not', '/v1/revoke', { users: ['a'] }, 400, 'malformed'],
    ['something that is no JSON', '/v1/revoke', '{', 400, 'malformed'],
    ['too much', '/v1/revoke', { user: 'x'.repeat(20_000) }, 413, 'message-too-large'],
    ['what JavaScript keeps for itself', '/v1/revoke', '{"user":"a","__proto__":{"leaves":"read"}}', 400, 'malformed'],
    ['the same in another way', '/v1/revoke', '{"user":"a","constructor":{"prototype":{"leaves":"read"}}}', 400, 'malformed'],
    ['a page that is not there', '/v1/everything', {}, 404, 'not-found'],
  ])('who names %s is told so', async (_, path, body, status, code) => {
    const { asks } = await operator()
    expect(await asks(path, body)).toMatchObject({ status, body: { code } })
  })

  it('is told when the store does not take it', async () => {
    const { asks, leaves } = await operator()
    leaves()
    expect(await asks('/v1/revoke', { user: 'ann' })).toMatchObject({
      status: 503,
      body: { code: 'unavailable', advice: 'retry' },
    })
  })
})

describe('what an operator sees', () => {
  it('[P7] is who is connected, since when, in which documents, with what traffic; and what costs most', async () => {
    const { url, asks } = await operator()
    const before = Date.now()
    const ann = await opens(url, 'minutes', { token: 'ann' })
    const bob = await opens(url, 'minutes', { token: 'bob' })
    await opens(url, 'empty', { token: 'bob' })
    await ann.types('hello')
    await bob.showing('hello')

    const { body } = await asks('/v1/connections')
    const { connections, count } = body as { connections: Record<string, unknown>[]; count: number }
    expect(count).toBe(3)
    expect(connections.map(({ user, documents }) => [user, documents])).toEqual([
      [{ id: 'ann' }, [{ id: 'minutes', right: 'write' }]],
      [{ id: 'bob' }, [{ id: 'minutes', right: 'write' }]],
      [{ id: 'bob' }, [{ id: 'empty', right: 'write' }]],
    ])
    for (const { address, since, bytesIn, bytesOut, form, behind } of connections) {
      expect([address, form, behind]).toEqual(['127.0.0.1', 'binary', false])
      expect(since).toBeGreaterThanOrEqual(before)
      expect(bytesIn).toBeGreaterThan(50)
      expect(bytesOut).toBeGreaterThan(50)
    }
    expect(await asks('/v1/connections?user=bob&document=empty&limit=1')).toMatchObject({ body: { count: 1 } })

    expect((await asks('/v1/load?limit=1')).body).toMatchObject({
      documents: 2,
      connections: 3,
      joined: 3,
      busiest: [{ id: 'minutes', version: 1, durable: 1, members: 2, commits: 1 }],
    })
    const { busiest } = (await asks('/v1/load')).body as unknown as { busiest: { deliveriesPerSecond: number }[] }
    expect(busiest.map(({ deliveriesPerSecond }) => deliveriesPerSecond > 0)).toEqual([true, false])
    expect((await asks('/v1/documents')).body).toEqual({ documents: [{ id: 'minutes' }], next: null })
    expect((await asks('/v1/documents/minutes')).body).toMatchObject({
      ...{ id: 'minutes', type: 'text', version: 1, text: 'hello', people: 2 },
      peers: [{ user: { id: 'ann' } }, { user: { id: 'bob' } }],
    })
    await ann.types('HELLO')
    expect((await asks('/v1/documents/minutes/commits?limit=1')).body).toMatchObject({
      version: 2,
      commits: [{ version: 2, user: 'ann', author: ann.author }],
    })
    expect((await asks('/v1/documents/minutes/commits?after=0&limit=1')).body).toMatchObject({ commits: [{ version: 1 }] })
  })

  it.each([
    ['a document that nobody has written to', '/v1/documents/none', 404, 'not-found'],
    ['a name that no document has', '/v1/documents/%00', 400, 'bad-document-id'],
    ['more than is ever told at once', '/v1/connections?limit=10001', 400, 'malformed'],
    ['what there is not', '/v1/load?by=age', 400, 'malformed'],
  ])('is not %s', async (_, path, status, code) => {
    const { asks } = await operator()
    expect(await asks(path)).toMatchObject({ status, body: { code } })
  })

  it('and whom he kicks has to come back; nobody else has', async () => {
    const { url, asks } = await operator()
    const ann = await opens(url, 'minutes', { token: 'ann' })
    const bob = await opens(url, 'minutes', { token: 'bob' })
    const { body } = await asks('/v1/connections?user=bob')
    const [{ id: connection }] = (body as { connections: [{ id: string }] }).connections
    expect((await asks('/v1/kick', {})).status).toBe(400)
    expect(await asks('/v1/kick', { user: 'ann', connection })).toEqual({ status: 200, body: { kicked: 0 } })
    expect(await asks('/v1/kick', { connection })).toEqual({ status: 200, body: { kicked: 1 } })
    await bob.client.down
    await ann.types('still here')
    expect((await asks('/v1/kick', { document: 'minutes' })).body).toEqual({ kicked: 1 })
    await ann.client.down
  })
})

describe('whoever is none', () => {
  it('[P6] is told nothing, and nothing is done', async () => {
    const { url, adminUrl, asks } = await operator()
    const none: Record<string, string>[] = [
      {},
      { authorization: 'Bearer x' },
      { authorization: `Basic ${token}` },
      { authorization: token },
    ]
    for (const headers of none)
      for (const [path, body] of [
        ['/v1/revoke', { user: 'ann' }],
        ['/v1/revocations', undefined],
        ['/v1/nothing', undefined],
      ] as const)
        expect(await asks(path, body, headers)).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
    // A page that somebody opens beside it, even with the token.
    const page = { authorization: `Bearer ${token}`, origin: adminUrl }
    expect(await asks('/v1/revoke', { user: 'ann' }, page)).toMatchObject({ status: 403, body: { code: 'origin-refused' } })
    await connects(url, { token: 'ann' }).next('welcome')
    // And on the port for everybody there is nothing of the kind.
    expect((await fetch(`${url}/v1/revoke`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })).status).toBe(404)
  })

  it('[P6] is told so by every route that there is, before anything of what he sends is read', async () => {
    const routes = routesOf()
    const { adminUrl } = await operator()
    const [, admin] = routes.sides
    expect(admin!.length).toBeGreaterThan(15)
    const statuses = async (headers: Record<string, string>): Promise<ReadonlySet<number>> => {
      const all = await Promise.all(admin!.map(([method, path]) => fetch(`${adminUrl}${path}`, { method, headers })))
      return new Set(all.map(({ status }) => status))
    }
    expect(await statuses({})).toEqual(new Set([401]))
    expect(await statuses({ authorization: 'Bearer ann' })).toEqual(new Set([401])) // who is a user on the other port
    expect(await statuses({ authorization: `Bearer ${token}`, origin: 'https://evil.example' })).toEqual(new Set([403]))
    for (const [method, path] of admin!.filter(([method]) => method === 'POST')) {
      const socket = dial(Number(new URL(adminUrl).port), '127.0.0.1')
      const answer = new Promise<string>(resolve => socket.once('data', part => resolve(part.toString())))
      socket.write(
        `${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000000\r\n\r\n{`,
      )
      expect((await answer).slice(0, 12), path).toBe('HTTP/1.1 401')
      socket.destroy()
    }
  })

  it('[P6] on the port for everybody there are no other routes than those that the table of rights tries, and none takes a body', async () => {
    const routes = routesOf()
    const { url } = await operator()
    const [everybody] = routes.sides
    const paths = new Set(everybody!.map(([, path]) => path))
    expect(paths).toEqual(new Set(['/livez', '/readyz', '/metrics', '/v1/documents/x', '/v1/documents/x/commits']))
    expect(new Set(everybody!.map(([method]) => method))).toEqual(new Set(['GET', 'HEAD']))
    for (const path of paths) {
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer ann' },
        body: JSON.stringify('x'.repeat(2_000)),
      })
      expect([path, response.status, (await response.json()).code]).toEqual([path, 413, 'message-too-large'])
    }
  })

  it.each([
    ['a request that is none', 'GET / HTTP/9.x\r\n\r\n', 400],
    ['two lengths', 'POST /v1/revoke HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['a head without end', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
  ])('[P5] who sends %s gets a row of the table, and nothing of what serves it', async (_, bytes, status) => {
    const { adminUrl } = await operator()
    const heard = await new Promise<string>(resolve => {
      let text = ''
      const socket = dial(Number(new URL(adminUrl).port), '127.0.0.1')
      socket.on('data', part => (text += part.toString()))
      socket.on('close', () => resolve(text))
      socket.write(bytes)
    })
    const [head = '', body = ''] = heard.split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(JSON.parse(body)).toEqual(refusal('malformed'))
  })

  it('cannot guess a token that is too short to be one, and none is taken that fits in no header', async () => {
    const server = await serverWith()
    for (const token of ['fifteen-letters', 'more than sixteen', 'mehr-als-sechzehn-ä'])
      await expect(server.listenAdmin(0, { token })).rejects.toThrow(ConfigurationError)
  })

  it('finds nobody there once the server is closed', async () => {
    const server = await serverWith()
    const { url } = await server.listenAdmin(0, { token })
    await server.close()
    await expect(fetch(url)).rejects.toThrow()
  })

  it('[P7] does not hold up a server that closes by half a request', async () => {
    const server = await serverWith()
    const { port } = new URL((await server.listenAdmin(0, { token })).url)
    const half = dial(Number(port), '127.0.0.1')
    afterwards(() => half.destroy())
    half.on('error', () => {})
    half.write('GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET /metrics HTTP/1.1\r\n')
    await once(half, 'data') // the whole one is answered
    const ended = once(half, 'close')
    await server.close()
    await ended
  }, 20_000)
})

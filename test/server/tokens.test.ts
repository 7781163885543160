// Tokens of lines that are open: they end, are renewed in band, and are not to be found in an address.

import { request } from 'node:http'
import { expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { type Identity, jwt, type ServerOptions } from '../../src/server/index.ts'
import { afterwards, connects, opens, serverWith, serving } from './worlds.ts'

/** Tokens are what they say: `{"id":"ada","expires":…}`. */
const plain: ServerOptions = { authenticate: token => (token === undefined ? null : (JSON.parse(token) as Identity)) }
const soon = (ms: number): number => Date.now() + ms
const token = (identity: Identity): string => JSON.stringify(identity)

it('[P6] a line outlives its token by the grace, is told when it ends, and is closed after it; an edit that comes then is too late', async () => {
  const url = await serving({ ...plain, limits: { tokenGrace: 1_500 } })
  const ann = await opens(url, 'diary', { token: token({ id: 'ann', expires: soon(300) }) })
  const reader = await opens(url, 'diary', { token: token({ id: 'reader' }) })
  const ended = await ann.client.next('refused')
  expect(ended).toMatchObject({
    doc: null,
    handle: null,
    seq: null,
    refusal: { code: 'unauthenticated', advice: 'reauthenticate' },
  })
  await ann.types('within the grace')
  await reader.showing('within the grace')
  expect((await ann.client.next('refused')).refusal.code).toBe('unauthenticated')
  void ann.types(', and after it')
  expect(await ann.client.down).toMatch(/transport/)
  await reader.types('!')
  expect(reader.shows).toBe('within the grace!')
})

it('[P6] a token with no grace ends with the message that comes after it', async () => {
  const url = await serving({ ...plain, limits: { tokenGrace: 0 } })
  const expires = soon(400)
  const ann = connects(url, { token: token({ id: 'ann', expires }) })
  const { expiresIn } = await ann.next('welcome')
  expect(expiresIn).toBeGreaterThan(0)
  expect(expiresIn).toBeLessThanOrEqual(400)
  while (Date.now() < expires) await new Promise(resolve => setImmediate(resolve))
  ann.send({ kind: 'join', doc: 'diary' as never, type: 'text', position: null })
  expect((await ann.next('refused')).refusal.code).toBe('unauthenticated')
  await ann.down
})

it('[P6] another token of the same user is taken in band, and rights are asked for anew', async () => {
  const url = await serving({ ...plain, authorize: ({ name }) => (name === 'Reader' ? 'read' : 'write') })
  const ann = await opens(url, 'diary', { token: token({ id: 'ann', expires: soon(60_000) }) })
  ann.client.send({ kind: 'authenticate', token: token({ id: 'ann', name: 'Reader', expires: soon(120_000) }) })
  const { user, expiresIn } = await ann.client.next('authenticated')
  expect(user).toEqual({ id: 'ann', name: 'Reader' })
  expect(expiresIn).toBeGreaterThan(60_000)
  expect((await ann.client.next('right')).right).toBe('read')
  ann.client.send({ kind: 'authenticate', token: token({ id: 'ann' }) })
  expect((await ann.client.next('authenticated')).expiresIn).toBeNull()
  expect((await ann.client.next('right')).right).toBe('write')
  // The others see the name that the latest token gives.
  const ben = connects(url, { token: token({ id: 'ben' }) })
  await ben.join('diary')
  ann.client.send({ kind: 'authenticate', token: token({ id: 'ann', name: 'Ann' }) })
  await ann.client.next('authenticated')
  ann.client.send({ kind: 'present', handle: ann.handle, version: 0, state: { here: true } })
  const seen = await ben.next('presence', ({ changes }) =>
    changes.some(change => change.kind === 'here' && change.state.here === true),
  )
  expect(seen.changes).toContainEqual(expect.objectContaining({ user: { id: 'ann', name: 'Ann' } }))
})

it('[P6] a token of somebody else, of nobody, or that has ended is not taken, and changes nothing', async () => {
  const url = await serving({
    authenticate: token => {
      if (token === 'away') throw new Error('the directory is away')
      return token === undefined || token === 'nobody' ? null : (JSON.parse(token) as Identity)
    },
  })
  for (const form of ['binary', 'json'] as const) {
    const ann = await opens(url, form, { form, token: token({ id: 'ann' }) })
    for (const [bad, code] of [
      [token({ id: 'ben' }), 'unauthenticated'],
      ['nobody', 'unauthenticated'],
      [token({ id: 'ann', expires: 1 }), 'unauthenticated'],
      ['away', 'unavailable'],
      [token({ id: '' }), 'internal'],
    ] as const) {
      const { doc, handle, seq, refusal } = await ann.client.refused({ kind: 'authenticate', token: bad })
      expect([doc, handle, seq, refusal.code]).toEqual([null, null, null, code])
    }
    if (form === 'json') {
      ann.client.emit('authenticate', { token: 'x'.repeat(9_000) })
      expect((await ann.client.next('refused')).refusal.code).toBe('unauthenticated')
    }
    await ann.types('still here')
  }
})

it('[P5] while one token is looked at another is not', async () => {
  let answer = (_: Identity): void => {}
  let asked = 0
  const url = await serving({
    authenticate: () => (++asked === 1 ? { id: 'ann' } : new Promise<Identity>(resolve => (answer = resolve))),
  })
  const ann = connects(url, { token: 'T' })
  await ann.next('welcome')
  for (let i = 0; i < 5; i++) ann.send({ kind: 'authenticate', token: 'T' })
  for (let i = 0; i < 4; i++) expect((await ann.next('refused')).refusal.code).toBe('slow-down')
  answer({ id: 'ann' })
  await ann.next('authenticated')
  expect(asked).toBe(2)
})

it('[P6] the client brings another token by itself before the old one ends, and nothing is noticed of it', async () => {
  let given = 0
  const seen: unknown[] = []
  const server = await serverWith({
    authenticate: (token, request) => {
      seen.push([token, request === null])
      return { id: 'ann', name: token!, expires: soon(token === 't1' ? 1_400 : 60_000) }
    },
    limits: { tokenGrace: 60_000 },
  })
  const { url } = await server.listen(0)
  const client = connect(url, { token: async () => `t${++given}` })
  afterwards(() => client.close())
  const doc = await client.open('diary')
  const statuses: string[] = []
  client.on('status', status => statuses.push(status))
  client.on('error', error => statuses.push(error.message))
  expect(client.user).toEqual({ id: 'ann', name: 't1' })
  while (client.user?.name !== 't2') await new Promise(resolve => setTimeout(resolve, 20))
  doc.insert(0, 'on the same line')
  await doc.settled()
  expect(statuses).toEqual([])
  expect(seen).toEqual([
    ['t1', false],
    ['t2', true],
  ])
})

/** The status with which a server answers a WebSocket handshake. */
const upgraded = (url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const key = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
    const asked = request(url, { headers: { connection: 'Upgrade', upgrade: 'websocket', ...key } })
    asked.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode!)
    })
    asked.on('response', response => {
      response.resume()
      resolve(response.statusCode!)
    })
    asked.on('error', reject)
    asked.end()
  })

it('[P6] a token in an address is refused, on both transports and over HTTP, whatever else stands there', async () => {
  const url = await serving({ ...plain, transports: ['websocket', 'polling'] })
  const good = token({ id: 'ann' })
  for (const name of ['token', 'access_token']) {
    const query = `${name}=${encodeURIComponent(good)}`
    const ask = (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers })
    const authorization = `Bearer ${good}`
    expect((await ask(`/v1/documents/diary?${query}`, { authorization })).status).toBe(400)
    expect((await ask(`/v1/documents/diary/commits?after=0&${query}`, { authorization })).status).toBe(400)
    for (const path of ['/socket.io/', '/json/']) {
      const polling = await ask(`${path}?EIO=4&transport=polling&${query}`)
      expect(polling.status).toBe(403)
      expect(await polling.text()).toContain('not into an address')
      expect(await upgraded(`${url}${path}?EIO=4&transport=websocket&${query}`)).toBe(400)
      expect(await upgraded(`${url}${path}?EIO=4&transport=websocket`)).toBe(101)
    }
  }
})

it.each([
  ['half a character of two', '\\ud800'],
  ['a name as long as a book', 'x'.repeat(2_000)],
])(
  '[P5] [P6] a token whose head is to be understood by %s is refused like any other, on every way in and in both forms',
  async (_, name) => {
    const head = Buffer.from(`{"alg":"HS256","crit":["${name}"]}`).toString('base64url')
    for (const shared of [false, true]) {
      const server = await serverWith({ authenticate: jwt({ secret: 's'.repeat(32) }) })
      if (shared) server.io.of('/chat') // so that every line goes through Socket.IO
      const { url } = await server.listen(0)
      for (const form of ['binary', 'json'] as const) {
        const { code, detail = '' } = await connects(url, { form, token: `${head}.e30.AA` }).refusedHello()
        expect(code).toBe('unauthenticated')
        expect(detail.length).toBeLessThanOrEqual(512)
        expect(detail).toMatch(/Extension Header Parameter/)
      }
    }
  },
)

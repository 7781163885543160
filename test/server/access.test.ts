// Who may enter: people by authenticate and authorize, pages by their origin, nobody at all in production without either.

import { afterEach, describe, expect, it, vi } from 'vitest'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import { type Authenticate, ConfigurationError, createServer, memoryStore, type ServerOptions } from '../../src/server/index.ts'
import { originFault, originRule } from '../../src/server/origins.ts'
import { newKey } from './raw.ts'
import { connects, opens, serverWith, serving } from './worlds.ts'

afterEach(() => vi.unstubAllEnvs())

describe('authenticate', () => {
  it('sees the token and the request; whom it does not know is refused as unauthenticated', async () => {
    const seen: unknown[] = []
    const authenticate: Authenticate = async (token, request) => {
      seen.push([token, request?.headers['x-from']])
      return token === 'good' ? { id: 'ann' } : null
    }
    const url = await serving({ authenticate })
    const ann = connects(url, { token: 'good', headers: { 'x-from': 'home' } })
    expect((await ann.next('welcome')).user).toEqual({ id: 'ann' })
    for (const form of ['binary', 'json'] as const) {
      const { code, advice } = await connects(url, { form, token: 'bad' }).refusedHello()
      expect({ code, advice }).toEqual({ code: 'unauthenticated', advice: 'reauthenticate' })
    }
    expect((await connects(url).refusedHello()).code).toBe('unauthenticated')
    expect(seen).toEqual([
      ['good', 'home'],
      ['bad', undefined],
      ['bad', undefined],
      [undefined, undefined],
    ])
  })

  it('that throws counts as unavailable, and one that vouches for nobody sensible as our mistake', async () => {
    const url = await serving({
      authenticate: token => {
        if (token === 'down') throw new Error('the directory is away')
        return { id: token === 'nameless' ? '' : 'x'.repeat(200) }
      },
    })
    expect((await connects(url, { token: 'down' }).refusedHello()).code).toBe('unavailable')
    expect((await connects(url, { token: 'nameless' }).refusedHello()).code).toBe('internal')
    expect((await connects(url, { token: 'endless' }).refusedHello()).code).toBe('internal')
  })

  it('missing means guests in development: the same key is the same guest', async () => {
    const url = await serving()
    const key = newKey()
    const [first, again, other] = await Promise.all(
      [key, key, newKey()].map(async key => (await connects(url, { key }).next('welcome')).user),
    )
    expect(first).toEqual({
      id: expect.stringMatching(/^guest-[\w-]{16}$/),
      name: expect.stringMatching(/^Guest \d{4}$/),
      color: expect.stringMatching(/^#[0-9a-f]{6}$/),
    })
    expect(again).toEqual(first)
    expect(other!.id).not.toBe(first!.id)
  })

  it('missing in production: no server starts', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    const refused = createServer({ store: memoryStore(), logger: 'silent' })
    await expect(refused).rejects.toThrow(ConfigurationError)
    await expect(refused).rejects.toThrow(/authenticate.*production/)
    const url = await serving({ authenticate: () => ({ id: 'ann' }) })
    expect((await connects(url).next('welcome')).user).toEqual({ id: 'ann' })
  })
})

describe('authorize', () => {
  it('decides per document who reads and who writes', async () => {
    const url = await serving({
      authenticate: token => ({ id: token ?? '' }),
      authorize: ({ id }, doc) => (doc === 'diary' ? (id === 'ann' ? 'write' : id === 'ben' ? 'read' : 'none') : 'write'),
    })
    const ann = await opens(url, 'diary', { token: 'ann' })
    await ann.types('Dear diary')
    const ben = connects(url, { token: 'ben' })
    const { right, handle, content } = await ben.join('diary')
    expect(right).toBe('read')
    const answer = await ben.refused({
      kind: 'submit',
      handle: handle as Handle,
      seq: 1,
      position: content.position,
      op: [10, '!'],
    })
    expect(answer).toMatchObject({ doc: 'diary', seq: 1, refusal: { code: 'forbidden' } })
    const cid = connects(url, { token: 'cid' })
    const no = await cid.refused({ kind: 'join', doc: 'diary' as DocId, type: 'text', position: null })
    expect(no).toMatchObject({ doc: 'diary', refusal: { code: 'forbidden' } })
    expect(ann.shows).toBe('Dear diary')
  })
})

describe('origins', () => {
  const allows = (options: ServerOptions, headers: Record<string, string>) =>
    serving({ transports: ['websocket', 'polling'], ...options }).then(async url => {
      const outcomes: boolean[] = []
      for (const transport of ['websocket', 'polling'] as const)
        for (const form of ['binary', 'json'] as const) {
          const client = connects(url, { form, transports: [transport], headers })
          outcomes.push(
            await Promise.race([
              client.next('welcome').then(() => true),
              client.failedLine().then(
                () => false,
                () => true,
              ),
            ]),
          )
        }
      return outcomes
    })
  const [yes, no] = [Array(4).fill(true), Array(4).fill(false)]

  it('pages of other origins are turned away on both transports and in both forms', async () => {
    expect(await allows({ origins: ['https://app.example.com'] }, { origin: 'https://app.example.com' })).toEqual(yes)
    expect(await allows({ origins: ['https://app.example.com'] }, { origin: 'https://evil.example.com' })).toEqual(no)
    expect(await allows({ origins: ['https://app.example.com'] }, { origin: 'http://localhost:5173' })).toEqual(no)
    expect(await allows({}, { origin: 'http://localhost:5173' })).toEqual(yes)
    expect(await allows({}, { origin: 'null' })).toEqual(no)
  })

  it('a browser may read the answers of polling only on a page that may connect', async () => {
    const url = await serving({ transports: ['websocket', 'polling'], origins: ['https://app.example.com'] })
    const ask = (origin: string) => fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers: { origin } })
    const [good, evil] = [await ask('https://app.example.com'), await ask('https://evil.example.com')]
    expect([good.status, good.headers.get('access-control-allow-origin')]).toEqual([200, 'https://app.example.com'])
    expect([evil.status, evil.headers.get('access-control-allow-origin')]).toEqual([403, null])
  })

  it('the rule: in development every port of this machine, in production the same host, always what is listed', () => {
    const rule = (origins: readonly string[] | null, development: boolean) => (origin: string | undefined) =>
      originRule(origins, development)({ headers: { host: 'docs.example.com', ...(origin === undefined ? {} : { origin }) } })
    const asked = [
      undefined,
      'https://docs.example.com',
      'http://localhost:5173',
      'http://127.0.0.1:1',
      'http://[::1]:1',
      'https://app.example.com',
      'null',
      'http://localhost.evil.com',
      '',
    ]
    const table = (origins: readonly string[] | null, development: boolean) => asked.map(rule(origins, development))
    expect(table(null, true)).toEqual([true, true, true, true, true, false, false, false, false])
    expect(table(null, false)).toEqual([true, true, false, false, false, false, false, false, false])
    expect(table(['https://app.example.com'], true)).toEqual([true, true, false, false, false, true, false, false, false])
    expect(table(['*'], false)).toEqual(asked.map(() => true))
  })

  it('HTTP answers no page of another origin, and lets one that may connect ask with its token', async () => {
    const origins = ['https://app.example.com']
    const url = await serving({ origins, authenticate: token => (token === undefined ? null : { id: token }) })
    const ask = (path: string, headers: Record<string, string>, method = 'GET') => fetch(`${url}${path}`, { method, headers })
    for (const path of ['/livez', '/readyz', '/v1/documents/x', '/v1/documents/x/commits', '/nothing']) {
      const evil = await ask(path, { origin: 'https://evil.example.com', authorization: 'Bearer ann' })
      expect([path, evil.status, evil.headers.get('access-control-allow-origin')]).toEqual([path, 403, null])
    }
    const good = await ask('/v1/documents/x', { origin: origins[0]!, authorization: 'Bearer ann' })
    expect([good.status, good.headers.get('access-control-allow-origin'), good.headers.get('vary')]).toEqual([
      404,
      origins[0],
      'origin',
    ])
    const first = {
      origin: origins[0]!,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization',
    }
    const allowed = await ask('/v1/documents/x', first, 'OPTIONS')
    expect([allowed.status, allowed.headers.get('access-control-allow-headers')]).toEqual([204, 'authorization'])
    expect((await ask('/v1/documents/x', { ...first, origin: 'https://evil.example.com' }, 'OPTIONS')).status).toBe(403)
  })

  it('in production nobody may let in the pages of every site', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    const options: ServerOptions = { store: memoryStore(), logger: 'silent', authenticate: () => null, origins: ['*'] }
    await expect(createServer(options)).rejects.toThrow(/origins: \* lets the pages of every site in/)
  })

  it('a list of origins with something else in it is refused before the server starts', async () => {
    expect(['https://app.example.com', 'http://localhost:3000', '*'].map(originFault)).toEqual([null, null, null])
    for (const origin of ['app.example.com', 'https://app.example.com/', 'https://app.example.com/page', 'null', ''])
      expect(originFault(origin)).toMatch(/not an origin/)
  })
})

describe('a faulty configuration', () => {
  it('is told in all its parts at once', async () => {
    const options = {
      origins: ['example.com'],
      limits: { messageBytes: -1, unheardOf: 3 },
      transports: ['carrier pigeon'],
      path: 'no-slash',
      logger: 'loud',
      attach: 7,
      speling: true,
    } as unknown as ServerOptions
    const faults = await serverWith(options).catch((error: ConfigurationError) => error.faults)
    const named = ['origins.0', 'limits.messageBytes', 'limits', 'transports.0', 'path', 'logger', 'attach', 'speling']
    for (const name of named) expect(faults).toContainEqual(expect.stringContaining(name))
  })

  it('[P5] no signal may be longer than every store can carry; one that is as long as that is carried, whatever is in it', async () => {
    const most = 21_162
    const faults = await serverWith({ limits: { signalBytes: most + 1 } }).catch((error: ConfigurationError) => error.faults)
    expect(faults).toEqual([`limits.signalBytes: is ${most + 1}, and a store carries at most ${most}`])
    const name = '\u0001'.repeat(128)
    const authenticate = () => ({ id: name, name, color: '#000000' })
    const url = await serving({ limits: { signalBytes: most }, authenticate })
    const [ann, ben] = [connects(url), connects(url)]
    const { handle } = await ann.join('notes')
    await ben.join('notes')
    const payload = '\u0001'.repeat(most - 3)
    ann.send({ kind: 'signal', handle, name: 'é'.repeat(32), payload })
    expect(await ben.next('signalled')).toMatchObject({ user: { id: name }, payload })
  })
})

// The HTTP side: what an operator and a program may ask, and what the application's own server keeps.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { errorCodes } from '../../src/protocol/errors.ts'
import { checkNames } from '../../src/server/checks.ts'
import { memoryStore } from '../../src/server/index.ts'
import { afterwards, connects, opens, serverWith, serving } from './worlds.ts'

const ask = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { headers })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Record<string, unknown> }
}

describe('health', () => {
  it('says that it is alive, and ready', async () => {
    const url = await serving()
    expect((await ask(`${url}/livez`)).status).toBe(200)
    const { status, body } = await ask(`${url}/readyz`)
    expect([status, body]).toEqual([200, { status: 'ok' }])
    const { checks } = (await ask(`${url}/readyz?verbose`)).body as { checks: { name: string }[] }
    expect(checks).toEqual(checkNames.map(name => ({ name, ok: true, since: expect.stringMatching(/^\d{4}-.*Z$/) })))
  })

  it('is alive but not ready when the store is away or the server drains, and says why', async () => {
    let away = false
    const store = memoryStore()
    const server = await serverWith({
      limits: { unreadyAfter: 0 },
      store: { ...store, ready: async () => (away ? Promise.reject(new Error('gone fishing, password hunter2')) : undefined) },
    })
    const { url } = await server.listen(0)
    away = true
    const { status, body } = await ask(`${url}/readyz`)
    expect({ status, body }).toEqual({
      status: 503,
      body: {
        status: 'unready',
        reasons: ['store memory has not answered for 0 s'],
        checks: [
          {
            name: 'store',
            ok: false,
            since: expect.stringMatching(/^\d{4}-.*Z$/),
            reason: 'store memory has not answered for 0 s',
            mend: expect.any(String),
          },
        ],
      },
    })
    away = false
    server.drain()
    expect(await ask(`${url}/readyz`)).toMatchObject({ status: 503, body: { reasons: expect.arrayContaining(['draining']) } })
    expect((await ask(`${url}/livez`)).status).toBe(200)
  })
})

describe('documents', () => {
  it('are read with their position, and their commits page by page', async () => {
    const url = await serving()
    const id = 'Bücher/2026 100%'
    const ann = await opens(url, id)
    await ann.types('one')
    await ann.types(' two')
    const at = `${url}/v1/documents/${encodeURIComponent(id)}`
    const { epoch } = ann.at
    expect((await ask(at)).body).toEqual({ id, type: 'text', epoch, version: 2, text: 'one two' })
    const commit = (version: number, op: unknown) => ({
      version,
      author: ann.author,
      seq: version,
      user: `guest-${ann.author}`,
      time: expect.any(Number),
      op,
    })
    expect((await ask(`${at}/commits`)).body).toEqual({
      id,
      epoch,
      version: 2,
      commits: [commit(1, ['one']), commit(2, [3, ' two'])],
    })
    expect((await ask(`${at}/commits?after=1`)).body).toMatchObject({ commits: [commit(2, [3, ' two'])] })
    expect((await ask(`${at}/commits?after=0&limit=1`)).body).toMatchObject({ version: 2, commits: [commit(1, ['one'])] })
  })

  it('are opened by the same people as over a socket', async () => {
    const url = await serving({
      authenticate: token => (token === undefined ? null : { id: token }),
      authorize: ({ id }) => (id === 'ann' ? 'write' : 'none'),
    })
    await (await opens(url, 'diary', { token: 'ann' })).types('Dear diary')
    const at = `${url}/v1/documents/diary`
    expect((await ask(at, { authorization: 'Bearer ann' })).body).toMatchObject({ text: 'Dear diary' })
    expect(await ask(at)).toMatchObject({ status: 401, body: { code: 'unauthenticated', advice: 'reauthenticate' } })
    expect(await ask(at, { authorization: 'Basic ann' })).toMatchObject({ status: 401 })
    expect(await ask(at, { authorization: 'Bearer ben' })).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(await ask(`${at}/commits`, { authorization: 'Bearer ben' })).toMatchObject({ status: 403 })
  })

  it.each([
    ['a document nobody has written to', '/v1/documents/nobody-wrote-this', 404, 'not-found'],
    ['a page that is not there', '/nothing', 404, 'not-found'],
    ['an id of 257 bytes', `/v1/documents/${'x'.repeat(257)}`, 400, 'bad-document-id'],
    ['an id of 10 kB', `/v1/documents/${'x'.repeat(10_000)}`, 400, 'bad-document-id'],
    ['an id with a control character', '/v1/documents/a%07b', 400, 'bad-document-id'],
    ['an id that is not UTF-8', '/v1/documents/%ff', 400, 'malformed'],
    ['a version below zero', '/v1/documents/x/commits?after=-1', 400, 'malformed'],
    ['a version that is no number', '/v1/documents/x/commits?after=one', 400, 'malformed'],
    ['a page that is too long', '/v1/documents/x/commits?limit=100000', 400, 'malformed'],
    ['a question that is none', '/v1/documents/x/commits?before=3', 400, 'malformed'],
  ])('%s is answered with a row of the table', async (_, path, status, code) => {
    const answer = await ask((await serving()) + path)
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status, code })
    expect(errorCodes).toContain(code)
  })

  it('say nothing of what serves them, and are kept by no cache', async () => {
    const { headers } = await ask(`${await serving()}/livez`)
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    })
    expect([...headers.keys()].filter(name => /server|powered/.test(name))).toEqual([])
  })
})

describe('a folder of pages', () => {
  it('is served at /, the page at every address that a person may open, and nothing outside of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'inkwell-pages-'))
    afterwards(() => rmSync(folder, { recursive: true }))
    mkdirSync(join(folder, 'pages', 'assets'), { recursive: true })
    writeFileSync(join(folder, 'pages', 'index.html'), '<title>the page</title>')
    writeFileSync(join(folder, 'pages', 'assets', 'page.js'), 'alert(1)')
    writeFileSync(join(folder, 'secret'), 'secret')
    const url = await serving({ demo: join(folder, 'pages') })
    const open = async (path: string, accept = 'text/html') => {
      const response = await fetch(url + path, { headers: { accept } })
      return { status: response.status, policy: response.headers.get('content-security-policy'), text: await response.text() }
    }
    for (const path of ['/', '/index.html', '/meeting-notes', '/a/b?c']) {
      const { status, policy, text } = await open(path)
      expect([status, text]).toEqual([200, '<title>the page</title>'])
      expect(policy).toContain("script-src 'self'")
    }
    expect(await open('/assets/page.js', '*/*')).toMatchObject({ status: 200, text: 'alert(1)' })
    expect(await open('/assets/other.js', '*/*')).toMatchObject({ status: 404 })
    expect(await open('/v1/nothing')).toMatchObject({ status: 404 })
    for (const path of ['/../secret', '/%2e%2e/secret', '/..%2fsecret', '/assets/..%2f..%2fsecret'])
      expect((await open(path, '*/*')).status).toBeGreaterThanOrEqual(400)
  })

  it('not beside the pages of an application', async () => {
    await expect(serverWith({ demo: '.', attach: createHttpServer() })).rejects.toThrow(/demo/)
  })
})

describe('attached to a server of the application', () => {
  const application = async () => {
    const http = createHttpServer((request, response) => response.end(`the application at ${request.url}`))
    http.on('upgrade', (request, socket) => {
      const answer = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: theirs\r\nConnection: Upgrade\r\n\r\nhello'
      if (request.url === '/theirs') setTimeout(() => socket.end(answer), 50) // it may take its time
    })
    const server = await serverWith({ attach: http })
    await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
    afterwards(() => new Promise(resolve => http.close(resolve)))
    return { server, http, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
  }

  const upgraded = (url: string, path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request(`${url}${path}`, { headers: { connection: 'Upgrade', upgrade: 'theirs' } })
      asked.on('upgrade', (response, socket, head) => {
        socket.destroy()
        resolve(`${response.statusCode} ${head.toString()}`)
      })
      asked.on('error', reject)
      asked.end()
    })

  it('its pages and its upgrades stay its own; documents work beside them', async () => {
    const { url } = await application()
    const text = async (path: string) => (await fetch(url + path)).text()
    expect(await text('/')).toBe('the application at /')
    expect(await text('/v1/users')).toBe('the application at /v1/users')
    expect(await text('/livez/of/mine')).toBe('the application at /livez/of/mine')
    expect((await ask(`${url}/livez`)).body).toEqual({ status: 'ok' })
    expect(await upgraded(url, '/theirs')).toMatch(/^101/)
    const ann = await opens(url, 'notes')
    const cid = await opens(url, 'notes', { form: 'json' })
    await ann.types('beside')
    await cid.showing('beside')
    expect((await ask(`${url}/v1/documents/notes`)).body).toMatchObject({ text: 'beside' })
  })

  it('closing lets go of its clients and leaves the application as it was', async () => {
    const { server, url } = await application()
    const client = connects(url)
    await client.next('welcome')
    await server.close()
    expect(await client.down).toMatch(/^transport/)
    expect(await (await fetch(`${url}/livez`)).text()).toBe('the application at /livez')
    expect(await upgraded(url, '/theirs')).toMatch(/^101/)
  })

  it('it is the application that listens', async () => {
    const { server } = await application()
    await expect(server.listen(0)).rejects.toThrow(/attached/)
  })
})

// An operator looks: at a server over its admin listener, at a Redis beside running servers, at a directory whose server has stopped.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { operations } from '../../src/cli/operations.ts'
import { embeddedStore } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { Run } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, opens, serverWith } from '../server/worlds.ts'
import { does, prints } from './does.ts'

const token = 'sixteen-or-more-characters'

const directory = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-look-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const written = async (url: string) => {
  const ann = await opens(url, 'minutes', { token: 'ann' })
  await ann.types('Hello')
  await ann.types('HELLO, ', 0)
  await (await opens(url, 'été/1', { token: 'bob' })).types('x')
  return ann
}

const authenticate = (token: string | undefined) => ({ id: token ?? 'nobody' })

it('[P7] documents, texts, versions and commits read alike from a server, from a Redis and from a directory', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const path = directory()
  const server = await serverWith({ store: embeddedStore({ path }), authenticate })
  const shared = await serverWith({ store: redisStore(redis.url), authenticate })
  await written((await server.listen(0)).url)
  await written((await shared.listen(0)).url)
  const admin = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  const looks = async (environment: Record<string, string>) => {
    const list = await prints('documents', {}, environment)
    expect(list.split('\n').map(line => line.split('\t').slice(0, 2))).toEqual([['minutes', '2'], ['été/1', '1'], ['']])
    expect(await prints('documents', { after: 'minutes', json: true }, environment)).toMatch(
      /^\{"id":"été\/1","version":1,.*\}\n$/,
    )
    expect(await prints('cat', { doc: 'minutes' }, environment)).toBe('HELLO, Hello')
    expect(await prints('at', { doc: 'minutes', version: '1' }, environment)).toBe('Hello')
    expect(await prints('at', { doc: 'minutes', version: '0' }, environment)).toBe('')
    expect(JSON.parse(await prints('cat', { doc: 'été/1', json: true }, environment))).toMatchObject({ version: 1, text: 'x' })
    const log = (await prints('log', { doc: 'minutes' }, environment)).split('\n').map(line => line.split('\t'))
    expect(log).toEqual([
      ['1', expect.stringMatching(/^\d{4}-.*Z$/), 'ann', expect.stringMatching(/:1$/), '+5 at 0'],
      ['2', expect.stringMatching(/^\d{4}-.*Z$/), 'ann', expect.stringMatching(/:2$/), '+7 at 0'],
      [''],
    ])
    expect(JSON.parse(await prints('log', { doc: 'minutes', after: '1', json: true }, environment))).toMatchObject({
      ...{ version: 2, user: 'ann', seq: 2, op: ['HELLO, '] },
    })
    for (const [name, flags, says] of [
      ['cat', { doc: 'none' }, 'nobody has written to "none"'],
      ['at', { doc: 'minutes', version: '3' }, '"minutes" is at version 2; there is no 3 yet'],
    ] as const)
      await expect(does(name, flags, environment)).rejects.toThrow(says)
  }
  await looks(admin)
  await looks({ REDIS_URL: redis.url })
  await expect(does('documents', {}, { INKWELL_STORE: `embedded:${path}` })).rejects.toThrow(
    /is in use by another server \(process \d+\).*Ask that server: --admin-url/,
  )
  await server.close()
  await looks({ INKWELL_STORE: `embedded:${path}` })
})

it('[P7] who is connected, what costs most, and who is put out', async () => {
  const server = await serverWith({ authenticate })
  const { url } = await server.listen(0)
  const environment = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  const ann = await written(url)
  const lines = (await prints('connections', {}, environment)).trim().split('\n')
  expect(lines.map(line => line.split('\t').slice(1, 5))).toEqual([
    ['ann', '127.0.0.1', expect.stringMatching(/^\d+ s$/), 'minutes'],
    ['bob', '127.0.0.1', expect.stringMatching(/^\d+ s$/), 'été/1'],
  ])
  expect(JSON.parse(await prints('connections', { user: 'bob', json: true }, environment))).toMatchObject({ user: { id: 'bob' } })
  expect((await prints('documents', { busy: true }, environment)).split('\t')[0]).toBe('minutes')
  const [connection] = lines[0]!.split('\t')
  expect((await does('kick', { connection: connection! }, environment)).said).toMatch(/^closed 1 /)
  await ann.client.down
})

it('a kick reaches the servers that share a store', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const [here, there] = await Promise.all([0, 1].map(() => serverWith({ store: redisStore(redis.url), authenticate })))
  const ann = await opens((await there!.listen(0)).url, 'minutes', { token: 'ann' })
  const environment = { INKWELL_ADMIN_URL: (await here!.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  expect((await does('kick', { user: 'ann' }, environment)).said).toMatch(/^closed 0 /)
  await ann.client.down
})

it('[P7] over the Redis of many servers, who is connected to any of them is listed and put out, without an admin listener', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const environment = { REDIS_URL: redis.url }
  const servers = await Promise.all([0, 1].map(() => serverWith({ store: redisStore(redis.url), authenticate })))
  const [ann, bob] = await Promise.all(
    servers.map(async (server, i) => opens((await server.listen(0)).url, 'minutes', { token: i === 0 ? 'ann' : 'bob' })),
  )
  const listed = async (flags = {}) =>
    (await prints('connections', { json: true, ...flags }, environment))
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { node: string; user: { id: string }; documents: unknown })
  const found = await listed()
  expect(found.map(({ user, documents }) => [user.id, documents]).sort()).toEqual([
    ['ann', [{ id: 'minutes', right: 'write' }]],
    ['bob', [{ id: 'minutes', right: 'write' }]],
  ])
  expect(new Set(found.map(({ node }) => node)).size).toBe(2)
  expect((await listed({ user: 'bob' })).map(({ user }) => user.id)).toEqual(['bob'])
  const { out, said } = await does('connections', { limit: '1' }, environment)
  expect([out.trim().split('\n').length, said]).toEqual([1, '1 more: --limit\n'])
  expect((await does('kick', { user: 'ann' }, environment)).said).toBe('closed 1 at 2 servers\n')
  await ann!.client.down
  await bob!.types('still here')
})

it('a person gets columns, and no text of anybody is a command to the terminal', async () => {
  const server = await serverWith({ authenticate })
  const { url } = await server.listen(0)
  const environment = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  await (await opens(url, 'minutes', { token: 'ann' })).types('a\u001b[31mb\n\tc\u009b')
  expect(await prints('cat', { doc: 'minutes' }, environment)).toBe('a\u001b[31mb\n\tc\u009b')
  expect(await prints('cat', { doc: 'minutes' }, environment, { terminal: true })).toBe('a\ufffd[31mb\n\tc\ufffd\n')
  const plain = await prints('documents', {}, environment, { terminal: true })
  expect(plain.split('\n').map(line => line.trimEnd())).toEqual([
    'document  version  durable  horizon  checkpoint',
    'minutes         1        1        0           0',
    '',
  ])
  expect(await prints('documents', {}, environment, { terminal: true, colour: true })).toContain('\u001b[1mdocument')
})

it('what is wrong is told at once, with code 2, and nothing is begun', async () => {
  const path = directory()
  const run = new Run(['log', '--limit', 'few', '--store', `embedded:${path}`], { INKWELL_ADMIN_URL: 'nowhere' })
  expect(await run.ended).toBe(2)
  expect(run.out).toBe('')
  expect(run.err).toBe(
    [
      'inkwell: the configuration has 4 faults',
      '  - <doc>: is missing',
      '  - --limit: must be a whole number',
      '  - INKWELL_ADMIN_URL: is no URL',
      `  - --store: there is no data in ${path}; say where: --admin-url, or another --store`,
      '',
    ].join('\n'),
  )
  const faults: readonly (readonly [string, Record<string, string | boolean>, Record<string, string>, string])[] = [
    ['cat', { doc: '\u0000' }, {}, '<doc>: The document id'],
    [
      'cat',
      { doc: 'x' },
      { INKWELL_STORE: 'memory:' },
      'INKWELL_STORE: what is in the memory of a server is reached by --admin-url only',
    ],
    ['cat', { doc: 'x' }, { INKWELL_STORE: `embedded:${path}` }, `INKWELL_STORE: there is no data in ${path}`],
    ['connections', {}, {}, '--admin-url: say at which server'],
    ['kick', {}, { INKWELL_ADMIN_URL: 'http://127.0.0.1:1' }, 'nothing is done there without --admin-token-file'],
    ['kick', {}, { INKWELL_ADMIN_URL: 'http://127.0.0.1:1' }, '--user, --connection, --doc: at least one of them'],
    ['documents', { busy: true }, { INKWELL_STORE: 'redis://127.0.0.1:1' }, '--busy: only a server knows that'],
  ]
  for (const [name, flags, environment, says] of faults) await expect(does(name, flags, environment)).rejects.toThrow(says)
  await expect(does('documents', {}, { REDIS_URL: 'redis://127.0.0.1:1' })).rejects.toThrow(
    'no connection to redis://127.0.0.1:1',
  )
})

it('[P7] each command has an example of itself to show', () => {
  for (const [name, { examples, says }] of Object.entries(operations)) {
    expect(says).toMatch(/^[a-z]/)
    expect(examples.length, name).toBeGreaterThan(0)
    for (const line of examples) expect(line).toMatch(new RegExp(`^inkwell ${name}( |$)`))
  }
})

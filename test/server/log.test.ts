// What the server writes to its log: of what happens in its engine, of whom, and nothing that is a secret or somebody's text.

import { createHash } from 'node:crypto'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import { writeDown } from '../../src/server/log.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { newKey } from './raw.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

interface Written {
  readonly level: number
  readonly msg: string
  readonly [fact: string]: unknown
}

/** A log of everything, as it is written. */
const logBook = () => {
  const lines: string[] = []
  const logger = pino({ level: 'trace', base: null }, { write: (line: string) => lines.push(line) })
  return { logger, lines, written: () => lines.map(line => JSON.parse(line) as Written) }
}

it('[P5] with a store that is away a thousand documents are one error in ten seconds, and the next one says how many they were', () => {
  let time = 0
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug', base: null, timestamp: false }, { write: line => lines.push(JSON.parse(line)) })
  const tell = writeDown(log, () => time)
  const away = (call: string) => {
    for (let i = 0; i < 1_000; i++)
      tell({ kind: 'store-failed', doc: `doc${i}` as DocId, call, error: new Error('no connection to redis://127.0.0.1:6379') })
  }
  away('read')
  time = 9_999
  away('read')
  time = 10_000
  away('read')
  away('append')
  const errors = lines.filter(({ level }) => level === 50)
  expect(errors.map(({ doc, call, untold }) => [doc, call, untold])).toEqual([
    ['doc0', 'read', undefined],
    ['doc0', 'read', 1_999],
    ['doc0', 'append', undefined],
  ])
  expect(lines, 'all of them are there for whoever asks for more').toHaveLength(4_000)
})

it('any number of different faults take a bounded place in memory, and each is told', () => {
  const lines: string[] = []
  const tell = writeDown(pino({}, { write: line => lines.push(line) }), () => 0)
  for (let i = 0; i < 1_000; i++) tell({ kind: 'store-failed', doc: 'doc' as DocId, call: 'read', error: `fault ${i}` })
  expect(lines).toHaveLength(1_000)
})

it('[P7] who comes, joins, edits, is refused and goes is one line each, with user, line and document', async () => {
  const { logger, written } = logBook()
  const server = await serverWith({ logger, authenticate: token => ({ id: token ?? 'nobody' }) })
  const { url } = await server.listen(0)
  const ann = await opens(url, 'notes', { token: 'ann' })
  await ann.types('x')
  await ann.client.refused({ kind: 'submit', handle: ann.handle, seq: 7, position: ann.at, op: [9, 'y'] })
  ann.client.close()
  await expect.poll(() => written().some(({ msg }) => msg === 'disconnected')).toBe(true)
  const { connection } = written().find(({ msg }) => msg === 'connected')!
  expect(connection).toMatch(/^[0-9a-f]{6}-1$/)
  const of = (msg: string) => written().filter(line => line.msg === msg)
  const who = { user: 'ann', connection, author: ann.author }
  expect(of('connected')).toMatchObject([{ level: 30, ...who, form: 'binary' }])
  expect(of('joined')).toMatchObject([{ level: 20, doc: 'notes', ...who, content: 'snapshot' }])
  expect(of('committed')).toMatchObject([{ level: 10, doc: 'notes', ...who, seq: 1, version: 1, ms: expect.any(Number) }])
  expect(of('refused')).toMatchObject([{ level: 20, doc: 'notes', ...who, seq: 7, code: 'bad-op' }])
  expect(of('left')).toMatchObject([{ level: 20, doc: 'notes', ...who, code: null }])
  expect(of('disconnected')).toMatchObject([{ level: 30, connection, user: 'ann', reason: 'client namespace disconnect' }])
})

it('[P7] an edit has one trace id on every node, which anybody can work out from document, author and seq', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const [near, far] = [logBook(), logBook()]
  const urls = []
  for (const { logger } of [near, far])
    urls.push((await (await serverWith({ store: redisStore(redis.url), logger })).listen(0)).url)
  const [ann, ben] = [await opens(urls[0]!, 'notes'), await opens(urls[1]!, 'notes')]
  await ann.types('x')
  await ben.showing('x')
  const trace = createHash('sha256').update(`notes\n${ann.author}\n1`).digest('hex').slice(0, 32)
  const facts = { doc: 'notes', author: ann.author, seq: 1, version: 1, trace }
  expect(near.written().filter(line => 'trace' in line)).toMatchObject([{ msg: 'committed', ...facts }])
  expect(far.written().filter(line => 'trace' in line)).toMatchObject([{ msg: 'heard', ...facts }])
})

it('[P5] no token and no text is in the log, at its finest level, after everything that can be said, well or badly', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const { logger, lines, written } = logBook()
  const [token, text] = ['TOKENtokenTOKEN', 'TEXTtextTEXT']
  const server = await serverWith({
    store: redisStore(redis.url),
    logger,
    authenticate: token => {
      if (token?.startsWith('bad')) throw Object.assign(new Error(`what is ${token}?`), { request: { token } })
      return { id: 'ann' }
    },
    limits: { connectionsPerUser: 50, malformedMessages: 1 },
  })
  const { url } = await server.listen(0)
  const admin = await server.listenAdmin(0, { token: `${token}-of-admin` })
  const ann = await opens(url, 'notes', { token })
  const ben = await opens(url, 'notes', { token, form: 'json' })
  await ann.types(text)
  await ben.showing(text)
  const { client, handle } = ann
  client.send({ kind: 'present', handle, version: 1, state: { text } })
  client.send({ kind: 'signal', handle, name: 'said', payload: text })
  await ben.client.next('signalled')
  client.send({ kind: 'probe' })
  await client.next('alive')
  client.send({ kind: 'authenticate', token })
  await client.next('authenticated')
  client.send({ kind: 'authenticate', token: `bad${token}` })
  await client.next('refused')
  await client.refused({ kind: 'submit', handle, seq: 9, position: ann.at, op: [99, text] })
  await client.refused({ kind: 'submit', handle: 99 as Handle, seq: 9, position: ann.at, op: [text] })
  await client.refused({ kind: 'join', doc: 'other' as DocId, type: text, position: null })

  await connects(url, { token: `bad${token}` }).refusedHello()
  await connects(url, { hello: { protocol: text, key: newKey(), token } }).refusedHello()
  const rude = await opens(url, 'notes', { token, form: 'json' })
  rude.client.emit(text, { text })
  rude.client.emit('submit', { op: text })
  rude.client.emit('submit', text, { token })
  await rude.client.down
  const ruder = await opens(url, 'notes', { token })
  ruder.client.sendFrame(new TextEncoder().encode(`\u0001${text}`))
  await ruder.client.down
  await fetch(`${url}/v1/documents/notes?token=${token}`)
  await fetch(`${url}/v1/documents/notes`, { headers: { authorization: `Bearer bad${token}` } })
  await fetch(`${admin.url}/v1/revoke`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}-of-admin`, 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'ben', [text]: text }),
  })

  // Redis says no, and its client hangs on the error what it was to write.
  await redis.do(client => client.config('SET', 'maxmemory', '1'))
  const typed = ann.types(`more ${text} `)
  await expect
    .poll(() => written().some(({ msg, call }) => msg === 'store-failed' && call === 'append'), { timeout: 60_000 })
    .toBe(true)
  await redis.do(client => client.config('SET', 'maxmemory', '0'))
  await typed
  client.send({ kind: 'leave', handle })
  await server.close()

  const said = new Set(written().map(({ msg }) => msg))
  for (const msg of [
    'connected',
    'joined',
    'committed',
    'delivered',
    'refused',
    'left',
    'disconnected',
    'store-failed',
    'authenticate failed',
  ])
    expect(said).toContain(msg)
  expect(lines.join('')).toContain('OOM command not allowed')
  expect(lines.filter(line => line.includes(text) || line.includes(token))).toEqual([])
})

it('[P7] an operator changes the level of a log while all runs, and an application that of its own keeps its own', async () => {
  const { logger, written } = logBook()
  logger.level = 'info'
  const token = 'sixteen-or-more-characters'
  const server = await serverWith({ logger })
  const { url } = await server.listen(0)
  const admin = await server.listenAdmin(0, { token })
  const level = async (method: string, body?: object) => {
    const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
    const response = await fetch(`${admin.url}/v1/log-level`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return response.json()
  }
  expect(await level('GET')).toEqual({ level: 'info' })
  await opens(url, 'one')
  expect(await level('PUT', { level: 'debug' })).toEqual({ level: 'debug', was: 'info' })
  await opens(url, 'two')
  expect(written().flatMap(({ msg, doc }) => (msg === 'joined' ? [doc] : []))).toEqual(['two'])
  expect(await level('PUT', { level: 'loud' })).toMatchObject({ code: 'malformed' })
  expect([server.logLevel, logger.level]).toEqual(['debug', 'info'])
  server.logLevel = 'warn'
  expect(await level('GET')).toEqual({ level: 'warn' })
})

// What a server counts, read as Prometheus reads it, and who may read it.

import { createServer as createHttpServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { knock } from './knock.ts'
import { afterwards, connects, opens, serverWith, serving } from './worlds.ts'

afterEach(() => vi.unstubAllEnvs())

const token = 'sixteen-or-more-characters'

/** The value of every line: `inkwell_joins_total{content="snapshot"}` → 2. */
const valuesIn = (text: string): { readonly [line: string]: number } =>
  Object.fromEntries(
    [...text.matchAll(/^([a-z_:]+(?:\{[^}]*\})?) (\S+)$/gm)].map(([, line, value]) => [line, Number(value)] as const),
  )

const scrape = async (url: string) => valuesIn(await (await fetch(`${url}/metrics`)).text())

it('[P7] a session shows in the metrics: lines, joins, edits, their times, bytes, refusals', async () => {
  const url = await serving()
  const ann = await opens(url, 'notes', { form: 'json' })
  const ben = await opens(url, 'notes')
  await ann.types('one ')
  await ben.showing('one ')
  await ben.types('two ')
  await ann.showing('one two ')
  await ann.client.refused({ kind: 'submit', handle: ann.handle, seq: 9, position: ann.at, op: [99, 'x'] })
  ben.client.emit('nonsense', {})
  await ben.client.next('refused')
  await connects(url, { hello: { protocol: [7, 7], key: 'x' } }).refusedHello()
  const found = await scrape(url)
  expect(found).toMatchObject({
    inkwell_ready: 1,
    inkwell_store_up: 1,
    inkwell_connections: 2,
    inkwell_connections_opened_total: 2,
    inkwell_documents_open: 1,
    inkwell_members: 2,
    'inkwell_joins_total{content="snapshot"}': 2,
    'inkwell_commits_total{origin="here"}': 2,
    'inkwell_commits_total{origin="elsewhere"}': 0,
    inkwell_commits_sent_total: 4,
    inkwell_commit_duration_seconds_count: 2,
    inkwell_append_duration_seconds_count: 2,
    inkwell_append_entries_sum: 2,
    inkwell_delivery_duration_seconds_count: 2,
    inkwell_join_duration_seconds_count: 2,
    inkwell_submissions_waiting: 0,
    inkwell_durability_lag_seconds: 0,
    'inkwell_messages_received_total{kind="join"}': 2,
    'inkwell_messages_received_total{kind="submit"}': 3,
    'inkwell_messages_received_total{kind="malformed"}': 1,
    'inkwell_messages_sent_total{kind="commits"}': 4,
    'inkwell_refusals_total{code="bad-op"}': 1,
    'inkwell_refusals_total{code="malformed"}': 1,
    'inkwell_refusals_total{code="unsupported-protocol"}': 1,
  })
  expect(found.inkwell_received_bytes_total).toBeGreaterThan(100)
  expect(found.inkwell_sent_bytes_total).toBeGreaterThan(100)
  ann.client.close()
  await expect.poll(async () => (await scrape(url)).inkwell_members, { timeout: 60_000 }).toBe(1)
})

it('[P5] [P7] every handshake that is refused is counted, for its address and for its origin alike, and none that is not', async () => {
  const url = await serving({ trustProxy: 1, limits: { strangersPerAddress: 2 } })
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const answers = [...Array(5).fill('203.0.113.1'), '203.0.113.2'].map(address => knock(url, from(address)))
  answers.push(knock(url, { ...from('203.0.113.3'), origin: 'https://evil.example.com' }))
  const kinds = (await Promise.all(answers)).map(answer => (answer.kind === 'no' ? answer.status : answer.kind))
  expect(kinds.toSorted()).toEqual([400, 429, 429, 429, 'line', 'line', 'line'])
  expect(await scrape(url)).toMatchObject({
    'inkwell_refusals_total{code="slow-down"}': 3,
    'inkwell_refusals_total{code="origin-refused"}': 1,
    'inkwell_refusals_total{code="draining"}': 0,
    inkwell_strangers: 3,
    inkwell_connections: 0,
  })
})

it('[P7] over two nodes the one that took an edit counts it here, the other elsewhere with its delay', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const [near, far] = [await serving({ store: redisStore(redis.url) }), await serving({ store: redisStore(redis.url) })]
  const ann = await opens(near, 'notes')
  const ben = await opens(far, 'notes')
  await ann.types('x')
  await ben.showing('x')
  expect(await scrape(near)).toMatchObject({
    'inkwell_commits_total{origin="here"}': 1,
    inkwell_feed_delay_seconds_count: 0,
    'inkwell_store_connections_up{connection="append"}': 1,
    'inkwell_store_connections_up{connection="read"}': 1,
    'inkwell_store_connections_up{connection="feed"}': 1,
  })
  expect(await scrape(far)).toMatchObject({
    'inkwell_commits_total{origin="here"}': 0,
    'inkwell_commits_total{origin="elsewhere"}': 1,
    inkwell_feed_delay_seconds_count: 1,
  })
})

it('[P7] a Redis that goes and comes back is seen by the next scrape but one, with what failed, and then all is well again', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  afterwards(() => redis.discard())
  const url = await serving({ store: redisStore(redis.url), limits: { unreadyAfter: 0 } })
  const ann = await opens(url, 'notes')
  const shows = (what: object) => expect.poll(() => scrape(url), { timeout: 60_000 }).toMatchObject(what)
  await ann.types('before ')
  await shows({ inkwell_submissions_waiting: 0 }) // the feed may be quicker than the answer to the append
  await redis.kill()
  const typed = ann.types('meanwhile ')
  await shows({
    inkwell_store_up: 0,
    inkwell_ready: 0,
    inkwell_submissions_waiting: 1,
    'inkwell_store_connections_up{connection="append"}': 0,
    'inkwell_store_connections_up{connection="feed"}': 0,
    'inkwell_store_connections_lost_total{connection="append"}': 1,
    'inkwell_store_failures_total{call="append"}': 1,
  })
  await redis.start()
  await typed
  await shows({ inkwell_store_up: 1, inkwell_ready: 1, inkwell_submissions_waiting: 0 })
  await shows({ 'inkwell_store_connections_up{connection="append"}': 1, 'inkwell_store_connections_up{connection="feed"}': 1 })
})

it('[P7] what does not become durable ages', async () => {
  // No replica ever answers, so nothing is durable.
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const url = await serving({ store: redisStore(`${redis.url}?replicas=1`), limits: { storeTimeout: 1_000 } }) // closing waits no longer for it
  const ann = await opens(url, 'notes')
  await ann.types('x')
  const first = (await scrape(url)).inkwell_durability_lag_seconds!
  await expect.poll(async () => (await scrape(url)).inkwell_durability_lag_seconds, { timeout: 60_000 }).toBeGreaterThan(first)
})

it('[P6] on the port for everybody only a program of this machine reads them, and nobody in production or once an operator has a port', async () => {
  const server = await serverWith()
  const { url } = await server.listen(0)
  const status = (headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      request(`${url}/metrics`, { headers }, response => resolve(response.resume().statusCode!))
        .on('error', reject)
        .end()
    })
  expect(await status({})).toBe(200)
  expect(await status({ 'x-forwarded-for': '192.0.2.1' })).toBe(404) // somebody whom a proxy brings
  expect(await status({ host: 'rebound.example' })).toBe(404) // a page whose name leads here
  expect(await status({ origin: 'https://evil.example' })).toBe(403)

  const admin = await server.listenAdmin(0, { token })
  expect(await status({})).toBe(404)
  vi.stubEnv('NODE_ENV', 'production') // where a proxy that says nothing of whom it brings would be such a program
  const inEarnest = await serving({ authenticate: () => null })
  expect((await fetch(`${inEarnest}/metrics`)).status).toBe(404)
  expect((await fetch(`${admin.url}/metrics`)).status).toBe(401)
  const read = await fetch(`${admin.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })
  expect(read.status).toBe(200)
  expect(read.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
})

it('an application’s own /metrics stays its own, and it can have ours for it', async () => {
  const attach = createHttpServer((_request, response) => response.end('of the application'))
  const server = await serverWith({ attach })
  await new Promise<void>(resolve => attach.listen(0, '127.0.0.1', resolve))
  afterwards(() => new Promise(resolve => attach.close(resolve)))
  const { port } = attach.address() as AddressInfo
  expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toBe('of the application')
  expect(valuesIn(await server.metrics())).toMatchObject({ inkwell_connections: 0 })
})

it('two servers of one process have numbers of their own', async () => {
  const [one, other] = [await serving(), await serving()]
  await opens(one, 'notes')
  expect([(await scrape(one)).inkwell_connections, (await scrape(other)).inkwell_connections]).toEqual([1, 0])
})

it('[P7] a process shows its CPU, its memory, its descriptors, and how late its loop was', async () => {
  const url = await serving()
  const blocked = async () => {
    const until = performance.now() + 300
    while (performance.now() < until) {} // nothing else gets a turn
    return scrape(url)
  }
  // Measuring begins when somebody asks first, and with its first look.
  await expect.poll(async () => (await blocked()).nodejs_eventloop_lag_max_seconds, { timeout: 60_000 }).toBeGreaterThan(0.1)
  // Somebody else's scrape takes nothing of it away.
  const found = await scrape(url)
  expect(found.nodejs_eventloop_lag_max_seconds).toBeGreaterThan(0.1)
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds', 'process_max_fds'])
    expect(found[name], name).toBeGreaterThan(0)
  expect(found.process_start_time_seconds).toBeLessThan(Date.now() / 1_000)
  expect(found.nodejs_heap_size_used_bytes).toBeLessThan(found.nodejs_heap_size_total_bytes!)
})

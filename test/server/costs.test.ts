// What a keystroke and a connection cost, counted: these numbers are the same on every machine, so a change that makes them grow is seen.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { encodeClientFrame, encodeServerFrame, opcodes } from '../../src/protocol/codec.ts'
import type { ServerMessage } from '../../src/protocol/messages.ts'
import { connectionsOf } from '../../src/server/fanout.ts'
import type { InkwellServer } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { connects, opens, serverWith } from './worlds.ts'

const quiet = { beat: 3_600_000, pingInterval: 3_600_000, durableTick: 3_600_000, canaryEvery: 3_600_000 }

/** Counts what is written to the sockets of a server from now on. */
const writesOf = (server: InkwellServer): { readonly count: number } => {
  const writes = { count: 0 }
  for (const { transport } of connectionsOf(server.io.engine)) {
    const { _socket: tcp } = (transport as unknown as { socket: { _socket: { write(...words: unknown[]): boolean } } }).socket
    const write = tcp.write.bind(tcp)
    tcp.write = (...words) => {
      writes.count++
      return write(...words)
    }
  }
  return writes
}

it('[P8] a keystroke costs each of ten readers one frame and one write while the server has time, and nobody anything else', async () => {
  const server = await serverWith({ limits: quiet })
  const { url } = await server.listen(0)
  const ann = await opens(url, 'notes')
  const readers = await Promise.all(Array.from({ length: 9 }, () => opens(url, 'notes')))
  const heard: string[] = []
  for (const { client } of [ann, ...readers]) client.socket.onAny(kind => kind !== 'presence' && heard.push(kind))
  const writes = writesOf(server)
  for (let i = 0; i < 20; i++) {
    await ann.types('x')
    await Promise.all(readers.map(reader => reader.reaching(i + 1)))
  }
  expect(heard).toEqual(Array(200).fill('commits'))
  expect(writes.count - 200, 'writes of presence: who writes is at it').toBeLessThanOrEqual(10)
})

it('[P8] a keystroke in the middle of a long document is 18 bytes up and 20 down, and each more of one author in the same frame 7', async () => {
  const server = await serverWith({ limits: quiet })
  const { url } = await server.listen(0)
  const ann = await opens(url, 'notes')
  await ann.types('x'.repeat(100_000))
  const frames: ServerMessage[] = []
  ann.client.socket.onAny((kind, payload) => kind === 'commits' && frames.push({ ...payload, kind }))
  const sizes: number[] = []
  ann.client.socket.io.engine.on('packet', ({ data }: { readonly data?: ArrayBuffer }) => {
    if (data && new Uint8Array(data)[0] === (0x80 | opcodes.commits)) sizes.push(data.byteLength)
  })
  await ann.types('y', 50_000)
  const [down] = frames as [ServerMessage & { kind: 'commits' }]
  const up = encodeClientFrame({ kind: 'submit', handle: ann.handle, seq: 2 as never, position: ann.at, op: [50_000, 'y'] })
  expect(up.byteLength).toBeLessThanOrEqual(18)
  expect(sizes, 'her name was in the frame before').toEqual([20])
  const one = encodeServerFrame(down).byteLength
  const position = { ...down.position, version: (down.from + 11) as never }
  const eleven = encodeServerFrame({
    ...down,
    position,
    durable: position.version,
    commits: Array(11).fill(down.commits[0]),
  }).byteLength
  expect((eleven - one) / 10).toBeLessThanOrEqual(7)
})

it('[P5] a connection that is idle keeps no timer on the server', async () => {
  const server = await serverWith({ limits: quiet })
  const { url } = await server.listen(0)
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  await (await connects(url)).next('welcome')
  const before = timers()
  await Promise.all(Array.from({ length: 50 }, () => connects(url).next('welcome')))
  // Each client of this process keeps one of its own: that of its pings.
  expect((timers() - before) / 50).toBeLessThanOrEqual(1)
})

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
})
afterAll(() => redis.discard())

const appends = async (): Promise<number> => {
  const stats = await redis.do(client => client.info('commandstats'))
  return [...stats.matchAll(/cmdstat_xadd:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
}

it('[P8] a keystroke costs one append to Redis, and what many type at once far less than one each', async () => {
  const server = await serverWith({ store: redisStore(redis.url), limits: quiet })
  const { url } = await server.listen(0)
  const pens = await Promise.all(Array.from({ length: 20 }, () => opens(url, 'notes')))
  const before = await appends()
  for (let i = 0; i < 20; i++) await pens[0]!.types('x')
  expect((await appends()) - before).toBe(20)
  for (let i = 0; i < 5; i++) await Promise.all(pens.map(pen => pen.types('y', 0)))
  expect((await appends()) - before - 20).toBeLessThanOrEqual(50)
})

it('[P8] a crowd that comes for a long document gets one copy of its text, whatever each of them has to be told besides', async () => {
  const server = await serverWith({ limits: quiet, transports: ['websocket', 'polling'] })
  const { url } = await server.listen(0)
  const ann = await opens(url, 'notes')
  const text = 'é'.repeat(50_000)
  await ann.types(text)
  const clients = await Promise.all(Array.from({ length: 20 }, async () => connects(url)))
  for (const client of clients) await client.next('welcome')
  const long = new Set<unknown>()
  for (const { transport } of connectionsOf(server.io.engine)) {
    const { _socket: tcp } = (transport as unknown as { socket: { _socket: { write(...words: unknown[]): boolean } } }).socket
    const write = tcp.write.bind(tcp)
    tcp.write = (...words) => {
      const [bytes] = words as [Uint8Array]
      if (bytes.length > 10_000) long.add(bytes)
      return write(...words)
    }
  }
  const joined = await Promise.all(clients.map(client => client.join('notes')))
  expect(new Set(joined.map(({ peer }) => peer)).size).toBe(20)
  for (const { content } of joined) expect(content).toMatchObject({ kind: 'snapshot', value: text, position: ann.at })
  expect(long.size).toBe(1)
  const polls = connects(url, { transports: ['polling'] })
  await polls.next('welcome')
  expect((await polls.join('notes')).content).toMatchObject({ value: text })
})

// How a server stops: nothing accepted is lost, everybody is told, nothing is left behind.

import { get, type IncomingMessage } from 'node:http'
import { pino } from 'pino'
import { io } from 'socket.io-client'
import { describe, expect, it } from 'vitest'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import { connectionsOf } from '../../src/server/fanout.ts'
import { createServer, memoryStore } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { newKey, Pen } from './raw.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

describe('draining', () => {
  it('tells everybody when to come back elsewhere, and refuses joins', async () => {
    const server = await serverWith()
    const { url } = await server.listen(0)
    const ann = await opens(url, 'notes')
    server.drain()
    expect(await ann.client.next('refused')).toEqual({
      kind: 'refused',
      doc: null,
      handle: null,
      seq: null,
      refusal: { code: 'draining', message: expect.any(String), advice: 'retry', after: expect.any(Number) },
    })
    const again = await ann.client.refused({ kind: 'join', doc: 'others' as DocId, type: 'text', position: null })
    expect(again).toMatchObject({ doc: 'others', refusal: { code: 'draining' } })
  })

  it.each(['/socket.io/', '/json/'])('opens no new line at %s: with a 503, on which a proxy asks another node', async path => {
    const server = await serverWith({ transports: ['websocket', 'polling'] })
    const { url } = await server.listen(0)
    const polled = await opens(url, 'notes', { transports: ['polling'], form: path === '/json/' ? 'json' : 'binary' })
    server.drain()
    const shaken = await fetch(`${url}${path}?EIO=4&transport=polling`)
    expect([shaken.status, shaken.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await shaken.json()).toMatchObject({ code: 'draining', advice: 'retry' })
    expect(await upgraded(`${url}${path}?EIO=4&transport=websocket`)).toMatchObject({
      statusCode: 503,
      headers: { 'retry-after': '1' },
    })
    await polled.types('a line that is open goes on')
  })

  it('a line that was open before, and says hello only then, is refused', async () => {
    const server = await serverWith()
    const hello = (say: (hello: object) => void): void => {
      server.drain()
      say({ protocol: [1, 1], key: newKey() })
    }
    expect((await connects((await server.listen(0)).url, { hello }).refusedHello()).code).toBe('draining')
  })

  it('what is joined goes on', async () => {
    const server = await serverWith()
    const { url } = await server.listen(0)
    const [ann, ben] = [await opens(url, 'notes'), await opens(url, 'notes')]
    server.drain()
    await ann.types('to the last')
    await ben.showing('to the last')
    expect(ben.at).toEqual(ann.at)
  })
})

describe('a stop of one of two nodes', () => {
  const twoNodes = async () => {
    const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    afterwards(() => redis.discard())
    const lines: { msg: string; connections?: number; of?: number; ms?: number }[] = []
    const logger = pino({ base: null }, { write: line => void lines.push(JSON.parse(line)) })
    const node = () => serverWith({ store: redisStore(redis.url), authenticate: token => ({ id: token! }), logger })
    const [leaving, staying] = [await node(), await node()]
    const [near, far] = [(await leaving.listen(0)).url, (await staying.listen(0)).url]
    await opens(near, 'notes', { token: 'ann' })
    await opens(far, 'notes', { token: 'ben' })
    return { redis, lines, leaving, near }
  }

  it('[P4] releases its leases: when it has stopped, its people are gone and their seats are free, and nobody waits for a lease to run out', async () => {
    const { redis, leaving } = await twoNodes()
    const leases = () =>
      redis.do(async client => [await client.zcard('inkwell:{nodes}:leases'), await client.zcard('inkwell:{nodes}:hosts')])
    await expect.poll(leases, { timeout: 60_000 }).toEqual([2, 2])
    const closed = leaving.close()
    leaving.hurry() // nobody here knows another node
    await closed
    expect(await leases()).toEqual([1, 1])
  })

  it('[P7] shows in the log how far it is: how many are to move, how many of them are left, who is let go, and its end', async () => {
    const { lines, leaving, near } = await twoNodes()
    await opens(near, 'notes', { token: 'cleo' })
    const closed = leaving.close()
    const moving = () => lines.filter(({ msg }) => msg === 'clients move to other nodes')
    await expect.poll(() => moving().length, { timeout: 60_000 }).toBeGreaterThan(0)
    leaving.hurry()
    await closed
    expect(moving()[0]).toMatchObject({ connections: 2, of: 2, ms: expect.any(Number) })
    const said = lines.filter(({ msg }) => ['draining', 'the rest is let go', 'stopped'].includes(msg))
    expect(said.map(({ msg, connections }) => [msg, connections])).toEqual([
      ['draining', 2],
      ['the rest is let go', 2],
      ['stopped', undefined],
    ])
  })
})

describe('an idle connection', () => {
  it('keeps neither the request that opened it nor its headers', async () => {
    const server = await serverWith()
    const { url } = await server.listen(0)
    await connects(url, { headers: { cookie: 'of a kilobyte' } }).next('welcome')
    const { io } = server
    await connects(url, { headers: { cookie: 'of a kilobyte' } }).next('welcome') // by way of Socket.IO, since it has been taken
    expect(connectionsOf(io.engine).map(conn => (conn as { request?: unknown }).request)).toEqual([null, null])
    const [socket] = io.sockets.sockets.values()
    expect(socket!.handshake.headers).toEqual({})
  })
})

describe('closing', () => {
  it('[P2] what was on its way is committed, its author told, and the line then closed', async () => {
    const store = memoryStore()
    let release = (): void => {}
    const slow = new Promise<void>(resolve => {
      release = resolve
    })
    const log: typeof store.log = { ...store.log, append: async (...entry) => slow.then(() => store.log.append(...entry)) }
    const server = await createServer({ store: { ...store, log }, logger: 'silent' })
    const ann = await Pen.opens((await server.listen(0)).url, 'notes')
    const typed = ann.types('at the last moment')
    await ann.client.refused({ kind: 'leave', handle: 999 as never }) // the submission before it has been read
    const closed = server.close()
    release()
    await typed
    expect(await ann.client.down).toMatch(/^transport/)
    await closed
    const { epoch } = store.core.open('notes' as DocId)
    expect(ann.at).toMatchObject({ epoch, version: 1 })
  })

  it('many clients are let go, also those that do not read, and the port is free again', async () => {
    const server = await serverWith()
    const { url, port } = await server.listen(0)
    const pens = await Promise.all(Array.from({ length: 20 }, () => opens(url, 'notes')))
    const deaf = connects(url)
    await deaf.next('welcome')
    // A socket that reads nothing does not answer the closing handshake either.
    const { transport } = deaf.socket.io.engine as unknown as { transport: { ws: { _socket: { pause(): void } } } }
    transport.ws._socket.pause()
    await server.close()
    await server.close()
    await Promise.all(pens.map(pen => pen.client.down))
    expect(server.engine.counts).toMatchObject({ connections: 0, joined: 0 })
    const next = await serverWith()
    expect((await next.listen(port)).port).toBe(port)
  })

  it('does not wait for somebody who has connected and says nothing', async () => {
    const server = await serverWith({ limits: { connectTimeout: 3_600_000, pingInterval: 3_600_000 } })
    const { url } = await server.listen(0)
    for (const path of ['/socket.io/', '/json/']) {
      const silent = io(url, { path, transports: ['websocket'], forceNew: true, reconnection: false, auth: () => {} })
      await new Promise<void>(resolve => silent.io.on('open', () => resolve()))
    }
    await server.close()
    expect(await fetch(`${url}/livez`).catch(() => 'nobody there')).toBe('nobody there')
  })

  it('a client that reads is never cut off, however much it is sent', async () => {
    const server = await serverWith({ limits: { waitingBytes: 3_000 } })
    const client = connects((await server.listen(0)).url)
    await client.next('welcome')
    for (let round = 0; round < 100; round++) {
      // Answers of one moment wait for each other: some hundred bytes, which the next moment takes away.
      for (let i = 0; i < 5; i++) client.send({ kind: 'leave', handle: 999 as Handle })
      for (let i = 0; i < 5; i++) expect((await client.next('refused')).refusal.code).toBe('not-joined')
    }
    expect(server.engine.counts.connections).toBe(1)
  })
})

/** What is answered to a request for a WebSocket that is not granted. */
const upgraded = (url: string): Promise<Pick<IncomingMessage, 'statusCode' | 'headers'>> =>
  new Promise((resolve, reject) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.from('sixteen bytes...').toString('base64'),
    }
    const request = get(url, { headers }, response => resolve(response.resume()))
    request.on('error', reject).on('upgrade', (_response, socket) => {
      socket.destroy()
      reject(new Error('the line was opened'))
    })
  })

// An application's own namespaces on several servers: what it says in a room reaches the room's clients everywhere, and whatever befalls
// the Redis between them befalls neither a server nor a document.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createShardedAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { Server } from 'socket.io'
import { io as connectTo, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { parser } from '../../src/client/index.ts'
import { createParser } from '../../src/protocol/parser.ts'
import type { InkwellServer, ServerOptions } from '../../src/server/index.ts'
import { redisAdapter, redisStore } from '../../src/stores/redis.ts'
import { RedisLine, RedisServer, startCluster } from '../redis.ts'
import { afterwards, opens, serverWith } from './worlds.ts'

const patience = { timeout: 60_000, interval: 20 }
const room = 'document:123'

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start()
})
afterAll(() => redis.discard())

vi.setConfig({ testTimeout: 120_000 }) // an answer that never comes must not hang the whole run

let worlds = 0

interface Node {
  readonly server: InkwellServer
  readonly url: string
}

/** A server with an application: its namespace /chat, where whoever says `join` is put into the room that he names. */
const node = async (adapter: ServerOptions['adapter'], options: ServerOptions = {}): Promise<Node> => {
  const server = await serverWith({ ...(adapter === undefined ? {} : { adapter }), ...options })
  server.io.of('/chat').on('connection', socket => {
    socket.on('join', async (name: string, done: () => void) => {
      await socket.join(name)
      done()
    })
  })
  return { server, url: (await server.listen(0)).url }
}

const nodesOn = (url: string, options: ServerOptions = {}): Promise<readonly [Node, Node, string]> =>
  twoNodes([url, url], options)

/** Two servers whose channels nobody else hears; the third answer is what the names of the channels begin with. */
const twoNodes = async (urls: readonly [string, string], options: ServerOptions = {}): Promise<readonly [Node, Node, string]> => {
  const prefix = `world${++worlds}:`
  const made = urls.map(url => node(redisAdapter({ url, prefix, callLimit: 600 }), options))
  const [a, b] = (await Promise.all(made)) as [Node, Node]
  return [a, b, `${prefix}socket.io`]
}

interface Client {
  readonly socket: Socket
  /** Everything said to it: name and arguments. */
  readonly heard: unknown[][]
}

const client = async (
  url: string,
  options: Partial<ManagerOptions & SocketOptions> = {},
  namespace = '/chat',
): Promise<Client> => {
  const socket = connectTo(`${url}${namespace}`, {
    parser,
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    ...options,
  })
  afterwards(() => socket.disconnect())
  const heard: unknown[][] = []
  socket.onAny((...said) => heard.push(said.map(item => (item instanceof Uint8Array ? [...item] : item))))
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('connect_error', reject))
  return { socket, heard }
}

const inRoom = async (url: string, name = room): Promise<Client> => {
  const joined = await client(url)
  await joined.socket.emitWithAck('join', name)
  return joined
}

/** Resolves when so many nodes hear the room. Socket.IO does not say when a join has reached the others. */
const hearing = (servers: readonly RedisServer[], prefix: string, nodes: number, name = room): Promise<void> =>
  vi.waitFor(async () => {
    const channel = `${prefix}#/chat#${name}#`
    const counts = await Promise.all(servers.map(server => server.do(client => client.call('PUBSUB', 'SHARDNUMSUB', channel))))
    expect(counts.reduce<number>((sum, count) => sum + Number((count as unknown[])[1]), 0)).toBe(nodes)
  }, patience)

const hears = (client: Client, ...said: unknown[][]): Promise<void> =>
  vi.waitFor(() => expect(client.heard).toEqual(said), patience)

/** Says it again and again until it is heard. */
const reaches = async (from: Node, client: Client): Promise<void> => {
  const question = `there? ${++questions}`
  await vi.waitFor(() => {
    from.server.io.of('/chat').to(room).emit(question)
    expect(client.heard).toContainEqual([question])
  }, patience)
}
let questions = 0

describe('an application’s namespace on two servers', () => {
  it('[P4] what is said to a room reaches its clients on both, once, and nobody else', async () => {
    const [a, b, prefix] = await nodesOn(redis.url)
    const [ann, bob, eve] = await Promise.all([inRoom(a.url), inRoom(b.url), inRoom(b.url, 'document:124')])
    await hearing([redis], prefix, 2)
    const said = ['presence', { at: [1, 2.5, null], who: 'änn 🖋' }, 'x'.repeat(10_000)]
    a.server.io.of('/chat').to(room).emit('presence', said[1], said[2])
    a.server.io
      .of('/chat')
      .to(room)
      .emit('bytes', new Uint8Array([0, 123, 255]), 'after')
    b.server.io.of('/chat').to(room).emit('back')
    for (const client of [ann, bob]) {
      await vi.waitFor(() => expect(client.heard).toHaveLength(3), patience)
      expect(client.heard.filter(([name]) => name !== 'back')).toEqual([said, ['bytes', [0, 123, 255], 'after']])
    }
    a.server.io.of('/chat').emit('all')
    await hears(eve, ['all'])
    expect(bob.heard.at(-1)).toEqual(['all'])
  })

  it('the answer to whoever asks comes from everybody, and sockets are moved and put out everywhere', async () => {
    const [a, b, prefix] = await nodesOn(redis.url)
    const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
    await hearing([redis], prefix, 2)
    const chat = a.server.io.of('/chat')
    expect((await chat.in(room).fetchSockets()).map(({ id }) => id).sort()).toEqual([ann.socket.id, bob.socket.id].sort())
    for (const { socket } of [ann, bob]) socket.on('ask', (answer: (id: string) => void) => answer(socket.id!))
    expect((await chat.to(room).timeout(30_000).emitWithAck('ask')).sort()).toEqual([ann.socket.id, bob.socket.id].sort())
    b.server.io.of('/chat').on('how many', answer => answer(b.server.io.of('/chat').sockets.size))
    expect(await chat.serverSideEmitWithAck('how many')).toEqual([1])
    chat.in(room).socketsJoin('hall')
    chat.to('hall').emit('here')
    expect(ann.heard.at(-1)).not.toEqual(['here'])
    await vi.waitFor(() => expect(ann.heard.at(-1)).toEqual(['here']), patience)
    await hearing([redis], prefix, 2, 'hall')
    chat.to('hall').emit('there')
    await vi.waitFor(() => expect(bob.heard.at(-1)).toEqual(['there']), patience)
    const gone = new Promise(resolve => bob.socket.once('disconnect', resolve))
    chat.in('hall').disconnectSockets()
    expect(await gone).toBe('io server disconnect')
  })

  it('a room with a name of twenty characters, as long as a socket’s, and one socket by its id, are reached', async () => {
    const [a, b, prefix] = await nodesOn(redis.url)
    const name = 'document:12345678901'
    expect(name).toHaveLength(20)
    const [ann, bob] = await Promise.all([inRoom(a.url, name), inRoom(b.url, name)])
    await hearing([redis], prefix, 2, name)
    a.server.io.of('/chat').to(name).emit('one')
    for (const client of [ann, bob]) await hears(client, ['one'])
    a.server.io.of('/chat').to(bob.socket.id!).emit('two')
    await hears(bob, ['one'], ['two'])
    expect(ann.heard).toEqual([['one']])
  })

  it('a server of the application’s own, with Socket.IO’s own parts, takes part', async () => {
    const [a, , prefix] = await nodesOn(redis.url)
    const http = createHttpServer()
    const [pub, sub] = [new Redis(redis.port), new Redis(redis.port)]
    const adapter = createShardedAdapter(pub, sub, { channelPrefix: prefix })
    const io = new Server(http, { adapter, parser: createParser({ end: 'server' }) })
    afterwards(async () => {
      await io.close()
      for (const line of [pub, sub]) line.disconnect()
    })
    io.of('/chat').on('connection', socket => socket.join(room))
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    const [ann, bob] = [await inRoom(a.url), await client(`http://127.0.0.1:${(http.address() as AddressInfo).port}`)]
    await hearing([redis], prefix, 2)
    a.server.io
      .of('/chat')
      .to(room)
      .emit('from inkwell', new Uint8Array([7]))
    for (const client of [ann, bob]) await hears(client, ['from inkwell', [7]])
    io.of('/chat')
      .to(room)
      .emit('from elsewhere', { deep: new Uint8Array([8]) })
    for (const client of [ann, bob])
      await vi.waitFor(() => expect(client.heard.at(-1)).toMatchObject(['from elsewhere', { deep: expect.anything() }]), patience)
  })

  it('namespaces by pattern reach all nodes too, each its own clients', async () => {
    const [a, b] = await nodesOn(redis.url)
    for (const { server } of [a, b]) server.io.of(/^\/team-\w+$/)
    const team = (url: string, name: string): Promise<Client> => client(url, {}, `/team-${name}`)
    const [red, blue] = await Promise.all([team(b.url, 'red'), team(b.url, 'blue')])
    await team(a.url, 'red')
    await vi.waitFor(() => {
      a.server.io.of('/team-red').emit('red')
      expect(red.heard).toContainEqual(['red'])
    }, patience)
    expect(blue.heard).toEqual([])
  })

  it('over a cluster of Redis', async () => {
    const cluster = await startCluster()
    afterwards(() => cluster.discard())
    const [a, b, prefix] = await nodesOn(cluster.url)
    const rooms = ['document:1', 'document:2', 'document:3', 'document:4'] // in the hands of more than one node
    const clients = await Promise.all(rooms.map(async name => [await inRoom(a.url, name), await inRoom(b.url, name)] as const))
    for (const name of rooms) await hearing(cluster.nodes, prefix, 2, name)
    for (const name of rooms) a.server.io.of('/chat').to(name).emit('to', name)
    for (const [i, pair] of clients.entries()) for (const client of pair) await hears(client, ['to', rooms[i]])
    expect(await a.server.io.of('/chat').fetchSockets()).toHaveLength(8)
  })

  it.each([
    ['one server', false],
    ['a cluster', true],
  ])('over %s, as a user of Redis with no more rights than docs/OPERATIONS.md names', async (_, isCluster) => {
    const cluster = isCluster ? await startCluster() : null
    const servers = cluster?.nodes ?? [await RedisServer.start()]
    afterwards(() => Promise.all(servers.map(server => server.discard())))
    const page = readFileSync(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8')
    const [, always, clustered] = /its user needs those channels and (.*?); in a\s+cluster(.*?)too\./s.exec(page)!
    const commands = [...(isCluster ? always + clustered! : always!).matchAll(/`([\w|]+)`/g)].map(([, command]) => `+${command}`)
    const prefix = `world${++worlds}:`
    const user = ['app', 'on', '>secret', 'resetchannels', `&${prefix}socket.io#*`, '-@all', ...commands]
    for (const server of servers) await server.do(client => client.call('ACL', 'SETUSER', ...user))
    const url = (cluster?.url ?? servers[0]!.url).replace('://', '://app:secret@')
    const made = [0, 1].map(() => node(redisAdapter({ url, prefix, callLimit: 600 })))
    const [a, b] = (await Promise.all(made)) as [Node, Node]
    const bob = await inRoom(b.url)
    await reaches(a, bob)
    expect(await a.server.io.of('/chat').fetchSockets()).toHaveLength(1)
  })

  it('over a master that sentinels watch, before and after it has died', async () => {
    const master = await RedisServer.start()
    const replica = await RedisServer.start({ settings: ['--replicaof', '127.0.0.1', String(master.port)] })
    const sentinel = await RedisServer.sentinel(master, 'docs')
    afterwards(async () => {
      for (const server of [sentinel, replica, master]) await server.discard()
    })
    await vi.waitFor(async () => {
      expect(await sentinel.do(redis => redis.call('SENTINEL', 'REPLICAS', 'docs'))).toHaveLength(1)
    }, patience)
    const [a, b, prefix] = await nodesOn(`redis+sentinel://127.0.0.1:${sentinel.port}/docs`)
    const bob = await inRoom(b.url)
    await hearing([master], prefix, 1)
    a.server.io.of('/chat').to(room).emit('before')
    await hears(bob, ['before'])
    await master.kill()
    await hearing([replica], prefix, 1)
    bob.heard.length = 0
    await reaches(a, bob)
  })

  it('without the option it is one server’s, and the JSON endpoint has none', async () => {
    const [a, b] = [await node(undefined), await node(undefined)]
    const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
    a.server.io.of('/chat').to(room).emit('here')
    b.server.io.of('/chat').to(room).emit('there')
    await hears(ann, ['here'])
    await hears(bob, ['there'])
    await expect(client(a.url, { path: '/json/', parser: undefined } as never)).rejects.toThrow('Invalid namespace')
  })
})

it('[P5] a client of the application’s that does not read is cut off at the limit, and the others hear everything', async () => {
  const a = await node(undefined, { limits: { applicationBytes: 300_000, pingInterval: 3_600_000 } })
  const [ann, deaf] = [await inRoom(a.url), await inRoom(a.url)]
  const { transport } = deaf.socket.io.engine as unknown as { transport: { ws: { _socket: { pause(): void } } } }
  transport.ws._socket.pause()
  const chat = a.server.io.of('/chat')
  const page = 'x'.repeat(200_000)
  let said = 0
  // Its socket and the kernel take in some megabytes first.
  while (chat.sockets.size === 2 && said < 200) {
    chat.to(room).emit('page', page)
    said++
    await vi.waitFor(() => expect(ann.heard).toHaveLength(said), { ...patience, interval: 1 })
  }
  expect(chat.sockets.size, `after ${said} pages`).toBe(1)
  chat.to(room).emit('last')
  await vi.waitFor(() => expect(ann.heard.at(-1)).toEqual(['last']), patience)
  expect(ann.heard).toHaveLength(said + 1)
  // Many small ones in one moment: they wait for each other, and for nobody who does not read.
  for (let i = 0; i < 1_000; i++) chat.to(room).emit('small', i)
  await vi.waitFor(() => expect(ann.heard).toHaveLength(said + 1_001), patience)
})

describe('who may enter a namespace of the application’s', () => {
  const authenticate = (token: string | undefined) => {
    if (token === 'broken') throw new Error('the directory is away')
    if (token === 'nobody') return { id: '' }
    return token === 'ann’s' ? { id: 'ann', name: 'Ann' } : null
  }
  const entered = async (options: Partial<ManagerOptions & SocketOptions>): Promise<unknown> => {
    const server = await serverWith({ authenticate, origins: ['https://app.example.com'] })
    server.io
      .of('/chat')
      .use(server.authenticate)
      .on('connection', socket => socket.emit('you', socket.data.user))
    const { url } = await server.listen(0)
    const { heard } = await client(url, options)
    await vi.waitFor(() => expect(heard).toHaveLength(1), patience)
    return heard[0]
  }

  it('those whom the server lets in, by the same token, known by the same name', async () => {
    expect(await entered({ auth: { token: 'ann’s' } })).toEqual(['you', { id: 'ann', name: 'Ann' }])
  })

  it.each([
    ['no token', {}, 'unauthenticated'],
    ['a wrong one', { token: 'bob’s' }, 'unauthenticated'],
    ['something else', { token: { toString: 'ann’s' } }, 'unauthenticated'],
    ['one as long as a book', { token: 'x'.repeat(10_000) }, 'unauthenticated'],
    ['one that cannot be looked up now', { token: 'broken' }, 'unavailable'],
    ['one of a user who is none', { token: 'nobody' }, 'internal'],
  ])('nobody with %s, and the refusal says why', async (_, auth, code) => {
    await expect(entered({ auth })).rejects.toMatchObject({ data: { code } })
  })

  it('no page of another origin, whatever its token', async () => {
    const headers = { origin: 'https://evil.example.com' }
    await expect(entered({ auth: { token: 'ann’s' }, extraHeaders: headers })).rejects.toThrow('websocket error')
    const own = { origin: 'https://app.example.com' }
    expect(await entered({ auth: { token: 'ann’s' }, extraHeaders: own })).toMatchObject(['you', { id: 'ann' }])
  })

  it('no connection that is in use for documents: it has let go of its request', async () => {
    const server = await serverWith({ authenticate })
    server.io.of('/chat').use(server.authenticate)
    const { url } = await server.listen(0)
    const hello = { protocol: [1, 1], key: 'c3VwZXItc2VjcmV0LWtleQ', token: 'ann’s' }
    const documents = connectTo(url, { parser, transports: ['websocket'], forceNew: true, auth: hello })
    afterwards(() => documents.disconnect())
    await new Promise(resolve => documents.once('welcome', resolve))
    const chat = documents.io.socket('/chat', { auth: { token: 'ann’s' } })
    const refused = await new Promise<unknown>(resolve => chat.once('connect_error', resolve))
    expect(refused).toMatchObject({ data: { code: 'malformed', detail: expect.stringContaining('one of its own') } })
    expect(documents.connected).toBe(true)
  })
})

describe('when the Redis between them is away', () => {
  /** Everything that an application may say to other nodes. */
  const shouts = ({ server }: Node): void => {
    const chat = server.io.of('/chat')
    chat.to(room).emit('said')
    chat.serverSideEmit('said')
    chat.in(room).socketsJoin('hall')
    chat.in(room).socketsLeave('hall')
    chat.in('nobody').disconnectSockets()
  }

  /** Everything that it may ask of them; Socket.IO waits 5 s for an answer. */
  const asks = ({ server }: Node): Promise<readonly PromiseSettledResult<unknown>[]> => {
    const chat = server.io.of('/chat')
    return Promise.allSettled([
      chat.fetchSockets(),
      chat.serverSideEmitWithAck('how many'),
      chat.to('nobody').timeout(100).emitWithAck('ask'),
    ])
  }

  it.each<[string, (own: RedisServer) => unknown, (own: RedisServer) => unknown]>([
    ['frozen', own => own.stop(), own => own.go()],
    ['killed', own => own.kill(), own => own.start()],
  ])(
    '%s, documents are edited as if nothing were, a room’s clients at one server hear at once and in order, and all do again when it is back',
    async (_, away, back) => {
      const own = await RedisServer.start()
      afterwards(() => own.discard())
      const [a, b, prefix] = await nodesOn(own.url)
      const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
      await hearing([own], prefix, 2)
      const pen = await opens(a.url, 'notes')
      await away(own)
      const chat = a.server.io.of('/chat')
      const socket = chat.sockets.get(ann.socket.id!)!
      for (let i = 0; i < 100; i++) {
        chat.to(room).emit('first', i)
        socket.emit('second', i)
      }
      await pen.types('typed meanwhile')
      await hears(
        ann,
        ...Array.from({ length: 100 }, (_, i) => [
          ['first', i],
          ['second', i],
        ]).flat(),
      )
      const asked = await asks(a)
      expect(
        asked.map(({ status }) => status),
        'nobody takes this node’s answer for everybody’s',
      ).toEqual(Array(3).fill('rejected'))
      for (let i = 0; i < 20; i++) await pen.types('.')
      expect(pen.shows).toBe(`typed meanwhile${'.'.repeat(20)}`)
      expect((await fetch(`${a.url}/readyz`)).status).toBe(200)
      await back(own)
      await reaches(a, bob)
      await reaches(b, ann)
      expect(await chat.fetchSockets()).toHaveLength(2)
    },
  )

  it('killed together with the documents, which are in it too, both come back by themselves', async () => {
    const own = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    afterwards(() => own.discard())
    const prefix = `world${++worlds}:`
    const made = [0, 1].map(() => node(redisAdapter({ url: own.url, prefix }), { store: redisStore({ url: own.url, prefix }) }))
    const [a, b] = (await Promise.all(made)) as [Node, Node]
    const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
    const pens = [await opens(a.url, 'notes'), await opens(b.url, 'notes')] as const
    await pens[0].types('before ')
    await own.kill()
    shouts(a)
    await own.start()
    await reaches(a, bob)
    await reaches(b, ann)
    await pens[0].types('after')
    await pens[1].showing('before after')
  })

  it('[P5] what waits for a frozen Redis is bounded, what cannot be said is dropped, and one line of the log says each turn', async () => {
    const own = await RedisServer.start()
    afterwards(() => own.discard())
    const lines: { msg: string }[] = []
    const logger = pino({}, { write: line => lines.push(JSON.parse(line)) })
    const adapter = redisAdapter({ url: own.url, callLimit: 600 })
    const [a, b] = [await node(adapter, { logger }), await node(redisAdapter({ url: own.url, callLimit: 600 }))]
    const bob = await inRoom(b.url)
    await reaches(a, bob)
    own.stop()
    const book = 'x'.repeat(100_000)
    let most = 0
    for (let i = 0; i < 1_000; i++) {
      a.server.io.of('/chat').to(room).emit('book', book)
      most = Math.max(most, adapter.waiting)
    }
    expect(most).toBeGreaterThan(4_000_000)
    expect(most).toBeLessThanOrEqual(4_194_304)
    await vi.waitFor(() => expect(adapter.waiting, 'the line was given up, and all that waited in it').toBe(0), patience)
    own.go()
    await reaches(a, bob)
    await vi.waitFor(() => expect(lines.filter(({ msg }) => msg.includes('all nodes again'))).toHaveLength(1), patience)
    const told = lines.map(({ msg }) => msg).filter(msg => msg.includes('namespaces'))
    expect(told).toEqual([
      'the application’s namespaces reach this node’s clients only',
      'the application’s namespaces reach all nodes again',
    ])
  })

  it('from the start, a server starts all the same, hears rooms that were entered meanwhile when it is there, and closes', async () => {
    const own = await RedisServer.start()
    afterwards(() => own.discard())
    await own.kill()
    const adapters = [0, 1].map(() => redisAdapter({ url: own.url, callLimit: 600 }))
    const [a, b] = (await Promise.all(adapters.map(adapter => node(adapter)))) as [Node, Node]
    const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
    a.server.io.of('/chat').to(room).emit('here')
    await hears(ann, ['here'])
    // By the time that this has been given up, so has whatever was asked for before it.
    for (const adapter of adapters) await expect(adapter.nodes('any')).rejects.toThrow('no connection')
    await own.start()
    await reaches(a, bob)
    await own.kill()
    shouts(a)
    await Promise.all([a.server.close(), b.server.close()])
  })

  it('reached over a line that breaks again and again, it is used again each time', async () => {
    const line = await RedisLine.to(redis.port)
    afterwards(() => line.discard())
    const [a, b] = await nodesOn(line.url)
    const bob = await inRoom(b.url)
    for (let cut = 0; cut < 3; cut++) {
      await reaches(a, bob)
      line.cut()
      a.server.io.of('/chat').to(room).emit('lost, perhaps')
    }
    await reaches(a, bob)
  })
})

describe('what should never have been said', () => {
  it('things that cannot be written, and foreign words in its channels, harm no server and are logged', async () => {
    const faults: string[] = []
    const logger = pino({}, { write: line => faults.push((JSON.parse(line) as { msg: string }).msg) })
    const [a, b, prefix] = await nodesOn(redis.url, { logger })
    const [ann, bob] = await Promise.all([inRoom(a.url), inRoom(b.url)])
    await hearing([redis], prefix, 2)
    const chat = a.server.io.of('/chat')
    const round: Record<string, unknown> = {}
    round.round = round
    expect(() => chat.to(room).emit('round', round)).toThrow()
    chat.serverSideEmit('round', round)
    b.server.io.of('/chat').sockets.get(bob.socket.id!)!.data = round
    await expect(chat.fetchSockets()).rejects.toThrow('timeout reached')
    const written = 'a message of the application could not be written for the other nodes'
    expect(faults.filter(fault => fault === written)).toHaveLength(2)
    b.server.io.of('/chat').on('bug', () => {
      throw new Error('a bug of the application')
    })
    chat.serverSideEmit('bug')
    const words = [
      '',
      'null',
      '{',
      '{}',
      '[]',
      '\xc1',
      '{"uid":"x","nsp":"/chat","type":3}',
      '{"uid":"x","nsp":"/chat","type":7,"data":0}',
    ]
    for (const channel of [`${prefix}#/chat#`, `${prefix}#/chat#${room}#`])
      for (const word of words) await redis.do(client => client.spublish(channel, word))
    await vi.waitFor(
      () => expect(faults.filter(fault => fault.includes('from another node')).length).toBeGreaterThan(4),
      patience,
    )
    chat.to(room).emit('said')
    await hears(bob, ['said'])
    await hears(ann, ['said'])
  })
})

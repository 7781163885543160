// What a client's hello asks for, and what becomes of that until it is answered.

import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server, type Socket } from 'socket.io'
import { afterEach, expect, it } from 'vitest'
import { type Client, connect } from '../../src/client/index.ts'
import { refusal } from '../../src/protocol/errors.ts'
import { type Epoch, emptyChain, type Handle, type PeerId } from '../../src/protocol/ids.ts'
import type { Join, Joined, Refused } from '../../src/protocol/messages.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { welcome } from './welcome.ts'

const start = { epoch: 'an-epoch' as Epoch, version: 0, chain: emptyChain }

const joined = ({ doc }: Pick<Join, 'doc'>, handle: number): Joined => ({
  kind: 'joined',
  doc,
  handle: handle as Handle,
  right: 'write',
  peer: 'p'.repeat(16) as PeerId,
  people: 1,
  peers: [],
  durable: 0,
  content: { kind: 'snapshot', position: start, value: '', landed: null, pruned: 0 },
})

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

type Asked = readonly Pick<Join, 'doc' | 'position'>[]

/** A server that answers each join, also those of a hello, and remembers who asked how. `held`: what a hello has to wait for. */
const desk = async () => {
  const http: HttpServer = createServer()
  const io = new Server(http, { parser: createParser({ end: 'server' }) })
  const world = { url: '', hellos: [] as Asked[], joins: [] as string[], left: [] as number[], sockets: [] as Socket[] }
  const how = { held: Promise.resolve() }
  io.use(async (socket, next) => {
    world.hellos.push(socket.handshake.auth.joins)
    await how.held
    next()
  })
  io.on('connection', socket => {
    let handle = 0
    world.sockets.push(socket)
    socket.on('join', (join: Join) => {
      world.joins.push(join.doc)
      socket.emit('joined', joined(join, ++handle))
    })
    socket.on('leave', ({ handle }: { handle: number }) => world.left.push(handle))
    socket.emit('welcome', welcome)
    for (const join of socket.handshake.auth.joins as Asked) socket.emit('joined', joined(join, ++handle))
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  ends.push(() => io.close())
  return { ...world, how, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
}

const visits = (url: string): Client => {
  const client = connect(url, { random: () => 0 })
  ends.push(() => client.close())
  return client
}

it('[W10] the documents that are open are asked for with the hello, from where they stand, and not once more', async () => {
  const { url, hellos, joins, sockets } = await desk()
  const client = visits(url)
  const doc = await client.open('notes')
  expect(hellos).toEqual([[{ doc: 'notes', type: 'text', position: null }]])
  sockets[0]!.conn.close()
  await expect.poll(() => hellos.length).toBe(2)
  expect(hellos[1]).toEqual([{ doc: 'notes', type: 'text', position: start }])
  await expect.poll(() => doc.status).toBe('saved')
  await client.open('more') // which comes after all that was said before
  expect(joins).toEqual(['more'])
})

it('[W10] of more than eight the others join as ever', async () => {
  const { url, hellos, joins } = await desk()
  const client = visits(url)
  const names = Array.from({ length: 10 }, (_, i) => `notes-${i}`)
  await Promise.all(names.map(name => client.open(name)))
  expect(hellos.map(asked => asked.map(({ doc }) => doc))).toEqual([names.slice(0, 8)])
  expect(joins).toEqual(names.slice(8))
})

/** A document that was asked for with a hello, and is closed before that is answered; `goOn` has it answered. */
const closedWhileHeld = async () => {
  const { url, hellos, joins, left, sockets, how } = await desk()
  const client = visits(url)
  const doc = await client.open('notes')
  let goOn = (): void => {}
  how.held = new Promise(resolve => (goOn = resolve))
  sockets[0]!.conn.close()
  await expect.poll(() => hellos.length).toBe(2)
  await doc.close()
  return { client, joins, left, goOn }
}

it('[W10] one that is closed before the hello is answered is left, and is there again when it is opened again', async () => {
  const { client, joins, left, goOn } = await closedWhileHeld()
  goOn()
  await expect.poll(() => left).toEqual([1])
  expect((await client.open('notes')).status).toBe('saved')
  expect(joins).toEqual(['notes'])
})

it('[W10] one that is closed and opened again before the hello is answered is there, asked for once', async () => {
  const { client, joins, left, goOn } = await closedWhileHeld()
  const again = client.open('notes')
  goOn()
  expect((await again).status).toBe('saved')
  expect([joins, left]).toEqual([[], []])
})

it('[W10] beside a line that still holds nothing is asked for ahead: there the documents go on until they are told to move', async () => {
  const { url, hellos, joins, sockets } = await desk()
  const client = visits(url)
  await client.open('notes')
  const soon: Refused = { kind: 'refused', doc: null, handle: null, seq: null, refusal: refusal('draining', undefined, 1) }
  sockets[0]!.emit('refused', soon)
  await expect.poll(() => joins).toEqual(['notes'])
  expect(hellos).toEqual([[expect.objectContaining({ doc: 'notes' })], []])
})

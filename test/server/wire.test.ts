// A line that goes past Socket.IO beside one that goes through it: who is at the other end cannot tell them apart.

import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { expect, it } from 'vitest'
import { encodeClientFrame } from '../../src/protocol/codec.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { connectionsOf } from '../../src/server/fanout.ts'
import type { InkwellServer, ServerOptions } from '../../src/server/index.ts'
import { PlainSocket } from '../../src/server/plain.ts'
import { Frames, frame, open } from '../websocket.ts'
import { afterwards, connects, serverWith } from './worlds.ts'

const { Encoder, Decoder } = createParser({ end: 'client' })
const packet = (of: { type: number; nsp?: string; data?: unknown; id?: number }): Buffer =>
  frame(2, new Encoder().encode({ nsp: '/', ...of })[0])

const hello = { protocol: [1, 1], key: 'k'.repeat(22) }
const enters = packet({ type: 0, data: hello })
const asked = { doc: 'notes', type: 'text', position: null }
const join = frame(2, encodeClientFrame({ kind: 'join', doc: 'notes' as DocId, type: 'text', position: null }))

/** What is sent, piece by piece, each once the one before it has been answered. Null: the line is closed by the peer. */
type Script = readonly (Buffer | null)[]

const scripts: Readonly<Record<string, Script>> = {
  'comes in, joins and goes': [enters, join, frame(8)],
  'comes in and breaks off': [enters, null],
  'says hello twice': [enters, enters],
  'leaves the namespace, and says hello again': [enters, Buffer.concat([packet({ type: 1 }), enters])],
  'leaves the namespace, and speaks on': [enters, Buffer.concat([packet({ type: 1 }), join])],
  'speaks before it has said hello': [join],
  'leaves before it has come': [packet({ type: 1 })],
  'asks for a namespace that there is not, then for the one that there is': [packet({ type: 0, nsp: '/chat', data: {} }), enters],
  'speaks in a namespace that there is not': [enters, packet({ type: 2, nsp: '/chat', data: ['x'] })],
  'says a hello that is none': [packet({ type: 0, data: { key: 7 } })],
  'says a hello without anything': [packet({ type: 0 })],
  'says an event that is no message': [enters, packet({ type: 2, data: ['shout', 1] })],
  'asks for an acknowledgement of one': [enters, packet({ type: 2, data: ['shout', 1], id: 3 })],
  'acknowledges what nobody asked': [enters, Buffer.concat([packet({ type: 3, data: [1], id: 3 }), join])],
  'refuses what nobody asked': [enters, packet({ type: 4, data: { message: 'no' } })],
  'sends a frame that cannot be read': [enters, frame(2, Uint8Array.of(0x9f, 0xff, 0xff))],
  'sends one before its hello': [frame(2, Uint8Array.of(0x9f, 0xff, 0xff))],
  'sends an empty frame': [enters, frame(2)],
  'sends an empty text': [enters, frame(1)],
  'sends a text of another form': [enters, frame(1, '42["join",{}]')],
  'asks whether the server is there, as only servers do': [enters, frame(1, '2')],
  'answers a ping that there was not': [enters, Buffer.concat([frame(1, '3'), join])],
  'sends packets of Engine.IO that mean nothing here': [
    enters,
    Buffer.concat([...'0156'].map(type => frame(1, type)).concat(join)),
  ],
  'sends one that does not exist': [enters, frame(1, '7')],
  'writes bytes in base64': [enters, frame(1, `b${Buffer.from(encodeClientFrame({ kind: 'probe' })).toString('base64')}`)],
  'sends a message that is too long': [enters, frame(2, Buffer.alloc(1_048_577, 0x81))],
  'sends one that is far too long': [enters, frame(2, Buffer.alloc(1_200_000, 0x81))],
  'sends a frame that is not masked': [enters, frame(2, 'x', { mask: false })],
  'asks for documents with its hello, and for some that are none': [
    packet({ type: 0, data: { ...hello, joins: [asked, 7, { ...asked, doc: '' }, asked, { ...asked, doc: 'more' }] } }),
    join,
  ],
  'asks for more with its hello than it may': [packet({ type: 0, data: { ...hello, joins: Array(9).fill(asked) } })],
  'says everything in one breath': [Buffer.concat([enters, join])],
}

/** Ids and times differ from line to line. */
const plain = (text: string): string =>
  text.replace(/"(sid|peer|epoch)":"[^"]*"/g, '"$1":"…"').replace(/"(chain|handle)":("[^"]*"|\d+)/g, '"$1":"…"')

/** Everything that a server says to a line, in order. */
const heard = async (url: string, path: string, script: Script): Promise<readonly string[]> => {
  const answer = await open(`${url}${path}`)
  if (answer.kind === 'no') return [`${answer.status} ${answer.body}`]
  const { socket, head } = answer
  afterwards(() => socket.destroy())
  const said: string[] = []
  let changed = (): void => {}
  const decoder = new Decoder().on('decoded', ({ type, nsp, data }) => {
    if (Array.isArray(data) && data[0] === 'presence') return // news of people come when they are due
    said.push(plain(JSON.stringify([type, nsp, data])))
  })
  const frames = new Frames((opcode, payload) => {
    if (opcode === 2) decoder.add(payload)
    else said.push(`${opcode} ${opcode === 1 ? plain(payload.toString()) : payload.toString('hex')}`)
    changed()
  })
  frames.add(head)
  socket.on('data', bytes => frames.add(bytes))
  socket.on('close', () => changed())
  // What is to come is over when a ping that is sent behind it has been answered: pings of a WebSocket go the same way on both.
  let pings = 0
  const answered = async (): Promise<void> => {
    const asked = `a ${Buffer.from(`ping ${++pings}`).toString('hex')}`
    const due = `10 ${asked.slice(2)}`
    for (let round = 0; round < 2; round++) {
      if (!socket.writable || socket.destroyed) break
      if (round === 0) await new Promise(resolve => setTimeout(resolve, 30)) // engine.io answers no ping while it hands over what was said before it, and nothing tells when it has
      socket.write(frame(9, `ping ${pings}`))
      while (!said.includes(due) && !socket.destroyed && !said.some(word => word.startsWith('8 ')))
        await new Promise<void>(resolve => (changed = resolve))
      if (said.includes(due)) said.splice(said.indexOf(due), 1)
    }
  }
  for (const part of script) {
    if (part === null) socket.destroy()
    else if (!socket.destroyed) socket.write(part)
    await answered()
  }
  return said
}

const twins = async (options: ServerOptions): Promise<readonly [past: InkwellServer, through: InkwellServer]> => {
  const [past, through] = [await serverWith(options), await serverWith(options)]
  void through.io // who has Socket.IO in hand finds all lines there
  return [past, through]
}

const quiet = { beat: 3_600_000, pingInterval: 3_600_000, canaryEvery: 3_600_000 }

it.each(Object.keys(scripts))('[P5] on the wire nothing is different for a line that %s', async name => {
  const [past, through] = await twins({ limits: quiet })
  const [short, long] = [await past.listen(0), await through.listen(0)]
  const path = '/socket.io/?EIO=4&transport=websocket'
  const ours = await heard(short.url, path, scripts[name]!)
  expect(ours).toEqual(await heard(long.url, path, scripts[name]!))
  expect(ours[0]).toMatch(/^1 0\{"sid":"…","upgrades":\[\],"pingInterval":3600000,"pingTimeout":20000,"maxPayload":1114112\}$/)
  await expect.poll(() => [past.engine.counts.connections, through.engine.counts.connections]).toSatisfy(([a, b]) => a === b)
})

it.each([
  ['/socket.io/?EIO=4&transport=websocket', {}],
  ['/socket.io/?transport=websocket&EIO=4&t=abc', {}],
  ['/json/?EIO=4&transport=websocket', {}],
  ['/socket.io/?EIO=3&transport=websocket', {}],
  ['/socket.io/?transport=websocket', {}],
  ['/socket.io/?EIO=4&transport=polling', {}],
  ['/socket.io/?EIO=4&transport=websocket&sid=unknown', {}],
  ['/socket.io/?EIO=4&transport=websocket&token=secret', {}],
  ['/socket.io/?EIO=4&EIO=3&transport=websocket', {}],
  ['/socket.io/?EIO=4&transport=websocket', { origin: 'https://elsewhere.example' }],
  ['/socket.io/?EIO=4&transport=websocket', { 'sec-websocket-version': '7' }],
  ['/socket.io/?EIO=4&transport=websocket', { 'sec-websocket-key': 'short' }],
])('a request for %s %j is answered as Socket.IO answers it', async (path, headers) => {
  const servers = await twins({ limits: quiet, jsonPath: '/json/' })
  const answers = await Promise.all(
    servers.map(async server => {
      const { url } = await server.listen(0)
      const answer = await open(`${url}${path}`, headers).catch(() => null)
      if (answer === null) return ['hung up']
      if (answer.kind === 'no') return [answer.status, answer.body]
      afterwards(() => answer.socket.destroy())
      return ['a line']
    }),
  )
  expect(answers[0]).toEqual(answers[1])
})

it.each([
  ['asks for namespaces that there are not', packet({ type: 0, nsp: '/chat', data: {} })],
  ['acknowledges what nobody asked', packet({ type: 3, data: [1], id: 3 })],
  ['answers pings that there were not', frame(1, '3')],
  ['says what means nothing', frame(1, '6')],
])('[P5] who is in and %s without end is told so, and cut', async (_, part) => {
  const server = await serverWith({ limits: { ...quiet, messagesPerLine: 20 } })
  const { url } = await server.listen(0)
  const said = await heard(url, '/socket.io/?EIO=4&transport=websocket', [enters, Buffer.concat(Array(200).fill(part))])
  expect(said.at(-2)).toMatch(/"refused".*"slow-down".*far too much/)
  expect(said.at(-1)).toBe('8 ')
})

it('[P5] who asks for namespaces in step and reads no answer is cut once too much waits for it', async () => {
  const server = await serverWith({
    limits: { ...quiet, waitingBytes: 1_000, messagesPerLine: 1e6, messagesPerUser: 1e6, bytesPerLine: 1e9, bytesPerUser: 1e9 },
  })
  const { url } = await server.listen(0)
  const answer = await open(`${url}/socket.io/?EIO=4&transport=websocket`)
  if (answer.kind === 'no') throw new Error(answer.body)
  const { socket } = answer
  afterwards(() => socket.destroy())
  socket.write(enters)
  await expect.poll(() => server.engine.counts.connections).toBe(1)
  socket.pause()
  const asks = Buffer.concat(Array(1_000).fill(packet({ type: 0, nsp: `/${'x'.repeat(60)}`, data: {} })))
  const asking = setInterval(() => socket.writableLength < 1_000_000 && socket.write(asks), 1)
  afterwards(() => clearInterval(asking))
  await expect.poll(() => server.engine.counts.connections, { timeout: 60_000 }).toBe(0)
})

it.each(['connection', 'upgrade'])(
  '[P5] an application that reads along on every socket from its %s on changes nothing for a line',
  async event => {
    const http = createHttpServer()
    let read = 0
    const along = (socket: Duplex): void => void socket.on('data', (bytes: Buffer) => (read += bytes.length))
    const server = await serverWith({ attach: http, limits: quiet })
    if (event === 'connection') http.on(event, along)
    else http.on(event, (_, socket: Duplex) => along(socket))
    await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
    afterwards(() => http.close())
    const script = [Buffer.concat([enters, frame(9, 'at once')]), join, frame(8)]
    const path = '/socket.io/?EIO=4&transport=websocket'
    const said = await heard(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, path, script)
    expect(said).toEqual(await heard((await (await serverWith({ limits: quiet })).listen(0)).url, path, script))
    expect(read).toBeGreaterThan(enters.length)
    await server.close()
  },
)

it('[P8] of a line over which nothing but messages comes ws has no WebSocket, until it has to answer something else', async () => {
  const server = await serverWith({ limits: { ...quiet, pingInterval: 100 } })
  const { url } = await server.listen(0)
  const answer = await open(`${url}/socket.io/?EIO=4&transport=websocket`)
  if (answer.kind === 'no') throw new Error(answer.body)
  const { socket } = answer
  afterwards(() => socket.destroy())
  const [line] = connectionsOf(server.io.engine) as unknown as { readonly transport: { readonly socket: object } }[]
  const isPlain = (): boolean => line!.transport.socket instanceof PlainSocket
  const asked: boolean[] = []
  await new Promise<void>(resolve => {
    const frames = new Frames((opcode, payload) => {
      if (opcode === 10) return resolve()
      if (opcode !== 1 || payload.toString() !== '2') return
      asked.push(isPlain())
      if (asked.length < 3) socket.write(frame(1, '3'))
      else if (asked.length === 3) socket.write(frame(9, 'are you there'))
    })
    socket.on('data', bytes => frames.add(bytes))
    socket.write(enters)
  })
  expect(asked.slice(0, 3)).toEqual([true, true, true])
  expect(isPlain()).toBe(false)
})

it('[P8] a line of documents alone has none of Socket.IO’s objects; one that comes once an application has taken them has', async () => {
  const server = await serverWith({ limits: quiet })
  const { url } = await server.listen(0)
  await connects(url).next('welcome')
  await connects(url, { form: 'json' }).next('welcome')
  const { io } = server
  expect([io.engine.clientsCount, io.sockets.sockets.size, connectionsOf(io.engine).length]).toEqual([0, 0, 1])
  const late = connects(url)
  await late.next('welcome')
  expect([...io.sockets.sockets.keys()]).toEqual([late.socket.id])
  expect(connectionsOf(io.engine)).toHaveLength(2)
})

it('who asks for a namespace that an application makes only later is sent away to come again, and finds it', async () => {
  const server = await serverWith({ limits: quiet })
  const { url } = await server.listen(0)
  const early = connects(url)
  await early.next('welcome')
  const found = new Promise<string>(resolve => {
    server.io.of('/chat').on('connection', ({ nsp }) => resolve(nsp.name))
  })
  early.socket.io.socket('/chat').connect()
  await early.down
  const late = connects(url)
  await late.next('welcome')
  late.socket.io.socket('/chat').connect()
  expect(await found).toBe('/chat')
})

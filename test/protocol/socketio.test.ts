// Our parser inside the real Socket.IO, at both ends: it carries what it should, and what an attacker sends ends the attacker only.

import { once } from 'node:events'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server, type Socket } from 'socket.io'
import { type Socket as ClientSocket, io as connectTo, type ManagerOptions, type SocketOptions } from 'socket.io-client'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { encodeClientFrame, encodeServerFrame } from '../../src/protocol/codec.ts'
import { refusal } from '../../src/protocol/errors.ts'
import type { Submit } from '../../src/protocol/messages.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { fromClient, fromServer } from './examples.ts'
import { packed } from './packed.ts'

vi.setConfig({ testTimeout: 60_000 }) // an attack that closes nothing must not hang the whole run

const submit = fromClient.find(({ message }) => message.kind === 'submit')!.message as Submit
const commits = fromServer.find(({ message }) => message.kind === 'commits')!.message

const opened: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

/** A server that answers every event with its name and arguments, and keeps what its sockets lived through. */
const listening = async (form: 'binary' | 'json' = 'binary') => {
  const http: HttpServer = createServer()
  const io = new Server(http, { parser: createParser({ end: 'server', form }), maxHttpBufferSize: 2_000_000 })
  const lives: { socket: Socket; events: unknown[][]; ends: unknown[] }[] = []
  io.on('connection', socket => {
    const life = { socket, events: [] as unknown[][], ends: [] as unknown[] }
    lives.push(life)
    socket.onAny((...args) => {
      const answer = args.at(-1)
      life.events.push(args.filter(arg => typeof arg !== 'function'))
      if (typeof answer === 'function') answer(...args.slice(0, -1))
    })
    socket.on('disconnect', reason => life.ends.push(reason))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  opened.push(() => io.close())
  return { io, lives, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
}

const arrived = (socket: ClientSocket, event: string): Promise<unknown[]> =>
  new Promise(resolve => socket.once(event, (...args: unknown[]) => resolve(args)))

const connected = async (url: string, options: Partial<ManagerOptions & SocketOptions> = {}): Promise<ClientSocket> => {
  const socket = connectTo(url, {
    parser: createParser({ end: 'client' }),
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
    ...options,
  })
  opened.push(async () => socket.disconnect())
  await arrived(socket, 'connect')
  return socket
}

/** Writes a frame past our encoder, as an attacker would. */
const inject = (socket: ClientSocket, frame: Uint8Array | string): void => {
  socket.io.engine.write(frame as string)
}

const raw = (first: number, data: unknown): Uint8Array => Uint8Array.from([first, ...packed(data)])

describe('[W6] in a real Socket.IO', () => {
  it.each([['websocket'], ['polling']])('messages go both ways over %s', async transport => {
    const { lives, url } = await listening()
    const socket = await connected(url, { transports: [transport] })
    const back = arrived(socket, 'commits')
    expect(await socket.emitWithAck('submit', submit)).toEqual('submit')
    expect(lives[0]!.events).toEqual([['submit', submit]])
    lives[0]!.socket.emit('commits', commits)
    expect(await back).toEqual([commits])
  })

  it('a frame encoded once is what every client would have got', async () => {
    const { lives, url } = await listening()
    const sockets = await Promise.all([connected(url), connected(url)])
    const back = sockets.map(socket => arrived(socket, 'commits'))
    const frame = Buffer.from(encodeServerFrame(commits))
    for (const { socket } of lives) socket.conn.send(frame, { compress: false })
    expect(await Promise.all(back)).toEqual([[commits], [commits]])
  })

  it('a packet is one WebSocket message', async () => {
    const { url } = await listening()
    const socket = await connected(url)
    let messages = 0
    socket.io.engine.on('message', () => messages++)
    await socket.emitWithAck('file', new Uint8Array(100), { also: new Uint8Array(100) })
    expect(messages).toBe(1)
  })

  it('what CONNECT carries reaches the server, and the refusal comes back', async () => {
    const { io, url } = await listening()
    const seen: unknown[] = []
    io.use((socket, next) => {
      seen.push(socket.handshake.auth)
      next(Object.assign(new Error('no'), { data: refusal('unauthenticated') }))
    })
    const auth = { protocol: [1, 1], key: 'c3VwZXItc2VjcmV0LWtleQ', token: 't' }
    const socket = connectTo(url, { parser: createParser({ end: 'client' }), transports: ['websocket'], forceNew: true, auth })
    opened.push(async () => socket.disconnect())
    const [error] = (await arrived(socket, 'connect_error')) as [Error & { data: unknown }]
    expect(error).toMatchObject({ message: 'no', data: refusal('unauthenticated') })
    expect(seen).toEqual([auth])
  })

  it('an application’s namespace has events, rooms, bytes and answers of its own', async () => {
    const { io, url } = await listening()
    io.of('/chat').on('connection', socket => {
      socket.join('all')
      socket.on('say', (text, bytes, answer) => {
        io.of('/chat').to('all').emit('said', text, bytes)
        answer({ ok: true })
      })
    })
    const [ada, bob] = await Promise.all([connected(`${url}/chat`), connected(`${url}/chat`)])
    const heard = arrived(bob, 'said')
    expect(await ada.emitWithAck('say', 'hallo 🖋', new Uint8Array([1, 2]))).toEqual({ ok: true })
    const [text, bytes] = await heard
    expect([text, [...(bytes as Uint8Array)]]).toEqual(['hallo 🖋', [1, 2]])
  })

  it('a message that breaks a limit is heard as refused, and the line stays', async () => {
    const { lives, url } = await listening()
    const socket = await connected(url)
    inject(socket, encodeClientFrame({ ...submit, position: { ...submit.position, version: 2 ** 48 - 1 } }))
    inject(socket, Uint8Array.from([0x81, 1, 10, 4, 116, 101, 120, 116, 0])) // joins the document "\n"
    await socket.emitWithAck('ask', 1)
    expect(lives[0]!.events.map(([name]) => name)).toEqual(['submit', 'refused', 'ask'])
    expect(lives[0]!.events[1]![1]).toMatchObject({ kind: 'refused', refusal: { code: 'bad-document-id' } })
    expect(socket.connected).toBe(true)
  })
})

describe('[P5] [W7] an attacker closes its own connection and nothing else', () => {
  const attacks: [string, Uint8Array | string][] = [
    ['an object for a name', raw(2, [{ toString: 1 }])],
    ['the end of a server with the stock parser', packed({ type: 2, nsp: '/', data: [{ toString: 1 }] })],
    ['a forged disconnect', raw(2, ['disconnect', 'forged'])],
    ['a forged error', raw(2, ['error', 'forged'])],
    ['a forged newListener', raw(2, ['newListener', 'x'])],
    ['a prototype in a packet', Uint8Array.from([2, 0x92, 0xa1, 97, 0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa1, 97, 1])],
    ['an argument list that would overflow the stack', raw(2, ['say', ...new Array(300_000).fill(0)])],
    ['a thousand arrays in each other', Uint8Array.from([2, 0x92, 0xa1, 97, ...new Array(1_000).fill(0x91), 0])],
    ['a text frame', '2["say",1]'],
    ['an empty frame', new Uint8Array()],
    ['a connect error', raw(4, { message: 'x' })],
    ['a message cut off', encodeClientFrame(submit).subarray(0, -1)],
    ['a message of a server', encodeServerFrame(commits)],
  ]

  it.each(attacks)('%s', async (_, frame) => {
    const { lives, url } = await listening()
    const bystander = await connected(url)
    const attacker = await connected(url)
    const ended = arrived(attacker, 'disconnect')
    inject(attacker, frame)
    await ended
    expect(await bystander.emitWithAck('ask', 1)).toBe('ask')
    expect(lives[0]!.ends).toEqual([])
    // Socket.IO hears of the end by the transport; no listener ran for anything that the attacker said.
    expect(lives[1]!.events).toEqual([])
    expect(lives[1]!.ends).toHaveLength(1)
    expect(lives[1]!.ends).not.toContain('forged')
    expect(({} as { a?: unknown }).a).toBeUndefined()
  })

  it('a server that sends nonsense loses its client', async () => {
    const { lives, url } = await listening()
    const socket = await connected(url)
    const ended = arrived(socket, 'disconnect')
    lives[0]!.socket.conn.send(Buffer.from([0xff, 1, 2]))
    expect((await ended)[0]).toBe('parse error')
  })
})

describe('[W8] the JSON form is the plain Socket.IO of any client', () => {
  // `parser` absent: the one that comes with Socket.IO.
  const plain = (url: string) => connected(url, { parser: undefined } as never)

  it('messages are plain named events', async () => {
    const { lives, url } = await listening('json')
    const socket = await plain(url)
    const { kind, ...payload } = submit
    const { kind: back, ...expected } = commits
    const heard = arrived(socket, back)
    expect(await socket.emitWithAck(kind, payload)).toBe('submit')
    expect(lives[0]!.events).toEqual([['submit', submit]])
    lives[0]!.socket.emit('commits', commits)
    expect(await heard).toEqual([expected])
  })

  it('a bad payload is heard as refused', async () => {
    const { lives, url } = await listening('json')
    const socket = await plain(url)
    await socket.emitWithAck('join', { doc: '', type: 'text', position: null })
    expect(lives[0]!.events[0]).toMatchObject(['refused', { refusal: { code: 'bad-document-id' } }])
  })

  it.each([
    ['a forged disconnect', '2["disconnect","forged"]'],
    ['an object for a name', '2[{"toString":1}]'],
    ['an attachment announced', '51-["say",{"_placeholder":true,"num":0}]'],
    ['an argument list that would overflow the stack', `2["say"${',0'.repeat(300_000)}]`],
    ['a binary frame', encodeClientFrame(submit)],
  ])('[P5] %s ends the attacker only', async (_, frame) => {
    const { lives, url } = await listening('json')
    const bystander = await plain(url)
    const attacker = await plain(url)
    const ended = arrived(attacker, 'disconnect')
    inject(attacker, frame)
    await ended
    expect(await bystander.emitWithAck('ask', 1)).toBe('ask')
    expect(lives.map(({ ends }) => ends.length)).toEqual([0, 1])
    expect(lives[1]!.events).toEqual([])
  })
})

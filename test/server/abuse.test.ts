// Sockets that keep to no protocol at all: what each of them comes to, and what a neighbour who types meanwhile notices.

import { connect as dial, type Socket } from 'node:net'
import { beforeEach, expect, it, vi } from 'vitest'
import type { InkwellServer } from '../../src/server/index.ts'
import { misframed } from '../fuzz/misframed.ts'
import { frame, open } from '../websocket.ts'
import { ended, knock, line } from './knock.ts'
import type { Pen } from './raw.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

const patience = { timeout: 60_000, interval: 20 }

let server: InkwellServer
let url: string
let neighbour: Pen
let typed = ''

beforeEach(async () => {
  server = await serverWith({ limits: { connectTimeout: 1_000 } })
  ;({ url } = await server.listen(0))
  neighbour = await opens(url, 'shared')
  typed = ''
})

const undisturbed = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) {
    await neighbour.types('.')
    typed += '.'
  }
  expect(neighbour.shows).toBe(typed)
}

const tcp = (): Socket => {
  const socket = dial(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {}) // being cut is what many of these wait for
  afterwards(() => socket.destroy())
  return socket
}

/** A line that has said hello in JSON, and so has more to lose. */
const welcome = async (): Promise<Socket> => {
  const socket = await line(url)
  const heard = new Promise<void>(resolve => socket.on('data', (bytes: Buffer) => bytes.includes('"welcome"') && resolve()))
  socket.write(frame(1, `40${JSON.stringify({ protocol: [1, 1], key: 'k'.repeat(22) })}`))
  await heard
  return socket
}

it.each(misframed)('[P5] %s ends the line on which it comes, before and after a hello', async (_, bytes) => {
  for (const opening of [line(url), welcome()]) {
    const socket = await opening
    socket.write(bytes())
    await ended(socket)
  }
  await undisturbed()
})

it('[P5] a line that says nothing, and a head that never ends, are ended by the server', async () => {
  const [silent, slow] = [await line(url), tcp()]
  slow.write('GET /json/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n')
  let gone = false
  void ended(slow).then(() => (gone = true))
  const drip = setInterval(() => slow.write('X-More: y\r\n'), 200)
  afterwards(() => clearInterval(drip))
  await ended(silent)
  await undisturbed()
  await vi.waitFor(() => expect(gone).toBe(true), patience)
})

it.each([
  ['no HTTP at all', '\u0000\u0001\u0002\r\n\r\n'],
  ['a head of a megabyte', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(1_048_576)}\r\n\r\n`],
  ['two lengths', 'POST /v1/documents/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['ten thousand headers', `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(10_000)}\r\n`],
])('[P5] %s is refused, and says nothing of what runs here', async (_, bytes) => {
  const socket = tcp()
  let heard = ''
  socket.on('data', data => (heard += data.toString('latin1')))
  socket.write(bytes)
  await ended(socket)
  expect(heard).not.toMatch(/inkwell|node|fastify|socket\.io|\n\s+at /i)
  expect(heard === '' || /^HTTP\/1\.1 4\d\d /.test(heard), heard.slice(0, 80)).toBe(true)
  await undisturbed()
})

it('[P5] names that JavaScript keeps for itself are names like any other', async () => {
  const client = connects(url, { form: 'json' })
  await client.next('welcome')
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const { handle } = await client.join(name)
    client.sendFrame(`2["present",{"handle":${handle},"version":0,"state":{"${name}":{"polluted":true}}}]`)
    client.send({ kind: 'leave', handle })
  }
  for (const event of [
    '__proto__',
    'constructor',
    'disconnect',
    'disconnecting',
    'connect',
    'connect_error',
    'newListener',
    'error',
  ])
    expect(client.socket.io.engine.write(`2${JSON.stringify([event, {}])}`) !== undefined).toBe(true)
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  expect((await fetch(`${url}/v1/documents/__proto__`)).status).toBe(404)
  await undisturbed()
})

it('[P5] a thousand lines in one breath, most of which go at once: none is kept, and the neighbour goes on', async () => {
  const knocks = Array.from({ length: 1_000 }, () => knock(url).then(answer => answer.kind === 'line' && answer.socket.destroy()))
  await undisturbed()
  await Promise.allSettled(knocks)
  await undisturbed()
  await vi.waitFor(async () => expect((await knock(url)).kind).toBe('line'), patience)
  expect(server.engine.counts.connections).toBe(1)
})

it('[P5] a posted payload of more packets than anybody may send at once is not taken apart, and ends its line', async () => {
  // As much as one may say who is known; of a stranger it would be too long to begin with.
  const server = await serverWith({ transports: ['websocket', 'polling'], limits: { strangerBytes: 1_048_576 } })
  const { url } = await server.listen(0)
  let packets = 0
  server.io.engine.on('connection', (conn: { on(event: 'packet', heard: () => void): void }) =>
    conn.on('packet', () => packets++),
  )
  const opened = await (await fetch(`${url}/socket.io/?EIO=4&transport=polling`)).text()
  const { sid } = JSON.parse(opened.slice(1)) as { sid: string }
  const at = `${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`
  const post = (noops: number) => fetch(at, { method: 'POST', body: Array(noops).fill('6').join('\u001e') })
  expect([(await post(10)).status, packets]).toEqual([200, 10])
  await post(100_000)
  expect([(await fetch(at)).status, packets]).toEqual([400, 10])
})

/** The name that a line was given. */
const named = (socket: Socket, head: Buffer): Promise<string> =>
  new Promise(resolve => {
    const hear = (bytes: Buffer): void => {
      const found = /"sid":"([^"]+)"/.exec(bytes.toString('latin1'))
      if (found !== null) resolve(found[1]!)
    }
    socket.on('data', hear)
    hear(head)
  })

it.each([
  ['that is a WebSocket already', false],
  ['that moves to one already', true],
])('[P5] nobody gets another WebSocket for a line %s', async (_, polls) => {
  const server = await serverWith({ transports: ['websocket', 'polling'] })
  const { url } = await server.listen(0)
  const at = `${url}/json/?EIO=4&transport=websocket`
  const sid = await (async () => {
    if (polls) return JSON.parse((await (await fetch(`${url}/json/?EIO=4&transport=polling`)).text()).slice(1)).sid as string
    const answer = await open(at)
    if (answer.kind === 'no') throw new Error(`the server answered ${answer.status}`)
    afterwards(() => answer.socket.destroy())
    return named(answer.socket, answer.head)
  })()
  const kinds: (string | number)[] = []
  for (let i = 0; i < 3; i++) {
    const answer = await open(`${at}&sid=${sid}`)
    if (answer.kind === 'line') afterwards(() => answer.socket.destroy())
    kinds.push(answer.kind === 'line' ? 'line' : answer.status)
  }
  expect(kinds).toEqual([polls ? 'line' : 400, 400, 400])
})

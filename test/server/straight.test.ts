// Whole messages are read where they lie; in whatever pieces anything comes, what is heard is what ws would have said.

import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import { Server } from 'socket.io'
import { expect, it } from 'vitest'
import { Straight } from '../../src/server/straight.ts'
import { frame, open } from '../websocket.ts'
import { afterwards } from './worlds.ts'

/** What ws gives a server of Socket.IO for each of its lines. */
interface WebSocket extends EventEmitter {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): this
  on(event: 'close', listener: (code: number) => void): this
  on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): this
}

/** A client's raw line, and the WebSocket that a server has of it. */
type Lines = () => Promise<readonly [client: Socket, ws: WebSocket]>

const listening = async (maxPayload = 0): Promise<Lines> => {
  const io = new Server({ maxHttpBufferSize: maxPayload, serveClient: false }).attach(createServer())
  const { ws: maker } = io.engine as object as {
    ws: { handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, then: (ws: WebSocket) => void): void }
  }
  const came = new EventEmitter()
  const http = createServer().on(
    'upgrade',
    (request, socket, head) =>
      maker.handleUpgrade(Object.assign(request, { _query: {} }), socket, head, ws => came.emit('line', ws)), // engine.io looks for a sid
  )
  afterwards(() => void http.close())
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  return async () => {
    const line = once(came, 'line') as Promise<[WebSocket]>
    const answer = await open(`http://127.0.0.1:${port}/`)
    if (answer.kind === 'no') throw new Error(answer.body)
    return [answer.socket, (await line)[0]]
  }
}

/** What a server hears of `pieces` that come one after the other, and by which code the line ends. */
const heardOf = async (lines: Lines, straight: boolean, pieces: readonly Buffer[]): Promise<readonly string[]> => {
  const [client, ws] = await lines()
  const heard: string[] = []
  const hear = (data: Buffer, isBinary: boolean) => void heard.push(`${isBinary ? 'binary' : 'text'} ${data.toString('hex')}`)
  ws.on('message', hear)
  for (const kind of ['ping', 'pong'] as const) ws.on(kind, data => heard.push(`${kind} ${data.toString('hex')}`))
  ws.on('error', error => heard.push(error.code ?? error.message))
  if (straight) new Straight(hear).open(ws)
  const ended = new Promise<number>(resolve => ws.on('close', resolve))
  client.setNoDelay(true).resume()
  for (const piece of pieces) {
    if (!client.writable) break
    client.write(piece)
    await new Promise(resolve => setImmediate(resolve)) // so that the next piece comes by itself, mostly
  }
  client.end()
  const code = await ended
  return [...heard, `closed ${code}`]
}

const payload = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  fc.uint8Array({ minLength: 120, maxLength: 130 }),
  fc.nat(70_000).map(length => new Uint8Array(length).fill(length & 255)),
)

const one = fc.oneof(
  { weight: 5, arbitrary: payload.map(bytes => frame(2, bytes)) },
  fc.string({ maxLength: 20 }).map(text => frame(1, text)),
  fc.uint8Array({ maxLength: 20 }).map(bytes => frame(9, bytes)),
  fc.array(payload, { minLength: 1, maxLength: 3 }).map(parts => {
    const last = parts.length - 1
    return Buffer.concat(parts.map((part, i) => frame(i === 0 ? 2 : 0, part, { fin: i === last })))
  }),
)

const bad = fc.constantFrom(
  frame(2, 'unmasked', { mask: false }),
  frame(8, Buffer.from([3, 232])),
  [frame(2, 'begun', { fin: false }), frame(2, 'and another')],
  frame(0, 'of nothing'),
  frame(3, 'no such opcode'),
  Buffer.from([0xc2, 0x81, 0, 0, 0, 0, 1]), // an extension that nobody agreed on
)

/** Frames, of which a late one may be wrong, each by itself or all together cut into pieces anywhere. */
const said = fc
  .tuple(
    fc.array(one, { maxLength: 8 }),
    fc.option(bad),
    fc.array(one, { maxLength: 2 }),
    fc.option(fc.array(fc.nat(1_000), { maxLength: 6 })),
  )
  .map(([before, wrong, after, cuts]) => {
    const frames = [...before, wrong ?? [], ...after].flat()
    if (cuts === null) return frames
    const bytes = Buffer.concat(frames)
    const places = [0, ...cuts.map(cut => Math.floor((cut / 1_000) * bytes.length)), bytes.length].sort((a, b) => a - b)
    return places.slice(1).map((to, i) => bytes.subarray(places[i], to))
  })

it('[P8] hears what ws hears, in the same order and to the same end, however frames are cut and whatever is wrong with them', async () => {
  const lines = await listening(66_000)
  await fc.assert(
    fc.asyncProperty(said, async pieces => {
      expect(await heardOf(lines, true, pieces)).toEqual(await heardOf(lines, false, pieces))
    }),
    { numRuns: 150 },
  )
}, 120_000)

it('[P8] reads whole messages without the receiver of ws, also several of one piece and one behind what it left to ws', async () => {
  const [client, ws] = await (await listening())()
  const heard: string[] = []
  const end = new Promise<void>(resolve => {
    new Straight(data => {
      heard.push(String(data))
      if (String(data) === 'end') resolve()
    }).open(ws)
  })
  const cut = frame(2, 'cut')
  let others = 0
  const read = new Promise<void>(resolve => ws.on('message', () => ++others === 2 && resolve()))
  client.write(Buffer.concat([frame(2, 'a'), frame(2, 'b'), frame(1, 'text'), frame(2, 'behind it'), cut.subarray(0, 5)]))
  await read
  const whole = once(ws, 'message') // the one that was cut
  client.write(cut.subarray(5))
  await whole
  client.write(frame(2, 'end'))
  await end
  expect(heard).toEqual(['a', 'b', 'end'])
  client.destroy()
})

// Whole messages are read where they lie, with a WebSocket of ws or before there is one; in whatever pieces anything comes, what is heard
// is what ws would have said.

import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import { Server } from 'socket.io'
import { expect, it } from 'vitest'
import { answerTo, PlainSocket } from '../../src/server/plain.ts'
import { Straight } from '../../src/server/straight.ts'
import { frame, open } from '../websocket.ts'
import { afterwards } from './worlds.ts'

/** What ws gives a server of Socket.IO for each of its lines. */
interface WebSocket extends EventEmitter {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): this
  on(event: 'close', listener: (code: number) => void): this
  on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): this
  setSocket(socket: Duplex, head: Buffer, options: object): void
  close(): void
}

interface Maker {
  readonly options: { readonly WebSocket: new (address: null, protocols: undefined, options: object) => WebSocket }
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, then: (ws: WebSocket) => void): void
}

/** A client's raw line, and the WebSocket that a server has of it; or the socket, of which `plainly` has made what it likes. */
interface Lines {
  (): Promise<readonly [client: Socket, ws: WebSocket]>
  plainly(make: (socket: Socket, made: () => WebSocket) => void): Promise<Socket>
}

const listening = async (maxPayload = 0): Promise<Lines> => {
  const io = new Server({ maxHttpBufferSize: maxPayload, serveClient: false }).attach(createServer())
  const { ws: maker } = io.engine as object as { ws: Maker }
  const came = new EventEmitter()
  let plainly: Parameters<Lines['plainly']>[0] | null = null
  const http = createServer().on('upgrade', (request, socket, head) => {
    if (plainly === null)
      return maker.handleUpgrade(Object.assign(request, { _query: {} }), socket, head, ws => came.emit('line', ws)) // engine.io looks for a sid
    socket.write(answerTo(request, socket, head)!)
    const make = plainly
    plainly = null
    make(socket as Socket, () => {
      const ws = new maker.options.WebSocket(null, undefined, maker.options)
      ws.setSocket(socket, Buffer.alloc(0), { ...maker.options, maxPayload })
      return ws
    })
  })
  afterwards(() => void http.close())
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  const opened = async (): Promise<Socket> => {
    const answer = await open(`http://127.0.0.1:${port}/`)
    if (answer.kind === 'no') throw new Error(answer.body)
    return answer.socket
  }
  const lines = async () => {
    const line = once(came, 'line') as Promise<[WebSocket]>
    return [await opened(), (await line)[0]] as const
  }
  return Object.assign(lines, {
    plainly: (make: Parameters<Lines['plainly']>[0]) => {
      plainly = make
      return opened()
    },
  })
}

/** Who reads: ws, ws but for whole messages, or nobody but for whole messages until something else comes. */
type Way = 'ws' | 'straight' | 'plain'

/** What a server hears of `pieces` that come one after the other, and by which code the line ends. */
const heardOf = async (lines: Lines, way: Way, pieces: readonly Buffer[]): Promise<readonly string[]> => {
  const heard: string[] = []
  const hear = (data: Buffer, isBinary: boolean) => void heard.push(`${isBinary ? 'binary' : 'text'} ${data.toString('hex')}`)
  let end: (code: number) => void
  const ended = new Promise<number>(resolve => (end = resolve))
  const straight = new Straight(hear)
  const listen = (ws: WebSocket): WebSocket => {
    ws.on('message', hear)
    for (const kind of ['ping', 'pong'] as const) ws.on(kind, data => heard.push(`${kind} ${data.toString('hex')}`))
    ws.on('error', error => heard.push(error.code ?? error.message))
    ws.on('close', code => end(code))
    if (way !== 'ws') straight.open(ws)
    return ws
  }
  const gone = 1006 // without a farewell
  const client =
    way === 'plain'
      ? await lines.plainly((socket, made) => {
          const ears = { came: straight.came as never, takeOver: () => listen(made()), closed: () => end(gone) }
          new PlainSocket(socket, 66_000, ears)
        })
      : await lines().then(([client, ws]) => listen(ws) && client)
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
  fc.string({ maxLength: 20, unit: 'binary' }).map(text => frame(1, text)),
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
  Buffer.from([0x81, 0x82, 0x80, 0, 0, 0, 0x43, 0x28]), // c3 28, which is no UTF-8; as it is masked it would be
  frame(2, Buffer.alloc(66_001)),
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
      const due = await heardOf(lines, 'ws', pieces)
      expect(await heardOf(lines, 'straight', pieces)).toEqual(due)
      expect(await heardOf(lines, 'plain', pieces)).toEqual(due)
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
  const read = once(ws, 'message')
  ws.on('message', () => void others++)
  client.write(Buffer.concat([frame(2, 'a'), frame(1, 'b'), frame(9, 'ping'), frame(2, 'behind it'), cut.subarray(0, 5)]))
  await read
  const whole = once(ws, 'message') // the one that was cut
  client.write(cut.subarray(5))
  await whole
  client.write(frame(2, 'end'))
  await end
  expect([heard, others]).toEqual([['a', 'b', 'end'], 2])
  client.destroy()
})

// The line over real sockets of Socket.IO: when it tries again, when it does not, and what it never sends.
import { spawn } from 'node:child_process'
import { createServer, type Server as HttpServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Server, type Socket } from 'socket.io'
import { afterEach, describe, expect, it } from 'vitest'
import { lastingLine } from '../../src/client/line.ts'
import { type SocketIoOptions, socketIo } from '../../src/client/socketio.ts'
import type { Line, LineEvent } from '../../src/client/transport.ts'
import { type Refusal, refusal } from '../../src/protocol/errors.ts'
import type { ClientKey, Handle } from '../../src/protocol/ids.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { HandClock } from './hand.ts'
import { welcome } from './welcome.ts'

/** Remembers every wait that is asked for. */
class Diary extends HandClock {
  readonly waits: number[] = []
  override after(ms: number, call: () => void): () => void {
    if (ms !== 20_000) this.waits.push(ms) // the bound of one attempt
    return super.after(ms, call)
  }
}

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Desk {
  readonly url: string
  readonly sockets: Socket[]
  readonly hellos: unknown[]
  readonly heard: unknown[][]
  /** The queries of all requests. */
  readonly queries: URLSearchParams[]
}

/** A Socket.IO server that speaks our parser and says what the test wants. */
const desk = async (
  greet: (attempt: number) => Refusal | 'welcome' | 'silence' = () => 'welcome',
  { transports }: { readonly transports: ('websocket' | 'polling')[] } = { transports: ['websocket', 'polling'] },
): Promise<Desk> => {
  const http: HttpServer = createServer()
  const io = new Server(http, { parser: createParser({ end: 'server' }), transports })
  const made = { sockets: [] as Socket[], hellos: [] as unknown[], heard: [] as unknown[][], queries: [] as URLSearchParams[] }
  const ask = ({ url = '' }: IncomingMessage): void => void made.queries.push(new URL(url, 'http://desk').searchParams)
  http.on('request', ask).on('upgrade', (request, socket) => {
    ask(request)
    if (!transports.includes('websocket')) socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n') // as some proxies do
  })
  io.use((socket, next) => {
    made.hellos.push(socket.handshake.auth)
    const answer = greet(made.hellos.length)
    socket.data.answer = answer
    next(typeof answer === 'string' ? undefined : Object.assign(new Error(answer.message), { data: answer }))
  })
  io.on('connection', socket => {
    made.sockets.push(socket)
    socket.onAny((...args) => made.heard.push(args))
    if (socket.data.answer === 'welcome') socket.emit('welcome', welcome)
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  ends.push(() => io.close())
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, ...made }
}

/** A line whose events can be awaited one by one. */
class Watched {
  readonly clock = new Diary()
  readonly line: Line
  private readonly events: LineEvent[] = []
  private wake = () => {}

  constructor(url: string, options: Partial<SocketIoOptions> & { readonly renewable?: boolean } = {}) {
    let attempts = 0
    const hello = async () => ({ protocol: [1, 1] as const, key: 'k'.repeat(22) as ClientKey, token: `token ${++attempts}` })
    const { renewable = true, random = () => 0.5 } = options
    const dial = socketIo({ url, hello, joins: () => [], transports: ['websocket'], path: '/socket.io/', random, ...options })
    const surroundings = { onWake: () => () => {}, onLeave: () => () => {} }
    this.line = lastingLine({ dial, renewable, clock: this.clock, random, surroundings })(event => {
      this.events.push(event)
      this.wake()
    })
    ends.push(() => this.line.close())
  }

  async next(): Promise<LineEvent> {
    while (this.events.length === 0) await new Promise<void>(resolve => (this.wake = resolve))
    return this.events.shift()!
  }

  /** Lets the line try now. */
  async tries(): Promise<LineEvent> {
    this.clock.pass(40_000 - 20_001) // past the longest wait, short of the end of the attempt that then begins
    return this.next()
  }
}

describe('a line that polls', () => {
  it('bears one name in all its requests, by which a load balancer keeps it at one node, and another at the next attempt', async () => {
    const { url, sockets, queries } = await desk()
    let chance = 0
    const watched = new Watched(url, { transports: ['polling'], random: () => (chance += 0.01) })
    const names: Set<string | null>[] = []
    for (let i = 0; i < 2; i++) {
      expect(await watched.tries()).toMatchObject({ kind: 'up' })
      sockets.pop()!.conn.close()
      expect(await watched.next()).toMatchObject({ kind: 'down' })
      expect(queries.length).toBeGreaterThan(2)
      names.push(new Set(queries.splice(0).map(query => query.get('line'))))
    }
    expect(names.map(({ size }) => size)).toEqual([1, 1])
    const [first, second] = names.flatMap(name => [...name])
    expect([first, second]).toEqual([expect.stringMatching(/^[a-z0-9]{5,}$/), expect.stringMatching(/^[a-z0-9]{5,}$/)])
    expect(first).not.toBe(second)
  })

  it('comes about where WebSockets are refused and polling is allowed, in the same attempt', async () => {
    const { url, sockets } = await desk(() => 'welcome', { transports: ['polling'] })
    expect(await new Watched(url, { transports: ['websocket', 'polling'] }).tries()).toMatchObject({ kind: 'up' })
    expect(sockets.map(({ conn }) => conn.transport.name)).toEqual(['polling'])
  })

  it('a WebSocket needs no name and has none', async () => {
    const { url, queries } = await desk()
    expect(await new Watched(url).tries()).toMatchObject({ kind: 'up' })
    expect(queries.map(query => query.get('line'))).toEqual([null])
  })
})

describe('the schedule', () => {
  it('begins anew only after a line has held for five seconds, so that a server that drops at once is not stormed', async () => {
    const { url, sockets } = await desk()
    const watched = new Watched(url)
    for (const held of [0, 0, 0, 5_000, 0]) {
      expect(await watched.tries()).toMatchObject({ kind: 'up' })
      watched.clock.pass(held)
      sockets.pop()!.disconnect(true)
      expect(await watched.next()).toMatchObject({ kind: 'down', reason: 'io server disconnect', final: false })
    }
    expect(watched.clock.waits).toEqual([0, 500, 1_000, 2_000, 500, 1_000])
  })

  it('waits as long as the server asks for', async () => {
    const { url } = await desk(() => refusal('slow-down', undefined, 12_345))
    const watched = new Watched(url)
    expect(await watched.tries()).toMatchObject({ kind: 'down', refusal: { code: 'slow-down' }, final: false })
    expect(watched.clock.waits).toEqual([0, 12_345 + 500])
  })

  it('gives an attempt up after twenty seconds without a welcome', async () => {
    const { url, sockets } = await desk(() => 'silence')
    const watched = new Watched(url)
    watched.clock.pass(0)
    while (sockets.length === 0) await new Promise(resolve => setImmediate(resolve))
    watched.clock.pass(20_000)
    expect(await watched.next()).toEqual({ kind: 'down', reason: 'no welcome in time', refusal: null, final: false })
    expect(watched.clock.waits).toEqual([0, 500])
  })

  it('[P4] goes elsewhere when the node is about to stop, at the time that it names, and leaves only then', async () => {
    const { url, sockets } = await desk()
    const watched = new Watched(url)
    await watched.tries()
    sockets[0]!.emit('refused', {
      kind: 'refused',
      doc: null,
      handle: null,
      seq: null,
      refusal: refusal('draining', undefined, 700),
    })
    while (watched.clock.waits.length < 2) await new Promise(resolve => setImmediate(resolve))
    watched.clock.pass(699)
    expect([watched.clock.waits, sockets.length]).toEqual([[0, 700], 1])
    watched.clock.pass(1)
    expect(await watched.next()).toMatchObject({ kind: 'up' })
    while (sockets[0]!.connected) await new Promise(resolve => setImmediate(resolve))
    expect([sockets.length, sockets[1]!.connected]).toEqual([2, true])
  })
})

describe('refusals', () => {
  it.each(['unsupported-protocol', 'forbidden', 'malformed'] as const)('%s ends the line for good', async code => {
    const { url, hellos } = await desk(() => refusal(code, 'why'))
    const watched = new Watched(url)
    expect(await watched.tries()).toEqual({
      kind: 'down',
      reason: refusal(code).message,
      refusal: refusal(code, 'why'),
      final: true,
    })
    watched.clock.pass(600_000)
    expect([watched.clock.waiting, hellos.length]).toEqual([0, 1])
  })

  it('an expired token is renewed: every attempt asks for one', async () => {
    const { url, hellos } = await desk(attempt => (attempt < 3 ? refusal('unauthenticated') : 'welcome'))
    const watched = new Watched(url)
    expect(await watched.tries()).toMatchObject({ kind: 'down', refusal: { code: 'unauthenticated' }, final: false })
    expect(await watched.tries()).toMatchObject({ kind: 'down', final: false })
    expect(await watched.tries()).toEqual({ kind: 'up', welcome })
    expect(hellos.map(hello => (hello as { token: string }).token)).toEqual(['token 1', 'token 2', 'token 3'])
  })

  it('a client that has no token to renew gives up where one is asked for', async () => {
    const { url } = await desk(() => refusal('unauthenticated'))
    expect(await new Watched(url, { renewable: false }).tries()).toMatchObject({ kind: 'down', final: true })
  })

  it('a token that cannot be had counts as a failed attempt', async () => {
    const { url, hellos } = await desk()
    const hello = () => Promise.reject(new Error('login is down'))
    const watched = new Watched(url, { hello })
    expect(await watched.tries()).toEqual({ kind: 'down', reason: 'no token: login is down', refusal: null, final: false })
    expect([watched.clock.waits, hellos]).toEqual([[0, 500], []])
  })
})

describe('the line', () => {
  it('[P2] sends nothing later that it could not send at once', async () => {
    const { url, heard, sockets } = await desk()
    const watched = new Watched(url)
    watched.line.send({ kind: 'leave', handle: 1 as Handle })
    await watched.tries()
    watched.line.pause()
    expect(await watched.next()).toEqual({ kind: 'down', reason: 'paused', refusal: null, final: false })
    watched.line.send({ kind: 'leave', handle: 2 as Handle })
    watched.line.resume()
    expect(await watched.tries()).toMatchObject({ kind: 'up' })
    watched.line.send({ kind: 'leave', handle: 3 as Handle })
    while (heard.length === 0) await new Promise(resolve => setImmediate(resolve))
    expect([heard, sockets.length]).toEqual([[['leave', { kind: 'leave', handle: 3 }]], 2])
  })

  it('that is paused stays away, and says nothing of what comes after', async () => {
    const { url, sockets, hellos } = await desk()
    const watched = new Watched(url)
    await watched.tries()
    watched.line.pause()
    await watched.next()
    watched.clock.pass(600_000)
    expect([watched.clock.waiting, hellos.length]).toEqual([0, 1])
    while (sockets[0]!.connected) await new Promise(resolve => setImmediate(resolve))
    watched.line.resume()
    expect(await watched.tries()).toMatchObject({ kind: 'up' })
  })

  it('leaves no wait behind when it is closed, in whatever state', async () => {
    const { url, sockets } = await desk()
    const waiting = new Watched(url)
    waiting.line.close()
    const trying = new Watched(url)
    trying.clock.pass(0)
    trying.line.close()
    const up = new Watched(url)
    await up.tries()
    up.line.close()
    expect([waiting.clock.waiting, trying.clock.waiting, up.clock.waiting]).toEqual([0, 0, 0])
    while (sockets.some(socket => socket.connected)) await new Promise(resolve => setImmediate(resolve))
    expect(sockets.length).toBeLessThanOrEqual(2)
  })

  it('a server that speaks another language breaks the line, not the client', async () => {
    const { url, sockets } = await desk()
    const watched = new Watched(url)
    await watched.tries()
    sockets[0]!.conn.write(Buffer.from([250, 1, 2, 3]) as never)
    expect(await watched.next()).toEqual({ kind: 'down', reason: 'parse error', refusal: null, final: false })
    expect(await watched.tries()).toMatchObject({ kind: 'up' })
  })

  it('a Node process ends by itself after close, also while the server cannot be reached', async () => {
    const { url } = await desk()
    const root = join(import.meta.dirname, '..', '..')
    const script = `
      import { connect } from './src/client/index.ts'
      const up = connect('${url}')
      await new Promise(resolve => up.on('status', resolve))
      await up.close()
      const away = connect('http://127.0.0.1:1')
      away.open('doc').catch(() => {})
      await new Promise(resolve => setTimeout(resolve, 50))
      await away.close()
    `
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      stdio: 'inherit',
    })
    ends.push(() => child.kill('SIGKILL'))
    expect(await new Promise(resolve => child.once('exit', resolve))).toBe(0)
  })
})

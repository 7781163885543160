// A client that does not read for a while, on a real socket: what waits for it, and what the others notice.

import { expect, it, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { connectionsOf } from '../../src/server/fanout.ts'
import type { InkwellServer } from '../../src/server/index.ts'
import { Roster } from '../roster.ts'
import { afterwards, opens, serverWith } from './worlds.ts'

const patience = { timeout: 60_000, interval: 20 }

/** One who writes, one who reads, and one who stops reading with some megabytes on their way. */
const stuck = async () => {
  const server = await serverWith({
    limits: { waitingBytes: 1_073_741_824, pingInterval: 3_600_000, bytesPerLine: 1_073_741_824, bytesPerUser: 1_073_741_824 },
  })
  const { url } = await server.listen(0)
  const [ann, ben, deaf] = [await opens(url, 'notes'), await opens(url, 'notes'), await opens(url, 'notes', { form: 'json' })]
  const [benHears, deafHears] = [ben, deaf].map(({ client }) => {
    const roster = new Roster()
    const signals: unknown[] = []
    client.socket.onAny((kind, payload) => {
      roster.hears({ ...payload, kind })
      if (kind === 'signalled') signals.push(payload.payload)
    })
    return { roster, signals }
  })
  const { transport } = deaf.client.socket.io.engine as unknown as {
    transport: { ws: { _socket: { pause(): void; resume(): void } } }
  }
  const socket = transport.ws._socket
  socket.pause()
  // Socket and kernel take in some megabytes before anything waits.
  for (let i = 0; i < 40; i++) await ann.types('x'.repeat(400_000), 0)
  return { ann, ben, deaf, benHears: benHears!, deafHears: deafHears!, reads: () => socket.resume() }
}

/** The number that somebody shows of herself. */
const shown = ({ peers }: Roster): unknown => [...peers.values()].find(({ state }) => 'n' in state)?.state.n

it('[P5] presence and signals do not heap up for whoever does not read, and are not late for the others; reading again one knows who is here', async () => {
  const { ann, ben, deaf, benHears, deafHears, reads } = await stuck()
  const moves = (n: number): void => ann.client.send({ kind: 'present', handle: ann.handle, version: 40, state: { n } })
  const says = (payload: unknown): void => ann.client.send({ kind: 'signal', handle: ann.handle, name: 'n', payload } as never)
  for (let n = 1; n <= 40; n++) {
    moves(n)
    says(n)
    await vi.waitFor(() => expect([shown(benHears.roster), benHears.signals.at(-1)]).toEqual([n, n]), patience)
  }
  expect(benHears.signals).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
  ben.client.close()
  const frames = deafHears.roster.frames.changes
  reads()
  await deaf.reaching(40)
  await vi.waitFor(() => expect([deafHears.roster.people, shown(deafHears.roster)]).toEqual([2, 40]), patience)
  expect(deafHears.roster.peers.size).toBe(2)
  expect(deafHears.roster.frames.whole).toBe(1)
  expect(deafHears.roster.frames.changes - frames, 'frames that waited').toBeLessThan(10)
  expect(deafHears.signals).toEqual([])
  says('hello again')
  moves(41)
  await vi.waitFor(() => expect([shown(deafHears.roster), deafHears.signals]).toEqual([41, ['hello again']]), patience)
})

/** The engine.io side of every line, as engine.io and Node count what waits for it. */
const heldFor = (server: InkwellServer): number[] =>
  connectionsOf(server.io.engine).map(conn => {
    const { writeBuffer, transport } = conn as unknown as {
      writeBuffer: readonly { options: { wsPreEncodedFrame?: readonly [Buffer] } }[]
      transport: { socket?: { _socket: { writableLength: number } | null } }
    }
    const waiting = writeBuffer.reduce((sum, { options }) => sum + (options.wsPreEncodedFrame?.[0].length ?? 0), 0)
    return waiting + (transport.socket?._socket?.writableLength ?? 0)
  })

const stopsReading = (client: { readonly socket: { readonly io: { readonly engine: unknown } } }) => {
  const { transport } = client.socket.io.engine as { transport: { ws: { _socket: { pause(): void; resume(): void } } } }
  transport.ws._socket.pause()
  return () => transport.ws._socket.resume()
}

it('[P5] of two hundred who read and one who does not, at most 256 KiB and a frame wait for the one; reading again it is brought all it missed', async () => {
  const server = await serverWith({
    limits: { pingInterval: 3_600_000, bytesPerLine: 1_073_741_824, bytesPerUser: 1_073_741_824 },
  })
  const { url } = await server.listen(0)
  const deaf = await opens(url, 'heavy')
  const ann = await opens(url, 'heavy')
  const handle = await deaf.client.join('notes')
  const ben = await opens(url, 'notes')
  const readers = await Promise.all(Array.from({ length: 200 }, () => opens(url, 'notes')))
  const reads = stopsReading(deaf.client)
  const long = 100_000
  let most = 0
  for (let i = 0; i < 120; i++) {
    await ann.types('x'.repeat(long), 0) // kernel and socket take in some megabytes before anything waits
    most = Math.max(most, ...heldFor(server))
  }
  for (let i = 0; i < 40; i++) {
    await ben.types('y'.repeat(1_000), 0)
    most = Math.max(most, ...heldFor(server))
  }
  await Promise.all(readers.map(reader => reader.reaching(40)))
  expect(most, 'something waited').toBeGreaterThan(65_536)
  expect(most).toBeLessThan(262_144 + long)
  reads()
  await deaf.reaching(120)
  expect(deaf.shows).toBe(ann.shows)
  let at = 0
  while (at < 40) {
    const frame = await deaf.client.next('commits', commits => commits.handle === handle.handle)
    expect(frame.from).toBe(at)
    at += frame.commits.length
  }
})

it('[P5] one who lacks more than is sent one by one joins again, and what it had typed itself is there', async () => {
  const server = await serverWith({ limits: { pingInterval: 3_600_000, catchUpCommits: 10 } })
  const { url } = await server.listen(0)
  const client = connect(url)
  afterwards(() => client.close())
  const [heavy, notes] = [await client.open('heavy'), await client.open('notes')]
  const [ann, ben] = [await opens(url, 'heavy'), await opens(url, 'notes')]
  const line = [...connectionsOf(server.io.engine)][0]! as unknown as {
    transport: { socket: { _socket: { write(...words: unknown[]): boolean } } }
  }
  // The client's socket is its own affair; here the server's is what does not get rid of anything.
  const socket = line.transport.socket._socket
  const write = socket.write.bind(socket)
  const kept: unknown[][] = []
  socket.write = (...words) => kept.push(words) > 0
  for (let i = 0; i < 5; i++) await ann.types('x'.repeat(50_000), 0)
  for (let i = 0; i < 30; i++) await ben.types('y', 0)
  notes.insert(0, 'mine ')
  socket.write = write
  for (const words of kept) write(...words)
  await notes.settled()
  await heavy.settled()
  await vi.waitFor(() => expect([notes.text.length, heavy.text.length]).toEqual([35, 250_000]), patience)
  expect(notes.text).toContain('mine ')
})

it('[P5] one who asks and never reads is cut, and so is one who takes nothing for too long; nobody else notices', async () => {
  const server = await serverWith({
    limits: {
      pingInterval: 3_600_000,
      stuckTime: 2_000,
      messagesPerLine: 1_000_000,
      messagesPerUser: 1_000_000,
      bytesPerLine: 1_073_741_824,
      bytesPerUser: 1_073_741_824,
    },
  })
  const { url } = await server.listen(0)
  const [asks, silent] = [await opens(url, 'heavy'), await opens(url, 'heavy')]
  const ann = await opens(url, 'heavy')
  for (const { client } of [asks, silent]) stopsReading(client)
  for (let i = 0; i < 120; i++) await ann.types('x'.repeat(100_000), 0)
  const flood = setInterval(() => {
    for (let i = 0; i < 200; i++) asks.client.send({ kind: 'probe' })
  }, 10)
  afterwards(() => clearInterval(flood))
  await vi.waitFor(() => expect(server.engine.counts.connections).toBe(1), patience)
  await ann.types('still here')
})

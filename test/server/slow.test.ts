// A client that does not read for a while, on a real socket: what waits for it, and what the others notice.

import { expect, it, vi } from 'vitest'
import { Roster } from '../roster.ts'
import { opens, serverWith } from './worlds.ts'

const patience = { timeout: 60_000, interval: 20 }

/** One who writes, one who reads, and one who stops reading with some megabytes on their way. */
const stuck = async () => {
  const server = await serverWith({ limits: { waitingBytes: 1_073_741_824, pingInterval: 3_600_000 } })
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

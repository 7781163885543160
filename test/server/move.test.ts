// One node goes, another is there: what the writers notice of it.

import { describe, expect, it } from 'vitest'
import { type Client, type ConnectOptions, connect, type TextDocument } from '../../src/client/index.ts'
import type { Clock } from '../../src/engine/ports.ts'
import { memoryStore, type ServerOptions } from '../../src/server/index.ts'
import { HandClock } from '../client/hand.ts'
import { Tunnel } from '../tunnel.ts'
import { afterwards, serverWith } from './worlds.ts'

/** What takes a second or more takes a minute: on a slow machine a move may take longer than a node would wait for it. */
const patient: Clock = {
  now: Date.now,
  after: (ms, call) => {
    const timer = setTimeout(call, ms < 1_000 ? ms : ms * 60)
    return () => clearTimeout(timer)
  },
}

/** Two nodes with one store, and a way to whichever the test points at. */
const twoNodes = async (options: ServerOptions = {}) => {
  const store = { ...memoryStore(), shared: true, close: async () => {} }
  const nodes = [await serverWith({ store, ...options }), await serverWith({ store })] as const
  const ports = [(await nodes[0].listen(0)).port, (await nodes[1].listen(0)).port] as const
  let to = 0
  const tunnel = await Tunnel.to(() => ports[to]!)
  afterwards(() => tunnel.discard())
  return { nodes, url: tunnel.url, tunnel, point: (at: 0 | 1) => (to = at) }
}

/** Somebody who types, and what bothered them. */
class Writer {
  readonly client: Client
  readonly doc: TextDocument
  readonly heard: string[] = []
  private constructor(client: Client, doc: TextDocument) {
    this.client = client
    this.doc = doc
    client.on('status', status => this.heard.push(`client ${status}`))
    client.on('error', ({ code }) => this.heard.push(`error ${code}`))
    doc.on('status', status => {
      if (status !== 'saving' && status !== 'saved') this.heard.push(`document ${status}`)
    })
    doc.on('error', ({ code }) => this.heard.push(`error ${code}`))
    doc.on('draft', ({ text }) => this.heard.push(`draft ${text}`))
  }

  static async at(url: string, options: ConnectOptions = {}): Promise<Writer> {
    const client = connect(url, { random: () => 0, ...options })
    afterwards(() => client.close())
    return new Writer(client, await client.open('doc'))
  }
}

/** Everybody types until `done`; answers each one's letters, every one of which is another. */
const typing = async (writers: readonly Writer[], done: Promise<unknown>): Promise<string[]> => {
  let over = false
  void done.then(() => (over = true))
  const typed = writers.map(() => '')
  for (let n = 0; !over; n++) {
    for (const [i, { doc }] of writers.entries()) {
      const letter = String.fromCodePoint(0x20000 + i * 0x800 + typed[i]!.length / 2)
      doc.insert(Math.floor((doc.length / 2) * ((n * 0.618) % 1)) * 2, letter)
      typed[i] += letter
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return typed
}

const sorted = (text: string): string => [...text].sort().join('')

describe('[P4] a rolling restart', () => {
  it('under ten writers: nobody is offline for a moment, nobody is told of anything, each letter is there once', async () => {
    const { nodes, url, point, tunnel } = await twoNodes({ clock: patient })
    // Patient as well: a call that takes long is not dialled anew, so that the calls can be counted.
    const writers = await Promise.all(Array.from({ length: 10 }, () => Writer.at(url, { clock: patient })))
    point(1)
    const typed = await typing(writers, nodes[0].close())
    await Promise.all(writers.map(({ doc }) => doc.settled()))
    const reader = await Writer.at(url, { clock: patient })
    expect(sorted(reader.doc.text)).toBe(sorted(typed.join('')))
    await Promise.all(writers.map(({ doc }) => reaching(doc, reader.doc.version)))
    expect(writers.map(({ doc }) => doc.text)).toEqual(writers.map(() => reader.doc.text))
    expect(writers.flatMap(({ heard }) => heard)).toEqual([])
    expect([nodes[0].engine.counts.connections, nodes[1].engine.counts.connections]).toEqual([0, 11])
    expect(tunnel.opened).toBe(21)
  })

  it('the way there still leads to the old node at first: it is asked again, and writers stay on their lines', async () => {
    const { nodes, url, point, tunnel } = await twoNodes({ clock: patient })
    const writer = await Writer.at(url)
    const closed = nodes[0].close()
    const typed = await typing(
      [writer],
      (async () => {
        while (tunnel.opened < 3) await new Promise(resolve => setTimeout(resolve, 5))
        point(1)
        await closed
      })(),
    )
    await writer.doc.settled()
    expect([writer.doc.text.length, writer.heard]).toEqual([typed[0]!.length, []])
  })

  it('carets: when all have moved each of the others is there once, as they said of themselves', async () => {
    const { nodes, url, point } = await twoNodes({ clock: patient })
    const [ann, ben] = [await Writer.at(url), await Writer.at(url)]
    ann.doc.presence.set({ here: true })
    ben.doc.presence.set({ here: true })
    point(1)
    await nodes[0].close()
    const settled = () =>
      [ann, ben].every(({ doc }) => JSON.stringify(doc.presence.peers.map(({ state }) => state)) === '[{"here":true}]')
    while (!settled() || nodes[1].engine.counts.joined < 2) await new Promise(resolve => setTimeout(resolve, 5))
  })
})

describe('a node that stops', () => {
  it('waits for its clients to move for as long as it told them, and a moment more, if another node may serve them', async () => {
    const clock = new HandClock()
    const { nodes, url } = await twoNodes({ clock })
    const writer = await Writer.at(url)
    let closed = false
    const closing = nodes[0].close().then(() => (closed = true))
    for (let i = 0; i < 20; i++) {
      writer.doc.insert(0, 'x')
      await writer.doc.settled() // it serves on: nobody can go anywhere
    }
    expect([closed, writer.heard]).toEqual([false, []])
    const offline = new Promise<void>(resolve => writer.client.on('status', () => resolve()))
    clock.pass(3_010)
    await Promise.all([closing, offline])
  })

  it('does not wait where there is no other node', async () => {
    const server = await serverWith()
    const client = connect((await server.listen(0)).url)
    afterwards(() => client.close())
    await client.open('doc')
    const offline = new Promise<void>(resolve => client.on('status', () => resolve()))
    await server.close()
    await offline
  })
})

/** Resolves when a document shows this version. */
const reaching = async (doc: TextDocument, version: number): Promise<void> => {
  while (doc.version < version) await new Promise(resolve => setTimeout(resolve, 5))
}

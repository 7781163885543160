// How others lose words: for each report that has a counterpart here, what it says happened, done to us. Servers and sockets are real.
// The reports: share/sharedb, ueberdosis/hocuspocus, overleaf, ether/etherpad, tldraw/tldraw, liveblocks/liveblocks and what stands on them.

import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { type Clock, systemClock } from '../../src/client/clock.ts'
import { type Client, type ConnectOptions, connect, type TextDocument, type Transport } from '../../src/client/index.ts'
import { lastingLine } from '../../src/client/line.ts'
import { socketIo } from '../../src/client/socketio.ts'
import type { Dial } from '../../src/client/transport.ts'
import { opcodes } from '../../src/protocol/codec.ts'
import type { ClientKey } from '../../src/protocol/ids.ts'
import type { ClientMessage, ServerMessage, Submit } from '../../src/protocol/messages.ts'
import { createServer, embeddedStore, type InkwellServer, memoryStore, type ServerOptions } from '../../src/server/index.ts'
import { newKey } from '../server/raw.ts'
import { afterwards, opens as opensRaw, serverWith } from '../server/worlds.ts'
import { Tunnel } from '../tunnel.ts'
import { HandClock } from './hand.ts'
import { hurried } from './typists.ts'

const connects = (url: string, options: ConnectOptions = {}): Client => {
  const client = connect(url, { random: () => 0, ...options })
  afterwards(() => client.close())
  return client
}

const opens = (url: string, options: ConnectOptions = {}): Promise<TextDocument> => connects(url, options).open('doc')

/** A server, and a way to it for one who will lose it. */
const world = async (options: ServerOptions = {}) => {
  const server = await serverWith(options)
  const { url, port } = await server.listen(0)
  const tunnel = await Tunnel.to(() => port)
  afterwards(() => tunnel.discard())
  return { server, url, tunnel }
}

/** A line of the usual kind that loses what a test picks out, and remembers what was sent and what came. */
const losing = (
  url: string,
  loses: { up?(message: ClientMessage): boolean; down?(message: ServerMessage): boolean },
  clock: Clock = hurried,
): { readonly transport: Transport; readonly sent: ClientMessage[]; came(kind: ServerMessage['kind']): number } => {
  const sent: ClientMessage[] = []
  const came: ServerMessage['kind'][] = []
  const hello = async () => ({ protocol: [1, 1] as const, key: newKey() as ClientKey })
  const call = socketIo({ url, hello, joins: () => [], transports: ['websocket'], path: '/socket.io/', random: Math.random })
  const dial: Dial = listen =>
    call(event => {
      listen(event)
      if (event.kind === 'message') came.push(event.message.kind)
    })
  const line = lastingLine({ dial, renewable: false, clock, random: () => 0, surroundings: { onWake: () => () => {} } })
  const transport: Transport = listen => {
    const real = line(event => {
      if (event.kind !== 'message' || !loses.down?.(event.message)) listen(event)
    })
    return {
      send: message => {
        sent.push(message)
        if (!loses.up?.(message)) real.send(message)
      },
      pause: () => real.pause(),
      resume: () => real.resume(),
      close: () => real.close(),
    }
  }
  return { transport, sent, came: kind => came.filter(other => other === kind).length }
}

const submits = (sent: readonly ClientMessage[]): Submit[] => sent.filter(message => message.kind === 'submit')

const patience = { timeout: 60_000, interval: 2 }

/** Looks until it holds. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2))
}

/** How often and as what an edit entered the history: author and number of each. */
const log = async (url: string): Promise<string[]> => {
  const page = (await (await fetch(`${url}/v1/documents/doc/commits?after=0`)).json()) as {
    commits: { author: string; seq: number }[]
  }
  return page.commits.map(({ author, seq }) => `${author} ${seq}`)
}

const once = (entries: readonly string[]): boolean => new Set(entries).size === entries.length

describe('[P2] an answer that is lost while the line stays up', () => {
  it('ShareDB #700: the acknowledgement gets lost, and the document sends nothing any more', async () => {
    const { url } = await world({ limits: { beat: 50 } })
    let lost = 0
    const { transport } = losing(url, { down: message => message.kind === 'commits' && lost++ === 0 })
    const client = connects(url, { transport, clock: hurried })
    const doc = await client.open('doc')
    const heard: string[] = []
    client.on('status', status => heard.push(status))
    doc.on('error', ({ code }) => heard.push(code))
    doc.insert(0, 'a')
    doc.insert(1, 'b')
    await doc.settled()
    expect([lost > 0, doc.text, heard, (await log(url)).length]).toEqual([true, 'ab', [], 2])
  })

  it('ShareDB #700, the other way: the edit itself gets lost, and is sent again after a while', async () => {
    const { url } = await world()
    let lost = 0
    const { transport, sent } = losing(url, { up: message => message.kind === 'submit' && lost++ < 2 })
    const doc = await opens(url, { transport, clock: hurried })
    doc.insert(0, 'a')
    doc.insert(1, 'b')
    await doc.settled()
    expect(submits(sent).map(({ seq }) => seq)).toEqual([1, 1, 1, 2])
    expect([doc.text, (await log(url)).length]).toEqual(['ab', 2])
  })

  it('automerge-repo #206: a reply is dropped, and both sides ask each other without end', async () => {
    const { url } = await world({ limits: { beat: 50 } })
    const other = await opens(url)
    let lost = 0
    const loses = { down: (message: ServerMessage) => message.kind === 'commits' && ++lost <= 3 }
    const { transport, sent, came } = losing(url, loses, systemClock)
    const doc = await opens(url, { transport })
    for (const letter of 'abcdef') {
      other.insert(0, letter)
      await other.settled()
    }
    await until(() => doc.text === 'fedcba')
    const before = sent.length
    const beats = came('beat')
    await until(() => came('beat') > beats + 3)
    expect([lost >= 3, sent.length - before]).toEqual([true, 0])
  })
})

describe('[P2] coming back with edits that nobody has confirmed', () => {
  it('Etherpad #5108: what was on its way, and what was typed meanwhile, is not sent again', async () => {
    const { url, tunnel } = await world()
    const doc = await opens(tunnel.url, { clock: hurried })
    const other = await opens(url)
    tunnel.swallow()
    doc.insert(0, 'on its way, ')
    doc.insert(doc.length, 'meanwhile, ')
    await until(() => doc.status === 'offline')
    doc.insert(doc.length, 'offline')
    tunnel.spare()
    await doc.settled()
    await until(() => other.text === 'on its way, meanwhile, offline')
    expect(once(await log(url))).toBe(true)
  })

  it('Etherpad #5109: nobody can see that something is not saved', async () => {
    const { tunnel } = await world()
    const doc = await opens(tunnel.url, { clock: hurried })
    const seen: string[] = []
    const tell = () => seen.push(`${doc.status}, ${Object.values(doc.progress).join(' ')}`)
    doc.on('status', tell)
    doc.on('progress', tell)
    tunnel.swallow()
    doc.insert(0, 'a')
    await until(() => doc.status === 'offline')
    doc.insert(1, 'b')
    expect(seen).toEqual(['saving, 0 1 0', 'saving, 0 1 0', 'offline, 0 1 0', 'offline, 1 1 0'])
    tunnel.spare()
    await doc.settled()
    expect(seen.at(-1)).toBe('saved, 0 0 0')
  })

  it('Hocuspocus #344: the server restarts, and the text is there twice', async () => {
    const path = mkdtempSync(join(tmpdir(), 'inkwell-twice-'))
    afterwards(() => rmSync(path, { recursive: true, force: true }))
    const start = async (port: number): Promise<InkwellServer> => {
      const server = await createServer({ store: embeddedStore({ path }), logger: 'silent' })
      await server.listen(port)
      return server
    }
    let server = await createServer({ store: embeddedStore({ path }), logger: 'silent' })
    const { url, port } = await server.listen(0)
    const docs = await Promise.all([1, 2, 3].map(() => opens(url, { clock: hurried })))
    docs[0]!.insert(0, 'The text')
    await Promise.all(docs.map(doc => until(() => doc.text === 'The text')))
    for (let i = 0; i < 3; i++) {
      for (const [n, doc] of docs.entries()) doc.insert(doc.length, `, ${i}${n}`) // on its way when the server goes
      await server.close()
      server = await start(port)
      await Promise.all(docs.map(doc => doc.settled()))
    }
    afterwards(() => server.close())
    await Promise.all(docs.map(doc => until(() => doc.length === 'The text'.length + 9 * 4)))
    expect(docs.map(({ text }) => text)).toEqual([docs[0]!.text, docs[0]!.text, docs[0]!.text])
    expect(docs[0]!.text.split(', ').sort()).toEqual(['00', '01', '02', '10', '11', '12', '20', '21', '22', 'The text'])
  })

  it('Hocuspocus #971: the document is unloaded while a client is on its way back, and what it brings is lost', async () => {
    const { server, url, tunnel } = await world({ limits: { idleDocument: 0 } })
    const client = connects(tunnel.url)
    const doc = await client.open('doc')
    doc.insert(0, 'before, ')
    await doc.settled()
    client.pause()
    await until(() => server.engine.counts.documents === 0)
    doc.insert(doc.length, 'meanwhile')
    client.resume()
    await doc.settled()
    expect((await (await fetch(`${url}/v1/documents/doc`)).json()).text).toBe('before, meanwhile')
  })

  it('Hocuspocus #738: the server is shut down a moment after an edit, and the document is not stored', async () => {
    const path = mkdtempSync(join(tmpdir(), 'inkwell-shut-'))
    afterwards(() => rmSync(path, { recursive: true, force: true }))
    const server = await createServer({ store: embeddedStore({ path }), logger: 'silent' })
    const doc = await opens((await server.listen(0)).url)
    doc.insert(0, 'the last word')
    await doc.settled('sequenced')
    await server.close()
    const again = await serverWith({ store: embeddedStore({ path }) })
    expect(await (await fetch(`${(await again.listen(0)).url}/v1/documents/doc`)).json()).toMatchObject({ text: 'the last word' })
  })

  it('ShareDB #327: an edit that is on its way is changed by what is typed after it', async () => {
    const { url } = await world()
    let cut = false
    const { transport, sent } = losing(url, { up: message => message.kind === 'submit' && !cut })
    const client = connects(url, { transport })
    const doc = await client.open('doc')
    for (const letter of 'abc') doc.insert(doc.length, letter)
    cut = true
    client.pause()
    client.resume()
    await doc.settled()
    expect(submits(sent).map(({ seq, op }) => [seq, op])).toEqual([
      [1, ['a']],
      [1, ['a']],
      [2, [1, 'bc']],
    ])
  })

  it('EpicenterHQ #1331: leaving and coming back race each other', async () => {
    const { server, url } = await world()
    const client = connects(url)
    const doc = await client.open('doc')
    let typed = ''
    for (let i = 0; i < 60; i++) {
      const letter = String.fromCharCode(0x4e00 + i)
      doc.insert(doc.length, letter)
      typed += letter
      client.pause()
      client.resume()
      for (let turns = i % 7; turns > 0; turns--) await new Promise(resolve => setImmediate(resolve))
    }
    await doc.settled()
    await until(() => server.engine.counts.connections === 1)
    expect([doc.text, doc.status, once(await log(url))]).toEqual([typed, 'saved', true])
  })

  it('Socket.IO keeps what is sent without a line and sends it before anything else: old edits ahead of the join', async () => {
    const { server, tunnel } = await world()
    const heard: number[][] = []
    server.io.use(({ conn }, next) => {
      const kinds: number[] = []
      heard.push(kinds)
      const { socket: ws } = conn.transport as unknown as { socket: { _socket: Socket } }
      // As it came, still masked, and as it goes: messages take a shorter way than Socket.IO's, and than that of ws.
      ws._socket.prependListener('data', (chunk: Buffer) => {
        if (chunk[0] === 0x82) kinds.push((chunk[6]! ^ chunk[2]!) & 31)
      })
      const { write } = ws._socket
      ws._socket.write = (chunk: Buffer, ...more: never[]) => {
        for (let at = 0; chunk[at] === 0x82 && chunk[at + 1]! < 127; ) {
          const start = chunk[at + 1] === 126 ? at + 4 : at + 2
          kinds.push(chunk[start]! & 31)
          at = start + (chunk[at + 1] === 126 ? chunk.readUInt16BE(at + 2) : chunk[at + 1]!)
        }
        return write.call(ws._socket, chunk, ...more)
      }
      next()
    })
    const doc = await opens(tunnel.url)
    for (let i = 0; i < 5; i++) {
      doc.insert(0, 'x')
      tunnel.reset()
      doc.insert(0, 'x')
      await until(() => doc.status === 'offline')
      doc.insert(0, 'x')
      await doc.settled()
    }
    const submitted = heard.filter(kinds => kinds.includes(opcodes.submit))
    for (const kinds of submitted) expect(kinds.slice(0, kinds.indexOf(opcodes.submit))).toContain(opcodes.joined)
    expect(submitted.length).toBeGreaterThan(4)
    expect([heard.length > 5, doc.text]).toEqual([true, 'x'.repeat(15)])
  })
})

describe('[P3] edits that come late', () => {
  /** Somebody is away while a history grows that is not kept. */
  const late = async () => {
    const { url, tunnel } = await world({ limits: { recentTime: 0, recentCommits: 20, checkpointCommits: 20 } })
    const client = connects(tunnel.url)
    const doc = await client.open('doc')
    doc.insert(0, '[]')
    await doc.settled()
    client.pause()
    doc.insert(1, 'while away')
    const other = await opens(url)
    for (let i = 0; i < 200; i++) {
      other.insert(other.length, String(i % 10))
      await other.settled()
    }
    expect((await fetch(`${url}/v1/documents/doc/commits?after=1`)).ok).toBe(false) // that history is gone
    return { client, doc, other, text: `[while away]${'0123456789'.repeat(20)}` }
  }

  it('Overleaf, 422 "update is too old": whoever was away for long has written for nothing', async () => {
    const { client, doc, other, text } = await late()
    const drafts: string[] = []
    doc.on('draft', draft => drafts.push(draft.text))
    client.resume()
    await doc.settled()
    await until(() => other.text === text)
    expect([doc.text, drafts]).toEqual([text, []])
  })

  it('ShareDB #355, ERR_SUBMIT_TRANSFORM_OPS_NOT_FOUND: the rollback bins what was pending, also what was typed since', async () => {
    const { client, doc, other, text } = await late()
    client.resume()
    doc.insert(1, 'and since, ', { undo: 'new' }) // on a quick machine it would be undone with the edit before
    await doc.settled()
    await until(() => other.text === text.replace('[', '[and since, '))
    expect(doc.text).toBe(other.text)
    expect(doc.undo()).toBe(true)
    await doc.settled()
    expect(doc.text).toBe(text)
  })

  it('CodeMirror, ProseMirror: a slow writer among quick ones is sent back again and again', async () => {
    const { url } = await world()
    const quick = await opens(url)
    let held = false
    const { transport, sent } = losing(url, { down: message => held && message.kind !== 'alive' })
    const slow = await opens(url, { transport })
    held = true // it hears of nothing from here on: every edit of it is made on a version long past
    for (let i = 0; i < 100; i++) {
      quick.insert(0, '-')
      await quick.settled('sequenced')
    }
    slow.insert(0, 'slow')
    await until(() => quick.text.includes('slow'))
    expect([submits(sent).length, quick.length]).toEqual([1, 104])
  })
})

describe('[P3] one bad edit', () => {
  it('Overleaf, otUpdateError: an edit that does not fit disconnects everybody in the document', async () => {
    const { server, url } = await world()
    const docs = await Promise.all([1, 2, 3].map(() => opens(url)))
    const bad = await opensRaw(url, 'doc')
    const heard: string[] = []
    for (const doc of docs) {
      doc.on('status', status => heard.push(status))
      doc.on('error', ({ code }) => heard.push(code))
    }
    docs[0]!.insert(0, 'good')
    await docs[0]!.settled()
    for (let i = 0; i < 20; i++) {
      bad.client.send({ kind: 'submit', handle: bad.handle, seq: i + 1, position: bad.at, op: [1_000_000, 'bad'] })
      expect(await bad.client.next('refused')).toMatchObject({ refusal: { code: 'bad-op' } })
      docs[i % 3]!.insert(0, '!')
      await docs[i % 3]!.settled()
    }
    await Promise.all(docs.map(doc => until(() => doc.text === `${'!'.repeat(20)}good`)))
    expect([heard.filter(word => word !== 'saving' && word !== 'saved'), server.engine.counts.joined]).toEqual([[], 4])
  })

  it('ShareDB #195: an edit that is refused is sent again for ever', async () => {
    const { url } = await world({ limits: { documentLength: 10 } })
    const { transport, sent } = losing(url, {})
    const doc = await opens(url, { transport, clock: hurried })
    const drafts: string[] = []
    doc.on('draft', ({ text }) => drafts.push(text))
    doc.insert(0, 'much too long')
    await expect(doc.settled()).rejects.toMatchObject({ code: 'document-too-long' })
    doc.insert(0, 'short')
    await doc.settled()
    expect([submits(sent).map(({ seq }) => seq), drafts, doc.text]).toEqual([[1, 2], ['much too long'], 'short'])
  })

  it('Liveblocks #3647: one record that cannot be read stops everything else', async () => {
    const store = memoryStore()
    const damaged: typeof store.log = {
      ...store.log,
      open: async id => {
        if (id === 'damaged') throw new Error('a checksum differs')
        return store.log.open(id)
      },
    }
    const { url } = await world({ store: { ...store, log: damaged } })
    const client = connects(url)
    const never = client.open('damaged').then(() => 'opened')
    never.catch(() => {})
    const doc = await client.open('doc')
    doc.insert(0, 'goes on')
    await doc.settled()
    expect(await Promise.race([never, 'not opened'])).toBe('not opened')
    expect(client.status).toBe('online')
  })
})

describe('[P2] sleep', () => {
  it('Overleaf-Workshop #287 and #180, Etherpad #3830: after sleep what is typed goes nowhere; Liveblocks #679: one is a ghost', async () => {
    const { url, tunnel } = await world()
    const other = await opens(url)
    other.presence.set({ name: 'Ben' })
    const clock = new HandClock() // of a machine that sleeps: it stands still
    let wakes = (): void => {}
    const surroundings = {
      onWake: (call: () => void) => {
        wakes = call
        return () => {}
      },
      onLeave: () => () => {},
    }
    const client = connects(tunnel.url, { clock, surroundings })
    const opened = client.open('doc')
    clock.pass(0)
    const doc = await opened
    doc.presence.set({ name: 'Ann' })
    doc.insert(0, 'before, ')
    await doc.settled()
    tunnel.swallow()
    doc.insert(doc.length, 'as the lid closed, ') // it is sent, and nobody hears it
    tunnel.spare()
    other.insert(0, 'Meanwhile: ')
    await other.settled()
    wakes()
    for (let i = 0; i < 4; i++) clock.pass(1_000)
    expect(doc.status).toBe('saving') // it may still be answered
    for (let i = 0; i < 2; i++) clock.pass(1_000)
    expect(doc.status).toBe('offline')
    doc.insert(doc.length, 'and awake')
    clock.pass(1_000)
    await doc.settled()
    const text = 'Meanwhile: before, as the lid closed, and awake'
    await until(() => other.text === text && doc.text === text)
    // Whoever comes back is there first, and says the next moment as whom.
    const seen = ({ presence }: TextDocument) => presence.peers.map(({ state }) => state)
    await vi.waitFor(() => expect([seen(doc), seen(other)]).toEqual([[{ name: 'Ben' }], [{ name: 'Ann' }]]), patience)
  })
})

describe('lines that come and go', () => {
  it('tldraw #10159: the old line is closed late, and takes the new session with it', async () => {
    const { server, url, tunnel } = await world()
    const doc = await opens(tunnel.url, { clock: hurried })
    const other = await opens(url)
    tunnel.swallow()
    doc.insert(0, 'a')
    await until(() => doc.status === 'offline')
    tunnel.spare()
    await doc.settled()
    expect(server.engine.counts.connections).toBe(3) // the server does not know yet that one of them is dead
    const left: string[] = []
    doc.on('status', status => left.push(status))
    tunnel.loseSwallowed()
    await until(() => server.engine.counts.connections === 2)
    other.insert(0, 'b')
    await until(() => doc.text === 'ba')
    doc.insert(0, 'c')
    await doc.settled()
    await until(() => other.text === 'cba')
    expect([server.engine.counts.joined, left.filter(status => status === 'offline' || status === 'closed')]).toEqual([2, []])
  })

  it('tldraw #8542: whoever comes back is there twice', async () => {
    const { url, tunnel } = await world()
    const other = await opens(url)
    const doc = await opens(tunnel.url)
    doc.presence.set({ name: 'Ann' })
    for (let i = 0; i < 3; i++) {
      tunnel.reset()
      await until(() => doc.status === 'offline')
      await until(() => doc.status === 'saved')
    }
    await until(() => other.presence.peers.length === 1 && other.presence.peers[0]!.state.name === 'Ann')
    expect([doc.presence.peers.length, other.presence.count]).toEqual([1, 2])
  })

  it('tldraw #5946: a document that takes long to load is never there', async () => {
    let load = (): void => {}
    const loads = new Promise<void>(resolve => {
      load = resolve
    })
    const { url } = await world({ authorize: () => loads.then(() => 'write' as const) })
    const clock = new HandClock()
    const { transport, came } = losing(url, {}, clock)
    const client = connects(url, { transport, clock })
    const statuses: string[] = []
    client.on('status', status => statuses.push(status))
    const opened = client.open('doc')
    clock.pass(0)
    await until(() => client.status === 'online')
    // Twenty seconds: longer than it waits for a sign of life. It asks for one meanwhile, and that answer may take its time.
    for (let s = 0; s < 4; s++) clock.pass(1_000)
    await until(() => came('alive') > 0 || client.status !== 'online')
    for (let s = 4; s < 20; s++) clock.pass(1_000)
    load()
    expect((await opened).status).toBe('saved')
    expect(statuses).toEqual(['online'])
  })

  it('Liveblocks #914: refused once on coming back, the documents never load again', async () => {
    let full = 0
    const { tunnel } = await world({
      authenticate: async token => {
        if (full-- > 0) throw new Error('no room at the moment')
        return { id: token ?? 'nobody' }
      },
    })
    const client = connects(tunnel.url, { token: () => 'ann', clock: hurried })
    const doc = await client.open('doc')
    full = 3
    tunnel.reset()
    await until(() => doc.status === 'offline')
    doc.insert(0, 'written before the door')
    await doc.settled()
    expect([full, doc.status]).toEqual([-1, 'saved'])
  })
})

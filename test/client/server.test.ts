// Clients and a whole server over real sockets.
import { afterEach, describe, expect, it } from 'vitest'
import { type Client, type ConnectOptions, connect, type DocumentStatus, type TextDocument } from '../../src/client/index.ts'
import { insert } from '../../src/ot/op.ts'
import { textType } from '../../src/ot/text.ts'
import { createServer, type InkwellServer, memoryStore, type ServerOptions } from '../../src/server/index.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const serving = async (options: ServerOptions = {}): Promise<{ readonly server: InkwellServer; readonly url: string }> => {
  const server = await createServer({ store: memoryStore(), logger: 'silent', ...options })
  ends.push(() => server.close())
  return { server, url: (await server.listen(0)).url }
}

/** Comes back at once: nothing here is about waiting. */
const connects = (url: string, options: ConnectOptions = {}): Client => {
  const client = connect(url, { random: () => 0, ...options })
  ends.push(() => client.close())
  return client
}

/** Resolves as soon as the condition holds; looks after every event of the document. */
const until = (doc: TextDocument, holds: () => boolean): Promise<void> =>
  new Promise(resolve => {
    const look = () => {
      if (!holds()) return
      for (const stop of stops) stop()
      resolve()
    }
    const stops = [doc.on('change', look), doc.on('status', look), doc.on('draft', look), doc.presence.on('change', look)]
    look()
  })

const showing = (doc: TextDocument, text: string) => until(doc, () => doc.text === text)

const read = async (url: string, id: string): Promise<unknown> => (await fetch(`${url}/v1/documents/${id}`)).json()

const commits = async (url: string, id: string): Promise<{ readonly author: string; readonly seq: number }[]> =>
  ((await (await fetch(`${url}/v1/documents/${id}/commits?after=0`)).json()) as { commits: { author: string; seq: number }[] })
    .commits

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    error => error,
  )

describe('two clients', () => {
  it('[P1] that type at once into one document end with one text, which the server has too', async () => {
    const { url } = await serving()
    const [ann, ben] = [await connects(url).open('doc'), await connects(url).open('doc')]
    for (let i = 0; i < 60; i++) {
      ann.insert(ann.length, String.fromCharCode(97 + (i % 26)))
      ben.insert(0, String.fromCharCode(65 + (i % 26)))
      if (i % 7 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    await Promise.all([ann.settled(), ben.settled()])
    await Promise.all([until(ann, () => ann.length === 120), until(ben, () => ben.length === 120)])
    expect(ben.text).toBe(ann.text)
    const log = await commits(url, 'doc')
    expect(await read(url, 'doc')).toMatchObject({ text: ann.text, version: log.length })
    expect(ann.text.replaceAll(/[A-Z]/g, '')).toBe(
      Array.from({ length: 60 }, (_, i) => String.fromCharCode(97 + (i % 26))).join(''),
    )
  })

  it('see each other, by the names that the server vouches for, and their carets', async () => {
    const { url } = await serving({ authenticate: token => ({ id: token ?? '?', name: `Name of ${token}` }) })
    const ann = await connects(url, { token: () => 'ann' }).open('doc')
    const ben = await connects(url, { token: async () => 'ben' }).open('doc')
    ann.insert(0, 'text')
    ann.presence.set({ cursor: { anchor: 1, head: 3 } })
    const caret = () => ben.presence.peers.find(({ user }) => user.id === 'ann')?.state.cursor
    // Inside text that is still on its way a place has no name for others: until that text is there they see the caret beside it.
    await until(ben, () => JSON.stringify(caret()) === '{"anchor":1,"head":3}')
    expect([ben.text, ben.presence.peers[0]?.user]).toEqual(['text', { id: 'ann', name: 'Name of ann' }])
    await ann.close()
    await until(ben, () => ben.presence.peers.length === 0)
  })
})

describe('a cut line', () => {
  it('[P2] [P3] what was typed before, during and after it is in the document once', async () => {
    const { url } = await serving()
    const client = connects(url)
    const ann = await client.open('doc')
    const ben = await connects(url).open('doc')
    const statuses: DocumentStatus[] = []
    ann.on('status', status => statuses.push(status))
    ann.insert(0, 'before')
    client.pause() // the submission may have left or not
    ann.insert(ann.length, ' during')
    ben.insert(0, '> ')
    await ben.settled()
    expect(ann.status).toBe('offline')
    client.resume()
    ann.insert(ann.length, ' after')
    await ann.settled()
    await Promise.all([showing(ann, '> before during after'), showing(ben, '> before during after')])
    expect(statuses).toEqual(['saving', 'offline', 'saving', 'saved'])
    const log = await commits(url, 'doc')
    expect(new Set(log.map(({ author, seq }) => `${author} ${seq}`)).size).toBe(log.length)
  })

  it('[P2] cut again and again in the middle of typing, every letter arrives once and in order', async () => {
    const { url } = await serving()
    const client = connects(url)
    const ann = await client.open('doc')
    const ben = await connects(url).open('doc')
    let typed = ''
    for (let i = 0; i < 30; i++) {
      for (let n = 0; n < 3; n++) {
        const letter = String.fromCharCode(0x4e00 + i * 3 + n)
        ann.insert(ann.length, letter)
        typed += letter
        if (n === i % 3) for (let turns = i % 5; turns > 0; turns--) await new Promise(resolve => setImmediate(resolve))
      }
      client.pause()
      client.resume()
      if (i % 4 === 0) await until(ann, () => ann.status !== 'offline')
    }
    await ann.settled()
    await showing(ben, typed)
    expect([ann.text, await read(url, 'doc')]).toEqual([typed, expect.objectContaining({ text: typed })])
  })

  it('by the server is mended by the client', async () => {
    const { server, url } = await serving()
    const { io } = server // taken before anybody comes, so that it knows of everybody
    const client = connects(url)
    const doc = await client.open('doc')
    const seen: string[] = []
    const back = new Promise<void>(resolve =>
      client.on('status', status => {
        seen.push(status)
        if (status === 'online') resolve()
      }),
    )
    io.disconnectSockets(true)
    await until(doc, () => doc.status === 'offline')
    doc.insert(0, 'typed meanwhile')
    await back
    await doc.settled()
    expect([seen, await read(url, 'doc')]).toEqual([
      ['offline', 'online'],
      expect.objectContaining({ text: 'typed meanwhile', version: 1 }),
    ])
  })

  it('and a server that starts again with its store: the client goes on where it was', async () => {
    const store = memoryStore()
    const keeping = { ...store, log: store.log, presence: store.presence, close: async () => {} }
    const first = await createServer({ store: keeping, logger: 'silent' })
    const { port, url } = await first.listen(0)
    const doc = await connects(url).open('doc')
    doc.insert(0, 'one')
    await doc.settled()
    await first.close()
    doc.insert(3, ' two')
    await until(doc, () => doc.status === 'offline')
    const second = await createServer({ store: keeping, logger: 'silent' })
    ends.push(() => second.close())
    await second.listen(port)
    await doc.settled()
    expect(await read(url, 'doc')).toMatchObject({ text: 'one two', version: 2 })
  })
})

describe('one line', () => {
  it('carries many documents, each with its own history', async () => {
    const { server, url } = await serving()
    const client = connects(url)
    const docs = await Promise.all(Array.from({ length: 20 }, (_, i) => client.open(`doc-${i}`)))
    for (const [i, doc] of docs.entries()) doc.insert(0, `text ${i}`)
    await Promise.all(docs.map(doc => doc.settled()))
    expect(server.engine.counts).toMatchObject({ connections: 1, joined: 20 })
    expect(await Promise.all(docs.map((_, i) => read(url, `doc-${i}`)))).toEqual(
      docs.map((_, i) => expect.objectContaining({ text: `text ${i}`, version: 1 })),
    )
    await docs[0]!.close()
    const again = await client.open('doc-0')
    expect([again === docs[0], again.text, server.engine.counts.connections]).toEqual([false, 'text 0', 1])
  })
})

describe('[P2] an author that comes back', () => {
  it('with the same key, in a new process, goes on counting its edits where it was', async () => {
    const { url } = await serving()
    const key = 'K'.repeat(22)
    for (const [i, word] of ['one ', 'two ', 'three'].entries()) {
      const client = connects(url, { key })
      const doc = await client.open('doc')
      doc.insert(doc.length, word)
      await doc.settled()
      expect(doc.version).toBe(i + 1)
      await client.close()
    }
    expect(await read(url, 'doc')).toMatchObject({ text: 'one two three' })
    expect((await commits(url, 'doc')).map(({ seq }) => seq)).toEqual([1, 2, 3])
  })
})

describe('undo', () => {
  it('takes back my own edits only, and the others see it', async () => {
    const { url } = await serving()
    const [ann, ben] = [await connects(url).open('doc'), await connects(url).open('doc')]
    ann.insert(0, 'Hello !')
    await showing(ben, 'Hello !')
    ben.insert(6, 'WORLD')
    await showing(ann, 'Hello WORLD!')
    expect(ann.undo()).toBe(true)
    await showing(ben, 'WORLD')
    expect([ann.text, ann.canUndo, ann.canRedo, ben.canRedo]).toEqual(['WORLD', false, true, false])
    ann.redo()
    await showing(ben, 'Hello WORLD!')
  })
})

describe('refusals', () => {
  it('[P3] a text that grows too long comes back as a draft; the others and the rest are not touched', async () => {
    const { url } = await serving({ limits: { documentLength: 20 } })
    const [ann, ben] = [await connects(url).open('doc'), await connects(url).open('doc')]
    const drafts: string[] = []
    ann.on('draft', ({ text, cause }) => drafts.push(`${cause}: ${text}`))
    ann.insert(0, 'short')
    await ann.settled()
    ann.insert(5, ' but then far too long')
    const settled = rejection(ann.settled())
    ann.insert(0, '>')
    expect(await settled).toMatchObject({ code: 'document-too-long', advice: 'stop' })
    await showing(ben, '>short')
    expect([ann.text, drafts]).toEqual(['>short', ['refused:  but then far too long']])
  })

  it('[P3] an edit longer than a message may be goes in several', async () => {
    const { url } = await serving()
    const [ann, ben] = [await connects(url).open('doc'), await connects(url).open('doc')]
    const drafts: unknown[] = []
    ann.on('draft', draft => drafts.push(draft))
    ann.insert(0, '漢'.repeat(400_000)) // 1.2 MB on the wire
    ann.insert(0, '>')
    await ann.settled()
    expect([drafts, await read(url, 'doc')]).toMatchObject([[], { text: `>${'漢'.repeat(400_000)}`, version: 4 }])
    await showing(ben, ann.text)
  })

  it('[P3] of a type that cannot split it, it comes back as a draft, at once, and the line holds', async () => {
    const { split: _, ...type } = { ...textType, name: 'whole' }
    const { url } = await serving({ types: [type] })
    const client = connects(url)
    const doc = await client.open('doc', { type })
    const statuses: string[] = []
    client.on('status', status => statuses.push(status))
    const drafts: [string, string | undefined, number][] = []
    doc.on('draft', ({ cause, error, text }) => drafts.push([cause, error?.code, text.length]))
    doc.apply(insert(0, 0, '漢'.repeat(400_000)))
    doc.apply(insert(0, 0, 'x'.repeat(1_000_000))) // goes through
    await doc.settled()
    expect([drafts, statuses, doc.snapshot.length]).toEqual([[['refused', 'message-too-large', 400_000]], [], 1_000_000])
    expect(await read(url, 'doc')).toMatchObject({ text: 'x'.repeat(1_000_000) })
  })

  it('[P6] without rights open rejects; with rights to read one sees and does not write', async () => {
    const { url } = await serving({
      authenticate: token => ({ id: token ?? 'nobody' }),
      authorize: ({ id }) => (id === 'writer' ? 'write' : id === 'reader' ? 'read' : 'none'),
    })
    const writer = await connects(url, { token: () => 'writer' }).open('doc')
    const reader = await connects(url, { token: () => 'reader' }).open('doc')
    const error = await rejection(connects(url, { token: () => 'stranger' }).open('doc'))
    expect(error).toMatchObject({ name: 'InkwellError', code: 'forbidden', advice: 'stop' })
    writer.insert(0, 'to read')
    await showing(reader, 'to read')
    expect(reader.status).toBe('read-only')
    expect(() => reader.insert(0, 'x')).toThrow(expect.objectContaining({ code: 'forbidden' }))
  })

  it('a guest where tokens are asked for is told so, and its documents are closed', async () => {
    const { url } = await serving({ authenticate: () => null })
    const client = connects(url)
    const opened = rejection(client.open('doc'))
    expect(await opened).toMatchObject({ code: 'unauthenticated', advice: 'reauthenticate' })
    expect(client.status).toBe('closed')
  })

  it('a token that has expired is asked for again', async () => {
    const { url } = await serving({ authenticate: token => (token === 'fresh' ? { id: 'ann' } : null) })
    const tokens = ['stale', 'stale', 'fresh']
    const client = connects(url, { token: () => tokens.shift()! })
    const errors: string[] = []
    client.on('error', ({ code }) => errors.push(code))
    expect((await client.open('doc')).status).toBe('saved')
    expect([client.user, errors]).toEqual([{ id: 'ann' }, ['unauthenticated', 'unauthenticated']])
  })

  it('a key that is none is refused at once', () => {
    expect(() => connect('http://127.0.0.1:1', { key: 'short' })).toThrow(expect.objectContaining({ code: 'malformed' }))
  })
})

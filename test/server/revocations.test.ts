// What is taken back stays taken back: on nodes that start later, were cut off, or did not hear of it, and until its time is over.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { connect, type DocumentStatus, InkwellError } from '../../src/client/index.ts'
import type { Store } from '../../src/engine/ports.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { systemClock } from '../../src/server/clock.ts'
import {
  embeddedStore,
  type Identity,
  memoryStore,
  type Revocation,
  type Right,
  type ServerOptions,
  type Subject,
} from '../../src/server/index.ts'
import { loggerOf } from '../../src/server/log.ts'
import { Revocations } from '../../src/server/revocations.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisLine, RedisServer } from '../redis.ts'
import { handClock, settle } from '../simulation/hand.ts'
import { afterwards, connects, opens, serverWith } from './worlds.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start()
})
afterAll(() => redis.discard())

const patience = { timeout: 60_000, interval: 10 }

let rooms = 0
const room = (): string => `revoked${rooms++}:`

/** Whoever comes is who he says he is. */
const trusting: ServerOptions = { authenticate: token => (token === undefined ? null : { id: token }) }

const node = async (store: Store, options: ServerOptions = {}) => {
  const server = await serverWith({ ...trusting, store, ...options })
  const { url } = await server.listen(0)
  return { server, url }
}

describe('[P6] a document', () => {
  it('is closed to everybody, opened again, frozen, and given back', async () => {
    const prefix = room()
    const [here, there] = [await node(redisStore({ url: redis.url, prefix })), await node(redisStore({ url: redis.url, prefix }))]
    const ann = await opens(here.url, 'diary', { token: 'ann' })
    const ben = await opens(there.url, 'diary', { token: 'ben' })
    await ann.types('Dear diary')
    await here.server.revoke({ document: 'diary' })
    for (const { client } of [ann, ben]) expect((await client.next('left')).refusal.code).toBe('forbidden')
    const cid = connects(there.url, { token: 'cid' })
    cid.send({ kind: 'join', doc: 'diary' as never, type: 'text', position: null })
    expect((await cid.next('refused')).refusal.code).toBe('forbidden')
    await there.server.restore({ document: 'diary' })
    const again = await opens(there.url, 'diary', { token: 'ann' })
    expect(again.shows).toBe('Dear diary')
    await here.server.revoke({ document: 'diary', leaves: 'read' })
    expect((await again.client.next('right')).right).toBe('read')
    await here.server.restore({ document: 'diary' })
    expect((await again.client.next('right')).right).toBe('write')
    await again.types('!')
  })
})

describe('[P6] what is revoked', () => {
  it('is revoked for a server that starts later on the same files', async () => {
    const path = mkdtempSync(join(tmpdir(), 'inkwell-revoked-'))
    afterwards(() => rmSync(path, { recursive: true }))
    const first = await node(embeddedStore({ path }))
    await first.server.revoke({ user: 'ann' })
    await first.server.close()
    const second = await node(embeddedStore({ path }))
    expect((await connects(second.url, { token: 'ann' }).refusedHello()).code).toBe('revoked')
    await second.server.restore({ user: 'ann' })
    await second.server.close()
    const third = await node(embeddedStore({ path }))
    await connects(third.url, { token: 'ann' }).next('welcome')
  })

  it('is revoked for a node that starts later, that hears no call of the others, and that was cut off from Redis', async () => {
    const prefix = room()
    const line = await RedisLine.to(redis.port)
    afterwards(() => line.discard())
    const cutOff = await node(redisStore({ url: line.url, prefix, callLimit: 1_000 }))
    const deafStore = redisStore({ url: redis.url, prefix })
    const deaf = await node({ ...deafStore, control: { publish: () => {}, subscribe: async () => () => {} } })
    const mute = redisStore({ url: redis.url, prefix })
    const speaker = await node({ ...mute, control: { publish: () => {}, subscribe: async () => () => {} } })
    const lines = [connects(cutOff.url, { token: 'ann' }), connects(deaf.url, { token: 'ann' })]
    for (const each of lines) await each.next('welcome')
    line.swallow()
    await speaker.server.revoke({ user: 'ann' })
    expect((await lines[1]!.next('refused')).refusal.code).toBe('revoked')
    const later = await node(redisStore({ url: redis.url, prefix }))
    expect((await connects(later.url, { token: 'ann' }).refusedHello()).code).toBe('revoked')
    line.cut()
    expect((await lines[0]!.next('refused')).refusal.code).toBe('revoked')
    await lines[0]!.down
  })

  it('is put back by those who know it when Redis has lost it, and what was restored is not', async () => {
    const own = await RedisServer.start()
    afterwards(() => own.discard())
    const first = await node(redisStore({ url: own.url }))
    await first.server.revoke({ user: 'ann' })
    await first.server.revoke({ user: 'ben' })
    await first.server.restore({ user: 'ben' })
    await own.do(line => line.flushall())
    while ((await own.do(line => line.hlen('inkwell:{notices}:board'))) < 2) await new Promise(resolve => setTimeout(resolve, 50))
    const second = await node(redisStore({ url: own.url }))
    expect((await connects(second.url, { token: 'ann' }).refusedHello()).code).toBe('revoked')
    await connects(second.url, { token: 'ben' }).next('welcome')
  })

  it('comes back when its time is over', async () => {
    const { server, url } = await node(memoryStore())
    const ann = await opens(url, 'diary', { token: 'ann' })
    await server.revoke({ user: 'ann', leaves: 'read', lasts: 300 })
    expect((await ann.client.next('right')).right).toBe('read')
    expect((await ann.client.next('right')).right).toBe('write')
    await ann.types('again')
  })

  it('is revoked also for whom authenticate was still thinking about', async () => {
    const answers: ((identity: Identity) => void)[] = []
    const store = memoryStore()
    const { server, url } = await node(store, { authenticate: () => new Promise(resolve => answers.push(resolve)) })
    const ann = connects(url, { token: 'ann' })
    while (answers.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    await server.revoke({ user: 'ann' })
    answers[0]!({ id: 'ann' })
    expect((await ann.refusedHello()).code).toBe('revoked')
  })

  it('ends a line also of a client that does not read', async () => {
    const limits = { bytesPerLine: 1_073_741_824, bytesPerUser: 1_073_741_824 } // however quick the machine is, Ben is not slowed down
    const { server, url } = await node(memoryStore(), { limits })
    const [ann, ben] = [await opens(url, 'diary', { token: 'ann' }), await opens(url, 'diary', { token: 'ben' })]
    const { transport } = ann.client.socket.io.engine as unknown as { transport: { ws: { _socket: { pause(): void } } } }
    transport.ws._socket.pause()
    for (let i = 0; i < 10; i++) await ben.types('x'.repeat(900_000)) // more than the network holds
    await server.revoke({ user: 'ann' })
    await ben.client.next('presence', ({ people, changes }) => people === 1 && changes.some(({ kind }) => kind === 'gone'))
    while (server.io.engine.clientsCount > 1) await new Promise(resolve => setTimeout(resolve, 10))
    await ben.types('!')
  })

  it.each<readonly [string, Subject & { lasts?: number }]>([
    ['nobody and nothing', {}],
    ['a user without a name', { user: '' }],
    ['a token that is none', { token: 'x'.repeat(257) }],
    ['a user and a token at once', { user: 'ann', token: 't' }],
    ['a document that is none', { document: '' }],
    ['for no time', { user: 'ann', lasts: 0 }],
    ['for ever', { user: 'ann', lasts: Number.POSITIVE_INFINITY }],
  ])('is not %s', async (_, given) => {
    const { server } = await node(memoryStore())
    await expect(server.revoke(given)).rejects.toThrow()
  })
})

describe('[P6] authorize', () => {
  it('that answers what is no right, or not in time, gives none: later, perhaps', async () => {
    const answers: Record<string, () => Right | Promise<Right>> = {
      nothing: () => undefined as unknown as Right,
      everything: () => 'admin' as Right,
      never: () => new Promise(() => {}),
      fails: () => Promise.reject(new Error('away')),
      throws: () => {
        throw new Error('away')
      },
    }
    const { url } = await node(memoryStore(), { authorize: (_, doc) => answers[doc]!(), limits: { authorizeTimeout: 200 } })
    const ann = connects(url, { token: 'ann' })
    for (const doc of Object.keys(answers)) {
      const { refusal } = await ann.refused({ kind: 'join', doc: doc as never, type: 'text', position: null })
      expect([doc, refusal.code, refusal.advice]).toEqual([doc, 'unavailable', 'retry'])
      expect((await fetch(`${url}/v1/documents/${doc}`, { headers: { authorization: 'Bearer ann' } })).status).toBe(503)
    }
  })
})

describe('[P3] [P6] what a writer had not sent', () => {
  const writer = async (happens: (server: Awaited<ReturnType<typeof node>>['server']) => Promise<void>) => {
    const { server, url } = await node(memoryStore())
    const client = connect(url, { token: () => 'ann', random: () => 0 })
    afterwards(() => client.close())
    const doc = await client.open('diary')
    const drafts: (readonly [string, string | undefined])[] = []
    const statuses: DocumentStatus[] = []
    doc.on('draft', ({ text, error }) => drafts.push([text, error?.code]))
    const over = new Promise<void>(resolve =>
      doc.on('status', status => {
        statuses.push(status)
        if (status === 'read-only' || status === 'closed') resolve()
      }),
    )
    doc.insert(0, 'kept ')
    await doc.settled()
    await happens(server)
    doc.insert(5, 'typed meanwhile') // before the client has heard of it
    const settled = doc.settled().catch(error => (error as InkwellError).code)
    await over
    expect(await settled).toEqual(expect.stringMatching(/^(forbidden|revoked)$/))
    return { client, doc, drafts, statuses }
  }

  it('is handed back when he may only read any more, and he reads on', async () => {
    const { doc, drafts, statuses } = await writer(server => server.revoke({ user: 'ann', leaves: 'read' }))
    expect(drafts).toEqual([['typed meanwhile', 'forbidden']])
    expect([doc.text, doc.status, statuses.at(-1)]).toEqual(['kept ', 'read-only', 'read-only'])
    expect(() => doc.insert(0, 'x')).toThrow(InkwellError)
  })

  it('is handed back when he is put out of the document, which is then closed', async () => {
    const { client, doc, drafts } = await writer(server => server.revoke({ user: 'ann', document: 'diary' }))
    expect(drafts).toEqual([['typed meanwhile', 'forbidden']])
    expect([doc.status, client.status]).toEqual(['closed', 'online'])
  })

  it('is handed back when he is revoked, and the client does not come back', async () => {
    const { client, doc, drafts } = await writer(server => server.revoke({ user: 'ann' }))
    expect(drafts).toEqual([['typed meanwhile', 'revoked']])
    expect([doc.status, client.status]).toEqual(['closed', 'closed'])
  })

  type End = Revocation | 'his token has ended'

  /**
   * Somebody types when he has lost his right and neither he nor his client can have heard of it: his node has read of it, and heeds
   * it as soon as the edit is on its way.
   */
  const caught = async (end: End, over: 'its own node' | 'another node', tokens = ['t1']) => {
    let ahead = 0
    const clock = { ...systemClock, now: () => Date.now() + ahead }
    const authenticate = (token?: string) => ({ id: 'ann', token: token!, expires: Date.now() + 60_000 })
    const prefix = room()
    const other = over === 'another node' ? await node(redisStore({ url: redis.url, prefix }), { authenticate }) : null
    const store = other === null ? memoryStore() : redisStore({ url: redis.url, prefix })
    let heeds = (): void => {}
    let hasRead = (): void => {}
    const heeded = new Promise<void>(resolve => (heeds = resolve))
    const read = new Promise<void>(resolve => (hasRead = resolve))
    const notices: Store['notices'] = {
      ...store.notices,
      read: async (...words) => {
        const found = await store.notices.read(...words)
        if ((found?.notices.length ?? 0) === 0) return found
        hasRead()
        await heeded
        return found
      },
    }
    const own = await node({ ...store, notices }, { authenticate, clock, limits: { tokenGrace: 0 } })
    let asked = 0
    const client = connect(own.url, { token: () => tokens[Math.min(asked++, tokens.length - 1)]!, random: () => 0 })
    afterwards(() => client.close())
    const doc = await client.open('diary')
    const drafts: (readonly [string, string, string | undefined])[] = []
    doc.on('draft', ({ text, cause, error }) => drafts.push([text, cause, error?.code]))
    doc.insert(0, 'kept ')
    await doc.settled()
    const posted = end === 'his token has ended' ? null : (other ?? own).server.revoke(end)
    if (posted !== null) await read
    doc.insert(5, 'typed meanwhile')
    if (posted === null) ahead = 3_600_000
    heeds()
    await posted
    const stored = async () => (await own.server.engine.read('diary' as DocId))?.value
    return { client, doc, drafts, stored }
  }

  const everywhere = ['its own node', 'another node'] as const
  it.each<readonly [string, Revocation, (typeof everywhere)[number]]>(
    everywhere.flatMap(over => [
      ['the document is closed to everybody', { document: 'diary' }, over] as const,
      ['the document may only be read any more', { document: 'diary', leaves: 'read' }, over] as const,
      ['he may only read any more', { user: 'ann', leaves: 'read' }, over] as const,
      ['he is put out', { user: 'ann' }, over] as const,
      ['his token may only read any more', { token: 't1', leaves: 'read' }, over] as const,
      ['his token is no good for the document', { token: 't1', document: 'diary' }, over] as const,
    ]),
  )('is a draft at once when %s (%j, told to %s)', async (_, end, over) => {
    const { doc, drafts, stored } = await caught(end, over)
    const code = end.user !== undefined && end.leaves === undefined ? 'revoked' : 'forbidden'
    await expect(doc.settled()).rejects.toMatchObject({ code })
    await vi.waitFor(() => expect(drafts).toEqual([['typed meanwhile', expect.any(String), code]]), patience)
    expect([doc.drafts.map(({ text }) => text), await stored()]).toEqual([['typed meanwhile'], 'kept '])
  })

  it.each<readonly [string, End, (typeof everywhere)[number]]>([
    ['his token is revoked', { token: 't1' }, 'its own node'],
    ['his token is revoked', { token: 't1' }, 'another node'],
    ['his token ends and the application has no other', 'his token has ended', 'its own node'],
  ])('stays in his text when %s (%j, told to %s), and is a draft when he closes it', async (_, end, over) => {
    const { client, doc, drafts, stored } = await caught(end, over)
    await vi.waitFor(() => expect([client.status, doc.status]).toEqual(['offline', 'offline']), patience)
    const refused = await new Promise<InkwellError>(resolve => client.on('error', resolve)) // and it tries on
    expect([refused.code, doc.text, drafts]).toEqual(['unauthenticated', 'kept typed meanwhile', []])
    await doc.close()
    expect(drafts).toEqual([['typed meanwhile', 'unsent', undefined]])
    expect([client.drafts.length, await stored()]).toEqual([1, 'kept '])
  })

  it('goes on its way when the application has another token for the one that was revoked', async () => {
    const { doc, drafts, stored } = await caught({ token: 't1' }, 'another node', ['t1', 't2'])
    await doc.settled()
    expect([drafts, await stored()]).toEqual([[], 'kept typed meanwhile'])
  })

  it('goes on its way when the right comes back', async () => {
    const { server, url } = await node(memoryStore())
    await server.revoke({ user: 'ann', leaves: 'read' })
    const client = connect(url, { token: () => 'ann', random: () => 0 })
    afterwards(() => client.close())
    const doc = await client.open('diary')
    const writable = new Promise<void>(resolve => doc.on('status', status => status === 'saved' && resolve()))
    expect(doc.status).toBe('read-only')
    await server.restore({ user: 'ann' })
    await writable
    doc.insert(0, 'again')
    await doc.settled()
  })
})

describe('a board that is looked at by the hand', () => {
  const watcher = async (store: Store) => {
    const clock = handClock()
    const affected: Subject[] = []
    const revocations = new Revocations({ store, clock, log: loggerOf('silent'), affected: subject => affected.push(subject) })
    await revocations.start()
    return { clock, affected, revocations }
  }

  it('[P6] who could not look for so long that a call to ask again may have come and gone asks about everybody', async () => {
    const store = memoryStore()
    let away = false
    const read: typeof store.notices.read = async (...args) =>
      away ? Promise.reject(new Error('away')) : store.notices.read(...args)
    const { clock, affected } = await watcher({ ...store, notices: { ...store.notices, read } })
    away = true
    for (let second = 0; second < 601; second++) {
      clock.pass(1_000)
      await settle()
    }
    expect(affected).toEqual([])
    away = false
    clock.pass(1_000)
    await settle()
    expect(affected).toEqual([{}])
  })

  it('a call to look is heeded at once, and one who looks already looks once more', async () => {
    const store = memoryStore()
    const { affected, revocations } = await watcher(store)
    const other = await watcher(store)
    await Promise.all([revocations.recheck({ user: 'ann' }), revocations.revoke({ token: 't' }), revocations.recheck({})])
    await settle()
    for (const heard of [affected, other.affected])
      expect(heard).toMatchObject([{ kind: 'recheck', user: 'ann' }, { token: 't', leaves: 'none' }, { kind: 'recheck' }])
  })

  it.each([0, 1, 500, 999, 1_000])(
    '[P6] a revocation that is in the store is acted on before two seconds have passed where no call is heard, be it posted %i ms after a look',
    async sinceLook => {
      const log = new MemoryLog()
      const clock = handClock()
      const control = { publish: () => {}, subscribe: async () => () => {} }
      const [speaker, deaf] = [
        await node({ ...memoryStore({}, log), control }, { clock }),
        await node({ ...memoryStore({}, log), control }, { clock }),
      ]
      const [ann, ben] = [connects(deaf.url, { token: 'ann' }), connects(deaf.url, { token: 'ben' })]
      for (const client of [ann, ben]) await client.next('welcome')
      clock.pass(sinceLook)
      await settle()
      await speaker.server.revoke({ user: 'ann' })
      expect(deaf.server.engine.counts.connections).toBe(2)
      for (let passed = 0; passed < 2_000; passed += 100) {
        clock.pass(100)
        await settle()
      }
      expect(deaf.server.engine.counts.connections).toBe(1)
      expect((await ann.next('refused')).refusal.code).toBe('revoked')
    },
  )

  it('what a later version of Inkwell has written is kept for it, and means nothing here', async () => {
    const store = memoryStore()
    const { clock, affected, revocations } = await watcher(store)
    await store.notices.post(
      { key: 'of tomorrow', body: { kind: 'of tomorrow', user: 'ann' }, until: clock.now() + 10_000 },
      clock.now(),
    )
    clock.pass(1_000)
    await settle()
    expect(affected).toEqual([])
    expect(revocations.outcast({ user: { id: 'ann' }, expires: null, token: null, documents: null })).toBeNull()
  })
})

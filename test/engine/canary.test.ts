// The canary: what it says when a step of an edit's way does not happen, and that nothing of it is left lying about.

import { type as json1 } from 'ot-json1'
import { expect, it } from 'vitest'
import { createEngine, defaultLimits, type EngineEvent, type Song } from '../../src/engine/index.ts'
import type { Announcement, Log, LogReply, Store } from '../../src/engine/ports.ts'
import { fromOttype, type Ottype, textOttype } from '../../src/ot/ottypes.ts'
import { servedText } from '../../src/ot/served.ts'
import { textType } from '../../src/ot/text.ts'
import type { AnyDocumentType, Json } from '../../src/ot/type.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import { handClock, settle } from '../simulation/hand.ts'

const doc = '\u0001canary text' as DocId

/** A node on a memory store some of whose calls the test has changed. */
const world = (
  change: (log: Log) => Partial<Log> = () => ({}),
  type: AnyDocumentType = textType,
  spread: Store['spread'] = undefined,
) => {
  const clock = handClock()
  const store = memoryStore()
  const events: EngineEvent[] = []
  let last = 0
  const node = () =>
    createEngine({
      store: { ...store, log: { ...store.log, ...change(store.log) }, ...(spread && { spread }) } as Store,
      clock,
      randomId: () => `id${++last}`.padEnd(16, '_'),
      types: [type],
      limits: defaultLimits,
      authorize: () => 'write',
      deliver: () => {},
      observe: event => events.push(event),
    })
  const engine = node()
  /** One try, with as much time as it needs. */
  const sings = async (by = engine): Promise<Song> => {
    let song: Song | null = null
    by.tryOut().then(done => (song = done))
    for (let ms = 0; song === null && ms < 60_000; ms += 100) {
      await settle()
      if (song === null) clock.pass(100)
    }
    return song!
  }
  return { clock, store, engine, node, sings, events }
}

it.each<[string, AnyDocumentType]>([
  ['text as the server keeps it', servedText],
  ['JSON', fromOttype(json1 as unknown as Ottype<Json, Json>)],
  ['our own text by way of the convention', fromOttype(textOttype as unknown as Ottype<Json, Json>)],
])('it sings on documents of type %s, too', async (_, type) => {
  const { sings } = world(undefined, type)
  for (let round = 0; round < 3; round++) expect((await sings()).failed).toBe(null)
})

const never = new Promise<never>(() => {})

it('[P7] a canary that sings has seen an edit all the way, and its own document is neither in listings nor in counts nor in events', async () => {
  const { sings, store, engine, events } = world()
  const { took, failed } = await sings()
  expect([Object.keys(took), failed]).toEqual([['append', 'announcement', 'hearing', 'sequence', 'durability'], null])
  expect(store.core.open(doc).tail).toHaveLength(2)
  expect(await store.log.documents(null, 10)).toEqual([])
  expect(engine.counts.documents).toBe(0)
  expect(events).toEqual([])
})

it.each<[string, (log: Log) => Partial<Log>, Song['failed']]>([
  ['the log does not answer', () => ({ append: () => never }), { step: 'append', why: 'no answer from the log within 5000 ms' }],
  [
    'the log says why it takes nothing',
    () => ({ append: () => Promise.reject(new Error('OOM command not allowed')) }),
    { step: 'append', why: 'OOM command not allowed' },
  ],
  [
    'announcements are lost',
    () => ({ subscribe: async () => () => {} }),
    { step: 'announcement', why: 'nothing came by the store’s feed within 3000 ms' },
  ],
  [
    'a document that is open hears nothing',
    log => {
      let listeners = 0
      // The first who listens is the document, the next the canary itself.
      return { subscribe: (doc, listener) => (listeners++ === 0 ? Promise.resolve(() => {}) : log.subscribe(doc, listener)) }
    },
    { step: 'hearing', why: 'the document did not hear of it within 3000 ms' },
  ],
  [
    'the log takes what others write, and nothing of this document',
    log => {
      let appends = 0
      return { append: (...words): Promise<LogReply> => (appends++ % 2 === 0 ? log.append(...words) : never) }
    },
    { step: 'sequence', why: 'no commit within 5000 ms' },
  ],
  [
    'nothing becomes durable',
    log => {
      const doubted = (reply: LogReply): LogReply => (reply.ok ? { ...reply, durable: 0 } : reply)
      const unsaid = (announcement: Announcement): Announcement =>
        announcement.kind === 'entries' ? { ...announcement, durable: 0 } : announcement
      return {
        append: async (...words) => doubted(await log.append(...words)),
        read: async (...words) => doubted(await log.read(...words)),
        subscribe: (doc, listener) => log.subscribe(doc, announcement => listener(unsaid(announcement))),
      }
    },
    { step: 'durability', why: 'it stays in doubt within 10000 ms' },
  ],
])('[P7] it says which step failed: %s', async (_, change, failed) => {
  const { sings } = world(change)
  expect((await sings()).failed).toEqual(failed)
})

it('[P7] of several servers those that take nothing are told of before those where nothing becomes durable, and counted alone', async () => {
  const servers = ['a', 'b', 'c'] as const
  const places = servers.map(server => ({ server, doc: `\u0001canary text ${server}` as DocId }))
  const isAt = (server: string, id: DocId): boolean => id.endsWith(` ${server}`)
  const ill = new Set<string>()
  const inDoubt = (reply: LogReply): LogReply => (reply.ok ? { ...reply, durable: 0 } : reply)
  const { sings } = world(
    log => ({
      append: async (id, ...words) => {
        if ([...ill].some(server => isAt(server, id))) throw new Error('it takes nothing')
        const reply = await log.append(id, ...words)
        return isAt('a', id) ? inDoubt(reply) : reply
      },
      read: async (id, ...words) => (isAt('a', id) ? inDoubt(await log.read(id, ...words)) : log.read(id, ...words)),
      subscribe: (id, listener) =>
        log.subscribe(id, said => listener(isAt('a', id) && said.kind === 'entries' ? { ...said, durable: 0 } : said)),
    }),
    textType,
    () => places,
  )
  expect((await sings()).failed).toMatchObject({ step: 'durability', on: { server: 'a', failed: 1, of: 3 } })
  ill.add('b')
  expect((await sings()).failed).toMatchObject({ step: 'append', on: { server: 'b', failed: 1, of: 3 } })
  ill.add('c')
  expect((await sings()).failed).toMatchObject({ step: 'append', on: { server: 'b', failed: 2, of: 3 } })
})

it('[P5] however long it sings, on several nodes, its text is empty and its history short', async () => {
  const { sings, node, store, clock } = world()
  const others = [node(), node()]
  for (let round = 0; round < 400; round++) {
    for (const by of [undefined, ...others]) expect((await sings(by)).failed).toBe(null)
    clock.pass(10_000)
  }
  const { checkpoint, tail } = store.core.open(doc)
  expect(tail.length).toBeLessThan(250)
  expect(checkpoint!.version - checkpoint!.horizon).toBeLessThan(250)
  expect(checkpoint!.body.length).toBeLessThan(30_000)
})

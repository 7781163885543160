// Joins that come with a hello: heeded once it is answered, and of no weight until then.

import { expect, it } from 'vitest'
import type { Identity } from '../../src/server/index.ts'
import { newKey } from './raw.ts'
import { connects, serverWith } from './worlds.ts'

const asks = (...joins: readonly unknown[]) => ({ protocol: [1, 1], key: newKey(), joins })
const joining = (doc: string) => ({ doc, type: 'text', position: null })

const ways = [
  ['binary', false],
  ['binary', true],
  ['json', false],
] as const

it.each(ways)(
  '[W10] in %s they are answered after the welcome as if they had come then (an application has its sockets: %s)',
  async (form, taken) => {
    const server = await serverWith({ authenticate: async () => ({ id: 'ann' }) })
    if (taken) void server.io
    const { url } = await server.listen(0)
    const client = connects(url, { form, hello: asks(joining('a'), joining('b'), { doc: 'c' }, 7, joining('a')) })
    const other = await client.join('d')
    expect(client.untaken[0]).toMatchObject({ kind: 'welcome' })
    expect(client.untaken.flatMap(message => (message.kind === 'joined' ? [message.doc] : []))).toEqual(['a', 'b'])
    const refused = client.untaken.flatMap(message => (message.kind === 'refused' ? [[message.doc, message.refusal.code]] : []))
    expect(refused).toEqual([
      ['c', 'malformed'],
      [null, 'malformed'],
      ['a', 'already-joined'],
    ])
    expect(other.doc).toBe('d')
  },
)

it.each(ways)(
  '[P5] in %s a hello that has to wait, or is refused, opens nothing (an application has its sockets: %s)',
  async (form, taken) => {
    const waiting: ((who: Identity | null) => void)[] = []
    const server = await serverWith({ authenticate: () => new Promise(resolve => waiting.push(resolve)) })
    if (taken) void server.io
    const { url } = await server.listen(0)
    const documents = (i: number) => Array.from({ length: 8 }, (_, j) => joining(`${i}-${j}`))
    const clients = Array.from({ length: 20 }, (_, i) => connects(url, { form, hello: asks(...documents(i)) }))
    const answers = clients.map(client => client.answered())
    await expect.poll(() => waiting.length).toBe(20)
    expect(server.engine.counts).toMatchObject({ documents: 0, connections: 0 })
    for (const answer of waiting.slice(1)) answer(null)
    for (const answer of answers.slice(1)) expect((await answer)?.code).toBe('unauthenticated')
    expect(server.engine.counts).toMatchObject({ documents: 0, connections: 0 })
    waiting[0]!({ id: 'ann' })
    await clients[0]!.next('joined', ({ doc }) => doc === '0-7')
    expect(server.engine.counts).toMatchObject({ documents: 8, joined: 8, connections: 1 })
  },
)

it.each(['binary', 'json'] as const)(
  '[W10] in %s a hello with more than eight, or with what is no list, is refused',
  async form => {
    const { url } = await (await serverWith()).listen(0)
    const nine = connects(url, { form, hello: asks(...Array.from({ length: 9 }, (_, i) => joining(`${i}`))) })
    expect((await nine.refusedHello()).code).toBe('malformed')
    const none = connects(url, { form, hello: { ...asks(), joins: { 0: joining('a') } } })
    expect((await none.refusedHello()).code).toBe('malformed')
  },
)

it.each(ways)(
  '[P5] in %s a hello of more than a thousand values is refused before it is asked who says it, for until then it is kept (an application has its sockets: %s)',
  async (form, taken) => {
    const server = await serverWith({ authenticate: () => new Promise(() => {}) })
    if (taken) void server.io
    const { url } = await server.listen(0)
    const junk = Array.from({ length: 1_024 }, () => ({}))
    for (const hello of [asks(junk), { ...asks(), junk }])
      expect((await connects(url, { form, hello }).refusedHello()).code).toBe('malformed')
  },
)

it('[W44] each counts as the message that it would have been', async () => {
  const { url } = await (await serverWith({ limits: { messagesPerLine: 2 } })).listen(0)
  const client = connects(url, { hello: asks(...Array.from({ length: 8 }, (_, i) => joining(`${i}`))) })
  const refused = await client.next('refused', ({ doc }) => doc !== null)
  expect(refused.refusal.code).toBe('slow-down')
})

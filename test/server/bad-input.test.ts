// What nobody should send: each gets its row of the table, and the neighbour who types meanwhile notices nothing.

import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { textType } from '../../src/ot/text.ts'
import { refusal } from '../../src/protocol/errors.ts'
import type { DocId, Handle, Position } from '../../src/protocol/ids.ts'
import type { ClientMessage, Submit } from '../../src/protocol/messages.ts'
import { createServer, type InkwellServer, memoryStore } from '../../src/server/index.ts'
import { newKey, Pen, RawClient } from './raw.ts'

const key = newKey()
let server: InkwellServer
let url: string
/** Somebody who works in the document that is being attacked, and what they have typed. */
let neighbour: Pen
let typed = 'Once upon a time'
const clients: RawClient[] = []

beforeAll(async () => {
  server = await createServer({
    store: memoryStore(),
    logger: 'silent',
    limits: { malformedMessages: 5, connectTimeout: 60_000 },
  })
  ;({ url } = await server.listen(0))
  neighbour = await Pen.opens(url, 'shared')
  await neighbour.types(typed)
})

afterAll(async () => {
  for (const client of clients) client.close()
  neighbour.client.close()
  await server.close()
})

const connects = (options: ConstructorParameters<typeof RawClient>[1] = {}): RawClient => {
  const client = new RawClient(url, options)
  clients.push(client)
  return client
}

/** The neighbour types a letter and has it confirmed; nothing else has happened to the text. */
const undisturbed = async (): Promise<void> => {
  await neighbour.types('.')
  typed += '.'
  expect(neighbour.shows).toBe(typed)
}

describe.each(['binary', 'json'] as const)('in the %s form', form => {
  const joined = async () => {
    const client = connects({ form })
    await client.next('welcome')
    const answer = await client.join('shared')
    const { position } = answer.content
    const submit = (op: Submit['op'], at: Partial<Submit> = {}): Submit => ({
      kind: 'submit',
      handle: answer.handle,
      seq: 1,
      position,
      op,
      ...at,
    })
    return { client, handle: answer.handle, position, submit }
  }

  /** Encoders of ours refuse to write most of this, so it goes past them in the JSON form. */
  const raw = (client: RawClient, kind: string, payload: unknown): void => client.sendFrame(`2${JSON.stringify([kind, payload])}`)

  const refusedAs = async (client: RawClient, message: ClientMessage, code: string): Promise<void> => {
    const { refusal: why } = await client.refused(message)
    expect(why).toMatchObject({ code, advice: refusal(why.code).advice, message: refusal(why.code).message })
    await undisturbed()
  }

  it('an op beyond the end of the text is refused, and so is one of the wrong shape', async () => {
    const { client, submit } = await joined()
    await refusedAs(client, submit([1_000_000, 'x']), 'bad-op')
    await refusedAs(client, submit([-1_000_000]), 'bad-op')
    await refusedAs(client, submit({ insert: 'x' }), 'bad-op')
    await refusedAs(client, submit(null), 'bad-op')
    client.send(submit([1, 'x']))
    typed = `${typed[0]}x${typed.slice(1)}`
    await client.next('commits', ({ commits }) => commits.some(({ op }) => JSON.stringify(op) === '[1,"x"]'))
    await neighbour.reaching(typed.length - 'Once upon a time'.length + 1)
    await undisturbed()
  })

  it('an op with more components than the limit is refused', async () => {
    const { client, submit } = await joined()
    await refusedAs(client, submit(Array.from({ length: 70_000 }, (_, i) => (i % 2 === 0 ? 1 : 'x'))), 'op-too-large')
  })

  it('a submission before a join, or to a handle that was left, is refused as not joined', async () => {
    const stranger = connects({ form })
    await stranger.next('welcome')
    const { client, handle, submit } = await joined()
    await refusedAs(stranger, submit([1, 'x']), 'not-joined')
    client.send({ kind: 'leave', handle })
    await refusedAs(client, submit([1, 'x']), 'not-joined')
    await refusedAs(client, { kind: 'leave', handle: 4_711 as Handle }, 'not-joined')
    await refusedAs(client, { kind: 'present', handle, version: 0, state: {} }, 'not-joined')
  })

  it('a second join is refused, and the first one stays', async () => {
    const { client, submit } = await joined()
    await refusedAs(client, { kind: 'join', doc: 'shared' as DocId, type: 'text', position: null }, 'already-joined')
    await refusedAs(client, submit([1_000_000, 'x']), 'bad-op')
  })

  it('an unknown document type is refused', async () => {
    const { client } = await joined()
    await refusedAs(client, { kind: 'join', doc: 'other' as DocId, type: 'spreadsheet', position: null }, 'unknown-type')
  })

  it('a position that this history does not know is refused or answered with a snapshot', async () => {
    const { client, submit, position } = await joined()
    const elsewhere: Position = { ...position, epoch: 'elsewhere' as Position['epoch'] }
    await refusedAs(client, submit([1, 'x'], { position: { ...position, version: 1_000_000 } }), 'unknown-position')
    await refusedAs(
      client,
      submit([1, 'x'], { position: { ...position, chain: 'ffffffffffffffff' as Position['chain'] } }),
      'unknown-position',
    )
    const late = connects({ form })
    await late.next('welcome')
    expect((await late.join('shared', elsewhere)).content.kind).toBe('snapshot')
    await undisturbed()
  })

  it('a presence state that is too large is refused', async () => {
    const { client, handle } = await joined()
    if (form === 'json') raw(client, 'present', { handle, version: 1, state: { name: 'x'.repeat(5_000) } })
    else client.send({ kind: 'present', handle, version: 1, state: { name: 'x'.repeat(5_000) } })
    expect((await client.next('refused')).refusal.code).toBe('presence-too-large')
    await undisturbed()
  })

  it('a signal that is too large, or has no name, is refused', async () => {
    const { client, handle } = await joined()
    const refused = async (name: string, payload: unknown, code: string): Promise<void> => {
      if (form === 'json') raw(client, 'signal', { handle, name, payload })
      else client.sendFrame(signalFrame(handle, name, payload as string))
      expect(await client.next('refused')).toMatchObject({ handle, seq: null, refusal: { code, advice: 'stop' } })
    }
    await refused('n', 'x'.repeat(16_382), 'signal-too-large')
    await refused('', 'x', 'malformed')
    await refused('x'.repeat(65), 'x', 'malformed')
    await refused('a\u0000b', 'x', 'malformed')
    const other = await joined()
    client.send({ kind: 'signal', handle, name: 'x'.repeat(64), payload: 'x'.repeat(16_381) })
    expect((await other.client.next('signalled')).payload).toHaveLength(16_381)
    await undisturbed()
  })

  it('a message over the limit is refused and ends the connection; one that is far over it is not even read', async () => {
    const { client, submit } = await joined()
    client.send(submit([1, 'x'.repeat(1_048_576)]))
    expect((await client.next('refused')).refusal.code).toBe('message-too-large')
    expect(await client.down).toMatch(/^transport/)
    await undisturbed()
    const { client: other, submit: submits } = await joined()
    other.send(submits([1, 'x'.repeat(3_000_000)]))
    expect(await other.down).toMatch(/^transport/)
    await undisturbed()
  })

  it('an event that is no message is refused as malformed; who sends too many is sent away', async () => {
    const { client } = await joined()
    for (let i = 0; i < 5; i++) {
      client.emit('shout', { at: 'everybody' })
      expect((await client.next('refused')).refusal.code).toBe('malformed')
    }
    client.emit('shout')
    expect(await client.down).toMatch(/^transport/)
    await undisturbed()
  })

  it('a hello that is none is refused, and the connection ends', async () => {
    for (const hello of [
      {},
      { protocol: [1, 1] },
      { protocol: [1, 1], key: 'short' },
      { protocol: 'newest', key },
      { protocol: [1, 1], key: { toString: 1 } },
      { protocol: [1, 1], key, token: 7 },
    ]) {
      const client = connects({ form, hello })
      const ended = new Promise(resolve => client.socket.io.on('close', resolve))
      expect(await client.refusedHello()).toMatchObject({ code: expect.stringMatching(/^(malformed|unauthenticated)$/) })
      await ended
    }
    await undisturbed()
  })

  it('a client of another age is told that its protocol is not spoken here', async () => {
    for (const protocol of [
      [0.5, 0.9],
      [2, 9],
    ]) {
      const { code, advice } = await connects({ form, hello: { protocol, key } }).refusedHello()
      if (protocol[0] === 2) expect({ code, advice }).toEqual({ code: 'unsupported-protocol', advice: 'reload' })
      else expect(code).toBe('malformed')
    }
    await undisturbed()
  })

  it('a second hello on one line ends it', async () => {
    const client = connects({ form })
    await client.next('welcome')
    if (form === 'json') client.sendFrame(`0${JSON.stringify({ protocol: [1, 1], key })}`)
    else client.sendFrame(Uint8Array.of(0))
    expect(await client.down).toMatch(/^transport/)
    await undisturbed()
  })

  it('two hellos in one breath make no second conversation, even while the first is being thought about', async () => {
    let asked = 0
    let answer = (): void => {}
    const thought = new Promise<void>(resolve => {
      answer = resolve
    })
    const slow = await createServer({
      store: memoryStore(),
      logger: 'silent',
      authenticate: async () => {
        asked++
        await thought
        return { id: 'ann' }
      },
    })
    const client = new RawClient((await slow.listen(0)).url, { form })
    const again = form === 'json' ? `0${JSON.stringify({ protocol: [1, 1], key })}` : Uint8Array.of(0)
    client.socket.io.on('open', () => setTimeout(() => client.sendFrame(again), 20)) // after the first, which goes out on opening
    expect((await client.refusedHello()).code).toBe('malformed')
    answer()
    await slow.close()
    expect([asked, slow.engine.counts.connections]).toEqual([1, 0])
  })

  it('who was refused, or has left, is not kept on the line', async () => {
    const refused = connects({ form, hello: {} })
    Object.assign(refused.socket.io, { _destroy() {} }) // a client that does not hang up by itself
    const ended = new Promise(resolve => refused.socket.io.on('close', resolve))
    await refused.refusedHello()
    expect(await ended).toMatch(/^transport/)
    const left = connects({ form })
    await left.next('welcome')
    left.sendFrame(form === 'json' ? '1' : Uint8Array.of(1))
    expect(await left.down).toMatch(/^transport/)
    await undisturbed()
  })
})

describe('what only a hand-made frame can say', () => {
  const welcome = async (form: 'binary' | 'json'): Promise<RawClient> => {
    const client = connects({ form })
    await client.next('welcome')
    return client
  }
  const json = (kind: string, payload: unknown): string => `2${JSON.stringify([kind, payload])}`
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`

  it.each([
    ['an id of 10 kB', { doc: 'x'.repeat(10_000), type: 'text', position: null }, 'bad-document-id'],
    ['an id with a control character', { doc: 'a\u0007b', type: 'text', position: null }, 'bad-document-id'],
    ['an empty id', { doc: '', type: 'text', position: null }, 'bad-document-id'],
    ['an id with half a character', { doc: 'a\ud800', type: 'text', position: null }, 'bad-document-id'],
    ['an id that is no string', { doc: { toString: 1 }, type: 'text', position: null }, 'bad-document-id'],
    ['a join without a type', { doc: 'shared', position: null }, 'malformed'],
    ['a join at a position that is none', { doc: 'shared', type: 'text', position: 7 }, 'malformed'],
    ['a join with nothing in it', {}, 'bad-document-id'],
    ['a join that is a list', [], 'malformed'],
    ['a join that is nothing', null, 'malformed'],
  ])('%s is refused', async (_, payload, code) => {
    const client = await welcome('json')
    client.sendFrame(json('join', payload))
    expect((await client.next('refused')).refusal.code).toBe(code)
    await undisturbed()
  })

  it('a lone surrogate in an insert is refused', async () => {
    const client = await welcome('json')
    const { handle, content } = await client.join('shared')
    client.sendFrame(json('submit', { handle, seq: 1, position: content.position, op: [1, '\ud83d'] }))
    expect((await client.next('refused')).refusal.code).toMatch(/^(bad-op|malformed)$/)
    await undisturbed()
  })

  it('deep nesting is refused or ends the connection that sent it', async () => {
    for (const frame of [
      `2["present",{"handle":1,"version":0,"state":{"a":${nested(1_000)}}}]`,
      `2["present",{"handle":1,"version":0,"state":{"a":${nested(100_000)}}}]`,
      `2["submit",{"handle":1,"seq":1,"position":null,"op":${nested(1_000)}}]`,
      `2["shout",${nested(10_000)}]`,
    ]) {
      const client = await welcome('json')
      const answered = client.next('refused').then(({ refusal }) => refusal.code)
      client.sendFrame(frame)
      expect(['malformed', 'transport close', 'transport error']).toContain(await Promise.race([answered, client.down]))
      await undisturbed()
    }
  })

  it.each([
    ['json', '2["disconnect","forged"]'],
    ['json', '2["join",{"doc":"shared"'],
    ['json', '51-["join",{"_placeholder":true,"num":0}]'],
    ['json', '9'],
    ['json', '0null'],
    ['json', '4"boo"'],
    ['binary', Uint8Array.of(0x9f, 1, 2, 3)],
    ['binary', Uint8Array.of(0x02, 0xdf, 0xff, 0xff, 0xff, 0xff)],
    ['binary', new Uint8Array(0)],
    ['binary', '2["join",{}]'],
  ] as const)('%s: the frame %j ends only the connection that sent it', async (form, frame) => {
    const client = await welcome(form)
    client.sendFrame(frame)
    expect((await client.next('refused')).refusal.code).toBe('malformed')
    expect(await client.down).toMatch(/^transport/)
    await undisturbed()
  })

  it('a hello of null before any welcome ends only the connection that sent it', async () => {
    for (const form of ['json', 'binary'] as const) {
      const client = connects({ form, hello: { protocol: [1, 1], key: 'bad' } })
      const ended = new Promise(resolve => client.socket.io.on('close', resolve))
      client.socket.io.on('open', () => client.sendFrame(form === 'json' ? '0null' : Uint8Array.of(0, 0xc0)))
      await ended
      await undisturbed()
    }
  })

  it('a namespace that is not there is refused', async () => {
    const client = await welcome('json')
    client.sendFrame('0/admin,{"protocol":[1,1]}')
    client.sendFrame('0/__proto__,')
    client.emit('shout')
    expect((await client.next('refused')).refusal.code).toBe('malformed')
    await undisturbed()
  })
})

describe('a mistake of our own', () => {
  it('in answering one message is told to its sender and logged; nobody else notices, and the process stays up', async () => {
    const logged: unknown[] = []
    const logger = pino({ level: 'error' }, { write: line => logged.push(JSON.parse(line)) })
    const types = [
      {
        ...textType,
        opFromJson: (json: unknown, baseSize: number) => {
          if (JSON.stringify(json).includes('boom')) throw new TypeError('a bug with "boom" in it')
          return textType.opFromJson(json, baseSize)
        },
      },
    ]
    const faulty = await createServer({ store: memoryStore(), logger, types })
    const { url } = await faulty.listen(0)
    const [ann, ben] = [await Pen.opens(url, 'notes'), await Pen.opens(url, 'notes', { form: 'json' })]
    void ann.types('boom')
    expect((await ann.client.next('refused')).refusal).toMatchObject({ code: 'internal', advice: 'retry' })
    await ben.types('fine')
    expect([ben.shows, logged.length]).toEqual(['fine', 1])
    for (const pen of [ann, ben]) pen.client.close()
    await faulty.close()
  })
})

/** As docs/PROTOCOL.md lays it out, for names that no encoder of ours writes. */
const signalFrame = (handle: number, name: string, payload: string): Uint8Array => {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))])
  const json = [0xda, payload.length >> 8, payload.length & 255, ...Buffer.from(payload)]
  return Uint8Array.from([0x85, ...varint(handle), ...varint(name.length), ...Buffer.from(name), ...varint(json.length), ...json])
}

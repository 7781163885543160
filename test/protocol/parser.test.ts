// The parser by itself: what it writes, what it reads, what it refuses.

import { describe, expect, it } from 'vitest'
import { serverBounds } from '../../src/protocol/bounds.ts'
import { encodeClientFrame, encodeServerFrame, opcodes } from '../../src/protocol/codec.ts'
import { createParser, type Packet, ParseError, type ParserOptions } from '../../src/protocol/parser.ts'
import { fromClient, fromServer } from './examples.ts'
import { packed } from './packed.ts'

const server = createParser({ end: 'server' })
const client = createParser({ end: 'client' })
const jsonServer = createParser({ end: 'server', form: 'json' })

const read = (frame: unknown, parser = server): Packet[] => {
  const packets: Packet[] = []
  new parser.Decoder().on('decoded', packet => packets.push(packet)).add(frame)
  return packets
}
const one = (parser: typeof server, packet: Packet): Uint8Array | string => {
  const frames = new parser.Encoder().encode(packet)
  expect(frames).toHaveLength(1)
  return frames[0]!
}
/** A frame as a client would write it that keeps to no rule. */
const raw = (first: number, data?: unknown): Uint8Array => Uint8Array.from([first, ...(data === undefined ? [] : packed(data))])
const event = (...data: unknown[]): Packet => ({ type: 2, nsp: '/', data })
const submit = fromClient.find(({ message }) => message.kind === 'submit')!.message

describe('[W6] one packet is one frame', () => {
  it.each([...fromClient, ...fromServer])('$message.kind, $name', ({ message }) => {
    const ofClient = fromClient.some(example => example.message === message)
    const [from, to] = ofClient ? [client, server] : [server, client]
    const frame = one(from, event(message.kind, message))
    expect(frame).toEqual(ofClient ? encodeClientFrame(message as never) : encodeServerFrame(message as never))
    expect(read(frame, to)).toEqual([event(message.kind, message)])
  })

  it.each<[string, Packet]>([
    ['connect', { type: 0, nsp: '/', data: { protocol: [1, 1] } }],
    ['connect to a namespace', { type: 0, nsp: '/chat', data: { token: 't' } }],
    ['connect without data', { type: 0, nsp: '/' }],
    ['disconnect', { type: 1, nsp: '/chat' }],
    ['an event of the application’s own', event('say', 'naïve 🖋', { a: [1, null, 0.5] })],
    ['an event with bytes', event('file', Uint8Array.from([1, 2, 255]), { inside: [Uint8Array.from([3])] })],
    ['an event that wants an answer', { ...event('ask', 1), id: 300 }],
    ['an answer', { type: 3, nsp: '/chat', data: [{ ok: true }], id: 0 }],
    ['a connect error', { type: 4, nsp: '/', data: { message: 'no', data: { code: 'draining' } } }],
  ])('%s', (_, packet) => {
    expect(read(one(client, packet), server)).toEqual([packet])
    expect(read(one(server, packet), client)).toEqual([packet])
  })

  it('a message may ask for an answer', () => {
    const packet = { type: 2, nsp: '/', id: 7, data: ['submit', submit] }
    expect(one(client, packet)).toEqual(encodeClientFrame(submit as never, 7))
    expect(read(one(client, packet))).toEqual([packet])
  })

  it.each(['binary', 'json'] as const)('in a namespace of the application’s the names of messages are its own, %s', form => {
    const [from, to] = [createParser({ end: 'client', form }), createParser({ end: 'server', form })]
    for (const name of Object.keys(opcodes)) {
      const packet = { type: 2, nsp: '/chat', data: [name, 'room 7', { by: 'ann' }] }
      expect(read(one(from, packet), to)).toEqual([packet])
      expect(read(one(to, packet), from)).toEqual([packet])
    }
  })

  it('frames come as Buffer, Uint8Array or ArrayBuffer', () => {
    const frame = encodeClientFrame(submit as never)
    const inside = Uint8Array.from([9, 9, ...frame, 9]).subarray(2, 2 + frame.length)
    for (const form of [frame, Buffer.from(frame), inside, frame.slice().buffer]) expect(read(form)).toEqual(read(frame))
  })

  it('bytes that arrive belong to the listener, not to the frame', () => {
    const frame = one(client, event('file', Uint8Array.from([1, 2, 3]))) as Uint8Array
    const [packet] = read(frame)
    frame.fill(0)
    expect(packet?.data).toEqual(['file', Uint8Array.from([1, 2, 3])])
  })

  it('what is undefined is null among arguments and absent in an object', () => {
    expect(read(one(client, event('say', undefined, { a: undefined, b: 1 })))).toEqual([event('say', null, { b: 1 })])
    expect(
      read(
        one(jsonServer, { type: 0, nsp: '/', data: { sid: 'x', pid: undefined } }),
        createParser({ end: 'client', form: 'json' }),
      ),
    ).toEqual([{ type: 0, nsp: '/', data: { sid: 'x' } }])
  })
})

describe('[W7] what is no packet is a ParseError', () => {
  it.each<[string, unknown]>([
    ['nothing', new Uint8Array()],
    ['text', '2["say",1]'],
    ['an object', { base64: true }],
    ['null', null],
    ['an unknown type', raw(5, ['say'])],
    ['a head with stray bits', raw(0x0a, ['say'])],
    ['an event without data', raw(2)],
    ['an event that is a map', raw(2, { 0: 'say', length: 1 })],
    ['an event named by an object with its own toString', raw(2, [{ toString: 1 }])],
    ['an event named by a number', raw(2, [7])],
    ['an event without a name', raw(2, [])],
    ['an event with an empty name', raw(2, [''])],
    ['an event with a name of a kilobyte', raw(2, ['x'.repeat(1_000)])],
    ...['connect', 'connect_error', 'disconnect', 'disconnecting', 'error', 'newListener', 'removeListener'].map(
      (name): [string, unknown] => [`a forged ${name}`, raw(2, [name, 'forged'])],
    ),
    ['a forged refused', raw(2, ['refused', { kind: 'refused' }])],
    ['a message as an event of one’s own', raw(2, ['submit', submit])],
    ['more arguments than a call takes', raw(2, ['say', ...new Array(200_000).fill(0)])],
    ['seventeen arguments', raw(2, ['say', ...new Array(17).fill(0)])],
    ['seventeen answers', Uint8Array.from([0x23, 1, ...packed(new Array(17).fill(0))])],
    ['an acknowledgement without a number', raw(3, [])],
    ['a connect with an array', raw(0, [])],
    ['a connect with a number', Uint8Array.from([0x20, 1])],
    ['a connect of which the first byte is a prototype', Uint8Array.from([0, 0x81, 0xa9, ...Buffer.from('__proto__'), 0x80])],
    ['a disconnect with data', raw(1, {})],
    ['a namespace without its slash', Uint8Array.from([0x41, 1, 97])],
    ['the default namespace written out', Uint8Array.from([0x41, 1, 47])],
    ['a message in another namespace', Uint8Array.from([0xc2, 5, ...Buffer.from('/chat'), 1])],
    ['a namespace longer than the limit', Uint8Array.from([0x41, 0x81, 0x01, ...new Array(129).fill(47)])],
    ['a frame above the limit', new Uint8Array(serverBounds.messageBytes + 1).fill(2, 0, 1)],
    ['a message of a server, sent by a client', encodeServerFrame(fromServer[0]!.message)],
  ])('%s', (_, frame) => {
    expect(() => read(frame)).toThrow(ParseError)
  })

  it('the packet of the stock MessagePack parser is no event', () => {
    // Its first byte happens to be the head of a submission, which it is not.
    expect(() => read(packed({ type: 2, nsp: '/', data: [{ toString: 1 }] }))).toThrow(ParseError)
  })

  it.each([
    '',
    '9["say"]',
    '5-["say",{"_placeholder":true,"num":0}]',
    '2',
    '2{"0":"say"}',
    '2[{"toString":1}]',
    '2["disconnect","forged"]',
    '2["error"]',
    '2["refused",{}]x',
    '2["welcome",{}]',
    '2["submit"]',
    '2["submit",{},{}]',
    '2["say",{"__proto__":1}]',
    '2["say","\\ud800"]',
    `2["say",${'['.repeat(100)}${']'.repeat(100)}]`,
    `2["say"${',0'.repeat(200_000)}]`,
    // Which JSON.parse would take a tenth of a second for, before a message could be refused.
    `2["signal",{"handle":1,"name":"n","payload":${'['.repeat(500_000)}${']'.repeat(500_000)}}]`,
    `2["probe",${JSON.stringify(Object.fromEntries(Array.from({ length: 17_000 }, (_, i) => [`key ${i}`, i])))}]`,
    `2["signal",{"handle":1,"name":"n","payload":[${'{},'.repeat(300_000)}{}]}]`,
    '3[1]',
    '0[]',
    '2/chat["say"]',
    '2["say"',
    `1/${'x'.repeat(200)}`,
  ])('the text %.40s', text => {
    expect(() => read(text, jsonServer)).toThrow(ParseError)
  })
})

describe('[W40] a message that breaks a limit reaches the server as a refusal to send back', () => {
  const tooLong = { ...submit, op: [1, 'a', 1, 'b', 1, 'c'] } as never
  const bounds = { ...serverBounds, opComponents: 5 }
  const parserOf = (options: Partial<ParserOptions>) => createParser({ end: 'server', bounds, ...options })
  const answer = [
    'refused',
    {
      kind: 'refused',
      doc: null,
      handle: 7,
      seq: 12,
      refusal: {
        code: 'op-too-large',
        advice: 'stop',
        message: 'The op has more components or text than the limit.',
        detail: 'the op has 6 components, the limit is 5',
      },
    },
  ]

  it('in the binary form', () => {
    expect(read(encodeClientFrame(tooLong), parserOf({}))).toEqual([event(...answer)])
  })

  it('in the JSON form', () => {
    expect(read(`2${JSON.stringify(['submit', tooLong])}`, parserOf({ form: 'json' }))).toEqual([event(...answer)])
  })

  it.each(['binary', 'json'] as const)('also when it is too large as a whole, in the %s form', form => {
    const small = parserOf({ form, bounds: { ...serverBounds, messageBytes: 12 } })
    const frame = form === 'binary' ? encodeClientFrame(submit as never) : `2${JSON.stringify(['submit', submit])}`
    const [packet] = read(frame, small)
    expect(packet?.data).toMatchObject(['refused', { handle: 7, seq: 12, refusal: { code: 'message-too-large' } }])
  })

  it('a client breaks off instead: it cannot go on without the message', () => {
    const strict = createParser({ end: 'client', bounds: { ...serverBounds, presenceBytes: 3 } })
    const presence = fromServer.find(({ message }) => message.kind === 'presence')!.message
    expect(() => read(encodeServerFrame(presence), strict)).toThrow(ParseError)
  })
})

describe('a mistake of our own end throws where it is made', () => {
  it.each([
    ['a message that this end does not send', event('commits', {}), /a client does not send/],
    ['a message without its kind', event('submit', {}), /must carry one message/],
    ['two messages', event('submit', submit, submit), /must carry one message/],
    ['a circle', event('say', circle()), /nested deeper/],
    ['a map', event('say', new Map()), /not plain/],
  ])('%s', (_, packet, why) => {
    expect(() => new client.Encoder().encode(packet)).toThrow(why)
  })
})

function circle(): unknown {
  const self: { self?: unknown } = {}
  self.self = self
  return self
}

it('a decoder has the methods that Socket.IO calls', () => {
  const heard: number[] = []
  const decoder = new server.Decoder()
  const first = () => heard.push(1)
  const second = () => heard.push(2)
  decoder.on('decoded', first)
  decoder.add(encodeClientFrame(submit as never))
  decoder.off('decoded', first)
  decoder.add(encodeClientFrame(submit as never))
  decoder.on('decoded', second).off('decoded', first)
  decoder.add(encodeClientFrame(submit as never))
  decoder.removeListener('decoded', second)
  decoder.add(encodeClientFrame(submit as never))
  decoder.destroy()
  expect(heard).toEqual([1, 2])
})

// Random and spoilt frames against every door: nothing escapes, nothing grows, nothing unsound comes through.

import { describe, expect, it } from 'vitest'
import { serverBounds } from '../../src/protocol/bounds.ts'
import { decodeClientMessage, decodeServerMessage, encodeClientFrame, encodeServerFrame } from '../../src/protocol/codec.ts'
import { jsonEvent, readClientMessage, readServerMessage } from '../../src/protocol/json.ts'
import type { ClientMessage, ServerMessage, Welcome } from '../../src/protocol/messages.ts'
import { createParser, type Packet, ParseError } from '../../src/protocol/parser.ts'
import { seed } from './arbitraries.ts'
import { bytesOf, makeGolden } from './golden.ts'

const frames = Number(process.env.FRAMES ?? 150_000)

/** mulberry32: small, seeded, good enough to spoil bytes with. */
const chance = (from: number) => {
  let state = from >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return { below: (n: number): number => next() % n }
}

type Chance = ReturnType<typeof chance>

const encoder = new (createParser({ end: 'client' }).Encoder)()
const golden = [
  ...makeGolden().messages.map(({ hex }) => bytesOf(hex)),
  // An application's own packets, with everything that a head can have.
  ...[
    { type: 2, nsp: '/', data: ['cursor', { x: 1, y: [2.5, null, true] }, new Uint8Array([1, 2, 3])] },
    { type: 2, nsp: '/chat', data: ['say', 'naïve 🖋'], id: 300 },
    { type: 3, nsp: '/chat', data: [{ ok: true }], id: 70_000 },
    { type: 1, nsp: '/' },
    { type: 4, nsp: '/', data: { message: 'no', data: { code: 'draining' } } },
  ].map(packet => encoder.encode(packet)[0] as Uint8Array),
]

const lengths = [
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
  [0x7f],
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0x7f, 0xff, 0xff, 0xff],
]

const spoilt = (dice: Chance): Uint8Array => {
  if (dice.below(5) === 0) return Uint8Array.from({ length: dice.below(80) }, () => dice.below(256))
  let bytes = [...golden[dice.below(golden.length)]!]
  for (let times = 1 + dice.below(3); times > 0; times--) {
    const at = dice.below(bytes.length + 1)
    const other = golden[dice.below(golden.length)]!
    switch (dice.below(6)) {
      case 0:
        bytes[at % Math.max(1, bytes.length)]! ^= 1 << dice.below(8)
        break
      case 1:
        bytes = bytes.slice(0, at)
        break
      case 2:
        bytes = [...bytes.slice(0, at), ...other.subarray(dice.below(other.length))]
        break
      case 3:
        bytes.splice(at, 1 + dice.below(3), ...lengths[dice.below(lengths.length)]!)
        break
      case 4:
        bytes.splice(at, dice.below(4), ...Array.from({ length: dice.below(6) }, () => dice.below(256)))
        break
      default:
        bytes[0] = dice.below(256)
    }
  }
  return Uint8Array.from(bytes)
}

/** Things in a value, counted: what it costs in memory, to a factor. */
const weigh = (value: unknown): number => {
  if (typeof value === 'string') return 1 + value.length
  if (value instanceof Uint8Array) return 1 + value.length
  if (typeof value !== 'object' || value === null) return 1
  expect([Object.prototype, Array.prototype]).toContain(Object.getPrototypeOf(value))
  let sum = 1
  for (const key of Object.keys(value)) {
    expect(['__proto__', 'constructor', 'prototype']).not.toContain(key)
    sum += key.length + weigh((value as Record<string, unknown>)[key])
  }
  return sum
}

describe(`fuzz, SEED=${seed}`, () => {
  it(`[P5] ${frames} frames: parsers throw a ParseError or emit a sound packet`, () => {
    console.log(`fuzz: SEED=${seed}, ${frames} frames`)
    const dice = chance(seed)
    const ends = (['server', 'client'] as const).map(end => {
      const heard: Packet[] = []
      const decoder = new (createParser({ end }).Decoder)().on('decoded', packet => heard.push(packet))
      return { end, decoder, heard }
    })
    const tally = { refused: 0, thrown: 0, message: 0, other: 0 }
    for (let i = 0; i < frames; i++) {
      const frame = spoilt(dice)
      const context = `SEED=${seed}, frame ${i}: ${Buffer.from(frame).toString('hex')}`
      for (const { end, decoder, heard } of ends) {
        heard.length = 0
        try {
          decoder.add(frame)
        } catch (error) {
          if (!(error instanceof ParseError)) throw new Error(context, { cause: error })
          tally.thrown++
          continue
        }
        const [packet] = heard
        if (heard.length !== 1 || packet === undefined) throw new Error(`${heard.length} packets. ${context}`)
        if (packet.type !== 2) {
          tally.other++
          continue
        }
        const [name, message] = packet.data as [string, ClientMessage | ServerMessage | Welcome]
        if (typeof name !== 'string') throw new Error(`an event without a name. ${context}`)
        if (end === 'server' && name === 'refused') tally.refused++
        else if (typeof message === 'object' && message?.kind === name) tally.message++
        else tally.other++
      }
    }
    // A fuzzer that is never let in finds nothing: every outcome must be a frequent one.
    expect(Math.min(...Object.values(tally)), JSON.stringify(tally)).toBeGreaterThan(frames / 500)
  })

  it(`[P5] ${frames} frames: what is decoded passes the validator, is no larger than its frame allows, and goes back`, () => {
    const dice = chance(seed + 1)
    let read = 0
    for (let i = 0; i < frames; i++) {
      const frame = spoilt(dice)
      const context = `SEED=${seed}, frame ${i}: ${Buffer.from(frame).toString('hex')}`
      try {
        for (const side of sides) {
          const decoded = side.decode(frame)
          if (!decoded.ok) {
            expect(decoded.refusal.detail?.length ?? 0).toBeLessThanOrEqual(512)
            continue
          }
          read++
          const { kind, payload } = side.validated(decoded.message)
          expect(weigh(payload)).toBeLessThan(200 + 64 * frame.length)
          expect(side.again(decoded.message), kind).toEqual(decoded.message)
        }
      } catch (error) {
        throw new Error(context, { cause: error })
      }
    }
    expect(read).toBeGreaterThan(frames / 50)
  })

  it(`[P5] ${frames / 5} texts: the JSON form throws a ParseError or emits a sound packet`, () => {
    const dice = chance(seed + 2)
    const texts = makeGolden().messages.map(({ kind, json }) =>
      kind === 'hello' ? `0${JSON.stringify(json)}` : `2${JSON.stringify([kind, json])}`,
    )
    texts.push('2/chat,12["say",{"a":[1,null]}]', '3/chat,7[1]', '1', '41{"message":"no"}')
    const heard: Packet[] = []
    const decoder = new (createParser({ end: 'server', form: 'json' }).Decoder)().on('decoded', packet => heard.push(packet))
    const signs = [
      '"',
      '{',
      '}',
      '[',
      ']',
      ',',
      '\\u0000',
      '\\ud800',
      '1e999',
      '-',
      '0',
      'null',
      '"__proto__":',
      '"constructor":1,',
      '/',
      ':',
    ]
    let thrown = 0
    for (let i = 0; i < frames / 5; i++) {
      let text = texts[dice.below(texts.length)]!
      for (let times = dice.below(4); times > 0; times--) {
        const at = dice.below(text.length + 1)
        text = text.slice(0, at) + (dice.below(3) === 0 ? '' : signs[dice.below(signs.length)]!) + text.slice(at + dice.below(4))
      }
      heard.length = 0
      try {
        decoder.add(text)
        expect(heard).toHaveLength(1)
        weigh(heard[0]?.data)
      } catch (error) {
        if (!(error instanceof ParseError)) throw new Error(`SEED=${seed}, text ${i}: ${text}`, { cause: error })
        thrown++
      }
    }
    expect(thrown).toBeGreaterThan(frames / 50)
    expect(thrown).toBeLessThan(frames / 5)
  })
})

const client = {
  decode: (frame: Uint8Array) => decodeClientMessage(frame, serverBounds),
  validated: (message: ClientMessage) => {
    const [kind, payload] = jsonEvent(message)
    expect(readClientMessage(kind, payload)).toEqual({ ok: true, message })
    return { kind, payload }
  },
  again: (message: ClientMessage) => {
    const read = decodeClientMessage(encodeClientFrame(message))
    return read.ok ? read.message : read
  },
}

const server = {
  decode: (frame: Uint8Array) => decodeServerMessage(frame),
  validated: (message: ServerMessage | Welcome) => {
    const [kind, payload] = jsonEvent(message)
    expect(readServerMessage(kind, payload)).toEqual({ ok: true, message })
    return { kind, payload }
  },
  again: (message: ServerMessage | Welcome) => {
    const read = decodeServerMessage(encodeServerFrame(message))
    return read.ok ? read.message : read
  },
}

// A message is of one side or the other; each goes through the doors of its own.
const sides = [client, server] as unknown as readonly {
  decode(frame: Uint8Array): ReturnType<typeof client.decode> | ReturnType<typeof server.decode>
  validated(message: unknown): { kind: string; payload: unknown }
  again(message: unknown): unknown
}[]

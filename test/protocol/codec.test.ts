// The binary and the JSON form: what goes in comes out, and what breaks a limit is refused by name.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Listener, Told } from '../../src/protocol/authors.ts'
import { clientBounds, serverBounds } from '../../src/protocol/bounds.ts'
import { Writer } from '../../src/protocol/bytes.ts'
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientFrame,
  encodeCommitsFrame,
  encodeServerFrame,
} from '../../src/protocol/codec.ts'
import { refusal } from '../../src/protocol/errors.ts'
import { measure, utf8Length } from '../../src/protocol/fields.ts'
import type { AuthorId, Chain, DocId, Epoch, Handle, PeerId } from '../../src/protocol/ids.ts'
import { jsonEvent, readClientMessage, readHello, readRefusal, readServerMessage } from '../../src/protocol/json.ts'
import type { Commits, Present, Submit } from '../../src/protocol/messages.ts'
import { pack, unpack } from '../../src/protocol/pack.ts'
import { anyJson, clientMessage, hello, seed, serverMessage } from './arbitraries.ts'
import { hexOf } from './golden.ts'
import { packed } from './packed.ts'

const numRuns = Number(process.env.RUNS ?? 5_000)
const opts = { seed, numRuns }

const position = { version: 42, chain: '08d1f36b9c2e7a45' as Chain }
const epoch = 'n2Fq8XbW0c-LzR_4' as Epoch
const handle = 7 as Handle
const submit = (more: object = {}): Submit => ({ kind: 'submit', handle, seq: 12, position, op: [6, '!'], ...more })
const present = (state: unknown): Present => ({ kind: 'present', handle, version: 1, state: state as Present['state'] })
const throughText = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** As a client that keeps to no rule would write it. */
const rawPresent = (state: Uint8Array | number[]): Uint8Array => {
  expect(state.length).toBeLessThan(0x200000)
  const length = [(state.length & 127) | 128, ((state.length >> 7) & 127) | 128, state.length >> 14]
  const short = state.length < 128 ? [state.length] : state.length < 16_384 ? [length[0]!, length[1]! & 127] : length
  return Uint8Array.from([0x84, 7, 1, ...short, ...state])
}

/** One refusal, from both forms, for a message of a client. */
const refusals = (kind: string, payload: object) => {
  const json = readClientMessage(kind, payload)
  if (json.ok) throw new Error('it was read')
  return { code: json.refusal.code, handle: json.handle, seq: json.seq, doc: json.doc }
}

describe('[W2] both forms carry the same messages', () => {
  it('every message of a client comes back from its frame as it was', () => {
    fc.assert(
      fc.property(clientMessage, message => {
        expect(decodeClientMessage(encodeClientFrame(message))).toEqual({ ok: true, message })
      }),
      opts,
    )
  })

  it('every message of a server comes back from its frame as it was', () => {
    fc.assert(
      fc.property(serverMessage, message => {
        expect(decodeServerMessage(encodeServerFrame(message))).toEqual({ ok: true, message })
      }),
      opts,
    )
  })

  it('every message of a client comes back from its JSON text as it was', () => {
    fc.assert(
      fc.property(clientMessage, message => {
        const [kind, payload] = jsonEvent(message)
        expect(readClientMessage(kind, throughText(payload))).toEqual({ ok: true, message })
      }),
      opts,
    )
  })

  it('every message of a server comes back from its JSON text as it was', () => {
    fc.assert(
      fc.property(serverMessage, message => {
        const [kind, payload] = jsonEvent(message)
        expect(readServerMessage(kind, throughText(payload))).toEqual({ ok: true, message })
      }),
      opts,
    )
  })

  it('every hello comes back from its JSON text as it was', () => {
    fc.assert(
      fc.property(hello, message => {
        expect(readHello(throughText(message))).toEqual({ ok: true, message })
      }),
      { seed, numRuns: 1_000 },
    )
  })

  it('a JSON value is packed into as many bytes as were measured, in the shortest form, and comes back', () => {
    fc.assert(
      fc.property(anyJson, value => {
        const writer = new Writer()
        pack(writer, value)
        const bytes = writer.end()
        expect(unpack(bytes, 0, bytes.length, clientBounds, 'a value')).toEqual({ value, size: bytes.length })
        expect(measure(value, clientBounds, 'a value')).toBe(bytes.length)
        expect(Buffer.compare(bytes, packed(value))).toBe(0)
      }),
      { seed, numRuns: 2_000 },
    )
  })
})

describe('[W2] MessagePack is written and read as a well-known package does it', () => {
  const written = (value: unknown): Uint8Array => {
    const writer = new Writer()
    pack(writer, value)
    return writer.end()
  }
  const read = (bytes: Uint8Array): unknown => unpack(bytes, 0, bytes.length, clientBounds, 'a value', true).value
  const edges = [0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]

  it.each<[string, unknown[]]>([
    ['whole numbers', edges.flatMap(n => [n, n + 1, -n - 1])],
    ['other numbers', [0.5, -0.1, 1e300, 5e-324, Math.PI]],
    ['strings', [0, 1, 31, 32, 255, 256, 65_535, 65_536].flatMap(n => ['x'.repeat(n), '\u{1f58b}'.repeat(n >> 2)])],
    ['arrays', [0, 15, 16, 255, 256, 65_535].map(n => new Array(n).fill(null))],
    ['objects', [0, 1, 15, 16, 300].map(n => Object.fromEntries(new Array(n).fill(0).map((_, i) => [`k${i}`, i % 2 === 0])))],
    ['bytes', [0, 255, 256, 65_536].map(n => new Uint8Array(n).fill(7))],
  ])('%s', (_, values) => {
    for (const value of values) {
      const theirs = packed(value)
      expect(written(value)).toEqual(theirs)
      expect(read(theirs)).toEqual(value)
    }
  })

  it('a property that is undefined is left out', () => {
    expect(read(written({ a: undefined, b: [null] }))).toEqual({ b: [null] })
  })

  it('bytes that were read do not keep the frame they came in', () => {
    const frame = packed([new Uint8Array(3)])
    const [bytes] = read(frame) as [Uint8Array]
    expect(bytes.buffer).not.toBe(frame.buffer)
    expect(bytes.buffer.byteLength).toBe(3)
  })
})

describe('[W3] a frame is short', () => {
  it('a key pressed takes 19 bytes to the server, and 22 to each reader who has been told of its author before', () => {
    const commits: Commits = {
      kind: 'commits',
      handle,
      from: 4_321,
      commits: [{ author: 'Ada0_Lovelace-x1' as AuthorId, seq: 312, op: [1_204, 'x'] }],
      position: { ...position, version: 4_322 },
      durable: 4_320,
    }
    expect(encodeClientFrame(submit({ position: { ...position, version: 4_322 }, seq: 312, op: [1_204, 'x'] }))).toHaveLength(19)
    const told = new Told()
    expect(encodeCommitsFrame(commits, told)).toHaveLength(34)
    expect(encodeCommitsFrame(commits, told)).toHaveLength(22)
  })

  it('an author who types on is named once a frame', () => {
    const ada = 'Ada0_Lovelace-x1' as AuthorId
    const frame = (count: number) =>
      encodeServerFrame({
        kind: 'commits',
        handle,
        from: 0,
        commits: Array.from({ length: count }, (_, i) => ({ author: ada, seq: i + 1, op: [i + 1, 'x'] })),
        position: { ...position, version: count },
        durable: 0,
      }).length
    expect(frame(11) - frame(1)).toBe(10 * 5)
  })
})

describe('[W3] an author is written out once on a line, and goes by a number then', () => {
  const names = Array.from({ length: 40 }, (_, i) => `author-${i}`.padEnd(16, '-') as AuthorId)
  const frame = (from: number, who: readonly AuthorId[], of = handle): Commits => ({
    kind: 'commits',
    handle: of,
    from,
    commits: who.map((author, i) => ({ author, seq: i + 1, op: ['x'] })),
    position: { ...position, version: from + who.length },
    durable: 0,
  })

  it('what readers have been told is read as it was written, whoever was told by other frames between', () => {
    const dice = fc.sample(fc.array(fc.constantFrom(...names), { maxLength: 8 }), { seed, numRuns: 200 })
    // One reader, in one audience after the other.
    const given = { last: 0 }
    let told = new Told(given)
    const listener: Listener = {}
    for (const [i, who] of dice.entries()) {
      if (i % 20 === 0) told = new Told(given)
      const message = frame(i, who)
      expect(decodeServerMessage(encodeCommitsFrame(message, told), clientBounds, listener)).toEqual({
        ok: true,
        message,
      })
      const other = frame(i, who.toReversed(), 8 as Handle)
      expect(decodeServerMessage(encodeServerFrame(other), clientBounds, listener)).toEqual({ ok: true, message: other })
    }
  })

  it('a number that nobody was told of ends the line, and so does one that was told in another document', () => {
    const told = new Told()
    const listener: Listener = {}
    const first = encodeCommitsFrame(frame(0, [names[0]!]), told)
    const next = encodeCommitsFrame(frame(1, [names[0]!]), told)
    expect(decodeServerMessage(next)).toMatchObject({ ok: false, broken: true })
    decodeServerMessage(first, clientBounds, listener)
    expect(decodeServerMessage(next, clientBounds, listener)).toMatchObject({ ok: true })
    const elsewhere = encodeCommitsFrame(frame(1, [names[0]!], 8 as Handle), told)
    expect(decodeServerMessage(elsewhere, clientBounds, listener)).toMatchObject({ ok: false, broken: true })
  })

  it('[P5] of very many authors some have no number: they are written out each time', () => {
    const told = new Told()
    const listener: Listener = {}
    const many = Array.from({ length: 9_000 }, (_, i) => `a${i}`.padEnd(16, '_') as AuthorId)
    for (const from of [0, 9_000]) {
      const message = frame(from, many)
      expect(decodeServerMessage(encodeCommitsFrame(message, told), clientBounds, listener)).toEqual({
        ok: true,
        message,
      })
    }
    expect(listener.heard!.get(handle)!.size).toBe(8_191)
  })
})

describe('[W40] a bad field is refused, and the refusal says of which message', () => {
  it.each([
    ['no object', 'submit', []],
    ['seq 0', 'submit', submit({ seq: 0 })],
    ['a seq that is no number', 'submit', submit({ seq: '1' })],
    ['a seq beyond 2^48 - 1, which no store has room for', 'submit', submit({ seq: 2 ** 48 })],
    ['a version of a half', 'submit', submit({ position: { ...position, version: 0.5 } })],
    ['a version beyond 2^48 - 1', 'submit', submit({ position: { ...position, version: 2 ** 48 } })],
    ['a chain in capitals', 'submit', submit({ position: { ...position, chain: '08D1F36B9C2E7A45' } })],
    ['an epoch too long', 'join', { doc: 'd', type: 'text', position: { ...position, epoch: 'x'.repeat(33) } }],
    ['no op', 'submit', { ...submit(), op: undefined }],
    ['an op with NaN', 'submit', submit({ op: [Number.NaN] })],
    ['no position', 'join', { doc: 'd', type: 'text' }],
    ['an empty type', 'join', { doc: 'd', type: '', position: null }],
    ['a state that is an array', 'present', present([])],
    ['a state with a lone surrogate', 'present', present({ name: '\ud800' })],
    ['a state with __proto__', 'present', present(JSON.parse('{"a":{"__proto__":{"admin":true}}}'))],
    ['a state with constructor', 'present', present({ constructor: 1 })],
    ['a state with prototype', 'present', present({ a: [{ prototype: 1 }] })],
  ])('%s', (_, kind, payload) => {
    expect(refusals(kind, payload)).toMatchObject({ code: 'malformed' })
  })

  it.each([
    ['no units', { units: null }],
    ['a unit of no commits', { units: [{ commits: 0, seq: null, op: [] }] }],
    ['a unit of two commits with one seq', { units: [{ commits: 2, seq: 1, op: ['a'] }] }],
    ['a unit without a word on whose it is', { units: [{ commits: 1, op: ['a'] }] }],
    ['units that end elsewhere', { units: [{ commits: 3, seq: null, op: ['a'] }] }],
  ])('[W13] composed with %s', (_, part) => {
    const units = [{ commits: 1, seq: 1, op: ['a'] }]
    const content = { kind: 'composed', from: 41, position: { epoch, ...position }, ...part }
    const joined = { doc: 'd', handle: 1, right: 'read', peer: 'p', people: 1, peers: [], durable: 0, content }
    const read = readServerMessage('joined', joined)
    expect(read).toMatchObject({ ok: false, refusal: { code: 'malformed' } })
    expect(readServerMessage('joined', { ...joined, content: { ...content, units } }).ok).toBe(true)
  })

  it.each([['too short'], [undefined], ['C851099D4ED998BD']])('[W25] a beat with the hash %s', hash => {
    expect(readServerMessage('beat', { handle: 1, position, durable: 0, hash })).toMatchObject({ refusal: { code: 'malformed' } })
  })

  it.each([
    ['empty', ''],
    ['10 kB long', 'x'.repeat(10_000)],
    ['257 bytes in 129 characters', 'é'.repeat(129).slice(0, 129)],
    ['with a line feed', 'a\nb'],
    ['with a C1 control', 'a\u0085b'],
    ['with a lone surrogate', 'a\udc00'],
    ['no string', 17],
  ])('a document id that is %s', (_, doc) => {
    expect(refusals('join', { doc, type: 'text', position: null })).toMatchObject({ code: 'bad-document-id', doc: null })
  })

  it('a document id that is too long in a frame', () => {
    const frame = Uint8Array.from([0x81, 0x90, 0x4e, ...new Array(10_000).fill(97), 4, 116, 101, 120, 116, 0])
    expect(decodeClientMessage(frame)).toMatchObject({ ok: false, broken: false, refusal: { code: 'bad-document-id' } })
  })

  it('a submission is named by its handle and seq in both forms', () => {
    const bounds = { ...serverBounds, opComponents: 3 }
    const message = submit({ op: [1, 'a', 1, 'b'] })
    const named = { ok: false, broken: false, doc: null, handle: 7, seq: 12, refusal: { code: 'op-too-large' } }
    expect(decodeClientMessage(encodeClientFrame(message), bounds)).toMatchObject(named)
    expect(readClientMessage('submit', message, bounds)).toMatchObject(named)
    const other = submit({ op: [{}, {}, {}, {}] }) // of another type than text
    expect(decodeClientMessage(encodeClientFrame(other), bounds)).toMatchObject(named)
    expect(readClientMessage('submit', other, bounds)).toMatchObject(named)
    expect(readClientMessage('submit', submit({ op: [1, '\ud800'] }))).toMatchObject({ seq: 12, refusal: { code: 'bad-op' } })
  })

  it('a frame that is too large is refused without being read, but for what it is about', () => {
    const frame = encodeClientFrame(submit({ op: ['x'.repeat(2_000)] }))
    expect(decodeClientMessage(frame, { ...serverBounds, messageBytes: 1_000 })).toMatchObject({
      ok: false,
      handle: 7,
      seq: 12,
      refusal: { code: 'message-too-large' },
    })
  })

  it('a presence state is as large in one form as in the other', () => {
    const fits = present({ text: 'x'.repeat(4_096 - 9) }) // 1 for the map, 5 for the key, 3 before the text
    const one = present({ text: 'x'.repeat(4_096 - 8) })
    expect(decodeClientMessage(encodeClientFrame(fits)).ok).toBe(true)
    expect(readClientMessage('present', fits).ok).toBe(true)
    const tooLarge = { ok: false, handle: 7, refusal: { code: 'presence-too-large' } }
    expect(decodeClientMessage(encodeClientFrame(one))).toMatchObject(tooLarge)
    expect(readClientMessage('present', one)).toMatchObject(tooLarge)
  })

  it('properties that no message has are left out', () => {
    const read = readClientMessage('leave', JSON.parse('{"handle":1,"color":"red","__proto__":{"kind":"join"}}'))
    expect(read).toEqual({ ok: true, message: { kind: 'leave', handle: 1 } })
  })

  it('what is inherited is not a property', () => {
    expect(readClientMessage('leave', Object.create({ handle: 1 })).ok).toBe(false)
    expect(readClientMessage('toString', {}).ok).toBe(false)
  })
})

describe('[W41] bytes that have not the shape of a message are told apart from a message with a bad field', () => {
  const broken = (bytes: number[] | Uint8Array) => {
    const read = decodeClientMessage(Uint8Array.from(bytes))
    return read.ok ? read : read.broken
  }

  it('a frame cut off anywhere is broken or, by chance, another message', () => {
    const frame = encodeClientFrame(submit({ op: [5, 'naïve 🖋', -3] }))
    for (let i = 0; i < frame.length; i++) expect(broken(frame.subarray(0, i))).toBe(true)
  })

  it.each([
    ['nothing', []],
    ['an unknown opcode', [0x9f]],
    ['the opcode of a server', [0x93, 7, 1]],
    ['a byte too many', [0x82, 7, 0]],
    ['a number longer than it need be', [0x82, 0x87, 0]],
    ['a number of nine bytes', [0x82, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ['a document id of 2^31 bytes', [0x81, 0x80, 0x80, 0x80, 0x80, 0x08]],
    ['a document id that is no UTF-8', [0x81, 1, 0xff, 4, 116, 101, 120, 116, 0]],
    ['a surrogate in UTF-8', [0x81, 3, 0xed, 0xa0, 0x80, 4, 116, 101, 120, 116, 0]],
    ['an overlong form', [0x81, 2, 0xc0, 0xaf, 4, 116, 101, 120, 116, 0]],
    ['a state of a million entries in three bytes', [0x84, 7, 1, 5, 0xdf, 0, 0x0f, 0x42, 0x40]],
    ['a state cut off', [0x84, 7, 1, 2, 0x81, 0xa1]],
    ['a number above 2^53 - 1', [0x82, 255, 255, 255, 255, 255, 255, 255, 127]],
    ['a component of no kind', [0x83, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 7]],
    ['an epoch with bits beyond its end', [0x81, 1, 100, 1, 116, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a string in a state that is no UTF-8', rawPresent([0x81, 0xa1, 0x61, 0xa1, 0xff])],
    ['a surrogate in a state', rawPresent([0x81, 0xa1, 0x61, 0xa3, 0xed, 0xa0, 0x80])],
    ['an overlong form of three bytes in a state', rawPresent([0x81, 0xa1, 0x61, 0xa3, 0xe0, 0x80, 0xaf])],
    ['an overlong form of four bytes in a state', rawPresent([0x81, 0xa1, 0x61, 0xa4, 0xf0, 0x80, 0x80, 0xaf])],
    ['a code point beyond the last in a state', rawPresent([0x81, 0xa1, 0x61, 0xa4, 0xf4, 0x90, 0x80, 0x80])],
  ])('%s', (_, bytes) => {
    expect(broken(bytes)).toBe(true)
  })

  it.each([
    ['an extension type', [0x81, 0xa1, 0x61, 0xd4, 0x70, 0x40]],
    ['bytes', [0x81, 0xa1, 0x61, 0xc4, 1, 0]],
    ['the unused type', [0x81, 0xa1, 0x61, 0xc1]],
    ['NaN', [0x81, 0xa1, 0x61, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]],
    ['a key that is a number', [0x81, 1, 1]],
    ['the key __proto__', [0x81, 0xa9, ...Buffer.from('__proto__'), 0x80]],
    ['the key __proto__ in a longer form', [0x81, 0xd9, 9, ...Buffer.from('__proto__'), 0x80]],
    ['no map', [0x90]],
  ])('a state with %s is refused', (_, state) => {
    expect(decodeClientMessage(rawPresent(state))).toMatchObject({ broken: false, handle: 7, refusal: { code: 'malformed' } })
  })

  it('[P5] nesting is refused at its limit, however deep it goes', () => {
    const nested = (depth: number) => [0x81, 0xa1, 0x61, ...new Array(depth).fill(0x91), 0xc0]
    expect(decodeClientMessage(rawPresent(nested(serverBounds.depth - 1))).ok).toBe(true)
    expect(decodeClientMessage(rawPresent(nested(serverBounds.depth)))).toMatchObject({ refusal: { code: 'malformed' } })
    expect(decodeClientMessage(rawPresent(nested(1_000_000)))).toMatchObject({ refusal: { code: 'malformed' } })
    const nest = (depth: number): unknown => (depth === 0 ? null : [nest(depth - 1)])
    expect(readClientMessage('present', present({ a: nest(serverBounds.depth - 1) })).ok).toBe(true)
    expect(readClientMessage('present', present({ a: nest(serverBounds.depth) })).ok).toBe(false)
    let deep: unknown = 0
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(readClientMessage('present', present({ deep }))).toMatchObject({ refusal: { code: 'malformed' } })
    expect(readClientMessage('submit', submit({ op: deep }))).toMatchObject({ refusal: { code: 'malformed' } })
  })

  it('[P5] a million empty arrays are counted before one is made', () => {
    const bytes = new Uint8Array(1_000_005).fill(0x90)
    bytes.set([0xdd, 0, 0x0f, 0x42, 0x40])
    const frame = Uint8Array.from([0x84, 7, 1, 0xc5, 0x84, 0x3d, ...bytes])
    expect(decodeClientMessage(frame)).toMatchObject({ broken: false, refusal: { code: 'malformed' } })
    const few = { ...serverBounds, values: 100 }
    const op = (length: number) => submit({ op: new Array(length).fill([]) })
    expect(readClientMessage('submit', op(99), few).ok).toBe(true)
    expect(readClientMessage('submit', op(100), few)).toMatchObject({ seq: 12, refusal: { code: 'malformed' } })
  })

  it('[P5] a value with a key counts as eight, in both forms: keys are what a parser spends its time on', () => {
    const few = { ...serverBounds, values: 1 + 8 * 100 }
    const op = (keys: number) => submit({ op: Object.fromEntries(Array.from({ length: keys }, (_, i) => [`key ${i}`, i])) })
    const codeOf = (read: ReturnType<typeof decodeClientMessage>) => (read.ok ? 'ok' : read.refusal.code)
    const binary = (keys: number) => encodeClientFrame(op(keys))
    expect([100, 101].map(keys => codeOf(readClientMessage('submit', op(keys), few)))).toEqual(['ok', 'malformed'])
    expect([100, 101].map(keys => codeOf(decodeClientMessage(binary(keys), few)))).toEqual(['ok', 'malformed'])
  })
})

describe('[W4] a hello is answered in words that every version knows', () => {
  const key = 'c3VwZXItc2VjcmV0LWtleQ'
  const codeOf = (payload: unknown) => {
    const read = readHello(payload)
    return read.ok ? 'ok' : read.refusal.code
  }

  it('a client of another age is told so, whatever else it says', () => {
    expect(codeOf({ protocol: [2, 3], key })).toBe('unsupported-protocol')
    expect(codeOf({ protocol: [2, 3], secret: {} })).toBe('unsupported-protocol')
    expect(codeOf({ protocol: [1, 9], key })).toBe('ok')
    expect(codeOf({ protocol: [3, 2], key })).toBe('unsupported-protocol')
  })

  it.each([
    ['nothing', undefined],
    ['an array', []],
    ['no range', { key }],
    ['a range of one', { protocol: [1], key }],
    ['version 0', { protocol: [0, 1], key }],
    ['a short key', { protocol: [1, 1], key: 'abc' }],
    ['a key with other letters', { protocol: [1, 1], key: `${key.slice(1)}+` }],
  ])('%s is malformed', (_, payload) => {
    expect(codeOf(payload)).toBe('malformed')
  })

  it('eight joins that say all that there is to say are no more values than it may have', () => {
    const position = { epoch: 'an-epoch', version: 7, chain: 'AAAAAAAAAAA' }
    const joins = Array.from({ length: 8 }, (_, i) => ({ doc: `${i}`, type: 'text', position, diverged: true }))
    const full = { protocol: [1, 1], key, token: 'x', joins }
    expect(codeOf(full)).toBe('ok')
    expect(codeOf({ ...full, more: Array(1_024).fill(0) })).toBe('malformed')
  })

  it('a token of nine kilobytes is nobody’s', () => {
    expect(codeOf({ protocol: [1, 1], key, token: 'x'.repeat(9_000) })).toBe('unauthenticated')
  })
})

describe('[W42] a refusal always arrives', () => {
  it('a detail that quotes something long or ill-formed is made presentable', () => {
    const message = {
      kind: 'refused',
      doc: null,
      handle: null,
      seq: null,
      refusal: refusal('malformed', `\ud800${'x'.repeat(5_000)}`),
    } as const
    const [kind, payload] = jsonEvent(message)
    const binary = decodeServerMessage(encodeServerFrame(message))
    expect(binary).toMatchObject({
      ok: true,
      message: { refusal: { code: 'malformed', detail: expect.stringMatching(/^\ufffdx{510}…$/) } },
    })
    expect(readServerMessage(kind, throughText(payload))).toEqual(binary)
  })

  it('the sentence and the advice are those of the table, whatever was sent', () => {
    expect(readRefusal({ code: 'draining', message: 'boo', advice: 'stop', after: 7 })).toEqual(refusal('draining', undefined, 7))
    expect(readRefusal({ code: 'toString' })).toBe(null)
    expect(readRefusal('no')).toBe(null)
  })
})

describe('a caller’s mistake is named', () => {
  it.each([
    ['a lone surrogate', submit({ op: ['\ud800'] }), /lone surrogate/],
    ['a word in a chain’s place', submit({ position: { ...position, chain: 'ä' } }), /chain/],
    ['a date', present({ when: new Date(0) }), /not plain/],
    ['a function', present({ f: () => 0 }), /function/],
    ['infinity', present({ n: Number.POSITIVE_INFINITY }), /Infinity/],
  ])('%s', (_, message, why) => {
    expect(() => encodeClientFrame(message)).toThrow(why)
  })

  it('[W3] commits that do not end where their position says', () => {
    const message: Commits = { kind: 'commits', handle, from: 1, commits: [], position, durable: 0 }
    expect(() => encodeServerFrame(message)).toThrow(/do not end at version 42/)
    const [kind, payload] = jsonEvent(message)
    expect(readServerMessage(kind, payload)).toMatchObject({ ok: false, handle: 7, refusal: { code: 'malformed' } })
  })

  it.each(['x', 'é', '🖋'])('a long document of %s goes as a short one does, and a lone surrogate in it is named', sign => {
    const whole = (value: string) =>
      ({
        kind: 'joined',
        doc: 'd' as DocId,
        handle,
        right: 'read',
        peer: 'p' as PeerId,
        people: 1,
        peers: [],
        durable: 42,
        content: { kind: 'snapshot', position: { epoch, ...position }, value, landed: null, pruned: 0 },
      }) as const
    const long = whole(sign.repeat(5_000))
    expect(decodeServerMessage(encodeServerFrame(long))).toEqual({ ok: true, message: long })
    expect(() => encodeServerFrame(whole(`${sign.repeat(5_000)}\ud800`))).toThrow(/lone surrogate/)
  })

  it('the bytes of a text are counted as UTF-8 has them, and a lone surrogate is found', () => {
    const unit = fc.oneof(
      fc.constantFrom(0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xffff),
      fc.nat(0xffff),
      fc.nat(0x7f),
    )
    const text = fc.array(unit, { maxLength: 12 }).map(units => String.fromCharCode(...units))
    const wellFormed = (said: string): boolean => Buffer.from(said).toString() === said
    const law = fc.property(text, said => utf8Length(said) === (wellFormed(said) ? Buffer.byteLength(said) : -1))
    fc.assert(law, opts)
  })

  it('an undefined property is absent, as in JSON', () => {
    const read = decodeClientMessage(encodeClientFrame(present({ a: undefined, b: 1 })))
    expect(read).toEqual({ ok: true, message: present({ b: 1 }) })
    expect(hexOf(encodeClientFrame(present({})))).toBe('8407010180')
  })
})

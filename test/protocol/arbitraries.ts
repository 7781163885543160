// Random messages that are valid, for the laws of the codec.
// Invariant: whatever is made here, the validators accept; numbers and strings lie at their limits as often as in between.

import fc from 'fast-check'
import type { Json } from '../../src/ot/type.ts'
import { serverBounds } from '../../src/protocol/bounds.ts'
import { errorCodes, refusal } from '../../src/protocol/errors.ts'
import { maxWhole, measure } from '../../src/protocol/fields.ts'
import type {
  AuthorId,
  Chain,
  ClientKey,
  DocId,
  Epoch,
  Handle,
  PeerId,
  Position,
  PositionInEpoch,
} from '../../src/protocol/ids.ts'
import type {
  CatchUp,
  ClientMessage,
  Composed,
  Hello,
  Joined,
  PeerEntry,
  PresenceChange,
  PresenceState,
  ServerMessage,
  User,
  Welcome,
  WireCommit,
} from '../../src/protocol/messages.ts'

export const seed = Number(process.env.SEED ?? 20_261_103)

const lettersOf64 = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_']
const nameOf = (min: number, max: number) =>
  fc.string({ unit: fc.constantFrom(...lettersOf64), minLength: min, maxLength: max, size: 'max' })

const whole = fc.oneof(
  fc.nat({ max: 300 }),
  fc.nat(),
  fc.maxSafeNat().map(n => n % (maxWhole + 1)),
  fc.constantFrom(127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, maxWhole),
)
const positive = whole.map(n => Math.max(1, n))
const role = fc.constantFrom('read' as const, 'write' as const, 'full' as const)
const handle = whole as fc.Arbitrary<Handle>

// ASCII, all planes, and the places where UTF-8 changes its length.
const character = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 1 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '\u007f',
      '\u0080',
      '\u07ff',
      '\u0800',
      '\ud7ff',
      '\ue000',
      '\ufeff',
      '\uffff',
      '\u{10000}',
      '\u{10ffff}',
    ),
  },
)
const textOf = (maxLength: number) => fc.string({ unit: character, maxLength })
const visible = (maxLength: number) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an id has none
  textOf(maxLength).map(text => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '') || 'x')

const author = nameOf(16, 16) as fc.Arbitrary<AuthorId>
const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 16, maxLength: 16 })
const positionInEpoch: fc.Arbitrary<PositionInEpoch> = fc.record({ version: whole, chain: hex as fc.Arbitrary<Chain> })
const position: fc.Arbitrary<Position> = fc.record({
  epoch: nameOf(1, 32) as fc.Arbitrary<Epoch>,
  version: whole,
  chain: hex as fc.Arbitrary<Chain>,
})
const doc = visible(60) as fc.Arbitrary<DocId>

const component = fc.oneof(
  textOf(12),
  textOf(200),
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: -300, max: -1 }),
  fc.constantFrom(31, 32, 4_095, 4_096, 2 ** 31 - 1, -(2 ** 31 - 1)),
)
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(n => (n === 0 ? 0 : n)), // JSON has no negative zero
  fc.constantFrom(
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    -32,
    -33,
    -128,
    -129,
    -(2 ** 31),
    -(2 ** 31) - 1,
    2 ** 53,
  ),
)
const key = textOf(12).map(text => (['__proto__', 'constructor', 'prototype'].includes(text) ? 'key' : text))
const { json } = fc.letrec<{ json: Json }>(tie => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(fc.constant(null), fc.boolean(), number, textOf(40), textOf(300)),
    fc.array(tie('json'), { maxLength: 20 }),
    fc.dictionary(key, tie('json'), { maxKeys: 20, noNullPrototype: true }),
  ),
}))
const op: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: fc.array(component, { maxLength: 8 }) },
  { weight: 1, arbitrary: json },
)
const state = fc.dictionary(key, json, { maxKeys: 5, noNullPrototype: true }) as fc.Arbitrary<PresenceState>
const smallState = state.filter(it => JSON.stringify(it).length < serverBounds.presenceBytes / 4)

const signalName = visible(16)
const smallJson = json.filter(it => JSON.stringify(it).length < serverBounds.signalBytes / 4)

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const present = <T extends object>(record: T): T =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T

const user = fc
  .record({
    id: visible(60),
    name: optional(textOf(60)),
    color: optional(fc.constantFrom('#000000', '#FFffFF', '#0e7490')),
  })
  .map(present) as fc.Arbitrary<User>

const refusals = fc
  .record({ code: fc.constantFrom(...errorCodes), detail: optional(textOf(100)), after: optional(whole) })
  .map(({ code, detail, after }) => refusal(code, detail, after))

const peer = nameOf(1, 64) as fc.Arbitrary<PeerId>
const peerEntry: fc.Arbitrary<PeerEntry> = fc.record({ peer, user, author, version: whole, state: smallState })
const change: fc.Arbitrary<PresenceChange> = fc.oneof(
  peerEntry.map(entry => ({ kind: 'here' as const, ...entry })),
  fc.record({ kind: fc.constant('gone' as const), peer }),
)

// Runs of one author are what the codec shortens.
const commits: fc.Arbitrary<Omit<CatchUp, 'kind'>> = fc
  .record({
    from: whole,
    authors: fc.array(author, { minLength: 1, maxLength: 3 }),
    parts: fc.array(fc.record({ who: fc.nat(), seq: positive, op }), { maxLength: 6 }),
    position,
  })
  .map(({ from, authors, parts, position: at }) => {
    const start = Math.min(from, maxWhole - parts.length)
    return {
      from: start,
      commits: parts.map(({ who, seq, op: edit }): WireCommit => ({ author: authors[who % authors.length]!, seq, op: edit })),
      position: { ...at, version: start + parts.length },
    }
  })

const composed: fc.Arbitrary<Composed> = fc
  .record({
    from: fc.nat(),
    units: fc.array(
      fc.oneof(
        fc.record({ commits: fc.integer({ min: 1, max: 2 ** 40 }), seq: fc.constant(null), op }),
        fc.record({ commits: fc.constant(1), seq: positive, op }),
      ),
      { maxLength: 6 },
    ),
    position,
  })
  .map(({ from, units, position: at }) => ({
    kind: 'composed',
    from,
    units,
    position: { ...at, version: units.reduce((version, unit) => version + unit.commits, from) },
  }))

const content: fc.Arbitrary<Joined['content']> = fc.oneof(
  commits.map(catchUp => ({ kind: 'commits' as const, ...catchUp })),
  composed,
  fc.record({
    kind: fc.constant('snapshot' as const),
    position,
    value: fc.oneof(textOf(2_000), json),
    landed: fc.option(fc.record({ seq: positive, version: whole })),
    pruned: whole,
  }),
)

export const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), doc, type: visible(20), position: fc.option(position) }),
  fc.record({
    kind: fc.constant('join' as const),
    doc,
    type: visible(20),
    position: fc.constant(null),
    diverged: fc.constant(true as const),
  }),
  fc.record({ kind: fc.constant('leave' as const), handle }),
  fc.record({ kind: fc.constant('submit' as const), handle, seq: positive, position: positionInEpoch, op }),
  fc.record({ kind: fc.constant('present' as const), handle, version: whole, state: smallState }),
  fc.record({ kind: fc.constant('signal' as const), handle, name: signalName, payload: smallJson }),
  fc.record({ kind: fc.constant('probe' as const) }),
  fc.record({ kind: fc.constant('authenticate' as const), token: textOf(200) }),
)

export const serverMessage: fc.Arbitrary<ServerMessage | Welcome> = fc.oneof(
  fc.record({
    kind: fc.constant('welcome' as const),
    protocol: positive,
    author,
    user,
    expiresIn: fc.option(whole),
    limits: fc.record({
      messageBytes: whole,
      opComponents: whole,
      documentLength: whole,
      presenceBytes: whole,
      signalBytes: whole,
    }),
    spread: whole,
  }),
  fc.record({
    kind: fc.constant('joined' as const),
    doc,
    handle,
    right: role,
    peer,
    people: whole,
    peers: fc.array(peerEntry, { maxLength: 3 }),
    durable: whole,
    content,
  }),
  fc.record({ handle, commits, durable: fc.option(whole) }).map(({ handle: h, commits: { position: at, ...c }, durable }) => {
    const { version, chain } = at
    return { kind: 'commits' as const, handle: h, ...c, position: { version, chain }, durable: durable ?? version }
  }),
  fc.record({ kind: fc.constant('durable' as const), handle, version: whole }),
  fc.record({ kind: fc.constant('beat' as const), handle, position: positionInEpoch, durable: whole, hash: fc.option(hex) }),
  fc.record({
    kind: fc.constant('presence' as const),
    handle,
    people: whole,
    whole: fc.boolean(),
    changes: fc.array(change, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant('left' as const), handle, refusal: refusals }),
  fc.record({
    kind: fc.constant('refused' as const),
    doc: fc.option(doc),
    handle: fc.option(handle),
    seq: fc.option(positive),
    refusal: refusals,
  }),
  fc.record({ kind: fc.constant('signalled' as const), handle, peer, user, name: signalName, payload: smallJson }),
  fc.record({ kind: fc.constant('alive' as const), spread: whole }),
  fc.record({ kind: fc.constant('right' as const), handle, right: role, pace: whole }),
  fc.record({
    kind: fc.constant('authenticated' as const),
    user,
    expiresIn: fc.option(whole),
  }),
)

/** What a hello may hold eight of. */
const anyJoin = json.filter(it => measure(it, serverBounds, 'it') < 30)

export const hello: fc.Arbitrary<Hello> = fc
  .record({
    protocol: fc.constant([1, 1] as [number, number]),
    key: nameOf(22, 22) as fc.Arbitrary<ClientKey>,
    token: optional(textOf(200)),
    joins: optional(fc.array(anyJoin, { maxLength: 8 })),
  })
  .map(({ token, joins, ...rest }) => ({
    ...rest,
    ...(token === undefined ? {} : { token }),
    ...(joins === undefined ? {} : { joins }),
  }))

export { json as anyJson }

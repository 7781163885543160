// One or more examples of every message, as values: what golden.json is made of and docs/PROTOCOL.md shows.
// Invariant: every kind is here, and the first example of a kind is the one in the document.

import { Text } from '../../src/ot/rope.ts'
import { refusal } from '../../src/protocol/errors.ts'
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
  Version,
} from '../../src/protocol/ids.ts'
import type { ClientMessage, Hello, ServerMessage, User, Welcome } from '../../src/protocol/messages.ts'

const doc = 'meeting-notes' as DocId
const handle = 7 as Handle
const ada = 'Ada0_Lovelace-x1' as AuthorId
const bob = 'Bob0_Bobson-yz23' as AuthorId
const epoch = 'n2Fq8XbW0c-LzR_4' as Epoch
const at = (version: Version, chain: string): Position => ({ epoch, ...here(version, chain) })
const here = (version: Version, chain: string): PositionInEpoch => ({ version, chain: chain as Chain })
const adaUser: User = { id: 'u-17', name: 'Ada', color: '#0e7490' }
const bobUser: User = { id: 'u-23' }
const peerOfAda = 'p6aGq0Zt3kWm-1_x' as PeerId
const peerOfBob = 'p9Xr4_tBv7c-Q2Ls' as PeerId

export interface Example<M> {
  /** Says what is special about it. */
  readonly name: string
  readonly message: M
}

export const hellos: readonly Example<Hello>[] = [
  {
    name: 'with a token',
    message: { protocol: [1, 1], key: 'c3VwZXItc2VjcmV0LWtleQ' as ClientKey, token: 'eyJhbGciOiJFUzI1NiJ9' },
  },
  { name: 'anonymous', message: { protocol: [1, 1], key: 'c3VwZXItc2VjcmV0LWtleQ' as ClientKey } },
  {
    name: 'that asks for a document',
    message: {
      protocol: [1, 1],
      key: 'c3VwZXItc2VjcmV0LWtleQ' as ClientKey,
      joins: [{ doc: 'meeting-notes', type: 'text', position: null }],
    },
  },
]

export const fromClient: readonly Example<ClientMessage>[] = [
  { name: 'at a position', message: { kind: 'join', doc, type: 'text', position: at(41, '5f0e91c2a7b3d486') } },
  { name: 'with nothing', message: { kind: 'join', doc: 'Straße/№ 7' as DocId, type: 'text', position: null } },
  { name: 'with a text that failed the check', message: { kind: 'join', doc, type: 'text', position: null, diverged: true } },
  { name: 'a document', message: { kind: 'leave', handle } },
  { name: 'one key', message: { kind: 'submit', handle, seq: 12, position: here(42, '08d1f36b9c2e7a45'), op: [6, '!'] } },
  {
    name: 'several places and scripts',
    message: {
      kind: 'submit',
      handle,
      seq: 13,
      position: here(300, '08d1f36b9c2e7a45'),
      op: [5, -200, 'naïve 文字 🖋', 70_000, 'x'],
    },
  },
  {
    name: 'an op of another type',
    message: { kind: 'submit', handle, seq: 14, position: here(43, 'c4a2e8906d1b75f3'), op: [{ p: ['title'], od: 0, oi: 1.5 }] },
  },
  { name: 'a caret', message: { kind: 'present', handle, version: 43, state: { cursor: { anchor: 7, head: 7 } } } },
  { name: 'a wave', message: { kind: 'signal', handle, name: 'wave', payload: { to: 'everybody' } } },
  { name: 'nothing any more', message: { kind: 'present', handle, version: 43, state: {} } },
  { name: 'with a fresh token', message: { kind: 'authenticate', token: 'eyJhbGciOiJFUzI1NiJ9' } },
  { name: 'after silence', message: { kind: 'probe' } },
]

export const fromServer: readonly Example<ServerMessage | Welcome>[] = [
  {
    name: 'on connecting',
    message: {
      kind: 'welcome',
      protocol: 1,
      author: ada,
      user: adaUser,
      expiresIn: 3_600_000,
      limits: {
        messageBytes: 1_048_576,
        opComponents: 10_000,
        documentLength: 10_000_000,
        presenceBytes: 4_096,
        signalBytes: 16_384,
      },
      spread: 1_000,
    },
  },
  {
    name: 'whose token has no end',
    message: {
      kind: 'welcome',
      protocol: 1,
      author: bob,
      user: bobUser,
      expiresIn: null,
      limits: {
        messageBytes: 1_048_576,
        opComponents: 10_000,
        documentLength: 10_000_000,
        presenceBytes: 4_096,
        signalBytes: 16_384,
      },
      spread: 1_000,
    },
  },
  {
    name: 'with what was missed',
    message: {
      kind: 'joined',
      doc,
      handle,
      right: 'write',
      peer: peerOfAda,
      people: 2,
      peers: [{ peer: peerOfBob, user: bobUser, author: bob, version: 42, state: { cursor: { anchor: 2, head: 2 } } }],
      durable: 42,
      content: {
        kind: 'commits',
        from: 41,
        commits: [{ author: bob, seq: 3, op: ['Hello '] }],
        position: at(42, '08d1f36b9c2e7a45'),
      },
    },
  },
  {
    name: 'with what was missed in a long time',
    message: {
      kind: 'joined',
      doc,
      handle,
      right: 'write',
      peer: peerOfAda,
      people: 1,
      peers: [],
      durable: 42,
      content: {
        kind: 'composed',
        from: 41,
        units: [
          { commits: 1_200, seq: null, op: ['Hello ', -3] },
          { commits: 1, seq: 12, op: [6, '!'] },
          { commits: 7, seq: null, op: [5, ' world'] },
        ],
        position: at(1_249, '08d1f36b9c2e7a45'),
      },
    },
  },
  {
    name: 'with the whole text',
    message: {
      kind: 'joined',
      doc,
      handle,
      right: 'read',
      peer: peerOfAda,
      people: 1,
      peers: [],
      durable: 40,
      content: {
        kind: 'snapshot',
        position: at(42, '08d1f36b9c2e7a45'),
        value: 'Hello world',
        landed: { seq: 11, version: 40 },
        pruned: 0,
      },
    },
  },
  {
    name: 'with a snapshot of another type',
    message: {
      kind: 'joined',
      doc,
      handle,
      right: 'write',
      peer: peerOfAda,
      people: 1,
      peers: [],
      durable: 0,
      content: {
        kind: 'snapshot',
        position: at(0, '0000000000000000'),
        value: { title: [], done: false },
        landed: null,
        pruned: 0,
      },
    },
  },
  {
    name: 'one key',
    message: {
      kind: 'commits',
      handle,
      from: 42,
      commits: [{ author: ada, seq: 12, op: [6, '!'] }],
      position: here(43, 'c4a2e8906d1b75f3'),
      durable: 42,
    },
  },
  {
    name: 'of two authors',
    message: {
      kind: 'commits',
      handle,
      from: 43,
      commits: [
        { author: bob, seq: 4, op: [-6] },
        { author: bob, seq: 5, op: ['Good day, '] },
        { author: ada, seq: 13, op: [10, 'dear '] },
      ],
      position: here(46, 'd93b5e17f0a8264c'),
      durable: 46,
    },
  },
  { name: 'up to a version', message: { kind: 'durable', handle, version: 46 } },
  {
    name: 'of a quiet document',
    message: { kind: 'beat', handle, position: here(46, 'd93b5e17f0a8264c'), durable: 46, hash: Text.of('Hello world').hash },
  },
  {
    name: 'of a type without a hash',
    message: { kind: 'beat', handle, position: here(46, 'd93b5e17f0a8264c'), durable: 40, hash: null },
  },
  {
    name: 'one moves, one goes',
    message: {
      kind: 'presence',
      handle,
      people: 1,
      whole: false,
      changes: [
        { kind: 'here', peer: peerOfAda, user: adaUser, author: ada, version: 46, state: { cursor: { anchor: 3, head: 9 } } },
        { kind: 'gone', peer: peerOfBob },
      ],
    },
  },
  {
    name: 'everybody, after a pause',
    message: {
      kind: 'presence',
      handle,
      people: 140,
      whole: true,
      changes: [{ kind: 'here', peer: peerOfBob, user: bobUser, author: bob, version: 46, state: {} }],
    },
  },
  { name: 'a right is withdrawn', message: { kind: 'left', handle, refusal: refusal('forbidden') } },
  {
    name: 'a submission',
    message: {
      kind: 'refused',
      doc,
      handle,
      seq: 15,
      refusal: refusal('bad-op', 'op of base length 40 on a text of 39'),
    },
  },
  {
    name: 'of everything',
    message: { kind: 'refused', doc: null, handle: null, seq: null, refusal: refusal('slow-down', undefined, 1_500) },
  },
  {
    name: 'a wave',
    message: { kind: 'signalled', handle, peer: peerOfAda, user: adaUser, name: 'wave', payload: { to: 'everybody' } },
  },
  { name: 'of two thousand', message: { kind: 'alive', spread: 4_100 } },
  { name: 'only to read any more', message: { kind: 'right', handle, right: 'read', pace: 0 } },
  { name: 'to write again, less often', message: { kind: 'right', handle, right: 'write', pace: 450 } },
  { name: 'to read until there is room', message: { kind: 'right', handle, right: 'full', pace: 900 } },
  { name: 'for another hour', message: { kind: 'authenticated', user: adaUser, expiresIn: 3_600_000 } },
]

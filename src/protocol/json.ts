// The JSON form of every message: the event is named by the message's kind, its payload is the message without it.
//
//   jsonEvent(message): [kind, payload]
//   readClientMessage(kind, payload, bounds?): Read<ClientMessage>
//   readServerMessage(kind, payload, bounds?): Read<ServerMessage | Welcome>
//   readHello(payload, bounds?, versions?): Read<Hello>      the payload of Socket.IO's CONNECT, in either form of the protocol
//   readRefusal(payload): Refusal | null                     `data` of Socket.IO's CONNECT_ERROR
//
// Invariant: a message is made anew from own properties that passed the checks of fields.ts; unknown properties are left out, not
// refused, so that a client in another language may send its own besides ours.

import type { Json } from '../ot/type.ts'
import { type Bounds, clientBounds, helloValues, joinsAhead, serverBounds } from './bounds.ts'
import { type Refusal, refusal } from './errors.ts'
import {
  type About,
  authorOf,
  broken,
  chainOf,
  colorOf,
  commitsIn,
  detailOf,
  docId,
  endsAt,
  epochOf,
  errorCodeOf,
  glimpse,
  handleOf,
  hashOf,
  isWellFormed,
  jsonOf,
  keyOf,
  measure,
  opOf,
  peerOf,
  positive,
  presentable,
  type Read,
  refuse,
  signalName,
  signalPayload,
  tokenOf,
  typeName,
  unreadable,
  userId,
  userName,
  whole,
} from './fields.ts'
import type { Position, PositionInEpoch } from './ids.ts'
import type {
  ClientMessage,
  Composed,
  ComposedUnit,
  Hello,
  Joined,
  PeerEntry,
  PresenceChange,
  PresenceState,
  Role,
  ServerMessage,
  Snapshot,
  User,
  Welcome,
  WireCommit,
} from './messages.ts'
import { negotiate, type ProtocolVersions, protocolVersions } from './version.ts'

/** The name and the payload with which a message travels as a plain event. */
export const jsonEvent = (
  message: ClientMessage | ServerMessage | Welcome,
): [kind: string, payload: { readonly [key: string]: unknown }] => {
  const { kind, ...payload } = message
  return [kind, 'refusal' in payload ? { ...payload, refusal: presentable(payload.refusal) } : payload]
}

// ---- parts

type Fields = { readonly [key: string]: unknown }

/** Own properties only: `own({}, 'constructor')` is undefined. */
const own = (fields: Fields, key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined)

const fieldsOf = (value: unknown, what: string): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : refuse('malformed', `${what} must be an object, not ${glimpse(value)}`)

const listOf = (value: unknown, what: string, bounds: Bounds): readonly unknown[] => {
  if (!Array.isArray(value)) return refuse('malformed', `${what} must be an array, not ${glimpse(value)}`)
  return value.length <= bounds.messageBytes ? value : refuse('malformed', `${what} has ${value.length} items`)
}

const yesOrNo = (value: unknown, what: string): boolean =>
  typeof value === 'boolean' ? value : refuse('malformed', `${what} must be true or false, not ${glimpse(value)}`)

const positionInEpochOf = (value: unknown): PositionInEpoch => {
  const fields = fieldsOf(value, 'position')
  return { version: whole(own(fields, 'version'), 'version'), chain: chainOf(own(fields, 'chain')) }
}

const positionOf = (value: unknown): Position => {
  const fields = fieldsOf(value, 'position')
  return { epoch: epochOf(own(fields, 'epoch')), ...positionInEpochOf(fields) }
}

const userOf = (value: unknown): User => {
  const fields = fieldsOf(value, 'user')
  const name = own(fields, 'name')
  const color = own(fields, 'color')
  return {
    id: userId(own(fields, 'id')),
    ...(name === undefined ? {} : { name: userName(name) }),
    ...(color === undefined ? {} : { color: colorOf(color) }),
  }
}

const stateOf = (value: unknown, bounds: Bounds): PresenceState => {
  const state = fieldsOf(value, 'presence state') as PresenceState
  const size = measure(state, bounds, 'presence state')
  if (size > bounds.presenceBytes)
    refuse('presence-too-large', `the state has ${size} bytes, the limit is ${bounds.presenceBytes}`)
  return state
}

const saidIn = (fields: Fields, bounds: Bounds): { name: string; payload: Json } => {
  const name = signalName(own(fields, 'name'))
  const payload = own(fields, 'payload')
  const size = measure(payload, bounds, 'the payload of the signal')
  return { name, payload: signalPayload(payload as Json, size, bounds) }
}

const peerEntryOf = (value: unknown, bounds: Bounds): PeerEntry => {
  const fields = fieldsOf(value, 'a peer')
  return {
    peer: peerOf(own(fields, 'peer')),
    user: userOf(own(fields, 'user')),
    author: authorOf(own(fields, 'author')),
    version: whole(own(fields, 'version'), 'version'),
    state: stateOf(own(fields, 'state'), bounds),
  }
}

const changeOf = (value: unknown, bounds: Bounds): PresenceChange => {
  const fields = fieldsOf(value, 'a change')
  const kind = own(fields, 'kind')
  if (kind === 'gone') return { kind, peer: peerOf(own(fields, 'peer')) }
  if (kind !== 'here') return refuse('malformed', `a change must be 'here' or 'gone', not ${glimpse(kind)}`)
  return { kind, ...peerEntryOf(fields, bounds) }
}

const commitOf = (value: unknown, bounds: Bounds): WireCommit => {
  const fields = fieldsOf(value, 'a commit')
  return {
    author: authorOf(own(fields, 'author')),
    seq: positive(own(fields, 'seq'), 'seq'),
    op: opOf(own(fields, 'op'), bounds),
  }
}

const commitsOf = <P extends PositionInEpoch>(fields: Fields, bounds: Bounds, position: (value: unknown) => P) => {
  const from = whole(own(fields, 'from'), 'from')
  const commits = listOf(own(fields, 'commits'), 'commits', bounds).map(commit => commitOf(commit, bounds))
  return { from, commits, position: endsAt(position(own(fields, 'position')), from, commits.length) }
}

const snapshotOf = (fields: Fields, bounds: Bounds): Snapshot => {
  const value = own(fields, 'value')
  if (typeof value === 'string' && !isWellFormed(value)) return refuse('malformed', 'the text has a lone surrogate')
  const landed = own(fields, 'landed')
  const row = landed === null ? null : fieldsOf(landed, 'landed')
  return {
    kind: 'snapshot',
    position: positionOf(own(fields, 'position')),
    value: typeof value === 'string' ? value : jsonOf(value, bounds, 'the snapshot'),
    landed: row && { seq: positive(own(row, 'seq'), 'seq'), version: whole(own(row, 'version'), 'version') },
    pruned: whole(own(fields, 'pruned'), 'pruned'),
  }
}

const unitOf = (value: unknown, bounds: Bounds): ComposedUnit => {
  const fields = fieldsOf(value, 'a unit')
  const commits = positive(own(fields, 'commits'), 'commits')
  const seq = own(fields, 'seq')
  const op = opOf(own(fields, 'op'), bounds)
  if (seq === null) return { commits, seq, op }
  return commits === 1 ? { commits, seq: positive(seq, 'seq'), op } : refuse('malformed', `a unit of seq has ${commits} commits`)
}

const composedOf = (fields: Fields, bounds: Bounds): Composed => {
  const from = whole(own(fields, 'from'), 'from')
  const units = listOf(own(fields, 'units'), 'units', bounds).map(unit => unitOf(unit, bounds))
  return { kind: 'composed', from, units, position: endsAt(positionOf(own(fields, 'position')), from, commitsIn(units)) }
}

const contentOf = (value: unknown, bounds: Bounds): Joined['content'] => {
  const fields = fieldsOf(value, 'content')
  const kind = own(fields, 'kind')
  if (kind === 'commits') return { kind, ...commitsOf(fields, bounds, positionOf) }
  if (kind === 'composed') return composedOf(fields, bounds)
  return kind === 'snapshot'
    ? snapshotOf(fields, bounds)
    : refuse('malformed', `content must be commits, composed or a snapshot, not ${glimpse(kind)}`)
}

const rightOf = (fields: Fields): Role => {
  const right = own(fields, 'right')
  return right === 'read' || right === 'write' || right === 'full'
    ? right
    : refuse('malformed', `right must be read, write or full, not ${glimpse(right)}`)
}

const expiryOf = (fields: Fields): number | null => {
  const expiresIn = own(fields, 'expiresIn')
  return expiresIn === null ? null : whole(expiresIn, 'expiresIn')
}

const refusalOf = (value: unknown): Refusal => {
  const fields = fieldsOf(value, 'refusal')
  const code = errorCodeOf(own(fields, 'code'))
  const detail = own(fields, 'detail')
  const after = own(fields, 'after')
  return refusal(
    code,
    detail === undefined ? undefined : detailOf(detail),
    after === undefined ? undefined : whole(after, 'after'),
  )
}

// ---- messages

const readClient = (kind: string, fields: Fields, bounds: Bounds, about: About): ClientMessage => {
  switch (kind) {
    case 'join': {
      const doc = (about.doc = docId(own(fields, 'doc')))
      const type = typeName(own(fields, 'type'))
      const position = own(fields, 'position')
      if (position !== null) return { kind, doc, type, position: positionOf(position) }
      return { kind, doc, type, position, ...(own(fields, 'diverged') === true ? { diverged: true } : {}) }
    }
    case 'leave':
      return { kind, handle: (about.handle = handleOf(own(fields, 'handle'))) }
    case 'submit': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      const seq = (about.seq = positive(own(fields, 'seq'), 'seq'))
      const position = positionInEpochOf(own(fields, 'position'))
      return { kind, handle, seq, position, op: opOf(own(fields, 'op'), bounds) }
    }
    case 'present': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      const version = whole(own(fields, 'version'), 'version')
      return { kind, handle, version, state: stateOf(own(fields, 'state'), bounds) }
    }
    case 'signal':
      return { kind, handle: (about.handle = handleOf(own(fields, 'handle'))), ...saidIn(fields, bounds) }
    case 'probe':
      return { kind }
    case 'authenticate':
      return { kind, token: tokenOf(own(fields, 'token'), bounds) }
    default:
      return broken(`no message of a client is called ${glimpse(kind)}`)
  }
}

const readServer = (kind: string, fields: Fields, bounds: Bounds, about: About): ServerMessage | Welcome => {
  switch (kind) {
    case 'welcome': {
      const limits = fieldsOf(own(fields, 'limits'), 'limits')
      return {
        kind,
        protocol: positive(own(fields, 'protocol'), 'protocol'),
        author: authorOf(own(fields, 'author')),
        user: userOf(own(fields, 'user')),
        expiresIn: expiryOf(fields),
        limits: {
          messageBytes: whole(own(limits, 'messageBytes'), 'messageBytes'),
          opComponents: whole(own(limits, 'opComponents'), 'opComponents'),
          documentLength: whole(own(limits, 'documentLength'), 'documentLength'),
          presenceBytes: whole(own(limits, 'presenceBytes'), 'presenceBytes'),
          signalBytes: whole(own(limits, 'signalBytes'), 'signalBytes'),
        },
        spread: whole(own(fields, 'spread'), 'spread'),
      }
    }
    case 'joined': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      const doc = (about.doc = docId(own(fields, 'doc')))
      return {
        kind,
        doc,
        handle,
        right: rightOf(fields),
        peer: peerOf(own(fields, 'peer')),
        people: whole(own(fields, 'people'), 'people'),
        peers: listOf(own(fields, 'peers'), 'peers', bounds).map(peer => peerEntryOf(peer, bounds)),
        durable: whole(own(fields, 'durable'), 'durable'),
        content: contentOf(own(fields, 'content'), bounds),
      }
    }
    case 'commits': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      return { kind, handle, ...commitsOf(fields, bounds, positionInEpochOf), durable: whole(own(fields, 'durable'), 'durable') }
    }
    case 'durable':
      return { kind, handle: (about.handle = handleOf(own(fields, 'handle'))), version: whole(own(fields, 'version'), 'version') }
    case 'beat': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      const hash = own(fields, 'hash')
      return {
        kind,
        handle,
        position: positionInEpochOf(own(fields, 'position')),
        durable: whole(own(fields, 'durable'), 'durable'),
        hash: hash === null ? null : hashOf(hash),
      }
    }
    case 'presence': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      return {
        kind,
        handle,
        people: whole(own(fields, 'people'), 'people'),
        whole: yesOrNo(own(fields, 'whole'), 'whole'),
        changes: listOf(own(fields, 'changes'), 'changes', bounds).map(change => changeOf(change, bounds)),
      }
    }
    case 'left':
      return { kind, handle: (about.handle = handleOf(own(fields, 'handle'))), refusal: refusalOf(own(fields, 'refusal')) }
    case 'refused': {
      const doc = own(fields, 'doc')
      const handle = own(fields, 'handle')
      const seq = own(fields, 'seq')
      return {
        kind,
        doc: doc === null ? null : docId(doc),
        handle: handle === null ? null : handleOf(handle),
        seq: seq === null ? null : positive(seq, 'seq'),
        refusal: refusalOf(own(fields, 'refusal')),
      }
    }
    case 'signalled': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      return { kind, handle, peer: peerOf(own(fields, 'peer')), user: userOf(own(fields, 'user')), ...saidIn(fields, bounds) }
    }
    case 'alive':
      return { kind, spread: whole(own(fields, 'spread'), 'spread') }
    case 'right': {
      const handle = (about.handle = handleOf(own(fields, 'handle')))
      return { kind, handle, right: rightOf(fields), pace: whole(own(fields, 'pace'), 'pace') }
    }
    case 'authenticated':
      return { kind, user: userOf(own(fields, 'user')), expiresIn: expiryOf(fields) }
    default:
      return broken(`no message of a server is called ${glimpse(kind)}`)
  }
}

const read =
  <M>(readKind: (kind: string, fields: Fields, bounds: Bounds, about: About) => M, usual: Bounds) =>
  (kind: string, payload: unknown, bounds: Bounds = usual): Read<M> => {
    const about: About = { doc: null, handle: null, seq: null }
    try {
      return { ok: true, message: readKind(kind, fieldsOf(payload, 'the payload'), bounds, about) }
    } catch (fault) {
      return unreadable(fault, about)
    }
  }

export const readClientMessage = /* @__PURE__ */ read(readClient, serverBounds)
export const readServerMessage = /* @__PURE__ */ read(readServer, clientBounds)

/**
 * What a client says on connecting. The versions are looked at first, so that a client of another age, whose other fields may
 * differ, is told `unsupported-protocol`. Where this is ok, `negotiate(hello.protocol)` is a number.
 */
export const readHello = (
  payload: unknown,
  bounds: Bounds = serverBounds,
  versions: ProtocolVersions = protocolVersions,
): Read<Hello> => {
  const nothing: About = { doc: null, handle: null, seq: null }
  try {
    const fields = fieldsOf(payload, 'the payload of CONNECT')
    const protocol = own(fields, 'protocol')
    if (!Array.isArray(protocol) || protocol.length !== 2)
      return refuse('malformed', `protocol must be [lowest, highest], not ${glimpse(protocol)}`)
    const range = [positive(protocol[0], 'the lowest version'), positive(protocol[1], 'the highest version')] as const
    const agreed = negotiate(range, versions)
    if (typeof agreed !== 'number') return { ok: false, refusal: agreed, broken: false, ...nothing }
    measure(payload, { ...bounds, values: helloValues }, 'the payload of CONNECT', true)
    const token = own(fields, 'token')
    const joins = own(fields, 'joins')
    if (joins !== undefined && !(Array.isArray(joins) && joins.length <= joinsAhead))
      return refuse('malformed', `joins must be a list of at most ${joinsAhead}`)
    const message: Hello = {
      protocol: range,
      key: keyOf(own(fields, 'key')),
      ...(token === undefined ? {} : { token: tokenOf(token, bounds) }),
      ...(joins === undefined ? {} : { joins }),
    }
    return { ok: true, message }
  } catch (fault) {
    return unreadable(fault, nothing)
  }
}

/** The refusal with which a server answered CONNECT; null when it is none of ours (a proxy's, another server's). */
export const readRefusal = (payload: unknown): Refusal | null => {
  try {
    return refusalOf(payload)
  } catch {
    // Whatever else it is, it is not a row of the table; the caller has the text of the error itself.
    return null
  }
}

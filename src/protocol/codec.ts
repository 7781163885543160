// The binary form of every message: a frame to a message or a refusal, and back.
//
//   encodeClientFrame(message, id?): Uint8Array     decodeClientMessage(frame, bounds?): Read<ClientMessage>
//   encodeServerFrame(message, id?): Uint8Array     decodeServerMessage(frame, bounds?, listener?): Read<ServerMessage | Welcome>
//   encodeCommitsFrame(message, told): Uint8Array
//
// encodeServerFrame(message) gives the very bytes of socket.emit(message.kind, message) under our parser: encode once, then
// socket.conn.send(frame, { compress: false }) to everyone in the default namespace. encodeCommitsFrame names by numbers the authors
// whom all of these readers have been told in the frames of this document before; a reader keeps them in `listener`.
//
// Invariant: decoding never throws, and what it gives passes the validator of json.ts; encoding throws on what is not of its type.

import type { Json } from '../ot/type.ts'
import { type Listener, type Numbers, readAuthor, readNumbered, Told, writeAuthor, writeNumbered } from './authors.ts'
import { type Bounds, clientBounds, serverBounds } from './bounds.ts'
import { Reader, Writer } from './bytes.ts'
import { type Refusal, refusal } from './errors.ts'
import {
  type About,
  broken,
  chainOf,
  colorOf,
  commitsIn,
  detailLength,
  detailOf,
  docId,
  docIdBytes,
  endsAt,
  epochLength,
  epochOf,
  errorCodeOf,
  handleOf,
  hashOf,
  isCompactOp,
  isWellFormed,
  maxComponent,
  peerLength,
  peerOf,
  positive,
  presentable,
  type Read,
  refuse,
  signalName,
  signalNameBytes,
  signalPayload,
  tokenOf,
  typeName,
  typeNameBytes,
  unreadable,
  userId,
  userName,
  userTextLength,
  whole,
} from './fields.ts'
import { readHead, writeMessageHead } from './frame.ts'
import type { AuthorId, Chain, Epoch, Position, PositionInEpoch, Version } from './ids.ts'
import type {
  ClientMessage,
  Commits,
  Composed,
  ComposedUnit,
  Joined,
  PeerEntry,
  PresenceChange,
  PresenceState,
  Role,
  ServerMessage,
  User,
  Welcome,
  WireCommit,
} from './messages.ts'
import { readJson, writeJson } from './pack.ts'
import { unreachable } from './unreachable.ts'

// Exists wherever JavaScript runs, but in no ECMAScript library: this is the part used here.
declare const TextEncoder: new () => { encode(text: string): Uint8Array }

/** The number of each message on the wire; below 16 from the client, the rest from the server. All fit into five bits. */
export const opcodes = {
  join: 1,
  leave: 2,
  submit: 3,
  present: 4,
  signal: 5,
  authenticate: 6,
  probe: 7,
  welcome: 16,
  joined: 17,
  commits: 18,
  durable: 19,
  beat: 20,
  presence: 21,
  left: 22,
  refused: 23,
  signalled: 24,
  right: 25,
  authenticated: 26,
  alive: 27,
} as const

// ---- parts

const writePosition = (w: Writer, position: Position): void => {
  w.varint(whole(position.version, 'version'))
  writePlace(w, position)
}

// Epoch and chain: a position whose version follows from its surroundings.
const writePlace = (w: Writer, position: Position): void => {
  const { epoch } = position
  epochOf(epoch)
  w.byte(epoch.length)
  w.packed(epoch)
  writeChain(w, position)
}

const readPosition = (r: Reader): Position => readPlace(r, r.whole('version'))

const readPlace = (r: Reader, version: Version): Position => {
  const epoch = readName(r, 'epoch', epochLength) as Epoch
  return { epoch, ...readChain(r, version) }
}

// Of a position in the document that one is in, the epoch is known.
const writeChain = (w: Writer, { chain }: PositionInEpoch): void => w.hex(chainOf(chain))
const readChain = (r: Reader, version: Version): PositionInEpoch => ({ version, chain: r.hex(8, 'chain') as Chain })

/** One byte, for what has so many forms. */
const oneOf = (r: Reader, max: number): number => {
  const value = r.byte()
  return value <= max ? value : broken(`${value} above ${max}`)
}

const readName = (r: Reader, what: string, max: number): string => {
  const length = r.byte()
  if (length === 0 || length > max) return refuse('malformed', `${what} has ${length} characters`)
  return r.packed(length, what)
}

const writeUser = (w: Writer, user: User): void => {
  w.byte((user.name === undefined ? 0 : 1) | (user.color === undefined ? 0 : 2))
  w.text(userId(user.id), 'user id')
  if (user.name !== undefined) w.text(userName(user.name), 'user name')
  if (user.color !== undefined) w.text(colorOf(user.color), 'color')
}

const readUser = (r: Reader): User => {
  const flags = oneOf(r, 3)
  const id = userId(r.text('user id', 4 * userTextLength))
  const name = flags & 1 ? userName(r.text('user name', 4 * userTextLength)) : undefined
  const color = flags & 2 ? colorOf(r.text('color', 7)) : undefined
  return { id, ...(name === undefined ? {} : { name }), ...(color === undefined ? {} : { color }) }
}

// Milliseconds until the token's end, plus one; 0: it has none.
const writeExpiry = (w: Writer, expiresIn: number | null): void =>
  w.varint(expiresIn === null ? 0 : whole(expiresIn, 'expiresIn') + 1)

const readExpiry = (r: Reader): number | null => {
  const word = r.varint()
  return word === 0 ? null : whole(word - 1, 'expiresIn')
}

// An op: 0 and a JSON value, or the number of components plus one and each of them. A component is 4n + 0 for a retain of n,
// 4n + 1 for a delete of n, 4n + 2 and n bytes of UTF-8 for an insert.
const writeOp = (w: Writer, op: Json): void => {
  if (!isCompactOp(op)) {
    w.byte(0)
    writeJson(w, op, clientBounds, 'op')
    return
  }
  w.varint(op.length + 1)
  for (let i = 0; i < op.length; i++) {
    const part = op[i]!
    if (typeof part === 'string') w.text(part, 'an insert', 2)
    else w.varint(part > 0 ? 4 * part : -4 * part + 1)
  }
}

const readOp = (r: Reader, bounds: Bounds): Json => {
  const head = r.varint()
  if (head === 0) {
    const { value } = readJson(r, bounds, 'op')
    if (Array.isArray(value) && value.length > bounds.opComponents) tooManyComponents(value.length, bounds)
    return value
  }
  const count = head - 1
  if (count > r.left) broken(`${count} components declared, ${r.left} bytes left`)
  if (count > bounds.opComponents) tooManyComponents(count, bounds)
  const op: (number | string)[] = []
  for (let i = 0; i < count; i++) {
    const word = r.varint()
    const kind = word % 4
    const n = (word - kind) / 4
    if (kind === 2) op.push(r.utf8(n, 'an insert'))
    else if (n === 0 || n > maxComponent || kind === 3) broken(`component ${word} of an op`)
    else op.push(kind === 0 ? n : -n)
  }
  return op
}

const tooManyComponents = (count: number, bounds: Bounds): never =>
  refuse('op-too-large', `the op has ${count} components, the limit is ${bounds.opComponents}`)

// Commits: seq doubled, plus one when the author is that of the commit before; then the author unless so; then the op.
const writeCommits = (w: Writer, from: Version, commits: readonly WireCommit[], durable: boolean, told: Told): void => {
  w.varint(whole(from, 'from'))
  // Four times the number; two more when all of them are durable, and one when somebody is told for the first time: whoever knows
  // these commits from elsewhere may skip the rest.
  w.varint(4 * commits.length + (durable ? 2 : 0) + (isTold(commits, told) ? 0 : 1))
  let before = ''
  for (const { author, seq, op } of commits) {
    const same = author === before
    w.varint(2 * positive(seq, 'seq') + (same ? 1 : 0))
    if (!same) writeNumbered(w, author, told)
    before = author
    writeOp(w, op)
  }
}

const isTold = (commits: readonly WireCommit[], told: Told): boolean => {
  for (const { author } of commits) if (told.numberOf(author) === undefined) return false
  return true
}

const readCommits = (
  r: Reader,
  bounds: Bounds,
  numbers: Numbers,
): { readonly from: Version; readonly commits: WireCommit[]; readonly durable: boolean } => {
  const from = r.whole('from')
  const word = r.count(0.5, 'commits')
  const count = word >> 2
  whole(from + count, 'version')
  const commits: WireCommit[] = []
  let author: AuthorId | null = null
  for (let i = 0; i < count; i++) {
    const word = r.varint()
    const same = word % 2 === 1
    const seq = positive(Math.floor(word / 2), 'seq')
    if (!same) author = readNumbered(r, numbers)
    if (author === null) return broken('no author')
    commits.push({ author, seq, op: readOp(r, bounds) })
  }
  return { from, commits, durable: (word & 2) > 0 }
}

const writeState = (w: Writer, state: PresenceState): void => writeJson(w, stateShape(state), clientBounds, 'presence state')

const stateShape = (state: Json): PresenceState =>
  typeof state === 'object' && state !== null && !Array.isArray(state)
    ? (state as PresenceState)
    : refuse('malformed', 'a presence state must be an object')

const readState = (r: Reader, bounds: Bounds): PresenceState => {
  const { value, size } = readJson(r, bounds, 'presence state')
  if (size > bounds.presenceBytes)
    refuse('presence-too-large', `the state has ${size} bytes, the limit is ${bounds.presenceBytes}`)
  return stateShape(value)
}

const writeSaid = (w: Writer, name: string, payload: Json): void => {
  w.text(signalName(name), 'the name of the signal')
  writeJson(w, payload, clientBounds, 'the payload of the signal')
}

const readSaid = (r: Reader, bounds: Bounds): { name: string; payload: Json } => {
  const name = signalName(r.text('the name of the signal', signalNameBytes))
  const { value, size } = readJson(r, bounds, 'the payload of the signal')
  return { name, payload: signalPayload(value, size, bounds) }
}

const writePeerName = (w: Writer, peer: string): void => {
  w.byte(peerOf(peer).length)
  w.packed(peer)
}

const readPeerName = (r: Reader) => peerOf(readName(r, 'peer', peerLength))

const writePeer = (w: Writer, { peer, user, author, version, state }: PeerEntry): void => {
  writePeerName(w, peer)
  writeUser(w, user)
  writeAuthor(w, author)
  w.varint(whole(version, 'version'))
  writeState(w, state)
}

const readPeer = (r: Reader, bounds: Bounds): PeerEntry => ({
  peer: readPeerName(r),
  user: readUser(r),
  author: readAuthor(r),
  version: r.whole('version'),
  state: readState(r, bounds),
})

// The sentence and the advice belong to the code: only the code travels.
const writeRefusal = (w: Writer, given: Refusal): void => {
  const { code, detail, after } = presentable(given)
  w.byte((detail === undefined ? 0 : 1) | (after === undefined ? 0 : 2))
  w.text(errorCodeOf(code), 'error code')
  if (detail !== undefined) w.text(detail, 'detail')
  if (after !== undefined) w.varint(whole(after, 'after'))
}

const readRefusal = (r: Reader): Refusal => {
  const flags = oneOf(r, 3)
  const code = errorCodeOf(r.text('error code', 64))
  const detail = flags & 1 ? detailOf(r.text('detail', 4 * detailLength)) : undefined
  const after = flags & 2 ? r.whole('after') : undefined
  return refusal(code, detail, after)
}

// ---- messages

const writeClient = (w: Writer, message: ClientMessage): void => {
  switch (message.kind) {
    case 'join':
      w.text(docId(message.doc), 'document id')
      w.text(typeName(message.type), 'document type')
      if (message.position === null) return w.byte(message.diverged ? 2 : 0)
      w.byte(1)
      return writePosition(w, message.position)
    case 'leave':
      return w.varint(handleOf(message.handle))
    case 'submit':
      w.varint(handleOf(message.handle))
      w.varint(positive(message.seq, 'seq'))
      w.varint(whole(message.position.version, 'version'))
      writeChain(w, message.position)
      return writeOp(w, message.op)
    case 'present':
      w.varint(handleOf(message.handle))
      w.varint(whole(message.version, 'version'))
      return writeState(w, message.state)
    case 'signal':
      w.varint(handleOf(message.handle))
      return writeSaid(w, message.name, message.payload)
    case 'probe':
      return
    case 'authenticate':
      return w.text(tokenOf(message.token, clientBounds), 'token')
    default:
      return unreachable(message)
  }
}

const readClient = (r: Reader, opcode: number, bounds: Bounds, about: About): ClientMessage => {
  switch (opcode) {
    case opcodes.join: {
      const doc = (about.doc = docId(r.text('document id', docIdBytes, 'bad-document-id')))
      const type = typeName(r.text('document type', typeNameBytes))
      const known = oneOf(r, 2)
      const position = known === 1 ? readPosition(r) : null
      return { kind: 'join', doc, type, position, ...(known === 2 ? { diverged: true } : {}) }
    }
    case opcodes.leave:
      return { kind: 'leave', handle: (about.handle = handleOf(r.varint())) }
    case opcodes.submit: {
      const handle = (about.handle = handleOf(r.varint()))
      const seq = (about.seq = positive(r.varint(), 'seq'))
      const position = readChain(r, r.whole('version'))
      return { kind: 'submit', handle, seq, position, op: readOp(r, bounds) }
    }
    case opcodes.present: {
      const handle = (about.handle = handleOf(r.varint()))
      const version = r.whole('version')
      return { kind: 'present', handle, version, state: readState(r, bounds) }
    }
    case opcodes.signal: {
      const handle = (about.handle = handleOf(r.varint()))
      return { kind: 'signal', handle, ...readSaid(r, bounds) }
    }
    case opcodes.probe:
      return { kind: 'probe' }
    case opcodes.authenticate:
      return { kind: 'authenticate', token: tokenOf(r.text('token', bounds.tokenBytes, 'unauthenticated'), bounds) }
    default:
      return broken(`no message of a client has the opcode ${opcode}`)
  }
}

const flag = (r: Reader): boolean => oneOf(r, 1) === 1

const roles: readonly Role[] = ['read', 'write', 'full']

const readRole = (r: Reader): Role => roles[oneOf(r, 2)]!

const writeJoined = (w: Writer, message: Joined, apart: number | null): void => {
  w.varint(handleOf(message.handle))
  w.text(docId(message.doc), 'document id')
  w.byte(roles.indexOf(message.right))
  writePeerName(w, message.peer)
  w.varint(whole(message.people, 'people'))
  w.varint(message.peers.length)
  for (const peer of message.peers) writePeer(w, peer)
  w.varint(whole(message.durable, 'durable'))
  writeContent(w, message.content, apart)
}

const writeCommitsMessage = (w: Writer, { handle, from, commits, position, durable }: Commits, told: Told): void => {
  const lag = position.version - whole(durable, 'durable')
  w.varint(handleOf(handle))
  writeCommits(w, from, commits, lag === 0, told)
  writeChain(w, endsAt(position, from, commits.length))
  if (lag !== 0) w.signed(lag)
}

const writeServer = (w: Writer, message: ServerMessage | Welcome): void => {
  switch (message.kind) {
    case 'welcome': {
      w.varint(positive(message.protocol, 'protocol'))
      writeAuthor(w, message.author)
      writeUser(w, message.user)
      writeExpiry(w, message.expiresIn)
      const { messageBytes, opComponents, documentLength, presenceBytes, signalBytes } = message.limits
      w.varint(whole(messageBytes, 'messageBytes'))
      w.varint(whole(opComponents, 'opComponents'))
      w.varint(whole(documentLength, 'documentLength'))
      w.varint(whole(presenceBytes, 'presenceBytes'))
      w.varint(whole(signalBytes, 'signalBytes'))
      return w.varint(whole(message.spread, 'spread'))
    }
    case 'joined':
      return writeJoined(w, message, null)
    case 'commits':
      return writeCommitsMessage(w, message, new Told())
    case 'durable':
      w.varint(handleOf(message.handle))
      return w.varint(whole(message.version, 'version'))
    case 'beat':
      w.varint(handleOf(message.handle))
      w.varint(whole(message.position.version, 'version'))
      writeChain(w, message.position)
      w.signed(message.position.version - whole(message.durable, 'durable'))
      w.byte(message.hash === null ? 0 : 1)
      if (message.hash !== null) w.hex(hashOf(message.hash))
      return
    case 'presence':
      w.varint(handleOf(message.handle))
      w.varint(whole(message.people, 'people'))
      w.byte(message.whole ? 1 : 0)
      w.varint(message.changes.length)
      for (const change of message.changes) writeChange(w, change)
      return
    case 'left':
      w.varint(handleOf(message.handle))
      return writeRefusal(w, message.refusal)
    case 'refused':
      w.byte((message.doc === null ? 0 : 1) | (message.handle === null ? 0 : 2) | (message.seq === null ? 0 : 4))
      if (message.doc !== null) w.text(docId(message.doc), 'document id')
      if (message.handle !== null) w.varint(handleOf(message.handle))
      if (message.seq !== null) w.varint(positive(message.seq, 'seq'))
      return writeRefusal(w, message.refusal)
    case 'signalled':
      w.varint(handleOf(message.handle))
      writePeerName(w, message.peer)
      writeUser(w, message.user)
      return writeSaid(w, message.name, message.payload)
    case 'alive':
      return w.varint(whole(message.spread, 'spread'))
    case 'right':
      w.varint(handleOf(message.handle))
      w.byte(roles.indexOf(message.right))
      return w.varint(whole(message.pace, 'pace'))
    case 'authenticated':
      writeUser(w, message.user)
      return writeExpiry(w, message.expiresIn)
    default:
      return unreachable(message)
  }
}

const readServer = (r: Reader, opcode: number, bounds: Bounds, about: About, listener: Listener): ServerMessage | Welcome => {
  switch (opcode) {
    case opcodes.welcome: {
      const protocol = positive(r.varint(), 'protocol')
      const author = readAuthor(r)
      const user = readUser(r)
      const expiresIn = readExpiry(r)
      const limits = {
        messageBytes: r.whole('messageBytes'),
        opComponents: r.whole('opComponents'),
        documentLength: r.whole('documentLength'),
        presenceBytes: r.whole('presenceBytes'),
        signalBytes: r.whole('signalBytes'),
      }
      return { kind: 'welcome', protocol, author, user, expiresIn, limits, spread: r.whole('spread') }
    }
    case opcodes.joined: {
      const handle = (about.handle = handleOf(r.varint()))
      const doc = (about.doc = docId(r.text('document id', docIdBytes, 'bad-document-id')))
      const right = readRole(r)
      const peer = readPeerName(r)
      const people = r.whole('people')
      const peers: PeerEntry[] = []
      const count = r.count(19, 'peers')
      for (let i = 0; i < count; i++) peers.push(readPeer(r, bounds))
      const durable = r.whole('durable')
      return { kind: 'joined', doc, handle, right, peer, people, peers, durable, content: readContent(r, bounds) }
    }
    case opcodes.commits: {
      const handle = (about.handle = handleOf(r.varint()))
      listener.heard ??= new Map()
      if (!listener.heard.has(handle)) listener.heard.set(handle, new Map())
      const { from, commits, durable } = readCommits(r, bounds, listener.heard.get(handle)!)
      const position = readChain(r, from + commits.length)
      const lag = durable ? 0 : r.signed()
      return { kind: 'commits', handle, from, commits, position, durable: whole(position.version - lag, 'durable') }
    }
    case opcodes.durable:
      return { kind: 'durable', handle: (about.handle = handleOf(r.varint())), version: r.whole('version') }
    case opcodes.beat: {
      const handle = (about.handle = handleOf(r.varint()))
      const position = readChain(r, r.whole('version'))
      const durable = whole(position.version - r.signed(), 'durable')
      return { kind: 'beat', handle, position, durable, hash: flag(r) ? r.hex(8, 'hash') : null }
    }
    case opcodes.presence: {
      const handle = (about.handle = handleOf(r.varint()))
      const people = r.whole('people')
      const all = flag(r)
      const changes: PresenceChange[] = []
      const count = r.count(3, 'changes')
      for (let i = 0; i < count; i++) changes.push(readChange(r, bounds))
      return { kind: 'presence', handle, people, whole: all, changes }
    }
    case opcodes.left:
      return { kind: 'left', handle: (about.handle = handleOf(r.varint())), refusal: readRefusal(r) }
    case opcodes.refused: {
      const flags = oneOf(r, 7)
      const doc = flags & 1 ? (about.doc = docId(r.text('document id', docIdBytes, 'bad-document-id'))) : null
      const handle = flags & 2 ? (about.handle = handleOf(r.varint())) : null
      const seq = flags & 4 ? (about.seq = positive(r.varint(), 'seq')) : null
      return { kind: 'refused', doc, handle, seq, refusal: readRefusal(r) }
    }
    case opcodes.signalled: {
      const handle = (about.handle = handleOf(r.varint()))
      const peer = readPeerName(r)
      return { kind: 'signalled', handle, peer, user: readUser(r), ...readSaid(r, bounds) }
    }
    case opcodes.alive:
      return { kind: 'alive', spread: r.whole('spread') }
    case opcodes.right: {
      const handle = (about.handle = handleOf(r.varint()))
      return { kind: 'right', handle, right: readRole(r), pace: r.whole('pace') }
    }
    case opcodes.authenticated: {
      const user = readUser(r)
      return { kind: 'authenticated', user, expiresIn: readExpiry(r) }
    }
    default:
      return broken(`no message of a server has the opcode ${opcode}`)
  }
}

// A unit: twice the number of commits, or twice the seq and one more; then the op.
const writeComposed = (w: Writer, { from, units, position }: Composed): void => {
  w.varint(whole(from, 'from'))
  w.varint(units.length)
  for (const { commits, seq, op } of units) {
    w.varint(seq === null ? 2 * positive(commits, 'commits') : 2 * positive(seq, 'seq') + 1)
    writeOp(w, op)
  }
  writePlace(w, endsAt(position, from, commitsIn(units)))
}

const readComposed = (r: Reader, bounds: Bounds): Omit<Composed, 'kind'> => {
  const from = r.whole('from')
  const count = r.count(2, 'units')
  const units: ComposedUnit[] = []
  for (let i = 0; i < count; i++) {
    const word = r.varint()
    const own = word % 2 === 1
    const number = positive(Math.floor(word / 2), own ? 'seq' : 'commits')
    units.push({ commits: own ? 1 : number, seq: own ? number : null, op: readOp(r, bounds) })
  }
  return { from, units, position: readPlace(r, whole(from + commitsIn(units), 'version')) }
}

/** A whole document: the engine's own loops are several times as fast as ours there, and worth another copy. */
const writeWhole = (w: Writer, text: string & { isWellFormed?(): boolean }): void => {
  if (text.length < 4_096) return w.text(text, 'the text')
  if (!(text.isWellFormed?.() ?? isWellFormed(text))) refuse('malformed', 'the text has a lone surrogate')
  const bytes = new TextEncoder().encode(text)
  w.varint(bytes.length)
  w.raw(bytes)
}

// `apart`: the bytes of the text, which are not written here.
const writeContent = (w: Writer, content: Joined['content'], apart: number | null): void => {
  if (content.kind === 'commits') {
    w.byte(0)
    writeCommits(w, content.from, content.commits, false, new Told())
    return writePlace(w, endsAt(content.position, content.from, content.commits.length))
  }
  if (content.kind === 'composed') {
    w.byte(3)
    return writeComposed(w, content)
  }
  const { position, value, landed, pruned } = content
  w.byte((typeof value === 'string' ? 1 : 2) | (landed === null ? 0 : 4))
  writePosition(w, position)
  if (landed !== null) {
    w.varint(positive(landed.seq, 'seq'))
    w.varint(whole(landed.version, 'version'))
  }
  w.varint(whole(pruned, 'pruned'))
  // Last, so that the frames of many may share it.
  if (apart !== null) w.varint(apart)
  else if (typeof value === 'string') writeWhole(w, value)
  else writeJson(w, value, clientBounds, 'the snapshot')
}

const readContent = (r: Reader, bounds: Bounds): Joined['content'] => {
  const tag = r.byte()
  if (tag === 0) {
    const { from, commits } = readCommits(r, bounds, new Map())
    return { kind: 'commits', from, commits, position: readPlace(r, from + commits.length) }
  }
  if (tag === 3) return { kind: 'composed', ...readComposed(r, bounds) }
  const form = tag & 3
  if (tag > 6 || form === 0 || form === 3) broken(`content ${tag}`)
  const position = readPosition(r)
  const landed = tag & 4 ? { seq: positive(r.varint(), 'seq'), version: r.whole('version') } : null
  const pruned = r.whole('pruned')
  const value = form === 1 ? r.text('the text', bounds.messageBytes) : readJson(r, bounds, 'the snapshot').value
  return { kind: 'snapshot', position, value, landed, pruned }
}

const writeChange = (w: Writer, change: PresenceChange): void => {
  w.byte(change.kind === 'here' ? 1 : 0)
  if (change.kind === 'gone') return writePeerName(w, change.peer)
  writePeer(w, change)
}

const readChange = (r: Reader, bounds: Bounds): PresenceChange => {
  if (!flag(r)) return { kind: 'gone', peer: readPeerName(r) }
  return { kind: 'here', ...readPeer(r, bounds) }
}

// ---- the doors

const writer = new Writer()

const encode =
  <M extends { readonly kind: keyof typeof opcodes }>(write: (w: Writer, message: M) => void) =>
  (message: M, id?: number): Uint8Array => {
    writer.begin()
    writeMessageHead(writer, opcodes[message.kind], id)
    write(writer, message)
    return writer.end()
  }

/** Of a message that is too large nothing is read but what it is about, so that its sender can tell which one it was. */
const tooLarge = (r: Reader, opcode: number, bounds: Bounds, about: About): never => {
  if (opcode > opcodes.join && opcode <= opcodes.signal) about.handle = handleOf(r.varint()) // all of them begin with it
  if (opcode === opcodes.submit) about.seq = positive(r.varint(), 'seq')
  return refuse('message-too-large', `the message has ${r.end} bytes, the limit is ${bounds.messageBytes}`)
}

/** Reads the fields behind a head. */
export type ReadBody<M> = (r: Reader, opcode: number, bounds: Bounds, listener: Listener) => Read<M>

const body =
  <M>(read: (r: Reader, opcode: number, bounds: Bounds, about: About, listener: Listener) => M): ReadBody<M> =>
  (r, opcode, bounds, listener) => {
    const about: About = { doc: null, handle: null, seq: null }
    try {
      if (r.end > bounds.messageBytes) tooLarge(r, opcode, bounds, about)
      const message = read(r, opcode, bounds, about, listener)
      if (r.left > 0) broken(`${r.left} bytes too many`)
      return { ok: true, message }
    } catch (fault) {
      return unreadable(fault, about)
    }
  }

const decode =
  <M>(readBody: ReadBody<M>, usual: Bounds) =>
  (frame: Uint8Array, bounds: Bounds = usual, listener: Listener = {}): Read<M> => {
    try {
      const r = new Reader(frame)
      const { opcode } = readHead(r, bounds)
      return opcode === null ? broken('the frame is not that of a message') : readBody(r, opcode, bounds, listener)
    } catch (fault) {
      return unreadable(fault, { doc: null, handle: null, seq: null })
    }
  }

export const readClientBody = /* @__PURE__ */ body(readClient)
export const readServerBody = /* @__PURE__ */ body(readServer)

/** @throws when the message is not of its type: a bug of the caller, named in the error */
export const encodeClientFrame = /* @__PURE__ */ encode(writeClient)
export const encodeServerFrame = /* @__PURE__ */ encode(writeServer)
/** The frame of commits, which are nearly all that is ever said, without a look at what else a message may be. */
export const encodeCommitsFrame = (message: Commits, told: Told): Uint8Array => {
  writer.begin()
  writeMessageHead(writer, opcodes.commits, undefined)
  writeCommitsMessage(writer, message, told)
  return writer.end()
}
/** The frame of a `joined` with a text, as far as that text, whose UTF-8 has so many bytes and is to follow. */
export const encodeJoinedHead = (message: Joined, bytes: number): Uint8Array => {
  writer.begin()
  writeMessageHead(writer, opcodes.joined, undefined)
  writeJoined(writer, message, bytes)
  return writer.end()
}
export const decodeClientMessage = /* @__PURE__ */ decode(readClientBody, serverBounds)
export const decodeServerMessage = /* @__PURE__ */ decode(readServerBody, clientBounds)

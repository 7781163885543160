// What the client's own work costs without an editor: somebody else's edit in a long document, and coming back after a long time.

import { openSession, type Session, step } from '../src/client/session.ts'
import { composeAll } from '../src/ot/algebra.ts'
import { replace, type TextOp } from '../src/ot/op.ts'
import type { Text } from '../src/ot/rope.ts'
import { textType } from '../src/ot/text.ts'
import type { AuthorId, DocId, Handle, PeerId, Position } from '../src/protocol/ids.ts'
import type { Joined, ServerMessage } from '../src/protocol/messages.ts'
import { seededRandom } from '../src/testing/type-laws.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'client'

const me = 'me______________' as AuthorId
const other = 'somebody________' as AuthorId
const handle = 1 as Handle
const at = (version: number): Position => ({ epoch: 'e' as never, version, chain: '0000000000000000' as never })
const random = seededRandom(1)
const below = (n: number): number => Math.floor(random() * n)

const joined = (content: Joined['content']): Joined => ({
  ...{ kind: 'joined', doc: 'd' as DocId, handle, right: 'write', peer: 'p' as PeerId, people: 1, peers: [], durable: 0 },
  content,
})

type State = Session<Text, TextOp>
const tell = (state: State, message: ServerMessage): State => step(state, { kind: 'message', message })[0]

/** A session that stands at version 0 of a text of so many units. */
const opened = (length: number): State => {
  const value = 'It was a dark and stormy night. '.repeat(Math.ceil(length / 32)).slice(0, length)
  const [up] = step(openSession(textType, 'd' as DocId), { kind: 'up', author: me })
  return tell(up, joined({ kind: 'snapshot', position: at(0), value, landed: null, pruned: 0 }))
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

/** Microseconds for one edit of somebody else's, each in a frame of its own, anywhere in the text. */
const remoteEdit = (length: number, rounds: number, pending: boolean): number => {
  let state = opened(length)
  if (pending) [state] = step(state, { kind: 'edit', op: replace(length, length >> 1, length >> 1, 'mine') })
  const took: number[] = []
  for (let i = 0; i < rounds; i++) {
    const size = state.agreed.length
    const op = i % 5 === 4 ? [1 + below(size - 2), -1] : [1 + below(size - 1), 'x']
    const commits = [{ author: other, seq: i + 1, op }]
    const message: ServerMessage = { kind: 'commits', handle, from: i, commits, position: at(i + 1), durable: i }
    const since = performance.now()
    state = tell(state, message)
    took.push((performance.now() - since) * 1_000)
  }
  return median(took)
}

const keystrokes = (count: number, length: number, scattered: boolean): TextOp[] => {
  const ops: TextOp[] = []
  for (let i = 0, size = length, place = 0; i < count; i++, place++) {
    if (scattered || i % 20 === 0) place = below(size + 1)
    ops.push(replace(size, place, place, 'x'))
    size++
  }
  return ops
}

/** Milliseconds to compose 10,000 edits of others, as the server does, and to take them in over 10,000 of my own. */
const merge = (scattered: boolean, rounds: number): { readonly whole: number; readonly here: number } => {
  const length = 50_000
  const count = 10_000
  const mine = composeAll(keystrokes(count, length, scattered))
  const theirs = keystrokes(count, length, scattered)
  const start = step(step(opened(length), { kind: 'down' })[0], { kind: 'edit', op: mine })[0]
  const [back] = step(start, { kind: 'up', author: me })
  const took: { whole: number; here: number }[] = []
  for (let i = 0; i < rounds; i++) {
    const since = performance.now()
    const op = textType.opToJson(composeAll(theirs))
    const between = performance.now()
    tell(back, joined({ kind: 'composed', from: 0, units: [{ commits: count, seq: null, op }], position: at(count) }))
    const now = performance.now()
    took.push({ whole: now - since, here: now - between })
  }
  return { whole: median(took.map(({ whole }) => whole)), here: median(took.map(({ here }) => here)) }
}

/** Microseconds for the check at a beat after one edit in a text of so many units. */
const check = (length: number, rounds: number): number => {
  let text = opened(length).agreed
  const took: number[] = []
  for (let i = 0; i < rounds; i++) {
    const place = below(text.length)
    text = text.apply(replace(text.length, place, place, 'x'))
    const since = performance.now()
    textType.hash!(text)
    took.push((performance.now() - since) * 1_000)
  }
  return median(took)
}

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  const rounds = quick ? 1_000 : 10_000
  const merges = quick ? 5 : 25
  const [typing, scattered] = [merge(false, merges), merge(true, merges)]
  const mebi = 1_048_576
  return [
    {
      what: "somebody else's edit in a text of 1 Mi units, without an editor, median",
      value: remoteEdit(mebi, rounds, false),
      unit: 'µs',
      beside: { 'in 1 Ki': remoteEdit(1_024, rounds, false), 'with an edit of mine waiting': remoteEdit(mebi, rounds, true) },
      gate: { atMost: 50 },
    },
    {
      what: '10,000 edits offline, typed, meet 10,000 of others: composed, sent and taken in',
      value: typing.whole,
      unit: 'ms',
      beside: { 'on the client alone': typing.here },
      gate: { atMost: 50 },
    },
    {
      what: '10,000 edits offline, scattered, meet 10,000 of others: composed, sent and taken in',
      value: scattered.whole,
      unit: 'ms',
      beside: { 'on the client alone': scattered.here },
      gate: { atMost: 50 },
    },
    { what: 'the hash of a text of 1 Mi units after one edit, median', value: check(mebi, quick ? 100 : 1_000), unit: 'µs' },
  ]
}

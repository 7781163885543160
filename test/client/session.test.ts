// The session by itself, told things in an order that no network is needed for.

import { expect, test } from 'vitest'
import { openSession, type Session, type SessionEffect, type SessionEvent, seqOfTyped, step } from '../../src/client/session.ts'
import { replace, type TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import { type ErrorCode, refusal } from '../../src/protocol/errors.ts'
import type { AuthorId, DocId, Handle, PeerId, Position, PositionInEpoch, Seq } from '../../src/protocol/ids.ts'
import type { Joined, Refused, Role, ServerMessage, Snapshot } from '../../src/protocol/messages.ts'

const doc = 'notes' as DocId
const me = 'me______________' as AuthorId
const here = (version: number): PositionInEpoch => ({ version, chain: String(version).padStart(16, '0') as never })
const at = (version: number): Position => ({ epoch: 'e' as never, ...here(version) })

const joined = (part: Partial<Joined> = {}): Joined => ({
  kind: 'joined',
  doc,
  handle: 1 as Handle,
  right: 'write',
  peer: 'p' as PeerId,
  people: 1,
  peers: [],
  durable: 0,
  content: { kind: 'snapshot', position: at(0), value: '', landed: null, pruned: 0 },
  ...part,
})

const refused = (code: ErrorCode, seq: number | null, handle: number | null = 1): Refused => ({
  kind: 'refused',
  doc,
  handle: handle as Handle | null,
  seq,
  refusal: refusal(code),
})

/** Tells a session one thing after the other; what it did the last time is in `did`. */
const told = (...events: (SessionEvent<TextOp> | ServerMessage)[]) => {
  let state: Session<Text, TextOp> = openSession(textType, doc)
  let did: readonly SessionEffect<Text, TextOp>[] = []
  const tell = (event: SessionEvent<TextOp> | ServerMessage) => {
    const isEvent = ['edit', 'up', 'down', 'message', 'resend', 'rested', 'join', 'distrust', 'close'].includes(event.kind)
    ;[state, did] = step(state, isEvent ? (event as SessionEvent<TextOp>) : { kind: 'message', message: event as ServerMessage })
  }
  for (const event of events) tell(event)
  return {
    tell,
    get state() {
      return state
    },
    get did() {
      return did
    },
    get sent() {
      return did.flatMap(effect => (effect.kind === 'send' ? [effect.message.kind] : []))
    },
  }
}

const up: SessionEvent<TextOp> = { kind: 'up', author: me }
const typed = (length: number, text: string): SessionEvent<TextOp> => ({
  kind: 'edit',
  op: replace(length, length, length, text),
})

test('[R12] an edit is stored before it is sent', () => {
  const session = told(up, joined(), typed(0, 'a'))
  expect(session.did.map(effect => effect.kind)).toEqual(['persist', 'send'])
})

test('[P5] what a store does not make durable for a thousand edits holds back the next one, and is all sent when it does', () => {
  const session = told(up, joined())
  const most = 1_000
  for (let i = 1; i <= most; i++) {
    session.tell(typed(i - 1, 'x'))
    expect(session.sent).toEqual(['submit'])
    const commits = [{ author: me, seq: i, op: i === 1 ? ['x'] : [i - 1, 'x'] }]
    session.tell({ kind: 'commits', handle: 1 as Handle, from: i - 1, commits, position: at(i), durable: 0 })
  }
  session.tell(typed(most, 'y'))
  session.tell(typed(most + 1, 'z'))
  expect([session.sent, session.state.units.length]).toEqual([[], 1])
  session.tell({ kind: 'durable', handle: 1 as Handle, version: 1 })
  expect([session.sent, session.state.shown.length]).toEqual([['submit'], most + 2])
})

test('one submission is in flight; what is typed meanwhile is one more', () => {
  const session = told(up, joined(), typed(0, 'a'), typed(1, 'b'), typed(2, 'c'))
  expect(session.sent).toEqual([])
  session.tell({
    kind: 'commits',
    handle: 1 as Handle,
    from: 0,
    commits: [{ author: me, seq: 1, op: ['a'] }],
    position: at(1),
    durable: 0,
  })
  expect(session.did).toContainEqual(
    expect.objectContaining({ kind: 'send', message: expect.objectContaining({ seq: 2, op: [1, 'bc'] }) }),
  )
})

test('closed before its join was answered, it leaves when the answer comes', () => {
  const session = told(up, { kind: 'close' })
  expect([session.state.link.kind, session.did]).toEqual(['leaving', []])
  session.tell(joined())
  expect(session.sent).toEqual(['leave'])
  expect([session.state.link.kind, session.did.at(-1)?.kind]).toEqual(['closed', 'closed'])
})

test.each(['down', 'refused'] as const)(
  'closed before its join was answered, it is closed when instead the answer is: %s',
  how => {
    const session = told(up, { kind: 'close' }, how === 'down' ? { kind: 'down' } : refused('unavailable', null, null))
    expect([session.state.link.kind, session.did.map(effect => effect.kind)]).toEqual(['closed', ['closed']])
  },
)

test('a wait that ends when it is no longer waited for changes nothing', () => {
  const session = told(up, refused('unavailable', null, null))
  expect(session.state.link.kind).toBe('waiting')
  session.tell({ kind: 'down' })
  session.tell(up)
  session.tell({ kind: 'join' })
  expect([session.state.link.kind, session.sent]).toEqual(['joining', []])
})

test('[P3] whose right to write is taken away gets back what has not landed', () => {
  const session = told(up, joined(), typed(0, 'kept?'), { kind: 'down' }, up, joined({ right: 'read' }))
  expect(session.did).toContainEqual(
    expect.objectContaining({
      kind: 'draft',
      draft: expect.objectContaining({ cause: 'refused', op: replace(0, 0, 0, 'kept?') }),
    }),
  )
  expect([session.state.units, session.state.shown.toString()]).toEqual([[], ''])
})

test('[P3] a submission refused for good is handed back, and what was typed after it goes on', () => {
  const session = told(up, joined(), typed(0, 'bad'), typed(3, ' good'), refused('document-too-long', 1))
  expect(session.did).toContainEqual(
    expect.objectContaining({ kind: 'draft', draft: expect.objectContaining({ op: replace(0, 0, 0, 'bad') }) }),
  )
  expect(session.state.shown.toString()).toBe(' good')
  expect(session.sent).toEqual(['submit'])
})

test('[R14] a position that the node does not know is joined again, but not in a busy loop', () => {
  const session = told(up, joined(), typed(0, 'a'), refused('unknown-position', 1))
  expect([session.state.link.kind, session.sent]).toEqual(['waiting', ['leave']])
  expect(session.did.at(-1)).toMatchObject({ kind: 'wait', next: 'join' })
  session.tell({ kind: 'join' })
  expect(session.sent).toEqual(['join'])
})

test('[P1] a beat from elsewhere betrays a lost frame', () => {
  const session = told(up, joined(), { kind: 'beat', handle: 1 as Handle, position: at(0), durable: 0, hash: null })
  expect(session.sent).toEqual([])
  session.tell({ kind: 'beat', handle: 1 as Handle, position: at(3), durable: 0, hash: null })
  expect(session.sent).toEqual(['leave', 'join'])
})

test('[P1] a text that is not the server’s is asked for anew, and what is unsent stays', () => {
  const session = told(up, joined({ content: { kind: 'snapshot', position: at(3), value: 'theirs', landed: null, pruned: 0 } }))
  const beat = (hash: string | null) => session.tell({ kind: 'beat', handle: 1 as Handle, position: at(3), durable: 3, hash })
  session.tell(typed(6, ' mine'))
  beat(Text.of('theirs').hash)
  beat(null)
  expect(session.state.link.kind).toBe('live')
  beat(Text.of('Theirs').hash)
  expect(session.did[0]).toMatchObject({ kind: 'diverged', position: at(3), expected: Text.of('Theirs').hash })
  expect([session.state.link.kind, session.sent]).toEqual(['waiting', ['leave']])
  session.tell({ kind: 'join' })
  expect(session.did).toEqual([{ kind: 'send', message: { kind: 'join', doc, type: 'text', position: null, diverged: true } }])
  session.tell(joined({ content: { kind: 'snapshot', position: at(3), value: 'Theirs', landed: null, pruned: 0 } }))
  expect([session.state.agreed.toString(), session.state.shown.toString()]).toEqual(['Theirs', 'Theirs mine'])
  expect(session.sent).toEqual(['submit'])
})

test('[R9] what is caught up with in one unit is stepped over as one, own commits apart', () => {
  const session = told(up, joined(), typed(0, 'ab'), typed(2, 'c'), { kind: 'down' }, up)
  session.tell(
    joined({
      content: {
        kind: 'composed',
        from: 0,
        units: [
          { commits: 40, seq: null, op: ['>> '] },
          { commits: 1, seq: 1, op: ['ab'] },
          { commits: 2, seq: null, op: ['!', -1, 4, '!'] },
        ],
        position: at(43),
      },
    }),
  )
  expect([session.state.position, session.state.shown.toString()]).toEqual([at(43), '!bc>> !'])
  expect(session.did.map(effect => effect.kind)).toEqual([
    'change',
    'skip',
    'commit',
    'change',
    'skip',
    'peers',
    'persist',
    'persist',
    'send',
  ])
  expect(session.did.at(-1)).toMatchObject({ message: { kind: 'submit', seq: 2, position: here(43), op: [2, 'c'] } })
})

test('[R9] a unit lands where the client does not stand: it says where it stands once more', () => {
  const units = [{ commits: 1, seq: null, op: ['x'] }]
  const session = told(up, joined(), { kind: 'down' }, up)
  session.tell(joined({ content: { kind: 'composed', from: 2, units, position: at(3) } }))
  expect([session.state.shown.toString(), session.sent]).toEqual(['', ['leave', 'join']])
})

test('[P1] a gap in the commits is not stepped over', () => {
  const session = told(up, joined())
  session.tell({
    kind: 'commits',
    handle: 1 as Handle,
    from: 1,
    commits: [{ author: 'you_____________' as AuthorId, seq: 1, op: ['a'] }],
    position: at(2),
    durable: 0,
  })
  expect([session.state.shown.toString(), session.sent]).toEqual(['', ['leave', 'join']])
})

test('[P1] who cannot trust what it holds asks for the whole text, and keeps its own edits', () => {
  const session = told(up, joined(), typed(0, 'mine'), { kind: 'distrust' }, { kind: 'join' })
  expect(session.did).toContainEqual({ kind: 'send', message: { kind: 'join', doc, type: 'text', position: null } })
  session.tell(joined({ content: { kind: 'snapshot', position: at(9), value: 'theirs', landed: null, pruned: 0 } }))
  expect(session.state.shown.toString()).toContain('mine')
  expect(session.state.shown.toString()).toContain('theirs')
  expect(session.sent).toEqual(['submit'])
})

const commitsOfMine = (from: number, seq: number, op: readonly (string | number)[]): ServerMessage => ({
  kind: 'commits',
  handle: 1 as Handle,
  from,
  commits: [{ author: me, seq, op }],
  position: at(from + 1),
  durable: 0,
})

test('[P3] an edit larger than a message may be is sent in parts, each under a number of its own', () => {
  const limits = { messageBytes: 400, opComponents: 100 }
  const session = told({ ...up, limits }, joined())
  session.tell(typed(0, 'x'.repeat(450)))
  const sent: unknown[] = []
  for (let version = 0; version < 10; version++) {
    const submission = session.did.find(effect => effect.kind === 'send')
    if (submission?.message.kind !== 'submit') break
    const { seq, op } = submission.message
    sent.push([seq, op])
    if (version === 0) session.tell(typed(450, 'y')) // waits with what waits
    session.tell(commitsOfMine(version, seq, op as string[]))
  }
  expect(sent).toEqual([
    [1, ['x'.repeat(170)]],
    [2, [170, 'x'.repeat(170)]],
    [3, [340, 'x'.repeat(110)]],
    [4, [450, 'y']],
  ])
  expect([session.state.units, session.state.agreed.toString()]).toEqual([[], `${'x'.repeat(450)}y`])
})

test('a number that is waited for moves up when an edit before it goes in two', () => {
  const session = told(typed(0, 'x'.repeat(300)))
  expect(seqOfTyped(session.state)).toBe(1)
  session.tell({ ...up, limits: { messageBytes: 400, opComponents: 100 } })
  session.tell(joined())
  expect(session.did.flatMap(effect => (effect.kind === 'split' ? [effect.seq] : []))).toEqual([1])
  expect(seqOfTyped(session.state)).toBe(2)
})

test('what is as large as may be sent is not composed any further', () => {
  const session = told({ ...up, limits: { messageBytes: 400, opComponents: 100 } }, { kind: 'down' })
  for (let i = 0; i < 1_000; i++) session.tell(typed(i, 'x'))
  expect(session.state.units.map(unit => unit.op.inserted.length)).toEqual([170, 170, 170, 170, 170, 150])
})

const only = (right: Role, pace = 0): ServerMessage => ({ kind: 'right', handle: 1 as Handle, right, pace })
const draftsIn = (did: readonly SessionEffect<Text, TextOp>[]) =>
  did.flatMap(effect => (effect.kind === 'draft' ? [[effect.draft.refusal?.code, effect.draft.op.inserted]] : []))

test('[P3] [P6] whose right to write goes while he types gets back what was never sent, and waits for the answer to what was', () => {
  const session = told(up, joined(), typed(0, 'sent'), typed(4, ' unsent'), only('read'))
  expect([draftsIn(session.did), session.state.shown.toString()]).toEqual([[['forbidden', ' unsent']], 'sent'])
  session.tell(refused('forbidden', 1))
  expect([draftsIn(session.did), session.state.shown.toString()]).toEqual([[['forbidden', 'sent']], ''])
  expect([session.state.units, session.sent]).toEqual([[], []])
})

test('[P2] [P6] an edit that was taken before the right to write went is no draft', () => {
  const session = told(up, joined(), typed(0, 'sent'), only('read'))
  session.tell({
    kind: 'commits',
    handle: 1 as Handle,
    from: 0,
    commits: [{ author: me, seq: 1, op: ['sent'] }],
    position: at(1),
    durable: 1,
  })
  expect([draftsIn(session.did), session.state.shown.toString(), session.state.units]).toEqual([[], 'sent', []])
})

test('[P6] an answer that does not come once the right to write is gone is looked for in the history', () => {
  const session = told(up, joined(), typed(0, 'sent'), only('read'), { kind: 'resend' })
  expect(session.sent).toEqual(['leave', 'join'])
  session.tell(joined({ right: 'read' }))
  expect([draftsIn(session.did), session.state.units]).toEqual([[['forbidden', 'sent']], []])
})

test('[P6] whose right to write comes back writes on', () => {
  const session = told(up, joined({ right: 'read' }), only('write'), typed(0, 'again'))
  expect(session.sent).toEqual(['submit'])
  expect(session.state.link).toMatchObject({ kind: 'live', right: 'write' })
})

test('[P3] put out for a while, it keeps what was typed and joins again', () => {
  const session = told(up, joined(), typed(0, 'kept'), { kind: 'left', handle: 1 as Handle, refusal: refusal('unavailable') })
  expect([session.state.link.kind, session.sent, draftsIn(session.did)]).toEqual(['waiting', [], []])
  expect(session.did.at(-1)).toMatchObject({ kind: 'wait', next: 'join' })
  session.tell({ kind: 'join' })
  session.tell(joined())
  expect(session.sent).toEqual(['submit'])
})

test('[R10] an edit that a difference has thinned out comes back whole as a draft, should it be lost', () => {
  const session = told(up, joined(), typed(0, 'abc'), commitsOfMine(0, 1, ['abc']), { kind: 'down' }, up)
  const snapshot = (epoch: string, version: number, value: string, landed: Snapshot['landed']): Joined => {
    const position = { ...at(version), epoch: epoch as never }
    return joined({ content: { kind: 'snapshot', position, value, landed, pruned: 0 } })
  }
  session.tell(snapshot('e', 9, 'ac', { seq: 1, version: 1 }))
  expect([session.state.confirmed.map(edit => edit.seq), causesIn(session.did)]).toEqual([[1], []])
  session.tell({ kind: 'down' })
  session.tell(up)
  session.tell(snapshot('f', 0, '', null))
  expect(causesIn(session.did)).toEqual([['unknowable', 'abc']])
  expect([session.state.shown.toString(), session.sent]).toEqual(['ac', ['submit']])
})

test('[R10] one that no difference has touched comes back without a draft', () => {
  const session = told(up, joined(), typed(0, 'abc'), commitsOfMine(0, 1, ['abc']), { kind: 'down' }, up)
  session.tell(
    joined({ content: { kind: 'snapshot', position: at(9), value: '>abc!', landed: { seq: 1, version: 1 }, pruned: 0 } }),
  )
  session.tell({ kind: 'down' })
  session.tell(up)
  session.tell(joined({ content: { kind: 'snapshot', position: at(0), value: '>!', landed: null, pruned: 0 } }))
  expect([causesIn(session.did), session.state.shown.toString(), session.sent]).toEqual([[], '>abc!', ['submit']])
})

const causesIn = (effects: readonly SessionEffect<Text, TextOp>[]) =>
  effects.flatMap(effect => (effect.kind === 'draft' ? [[effect.draft.cause, effect.draft.op.inserted]] : []))

const typing = (from: number, to: number): ServerMessage => ({
  kind: 'commits',
  handle: 1 as Handle,
  from,
  commits: [{ author: me, seq: to as Seq, op: from === 0 ? ['a'] : [from, 'b'] }],
  position: at(to),
  durable: to,
})

const waits = (did: readonly SessionEffect<Text, TextOp>[]) =>
  did.flatMap(effect => (effect.kind === 'wait' ? [[effect.next, effect.ms]] : []))

test('[P8] who is given a pace sends the next edit when the pause is over, with all that was typed in it', () => {
  const session = told(up, joined(), only('write', 450), typed(0, 'a'))
  expect([session.sent, waits(session.did)]).toEqual([['submit'], [['rested', 450]]])
  session.tell(typed(1, 'b'))
  session.tell(typing(0, 1))
  session.tell(typed(2, 'c'))
  expect([session.sent, session.state.units.map(({ op }) => op.inserted)]).toEqual([[], ['bc']])
  session.tell({ kind: 'rested' })
  expect([session.sent, waits(session.did)]).toEqual([['submit'], [['rested', 450]]])
  session.tell({ kind: 'rested' }) // before the answer
  expect(session.sent).toEqual([])
})

test('[P8] whoever was refused for a while, in the pause, sends again all the same, and a pace that is over holds nobody up', () => {
  const session = told(up, joined(), only('write', 450), typed(0, 'a'), refused('too-many-waiting', 1), { kind: 'resend' })
  expect(session.sent).toEqual(['submit'])
  session.tell(only('write'))
  session.tell(typing(0, 1))
  session.tell({ kind: 'rested' })
  session.tell(typed(1, 'b'))
  session.tell(typing(1, 2))
  session.tell(typed(2, 'c'))
  expect(session.sent).toEqual(['submit'])
})

test('[P3] for whom there is no place among the writers keeps what he has typed, asks again, and sends it at once when there is one', () => {
  const session = told(up, joined({ right: 'full' }), typed(0, 'a'))
  expect(session.sent).toEqual(['submit'])
  session.tell(refused('too-many-writers', 1))
  expect([waits(session.did), draftsIn(session.did), session.state.shown.toString()]).toEqual([[['resend', 1_000]], [], 'a'])
  session.tell(only('full', 300))
  expect(session.sent).toEqual([])
  session.tell({ kind: 'resend' })
  expect(session.sent).toEqual(['submit'])
  session.tell(only('write'))
  expect(session.sent).toEqual(['submit'])
})

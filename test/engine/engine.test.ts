import { describe, expect, test } from 'vitest'
import { defaultLimits } from '../../src/engine/limits.ts'
import { textType } from '../../src/ot/text.ts'
import { errorCodes } from '../../src/protocol/errors.ts'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import type { ServerMessage } from '../../src/protocol/messages.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { settle } from '../simulation/hand.ts'

import { joinedBy, notes, type Place, place, positionOf } from './place.ts'

const refusalsIn = (messages: readonly ServerMessage[]) =>
  messages.flatMap(message => (message.kind === 'refused' ? [[message.refusal.code, message.refusal.advice, message.seq]] : []))

/** Nothing waits, nobody lags. */
const calm = { lagging: 0, waiting: 0, full: 0, paced: 0, interval: 0, undurableSince: null }

/** Two people in one document with "abc" in it. */
const two = async (options: Parameters<typeof place>[0] = {}) => {
  const here = place(options)
  const ada = here.speaker('ada')
  const a = joinedBy(await ada.join())
  await ada.submit(a, positionOf(a), 1, ['abc'])
  const at = positionOf(ada.news().find(message => message.kind === 'commits')!)
  const ben = here.speaker('ben')
  const b = joinedBy(await ben.join())
  ada.news()
  ben.news()
  return { ...here, ada, a, ben, b, at }
}

test('[P5] whoever could not be told what the document holds is not in it, and holds nothing of it', async () => {
  let broken = false
  const snapshotToJson: typeof textType.snapshotToJson = text => {
    if (broken) throw new Error('a type of an application’s that fails')
    return textType.snapshotToJson(text)
  }
  const { engine, ada, ...world } = await two({ types: [{ ...textType, snapshotToJson }] })
  broken = true
  const eve = world.speaker('eve')
  await eve.join()
  expect(refusalsIn(eve.heard)).toEqual([['unavailable', 'retry', null]])
  expect(engine.counts.joined).toBe(2)
  broken = false
  joinedBy(await eve.join())
  expect(engine.counts.joined).toBe(3)
})

describe('submissions', () => {
  test('[P1] [P2] an edit comes back to everybody, its author too, as the same commit', async () => {
    const { ada, ben, a, at } = await two()
    await ada.submit(a, at, 2, [3, 'd'])
    const commits = [ada, ben].map(speaker => speaker.news().filter(message => message.kind === 'commits'))
    expect(commits[0]).toEqual(commits[1])
    expect(commits[0]).toMatchObject([
      { from: 1, commits: [{ author: 'ada_____________', seq: 2, op: [3, 'd'] }], position: { version: 2 } },
    ])
  })

  test('[R15] of two edits at one place the later one goes left', async () => {
    const { ada, ben, a, b, at, engine, flow } = await two()
    await ada.submit(a, at, 2, [3, 'X'])
    await ben.submit(b, at, 1, [3, 'Y'])
    const read = engine.read(notes)
    await flow()
    expect(await read).toMatchObject({ version: 3, value: 'abcYX', type: 'text' })
  })

  test('[P2] [R13] a submission sent twice is committed once', async () => {
    const { ada, ben, a, at, log } = await two()
    await ada.submit(a, at, 2, [3, 'd'])
    await ada.submit(a, at, 2, [3, 'd'])
    expect(log.entries(notes, 1, 100)).toHaveLength(1)
    expect(refusalsIn(ada.news())).toEqual([])
    expect(ben.news().filter(message => message.kind === 'commits')).toHaveLength(1)
  })

  test('[R8] a number below that of a commit since its base is refused, and the log is not asked', async () => {
    const here = await two({ flowing: true })
    const { ada, a, at, log, hand } = here
    await ada.submit(a, at, 5, [3, 'd'])
    ada.news()
    const before = log.entries(notes, 0, 100).length
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 4, position: at, op: [3, 'x'] })
    expect(hand.calls.map(call => call.name)).not.toContain('append')
    expect(refusalsIn(ada.news())).toEqual([['bad-seq', 'stop', 4]])
    expect(log.entries(notes, 0, 100)).toHaveLength(before)
  })

  test('[R14] a base below the horizon, an unknown position and another history are each told, with advice', async () => {
    const { ada, a, at, flow, clock } = await two({ limits: { recentTime: 0, recentCommits: 1, checkpointCommits: 1 } })
    let position = at
    for (let seq = 2; seq < 8; seq++) {
      await ada.submit(a, position, seq, ['z'])
      position = positionOf(ada.news().findLast(message => message.kind === 'commits')!)
      clock.pass(100)
      await flow()
    }
    await ada.submit(a, at, 20, ['x'])
    await ada.submit(a, { ...position, version: 99 }, 21, ['x'])
    await ada.submit(a, { ...position, chain: 'ffffffffffffffff' as never }, 22, ['x'])
    expect(refusalsIn(ada.news())).toEqual([
      ['history-gone', 'rejoin', 20],
      ['unknown-position', 'rejoin', 21],
      ['unknown-position', 'rejoin', 22],
    ])
  })

  test.each([
    ['beyond the text', [99, 'x'], 'bad-op'],
    ['not canonical', [1, 1, 'x'], 'bad-op'],
    ['a lone surrogate', ['\ud800'], 'bad-op'],
    ['no op at all', { insert: 'x' }, 'bad-op'],
    ['a text too long', ['x'.repeat(50)], 'document-too-long'],
  ])('[P3] an op that is %s is refused to its sender alone', async (_, op, code) => {
    const { ada, ben, a, b, at, log } = await two({ limits: { documentLength: 40 } })
    await ada.submit(a, at, 2, op)
    expect(refusalsIn(ada.news())).toEqual([[code, 'stop', 2]])
    expect(ben.news()).toEqual([])
    await ben.submit(b, at, 1, ['still here '])
    expect(log.entries(notes, 1, 9)).toHaveLength(1)
  })

  test('an op that would cut a surrogate pair is refused although its lengths are right', async () => {
    const { ada, a, at } = await two()
    await ada.submit(a, at, 2, [3, '😀'])
    const next = positionOf(ada.news().find(message => message.kind === 'commits')!)
    await ada.submit(a, next, 3, [4, 'x'])
    expect(refusalsIn(ada.news())).toEqual([['bad-op', 'stop', 3]])
  })

  test('a reader may look but not write', async () => {
    const { ada, at, speaker } = await two()
    const eve = speaker('eve', 'read')
    const joined = joinedBy(await eve.join())
    expect(joined.right).toBe('read')
    await eve.submit(joined, at, 1, ['x'])
    expect(refusalsIn(eve.news())).toEqual([['forbidden', 'stop', 1]])
    expect(ada.news().filter(message => message.kind === 'commits')).toEqual([])
  })

  test('[P5] no more than the limit of one connection’s submissions wait for a store that does not answer', async () => {
    const { ada, a, at, ben, b } = await two({ limits: { submissionsWaiting: 4 } })
    for (let seq = 2; seq < 12; seq++) ada.connection.receive({ kind: 'submit', handle: a.handle, seq, position: at, op: ['x'] })
    ben.connection.receive({ kind: 'submit', handle: b.handle, seq: 1, position: at, op: ['y'] })
    // One is on its way, four wait.
    expect(refusalsIn(ada.news())).toEqual([7, 8, 9, 10, 11].map(seq => ['too-many-waiting', 'slow-down', seq]))
    expect(refusalsIn(ben.news())).toEqual([])
  })

  test('[P2] what arrives while an append is under way goes out as one batch', async () => {
    const { ada, a, ben, b, at, flow, events } = await two()
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 2, position: at, op: ['1'] })
    ben.connection.receive({ kind: 'submit', handle: b.handle, seq: 1, position: at, op: ['2'] })
    ben.connection.receive({ kind: 'submit', handle: b.handle, seq: 2, position: at, op: ['3'] })
    await flow()
    expect(events.flatMap(event => (event.kind === 'appended' ? [event.entries] : []))).toEqual([1, 1, 2])
  })
})

describe('joining', () => {
  test('a newcomer gets the text, a returning client the commits it lacks', async () => {
    const { ada, a, at, speaker } = await two()
    await ada.submit(a, at, 2, [3, 'd'])
    const newcomer = joinedBy(await speaker('eve').join())
    expect(newcomer.content).toMatchObject({ kind: 'snapshot', value: 'abcd', landed: null })
    const returning = joinedBy(await speaker('fay').join(at))
    expect(returning.content).toMatchObject({ kind: 'commits', from: 1, commits: [{ seq: 2, op: [3, 'd'] }] })
  })

  test('[R6] a snapshot tells its receiver the last of its own edits that it holds', async () => {
    const { speaker } = await two()
    const again = joinedBy(await speaker('ada').join())
    expect(again.content).toMatchObject({ kind: 'snapshot', landed: { seq: 1, version: 1 } })
  })

  test('[R1] a position of another history is answered with a snapshot', async () => {
    const { at, speaker } = await two()
    const joined = joinedBy(await speaker('eve').join({ ...at, chain: 'ffffffffffffffff' as never }))
    expect(joined.content.kind).toBe('snapshot')
  })

  test('what cannot be joined is refused by name, and the connection goes on', async () => {
    const { ada, a, speaker } = await two({ limits: { documentsPerConnection: 2 } })
    await ada.join()
    await ada.join(null, 'x' as DocId, 'nonsense')
    await ada.join(null, 'second' as DocId)
    await ada.join(null, 'third' as DocId)
    await ada.say({ kind: 'leave', handle: 999 as Handle })
    await ada.submit({ ...a, handle: 998 as Handle }, positionOf(a), 7, ['x'])
    const shut = speaker('shut', 'none')
    await shut.join()
    expect(
      ada.heard.filter(message => message.kind === 'refused').map(message => [message.refusal.code, message.doc, message.handle]),
    ).toEqual([
      ['already-joined', 'notes', null],
      ['unknown-type', 'x', null],
      ['too-many-documents', 'third', null],
      ['not-joined', null, 999],
      ['not-joined', null, 998],
    ])
    expect(refusalsIn(shut.heard)).toEqual([['forbidden', 'stop', null]])
    for (const message of ada.heard) if (message.kind === 'refused') expect(errorCodes).toContain(message.refusal.code)
  })

  test('who has left hears nothing more and may come again', async () => {
    const { ada, a, ben, b, at } = await two()
    await ben.say({ kind: 'leave', handle: b.handle })
    ben.news()
    await ada.submit(a, at, 2, [3, 'd'])
    expect(ben.news()).toEqual([])
    expect(joinedBy(await ben.join(at)).content).toMatchObject({ kind: 'commits', from: 1 })
  })

  test('[P2] a store that does not answer refuses the join as unavailable, and the next one works', async () => {
    const { speaker, clock, flow } = place({ flowing: false })
    const ada = speaker('ada')
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await flowless()
    clock.pass(6_000)
    await flowless()
    expect(refusalsIn(ada.news())).toEqual([['unavailable', 'retry', null]])
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await flow()
    expect(ada.news().map(message => message.kind)).toContain('joined')
  })
})

describe('a log that has lost its tail', () => {
  /** Two edits of a writer who has gone since; the log has lost the second and, where `regrown`, has something else there. */
  const lost = async (regrown: boolean) => {
    const log = new MemoryLog({ durable: 'by hand' })
    const here = place({ log })
    const ada = here.speaker('ada')
    const a = joinedBy(await ada.join())
    await ada.submit(a, positionOf(a), 1, ['kept '])
    log.durableUpTo(notes, 1)
    await ada.submit(a, positionOf(ada.news().find(message => message.kind === 'commits')!), 2, ['lost '])
    ada.connection.close()
    const ben = here.speaker('ben')
    const b = joinedBy(await ben.join())
    log.lose(notes, 1)
    if (regrown) {
      const other = place({ log })
      const eve = other.speaker('eve')
      const e = joinedBy(await eve.join())
      await eve.submit(e, positionOf(e), 1, ['other '])
      here.hand.miss()
    }
    ben.news()
    return { here, ben, b, log }
  }

  test.each([false, true])(
    '[R11] gets it back from a node that has delivered it, once, under its own number (regrown: %s)',
    async regrown => {
      const { here, ben, log } = await lost(regrown)
      here.clock.pass(11_000) // the beat looks where the log stands
      await here.flow()
      expect(ben.news()).toContainEqual(
        expect.objectContaining({ kind: 'left', refusal: expect.objectContaining({ advice: 'rejoin' }) }),
      )
      const kept = log.entries(notes, 0, 10).map(({ author, seq }) => [author, seq])
      expect(kept).toEqual([['ada_____________', 1], ...(regrown ? [['eve_____________', 1]] : []), ['ada_____________', 2]])
      expect(joinedBy(await ben.join()).content).toMatchObject({ value: regrown ? 'lost other kept ' : 'lost kept ' })
    },
  )
})

describe('what a node has in hand', () => {
  test('[R11] is not offered again when its author has used a higher number since', async () => {
    const log = new MemoryLog({ durable: 'by hand' })
    const here = place({ log })
    const offered: number[] = []
    const { append } = here.hand.store.log
    ;(here.hand.store.log as { append: typeof append }).append = (doc, at, entries) => {
      offered.push(...entries.map(({ seq }) => seq))
      return offered.length > 9 ? new Promise(() => {}) : append(doc, at, entries)
    }
    const ada = here.speaker('ada')
    const a = joinedBy(await ada.join())
    await ada.submit(a, positionOf(a), 1, ['kept '])
    log.durableUpTo(notes, 1)
    await ada.submit(a, positionOf(ada.news().find(message => message.kind === 'commits')!), 2, ['lost '])
    log.lose(notes, 1)
    ada.connection.close()
    const other = place({ log })
    const again = other.speaker('ada')
    const b = joinedBy(await again.join())
    await again.submit(b, positionOf(b), 3, ['later '])
    here.hand.miss()
    await here.speaker('ben').join()
    here.clock.pass(11_000)
    await here.flow()
    expect(here.events).toContainEqual({ kind: 'resynced', doc: notes, reason: 'fork', reoffered: 1 })
    expect([offered, log.entries(notes, 0, 10).map(({ seq }) => seq)]).toEqual([
      [1, 2],
      [1, 3],
    ])
  })

  test('[R13] waits for the log to be read when nobody knows whether an append has happened', async () => {
    const here = place({ flowing: false })
    const { calls } = here.hand
    const names = () => calls.map(({ name }) => name)
    const ada = here.speaker('ada')
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await here.flow()
    const a = joinedBy(ada.news().find(message => message.kind === 'joined')!)
    await ada.submit(a, positionOf(a), 1, ['one '])
    await settle()
    calls[0]!.execute()
    calls[0]!.fail()
    await settle()
    await ada.submit(a, positionOf(a), 2, ['two '])
    await settle()
    expect(names()).toEqual(['read'])
    calls[0]!.answer()
    await settle()
    expect(names()).toEqual(['append'])
    await here.flow()
    expect(here.log.entries(notes, 0, 10).map(({ seq }) => seq)).toEqual([1, 2])
  })
})

describe('joining at a bad moment', () => {
  test('[R1] the beginning of one history is not taken for that of the next, though a submission does not say its epoch', async () => {
    const log = new MemoryLog()
    const here = place({ log })
    const ada = here.speaker('ada')
    const a = joinedBy(await ada.join())
    await ada.submit(a, positionOf(a), 1, ['gone '])
    ada.news()
    log.remove(notes) // as another node does it: the new log begins with the same version and chain, 0
    here.clock.pass(defaultLimits.beat)
    await here.flow()
    // What she wrote before she read that she was put out.
    await ada.submit(a, positionOf(a), 2, ['old '])
    expect(ada.news().flatMap(message => ('refusal' in message ? [message.refusal.code] : []))).toEqual([
      'unknown-position',
      'not-joined',
    ])
    expect(log.open(notes).tail).toEqual([])
    const again = joinedBy(await ada.join(positionOf(a)))
    expect(again.content).toMatchObject({ kind: 'snapshot', position: { version: 0 } })
    expect(positionOf(again).epoch).not.toBe(positionOf(a).epoch)
    await ada.submit(again, positionOf(again), 3, ['new '])
    expect(log.entries(notes, 0, 9).map(({ seq }) => seq)).toEqual([3])
  })

  test('[P1] [R1] a join that meets the loss of the log is answered from the log as it is, not as it was', async () => {
    for (let ticks = 0; ticks < 12; ticks++) {
      const log = new MemoryLog({ durable: 'by hand' })
      const here = place({ log, flowing: false })
      const ada = here.speaker('ada')
      ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
      await here.flow()
      const a = joinedBy(ada.news().find(message => message.kind === 'joined')!)
      await ada.submit(a, positionOf(a), 1, ['one '])
      await here.flow()
      const at = positionOf(ada.news().find(message => message.kind === 'commits')!)
      await ada.submit(a, at, 2, ['two '])
      await here.flow()
      // The tail is lost, and another node writes something else in its place.
      log.lose(notes, 1)
      const other = place({ log })
      const ben = other.speaker('ben')
      const b = joinedBy(await ben.join())
      await ben.submit(b, positionOf(b), 1, ['NEW '])
      here.hand.miss()
      const zoe = here.speaker('zoe')
      zoe.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
      ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 3, position: positionOf(a), op: ['x'] })
      await settle()
      // Both answers come within a few ticks of each other: the list of who is here, and that the log is another one.
      const calls = [...here.hand.calls].sort((x, y) => (x.name === 'presence' ? 0 : 1) - (y.name === 'presence' ? 0 : 1))
      for (const call of calls) {
        call.answer()
        for (let i = 0; i < ticks; i++) await undefined
      }
      await here.flow()
      await here.flow()
      // Either it got in just before and was put out again, or what it got is of the log that there is.
      const last = zoe.heard.findLast(message => message.kind === 'joined' || message.kind === 'left')!
      const sound = last.kind === 'left' || log.read(notes, positionOf(last)).ok
      expect(sound, `after ${ticks} ticks: ${JSON.stringify(last)}`).toBe(true)
    }
  })

  test('a client that comes back before its old line was known to be dead takes the place of it', async () => {
    const { ada, ben, a, at, speaker } = await two()
    const again = speaker('ada')
    const joined = joinedBy(await again.join(at))
    expect(ada.news()).toContainEqual(
      expect.objectContaining({
        kind: 'left',
        handle: a.handle,
        refusal: expect.objectContaining({ code: 'superseded', advice: 'stop' }),
      }),
    )
    await ada.submit(a, at, 2, ['old'])
    expect(refusalsIn(ada.news())).toEqual([['not-joined', 'rejoin', 2]])
    await again.submit(joined, at, 2, ['new'])
    expect(ben.news().filter(message => message.kind === 'commits')).toHaveLength(1)
  })

  test('[P5] a message about a document whose join is under way reaches nothing, and leaves nobody behind', async () => {
    const here = place({ flowing: false })
    const ada = here.speaker('ada')
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await flowless()
    for (const handle of [1, 2] as Handle[]) {
      ada.connection.receive({ kind: 'present', handle, version: 0, state: {} })
      ada.connection.receive({
        kind: 'submit',
        handle,
        seq: 1,
        position: { version: 0, chain: '0000000000000000' as never },
        op: ['x'],
      })
      ada.connection.receive({ kind: 'leave', handle })
    }
    expect(refusalsIn(ada.news()).map(([code]) => code)).toEqual(Array(6).fill('not-joined'))
    ada.connection.close()
    await here.flow()
    here.clock.pass(120_000)
    await here.flow()
    expect(here.engine.counts).toEqual({ documents: 0, connections: 0, joined: 0, diverged: 0, ...calm })
    expect(await here.hand.store.presence.subscribe(notes, () => undefined)).toBeTypeOf('function')
  })

  test('[P5] a document out of which everybody was put leaves memory like any other', async () => {
    const log = new MemoryLog()
    const here = place({ log, limits: { idleDocument: 1_000 } })
    const ada = here.speaker('ada')
    const a = joinedBy(await ada.join())
    await ada.submit(a, positionOf(a), 1, ['abc'])
    log.loseAll(notes)
    here.clock.pass(11_000)
    await here.flow()
    expect(ada.news().map(message => message.kind)).toContain('left')
    here.clock.pass(1_000)
    await here.flow()
    here.clock.pass(1_000)
    await here.flow()
    expect(here.engine.counts).toMatchObject({ documents: 0, joined: 0 })
  })

  test.each(['a tail', 'another history'])(
    '[P1] a document that nobody is in is read as the log has it, when the announcement of %s was lost',
    async what => {
      const log = new MemoryLog({ durable: 'by hand' })
      const here = place({ log })
      const ada = here.speaker('ada')
      const a = joinedBy(await ada.join())
      await ada.submit(a, positionOf(a), 1, ['abc'])
      ada.connection.close()
      await here.flow()
      if (what === 'another history') log.lose(notes, 0)
      const other = place({ log })
      const ben = other.speaker('ben')
      const b = joinedBy(await ben.join())
      await ben.submit(b, positionOf(b), 1, ['new '])
      while (here.hand.feed.length > 0) here.hand.miss()
      const reads = [here.engine.read(notes), here.engine.commits(notes, 0, 9)] as const
      await here.flow()
      const [read, commits] = await Promise.all(reads)
      // Of a history that is gone this node offers its edit again, but not before it has read the new one.
      const [value, authors] = what === 'a tail' ? ['new abc', ['ada', 'ben']] : ['new ', ['ben']]
      expect(read).toMatchObject({ version: authors.length, value })
      expect('commits' in commits && commits.commits.map(({ user }) => user)).toEqual(authors)
    },
  )

  test('[P4] a document that nobody is in is still read while the store is away, as it was known last', async () => {
    const { engine, ada, ben, hand, flow } = await two()
    for (const { connection } of [ada, ben]) connection.close()
    await flow()
    const read = engine.read(notes)
    await settle()
    for (const call of [...hand.calls]) call.fail()
    expect(await read).toMatchObject({ version: 1, value: 'abc' })
  })

  test('[P5] reading documents that nobody has written to keeps none of them in memory', async () => {
    const { engine, flow, clock } = place()
    const reads = Array.from({ length: 50 }, (_, i) => engine.read(`nobody-${i}` as DocId))
    await flow()
    expect(await Promise.all(reads)).toEqual(Array(50).fill(null))
    clock.pass(1)
    expect(engine.counts.documents).toBe(0)
  })
})

describe('what a client could make grow', () => {
  test('[P5] leaving and joining again does not let more submissions wait', async () => {
    const { ada, a, at, flow, log } = await two({ limits: { submissionsWaiting: 4 } })
    let seq = 1
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 6; i++)
        ada.connection.receive({ kind: 'submit', handle: a.handle, seq: ++seq, position: at, op: ['x'] })
      ada.connection.receive({ kind: 'leave', handle: a.handle }) // the document has one handle for all stays
      ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: at })
      await settle()
    }
    await flow()
    expect(log.entries(notes, 1, 100).length).toBeLessThanOrEqual(6)
  })

  test('[P5] a document does not outgrow its limit by what waits', async () => {
    const { ada, ben, a, b, at, flow, log } = await two({ limits: { documentLength: 100 } })
    for (let seq = 2; seq < 10; seq++) {
      ada.connection.receive({ kind: 'submit', handle: a.handle, seq, position: at, op: ['x'.repeat(30)] })
      ben.connection.receive({ kind: 'submit', handle: b.handle, seq, position: at, op: ['y'.repeat(30)] })
    }
    await flow()
    expect(log.entries(notes, 1, 100)).toHaveLength(3)
    expect(new Set([...refusalsIn(ada.news()), ...refusalsIn(ben.news())].map(([code]) => code))).toEqual(
      new Set(['document-too-long']),
    )
  })

  test('[P5] an op that is large and old at once is carried over the commits composed; too much of them is for its client', async () => {
    const { ada, ben, a, b, at, engine } = await two({ limits: { rebaseWork: 100, catchUpWork: 60 } })
    let position = at
    const types = async (seq: number) => {
      await ada.submit(a, position, seq, ['z'])
      position = positionOf(ada.news().findLast(message => message.kind === 'commits')!)
    }
    for (let seq = 2; seq < 30; seq++) await types(seq)
    const old = position
    ben.news()
    await ben.submit(b, at, 1, ['a', 1, 'b', 1, 'c', 1, 'd'])
    expect(refusalsIn(ben.news())).toEqual([])
    const { value, version } = (await engine.read(notes))!
    expect([value, version]).toEqual([`a${'z'.repeat(28)}abbccd`, 30])
    for (let seq = 30; seq < 100; seq++) await types(seq)
    ben.news()
    await ben.submit(b, old, 2, ['a', 1, 'b', 1, 'c', 1, 'd'])
    expect(refusalsIn(ben.news())).toEqual([['history-gone', 'rejoin', 2]])
  })
})

const flowless = async () => {
  for (let i = 0; i < 50; i++) await undefined
}

describe('presence', () => {
  test('everybody is shown to everybody, with what they tell of themselves, and disappears when the line goes', async () => {
    const { ada, ben, b, clock, flow } = await two()
    clock.pass(100)
    await flow()
    ada.news()
    await ben.say({ kind: 'present', handle: b.handle, version: 1, state: { cursor: { anchor: 1, head: 2 } } })
    clock.pass(100)
    const shown = ada.news().flatMap(message => (message.kind === 'presence' ? message.changes : []))
    expect(shown).toEqual([
      {
        kind: 'here',
        peer: b.peer,
        user: { id: 'ben' },
        author: 'ben_____________',
        version: 1,
        state: { cursor: { anchor: 1, head: 2 } },
      },
    ])
    ben.connection.close()
    clock.pass(100)
    expect(ada.news()).toMatchObject([{ kind: 'presence', changes: [{ kind: 'gone', peer: b.peer }] }])
  })

  test('[P8] any number of moves within a tick makes one frame with the last of them', async () => {
    const { ada, ben, b, clock } = await two()
    clock.pass(100)
    ada.news()
    for (let i = 0; i < 50; i++) ben.connection.receive({ kind: 'present', handle: b.handle, version: 1, state: { n: i } })
    clock.pass(100)
    expect(ada.news()).toMatchObject([{ kind: 'presence', changes: [{ state: { n: 49 } }] }])
  })
})

describe('a document in memory', () => {
  test('[P5] leaves it when nobody has been there for a while, and comes back whole', async () => {
    const { ada, ben, engine, clock, flow, events, speaker } = await two({ limits: { idleDocument: 1_000 } })
    ada.connection.close()
    ben.connection.close()
    clock.pass(500)
    expect(engine.counts).toEqual({ documents: 1, connections: 0, joined: 0, diverged: 0, ...calm })
    clock.pass(600)
    await flow()
    expect(engine.counts.documents).toBe(0)
    expect(events.filter(event => event.kind === 'evicted')).toHaveLength(1)
    expect(joinedBy(await speaker('eve').join()).content).toMatchObject({ kind: 'snapshot', value: 'abc' })
  })

  test('is opened once, however many come at once', async () => {
    const { speaker, flow, events } = place({ flowing: false })
    for (let i = 0; i < 40; i++) speaker(`p${i}`).connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await flow()
    expect(events.filter(event => event.kind === 'opened')).toHaveLength(1)
  })

  test('[P8] opened after thousands of commits it reads the checkpoint and the tail only', async () => {
    const { ada, a, at, flow, clock, log } = await two({ limits: { checkpointCommits: 100, recentTime: 0, recentCommits: 50 } })
    let position = at
    for (let seq = 2; seq < 1_030; seq++) {
      await ada.submit(a, position, seq, ['z'])
      position = positionOf(ada.news().findLast(message => message.kind === 'commits')!)
      if (seq % 100 === 0) {
        clock.pass(100)
        await flow()
      }
    }
    const again = place({ log })
    await again.speaker('eve').join()
    const opened = again.events.find(event => event.kind === 'opened')
    expect(opened).toMatchObject({ version: 1_029 })
    expect(opened?.kind === 'opened' && opened.replayed).toBeLessThan(160)
    expect(log.entries(notes, 0, 10_000).length).toBeLessThan(260)
  })

  test('[P4] hears of edits made on another node, and follows it when the feed has lost some', async () => {
    const { ada, a, at, log } = await two()
    const other = place({ log })
    const eve = other.speaker('eve')
    await eve.join()
    eve.news()
    await ada.submit(a, at, 2, [3, 'd'])
    other.hand.miss()
    await ada.submit(a, positionOf(ada.news().findLast(message => message.kind === 'commits')!), 3, [4, 'e'])
    await other.flow()
    const commits = eve.news().flatMap(message => (message.kind === 'commits' ? message.commits.map(commit => commit.op) : []))
    expect(commits).toEqual([
      [3, 'd'],
      [4, 'e'],
    ])
  })
})

describe('while the store is away', () => {
  /** Every call to the store fails, for so long. */
  const fail = async ({ hand, clock }: Place, ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 10) {
      while (hand.calls.length > 0) {
        hand.calls[0]!.fail()
        await settle()
      }
      clock.pass(10)
      await settle()
    }
  }

  test('[R14] a join at a position that nobody can look up now is told so at once, one at a known position is answered from memory', async () => {
    const here = await two()
    const { speaker, hand, at } = here
    const far = speaker('far')
    far.connection.receive({ kind: 'join', doc: notes, type: 'text', position: { ...at, version: at.version + 5 } })
    await settle()
    expect(hand.calls.map(({ name }) => name)).toEqual(['read'])
    hand.calls[0]!.fail()
    await settle()
    expect(refusalsIn(far.news())).toEqual([['unavailable', 'retry', null]])
    const near = speaker('near')
    near.connection.receive({ kind: 'join', doc: notes, type: 'text', position: at })
    await settle()
    expect(near.news()).toMatchObject([{ kind: 'joined', content: { kind: 'commits', commits: [], position: at } }])
    await fail(here, 60_000)
    expect((await here.engine.read(notes))?.value).toBe('abc')
  })

  test('[P5] it is asked by a schedule, however much is typed and however many come, and then everything is in, once', async () => {
    const here = await two()
    const { ada, a, ben, b, at, events, flow, log, speaker } = here
    const failures = () => events.filter(event => event.kind === 'store-failed').length
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 2, position: at, op: [3, 'd'] })
    await fail(here, 100)
    for (let seq = 1; seq <= 10; seq++) ben.connection.receive({ kind: 'submit', handle: b.handle, seq, position: at, op: ['-'] })
    for (let i = 0; i < 20; i++) {
      speaker(`guest${i}`).connection.receive({ kind: 'join', doc: notes, type: 'text', position: at })
      await fail(here, 3_000)
    }
    expect(failures()).toBeLessThan(12 + 60 / 5)
    here.clock.pass(5_000)
    await flow()
    expect(log.entries(notes, 1, 100)).toHaveLength(11)
    expect((await here.engine.read(notes))?.value).toBe(`${'-'.repeat(10)}abcd`)
  })

  test('[P5] a store that can be read and takes nothing, as with a full disk, is asked by a schedule as well', async () => {
    const { ada, a, at, hand, clock, events, flow, log } = await two()
    const failures = () => events.filter(event => event.kind === 'store-failed').length
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 2, position: at, op: [3, 'd'] })
    for (let passed = 0; passed < 60_000; passed += 10) {
      while (hand.calls.length > 0 && failures() < 100) {
        const [call] = hand.calls
        if (call!.name === 'append') call!.fail()
        else {
          call!.execute()
          call!.answer()
        }
        await settle()
      }
      clock.pass(10)
      await settle()
    }
    expect(failures()).toBeLessThan(12 + 60 / 5)
    clock.pass(5_000)
    await flow()
    expect(log.entries(notes, 1, 100)).toHaveLength(1)
    expect(ada.news().filter(({ kind }) => kind === 'commits')).toHaveLength(1)
  })

  test('a join that asks while the log is being read waits for a read that began after it asked', async () => {
    const here = await two()
    const { clock, hand, speaker, log, at } = here
    clock.pass(10_000) // the beat looks where the log stands
    hand.calls[0]!.execute()
    const elsewhere = place({ log })
    const eve = elsewhere.speaker('eve')
    const e = joinedBy(await eve.join())
    await eve.submit(e, at, 1, [3, '!'])
    while (hand.feed.length > 0) hand.miss() // nor does this node hear of it
    const position = positionOf(eve.news().findLast(message => message.kind === 'commits')!)
    const mover = speaker('mover')
    expect(await mover.join(position)).toMatchObject({ kind: 'joined', content: { kind: 'commits', commits: [], position } })
  })
})

describe('stopping', () => {
  test('what was accepted is finished and made durable, nothing new is accepted', async () => {
    const { ada, a, at, engine, clock, flow, log, speaker } = await two()
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 2, position: at, op: [3, '!'] })
    const closed = engine.close()
    ada.connection.receive({ kind: 'submit', handle: a.handle, seq: 3, position: at, op: [3, '?'] })
    expect(refusalsIn(ada.news())).toEqual([['draining', 'retry', 3]])
    expect(refusalsIn([await speaker('late').join()])).toEqual([['draining', 'retry', null]])
    await flow()
    clock.pass(100)
    await closed
    expect(log.entries(notes, 1, 10)).toHaveLength(1)
    expect(engine.counts).toEqual({ documents: 0, connections: 0, joined: 0, diverged: 0, ...calm })
  })
})

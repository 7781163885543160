// Rights that change while one is in a document.

import { describe, expect, test } from 'vitest'
import type { DocId } from '../../src/protocol/ids.ts'
import type { Joined, Right, ServerMessage, User } from '../../src/protocol/messages.ts'
import { settle } from '../simulation/hand.ts'
import { notes, place, positionOf, type Speaker } from './place.ts'

const joinedBy = async (speaker: Speaker): Promise<Joined> => {
  const message = await speaker.join()
  if (message.kind !== 'joined') throw new Error(`not joined but ${JSON.stringify(message)}`)
  return message
}

/** What a client was told of its rights and its edits. */
const told = (messages: readonly ServerMessage[]) =>
  messages.flatMap(message => {
    switch (message.kind) {
      case 'right':
        return [message.right]
      case 'left':
        return [`left: ${message.refusal.code}, ${message.refusal.advice}`]
      case 'refused':
        return [`${message.seq}: ${message.refusal.code}, ${message.refusal.advice}`]
      case 'commits':
        return message.commits.map(({ author, seq }) => `${author.replaceAll('_', '')} ${seq}`)
      default:
        return []
    }
  })

/** Ada and Ben in an empty document. */
const two = async () => {
  const here = place()
  const [ada, ben] = [here.speaker('ada'), here.speaker('ben')]
  const [a, b] = [await joinedBy(ada), await joinedBy(ben)]
  here.clock.pass(1_000) // they have seen each other
  ada.news()
  ben.news()
  return { ...here, ada, ben, a, b, at: positionOf(a) }
}

describe('[P6] the right of somebody who is in', () => {
  test('to write goes and comes back: it is told, and holds from that moment on; others notice nothing', async () => {
    const { ada, ben, a, at, log, clock } = await two()
    await ada.may('read')
    await ada.submit(a, at, 1, ['x'])
    expect(told(ada.news())).toEqual(['read', '1: forbidden, stop'])
    await ada.say({ kind: 'present', handle: a.handle, version: 0, state: { cursor: 0 } })
    clock.pass(1_000)
    expect(ben.news()).toMatchObject([{ kind: 'presence', changes: [{ kind: 'here', state: { cursor: 0 } }] }])
    await ada.may('write')
    await ada.submit(a, at, 2, ['y'])
    expect(told(ada.news())).toEqual(['write', 'ada 2'])
    expect(log.entries(notes, 0, 9)).toHaveLength(1)
  })

  test('that stays as it is is not told again', async () => {
    const { ada } = await two()
    await ada.may('write')
    expect(ada.news()).toEqual([])
  })

  test('to read goes: he is put out, the others see him go, and what he sends is nobody’s', async () => {
    const { ada, ben, a, at, clock, log } = await two()
    await ada.may('none')
    await ada.submit(a, at, 1, ['x'])
    await ada.say({ kind: 'present', handle: a.handle, version: 0, state: {} })
    expect(told(ada.news())).toEqual(['left: forbidden, stop', '1: not-joined, rejoin', 'null: not-joined, rejoin'])
    clock.pass(1_000)
    expect(ben.news()).toMatchObject([{ kind: 'presence', changes: [{ kind: 'gone', peer: a.peer }] }])
    expect(log.entries(notes, 0, 9)).toEqual([])
    expect(await ada.join()).toMatchObject({ kind: 'refused', refusal: { code: 'forbidden' } })
    await ada.may('read')
    expect(await ada.join()).toMatchObject({ kind: 'joined', right: 'read' })
  })

  test('is asked for anew where it was asked about, and for one document alone where that is named', async () => {
    const asked: string[] = []
    const here = place({
      authorize: async (_, doc): Promise<Right> => {
        asked.push(doc)
        return 'write'
      },
    })
    const ada = here.speaker('ada')
    for (const doc of ['one', 'two'] as DocId[]) await ada.join(null, doc)
    ada.connection.recheck('two' as DocId)
    ada.connection.recheck('three' as DocId)
    await here.flow()
    ada.connection.recheck(null)
    await here.flow()
    expect(asked).toEqual(['one', 'two', 'two', 'one', 'two'])
  })

  test('that cannot be found out puts him out for a while', async () => {
    let away = false
    const here = place({ authorize: async () => (away ? Promise.reject(new Error('away')) : 'write') })
    const ada = here.speaker('ada')
    const a = await joinedBy(ada)
    away = true
    ada.connection.recheck(null)
    await here.flow()
    expect(told(ada.news())).toEqual(['left: unavailable, retry'])
    await ada.submit(a, positionOf(a), 1, ['x'])
    expect(here.log.entries(notes, 0, 9)).toEqual([])
  })

  test('is asked for once at a time, and the last answer holds', async () => {
    const questions: ((right: Right) => void)[] = []
    const here = place({ authorize: () => new Promise(resolve => questions.push(resolve)) })
    const ada = here.speaker('ada')
    const joining = ada.join()
    await settle()
    questions.shift()!('write')
    await here.flow()
    expect(await joining).toMatchObject({ kind: 'joined', right: 'write' })
    for (let i = 0; i < 3; i++) ada.connection.recheck(null)
    await settle()
    expect(questions).toHaveLength(1)
    questions.shift()!('read') // an answer to the first reason only
    await settle()
    expect(questions).toHaveLength(1)
    questions.shift()!('write')
    await settle()
    expect(questions).toEqual([])
    expect(told(ada.news())).toEqual(['read', 'write'])
  })
})

describe('[P6] an edit of somebody who may no longer write', () => {
  /** Ada has sent two edits: the first is on its way into the log, the second waits. */
  const underWay = async () => {
    const world = await two()
    const { ada, a, at, hand } = world
    for (const [seq, text] of [
      [1, 'one'],
      [2, 'two'],
    ] as const)
      ada.connection.receive({ kind: 'submit', handle: a.handle, seq, position: at, op: [text] })
    await settle()
    const append = hand.calls.find(({ name }) => name === 'append')!
    world.ada.connection.recheck(null)
    return { ...world, append }
  }

  test('that waits is refused, and one that is on its way into the log is a commit', async () => {
    const { ada, ben, append, log, flow, ...world } = await underWay()
    const downgraded = ada.may('read')
    append.answer()
    await downgraded
    await flow()
    expect(told(ada.news())).toEqual(['read', 'ada 1', '2: forbidden, stop'])
    expect(told(ben.news())).toEqual(['ada 1'])
    expect(log.entries(notes, 0, 9)).toHaveLength(1)
    await ben.submit(world.b, world.at, 1, ['ben'])
    expect(told(ben.news())).toEqual(['ben 1'])
  })

  test('of which nobody knows whether it is in is looked for first, and refused only if it is not', async () => {
    for (const happened of [true, false]) {
      const { ada, append, log, flow } = await underWay()
      if (happened) append.execute()
      append.fail()
      await ada.may('read')
      await flow()
      expect(told(ada.news())).toEqual(
        happened ? ['read', 'ada 1', '2: forbidden, stop'] : ['read', '1: forbidden, stop', '2: forbidden, stop'],
      )
      expect(log.entries(notes, 0, 9)).toHaveLength(happened ? 1 : 0)
    }
  })

  test('and who is put out is not answered any more; what he had waiting does not come in later', async () => {
    const { ada, append, log, flow } = await underWay()
    const gone = ada.may('none')
    append.answer()
    await gone
    await flow()
    expect(told(ada.news())).toEqual(['left: forbidden, stop'])
    expect(log.entries(notes, 0, 9)).toHaveLength(1)
  })

  test('who has left by himself loses nothing that he sent before', async () => {
    const { ada, append, log, flow, a } = await underWay()
    ada.connection.receive({ kind: 'leave', handle: a.handle })
    append.answer()
    await flow()
    expect(log.entries(notes, 0, 9)).toHaveLength(2)
  })
})

describe('[P6] a right that changes while one is joining', () => {
  test.each([
    ['read', { kind: 'joined', right: 'read' }],
    ['none', { kind: 'refused', doc: notes, refusal: { code: 'forbidden', advice: 'stop' } }],
    [null, { kind: 'refused', doc: notes, refusal: { code: 'unavailable', advice: 'retry' } }],
  ] as const)('to %s is the one with which he joins', async (later, answer) => {
    let right: Right | null = 'write'
    const here = place({
      flowing: false,
      authorize: async (_: User) => right ?? Promise.reject(new Error('away')),
    })
    const ada = here.speaker('ada')
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await settle()
    expect(here.hand.calls.length).toBeGreaterThan(0) // the document is being opened: the first answer has been given
    right = later
    ada.connection.recheck(notes)
    await settle()
    await here.flow()
    expect(ada.news().filter(({ kind }) => kind === 'joined' || kind === 'refused')).toMatchObject([answer])
  })

  test('before the first answer has come is asked about again before he is in', async () => {
    const questions: ((right: Right) => void)[] = []
    const here = place({ authorize: () => new Promise(resolve => questions.push(resolve)) })
    const ada = here.speaker('ada')
    ada.connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    await here.flow()
    ada.connection.recheck(null)
    questions.shift()!('write')
    await here.flow()
    expect(ada.news()).toEqual([])
    questions.shift()!('read')
    await here.flow()
    expect(ada.news()).toMatchObject([{ kind: 'joined', right: 'read' }])
  })
})

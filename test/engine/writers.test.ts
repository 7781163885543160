// A document with more writers than places, and with more than the node has time for.

import { describe, expect, it, test } from 'vitest'
import { Writers } from '../../src/engine/writers.ts'
import type { AuthorId, Seq } from '../../src/protocol/ids.ts'
import type { Joined, ServerMessage } from '../../src/protocol/messages.ts'
import { joinedBy, place, positionOf, type Speaker } from './place.ts'

const names = (authors: readonly string[]): AuthorId[] => authors as AuthorId[]
const [ann, ben, cat, dan] = names(['ann', 'ben', 'cat', 'dan']) as [AuthorId, AuthorId, AuthorId, AuthorId]

describe('the writers of a document', () => {
  it('[P5] are so many as there are places, and who is turned away gets the next one, in that order', () => {
    const writers = new Writers(2, 1_000, 1)
    expect([ann, ben, cat, dan, cat, ann].map((author, i) => writers.wrote(author, i * 20))).toEqual([
      true,
      true,
      false,
      false,
      false,
      true,
    ])
    expect([ann, ben, cat].map(author => writers.may(author))).toEqual([true, true, false])
    expect(writers.look(900, 0)).toEqual({ came: [], went: [], opened: false }) // both may be thinking
    expect(writers.look(1_030, 0)).toEqual({ came: [cat], went: [ben], opened: false }) // ann has written since
    expect(writers.wrote(ben, 1_031)).toBe(false)
    expect(writers.look(2_100, 0)).toEqual({ came: [dan, ben], went: [ann, cat], opened: false })
  })

  it('[P5] who waits for none any more is passed by, and where nobody waits there is room for whoever comes', () => {
    const writers = new Writers(1, 1_000, 1)
    expect([ann, ben].map(author => writers.wrote(author, 0))).toEqual([true, false])
    writers.left(ben)
    expect(writers.look(900, 0)).toEqual({ came: [], went: [], opened: false })
    expect(writers.look(1_100, 0)).toEqual({ came: [], went: [], opened: true })
    expect([ann, ben].map(author => writers.may(author))).toEqual([true, true])
    expect(writers.wrote(ben, 1_200)).toBe(true)
  })

  it('[P8] leave more time between their edits while the node is busy, by their number, and as little as before when it is calm', () => {
    const writers = new Writers(1_000, 1_000, 1)
    for (let i = 0; i < 400; i++) writers.wrote(`w${i}` as AuthorId, 0)
    const paces = [0.9, 0.9, 0.9, 0.9, 0.9, 0.6, 0.3, 0.3, 0.3, 0.3, 0.3].map(load => {
      writers.look(0, load)
      return writers.pace(50)
    })
    expect(paces).toEqual([100, 200, 300, 400, 400, 400, 300, 200, 100, 0, 0])
  })

  it('[P8] of whom there are few are never slowed down: they are not what keeps the node busy', () => {
    const writers = new Writers(1_000, 1_000, 1)
    for (let i = 0; i < 40; i++) writers.wrote(`w${i}` as AuthorId, 0)
    for (let i = 0; i < 9; i++) writers.look(0, 1)
    expect(writers.pace(50)).toBe(0)
  })
})

const told = (messages: readonly ServerMessage[]): unknown[] =>
  messages.flatMap(message =>
    message.kind === 'right'
      ? [[message.right, message.pace] as unknown]
      : message.kind === 'refused'
        ? [message.refusal.code]
        : [],
  )

describe('a document that is full', () => {
  const crowd = async () => {
    const world = place({ limits: { writersPerDocument: 2, writerActive: 10_000 } })
    const all: Speaker[] = []
    for (const name of ['ann', 'ben', 'cat', 'eve']) all.push(world.speaker(name, name === 'eve' ? 'read' : 'write'))
    const [ann, ben, cat, eve] = all as [Speaker, Speaker, Speaker, Speaker]
    const stays: Joined[] = []
    for (const speaker of all) stays.push(joinedBy(await speaker.join()))
    const writes = (who: number, seq: number) =>
      all[who]!.submit(stays[who]!, positionOf(stays[who]!), seq as Seq, [`${'abc'[who]}${seq}`])
    return { ...world, ann, ben, cat, eve, stays, writes }
  }

  test('[P3] [P5] turns later writers into readers, who are told so, and into writers again when there is room', async () => {
    const { ann, ben, cat, eve, clock, writes, engine } = await crowd()
    await writes(0, 1)
    await writes(1, 1)
    for (const speaker of [ann, ben, cat, eve]) speaker.news()
    await writes(2, 1)
    expect([ann, ben, eve].map(speaker => told(speaker.news()))).toEqual([[], [], []])
    expect(told(cat.news())).toEqual([['full', 0], 'too-many-writers'])
    clock.pass(6_000)
    await writes(1, 2)
    clock.pass(5_000)
    expect([told(ann.news()), told(ben.news()), told(cat.news())]).toEqual([[['full', 0]], [], [['write', 0]]])
    await writes(2, 1)
    expect(told(cat.news())).toEqual([])
    expect((await engine.read('notes' as never))?.value).toBe('c1b2b1a1')
  })

  test('says so to whoever joins, and neither a broken line nor the right of others changes who has a place', async () => {
    const { ann, cat, writes, speaker, clock } = await crowd()
    await writes(0, 1)
    await writes(1, 1)
    await writes(2, 1)
    cat.connection.close()
    ann.connection.close()
    const late = speaker('late')
    expect(joinedBy(await late.join()).right).toBe('full')
    expect(joinedBy(await speaker('ann').join()).right).toBe('write')
    expect(joinedBy(await speaker('eve', 'read').join()).right).toBe('read')
    clock.pass(20_000)
    expect(told(late.news())).toEqual([['write', 0]])
  })

  test('tells of it, for metrics and log', async () => {
    const { events, writes, clock, engine } = await crowd()
    for (const who of [0, 1, 2]) await writes(who, 1)
    expect(engine.counts).toMatchObject({ full: 1, paced: 0 })
    clock.pass(20_000)
    expect(engine.counts).toMatchObject({ full: 0, paced: 0 })
    expect(events.flatMap(event => (event.kind === 'crowded' ? [[event.writers, event.waiting, event.full]] : []))).toEqual([
      [2, 1, true],
      [1, 0, false],
    ])
  })
})

test('[P8] while the node is busy those who write in a crowd are told how long to gather, newcomers too, and when it is over', async () => {
  let load = 0
  const world = place({ limits: { writerPace: 60 }, load: () => ({ busy: load, writing: 0, spared: 0 }) })
  const [ann, ben] = [world.speaker('ann'), world.speaker('ben')]
  const [a, b] = [joinedBy(await ann.join()), joinedBy(await ben.join())]
  await ann.submit(a, positionOf(a), 1 as Seq, ['a'])
  await ben.submit(b, positionOf(b), 1 as Seq, ['b'])
  load = 1
  world.clock.pass(1_000)
  expect(told(ann.news())).toEqual([])
  world.clock.pass(9_000)
  expect(told(ann.news())).toEqual([
    ['write', 60],
    ['write', 90],
    ['write', 120],
  ])
  expect(world.engine.counts.paced).toBe(1)
  const eve = world.speaker('eve')
  await eve.say({ kind: 'join', doc: 'notes' as never, type: 'text', position: null })
  expect(told(eve.news())).toEqual([['write', 120]])
  load = 0
  world.clock.pass(9_000)
  expect(told(ann.news())).toEqual([
    ['write', 90],
    ['write', 60],
    ['write', 0],
  ])
  expect(world.events.flatMap(event => (event.kind === 'crowded' ? [event.pace] : []))).toEqual([60, 90, 120, 90, 60, 0])
})

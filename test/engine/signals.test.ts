import { describe, expect, test } from 'vitest'
import type { Handle } from '../../src/protocol/ids.ts'
import type { DocumentRequest, Joined, Presence, ServerMessage } from '../../src/protocol/messages.ts'
import { Roster } from '../roster.ts'
import { settle } from '../simulation/hand.ts'
import { notes, type Place, place, type Speaker } from './place.ts'

/** Some people in one document; nothing is left untold. */
const room = async (names: readonly string[], options: Parameters<typeof place>[0] = {}) => {
  const here = place(options)
  const people: { readonly speaker: Speaker; readonly joined: Joined }[] = []
  for (const name of names) {
    const speaker = here.speaker(name, name === 'reader' ? 'read' : 'write')
    people.push({ speaker, joined: (await speaker.join()) as Joined })
  }
  here.clock.pass(1_000)
  for (const { speaker } of people) speaker.news()
  return { here, people, speakers: people.map(({ speaker }) => speaker), handle: people[0]!.joined.handle }
}

const signal = (handle: Handle, name: string, payload: unknown = null): DocumentRequest =>
  ({ kind: 'signal', handle, name, payload }) as DocumentRequest

const presenceIn = (messages: readonly ServerMessage[]): Presence[] => messages.filter(message => message.kind === 'presence')

describe('a signal', () => {
  test('[W36] is heard by everybody else, by the user’s other connections too, under the name that the server vouches for', async () => {
    const { people, speakers, handle } = await room(['ada', 'ben', 'reader'])
    await speakers[0]!.say(signal(handle, 'wave', { to: 'all', user: { id: 'ben' } }))
    const heard = {
      kind: 'signalled',
      handle,
      peer: people[0]!.joined.peer,
      user: { id: 'ada' },
      name: 'wave',
      payload: { to: 'all', user: { id: 'ben' } },
    }
    expect(speakers.map(speaker => speaker.news())).toEqual([[], [heard], [heard]])
    await speakers[2]!.say(signal(handle, 'from a reader'))
    expect(speakers.map(speaker => speaker.news().length)).toEqual([1, 1, 0])
  })

  test('[W37] those of one connection arrive in their order; who joins later hears none of them', async () => {
    const { here, speakers, handle } = await room(['ada', 'ben'])
    for (let i = 0; i < 20; i++) speakers[0]!.connection.receive(signal(handle, 'n', i))
    await here.flow()
    expect(speakers[1]!.news().map(message => message.kind === 'signalled' && message.payload)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    )
    const late = here.speaker('late')
    await late.join()
    expect(late.heard.filter(({ kind }) => kind === 'signalled')).toEqual([])
  })

  test('[R14] from outside the document is refused, and reaches nobody', async () => {
    const { here, speakers, handle } = await room(['ada', 'ben'])
    const eve = here.speaker('eve')
    await eve.say(signal(handle, 'hello'))
    expect(eve.news()).toMatchObject([{ kind: 'refused', handle, seq: null, refusal: { code: 'not-joined' } }])
    await speakers[0]!.say({ kind: 'leave', handle })
    await speakers[0]!.say(signal(handle, 'hello'))
    expect(speakers[0]!.news()).toMatchObject([{ kind: 'refused', refusal: { code: 'not-joined' } }])
    expect(speakers[1]!.news().filter(({ kind }) => kind === 'signalled')).toEqual([])
  })

  test('[P5] [W38] too many of them are refused with a time to wait, long ones sooner; joining again gains nothing', async () => {
    const { here, speakers, handle } = await room(['ada', 'ben'], { limits: { signalsPerSecond: 10 } })
    const [ada, ben] = speakers as [Speaker, Speaker]
    const heard = () => ben.news().filter(({ kind }) => kind === 'signalled').length
    for (let i = 0; i < 30; i++) await ada.say(signal(handle, 'n', i))
    expect(heard()).toBe(10)
    expect(ada.news()).toEqual(
      Array(20).fill(expect.objectContaining({ refusal: expect.objectContaining({ code: 'slow-down', after: 100 }) })),
    )
    await ada.say({ kind: 'leave', handle })
    await ada.join()
    await ada.say(signal(handle, 'n'))
    expect(heard()).toBe(0)
    here.clock.pass(100)
    await ada.say(signal(handle, 'n'))
    expect(heard()).toBe(1)
    here.clock.pass(1_000)
    for (let i = 0; i < 3; i++) await ada.say(signal(handle, 'long', 'x'.repeat(5_000)))
    expect(heard()).toBe(2)
    await ben.say(signal(handle, 'n'))
    expect(
      ada.news().filter(({ kind }) => kind === 'signalled'),
      'each has a measure of its own',
    ).toHaveLength(1)
  })

  test('[P5] whoever reads too slowly is passed by', async () => {
    const { speakers, handle } = await room(['ada', 'ben', 'cat'])
    speakers[1]!.slow(true)
    await speakers[0]!.say(signal(handle, 'wave'))
    expect(speakers.map(speaker => speaker.news().length)).toEqual([0, 0, 1])
    speakers[1]!.slow(false)
    await speakers[0]!.say(signal(handle, 'wave'))
    expect(speakers.map(speaker => speaker.news().length)).toEqual([0, 1, 1])
  })

  test('what somebody else puts into the store is nobody’s news, unless it is a signal', async () => {
    const { here, speakers, handle } = await room(['ada'])
    const sound = { peer: 'p', user: { id: 'u' }, name: 'n', payload: 1 }
    const { signals } = here.hand.store
    for (const said of [
      null,
      7,
      'x',
      [],
      {},
      { ...sound, user: {} },
      { ...sound, peer: '' },
      { ...sound, name: '' },
      { ...sound, payload: undefined },
    ])
      signals.send(notes, said as never)
    signals.send(notes, { ...sound, handle: 999, kind: 'left' })
    await here.flow()
    expect(speakers[0]!.news()).toEqual([{ kind: 'signalled', handle, ...sound }])
    expect(here.events.filter(({ kind }) => kind === 'store-failed')).toEqual([])
  })
})

describe('presence for a client that reads too slowly', () => {
  test('[P5] waits, delays nobody else, and comes as a whole once the client has caught up', async () => {
    const { here, people, speakers, handle } = await room(['ada', 'ben', 'cat'])
    const [ada, ben, cat] = speakers as [Speaker, Speaker, Speaker]
    const start = presenceIn(ben.heard).length
    ben.slow(true)
    for (let n = 0; n < 100; n++) {
      await ada.say({ kind: 'present', handle, version: 0, state: { n } })
      here.clock.pass(100)
    }
    expect(presenceIn(cat.news())).toHaveLength(100)
    expect(presenceIn(ben.heard)).toHaveLength(start)
    cat.connection.close()
    here.clock.pass(100)
    ben.slow(false)
    here.clock.pass(100)
    const told = presenceIn(ben.news())
    expect(told).toMatchObject([{ kind: 'presence', people: 2, whole: true }])
    expect(Roster.of(ben.heard)).toMatchObject({ people: 2, names: [people[0]!.joined.peer, people[1]!.joined.peer].sort() })
    expect(told).toMatchObject([{ changes: expect.arrayContaining([expect.objectContaining({ state: { n: 99 } })]) }])
    await ada.say({ kind: 'present', handle, version: 0, state: { n: 100 } })
    here.clock.pass(100)
    expect(ben.news(), 'from then on as everybody').toMatchObject([
      { kind: 'presence', whole: false, changes: [{ state: { n: 100 } }] },
    ])
  })

  test('[P5] is not looked after any more when it leaves', async () => {
    const { here, speakers, handle } = await room(['ada', 'ben'])
    speakers[1]!.slow(true)
    await speakers[0]!.say({ kind: 'present', handle, version: 0, state: { n: 1 } })
    here.clock.pass(100)
    speakers[1]!.connection.close()
    here.clock.pass(100)
    const heard = speakers[0]!.heard.length
    here.clock.pass(5_000)
    expect(speakers[0]!.heard.length).toBe(heard)
  })
})

test('[P5] [P8] however often somebody moves, the board is told once in a tick, and of the last move', async () => {
  const { here, speakers, handle } = await room(['ada', 'ben'])
  const told: unknown[] = []
  await here.hand.store.presence.subscribe(notes, news => told.push(...news))
  for (let n = 1; n <= 1_000; n++) {
    speakers[0]!.connection.receive({ kind: 'present', handle, version: 0, state: { n } })
    here.clock.pass(1)
  }
  here.clock.pass(1_000)
  expect(told.length).toBeLessThanOrEqual(26)
  expect(told.at(-1)).toMatchObject({ kind: 'here', appearance: { state: { n: 1_000 } } })
  expect(Roster.of(speakers[1]!.heard).people).toBe(2)
  speakers[0]!.connection.receive({ kind: 'present', handle, version: 0, state: {} })
  speakers[0]!.connection.receive({ kind: 'present', handle, version: 0, state: { n: 0 } })
  speakers[0]!.connection.close()
  here.clock.pass(1_000)
  expect(told.at(-1), 'whoever leaves does not come back').toMatchObject({ kind: 'gone' })
})

describe('[P5] in a room with more people than places', () => {
  const crowd = async (size: number, limits: NonNullable<Parameters<typeof place>[0]>['limits'] = {}) =>
    room(
      Array.from({ length: size }, (_, i) => `p${i}`),
      { limits: { peersShown: 10, ...limits } },
    )

  const settled = async (here: Place): Promise<void> => {
    await here.flow()
    here.clock.pass(1_000)
  }

  test('[W33] [W34] everybody knows how many are here, and the same few of them', async () => {
    const { here, speakers } = await crowd(30)
    const shown = speakers.map(speaker => Roster.of(speaker.heard))
    expect(new Set(shown.map(({ people }) => people))).toEqual(new Set([30]))
    expect(shown[0]!.names).toHaveLength(10)
    const late = here.speaker('late')
    const joined = (await late.join()) as Joined
    expect(joined).toMatchObject({ people: 31 })
    expect(joined.peers.map(({ peer }) => peer).sort()).toEqual(shown[0]!.names)
    await settled(here)
    expect(presenceIn(speakers[0]!.news()), 'a newcomer costs a number').toEqual([
      expect.objectContaining({ people: 31, changes: [] }),
    ])
    late.connection.close()
    await settled(here)
    expect(presenceIn(speakers[0]!.news()), 'and so does one who leaves').toEqual([
      expect.objectContaining({ people: 30, changes: [] }),
    ])
  })

  test('[W34] whoever types or moves comes into a place, and the one who had it is gone', async () => {
    const { here, people, speakers, handle } = await crowd(12)
    const [eleventh, twelfth] = people.slice(10)
    here.clock.pass(20_000)
    for (const speaker of speakers) speaker.news()
    await eleventh!.speaker.say({ kind: 'present', handle, version: 0, state: { n: 1 } })
    await twelfth!.speaker.submit(twelfth!.joined, twelfth!.joined.content.position, 1, ['x'])
    await settled(here)
    const [told] = presenceIn(speakers[0]!.news())
    expect(told).toMatchObject({ people: 12 })
    expect(told!.changes.map(({ kind, peer }) => [kind, peer])).toEqual([
      ['gone', people[0]!.joined.peer],
      ['gone', people[1]!.joined.peer],
      ['here', eleventh!.joined.peer],
      ['here', twelfth!.joined.peer],
    ])
    expect(Roster.of(speakers[0]!.heard).names).toHaveLength(10)
  })

  test('[P8] a thousand who come at once cost each reader some frames, not a thousand; the list is asked for once', async () => {
    const here = place({ flowing: false, limits: { peersShown: 20 } })
    const speakers = Array.from({ length: 1_000 }, (_, i) => here.speaker(`p${i}`))
    for (const { connection } of speakers) connection.receive({ kind: 'join', doc: notes, type: 'text', position: null })
    const asked: string[] = []
    for (await settle(); here.hand.calls.length > 0; await settle()) {
      asked.push(here.hand.calls[0]!.name)
      here.hand.calls[0]!.answer()
    }
    expect(asked).toEqual(['open', 'presence'])
    here.clock.pass(1_000)
    for (const [i, { heard, connection }] of speakers.entries()) {
      const [joined] = heard as Joined[]
      if (i % 2 === 0) connection.receive({ kind: 'present', handle: joined!.handle, version: 0, state: { i } })
    }
    here.clock.pass(1_000)
    const frames = speakers.map(({ heard }) => presenceIn(heard))
    expect(Math.max(...frames.map(({ length }) => length))).toBeLessThan(8)
    expect(Math.max(...frames.flat().map(({ changes }) => changes.length))).toBeLessThanOrEqual(40)
    for (const { heard } of [speakers[0]!, speakers[999]!]) {
      const { people, names } = Roster.of(heard)
      expect([people, names.length]).toEqual([1_000, 20])
    }
  })
})

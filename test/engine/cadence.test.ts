// How commits are gathered into frames: at once while there is time, together when there is not.

import { describe, expect, it, test } from 'vitest'
import { Cadence, type Load } from '../../src/engine/cadence.ts'
import type { Limits } from '../../src/engine/limits.ts'
import type { Json } from '../../src/ot/type.ts'
import type { AuthorId, Position, Seq } from '../../src/protocol/ids.ts'
import type { Commits, ServerMessage } from '../../src/protocol/messages.ts'
import { settle } from '../simulation/hand.ts'
import { joinedBy, notes, place, positionOf, type Speaker } from './place.ts'

const saturated: Load = { busy: 1, writing: 1, spared: 0 }
const calm: Load = { busy: 0, writing: 0, spared: 0 }

const by = (...names: string[]) => names.map(name => ({ author: name.padEnd(16, '_') as AuthorId }))

/** Of a document in which two write in turns, so many edits of late. */
const cadenceOf = (edits: number, now = 0): Cadence => {
  const cadence = new Cadence()
  for (let i = 0; i < edits; i++) cadence.leaves(now, by(i % 2 === 0 ? 'ada' : 'bob'))
  return cadence
}
const busy = { load: () => saturated }

describe('the cadence of a document', () => {
  it('[P8] lets every frame go at once while the process has time and frames are cheap', () => {
    const cadence = new Cadence()
    for (let now = 0; now < 100; now++) {
      expect(cadence.wait(now, { busy: 0.2, writing: 0.2, spared: 0 }, 50)).toBe(0)
      cadence.leaves(now, by('ada', 'bob'))
      cadence.left(0.2, 1, 1_000, 50)
    }
  })

  it('[P8] waits longer the busier the process is, and no longer than the tick', () => {
    const cadence = cadenceOf(100)
    const waits = [0, 0.25, 0.3, 0.35, 0.45, 0.8, 1].map(busy =>
      Math.round(cadence.wait(0, { busy, writing: 0.2, spared: 0 }, 50)),
    )
    expect(waits).toEqual([0, 0, 12, 25, 50, 50, 50])
    expect(cadence.wait(49, saturated, 50)).toBe(1)
    expect(cadence.wait(51, saturated, 50)).toBe(0)
  })

  it('[P5] waits for nobody where the process is busy with something else than frames: fewer of them would spare nothing', () => {
    const cadence = cadenceOf(100)
    const waits = [0, 0.03, 0.05, 0.1, 0.15, 0.5].map(writing => Math.round(cadence.wait(0, { busy: 1, writing, spared: 0 }, 50)))
    expect(waits).toEqual([0, 0, 0, 25, 50, 50])
  })

  it('[P8] lets nobody wait who writes alone, however fast and however busy the process is: the wait would only slow him down', () => {
    const cadence = new Cadence()
    for (let now = 0; now < 1_000; now++) {
      expect(cadence.wait(now, saturated, 50)).toBe(0)
      cadence.leaves(now, by('ada'))
    }
  })

  it('[P8] waits where a tick brings edits of others, longer the more there are, and for fewer where the process is hard pressed', () => {
    const waits = (load: Load) => [5, 10, 20, 25, 30, 100].map(edits => Math.round(cadenceOf(edits).wait(0, load, 50)))
    expect(waits({ busy: 0.6, writing: 0.6, spared: 0 })).toEqual([0, 0, 17, 33, 50, 50])
    expect(waits(saturated)).toEqual([17, 50, 50, 50, 50, 50])
  })

  it('[P8] forgets the company of whom has not been heard for some seconds', () => {
    const cadence = cadenceOf(100)
    cadence.leaves(10_000, by('ada'))
    expect(cadence.wait(10_000, saturated, 50)).toBe(0)
  })

  it('[P5] does not take a pause of the machine for the cost of a frame', () => {
    const cadence = new Cadence()
    for (let i = 0; i < 100; i++) cadence.left(0.2, 1, 1_000, 50)
    cadence.left(100, 1, 1_000, 50) // a collection of garbage, say
    expect(cadence.interval({ busy: 0, writing: 0, spared: 0 }, 50)).toBeLessThan(3)
    for (let i = 0; i < 10; i++) cadence.left(10, 1, 1_000, 50) // a crowd has come
    expect(cadence.interval({ busy: 0, writing: 0, spared: 0 }, 50)).toBeGreaterThan(30)
  })

  it('[P8] gives a document of many readers a quarter of the process, and a half when it waits for a tick already', () => {
    const intervalAt = (cost: number) => {
      const cadence = new Cadence()
      for (let i = 0; i < 100; i++) cadence.left(cost, 1, 1_000, 50)
      return Math.round(cadence.interval({ busy: 0, writing: 0, spared: 0 }, 50))
    }
    expect([0.3, 1, 5, 10, 20, 25, 100].map(intervalAt)).toEqual([0, 4, 20, 40, 50, 50, 200])
  })

  it('[P8] takes no time that the machine was busy with something else for the cost of a frame for a few', () => {
    const cadence = new Cadence()
    for (let i = 0; i < 100; i++) cadence.left(5, 1, 3, 50)
    expect(cadence.interval({ busy: 0, writing: 0, spared: 0 }, 50)).toBe(0)
  })

  it('[P8] goes on waiting when waiting has made the process less busy', () => {
    const cadence = cadenceOf(100)
    expect(cadence.wait(0, { busy: 0.2, writing: 0.04, spared: 0.3 }, 50)).toBe(50)
    expect(cadence.left(0.1, 4, 1_000, 50)).toBeCloseTo(0.3)
  })

  it('[P8] does not count as spared what a document of many readers saves for its own sake', () => {
    const cadence = new Cadence()
    const spared = Array.from({ length: 20 }, () => cadence.left(5, 100, 1_000, 50))
    expect(spared.at(-1)).toBe(0)
  })
})

const commits = (of: Speaker): Commits[] =>
  of.heard.filter((message: ServerMessage): message is Commits => message.kind === 'commits')

/** Two have written in turns for a while, when the process was calm; calls to the store are answered at once. Versions count from there. */
const pair = async (options: Parameters<typeof place>[0] = {}) => {
  let begun = false
  const world = place({
    ...options,
    load: () => (begun ? (options.load?.() ?? calm) : calm),
    writing: frame => (begun ? options.writing?.(frame) : undefined),
  })
  const ada = world.speaker('ada')
  const bob = world.speaker('bob')
  const joined = joinedBy(await ada.join())
  const bobs = joinedBy(await bob.join())
  let at: Position = positionOf(joined)
  let seq = 0
  const types = async (op: Json = ['x']): Promise<void> => {
    await ada.submit(joined, at, ++seq as Seq, op)
    at = { ...at, ...commits(ada).at(-1)?.position }
  }
  for (let turn = 1; turn <= 60; turn++) {
    await types()
    await bob.submit(bobs, at, turn as Seq, ['y'])
    at = { ...at, ...commits(ada).at(-1)?.position }
  }
  world.clock.pass(300)
  bob.news()
  begun = true
  const { version } = at
  return {
    ...world,
    ada,
    bob,
    types,
    /** Its version, from there. */
    since: ({ version: of }: Pick<Position, 'version'>) => of - version,
    heardBy: (speaker: Speaker) =>
      commits(speaker).flatMap(({ from, commits }) => (from < version ? [] : [[from - version, commits.length]])),
  }
}

test('[P8] while the process is busy, what comes within a tick goes in one frame', async () => {
  const { clock, bob, types, heardBy } = await pair(busy)
  for (let i = 0; i < 5; i++) await types()
  expect(heardBy(bob)).toEqual([[0, 1]]) // the first did not wait
  clock.pass(49)
  expect(heardBy(bob)).toEqual([[0, 1]])
  clock.pass(1)
  expect(heardBy(bob)).toEqual([
    [0, 1],
    [1, 4],
  ])
})

/** What is said of commits and of one thing more, and whether it left together with others. */
const togetherness = () => {
  let open = false
  const said: [kind: string, together: boolean][] = []
  const listens = (other: ServerMessage['kind']): Pick<NonNullable<Parameters<typeof place>[0]>, 'together' | 'deliver'> => ({
    together: say => {
      open = true
      say()
      open = false
    },
    deliver: (_, { kind }) => {
      if (kind === 'commits' || kind === other) said.push([kind, open])
    },
  })
  return { said, listens }
}

test('[P8] news of people that are due leave with the frame of commits, and not once more', async () => {
  const { said, listens } = togetherness()
  const { clock, types, bob, ada } = await pair({
    ...busy,
    ...listens('presence'),
  })
  await types()
  clock.pass(1_000) // who has come is told, and that one writes
  said.length = 0
  const { handle } = joinedBy(bob.heard.find(({ kind }) => kind === 'joined')!)
  await types()
  await bob.say({ kind: 'present', handle, version: 1 as never, state: { caret: 1 } })
  await types()
  await settle()
  clock.pass(50)
  expect(said.filter(([kind]) => kind === 'presence')).toEqual([['presence', true]])
  expect(said.at(-2)).toEqual(['commits', true])
  clock.pass(1_000)
  expect(said.filter(([kind]) => kind === 'presence')).toHaveLength(1)
  expect(ada.heard.at(-1)).toMatchObject({ kind: 'presence' })
})

test('[P8] a beat leaves with the commits that wait, in one write', async () => {
  const { said, listens } = togetherness()
  const { clock, types } = await pair({
    load: () => ({ busy: 0.9, writing: 0.3, spared: 0 }),
    limits: { beat: 320, presenceTick: 3_600_000 },
    ...listens('beat'),
  })
  await types()
  await types() // waits
  said.length = 0
  clock.pass(20)
  expect(said).toEqual([
    ['commits', true],
    ['beat', true],
  ])
})

test('[P8] a frame waits until the one before it has been written to everybody', async () => {
  const written: ((ms: number) => void)[] = []
  const writing = () => new Promise<number>(resolve => written.push(resolve))
  const { clock, bob, types, heardBy } = await pair({ writing })
  for (let i = 0; i < 3; i++) await types()
  clock.pass(1_000)
  expect(heardBy(bob)).toEqual([[0, 1]])
  written.shift()!(1)
  await settle()
  expect(heardBy(bob)).toEqual([
    [0, 1],
    [1, 2],
  ])
})

test('[P1] whoever joins while a frame waits hears of no commit twice', async () => {
  const { speaker, clock, types, heardBy, since } = await pair(busy)
  await types()
  await types() // waits
  const eve = speaker('eve')
  expect(since(positionOf(await eve.join()))).toBe(2)
  await types()
  clock.pass(50)
  expect(heardBy(eve)).toEqual([[2, 1]])
})

test('[P1] whoever comes back to a frame that waits hears of no commit twice', async () => {
  const { speaker, clock, types, heardBy } = await pair(busy)
  await types()
  const eve = speaker('eve')
  await eve.join()
  eve.slow(true)
  await types()
  clock.pass(50) // passes by eve
  await types() // waits
  eve.slow(false)
  clock.pass(40) // brings eve to the head
  expect(heardBy(eve)).toEqual([[1, 2]])
  await types()
  clock.pass(50)
  expect(heardBy(eve)).toEqual([
    [1, 2],
    [3, 1],
  ])
})

test('[P1] a beat tells of no place to which the commits before it have not led', async () => {
  const world = await pair({ ...busy, limits: { frameTick: 60_000, beat: 1_000 } })
  await world.types()
  await world.types()
  world.clock.pass(1_000)
  await world.flow()
  const kinds = world.bob.heard.flatMap(message =>
    message.kind === 'commits' || message.kind === 'beat' ? [[message.kind, world.since(message.position)] as const] : [],
  )
  expect(kinds.filter(([, version]) => version > 0)).toEqual([
    ['commits', 2],
    ['beat', 2],
  ])
})

test('[P2] when the log turns out to be another one, what was committed is told before everybody has to join again', async () => {
  const world = await pair(busy)
  await world.types()
  await world.types()
  world.log.lose(notes, 1)
  await world.types()
  const kinds = world.bob
    .news()
    .map(({ kind }) => kind)
    .filter(kind => kind === 'commits' || kind === 'left')
  expect(kinds).toEqual(['commits', 'commits', 'left'])
})

test('[P7] edits that wait for their frame are under way: a node that stops sends them first', async () => {
  const { engine, clock, bob, types, heardBy } = await pair(busy)
  await types()
  await types()
  const closed = engine.close()
  clock.pass(50)
  clock.pass(5)
  await closed
  expect(heardBy(bob)).toEqual([
    [0, 1],
    [1, 1],
  ])
})

describe('those who only read', () => {
  /** Ada and Bob write, and Eve and Dora look on; the node is busy, or is not. */
  const watched = async (limits: Partial<Limits> = {}) => {
    let load = { busy: 1, writing: 1, spared: 0 }
    const world = await pair({ load: () => load, limits })
    const [eve, dora] = [world.speaker('eve', 'read'), world.speaker('dora', 'read')]
    await eve.join()
    await world.types()
    return { ...world, eve, dora, calm: () => (load = { busy: 0, writing: 0, spared: 0 }) }
  }

  test('[P8] get a fifth of the frames while the node is busy, and theirs when it is not', async () => {
    const { clock, bob, eve, types, heardBy, calm } = await watched()
    for (let i = 0; i < 10; i++) {
      await types()
      clock.pass(50)
    }
    expect(heardBy(bob).length).toBe(11)
    expect(heardBy(eve)).toEqual([
      [0, 1],
      [1, 5],
      [6, 5],
    ])
    calm()
    await types()
    await types()
    expect(heardBy(eve).slice(3)).toEqual([
      [11, 1],
      [12, 1],
    ])
  })

  test('[P2] get what is held for them also when it was not due yet as their alarm rang', async () => {
    const load = { busy: 0.35, writing: 1, spared: 0 }
    const { clock, types, heardBy, ...world } = await pair({ load: () => load })
    const eve = world.speaker('eve', 'read')
    await eve.join()
    await types()
    clock.pass(50)
    await types()
    load.busy = 1
    clock.pass(1_000)
    expect(
      heardBy(eve)
        .map(([from, count]) => from + count)
        .at(-1),
    ).toBe(2)
  })

  test('[P1] hear of no commit twice and miss none, whenever they come, fall behind, may write, or may no longer', async () => {
    const { clock, bob, eve, dora, types, heardBy, since } = await watched()
    await types()
    clock.pass(50)
    expect(since(positionOf(await dora.join()))).toBe(2)
    await types()
    await eve.may('write')
    expect([heardBy(eve), heardBy(dora)]).toEqual([
      [
        [0, 1],
        [1, 2],
      ],
      [[2, 1]],
    ])
    await types()
    clock.pass(50)
    expect([heardBy(eve).at(-1), heardBy(dora).at(-1)]).toEqual([
      [3, 1],
      [2, 1],
    ])
    await bob.may('read')
    dora.slow(true)
    await types()
    clock.pass(300)
    dora.slow(false)
    clock.pass(40)
    await types()
    clock.pass(300)
    for (const [speaker, first] of [
      [bob, 0],
      [eve, 0],
      [dora, 2],
    ] as const) {
      let at: number = first
      for (const [from, count] of heardBy(speaker)) {
        expect(from).toBe(at)
        at += count!
      }
      expect(at).toBe(6)
    }
  })

  test('[P1] [P2] are where a beat says before it says so, and what they have still to hear keeps a node from stopping', async () => {
    const world = await watched()
    await world.types()
    world.clock.pass(50)
    expect(world.heardBy(world.eve)).toEqual([[0, 1]])
    const closed = world.engine.close()
    world.clock.pass(5)
    await settle()
    expect(world.heardBy(world.eve)).toEqual([[0, 1]])
    for (let i = 0; i < 50; i++) {
      world.clock.pass(5)
      await settle()
    }
    await closed
    expect(world.heardBy(world.eve)).toEqual([
      [0, 1],
      [1, 1],
    ])
    const other = await watched({ beat: 1_000 }) // of which a third is over
    await other.types()
    other.clock.pass(50)
    other.clock.pass(500)
    await other.types()
    await other.types()
    other.clock.pass(50) // for the writers
    other.clock.pass(100)
    await other.flow()
    const kinds = other.eve.heard.flatMap(message =>
      message.kind === 'commits' || message.kind === 'beat' ? [[message.kind, other.since(message.position)]] : [],
    )
    expect(kinds).toEqual([
      ['commits', 1],
      ['commits', 2],
      ['commits', 3],
      ['commits', 4],
      ['beat', 4],
    ])
  })
})

describe('a pause of the machine', () => {
  test('[P5] [P8] leaves all of a busy document behind in one moment: they get what they lack from one encoding, and nobody joins again', async () => {
    const said: (readonly [readers: number, kind: string])[] = []
    const world = await pair({
      deliver: (outlets, { kind }) => said.push([outlets.length, kind]),
      limits: { catchUpCommits: 10 },
    })
    const all = [world.bob, ...['eve', 'dora', 'cleo'].map(name => world.speaker(name))]
    for (const speaker of all.slice(1)) await speaker.join()
    world.clock.pass(1_000)
    await world.flow()
    for (const speaker of all) speaker.slow(true)
    for (let i = 0; i < 500; i++) await world.types()
    said.length = 0
    for (const speaker of all) speaker.slow(false)
    world.clock.pass(40)
    expect(said.filter(([, kind]) => kind === 'commits')).toEqual([[4, 'commits']])
    for (const speaker of all) {
      expect(world.heardBy(speaker)).toEqual([[0, 500]])
      expect(speaker.heard.filter(({ kind }) => kind === 'left')).toEqual([])
    }
  })

  test('[P5] who lacks so much for longer is too slow for the document, and joins again', async () => {
    const world = await pair({ limits: { catchUpCommits: 10, catchUpTime: 5_000 } })
    world.bob.slow(true)
    for (let i = 0; i < 20; i++) await world.types()
    world.clock.pass(5_100)
    world.bob.slow(false)
    world.clock.pass(40)
    expect(world.bob.heard.findLast(({ kind }) => kind === 'left')).toMatchObject({ refusal: { code: 'history-gone' } })
  })
})

describe('fairness', () => {
  test('[P8] between documents: one whose frames take all the time there is waits for itself, and another’s at most a tick', async () => {
    const settles: (() => void)[] = []
    // The frames of the first document take a tenth of a second each, those of any other nothing.
    const writing = ({ handle }: Commits) =>
      handle === 1 ? new Promise<number>(resolve => settles.push(() => resolve(100))) : undefined
    const world = await pair({ writing, load: () => ({ busy: 1, writing: 1, spared: 0 }) })
    const written = async () => {
      for (const settle of settles.splice(0)) settle()
      await settle()
    }
    const frames = (speaker: Speaker): number => commits(speaker).length
    for (let i = 0; i < 60; i++) {
      await world.types()
      await written()
      world.clock.pass(250)
      await written()
    }
    expect(Math.round(world.engine.counts.interval)).toBe(200) // above a tick: it is saturated, and says so
    const cleo = world.speaker('cleo')
    const elsewhere = joinedBy(await cleo.join(null, 'other' as never))
    await cleo.submit(elsewhere, positionOf(elsewhere), 1 as Seq, ['a'])
    const [hot, other] = [frames(world.bob), frames(cleo)]
    expect(other).toBe(1)
    await world.types()
    await world.types()
    await cleo.submit(elsewhere, positionOf(elsewhere), 2 as Seq, ['b'])
    world.clock.pass(50)
    await written()
    expect([frames(world.bob) - hot, frames(cleo) - other]).toEqual([1, 1])
    world.clock.pass(100)
    await written()
    expect(frames(world.bob) - hot).toBe(1)
    world.clock.pass(60)
    expect(frames(world.bob) - hot).toBe(2)
  })

  test('[P8] the interval is above a tick only where one document’s frames take more than half of the process', async () => {
    let ms = 5
    const world = await pair({ writing: () => Promise.resolve(ms) })
    const intervalAt = async (taken: number) => {
      ms = taken
      for (let i = 0; i < 30; i++) {
        await world.types()
        await settle()
        world.clock.pass(1_000)
        await settle()
      }
      return Math.round(world.engine.counts.interval)
    }
    expect([await intervalAt(0.2), await intervalAt(5), await intervalAt(25), await intervalAt(40)]).toEqual([0, 20, 50, 80])
  })

  test('[P5] between writers: whoever sends as much as may wait is in the same append and the same frame as who sends one edit', async () => {
    const world = place({ flowing: false })
    const [mallory, ann] = [world.speaker('mallory'), world.speaker('ann')]
    const enters = async (speaker: Speaker) => {
      const joining = speaker.join()
      await world.flow()
      return joinedBy((await joining) ?? speaker.heard.find(({ kind }) => kind === 'joined')!)
    }
    const [m, a] = [await enters(mallory), await enters(ann)]
    await mallory.submit(m, positionOf(m), 1 as Seq, ['0']) // on its way into the log
    for (let seq = 2; seq < 30; seq++) await mallory.submit(m, positionOf(m), seq as Seq, ['m'])
    await ann.submit(a, positionOf(a), 1 as Seq, ['a'])
    await world.flow()
    const mine = commits(ann).find(frame => frame.commits.some(({ author }) => author.startsWith('ann')))!
    expect(mine.commits.length).toBe(17)
    expect(mallory.heard.filter(({ kind }) => kind === 'refused').length).toBe(12)
  })
})

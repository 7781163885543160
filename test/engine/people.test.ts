import { describe, expect, test } from 'vitest'
import { People, type PeopleNews } from '../../src/engine/people.ts'
import type { Appearance } from '../../src/engine/ports.ts'
import type { AuthorId, PeerId } from '../../src/protocol/ids.ts'
import type { PresenceState } from '../../src/protocol/messages.ts'
import { seeded } from '../../src/testing/random.ts'

const seed = Number(process.env.SEED ?? Date.now() % 1e9)

const appearance = (author: string, state: PresenceState = {}, peer = author): Appearance => ({
  peer: peer as PeerId,
  user: { id: author },
  author: author as AuthorId,
  version: 0,
  state,
})

/** What somebody knows who has heard all news. */
class Reader {
  readonly peers = new Map<string, PresenceState>()
  people = 0
  /** How often each peer was told to be gone. */
  readonly gone: string[] = []

  hears(news: PeopleNews | null): void {
    if (news === null) return
    this.people = news.people
    for (const change of news.changes) {
      if (change.kind === 'here') this.peers.set(change.peer, change.state)
      else if (this.peers.delete(change.peer)) this.gone.push(change.peer)
    }
  }

  get names(): string[] {
    return [...this.peers.keys()].sort()
  }
}

const room = (places: number, ...names: string[]) => {
  const people = new People(places, 10_000)
  for (const name of names) people.here(appearance(name), 0)
  const reader = new Reader()
  reader.hears(people.news())
  return { people, reader }
}

describe('a room with a place for everybody', () => {
  test('shows all of them, tells each change once, and nothing where nothing has changed', () => {
    const { people, reader } = room(3, 'ann', 'ben')
    expect(reader).toMatchObject({ people: 2, names: ['ann', 'ben'] })
    people.here(appearance('ann'), 1) // a store says again what it is not sure to have said
    people.wrote('ann' as AuthorId, 2)
    people.wrote('stranger' as AuthorId, 2)
    people.gone('stranger' as PeerId)
    expect(people.news()).toBeNull()
    people.here(appearance('ann', { n: 1 }), 3)
    people.here(appearance('ann', { n: 2 }), 4)
    expect(people.news()).toEqual({ people: 2, changes: [{ kind: 'here', ...appearance('ann', { n: 2 }) }] })
    people.gone('ann' as PeerId)
    people.gone('ann' as PeerId)
    expect(people.news()).toEqual({ people: 1, changes: [{ kind: 'gone', peer: 'ann' }] })
    expect(people.news()).toBeNull()
  })

  test('says nothing of somebody who came and went between two news', () => {
    const { people } = room(3, 'ann')
    people.here(appearance('eve'), 1)
    people.gone('eve' as PeerId)
    expect(people.news()).toBeNull()
  })

  test('takes two lines of one author for one person, and shows the one that came last', () => {
    const { people, reader } = room(3, 'ann')
    people.here(appearance('ben', { n: 1 }, 'old line'), 1)
    reader.hears(people.news())
    people.here(appearance('ben', { n: 2 }, 'new line'), 2)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 2, names: ['ann', 'new line'], gone: ['old line'] })
    people.gone('old line' as PeerId)
    expect(people.news()).toBeNull()
    people.gone('new line' as PeerId)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 1, names: ['ann'] })
  })
})

describe('[P5] a room with more people than places', () => {
  test('a newcomer and a leaver who do nothing cost a number', () => {
    const { people, reader } = room(2, 'ann', 'ben')
    people.here(appearance('cat'), 1)
    expect(people.news()).toEqual({ people: 3, changes: [] })
    people.gone('cat' as PeerId)
    expect(people.news()).toEqual({ people: 2, changes: [] })
    expect(reader.gone).toEqual([])
  })

  test('whoever does something takes the place of whoever has been silent longest', () => {
    const { people, reader } = room(2, 'ann', 'ben', 'cat', 'dan')
    people.here(appearance('ann', { n: 1 }), 5_000)
    people.here(appearance('cat', { n: 1 }), 20_000)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 4, names: ['ann', 'cat'], gone: ['ben'] })
    people.wrote('dan' as AuthorId, 20_000)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 4, names: ['cat', 'dan'], gone: ['ben', 'ann'] })
  })

  test('whoever is at it keeps the place: where all are, nobody comes and goes', () => {
    const { people, reader } = room(2, 'ann', 'ben', 'cat')
    for (let now = 1_000; now < 60_000; now += 1_000) {
      for (const name of ['ann', 'ben', 'cat']) people.here(appearance(name, { now }), now)
      reader.hears(people.news())
    }
    expect(reader).toMatchObject({ people: 3, names: ['ann', 'ben'], gone: [] })
  })

  test('a place that falls free goes to whoever was active last', () => {
    const { people, reader } = room(1, 'ann', 'ben', 'cat')
    people.here(appearance('ann', { n: 1 }), 1_000)
    people.here(appearance('cat', { n: 1 }), 2_000)
    reader.hears(people.news())
    expect(reader.names).toEqual(['ann'])
    people.gone('ann' as PeerId)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 2, names: ['cat'], gone: ['ann'] })
    people.gone('cat' as PeerId)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 1, names: ['ben'], gone: ['ann', 'cat'] })
  })

  test('a room without any place has a number only', () => {
    const { people, reader } = room(0, 'ann', 'ben')
    people.wrote('ann' as AuthorId, 50_000)
    reader.hears(people.news())
    expect(reader).toMatchObject({ people: 2, names: [] })
  })
})

test('whoever hears all news, from the start or from any moment on, knows as many as there are places, as they are', () => {
  const random = seeded(seed)
  for (let round = 0; round < 60; round++) {
    const places = random.int(5)
    const people = new People(places, 10)
    const here = new Map<string, Appearance>()
    const readers = [new Reader()]
    for (let now = 1; now < 100; now++) {
      const author = `a${random.int(9)}`
      const peer = `${author} on ${random.int(2)}`
      const move = random.int(10)
      if (move < 5) {
        const next = appearance(author, { n: random.int(4) }, peer)
        here.set(peer, next)
        people.here(next, now)
      } else if (move < 8) {
        here.delete(peer)
        people.gone(peer as PeerId)
      } else people.wrote(author as AuthorId, now)
      if (random.int(20) === 0) {
        const late = new Reader()
        for (const { peer, state } of people.known()) late.peers.set(peer, state)
        readers.push(late)
      }
      if (random.int(3) > 0) continue
      const before = people.restless
      const news = people.news()
      if (news !== null && !before) throw new Error('news that nobody would have asked for')
      for (const reader of readers) {
        const known = new Map(reader.peers)
        for (const change of news?.changes ?? []) {
          if (change.kind === 'here') known.set(change.peer, change.state)
          else known.delete(change.peer)
        }
        reader.peers.clear()
        for (const [peer, state] of known) reader.peers.set(peer, state)
      }
      const authors = new Set([...here.values()].map(({ author }) => author))
      const why = `SEED=${seed}, round ${round}, at ${now}`
      expect(people.count, why).toBe(authors.size)
      for (const { peers } of readers) {
        expect(peers.size, why).toBe(Math.min(places, authors.size))
        for (const [peer, state] of peers) expect(here.get(peer)?.state, why).toEqual(state)
        expect(new Set([...peers.keys()].map(peer => here.get(peer)!.author)).size, why).toBe(peers.size)
      }
    }
  }
})

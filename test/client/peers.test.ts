// Where the others are shown: which version their word is about, and what moves it.
import { describe, expect, it } from 'vitest'
import { Appearance, Peers } from '../../src/client/peers.ts'
import { openSession, type Session } from '../../src/client/session.ts'
import { fromEdits, type TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { AuthorId, DocId, PeerId } from '../../src/protocol/ids.ts'
import type { PeerEntry, PresenceState } from '../../src/protocol/messages.ts'

const [ann, ben, me] = ['ann', 'ben', 'me'] as unknown as [AuthorId, AuthorId, AuthorId]

const entry = (author: AuthorId, version: number, state: PresenceState): PeerEntry => ({
  peer: `peer of ${author}` as PeerId,
  user: { id: author },
  author,
  version,
  state,
})

const caret = (at: number) => ({ anchor: at, head: at })

/** A document of mine at `agreed`, with these edits of mine on the way. */
const session = (agreed: string, ...ops: TextOp[]): Session<Text, TextOp> => ({
  ...openSession(textType, 'doc' as DocId),
  author: me,
  agreed: Text.of(agreed),
  units: ops.map((op, i) => ({ op, seq: i + 1, since: 0 })),
})

const put = (length: number, at: number, text: string) => fromEdits([[at, at, text]], length)

/** Everybody's state, at a text of which no position is beyond `limit`. */
const shown = (peers: Peers<Text, TextOp>, at = session(''), limit = 1_000) =>
  Object.fromEntries(peers.shown(at, limit).map(({ author, state }) => [author, state]))

const peersAt = (version: number, ...entries: PeerEntry[]): Peers<Text, TextOp> => {
  const peers = new Peers(textType)
  peers.reset(version, textType.noop(0))
  peers.joined(entries.length + 1, entries)
  return peers
}

describe('a state', () => {
  it('about an older version is moved by the commits since, its owner’s typing before it, that of others behind it', () => {
    const peers = peersAt(5)
    peers.commit(6, put(10, 4, 'xx'), ann)
    peers.commit(7, put(12, 6, 'yyy'), ben)
    const change = { kind: 'here', ...entry(ann, 5, { cursor: caret(4) }) } as const
    peers.changed(3, false, [change, { ...change, ...entry(ben, 5, { cursor: caret(4) }) }])
    expect(shown(peers)).toEqual({ ann: { cursor: caret(6) }, ben: { cursor: caret(4) } })
  })

  it('about a version that is not here yet waits for it; what was known before stays meanwhile', () => {
    const peers = peersAt(5, entry(ann, 5, { cursor: caret(1), n: 1 }))
    peers.changed(3, false, [
      { kind: 'here', ...entry(ann, 7, { cursor: caret(9), n: 2 }) },
      { kind: 'here', ...entry(ben, 6, { cursor: caret(3), n: 3 }) },
    ])
    expect(shown(peers)).toEqual({ ann: { cursor: caret(1), n: 1 }, ben: { n: 3 } })
    peers.commit(6, put(3, 0, 'abc'), ben)
    expect(shown(peers)).toEqual({ ann: { cursor: caret(4), n: 1 }, ben: { cursor: caret(3), n: 3 } })
    peers.commit(7, put(6, 0, 'abc'), ben)
    expect(shown(peers)).toEqual({ ann: { cursor: caret(9), n: 2 }, ben: { cursor: caret(6), n: 3 } })
  })

  it('goes with a difference that replaces the history, and one that waited for a version behind it is taken', () => {
    const peers = peersAt(5, entry(ann, 5, { cursor: { anchor: 1, head: 3 } }))
    peers.changed(3, false, [{ kind: 'here', ...entry(ben, 8, { cursor: caret(2) }) }])
    peers.reset(9, put(10, 0, '>> '))
    expect(shown(peers)).toEqual({ ann: { cursor: { anchor: 4, head: 6 } }, ben: { cursor: caret(2) } })
  })

  it('is shown in the text that I see: left of what I am typing at its place, and never beyond the end', () => {
    const peers = peersAt(0, entry(ann, 0, { cursor: caret(2) }), entry(ben, 0, { cursor: { anchor: 4, head: 900 } }))
    const mine = session('abcd', put(4, 2, 'XX'), put(6, 0, '-'))
    expect(shown(peers, mine, 7)).toEqual({ ann: { cursor: caret(3) }, ben: { cursor: { anchor: 7, head: 7 } } })
  })

  it('keeps what is the application’s own, and every range of a selection moves', () => {
    const ranges = {
      cursor: { ranges: [caret(1), { anchor: 5, head: 3 }, 'odd'], main: 1 },
      colour: 'red',
      at: { anchor: 1, head: 1 },
    }
    const odd = { cursor: { anchor: -1, head: 'x' } }
    const peers = peersAt(0, entry(ann, 0, ranges), entry(ben, 0, odd))
    peers.commit(1, put(9, 0, 'ab'), me)
    expect(shown(peers)).toEqual({
      ann: { cursor: { ranges: [caret(3), { anchor: 7, head: 5 }, 'odd'], main: 1 }, colour: 'red', at: { anchor: 1, head: 1 } },
      ben: odd,
    })
  })

  it('[P5] from before all commits that are kept stays where it says; no more than two thousand are kept', () => {
    const peers = peersAt(0)
    for (let version = 1; version <= 10_000; version++) peers.commit(version, put(version - 1, 0, 'x'), me)
    peers.changed(3, false, [
      { kind: 'here', ...entry(ann, 100, { cursor: caret(50) }) },
      { kind: 'here', ...entry(ben, 9_500, { cursor: caret(50) }) },
    ])
    expect(shown(peers, session(''), 20_000)).toEqual({ ann: { cursor: caret(50) }, ben: { cursor: caret(550) } })
  })
})

describe('my own state', () => {
  it('is told with positions in the agreed text, and only when the others cannot work it out', () => {
    const mine = new Appearance(textType)
    const typing = session('abcd', put(4, 2, 'XYZ'))
    expect(mine.news(typing)).toBe(null)
    mine.set({ cursor: caret(5), n: 1 })
    const news = mine.news(typing)
    expect(news).toEqual({ cursor: caret(2), n: 1 })
    mine.telling(news!)
    expect(mine.news(typing)).toBe(null)
    // Landed: the others move my caret behind what I typed, where it is.
    mine.commit(put(4, 2, 'XYZ'), true)
    expect(mine.news(session('abXYZcd'))).toBe(null)
    mine.set({ cursor: caret(3), n: 1 })
    expect(mine.news(session('abXYZcd'))).toEqual({ cursor: caret(3), n: 1 })
  })
})

// The check of every few seconds: a text that is not the server's is noticed, mended and reported.

import { afterEach, describe, expect, it } from 'vitest'
import type { Divergence, InkwellError, TextDocument } from '../../src/client/index.ts'
import type { Session } from '../../src/client/session.ts'
import { defaultLimits } from '../../src/engine/index.ts'
import type { TextOp } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { type HandLine, type HandOptions, HandWorld } from './hand.ts'

const worlds: HandWorld[] = []
const world = (options: HandOptions = {}): HandWorld => {
  const made = new HandWorld(options)
  worlds.push(made)
  return made
}

afterEach(async () => {
  await Promise.all(worlds.splice(0).map(made => made.close()))
})

const opens = async (at: HandWorld, name: string) => {
  const { client, line } = at.client(name)
  const doc = await client.open('doc')
  const errors: InkwellError[] = []
  const reports: Divergence[] = []
  doc.on('error', error => errors.push(error))
  doc.on('diverged', report => reports.push(report))
  return { line, doc, errors, reports }
}

/** Changes what a client believes to have been agreed upon, as a fault of ours or of its memory would. */
const rot = (doc: TextDocument, change: (text: string) => string): void => {
  const inside = doc as unknown as { session: Session<Text, TextOp>; seen: Text }
  const agreed = Text.of(change(inside.session.agreed.toString()))
  const shown = inside.session.units.reduce((text, unit) => textType.apply(text, unit.op), agreed)
  inside.session = { ...inside.session, agreed, shown }
  inside.seen = shown
}

const seconds = async (at: HandWorld, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) {
    at.clock.pass(1_000)
    await at.calm()
  }
}

const joinsIn = (line: HandLine) => line.sent.filter(message => message.kind === 'join')

describe('[P1] a text that is not the server’s', () => {
  it('is mended within a beat, what is unsent and what undo takes back stay, and a report says what came before', async () => {
    const at = world()
    const { doc: ann } = await opens(at, 'ann')
    const { doc: ben, line, errors, reports } = await opens(at, 'ben')
    ann.insert(0, 'one two three')
    await at.calm()
    ben.insert(0, '> ')
    await at.calm()
    line.holdUp = true // what ben writes now is on its way
    ben.insert(ben.length, '!')
    rot(ben, text => text.replace('two', 'tvo'))
    expect(ben.text).toBe('> one tvo three!')

    await seconds(at, 11)
    line.holdUp = false
    line.flushUp()
    await seconds(at, 3)
    expect([ann.text, ben.text]).toEqual(['> one two three!', '> one two three!'])
    expect(joinsIn(line).at(-1)).toMatchObject({ position: null, diverged: true })
    expect(errors.map(({ code, advice }) => [code, advice])).toEqual([['diverged', 'rejoin']])
    const position = { epoch: expect.any(String), version: 2, chain: expect.any(String) }
    expect(reports).toEqual([
      {
        document: 'doc',
        position,
        expected: Text.of('> one two three').hash,
        found: Text.of('> one tvo three').hash,
        commits: [
          { version: 1, author: ann.author, op: ['one two three'] },
          { version: 2, author: ben.author, op: ['> '] },
        ],
      },
    ])
    ben.undo()
    await at.calm()
    expect(ann.text).toBe('> one two three')
    await seconds(at, 30)
    expect(errors).toHaveLength(1)
  })

  it('is not complained of while it is right, nor for a type without a hash', async () => {
    const { hash: _, ...type } = { ...textType, name: 'unchecked' }
    const at = world({ types: [textType, type] })
    const { doc, line, errors } = await opens(at, 'ann')
    const { client } = at.client('ben')
    const other = await client.open('other', { type })
    doc.insert(0, 'a')
    await seconds(at, 25)
    other.apply(textType.opFromJson(['b'], 0))
    await seconds(at, 25)
    expect([errors, joinsIn(line).length, other.status, doc.status]).toEqual([[], 1, 'saved', 'saved'])
  })

  it('is made the log’s again where it is the node that has gone wrong, on the node and with everybody', async () => {
    const at = world()
    const [ann, ben] = [await opens(at, 'ann'), await opens(at, 'ben')]
    ann.doc.insert(0, 'one two three')
    await at.calm()
    const { documents } = at.engine as unknown as {
      documents: Map<string, { document: { sequencer: { value: Text } } }>
    }
    const { sequencer } = documents.get('doc')!.document
    sequencer.value = Text.of(sequencer.value.toString().replace('two', 'tvo'))
    ben.line.cut()
    ben.doc.insert(0, '> ')
    ben.line.rise()
    await seconds(at, 60)
    for (const { doc } of [ann, ben]) expect(doc.text).toBe('> one two three')
    expect((await at.engine.read('doc' as DocId))?.value).toBe('> one two three')
    expect(ann.errors.filter(({ code }) => code === 'diverged').length).toBeGreaterThan(0)
    const count = ann.errors.length
    await seconds(at, 60)
    expect(ann.errors).toHaveLength(count)
  })

  it('its report tells of no more than the last commits', async () => {
    const at = world()
    const { doc: ann } = await opens(at, 'ann')
    const { doc: ben, reports } = await opens(at, 'ben')
    for (let i = 0; i < 300; i++) {
      ann.insert(i, 'x')
      await ann.settled('sequenced')
    }
    await at.calm()
    rot(ben, text => text.replace('x', 'y'))
    await seconds(at, 12)
    expect(reports.map(({ commits }) => commits.map(({ version }) => version))).toEqual([
      Array.from({ length: 64 }, (_, i) => 237 + i),
    ])
  })
})

describe('[R9] a long history', () => {
  it('comes in one step: the text, carets and what was typed meanwhile are as if it had come edit by edit', async () => {
    const at = world({ limits: { catchUpCommits: 20 } })
    const { doc: ann } = await opens(at, 'ann')
    const { doc: ben, line } = await opens(at, 'ben')
    const { doc: eve } = await opens(at, 'eve')
    ann.insert(0, 'start end')
    await at.calm()
    eve.presence.set({ cursor: { anchor: 9, head: 9 } })
    await seconds(at, 1)
    line.cut()
    ben.insert(6, 'my ')
    const changes: (string | null)[] = []
    ben.on('change', ({ origin, author }) => changes.push(`${origin} ${author}`))
    for (let i = 0; i < 30; i++) {
      ann.insert(0, '.')
      await ann.settled('sequenced')
    }
    line.rise()
    await seconds(at, 1)
    const text = `${'.'.repeat(30)}start my end`
    expect([ann.text, ben.text, eve.text]).toEqual([text, text, text])
    expect(changes).toEqual(['remote null'])
    expect(ben.presence.peers.find(({ author }) => author === eve.author)?.state).toEqual({ cursor: { anchor: 42, head: 42 } })
    expect(defaultLimits.catchUpCommits).toBeGreaterThan(20)
  })
})

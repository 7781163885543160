// A node that finds out that what it holds, or what its store gives back, is not what was written.

import { expect, test } from 'vitest'
import type { EngineEvent } from '../../src/engine/events.ts'
import type { Opened } from '../../src/engine/ports.ts'
import { Text } from '../../src/ot/rope.ts'
import type { DocId, Position } from '../../src/protocol/ids.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { joinedBy, notes, type Place, place, positionOf, type Speaker } from './place.ts'

const damages = (events: readonly EngineEvent[]) => events.filter(event => event.kind === 'damaged')

/** A log whose checkpoints somebody has had a hand in. */
class Touched extends MemoryLog {
  touch: ((text: string) => string) | null = null

  override open(doc: DocId): Opened {
    const opened = super.open(doc)
    const { checkpoint } = opened
    if (checkpoint === null || this.touch === null) return opened
    const stored = JSON.parse(checkpoint.body) as { value: string }
    return { ...opened, checkpoint: { ...checkpoint, body: JSON.stringify({ ...stored, value: this.touch(stored.value) }) } }
  }
}

/** Ada types so many letters; the place where they have led. */
const typed = async (here: Place, count: number): Promise<{ readonly ada: Speaker; readonly position: Position }> => {
  const ada = here.speaker('ada')
  const joined = joinedBy(await ada.join())
  let position = positionOf(joined)
  for (let seq = 1; seq <= count; seq++) {
    await ada.submit(joined, position, seq, [String.fromCharCode(96 + seq)])
    position = positionOf(ada.news().findLast(message => message.kind === 'commits')!)
  }
  return { ada, position }
}

const valueIn = async (here: Place): Promise<unknown> => {
  const read = here.engine.read(notes)
  await here.flow()
  return (await read)?.value
}

test('[P1] a checkpoint that is not what was written is made anew from the log', async () => {
  const log = new Touched()
  const limits = { checkpointCommits: 3, recentTime: 0, recentCommits: 100 }
  const { position } = await typed(place({ log, limits }), 8)
  expect(log.open(notes).checkpoint?.version).toBeGreaterThan(2)

  log.touch = text => text.replace('a', 'A')
  const here = place({ log, limits })
  expect(await valueIn(here)).toBe('hgfedcba')
  const { version } = log.open(notes).checkpoint!
  expect(damages(here.events)).toEqual([{ kind: 'damaged', doc: notes, where: 'checkpoint', version, mended: true }])
  // Positions of before are still positions of this history.
  const ben = here.speaker('ben')
  expect(joinedBy(await ben.join(position)).content).toMatchObject({ kind: 'commits', commits: [], position })
})

test('[P1] where the log does not reach back far enough, it is told, and served as it is', async () => {
  const log = new Touched()
  const limits = { checkpointCommits: 3, recentTime: 0, recentCommits: 2 }
  await typed(place({ log, limits }), 8)
  log.touch = text => text.replace('a', 'A')
  const here = place({ log, limits })
  expect(await valueIn(here)).toBe('hgfedcbA')
  expect(damages(here.events)).toMatchObject([{ where: 'checkpoint', mended: false }])
})

test('a sound checkpoint is not complained of', async () => {
  const log = new Touched()
  await typed(place({ log, limits: { checkpointCommits: 3 } }), 8)
  const here = place({ log })
  expect([await valueIn(here), damages(here.events)]).toEqual(['hgfedcba', []])
})

/** Flips a letter of what a node holds in memory. */
const flip = (here: Place): void => {
  const { documents } = here.engine as unknown as { documents: Map<DocId, { document: { sequencer: { value: unknown } } }> }
  const { sequencer } = documents.get(notes)!.document
  sequencer.value = Text.of(String(sequencer.value).replace('b', 'B'))
}

test('[P1] a node whose text a client does not have looks into the log, and mends its own when that is the wrong one', async () => {
  const here = place({ limits: { beat: 1_000 } })
  const { ada, position } = await typed(here, 3)
  flip(here)
  here.clock.pass(1_000)
  await here.flow()
  const beat = ada.news().find(message => message.kind === 'beat')
  const { version, chain } = position
  expect(beat).toMatchObject({ position: { version, chain }, hash: Text.of('cBa').hash })

  // Ada has "cba" and comes back with nothing; what she is told now is wrong as well, and mended at the next beat.
  await ada.say({ kind: 'leave', handle: 1 as never })
  await ada.say({ kind: 'join', doc: notes, type: 'text', position: null, diverged: true })
  expect(joinedBy(ada.news().find(message => message.kind === 'joined')!).content).toMatchObject({ value: 'cBa' })
  expect(here.events).toContainEqual(expect.objectContaining({ kind: 'diverged', version: 3 }))
  expect(here.engine.counts.diverged).toBe(1)
  here.clock.pass(1_000)
  await here.flow()
  expect(damages(here.events)).toEqual([{ kind: 'damaged', doc: notes, where: 'memory', version: 3, mended: true }])
  expect(ada.news().at(-1)).toMatchObject({ kind: 'left', refusal: { code: 'unknown-position', advice: 'rejoin' } })
  expect(await valueIn(here)).toBe('cba')
})

test('[P5] a client that says so again and again has the log read once in a beat, and puts nobody out', async () => {
  const here = place({ limits: { beat: 1_000 } })
  const { ada } = await typed(here, 3)
  let opens = 0
  const { log } = here.hand.store
  const { open } = log
  ;(log as { open: typeof open }).open = doc => {
    opens++
    return open(doc)
  }
  const ben = here.speaker('ben')
  for (let i = 0; i < 50; i++) {
    await ben.say({ kind: 'join', doc: notes, type: 'text', position: null, diverged: true })
    await ben.say({ kind: 'leave', handle: 1 as never })
  }
  for (let beats = 0; beats < 3; beats++) {
    here.clock.pass(1_000)
    await here.flow()
  }
  expect([opens, damages(here.events), ada.news().filter(message => message.kind === 'left')]).toEqual([1, [], []])
})

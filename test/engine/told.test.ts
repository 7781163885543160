// What the engine tells of itself, with the times in it: what metrics, logs and traces are made of.

import { expect, test } from 'vitest'
import type { EngineEvent } from '../../src/engine/events.ts'
import type { AuthorId, Seq } from '../../src/protocol/ids.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { joinedBy, notes, place, positionOf } from './place.ts'

const of = <K extends EngineEvent['kind']>(events: readonly EngineEvent[], ...kinds: K[]) =>
  events.filter((event): event is Extract<EngineEvent, { kind: K }> => kinds.includes(event.kind as K))

const ada = { author: 'ada_____________', user: 'ada', connection: 'ada' }

/** Ada is in the document, and calls to the store wait for the test. */
const alone = async (log?: MemoryLog) => {
  const world = place({ flowing: false, ...(log === undefined ? {} : { log }) })
  const speaker = world.speaker('ada')
  void speaker.join()
  await world.flow()
  const joined = joinedBy(speaker.heard.find(({ kind }) => kind === 'joined')!)
  const at = positionOf(joined)
  const types = (seq: number, text: string) =>
    speaker.connection.receive({ kind: 'submit', handle: joined.handle, seq: seq as Seq, position: at, op: [text] })
  return { ...world, speaker, joined, types }
}

test('[P7] who comes, who goes and who is refused is told with document, user and line', async () => {
  const { events, speaker, joined } = await alone()
  speaker.connection.receive({ kind: 'submit', handle: joined.handle, seq: 1 as Seq, position: positionOf(joined), op: [7, 'a'] })
  speaker.connection.close()
  expect(of(events, 'joined', 'refused', 'left')).toMatchObject([
    { kind: 'joined', doc: notes, ...ada, content: 'snapshot', version: 0 },
    { kind: 'refused', doc: notes, ...ada, seq: 1, code: 'bad-op' },
    { kind: 'left', doc: notes, ...ada, code: null },
  ])
})

test('[P7] an edit is told with the time since it came, and its delivery after it', async () => {
  const { events, clock, flow, types } = await alone()
  clock.pass(1_000)
  types(1, 'a')
  clock.pass(30)
  await flow()
  expect(of(events, 'appended', 'committed', 'delivered')).toEqual([
    { kind: 'appended', doc: notes, entries: 1, bytes: expect.any(Number), ms: 30 },
    { kind: 'committed', doc: notes, ...ada, seq: 1, version: 1, ms: 30 },
    { kind: 'delivered', doc: notes, version: 1, commits: 1, readers: 1, behind: 0, ms: 0 },
  ])
})

test('[P7] an edit of which nobody knew whether it was in keeps the time since it came', async () => {
  const { events, clock, hand, flow, types } = await alone()
  types(1, 'a')
  hand.calls[0]!.execute()
  clock.pass(70)
  hand.miss()
  hand.calls[0]!.fail()
  await flow()
  expect(of(events, 'committed', 'heard')).toMatchObject([{ kind: 'committed', seq: 1, version: 1, ms: 70 }])
})

test('[P7] an edit that came to another node is told as heard, with its age by the two clocks', async () => {
  const { events, clock, log, flow, joined } = await alone()
  const [author, seq] = ['ben_____________' as AuthorId, 1 as Seq]
  const body = JSON.stringify([0, ['b'], 'ben', clock.now(), 'text'])
  clock.pass(20)
  log.append(notes, joined.content.position, [{ author, seq, body }])
  await flow()
  expect(of(events, 'committed', 'heard')).toEqual([{ kind: 'heard', doc: notes, author, seq, version: 1, ms: 20 }])
})

test('[P7] what waits, who lags and since when something is not durable can be read at any time', async () => {
  const { engine, clock, speaker, flow, types, hand } = await alone(new MemoryLog({ durable: 'by hand' }))
  clock.pass(500)
  types(1, 'a')
  types(2, 'b')
  expect(hand.calls).toHaveLength(1)
  expect(engine.counts).toMatchObject({ documents: 1, joined: 1, waiting: 2, lagging: 0, undurableSince: null })
  speaker.slow(true)
  const came = clock.now()
  clock.pass(100)
  await flow()
  expect(engine.counts).toMatchObject({ waiting: 0, lagging: 1, undurableSince: came })
})

// The sequencer by itself: its calls to the log are carried out, or not, by the test.

import { expect, test } from 'vitest'
import { defaultLimits } from '../../src/engine/limits.ts'
import type { NewEntry } from '../../src/engine/ports.ts'
import { Sequencer } from '../../src/engine/sequencer.ts'
import { textType } from '../../src/ot/text.ts'
import type { AnyDocumentType } from '../../src/ot/type.ts'
import type { AuthorId, DocId, Position, Seq } from '../../src/protocol/ids.ts'
import { MemoryLog } from '../../src/stores/memory.ts'

const doc = 'notes' as DocId
const [ada, ben] = ['ada' as AuthorId, 'ben' as AuthorId]

/** A node with Ada's first edit on its way into the log, and Ben's five, by way of another node, in it already and heard of. */
const overtaken = ({
  landed,
  limits,
  heard = 5,
}: {
  readonly landed: boolean
  readonly limits?: Partial<typeof defaultLimits>
  readonly heard?: number
}) => {
  const log = new MemoryLog()
  const offers: { readonly ticket: number; readonly at: Position; readonly entries: readonly NewEntry[] }[] = []
  const reads: { readonly ticket: number; readonly at: Position }[] = []
  const refused: string[] = []
  const node = new Sequencer(
    [textType, { ...textType, name: 'prose' }] as AnyDocumentType[],
    { ...defaultLimits, ...limits },
    {
      doc,
      append: (ticket, at, entries) => offers.push({ ticket, at, entries }),
      read: (ticket, at) => reads.push({ ticket, at }),
      reopen: () => {},
      raiseHorizon: () => {},
      save: () => {},
      deliver: () => {},
      durable: () => {},
      refuse: (_, why) => refused.push(why.code),
      allows: () => true,
      disrupt: reason => refused.push(reason),
      tell: () => {},
    },
    { now: () => 0 },
    log.open(doc),
  )
  node.adopt(textType as AnyDocumentType)
  log.subscribe(doc, announcement => node.announced(announcement))
  const edit = (seq: number, op: unknown) =>
    node.submit({ author: ada, seq: seq as Seq, position: node.position, op, user: 'ada', connection: 'line', from: null })
  edit(1, ['ada '])
  const [offer] = offers
  if (landed) log.append(doc, offer!.at, offer!.entries)
  for (let seq = 1; seq <= heard; seq++) {
    const body = JSON.stringify([node.head, [`${seq}`], 'ben', 0, ...(node.head === 0 ? ['text'] : [])])
    log.append(doc, node.position, [{ author: ben, seq: seq as Seq, body }])
  }
  const readsAll = () => {
    for (const { ticket, at } of reads.splice(0)) node.wasRead(ticket, log.read(doc, at))
  }
  return { log, node, edit, offers, refused, readsAll }
}

test('[R8] an edit on its way is carried along when the commits that it was made on are let go: unanswered, it is offered again and lands once', () => {
  const { log, node, offers, refused, readsAll } = overtaken({ landed: false })
  log.raiseHorizon(doc, node.epoch, 3)
  node.pull()
  readsAll()
  expect(node.horizon).toBe(3)
  node.appendFailed(offers[0]!.ticket)
  readsAll()
  const again = offers[1]!
  node.appended(again.ticket, log.append(doc, again.at, again.entries))
  expect([String(node.snapshot), refused]).toEqual(['ada 54321', []])
  expect(log.entries(doc, 0, 9).filter(({ author }) => author === ada)).toHaveLength(1)
})

test('[R8] an edit on its way that is in, among commits that are let go, is neither refused nor offered again', () => {
  const { log, node, offers, refused, readsAll } = overtaken({ landed: true })
  log.raiseHorizon(doc, node.epoch, 3)
  node.pull()
  readsAll()
  node.appendFailed(offers[0]!.ticket)
  readsAll()
  expect([offers.length, String(node.snapshot), refused, node.idle]).toEqual([1, '54321ada ', [], true])
})

test('[P5] an edit that was in doubt and turns out to be in, among commits that are let go, does not count as waiting any more', () => {
  const { log, node, edit, offers, readsAll } = overtaken({ landed: true, limits: { submissionsWaiting: 1 } })
  node.appendFailed(offers[0]!.ticket)
  log.raiseHorizon(doc, node.epoch, 3)
  readsAll()
  expect([node.horizon, node.idle]).toEqual([3, true])
  expect(edit(2, [9, 'more'])).toBeNull()
})

test('[P5] what waited in a document that turns out to be of another type does not count as waiting in that', () => {
  const { log, node, edit, refused } = overtaken({ landed: false, limits: { submissionsWaiting: 1 }, heard: 0 })
  expect(edit(2, ['more'])).toBeNull()
  log.append(doc, node.position, [{ author: ben, seq: 1 as Seq, body: JSON.stringify([0, ['1'], 'ben', 0, 'prose']) }])
  expect([node.type?.name, refused]).toEqual(['prose', ['the document was created with another type']])
  expect(edit(3, [1, 'more'])).toBeNull()
})

/** A document with a commit every `apart` milliseconds, whose checkpoints are stored at once. */
const typed = (limits: Partial<typeof defaultLimits>, apart: number, commits: number) => {
  const log = new MemoryLog()
  const saved: number[] = []
  let now = 0
  const node: Sequencer = new Sequencer(
    [textType as AnyDocumentType],
    { ...defaultLimits, ...limits },
    {
      doc,
      append: (ticket, at, entries) => node.appended(ticket, log.append(doc, at, entries)),
      read: (ticket, at) => node.wasRead(ticket, log.read(doc, at)),
      reopen: () => {},
      raiseHorizon: (epoch, horizon) => node.raised(horizon, log.raiseHorizon(doc, epoch, horizon)),
      save: checkpoint => {
        saved.push(checkpoint.version)
        node.saved(checkpoint.version, log.checkpoint(doc, checkpoint))
      },
      deliver: () => {},
      durable: () => {},
      refuse: (_, why) => expect.unreachable(why.code),
      allows: () => true,
      disrupt: reason => expect.unreachable(reason),
      tell: () => {},
    },
    { now: () => now },
    log.open(doc),
  )
  node.adopt(textType as AnyDocumentType)
  for (let seq = 1; seq <= commits; seq++) {
    now += apart
    node.submit({ author: ada, seq: seq as Seq, position: node.position, op: ['x'], user: 'ada', connection: 'line', from: null })
    if (node.checkpointDue) node.beginCheckpoint()
  }
  return { kept: node.head - node.horizon, saved }
}

test('[P5] of a busy document ten seconds are kept, up to a bound, and of a quiet one a number of commits', () => {
  const limits = { recentCommits: 100, recentTime: 10_000, recentMost: 1_000, checkpointCommits: 100 }
  expect(typed(limits, 1_000, 1_000).kept).toBeLessThan(200 + 1)
  const busy = typed(limits, 20, 2_000).kept
  expect(busy).toBeGreaterThanOrEqual(500)
  expect(busy).toBeLessThan(750)
  const busier = typed(limits, 1, 5_000).kept
  expect(busier).toBeGreaterThanOrEqual(1_000)
  expect(busier).toBeLessThan(1_500)
})

test('[P8] what is written for checkpoints stays a small multiple of what is typed, however much history is kept', () => {
  const limits = { recentCommits: 100, recentTime: 10_000, recentMost: 1_000, checkpointCommits: 100 }
  const { saved } = typed(limits, 1, 5_000)
  expect(saved.length * 1_250).toBeLessThan(6 * 5_000)
  expect(saved.at(-1)).toBeGreaterThan(4_500)
})

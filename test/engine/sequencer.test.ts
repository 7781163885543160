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
const overtaken = ({ landed }: { readonly landed: boolean }) => {
  const log = new MemoryLog()
  const offers: { readonly ticket: number; readonly at: Position; readonly entries: readonly NewEntry[] }[] = []
  const reads: { readonly ticket: number; readonly at: Position }[] = []
  const refused: string[] = []
  const node = new Sequencer(
    [textType as AnyDocumentType],
    defaultLimits,
    {
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
  node.submit({ author: ada, seq: 1 as Seq, position: node.position, op: ['ada '], user: 'ada', connection: 'line', from: null })
  const [offer] = offers
  if (landed) log.append(doc, offer!.at, offer!.entries)
  for (let seq = 1; seq <= 5; seq++) {
    const body = JSON.stringify([node.head, [`${seq}`], 'ben', 0, ...(node.head === 0 ? ['text'] : [])])
    log.append(doc, node.position, [{ author: ben, seq: seq as Seq, body }])
  }
  const readsAll = () => {
    for (const { ticket, at } of reads.splice(0)) node.wasRead(ticket, log.read(doc, at))
  }
  return { log, node, offers, refused, readsAll }
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

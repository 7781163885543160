// Documents that outlive their page: the engine is real, the network and the disk are in the hand.

import { afterEach, describe, expect, it } from 'vitest'
import type { Client, Draft, TextDocument } from '../../src/client/index.ts'
import { docOfRootKey, rootPrefix } from '../../src/client/record.ts'
import { fromEdits, type TextOp } from '../../src/ot/op.ts'
import type { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { Right } from '../../src/protocol/messages.ts'
import { HandDisk, HandStorage } from './disk.ts'
import { HandClock, HandLine, type HandOptions, type HandPage, HandWorld } from './hand.ts'

const worlds: HandWorld[] = []
const world = (options: HandOptions = {}): HandWorld => {
  const made = new HandWorld(options)
  worlds.push(made)
  return made
}

afterEach(async () => {
  await Promise.all(worlds.splice(0).map(made => made.close()))
})

/** What a reader of the document sees who has nothing to do with these pages. */
const read = async (at: HandWorld, id = 'doc'): Promise<string> => {
  const { client } = at.client(`reader${Math.random().toString(36).slice(2, 8)}`)
  const { text } = await client.open(id)
  await client.close()
  return text
}

/** Long enough for what was typed to be on the disk. */
const written = async (at: HandWorld): Promise<void> => {
  at.clock.pass(100)
  await at.calm()
}

/** Long enough for what was sent to be confirmed, durable, and told. */
const landed = async (at: HandWorld): Promise<void> => {
  for (let i = 0; i < 6; i++) {
    await at.calm()
    at.clock.pass(500)
  }
  await at.calm()
}

const opened = async (at: HandWorld, page: HandPage, id = 'doc'): Promise<TextDocument> => {
  const opening = page.client.open(id)
  await at.calm()
  at.clock.pass(1_000)
  return opening
}

/** Values that can be reached from here, less what the test itself holds. */
const weight = (it: unknown, seen = new Set<unknown>([null])): number => {
  if (typeof it !== 'object' || seen.has(it) || it instanceof HandLine || it instanceof HandStorage || it instanceof HandClock)
    return 0
  seen.add(it)
  const inside = it instanceof Map ? [...it].flat() : it instanceof Set ? [...it] : Object.values(it as object)
  return inside.reduce<number>((sum, value) => sum + 1 + weight(value, seen), 0)
}

describe('a process that opens one document after the other', () => {
  /** Opens so many more, writes into each, and closes them. */
  const passes = async (at: HandWorld, client: Client, from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      const opening = client.open(`doc ${i}`)
      await at.calm()
      const doc = await opening
      doc.insert(0, `text ${i}`)
      await landed(at)
      await doc.close()
      await at.calm()
    }
  }

  it('[P5] holds no more after a hundred and fifty than after seventy-five', async () => {
    const at = world()
    const { client } = at.client('ann')
    await passes(at, client, 0, 75)
    const before = weight(client)
    await passes(at, client, 75, 150)
    expect(weight(client)).toBe(before)
    expect(before).toBeGreaterThan(50)
  })

  it('[P5] keeps the fifty opened last, and what is open, also while it runs', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk)
    const open = await opened(at, page, 'open')
    await passes(at, page.client, 0, 75)
    const before = weight(page.client)
    await passes(at, page.client, 75, 110)
    expect(weight(page.client)).toBe(before)
    const kept = Array.from({ length: 50 }, (_, i) => `doc ${60 + i}`)
    expect(disk.under(rootPrefix).map(docOfRootKey).sort()).toEqual([...kept, 'open'].sort())
    open.insert(0, 'still kept')
    await written(at)
    page.die()
    expect((await opened(at, at.page(disk, false), 'open')).text).toBe('still kept')
  })

  it('[P3] may open a document again in the moment in which it would go', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk)
    await at.calm()
    await passes(at, page.client, 0, 51) // the first has gone
    const { storage } = page
    const last = await opened(at, page, 'last')
    await landed(at)
    const closing = last.close()
    storage.held = true // the next to go is on its way out
    await at.calm()
    at.clock.pass(2_000)
    await at.calm()
    const opening = page.client.open('doc 1')
    await at.calm()
    storage.held = false
    storage.commit()
    await closing
    await at.calm()
    at.clock.pass(1_000)
    const doc = await opening
    doc.insert(0, 'again. ')
    await written(at)
    page.die()
    const next = at.page(disk, false)
    expect((await opened(at, next, 'doc 1')).text).toBe('again. text 1')
    expect(next.errors).toEqual([])
  })

  it('[R12] gives an edit of a document opened again no number that one may have which is still on its way', async () => {
    const at = world()
    const { client, line } = at.client('ann')
    const submitted = () => line.sent.flatMap(message => (message.kind === 'submit' ? [message.seq] : []))
    const doc = await client.open('doc')
    line.holdUp = true
    doc.insert(0, 'on its way')
    const closing = doc.close()
    at.clock.pass(5_000)
    await closing
    line.up.shift() // nobody knows whether it arrives
    line.holdUp = false
    line.flushUp()
    const again = await client.open('doc')
    again.insert(0, 'typed after')
    await landed(at)
    const [first, second] = submitted()
    expect(second).toBeGreaterThan(first!)
  })
})

describe('a page that is opened again', () => {
  it('[P2] [P3] shows what was typed without a line, without a line, and sends it once when there is one', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'online. ')
    await landed(at)
    first.cut()
    doc.insert(8, 'In the tunnel.')
    await written(at)
    expect(doc.kept).toBe(true)
    first.die()

    const second = at.page(disk, false)
    const again = await opened(at, second)
    expect([again.text, again.status, again.kept]).toEqual(['online. In the tunnel.', 'offline', true])
    again.insert(again.length, ' Still there.')
    await second.rise()
    await landed(at)
    expect([again.status, await read(at), again.author]).toEqual(['saved', 'online. In the tunnel. Still there.', doc.author])
    expect(disk.boxes.size).toBe(1)
  })

  it('[P2] an edit that was sent and whose answer was lost with the page is in the document once', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    first.line.holdDown = true
    doc.insert(0, 'once')
    await at.calm()
    doc.insert(4, ' more')
    await written(at)
    first.die()
    const second = at.page(disk)
    const again = await opened(at, second)
    await landed(at)
    expect([again.text, await read(at)]).toEqual(['once more', 'once more'])
  })

  it('[P3] undoes what was written before it was closed, and redoes it', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'one')
    doc.insert(3, ' two', { undo: 'new' })
    doc.insert(7, ' three', { undo: 'new' })
    doc.undo()
    await landed(at)
    first.die()
    const again = await opened(at, at.page(disk))
    expect([again.text, again.canUndo, again.canRedo]).toEqual(['one two', true, true])
    again.undo()
    expect(again.text).toBe('one')
    again.redo()
    again.redo()
    expect(again.text).toBe('one two three')
    await landed(at)
    expect(await read(at)).toBe('one two three')
  })

  it('opens a document it has never had from the text that another page has of it', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'shared text')
    await landed(at)
    const second = at.page(disk, false)
    const again = await opened(at, second)
    expect([again.text, again.status]).toEqual(['shared text', 'offline'])
    again.insert(0, 'My ')
    doc.insert(doc.length, '!')
    await second.rise()
    await landed(at)
    expect([doc.text, again.text, again.author === doc.author]).toEqual(['My shared text!', 'My shared text!', false])
  })

  it('waits a second for the server before it shows what was kept, and shows it at once when the line breaks', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    ;(await opened(at, first)).insert(0, 'kept')
    await landed(at)
    await first.client.close()

    const slow = at.page(disk)
    let shown = ''
    void slow.client.open('doc').then(doc => (shown = `${doc.status} ${doc.text}`))
    slow.storage.held = false
    await at.calm()
    expect(shown).toBe('saved kept')
    await slow.client.close()

    const waiting = at.page(disk, false)
    waiting.online = true // neither up nor down yet
    const line = waiting.line
    shown = ''
    void waiting.client.open('doc').then(doc => (shown = `${doc.status} ${doc.text}`))
    await at.calm()
    expect([shown, line.open]).toEqual(['offline kept', false])
  })

  it('that was closed with edits unsent sends them without being asked for the document', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    const drafts: unknown[] = []
    doc.on('draft', draft => drafts.push(draft))
    first.cut()
    doc.insert(0, 'not sent yet')
    await first.client.close()
    expect([drafts, await read(at)]).toEqual([[], ''])

    const second = at.page(disk)
    await opened(at, second, 'another')
    await landed(at)
    expect([await read(at), second.errors]).toEqual(['not sent yet', []])
  })

  it('a document closed without a line is sent by the same client when it has one', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    page.cut()
    doc.insert(0, 'later')
    await doc.close()
    expect(doc.status).toBe('closed')
    await page.rise()
    await landed(at)
    expect(await read(at)).toBe('later')
    const again = await opened(at, page)
    expect(again.text).toBe('later')
  })

  it('[P2] [P3] more documents edited without a line than the server lets a connection join are all sent, and none comes back as a draft', async () => {
    const at = world({ limits: { documentsPerConnection: 17 } })
    const disk = new HandDisk()
    const first = at.page(disk)
    const names = Array.from({ length: 40 }, (_, i) => `note${i}`)
    for (const id of names) await (await opened(at, first, id)).close()
    await landed(at)
    first.cut()
    for (const id of names) {
      const doc = await opened(at, first, id)
      doc.insert(0, id)
      await doc.close()
    }
    first.die()
    const second = at.page(disk)
    for (const id of ['a', 'b', 'c', 'd']) await opened(at, second, id)
    for (let i = 0; i < 10; i++) await landed(at)
    expect(second.client.drafts).toEqual([])
    expect(await Promise.all(names.map(id => read(at, id)))).toEqual(names)
  })

  it('[P2] [P3] a document with unsent edits that is one too many waits until another is closed', async () => {
    const at = world({ limits: { documentsPerConnection: 2 } })
    const page = at.page(new HandDisk())
    const names = ['a', 'b', 'c']
    for (const id of names) {
      const doc = await opened(at, page, id)
      doc.insert(0, 'kept, ')
      await landed(at)
      await doc.close()
    }
    page.cut()
    const docs: TextDocument[] = []
    for (const id of names) docs.push(await opened(at, page, id))
    for (const doc of docs) doc.insert(6, 'unsent')
    await page.rise()
    await landed(at)
    expect([docs.map(({ status }) => status), page.client.drafts]).toEqual([['saved', 'saved', 'offline'], []])
    await docs[0]!.close()
    at.clock.pass(5_000)
    await landed(at)
    expect([docs[2]!.status, await read(at, 'c')]).toEqual(['saved', 'kept, unsent'])
  })

  it('a reader who could not write cannot write without a line either', async () => {
    let right: Right = 'write'
    const at = world({ right: () => right })
    const disk = new HandDisk()
    ;(await opened(at, at.page(new HandDisk()))).insert(0, 'to be read')
    await at.calm()
    right = 'read'
    const first = at.page(disk)
    const doc = await opened(at, first)
    await landed(at)
    expect(doc.status).toBe('read-only')
    first.die()
    const again = await opened(at, at.page(disk, false))
    expect(again.text).toBe('to be read')
    expect(() => again.insert(0, 'x')).toThrow(expect.objectContaining({ code: 'forbidden' }))
  })
})

describe('several pages', () => {
  it('[P2] [P3] each send their own, once, whichever of them dies and comes again', async () => {
    const at = world()
    const disk = new HandDisk()
    const [one, two] = [at.page(disk), at.page(disk)]
    const [a, b] = [await opened(at, one), await opened(at, two)]
    a.insert(0, 'A')
    await landed(at)
    one.cut()
    two.cut()
    a.insert(1, 'aaa')
    b.insert(1, 'bbb')
    await written(at)
    one.die()
    two.die()
    expect(disk.boxes.size).toBe(2)

    // The first to come again is one of the two; what the other has left is brought home.
    const third = at.page(disk, false)
    const c = await opened(at, third)
    expect(['Aaaa', 'Abbb']).toContain(c.text)
    await third.rise()
    await landed(at)
    const text = await read(at)
    expect([text.length, c.text, disk.boxes.size, third.errors]).toEqual([7, text, 1, []])
    expect(['Aaaabbb', 'Abbbaaa']).toContain(text)
  })

  it('[P2] pages that come again at the same time take different pens, and nothing is sent twice', async () => {
    const at = world()
    const disk = new HandDisk()
    const pages = [at.page(disk), at.page(disk), at.page(disk)]
    for (const [i, page] of pages.entries()) {
      const doc = await opened(at, page)
      page.cut()
      doc.insert(0, `(${i})`)
    }
    await written(at)
    for (const page of pages) page.die()
    const again = [at.page(disk), at.page(disk), at.page(disk)]
    const docs = await Promise.all(again.map(page => opened(at, page)))
    await landed(at)
    await landed(at)
    const text = await read(at)
    expect([...text].sort().join('')).toBe('((()))012')
    expect(docs.map(doc => doc.text)).toEqual([text, text, text])
    expect(new Set(docs.map(doc => doc.author)).size).toBe(3)
  })

  it('[P3] a page opened before the old one has let go of its pen waits for it a moment, if it holds unsent edits of what is opened', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    first.cut()
    doc.insert(0, 'unsent')
    await written(at)
    const second = at.page(disk, false)
    const opening = second.client.open('doc')
    await at.calm()
    first.die()
    const again = await opening
    expect([again.text, again.status, disk.boxes.size]).toEqual(['unsent', 'offline', 1])

    const third = at.page(disk, false)
    const waiting = third.client.open('doc')
    await at.calm()
    at.clock.pass(2_000) // the second page is there to stay
    await at.calm()
    const other = await waiting
    expect([other.text, other.status, disk.boxes.size]).toEqual(['', 'offline', 2])
  })

  it('[R12] a pen that was found good is looked at again once it is held', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'a')
    await landed(at)
    first.die()
    const second = at.page(disk)
    second.storage.beforeHold = () => {
      for (const records of disk.boxes.values()) records.delete('sound/doc') // another page had it for a moment
    }
    const again = await opened(at, second)
    expect([again.text, again.author === doc.author]).toEqual(['a', false])
  })

  it('[P2] [P3] a page whose line never breaks sends what another one leaves that dies meanwhile, also behind a box that fails', async () => {
    const at = world()
    const disk = new HandDisk()
    const there = at.page(disk)
    await opened(at, there, 'other')
    const [bad, gone] = [at.page(disk), at.page(disk)]
    for (const page of [bad, gone]) {
      const doc = await opened(at, page)
      page.cut()
      doc.insert(0, page === bad ? 'later' : 'sent')
      await written(at)
    }
    await landed(at)
    const [, badBox] = [...disk.boxes.keys()]
    const { read: readBox } = there.storage
    there.storage.read = async (box, prefix) => {
      if (box === badBox) throw new Error('the disk has a scratch')
      return readBox.call(there.storage, box, prefix)
    }
    bad.die()
    gone.die()
    for (let i = 0; i < 3; i++) {
      at.clock.pass(30_000)
      await landed(at)
    }
    expect([await read(at), disk.boxes.size, there.errors]).toEqual(['sent', 2, ['storage-failed']])
    there.storage.read = readBox
    at.clock.pass(30_000)
    await landed(at)
    expect([(await read(at)).length, disk.boxes.size]).toEqual([9, 1])
  })

  it('keep the texts that were in the boxes they bring home', async () => {
    const at = world()
    const disk = new HandDisk()
    const [one, two] = [at.page(disk), at.page(disk)]
    ;(await opened(at, one, 'first')).insert(0, 'the first text')
    ;(await opened(at, two, 'second')).insert(0, 'the second text')
    await landed(at)
    one.die()
    two.die()
    const third = at.page(disk)
    await opened(at, third, 'first')
    await landed(at)
    expect(disk.boxes.size).toBe(1)
    third.die()
    const fourth = at.page(disk, false)
    expect((await opened(at, fourth, 'second')).text).toBe('the second text')
  })
})

describe('a submission', () => {
  it('[R12] leaves only when what it is is on the disk, and in order', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    const submits = () => page.line.sent.filter(({ kind }) => kind === 'submit').length
    page.storage.held = true
    doc.insert(0, 'a')
    await at.calm()
    expect([submits(), page.storage.waiting.length, doc.kept]).toEqual([0, 1, false])
    doc.insert(1, 'b')
    doc.presence.set({ n: 1 })
    page.storage.commit(1)
    await at.calm()
    // The state as it was when the writing began knows only the first of the two.
    expect([submits(), doc.kept]).toEqual([1, false])
    page.storage.held = false
    page.storage.commit()
    await landed(at)
    expect([await read(at), doc.kept, doc.status]).toEqual(['ab', true, 'saved'])
  })

  it('[R12] that waits for the disk while the line breaks does not leave on the next one ahead of the join', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    page.storage.held = true
    doc.insert(0, 'a')
    await at.calm()
    page.cut()
    const before = page.line.sent.length
    await page.rise()
    page.storage.held = false
    page.storage.commit()
    await landed(at)
    expect(page.line.sent.slice(before).map(({ kind }) => kind)).toEqual(['join', 'submit'])
    expect(await read(at)).toBe('a')
  })

  it('does not wait for ever: a disk that hangs is told of, and typing and sending go on', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    const errors: string[] = []
    doc.on('error', ({ code }) => errors.push(code))
    page.storage.held = true
    doc.insert(0, 'a')
    at.clock.pass(5_000)
    await at.calm()
    page.storage.held = false
    page.storage.commit()
    await landed(at)
    expect([await read(at), errors]).toEqual(['a', ['storage-failed']])
  })
})

describe('a disk that is full', () => {
  it('[P2] is told of once, keeps nobody from typing and sending, and doubles nothing when the page comes again', async () => {
    for (const full of ['growing', 'all'] as const) {
      const at = world()
      const disk = new HandDisk()
      const first = at.page(disk)
      const doc = await opened(at, first)
      const errors: string[] = []
      doc.on('error', ({ code }) => errors.push(code))
      doc.insert(0, 'kept. ')
      await landed(at)
      first.cut()
      doc.insert(6, 'Offline, kept. ')
      await written(at)
      first.storage.full = full
      doc.insert(21, 'Not kept. ')
      await written(at)
      expect([doc.kept, errors]).toEqual([false, ['storage-failed']])
      await first.rise()
      doc.insert(31, 'Sent. ')
      await at.calm()
      first.die()

      // What is on the disk is older than what has been sent; its last edit is among it.
      const second = at.page(disk, false)
      const again = await opened(at, second)
      expect(again.text).toBe(full === 'growing' ? 'kept. ' : 'kept. Offline, kept. ')
      await second.rise()
      await landed(at)
      expect(await read(at)).toBe('kept. Offline, kept. Not kept. Sent. ')
      expect(second.client.drafts.map(({ cause, text }) => [cause, text])).toEqual([['unknowable', 'Offline, kept. ']])
      if (full === 'growing') expect(again.author).not.toBe(doc.author)
      again.insert(0, 'On. ')
      await landed(at)
      expect(await read(at)).toBe('On. kept. Offline, kept. Not kept. Sent. ')
    }
  })

  it.each(['growing', 'all'] as const)(
    '[P3] [P2] what a document closed without a line cannot keep comes back as drafts, and is not sent behind their back (%s)',
    async full => {
      const at = world()
      const disk = new HandDisk()
      const page = at.page(disk)
      const doc = await opened(at, page)
      await landed(at)
      page.cut()
      doc.insert(0, 'Kept. ')
      await written(at)
      page.storage.full = full
      doc.insert(6, 'Not kept. ')
      await written(at)
      const told: unknown[] = []
      doc.on('draft', ({ cause, text, error }) => told.push([cause, text, error?.code]))
      const closing = doc.close()
      await at.calm()
      at.clock.pass(10_000)
      await closing
      expect(told).toEqual([['unsent', 'Kept. Not kept. ', 'storage-failed']])
      expect(page.client.drafts.map(({ text }) => text)).toEqual(['Kept. Not kept. '])

      // What is on the disk of it may be restored by its writer at any time: nobody else does it.
      await page.rise()
      const again = await opened(at, page)
      await landed(at)
      expect([again.text, await read(at)]).toEqual(['', ''])
      page.die()
      await opened(at, at.page(disk))
      await landed(at)
      // A disk that takes nothing at all may still hold what it held.
      expect(await read(at)).toBe(full === 'growing' ? '' : 'Kept. ')
    },
  )

  it('[P3] a client that is closed hands back what it cannot keep', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    page.storage.full = 'all'
    doc.insert(0, 'Not kept. ')
    await page.client.close()
    expect(page.client.drafts.map(({ cause, text }) => [cause, text])).toEqual([['unsent', 'Not kept. ']])
  })

  it('[P3] that has room again when the document is closed keeps what was unsent, and nothing comes back', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk)
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    page.storage.full = 'all'
    doc.insert(0, 'Kept at last. ')
    await written(at)
    expect(doc.kept).toBe(false)
    page.storage.full = 'no'
    await page.client.close()
    expect(page.client.drafts).toEqual([])
    const again = await opened(at, at.page(disk))
    await landed(at)
    expect([again.text, await read(at)]).toEqual(['Kept at last. ', 'Kept at last. '])
  })

  it('[P2] a document closed and opened again by the same client sends nothing twice', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    doc.insert(0, 'Once. ')
    await written(at)
    page.storage.full = 'growing'
    doc.insert(6, 'Sent. ')
    await written(at)
    await page.rise()
    await landed(at)
    await doc.close()
    const again = await opened(at, page)
    await landed(at)
    expect([again.text, await read(at)]).toEqual(['Once. Sent. ', 'Once. Sent. '])
  })

  it('[R12] whose first writing hangs is not called sound by it when it arrives behind what was sent', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    ;(await opened(at, first)).insert(0, 'text')
    await landed(at)
    const second = at.page(disk, false)
    const doc = await opened(at, second)
    second.storage.held = true
    doc.insert(0, 'My ')
    await written(at)
    at.clock.pass(5_000)
    await at.calm()
    await second.rise()
    await landed(at)
    at.clock.pass(5_000)
    await landed(at)
    expect(await read(at)).toBe('My text')
    second.storage.commit()
    expect([disk.under('doc/').length, disk.under('sound/').length]).toEqual([2, 1])
  })

  it('[P5] that hangs is not given a writing behind the one that it has not answered', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    page.storage.held = true
    for (let i = 0; i < 20; i++) {
      doc.insert(0, 'a')
      at.clock.pass(10_000)
      await at.calm()
    }
    expect(page.storage.waiting.length).toBe(1)
    page.storage.held = false
    page.storage.commit()
    await at.calm()
    at.clock.pass(10_000)
    await at.calm()
    expect(doc.kept).toBe(true)
  })

  it('[R12] that has room again keeps everything again before it counts as sound', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    await landed(at)
    first.storage.full = 'all'
    doc.insert(0, 'a')
    await landed(at)
    expect([doc.kept, await read(at)]).toEqual([false, 'a'])
    expect(disk.under('sound/')).toEqual(['sound/doc'])
    first.storage.full = 'no'
    at.clock.pass(10_000)
    await landed(at)
    expect([doc.kept, disk.under('sound/')]).toEqual([true, ['sound/doc']])
    first.cut()
    doc.insert(1, 'b')
    await written(at)
    first.die()
    const again = await opened(at, at.page(disk))
    await landed(at)
    expect([again.text, again.author, await read(at)]).toEqual(['ab', doc.author, 'ab'])
  })

  it('[R12] what is sent while everything is written anew makes that writing no sound one', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    await landed(at)
    first.storage.full = 'growing'
    doc.insert(0, 'a')
    await landed(at)
    first.storage.full = 'no'
    first.storage.held = true
    at.clock.pass(10_000)
    doc.insert(1, 'b') // leaves at once, and the writing that waits does not know it
    await at.calm()
    expect(await read(at)).toBe('ab')
    first.storage.commit(1)
    await at.calm()
    first.die()
    expect([disk.under('doc/'), disk.under('sound/')]).toEqual([['doc/doc'], []])
    const again = await opened(at, at.page(disk))
    await landed(at)
    expect([again.text, again.author === doc.author]).toEqual(['ab', false])
  })

  it('[R12] [P3] no new edit gets a number that the page before may have given to one that arrives yet', async () => {
    const at = world()
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'kept. ')
    await landed(at)
    first.cut()
    doc.insert(6, 'Offline, kept. ')
    await written(at)
    first.storage.full = 'growing'
    await first.rise()
    first.line.holdUp = true // the join has gone, what was typed is still on its way when the page dies
    doc.insert(21, 'Not kept. ')
    await landed(at)
    expect(first.line.up.map(({ kind }) => kind)).toContain('submit')
    const arrive = first.dieSpeaking()
    const second = at.page(disk)
    const again = await opened(at, second)
    await landed(at)
    again.insert(0, 'New. ')
    await landed(at)
    arrive()
    await landed(at)
    // Whether it has arrived or not, what might be in it is a draft.
    expect(second.client.drafts.map(({ text, cause }) => [text, cause])).toEqual([['Offline, kept. ', 'unknowable']])
    const [, standIn] = second.lines
    expect(standIn?.sent.filter(({ kind }) => kind === 'submit')).toEqual([])
    expect((await read(at)).replace('Offline, kept. Not kept. ', '')).toBe('New. kept. ')
  })

  it('from the first moment: nothing is kept, everything else works, and the client says so', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk, false)
    page.storage.full = 'all'
    await page.rise()
    const doc = await opened(at, page)
    doc.insert(0, 'a')
    await landed(at)
    expect([await read(at), doc.kept, page.errors]).toEqual(['a', false, ['storage-failed']])
  })
})

describe('a machine that loses its power', () => {
  it.each([
    ['the server still has all commits', {}],
    ['the server has only a snapshot left', { recentTime: 0, recentCommits: 5, checkpointCommits: 5 }],
  ])(
    '[R12] [P2] [P3] and gives back less than it was given: what may be in the document is a draft, and not sent again; %s',
    async (_, limits) => {
      const at = world({ limits })
      const disk = new HandDisk()
      const first = at.page(disk)
      const ben = await at.client('ben').client.open('doc')
      const doc = await opened(at, first)
      doc.insert(0, 'A')
      await landed(at)
      first.cut()
      doc.insert(1, 'aaa')
      await written(at)
      const before = disk.copy()
      await first.rise()
      doc.insert(4, 'bbb')
      await landed(at)
      first.die()
      for (let i = 0; i < 20; i++) {
        ben.insert(ben.length, '.')
        await at.calm()
      }
      await landed(at)
      disk.become(before)

      const second = at.page(disk, false)
      const again = await opened(at, second)
      expect(again.text).toBe('Aaaa')
      again.insert(4, '?')
      await second.rise()
      await landed(at)
      const text = `Aaaabbb${'.'.repeat(20)}`
      expect([again.text, await read(at)]).toEqual([text, text])
      expect(again.drafts.map(({ cause, text }) => [cause, text])).toEqual([['unknowable', 'aaa?']])
      again.insert(0, 'On. ')
      await landed(at)
      expect(await read(at)).toBe(`On. ${text}`)
    },
  )
})

describe('records that cannot be read', () => {
  const kept = async (at: HandWorld, disk: HandDisk, offline: string): Promise<void> => {
    const page = at.page(disk)
    const doc = await opened(at, page)
    doc.insert(0, 'text')
    await landed(at)
    if (offline !== '') {
      page.cut()
      doc.insert(4, offline)
      await written(at)
    }
    page.die()
  }
  const spoil = (disk: HandDisk, prefix: string, change: (text: string) => string | null): void => {
    for (const records of disk.boxes.values()) {
      for (const [key, text] of records) {
        if (!key.startsWith(prefix)) continue
        const spoilt = change(text)
        if (spoilt === null) records.delete(key)
        else records.set(key, spoilt)
      }
    }
  }

  it.each<[string, string, (text: string) => string | null]>([
    ['a root cut in two', 'doc/', text => text.slice(0, text.length / 2)],
    ['a root that is something else', 'doc/', () => '[]'],
    ['a cell that is missing', 'cell/', () => null],
    ['a cell that is no JSON', 'cell/', text => `${text}}`],
    ['a cell that is no op', 'cell/', () => '[-1000000]'],
  ])('%s: the document opens from the server, the record is set aside and told of', async (_, prefix, change) => {
    const at = world()
    const disk = new HandDisk()
    await kept(at, disk, ' and more')
    spoil(disk, prefix, change)
    const page = at.page(disk)
    const doc = await opened(at, page)
    await landed(at)
    expect(doc.text).toBe('text')
    doc.insert(4, '!')
    await landed(at)
    expect([await read(at), page.errors]).toEqual(['text!', ['storage-damaged']])
    expect(disk.under('aside/').length).toBeGreaterThan(0)
  })

  it('of a later age are left alone', async () => {
    const at = world()
    const disk = new HandDisk()
    await kept(at, disk, ' and more')
    spoil(disk, 'doc/', text => JSON.stringify({ ...JSON.parse(text), schema: 2 }))
    const before = new Map([...disk.boxes.values()][0]!)
    const page = at.page(disk)
    const doc = await opened(at, page)
    await landed(at)
    expect([doc.text, doc.kept, page.errors]).toEqual(['text', true, []])
    expect([...disk.boxes.values()][0]).toEqual(before)
  })
})

describe('drafts', () => {
  const refused = async (at: HandWorld, page: HandPage): Promise<{ doc: TextDocument; draft: Draft<unknown, unknown> }> => {
    const doc = await opened(at, page)
    const back = new Promise<Draft<unknown, unknown>>(resolve => doc.on('draft', resolve))
    doc.insert(doc.length, 'much too long for it')
    await landed(at)
    return { doc, draft: await back }
  }

  it('[P3] are listed, survive the page, can be exported, put back and thrown away', async () => {
    const at = world({ limits: { documentLength: 12 } })
    const disk = new HandDisk()
    const first = at.page(disk)
    const { doc, draft } = await refused(at, first)
    expect([doc.text, doc.drafts, draft.cause, draft.error?.code]).toEqual(['', [draft], 'refused', 'document-too-long'])
    await written(at)
    first.die()

    const second = at.page(disk)
    const again = await opened(at, second)
    expect(second.client.drafts.map(({ document, text, cause }) => [document, text, cause])).toEqual([
      ['doc', 'much too long for it', 'refused'],
    ])
    expect(JSON.parse(JSON.stringify(again.drafts[0]))).toMatchObject({
      document: 'doc',
      type: 'text',
      text: 'much too long for it',
      before: '',
      op: ['much too long for it'],
      error: { code: 'document-too-long' },
    })
    const lists: number[] = []
    again.on('drafts', list => lists.push(list.length))
    again.drafts[0]!.restore()
    expect([again.text, again.drafts, second.client.drafts]).toEqual(['much too long for it', [], []])
    await landed(at) // and is refused once more
    expect([again.text, again.drafts.length, lists]).toEqual(['', 1, [0, 1]])
    second.client.drafts[0]!.discard()
    await landed(at)
    expect([again.drafts, second.client.drafts, disk.under('draft/')]).toEqual([[], [], []])
  })

  it('[P5] [P3] of a long text keep what was typed and what lay around it, and find their places again in what the text has become', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i} of a long text 🙂\n`)
    const long = lines.join('')
    const at = world({ limits: { documentLength: long.length + 10 } })
    const disk = new HandDisk()
    const first = at.page(disk)
    const ben = await at.client('ben').client.open('doc')
    const doc = await opened(at, first)
    doc.insert(0, long, { undo: 'never' })
    await landed(at)
    const place = long.indexOf('line 9000 ')
    for (let i = 0; i < 50; i++) {
      const back = new Promise(resolve => doc.on('draft', resolve))
      doc.replace(place, place + 4, `much too long ${i}`)
      await landed(at)
      await back
    }
    await written(at)
    const kept = [...disk.boxes.values()].flatMap(records => [...records].filter(([key]) => key.startsWith('draft/')))
    expect(kept.length).toBe(50)
    expect(Math.max(...kept.map(([, text]) => text.length))).toBeLessThan(4_096)
    first.die()

    const second = at.page(disk)
    const again = await opened(at, second)
    await landed(at)
    ben.delete(0, 1_000)
    ben.insert(0, 'Another beginning.\n')
    await landed(at)
    again.drafts[7]!.restore()
    const became = `Another beginning.\n${long.slice(1_000, place)}much too long 7${long.slice(place + 4)}`
    await landed(at)
    expect([again.text === became, (await read(at)) === became, again.drafts.length]).toEqual([true, true, 49])
  })

  it('[P3] a draft that cannot be put back stays, here and on the disk', async () => {
    const at = world({ limits: { documentLength: 12 } })
    const disk = new HandDisk()
    const first = at.page(disk)
    await refused(at, first)
    await written(at)
    first.die()
    const second = at.page(disk)
    let sound = true
    const type = { ...textType, fault: (op: TextOp, text: Text) => (sound ? textType.fault(op, text) : 'it does not fit') }
    const opening = second.client.open('doc', { type })
    await at.calm()
    const again = await opening
    sound = false
    expect(() => again.drafts[0]!.restore()).toThrow(RangeError)
    sound = true
    again.apply(fromEdits([[0, 0, 'on']], 0))
    await landed(at)
    expect([again.drafts.length, disk.under('draft/').length]).toEqual([1, 1])
  })

  it('[P3] a draft put back, and the edit that it becomes, are on the disk in one go', async () => {
    const at = world({ limits: { documentLength: 12 } })
    const disk = new HandDisk()
    const first = at.page(disk)
    const { doc } = await refused(at, first)
    await written(at)
    first.storage.held = true
    doc.drafts[0]!.restore()
    await at.calm()
    first.storage.commit(1)
    await at.calm()
    first.die()
    expect(disk.under('draft/')).toEqual([])
    const again = await opened(at, at.page(disk, false))
    expect(again.text).toBe('much too long for it')
  })

  it('[P3] [P6] rights that are taken away while the page is closed: what was unsent is a draft, and the text is gone from the device', async () => {
    let right: Right = 'write'
    const at = world({ right: () => right })
    const disk = new HandDisk()
    const first = at.page(disk)
    const doc = await opened(at, first)
    doc.insert(0, 'a secret')
    await landed(at)
    first.cut()
    doc.insert(8, ', and mine')
    await written(at)
    first.die()
    right = 'none'
    const second = at.page(disk)
    const opening = second.client.open('doc').then(
      () => 'opened',
      error => error.code,
    )
    await landed(at)
    expect(await opening).toBe('forbidden')
    expect(second.client.drafts.map(({ text, cause, error }) => [text, cause, error?.code])).toEqual([
      [', and mine', 'unsent', 'forbidden'],
    ])
    expect([disk.under('doc/'), disk.under('cell/')]).toEqual([[], []])
    expect(disk.under('draft/')).toHaveLength(1)
  })

  it('[P3] of a page that is gone stay in its box until the one that is there could write them down', async () => {
    const at = world({ limits: { documentLength: 12 } })
    const disk = new HandDisk()
    const there = at.page(disk)
    await opened(at, there, 'other')
    await landed(at)
    const gone = at.page(disk)
    const doc = await opened(at, gone)
    await landed(at)
    gone.cut()
    doc.insert(0, 'much too long for it')
    await written(at)
    there.storage.full = 'growing'
    gone.die()
    for (let i = 0; i < 3; i++) {
      at.clock.pass(30_000)
      await landed(at)
    }
    expect(disk.boxes.size).toBe(2)
    there.storage.full = 'no'
    for (let i = 0; i < 3; i++) {
      at.clock.pass(30_000)
      await landed(at)
    }
    expect([there.client.drafts.map(({ text }) => text), disk.boxes.size]).toEqual([['much too long for it'], 1])
    expect(disk.under('draft/')).toHaveLength(1)
  })

  it('[P6] the text of a document that may no longer be read goes from the boxes of pages that are gone as well', async () => {
    let right: Right = 'write'
    const at = world({ right: () => right })
    const disk = new HandDisk()
    const [there, gone] = [at.page(disk), at.page(disk)]
    for (const page of [there, gone]) await opened(at, page)
    await landed(at)
    await there.client.close()
    gone.die()
    expect(disk.under('doc/')).toHaveLength(2)
    right = 'none'
    const again = at.page(disk)
    const opening = again.client.open('doc').catch(error => error.code)
    await landed(at)
    expect(await opening).toBe('forbidden')
    at.clock.pass(30_000)
    await landed(at)
    expect([disk.under('doc/'), disk.boxes.size]).toEqual([[], 1])
  })

  it('of a page that is gone for good come to the page that is there', async () => {
    const at = world({ limits: { documentLength: 12 } })
    const disk = new HandDisk()
    const there = at.page(disk)
    await opened(at, there, 'other')
    const gone = at.page(disk)
    await refused(at, gone)
    await written(at)
    gone.die()
    there.cut()
    await there.rise()
    await landed(at)
    expect(there.client.drafts.map(({ text }) => text)).toEqual(['much too long for it'])
    expect(disk.boxes.size).toBe(1)
    there.die()
    expect((await opened(at, at.page(disk))).drafts.map(({ text }) => text)).toEqual(['much too long for it'])
  })
})

describe('what is written', () => {
  it('[P5] for a key pressed in a document of a megabyte is a few hundred bytes', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk)
    const doc = await opened(at, page)
    doc.insert(0, 'x'.repeat(1_000_000), { undo: 'never' })
    await landed(at)
    page.cut()
    await written(at)
    const before = disk.written
    for (let i = 0; i < 100; i++) {
      doc.insert(500_000 + i, 'y')
      await written(at)
    }
    expect((disk.written - before) / 100).toBeLessThan(1_000)
    const records = [...disk.boxes.values()][0]!
    expect([...records.values()].reduce((sum, value) => sum + value.length, 0)).toBeLessThan(1_010_000)
  })

  it('[P5] for a key pressed behind what was pasted without a line is not the paste again', async () => {
    const at = world()
    const disk = new HandDisk()
    const page = at.page(disk)
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    doc.insert(0, 'x'.repeat(200_000), { undo: 'never' })
    await written(at)
    const before = disk.written
    for (let i = 0; i < 256; i++) {
      doc.insert(200_000 + i, 'y')
      await written(at)
    }
    // The paste is written again when as much has been typed as it counts for: one edit, then two, then four.
    expect((disk.written - before) / 256).toBeLessThan(10_000)
    page.die()
    expect((await opened(at, at.page(disk, false))).text).toBe('x'.repeat(200_000) + 'y'.repeat(256))
  })

  it('[P3] is within 50 ms of the edit on its way to the disk, and at once when the page is about to go', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    await landed(at)
    page.cut()
    await at.calm()
    const writes = () => page.storage.history.length
    const before = writes()
    doc.insert(0, 'a')
    at.clock.pass(49)
    await at.calm()
    expect(writes()).toBe(before)
    at.clock.pass(1)
    await at.calm()
    expect([writes(), doc.kept]).toEqual([before + 1, true])
    doc.insert(1, 'b')
    page.leave()
    await at.calm()
    expect([writes(), doc.kept]).toEqual([before + 2, true])
  })

  it('[P3] when the page is about to go, what came during a writing is put behind it at once, and stands without it', async () => {
    for (const fails of [false, true]) {
      const at = world()
      const disk = new HandDisk()
      const page = at.page(disk)
      const doc = await opened(at, page)
      await landed(at)
      page.cut()
      page.storage.held = true
      doc.insert(0, 'a')
      await written(at)
      doc.insert(1, 'b')
      for (let i = 0; i < 3; i++) page.leave()
      expect(page.storage.waiting.length).toBe(2) // before any promise of the page can have gone on
      if (fails) page.storage.full = 'all'
      page.storage.commit(1)
      page.storage.full = 'no'
      page.storage.commit(1)
      if (fails) {
        await at.calm()
        at.clock.pass(50)
        page.storage.commit()
        await at.calm()
        page.storage.commit()
        await at.calm()
        expect(doc.kept).toBe(true)
      }
      page.die()
      const again = await opened(at, at.page(disk))
      await landed(at)
      expect([again.text, await read(at)]).toEqual(['ab', 'ab'])
    }
  })

  it('[P3] of others’ edits is in no hurry, and does not make my own wait', async () => {
    const at = world()
    const page = at.page(new HandDisk())
    const doc = await opened(at, page)
    const ben = await at.client('ben').client.open('doc')
    await landed(at)
    at.clock.pass(2_000)
    await at.calm()
    const before = page.storage.history.length
    ben.insert(0, 'ben')
    await at.calm()
    at.clock.pass(1_000)
    await at.calm()
    expect([doc.text, page.storage.history.length]).toEqual(['ben', before])
    page.cut()
    doc.insert(3, '!')
    at.clock.pass(50)
    await at.calm()
    expect([page.storage.history.length, doc.kept]).toEqual([before + 1, true])
  })
})

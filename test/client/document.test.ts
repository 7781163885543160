// A document in an application's hands: edits, events, status, drafts, presence. The engine is real, the network is in the hand.
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Change,
  type Document,
  type DocumentStatus,
  type Draft,
  InkwellError,
  type Progress,
  type Signal,
  type TextDocument,
} from '../../src/client/index.ts'
import { mapRange, type Range } from '../../src/client/undo.ts'
import { fromEdits, type TextOp } from '../../src/ot/op.ts'
import type { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import type { DocumentType } from '../../src/ot/type.ts'
import { refusal } from '../../src/protocol/errors.ts'
import type { DocId, Handle } from '../../src/protocol/ids.ts'
import type { Right } from '../../src/protocol/messages.ts'
import { type Random, seededRandom } from '../../src/testing/type-laws.ts'
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

/** A document opened by a client of its own. */
const opens = async (at: HandWorld, name: string, id = 'doc') => {
  const { client, line } = at.client(name)
  const doc = await client.open(id)
  return { client, line, doc }
}

/** What an application holds that only listens. */
class Follower {
  text: Text
  readonly changes: Change<TextOp>[] = []
  constructor(doc: TextDocument) {
    this.text = doc.snapshot
    doc.on('change', change => {
      this.text = this.text.apply(change.op)
      this.changes.push(change)
    })
  }
}

const statuses = (doc: Document<unknown, unknown>): DocumentStatus[] => {
  const seen = [doc.status]
  doc.on('status', status => seen.push(status))
  return seen
}

const drafts = <S, O>(doc: Document<S, O>): Draft<S, O>[] => {
  const seen: Draft<S, O>[] = []
  doc.on('draft', draft => seen.push(draft))
  return seen
}

const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    error => error,
  )

describe('edits', () => {
  it('are in the text at once and reach the others', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.doc.insert(0, 'Hello')
    ann.doc.insert(5, ' world')
    ann.doc.delete(0, 1)
    ann.doc.replace(0, 4, 'J')
    expect([ann.doc.text, ann.doc.length]).toEqual(['J world', 7])
    await at.calm()
    expect([ben.doc.text, ben.doc.version]).toEqual(['J world', ann.doc.version])
  })

  it('out of range throw a RangeError that names the value and its limit, and change nothing', async () => {
    const { doc } = await opens(world(), 'ann')
    doc.insert(0, 'abc')
    expect(() => doc.insert(4, 'x')).toThrow(new RangeError('position 4 is not a whole number from 0 to 3'))
    expect(() => doc.insert(-1, 'x')).toThrow(RangeError)
    expect(() => doc.insert(0.5, 'x')).toThrow(RangeError)
    expect(() => doc.delete(2, 1)).toThrow(new RangeError('position 1 is not a whole number from 2 to 3'))
    expect(() => doc.apply(fromEdits([[0, 0, 'x']], 9))).toThrow(new RangeError('op of base length 9 on a text of 3'))
    expect(doc.text).toBe('abc')
  })

  it('with a lone surrogate throw a RangeError that names its offset', async () => {
    const { doc } = await opens(world(), 'ann')
    expect(() => doc.insert(0, 'ab\ud83d')).toThrow(new RangeError('the text has a lone surrogate at offset 2'))
    expect(() => doc.insert(0, '\ude00b')).toThrow(new RangeError('the text has a lone surrogate at offset 0'))
    doc.insert(0, '😀')
    expect(() => doc.apply({ baseLength: 2, targetLength: 1, edits: [1, 1, 0], inserted: '' })).toThrow(RangeError)
    expect(doc.text).toBe('😀')
  })

  it('inside a surrogate pair are moved to its outer side', async () => {
    const { doc } = await opens(world(), 'ann')
    doc.insert(0, 'a😀b')
    doc.insert(2, '-')
    expect(doc.text).toBe('a-😀b')
    doc.delete(3, 4)
    expect(doc.text).toBe('a-b')
  })

  it('[P3] go on without a line and arrive when there is one again', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.line.cut()
    ann.doc.insert(0, 'offline ')
    ben.doc.insert(0, 'meanwhile ')
    await at.calm()
    expect([ann.doc.status, ann.doc.text]).toEqual(['offline', 'offline '])
    ann.line.rise()
    await at.calm()
    expect([ann.doc.text, ben.doc.text]).toEqual(['offline meanwhile ', 'offline meanwhile '])
  })
})

describe('[P8] a key', () => {
  it('works the text out once, also after somebody else has written', async () => {
    let applied = 0
    const apply: typeof textType.apply = (text, op) => {
      applied++
      return textType.apply(text, op)
    }
    const counting = { ...textType, apply }
    const at = world()
    const ben = await opens(at, 'ben')
    const doc = await at.client('ann').client.open('doc', { type: counting })
    for (const times of [1, 2, 3]) {
      ben.doc.insert(0, 'b')
      await at.calm()
      applied = 0
      for (let i = 0; i < times; i++) doc.apply(fromEdits([[0, 0, 'a']], doc.snapshot.length))
      expect(applied).toBe(times)
      await at.calm()
    }
    expect(doc.snapshot.toString()).toBe(ben.doc.text)
  })
})

describe('change events', () => {
  it('tell whose edit it is and where it comes from, and the source of my own', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    const follower = new Follower(ben.doc)
    ann.doc.insert(0, 'a')
    await at.calm()
    ben.doc.insert(1, 'b', { source: 'editor', selectionBefore: { anchor: 1, head: 1 }, selectionAfter: { anchor: 2, head: 2 } })
    ben.doc.undo()
    ben.doc.redo('key')
    expect(follower.changes.map(({ origin, author, source, selection }) => [origin, author, source, selection])).toEqual([
      ['remote', ann.doc.author, undefined, null],
      ['local', ben.doc.author, 'editor', null],
      ['undo', ben.doc.author, undefined, { anchor: 1, head: 1 }],
      ['redo', ben.doc.author, 'key', { anchor: 2, head: 2 }],
    ])
    expect(follower.text.toString()).toBe('ab')
  })

  it('a listener that throws stops nobody else, and its error comes up uncaught', async () => {
    const { doc } = await opens(world(), 'ann')
    const uncaught = new Promise(resolve => {
      const others = process.listeners('uncaughtException')
      process.removeAllListeners('uncaughtException')
      process.once('uncaughtException', error => {
        for (const other of others) process.on('uncaughtException', other)
        resolve(error)
      })
    })
    doc.on('change', () => {
      throw new Error('mine')
    })
    const follower = new Follower(doc)
    doc.insert(0, 'a')
    expect(follower.text.toString()).toBe('a')
    expect(await uncaught).toEqual(new Error('mine'))
  })

  it('a listener that is taken off is not called any more, not even for the event under way', async () => {
    const { doc } = await opens(world(), 'ann')
    const calls: string[] = []
    doc.on('change', () => stop())
    const stop = doc.on('change', () => calls.push('called'))
    doc.insert(0, 'a')
    expect(calls).toEqual([])
  })

  it('an edit made while a change is told is told before the changes still to come, which are moved over it', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ben.line.holdDown = true
    for (const letter of 'xyz') {
      ann.doc.insert(ann.doc.length, letter)
      await at.calm()
    }
    const first = new Follower(ben.doc)
    const stop = ben.doc.on('change', () => {
      stop()
      ben.doc.insert(0, '[')
      ben.doc.insert(ben.doc.length, ']')
    })
    const second = new Follower(ben.doc)
    ben.line.flushDown()
    await at.calm()
    expect(second.changes.map(({ origin }) => origin)).toEqual(['remote', 'local', 'local', 'remote', 'remote'])
    expect([first.text.toString(), second.text.toString()]).toEqual([ben.doc.text, ben.doc.text])
    ben.line.flushDown()
    ben.line.holdDown = false
    await at.calm()
    expect(ben.doc.text).toBe(ann.doc.text)
  })

  it('[P1] whoever applies all of them has the text, whatever is edited, undone, cut and delayed meanwhile, also by listeners', async () => {
    const first = Number(process.env.SEED ?? 70)
    for (let seed = first; seed < first + Number(process.env.CASES ?? 150); seed++) {
      await scuffle(seed).catch(error => {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`)
      })
    }
  })
})

const below = (random: Random, n: number): number => Math.floor(random() * n)

/** Three people, one document, and a network that does what it likes. */
const scuffle = async (seed: number): Promise<void> => {
  const random = seededRandom(seed)
  const at = world()
  const people = [await opens(at, 'ann'), await opens(at, 'ben'), await opens(at, 'cid')]
  const followers: Follower[] = []
  const edit = (doc: TextDocument) => {
    const from = below(random, doc.length + 1)
    const to = random() < 0.6 ? from : Math.min(doc.length, from + below(random, 4))
    doc.replace(from, to, ['', 'a', 'bc', '😀'][below(random, 4)]!)
  }
  for (const { doc } of people) {
    followers.push(new Follower(doc))
    let nested = 0
    doc.on('change', ({ origin }) => {
      if (origin !== 'remote' || nested > 0 || random() < 0.7) return
      nested++
      if (random() < 0.8) edit(doc)
      if (random() < 0.5) edit(doc)
      if (random() < 0.3) doc.undo()
      nested--
    })
    followers.push(new Follower(doc))
  }
  for (let i = 0; i < 40; i++) {
    const { doc, line } = people[below(random, 3)]!
    const dice = random()
    if (dice < 0.5) edit(doc)
    else if (dice < 0.6) doc.undo()
    else if (dice < 0.65) doc.redo()
    else if (dice < 0.75) line.holdDown = !line.holdDown
    else if (dice < 0.8) line.holdUp = !line.holdUp
    else if (dice < 0.85) line.flushDown(below(random, 3))
    else if (dice < 0.9 && line.open) line.cut(random() < 0.5)
    else if (!line.open) line.rise()
    else await at.calm()
  }
  for (const { line } of people) {
    line.holdUp = line.holdDown = false
    if (!line.open) line.rise()
    line.flushUp()
    line.flushDown()
  }
  for (let i = 0; i < 12; i++) {
    await at.calm()
    at.clock.pass(1_000)
  }
  const texts = people.map(({ doc }) => doc.text)
  expect(texts).toEqual([texts[0], texts[0], texts[0]])
  expect(followers.map(({ text }) => text.toString())).toEqual(followers.map(() => texts[0]))
  expect(people.map(({ doc }) => doc.status)).toEqual(['saved', 'saved', 'saved'])
}

describe('[P7] status and settled', () => {
  it('an edit is saving until the server holds it at the promised durability', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    const seen = statuses(doc)
    line.holdDown = true
    doc.insert(0, 'a')
    const sequenced = doc.settled('sequenced')
    const durable = doc.settled('durable')
    expect(doc.status).toBe('saving')
    await at.calm()
    expect(await Promise.race([durable, sequenced, 'not yet'])).toBe('not yet')
    line.holdDown = false
    line.flushDown()
    await sequenced
    at.clock.pass(100)
    await durable
    line.cut()
    line.rise()
    await at.calm()
    expect(seen).toEqual(['saved', 'saving', 'saved', 'offline', 'saved'])
  })

  it('sequenced is not yet durable, and not yet saved', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    line.holdDown = true
    doc.insert(0, 'a')
    const durable = doc.settled()
    await at.calm()
    const frame = line.down.find(message => message.kind === 'commits')
    if (frame?.kind !== 'commits') throw new Error('no commit has come')
    line.say({ ...frame, durable: 0 })
    await doc.settled('sequenced')
    expect([await Promise.race([durable, at.calm().then(() => 'not yet')]), doc.version, doc.status]).toEqual([
      'not yet',
      1,
      'saving',
    ])
    line.say({ kind: 'durable', handle: frame.handle, version: 1 })
    await durable
    expect(doc.status).toBe('saved')
  })

  it('an edit that goes in several parts is settled when the last of them is', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    line.cut()
    doc.insert(0, 'x'.repeat(1_200_000))
    const settled = doc.settled('sequenced')
    line.rise()
    line.holdUp = true
    let done = false
    settled.then(() => (done = true))
    const submitted = () => line.sent.filter(message => message.kind === 'submit').map(({ seq }) => seq)
    await at.calm()
    for (const parts of [1, 2, 3]) {
      expect([submitted().length, done, doc.version]).toEqual([parts, false, parts - 1])
      line.flushUp()
      await at.calm()
    }
    expect([submitted(), done, doc.version]).toEqual([[1, 2, 3], true, 3])
    expect((await at.engine.read('doc' as DocId))?.value).toBe('x'.repeat(1_200_000))
  })

  it('an edit is typed, sent, sequenced, durable: counted, told, and waited for', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    const seen: string[] = []
    const says = ({ typed, sent, sequenced }: Progress) => `${typed} ${sent} ${sequenced}`
    doc.on('progress', progress => seen.push(says(progress)))
    const reached: string[] = []
    line.cut()
    doc.insert(0, 'a')
    for (const level of ['sent', 'sequenced', 'durable'] as const) void doc.settled(level).then(() => reached.push(level))
    doc.insert(0, 'b')
    await at.calm()
    expect([seen.splice(0), reached]).toEqual([['1 0 0'], []])
    line.holdDown = true
    line.rise()
    await at.calm()
    line.flushDown(1)
    doc.insert(0, 'c')
    await at.calm()
    expect([seen.splice(0), reached, says(doc.progress)]).toEqual([['0 1 0', '1 1 0'], ['sent'], '1 1 0'])
    const frame = line.down.find(message => message.kind === 'commits')
    if (frame?.kind !== 'commits') throw new Error('no commit has come')
    line.down.length = 0
    line.say({ ...frame, durable: 0 })
    await at.calm()
    expect([seen.splice(0), reached]).toEqual([['0 1 1'], ['sent', 'sequenced']])
    line.say({ kind: 'durable', handle: frame.handle, version: 1 })
    await at.calm()
    expect([seen, reached, doc.status]).toEqual([['0 1 0'], ['sent', 'sequenced', 'durable'], 'saving'])
  })

  it('[P5] whoever asks at every key, with no line, is given one promise and not a thousand', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    line.cut()
    doc.insert(0, 'a')
    const first = doc.settled()
    for (let i = 0; i < 1_000; i++) {
      doc.insert(0, 'a')
      expect(doc.settled()).toBe(first)
    }
    line.rise()
    await Promise.all([at.calm(), first])
  })

  it('[P4] a node that makes way for another takes nothing with it: on its way up, on its way down, or in the buffer', async () => {
    const at = world()
    const { doc, line, client } = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    const seen = statuses(doc)
    const clientSeen: string[] = []
    client.on('status', status => clientSeen.push(status))
    for (const faults of [doc, client] as const) (faults as TextDocument).on('error', error => seen.push(error.code as never))
    for (const [i, hold] of (['holdUp', 'holdDown'] as const).entries()) {
      line[hold] = true
      ben.doc.insert(0, '-')
      doc.insert(0, 'a')
      await at.calm()
      doc.insert(0, 'b')
      line.move()
      line[hold] = false
      line.flushUp()
      line.flushDown()
      await at.calm()
      await doc.settled()
      expect([doc.text.length, ben.doc.text]).toEqual([3 * (i + 1), doc.text])
      expect(doc.text.replaceAll('-', '')).toBe('ba'.repeat(i + 1))
    }
    expect([new Set(seen), clientSeen]).toEqual([new Set(['saved', 'saving']), []])
  })

  it('closing while a join is under way ends with the move: nobody is waited for who cannot answer', async () => {
    const at = world()
    const { client, line } = at.client('ann')
    line.holdUp = true
    const opened = client.open('doc')
    opened.catch(() => {})
    await at.calm()
    const closed = client.close()
    await at.calm()
    line.move()
    await closed
    expect(at.engine.counts.joined).toBe(0)
  })

  it('what is settled already, or was taken back before it was sent, needs no waiting', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    await doc.settled()
    line.cut()
    doc.insert(0, 'a')
    const settled = doc.settled('sequenced')
    doc.delete(0, 1)
    line.rise()
    await at.calm()
    await settled
    expect(doc.version).toBe(0)
  })

  it('settled rejects when an edit comes back as a draft, and when the document closes first', async () => {
    const at = world({ limits: { documentLength: 5 } })
    const { doc, line } = await opens(at, 'ann')
    line.holdUp = true
    doc.insert(0, 'too long')
    const refused = rejection(doc.settled())
    line.holdUp = false
    line.flushUp()
    expect(await refused).toMatchObject({ name: 'InkwellError', code: 'document-too-long', advice: 'stop' })
    line.cut()
    doc.insert(0, 'a')
    const settled = rejection(doc.settled())
    await doc.close()
    expect(await settled).toMatchObject({ code: 'closed' })
    expect(await rejection(doc.settled())).toMatchObject({ code: 'closed' })
  })

  it('[P2] a submission that nobody answers on a live line is sent again after ten seconds, under its number, and enters once', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.line.holdUp = true
    ann.doc.insert(0, 'once')
    const lost = ann.line.up.splice(0)
    ann.line.holdUp = false
    at.clock.pass(9_999)
    const submits = () => ann.line.sent.filter(({ kind }) => kind === 'submit')
    expect(submits()).toEqual(lost)
    at.clock.pass(1)
    expect(submits()).toEqual([...lost, ...lost])
    await at.calm()
    expect([ben.doc.text, ann.doc.status]).toEqual(['once', 'saved'])
    at.clock.pass(60_000)
    expect(submits().length).toBe(2)
  })

  it('a wait that the server asks for is kept, then the submission goes out again', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    const errors: InkwellError[] = []
    doc.on('error', error => errors.push(error))
    line.holdUp = true
    doc.insert(0, 'a')
    const [submit] = line.up.splice(0)
    if (submit?.kind !== 'submit') throw new Error('nothing was submitted')
    const { handle, seq } = submit
    line.say({ kind: 'refused', doc: null, handle, seq, refusal: refusal('unavailable', undefined, 300) })
    line.holdUp = false
    at.clock.pass(299)
    expect(doc.version).toBe(0)
    at.clock.pass(1)
    await at.calm()
    expect([doc.version, errors.map(({ code, advice }) => [code, advice])]).toEqual([1, [['unavailable', 'retry']]])
  })
})

describe('[P3] drafts', () => {
  it('a refused edit comes back whole and leaves the text; it can be made again', async () => {
    const at = world({ limits: { documentLength: 17 } })
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    const seen = drafts(ann.doc)
    const follower = new Follower(ann.doc)
    ann.doc.insert(0, 'fits')
    await at.calm()
    ann.doc.insert(4, ', this does not')
    await at.calm()
    expect([ann.doc.text, ben.doc.text, follower.text.toString()]).toEqual(['fits', 'fits', 'fits'])
    expect(follower.changes.at(-1)?.origin).toBe('withdrawn')
    expect(seen.map(({ cause, text, error, before }) => [cause, text, error?.code, before.toString()])).toEqual([
      ['refused', ', this does not', 'document-too-long', 'fits'],
    ])
    ann.doc.delete(0, 3)
    seen[0]!.restore()
    await at.calm()
    expect([ann.doc.text, ben.doc.text]).toEqual(['s, this does not', 's, this does not'])
  })

  it('what came back when an edit was refused does not come back a second time by undo', async () => {
    const at = world({ limits: { documentLength: 17 } })
    const { doc } = await opens(at, 'ann')
    doc.insert(0, 'fits')
    await at.calm()
    doc.replace(0, 4, 'and this is far too long', { undo: 'new' })
    await at.calm()
    expect(doc.text).toBe('fits')
    expect([doc.canUndo, doc.undo(), doc.text]).toEqual([false, false, 'fits'])
  })

  it('a document that is closed without a line hands back what was not sent, and can be edited no more', async () => {
    const at = world()
    const { doc, line, client } = await opens(at, 'ann')
    const seen = drafts(doc)
    doc.insert(0, 'kept')
    await at.calm()
    at.clock.pass(100)
    line.cut()
    doc.insert(4, ' lost')
    await doc.close()
    expect(seen.map(({ cause, text, before }) => [cause, text, before.toString()])).toEqual([['unsent', ' lost', 'kept']])
    expect([doc.status, doc.text]).toEqual(['closed', 'kept lost'])
    expect(() => doc.insert(0, 'x')).toThrow(InkwellError)
    line.rise()
    const again = await client.open('doc')
    expect(again).not.toBe(doc)
    expect(again.text).toBe('kept')
  })

  it('a document that is asked for while it is closing is opened anew once it has closed', async () => {
    const at = world()
    const { doc, line, client } = await opens(at, 'ann')
    line.holdUp = true
    doc.insert(0, 'a')
    const closed = doc.close()
    const opened = client.open('doc')
    line.holdUp = false
    line.flushUp()
    const again = await opened
    await closed
    again.insert(1, 'b')
    await at.calm()
    expect([again === doc, doc.status, again.text, again.version]).toEqual([false, 'closed', 'ab', 2])
  })

  it('close waits for an edit on its way, but not for ever', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    doc.insert(0, 'a')
    await doc.close()
    expect(line.sent.map(({ kind }) => kind)).toEqual(['join', 'submit', 'leave'])
    const ben = await opens(at, 'ben')
    expect(ben.doc.text).toBe('a')
    const seen = drafts(ben.doc)
    ben.line.holdUp = true
    ben.doc.insert(0, 'b')
    const closed = ben.doc.close()
    expect(() => ben.doc.insert(0, 'x')).toThrow('closed')
    at.clock.pass(5_000)
    await closed
    expect(seen.map(({ text }) => text)).toEqual(['b'])
  })
})

describe('a history that is gone', () => {
  it('[P1] [P3] is replaced by a difference: nothing typed offline is lost, every listener keeps up, undo takes back only what is mine', async () => {
    const at = world({ limits: { recentTime: 0, recentCommits: 5, checkpointCommits: 5 } })
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    const follower = new Follower(ann.doc)
    ann.doc.insert(0, 'ANN ')
    await at.calm()
    ann.line.cut()
    ann.doc.insert(4, 'OFFLINE ', { undo: 'new' })
    for (const letter of 'a long time has passed') {
      ben.doc.insert(ben.doc.length, letter)
      await at.calm()
    }
    ann.line.rise()
    await at.calm()
    await at.calm()
    expect([ann.doc.text, ben.doc.text]).toEqual(['ANN OFFLINE a long time has passed', 'ANN OFFLINE a long time has passed'])
    expect([follower.text.toString(), follower.changes.map(({ origin }) => origin)]).toEqual([
      ann.doc.text,
      ['local', 'local', 'resync'],
    ])
    ann.doc.undo()
    ann.doc.undo()
    await at.calm()
    expect([ann.doc.canUndo, ann.doc.text, ben.doc.text]).toEqual([false, 'a long time has passed', 'a long time has passed'])
  })
})

describe('rights', () => {
  it('a reader sees edits and cannot make any', async () => {
    let right: Right = 'write'
    const at = world({ right: () => right })
    const ann = await opens(at, 'ann')
    right = 'read'
    const ben = await opens(at, 'ben')
    ann.doc.insert(0, 'a')
    await at.calm()
    expect([ben.doc.status, ben.doc.text, ben.doc.canUndo]).toEqual(['read-only', 'a', false])
    expect(() => ben.doc.insert(0, 'b')).toThrow(expect.objectContaining({ code: 'forbidden' }))
    ben.line.cut()
    expect(() => ben.doc.insert(0, 'b')).toThrow(expect.objectContaining({ code: 'forbidden' }))
    expect(ben.doc.text).toBe('a')
  })

  it('whoever may not read is told so by open, and so is whoever names no document', async () => {
    const at = world({ right: () => 'none' })
    const { client } = at.client('ann')
    expect(await rejection(client.open('doc'))).toMatchObject({ code: 'forbidden', advice: 'stop' })
    expect(await rejection(client.open(''))).toMatchObject({ code: 'bad-document-id' })
    expect(await rejection(client.open('a\u0000b'))).toMatchObject({ code: 'bad-document-id' })
  })
})

describe('a document that is full of writers', () => {
  it('[P3] is for reading, keeps what is unsent, and says when there is room', async () => {
    const at = world({ limits: { writersPerDocument: 1, writerActive: 10_000 } })
    const [ann, ben] = [await opens(at, 'ann'), await opens(at, 'ben')]
    const seen = statuses(ben.doc)
    const errors: string[] = []
    ben.doc.on('error', ({ code, advice }) => errors.push(`${code}, ${advice}`))
    const back = drafts(ben.doc)
    ann.doc.insert(0, 'a')
    await at.calm()
    ben.doc.insert(0, 'b')
    await at.calm()
    expect([ben.doc.status, ben.doc.text, ann.doc.text, errors]).toEqual(['full', 'ba', 'a', ['too-many-writers, slow-down']])
    expect(() => ben.doc.insert(0, 'c')).toThrow(new InkwellError(refusal('too-many-writers')))
    expect([ben.doc.progress, ben.doc.canUndo]).toEqual([{ typed: 0, sent: 1, sequenced: 0 }, false])
    for (let i = 0; i < 12; i++) {
      at.clock.pass(1_000)
      await at.calm()
    }
    expect([ben.doc.status, ann.doc.text, ann.doc.status, back]).toEqual(['saved', 'ba', 'full', []])
    expect(seen).toEqual(['saved', 'saving', 'full', 'saving', 'saved'])
    ben.doc.insert(0, 'c')
    await at.calm()
    expect(ann.doc.text).toBe('cba')
  })
})

describe('a document with a hundred drafts', () => {
  it('[P3] [P5] drops none and takes no more edits, with an error, until the writer has restored or discarded some', async () => {
    const at = world({ limits: { documentLength: 5 } })
    const { doc } = await opens(at, 'ann')
    const errors: string[] = []
    doc.on('error', ({ code }) => errors.push(code))
    const seen = statuses(doc)
    for (let i = 0; i < 100; i++) {
      doc.insert(0, `too long ${i}`)
      await at.calm()
    }
    expect([doc.drafts.length, doc.status, doc.text, errors.at(-1)]).toEqual([100, 'read-only', '', 'too-many-drafts'])
    expect(errors.filter(code => code === 'too-many-drafts').length).toBe(1)
    expect(seen.at(-1)).toBe('read-only')
    expect(() => doc.insert(0, 'x')).toThrow(expect.objectContaining({ code: 'too-many-drafts' }))
    const first = doc.drafts[0]!
    first.restore()
    await at.calm()
    // It was too long again: the writer has the same words back, at the end of the list.
    expect(doc.drafts.map(({ text }) => text)).toEqual([
      ...Array.from({ length: 99 }, (_, i) => `too long ${i + 1}`),
      'too long 0',
    ])
    expect([doc.status, doc.text]).toEqual(['read-only', ''])
    doc.drafts[0]!.discard()
    expect([doc.status, seen.at(-1)]).toEqual(['saved', 'saved'])
    doc.insert(0, 'short')
    await at.calm()
    expect([doc.text, doc.status]).toEqual(['short', 'saved'])
  })
})

describe('a join that is refused for the moment', () => {
  it('[P5] is asked for again as a line is dialled: by chance, more seldom each time, and never before the server says', async () => {
    const at = world()
    const { client, line } = at.client('ann', () => 0.999)
    const doc = await client.open('doc')
    line.cut()
    line.holdUp = true
    line.rise()
    const joins = () => line.sent.filter(({ kind }) => kind === 'join').length
    /** Tenths of a second from the refusal to the next join. */
    const pause = (after?: number) => {
      const before = joins()
      line.say({
        kind: 'refused',
        doc: 'doc' as DocId,
        handle: null,
        seq: null,
        refusal: refusal('unavailable', undefined, after),
      })
      let tenths = 0
      for (; joins() === before; tenths++) at.clock.pass(100)
      return tenths
    }
    const pauses = Array.from({ length: 6 }, () => pause())
    expect([...pauses, pause(5_000)]).toEqual([10, 20, 40, 80, 160, 300, 350])
    line.holdUp = false
    line.up.splice(0, line.up.length - 1) // the server has answered the others
    line.flushUp()
    await at.calm()
    expect(doc.status).toBe('saved')
    line.cut()
    line.holdUp = true
    line.rise()
    expect(pause()).toBe(10) // it has been well in between
  })
})

describe('one client', () => {
  it('holds several documents on one line, and each id once', async () => {
    const at = world()
    const { client, line } = at.client('ann')
    const [one, two, same] = await Promise.all([client.open('one'), client.open('two'), client.open('one')])
    expect(same).toBe(one)
    one.insert(0, '1')
    two.insert(0, '2')
    await at.calm()
    expect([one.text, two.text, one.version, two.version]).toEqual(['1', '2', 1, 1])
    line.cut()
    expect([one.status, two.status, client.status]).toEqual(['offline', 'offline', 'offline'])
    line.rise()
    await at.calm()
    expect([one.status, two.status, client.status]).toEqual(['saved', 'saved', 'online'])
  })

  it('opens what it is asked for while there is no line once there is one', async () => {
    const at = world()
    const { client, line } = at.client('ann')
    line.cut()
    const opened = client.open('doc')
    await at.calm()
    line.rise()
    expect((await opened).status).toBe('saved')
  })

  it('that is closed closes its documents, waits for nothing more and opens none', async () => {
    const at = world()
    const { client, line, doc } = await opens(at, 'ann')
    doc.presence.set({ a: 1 })
    doc.presence.set({ a: 2 })
    doc.insert(0, 'a')
    await client.close()
    expect([client.status, doc.status, line.open]).toEqual(['closed', 'closed', false])
    expect(await rejection(client.open('doc'))).toMatchObject({ code: 'closed' })
    const engineAlarms = at.clock.waiting
    await at.engine.close()
    expect(at.clock.waiting).toBeLessThanOrEqual(engineAlarms)
    at.clock.pass(600_000)
    expect(at.clock.waiting).toBe(0)
  })

  it('a line that is refused for good closes every document with the reason', async () => {
    const at = world()
    const { client, line, doc } = await opens(at, 'ann')
    const errors: unknown[] = []
    client.on('error', error => errors.push(error.code))
    doc.on('error', error => errors.push(error.code))
    line.cut()
    doc.insert(0, 'unsent')
    const seen = drafts(doc)
    line.end('unsupported-protocol')
    expect([client.status, doc.status, errors]).toEqual(['closed', 'closed', ['unsupported-protocol', 'unsupported-protocol']])
    expect(seen.map(({ cause, error }) => [cause, error?.advice])).toEqual([['unsent', 'reload']])
    expect(await rejection(client.open('other'))).toMatchObject({ code: 'unsupported-protocol' })
  })

  it('a commit that does not fit the text is reported, harms nothing, and the document is joined again', async () => {
    const at = world()
    const { doc, line } = await opens(at, 'ann')
    doc.insert(0, 'abc')
    await at.calm()
    const errors: string[] = []
    doc.on('error', error => errors.push(error.code))
    const handle = (line.sent.find(({ kind }) => kind === 'submit') as { handle: Handle }).handle
    const position = { epoch: 'e' as never, version: 2, chain: '0000000000000000' as never }
    const commit = { author: 'someone_________' as never, seq: 1, op: [99, 'x'] }
    line.say({ kind: 'commits', handle, from: 1, commits: [commit], position, durable: 0 })
    expect([doc.text, errors]).toEqual(['abc', ['internal']])
    at.clock.pass(1_000)
    await at.calm()
    expect([doc.status, line.sent.filter(({ kind }) => kind === 'join').length]).toEqual(['saved', 2])
    doc.insert(3, 'd')
    await at.calm()
    expect((await opens(at, 'ben')).doc.text).toBe('abcd')
  })
})

describe('documents of other types', () => {
  /** A number to which everybody adds. */
  const counter: DocumentType<number, number> = {
    name: 'counter',
    empty: 0,
    size: () => 0,
    baseSize: () => 0,
    targetSize: () => 0,
    apply: (count, more) => count + more,
    compose: (first, second) => first + second,
    transform: op => op,
    transformPair: (a, b) => [a, b],
    invert: op => -op,
    isNoop: op => op === 0,
    equals: (a, b) => a === b,
    noop: () => 0,
    diff: (from, to) => to - from,
    mapPosition: position => position,
    fault: () => null,
    opFromJson: json => Number(json),
    opToJson: op => op,
    snapshotFromJson: json => Number(json),
    snapshotToJson: count => count,
  }

  it('are edited by op, undone, and have no text', async () => {
    const at = world({ types: [counter] })
    const ann = await at.client('ann').client.open('count', { type: counter })
    const ben = await at.client('ben').client.open('count', { type: counter })
    ann.apply(3)
    ben.apply(4)
    await at.calm()
    expect([ann.snapshot, ben.snapshot]).toEqual([7, 7])
    ben.undo()
    await at.calm()
    expect([ann.snapshot, ben.snapshot]).toEqual([3, 3])
    expect(() => (ann as unknown as TextDocument).text).toThrow(TypeError) // as from plain JavaScript
    expect(() => (ann as unknown as TextDocument).insert(0, 'a')).toThrow(TypeError)
    expect(ann.snapshot).toBe(3)
  })

  it('one id cannot be open as two types', async () => {
    const at = world({ types: [counter] })
    const { client } = at.client('ann')
    await client.open('count', { type: counter })
    expect(await rejection(client.open('count'))).toMatchObject({ code: 'type-mismatch' })
  })
})

describe('presence', () => {
  const cursorsOf = (doc: TextDocument) => doc.presence.peers.map(({ state }) => state.cursor)
  const caret = (at: number) => ({ anchor: at, head: at })
  const passes = async (at: HandWorld) => {
    for (let i = 0; i < 4; i++) {
      await at.calm()
      at.clock.pass(60)
    }
    await at.calm()
  }

  it('typing carries the caret along at the others, without a message of its own', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.doc.presence.set({ cursor: caret(0) })
    await passes(at)
    const told = ann.line.sent.filter(({ kind }) => kind === 'present').length
    for (const letter of 'typing') {
      ann.doc.insert(ann.doc.length, letter)
      ann.doc.presence.set({ cursor: caret(ann.doc.length) })
      await passes(at)
      expect(cursorsOf(ben.doc)).toEqual([caret(ann.doc.length)])
    }
    expect(ann.line.sent.filter(({ kind }) => kind === 'present').length).toBe(told)
  })

  it('the first state goes out at once, then at most one in 50 ms, and the last one always', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const told = () => ann.line.sent.flatMap(message => (message.kind === 'present' ? [message.state.n] : []))
    at.clock.pass(1_000)
    for (let n = 1; n <= 9; n++) {
      ann.doc.presence.set({ n })
      at.clock.pass(10)
    }
    expect(told()).toEqual([1, 5])
    at.clock.pass(100)
    expect(told()).toEqual([1, 5, 9])
    ann.doc.presence.set({ n: 9 })
    at.clock.pass(100)
    expect(told()).toEqual([1, 5, 9])
  })

  it('is told again after every join, and nobody is here while there is no line', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.doc.presence.set({ n: 1 })
    await passes(at)
    expect(ben.doc.presence.peers.map(({ state, author }) => [state, author])).toEqual([[{ n: 1 }, ann.doc.author]])
    ann.line.cut()
    await passes(at)
    expect([ann.doc.presence.peers, ben.doc.presence.peers]).toEqual([[], []])
    ann.line.rise()
    await passes(at)
    expect(ben.doc.presence.peers.map(({ state }) => state)).toEqual([{ n: 1 }])
  })

  it('[P7] the count is of everybody, the peers are the active ones', async () => {
    const at = world({ limits: { peersShown: 2 } })
    const all = []
    for (const name of ['ann', 'ben', 'cat', 'dan']) all.push(await opens(at, name))
    await passes(at)
    const [ann, , , dan] = all
    let told = 0
    ann!.doc.presence.on('change', () => told++)
    expect(all.map(({ doc }) => doc.presence.count)).toEqual([4, 4, 4, 4])
    const names = () => ann!.doc.presence.peers.map(({ user }) => user.id.replaceAll('_', ''))
    expect(names()).toEqual(['ben'])
    at.clock.pass(20_000)
    dan!.doc.insert(0, 'I am here')
    await passes(at)
    expect(names()).toEqual(['ben', 'dan'])
    const before = told
    all[2]!.line.cut()
    await passes(at)
    expect([ann!.doc.presence.count, names(), told > before]).toEqual([3, ['ben', 'dan'], true])
    ann!.line.cut()
    expect([ann!.doc.presence.count, names()]).toEqual([0, []])
  })

  it('[W35] after a pause in which the line was too slow, the whole is what is here', async () => {
    const at = world()
    const [ann, ben, cat] = [await opens(at, 'ann'), await opens(at, 'ben'), await opens(at, 'cat')]
    await passes(at)
    ann.line.behind = true
    ben.doc.presence.set({ n: 1 })
    cat.line.cut()
    await passes(at)
    expect(ann.doc.presence.count).toBe(3)
    ann.line.behind = false
    await passes(at)
    expect([ann.doc.presence.count, ann.doc.presence.peers.map(({ state }) => state)]).toEqual([2, [{ n: 1 }]])
  })

  it('a state that is too large, or none, throws and is not sent', async () => {
    const { doc, line } = await opens(world(), 'ann')
    expect(() => doc.presence.set({ blob: 'x'.repeat(5_000) })).toThrow(expect.objectContaining({ code: 'presence-too-large' }))
    expect(() => doc.presence.set([] as never)).toThrow(expect.objectContaining({ code: 'malformed' }))
    expect(() => doc.presence.set({ at: Number.NaN })).toThrow(expect.objectContaining({ code: 'malformed' }))
    expect(line.sent.filter(({ kind }) => kind === 'present')).toEqual([])
  })

  it('does not tell my own edits as news of the others', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    const ben = await opens(at, 'ben')
    ann.doc.insert(0, 'abc')
    ann.doc.presence.set({ cursor: caret(3) })
    await passes(at)
    let news = 0
    ben.doc.presence.on('change', () => news++)
    ben.line.holdUp = true
    ben.doc.insert(0, '12')
    expect([news, cursorsOf(ben.doc)]).toEqual([0, [caret(5)]])
  })

  it('carets end where their owners have them, whatever is typed and delayed meanwhile', async () => {
    const first = Number(process.env.SEED ?? 7)
    for (let seed = first; seed < first + Number(process.env.CASES ?? 60); seed++) {
      await wander(seed).catch(error => {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`)
      })
    }
  })

  const wander = async (seed: number): Promise<void> => {
    const random = seededRandom(seed)
    const at = world()
    const people: { doc: TextDocument; line: HandLine; cursor: Range }[] = []
    for (const name of ['ann', 'ben', 'cid']) {
      const person = { ...(await opens(at, name)), cursor: caret(0) }
      person.doc.presence.set({ cursor: person.cursor })
      // Where an editor would have it: behind what its owner types, before what others do.
      person.doc.on('change', ({ op, origin }) => {
        person.cursor = mapRange(textType, person.cursor, op, origin === 'local' ? 'right' : 'left')
      })
      people.push(person)
    }
    for (let i = 0; i < 40; i++) {
      const person = people[below(random, 3)]!
      const { doc, line } = person
      const dice = random()
      if (dice < 0.45) {
        const from = below(random, doc.length + 1)
        const to = random() < 0.6 ? from : Math.min(doc.length, from + below(random, 4))
        doc.replace(from, to, 'abc'.slice(0, below(random, 4)))
      } else if (dice < 0.75) {
        person.cursor = { anchor: below(random, doc.length + 1), head: below(random, doc.length + 1) }
        doc.presence.set({ cursor: person.cursor })
      } else if (dice < 0.8) line.holdDown = !line.holdDown
      else if (dice < 0.85) line.holdUp = !line.holdUp
      else if (dice < 0.9) line.flushDown(1)
      else if (dice < 0.93) {
        line.cut(random() < 0.5)
        line.rise()
      } else await passes(at)
    }
    for (const { line } of people) {
      line.holdUp = line.holdDown = false
      line.flushUp()
      line.flushDown()
    }
    await passes(at)
    await passes(at)
    const owners = people.map(({ doc, cursor }) => [doc.author, cursor] as const)
    for (const { doc } of people) {
      const seen = doc.presence.peers.map(({ author, state }) => [author, state.cursor])
      expect(new Map([...seen, [doc.author, 'mine']] as never)).toEqual(
        new Map(owners.map(([author, at]) => [author, author === doc.author ? 'mine' : at])),
      )
    }
  }
})

describe('signals', () => {
  const heardBy = (doc: TextDocument): Signal[] => {
    const heard: Signal[] = []
    doc.on('signal', signal => heard.push(signal))
    return heard
  }

  it('reach the others and not the one who sends them', async () => {
    const at = world()
    const [ann, ben, cat] = [await opens(at, 'ann'), await opens(at, 'ben'), await opens(at, 'cat')]
    const heard = [ann, ben, cat].map(({ doc }) => heardBy(doc))
    const payload = { to: ['all'] }
    expect([ann.doc.signal('wave', payload), ann.doc.signal('wave')]).toEqual([true, true])
    payload.to.push('more')
    await at.calm()
    const peer = ben.doc.presence.peers[0]!.peer
    const user = { id: 'ann_____________' }
    const both = [
      { name: 'wave', payload: { to: ['all'] }, peer, user },
      { name: 'wave', payload: null, peer, user },
    ]
    expect(heard).toEqual([[], both, both])
  })

  it('go nowhere while there is no line, and nowhere later', async () => {
    const at = world()
    const [ann, ben] = [await opens(at, 'ann'), await opens(at, 'ben')]
    const heard = heardBy(ben.doc)
    ann.line.cut()
    expect(ann.doc.signal('lost')).toBe(false)
    ann.line.rise()
    await at.calm()
    expect(ann.doc.signal('wave')).toBe(true)
    await at.calm()
    expect(heard.map(({ name }) => name)).toEqual(['wave'])
    await ann.doc.close()
    expect(ann.doc.signal('late')).toBe(false)
  })

  it('[W15] leave after the edits that were made before them', async () => {
    const at = world()
    const ann = await opens(at, 'ann')
    ann.doc.on('change', ({ origin }) => {
      if (origin !== 'local' || ann.doc.text !== 'a') return
      ann.doc.insert(1, 'b')
      ann.doc.signal('typed')
    })
    ann.doc.insert(0, 'a')
    await at.calm()
    expect(ann.line.sent.map(({ kind }) => kind)).toEqual(['join', 'submit', 'signal', 'submit'])
  })

  it('that are too large, or none, throw and are not sent, on a line and without one', async () => {
    const { doc, line } = await opens(world(), 'ann')
    const refused = (code: string) => expect.objectContaining({ name: 'InkwellError', code })
    for (let round = 0; round < 2; round++) {
      expect(() => doc.signal('n', 'x'.repeat(16_385))).toThrow(refused('signal-too-large'))
      for (const name of ['', 'x'.repeat(65), 'ä'.repeat(33), 'line\n', '\ud800', 7])
        expect(() => doc.signal(name as string)).toThrow(refused('malformed'))
      for (const payload of [Number.NaN, new Date(), () => 1, 1n, '\ud800', { __proto__: null, constructor: 1 }])
        expect(() => doc.signal('n', payload as never)).toThrow(refused('malformed'))
      line.cut()
    }
    expect(line.sent.filter(({ kind }) => kind === 'signal')).toEqual([])
  })

  it('[R14] that are too many come back as an error with the advice to slow down; edits go on', async () => {
    const at = world({ limits: { signalsPerSecond: 2 } })
    const [ann, ben] = [await opens(at, 'ann'), await opens(at, 'ben')]
    const errors: InkwellError[] = []
    ann.doc.on('error', error => errors.push(error))
    const heard = heardBy(ben.doc)
    for (let i = 0; i < 3; i++) ann.doc.signal('n', i)
    ann.doc.insert(0, 'still here')
    await at.calm()
    expect(errors.map(({ code, advice }) => [code, advice])).toEqual([['slow-down', 'slow-down']])
    expect([heard.length, ben.doc.text, ann.doc.status]).toEqual([2, 'still here', 'saved'])
  })
})

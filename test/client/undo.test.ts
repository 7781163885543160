// Undo and redo: whose text they touch, where it comes back, what counts as one group.
import { describe, expect, it } from 'vitest'
import { type Range, UndoStack } from '../../src/client/undo.ts'
import { fromEdits, type TextOp, toEdits } from '../../src/ot/op.ts'
import { Text } from '../../src/ot/rope.ts'
import { textType } from '../../src/ot/text.ts'
import { OpError } from '../../src/ot/type.ts'
import { checkLaw, type Random, seededRandom } from '../../src/testing/type-laws.ts'

const run = { cases: Number(process.env.CASES ?? 5_000), seed: Number(process.env.SEED ?? 1_568) }
const below = (random: Random, n: number): number => Math.floor(random() * n)

/** A text with an undo stack over it, without a clock: time stands still unless a test moves it. */
class Desk {
  text: Text
  now = 0
  stack: UndoStack<Text, TextOp>
  private readonly limits: { readonly groups: number; readonly units: number }

  constructor(text = '', groups = 200, units = 1_000_000) {
    this.text = Text.of(text)
    this.limits = { groups, units }
    this.stack = new UndoStack(textType, { ...this.limits, touches })
  }

  /** The tab is closed, and opened again from what was stored. */
  reopen(): this {
    const stored = JSON.stringify(this.stack.toJson())
    this.stack = new UndoStack(textType, { ...this.limits, touches })
    this.stack.fromJson(JSON.parse(stored), this.text.length)
    return this
  }

  get shows(): string {
    return this.text.toString()
  }

  op(from: number, to: number, text: string): TextOp {
    return fromEdits([[from, to, text]], this.text.length)
  }

  mine(
    from: number,
    to: number,
    text: string,
    group: 'join' | 'new' = 'join',
    selections: readonly [Range, Range] | null = null,
  ): this {
    const op = this.op(from, to, text)
    const [selectionBefore, selectionAfter] = selections ?? [null, null]
    if (textType.isNoop(op)) return this
    this.stack.record(op, { before: this.text, now: this.now, group, selectionBefore, selectionAfter })
    this.text = this.text.apply(op)
    return this
  }

  theirs(from: number, to: number, text: string): this {
    const op = this.op(from, to, text)
    this.stack.follow(op)
    this.text = this.text.apply(op)
    return this
  }

  undo(): Range | null | undefined {
    return this.take('undo')
  }

  redo(): Range | null | undefined {
    return this.take('redo')
  }

  private take(which: 'undo' | 'redo'): Range | null | undefined {
    const taken = this.stack[which](this.text)
    if (taken === null) return undefined
    this.text = this.text.apply(taken.op)
    return taken.selection
  }
}

const touches = (undo: TextOp, op: TextOp): boolean =>
  toEdits(op).some(([from, to]) => toEdits(undo).some(([start, end]) => from <= end && to >= start))

const caret = (at: number): Range => ({ anchor: at, head: at })

describe('undo takes back my edits only', () => {
  it('a word that another typed inside my sentence stays', () => {
    const desk = new Desk().mine(0, 0, 'Hello !').theirs(6, 6, 'WORLD')
    desk.undo()
    expect(desk.shows).toBe('WORLD')
    desk.redo()
    expect(desk.shows).toBe('Hello WORLD!')
  })

  it('of two deletes that overlap only mine is restored', () => {
    const desk = new Desk('0123456789').mine(2, 6, '').theirs(2, 4, '') // theirs was 4 to 8, of which I had taken 4 and 5
    expect(desk.shows).toBe('0189')
    desk.undo()
    expect(desk.shows).toBe('01234589')
  })

  it('nothing is left to undo when another removed my text', () => {
    const desk = new Desk('ab').mine(1, 1, 'mine').theirs(0, 6, '')
    expect([desk.stack.canUndo, desk.undo(), desk.shows]).toEqual([false, undefined, ''])
  })

  it('a group of which nothing is left is passed over, and the one below it undone', () => {
    const desk = new Desk('-').mine(0, 0, 'first', 'new').mine(6, 6, 'second', 'new').theirs(6, 12, '')
    desk.undo()
    expect([desk.shows, desk.stack.canUndo]).toEqual(['-', false])
  })

  it('text that I deleted comes back where others have put text around its place since: to the left of theirs', () => {
    const desk = new Desk('13').mine(1, 2, '').theirs(1, 1, '5') // they typed 5 behind the 3
    desk.undo()
    expect(desk.shows).toBe('135')
  })

  it('a limit: it comes to the left of theirs also where they had typed before it; nothing tells the two cases apart', () => {
    const desk = new Desk('13').mine(1, 2, '').theirs(1, 1, '5') // they typed 5 before the 3, while it was still there for them
    desk.undo()
    expect(desk.shows).toBe('135') // 153 would be right
  })

  it('my edits survive a difference that replaced the history, as far as their text does', () => {
    const desk = new Desk('one two').mine(3, 3, ' and a half', 'new').mine(0, 0, '>> ', 'new')
    const after = Text.of('>> one and a half, two, three')
    const diff = textType.diff(desk.text, after)
    desk.stack.follow(diff)
    desk.text = after
    desk.undo()
    expect(desk.shows).toBe('one and a half, two, three')
    desk.undo()
    expect(desk.shows).toBe('one, two, three')
  })
})

describe('groups', () => {
  it('typing in one place is one group until a pause of half a second', () => {
    const desk = new Desk()
    for (const [at, letter] of [...'abc'].entries()) {
      desk.now += 499
      desk.mine(at, at, letter)
    }
    desk.now += 500
    desk.mine(3, 3, 'd')
    desk.undo()
    expect(desk.shows).toBe('abc')
    desk.undo()
    expect(desk.shows).toBe('')
  })

  it('typing elsewhere begins a group', () => {
    const desk = new Desk('__').mine(0, 0, 'a').mine(3, 3, 'b')
    desk.undo()
    expect(desk.shows).toBe('a__')
  })

  it('what another types meanwhile does not break a group', () => {
    const desk = new Desk('__').mine(2, 2, 'a').theirs(0, 0, 'xyz').mine(6, 6, 'b')
    expect(desk.shows).toBe('xyz__ab')
    desk.undo()
    expect([desk.shows, desk.stack.canUndo]).toEqual(['xyz__', false])
  })

  it('a boundary begins a group, and so does an edit that asks for it', () => {
    const desk = new Desk().mine(0, 0, 'a')
    desk.stack.boundary()
    desk.mine(1, 1, 'b').mine(2, 2, 'c', 'new')
    desk.undo()
    expect(desk.shows).toBe('ab')
    desk.undo()
    expect(desk.shows).toBe('a')
  })

  it('an edit after an undo begins a group, and ends redo', () => {
    const desk = new Desk().mine(0, 0, 'a').mine(1, 1, 'b', 'new')
    desk.undo()
    desk.mine(1, 1, 'c')
    expect(desk.stack.canRedo).toBe(false)
    desk.undo()
    expect(desk.shows).toBe('a')
  })

  it('what is typed and deleted again within a group leaves none', () => {
    const desk = new Desk('_').mine(0, 0, 'a').mine(0, 1, '')
    expect([desk.stack.canUndo, desk.shows]).toEqual([false, '_'])
  })

  it('[P5] the oldest group goes when there are more than the limit', () => {
    const desk = new Desk('', 3)
    for (let i = 0; i < 5; i++) desk.mine(i, i, String(i), 'new')
    let undone = 0
    while (desk.undo() !== undefined) undone++
    expect([undone, desk.shows]).toEqual([3, '01'])
  })

  it('[P5] the oldest groups go when all together are larger than the limit, never the last one', () => {
    const words = Array.from({ length: 10 }, (_, i) => String(i).repeat(20))
    const desk = new Desk(words.join(''), 200, 100)
    for (const _ of words) desk.mine(0, 20, '', 'new')
    let undone = 0
    while (desk.undo() !== undefined) undone++
    expect([undone, desk.shows]).toEqual([5, words.slice(5).join('')]) // the last one is not weighed: it may still grow
    const book = new Desk('x'.repeat(1_000), 200, 100).mine(0, 1_000, '')
    book.undo()
    expect(book.text.length).toBe(1_000)
  })
})

describe('stored and taken up again', () => {
  it('groups, selections and what others did since are all there', () => {
    const desk = new Desk('one two')
    desk
      .mine(4, 7, '', 'new', [{ anchor: 7, head: 4 }, caret(4)])
      .theirs(0, 0, '>> ')
      .mine(0, 0, 'x')
      .theirs(1, 1, 'y')
    desk.undo()
    desk.reopen()
    expect(desk.shows).toBe('y>> one ')
    desk.redo()
    expect(desk.shows).toBe('xy>> one ')
    desk.undo()
    expect([desk.undo(), desk.shows]).toEqual([{ anchor: 11, head: 8 }, 'y>> one two'])
  })

  it('the edit after it begins a group of its own', () => {
    const desk = new Desk().mine(0, 0, 'a').reopen().mine(1, 1, 'b')
    desk.undo()
    expect(desk.shows).toBe('a')
  })

  it('what does not fit the text is refused, and leaves nothing behind', () => {
    const desk = new Desk().mine(0, 0, 'a').mine(1, 1, 'b', 'new').theirs(0, 0, '-')
    const stored = desk.stack.toJson()
    expect(() => desk.stack.fromJson(stored, desk.text.length + 1)).toThrow(OpError)
    expect(desk.stack.canUndo).toBe(false)
  })
})

describe('selections', () => {
  it('undo hands back the selection from before the group, redo the one from after it', () => {
    const desk = new Desk('one two')
    desk.mine(4, 7, 't', 'new', [{ anchor: 7, head: 4 }, caret(5)])
    desk.mine(5, 5, 'en', 'join', [caret(5), caret(7)])
    expect(desk.undo()).toEqual({ anchor: 7, head: 4 })
    expect(desk.redo()).toEqual(caret(7))
  })

  it('they move with what others do meanwhile', () => {
    const desk = new Desk('one two').mine(4, 7, '', 'new', [{ anchor: 4, head: 7 }, caret(4)]).theirs(0, 0, '>> ')
    expect(desk.undo()).toEqual({ anchor: 7, head: 10 })
    desk.theirs(0, 3, '')
    expect(desk.redo()).toEqual(caret(4))
  })

  it('the restored text is selected again, not what others put in its place', () => {
    const desk = new Desk('one two').mine(4, 7, '', 'new', [{ anchor: 4, head: 7 }, caret(4)]).theirs(4, 4, '!!')
    expect([desk.undo(), desk.shows]).toEqual([{ anchor: 4, head: 7 }, 'one two!!'])
  })
})

describe('undo over any history', () => {
  const law = (title: string, check: (random: Random) => void) => it(title, () => checkLaw({ title, check }, run))

  /** Every character occurs once, so that each can be followed: mine are Chinese, theirs Korean. */
  const history = (random: Random, between: (desk: Desk) => void = () => undefined) => {
    let mine = 0x4e00
    let theirs = 0xac00
    const fresh = (first: () => number) => Array.from({ length: below(random, 4) }, () => String.fromCharCode(first())).join('')
    const start = Array.from({ length: below(random, 8) }, () => String.fromCharCode(theirs++)).join('')
    const desk = new Desk(start)
    const deletedByThem = new Set<string>()
    const touchedByMe = new Set<string>()
    for (let n = below(random, 30); n > 0; n--) {
      if (random() < 0.1) between(desk)
      desk.now += below(random, 900)
      const from = below(random, desk.text.length + 1)
      const to = random() < 0.5 ? from : Math.min(desk.text.length, from + below(random, 4))
      const gone = desk.shows.slice(from, to)
      const dice = random()
      if (dice < 0.4) {
        for (const letter of gone) touchedByMe.add(letter)
        desk.mine(
          from,
          to,
          fresh(() => mine++),
          random() < 0.2 ? 'new' : 'join',
        )
      } else if (dice < 0.8) {
        for (const letter of gone) deletedByThem.add(letter)
        desk.theirs(
          from,
          to,
          fresh(() => theirs++),
        )
      } else if (dice < 0.93) desk.undo()
      else desk.redo()
    }
    const allOfTheirs = Array.from({ length: theirs - 0xac00 }, (_, i) => String.fromCharCode(0xac00 + i))
    return { desk, left: allOfTheirs.filter(letter => !deletedByThem.has(letter)), touchedByMe }
  }

  const sorted = (text: string) => [...text].sort().join('')

  law('undoing everything of mine leaves all that the others wrote and did not delete, and nothing else', random => {
    const { desk, left, touchedByMe } = history(random)
    const untouched = (text: string) => [...text].filter(letter => letter >= '\uac00' && !touchedByMe.has(letter)).join('')
    const before = untouched(desk.shows)
    while (desk.undo() !== undefined);
    expect(sorted(desk.shows)).toBe(sorted(left.join('')))
    expect(untouched(desk.shows)).toBe(before)
  })

  law('undoing any number of groups and doing them again changes nothing when nobody interferes', random => {
    const { desk } = history(random)
    const before = desk.shows
    const count = below(random, 6)
    let undone = 0
    while (undone < count && desk.undo() !== undefined) undone++
    for (let i = 0; i < undone; i++) desk.redo()
    expect(desk.shows).toBe(before)
  })

  law(
    'over differences that replace the history, undo and redo put in and take out nothing of which I have not been the author',
    random => {
      const { desk, touchedByMe } = history(random)
      const isMine = (letter: string) => letter < '\uac00' || touchedByMe.has(letter)
      let next = 0xb000
      for (let i = 0; i < 12; i++) {
        if (random() < 0.4) {
          // Others have cut out, put in and moved text while nobody told of it: only the two texts are known.
          const letters = [...desk.shows].filter(() => random() < 0.9)
          const moved = letters.splice(below(random, letters.length + 1), below(random, 4))
          letters.splice(below(random, letters.length + 1), 0, ...moved)
          letters.splice(below(random, letters.length + 1), 0, String.fromCharCode(next++))
          const after = Text.of(letters.join(''))
          desk.stack.follow(textType.diff(desk.text, after))
          desk.text = after
        }
        const before = new Set(desk.shows)
        if (random() < 0.6) desk.undo()
        else desk.redo()
        const now = new Set(desk.shows)
        for (const letter of before) if (!now.has(letter)) expect(isMine(letter), `took out ${letter}`).toBe(true)
        for (const letter of now) if (!before.has(letter)) expect(isMine(letter), `put in ${letter}`).toBe(true)
      }
    },
  )

  law('a tab closed and opened again between edits undoes and redoes the same', random => {
    const seed = below(random, 2 ** 31)
    const [open, closed] = [(desk: Desk) => desk.stack.boundary(), (desk: Desk) => desk.reopen()].map(
      between => history(seededRandom(seed), between).desk,
    ) as [Desk, Desk]
    for (let i = 0; i < 12; i++) {
      const which = random() < 0.6 ? 'undo' : 'redo'
      expect([closed[which](), closed.shows]).toEqual([open[which](), open.shows])
    }
  })

  law('undo and redo of mine never touch what others write in between', random => {
    const { desk } = history(random)
    const onlyTheirs = (text: string) => [...text].filter(letter => letter >= '\ub000').join('')
    let next = 0xb000
    for (let i = 0; i < 12; i++) {
      const at = below(random, desk.text.length + 1)
      desk.theirs(at, at, String.fromCharCode(next++))
      const before = onlyTheirs(desk.shows)
      if (random() < 0.6) desk.undo()
      else desk.redo()
      expect(onlyTheirs(desk.shows)).toBe(before)
    }
  })
})

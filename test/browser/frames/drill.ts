// For a page of its own: an editor on a document over an engine in the hand. Its frames and timers come when a drill says so.
// Invariant: the same seed gives the same drill; every character but the line break is there once, so that each has one right place.

import { EditorState } from '@codemirror/state'
import { basicSetup, EditorView } from 'codemirror'
import { collaboration, redo, undo } from '../../../src/codemirror/index.ts'
import { type Caret, caretField } from '../../../src/codemirror/peers.ts'
import { type Chance, seeded } from '../../../src/testing/random.ts'
import { HandClock, HandWorld } from '../../client/hand.ts'

// ---- the page's time

const clock = new HandClock()
const timers: (() => void)[] = [() => {}] // by their numbers, the first of which is 1
const { port1, port2 } = new MessageChannel()
const turns: (() => void)[] = []
port1.onmessage = () => turns.shift()?.()

/** Frames that are made when a drill says so. */
class Frames {
  private readonly waiting = new Map<number, FrameRequestCallback>()
  private last = 0

  readonly request = (call: FrameRequestCallback): number => {
    this.waiting.set(++this.last, call)
    return this.last
  }

  readonly cancel = (frame: number): void => void this.waiting.delete(frame)

  /** What asks for a frame while one is made gets the next. */
  next(): void {
    for (const [frame, call] of [...this.waiting]) if (this.waiting.delete(frame)) call(0)
  }
}

const frames = new Frames()

Object.assign(globalThis, {
  requestAnimationFrame: frames.request,
  cancelAnimationFrame: frames.cancel,
  setTimeout: (call: () => void, ms = 0) => timers.push(clock.after(ms, call)) - 1,
  clearTimeout: (timer?: number) => timers[timer ?? 0]?.(),
  setImmediate(call: () => void) {
    turns.push(call)
    port2.postMessage(null)
  },
})

/** What was scheduled for the end of the running code has run. */
const turn = (): Promise<void> => new Promise(resolve => void Promise.resolve().then(resolve))

// ---- the editor and its law

const begun = async (text: string) => {
  const world = new HandWorld()
  const [ann, ben] = [world.client('ann'), world.client('ben')]
  const [doc, theirs] = [await ann.client.open('doc'), await ben.client.open('doc')]
  theirs.insert(0, text)
  await world.calm()
  const parent = document.body.appendChild(document.createElement('section'))
  /** Transactions that changed the view's text. */
  let shown = 0
  const counted = EditorView.updateListener.of(({ docChanged }) => void (shown += Number(docChanged)))
  const extensions = [basicSetup, collaboration(doc), EditorView.lineWrapping, counted]
  const view = new EditorView({ parent, state: EditorState.create({ doc: doc.text, extensions }) })
  await world.calm()
  return {
    world,
    line: ann.line,
    doc,
    theirs,
    view,
    get text() {
      return view.state.sliceDoc()
    },
    get shown() {
      return shown
    },
    async end() {
      view.destroy()
      parent.remove()
      await world.calm() // the engine would wait, by a clock that stands, for what is on its way into the log
      await world.close()
    },
  }
}

type Drill = Awaited<ReturnType<typeof begun>>

class Wrong extends Error {}

const demand = (holds: boolean, what: string): void => {
  if (!holds) throw new Wrong(what)
}

const letters = (text: string): string[] => [...text].filter(letter => letter !== '\n')

/** The view shows the document: text, and the other's caret where it is. */
const agrees = ({ text, doc, view }: Drill): void => {
  demand(text === doc.text, `the view has ${JSON.stringify(text)}, the document ${JSON.stringify(doc.text)}`)
  const drawn = view.state.field(caretField).flatMap(({ ranges }: Caret) => ranges)
  const are = doc.presence.peers.flatMap(({ state }) => (state.cursor === undefined ? [] : [state.cursor]))
  demand(JSON.stringify(drawn) === JSON.stringify(are), `carets at ${JSON.stringify(drawn)}, not ${JSON.stringify(are)}`)
}

/** Where the letters around a place of one text are in another, the place is between them. */
const between = (from: string, at: number, to: string, place: number, what: string): void => {
  const before = letters(from.slice(0, at)).findLast(letter => to.includes(letter))
  const after = letters(from.slice(at)).find(letter => to.includes(letter))
  demand(before === undefined || to.indexOf(before) < place, `${what}: ${before} must stay before it`)
  demand(after === undefined || to.indexOf(after) >= place, `${what}: ${after} must stay behind it`)
}

/** Shows what is to be shown, by `show`; my caret stays where it was among the letters. */
const showing = (drill: Drill, show: () => void): void => {
  const { text, view } = drill
  const { anchor, head } = view.state.selection.main
  show()
  agrees(drill)
  const { main } = view.state.selection
  between(text, head, drill.text, main.head, 'my caret')
  if (anchor !== head) between(text, anchor, drill.text, main.anchor, 'the other end of my selection')
}

/** Edits the view as somebody does who sees it; the document, which may be further, takes that and nothing else. */
const edits = (drill: Drill, changes: readonly { from: number; to: number; insert: string }[]): void => {
  const { text, doc, view } = drill
  const before = letters(doc.text)
  view.dispatch({ changes: [...changes], userEvent: 'input.type' })
  const gone = new Set(changes.flatMap(({ from, to }) => letters(text.slice(from, to))))
  const come = new Set(changes.flatMap(({ insert }) => letters(insert)))
  const kept = letters(doc.text).filter(letter => !come.has(letter))
  demand(kept.join('') === before.filter(letter => !gone.has(letter)).join(''), 'an edit must do to the document what it says')
  for (const { from, to, insert } of changes) {
    const [first] = letters(insert)
    if (first === undefined) continue
    between(text.slice(0, from), from, doc.text, doc.text.indexOf(first), 'what I type')
    between(text.slice(to), 0, doc.text, doc.text.indexOf(insert) + insert.length, 'what I type')
  }
}

const step = async (drill: Drill, chance: Chance, word: () => string): Promise<void> => {
  const { world, line, doc, theirs, view } = drill
  const { length } = view.state.doc
  const before = drill.shown
  const alone = async (act: () => void) => {
    const { holdDown } = line
    line.holdDown = true
    act()
    await turn()
    agrees(drill) // what I do is shown at once, and with it whatever waited for a frame
    line.holdDown = holdDown
    if (!holdDown) line.flushDown()
  }
  switch (chance.int(15)) {
    case 0:
    case 1: {
      const places = [chance.int(length + 1), chance.int(length + 1)].sort((a, b) => a - b) as [number, number]
      const [from, to] = chance.chance(0.5) ? [places[0], places[0]] : [places[0], Math.min(places[0] + 3, places[1])]
      const first = { from, to, insert: word() }
      const second = { from: places[1], to: places[1], insert: word() }
      return alone(() => edits(drill, to < places[1] && chance.chance(0.3) ? [first, second] : [first]))
    }
    case 2: {
      if (length === 0) return
      const from = chance.int(length)
      return alone(() => edits(drill, [{ from, to: Math.min(length, from + 1 + chance.int(4)), insert: '' }]))
    }
    case 3:
      return alone(() => view.dispatch({ selection: { anchor: chance.int(length + 1), head: chance.int(length + 1) } }))
    case 4: {
      const others = letters(doc.text).filter(letter => letter < mine)
      undo(view)
      demand(
        others.every(letter => doc.text.includes(letter)),
        'undo takes back nothing of anybody else’s',
      )
      return agrees(drill)
    }
    case 5:
      redo(view)
      return agrees(drill)
    case 6:
      return alone(() => doc.insert(chance.int(doc.length + 1), word()))
    case 7:
      line.holdDown = !line.holdDown
      if (!line.holdDown) line.flushDown()
      break
    case 8: {
      const at = chance.int(theirs.length + 1)
      theirs.presence.set({ cursor: { anchor: at, head: chance.chance(0.5) ? at : chance.int(theirs.length + 1) } })
      world.clock.pass(100)
      break
    }
    case 9:
      return showing(drill, () => frames.next())
    default:
      for (let i = chance.int(6); i >= 0; i--) {
        const from = chance.int(theirs.length + 1)
        theirs.replace(from, Math.min(theirs.length, from + chance.int(4)), chance.chance(0.7) ? theirWord(chance) : '')
        if (chance.chance(0.8)) await world.calm() // else the next is part of the same commit
      }
  }
  await world.calm()
  demand(drill.shown === before, 'what others do waits for the next frame')
}

/** The first of my letters; those of the other come before it. */
const mine = '\u7000'
let given = { mine: 0, theirs: 0 }
const theirWord = (chance: Chance): string => words(chance, 0x4e00 + given.theirs, count => (given.theirs += count))
const words = (chance: Chance, first: number, took: (count: number) => void): string => {
  const count = 1 + chance.int(3)
  took(count)
  const word = Array.from({ length: count }, (_, i) => String.fromCodePoint(first + i)).join('')
  return chance.chance(0.1) ? `${word}\n` : word
}

/** Null: all was as it must be. */
const storm = async (seed: number, steps: number): Promise<string | null> => {
  const chance = seeded(seed)
  given = { mine: 0, theirs: 0 }
  const word = () => words(chance, mine.charCodeAt(0) + given.mine, count => (given.mine += count))
  const drill = await begun(Array.from({ length: 8 }, () => theirWord(chance)).join(''))
  const { world, line, doc, theirs, view } = drill
  let done = 0
  try {
    view.focus()
    for (; done < steps; done++) {
      await step(drill, chance, word)
      await world.calm()
    }
    line.holdDown = false
    line.flushDown()
    for (let i = 0; i < 4; i++) {
      await world.calm()
      world.clock.pass(100)
    }
    showing(drill, () => frames.next())
    demand(doc.text === theirs.text, 'both documents end with one text')
    await turn()
    world.clock.pass(100)
    await world.calm()
    const { anchor, head } = view.state.selection.main
    const told = theirs.presence.peers[0]?.state.cursor
    demand(JSON.stringify(told) === JSON.stringify({ anchor, head }), `the other sees me at ${JSON.stringify(told)}, not ${head}`)
    return null
  } catch (error) {
    return `seed ${seed}, step ${done}: ${error instanceof Wrong ? error.message : (error as Error).stack}`
  } finally {
    await drill.end()
  }
}

export const drill = { begun, frames, clock, storm, turn, undo }

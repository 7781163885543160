// What a page shows from frame to frame: the binding in real Chromium, its frames and the network in the hand.

import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundle } from '../house/bundle.ts'
import { afterwards } from '../server/worlds.ts'
import type { drill as drills } from './frames/drill.ts'
import { launched } from './page.ts'

/** What scripts inside the page see. */
declare const drill: typeof drills

const here = join(import.meta.dirname, 'frames')

let browser: Browser
let code: string

beforeAll(async () => {
  // The engine of the drill names its logs by chance from Node; a page has its own.
  const chance = { find: 'node:crypto', replacement: join(here, 'chance.ts') }
  const entry = `import { drill } from '${join(here, 'drill.ts')}'\nglobalThis.drill = drill`
  code = (await bundle(here, entry, [chance])).code
  browser = await launched()
})

afterAll(() => browser?.close())

const drilled = async (): Promise<Page> => {
  const page = await browser.newPage()
  afterwards(() => page.close())
  await page.addScriptTag({ content: code, type: 'module' })
  return page
}

test('[P1] [P3] whatever comes between two frames, from others and by one’s own hand, is in view and document as each meant it', async () => {
  const page = await drilled()
  const [first, count] = process.env.SEED === undefined ? [1, 100] : [Number(process.env.SEED), 1]
  const wrong = await page.evaluate(
    async ([first, count]) => {
      for (let seed = first; seed < first + count; seed++) {
        const found = await drill.storm(seed, 60)
        if (found !== null) return found
      }
      return null
    },
    [first, count] as const,
  )
  expect(wrong).toBe(null)
})

test('[P8] what others do between two frames is one transaction of the view; text and carets are drawn in the frame that shows it', async () => {
  const page = await drilled()
  const found = await page.evaluate(async () => {
    const { frames, begun } = drill
    const one = await begun('one two three')
    const { world, theirs, view } = one
    theirs.presence.set({ cursor: { anchor: 4, head: 4 } })
    world.clock.pass(100)
    await world.calm()
    frames.next()
    const before = one.shown
    for (let i = 0; i < 40; i++) {
      theirs.insert(i, 'w')
      await world.calm()
    }
    const waited = one.shown - before
    frames.next()
    const caret = one.view.dom.querySelector('.cm-inkwell-caret')!.getBoundingClientRect()
    const place = view.coordsAtPos(44)!
    const apart = Math.abs(caret.left + caret.width / 2 - place.left)
    const { text, shown } = one
    await one.end()
    return { text, waited, transactions: shown - before, isThere: apart < 1.5 }
  })
  expect(found).toEqual({ text: `${'w'.repeat(40)}one two three`, waited: 0, transactions: 1, isThere: true })
})

test('[P5] a page that is hidden has no frames: it is shown after a quarter of a second, or after five hundred changes', async () => {
  const page = await drilled()
  const found = await page.evaluate(async () => {
    const { clock, begun } = drill
    const one = await begun('')
    const { world, theirs } = one
    const texts: number[] = []
    const look = () => void texts.push(one.text.length)
    theirs.insert(0, 'a')
    await world.calm()
    clock.pass(249)
    look()
    clock.pass(1)
    look()
    for (let i = 0; i < 500; i++) {
      if (i === 499) look()
      theirs.insert(i, 'b')
      await world.calm()
    }
    look()
    await one.end()
    return texts
  })
  expect(found).toEqual([0, 1, 1, 501])
})

test('undo brings back what was selected in the view, also if the document was further then', async () => {
  const page = await drilled()
  const found = await page.evaluate(async () => {
    const { begun, frames, turn, undo } = drill
    const one = await begun('one two three')
    const { world, theirs, view } = one
    theirs.insert(0, 'their ')
    await world.calm()
    view.dispatch({ selection: { anchor: 4, head: 7 } })
    view.dispatch(view.state.replaceSelection(''))
    await turn()
    const without = one.text
    theirs.insert(0, '> ')
    await world.calm()
    undo(view)
    const { from, to } = view.state.selection.main
    const selected = view.state.sliceDoc(from, to)
    frames.next()
    const { text } = one
    await one.end()
    return { without, text, selected }
  })
  expect(found).toEqual({ without: 'their one  three', text: '> their one two three', selected: 'two' })
})

test('[R15] what is typed where another’s edit waits to be shown goes left of it, as if that were still on its way', async () => {
  const page = await drilled()
  const text = await page.evaluate(async () => {
    const one = await drill.begun('one two')
    one.theirs.insert(3, ' theirs')
    await one.world.calm()
    one.view.dispatch({ changes: { from: 3, insert: ' mine' } })
    await drill.turn()
    const { text } = one
    await one.end()
    return text
  })
  expect(text).toBe('one mine theirs two')
})

// The binding in views of real Chromium, without the demo around it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, type TextDocument } from '../../src/client/index.ts'
import type { ServerOptions } from '../../src/server/index.ts'
import { afterwards, serving } from '../server/worlds.ts'
import { launched } from './page.ts'
import type { Stage } from './stage/stage.ts'

/** What scripts inside the page see. */
declare const stage: Stage

let browser: Browser
let pages: string

beforeAll(async () => {
  pages = mkdtempSync(join(tmpdir(), 'inkwell-stage-'))
  const root = join(import.meta.dirname, 'stage')
  await build({ root, configFile: false, logLevel: 'error', build: { outDir: pages, emptyOutDir: true, minify: false } })
  browser = await launched()
})

afterAll(async () => {
  await browser?.close()
  rmSync(pages, { recursive: true, force: true })
})

const patient = { timeout: 15_000 }

/** A server, the page with `doc` open on it, and somebody else in the same document from Node. */
const world = async (text = '', options: ServerOptions = {}) => {
  const url = await serving({ ...options, demo: pages })
  const other = connect(url, { random: () => 0 })
  afterwards(() => other.close())
  const theirs = await other.open('doc')
  if (text !== '') {
    theirs.insert(0, text)
    await theirs.settled()
  }
  const { page, faults } = await visit(url)
  return { url, page, theirs, faults, held: () => held(url) }
}

const visit = async (url: string): Promise<{ readonly page: Page; readonly faults: string[] }> => {
  const context = await browser.newContext()
  afterwards(() => context.close())
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', error => faults.push(String(error)))
  page.on('console', message => {
    if (message.type() === 'error' && !/^WebSocket/.test(message.text())) faults.push(message.text()) // some tests cut lines
  })
  await page.goto(url)
  await page.evaluate(async () => void (await stage.open('doc')))
  return { page, faults }
}

const held = async (url: string): Promise<string> =>
  ((await (await fetch(`${url}/v1/documents/doc`)).json()) as { readonly text: string }).text

/** What view `i` of the page shows. */
const shown = (page: Page, i = 0): Promise<string> => page.evaluate(i => stage.kept.views[i]!.state.sliceDoc(), i)

const showsIn = (page: Page, text: string, i = 0) => expect.poll(() => shown(page, i), patient).toBe(text)

const has = (doc: TextDocument, text: string) => expect.poll(() => doc.text, patient).toBe(text)

const makeEditor = (page: Page, text = '') =>
  page.evaluate(text => void stage.kept.views.push(stage.editor(stage.kept.doc, text)), text)

test('[P1] a view takes the text of its document, whatever its state held, also where that is given with it', async () => {
  const { page, theirs, faults } = await world('the document')
  await makeEditor(page, 'something else\nof two lines')
  await showsIn(page, 'the document')
  expect(await page.evaluate(() => stage.editor(stage.kept.doc, stage.kept.doc.text).state.sliceDoc())).toBe('the document')
  expect([theirs.text, faults]).toEqual(['the document', []])
})

test('[P3] what a program puts into a view in the moment of its making is not lost', async () => {
  const { page, theirs, faults } = await world('document')
  await page.evaluate(() => {
    const view = stage.editor(stage.kept.doc)
    stage.kept.views.push(view)
    view.dispatch({ changes: { from: 0, insert: 'My ' } })
  })
  await has(theirs, 'My document')
  await showsIn(page, 'My document')
  expect(faults).toEqual([])
})

test('[P1] positions behind \\r\\n and \\r of the document are right in both directions; what is pasted gets \\n', async () => {
  const { page, theirs, faults, held } = await world('one\r\ntwo\rthree\nfour')
  await makeEditor(page)
  await showsIn(page, 'one\r\ntwo\rthree\nfour')
  await page.evaluate(() => {
    const [view] = stage.kept.views
    view!.dispatch({ changes: { from: view!.state.sliceDoc().indexOf('three'), insert: '>' } })
  })
  await has(theirs, 'one\r\ntwo\r>three\nfour')
  theirs.insert(theirs.text.indexOf('four'), '<')
  await showsIn(page, 'one\r\ntwo\r>three\n<four')
  await page.evaluate(() => {
    const [view] = stage.kept.views
    view!.focus()
    view!.dispatch({ selection: { anchor: view!.state.doc.length } })
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', '\r\nfive\rsix')
    view!.contentDOM.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
  })
  await has(theirs, 'one\r\ntwo\r>three\n<four\nfive\nsix')
  await expect.poll(held, patient).toBe(theirs.text)
  expect(faults).toEqual([])
})

test('[P6] a reader sees and cannot type; the view says so to those who hear it, and changes with the rights', async () => {
  const { url, page, theirs, faults } = await world('text', {
    authenticate: token => ({ id: token ?? 'writer' }),
    authorize: ({ id }) => (id === 'reader' ? 'read' : 'write'),
  })
  await page.goto(url)
  await page.evaluate(async () => void (await stage.open('doc', 'reader')))
  await makeEditor(page)
  await showsIn(page, 'text')
  const content = page.locator('.cm-content')
  expect(await content.getAttribute('aria-readonly')).toBe('true')
  await content.focus()
  await page.keyboard.type('x')
  await page.keyboard.press('Control+z')
  await page.evaluate(() => stage.kept.views[0]!.dispatch({ changes: { from: 0, insert: 'by a program' } }))
  theirs.insert(4, ' grows')
  await showsIn(page, 'text grows')
  expect([theirs.text, faults]).toEqual(['text grows', []])
})

test('a view of a document that has been closed takes no more edits', async () => {
  const { page, faults } = await world('text')
  await makeEditor(page)
  await showsIn(page, 'text')
  await page.evaluate(() => stage.kept.doc.close())
  await expect.poll(() => page.locator('.cm-content').getAttribute('aria-readonly'), patient).toBe('true')
  await page.locator('.cm-content').focus()
  await page.keyboard.type('x')
  await showsIn(page, 'text')
  expect(faults).toEqual([])
})

test('what an input method is composing survives others’ edits before it, behind it, and a caret in the midst of it', async () => {
  const { page, theirs, faults, held } = await world('first line\nabc def\nlast line')
  await makeEditor(page)
  await showsIn(page, 'first line\nabc def\nlast line')
  await page.evaluate(() => {
    const [view] = stage.kept.views
    view!.focus()
    view!.dispatch({ selection: { anchor: 15 } })
  })
  const input = await page.context().newCDPSession(page)
  const compose = (text: string) =>
    input.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length })
  await compose('k')
  await has(theirs, 'first line\nabc kdef\nlast line')
  theirs.presence.set({ cursor: { anchor: 16, head: 16 } }) // right behind what is being composed
  await expect.poll(() => page.locator('.cm-inkwell-caret').count(), patient).toBe(1)
  await compose('ka')
  theirs.presence.set({ cursor: { anchor: 15, head: 15 } }) // and before it
  theirs.insert(0, '>> ')
  await showsIn(page, '>> first line\nabc kadef\nlast line')
  await compose('kan')
  theirs.insert(theirs.text.indexOf('abc'), '[')
  await has(theirs, '>> first line\n[abc kandef\nlast line')
  await showsIn(page, theirs.text)
  theirs.insert(theirs.text.indexOf(' line\n[') + 1, 'long ')
  theirs.insert(theirs.text.length, '!')
  await showsIn(page, theirs.text)
  await compose('kanj')
  expect(await page.evaluate(() => stage.kept.views[0]!.composing)).toBe(true)
  await input.send('Input.insertText', { text: '漢字' })
  await showsIn(page, '>> first long line\n[abc 漢字def\nlast line!')
  await has(theirs, '>> first long line\n[abc 漢字def\nlast line!')
  await expect.poll(held, patient).toBe(theirs.text)
  expect(await page.locator('.cm-line').allInnerTexts()).toEqual(theirs.text.split('\n'))
  expect(faults).toEqual([])
})

test('[P1] two views of one document show one text, take each other’s edits back, and tell one caret: the last used', async () => {
  const { page, theirs, faults } = await world('text')
  await makeEditor(page)
  await makeEditor(page)
  await showsIn(page, 'text', 1)
  await page.locator('.cm-content').nth(0).click()
  await page.keyboard.press('End')
  await page.keyboard.insertText(' one')
  await showsIn(page, 'text one', 1)
  const caret = () => theirs.presence.peers.map(({ state }) => state.cursor)
  await expect.poll(caret, patient).toEqual([{ anchor: 8, head: 8 }])
  await page.locator('.cm-content').nth(1).click()
  await page.keyboard.press('Home')
  await expect.poll(caret, patient).toEqual([{ anchor: 0, head: 0 }])
  await page.keyboard.press('Control+z')
  await showsIn(page, 'text', 0)
  await showsIn(page, 'text', 1)
  theirs.insert(4, '!')
  await showsIn(page, 'text!', 0)
  await expect.poll(caret, patient).toEqual([{ anchor: 4, head: 4 }]) // where the edit was taken back
  await page.evaluate(() => stage.kept.views[0]!.destroy())
  await page.keyboard.type('?')
  await has(theirs, 'text?!')
  expect(faults).toEqual([])
})

test('a destroyed view has let go of its document, and its caret is gone', async () => {
  const { page, theirs, faults } = await world('text')
  await page.evaluate(() => {
    const { doc } = stage.kept
    let listeners = 0
    const counted = (target: { on: (...args: never[]) => () => void }) => {
      const on = target.on.bind(target)
      target.on = (...args) => {
        listeners++
        const stop = on(...args)
        let stopped = false
        return () => {
          if (!stopped) listeners--
          stopped = true
          stop()
        }
      }
    }
    counted(doc as never)
    counted(doc.presence as never)
    Object.assign(stage, { listeners: () => listeners })
  })
  await makeEditor(page)
  await page.locator('.cm-content').click()
  await expect.poll(() => theirs.presence.peers.map(({ state }) => state.cursor), patient).toEqual([expect.anything()])
  const listeners = () => page.evaluate(() => (stage as unknown as { listeners(): number }).listeners())
  expect(await listeners()).toBeGreaterThan(0)
  await page.evaluate(() => stage.kept.views[0]!.destroy())
  expect(await listeners()).toBe(0)
  await expect.poll(() => theirs.presence.peers.map(({ state }) => state.cursor ?? null), patient).toEqual([null])
  theirs.insert(0, 'more ')
  await expect.poll(() => page.evaluate(() => stage.kept.doc.text), patient).toBe('more text')
  expect(faults).toEqual([])
})

test('CodeMirror’s own history, which basicSetup brings, finds nothing to undo', async () => {
  const { page, theirs, faults } = await world('text')
  await makeEditor(page)
  await showsIn(page, 'text')
  await page.locator('.cm-content').click()
  await page.keyboard.press('End')
  await page.keyboard.insertText(' mine')
  await has(theirs, 'text mine')
  theirs.insert(0, 'their ')
  await showsIn(page, 'their text mine')
  await page.keyboard.press('Control+u') // the key of its undo for selections, which takes back edits as well
  expect(await shown(page)).toBe('their text mine')
  await page.keyboard.press('Control+z')
  await showsIn(page, 'their text')
  await page.keyboard.press('Control+z') // there is nothing more of mine
  await showsIn(page, 'their text')
  await page.keyboard.press('Control+Shift+Z')
  await has(theirs, 'their text mine')
  expect(faults).toEqual([])
})

test('undo brings back what was selected, and passes by what was not to be in the history', async () => {
  const { page, theirs, faults } = await world('one two three')
  await makeEditor(page)
  await showsIn(page, 'one two three')
  await page.evaluate(() => {
    const [view] = stage.kept.views
    view!.focus()
    view!.dispatch({ selection: { anchor: 4, head: 7 } })
  })
  await page.keyboard.press('Delete')
  await page.evaluate(() => {
    const [view] = stage.kept.views
    const { Transaction } = stage
    view!.dispatch({ changes: { from: 0, insert: '# ' }, annotations: Transaction.addToHistory.of(false) })
    view!.dispatch({ selection: { anchor: 0 } })
  })
  await has(theirs, '# one  three')
  theirs.insert(0, '> ')
  await showsIn(page, '> # one  three')
  await page.keyboard.press('Control+z')
  await showsIn(page, '> # one two three')
  const selection = () =>
    page.evaluate(() => {
      const { anchor, head } = stage.kept.views[0]!.state.selection.main
      return [anchor, head]
    })
  expect(await selection()).toEqual([8, 11])
  await page.keyboard.press('Control+z')
  expect(await shown(page)).toBe('> # one two three')
  await page.keyboard.press('Control+y')
  await showsIn(page, '> # one  three')
  expect([await selection(), faults]).toEqual([[8, 8], []])
})

test('[P1] half a character is never written: the view gets what the document made of it', async () => {
  const { page, theirs, faults } = await world('a😀b')
  await makeEditor(page)
  await showsIn(page, 'a😀b')
  await page.evaluate(() => stage.kept.views[0]!.dispatch({ changes: { from: 2, to: 3, insert: 'x' } }))
  await has(theirs, 'axb')
  await showsIn(page, 'axb')
  await page.evaluate(() => stage.kept.views[0]!.dispatch({ changes: { from: 0, insert: '\ud83d' } }))
  await has(theirs, '\ufffdaxb')
  await showsIn(page, '\ufffdaxb')
  expect(faults).toEqual([])
})

test('[P1] other extensions may edit the document or the view in the middle of an update or of a change', async () => {
  const { page, theirs, faults, held } = await world('text')
  await page.evaluate(() => {
    const { doc, views } = stage.kept
    let rudeness = 0
    const rude = stage.ViewPlugin.define(() => ({
      update({ docChanged, state }) {
        if (docChanged && state.sliceDoc().includes('mine') && rudeness++ < 3) doc.insert(0, '+') // now the view takes no transaction
      },
    }))
    doc.on('change', ({ origin }) => {
      if (origin === 'remote' && !doc.text.includes('again')) doc.insert(doc.length, '-') // before the view has heard of the change
    })
    views.push(stage.editor(doc, '', {}, [rude]), stage.editor(doc))
    doc.on('change', ({ origin }) => {
      if (origin !== 'remote' || !doc.text.includes('again')) return
      doc.insert(0, '~') // told to the view only after this
      views[1]!.dispatch({ changes: { from: 0, insert: '=' } })
    })
  })
  await showsIn(page, 'text', 1)
  await page.evaluate(() => stage.kept.views[0]!.dispatch({ changes: { from: 4, insert: ' mine' } }))
  theirs.insert(0, 'their ')
  const agree = () =>
    expect
      .poll(async () => new Set([await shown(page, 0), await shown(page, 1), theirs.text, await held()]).size, patient)
      .toBe(1)
  await agree()
  theirs.insert(0, 'again ')
  await expect.poll(() => theirs.text, patient).toContain('=')
  await agree()
  expect(theirs.text.replaceAll(/[+=~-]/g, '')).toBe('again their text mine')
  expect(faults).toEqual([])
})

test('the others’ carets are no part of the text that is edited and read out', async () => {
  const { page, theirs, faults } = await world('one two three')
  await makeEditor(page)
  await showsIn(page, 'one two three')
  theirs.presence.set({ cursor: { anchor: 4, head: 7 } })
  const caret = page.locator('.cm-inkwell-caret')
  await caret.waitFor()
  expect(await page.locator('.cm-content .cm-inkwell-caret').count()).toBe(0)
  expect(await page.locator('.cm-content').textContent()).toBe('one two three')
  const place = () =>
    page.evaluate(() => {
      const [view] = stage.kept.views
      const box = document.querySelector('.cm-inkwell-caret')!.getBoundingClientRect()
      const at = theirPlace()
      return Math.abs(box.left + box.width / 2 - at) < 1.5
      function theirPlace() {
        const text = view!.state.sliceDoc()
        return view!.coordsAtPos(text.indexOf(' three'))!.left
      }
    })
  await expect.poll(place, patient).toBe(true)
  await page.evaluate(() => stage.kept.views[0]!.dispatch({ changes: { from: 0, insert: 'wide wide ' } }))
  await expect.poll(place, patient).toBe(true)
  theirs.insert(0, '>> ')
  await showsIn(page, '>> wide wide one two three')
  await expect.poll(place, patient).toBe(true)
  expect(
    await page.evaluate(() => stage.kept.views[0]!.scrollDOM.scrollWidth <= stage.kept.views[0]!.scrollDOM.clientWidth),
  ).toBe(true)
  expect(faults).toEqual([])
})

test('two carets at one place: both names can be read, and nothing is wider than the editor', async () => {
  const { url, page, theirs, faults } = await world(
    'a line of text\nand one more, long enough to reach far to the right of the page',
  )
  await makeEditor(page)
  await showsIn(page, theirs.text)
  const second = connect(url, { random: () => 0 })
  afterwards(() => second.close())
  const [last, hers] = [theirs.length, await second.open('doc')]
  for (const at of [0, 15, last]) {
    theirs.presence.set({ name: 'Bartholomew', cursor: { anchor: at, head: at } })
    hers.presence.set({ name: 'A name that is much too long to be shown beside a caret', cursor: { anchor: at, head: at } })
    const boxes = () =>
      page.locator('.cm-inkwell-name').evaluateAll(names =>
        names.map(name => {
          const { left, right, top, bottom } = name.getBoundingClientRect()
          return { left, right, top, bottom, place: name.parentElement!.getBoundingClientRect().left }
        }),
      )
    const apart = async () => {
      const [a, b] = await boxes()
      return a !== undefined && b !== undefined && a.place === b.place && (a.bottom <= b.top + 1 || b.bottom <= a.top + 1)
    }
    await expect.poll(apart, patient).toBe(true)
    expect(
      await page.evaluate(() => stage.kept.views[0]!.scrollDOM.scrollWidth - stage.kept.views[0]!.scrollDOM.clientWidth),
    ).toBe(0)
  }
  expect(faults).toEqual([])
})

test('[P1] [P2] a storm: two pages of two views each, edits, undo, redo and cut lines, and all end with one text', async () => {
  const seed = Number(process.env.SEED ?? 1)
  const { url, page: left, theirs, faults } = await world('# Begin\n\nwith a few 😀 words\r\nand lines\n')
  const right = await visit(url)
  const storm = (page: Page, seed: number) =>
    page.evaluate(async seed => {
      const { doc, client } = stage.kept
      stage.kept.views.push(stage.editor(doc), stage.editor(doc, 'replaced'))
      let state = seed
      const random = (below: number) => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return Math.floor((state / 2 ** 32) * below)
      }
      const words = ['a', 'bc ', '😀', '\n', 'é', '\r\n', 'word ']
      for (let round = 0; round < 400; round++) {
        const view = stage.kept.views[random(2)]!
        const { length } = view.state.doc
        const dice = random(20)
        if (dice === 0)
          view.contentDOM.dispatchEvent(new InputEvent('beforeinput', { inputType: 'historyUndo', cancelable: true }))
        else if (dice === 1)
          view.contentDOM.dispatchEvent(new InputEvent('beforeinput', { inputType: 'historyRedo', cancelable: true }))
        else if (dice === 2) client.pause()
        else if (dice === 3) client.resume()
        else if (dice === 4) doc.insert(random(2) * doc.length, '*')
        else if (dice < 8) view.dispatch({ selection: { anchor: random(length + 1), head: random(length + 1) } })
        else if (dice < 12) {
          const from = random(length + 1)
          view.dispatch({ changes: { from, to: Math.min(length, from + random(4)) } }) // may cut a pair in two
        } else {
          const [a, b] = [random(length + 1), random(length + 1)].sort((x, y) => x - y) as [number, number]
          const insert = words[random(words.length)]!
          view.dispatch({
            changes:
              a === b
                ? { from: a, insert }
                : [
                    { from: a, insert },
                    { from: b, insert },
                  ],
            userEvent: 'input.type',
          })
        }
        if (random(3) === 0) await new Promise(resolve => setTimeout(resolve))
      }
      client.resume()
      await doc.settled()
    }, seed)
  await Promise.all([storm(left, seed), storm(right.page, seed + 1)])
  const texts = async () => [
    theirs.text,
    await held(url),
    ...(await Promise.all([shown(left, 0), shown(left, 1), shown(right.page, 0), shown(right.page, 1)])),
  ]
  await expect.poll(async () => new Set(await texts()).size, { ...patient, message: `SEED=${seed}` }).toBe(1)
  expect([faults, right.faults], `SEED=${seed}`).toEqual([[], []])
})

// Two people in the demo, in real Chromium, before a real server with its data on disk.

import { rmSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { builtDemo, demoServer, launched, Writer } from './page.ts'

let browser: Browser
let demo: string

beforeAll(async () => {
  demo = await builtDemo()
  browser = await launched()
})

afterAll(async () => {
  await browser?.close()
  rmSync(demo, { recursive: true, force: true })
})

const patient = { timeout: 15_000 }
const saved = 'All changes saved'

/** Ada and Ben in one document, with this text in it. */
const both = async (text = '') => {
  const url = await demoServer(demo)
  const ada = await Writer.opens(browser, url, 'letter', 'Ada Lovelace')
  const ben = await Writer.opens(browser, url, 'letter', 'Ben')
  await ada.page.bringToFront()
  if (text !== '') await ada.page.keyboard.insertText(text)
  await expect.poll(() => ben.text(), patient).toBe(text)
  const held = async (): Promise<string> => ((await (await fetch(`${url}/v1/documents/letter`)).json()) as { text: string }).text
  /** Both pages and the server hold one text, all of it saved. */
  const agree = async (): Promise<string> => {
    await expect.poll(async () => [await ada.status(), await ben.status()], patient).toEqual([saved, saved])
    await expect
      .poll(async () => [(await ada.text()) === (await ben.text()), (await held()) === (await ada.text())], patient)
      .toEqual([true, true])
    expect([...ada.faults, ...ben.faults]).toEqual([])
    return ada.text()
  }
  return { url, ada, ben, agree }
}

test('[P1] two people type at the same time, and both pages and the server end with one text', async () => {
  const { ada, ben, agree } = await both('# A letter\n\n')
  await ada.press('Control+End')
  await ben.press('Control+Home')
  await Promise.all([ada.type('from Ada, with many words. '), ben.type('> by Ben as well\n')])
  const text = await agree()
  expect(text).toContain('from Ada, with many words.')
  expect(text).toContain('> by Ben as well')
  await ada.photograph('light')
})

test('[P2] [P3] with the line cut both go on typing; joined again, nothing is lost and nothing is there twice', async () => {
  const { ada, ben, agree } = await both('The middle.')
  await ada.line(false)
  await expect.poll(() => ada.status(), patient).toContain('Offline')
  await ada.press('Control+Home')
  await ada.type('Written in a tunnel. ')
  await ben.press('Control+End')
  await ben.type(' Written in the sun.')
  await expect.poll(() => ben.status(), patient).toBe(saved)
  expect(await ada.text()).toBe('Written in a tunnel. The middle.')
  await ada.photograph('offline')
  await ada.line(true)
  expect(await agree()).toBe('Written in a tunnel. The middle. Written in the sun.')
})

test('undo by the keyboard takes back one’s own words only, and redo brings them back', async () => {
  const { ada, ben, agree } = await both('A. Z.')
  await ada.press('Control+Home', 'ArrowRight', 'ArrowRight')
  await ada.type(' mine')
  await expect.poll(() => ben.text(), patient).toBe('A. mine Z.')
  await ben.press('Control+Home', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight')
  await ben.type('-yours-')
  await expect.poll(() => ada.text(), patient).toBe('A. mi-yours-ne Z.')
  await ada.press('Control+z')
  expect(await agree()).toBe('A.-yours- Z.')
  await ada.press('Control+y')
  expect(await agree()).toContain('-yours-')
  expect((await ada.text()).replace('-yours-', '')).toBe('A. mine Z.')
  await ben.press('Control+z')
  expect(await agree()).toBe('A. mine Z.')
})

test('[P7] the other’s caret stands where they are, under their name, moves with the text, and goes when they go', async () => {
  const { ada, ben, agree } = await both('one two three')
  await ada.press('Control+Home', 'ArrowRight', 'ArrowRight', 'ArrowRight')
  const caret = ben.page.locator('.cm-inkwell-caret')
  await expect.poll(() => caret.locator('.cm-inkwell-name').textContent(), patient).toBe('Ada Lovelace')
  /** What stands before the caret in its line. */
  const before = () =>
    caret.evaluate(element => {
      const { left, width, top, height } = element.getBoundingClientRect()
      const at = document.caretRangeFromPoint(left + width / 2, top + height / 2)
      const line = at?.startContainer.parentElement?.closest('.cm-line')
      if (!at || !line) return null
      at.setStart(line, 0)
      return at.toString()
    })
  await expect.poll(before, patient).toBe('one')
  await ben.press('Control+Home')
  await ben.type('>> ')
  await expect.poll(before, patient).toBe('>> one')
  await ada.press('Shift+End')
  await expect.poll(() => ben.page.locator('.cm-inkwell-selection').count(), patient).toBe(1)
  await expect.poll(before, patient).toBe('>> one two three')
  await ben.photograph('remote-selection')
  await expect
    .poll(() => ben.page.locator('#people li').evaluateAll(all => all.map(one => (one as HTMLElement).title)), patient)
    .toEqual(['Ben (you)', 'Ada Lovelace'])
  expect(await agree()).toBe('>> one two three')
  await ada.page.context().close()
  await expect.poll(() => caret.count(), patient).toBe(0)
  await expect.poll(() => ben.page.locator('#people li').count(), patient).toBe(1)
})

test('pasted lines and emoji arrive as they are', async () => {
  const { ada, ben, agree } = await both()
  const text = 'Grüße 👩‍👩‍👧\n\n- 😀 eins\n- zwei\n\tdrei'
  await ada.page.keyboard.insertText(text)
  await expect.poll(() => ben.text(), patient).toBe(text)
  await ben.press('Control+Home')
  await ben.type('😀')
  expect(await agree()).toBe(`😀${text}`)
})

test('a page that comes again finds what was saved', async () => {
  const { url, ada, agree } = await both('kept on disk')
  await agree()
  await ada.page.reload()
  await expect.poll(() => ada.text(), patient).toBe('kept on disk')
  const late = await Writer.opens(browser, url, 'letter', 'Late')
  await expect.poll(() => late.text(), patient).toBe('kept on disk')
})

test('by night and on a telephone nothing runs over, and the switch for the look stays as it was set', async () => {
  const { url, ada } = await both('# Night\n\nInk on dark paper.')
  const dark = await Writer.opens(browser, url, 'letter', 'Noor', { colorScheme: 'dark', viewport: { width: 375, height: 667 } })
  await expect.poll(() => dark.text(), patient).toBe('# Night\n\nInk on dark paper.')
  await ada.press('Control+End')
  await dark.page.locator('.cm-inkwell-caret').first().waitFor()
  expect(await dark.page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark')
  expect(await dark.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375)
  await dark.photograph('dark-telephone')
  await ada.page.locator('#theme').click()
  await ada.page.reload()
  await ada.page.locator('#editor .cm-content').waitFor()
  expect(await ada.page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark')
  await expect.poll(() => ada.text(), patient).toBe('# Night\n\nInk on dark paper.')
  await ada.photograph('dark')
})

test('everything can be reached by the keyboard and has a name for those who hear the page', async () => {
  const { ada } = await both('x')
  const unnamed = await ada.page.locator('a, button, input, [contenteditable=true]').evaluateAll(found =>
    found
      .filter(element => {
        const input = element as HTMLInputElement
        const label = element.getAttribute('aria-label') ?? input.labels?.[0]?.textContent ?? element.textContent
        return (label ?? '').trim() === ''
      })
      .map(element => element.outerHTML),
  )
  expect(unnamed).toEqual([])
  const reached: (string | null)[] = []
  await ada.page.locator('.brand').focus()
  for (let i = 0; i < 5; i++) {
    reached.push(await ada.page.evaluate(() => document.activeElement?.id || (document.activeElement?.className ?? null)))
    await ada.press('Tab')
  }
  expect(reached).toEqual(['brand', 'copy', 'theme', 'line', 'name'])
  expect(await ada.page.locator('[role=status]').getAttribute('aria-live')).toBe('polite')
})

// Two people in the demo, in real Chromium, before a real server with its data on disk.

import { rmSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { builtDemo, demoServer, launched, Writer, wrote } from './page.ts'

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
  if (text !== '') await wrote(url, 'letter', text)
  const ada = await Writer.opens(browser, url, 'letter', 'Ada Lovelace')
  const ben = await Writer.opens(browser, url, 'letter', 'Ben')
  for (const writer of [ada, ben]) await expect.poll(() => writer.text(), patient).toBe(text)
  await ada.page.bringToFront()
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
  await ada.page.keyboard.insertText(' mine') // one edit: how fast the machine is does not group it
  await expect.poll(() => ben.text(), patient).toBe('A. mine Z.')
  await ben.press('Control+Home', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight')
  await ben.page.keyboard.insertText('-yours-')
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
  await expect.poll(() => ben.people(), patient).toEqual(['Ben (you)', 'Ada Lovelace'])
  expect(await agree()).toBe('>> one two three')
  await ada.page.context().close()
  await expect.poll(() => caret.count(), patient).toBe(0)
  await expect.poll(() => ben.people(), patient).toEqual(['Ben (you)'])
})

test('pasted lines and emoji arrive as they are, with line breaks of one kind', async () => {
  const { ada, ben, agree } = await both()
  await ada.paste('Grüße 👩‍👩‍👧\r\n\r\n- 😀 eins\n- zwei\n\tdrei')
  const text = 'Grüße 👩‍👩‍👧\n\n- 😀 eins\n- zwei\n\tdrei'
  await expect.poll(() => ben.text(), patient).toBe(text)
  await ben.press('Control+Home')
  await ben.type('😀')
  expect(await agree()).toBe(`😀${text}`)
})

test('a page that can keep nothing says so, asks before it goes with words that are not saved, and does not with none', async () => {
  const { ada, agree } = await both('All safe.')
  await ada.page.addInitScript(() => {
    Object.defineProperty(globalThis, 'indexedDB', { value: undefined })
  })
  await ada.page.reload()
  await expect.poll(() => ada.text(), patient).toBe('All safe.')
  await expect
    .poll(() => ada.page.locator('.notice p').allTextContents(), patient)
    .toEqual(['What you type cannot be kept on this device. It is safe once all changes are saved.'])
  await ada.focus()
  const asked: string[] = []
  ada.page.on('dialog', dialog => {
    asked.push(dialog.type())
    void dialog.dismiss()
  })
  await ada.line(false)
  await ada.press('Control+End')
  await ada.type(' Not this.')
  await ada.page.evaluate(() => location.reload())
  await expect.poll(() => asked, patient).toEqual(['beforeunload'])
  await ada.line(true)
  expect(await agree()).toBe('All safe. Not this.')
  await ada.page.reload()
  await expect.poll(() => ada.text(), patient).toBe('All safe. Not this.')
  expect(asked).toEqual(['beforeunload'])
})

test('what the server refuses is shown with its words, to be copied or put back', async () => {
  const url = await demoServer(demo, { limits: { documentLength: 30 } })
  await wrote(url, 'letter', 'Room for thirty units here.')
  const ada = await Writer.opens(browser, url, 'letter', 'Ada')
  await expect.poll(() => ada.text(), patient).toBe('Room for thirty units here.')
  await ada.press('Control+End')
  await ada.page.keyboard.insertText(' Too much.')
  const notice = ada.page.locator('.notice')
  await expect.poll(() => notice.locator('blockquote').textContent(), patient).toBe(' Too much.')
  await expect.poll(() => ada.text(), patient).toBe('Room for thirty units here.')
  expect(await notice.locator('p').textContent()).toContain('longer than the limit')
  await ada.photograph('refused')
  await ada.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await notice.getByRole('button', { name: 'Copy' }).click()
  await expect.poll(() => ada.page.evaluate(() => navigator.clipboard.readText()), patient).toBe(' Too much.')
  await ada.focus()
  await ada.press('Control+Home', 'Control+Delete', 'Control+Delete')
  await notice.getByRole('button', { name: 'Restore' }).click()
  await expect.poll(() => ada.text(), patient).toBe(' thirty units here. Too much.')
  await expect.poll(() => ada.status(), patient).toBe(saved)
  expect(await notice.count()).toBe(0)
})

test('who may only read is told so and changes nothing', async () => {
  let right: 'write' | 'read' = 'write'
  const url = await demoServer(demo, { authorize: () => right })
  await wrote(url, 'letter', 'To be read.')
  right = 'read'
  const ada = await Writer.opens(browser, url, 'letter', 'Ada')
  await expect.poll(() => ada.text(), patient).toBe('To be read.')
  expect(await ada.status()).toBe('Read-only')
  await ada.press('Control+End')
  await ada.type(' No.')
  await ada.press('Control+z')
  expect(await ada.text()).toBe('To be read.')
  expect(ada.faults).toEqual([])
})

test('a bare address gets a document with a name to read out, and its link can be copied', async () => {
  const url = await demoServer(demo)
  const ada = await Writer.opens(browser, url, '', 'Ada')
  const id = new URL(ada.page.url()).searchParams.get('doc') ?? ''
  expect(id).toMatch(/^[a-z]+-[a-z]+-\d\d$/)
  expect(await ada.page.locator('h1').textContent()).toBe(id)
  await ada.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await ada.page.locator('#copy').click()
  await expect.poll(() => ada.page.locator('#copy').textContent(), patient).toBe('Copied')
  expect(await ada.page.evaluate(() => navigator.clipboard.readText())).toBe(`${url}/?doc=${id}`)
  await ada.photograph('new')
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
  expect(await dark.luminance('body')).toBeLessThan(0.1)
  expect(await dark.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375)
  await dark.photograph('dark-telephone')
  await dark.line(false)
  await expect.poll(() => dark.status(), patient).toContain('Offline')
  expect(await dark.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375)
  await dark.photograph('offline-telephone')
  await dark.line(true)
  expect(await ada.luminance('body')).toBeGreaterThan(0.9)
  await ada.page.locator('#theme').click()
  const isNight = async () => {
    expect(await ada.luminance('body')).toBeLessThan(0.1)
    expect(await ada.page.locator('.cm-cursor-primary').evaluate(caret => getComputedStyle(caret).borderLeftColor)).not.toBe(
      'rgb(0, 0, 0)',
    )
    const inks = ada.page.locator('.cm-line span:not([class*="cm-"])')
    for (const ink of await inks.evaluateAll(found => found.map(span => getComputedStyle(span).color))) {
      expect(ink).toBe('rgb(231, 233, 239)')
    }
  }
  await isNight()
  await ada.page.reload()
  await expect.poll(() => ada.text(), patient).toBe('# Night\n\nInk on dark paper.')
  await isNight()
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
  const spoken = ada.page.locator('[role=status][aria-live=polite]')
  await expect.poll(() => spoken.textContent(), patient).toBe(saved)
  await ada.page.locator('#line').focus()
  await ada.press('Space')
  await expect.poll(() => spoken.textContent(), patient).toContain('Offline')
  await ada.press('Space')
  await expect.poll(() => spoken.textContent(), patient).toBe(saved)
})

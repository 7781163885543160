// The operator's page in real Chromium, before a real server with people in it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DocId } from '../../src/protocol/ids.ts'
import { afterwards, opens, serverWith } from '../server/worlds.ts'
import { launched } from './page.ts'

const root = join(import.meta.dirname, '../..')
const token = 'sixteen-or-more-characters'
const patient = { timeout: 60_000 }
let browser: Browser
let dashboard: string

beforeAll(async () => {
  dashboard = mkdtempSync(join(tmpdir(), 'inkwell-dashboard-'))
  await build({ root: join(root, 'dashboard'), base: './', logLevel: 'error', build: { outDir: dashboard, emptyOutDir: true } })
  browser = await launched()
})

afterAll(async () => {
  await browser?.close()
  rmSync(dashboard, { recursive: true, force: true })
})

/** A server with Ann and Ben in one document, and its page as an operator sees it. */
const looking = async (options: BrowserContextOptions = {}) => {
  const server = await serverWith({ authenticate: token => ({ id: token ?? 'nobody', name: `${token} of London` }) })
  const { url } = await server.listen(0)
  const admin = await server.listenAdmin(0, { token, dashboard })
  const ann = await opens(url, 'minutes of <b>May</b>', { token: 'Ann' })
  const ben = await opens(url, 'minutes of <b>May</b>', { token: 'Ben', form: 'json' })
  await ann.types('Nobody’s business. ')
  const context = await browser.newContext({ viewport: { width: 1280, height: 1500 }, ...options })
  afterwards(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const faults: string[] = []
  page.on('pageerror', error => faults.push(String(error)))
  page.on('console', message => {
    if (message.type() === 'error') faults.push(message.text())
  })
  const asked: string[] = []
  page.on('request', request => asked.push(`${request.method()} ${request.url()}`))
  await page.goto(admin.url)
  const enter = async (word = token) => {
    await page.locator('#token').fill(word)
    await page.locator('#login button').click()
  }
  const rows = (caption: string) =>
    page
      .locator('table', { has: page.locator('caption', { hasText: caption }) })
      .locator('tbody tr')
      .allInnerTexts()
  return { server, ann, ben, admin, page, faults, asked, enter, rows }
}

const photograph = (page: Page, name: string) =>
  page.screenshot({ path: join(root, 'test-artefacts/browser', `dashboard-${name}.png`), fullPage: true })

test.each(['light', 'dark'] as const)(
  '[P7] an operator sees load, documents, and one connection’s traffic, by %s',
  async colorScheme => {
    const { ann, ben, page, faults, asked, enter, rows } = await looking({ colorScheme })
    await enter()
    await expect.poll(() => page.locator('#state').textContent(), patient).toMatch(/ready[\s\S]*memory answers[\s\S]*version 0/)
    // Ann types until edits a second show in the chart: with a pause between two, as a person does.
    let typing = true
    afterwards(() => {
      typing = false
    })
    const typed = (async () => {
      while (typing) {
        await ann.types('x')
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    })()
    await expect
      .poll(() => rows('Documents, the costliest first').then(all => all[0]), patient)
      .toMatch(/^minutes of <b>May<\/b>\t\d/)
    expect(await page.locator('main b').count(), 'a name is text').toBe(0)
    await expect.poll(() => rows('Connections, up to thirty').then(all => all.length), patient).toBe(2)
    expect((await rows('Connections, up to thirty')).join()).toContain('Ben of London')
    await expect.poll(() => page.locator('figure canvas').count(), patient).toBe(6)
    // By now there have been some rounds: the legend of the edits says how many a second.
    const legend = page.locator('figure', { hasText: 'Edits a second' })
    await expect
      .poll(() => page.locator('figure', { hasText: 'How long an edit takes' }).locator('canvas').count(), patient)
      .toBe(1)
    const drawn = () =>
      legend.locator('canvas').evaluate(canvas => {
        const { width, height } = canvas as HTMLCanvasElement
        const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height)
        let coloured = 0
        for (let i = 0; i < data.length; i += 4)
          if (Math.max(data[i]!, data[i + 1]!, data[i + 2]!) - Math.min(data[i]!, data[i + 1]!, data[i + 2]!) > 60) coloured++
        return coloured
      })
    await expect.poll(drawn, patient).toBeGreaterThan(300) // a line over some rounds, in a colour and not the grid's grey
    await photograph(page, colorScheme)
    typing = false
    await typed
    await ben.reaching(ann.at.version)

    await page.locator('table a', { hasText: 'minutes' }).click()
    await expect
      .poll(() => rows('Who is here').then(all => all.map(row => row.split('\t')[0]).sort()), patient)
      .toEqual(['Ann of London', 'Ben of London'])
    await expect
      .poll(() => rows('Recent commits').then(all => all[0]), patient)
      .toMatch(new RegExp(`^${ann.at.version.toLocaleString('en-US')}\tAnn\t${ann.author}\t.*\\+1$`))
    expect(await page.locator('main').textContent(), 'nobody’s text').not.toContain('business')
    await photograph(page, `document-${colorScheme}`)

    await page.locator('table a', { hasText: /^[0-9a-f]{6}-2$/ }).click()
    await expect.poll(() => page.locator('dl').textContent(), patient).toMatch(/Ben of London \(Ben\)[\s\S]*json/)
    await expect.poll(() => rows('Documents'), patient).toEqual(['minutes of <b>May</b>\twrite'])
    const sent = async () =>
      Number(/From it([\d.,]+)/.exec((await page.locator('dl').textContent()) ?? '')?.[1]?.replaceAll(',', ''))
    const before = await sent()
    expect(before).toBeGreaterThan(0)
    for (let i = 0; i < 40; i++) await ben.types('what nobody may see, but how much of it there is')
    await expect.poll(sent, patient).not.toBe(before)
    await expect.poll(() => page.locator('figure', { hasText: 'Traffic' }).locator('canvas').count(), patient).toBe(1)
    expect(await page.locator('main').textContent(), 'nobody’s text').not.toContain('nobody may see')
    await photograph(page, `connection-${colorScheme}`)
    ben.client.close()
    await expect.poll(() => page.locator('dl').textContent(), patient).toContain('not here')

    expect(faults).toEqual([])
    expect(asked.filter(line => !line.startsWith('GET '))).toEqual([]) // it only looks
    expect(asked.filter(line => line.includes(token))).toEqual([])
  },
)

test('[P6] without the token the page shows nothing of the server, and a wrong one is said to be wrong', async () => {
  const { page, admin, enter, asked } = await looking()
  await page.locator('#login').waitFor()
  expect(asked.filter(line => line.includes('/v1/') || line.includes('/metrics'))).toEqual([])
  expect(await page.locator('#view').innerHTML()).toBe('')
  await enter('a-token-that-is-not-it')
  await expect.poll(() => page.locator('#refused').textContent(), patient).toBe('The server does not take this token.')
  await enter()
  await expect.poll(() => page.locator('#state').textContent(), patient).toContain('ready')
  await page.reload() // kept in this tab
  await expect.poll(() => page.locator('#state').textContent(), patient).toContain('ready')
  await page.locator('#leave').click()
  expect(await page.locator('#view').innerHTML()).toBe('')
  await page.reload()
  await page.locator('#login').waitFor()
  // What needs no token is the page's own files, whatever the address.
  for (const path of [
    '/../package.json',
    '/assets/../../package.json',
    '/%2e%2e/package.json',
    '/v1/load',
    '/metrics',
    '/index.html',
  ])
    expect((await fetch(`${admin.url}${path}`)).status).toBe(401)
  expect((await fetch(admin.url, { method: 'POST' })).status).toBe(401)
  const { headers } = await fetch(admin.url)
  expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
  expect(headers.get('x-content-type-options')).toBe('nosniff')
})

test('[P7] a server that goes away is said to be away, and is back on the page when it is back', async () => {
  const { page, server, enter, admin } = await looking()
  await enter()
  await expect.poll(() => page.locator('#state').textContent(), patient).toContain('ready')
  await server.close()
  await expect.poll(() => page.locator('#notice').textContent(), patient).toContain('No answer')
  const next = await serverWith()
  await next.listenAdmin(Number(new URL(admin.url).port), { token, dashboard })
  await expect.poll(() => page.locator('#notice').textContent(), patient).toBe('')
  await page.goto(`${admin.url}/#/document/${encodeURIComponent('nobody wrote' as DocId)}`)
  await expect.poll(() => page.locator('#notice').textContent(), patient).toBe('There is nothing of this name.')
})

// The page that a run of the benches leaves behind, in a real browser.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pageOf } from '../../bench/report.ts'
import type { Results } from '../../bench/row.ts'
import { launched } from './page.ts'

const results: Results = {
  machine: {
    cores: 2,
    cpu: 'A <b>processor</b>',
    memory: 24,
    system: 'linux 6',
    node: '20.1.0',
    date: '2026-11-26T00:00:00.000Z',
  },
  quick: true,
  results: {
    scale: [
      {
        what: '10,000 idle connections <script>document.title = "taken"</script>',
        value: 11.2,
        unit: 'KiB',
        beside: { inkwell: 11.2, ws: 6.18, 'y-websocket': 7.55 },
        gate: { atMost: 12.5 },
        command: 'npm run bench -- scale --case idle',
      },
      {
        what: 'two nodes, against one',
        value: 1.5,
        unit: '×',
        beside: { 'one µs': 6, 'two µs': 9, 'one p99 ms': 4, 'two p99 ms': Number.NaN },
        gate: { atMost: 1.3 },
      },
    ],
    ot: [{ what: 'compose', value: 31, unit: 'ns' }],
  },
}

let browser: Browser
beforeAll(async () => {
  browser = await launched()
})
afterAll(() => browser.close())

const shown = async (scheme: 'light' | 'dark', width = 900) => {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width, height: 800 } })
  const asked: string[] = []
  page.on('request', request => asked.push(request.url()))
  await page.setContent(pageOf(results))
  return { page, asked }
}

it('loads nothing, and shows every row with its gate and its command, and a chart for whatever can be compared', async () => {
  const { page, asked } = await shown('light')
  const rows = await page.locator('tbody tr').allInnerTexts()
  expect(rows.length).toBe(3)
  expect(rows[0]).toContain('npm run bench -- scale --case idle')
  expect(rows.map(row => /does not hold|holds/.exec(row)?.[0])).toEqual(['holds', 'does not hold', undefined])
  expect(await page.locator('figcaption').allInnerTexts()).toEqual([
    '10,000 idle connections <script>document.title = "taken"</script> KiB',
    'two nodes, against one µs',
  ])
  const lengths = await page
    .locator('figure:first-of-type rect')
    .evaluateAll(bars => bars.map(bar => bar.getBoundingClientRect().width))
  expect(lengths.map(length => Math.round((11.2 * length) / lengths[0]!))).toEqual([11, 6, 8])
  expect(await page.getByRole('img').first().getAttribute('aria-label')).toContain('ws 6.18, y-websocket 7.55 KiB')
  expect([asked, await page.title()]).toEqual([[], 'Inkwell, measured'])
  await page.close()
})

it('can be read in the dark, and on a telephone', async () => {
  const luminance = async (scheme: 'light' | 'dark') => {
    const { page } = await shown(scheme, 380)
    const colours = await page.evaluate(() => {
      const { color, backgroundColor } = getComputedStyle(document.body)
      return [color, backgroundColor].map(
        colour =>
          colour
            .match(/\d+/g)!
            .slice(0, 3)
            .reduce((sum, part) => sum + Number(part), 0) / 765,
      )
    })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    await page.close()
    return [...colours, wide]
  }
  const [[ink, paper, over], [inkInTheDark, dark, overToo]] = [await luminance('light'), await luminance('dark')]
  expect(paper! - ink!).toBeGreaterThan(0.7)
  expect(inkInTheDark! - dark!).toBeGreaterThan(0.7)
  expect([over, overToo]).toEqual([0, 0])
})

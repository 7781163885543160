// What wakes the line in real Chromium. On these pages the client's time stands still until a test lets it pass: nothing but what the
// browser says can make it dial or ask.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client, TextDocument } from '../../src/client/index.ts'
import { afterwards, serverWith } from '../server/worlds.ts'
import { Tunnel } from '../tunnel.ts'
import { launched } from './page.ts'
import type { Stage } from './stage/stage.ts'

/** What scripts inside the page see. */
declare const stage: Stage
declare const here: { client: Client; doc: TextDocument; statuses: string[]; pass(ms: number): void }

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

/** A page with a document open, its line through a tunnel. */
const world = async () => {
  const server = await serverWith({ demo: pages })
  const { port } = await server.listen(0)
  const tunnel = await Tunnel.to(() => port)
  afterwards(() => tunnel.discard())
  const context = await browser.newContext()
  afterwards(() => context.close())
  const page = await context.newPage()
  await page.goto(tunnel.url)
  await page.evaluate(async () => {
    let time = 0
    let alarms: { at: number; call: () => void }[] = []
    const clock = {
      now: () => time,
      after: (ms: number, call: () => void) => {
        const alarm = { at: time + ms, call }
        alarms.push(alarm)
        if (ms === 0) setTimeout(() => pass(0))
        return () => {
          alarms = alarms.filter(other => other !== alarm)
        }
      },
    }
    const pass = (ms: number): void => {
      time += ms
      const due = alarms.filter(({ at }) => at <= time)
      alarms = alarms.filter(alarm => !due.includes(alarm))
      for (const { call } of due) call()
    }
    const client = stage.connect(location.origin, { clock })
    const statuses: string[] = []
    client.on('status', status => statuses.push(status))
    const doc = await client.open('doc')
    pass(1_000) // else the line would have been dialled less than a second ago
    Object.assign(globalThis, { here: { client, doc, statuses, pass } })
  })
  return { context, page, tunnel, server }
}

const status = (page: Page, wanted: string) => page.waitForFunction(want => here.client.status === want, wanted)

test('the network goes and is back: the line is down at once and up at once', async () => {
  const { context, page } = await world()
  await context.setOffline(true)
  await status(page, 'offline')
  await page.evaluate(() => here.doc.insert(0, 'written in a tunnel'))
  await context.setOffline(false)
  await status(page, 'online')
  await page.evaluate(() => here.doc.settled())
  expect(await page.evaluate(() => here.statuses)).toEqual(['online', 'offline', 'online'])
})

test.each(['visibilitychange', 'pageshow', 'resume'])('a page that is looked at again tries at once: %s', async event => {
  const { page, tunnel } = await world()
  tunnel.reset()
  await status(page, 'offline')
  await page.evaluate(name => (name === 'pageshow' ? window : document).dispatchEvent(new Event(name)), event)
  await status(page, 'online')
})

test('a page that the browser has frozen and thawed asks whether its line is still there, and when nothing answers makes another one', async () => {
  const { page, tunnel } = await world()
  tunnel.swallow()
  tunnel.spare() // what was open leads nowhere now, and nobody says so
  // By hand: Chromium freezes no page that is looked at, and headless it looks at all of them.
  await page.evaluate(() => document.dispatchEvent(new Event('resume')))
  await page.evaluate(() => {
    for (let i = 0; i < 5; i++) here.pass(1_000) // in steps: an alarm that is late by more is held against this machine
  })
  expect(await page.evaluate(() => here.statuses)).toEqual(['online', 'offline'])
  await page.evaluate(() => here.pass(1_000))
  await status(page, 'online')
  await page.evaluate(() => here.doc.insert(0, 'awake'))
  await page.evaluate(() => here.doc.settled())
})

// What a page keeps, in real Chromium: the laws of its storage, and writers whose tabs are closed, killed, frozen and cut off.

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { storageLaws } from '../client/storage-laws.ts'
import { afterwards, serving } from '../server/worlds.ts'
import { builtDemo, demoServer, launched, Writer, wrote } from './page.ts'
import type { Stage } from './stage/stage.ts'

/** What scripts inside the page see. */
declare const stage: Stage

let browser: Browser
let demo: string
let pages: string

beforeAll(async () => {
  demo = await builtDemo()
  pages = mkdtempSync(join(tmpdir(), 'inkwell-stage-'))
  const root = join(import.meta.dirname, 'stage')
  await build({ root, configFile: false, logLevel: 'error', build: { outDir: pages, emptyOutDir: true, minify: false } })
  browser = await launched()
})

afterAll(async () => {
  await browser?.close()
  rmSync(demo, { recursive: true, force: true })
  rmSync(pages, { recursive: true, force: true })
})

const patient = { timeout: 30_000 }
const saved = 'All changes saved'
const offline = 'Offline – everything you type is kept on this device'

/** Serves the pages of a server, and its sockets while it is open. */
class Gate {
  readonly url: string
  private open = true
  private readonly sockets = new Set<Socket>()

  private constructor(url: string) {
    this.url = url
  }

  static async before(target: string): Promise<Gate> {
    const { port } = new URL(target)
    const proxy = createServer((asked, answer) => {
      const { url, method, headers } = asked
      const passed = request({ host: '127.0.0.1', port, path: url, method, headers }, found => {
        answer.writeHead(found.statusCode ?? 502, found.headers)
        found.pipe(answer)
      })
      passed.on('error', () => answer.destroy())
      asked.pipe(passed)
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    const gate = new Gate(`http://localhost:${(proxy.address() as AddressInfo).port}`)
    proxy.on('upgrade', (asked, client: Socket, head) => {
      if (!gate.open) return client.destroy()
      const upstream = connectTcp(Number(port), '127.0.0.1', () => {
        const lines = [`${asked.method} ${asked.url} HTTP/1.1`]
        for (let i = 0; i < asked.rawHeaders.length; i += 2) lines.push(`${asked.rawHeaders[i]}: ${asked.rawHeaders[i + 1]}`)
        upstream.write(`${lines.join('\r\n')}\r\n\r\n`)
        upstream.write(head)
        upstream.pipe(client).pipe(upstream)
      })
      for (const socket of [client, upstream]) {
        gate.sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          client.destroy()
          upstream.destroy()
          gate.sockets.delete(socket)
        })
      }
    })
    afterwards(() => {
      gate.shut()
      proxy.closeAllConnections()
      proxy.close()
    })
    return gate
  }

  shut(): void {
    this.open = false
    for (const socket of this.sockets) socket.destroy()
  }

  let(): void {
    this.open = true
  }
}

const held = async (url: string): Promise<string> =>
  ((await (await fetch(`${url}/v1/documents/letter`)).json()) as { readonly text: string }).text

/** One browser profile, and the demo on a document in it; the socket goes through a gate. */
const world = async (text = '') => {
  const url = await demoServer(demo)
  if (text !== '') await wrote(url, 'letter', text)
  const gate = await Gate.before(url)
  const context = await browser.newContext({ viewport: { width: 1000, height: 640 } })
  afterwards(() => context.close())
  return { url, gate, context, opens: () => Writer.opensIn(context, gate.url, 'letter', 'Ada') }
}

const kill = async (context: BrowserContext, page: Page): Promise<void> => {
  const crashed = page.waitForEvent('crash')
  const devtools = await context.newCDPSession(page)
  devtools.send('Page.crash').catch(() => {}) // the page is gone before it can answer
  await crashed
  await page.close()
}

/** Whether the page says that all that was typed is written. */
const kept = (page: Page): Promise<string | null> => page.locator('#status').getAttribute('data-kept')

/** Until the browser has taken back the locks of pages that are gone. */
const allFree = async (context: BrowserContext, url: string): Promise<void> => {
  const page = await context.newPage()
  await page.goto(`${url}/v1/documents/letter`)
  await expect.poll(() => page.evaluate(async () => (await navigator.locks.query()).held?.length), patient).toBe(0)
  await page.close()
}

test.each(storageLaws.map(({ title }, i) => [title, i] as const))('IndexedDB with Web Locks: %s', async (_, i) => {
  const url = await serving({ demo: pages })
  const context = await browser.newContext()
  afterwards(() => context.close())
  const page = await context.newPage()
  await page.goto(url)
  await page.evaluate(i => stage.storageLaws[i]!.check(() => stage.browserStorage()(location.origin)), i)
})

test('a box held in one tab is free when that tab is killed, and is there with all that was written', async () => {
  const url = await serving({ demo: pages })
  const context = await browser.newContext()
  afterwards(() => context.close())
  const [one, two] = [await context.newPage(), await context.newPage()]
  await Promise.all([one.goto(url), two.goto(url)])
  await one.evaluate(async () => {
    const storage = await stage.browserStorage()(location.origin)
    await (await storage.hold('box'))!.write([['a', '1']])
  })
  const taken = () =>
    two.evaluate(async () => {
      const storage = await stage.browserStorage()(location.origin)
      const box = await storage.hold('box')
      const records = [...(await storage.read('box', ''))]
      await storage.close()
      return [box !== null, records]
    })
  expect(await taken()).toEqual([false, [['a', '1']]])
  await kill(context, one)
  await expect.poll(taken, patient).toEqual([true, [['a', '1']]])
})

test('[P2] [P3] typed without a line, tab closed, opened again without a line, and then with one: it arrives once', async () => {
  const { url, gate, opens } = await world('Dear Ben, ')
  const first = await opens()
  await expect.poll(() => first.text(), patient).toBe('Dear Ben, ')
  await expect.poll(() => first.status(), patient).toBe(saved)
  gate.shut()
  await expect.poll(() => first.status(), patient).toBe(offline)
  await first.press('Control+End')
  await first.type('this is written in a tunnel')
  await first.photograph('kept-offline')
  await first.page.close()

  const second = await opens()
  await expect.poll(() => second.text(), patient).toBe('Dear Ben, this is written in a tunnel')
  await expect.poll(() => second.status(), patient).toBe(offline)
  await second.press('Control+End')
  await second.type(', and on the other side of it')
  gate.let()
  await expect.poll(() => second.status(), patient).toBe(saved)
  expect([await second.text(), await held(url)]).toEqual(
    new Array(2).fill('Dear Ben, this is written in a tunnel, and on the other side of it'),
  )
  await second.press('Control+z')
  await expect.poll(() => held(url), patient).not.toContain('other side')
})

test('[P2] [P3] a page killed while its writer types: what it said was kept is there when it is opened again, once', async () => {
  const { url, gate, context, opens } = await world()
  const first = await opens()
  await expect.poll(() => first.status(), patient).toBe(saved)
  gate.shut()
  await expect.poll(() => first.status(), patient).toBe(offline)
  await first.type('every word of this is kept')
  await expect.poll(() => kept(first.page), patient).toBe('true')
  const typing = first.type(' and of this perhaps a part').catch(() => {}) // the page goes in the midst of it
  await kill(context, first.page)
  await typing
  await allFree(context, gate.url)

  const second = await opens()
  await expect.poll(() => second.text(), patient).toMatch(/^every word of this is kept/)
  const text = await second.text()
  expect('every word of this is kept and of this perhaps a part').toContain(text)
  gate.let()
  await expect.poll(() => second.status(), patient).toBe(saved)
  expect(await held(url)).toBe(text)
})

test('[P2] [P3] two tabs on one document, both without a line and both killed: one comes again, and everything arrives once', async () => {
  const { url, gate, context, opens } = await world('|')
  const [left, right] = [await opens(), await opens()]
  for (const tab of [left, right]) await expect.poll(() => tab.status(), patient).toBe(saved)
  gate.shut()
  await left.page.bringToFront()
  await expect.poll(() => left.status(), patient).toBe(offline)
  await left.focus()
  await left.press('Control+Home')
  await left.type('left')
  await right.page.bringToFront()
  await expect.poll(() => right.status(), patient).toBe(offline)
  await right.focus()
  await right.press('Control+End')
  await right.type('right')
  for (const tab of [left, right]) await expect.poll(() => kept(tab.page), patient).toBe('true')
  await kill(context, left.page)
  await kill(context, right.page)
  await allFree(context, gate.url)
  const again = await opens()
  await expect.poll(() => again.text(), patient).toMatch(/^(left\||\|right)$/)
  gate.let()
  await expect.poll(() => held(url), patient).toBe('left|right')
  await expect.poll(() => again.text(), patient).toBe('left|right')
})

test('[P3] a page that was frozen, as in sleep, is thawed, catches up, and sends what it had', async () => {
  const { url, gate, context, opens } = await world('night. ')
  const ada = await opens()
  await expect.poll(() => ada.status(), patient).toBe(saved)
  gate.shut()
  await expect.poll(() => ada.status(), patient).toBe(offline)
  await ada.press('Control+End')
  await ada.type('Before sleep.')
  const devtools = await context.newCDPSession(ada.page)
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
  await wrote(url, 'letter', 'Good ')
  gate.let()
  await devtools.send('Page.setWebLifecycleState', { state: 'active' })
  await expect.poll(() => held(url), patient).toBe('Good night. Before sleep.')
  await expect.poll(() => ada.text(), patient).toBe('Good night. Before sleep.')
})

test('[P3] a page reloaded without a line, again and again, is the same page each time', async () => {
  const { url, gate, opens } = await world('begin')
  const ada = await opens()
  await expect.poll(() => ada.text(), patient).toBe('begin')
  await expect.poll(() => ada.status(), patient).toBe(saved)
  gate.shut()
  await expect.poll(() => ada.status(), patient).toBe(offline)
  let text = 'begin'
  for (let i = 1; i <= 5; i++) {
    await ada.focus()
    await ada.press('Control+End')
    await ada.type(`,${i}`)
    text += `,${i}`
    await expect.poll(() => kept(ada.page), patient).toBe('true')
    await ada.page.reload()
    await expect.poll(() => ada.text(), patient).toBe(text)
  }
  gate.let()
  await expect.poll(() => held(url), patient).toBe(text)
})

test('[P3] a draft is there when the page is opened again, until it is discarded', async () => {
  const url = await demoServer(demo, { limits: { documentLength: 30 } })
  await wrote(url, 'letter', 'Room for thirty units here.')
  const ada = await Writer.opens(browser, url, 'letter', 'Ada')
  await expect.poll(() => ada.text(), patient).toBe('Room for thirty units here.')
  await ada.press('Control+End')
  await ada.page.keyboard.insertText(' Too much.')
  const quotes = ada.page.locator('.notice blockquote')
  await expect.poll(() => quotes.allTextContents(), patient).toEqual([' Too much.'])
  await ada.page.reload()
  await expect.poll(() => quotes.allTextContents(), patient).toEqual([' Too much.'])
  await ada.photograph('draft-after-reload')
  await ada.page.getByRole('button', { name: 'Discard' }).click()
  await expect.poll(() => quotes.count(), patient).toBe(0)
  await ada.page.reload() // a page that goes writes at once
  await expect.poll(() => ada.text(), patient).toBe('Room for thirty units here.')
  await expect.poll(() => ada.status(), patient).toBe(saved)
  expect(await quotes.count()).toBe(0)
})

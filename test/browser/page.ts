// The demo in a real browser before a real server: what a browser test builds its world from.
// Invariant: whatever a test opened is closed after it; pages of one person share nothing with those of another.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { build } from 'vite'
import { connect } from '../../src/client/index.ts'
import { embeddedStore, type ServerOptions } from '../../src/server/index.ts'
import { chromiumPath } from '../chromium.ts'
import { afterwards, serving } from '../server/worlds.ts'

const root = join(import.meta.dirname, '../..')
const artefacts = join(root, 'test-artefacts/browser')

/** The demo as it is in the sources now, in a folder of its own. */
export const builtDemo = async (): Promise<string> => {
  const outDir = mkdtempSync(join(tmpdir(), 'inkwell-demo-'))
  await build({ root: join(root, 'demo'), base: './', logLevel: 'error', build: { outDir, emptyOutDir: true } })
  return outDir
}

export const launched = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath(),
    args: [
      '--no-sandbox', // containers and root have none; every page here is our own
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })

/** A server with its data on disk and the demo; its address. */
export const demoServer = (demo: string, options: ServerOptions = {}): Promise<string> => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-data-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  return serving({ store: embeddedStore({ path }), demo, ...options })
}

/** Somebody who is not there any more has written this: it is nobody's to undo. */
export const wrote = async (url: string, doc: string, text: string): Promise<void> => {
  const client = connect(url)
  afterwards(() => client.close())
  const document = await client.open(doc)
  document.insert(0, text)
  await document.settled()
  await client.close()
}

export class Writer {
  readonly page: Page
  readonly faults: string[] = []

  private constructor(page: Page) {
    this.page = page
    page.setDefaultTimeout(15_000) // what is not there fails here, not when the whole test has hung
    page.on('pageerror', error => this.faults.push(String(error)))
    page.on('console', message => {
      if (message.type() === 'error') this.faults.push(message.text())
    })
  }

  /** Opens a document as somebody of this name. */
  static async opens(
    browser: Browser,
    url: string,
    doc: string,
    name: string,
    options: BrowserContextOptions = {},
  ): Promise<Writer> {
    const context = await browser.newContext({ viewport: { width: 1000, height: 640 }, ...options })
    afterwards(() => context.close())
    return Writer.opensIn(context, url, doc, name)
  }

  /** In a tab of a browser that is there. */
  static async opensIn(context: BrowserContext, url: string, doc: string, name: string): Promise<Writer> {
    const writer = new Writer(await context.newPage())
    await writer.page.goto(`${url}/?doc=${doc}`)
    await writer.page.locator('#editor .cm-content').waitFor()
    await writer.page.locator('#name').fill(name)
    await writer.focus()
    return writer
  }

  async focus(): Promise<void> {
    await this.page.locator('#editor .cm-content').focus()
  }

  /** The text as the editor shows it. */
  async text(): Promise<string> {
    const lines = await this.page.locator('#editor .cm-line').evaluateAll(found =>
      found.map(line => {
        const copy = line.cloneNode(true) as Element
        for (const caret of copy.querySelectorAll('.cm-inkwell-caret, .cm-widgetBuffer, .cm-placeholder')) caret.remove()
        return copy.textContent ?? ''
      }),
    )
    return lines.join('\n')
  }

  status(): Promise<string | null> {
    return this.page.locator('#status-text').textContent()
  }

  async type(text: string): Promise<void> {
    await this.page.keyboard.type(text)
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key)
  }

  async line(up: boolean): Promise<void> {
    await this.page.locator('#line').setChecked(up)
    await this.focus()
  }

  /** By way of the system's clipboard, as a writer does it. */
  async paste(text: string): Promise<void> {
    await this.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await this.page.evaluate(words => navigator.clipboard.writeText(words), text)
    await this.press('Control+v')
  }

  /** Who is here, as the page says it to those who see and to those who hear it. */
  people(): Promise<string[]> {
    return this.page.locator('#people li .who').allTextContents()
  }

  /** How light the ground of an element is, from 0 to 1. */
  luminance(selector: string): Promise<number> {
    return this.page.locator(selector).evaluate(element => {
      const [red = 0, green = 0, blue = 0] = getComputedStyle(element).backgroundColor.match(/\d+/g)?.map(Number) ?? []
      return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
    })
  }

  async photograph(name: string): Promise<void> {
    await this.page.screenshot({ path: join(artefacts, `${name}.png`) })
  }
}

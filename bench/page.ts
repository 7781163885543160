// How smooth a page stays while others write: frames that Chromium shows with an editor on a document, idle and under their edits.
// Invariant: both numbers come from one page in one run, and no number is told unless the load has reached that page.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'
import { build } from 'vite'
import { connect } from '../src/client/index.ts'
import { opToJson } from '../src/ot/json.ts'
import { insert } from '../src/ot/op.ts'
import type { Handle, Position, Version } from '../src/protocol/ids.ts'
import type { Commits, Joined } from '../src/protocol/messages.ts'
import { createServer, memoryStore } from '../src/server/index.ts'
import { seededRandom } from '../src/testing/type-laws.ts'
import type { Stage } from '../test/browser/stage/stage.ts'
import { chromiumPath } from '../test/chromium.ts'
import { RawClient } from '../test/server/raw.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'page'

/** What scripts inside the page see. */
declare const stage: Stage

const rate = 2_000 // edits a second, of all writers together
const writers = 8
const length = 131_072 // units; a long chapter
const line = 'The quick brown fox jumps over the lazy dog, and so on it goes.\n'

/** Milliseconds between two carets of a writer. */
const caretPause = 50

/** Edits of one unit each at this rate until `stop`, and the carets of those who make them. The first writer types where the page looks, the others anywhere. */
const load = (pens: readonly Feeder[]): (() => void) => {
  const since = performance.now()
  let done = 0
  const timer = setInterval(() => {
    for (const due = ((performance.now() - since) * rate) / 1_000; done < due; done++) pens[done % pens.length]!.types()
  }, 5)
  return () => clearInterval(timer)
}

const random = seededRandom(1)

/**
 * A writer who waits for no answer and holds no text: an SDK would compose what is typed while an edit is on its way, and the page is to
 * get every edit as a commit of its own. All edits insert one unit, so that the version tells the length.
 */
class Feeder {
  readonly client: RawClient
  private readonly handle: Handle
  private readonly reach: number
  private readonly start: Version
  private position: Position
  private seq = 0
  private shownAt = 0

  private constructor(client: RawClient, { handle, content }: Joined, reach: number) {
    if (content.kind !== 'snapshot') throw new Error('a newcomer gets a snapshot')
    this.client = client
    this.handle = handle
    this.reach = reach
    this.position = content.position
    this.start = content.position.version
    client.socket.on('commits', ({ position }: Commits) => {
      this.position = { ...this.position, ...position }
    })
  }

  /** @param reach the units, from the start of the text, among which it types */
  static async opens(url: string, doc: string, reach: number): Promise<Feeder> {
    const client = new RawClient(url)
    await client.next('welcome')
    return new Feeder(client, await client.join(doc), reach)
  }

  types(): void {
    const { handle, position } = this
    const size = length + position.version - this.start
    const at = Math.floor(random() * Math.min(size, this.reach))
    this.client.send({ kind: 'submit', handle, seq: ++this.seq, position, op: opToJson(insert(size, at, 'x')) })
    const now = performance.now()
    if (now - this.shownAt < caretPause) return
    this.shownAt = now
    this.client.send({ kind: 'present', handle, version: position.version, state: { cursor: { anchor: at, head: at } } })
  }
}

/** The stage of the browser tests, in this folder. */
const built = async (outDir: string): Promise<void> => {
  const root = join(import.meta.dirname, '../test/browser/stage')
  const { NODE_ENV } = process.env
  await build({ root, configFile: false, logLevel: 'error', build: { outDir, emptyOutDir: true } })
  // Vite has declared this process to be in production, where neither this server nor those of the next bench let guests in.
  if (NODE_ENV === undefined) delete process.env.NODE_ENV
  else process.env.NODE_ENV = NODE_ENV
}

interface Shown {
  /** Frames a second. */
  readonly frames: number
  /** Milliseconds between two of them, of which one in a hundred is longer. */
  readonly slow: number
  /** Commits of others that came into the document in a second. */
  readonly edits: number
}

const shown = (page: Page, ms: number): Promise<Shown> =>
  page.evaluate(async ms => {
    const { doc } = stage.kept
    // No function gets a name in here: tsx would call something of its own for it, which no page has.
    const first = await new Promise<number>(resolve => requestAnimationFrame(resolve))
    const before = doc.version
    const took: number[] = []
    let last = first
    while (last - first < ms) {
      const at = await new Promise<number>(resolve => requestAnimationFrame(resolve))
      took.push(at - last)
      last = at
    }
    const seconds = (last - first) / 1_000
    took.sort((a, b) => a - b)
    return {
      frames: took.length / seconds,
      slow: took[Math.floor(0.99 * (took.length - 1))]!,
      edits: (doc.version - before) / seconds,
    }
  }, ms)

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  const demo = mkdtempSync(join(tmpdir(), 'inkwell-bench-page-'))
  await built(demo)
  const limits = { submissionsWaiting: 2_000, messagesPerLine: 2_000 } // its writers are no people: they wait for no answer
  const server = await createServer({ store: memoryStore(), logger: 'silent', demo, limits })
  const { url } = await server.listen(0)
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox', '--disable-gpu'] })
  const author = connect(url)
  const pens: Feeder[] = []
  try {
    const doc = await author.open('page')
    doc.insert(0, line.repeat(length / line.length))
    await doc.close()
    for (let i = 0; i < writers; i++) pens.push(await Feeder.opens(url, 'page', i === 0 ? 1_000 : length))

    const page = await browser.newPage()
    await page.goto(url)
    await page.evaluate(async () => void stage.kept.views.push(stage.editor(await stage.open('page'))))
    const tools = await page.context().newCDPSession(page)
    await tools.send('Performance.enable')
    /** Seconds of CPU of the page's process. */
    const spent = async (): Promise<number> => {
      const { metrics } = await tools.send('Performance.getMetrics')
      return metrics.find(({ name }) => name === 'ProcessTime')?.value ?? Number.NaN
    }
    const ms = quick ? 2_000 : 10_000
    await shown(page, 1_000) // what is made only once is made
    const beforeIdle = await spent()
    const idle = await shown(page, ms)
    const spentIdle = (await spent()) - beforeIdle
    const stop = load(pens)
    await shown(page, 1_000)
    const before = await spent()
    const busy = await shown(page, ms)
    const spentBusy = (await spent()) - before
    stop()
    if (busy.edits < 0.95 * rate) throw new Error(`only ${Math.round(busy.edits)} edits a second have reached the page`)
    const same = await page.evaluate(() => stage.kept.views[0]!.state.doc.length === stage.kept.doc.length)
    if (!same) throw new Error('the editor does not show the text of its document')
    return [
      {
        what: `frames a second of a page with an editor under ${rate} remote edits a second, with carets, against the same page idle`,
        value: busy.frames / idle.frames,
        unit: '×',
        beside: {
          'frames/s': busy.frames,
          'frames/s idle': idle.frames,
          'p99 ms': busy.slow,
          'p99 ms idle': idle.slow,
          'edits/s': busy.edits,
          'CPU of the page, cores': spentBusy / (ms / 1_000),
          'cores idle': spentIdle / (ms / 1_000),
          'CPU an edit, µs': ((spentBusy - spentIdle) / (busy.edits * (ms / 1_000))) * 1e6,
        },
        gate: { atLeast: 0.9 },
      },
    ]
  } finally {
    await browser.close()
    for (const { client } of pens) client.close()
    await author.close()
    await server.close()
    rmSync(demo, { recursive: true, force: true })
  }
}

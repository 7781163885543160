// The two checks of a document, of its links and of its text: in this thread or, where there is much to check, that of the links in one
// of its own: it takes about as long as reading and the text together, and more than two threads are slower on two cores.
// Invariant: both ways find the same. Whoever reads waits for whoever checks, so that some pages are in memory and not a history.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { countOf, entryAt, pageOf, startOf } from '../engine/page.ts'
import type { About, Checkpoint, Page } from '../engine/ports.ts'
import { type Check, type Findings, LinkCheck, TextCheck, together } from '../engine/verification.ts'
import { servedText } from '../ot/served.ts'
import type { Version } from '../protocol/ids.ts'
import { follows } from '../stores/chain.ts'

/** One document’s. */
export interface Checking {
  /** Resolves when more may come. */
  take(page: Page): Promise<void>
  gap(from: Version, to: Version, why: string): void
  end(): Promise<Findings>
}

export interface Checkers {
  begin(about: About, checkpoint: Checkpoint | null): Checking
  close(): Promise<void>
}

export const linkCheck = (about: About): Check => new LinkCheck(about, follows)
const textCheck = (about: About, checkpoint: Checkpoint | null): Check => new TextCheck([servedText], about, checkpoint)

/** What the thread is told; it says when it has been through a page, and what it found. `id` numbers the documents. */
export type Told =
  | { readonly id: number; readonly kind: 'begin'; readonly about: About }
  | { readonly id: number; readonly kind: 'page'; readonly page: Page }
  | { readonly id: number; readonly kind: 'gap'; readonly gap: readonly [Version, Version, string] }
  | { readonly id: number; readonly kind: 'end' }
export type Answer = { readonly kind: 'taken' } | { readonly kind: 'found'; readonly id: number; readonly findings: Findings }

const here = (about: About, checkpoint: Checkpoint | null): Checking => {
  const [links, text] = [linkCheck(about), textCheck(about, checkpoint)]
  return {
    async take(page) {
      links.take(page)
      text.take(page)
    },
    gap(from, to, why) {
      links.gap(from, to, why)
      text.gap(from, to, why)
    },
    end: async () => together(links.end(), text.end()),
  }
}

/** Runs from dist alone: a source cannot be started as a thread. */
const program = fileURLToPath(new URL('./check-thread.js', import.meta.url))
const pagesUnderWay = 4
const longestPage = 16_777_216 // bytes of bodies: entries may be a megabyte each

class Thread {
  readonly #worker: Worker
  readonly #answers = new Map<number, { resolve(found: Findings): void; reject(error: Error): void }>()
  #underWay = 0
  readonly #waiting: (() => void)[] = []
  #failed: Error | null = null

  constructor() {
    this.#worker = new Worker(program)
    this.#worker.on('message', (answer: Answer) => {
      if (answer.kind === 'taken') {
        this.#underWay--
        this.#goOn()
      } else {
        this.#answers.get(answer.id)?.resolve(answer.findings)
        this.#answers.delete(answer.id)
      }
    })
    this.#worker.on('error', error => this.#fail(error))
    this.#worker.on('messageerror', error => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new Error('a thread that checks has ended')))
  }

  tell(told: Told): void {
    if (told.kind === 'page') this.#underWay++
    this.#worker.postMessage(told)
  }

  async room(): Promise<void> {
    while (this.#underWay >= pagesUnderWay && this.#failed === null)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    if (this.#failed !== null) throw this.#failed
  }

  found(id: number): Promise<Findings> {
    return new Promise((resolve, reject) => {
      if (this.#failed !== null) return reject(this.#failed)
      this.#answers.set(id, { resolve, reject })
      this.tell({ id, kind: 'end' })
    })
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #fail(error: Error): void {
    this.#failed ??= error
    for (const { reject } of this.#answers.values()) reject(this.#failed)
    this.#answers.clear()
    this.#goOn()
  }

  /** Each who waits for room looks again. */
  #goOn(): void {
    for (const goOn of this.#waiting.splice(0)) goOn()
  }
}

const worthThread = 50_000 // commits: fewer are checked before the thread has started

/** Checks in this thread until there is more to do. */
export const checkers = (): Checkers => {
  let links: Thread | null = null
  let closed = false
  let [documents, commits] = [0, 0]
  const apart = (links: Thread, about: About, checkpoint: Checkpoint | null): Checking => {
    const id = documents++
    const text = textCheck(about, checkpoint)
    links.tell({ id, kind: 'begin', about })
    return {
      async take(page) {
        for (const part of partsOf(page)) {
          links.tell({ id, kind: 'page', page: part })
          text.take(part)
          await links.room()
        }
      },
      gap(...gap) {
        links.tell({ id, kind: 'gap', gap })
        text.gap(...gap)
      },
      end: async () => together(await links.found(id), text.end()),
    }
  }
  return {
    begin(about, checkpoint) {
      if (closed) throw new Error('nothing is checked any more')
      commits += about.version - about.floor.version
      if (links === null && commits >= worthThread && existsSync(program)) links = new Thread()
      return links === null ? here(about, checkpoint) : apart(links, about, checkpoint)
    },
    async close() {
      closed = true
      await links?.close()
    },
  }
}

/** Pages of such a length that some of them under way take no more memory than they should. */
function* partsOf(page: Page): Generator<Page> {
  if (page.bodies.bytes.length < longestPage) return yield page
  let first = 0
  for (let i = 1; i <= countOf(page); i++) {
    const start = startOf(page.bodies, first)
    if (i < countOf(page) && page.bodies.ends[i]! - start < longestPage) continue
    yield pageOf(Array.from({ length: i - first }, (_, k) => entryAt(page, first + k)))
    first = i
  }
}

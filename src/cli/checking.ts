// The two checks of a document: both in this thread or, where there is much to check, the replay in one of its own.
// Invariant: both ways find the same. Whoever reads waits for whoever checks, so that some pages are in memory and not a history.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { About, Checkpoint, Entry } from '../engine/ports.ts'
import { type Check, type Findings, LinkCheck, TextCheck, together } from '../engine/verification.ts'
import { servedText } from '../ot/served.ts'
import type { Version } from '../protocol/ids.ts'
import { link } from '../stores/chain.ts'
import { type Page, pageOf } from './page.ts'

/** One document’s. */
export interface Checking {
  /** Resolves when more may come. */
  take(entries: readonly Entry[]): Promise<void>
  gap(from: Version, to: Version, why: string): void
  end(): Promise<Findings>
}

export interface Checkers {
  begin(about: About, checkpoint: Checkpoint | null): Checking
  close(): Promise<void>
}

export const textCheck = (about: About, checkpoint: Checkpoint | null): Check => new TextCheck([servedText], about, checkpoint)

/** What the thread is told; it says when it has been through a page, and what it found. `id` numbers the documents. */
export type Told =
  | { readonly id: number; readonly kind: 'begin'; readonly about: About; readonly checkpoint: Checkpoint | null }
  | { readonly id: number; readonly kind: 'page'; readonly page: Page }
  | { readonly id: number; readonly kind: 'gap'; readonly gap: readonly [Version, Version, string] }
  | { readonly id: number; readonly kind: 'end' }
export type Answer = { readonly kind: 'taken' } | { readonly kind: 'found'; readonly id: number; readonly findings: Findings }

const here = (about: About, checkpoint: Checkpoint | null): Checking => {
  const [links, text] = [new LinkCheck(about, link), textCheck(about, checkpoint)]
  return {
    async take(entries) {
      links.take(entries)
      text.take(entries)
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
const young = 192 // MiB for what does not live long: what a replay holds of a history would be copied again and again in less
const pagesUnderWay = 4
const longestPage = 16_777_216 // characters of bodies: entries may be a megabyte each

class Thread {
  readonly #worker: Worker
  readonly #answers = new Map<number, { resolve(found: Findings): void; reject(error: Error): void }>()
  #underWay = 0
  readonly #waiting: (() => void)[] = []
  #failed: Error | null = null

  constructor() {
    this.#worker = new Worker(program, { resourceLimits: { maxYoungGenerationSizeMb: young } })
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

const worthThread = 50_000 // commits: fewer are checked before a thread has started

/** Checks in this thread until there is more to do. */
export const checkers = (): Checkers => {
  let thread: Thread | null = null
  let closed = false
  let [documents, commits] = [0, 0]
  const apart = (thread: Thread, about: About, checkpoint: Checkpoint | null): Checking => {
    const id = documents++
    const links = new LinkCheck(about, link)
    thread.tell({ id, kind: 'begin', about, checkpoint })
    return {
      async take(entries) {
        for (const part of partsOf(entries)) {
          thread.tell({ id, kind: 'page', page: pageOf(part) })
          links.take(part)
          await thread.room()
        }
      },
      gap(...gap) {
        links.gap(...gap)
        thread.tell({ id, kind: 'gap', gap })
      },
      end: async () => together(links.end(), await thread.found(id)),
    }
  }
  return {
    begin(about, checkpoint) {
      if (closed) throw new Error('nothing is checked any more')
      commits += about.version - about.floor.version
      if (thread === null && commits >= worthThread && existsSync(program)) thread = new Thread()
      return thread === null ? here(about, checkpoint) : apart(thread, about, checkpoint)
    },
    async close() {
      closed = true
      await thread?.close()
    },
  }
}

function* partsOf(entries: readonly Entry[]): Generator<readonly Entry[]> {
  let [first, length] = [0, 0]
  for (const [i, { body }] of entries.entries()) {
    length += body.length
    if (length < longestPage && i < entries.length - 1) continue
    yield first === 0 && i === entries.length - 1 ? entries : entries.slice(first, i + 1)
    first = i + 1
    length = 0
  }
}

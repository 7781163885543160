// A browser with several tabs over one storage, seeded: tabs open, type, are closed and crash, while lines and the storage fail.
// Invariant: the same seed does the same; at the end every character of which its writer was told that it is kept, or whose tab did
// not crash, is in the text once, was deleted, or was handed back in a draft, and no character is in the text twice.

import { vi } from 'vitest'
import type { Clock } from '../../src/client/clock.ts'
import type { TextDocument } from '../../src/client/index.ts'
import type { Box, Records } from '../../src/client/storage.ts'
import type { AuthorId, DocId } from '../../src/protocol/ids.ts'
import { HandDisk, HandStorage } from '../client/disk.ts'
import { type HandPage, HandWorld } from '../client/hand.ts'

export interface TabsOptions {
  readonly seed: number
  readonly steps: number
  readonly trace?: (line: string) => void
}

/** How often what has happened. */
export type Counts = Readonly<Record<string, number>>

export const simulateTabs = (options: TabsOptions): Promise<Counts> => new Browser(options).run()

/** What broke; its message begins with the seed, so that it can be run again. */
class Broken extends Error {}

const documents = ['novel', 'letter'] as const

/** Milliseconds after which what was typed is on a storage that is well. */
const keptWithin = 100

/** What a tab sees of the storage; the browser may not let it in. */
class TabStorage extends HandStorage {
  denied = false

  override async boxes(): Promise<readonly string[]> {
    this.knock()
    return super.boxes()
  }

  override async read(box: string, prefix: string): Promise<Records> {
    this.knock()
    return super.read(box, prefix)
  }

  override async hold(name: string, within?: number): Promise<Box | null> {
    this.knock()
    return super.hold(name, within)
  }

  private knock(): void {
    if (this.denied) throw new Error('SecurityError: access is denied')
  }
}

class TabDisk extends HandDisk {
  denies = false

  override storage(clock: Clock): TabStorage {
    const storage = new TabStorage(this, clock)
    storage.denied = this.denies
    return storage
  }
}

interface Tab {
  readonly name: string
  readonly page: HandPage
  readonly storage: TabStorage
  readonly open: Map<string, TextDocument>
  readonly opening: Set<string>
  state: 'alive' | 'closing' | 'closed' | 'crashed'
  /** Its storage has been well since it opened. */
  healthy: boolean
  /** It has not been told, before it had anything, that nothing can be kept: it has a box. */
  keeps: boolean
  isCut: boolean
}

interface Typed {
  readonly by: Tab
  readonly id: string
  readonly doc: TextDocument
  readonly at: number
  kept: boolean
  deleted: boolean
}

class Browser {
  private readonly options: TabsOptions
  private readonly disk = new TabDisk()
  private readonly world = new HandWorld()
  private readonly tabs: Tab[] = []
  private readonly typed = new Map<string, Typed>()
  private readonly drafted = new Set<string>()
  private readonly counts: Record<string, number> = {}
  private readonly arriving: { readonly at: number; arrive(): void }[] = []
  private focus: Tab | null = null
  private state: number
  private nextChar = 0x100

  constructor(options: TabsOptions) {
    this.options = options
    this.state = Math.imul(options.seed, 2_654_435_761) >>> 0 || 1
  }

  async run(): Promise<Counts> {
    // Keys and names of boxes are chance of the machine; here they are of the seed.
    const bytes = vi.spyOn(crypto, 'getRandomValues').mockImplementation(array => {
      const view = array as unknown as Uint8Array
      for (let i = 0; i < view.length; i++) view[i] = this.int(256)
      return array
    })
    const random = vi.spyOn(Math, 'random').mockImplementation(() => this.random())
    try {
      await this.openTab()
      for (let i = 0; i < this.options.steps; i++) await this.move()
      await this.calmDown()
      await this.check()
      return this.counts
    } finally {
      bytes.mockRestore()
      random.mockRestore()
      await this.world.close()
    }
  }

  // ---- chance

  private random(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  private int(below: number): number {
    return Math.floor(this.random() * below)
  }

  private chance(p: number): boolean {
    return this.random() < p
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.int(from.length)]!
  }

  private did(what: string, more = ''): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
    this.options.trace?.(`${this.world.clock.now()} ${what} ${more}`)
  }

  private broken(what: string): Broken {
    return new Broken(`SEED=${this.options.seed}: ${what}`)
  }

  // ---- moves

  private get alive(): Tab[] {
    return this.tabs.filter(({ state }) => state === 'alive')
  }

  private async move(): Promise<void> {
    const { alive } = this
    if (alive.length === 0) await this.openTab()
    else {
      // Misfortunes seldom come singly: the same tab again, as a rule.
      if (this.focus?.state !== 'alive' || this.chance(0.2)) this.focus = this.pick(alive)
      const tab = this.focus
      const n = this.int(100)
      if (n < 47) this.type(tab)
      else if (n < 50) await this.unluckyReturn(tab)
      else if (n < 58) this.delete(tab)
      else if (n < 64) this.openDocument(tab, this.pick(documents))
      else if (n < 69 && alive.length < 4) await this.openTab()
      else if (n < 75) this.crash(tab)
      else if (n < 77) this.closeTab(tab)
      else if (n < 79) this.closeDocument(tab)
      else if (n < 88) this.changeLine(tab)
      else this.changeStorage(tab)
    }
    await this.pass(this.chance(0.06) ? this.int(12_000) : this.int(200))
  }

  /** Lets time pass, and everything come of it. */
  private async pass(ms: number): Promise<void> {
    await this.world.calm()
    for (let left = ms; left > 0; left -= 1_000) {
      this.world.clock.pass(Math.min(left, 1_000))
      await this.world.calm()
    }
    const now = this.world.clock.now()
    for (const late of this.arriving.filter(({ at }) => at <= now)) {
      this.arriving.splice(this.arriving.indexOf(late), 1)
      late.arrive()
    }
    await this.world.calm()
    this.look()
  }

  /** What the tabs tell their writers just now. */
  private look(): void {
    const authors = new Set<AuthorId>()
    for (const tab of this.alive) {
      const mine = new Set([...tab.open.values()].flatMap(({ author }) => author ?? []))
      for (const author of mine) {
        if (authors.has(author)) throw this.broken(`[R12] two tabs write as ${author}`)
        authors.add(author)
      }
    }
    for (const typed of this.typed.values()) {
      if (typed.kept || typed.by.state !== 'alive') continue
      typed.kept = typed.doc.kept && typed.by.open.get(typed.id) === typed.doc
    }
  }

  private async openTab(online = this.chance(0.75), denied = online && this.chance(0.06)): Promise<Tab> {
    this.disk.denies = denied
    const page = this.world.page(this.disk, online)
    const storage = page.storage as TabStorage
    const name = `tab${this.tabs.length}`
    const tab: Tab = {
      name,
      page,
      storage,
      open: new Map(),
      opening: new Set(),
      state: 'alive',
      healthy: !storage.denied,
      keeps: !storage.denied,
      isCut: !online,
    }
    page.client.on('error', ({ code }) => {
      this.did('error', `${name} ${code}`)
      if (code === 'storage-failed' && tab.open.size === 0) tab.keeps = false
    })
    page.client.on('drafts', drafts => {
      for (const { text } of drafts) this.handedBack(text)
    })
    this.tabs.push(tab)
    this.did(storage.denied ? 'denied' : online ? 'opened' : 'opened offline', name)
    this.openDocument(tab, this.pick(documents))
    await this.pass(this.int(1_500))
    return tab
  }

  private openDocument(tab: Tab, id: string): void {
    if (tab.open.has(id) || tab.opening.has(id)) return
    tab.opening.add(id)
    tab.page.client.open(id).then(
      doc => {
        tab.opening.delete(id)
        tab.open.set(id, doc)
        doc.on('draft', ({ text }) => this.handedBack(text))
        doc.on('status', status => {
          if (status === 'closed' && tab.open.get(id) === doc) tab.open.delete(id)
        })
        this.did('document', `${tab.name} ${id} ${doc.status} "${doc.text}"`)
      },
      error => {
        tab.opening.delete(id)
        this.did('not opened', `${tab.name} ${id} ${error}`)
      },
    )
  }

  private handedBack(text: string): void {
    if (text !== '') this.did('draft', text)
    for (const char of text) this.drafted.add(char)
  }

  private type(tab: Tab): void {
    if (tab.open.size === 0) return
    const [id, doc] = this.pick([...tab.open])
    let text = ''
    for (let i = 1 + this.int(4); i > 0; i--) text += String.fromCharCode(this.nextChar++)
    for (const char of text) this.typed.set(char, { by: tab, id, doc, at: this.world.clock.now(), kept: false, deleted: false })
    doc.insert(this.int(doc.length + 1), text)
    this.did('typed', `${tab.name} ${id} ${text}`)
  }

  private delete(tab: Tab): void {
    if (tab.open.size === 0) return
    const [id, doc] = this.pick([...tab.open])
    if (doc.length === 0) return
    const from = this.int(doc.length)
    const to = Math.min(doc.length, from + 1 + this.int(3))
    for (const char of doc.text.slice(from, to)) this.typed.get(char)!.deleted = true
    this.did('deleted', `${tab.name} ${id} ${doc.text.slice(from, to)}`)
    doc.delete(from, to)
  }

  /**
   * What a tab types while its storage begins to fail leaves, if it may, just before the tab crashes, and arrives when another tab has
   * taken its place: that one must not give the same numbers to other edits.
   */
  private async unluckyReturn(tab: Tab): Promise<void> {
    this.did('unlucky return', tab.name)
    if (this.chance(0.5)) {
      if (!tab.isCut) this.cut(tab)
      this.type(tab)
      await this.pass(this.int(200))
    }
    if (tab.isCut) this.raise(tab)
    await this.pass(500 + this.int(500))
    this.changeStorage(tab, this.int(2))
    for (const line of tab.page.lines) line.holdUp = true
    for (let i = 1 + this.int(2); i > 0; i--) this.type(tab)
    await this.pass(this.chance(0.3) ? this.int(7_000) : this.int(100))
    const documents = [...tab.open.keys()]
    this.crash(tab, 3_000)
    const next = await this.openTab(true, false)
    for (const id of documents) this.openDocument(next, id)
    await this.pass(this.int(200))
    for (const line of next.page.lines) line.holdDown = true
    await this.pass(this.int(3_000))
    this.type(next)
    this.focus = next
  }

  /** What is on its way arrives up to `late` milliseconds later. */
  private crash(tab: Tab, late = this.chance(0.3) ? 3_000 : 0): void {
    const lost = [...this.typed].filter(([, { by, kept }]) => by === tab && !kept)
    const now = this.world.clock.now()
    if (tab.healthy && tab.open.size > 0) {
      const late = lost.filter(([, { at, id, doc }]) => at + keptWithin < now && tab.open.get(id) === doc)
      if (late.length > 0) throw this.broken(`[P3] ${late[0]![0]} is not kept ${now - late[0]![1].at} ms after it was typed`)
    }
    tab.state = 'crashed'
    const arrive = tab.page.dieSpeaking()
    for (const line of tab.page.lines) {
      line.holdDown = true
      line.holdUp = true
      line.send = () => {}
    }
    if (late > 0) this.arriving.push({ at: now + this.int(late), arrive })
    else arrive()
    this.did('crashed', `${tab.name}, not kept: ${lost.map(([char]) => char).join('')}`)
  }

  private closeTab(tab: Tab): void {
    tab.state = 'closing'
    this.did('closing', tab.name)
    void tab.page.client.close().then(() => {
      if (tab.state === 'closing') tab.state = 'closed'
      this.did('closed', tab.name)
    })
  }

  private closeDocument(tab: Tab): void {
    if (tab.open.size === 0) return
    const [id, doc] = this.pick([...tab.open])
    tab.open.delete(id)
    this.did('document closed', `${tab.name} ${id} ${doc.status}`)
    void doc.close()
  }

  private raise(tab: Tab): void {
    tab.isCut = false
    this.did('line up', tab.name)
    void tab.page.rise()
  }

  private cut(tab: Tab): void {
    const lines = tab.page.lines.filter(({ closed }) => !closed)
    if (!lines.every(({ open }) => open)) return // it is just saying hello
    for (const line of lines) {
      line.holdUp = false
      line.holdDown = false
      if (this.chance(0.5)) line.flushUp()
    }
    tab.page.cut()
    tab.isCut = true
    this.did('line cut', tab.name)
  }

  private changeLine(tab: Tab): void {
    if (tab.isCut) return this.raise(tab)
    const n = this.int(4)
    if (n < 2) return this.cut(tab)
    for (const line of tab.page.lines.filter(({ closed }) => !closed)) {
      if (n === 2) line.holdUp = !line.holdUp
      else line.holdDown = !line.holdDown
      if (!line.holdUp) line.flushUp()
      if (!line.holdDown) line.flushDown()
    }
    this.did('line slow', tab.name)
  }

  private changeStorage(tab: Tab, to = this.int(6)): void {
    const { name, storage } = tab
    if (to >= 3) {
      storage.full = 'no'
      storage.held = false
      storage.commit()
      return this.did('storage well', name)
    }
    tab.healthy = false
    if (to === 0) {
      storage.full = this.chance(0.5) ? 'growing' : 'all'
      this.did('storage full', `${name} ${storage.full}`)
    } else if (!storage.held) {
      storage.held = true
      this.did('storage slow', name)
    } else {
      storage.commit(1 + this.int(2))
      this.did('storage wrote', name)
    }
  }

  // ---- the end

  private async calmDown(): Promise<void> {
    this.did('calm')
    for (const { arrive } of this.arriving.splice(0)) arrive()
    const present = this.tabs.filter(({ state }) => state === 'alive' || state === 'closing')
    for (const tab of present) {
      this.changeStorage(tab, 5)
      for (const line of tab.page.lines) {
        line.holdUp = false
        line.holdDown = false
        line.flushUp()
        line.flushDown()
      }
      if (tab.isCut) void tab.page.rise()
      tab.isCut = false
    }
    // What the dead have left must come home also where nobody comes anew, and no line breaks, if there is a tab that has a box.
    if (this.chance(0.5) || this.alive.every(({ keeps }) => !keeps)) {
      const fresh = await this.openTab(true, false)
      for (const id of documents) this.openDocument(fresh, id)
    }
    await this.pass(100_000)
  }

  private async check(): Promise<void> {
    const { client } = this.world.client('reader')
    const texts = new Map<string, string>()
    for (const id of documents) {
      const opening = client.open(id)
      await this.pass(100)
      const text = (await opening).text
      texts.set(id, text)
      for (const tab of this.alive) {
        const doc = tab.open.get(id)
        if (doc !== undefined && doc.text !== text) throw this.broken(`[P1] ${tab.name} shows "${doc.text}", not "${text}"`)
        if (doc !== undefined && doc.status !== 'saved') throw this.broken(`[P3] ${id} in ${tab.name} is ${doc.status} at last`)
      }
      const seen = new Set<string>()
      for (const { author, seq } of await this.world.store.log.entries(id as DocId, 0, 1_000_000)) {
        const name = `${author} ${seq}`
        if (seen.has(name)) throw this.broken(`[P2] ${name} is twice in the log of ${id}`)
        seen.add(name)
      }
    }
    for (const [char, typed] of this.typed) {
      const times = texts.get(typed.id)!.split(char).length - 1
      if (times > 1) throw this.broken(`[P2] ${char} is ${times} times in ${typed.id}`)
      if (times === 1 || typed.deleted || this.drafted.has(char)) continue
      if (typed.kept) throw this.broken(`[P3] ${char}, kept by ${typed.by.name} in ${typed.id}, is lost`)
      if (typed.by.state !== 'crashed') throw this.broken(`[P3] ${char}, typed in ${typed.by.name} (${typed.by.state}), is lost`)
      this.counts['lost with its tab'] = (this.counts['lost with its tab'] ?? 0) + 1
    }
    const closing = this.tabs.find(({ state }) => state === 'closing')
    if (closing !== undefined) throw this.broken(`${closing.name} does not end`)
    for (const name of this.disk.boxes.keys()) {
      if (!this.disk.holders.has(name)) throw this.broken(`[P3] the box ${name} is nobody's, and not brought home`)
    }
  }
}

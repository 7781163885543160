// Many writers, several nodes, one Redis and a proxy on every line, through faults from a seed; then everything must be as if nothing
// had been.
// Invariant: whatever is found wrong is told together, with the seed and what was done; whatever was started is ended.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type Chance, seeded } from '../../src/testing/index.ts'
import { Balancer } from '../balancer.ts'
import { RedisServer } from '../redis.ts'
import { allKinds, befall, type Kind, type Stage, scheduleOf } from './faults.ts'
import { Alphabet, Ledger } from './ledger.ts'
import { type Faults, LogBook, type Replay, replay } from './log-book.ts'
import { Site } from './site.ts'
import { type Desk, type Pen, Writer } from './writer.ts'

export interface ChaosOptions {
  readonly seed: number
  /** Of faults; before and after it takes about a minute more. */
  readonly seconds: number
  readonly writers?: number
  readonly documents?: number
  readonly nodes?: number
  /** Seconds from one fault to the next, on average. */
  readonly pause?: number
  readonly say?: (line: string) => void
}

export interface Outcome {
  /** How often each fault has befallen somebody, and what writers and nodes have told. */
  readonly counts: Readonly<Record<string, number>>
  readonly commits: number
  readonly typed: number
  readonly promised: number
}

/** What was found wrong; the seed and the schedule are in the message. */
class Broken extends Error {}

export const chaos = (options: ChaosOptions): Promise<Outcome> => new Chaos(options).run()

const root = join(import.meta.dirname, '..', '..')
const patience = 240_000 // ms; only a hang takes so long

class Chaos {
  readonly #options: Required<ChaosOptions>
  readonly #chance: Chance
  readonly #folder: string
  readonly #docs: readonly string[]
  readonly #faults: Faults = []
  readonly #counts: Record<string, number> = {}
  readonly #told: string[] = []
  readonly #begun = performance.now()
  readonly #ends: (() => unknown)[] = []
  readonly #sites: Site[] = []
  readonly #writers: Writer[] = []
  readonly #ledgers: ReadonlyMap<string, Ledger>
  readonly #desk: Desk
  #redis!: RedisServer
  #balancer!: Balancer
  #book!: LogBook
  #redisFree: Promise<void> = Promise.resolve()
  readonly #free = new Map<Site, Promise<void>>()
  #hired = 0
  #typing = false

  constructor(options: ChaosOptions) {
    this.#options = { writers: 30, documents: 5, nodes: 3, pause: 4, say: () => {}, ...options }
    this.#chance = seeded(options.seed)
    this.#folder = join(root, 'test-artefacts', 'chaos', String(options.seed))
    this.#docs = Array.from({ length: this.#options.documents }, (_, i) => `chaos-${i}`)
    this.#ledgers = new Map(this.#docs.map(doc => [doc, new Ledger(doc)]))
    this.#desk = {
      alphabet: new Alphabet(),
      ledgers: this.#ledgers,
      faults: this.#faults,
      lossless: this.#fsync === 'always',
      count: what => this.#count(what),
    }
  }

  /** Two seeds in three leave it to the second; with `always` nothing can be lost that was answered. */
  get #fsync(): 'always' | 'everysec' {
    return this.#options.seed % 3 === 2 ? 'always' : 'everysec'
  }

  async run(): Promise<Outcome> {
    rmSync(this.#folder, { recursive: true, force: true })
    mkdirSync(this.#folder, { recursive: true })
    let outcome: Outcome | null = null
    try {
      await this.#start()
      const base = await this.#warmUp()
      await this.#storm()
      outcome = await this.#calm()
      await this.#empty(base)
    } catch (error) {
      this.#faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
    } finally {
      for (const site of this.#sites) site.judge()
      this.#writeDown()
      for (const end of this.#ends.reverse()) await end()
    }
    if (this.#faults.length === 0 && outcome !== null) return outcome
    const plan = scheduleOf(this.#options.seed, this.#options.seconds, this.#options.pause).map(
      ({ at, kind }) => `  ${at} s: ${kind}`,
    )
    const found = this.#faults.slice(0, 20).map(fault => `  - ${fault}`)
    throw new Broken(
      [
        `seed ${this.#options.seed}: ${this.#faults.length} found wrong (npm run chaos -- --seed ${this.#options.seed} --seconds ${this.#options.seconds})`,
        ...found,
        `logs: ${this.#folder}`,
        'schedule:',
        ...plan,
      ].join('\n'),
    )
  }

  // ---- the stage

  async #start(): Promise<void> {
    const { seed, nodes } = this.#options
    this.#redis = await RedisServer.start({
      settings: [
        ...['--appendonly', 'yes', '--appendfsync', this.#fsync, '--auto-aof-rewrite-percentage', '0'],
        ...['--logfile', join(this.#folder, 'redis.log')],
      ],
    })
    this.#ends.push(() => this.#redis.discard())
    this.#book = new LogBook(this.#redis, this.#docs)
    const limits = {
      recentTime: 0,
      recentCommits: [60, 15, 200][Math.floor(seed / 3) % 3],
      checkpointCommits: [20, 80][seed % 2],
      idleDocument: 2_000,
      beat: 3_000,
    }
    const names = Array.from({ length: nodes }, (_, i) => `node ${i}`)
    await Promise.all(
      names.map(async name => {
        const site = await Site.start(name, { redis: this.#redis, faults: this.#faults, limits })
        this.#ends.push(() => site.discard())
        this.#sites.push(site)
      }),
    )
    this.#sites.sort((a, b) => (a.name < b.name ? -1 : 1))
    this.#balancer = await Balancer.over(() => this.#sites.filter(({ up }) => up).map(({ node }) => node.port))
    this.#ends.push(() => this.#balancer.discard())
    this.#say(`seed ${seed}, appendfsync ${this.#fsync}, logs in ${this.#folder}`)
  }

  #say(what: string): void {
    const line = `${((performance.now() - this.#begun) / 1_000).toFixed(1).padStart(6)} s  ${what}`
    this.#told.push(line)
    this.#options.say(line)
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1
  }

  async #hire(): Promise<Writer> {
    const chance = seeded(this.#chance.int(2 ** 31))
    const writer = new Writer(`writer ${this.#hired++}`, this.#balancer.url, this.#desk, () => chance.next())
    const first = this.#hired % this.#docs.length
    await writer.open(this.#docs[first]!)
    if (chance.chance(0.2)) await writer.open(this.#docs[(first + 1) % this.#docs.length]!)
    this.#writers.push(writer)
    void this.#type(writer, chance)
    return writer
  }

  /** Types as long as the writer is there. */
  async #type(writer: Writer, chance: Chance): Promise<void> {
    while (this.#writers.includes(writer)) {
      await sleep(400 + chance.int(1_600))
      const pens = [...writer.pens.values()]
      if (!this.#typing || pens.length === 0) continue
      const pen = chance.pick(pens)
      try {
        pen.edit(chance)
      } catch (error) {
        this.#faults.push(`${writer.name} cannot edit ${pen.doc.id} (${pen.status}): ${(error as Error).stack}`)
        return
      }
    }
  }

  async #dismiss(writer: Writer): Promise<void> {
    this.#writers.splice(this.#writers.indexOf(writer), 1)
    await writer.leave()
  }

  // ---- the story

  /** Everything has been used once, and everybody has left again: what the nodes then hold is the base. */
  async #warmUp(): Promise<ReadonlyMap<Site, number>> {
    await Promise.all(Array.from({ length: this.#options.writers }, () => this.#hire()))
    this.#typing = true
    await sleep(3_000)
    this.#typing = false
    await Promise.all([...this.#writers].map(writer => this.#dismiss(writer)))
    await this.#deserted()
    const base = new Map<Site, number>()
    for (const site of this.#sites) base.set(site, (await site.inside()).heapUsed)
    return base
  }

  async #storm(): Promise<void> {
    const { seed, seconds, writers, pause } = this.#options
    await Promise.all(Array.from({ length: writers }, () => this.#hire()))
    this.#typing = true
    let reading = true
    const reader = (async () => {
      while (reading) {
        await this.#book.read().catch(() => {}) // Redis is away
        await sleep(500)
      }
    })()
    const stage: Stage = {
      redis: this.#redis,
      sites: this.#sites,
      balancer: this.#balancer,
      writers: this.#writers,
      thrownOut: () => this.#thrownOut(),
      with: (site, use) => this.#with(site, use),
      withRedis: use => this.#withRedis(use),
      relieve: chance => this.#relieve(chance),
      say: what => this.#say(`  ${what}`),
      met: kind => this.#count(kind),
    }
    const began = performance.now()
    const underWay: Promise<void>[] = []
    for (const planned of scheduleOf(seed, seconds, pause)) {
      await sleep(Math.max(0, planned.at * 1_000 - (performance.now() - began)))
      this.#say(planned.kind)
      const done = befall(planned, stage).catch(error => {
        this.#faults.push(`${planned.kind}: ${error instanceof Error ? error.stack : error}`)
      })
      underWay.push(done)
    }
    await sleep(Math.max(0, seconds * 1_000 - (performance.now() - began)))
    await Promise.all(underWay)
    await this.#makeUp(stage)
    this.#say('the faults are over')
    this.#typing = false
    reading = false
    await reader
  }

  /** On a slow machine a fault may have found nobody whom it could befall: then it comes again when people are there. */
  async #makeUp(stage: Stage): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt++) {
      for (const kind of allKinds.filter(kind => this.#lacks(kind))) {
        await this.#until('a crowd', () => {
          const pens = this.#pens()
          const there = pens.filter(({ pen }) => pen.status !== 'offline').length
          return there * 2 > pens.length ? null : `${there} of ${pens.length} are there`
        })
        this.#say(`once more: ${kind}`)
        await befall({ at: 0, kind, seed: this.#chance.int(2 ** 31) }, stage)
      }
    }
  }

  #lacks(kind: Kind): boolean {
    // With `always` a tail that may be lost holds nothing.
    if (kind === 'Redis loses its tail' && this.#fsync === 'always') return false
    return (this.#counts[kind] ?? 0) === 0
  }

  #thrownOut(): number {
    const path = join(this.#folder, 'redis.log')
    return existsSync(path) ? readFileSync(path, 'utf8').split('overcoming of output buffer limits').length - 1 : 0
  }

  #with(site: Site, use: () => Promise<void>): Promise<void> {
    this.#say(`  ${site.name}`)
    const done = (this.#free.get(site) ?? Promise.resolve()).then(use)
    this.#free.set(
      site,
      done.catch(() => {}),
    )
    return done
  }

  #withRedis(use: () => Promise<void>): Promise<void> {
    const done = this.#redisFree.then(use)
    this.#redisFree = done.catch(() => {})
    return done
  }

  async #relieve(chance: Chance): Promise<void> {
    const writer = chance.pick(this.#writers)
    const gone = this.#dismiss(writer)
    await Promise.all([gone, this.#hire()])
  }

  // ---- afterwards

  /** Waits until `is` holds; what it answers otherwise is told when it never does. */
  async #until(what: string, is: () => Promise<string | null> | string | null): Promise<void> {
    const began = performance.now()
    let why: string | null = null
    while ((why = await is()) !== null) {
      if (performance.now() - began > patience) throw new Error(`${what} never came: ${why}`)
      await sleep(100)
    }
    this.#say(`${what} after ${((performance.now() - began) / 1_000).toFixed(1)} s`)
  }

  #pens(): readonly { readonly writer: Writer; readonly pen: Pen; readonly doc: string }[] {
    return this.#writers.flatMap(writer => [...writer.pens].map(([doc, pen]) => ({ writer, pen, doc })))
  }

  async #calm(): Promise<Outcome> {
    await this.#until('rest', () => {
      const restless = this.#pens().filter(({ pen }) => pen.status !== 'saved')
      return restless.length === 0
        ? null
        : restless.map(({ writer, pen, doc }) => `${writer.name} ${doc} ${pen.status}`).join(', ')
    })
    const heads = new Map<string, { version: number; chain: never }>()
    await this.#until('one version everywhere', async () => {
      for (const doc of this.#docs) {
        const { version, chain, durable } = await this.#book.head(doc)
        heads.set(doc, { version, chain: chain as never })
        if (durable < version && this.#fsync === 'everysec') return `${doc}: ${durable} of ${version} is durable`
      }
      const behind = this.#pens().filter(({ pen, doc }) => pen.doc.version !== heads.get(doc)!.version)
      return behind.length === 0
        ? null
        : behind
            .map(({ writer, pen, doc }) => `${writer.name} ${doc} ${pen.doc.version} of ${heads.get(doc)!.version}`)
            .join(', ')
    })
    await this.#book.read()
    const replays = new Map<string, Replay>()
    for (const doc of this.#docs) {
      const replayed = replay(this.#book.history(doc, heads.get(doc)!, this.#faults))
      replays.set(doc, replayed)
      this.#ledgers.get(doc)!.judge(replayed, this.#faults)
    }
    for (const { writer, pen, doc } of this.#pens()) this.#same(`${writer.name}`, doc, pen, replays.get(doc)!.text)
    await this.#everybodySeesEverybody('presence')
    await this.#onEveryNode(replays)
    await this.#aNodeDies()
    for (const kind of allKinds)
      if (this.#lacks(kind)) this.#faults.push(`it never came about that ${kind}: the search proves nothing`)
    const logged = (what: string): number => this.#sites.flatMap(({ log }) => log).filter(({ msg }) => msg === what).length
    for (const what of ['gap', 'resynced']) this.#counts[what] = logged(what)
    const reoffers = this.#sites.flatMap(({ log }) => log).filter(line => Number(line.reoffered) > 0)
    this.#counts['re-offer'] = reoffers.length
    const commits = [...heads.values()].reduce((sum, { version }) => sum + version, 0)
    const ledgers = [...this.#ledgers.values()]
    return {
      counts: this.#counts,
      commits,
      typed: ledgers.reduce((sum, { typed }) => sum + typed, 0),
      promised: ledgers.reduce((sum, { promised }) => sum + promised, 0),
    }
  }

  #same(who: string, doc: string, pen: Pen, text: string): void {
    if (pen.doc.text !== text)
      this.#faults.push(`${doc} of ${who} differs from the replay of the log: ${difference(pen.doc.text, text)}`)
    if (pen.seen !== pen.doc.text) this.#faults.push(`${who} was not told of every change of ${doc}`)
  }

  /** Newcomers at every node, and its pages, show the same, and so do the lists of who is here. */
  async #onEveryNode(replays: ReadonlyMap<string, Replay>): Promise<void> {
    for (const site of this.#sites) {
      for (const doc of this.#docs) {
        const answer = await fetch(`${site.node.url}/v1/documents/${doc}`)
        const { text } = (await answer.json()) as { text?: string }
        if (text !== replays.get(doc)!.text)
          this.#faults.push(`${doc} at ${site.name} differs from the replay of the log (${answer.status})`)
      }
      const newcomer = new Writer(`newcomer at ${site.name}`, site.node.url, this.#desk)
      this.#writers.push(newcomer)
      for (const doc of this.#docs) this.#same(newcomer.name, doc, await newcomer.open(doc), replays.get(doc)!.text)
    }
    await this.#everybodySeesEverybody('presence with newcomers')
  }

  async #everybodySeesEverybody(what: string): Promise<void> {
    await this.#until(what, () => this.#sights((shown, others) => isDeepStrictEqual(shown, others)))
  }

  /** Whether each list of who is here is as it should be, given those who have the document open on a line; if not, one that is not. */
  #sights(right: (shown: readonly string[], others: readonly string[]) => boolean): string | null {
    const online = this.#pens().filter(({ pen }) => pen.status !== 'offline')
    for (const { writer, pen, doc } of online) {
      const others = online.filter(other => other.doc === doc && other.pen !== pen).map(({ pen }) => String(pen.doc.author))
      const shown = pen.doc.presence.peers.map(({ author }) => String(author))
      if (!right(shown.sort(), others.sort()))
        return `${writer.name} sees ${shown.length} others in ${doc}, where there are ${others.length}: ${shown} and not ${others}`
    }
    return null
  }

  /** The people of a node that dies are gone everywhere, and come back through the others. */
  async #aNodeDies(): Promise<void> {
    const site = this.#chance.pick(this.#sites)
    site.goes()
    await site.node.kill()
    const newcomer = this.#writers.find(({ name }) => name === `newcomer at ${site.name}`)!
    this.#writers.splice(this.#writers.indexOf(newcomer), 1)
    await newcomer.quit()
    await this.#until('a list without the dead', () =>
      this.#sights((shown, others) => {
        const left = [...others]
        return shown.every(author => left.includes(author) && left.splice(left.indexOf(author), 1))
      }),
    )
    await this.#until('everybody back', () =>
      this.#pens().every(({ pen }) => pen.status === 'saved') ? null : 'some are still offline',
    )
    await this.#everybodySeesEverybody('presence without the dead')
    await site.comes()
  }

  /** Nobody is connected, and nodes hold no document. */
  async #deserted(): Promise<void> {
    await this.#until('an empty house', async () => {
      for (const site of this.#sites) {
        const { documents, connections, joined } = await site.inside()
        if (documents + connections + joined > 0)
          return `${site.name} has ${documents} documents, ${connections} connections, ${joined} members`
      }
      return null
    })
    await this.#until('an empty list in Redis', async () => {
      const left = await this.#redis.do(redis => Promise.all(this.#docs.map(doc => redis.hlen(`inkwell:{${doc}}:here`))))
      return left.every(count => count === 0) ? null : `it shows ${left} people`
    })
  }

  async #empty(base: ReadonlyMap<Site, number>): Promise<void> {
    await Promise.all([...this.#writers].map(writer => this.#dismiss(writer)))
    await this.#deserted()
    for (const site of this.#sites) {
      const before = base.get(site)!
      const { heapUsed, rss } = await site.inside()
      this.#say(
        `${site.name}: heap ${megabytes(before)} → ${megabytes(heapUsed)}, resident ${megabytes(rss)}, ${site.runs.length} lives`,
      )
      if (heapUsed > before * 1.5 + 8e6)
        this.#faults.push(`${site.name} holds ${megabytes(heapUsed)} when all have left, before it was ${megabytes(before)}`)
    }
    for (const site of this.#sites) {
      site.goes()
      const how = await site.node.leave()
      if (how !== 0) this.#faults.push(`${site.name} was told to go and ended with ${how}`)
    }
  }

  #writeDown(): void {
    const counts = Object.entries(this.#counts)
      .sort()
      .map(([what, n]) => `${n} × ${what}`)
    writeFileSync(join(this.#folder, 'story.txt'), [...this.#told, ...counts, ...this.#faults, ''].join('\n'))
    for (const site of this.#sites)
      for (const [i, { out, err }] of site.runs.entries())
        writeFileSync(join(this.#folder, `${site.name.replace(' ', '-')}.${i}.log`), out + err)
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Where two texts part, as code points. */
const difference = (has: string, should: string): string => {
  let at = 0
  while (at < has.length && has[at] === should[at]) at++
  const show = (text: string): string =>
    [...text.slice(at, at + 12)].map(char => `U+${char.codePointAt(0)!.toString(16)}`).join(' ')
  return `${has.length} units, not ${should.length}; from ${at} on ${show(has)}, not ${show(should)}`
}

// Tries a server in every way that a client could, while neighbours type, and judges what became of it.
// Invariant: it answers only when nothing failed; otherwise it throws with every failure, the seed, and where the last inputs lie.

import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { seeded } from '../../src/testing/random.ts'
import { Pen } from '../server/raw.ts'
import { abuse } from './abuse.ts'
import { type Begun, Beside, type Held, type Look } from './asks.ts'
import { Requests } from './requests.ts'
import { Session } from './session.ts'
import { Story } from './story.ts'

export interface Typed {
  readonly times: readonly number[]
  readonly lost: string | null
}

export interface FuzzOptions {
  readonly seed: number
  readonly seconds: number
  readonly say: (line: string) => void
  /**
   * The figures of the ten minutes are held too: stalls of 50 ms, memory within a tenth, neighbours within three times their quiet p99;
   * and the tools that keep to no protocol run beside, against the server as it is built. Without it only a stall that no machine
   * explains is a failure.
   */
  readonly strict: boolean
  /** An application speaks in a namespace of its own there too, so that every line goes through Socket.IO. */
  readonly shared: boolean
}

export interface Found {
  readonly inputs: number
  readonly tally: Readonly<Record<string, number>>
  /** ms of CPU in one turn of the event loop, at most: quiet, and while it was tried. */
  readonly stalls: readonly [quiet: number, tried: number]
  /**
   * p99 of the neighbours' edits, ms from key to confirmation: quiet; while another server on the same machine was tried in the same way,
   * which is what the machine alone does to them (not strict: nothing); while theirs was.
   */
  readonly p99: readonly [quiet: number, beside: number | null, tried: number]
  readonly edits: number
  /** Bytes on the heap and beside it, after a collection. */
  readonly memory: readonly [base: number, after: number]
  readonly rss: readonly [base: number, after: number]
}

const lookEvery = 2_000 // ms
const leastInputs = 2_000 // before it is over, however slow the machine
const sessions = 4 // clients at a time
const pause = 10 // ms between two inputs of one of them, where neighbours are timed: as fast as a line may send for long
const steps = 60 // inputs of one of them, at most
const stallAllowed = { strict: 50, lenient: 2_000 } // ms of CPU above what is seen without anybody who tries
const memoryAllowed = 1.1
const mostSockets = 4 + 8 // of the neighbours, and those that this process keeps for its next request
const latencyAllowed = 3
const canary = 'nobody may read this'

export const fuzz = async ({ seed, seconds, say, strict, shared }: FuzzOptions): Promise<Found> => {
  const story = new Story(canary)
  const adminToken = randomBytes(24).toString('base64url')
  const args = [adminToken, ...(shared ? ['shared'] : []), ...(strict ? ['built'] : [])]
  const server = await Beside.start<Begun>('server.ts', args)
  const { routes, ...urls } = server.begun
  const url = urls.public
  let stall = 0
  const look = async (): Promise<void> => {
    const seen = await server.asks<Look>('look')
    stall = Math.max(stall, seen.stall)
    for (const what of seen.wrong) story.fails('something went wrong inside', Buffer.from(what))
  }

  for (const doc of ['guarded', 'guarded/more', 'readonly', 'quiet', 'arena']) {
    const owner = await Pen.opens(url, doc, { token: 'owner' })
    await owner.types(doc.startsWith('guarded') ? canary : doc)
    owner.client.close()
  }
  const neighbours = await Beside.start<object>('neighbours.ts', [url, '4'])
  const typed = async (): Promise<Typed> => neighbours.asks<Typed>('times')

  const asOwner = async (path: string): Promise<{ readonly status: number; readonly body: unknown }> => {
    const answer = await fetch(`${url}/v1/documents/${path}`, { headers: { authorization: 'Bearer owner' } })
    return { status: answer.status, body: await answer.json() }
  }
  const textOf = async (doc: string): Promise<string> => ((await asOwner(encodeURIComponent(doc))).body as { text: string }).text

  /** All that entered the document in which everybody may write. */
  const history = new History()
  const reads = async (): Promise<void> => {
    for (;;) {
      const { status, body } = await asOwner(`arena/commits?after=${history.version}&limit=1000`)
      const page = body as { readonly version: number; readonly commits: readonly Commit[] }
      if (status !== 200) return story.fails(`the history cannot be read: ${status}`, Buffer.from(JSON.stringify(body)))
      if (page.commits.length === 0) return
      for (const commit of page.commits) {
        history.takes(commit, story)
        if (story.forbids(commit.author, commit.seq))
          story.fails('an edit entered that none may take', Buffer.from(JSON.stringify(commit)))
      }
    }
  }

  const running = async (work: () => Promise<unknown>): Promise<void> => {
    while (!story.over) await work()
  }
  const tries = ({ begun }: Beside<Begun>, chance: number) => {
    story.over = false
    const requests = new Requests({ ...begun, adminToken }, routes, seeded(chance + 1_000), story)
    const lives = Array.from({ length: sessions }, (_, i) => {
      const session = new Session(begun.public, seeded(chance * 100 + i), story, i === 0)
      return running(() => session.lives(steps, strict ? pause : 0))
    })
    const asks = running(async () => {
      await requests.one()
      await sleep(strict ? pause : 0)
    })
    return { requests, ended: Promise.all([...lives, asks]) }
  }
  const abuses = ({ begun }: Beside<Begun>, chance: number): Promise<void> => {
    const dice = seeded(chance + 2_000)
    return strict ? running(() => abuse(begun.public, dice, story)) : Promise.resolve()
  }
  const settles = async (): Promise<Held> => {
    // Everybody but the neighbours has gone, and what nobody has joined is let go.
    const kept = ({ documents, connections, sockets }: Held): boolean =>
      documents > 1 || connections > 4 || (strict && sockets > mostSockets)
    let before = await server.asks<Held>('held')
    for (let i = 0; i < 60 && kept(before); i++) {
      await sleep(500)
      before = await server.asks<Held>('held')
    }
    if (kept(before)) story.fails(`what was left is kept: ${JSON.stringify(before)}`, Buffer.alloc(0))
    // Some things are let go seconds later, and some only by a second collection: memory is looked at until it falls no more.
    for (let i = 0, still = 0; strict && i < 40 && still < 8; i++, still++) {
      await sleep(500)
      const now = await server.asks<Held>('held')
      if (now.heapUsed + now.external >= before.heapUsed + before.external) continue
      before = now
      still = -1
    }
    return before
  }

  // Whoever tries gives way to the server and the neighbours: what is measured is what the server does to them, not this process.
  if (strict) setPriority(constants.priority.PRIORITY_LOW)
  try {
    say(
      `fuzz: seed ${seed}, ${seconds} s, ${shared ? 'with' : 'without'} an application’s namespace, server ${server.pid}, routes ${routes.length}`,
    )
    // A first, short try warms everything up, so that what is kept once and for all does not count as growth.
    const warm = tries(server, seed)
    await Promise.race([warm.ended, sleep(strict ? 45_000 : 1_500)]) // it ends by itself only where it fails
    await warm.requests.round()
    story.over = true
    await warm.ended
    const base = await settles()
    await look()
    stall = 0
    await typed()
    await sleep(strict ? 20_000 : 1_500)
    await look()
    const [quietStall, quiet] = [stall, (await typed()).times]
    stall = 0
    say(`quiet: p99 ${p99(quiet).toFixed(1)} ms over ${quiet.length} edits, longest stall ${quietStall.toFixed(1)} ms`)

    let beside: number | null = null
    if (strict) {
      const another = await Beside.start<Begun>('server.ts', args)
      const attack = Promise.all([tries(another, seed + 1).ended, abuses(another, seed + 1)])
      await Promise.race([attack, sleep(5_000)]) // it warms up as the first has
      await typed()
      await Promise.race([attack, sleep(20_000)])
      const { times } = await typed()
      beside = p99(times)
      story.over = true
      await attack
      await another.stop()
      say(`while another server on this machine is tried: p99 ${beside.toFixed(1)} ms over ${times.length} edits`)
      await look()
    }
    stall = 0

    const trying = tries(server, seed).ended
    const abusing = abuses(server, seed)
    trying.catch(() => {}) // told below
    abusing.catch(() => {})
    const standsNot = (): void => {
      const allowed = quietStall + (strict ? stallAllowed.strict : stallAllowed.lenient)
      if (stall > allowed) story.fails(`the event loop stood still for ${stall.toFixed(0)} ms of CPU`, Buffer.alloc(0))
    }
    const times: number[] = []
    const until = Date.now() + seconds * 1_000
    let told = Date.now()
    const goesOn = (): boolean => Date.now() < until || story.inputs < leastInputs
    while (goesOn() && story.failures.length === 0) {
      await Promise.race([sleep(Math.min(lookEvery, Math.max(100, until - Date.now()))), trying, abusing])
      await look()
      const { times: more, lost } = await typed()
      times.push(...more)
      if (lost !== null) story.fails(lost, Buffer.alloc(0))
      standsNot()
      await reads()
      if (Date.now() - told < 10_000) continue
      told = Date.now()
      say(
        `${Math.max(0, Math.round((until - told) / 1_000))} s left: ${story.inputs} inputs, ${times.length} edits of neighbours, p50 ${at(0.5, times).toFixed(1)} ms, p95 ${at(0.95, times).toFixed(1)} ms, p99 ${p99(times).toFixed(1)} ms, ` +
          `longest stall ${stall.toFixed(1)} ms`,
      )
    }
    story.over = true
    await trying
    await abusing
    await look() // before memory is looked at, which collects what there is in one go
    standsNot()
    const triedStall = stall
    say('everybody but the neighbours has gone; waiting until what was left is let go')
    const after = await settles()
    await look()
    await reads()

    say('held against the model')
    const { fault, text } = await neighbours.asks<{ fault: string | null; text: string }>('text')
    if (fault !== null) story.fails(fault, Buffer.alloc(0))
    if ((await textOf('quiet')) !== text) story.fails('the neighbours see another text than the server', Buffer.alloc(0))
    if ((await textOf('guarded')) !== canary) story.fails('a document was changed that nobody may write', Buffer.alloc(0))
    if ((await textOf('guarded/more')) !== canary) story.fails('a document was changed that nobody may write', Buffer.alloc(0))
    if ((await textOf('readonly')) !== 'readonly') story.fails('a document was changed that may only be read', Buffer.alloc(0))
    const arena = await textOf('arena')
    if (arena !== history.text) story.fails('the history gives another text than the server has', Buffer.alloc(0))

    for (const { side, method, path } of routes)
      if (!story.tally.has(`route ${side} ${method} ${path}`))
        story.fails('a route was not asked', Buffer.from(`${side} ${method} ${path}`))

    const memory = [base.heapUsed + base.external, after.heapUsed + after.external] as const
    say(
      `p99 ${p99(times).toFixed(1)} ms (quiet ${p99(quiet).toFixed(1)}), memory ${memory[1]} bytes (base ${memory[0]}), longest stall ${triedStall.toFixed(1)} ms`,
    )
    if (strict && memory[1] > memory[0] * memoryAllowed)
      story.fails(`memory grew from ${memory[0]} to ${memory[1]} bytes`, Buffer.alloc(0))
    if (strict && p99(times) > latencyAllowed * Math.max(1, p99(quiet)))
      story.fails(`neighbours waited ${p99(times).toFixed(1)} ms (p99), quiet ${p99(quiet).toFixed(1)} ms`, Buffer.alloc(0))
    if (story.failures.length > 0) throw new Error(story.failures[0])
    return {
      inputs: story.inputs,
      tally: Object.fromEntries([...story.tally].sort()),
      stalls: [quietStall, triedStall],
      p99: [p99(quiet), beside, p99(times)],
      edits: times.length,
      memory,
      rss: [base.rss, after.rss],
    }
  } catch (error) {
    story.over = true
    const folder = join(import.meta.dirname, '..', '..', 'test-artefacts')
    mkdirSync(folder, { recursive: true })
    const path = join(folder, `fuzz-${seed}.txt`)
    story.keeps(path)
    const first = error instanceof Error ? error.message : String(error)
    const all = story.failures.includes(first) ? story.failures : [first, ...story.failures]
    throw new Error(`${all.length} failures, seed ${seed}, last inputs in ${path}:\n- ${all.join('\n- ')}`, { cause: error })
  } finally {
    story.over = true
    await Promise.allSettled([neighbours.stop(), server.stop()])
  }
}

const at = (share: number, values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? 0
const p99 = (values: readonly number[]): number => at(0.99, values)

interface Commit {
  readonly version: number
  readonly author: string
  readonly seq: number
  readonly op: unknown
}

/** A document as its history tells it, by the plainest way to apply an op. */
class History {
  text = ''
  version = 0
  private readonly seen = new Set<string>()

  takes({ version, author, seq, op }: Commit, story: Story): void {
    const bytes = (): Buffer => Buffer.from(JSON.stringify({ version, author, seq, op }))
    if (version !== this.version + 1) story.fails('a version is missing', bytes())
    if (this.seen.has(`${author} ${seq}`)) story.fails('an edit entered twice', bytes())
    this.seen.add(`${author} ${seq}`)
    this.version = version
    let at = 0
    let out = ''
    for (const part of op as (number | string)[]) {
      if (typeof part === 'string') out += part
      else if (part > 0) out += this.text.slice(at, (at += part))
      else at -= part
    }
    if (at > this.text.length) story.fails('an edit reaches beyond the text', bytes())
    this.text = out + this.text.slice(at)
    if (/\p{Cs}/u.test(out)) story.fails('a lone surrogate entered', bytes())
  }
}

// What the embedded store promised survives kill -9, at any moment, again and again on the same data.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { expect, it } from 'vitest'
import type { Entry } from '../../src/engine/ports.ts'
import type { AuthorId, DocId, Epoch } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { link } from '../../src/stores/chain.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'
import { seeded } from '../../src/testing/index.ts'

const seed = Number(process.env.SEED ?? 1)
const kills = Number(process.env.KILLS ?? 50)

type Said = readonly ['answered' | 'durable', DocId, version: number, chain: string]

/** The last thing promised of each document. */
class Promised {
  readonly answered = new Map<DocId, Said>()
  readonly durable = new Map<DocId, Said>()
  count = 0
  take(said: Said): void {
    const [kind, doc, version] = said
    this.count++
    if (version > (this[kind].get(doc)?.[2] ?? 0)) this[kind].set(doc, said)
  }
}

class Victim {
  readonly loaded: Promise<void>
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #gone: Promise<void>
  #complaints = ''
  constructor(path: string, round: number, promised: Promised) {
    const program = new URL('kill-child.ts', import.meta.url).pathname
    this.#process = spawn(process.execPath, ['--import', 'tsx', program, path, String(round), String(seed * 1_000 + round)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#process.stderr.on('data', chunk => (this.#complaints += chunk))
    const lines = createInterface(this.#process.stdout)
    this.#gone = Promise.all([
      new Promise(resolve => this.#process.once('exit', resolve)),
      new Promise(resolve => lines.once('close', resolve)),
    ]).then(() => {})
    this.loaded = new Promise(resolve => {
      lines.on('line', line => {
        if (!line.endsWith(']') && line !== '"loaded"') return // cut short by the kill
        const said: 'loaded' | Said = JSON.parse(line)
        said === 'loaded' ? resolve() : promised.take(said)
      })
    })
  }

  start(): void {
    this.#process.stdin.write('go')
  }

  /** @throws when the process had died of something else. */
  async kill(): Promise<void> {
    const alive = this.#process.exitCode === null && this.#process.signalCode === null
    this.#process.kill('SIGKILL')
    await this.#gone
    expect(alive, `it died by itself: ${this.#complaints}`).toBe(true)
  }
}

/** What was true of a document when it was last looked at. */
interface Known {
  readonly epoch: Epoch
  readonly last: Map<AuthorId, { seq: number; version: number }>
}

it(`[P2] what was answered or reported durable is there after each of ${kills} kills, without a gap, and the store opens by itself`, {
  timeout: 180_000,
}, async () => {
  const path = await mkdtemp(join(tmpdir(), 'inkwell-kill-'))
  const random = seeded(seed)
  const promised = new Promised()
  const known = new Map<DocId, Known>()
  let trimmed = 0

  const verify = async (round: number): Promise<void> => {
    const store = embeddedStore({ path })
    await store.ready()
    for (const doc of await store.log.documents(null, 99)) {
      const { epoch, checkpoint, tail, durable } = await store.log.open(doc)
      const all = await store.log.entries(doc, 0, Number.MAX_SAFE_INTEGER / 2)
      const where = `round ${round}, ${doc}, seed ${seed}`
      const before = known.get(doc) ?? { epoch, last: new Map() }
      known.set(doc, before)
      expect(epoch, where).toBe(before.epoch)

      // no gap, chains right, checkpoint and tail of the same history
      const first = all[0]!
      let previous: Pick<Entry, 'version' | 'chain'> = first.version === 1 ? { version: 0, chain: emptyChain } : first
      for (const entry of first.version === 1 ? all : all.slice(1)) {
        if (entry.version !== previous.version + 1 || entry.chain !== link(previous.chain, entry))
          throw new Error(`the log breaks at ${entry.version}: ${where}`)
        previous = entry
      }
      const end = all.at(-1)!
      expect(first.version, where).toBeLessThanOrEqual((checkpoint?.horizon ?? 0) + 1)
      const after = all.filter(({ version }) => version > (checkpoint?.version ?? 0))
      if (!isDeepStrictEqual(tail, after)) throw new Error(`the tail is not the log after the checkpoint: ${where}`)
      if (checkpoint !== null) expect(all[checkpoint.version - first.version]?.chain, where).toBe(checkpoint.chain)
      expect(durable, where).toBe(end.version)
      trimmed = Math.max(trimmed, first.version - 1)

      // every promise kept: a chain vouches for each author, seq and body up to it
      for (const kind of ['answered', 'durable'] as const) {
        const said = promised[kind].get(doc)
        if (said !== undefined)
          expect(all[said[2] - first.version]?.chain, `${kind} ${said[2]} of ${end.version}: ${where}`).toBe(said[3])
      }

      // authors: none twice, the last seq of each still dropped, the next one taken
      for (const { author, seq, version } of all) {
        const last = before.last.get(author)
        if (last !== undefined && version > last.version && seq <= last.seq)
          throw new Error(`${author} ${seq} is there twice: ${where}`)
        if (last === undefined || version > last.version) before.last.set(author, { seq, version })
      }
      for (const [author, { version }] of before.last) if (version <= (checkpoint?.pruned ?? 0)) before.last.delete(author)
      const authors = [...before.last].map(([author, { seq }]) => ({ author, seq, body: 'again' }))
      const at = { epoch, version: end.version, chain: end.chain }
      expect(await store.log.append(doc, at, authors), where).toMatchObject({ ok: true, entries: [] })
      const next = random.pick(authors)
      expect(await store.log.append(doc, at, [{ ...next, seq: next.seq + 1, body: 'next' }]), where).toMatchObject({
        ok: true,
        entries: [{ author: next.author }],
      })
      before.last.set(next.author, { seq: next.seq + 1, version: end.version + 1 })
    }
    await store.close()
  }

  let next = new Victim(path, 0, promised)
  for (let round = 0; round < kills; round++) {
    const victim = next
    await victim.loaded
    next = new Victim(path, round + 1, promised) // loads meanwhile
    victim.start()
    await sleep(random.int(random.chance(0.3) ? 60 : 250))
    await victim.kill()
    await verify(round)
  }
  await next.kill()
  expect(promised.count).toBeGreaterThan(kills * 10)
  expect(promised.durable.size).toBe(3)
  expect(trimmed).toBeGreaterThan(0)
  await rm(path, { recursive: true })
})

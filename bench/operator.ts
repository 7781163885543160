// How fast an operator's commands go through histories: export and import beside what the store itself does, and the replay of verify.
// Invariant: what has been brought in is held against what was written, and a replay that finds a flaw does not count.

import { execFile } from 'node:child_process'
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Out } from '../src/cli/print.ts'
import { transferCommands } from '../src/cli/transfer.ts'
import { writeBody } from '../src/engine/entry.ts'
import type { NewEntry, Store } from '../src/engine/ports.ts'
import { type AuthorId, type DocId, emptyChain, type Position } from '../src/protocol/ids.ts'
import { embeddedStore } from '../src/stores/embedded.ts'
import { build } from './built.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'operator'

const history = 'history' as DocId
const author = 'AAAAAAAAAAAAAAAA' as AuthorId
const batch = 1_000
const megabyte = 1_000_000

/** Somebody types, and goes elsewhere in the text now and then. */
const typing = (commits: number): NewEntry[] => {
  let [length, at, seed] = [0, 0, 1]
  const entries: NewEntry[] = []
  for (let i = 0; i < commits; i++) {
    seed = (seed * 48_271) % 2_147_483_647
    if (i % 50 === 0) at = seed % (length + 1)
    const op = at > 0 ? [at, 'x'] : ['x']
    const body = writeBody({ base: i, op, user: 'u-123456', time: 1_790_000_000_000 + i, type: i === 0 ? 'text' : null })
    entries.push({ author, seq: i + 1, body })
    length++
    at++
  }
  return entries
}

const silent: Out = { write: async () => {}, say: () => {}, terminal: false, watched: false, colour: false, width: 80 }

const command = async (name: 'export' | 'import', flags: Record<string, string>): Promise<void> => {
  const work = transferCommands[name].prepare(flags, {})
  if (typeof work !== 'function') throw new Error(work.join('\n'))
  if ((await work(silent)) !== 0) throw new Error(`${name} did not end well`)
}

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const since = performance.now()
  await work()
  return (performance.now() - since) / 1_000
}

const within = async <T>(path: string, use: (store: Store) => Promise<T>): Promise<T> => {
  const store = embeddedStore({ path })
  try {
    await store.ready()
    return await use(store)
  } finally {
    await store.close()
  }
}

/** A store that has much to write yet is waited for. */
const whenItTakes = async <T>(append: () => Promise<T>): Promise<T> => {
  for (;;)
    try {
      return await append()
    } catch (error) {
      if (!(error as Error).message.includes('wait for the disk')) throw error
      await sleep(50)
    }
}

const write = async ({ log }: Store, entries: readonly NewEntry[], doc = history): Promise<void> => {
  let at: Position = { epoch: (await log.open(doc)).epoch, version: 0, chain: emptyChain }
  for (let i = 0; i < entries.length; i += batch) {
    const reply = await whenItTakes(() => log.append(doc, at, entries.slice(i, i + batch)))
    const last = reply.ok ? reply.entries.at(-1) : undefined
    if (last === undefined) throw new Error('an append did not land')
    at = { ...at, version: last.version, chain: last.chain }
  }
}

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  await build()
  const effort = quick ? { rounds: 2, commits: 50_000, replayed: 200_000 } : { rounds: 5, commits: 200_000, replayed: 1_000_000 }
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  try {
    const entries = typing(effort.commits)
    return [...(await carrying(folder, entries, effort.rounds)), ...(await replaying(folder, effort.replayed, effort.rounds))]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The best of some rounds: what else the machine does is no matter of the command's. */
const carrying = async (folder: string, entries: readonly NewEntry[], rounds: number): Promise<Row[]> => {
  const source = join(folder, 'source')
  const file = join(folder, 'file')
  const best = {
    exporting: Number.POSITIVE_INFINITY,
    reading: Number.POSITIVE_INFINITY,
    importing: Number.POSITIVE_INFINITY,
    writing: Number.POSITIVE_INFINITY,
  }
  const keep = (name: keyof typeof best, seconds: number): void => void (best[name] = Math.min(best[name], seconds))
  await within(source, store => write(store, entries))
  for (let round = 0; round < rounds; round++) {
    rmSync(file, { force: true })
    keep('exporting', await timed(() => command('export', { to: file, store: `embedded:${source}` })))
    const reading = () =>
      within(source, async ({ log }) => {
        for (let at = 0; at < entries.length; at += 5_000) await log.entries(history, at, 5_000)
      })
    keep('reading', await timed(reading))
    const target = join(folder, `target-${round}`)
    await within(target, async () => {})
    keep('importing', await timed(() => command('import', { file, store: `embedded:${target}` })))
    const [last] = await within(target, ({ log }) => log.entries(history, entries.length - 1, 1))
    if (last?.body !== entries.at(-1)!.body) throw new Error('an import brought something else')
    keep('writing', await timed(() => within(join(folder, `own-${round}`), store => write(store, entries))))
  }
  const megabytes = statSync(file).size / megabyte
  const plain = await timed(async () => {
    for await (const _ of createReadStream(file)) void _
  })
  const row = (what: string, seconds: number, own: number, beside: string): Row => {
    const bound = Math.min(50, (0.7 * megabytes) / own)
    return {
      what: `${what} of a history of keystrokes, against 50 MB/s or seven tenths of the store’s own speed, whichever is less`,
      value: megabytes / seconds / bound,
      unit: '×',
      beside: { 'MB/s': megabytes / seconds, [`${beside} MB/s`]: megabytes / own, 'plain file MB/s': megabytes / plain },
      gate: { atLeast: 1 },
    }
  }
  return [
    row('export', best.exporting, best.reading, 'the store reads'),
    row('import', best.importing, best.writing, 'the store writes'),
  ]
}

const main = join(import.meta.dirname, '..', 'dist', 'cli', 'main.js')

/** Seconds of the command as an operator types it. */
const verifying = async (path: string, sound: string): Promise<number> => {
  const since = performance.now()
  const { stdout } = await promisify(execFile)(process.execPath, [main, 'verify', '--store', `embedded:${path}`])
  if (!stdout.startsWith(`sound: ${sound}`)) throw new Error(`verify says: ${stdout}`)
  return (performance.now() - since) / 1_000
}

/** The best of some rounds, less what the command takes for a single edit: that is its start. */
const replaying = async (folder: string, commits: number, rounds: number): Promise<Row[]> => {
  const [one, long, many] = ['one', 'long', 'many'].map(name => join(folder, name)) as [string, string, string]
  const documents = commits / 2_000
  await within(one, store => write(store, typing(1)))
  await within(long, store => write(store, typing(commits)))
  await within(many, async store => {
    const entries = typing(2_000)
    for (let i = 0; i < documents; i++) await write(store, entries, `history-${i}` as DocId)
  })
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number, number]
  for (let round = 0; round < rounds; round++) {
    const seconds = [
      await verifying(one, '1 document with 1 commits'),
      await verifying(long, `1 document with ${commits} commits`),
      await verifying(many, `${documents} documents with ${commits} commits`),
    ]
    for (const i of best.keys()) best[i] = Math.min(best[i]!, seconds[i]!)
  }
  const row = (what: string, seconds: number): Row => ({
    what: `inkwell verify (replay and chain of hashes) of an embedded store, ${what}`,
    value: commits / (seconds - best[0]),
    unit: 'commits/s',
    beside: { seconds, 'of which start': best[0] },
    gate: { atLeast: 500_000 },
  })
  return [row('one long history', best[1]), row('histories of 2,000 keystrokes', best[2])]
}

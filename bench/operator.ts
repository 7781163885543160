// How fast an operator's commands go through histories: export and import beside what the store itself does, and the replay of verify.
// Invariant: what has been brought in is held against what was written, and a replay that finds a flaw does not count.

import { execFile } from 'node:child_process'
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { writeBody } from '../src/engine/entry.ts'
import type { NewEntry, Store } from '../src/engine/ports.ts'
import { type AuthorId, type DocId, emptyChain, type Position } from '../src/protocol/ids.ts'
import { embeddedStore } from '../src/stores/embedded.ts'
import { build } from './built.ts'
import { median } from './room.ts'
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
  let at: Position = { epoch: (await whenItTakes(() => log.open(doc))).epoch, version: 0, chain: emptyChain }
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

type Carried = Readonly<Record<'reads' | 'exports' | 'reads again' | 'writes' | 'imports' | 'writes again', readonly number[]>>

const carrying = async (folder: string, entries: readonly NewEntry[], rounds: number): Promise<Row[]> => {
  await within(join(folder, 'source'), store => write(store, entries))
  const run = [join(import.meta.dirname, 'carry.mjs'), folder, String(rounds)]
  const carried = JSON.parse((await promisify(execFile)(process.execPath, run)).stdout) as Carried
  const file = join(folder, 'file')
  const megabytes = statSync(file).size / megabyte
  const plain = await timed(async () => {
    for await (const _ of createReadStream(file)) void _
  })
  const row = (what: string, command: keyof Carried, own: keyof Carried, again: keyof Carried): Row => {
    const rate = (name: keyof Carried): number => megabytes / median(carried[name])
    const [first, second] = [rate(own), rate(again)]
    const noise = Math.abs(median(carried[own].map((seconds, i) => Math.log(seconds / carried[again][i]!))))
    const apart = median(carried[own].map((seconds, i) => Math.abs(Math.log(seconds / carried[again][i]!))))
    const stores = Math.sqrt(first * second)
    return {
      what: `${what} of a history of keystrokes, against 50 MB/s or the store’s own speed, whichever is less`,
      value: rate(command) / Math.min(50, stores),
      unit: '×',
      beside: {
        'MB/s': rate(command),
        [`the store ${own} MB/s`]: stores,
        'the store against itself ×': Math.exp(-Math.max(noise, apart)),
        'plain file MB/s': plain === 0 ? 0 : megabytes / plain,
      },
      // What the store does not keep to itself cannot be asked of a command.
      gate: { atLeast: stores < 50 ? Math.exp(-Math.max(noise, apart)) : 1 },
    }
  }
  return [row('export', 'exports', 'reads', 'reads again'), row('import', 'imports', 'writes', 'writes again')]
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

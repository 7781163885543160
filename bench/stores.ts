// How fast the stores take entries, and how fast they open a document, the embedded one beside the one in memory in the same run.
// Invariant: rounds of the two alternate, and every append that is timed is checked to have landed.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NewEntry, Store } from '../src/engine/ports.ts'
import type { AuthorId, DocId, Position } from '../src/protocol/ids.ts'
import { emptyChain } from '../src/protocol/ids.ts'
import { embeddedStore } from '../src/stores/embedded.ts'
import { memoryStore } from '../src/stores/memory.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'stores'

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  const effort = quick ? { rounds: 2, appends: 500, history: 10_000 } : { rounds: 5, appends: 5_000, history: 100_000 }
  return [...(await appending(effort)), ...(await opening(effort))]
}

interface Effort {
  readonly rounds: number
  readonly appends: number
  readonly history: number
}

/** What a keystroke weighs in the log. */
const body = JSON.stringify({ base: 12_345, op: [4_321, 'x', 678], user: 'u-123456', time: 1_790_000_000_000 })

const author = 'AAAAAAAAAAAAAAAA' as AuthorId
const kinds = ['embedded', 'memory'] as const
type Kind = (typeof kinds)[number]

const withStore = async <T>(kind: Kind, use: (store: Store) => Promise<T>): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  const store = kind === 'memory' ? memoryStore() : embeddedStore({ path: join(folder, 'data') })
  try {
    await store.ready()
    return await use(store)
  } finally {
    await store.close()
    rmSync(folder, { recursive: true })
  }
}

class Writer {
  #seq = 0
  readonly #store: Store
  readonly #doc: DocId
  at: Position | null = null
  constructor(store: Store, doc: string) {
    this.#store = store
    this.#doc = doc as DocId
  }

  async append(count: number): Promise<void> {
    const at = this.at ?? { epoch: (await this.#store.log.open(this.#doc)).epoch, version: 0, chain: emptyChain }
    const entries: NewEntry[] = Array.from({ length: count }, () => ({ author, seq: ++this.#seq, body }))
    const reply = await this.#store.log.append(this.#doc, at, entries)
    const last = reply.ok ? reply.entries.at(-1) : undefined
    if (last?.seq !== this.#seq || last.version !== this.#seq) throw new Error('an append did not land')
    this.at = { epoch: at.epoch, version: last.version, chain: last.chain }
  }
}

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN

/** Lets the event loop turn, as it does in a server between one message and the next. */
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const appending = async ({ rounds, appends }: Effort): Promise<Row[]> => {
  const single = { embedded: [] as number[], memory: [] as number[] }
  const durable: number[] = []
  const batched = { embedded: [] as number[], memory: [] as number[] }
  const spread = { embedded: [] as number[], memory: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      await withStore(kind, async store => {
        const writer = new Writer(store, 'one')
        await writer.append(1)
        const asked = new Map<number, number>()
        let news = () => {}
        await store.log.subscribe('one' as DocId, announcement => {
          if (announcement.kind !== 'durable') return
          for (const [version, since] of asked)
            if (version <= announcement.version) if (asked.delete(version)) durable.push(performance.now() - since)
          news()
        })
        for (let i = 0; i < appends; i++) {
          const since = performance.now()
          if (kind === 'embedded') asked.set(i + 2, since)
          await writer.append(1)
          single[kind].push(performance.now() - since)
          await turn()
        }
        while (asked.size > 0) await new Promise<void>(resolve => (news = resolve))
      })
      batched[kind].push(
        await withStore(kind, async store => {
          const writer = new Writer(store, 'one')
          await writer.append(1)
          const since = performance.now()
          for (let i = 0; i < appends / 10; i++) {
            await writer.append(64)
            await turn()
          }
          return (64 * Math.ceil(appends / 10)) / ((performance.now() - since) / 1_000)
        }),
      )
      spread[kind].push(
        await withStore(kind, async store => {
          const writers = Array.from({ length: 256 }, (_, i) => new Writer(store, `document ${i}`))
          await Promise.all(writers.map(writer => writer.append(1)))
          const each = Math.ceil(appends / 100)
          const since = performance.now()
          for (let i = 0; i < each; i++) {
            await Promise.all(writers.map(writer => writer.append(1)))
            await turn()
          }
          return (writers.length * each) / ((performance.now() - since) / 1_000)
        }),
      )
    }
  }
  const µs = (values: readonly number[], share: number) => 1_000 * quantile(values, share)
  return [
    {
      what: 'one append at a time, answered, p50',
      value: µs(single.embedded, 0.5),
      unit: 'µs',
      beside: { memory: µs(single.memory, 0.5) },
    },
    {
      what: 'one append at a time, answered, p99',
      value: µs(single.embedded, 0.99),
      unit: 'µs',
      beside: { memory: µs(single.memory, 0.99) },
    },
    {
      what: 'one append at a time, on disk, p50',
      value: quantile(durable, 0.5),
      unit: 'ms',
      beside: { p99: quantile(durable, 0.99) },
    },
    {
      what: 'appends of 64 entries to one document',
      value: quantile(batched.embedded, 0.5) / 1_000,
      unit: 'thousand entries/s',
      beside: { memory: quantile(batched.memory, 0.5) / 1_000 },
    },
    {
      what: 'appends of one entry to 256 documents at once',
      value: quantile(spread.embedded, 0.5) / 1_000,
      unit: 'thousand entries/s',
      beside: { memory: quantile(spread.memory, 0.5) / 1_000 },
    },
  ]
}

/** A text of 100,000 characters, and as many commits after it as a server leaves. */
const checkpointBody = JSON.stringify({ text: 'Many pens, one text. '.repeat(5_000) })
const tail = 200

/** A document with this much history, checkpointed near its end and not trimmed, opened by a store that has just started. */
const openings = async (folder: string, history: number, rounds: number): Promise<number[]> => {
  const path = join(folder, String(history))
  const doc = 'long' as DocId
  const first = embeddedStore({ path })
  const writer = new Writer(first, doc)
  for (let written = 0; written < history; written += 1_000) {
    await writer.append(1_000)
    await turn()
  }
  const version = history - tail
  while ((await first.log.open(doc)).durable < version) await turn()
  const [entry] = await first.log.entries(doc, version - 1, 1)
  const { epoch } = writer.at!
  const stored = await first.log.checkpoint(doc, {
    epoch,
    version,
    chain: entry!.chain,
    horizon: 0,
    pruned: 0,
    body: checkpointBody,
  })
  if (!stored) throw new Error('the checkpoint was refused')
  await first.close()

  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const store = embeddedStore({ path })
    await store.ready()
    const since = performance.now()
    const opened = await store.log.open(doc)
    times.push(performance.now() - since)
    if (opened.tail.length !== tail) throw new Error('the wrong tail')
    await store.close()
  }
  return times
}

const opening = async ({ rounds, history }: Effort): Promise<Row[]> => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  try {
    const [long, short] = [await openings(folder, history, 4 * rounds), await openings(folder, 1_000, 4 * rounds)]
    const [longTime, shortTime] = [quantile(long, 0.5), quantile(short, 0.5)]
    return [
      {
        what: `opening a document of ${history} commits, p50`,
        value: longTime,
        unit: 'ms',
        beside: { '1,000 commits': shortTime },
      },
      { what: `opening ${history} commits against 1,000`, value: longTime / shortTime, unit: '×', gate: { atMost: 2 } },
    ]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

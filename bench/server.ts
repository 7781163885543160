// How fast an edit goes through a real server over real sockets, beside a bare Socket.IO relay in the same run.
// Invariant: both servers of a comparison are one child process, both clients this one, and their rounds alternate.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { io, type Socket } from 'socket.io-client'
import { connect, type TextDocument } from '../src/client/index.ts'
import { fromEdits } from '../src/ot/op.ts'
import { type Patch, patchesOf, sequentialTrace } from '../test/traces.ts'
import { build } from './built.ts'
import type { BenchOptions, Row } from './row.ts'

// ---- the child: an Inkwell, and a bare relay

type StoreName = 'embedded' | 'memory'
type Ask = 'cpu' | 'stop'

interface Pair {
  readonly inkwell: string
  readonly bare: string
  /** Microseconds of CPU that the child has used, all of its threads together. */
  cpu(): Promise<number>
}

const withPair = async <T>(store: StoreName, use: (pair: Pair) => Promise<T>): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-bench-'))
  const place = store === 'memory' ? 'memory:' : join(folder, 'data')
  const child = fork(join(import.meta.dirname, 'node.mjs'), [place, 'relay'], { execArgv: [] })
  const waiting: ((answer: unknown) => void)[] = []
  child.on('message', answer => waiting.shift()?.(answer))
  const ended = once(child, 'exit')
  const answer = async <A>(): Promise<A> => {
    const given = await Promise.race([new Promise(resolve => waiting.push(resolve)), ended.then(() => null)])
    if (given === null) throw new Error('the server under measurement has ended')
    return given as A // the child is ours
  }
  try {
    const { inkwell, bare } = await answer<{ inkwell: string; bare: string }>()
    return await use({
      inkwell,
      bare,
      cpu: async () => {
        child.send('cpu' satisfies Ask)
        const { user, system } = await answer<NodeJS.CpuUsage>()
        return user + system
      },
    })
  } finally {
    if (child.connected) child.send('stop' satisfies Ask)
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
}

// ---- measuring

const quantile = (values: readonly number[], q: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))]!
const median = (values: readonly number[]): number => quantile(values, 0.5)

const bareClient = async (url: string): Promise<Socket> => {
  const socket = io(url, { transports: ['websocket'], forceNew: true })
  await new Promise<void>(resolve => socket.once('connect', resolve))
  return socket
}

/** Keys of a first round that is not counted: so long both processes still compile what they run, ours and the relay's alike. */
const warmUp = 12_000

/** A keystroke of one client until the other shows it, one after the other. Milliseconds. */
const keystrokes = async ({ inkwell, bare }: Pair, rounds: number, keys: number) => {
  const [ann, ben] = [connect(inkwell), connect(inkwell)]
  const [mine, theirs] = [await ann.open('keys'), await ben.open('keys')]
  const [from, to] = [await bareClient(bare), await bareClient(bare)]
  const ours: number[] = []
  const stock: number[] = []
  for (let round = 0; round < rounds; round++) {
    const these = round === 0 ? warmUp : keys
    for (let i = 0; i < these; i++) {
      const start = performance.now()
      const shown = new Promise<void>(resolve => {
        const off = theirs.on('change', () => {
          off()
          resolve()
        })
      })
      mine.insert(mine.length, 'x')
      await shown
      if (round > 0) ours.push(performance.now() - start)
      await mine.settled('sequenced') // otherwise the next key would wait in the buffer for this one's confirmation
    }
    for (let i = 0; i < these; i++) {
      const start = performance.now()
      const shown = new Promise(resolve => to.once('key', resolve))
      from.emit('key', { at: i, text: 'x' })
      await shown
      if (round > 0) stock.push(performance.now() - start)
    }
  }
  from.close()
  to.close()
  await ann.close()
  await ben.close()
  return { ours, stock }
}

const fill = async (doc: TextDocument, length: number): Promise<void> => {
  const line = 'The quick brown fox jumps over the lazy dog, and so on it goes.\n'
  while (doc.text.length < length) {
    doc.insert(doc.text.length, line.repeat(4_096).slice(0, Math.min(262_144, length - doc.text.length)))
    await doc.settled('durable')
  }
}

/** CPU of the server for an edit, on a document of each length. Microseconds an op, one number a round. */
const cpuPerOp = async (pair: Pair, lengths: readonly number[], rounds: number, ops: number) => {
  const client = connect(pair.inkwell)
  const docs: TextDocument[] = []
  for (const length of lengths) {
    const doc = await client.open(`length-${length}`)
    await fill(doc, length)
    docs.push(doc)
  }
  const costs: number[][] = lengths.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [i, doc] of docs.entries()) {
      const before = await pair.cpu()
      for (let op = 0; op < ops; op++) {
        const at = (op * 7_919) % lengths[i]!
        if (op % 2 === 0) doc.insert(at, 'x')
        else doc.delete(((op - 1) * 7_919) % lengths[i]!, (((op - 1) * 7_919) % lengths[i]!) + 1)
        await doc.settled('sequenced')
      }
      await doc.settled('durable')
      const spent = (await pair.cpu()) - before
      if (round > 0) costs[i]!.push(spent / ops)
    }
  }
  await client.close()
  return costs
}

const window = 64 // edits, or messages, that may be unconfirmed

/**
 * All edits through one client, at most `window` of them unconfirmed. As for a person who types, what is typed while an edit is on its
 * way is composed into one; so the messages are fewer than the edits.
 */
const editsThroughInkwell = async ({ inkwell }: Pair, patches: readonly Patch[], id: string) => {
  const client = connect(inkwell)
  const doc = await client.open(id)
  const start = performance.now()
  let before = Promise.resolve()
  for (let i = 0; i < patches.length; i += window / 2) {
    for (const [at, deleted, inserted] of patches.slice(i, i + window / 2))
      doc.apply(fromEdits([[at, at + deleted, inserted]], doc.length))
    const sequenced = doc.settled('sequenced')
    await before
    before = sequenced
  }
  await doc.settled('durable')
  const ms = performance.now() - start
  const { text, version } = doc
  const stored = (await (await fetch(`${inkwell}/v1/documents/${id}`)).json()) as { text: string; version: number }
  if (stored.text !== text || stored.version !== version) throw new Error('the server holds another text than its client')
  await client.close()
  return { ms, text, messages: version }
}

/** As many messages, each acknowledged, at most `window` of them unconfirmed. Milliseconds. */
const messagesThroughRelay = async ({ bare }: Pair, patches: readonly Patch[]): Promise<number> => {
  const socket = await bareClient(bare)
  const start = performance.now()
  await new Promise<void>(resolve => {
    let sent = 0
    let confirmed = 0
    const more = (): void => {
      while (sent < patches.length && sent - confirmed < window) socket.emit('edit', patches[sent++], acknowledged)
    }
    const acknowledged = (): void => {
      if (++confirmed === patches.length) resolve()
      else more()
    }
    more()
  })
  const ms = performance.now() - start
  socket.close()
  return ms
}

// ---- the rows

const keystrokeRows = async (store: StoreName, quick: boolean): Promise<Row[]> => {
  const { ours, stock } = await withPair(store, pair => keystrokes(pair, quick ? 3 : 8, quick ? 100 : 400))
  return [
    {
      what: `keystroke to the other client, ${store} store, p50, against a bare Socket.IO relay`,
      value: median(ours) / median(stock),
      unit: '×',
      beside: {
        'inkwell p50 ms': median(ours),
        'relay p50 ms': median(stock),
        'inkwell p99 ms': quantile(ours, 0.99),
        'relay p99 ms': quantile(stock, 0.99),
      },
      ...(store === 'embedded' ? { gate: { atMost: 2 } } : {}),
    },
  ]
}

const cpuRows = async (quick: boolean): Promise<Row[]> => {
  const [small, large] = (await withPair('embedded', pair =>
    cpuPerOp(pair, [1_024, 1_048_576], quick ? 2 : 6, quick ? 300 : 2_000),
  )) as [number[], number[]]
  return [
    {
      what: 'server CPU of an op, document of 1 MB against 1 KB, embedded store',
      value: median(large) / median(small),
      unit: '×',
      beside: { '1 KB µs': median(small), '1 MB µs': median(large) },
      gate: { atMost: 1.1 },
    },
  ]
}

const traceRows = async (quick: boolean): Promise<Row[]> => {
  const trace = sequentialTrace('automerge-paper')
  const all = patchesOf(trace)
  const patches = quick ? all.slice(0, 20_000) : all
  return withPair('embedded', async pair => {
    const ours: number[] = []
    const stock: number[] = []
    let messages = 0
    for (let round = 0; round < 3; round++) {
      const relayed = await messagesThroughRelay(pair, patches)
      const done = await editsThroughInkwell(pair, patches, `trace-${round}`)
      if (!quick && done.text !== trace.endContent) throw new Error('the text is not that of the trace')
      messages = done.messages
      if (round === 0) continue // warms both up
      stock.push(relayed)
      ours.push(done.ms)
    }
    return [
      {
        what: `automerge-paper, ${patches.length} edits, one client, embedded store, against a bare relay with acks in a window of ${window}`,
        value: median(ours) / median(stock),
        unit: '×',
        beside: { 'inkwell ms': median(ours), 'relay ms': median(stock), 'inkwell messages': messages },
        gate: { atMost: 1.5 },
      },
    ]
  })
}

export const name = 'server'

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  await build()
  return [
    ...(await keystrokeRows('embedded', quick)),
    ...(await keystrokeRows('memory', quick)),
    ...(await cpuRows(quick)),
    ...(await traceRows(quick)),
  ]
}

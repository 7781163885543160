// What it costs to be seen: metrics, traces and debug logs for each edit, and a scrape with ten thousand connections.
// Invariant: each server is a process of its own; those with everything on and everything off are measured in turns, with the same edits.

import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { destination, pino } from 'pino'
import { Buckets } from '../src/server/exposition.ts'
import { createServer, memoryStore } from '../src/server/index.ts'
import { median, room } from './room.ts'
import type { BenchOptions, Row } from './row.ts'

// ---- the child: a server that is seen, or one that is not

type Seen = 'off' | 'metrics' | 'on' | 'all traces'
const asChild = 'serve-for-observe'

/** Spans are handed over and forgotten: what a collector costs is another program's. */
const keepNothing = {
  export: (_spans: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
  shutdown: async () => {},
}

const serve = async (seen: Seen): Promise<void> => {
  // What is counted by additions cannot be switched off, nor told apart from nothing.
  if (seen === 'off') Buckets.prototype.add = () => {}
  const traced = seen === 'on' || seen === 'all traces'
  if (traced) {
    const spanProcessors = [new BatchSpanProcessor(keepNothing)]
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors }))
  }
  const logger = traced ? pino({ level: 'debug' }, destination({ fd: openSync('/dev/null', 'w'), sync: true })) : 'silent'
  const many = 1_000_000
  const limits = { handshakesPerAddress: many, handshakesPerSecond: many, strangersPerAddress: many, pingInterval: 600_000 }
  const traceRatio = seen === 'all traces' ? 1 : 0.01
  const server = await createServer({ store: memoryStore(), logger, limits, traceRatio })
  const { url } = await server.listen(0)
  if (seen !== 'off') setInterval(() => void server.metrics(), 15_000) // as deploy/prometheus/prometheus.yml says
  process.on('message', () => process.send!(process.cpuUsage()))
  process.on('disconnect', () => process.exit())
  process.send!(url)
}

if (process.argv[2] === asChild) await serve(process.argv[3] as Seen)

const serving = async (seen: Seen) => {
  const child = fork(fileURLToPath(import.meta.url), [asChild, seen])
  const [url] = (await once(child, 'message')) as [string]
  return {
    url,
    /** Microseconds of CPU so far, all threads together. */
    async cpu(): Promise<number> {
      child.send('cpu')
      const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
      return user + system
    },
    async stop(): Promise<void> {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

// ---- edits

const readers = 4

const kinds: readonly Seen[] = ['off', 'metrics', 'on', 'all traces']
const copies = 3 // of each: two servers that do the same differ by more than what is looked for, by where things lie in memory

const editRows = async (quick: boolean): Promise<Row[]> => {
  const [rounds, edits] = quick ? [3, 300] : [6, 1_000]
  const all = kinds.flatMap(kind => Array<Seen>(copies).fill(kind))
  const servers = await Promise.all(all.map(serving))
  const rooms = await Promise.all(servers.map(({ url }) => room(url, 'observed', Array(1 + readers).fill({}))))
  const costs: number[][] = all.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const k of all.keys()) {
      const i = (k * 5 + round) % all.length // in turns: nobody is always the first, or behind the same one
      const before = await servers[i]!.cpu()
      await rooms[i]!.types(edits)
      const spent = (await servers[i]!.cpu()) - before
      if (round > 0) costs[i]!.push(spent / edits)
    }
  }
  for (const { close } of rooms) await close()
  for (const { stop } of servers) await stop()
  /** Of its copies the mean of what each of them took, in its quieter rounds. */
  const cost = (kind: Seen): number => {
    const own = all.flatMap((other, i) => (other === kind ? [[...costs[i]!].sort((a, b) => a - b)[rounds >> 2]!] : []))
    return own.reduce((sum, one) => sum + one, 0) / own.length
  }
  const names = ['metrics', 'metrics, one trace in a hundred, debug log', 'metrics, every trace, debug log']
  return names.map((name, i) => ({
    what: `server CPU of an edit with ${readers} readers, memory store: ${name}, against none of it`,
    value: cost(kinds[i + 1]!) / cost('off'),
    unit: '×',
    beside: { 'µs with': cost(kinds[i + 1]!), 'µs without': cost('off') },
    ...(i === 1 ? { gate: { atMost: 1.05 } } : {}),
  }))
}

// ---- a scrape

/** A line that says hello in JSON and then nothing: as little of a client as the server can tell from one. */
const silentLine = (url: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const asking = request(`${url}/json/?EIO=4&transport=websocket`, {
      agent: false,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
      },
    })
    asking.on('error', reject)
    asking.on('response', ({ statusCode }) => reject(new Error(`the handshake was answered with ${statusCode}`)))
    asking.on('upgrade', (_response, socket: Socket) => {
      const hello = Buffer.from(`40${JSON.stringify({ protocol: [1, 1], key: randomBytes(16).toString('base64url') })}`)
      // One masked text frame; the mask is nought.
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | hello.length, 0, 0, 0, 0]), hello]))
      socket.on('data', chunk => {
        if (chunk.includes('welcome')) resolve(socket)
      })
    })
    asking.end()
  })

const scrapeRows = async (quick: boolean): Promise<Row[]> => {
  const size = quick ? 1_000 : 10_000
  const { url, stop, cpu } = await serving('off')
  const lines: Socket[] = []
  try {
    for (let i = 0; i < size; i += 100) lines.push(...(await Promise.all(Array.from({ length: 100 }, () => silentLine(url)))))
    const times: number[] = []
    let bytes = 0
    let before = 0
    const scrapes = 40
    for (let i = 0; i < scrapes + 5; i++) {
      if (i === 5) before = await cpu() // the first ones warm up
      const start = performance.now()
      const text = await (await fetch(`${url}/metrics`)).text()
      if (i >= 5) times.push(performance.now() - start)
      if (!text.includes(`\ninkwell_connections ${size}\n`)) throw new Error('not all of the lines are there')
      bytes = text.length
    }
    const spent = ((await cpu()) - before) / scrapes / 1_000
    return [
      {
        what: `a scrape of /metrics with ${size.toLocaleString('en-US')} connections, median`,
        value: median(times),
        unit: 'ms',
        beside: { 'most ms': Math.max(...times), 'CPU ms': spent, KiB: bytes / 1_024 },
        gate: { atMost: 20 },
      },
    ]
  } finally {
    for (const line of lines) line.destroy()
    await stop()
  }
}

export const name = 'observe'

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => [
  ...(await editRows(quick)),
  ...(await scrapeRows(quick)),
]

// What it costs to be seen: metrics, traces and debug logs for each edit, and a scrape with ten thousand connections.
// Invariant: each server is a process of its own, as it is built; with everything on and off it is measured in turns, with the same edits.

import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { build } from './built.ts'
import { median, room } from './room.ts'
import type { BenchOptions, Row } from './row.ts'

type Seen = 'off' | 'metrics' | 'on'

/** @param ratio the part of the edits that is traced when it is on */
const serving = async (ratio = 0.01) => {
  const child = fork(join(import.meta.dirname, 'seen.mjs'), [String(ratio)], { execArgv: [] })
  const [url] = (await once(child, 'message')) as [string]
  /** Microseconds of CPU so far, all threads together. */
  const ask = async (what: Seen | 'cpu'): Promise<number> => {
    child.send(what)
    const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage]
    return user + system
  }
  return {
    url,
    cpu: () => ask('cpu'),
    becomes: (seen: Seen) => ask(seen),
    async stop(): Promise<void> {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

// ---- edits

const readers = 4
const edits = 100 // in a turn: short, so that what else the machine does falls on all alike

/** Of paired ratios the median, and by how much chance moves it: two standard errors, from how far half of them are apart. */
const middle = (ratios: readonly number[]): { readonly value: number; readonly error: number } => {
  const value = median(ratios)
  const spread = 1.48 * median(ratios.map(ratio => Math.abs(ratio - value)))
  return { value, error: (2 * 1.25 * spread) / Math.sqrt(ratios.length) }
}

/**
 * What an edit costs in each of the ways to be seen, against none of them, by short turns in one process: each turn against those before
 * and behind it, in which nothing is seen. What else the machine does meanwhile falls on all three.
 */
const against = async (ratio: number, kinds: readonly Seen[], rounds: number) => {
  const { url, cpu, becomes, stop } = await serving(ratio)
  const { types, close } = await room(url, 'observed', Array(1 + readers).fill({}))
  const ratios: number[][] = kinds.map(() => [])
  const bare: number[] = []
  const turn = async (seen: Seen): Promise<number> => {
    const before = await becomes(seen)
    await types(edits)
    return ((await cpu()) - before) / edits
  }
  let without = await turn('off')
  for (let round = -5; round < rounds; round++) {
    for (const i of kinds.keys()) {
      const at = (i + round + 5) % kinds.length // another one first in each round
      const [before, seen, after] = [without, await turn(kinds[at]!), await turn('off')]
      without = after
      if (round < 0) continue // before that it warms up
      ratios[at]!.push(seen / Math.sqrt(before * after))
      bare.push(after)
    }
  }
  await close()
  await stop()
  return { ratios: ratios.map(middle), without: median(bare) }
}

const editRows = async (quick: boolean): Promise<Row[]> => {
  const rounds = quick ? 50 : 400
  // The first shows how far two that are the same are apart in this run.
  const usual = await against(0.01, ['off', 'metrics', 'on'], rounds)
  const all = await against(1, ['on'], rounds / 2)
  const row = (name: string, { value, error }: ReturnType<typeof middle>, without: number): Row => ({
    what: `server CPU of an edit with ${readers} readers, memory store: ${name}, against none of it`,
    value,
    unit: '×',
    beside: { '± by chance': error, 'µs without': without },
  })
  type Middle = ReturnType<typeof middle>
  const [same, metrics, on] = usual.ratios as [Middle, Middle, Middle]
  return [
    row('nothing', same, usual.without),
    row('metrics', metrics, usual.without),
    { ...row('metrics, one trace in a hundred, debug log', on, usual.without), gate: { atMost: 1.05 } },
    row('metrics, every trace, debug log', all.ratios[0]!, all.without),
  ]
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
  const { url, stop, cpu } = await serving()
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

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  await build()
  return [...(await editRows(quick)), ...(await scrapeRows(quick))]
}

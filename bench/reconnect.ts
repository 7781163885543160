// How two thousand clients come back to a server that was killed and started again: how many in one second, and until all are there.
// Invariant: the server is a process of its own, killed with SIGKILL; the clients are ours over real sockets, without documents.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Client, connect } from '../src/client/index.ts'
import { createServer, memoryStore } from '../src/server/index.ts'
import type { BenchOptions, Row } from './row.ts'

const asChild = 'serve-for-reconnect'
if (process.argv[2] === asChild) {
  const server = await createServer({ store: memoryStore(), logger: 'silent' })
  const { port } = await server.listen(Number(process.argv[3]))
  process.send!(port)
}

const serving = async (port: number): Promise<{ readonly child: ChildProcess; readonly port: number }> => {
  const child = fork(fileURLToPath(import.meta.url), [asChild, String(port)])
  const [listens] = (await once(child, 'message')) as [number]
  return { child, port: listens }
}

const targetRate = 500 // clients a second: `reconnectRate` of src/server/crowd.ts

export const name = 'reconnect'

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
  const size = quick ? 500 : 2_000
  const first = await serving(0)
  let running = first.child
  const clients: Client[] = []
  try {
    const url = `http://127.0.0.1:${first.port}`
    const back: number[] = []
    const online = (client: Client): Promise<void> =>
      new Promise(resolve => {
        const stop = client.on('status', status => {
          if (status !== 'online') return
          stop()
          resolve()
        })
      })
    for (let i = 0; i < size; i += 50) {
      const batch = Array.from({ length: 50 }, () => connect(url))
      clients.push(...batch)
      await Promise.all(batch.map(online))
    }
    await new Promise(resolve => setTimeout(resolve, 6_000)) // a line that has held for five seconds begins its schedule anew

    const all = Promise.all(clients.map(client => online(client).then(() => back.push(performance.now()))))
    const gone = once(running, 'exit')
    running.kill('SIGKILL')
    await gone
    const killed = performance.now()
    running = (await serving(first.port)).child
    const there = performance.now()
    await all

    let most = 0
    for (const [i, at] of back.entries()) most = Math.max(most, back.slice(i).filter(other => other < at + 1_000).length)
    return [
      {
        what: `${size} clients whose server was killed: the most that came back within one second`,
        value: most,
        unit: 'clients',
        beside: { 'target rate': targetRate },
        gate: { atMost: 2 * targetRate },
      },
      {
        what: `${size} clients: from the server's return until all of them were there`,
        value: (Math.max(...back) - there) / 1_000,
        unit: 's',
        beside: { 'server away s': (there - killed) / 1_000 },
      },
    ]
  } finally {
    await Promise.all(clients.map(client => client.close()))
    running.kill('SIGKILL')
  }
}

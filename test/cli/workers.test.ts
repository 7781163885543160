// Several workers behind one port, as an operator starts, kills and stops them.

import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import { Run } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
})
afterAll(() => redis.discard())

const patience = { timeout: 60_000, interval: 20 }

const inkwell = (args: readonly string[]): Run => {
  const run = new Run(['serve', '--port', '0', ...args])
  afterwards(() => run.signal('SIGKILL'))
  return run
}

it('[P2] [P4] workers share a port and a document; one that is killed is started again, and nothing that was typed is lost', async () => {
  const run = inkwell(['--workers', '2', '--store', redis.url, '--log-level', 'debug'])
  const url = (await run.says(({ worker, url }) => worker === 1 && url !== undefined)).url as string
  await run.says(({ worker, url }) => worker === 2 && url !== undefined)
  const writers: { readonly client: Client; readonly doc: TextDocument }[] = []
  for (let i = 0; i < 6; i++) {
    const client = connect(url)
    afterwards(() => client.close())
    writers.push({ client, doc: await client.open('notes') })
  }
  const served = (): readonly unknown[] =>
    run.log.filter(({ msg, doc }) => msg === 'joined' && doc === 'notes').map(({ worker }) => worker)
  await vi.waitFor(() => expect(new Set(served())).toEqual(new Set([1, 2])), patience)

  const all = async (length: number): Promise<void> => {
    await vi.waitFor(() => {
      for (const { doc } of writers) expect(doc.text.length).toBe(length)
    }, patience)
    expect(new Set(writers.map(({ doc }) => doc.text)).size).toBe(1)
  }
  for (const { doc } of writers) for (let i = 0; i < 10; i++) doc.insert(0, 'x')
  await all(60)

  const { pid } = await run.says(({ msg, slot }) => msg === 'a worker listens' && slot === 1)
  for (const { doc } of writers) for (let i = 0; i < 10; i++) doc.insert(0, 'y')
  process.kill(pid as number, 'SIGKILL')
  for (const { doc } of writers) for (let i = 0; i < 10; i++) doc.insert(0, 'z')
  await all(180)
  expect(await run.says(({ msg }) => msg === 'a worker has ended')).toMatchObject({ slot: 1, signal: 'SIGKILL' })
  const again = await run.says(({ msg, slot, pid: other }) => msg === 'a worker listens' && slot === 1 && other !== pid)
  expect(again.pid).toEqual(expect.any(Number))
  await Promise.all(writers.map(({ doc }) => doc.settled()))

  run.signal('SIGTERM')
  expect(await run.ended).toBe(0)
  const ended = run.log.filter(({ msg }) => msg === 'stopped').map(({ worker }) => worker)
  expect(new Set(ended)).toEqual(new Set([1, 2]))
}, 120_000)

it('[P4] workers that find no Redis are started again until there is one, and a stop ends it all at once', async () => {
  const away = inkwell(['--workers', '2', '--store', 'redis://127.0.0.1:1'])
  const ended = await away.says(({ msg }) => msg === 'a worker has ended')
  expect(ended).toMatchObject({ code: 1, startedAgainIn: 200 })
  away.signal('SIGTERM')
  expect([0, 1]).toContain(await away.ended) // 1 where a worker was just finding out again
})

it('each worker has an admin port of its own, one after the other', async () => {
  const token = 'operator-operator-operator-operator'
  const { freePort } = await import('../ports.ts')
  const port = await freePort()
  const run = inkwell(['--workers', '2', '--store', redis.url, '--admin-port', String(port), '--admin-token', token])
  await run.says(({ worker, url }) => worker === 1 && url !== undefined)
  await run.says(({ worker, url }) => worker === 2 && url !== undefined)
  for (const at of [port, port + 1]) {
    const reply = await fetch(`http://127.0.0.1:${at}/metrics`, { headers: { authorization: `Bearer ${token}` } })
    expect([at, reply.status]).toEqual([at, 200])
  }
  run.signal('SIGTERM')
  expect(await run.ended).toBe(0)
})

it('what workers cannot share is told before anything starts, and a fault that only a worker finds ends them all', async () => {
  const faulty = inkwell(['--workers', '2', '--store', 'memory:', '--transports', 'websocket,polling'])
  const none = inkwell(['--workers', '0'])
  const taken = inkwell(['--workers', '2', '--store', redis.url, '--host', '192.0.2.1'])
  expect(await Promise.all([faulty, none, taken].map(run => run.ended))).toEqual([2, 2, 2])
  expect(faulty.err).toContain('--workers: each worker is a node')
  expect(faulty.err).toContain('--workers: polling needs one worker')
  expect(none.err).toContain('--workers: must be a number from 1 to 128')
  expect(taken.err).toContain('EADDRNOTAVAIL')
})

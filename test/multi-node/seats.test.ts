// How many clients of one user may be connected at a time: one number, on however many nodes they are.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, expect, it, vi } from 'vitest'
import { RedisServer } from '../redis.ts'
import { Pen, RawClient } from '../server/raw.ts'

const patience = { timeout: 60_000, interval: 200 }
const lease = 4_500 // ms; a machine that is busy for three seconds kills nobody

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const node = async (redis: RedisServer): Promise<{ readonly url: string; readonly child: ChildProcess }> => {
  const file = new URL('seats-node.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', file, redis.url, String(lease)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  ends.push(() => child.kill('SIGKILL'))
  const [said] = await once(child.stdout!, 'data')
  return { url: String(said).trim(), child }
}

/** A client that is welcome, or the code of why it is not. */
const comes = async (url: string, token: string): Promise<RawClient | string> => {
  const client = new RawClient(url, { token })
  ends.push(() => client.close())
  return client.refusedHello().then(
    ({ code }) => code,
    () => client.next('welcome').then(() => client),
  )
}

it('[P5] five clients of one user are welcome over two nodes, the sixth nowhere, and what a killed node held comes free; a neighbour types on', async () => {
  const redis = await RedisServer.start()
  ends.push(() => redis.discard())
  const [here, there] = await Promise.all([node(redis), node(redis)])
  const welcome = async (url: string, token = 'mallory'): Promise<RawClient> => {
    const client = await comes(url, token)
    if (typeof client === 'string') throw new Error(client)
    return client
  }
  const full = async (...urls: string[]): Promise<void> => {
    for (const url of urls) expect(await comes(url, 'mallory')).toBe('too-many-connections')
  }

  const neighbour = await Pen.opens(here.url, 'shared', { token: 'neighbour' })
  ends.push(() => neighbour.client.close())
  let typed = ''
  let working = true
  const work = (async () => {
    for (; working; await new Promise(resolve => setTimeout(resolve, 40))) {
      await neighbour.types('x')
      typed += 'x'
    }
  })()

  const first = await welcome(there.url)
  for (const url of [there.url, there.url, here.url, here.url]) await welcome(url)
  await full(here.url, there.url)
  await welcome(there.url, 'somebody else')
  first.close()
  await vi.waitFor(() => welcome(here.url), patience) // three here and two there
  await full(there.url, here.url)

  there.child.kill('SIGKILL')
  for (let i = 0; i < 2; i++) await vi.waitFor(() => welcome(here.url), patience)
  await full(here.url)

  const before = typed.length
  await vi.waitFor(() => expect(typed.length).toBeGreaterThan(before + 2), patience)
  working = false
  await work
  expect(neighbour.shows).toBe(typed)
})

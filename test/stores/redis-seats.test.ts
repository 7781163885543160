// The seats of users over Redis, when nodes die or stop, and when Redis goes away, comes back or forgets.

import { spawn } from 'node:child_process'
import { afterEach, expect, it, vi } from 'vitest'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisLine, RedisServer, startCluster } from '../redis.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const patience = { timeout: 60_000, interval: 20 }
const lease = 4_500 // a machine that is busy for three seconds kills nobody

const server = async (): Promise<RedisServer> => {
  const started = await RedisServer.start()
  ends.push(() => started.discard())
  return started
}

const seatsAt = (url: string) => {
  const store = redisStore({ url, callLimit: 2_000, presenceLease: lease })
  ends.push(() => store.close())
  return store.seats
}

/** A node of its own, with a seat of ann's for each of these clients. */
const node = (url: string, ...clients: string[]) => {
  const file = new URL('redis-node.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', file, url, String(lease), 'doc', ...clients], { stdio: 'inherit' })
  ends.push(() => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
  })
  return child
}

const rows = (redis: RedisServer): Promise<string[]> => redis.do(client => client.smembers('inkwell:{user-ann}:seats'))

/** Whether one more than so many gets a seat; it is given back at once. */
const free = async (seats: ReturnType<typeof seatsAt>, most: number): Promise<boolean> => {
  const got = await seats.take('ann', 'probe', most)
  if (got) seats.leave('ann', 'probe')
  return got
}

it.each(['one server', 'a cluster'])(
  '[P5] on %s the seats of a node that is killed are free once its lease has ended, those of others are not',
  async where => {
    let url: string
    if (where === 'a cluster') {
      const cluster = await startCluster()
      ends.push(() => cluster.discard())
      url = cluster.url
    } else url = (await server()).url
    const seats = seatsAt(url)
    await vi.waitFor(async () => expect(await seats.take('ann', 'here', 5)).toBe(true), patience)
    const dies = node(url, 'd1', 'd2')
    node(url, 'l1')
    await vi.waitFor(async () => expect(await free(seats, 4)).toBe(false), patience)
    dies.kill('SIGKILL')
    await vi.waitFor(async () => expect(await free(seats, 4)).toBe(true), patience)
    expect(await free(seats, 2)).toBe(false)
  },
)

it('[P5] a node that was stopped for longer than its lease has its seats again', async () => {
  const { url } = await server()
  const seats = seatsAt(url)
  const child = node(url, 'p1', 'p2')
  await vi.waitFor(async () => expect(await free(seats, 2)).toBe(false), patience)
  child.kill('SIGSTOP')
  await vi.waitFor(async () => expect(await free(seats, 2)).toBe(true), patience)
  child.kill('SIGCONT')
  await vi.waitFor(async () => expect(await free(seats, 2)).toBe(false), patience)
})

it('[P5] a seat that was taken while Redis was away counts when it is back, and one that was left does not', async () => {
  const redis = await server()
  const line = await RedisLine.to(redis.port)
  ends.push(() => line.discard())
  const [seats, other] = [seatsAt(line.url), seatsAt(redis.url)]
  await vi.waitFor(async () => expect(await seats.take('ann', 'stays', 9)).toBe(true), patience)
  await seats.take('ann', 'goes', 9)
  line.cut()
  seats.leave('ann', 'goes')
  await expect(seats.take('ann', 'comes', 9)).rejects.toThrow()
  const sitting = async () => (await rows(redis)).map(seat => seat.split(' ')[1]).sort()
  await vi.waitFor(async () => expect(await sitting()).toEqual(['comes', 'stays']), patience)
  expect([await free(other, 2), await free(other, 3)]).toEqual([false, true])
})

it('[P5] Redis, emptied, is told again of every seat', async () => {
  const redis = await server()
  const seats = seatsAt(redis.url)
  for (let i = 0; i < 20; i++) await vi.waitFor(() => seats.take('ann', `c${i}`, 20), patience)
  await redis.do(client => client.flushall())
  await vi.waitFor(async () => expect(await rows(redis)).toHaveLength(20), patience)
})

it('[P5] of a user who has left nothing is kept', async () => {
  const redis = await server()
  const seats = seatsAt(redis.url)
  await vi.waitFor(() => seats.take('ann', 'a', 5), patience)
  await Promise.all([seats.take('ann', 'a', 5), seats.take('ann', 'b', 5), seats.take('ann', 'b', 5)])
  for (const client of ['a', 'b']) seats.leave('ann', client)
  const early = seats.take('ann', 'c', 5)
  seats.leave('ann', 'c')
  await early
  await vi.waitFor(async () => expect(await rows(redis)).toEqual([]), patience)
})

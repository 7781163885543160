// The Redis store keeps the laws of stores: on one server and on a cluster of three, with and without a file to wait for.

import { afterAll, beforeAll, describe, it } from 'vitest'
import { redisStore } from '../../src/stores/redis.ts'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'
import { type RedisCluster, RedisServer, startCluster } from '../redis.ts'

const seed = Number(process.env.SEED ?? 1)
const searches = Number(process.env.SEARCHES ?? 5)
const patience = 30_000

let rooms = 0

/** Each law has a prefix of its own, so that one server serves all of them. */
const setupOn = (url: () => string) => async (): Promise<StoreUnderLaw> => {
  const options = { url: url(), prefix: `law${rooms++}:` }
  let store = redisStore(options)
  const others: { close(): Promise<void> }[] = []
  return {
    store,
    async reopen() {
      await store.close()
      store = redisStore(options)
      return store
    },
    async beside() {
      const other = redisStore(options)
      others.push(other)
      return other
    },
    async discard() {
      for (const other of others) await other.close()
      await store.close()
    },
  }
}

describe.each([
  ['without a file', []],
  ['that syncs with every reply', ['--appendonly', 'yes', '--appendfsync', 'always']],
])('the Redis store on a server %s', (_, settings) => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start({ settings })
  })
  afterAll(() => server.discard())
  for (const law of storeLaws(
    setupOn(() => server.url),
    { reopen: true, beside: true },
    { seed, searches, patience },
  ))
    it(law.name, law.run)
})

describe('the Redis store on a cluster of three', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.discard())
  for (const law of storeLaws(
    setupOn(() => cluster.url),
    { reopen: true, beside: true },
    { seed, searches, patience },
  ))
    it(law.name, law.run)
})

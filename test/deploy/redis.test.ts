// The shipped redis.conf, in a real Redis, with nodes that work on it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { redisStore } from '../../src/stores/redis.ts'
import { storeLaws } from '../../src/testing/index.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'

const file = join(import.meta.dirname, '..', '..', 'deploy', 'redis.conf')
const text = readFileSync(file, 'utf8')

it('[P2] with it nothing is found fault with, and documents are durable on disk', async () => {
  const redis = await RedisServer.start({ file })
  afterwards(() => redis.discard())
  const store = redisStore(redis.url)
  try {
    expect(await store.findings()).toEqual([])
    expect(store.log.durability).toBe('disk')
  } finally {
    await store.close()
  }
})

it('what it says of the limits is what Redis then has', async () => {
  const redis = await RedisServer.start({ file })
  afterwards(() => redis.discard())
  const has = async (name: string): Promise<unknown> =>
    (await redis.do(client => client.config('GET', name) as Promise<unknown[]>))[1]
  expect(await has('client-output-buffer-limit')).toContain('pubsub 67108864 16777216 30')
  expect(await Promise.all(['maxmemory-policy', 'maxmemory', 'save', 'appendfsync'].map(has))).toEqual([
    'noeviction',
    '1073741824',
    '',
    'everysec',
  ])
})

describe('[P4] the user that it proposes', () => {
  const lines = [...text.matchAll(/^# (user .*)$/gm)].map(([, line]) => line!)
  let redis: RedisServer
  let url: string
  let rooms = 0
  beforeAll(async () => {
    redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    url = redis.url.replace('redis://', 'redis://inkwell:PASSWORD@')
    await redis.do(client => client.call('ACL', 'SETUSER', ...lines[0]!.split(' ').slice(1)))
  })
  afterAll(() => redis.discard())

  it('stands there beside one for the operator, and nobody else gets in', async () => {
    expect(lines.map(line => line.split(' ', 2).join(' '))).toEqual(['user inkwell', 'user operator', 'user default'])
    const closed = await RedisServer.start()
    afterwards(() => closed.discard())
    await closed.do(async client => {
      for (const line of lines) await client.call('ACL', 'SETUSER', ...line.split(' ').slice(1))
      expect(await client.call('AUTH', 'operator', 'ANOTHER-PASSWORD')).toBe('OK')
    })
    const [stranger, node] = [redisStore(closed.url), redisStore(closed.url.replace('//', '//inkwell:PASSWORD@'))]
    try {
      await expect(stranger.ready()).rejects.toThrow()
      await node.ready()
    } finally {
      await Promise.all([stranger.close(), node.close()])
    }
  })

  for (const law of storeLaws(
    async () => {
      const store = redisStore({ url, prefix: `inkwell:law${rooms++}:` })
      return { store, discard: () => store.close() }
    },
    {},
    { searches: 1, patience: 30_000 },
  ))
    it(`keeps the law: ${law.name}`, law.run)

  it('has been refused nothing by then, and can do nothing that no node does', async () => {
    expect(await redisStore(url).findings()).toEqual([])
    expect(await redis.do(client => client.call('ACL', 'LOG'))).toEqual([])
    const commands = [['FLUSHALL'], ['CONFIG', 'SET', 'appendonly', 'no'], ['GET', 'sessions:1'], ['KEYS', '*'], ['SHUTDOWN']]
    const denied = await redis.do(async client => {
      await client.call('AUTH', 'inkwell', 'PASSWORD')
      return Promise.all(
        commands.map(([command, ...words]) => client.call(command!, ...words).catch((error: Error) => error.message)),
      )
    })
    expect(denied).toEqual(Array(commands.length).fill(expect.stringMatching(/^NOPERM/)))
  })
})

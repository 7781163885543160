// The append-only file is switched off while nodes run: what was promised is kept to, and it is told.

import { afterEach, expect, it, vi } from 'vitest'
import type { AuthorId, DocId, Position } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'

vi.setConfig({ testTimeout: 120_000 })
const patience = { timeout: 60_000, interval: 50 }

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const doc = 'doc' as DocId
const off = { severity: 'fault', sentence: 'Redis keeps no append-only file, so its restart loses documents' }

it.each(['everysec', 'always'])(
  '[P2] [P7] with appendfsync %s nothing counts as durable from then on, and all of it once the file is back',
  async appendfsync => {
    const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', appendfsync] })
    ends.push(() => redis.discard())
    const store = redisStore(redis.url)
    ends.push(() => store.close())
    expect(await store.findings()).toEqual([])
    const { epoch } = await store.log.open(doc)
    let durable = 0
    const stop = await store.log.subscribe(
      doc,
      news => (durable = Math.max(durable, news.kind === 'durable' ? news.version : news.durable)),
    )
    ends.push(stop)
    let at: Position = { epoch, version: 0, chain: emptyChain }
    const write = async (): Promise<void> => {
      const reply = await store.log.append(doc, at, [{ author: 'ann' as AuthorId, seq: at.version + 1, body: 'x' }])
      if (!reply.ok) throw new Error(reply.reason)
      const { version, chain } = reply.entries.at(-1)!
      at = { epoch, version, chain }
      durable = Math.max(durable, reply.durable)
    }
    await write()
    await vi.waitFor(() => expect(durable).toBe(1), patience)

    await redis.do(client => client.config('SET', 'appendonly', 'no'))
    expect(await store.findings()).toEqual([expect.objectContaining(off)])
    expect(store.log.durability).toBe('disk') // as it was promised
    await write()
    // As long as it takes elsewhere to be durable, and more: some looks at Redis that find nothing to rely on.
    const looks = (): Promise<number> =>
      redis.do(async client => Number(/cmdstat_info:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0))
    const before = await looks()
    await vi.waitFor(async () => expect(await looks()).toBeGreaterThan(before + (appendfsync === 'always' ? 4 : 12)), {
      ...patience,
      interval: 200,
    })
    expect(durable).toBe(1)

    await redis.do(client => client.config('SET', 'appendonly', 'yes'))
    await write()
    await vi.waitFor(() => expect(durable).toBe(3), patience)
    expect(await store.findings()).toEqual([])
  },
)

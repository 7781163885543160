// The cut that the chaos makes in Redis' file takes what may be lost, and nothing that was reported durable.

import { afterEach, expect, it, vi } from 'vitest'
import type { AuthorId, DocId, Position } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { cutTail } from './tail.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

it.each([0, 0.3, 0.9])(
  'cut to %s of its length, the part of the file that may be lost is what nobody was told to be durable',
  async share => {
    const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
    ends.push(() => redis.discard())
    const store = redisStore(redis.url)
    ends.push(() => store.close())
    const docs = ['one', 'two'] as DocId[]
    const durable = new Map<DocId, number>()
    const written = new Map<DocId, Position>()
    const write = async (doc: DocId, seqs: readonly number[]): Promise<void> => {
      const at = written.get(doc)!
      const reply = await store.log.append(
        doc,
        at,
        seqs.map(seq => ({ author: 'ann' as AuthorId, seq, body: `body ${seq}` })),
      )
      if (!reply.ok) throw new Error(reply.reason)
      written.set(doc, { ...at, ...reply.entries.at(-1)! })
    }
    for (const doc of docs) {
      await store.log.subscribe(doc, news => {
        if (news.kind === 'durable') durable.set(doc, news.version)
      })
      written.set(doc, { epoch: (await store.log.open(doc)).epoch, version: 0, chain: emptyChain })
      await write(doc, [1, 2, 3])
    }
    await vi.waitFor(() => expect([...durable.values()]).toEqual([3, 3]), { timeout: 60_000, interval: 20 })
    for (const seq of [4, 5, 6, 7]) for (const doc of docs) await write(doc, [seq])
    const told = new Map(durable)
    await redis.kill()
    const { bytes, entries } = cutTail(redis.tail, share)
    expect(bytes).toBeGreaterThan(0)
    await redis.start()
    let lost = 0
    for (const doc of docs) {
      const version = Number(await redis.do(client => client.hget(`inkwell:{${doc}}:meta`, 'v')))
      expect(version).toBeGreaterThanOrEqual(told.get(doc)!)
      lost += written.get(doc)!.version - version
    }
    expect(lost).toBe(entries)
    if (share === 0) expect(lost).toBeGreaterThan(0)
    // What has come back was on the disk, though the file may not say any more that it was reported durable.
    await redis.kill()
    expect(cutTail(redis.tail, 0).entries).toBe(0)
  },
)

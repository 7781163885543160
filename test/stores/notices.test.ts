// How much a notice board takes; what it must do besides is among the laws of stores.

import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { type NoticeBoard, noticesKept } from '../../src/engine/ports.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'

const until = 1_000

/** A full board, of which one notice is over sooner than the others. */
const holdsNoMore = async (notices: NoticeBoard): Promise<void> => {
  const words = `the limit is ${noticesKept}`
  await expect(notices.post({ key: 'more', body: null, until }, 0)).rejects.toThrow(words)
  await notices.post({ key: 'n1', body: 'again', until }, 0)
  await notices.post({ key: 'more', body: null, until }, 1)
  await expect(notices.post({ key: 'still more', body: null, until }, 1)).rejects.toThrow(words)
  expect((await notices.read(null, 1))?.notices).toHaveLength(noticesKept)
}

const keys = Array.from({ length: noticesKept }, (_, i) => `n${i}`)

it('[P5] no more notices hang on a board than its limit; one in the place of another, and one after some are over, still do', async () => {
  const { notices } = memoryStore()
  for (const key of keys) await notices.post({ key, body: null, until: key === 'n0' ? 1 : until }, 0)
  await holdsNoMore(notices)
})

it('[P5] nor on one in Redis, where what others have written into it is passed by', async () => {
  const redis = await RedisServer.start()
  const store = redisStore(redis.url)
  const line = new Redis(redis.url)
  try {
    await line.hset('inkwell:{notices}:board', Object.fromEntries(keys.map(key => [key, `${key === 'n0' ? 1 : until} null`])))
    await holdsNoMore(store.notices)
    await line.del('inkwell:{notices}:board')
    await line.hset('inkwell:{notices}:board', { a: '1000 "sound"', b: '1000', c: 'soon {}', d: '1000 {' })
    expect((await store.notices.read(null, 0))?.notices).toEqual([{ key: 'a', body: 'sound', until }])
  } finally {
    line.disconnect()
    await store.close()
    await redis.discard()
  }
})

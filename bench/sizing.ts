// What documents weigh in Redis, for whoever has to say how much memory and disk to buy.
// Invariant: the documents are written by real clients through a real server, and weighed once everything is durable.

import { type Client, connect } from '../src/client/index.ts'
import { createServer } from '../src/server/index.ts'
import { redisStore } from '../src/stores/redis.ts'
import { RedisServer } from '../test/redis.ts'
import type { BenchOptions, Row } from './row.ts'

export const name = 'sizing'

export async function bench({ quick }: BenchOptions): Promise<Row[]> {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const server = await createServer({ store: redisStore(redis.url), logger: 'silent' })
  const { url } = await server.listen(0)
  const clients = Array.from({ length: 3 }, () => connect(url))
  try {
    const rows: Row[] = []
    for (const [characters, keystrokes] of quick ? sizes.slice(0, 2) : sizes) {
      const { parts, file } = await written(redis, clients, characters, keystrokes)
      const all = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)
      const what = `a document of ${characters.toLocaleString('en-US')} characters after ${keystrokes.toLocaleString('en-US')} keystrokes`
      rows.push({ what: `${what}, memory of Redis`, value: all / 1_024, unit: 'KiB', beside: inKiB(parts) })
      rows.push({ what: `${what}, append-only file, per keystroke`, value: file / keystrokes, unit: 'bytes' })
    }
    return rows
  } finally {
    await Promise.all(clients.map(client => client.close()))
    await server.close()
    await redis.discard()
  }
}

/** Characters that are pasted, and keystrokes after that. Behind the first thousand there is a checkpoint. */
const sizes = [
  [1_000, 100],
  [1_000, 900],
  [100_000, 3_000],
] as const

const written = async (redis: RedisServer, clients: readonly Client[], characters: number, keystrokes: number) => {
  const id = `sized-${characters}-${keystrokes}`
  const docs = await Promise.all(clients.map(client => client.open(id)))
  docs[0]!.insert(0, 'lorem ipsum '.repeat(Math.ceil(characters / 12)).slice(0, characters))
  await docs[0]!.settled('durable')
  const before = await fileBytes(redis)
  for (let i = 0; i < keystrokes; i++) {
    const doc = docs[i % docs.length]!
    doc.insert((i * 7_919) % doc.text.length, 'x')
    await doc.settled('sequenced')
  }
  await Promise.all(docs.map(doc => doc.settled('durable')))
  const file = (await fileBytes(redis)) - before
  await Promise.all(docs.map(doc => doc.close()))
  const parts = await redis.do(async client => {
    const keys = await client.keys(`inkwell:{${id}}:*`)
    const sizes = keys.map(async key => [
      key.slice(key.lastIndexOf(':') + 1),
      Number(await client.memory('USAGE', key, 'SAMPLES', 0)),
    ])
    return Object.fromEntries(await Promise.all(sizes)) as Record<string, number>
  })
  return { parts, file }
}

const fileBytes = async (redis: RedisServer): Promise<number> =>
  Number(/aof_current_size:(\d+)/.exec(await redis.do(client => client.info('persistence')))![1])

const inKiB = (parts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(parts).map(([key, bytes]) => [key, bytes / 1_024]))

// Servers that share one Redis, as their clients and their operator see them.

import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { ConfigurationError, createServer } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, opens, serving } from './worlds.ts'

const patience = { timeout: 60_000, interval: 50 }

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.discard())

describe('two servers on one Redis', () => {
  it('[P4] a document is edited through both at once, and both show the same', async () => {
    const urls = [await serving({ store: redisStore(redis.url) }), await serving({ store: redisStore(redis.url) })]
    const pens = [await opens(urls[0]!, 'shared'), await opens(urls[1]!, 'shared')]
    await pens[0]!.types('one ')
    await pens[1]!.showing('one ')
    await Promise.all(
      pens.map(async (pen, i) => {
        for (let k = 0; k < 20; k++) await pen.types(`${i}`)
      }),
    )
    await Promise.all(pens.map(pen => pen.reaching(41)))
    expect(pens[0]!.at).toEqual(pens[1]!.at)
    expect(pens[0]!.shows).toBe(pens[1]!.shows)
    expect([...pens[0]!.shows].sort().join('')).toBe(` ${'0'.repeat(20)}${'1'.repeat(20)}eno`)
    const late = await opens(urls[0]!, 'shared')
    expect(late.shows).toBe(pens[0]!.shows)
  })

  it('[P4] one of them is killed while it is written to: the other has what was confirmed, and it comes back where it was', async () => {
    const nodes = [await InkwellNode.start({ store: redis.url }), await InkwellNode.start({ store: redis.url })]
    for (const node of nodes) afterwards(() => node.kill())
    const [first, second] = nodes as [InkwellNode, InkwellNode]
    const pen = await opens(first.url, 'survivor')
    await pen.types('kept')
    await first.kill()
    expect((await opens(second.url, 'survivor')).shows).toBe('kept')
    await first.start()
    expect((await opens(first.url, 'survivor')).shows).toBe('kept')
    expect(await first.leave()).toBe(0)
  })
})

describe('an operator', () => {
  it('is told in production what would lose documents, and no server starts', async () => {
    const careless = await RedisServer.start()
    vi.stubEnv('NODE_ENV', 'production')
    const store = redisStore(careless.url)
    try {
      const refused = createServer({ store, logger: 'silent', authenticate: () => null })
      await expect(refused).rejects.toThrow(ConfigurationError)
      await expect(refused).rejects.toThrow(
        'store: Redis keeps no append-only file, so its restart loses documents: redis-cli config set appendonly yes',
      )
    } finally {
      vi.unstubAllEnvs()
      await store.close()
      await careless.discard()
    }
  })

  it('is told that Redis is away, where and why', async () => {
    const store = redisStore({ url: 'redis://127.0.0.1:1', callLimit: 300 })
    try {
      await expect(createServer({ store, logger: 'silent' })).rejects.toThrow(
        /store: redis:\/\/127\.0\.0\.1:1 cannot be opened: no connection to .*ECONNREFUSED/,
      )
    } finally {
      await store.close()
    }
  })

  it('[P7] sees in readyz that Redis has gone for longer than a hiccup, why, and that it is back', async () => {
    const own = await RedisServer.start({ settings: ['--appendonly', 'yes'] })
    try {
      const patient = await serving({ store: redisStore(own.url), limits: { unreadyAfter: 600_000 } })
      const strict = await serving({ store: redisStore(own.url), limits: { unreadyAfter: 400 } })
      const ready = async (url: string): Promise<unknown[]> => {
        const response = await fetch(`${url}/readyz`)
        return [response.status, await response.json()]
      }
      // The canary may have found it out as well.
      const away = expect.arrayContaining([expect.stringMatching(/^store redis has not answered for \d+ s: no connection$/)])
      for (const url of [patient, strict]) expect(await ready(url)).toEqual([200, { status: 'ok' }])
      await own.kill()
      await vi.waitFor(
        async () => expect(await ready(strict)).toMatchObject([503, { status: 'unready', reasons: away }]),
        patience,
      )
      await vi.waitFor(async () => expect(await ready(patient)).toMatchObject([200, { status: 'ok', reasons: away }]), patience)
      await own.start()
      for (const url of [patient, strict])
        await vi.waitFor(async () => expect(await ready(url)).toEqual([200, { status: 'ok' }]), patience)
    } finally {
      await own.discard()
    }
  })

  it('[P3] hears that Redis is full, in its words; what is typed meanwhile waits, and is kept once there is room', async () => {
    const own = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    afterwards(() => own.discard())
    const said: { kind?: string; err?: { message: string } }[] = []
    let hear = (): void => {}
    const heard = new Promise<void>(resolve => (hear = resolve))
    const logger = pino(
      { level: 'error' },
      {
        write: line => {
          said.push(JSON.parse(line))
          hear()
        },
      },
    )
    const url = await serving({ store: redisStore(own.url), logger })
    const client = connect(url)
    afterwards(() => client.close())
    const doc = await client.open('notes')
    doc.insert(0, 'before, ')
    await doc.settled('durable')
    await own.do(redis => redis.config('SET', 'maxmemory', '100kb'))
    doc.insert(doc.text.length, 'meanwhile')
    await heard
    expect(said[0]).toMatchObject({ kind: 'store-failed', err: { message: expect.stringMatching(/^OOM/) } })
    expect(doc.status).toBe('saving')
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    await own.do(redis => redis.config('SET', 'maxmemory', '0'))
    await doc.settled('durable')
    expect((await opens(url, 'notes')).shows).toBe('before, meanwhile')
  })
})

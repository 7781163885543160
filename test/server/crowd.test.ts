// What a node tells its clients about how many of them there are, and that it is there.

import { describe, expect, it } from 'vitest'
import { Crowd, reconnectRate } from '../../src/server/crowd.ts'
import { connects, serverWith } from './worlds.ts'

describe('the crowd', () => {
  it('[P5] however it grows, those told come back at no more than the target rate, and are told anew a few times only', () => {
    const crowd = new Crowd()
    let told = 0
    for (let size = 1; size <= 50_000; size++) {
      if (crowd.outgrown(size)) told++
      expect((1_000 * size) / crowd.spread).toBeLessThanOrEqual(reconnectRate)
      expect(crowd.spread).toBeLessThanOrEqual(Math.max(1_000, (1_501 * size) / reconnectRate))
    }
    expect(told).toBe(12)
    expect(crowd.outgrown(10)).toBe(false)
  })
})

describe('a probe', () => {
  it.each(['binary', 'json'] as const)(
    '[W50] is answered at once, before anything is joined and also while the node drains: %s',
    async form => {
      const server = await serverWith()
      const { url } = await server.listen(0)
      const client = connects(url, { form })
      expect(await client.next('welcome')).toMatchObject({ spread: 1_000 })
      client.send({ kind: 'probe' })
      expect(await client.next('alive')).toEqual({ kind: 'alive', spread: 1_000 })
      server.drain()
      client.send({ kind: 'probe' })
      expect(await client.next('alive')).toEqual({ kind: 'alive', spread: 1_000 })
    },
  )
})

it.each(['past Socket.IO', 'through Socket.IO'])(
  '[W51] those who came early are told when the crowd has grown; those who come then hear it in their welcome: %s',
  async way => {
    const server = await serverWith({ limits: { pingInterval: 1_000 } })
    if (way === 'through Socket.IO') void server.io
    const { url } = await server.listen(0)
    const first = connects(url)
    await first.next('welcome')
    // More than the target rate of a second: so many come back within one without any spread.
    for (let i = 0; i < reconnectRate; i += 50) await Promise.all(Array.from({ length: 50 }, () => connects(url).next('welcome')))
    expect(await first.next('alive')).toEqual({ kind: 'alive', spread: 1_504 })
    expect(await connects(url).next('welcome')).toMatchObject({ spread: 1_504 })
  },
)

// What the store makes of a Redis that has WAITAOF (7.2), against a stand-in: Debian's Redis has not got it.

import { type AddressInfo, createServer } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import type { AuthorId, DocId, Epoch } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { redisStore } from '../../src/stores/redis.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
const info = ['redis_version:7.2.4', 'role:master', 'aof_enabled:1', 'loading:0'].join('\r\n')
const settings: Record<string, string> = { appendonly: 'yes', appendfsync: 'everysec', 'maxmemory-policy': 'noeviction' }

/** Speaks as much of Redis' protocol as the store needs; an fsync comes so many milliseconds of waiting after each write of the witness. */
const standIn = async (fsyncAfter: number, answersAfter = 0): Promise<{ url: string; said: string[] }> => {
  const said: string[] = []
  let due = fsyncAfter
  const answer = ([name = '', ...words]: readonly string[]): string => {
    switch (name.toUpperCase()) {
      case 'INFO':
        return bulk(info)
      case 'CONFIG':
        return `*2\r\n${bulk(words[1]!)}${bulk(settings[words[1]!] ?? 'no')}`
      case 'SET':
        due = fsyncAfter
        return '+OK\r\n'
      case 'WAITAOF':
        due -= Number(words[2])
        return `*2\r\n:${due <= 0 ? 1 : 0}\r\n:0\r\n`
      case 'EVAL':
      case 'EVALSHA':
        said.push(words[1] === '3' ? 'append' : 'harden')
        return words[1] === '3' ? bulk(JSON.stringify(['1', emptyChain, '0', '0', '', 0, 'f'.repeat(16)])) : '*0\r\n'
      case 'HELLO':
        return `%3\r\n${bulk('server')}${bulk('redis')}${bulk('proto')}:3\r\n${bulk('role')}${bulk('master')}`
      default:
        return '+OK\r\n'
    }
  }
  const server = createServer(socket => {
    let text = ''
    socket.on('error', () => {})
    ends.push(() => socket.destroy())
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      for (let found = /^\*(\d+)\r\n/.exec(text); found !== null; found = /^\*(\d+)\r\n/.exec(text)) {
        const words: string[] = []
        let at = found[0].length
        for (let left = Number(found[1]); left > 0; left--) {
          const length = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20))
          if (length === null || text.length < at + length[0].length + Number(length[1]) + 2) return
          at += length[0].length
          words.push(text.slice(at, at + Number(length[1])))
          at += Number(length[1]) + 2
        }
        text = text.slice(at)
        said.push(words[0]!.toUpperCase())
        const reply = answer(words)
        if (words[0] === 'WAITAOF' && answersAfter > 0) setTimeout(() => socket.write(reply), answersAfter)
        else socket.write(reply)
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => server.close())
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, said }
}

it.each<[string, number, number, number]>([
  ['that comes when most of a second is over', 1_100, 0, 2_000],
  ['that is late', 2_900, 0, 2_000],
  ['for which Redis is waited for longer than a call may take', 1_000, 1_200, 1_000],
])('[R5] an fsync %s makes durable what was written before it', async (_, fsyncAfter, answersAfter, callLimit) => {
  const redis = await standIn(fsyncAfter, answersAfter)
  const store = redisStore({ url: redis.url, callLimit })
  ends.push(() => store.close())
  const at = { epoch: 'epoch' as Epoch, version: 1, chain: emptyChain }
  const reply = await vi.waitFor(
    () => store.log.append('doc' as DocId, at, [{ author: 'ann' as AuthorId, seq: 1, body: 'x' }]),
    20_000,
  )
  expect(reply).toMatchObject({ ok: true, durable: 0 })
  expect(store.log.durability).toBe('disk')
  await vi.waitFor(() => expect(redis.said).toContain('harden'), { timeout: 20_000, interval: 20 })
  expect(redis.said.filter(name => name === 'SET')).toHaveLength(1)
})

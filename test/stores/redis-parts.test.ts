// The parts of the Redis store that need no Redis: addresses, names, what settings promise, shared answers.

import { describe, expect, it, vi } from 'vitest'
import type { DocId } from '../../src/protocol/ids.ts'
import { readAddress } from '../../src/stores/redis/address.ts'
import { promisedBy, readSettings, type ServerSettings } from '../../src/stores/redis/durability.ts'
import { Flights } from '../../src/stores/redis/flights.ts'
import { Keys, slotOf } from '../../src/stores/redis/keys.ts'
import { RedisPresence } from '../../src/stores/redis/presence.ts'
import { Rooms } from '../../src/stores/redis/rooms.ts'
import type { Wire } from '../../src/stores/redis/wire.ts'

const open = { tls: false, username: null, password: null }

describe('an address of a Redis', () => {
  it.each([
    ['redis://localhost', { ...open, kind: 'standalone', at: { host: 'localhost', port: 6379 }, db: 0 }],
    ['redis://localhost:6380/2', { ...open, kind: 'standalone', at: { host: 'localhost', port: 6380 }, db: 2 }],
    ['redis://[::1]:7000/', { ...open, kind: 'standalone', at: { host: '::1', port: 7000 }, db: 0 }],
    [
      'rediss://ann:p%40ss%2F:x@db.example',
      { tls: true, username: 'ann', password: 'p@ss/:x', kind: 'standalone', at: { host: 'db.example', port: 6379 }, db: 0 },
    ],
    ['redis://:secret@h', { ...open, password: 'secret', kind: 'standalone', at: { host: 'h', port: 6379 }, db: 0 }],
    [
      'redis+sentinel://a,b:1/main/3',
      {
        ...open,
        kind: 'sentinel',
        at: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 1 },
        ],
        master: 'main',
        db: 3,
      },
    ],
    [
      'rediss+cluster://a:7000,[::2]',
      {
        ...open,
        tls: true,
        kind: 'cluster',
        at: [
          { host: 'a', port: 7000 },
          { host: '::2', port: 6379 },
        ],
      },
    ],
  ])('%s is read', (url, address) => {
    expect(readAddress(url).address).toEqual(address)
  })

  it('carries options, and is told to people without its password', () => {
    expect(readAddress('redis://ann:secret@h:1/4?prefix=app:&replicas=2&volatile=true')).toMatchObject({
      options: { prefix: 'app:', replicas: 2, volatile: true },
      name: 'redis://h:1/4',
    })
  })

  it.each([
    'http://localhost',
    'redis://',
    'redis:///0',
    'redis://h/x',
    'redis://h/0/1',
    'redis://h:0',
    'redis://h:99999',
    'redis://a,b',
    'redis://ann:%zz@h',
    'redis+sentinel://a',
    'redis+sentinel://a/m/0/1',
    'redis+cluster://a/0',
    'redis+elsewhere://a',
    'redis://h?replicas=many',
    'redis://h?colour=blue',
  ])('%s is refused with a sentence', url => {
    expect(() => readAddress(url)).toThrow(/\w/)
  })

  it('a faulty one is refused without its password', () => {
    expect(() => readAddress('redis://ann:secret@h/x')).toThrow(expect.not.stringContaining('secret'))
  })
})

describe('names in Redis', () => {
  const keys = new Keys('inkwell:', 0)
  it.each(['a', '{a}', '}{', '{', 'a}b', '{}', ' ', '%7B', '🖋', 'x'.repeat(256)])(
    'all of the document %j lie in one slot, and are no other document’s',
    id => {
      const doc = id as DocId
      const all = [keys.meta, keys.log, keys.authors, keys.checkpoint, keys.here, keys.witness, keys.channel].map(of => of(doc))
      expect(new Set(all).size).toBe(all.length)
      expect(new Set(all.map(slotOf)).size).toBe(1)
      expect(all.every(key => !all.some(other => other !== key && other.startsWith(key)))).toBe(true)
      expect(keys.meta(`${id}x` as DocId)).not.toBe(keys.meta(doc))
    },
  )

  it('slots are those of the specification', () => {
    expect(slotOf('123456789')).toBe(0x31c3)
    expect(slotOf('foo{bar}{zap}')).toBe(slotOf('bar'))
    expect(slotOf('foo{}{bar}')).toBe(slotOf(Buffer.from('foo{}{bar}').toString()))
    expect(slotOf('foo{{bar}}zap')).toBe(slotOf('{bar'))
  })

  it('channels of two databases of one server are not the same', () => {
    expect(new Keys('inkwell:', 1).channel('a' as DocId)).not.toBe(keys.channel('a' as DocId))
  })

  it('a prefix that would move the hash tag is refused', () => {
    expect(() => new Keys('app{1}:', 0)).toThrow('brace')
  })
})

const sound: ServerSettings = {
  version: [7, 0],
  appendonly: true,
  appendfsync: 'everysec',
  fsyncWhileRewriting: true,
  evicts: null,
  replica: false,
}
const own = { replicas: 0, volatile: false }

describe('what Redis can promise', () => {
  it.each<[string, readonly ServerSettings[], { replicas: number; volatile: boolean }, string, string, readonly string[]]>([
    ['a file synced every second, before 7.2', [sound], own, 'disk', 'watch', []],
    ['a file synced every second, from 7.2 on', [{ ...sound, version: [7, 2] }], own, 'disk', 'waitaof', []],
    ['a file synced with every reply', [{ ...sound, appendfsync: 'always' }], own, 'disk', 'at once', []],
    ['no file', [{ ...sound, appendonly: false }], own, 'memory', 'at once', ['fault']],
    [
      'no file, and that is well',
      [{ ...sound, appendonly: false }],
      { ...own, volatile: true },
      'memory',
      'at once',
      ['warning'],
    ],
    ['no file, but replicas', [{ ...sound, appendonly: false }], { ...own, replicas: 1 }, 'replicated', 'wait', ['warning']],
    ['a file that the system syncs', [{ ...sound, appendfsync: 'no' }], own, 'memory', 'at once', ['fault']],
    ['settings that are not told', [{ ...sound, appendfsync: null }], own, 'disk', 'watch', ['warning']],
    ['the weakest of a cluster', [{ ...sound, appendfsync: 'always' }, sound], own, 'disk', 'watch', []],
    ['one of a cluster without a file', [sound, { ...sound, appendonly: false }], own, 'memory', 'at once', ['fault']],
    ['one that evicts', [{ ...sound, evicts: 'allkeys-lru' }], own, 'disk', 'watch', ['fault']],
    ['an old one', [{ ...sound, version: [6, 2] }], own, 'disk', 'watch', ['fault']],
    ['a replica', [{ ...sound, replica: true }], own, 'disk', 'watch', ['fault']],
  ])('%s', (_, servers, asked, durability, rule, severities) => {
    const promised = promisedBy(servers, asked)
    expect(promised).toMatchObject({ durability, rule: { kind: rule } })
    expect(promised.findings.map(({ severity }) => severity)).toEqual(severities)
    for (const { sentence, mend } of promised.findings) expect([sentence, mend].every(text => /\w/.test(text))).toBe(true)
  })

  it('is read from INFO alone where CONFIG is forbidden', () => {
    const info = '# Server\r\nredis_version:7.4.1\r\nrole:master\r\naof_enabled:1\r\nmaxmemory_policy:volatile-lru\r\n'
    expect(readSettings(info, null)).toEqual({
      version: [7, 4],
      appendonly: true,
      appendfsync: null,
      fsyncWhileRewriting: false,
      evicts: 'volatile-lru',
      replica: false,
    })
  })
})

describe('a shared answer', () => {
  it('is one for all who ask before the question goes out; who comes later gets a newer one', async () => {
    const flights = new Flights<number>()
    let asked = 0
    const answers: (() => void)[] = []
    const ask = async (): Promise<number> => {
      const own = ++asked
      await new Promise<void>(resolve => answers.push(resolve))
      return own
    }
    const first = Array.from({ length: 1_000 }, () => flights.share('q', ask))
    const other = flights.share('another', ask)
    await Promise.resolve()
    await Promise.resolve()
    expect(asked).toBe(2)
    const second = Array.from({ length: 1_000 }, () => flights.share('q', ask))
    await new Promise(resolve => setImmediate(resolve))
    expect(asked, 'the second question waits for the first answer').toBe(2)
    answers[0]!()
    answers[1]!()
    expect(new Set(await Promise.all(first))).toEqual(new Set([1]))
    expect(await other).toBe(2)
    await new Promise(resolve => setImmediate(resolve))
    answers[2]!()
    expect(new Set(await Promise.all(second))).toEqual(new Set([3]))
  })

  it('that fails fails for all who shared it, and for nobody after', async () => {
    const flights = new Flights<number>()
    const failing = Array.from({ length: 3 }, () => flights.share('q', () => Promise.reject(new Error('away'))))
    for (const each of failing) await expect(each).rejects.toThrow('away')
    await expect(flights.share('q', async () => 7)).resolves.toBe(7)
  })
})

describe('a room that was not heard for a while', () => {
  const doc = 'doc' as DocId
  type Listener = Parameters<ConstructorParameters<typeof Rooms>[0]['listen']>[1]

  it('is looked after until that has succeeded, and not when nobody is in it any more', async () => {
    const listeners: Listener[] = []
    const listen = async (_: string, listener: Listener): Promise<() => void> => {
      listeners.push(listener)
      return () => {}
    }
    const rooms = new Rooms({ listen }, new Keys('inkwell:', 0))
    let tries = 0
    let tried = (): void => {}
    rooms.whenMissed(async room => {
      expect(room).toBe(doc)
      tries++
      tried()
      if (tries < 3) throw new Error('away')
    })
    const leave = await rooms.hold(doc)
    const third = new Promise<void>(resolve => (tried = () => tries === 3 && resolve()))
    listeners[0]!.missed()
    await third
    tries = 0
    const first = new Promise<void>(resolve => (tried = resolve))
    listeners[0]!.missed()
    leave()
    await first
    const others = await rooms.hold('other' as DocId)
    const pause = new Promise(resolve => setTimeout(resolve, 1_000)) // longer than that to the next try
    await pause
    others()
    expect(tries).toBe(1)
  })

  it('is told who has come and gone meanwhile, and nothing that is older than what it hears', async () => {
    const listeners: Listener[] = []
    const listen = async (_: string, listener: Listener): Promise<() => void> => {
      listeners.push(listener)
      return () => {}
    }
    const rooms = new Rooms({ listen }, new Keys('inkwell:', 0))
    const appearance = (peer: string, version: number) => ({ peer, user: { id: peer }, author: peer, version, state: {} })
    const here = (peer: string, version = 1) => ({ kind: 'here', appearance: appearance(peer, version) })
    const gone = (peer: string) => ({ kind: 'gone', peer })
    let read = (_: string[]): void => {}
    const wire = {
      whenLost: () => {},
      run: async () => ['node'],
      call: () => new Promise(resolve => (read = resolve)),
    }
    const presence = new RedisPresence({
      wire: wire as unknown as Wire,
      keys: new Keys('inkwell:', 0),
      rooms,
      publish: 'PUBLISH',
      lease: 60_000,
      peersPerDocument: 100,
    })
    const news: unknown[] = []
    const stop = await presence.subscribe(doc, told => news.push(...told))
    const [room] = listeners
    room!.hear(Buffer.from(`p${JSON.stringify(['stays', 'left', 'leaves', 'moves'].map(peer => here(peer)))}`))
    news.length = 0
    room!.missed()
    room!.hear(Buffer.from(`p${JSON.stringify([gone('leaves'), here('moves', 3), here('comes', 2)])}`))
    expect(news.splice(0)).toEqual([gone('leaves'), here('moves', 3), here('comes', 2)])
    read(['stays', 'leaves', 'moves', 'came'].map(peer => `node ${JSON.stringify(appearance(peer, 1))}`))
    await vi.waitFor(() => expect(news).toEqual([here('stays'), here('came'), gone('left')]))
    stop()
    await presence.close()
  })

  it('gives nobody what somebody else has said in its channel', async () => {
    const listeners: Listener[] = []
    const listen = async (_: string, listener: Listener): Promise<() => void> => {
      listeners.push(listener)
      return () => {}
    }
    const rooms = new Rooms({ listen }, new Keys('inkwell:', 0))
    const heard: unknown[] = []
    for (const feed of [rooms.announcements, rooms.news, rooms.signals]) feed.subscribe(doc, news => heard.push(news))
    await rooms.hold(doc)
    for (const message of ['', 'e', 'e[', 'e{}', 'e[1,2]', 'd', 'dnull', 'p', 's', 'zebra'])
      listeners[0]!.hear(Buffer.from(message))
    expect(heard).toEqual([])
    listeners[0]!.hear(Buffer.from('s"hello"'))
    expect(heard).toEqual(['hello'])
  })
})

// The parts of the Redis store that need no Redis: addresses, names, what settings promise, shared answers.

import { describe, expect, it, vi } from 'vitest'
import type { Entry } from '../../src/engine/ports.ts'
import type { AuthorId, Chain, DocId, Epoch } from '../../src/protocol/ids.ts'
import { readAddress } from '../../src/stores/redis/address.ts'
import { Hardening, promisedBy, readSettings, type ServerSettings } from '../../src/stores/redis/durability.ts'
import { Flights } from '../../src/stores/redis/flights.ts'
import { Heard } from '../../src/stores/redis/heard.ts'
import { Keys, slotOf } from '../../src/stores/redis/keys.ts'
import { type LogParts, RedisLog } from '../../src/stores/redis/log.ts'
import { Pacing } from '../../src/stores/redis/pacing.ts'
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
  holed: null,
  appendonly: true,
  appendfsync: 'everysec',
  fsyncWhileRewriting: true,
  rewriting: false,
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
    ['one with holes', [{ ...sound, holed: { release: '7.2.4', mended: '7.2.16' } }], own, 'disk', 'watch', ['warning']],
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
      holed: { release: '7.4.1', mended: '7.4.11' },
      appendonly: true,
      appendfsync: null,
      fsyncWhileRewriting: false,
      rewriting: false,
      evicts: 'volatile-lru',
      replica: false,
    })
  })

  it.each([
    ['7.2.15', '7.2.16'],
    ['7.2.16', null],
    ['7.4.10', '7.4.11'],
    ['8.2.0', '8.2.9'],
    ['8.10.0', '8.10.1'],
    ['8.10.2', null],
    ['8.0.4', null], // no release mends it, distributions do, and the number does not tell
    ['7.0.15', null],
    ['', null],
  ])('[P5] of Redis %j it is known whether it has holes, and that %j has none', (release, mended) => {
    const { holed } = readSettings(`redis_version:${release}\r\n`, null)
    expect(holed?.mended ?? null).toBe(mended)
    expect(readSettings(`redis_version:${release}\r\nserver_name:valkey\r\n`, null).holed).toBeNull()
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

describe('what was heard of a document', () => {
  const chainOf = (version: number): Chain => String(version).padStart(16, '0') as Chain
  const place = (version: number) => ({ epoch: 'epoch' as Epoch, version, chain: chainOf(version) })
  const entriesAfter = (from: number, count: number): Entry[] =>
    Array.from({ length: count }, (_, i) => ({ author: 'ann' as AuthorId, seq: from + i + 1, body: 'x', ...place(from + i + 1) }))
  const hears = (heard: Heard, from: number, count: number): void =>
    heard.hear({
      kind: 'entries',
      epoch: 'epoch' as Epoch,
      from,
      chain: chainOf(from),
      entries: entriesAfter(from, count),
      durable: 0,
    })

  it('is kept for a turn and forgotten with the next, and what comes then goes on from there', () => {
    const heard = new Heard()
    hears(heard, 7, 3)
    heard.turn()
    hears(heard, 10, 2)
    expect(heard.between(place(7), place(12))).toEqual(entriesAfter(7, 5))
    heard.turn()
    expect(heard.between(place(7), place(12))).toBeNull()
    expect(heard.between(place(10), place(12))).toEqual(entriesAfter(10, 2))
    heard.turn()
    expect(heard.between(place(10), place(12))).toBeNull()
    hears(heard, 10, 2) // repeated
    expect(heard.between(place(10), place(12))).toBeNull()
    hears(heard, 12, 1)
    expect(heard.between(place(12), place(13))).toEqual(entriesAfter(12, 1))
  })

  it('of a new history is not counted as that of the old one', () => {
    const heard = new Heard()
    hears(heard, 0, 9)
    heard.turn()
    heard.hear({
      kind: 'entries',
      epoch: 'another' as Epoch,
      from: 0,
      chain: chainOf(0),
      entries: entriesAfter(0, 2),
      durable: 0,
    })
    heard.turn()
    expect(heard.between({ ...place(0), epoch: 'another' as Epoch }, place(2))).toEqual(entriesAfter(0, 2))
  })

  it('is forgotten by a log whose document stays open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const turn = vi.spyOn(Heard.prototype, 'turn')
      const rooms = new Rooms({ listen: async () => () => {} }, new Keys('inkwell:', 0))
      const log = new RedisLog({ rooms } as unknown as LogParts)
      const stop = await log.subscribe('doc' as DocId, () => {})
      for (let minute = 0; minute < 6; minute++) vi.advanceTimersByTime(10_000)
      expect(turn).toHaveBeenCalledTimes(6)
      stop()
      vi.advanceTimersByTime(60_000)
      expect(turn).toHaveBeenCalledTimes(6)
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
      vi.restoreAllMocks()
    }
  })
})

describe('of the masters of a cluster', () => {
  const settings: Readonly<Record<string, string>> = {
    appendonly: 'yes',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
  }
  /** It tells its settings when it is there. */
  const master = (port: number, there: Promise<void>) => ({
    options: { host: 'redis', port },
    info: () => there.then(() => 'redis_version:7.0.15'),
    config: (_: string, name: string) => there.then(() => [name, settings[name] ?? 'no']),
  })
  const here = Promise.resolve()
  const away = async (): Promise<void> => {
    throw new Error('away')
  }

  /** A stand-in: no real server can be made to hang between two questions. */
  const cluster = (...masters: ReturnType<typeof master>[]) => {
    const world = { masters, mapped: () => {} }
    const wire = {
      whenLost: () => {},
      whenServerLost: () => {},
      whenMapped: (heed: () => void) => {
        world.mapped = heed
      },
      servers: async () => world.masters,
      inTime: (answer: unknown) => answer,
    } as unknown as Wire
    const keys = new Keys('inkwell:', 0)
    const parts = { append: wire, keys, publish: 'SPUBLISH', replicas: 0, volatile: false, witness: () => wire } as const
    return { world, hardening: new Hardening(parts) }
  }

  it('[P2] one that is away keeps no node from starting, and nothing is durable by an answer alone; all of them do', async () => {
    const { hardening } = cluster(master(1, here), master(2, away()))
    await hardening.known()
    expect([hardening.durability, hardening.atOnce]).toEqual(['disk', false])
    const none = cluster(master(1, away()), master(2, away())).hardening
    await expect(none.known()).rejects.toThrow('away')
  })

  it('[P3] one that comes back keeps nobody waiting who writes to the others, and until it has been asked nothing is durable by an answer alone', async () => {
    let comesToItself = (): void => {}
    const asked = new Promise<void>(resolve => (comesToItself = resolve))
    const { world, hardening } = cluster(master(1, here))
    await hardening.known()
    expect(hardening.atOnce).toBe(true)
    world.masters = [...world.masters, master(2, asked)]
    world.mapped()
    await vi.waitFor(() => expect(hardening.atOnce).toBe(false))
    expect(hardening.isKnown).toBe(true)
    comesToItself()
    await vi.waitFor(() => expect(hardening.atOnce).toBe(true))
    hardening.close()
  })
})

describe('what another node writes', () => {
  const at = (version: number) => ({ epoch: 'epoch' as Epoch, version, chain: String(version).padStart(16, '0') as Chain })

  it('is looked after by that node as long as it says so, however long it writes; by others when it says no more', async () => {
    vi.useFakeTimers()
    try {
      const hardened: unknown[] = []
      const server = {
        options: {},
        set: async () => 'OK',
        wait: async () => 1,
        info: async () => 'redis_version:7.0.15',
        config: async () => [],
      }
      const wire = {
        whenLost: () => {},
        whenServerLost: () => {},
        whenMapped: () => {},
        slots: null,
        servers: async () => [server],
        inTime: (answer: unknown) => answer,
        run: async (_script: unknown, _keys: unknown, [, version]: unknown[]) => {
          hardened.push(version)
          return []
        },
        close: () => {},
      } as unknown as Wire
      const keys = new Keys('inkwell:', 0)
      const hardening = new Hardening({
        append: wire,
        keys,
        publish: 'PUBLISH',
        replicas: 1,
        volatile: false,
        witness: () => wire,
      })
      await hardening.known()
      const doc = 'doc' as DocId
      for (let version = 1; version <= 10; version++) {
        hardening.note(doc, at(version), false)
        if (version > 1) hardening.reached(doc, at(version - 1))
        await vi.advanceTimersByTimeAsync(1_000)
      }
      expect(hardened).toEqual([])
      await vi.advanceTimersByTimeAsync(3_000)
      expect(hardened).toEqual([10])
      hardening.close()
    } finally {
      vi.useRealTimers()
    }
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

describe('when calls to Redis that can wait leave', () => {
  /** Milliseconds that each of so many calls waited, an even number of them a second. */
  const waits = (perSecond: number, calls: number): readonly number[] => {
    const pacing = new Pacing()
    let leaves = Number.NEGATIVE_INFINITY
    return Array.from({ length: calls }, (_, i) => {
      const now = (i * 1_000) / perSecond
      if (leaves <= now) pacing.leaves(leaves)
      const wait = pacing.comes(now)
      if (leaves <= now) leaves = now + wait
      return leaves - now
    })
  }

  it('[P8] where few come none waits', () => {
    expect(waits(500, 1_000).every(wait => wait === 0)).toBe(true)
  })

  it('[P8] where many come they gather, and none waits for longer than twelve milliseconds', () => {
    const all = waits(2_000, 2_000)
    expect(Math.max(...all)).toBeLessThanOrEqual(12)
    const writes = all.slice(1_000).filter(wait => wait === 0 || wait > 11).length
    expect(writes).toBeLessThan(100) // of 500 ms
  })

  it('a burst on a quiet node makes none wait', () => {
    const pacing = new Pacing()
    pacing.leaves(0)
    expect(Array.from({ length: 100 }, () => pacing.comes(1)).every(wait => wait === 0)).toBe(true)
  })
})

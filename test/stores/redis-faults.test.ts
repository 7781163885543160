// What befalls Redis, and the lines to it: kills, stops, lost tails, lost answers, subscribers thrown out, slots that move, masters that die.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Announcement, Appearance, Entry, LogReply, NewEntry, PresenceNews } from '../../src/engine/ports.ts'
import type { Json } from '../../src/ot/type.ts'
import type { AuthorId, DocId, PeerId, Position } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { slotOf } from '../../src/stores/redis/keys.ts'
import { type RedisOptions, type RedisStore, redisStore } from '../../src/stores/redis.ts'
import { RedisLine, RedisServer, type RedisServerOptions, startCluster } from '../redis.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const server = async (...settings: string[]): Promise<RedisServer> => {
  const started = await RedisServer.start({ settings } satisfies RedisServerOptions)
  ends.push(() => started.discard())
  return started
}

const synced = ['--appendonly', 'yes', '--appendfsync', 'always']

const storeAt = (url: string, options: Partial<RedisOptions> = {}): RedisStore => {
  const store = redisStore({ url, callLimit: 4_000, ...options })
  ends.push(() => store.close())
  return store
}

/** For tests in which something must come late, or never: a line that breaks can take an answer with it. */
const short = { callLimit: 600 }

const doc = 'doc' as DocId
const ann = 'ann' as AuthorId
const bob = 'bob' as AuthorId
const entry = (author: AuthorId, seq: number): NewEntry => ({ author, seq, body: `${author}${seq}` })
const patience = { timeout: 30_000, interval: 20 }

/** Writes at the end of what it knows. */
class Writer {
  readonly store: RedisStore
  at: Position
  private constructor(store: RedisStore, at: Position) {
    this.store = store
    this.at = at
  }

  static async open(store: RedisStore): Promise<Writer> {
    const { epoch, tail } = await store.log.open(doc)
    const last = tail.at(-1)
    return new Writer(store, { epoch, version: last?.version ?? 0, chain: last?.chain ?? emptyChain })
  }

  /** Answers what the log did not accept, or the new entries. */
  async write(...entries: NewEntry[]): Promise<readonly Entry[]> {
    const reply = await this.store.log.append(doc, this.at, entries)
    if (!reply.ok) throw new Error(reply.reason)
    const last = reply.entries.at(-1)
    if (last !== undefined) this.at = { ...this.at, version: last.version, chain: last.chain }
    return reply.entries
  }
}

const all = async (store: RedisStore): Promise<string[]> =>
  (await store.log.entries(doc, 0, 1_000_000)).map(({ author, seq }) => `${author}${seq}`)

const follow = async (store: RedisStore): Promise<Announcement[]> => {
  const heard: Announcement[] = []
  await store.log.subscribe(doc, announcement => heard.push(announcement))
  return heard
}

const versions = (heard: readonly Announcement[]): Set<number> =>
  new Set(heard.flatMap(news => (news.kind === 'entries' ? news.entries.map(({ version }) => version) : [])))

const appearance = (peer: string): Appearance => ({
  peer: peer as PeerId,
  user: { id: peer },
  author: peer as AuthorId,
  version: 0,
  state: {},
})

const watch = async (store: RedisStore): Promise<PresenceNews[]> => {
  const heard: PresenceNews[] = []
  await store.presence.subscribe(doc, news => heard.push(...news))
  return heard
}

const goneOf = (news: readonly PresenceNews[]): string[] => news.flatMap(item => (item.kind === 'gone' ? [item.peer] : [])).sort()
const listed = async (store: RedisStore): Promise<string[]> => (await store.presence.list(doc)).map(({ peer }) => peer).sort()

describe('Redis goes away', () => {
  it('killed and started again with its file, it has everything, and everything goes on by itself', async () => {
    const redis = await server(...synced)
    const store = storeAt(redis.url, short)
    const writer = await Writer.open(store)
    const heard = await follow(store)
    await writer.write(entry(ann, 1), entry(ann, 2))
    await redis.kill()
    await expect(writer.write(entry(ann, 3))).rejects.toThrow(/no connection to redis:\/\/127\.0\.0\.1:\d+/)
    await expect(store.log.open(doc)).rejects.toThrow('no connection')
    await expect(store.log.read(doc, writer.at)).rejects.toThrow('no connection')
    await expect(store.ready()).rejects.toThrow('no connection')
    await redis.start()
    await vi.waitFor(() => store.ready(), patience)
    expect(await store.log.open(doc)).toMatchObject({ epoch: writer.at.epoch, durable: 2 })
    expect((await writer.write(entry(ann, 2), entry(ann, 3))).map(({ version }) => version)).toEqual([3])
    await vi.waitFor(() => expect(versions(heard)).toContain(3), patience) // from which a gap shows, if the first was lost in the kill
    expect(await all(store)).toEqual(['ann1', 'ann2', 'ann3'])
  })

  it('says so from the first call on, when it was never there', async () => {
    const redis = await server()
    await redis.kill()
    const store = storeAt(redis.url, short)
    await expect(store.ready()).rejects.toThrow(/no connection to .*ECONNREFUSED/)
    await expect(store.log.open(doc)).rejects.toThrow('no connection')
    await expect(store.log.subscribe(doc, () => {})).rejects.toThrow('no connection')
    await expect(store.log.documents(null, 9)).rejects.toThrow('no connection')
    await expect(store.presence.subscribe(doc, () => {})).rejects.toThrow('no connection')
    store.presence.show(doc, appearance('p1'))
    store.signals.send(doc, 'lost')
    store.control.publish('lost')
    expect(await listed(store), 'those of this node are still known').toEqual(['p1'])
    await redis.start()
    await vi.waitFor(() => store.ready(), patience)
    await vi.waitFor(async () => expect(await listed(storeAt(redis.url))).toEqual(['p1']), patience)
  })

  it('stopped in the middle, every call ends within its limit, and nothing is doubled when it goes on', async () => {
    const redis = await server(...synced)
    const store = storeAt(redis.url, short)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    redis.stop()
    const calls = [
      writer.write(entry(ann, 2), entry(bob, 1)),
      writer.write(entry(ann, 2), entry(bob, 1)),
      store.log.read(doc, writer.at),
      store.log.open(doc),
      store.log.subscribe('other' as DocId, () => {}),
      store.ready(),
    ]
    for (const { status } of await Promise.allSettled(calls)) expect(status).toBe('rejected')
    await expect(calls[0]).rejects.toThrow(/no answer from .* within 600 ms/)
    redis.go()
    await vi.waitFor(() => store.ready(), patience)
    await vi.waitFor(() => writer.write(entry(ann, 2), entry(bob, 1)), patience)
    await writer.write(entry(ann, 2), entry(bob, 1), entry(bob, 2))
    expect(await all(store)).toEqual(['ann1', 'ann2', 'bob1', 'bob2'])
  })

  it('[R1] restarted without its tail, a position on it is behind, then a fork, and its edits are taken again', async () => {
    const redis = await server(...synced)
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1), entry(ann, 2))
    const kept = writer.at
    const copy = redis.copy()
    ends.push(() => copy.discard())
    await writer.write(entry(bob, 1), entry(ann, 3))
    const lost = writer.at
    await redis.kill()
    copy.putBack()
    await redis.start()
    await vi.waitFor(() => store.ready(), patience)
    expect(await store.log.read(doc, lost)).toEqual({ ok: false, reason: 'behind' })
    expect(await store.log.append(doc, lost, [entry(bob, 2)])).toEqual({ ok: false, reason: 'behind' })
    writer.at = kept
    await writer.write(entry(bob, 7), entry(bob, 8))
    expect(await store.log.read(doc, lost)).toEqual({ ok: false, reason: 'fork' })
    expect(await store.log.append(doc, lost, [entry(bob, 9)])).toEqual({ ok: false, reason: 'fork' })
    await writer.write(entry(bob, 1), entry(ann, 3))
    expect(await all(store)).toEqual(['ann1', 'ann2', 'bob7', 'bob8', 'ann3'])
  })

  it('empty, it has another log: whoever knew the old one is told, and whoever opens finds the new one', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await redis.do(client => client.flushall())
    const gone: LogReply = { ok: false, reason: 'epoch' }
    expect(await store.log.read(doc, writer.at)).toEqual(gone)
    expect(await store.log.append(doc, writer.at, [entry(ann, 2)])).toEqual(gone)
    const opened = await store.log.open(doc)
    expect(opened).toMatchObject({ tail: [], checkpoint: null })
    expect(opened.epoch).not.toBe(writer.at.epoch)
    expect(await store.log.append(doc, writer.at, [entry(ann, 2)])).toEqual(gone)
  })

  it('of which a part is gone, it is not taken for whole', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await writer.write(entry(ann, 2))
    await redis.do(client => client.del('inkwell:{doc}:log'))
    await expect(store.log.open(doc)).rejects.toThrow('maxmemory-policy')
    await expect(store.log.read(doc, { ...writer.at, version: 1 })).rejects.toThrow('maxmemory-policy')
  })
})

describe('a line to Redis breaks', () => {
  it('[R13] an append whose answer is lost has happened, and is recognised when it is offered again', async () => {
    const redis = await server(...synced)
    const line = await RedisLine.to(redis.port)
    ends.push(() => line.discard())
    const store = storeAt(line.url, short)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    line.swallow()
    await expect(writer.write(entry(ann, 2), entry(bob, 1))).rejects.toThrow('no answer')
    expect(line.swallowed).toBeGreaterThan(0)
    line.cut()
    await vi.waitFor(() => store.ready(), patience)
    const again = await writer.write(entry(ann, 2), entry(bob, 1))
    expect(again.map(({ author, seq, version }) => [author, seq, version])).toEqual([
      [ann, 2, 2],
      [bob, 1, 3],
    ])
    expect(await all(store)).toEqual(['ann1', 'ann2', 'bob1'])
  })

  it('made to forget its scripts, is taught them again', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await redis.do(client => client.script('FLUSH'))
    await writer.write(entry(ann, 2))
    expect(await all(store)).toEqual(['ann1', 'ann2'])
  })

  it('a document that is written to anew while the answer to its removal is on its way is listed', async () => {
    const redis = await server(...synced)
    const line = await RedisLine.to(redis.port)
    ends.push(() => line.discard())
    const [remover, store] = [storeAt(line.url), storeAt(redis.url)]
    const before = await Writer.open(store)
    await before.write(entry(ann, 1))
    await remover.ready()
    line.hold()
    const removing = remover.log.remove(doc)
    await vi.waitFor(async () => expect((await store.log.about(doc))?.removed).toBe(true), patience)
    const writer = await Writer.open(store)
    await writer.write(entry(bob, 1))
    line.release()
    expect(await removing).toBe(true)
    expect([await all(store), await store.log.documents(null, 9)]).toEqual([['bob1'], [doc]])
  })

  it('cut again and again while many write, everything is there once', async () => {
    const redis = await server()
    const line = await RedisLine.to(redis.port)
    ends.push(() => line.discard())
    const store = storeAt(line.url, short)
    const write = async (author: AuthorId): Promise<void> => {
      const writer = await Writer.open(store)
      for (let seq = 1; seq <= 60; seq++) {
        if (author === ann && seq % 12 === 0) line.cut()
        await vi.waitFor(() => writer.write(entry(author, seq)), patience)
      }
    }
    await Promise.all([ann, bob].map(write))
    await vi.waitFor(async () => {
      const found = await all(store)
      expect([found.length, new Set(found).size]).toEqual([120, 120])
    }, patience)
  })

  it('a subscriber that is thrown out hears again, and is told what it missed', async () => {
    const redis = await server()
    const [store, other] = [storeAt(redis.url, short), storeAt(redis.url, short)]
    const heard = await follow(store)
    const news = await watch(store)
    const writer = await Writer.open(other)
    other.presence.show(doc, appearance('stays'))
    other.presence.show(doc, appearance('goes'))
    await writer.write(entry(ann, 1))
    await vi.waitFor(() => expect([versions(heard).size, news.length]).toEqual([1, 2]), patience)
    // Thrown out for good, as far as the writing goes: what is said meanwhile is said into the void.
    await redis.do(async client => {
      await client.client('KILL', 'TYPE', 'PUBSUB')
      await client.multi().hdel('inkwell:{doc}:here', 'goes').exec()
    })
    await writer.write(entry(ann, 2))
    await vi.waitFor(() => expect(versions(heard)).toContain(2), patience)
    await vi.waitFor(() => expect(goneOf(news)).toEqual(['goes']), patience)
    await writer.write(entry(ann, 3))
    await vi.waitFor(() => expect(versions(heard)).toContain(3), patience)
  })

  it('a listener learns from a repeated announcement that its log is gone', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await redis.do(async client => {
      await client.flushall()
      await client.client('KILL', 'TYPE', 'PUBSUB')
    })
    await vi.waitFor(() => expect(heard.some(({ epoch }) => epoch !== writer.at.epoch)).toBe(true), patience)
  })

  it('a listener learns from a repeated announcement that its log is empty again', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    const meta = 'inkwell:{doc}:meta'
    const empty = await redis.do(client => client.hgetall(meta))
    await writer.write(entry(ann, 1))
    await vi.waitFor(() => expect(versions(heard)).toContain(1), patience)
    await redis.do(async client => {
      await client.multi().flushall().hset(meta, empty).exec()
      await client.client('KILL', 'TYPE', 'PUBSUB')
    })
    await vi.waitFor(() => expect(heard.some(({ epoch }) => epoch !== writer.at.epoch)).toBe(true), patience)
  })
})

describe('durability', () => {
  const untilDurable = async (heard: readonly Announcement[], version: number): Promise<void> =>
    vi.waitFor(() => expect(heard.some(news => news.kind === 'durable' && news.version >= version)).toBe(true), patience)

  const hasWaitaof = async (redis: RedisServer): Promise<boolean> => {
    const [, major, minor] = /redis_version:(\d+)\.(\d+)/.exec(await redis.do(client => client.info('server')))!
    return Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 2)
  }

  it('of a file that is synced every second is told some time after the write, by the writer', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    const store = storeAt(redis.url)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    expect(store.log.durability).toBe('disk')
    const checkpoint = { ...writer.at, horizon: 0, pruned: 0, body: 'text' }
    if (!(await hasWaitaof(redis))) expect(await store.log.checkpoint(doc, checkpoint), '[R5]').toBe(false) // else it may be durable by now
    await untilDurable(heard, 1)
    expect(heard.find(({ kind }) => kind === 'entries')).toMatchObject({ durable: 0 })
    expect(await store.log.open(doc)).toMatchObject({ durable: 1 })
    expect(await store.log.checkpoint(doc, checkpoint)).toBe(true)
  })

  it('that a dead writer can no longer tell is told by whoever has the document open', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    const [store, dies] = [storeAt(redis.url), redisStore(redis.url)]
    const heard = await follow(store)
    await (await Writer.open(dies)).write(entry(ann, 1))
    await dies.close()
    await untilDurable(heard, 1)
    expect((await store.log.open(doc)).durable).toBe(1)
  })

  it('[P7] of what grew in the place of a lost tail is told as well, though more had been written before', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    const store = storeAt(redis.url, short)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await untilDurable(heard, 1)
    const kept = writer.at
    const copy = redis.copy()
    ends.push(() => copy.discard())
    await writer.write(entry(bob, 1), entry(bob, 2), entry(bob, 3))
    await redis.kill()
    copy.putBack()
    await redis.start()
    await vi.waitFor(() => store.ready(), patience)
    writer.at = kept
    await writer.write(entry(ann, 2))
    await vi.waitFor(() => expect(heard).toContainEqual({ kind: 'durable', ...writer.at }), patience)
  })

  it('is not claimed while the file cannot be shown to be synced', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    const store = storeAt(redis.url)
    const heard = await follow(store)
    await (await Writer.open(store)).write(entry(ann, 1))
    // Without its file Redis keeps the settings it was asked for at the start, and looks at INFO find no file.
    await redis.do(client => client.config('SET', 'appendonly', 'no'))
    const looking = (await hasWaitaof(redis)) ? 'waitaof' : 'info'
    let own = 0
    const looksNow = async (): Promise<number> => {
      if (looking === 'info') own += 2 // the question below, and the client's when it connects
      const stats = await redis.do(client => client.info('commandstats'))
      return Number(new RegExp(`cmdstat_${looking}:calls=(\\d+)`).exec(stats)?.[1] ?? 0) - own
    }
    const before = await looksNow()
    await vi.waitFor(async () => expect((await looksNow()) - before).toBeGreaterThan(6), patience)
    expect(heard.filter(({ kind }) => kind === 'durable')).toEqual([])
    await redis.do(client => client.config('SET', 'appendonly', 'yes'))
    await untilDurable(heard, 1)
  })

  it('on replicas holds when they have it, and not while they do not answer', async () => {
    const [master, replica] = [await server(), await server()]
    await replica.do(client => client.replicaof('127.0.0.1', master.port))
    await vi.waitFor(
      async () => expect(await master.do(client => client.info('replication'))).toContain('state=online'),
      patience,
    )
    const store = storeAt(master.url, { replicas: 1 })
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await untilDurable(heard, 1)
    expect(store.log.durability).toBe('replicated')
    replica.stop()
    await writer.write(entry(ann, 2))
    const waits = async (): Promise<number> =>
      Number(/cmdstat_wait:calls=(\d+)/.exec(await master.do(client => client.info('commandstats')))?.[1] ?? 0)
    const before = await waits()
    await vi.waitFor(async () => expect((await waits()) - before).toBeGreaterThan(1), patience)
    expect((await store.log.open(doc)).durable).toBe(1)
    replica.go()
    await untilDurable(heard, 2)
    expect(await replica.do(client => client.hget('inkwell:{doc}:meta', 'v'))).toBe('2')
  })

  it('[P2] of a removal is waited for before it is answered', async () => {
    const [master, replica] = [await server(), await server()]
    const store = storeAt(master.url, { replicas: 1 })
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    const answered = vi.fn()
    const removing = store.log.remove(doc)
    removing.then(answered, answered)
    const waits = async (): Promise<number> =>
      Number(/cmdstat_wait:calls=(\d+)/.exec(await master.do(client => client.info('commandstats')))?.[1] ?? 0)
    await vi.waitFor(async () => expect((await store.log.about(doc))?.removed).toBe(true), patience)
    const before = await waits()
    await vi.waitFor(async () => expect((await waits()) - before).toBeGreaterThan(1), patience)
    expect(answered).not.toHaveBeenCalled()
    await replica.do(client => client.replicaof('127.0.0.1', master.port))
    expect(await removing).toBe(true)
    expect(await replica.do(client => client.hget('inkwell:{doc}:meta', 'x'))).toBe('1')
  })

  it('is what Redis’ settings allow, and what is wrong with them is said', async () => {
    const sentences = async (url: string): Promise<string[]> =>
      (await storeAt(url).findings()).map(({ severity, sentence }) => `${severity}: ${sentence}`)
    const bad = await server('--maxmemory-policy', 'allkeys-lru')
    expect(await sentences(bad.url)).toEqual([
      expect.stringMatching(/^fault: Redis keeps no append-only file/),
      expect.stringMatching(/^fault: Redis evicts keys .*allkeys-lru/),
    ])
    expect(await sentences(`${bad.url}?volatile=true`)).toContainEqual(expect.stringMatching(/^warning: .*append-only/))
    const good = await server(...synced)
    expect(await sentences(good.url)).toEqual([])
    const silent = await server('--appendonly', 'yes', '--rename-command', 'CONFIG', '')
    expect(await sentences(silent.url)).toEqual([expect.stringMatching(/^warning: Redis does not tell its settings/)])
    expect((await storeAt(silent.url).log.open(doc)).durable).toBe(0)
  })
})

describe('presence on several nodes', () => {
  const lease = 4_500 // a machine that is busy for three seconds kills nobody
  const node = (url: string, ...peers: string[]): ChildProcess => {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', new URL('redis-node.ts', import.meta.url).pathname, url, String(lease), doc, ...peers],
      { stdio: 'inherit' },
    )
    ends.push(() => {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
    })
    return child
  }

  it.each(['one server', 'a cluster'])(
    'on %s the people of a node that is killed are gone, told once to everybody',
    async where => {
      let url: string
      if (where === 'a cluster') {
        const cluster = await startCluster()
        ends.push(() => cluster.discard())
        url = cluster.url
      } else url = (await server()).url
      const stores = Array.from({ length: 3 }, () => storeAt(url, { presenceLease: lease }))
      const news = await Promise.all(stores.map(watch))
      stores[0]!.presence.show(doc, appearance('p0'))
      const [dies, lives] = [node(url, 'd1', 'd2'), node(url, 'l1')]
      await vi.waitFor(async () => expect(await listed(stores[1]!)).toEqual(['d1', 'd2', 'l1', 'p0']), patience)
      dies.kill('SIGKILL')
      await vi.waitFor(() => expect(news.map(goneOf)).toEqual(stores.map(() => ['d1', 'd2'])), patience)
      expect(await listed(stores[1]!)).toEqual(['l1', 'p0'])
      lives.kill('SIGTERM')
      await once(lives, 'exit')
      await vi.waitFor(() => expect(news.map(goneOf)).toEqual(stores.map(() => ['d1', 'd2', 'l1'])), patience)
      expect(await listed(stores[2]!)).toEqual(['p0'])
    },
  )

  it('a node that was stopped for longer than its lease shows its people again', async () => {
    const { url } = await server()
    const store = storeAt(url, { presenceLease: lease })
    const news = await watch(store)
    const child = node(url, 'p1', 'p2')
    await vi.waitFor(async () => expect(await listed(store)).toEqual(['p1', 'p2']), patience)
    child.kill('SIGSTOP')
    await vi.waitFor(() => expect(goneOf(news)).toEqual(['p1', 'p2']), patience)
    expect(await listed(store)).toEqual([])
    child.kill('SIGCONT')
    await vi.waitFor(async () => expect(await listed(store)).toEqual(['p1', 'p2']), patience)
    expect(goneOf(news), 'nobody left a second time').toEqual(['p1', 'p2'])
  })

  it('[P7] who came or left while the news were lost, on a line that never broke, is known after a while', async () => {
    const redis = await server()
    const line = await RedisLine.to(redis.port)
    ends.push(() => line.discard())
    const [store, other] = [storeAt(line.url, { presenceLease: lease }), storeAt(redis.url, { presenceLease: lease })]
    const news = await watch(store)
    const all = await watch(other)
    const known = (): string[] => {
      const here = new Set<string>()
      for (const item of news) item.kind === 'here' ? here.add(item.appearance.peer) : here.delete(item.peer)
      return [...here].sort()
    }
    for (const peer of ['stays', 'goes']) other.presence.show(doc, appearance(peer))
    await vi.waitFor(() => expect(known()).toEqual(['goes', 'stays']), patience)
    line.drops = () => true
    other.presence.remove(doc, 'goes' as PeerId)
    other.presence.show(doc, appearance('comes'))
    await vi.waitFor(() => expect([goneOf(all), line.dropped > 0]).toEqual([['goes'], true]), patience)
    await vi.waitFor(() => expect(known()).toEqual(['comes', 'stays']), patience)
    expect(goneOf(news)).toEqual(['goes'])
  })

  it('who leaves while Redis is away is gone when it is back', async () => {
    const redis = await server()
    const line = await RedisLine.to(redis.port)
    ends.push(() => line.discard())
    const [store, other] = [storeAt(line.url, { ...short, presenceLease: lease }), storeAt(redis.url, { presenceLease: lease })]
    const news = await watch(other)
    for (const peer of ['stays', 'goes']) store.presence.show(doc, appearance(peer))
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['goes', 'stays']), patience)
    line.cut()
    store.presence.remove(doc, 'goes' as PeerId)
    store.presence.show(doc, appearance('comes'))
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['comes', 'stays']), patience)
    await vi.waitFor(() => expect(goneOf(news)).toEqual(['goes']), patience)
  })

  it('who could not be listed because Redis was away is told of when it is back', async () => {
    const redis = await server()
    const [store, other] = [
      storeAt(redis.url, { ...short, presenceLease: 60_000 }),
      storeAt(redis.url, { presenceLease: 60_000 }),
    ]
    other.presence.show(doc, appearance('p1'))
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['p1']), patience)
    const news = await watch(store)
    redis.stop()
    expect(await listed(store)).toEqual([])
    redis.go()
    await vi.waitFor(() => expect(news).toEqual([{ kind: 'here', appearance: appearance('p1') }]), patience)
  })

  it('Redis, emptied, is told again who is here', async () => {
    const redis = await server()
    const [store, other] = [storeAt(redis.url, { presenceLease: lease }), storeAt(redis.url, { presenceLease: lease })]
    store.presence.show(doc, appearance('p1'))
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['p1']), patience)
    await redis.do(client => client.flushall())
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['p1']), patience)
  })

  it('a node that could only begin to say that it closes leaves nobody behind', async () => {
    const redis = await server()
    const [store, other] = [storeAt(redis.url, { presenceLease: lease }), storeAt(redis.url, { presenceLease: lease })]
    const news = await watch(other)
    store.presence.show(doc, appearance('goes'))
    await vi.waitFor(async () => expect(await listed(other)).toEqual(['goes']), patience)
    await redis.do(client => client.call('ACL', 'SETUSER', 'default', '-smembers')) // so that its grave is not found
    await store.close()
    expect(goneOf(news)).toEqual([])
    await redis.do(client => client.call('ACL', 'SETUSER', 'default', '+smembers'))
    await vi.waitFor(() => expect(goneOf(news)).toEqual(['goes']), patience)
    const left = (): Promise<string[]> => redis.do(client => client.keys('*documents:*'))
    await vi.waitFor(async () => expect(await left()).toEqual([]), patience)
  })

  it('[P7] by default a dead node’s people are shown, and its clients counted, for ten seconds at most', async () => {
    const redis = await server()
    const store = redisStore(redis.url)
    ends.push(() => store.close())
    store.presence.show(doc, appearance('p1'))
    await store.presence.list(doc)
    await store.seats.take('ann', 'client', 5)
    for (const leases of ['leases', 'hosts']) {
      const words = [['time'], ['zrange', `inkwell:{nodes}:${leases}`, '0', '-1', 'WITHSCORES']]
      const answer = await redis.do(client => client.multi(words).exec())
      const [[, [seconds, microseconds]], [, [, until]]] = answer as unknown as [
        [null, [string, string]],
        [null, [string, string]],
      ]
      const left = Number(until) - 1_000 * Number(seconds) - Number(microseconds) / 1_000
      expect(left).toBeGreaterThan(0)
      expect(left).toBeLessThanOrEqual(10_000)
    }
  })

  it('when everybody has left, nothing of them is kept', async () => {
    const redis = await server()
    const store = redisStore(redis.url)
    for (let i = 0; i < 20; i++) store.presence.show(`doc ${i}` as DocId, appearance(`p${i}`))
    expect(await store.presence.list('doc 19' as DocId)).toHaveLength(1)
    for (let i = 0; i < 10; i++) store.presence.remove(`doc ${i}` as DocId, `p${i}` as PeerId)
    await store.presence.list('doc 0' as DocId)
    await store.close()
    expect(await redis.do(client => client.keys('*'))).toEqual([])
  })
})

describe('what nodes and applications say', () => {
  const isKick = (said: Json): said is { from: number; kick: string } =>
    said !== null && typeof said === 'object' && 'from' in said

  it('reaches every node, those who said it included; what is too long is refused', async () => {
    const { url } = await server()
    const stores = [storeAt(url), storeAt(url)]
    const heard: unknown[] = []
    for (const [i, store] of stores.entries()) {
      await store.control.subscribe(message => heard.push([i, 'control', message]))
      await store.signals.subscribe(doc, payload => heard.push([i, 'signal', payload]))
      await store.signals.subscribe('other' as DocId, payload => heard.push([i, 'other', payload]))
    }
    stores[0]!.control.publish({ kick: 'ann' })
    await vi.waitFor(() => expect(heard).toHaveLength(2), patience)
    stores[1]!.signals.send(doc, ['wave', 'ä'])
    await vi.waitFor(() => expect(heard).toHaveLength(4), patience)
    expect(heard.sort()).toEqual([
      [0, 'control', { kick: 'ann' }],
      [0, 'signal', ['wave', 'ä']],
      [1, 'control', { kick: 'ann' }],
      [1, 'signal', ['wave', 'ä']],
    ])
    expect(() => stores[0]!.signals.send(doc, 'x'.repeat(131_073))).toThrow(RangeError)
  })

  it('while Redis stands still only so much of it waits as is named; what is more is never said', async () => {
    const redis = await server()
    const store = storeAt(redis.url, { callLimit: 60_000 }) // nothing is given up meanwhile
    const heard: Json[] = []
    await store.signals.subscribe(doc, payload => heard.push(payload))
    await store.signals.subscribe('other' as DocId, payload => heard.push(payload))
    redis.stop()
    for (let i = 0; i < 100; i++) store.signals.send(doc, `${i} ${'x'.repeat(100_000)}`)
    redis.go()
    await vi.waitFor(() => {
      store.signals.send('other' as DocId, 'over') // behind whatever has waited
      expect(heard).toContain('over')
    }, patience)
    expect(heard.filter(word => word !== 'over').map(word => Number.parseInt(String(word), 10))).toEqual(
      Array.from({ length: 41 }, (_, i) => i), // of a hundred kilobytes each, in 4 MiB
    )
  })

  it.each<[string, () => Promise<{ readonly url: string; readonly nodes: readonly RedisServer[] }>]>([
    [
      'one server',
      async () => {
        const only = await server()
        return { url: only.url, nodes: [only] }
      },
    ],
    [
      'a cluster',
      async () => {
        const cluster = await startCluster()
        ends.push(() => cluster.discard())
        return cluster
      },
    ],
  ])(
    '[P6] over %s a word of one node reaches all of them once, also after Redis was stopped, killed, and its lines were cut; foreign words in the channel are nobody’s',
    async (_, start) => {
      const { url, nodes } = await start()
      const stores = [storeAt(url, short), storeAt(url, short), storeAt(url, short)]
      const heard: Json[][] = stores.map(() => [])
      for (const [i, store] of stores.entries()) await store.control.subscribe(message => heard[i]!.push(message))
      const channel = 'inkwell:control'
      const owner = nodes[Math.floor((slotOf(channel) * nodes.length) / 16_384)]!
      let words = 0
      /** Says it until it is heard everywhere: at most once means that one said too early goes nowhere. */
      const reaches = async (from: RedisStore): Promise<void> => {
        const word = ++words
        await vi.waitFor(() => {
          from.control.publish([word, 'tried'])
          for (const list of heard) expect(list).toContainEqual([word, 'tried'])
        }, patience)
      }
      /** By now every line stands, so what is said is heard by all, once. */
      const onceEverywhere = async (): Promise<void> => {
        for (const [i, store] of stores.entries()) await reaches(store).then(() => store.control.publish({ from: i, kick: 'ä' }))
        await vi.waitFor(() => {
          for (const list of heard) expect(list.filter(isKick)).toHaveLength(3)
        }, patience)
        await reaches(stores[0]!) // had one come twice, the second would have come before this
        for (const list of heard) {
          const kicks = list.filter(isKick).sort((a, b) => a.from - b.from)
          expect(kicks).toEqual([0, 1, 2].map(from => ({ from, kick: 'ä' })))
          list.length = 0
        }
      }
      await onceEverywhere()
      for (const word of ['', 'nonsense', '{"kick":', '\xff\u0000', 'undefined'])
        await owner.do(redis => (nodes.length > 1 ? redis.spublish(channel, word) : redis.publish(channel, word)))
      await onceEverywhere()
      owner.stop()
      stores[0]!.control.publish('into the ice')
      const frozen = stores[0]!.spread?.(doc).find(({ server }) => server.endsWith(`:${owner.port}`))?.doc ?? doc
      await expect(stores[0]!.log.open(frozen)).rejects.toThrow('no answer')
      owner.go()
      await onceEverywhere()
      await owner.kill()
      stores[0]!.control.publish('lost')
      await owner.start()
      await onceEverywhere()
      const kinds = ['normal', 'pubsub'] as const
      for (const kind of kinds) for (const node of nodes) await node.do(redis => redis.call('CLIENT', 'KILL', 'TYPE', kind))
      await onceEverywhere()
    },
  )
})

describe('a document', () => {
  it('that nobody writes to is kept for a while only, one that is written to for good', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    const ttl = (): Promise<number> => redis.do(client => client.pttl('inkwell:{doc}:meta'))
    expect(await ttl()).toBeGreaterThan(0)
    await writer.write(entry(ann, 1))
    expect(await ttl()).toBe(-1)
    await store.log.open(doc)
    expect(await ttl()).toBe(-1)
  })

  it('with a long history is read whole, in answers of bounded size, and by a thousand joiners at once as by one', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const { epoch } = await store.log.open(doc)
    let at: Position = { epoch, version: 0, chain: emptyChain }
    const wide = 'w'.repeat(400)
    for (let i = 0; i < 40; i++) {
      const batch = Array.from({ length: 250 }, (_, k) => ({ author: ann, seq: 250 * i + k + 1, body: wide }))
      const reply = await store.log.append(doc, at, batch)
      if (!reply.ok) throw new Error(reply.reason)
      const last = reply.entries.at(-1)!
      at = { epoch, version: last.version, chain: last.chain }
    }
    const calls = async (): Promise<number> => {
      const stats = await redis.do(client => client.info('commandstats'))
      return [...stats.matchAll(/cmdstat_(?:eval|evalsha|xrange):calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
    }
    const before = await calls()
    const { tail } = await store.log.open(doc)
    const forOne = (await calls()) - before
    expect(tail.map(({ version }) => version)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
    expect(tail.at(-1)!.chain).toBe(at.chain)
    expect(forOne, '4 MB in answers of half a megabyte').toBeGreaterThanOrEqual(8)
    const opened = await Promise.all(Array.from({ length: 1_000 }, () => store.log.open(doc)))
    expect((await calls()) - before - forOne).toBe(forOne)
    expect(new Set(opened).size).toBe(1)
  })

  it('[P5] whose history is of keystrokes, and then of long pastes, is read in answers of bounded size all the same', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    let seq = 0
    for (let i = 0; i < 30; i++) await writer.write(...Array.from({ length: 50 }, () => entry(ann, ++seq)))
    const paste = 'p'.repeat(200_000)
    for (let i = 0; i < 60; i++) await writer.write({ author: ann, seq: ++seq, body: paste })
    for (let i = 0; i < 300; i++) await writer.write(entry(ann, ++seq))
    const calls = async (): Promise<number> => {
      const stats = await redis.do(client => client.info('commandstats'))
      return [...stats.matchAll(/cmdstat_(?:eval|evalsha):calls=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0)
    }
    const before = await calls()
    const read = await store.log.entries(doc, 0, 10_000)
    expect(read.map(({ version }) => version)).toEqual(Array.from({ length: 1_860 }, (_, i) => i + 1))
    expect(read.map(({ body }) => body.length).filter(length => length === paste.length)).toHaveLength(60)
    expect(read.at(-1)!.chain).toBe(writer.at.chain)
    expect((await calls()) - before, '12 MB in answers of a megabyte and a paste').toBeGreaterThanOrEqual(10)
    expect(await store.log.entries(doc, 1_490, 30)).toEqual(read.slice(1_490, 1_520))
  })

  it('takes as many entries at once as a client may send after a day in a tunnel', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    const batch = Array.from({ length: 10_000 }, (_, i) => entry(ann, i + 1))
    expect(await writer.write(...batch)).toHaveLength(10_000)
    expect(await writer.write(...batch)).toEqual([])
    expect(await all(store)).toHaveLength(10_000)
    await vi.waitFor(() => expect(versions(heard).size).toBe(10_000), patience)
  })

  it('[R3] that is trimmed leaves Redis’ memory, and is read from its horizon on', async () => {
    const redis = await server()
    const store = storeAt(redis.url)
    const writer = await Writer.open(store)
    for (let seq = 1; seq <= 3_000; seq += 2) await writer.write(entry(ann, seq), entry(bob, seq))
    const written = await store.log.entries(doc, 0, 3_000)
    const [horizon, last] = [written[2_899]!, written[2_999]!]
    const { epoch } = writer.at
    expect(await store.log.raiseHorizon(doc, epoch, 2_900)).toBe(3_000)
    const checkpoint = { epoch, version: 3_000, chain: last.chain, horizon: 2_900, pruned: 0, body: 'text' }
    expect(await store.log.checkpoint(doc, checkpoint)).toBe(true)
    expect(await redis.do(client => client.xlen('inkwell:{doc}:log'))).toBeLessThan(200)
    const reply = await store.log.read(doc, { epoch, version: 2_900, chain: horizon.chain })
    expect(reply).toMatchObject({ ok: true, entries: written.slice(2_900) })
    expect(await store.log.read(doc, { epoch, version: 2_900, chain: last.chain })).toEqual({ ok: false, reason: 'fork' })
  })
})

describe('Redis as a cluster or under sentinels', () => {
  const partial = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--cluster-require-full-coverage', 'no']

  it('[P2] one master hangs: a node that starts then serves the documents of the others, and no look finds it unready', async () => {
    const cluster = await startCluster(3, partial)
    ends.push(() => cluster.discard())
    const old = storeAt(cluster.url, short)
    await vi.waitFor(() => old.ready(), patience)
    const [hung] = cluster.nodes
    const here = old.spread!('doc' as DocId).filter(({ server }) => !server.endsWith(`:${hung!.port}`))
    expect(here).toHaveLength(2)
    for (const { doc: id } of here) {
      const { epoch } = await old.log.open(id)
      await old.log.append(id, { epoch, version: 0, chain: emptyChain }, [entry(ann, 1)])
    }
    hung!.stop()
    const fresh = storeAt(cluster.url, short)
    await vi.waitFor(() => fresh.ready(), patience)
    for (const { doc: id } of here) {
      const { epoch, tail } = await fresh.log.open(id)
      const { version, chain } = tail.at(-1)!
      const reply = await fresh.log.append(id, { epoch, version, chain }, [entry(bob, 1)])
      expect(reply).toMatchObject({ ok: true, entries: [{ author: bob, version: 2 }] })
    }
    for (let look = 0; look < 12; look++) await fresh.ready()
  }, 60_000)

  it('[P3] a master that comes back with weaker settings makes nothing durable by its answer alone', async () => {
    const cluster = await startCluster(3, partial)
    ends.push(() => cluster.discard())
    for (const node of cluster.nodes) await node.do(redis => redis.config('SET', 'appendfsync', 'always'))
    const store = storeAt(cluster.url, short)
    await vi.waitFor(() => store.ready(), patience)
    const [weak] = cluster.nodes
    const places = store.spread!('doc' as DocId)
    const id = places.find(({ server }) => server.endsWith(`:${weak!.port}`))!.doc
    const { epoch } = await store.log.open(id)
    const first = await store.log.append(id, { epoch, version: 0, chain: emptyChain }, [entry(ann, 1)])
    expect(first).toMatchObject({ ok: true, durable: 1 })
    await weak!.kill()
    await weak!.start() // as its file says: everysec
    await vi.waitFor(() => store.log.open(id), patience)
    for (let seq = 2; seq < 12; seq++) {
      const { tail } = await store.log.open(id)
      const { version, chain } = tail.at(-1)!
      const reply = await store.log.append(id, { epoch, version, chain }, [entry(ann, seq)])
      expect(reply).toMatchObject({ ok: true, durable: 1, entries: [{ version: seq }] })
    }
  }, 60_000)

  it('a document whose slot moves to another server is heard and written further on', { timeout: 120_000 }, async () => {
    const cluster = await startCluster()
    ends.push(() => cluster.discard())
    const store = storeAt(cluster.url)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await vi.waitFor(() => expect(versions(heard)).toContain(1), patience)
    const [first] = cluster.nodes
    const slot = await first!.do(client => client.cluster('KEYSLOT', '{doc}'))
    const ids = await Promise.all(cluster.nodes.map(node => node.do(client => client.cluster('MYID'))))
    const map = await first!.do(client => client.cluster('SLOTS'))
    const owner = map.find(([from, to]) => from <= slot && slot <= to)![2]![2]
    const from = cluster.nodes[ids.indexOf(owner)]!
    const to = cluster.nodes.find((_, i) => ids[i] !== owner)!
    const toId = ids[cluster.nodes.indexOf(to)]!
    await to.do(client => client.cluster('SETSLOT', slot, 'IMPORTING', owner))
    await from.do(client => client.cluster('SETSLOT', slot, 'MIGRATING', toId))
    const keys = (await from.do(client => client.cluster('GETKEYSINSLOT', slot, 100))) as string[]
    await from.do(client => client.call('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys))
    for (const node of [to, from, ...cluster.nodes.filter(node => node !== to && node !== from)])
      await node.do(client => client.cluster('SETSLOT', slot, 'NODE', toId))
    let seq = 2
    await vi.waitFor(() => writer.write(entry(ann, seq)), patience)
    await vi.waitFor(async () => {
      await writer.write(entry(ann, ++seq))
      await vi.waitFor(() => expect(versions(heard)).toContain(writer.at.version), { timeout: 500 })
    }, patience)
    expect(await all(store)).toEqual(Array.from({ length: seq }, (_, i) => `ann${i + 1}`))
  })

  it('when the master dies, the one that the sentinels choose is written to', { timeout: 120_000 }, async () => {
    const [master, replica] = [await server(), await server()]
    await replica.do(client => client.replicaof('127.0.0.1', master.port))
    await vi.waitFor(
      async () => expect(await master.do(client => client.info('replication'))).toContain('state=online'),
      patience,
    )
    const sentinel = await RedisServer.sentinel(master, 'main')
    ends.push(() => sentinel.discard())
    const store = storeAt(`redis+sentinel://127.0.0.1:${sentinel.port}/main`, short)
    const heard = await follow(store)
    const writer = await Writer.open(store)
    await writer.write(entry(ann, 1))
    await vi.waitFor(
      async () => expect(await sentinel.do(client => client.call('SENTINEL', 'REPLICAS', 'main'))).toHaveLength(1),
      patience,
    )
    await vi.waitFor(async () => expect(await replica.do(client => client.hget('inkwell:{doc}:meta', 'v'))).toBe('1'), patience)
    await master.kill()
    await vi.waitFor(() => writer.write(entry(ann, 2)), { timeout: 60_000, interval: 100 })
    expect(await replica.do(client => client.hget('inkwell:{doc}:meta', 'v'))).toBe('2')
    await vi.waitFor(() => expect(versions(heard)).toContain(2), patience)
  })
})

describe('the mark by which nodes know their Redis', () => {
  it('is made again by any node that has seen it young, should a crash take it while its maker is gone', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    const maker = redisStore(redis.url)
    await maker.ready()
    const other = storeAt(redis.url)
    await other.ready()
    await maker.close()
    const mark = await redis.do(client => client.get('inkwell:{store}:mark'))
    await redis.do(client => client.flushall())
    await other.ready()
    expect(await redis.do(client => client.get('inkwell:{store}:mark'))).toBe(mark)
  })

  it('is not made again by one that has seen an old one', async () => {
    const redis = await server('--appendonly', 'yes', '--appendfsync', 'everysec')
    await redis.do(client => client.set('inkwell:{store}:mark', `old.${Date.now() - 60_000}`))
    const store = storeAt(redis.url)
    await store.ready()
    await redis.do(client => client.flushall())
    await expect(store.ready()).rejects.toThrow('Redis was replaced')
    expect(await redis.do(client => client.get('inkwell:{store}:mark'))).toBe(null)
  })

  it('[R1] lies on each server of a cluster: whichever is emptied, its documents are not believed to be gone, and the others are open', async () => {
    const cluster = await startCluster()
    ends.push(() => cluster.discard())
    for (const node of cluster.nodes) {
      await node.do(redis => redis.config('SET', 'appendfsync', 'always'))
      await node.do(redis => redis.config('SET', 'appendonly', 'yes'))
    }
    const store = storeAt(cluster.url)
    await vi.waitFor(() => store.ready(), patience)
    const share = Math.ceil(16_384 / cluster.nodes.length)
    const docs = cluster.nodes.map((_, i) => {
      const names = Array.from({ length: 100 }, (_, n) => `doc-${n}`)
      return names.find(name => Math.floor(slotOf(name) / share) === i) as DocId
    })
    for (const id of docs) {
      const { epoch } = await store.log.open(id)
      await store.log.append(id, { epoch, version: 0, chain: emptyChain }, [entry(ann, 1)])
    }
    await cluster.nodes[2]!.do(redis => redis.flushall())
    await expect(store.ready()).rejects.toThrow('Redis was replaced')
    const opened = await Promise.all(docs.map(id => store.log.open(id)))
    expect(opened.map(({ replaced, tail }) => [replaced ?? false, tail.length])).toEqual([
      [false, 1],
      [false, 1],
      [true, 0],
    ])
    // One that does not answer is no other one.
    await cluster.nodes[2]!.kill()
    await expect(store.ready()).resolves.toBeUndefined()
  }, 60_000)
})

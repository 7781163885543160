// `inkwell verify` finds what a disk, a bug or a hand has done to a store, in the embedded one and in Redis.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkers } from '../../src/cli/checking.ts'
import type { Records } from '../../src/cli/reach.ts'
import { atRest } from '../../src/cli/verify.ts'
import { writeBody } from '../../src/engine/entry.ts'
import { countOf, entryAt, pageOf } from '../../src/engine/page.ts'
import type { Checkpoint, Entry, NewEntry, Page, Store } from '../../src/engine/ports.ts'
import { Text } from '../../src/ot/rope.ts'
import { type AuthorId, type Chain, type DocId, emptyChain, type Position } from '../../src/protocol/ids.ts'
import { link } from '../../src/stores/chain.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'
import { type Database, openDatabase, type Write } from '../../src/stores/embedded-database.ts'
import { redisStore } from '../../src/stores/redis.ts'
import * as rows from '../../src/stores/rows.ts'
import { Run } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'
import { does } from './does.ts'
import { writeHistories } from './histories.ts'

const folder = mkdtempSync(join(tmpdir(), 'inkwell-verify-'))
const sound = join(folder, 'sound')
let redis: RedisServer
afterAll(async () => {
  await redis.discard()
  rmSync(folder, { recursive: true })
})

beforeAll(async () => {
  redis = await RedisServer.start()
  await writeHistories(() => embeddedStore({ path: sound }))
  await writeHistories(() => redisStore(redis.url))
}, 60_000)

const verdict = async (environment: Record<string, string>, flags = {}) => does('verify', flags, environment)

// ---- the embedded store

interface Hands {
  readonly db: Database
  readonly number: number
  head(): ReturnType<typeof rows.readHead>
  entry(version: number): Entry
  checkpoint(): Checkpoint
  put(...writes: readonly Write[]): Promise<void>
}

/** A copy of the directory in which something has been done to a document behind the store's back. */
const harmed = async (doc: string, harm: (hands: Hands) => Promise<void>): Promise<Record<string, string>> => {
  const path = mkdtempSync(join(folder, 'harmed-'))
  cpSync(sound, path, { recursive: true })
  const db = openDatabase(path)
  await db.recover()
  const head = () => rows.readHead(db.heads.get(rows.idKey(doc as DocId))!)
  const { number } = head()
  await harm({
    ...{ db, number, head },
    entry: version => rows.readEntry(version, db.entries.get(rows.entryKey(number, version))!),
    checkpoint: () => rows.readCheckpoint(db.checkpoints.get(rows.checkpointKey(number))!),
    put: (...writes) => db.commit(writes),
  })
  await db.close()
  return { INKWELL_STORE: `embedded:${path}` }
}

const putEntry = ({ db, number }: Hands, entry: Entry, version = entry.version): Write => ({
  table: db.entries,
  key: rows.entryKey(number, version),
  value: rows.entryBytes(entry),
})
const putHead = ({ db }: Hands, doc: string, head: ReturnType<Hands['head']>): Write => ({
  table: db.heads,
  key: rows.idKey(doc as DocId),
  value: rows.headBytes(head),
})
const putCheckpoint = ({ db, number }: Hands, checkpoint: Checkpoint): Write => ({
  table: db.checkpoints,
  key: rows.checkpointKey(number),
  value: rows.checkpointBytes(checkpoint),
})

/** What a checkpoint's body says, with something else in its place. */
const rewritten = (checkpoint: Checkpoint, change: (stored: Record<string, never>) => object): Checkpoint => {
  const stored = JSON.parse(checkpoint.body) as Record<string, never>
  return { ...checkpoint, body: JSON.stringify({ ...stored, ...change(stored) }) }
}

const flipped = (body: string): string => body.replace('"7 "', '"5 "')

const harms: readonly (readonly [what: string, doc: string, harm: (hands: Hands) => Promise<void>, says: string])[] = [
  [
    'a flipped bit in an entry',
    'whole',
    hands => hands.put(putEntry(hands, { ...hands.entry(8), body: flipped(hands.entry(8).body) })),
    'version 8 is not what was written: its chain does not follow from the one before',
  ],
  [
    'a flipped bit in an entry behind the checkpoint of a log whose beginning is gone',
    'short',
    hands => hands.put(putEntry(hands, { ...hands.entry(20), seq: 11 })),
    'version 20 is not what was written',
  ],
  [
    'a missing entry',
    'whole',
    ({ put, db, number }) => put({ table: db.entries, key: rows.entryKey(number, 7), value: null }),
    'version 7 cannot be read: the log of document 1 lacks version 7',
  ],
  [
    'an entry in the place of the next one',
    'whole',
    hands => hands.put(putEntry(hands, hands.entry(7), 8)),
    'version 8 is not what was written',
  ],
  [
    'an entry that is in twice, with everything else in order',
    'whole',
    async hands => {
      const last = hands.entry(20)
      const again = { ...last, version: 21, chain: link(last.chain, last) }
      const { put, head } = hands
      await put(putEntry(hands, again), putHead(hands, 'whole', { ...head(), version: 21, chain: again.chain }))
    },
    'version 21 is edit 10 of',
  ],
  [
    'an entry after the end',
    'whole',
    hands => hands.put(putEntry(hands, { ...hands.entry(20), version: 21 })),
    'the log of "whole" goes on after its end at 20',
  ],
  [
    'an end that is not the log’s',
    'whole',
    hands => hands.put(putHead(hands, 'whole', { ...hands.head(), chain: hands.entry(19).chain })),
    'version 20 has another chain than the log says of its end',
  ],
  [
    'a checkpoint with another text',
    'whole',
    hands =>
      hands.put(
        putCheckpoint(
          hands,
          rewritten(hands.checkpoint(), ({ value }) => ({ value: `!${String(value).slice(1)}` })),
        ),
      ),
    'has a checkpoint whose text is not the one that was written',
  ],
  [
    'a checkpoint with another text and the hash of that',
    'whole',
    hands => {
      const wrong = (value: unknown) => `!${String(value).slice(1)}`
      const change = ({ value }: Record<string, never>) => ({ value: wrong(value), hash: Text.of(wrong(value)).hash })
      return hands.put(putCheckpoint(hands, rewritten(hands.checkpoint(), change)))
    },
    'has a checkpoint that has another text than the log leads to',
  ],
  [
    'a checkpoint with a text of another length where the beginning is gone',
    'short',
    hands => {
      const change = ({ value }: Record<string, never>) => ({ value: `!${value}`, hash: Text.of(`!${value}`).hash })
      return hands.put(putCheckpoint(hands, rewritten(hands.checkpoint(), change)))
    },
    'has a checkpoint whose text is not of the length to which its last commit leads',
  ],
  [
    'a checkpoint of another history',
    'whole',
    hands => hands.put(putCheckpoint(hands, { ...hands.checkpoint(), chain: 'fedcba9876543210' as Chain })),
    'has a checkpoint that',
  ],
  [
    'a checkpoint in which a commit does something else',
    'short',
    hands => {
      const change = ({ commits }: Record<string, never>) => ({
        commits: (commits as unknown[][]).map((commit, i) => (i === 2 ? [...commit.slice(0, 5), ['?'], commit[6]] : commit)),
      })
      return hands.put(putCheckpoint(hands, rewritten(hands.checkpoint(), change)))
    },
    'does something else than its entry',
  ],
  [
    'a checkpoint with the commits of somebody else',
    'whole',
    hands => {
      const change = ({ commits }: Record<string, never>) => ({
        commits: (commits as unknown[][]).map((commit, i) => (i === 2 ? ['eve' as AuthorId, ...commit.slice(1)] : commit)),
      })
      return hands.put(putCheckpoint(hands, rewritten(hands.checkpoint(), change)))
    },
    'has another commit 3 than the log leads to',
  ],
  [
    'a checkpoint that is gone',
    'whole',
    ({ put, db, number }) => put({ table: db.checkpoints, key: rows.checkpointKey(number), value: null }),
    'cannot be opened',
  ],
]

it('[P1] a sound store is found sound, however much of its history is kept', async () => {
  for (const environment of [{ INKWELL_STORE: `embedded:${sound}` }, { REDIS_URL: redis.url }]) {
    const { code, out } = await verdict(environment)
    expect([code, out]).toEqual([0, expect.stringMatching(/^sound: 2 documents with \d+ commits\n$/)])
    const [short, whole] = (await verdict(environment, { json: true })).out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(whole).toEqual({ id: 'whole', commits: 20, flaws: [], untold: 0, unread: null })
    expect(short.commits).toBeLessThan(20)
    expect({ ...short, commits: 0 }).toEqual({ id: 'short', commits: 0, flaws: [], untold: 0, unread: null })
  }
})

it.each(harms)('[P1] %s is found', async (_, doc, harm, says) => {
  const { code, out } = await verdict(await harmed(doc, harm))
  expect(out).toContain(`${doc}: version `)
  expect(out).toContain(says)
  expect(out).toMatch(/1 of 2 documents with \d+ commits is not sound\n$/)
  expect(code).toBe(1)
})

it('[P1] a log that is trimmed while it is looked at is sound all the same', async () => {
  const store = embeddedStore({ path: (await harmed('whole', async () => {})).INKWELL_STORE!.slice('embedded:'.length) })
  const { log } = store
  const whole = 'whole' as DocId
  const about = (await log.about(whole))!
  let trims = 0
  const open: typeof log.open = async doc => {
    if (trims++ === 0) {
      // What a node does that takes the next checkpoint at just this moment.
      const { checkpoint } = await log.open(doc)
      await log.raiseHorizon(doc, about.epoch, checkpoint!.horizon + 3)
      const floorChain = (await log.entries(doc, 2, 1))[0]!.chain
      const body = rewritten(checkpoint!, ({ commits }) => ({ floorChain, commits: (commits as unknown[]).slice(3) })).body
      expect(await log.checkpoint(doc, { ...checkpoint!, horizon: 3, body })).toBe(true)
    }
    return log.open(doc)
  }
  const records = { ...portOf(log), open }
  const found = await atRest({ records, checkers: checkers(), passed: () => {} }, whole, about)
  await store.close()
  expect([found.flaws, found.commits, trims]).toEqual([[], 17, 2])
})

const portOf = (log: Store['log']): Records => ({
  about: doc => log.about(doc),
  open: doc => log.open(doc),
  entries: (doc, after, limit) => log.entries(doc, after, limit),
  documents: (after, limit) => log.documents(after, limit),
  append: (doc, at, entries) => log.append(doc, at, entries),
  plant: (doc, seed) => log.plant(doc, seed),
  settle: (doc, epoch, checkpoint) => log.settle(doc, epoch, checkpoint),
})

// ---- a long history, part of which is checked in another thread

const author = 'AAAAAAAAAAAAAAAA' as AuthorId

/** So many keystrokes; whoever types loses touch for a moment each hundredth time. */
const keystrokes = (count: number): NewEntry[] =>
  Array.from({ length: count }, (_, i) => {
    const base = i % 100 === 99 ? i - 3 : i
    const body = writeBody({
      base,
      op: i === 0 ? ['é'] : [1, '\u4e00"x'[i % 3]!],
      user: 'u',
      time: i,
      type: i === 0 ? 'text' : null,
    })
    return { author, seq: i + 1, body }
  })

const long = 60_000

it('[P1] of a long history that is checked in two threads the same is found: nothing, and what has been done to it', async () => {
  const path = join(folder, 'long')
  const store = embeddedStore({ path })
  const { log } = store
  let at: Position = { epoch: (await log.open('long' as DocId)).epoch, version: 0, chain: emptyChain }
  for (const all = keystrokes(long); all.length > 0; ) {
    const reply = await log.append('long' as DocId, at, all.splice(0, 1_000))
    if (!reply.ok) throw new Error(reply.reason)
    const last = reply.entries.at(-1)!
    at = { ...at, version: last.version, chain: last.chain }
  }
  await store.close()
  const verify = async () => {
    const run = new Run(['verify', '--store', `embedded:${path}`], {}, 'dist/cli/main.js') // threads run as they are built
    afterwards(() => run.signal('SIGKILL'))
    return [await run.ended, run.out, run.err]
  }
  expect(await verify()).toEqual([0, `sound: 1 document with ${long} commits\n`, ''])

  const db = openDatabase(path)
  await db.recover()
  const entryAt = (version: number) => {
    const key = rows.entryKey(1, version)
    return { key, entry: rows.readEntry(version, db.entries.get(key)!) }
  }
  const change = (version: number, by: Partial<Entry>): Write => {
    const { key, entry } = entryAt(version)
    return { table: db.entries, key, value: rows.entryBytes({ ...entry, ...by }) }
  }
  const ahead = writeBody({ base: 50_000, op: ['x'], user: 'u', time: 0, type: null })
  await db.commit([
    change(7_000, { seq: 1 }),
    { table: db.entries, key: entryAt(30_001).key, value: null },
    change(9_000, { body: ahead }),
  ])
  await db.close()
  const [code, out] = await verify()
  expect([code, out]).toEqual([
    1,
    [
      'long: version 7000 is not what was written: its chain does not follow from the one before',
      `long: version 7000 is edit 1 of ${author}, and edit 6999 is in before: it is doubled`,
      'long: version 9000 is not what was written: its chain does not follow from the one before',
      'long: version 9000 cannot be replayed: entry 9000 is made on version 50000; held are 0 to 8999',
      'long: version 30001 cannot be read: the log of document 1 lacks version 30001',
      `1 of 1 document with ${long - 1} commits is not sound`,
      '',
    ].join('\n'),
  ])
}, 60_000)

it('what goes to another thread arrives as it was', () => {
  const entries = keystrokes(250).map(
    (entry, i): Entry => ({ ...entry, author: `a${i % 3}` as AuthorId, version: i + 5, chain: `${i}` as Chain }),
  )
  const entriesIn = (page: Page): Entry[] => Array.from({ length: countOf(page) }, (_, i) => entryAt(page, i))
  expect(entriesIn(structuredClone(pageOf(entries)))).toEqual(entries)
  expect(entriesIn(pageOf([]))).toEqual([])
})

// ---- Redis

const key = (what: string): string => `inkwell:{whole}:${what}`

const inRedis: readonly (readonly [what: string, harm: (redis: Redis) => Promise<unknown>, says: string])[] = [
  [
    'a flipped bit in an entry',
    async redis => {
      const stream = await redis.xrange(key('log'), '-', '+')
      await redis.del(key('log'))
      for (const [id, fields] of stream) await redis.xadd(key('log'), id, ...fields.map(flipped))
    },
    'version 8 is not what was written',
  ],
  [
    'a missing entry',
    async redis => redis.xdel(key('log'), ((await redis.xrange(key('log'), '-', '+'))[6] ?? ['?'])[0]),
    'cannot be read',
  ],
  [
    'a doubled entry',
    async redis => {
      const [[, fields]] = (await redis.xrevrange(key('log'), '+', '-', 'COUNT', 1)) as [[string, string[]]]
      return redis.xadd(key('log'), '21-0', ...fields)
    },
    'goes on after its end at 20',
  ],
  [
    'a wrong checkpoint',
    async redis => {
      const body = (await redis.hget(key('checkpoint'), 'b'))!
      return redis.hset(key('checkpoint'), 'b', body.replace('"value":"0', '"value":"9'))
    },
    'has a checkpoint whose text is not the one that was written',
  ],
  ['a checkpoint that is gone', redis => redis.del(key('checkpoint')), 'cannot be opened'],
]

it.each(inRedis)('[P1] in Redis %s is found', async (_, harm, says) => {
  const keys = [key('log'), key('checkpoint')]
  const { code, out } = await redis.do(async redis => {
    const kept = await Promise.all(keys.map(key => redis.dumpBuffer(key)))
    try {
      await harm(redis)
      return await verdict({ REDIS_URL: `redis://127.0.0.1:${redis.options.port}` })
    } finally {
      for (const [i, key] of keys.entries()) await redis.restore(key, 0, kept[i]!, 'REPLACE')
    }
  })
  expect(out).toContain('whole: version ')
  expect(out).toContain(says)
  expect(out).toMatch(/1 of 2 documents with \d+ commits is not sound\n$/)
  expect(code).toBe(1)
})

it('[P5] some entries of a long log in Redis cost what they are, and not what follows them', async () => {
  const store = redisStore({ url: redis.url, prefix: 'long:' })
  try {
    const { log } = store
    const doc = 'long' as DocId
    let at: Position = { epoch: (await log.open(doc)).epoch, version: 0, chain: emptyChain }
    for (const all = keystrokes(30_000); all.length > 0; ) {
      const reply = await log.append(doc, at, all.splice(0, 1_000))
      if (!reply.ok) throw new Error(reply.reason)
      const last = reply.entries.at(-1)!
      at = { ...at, version: last.version, chain: last.chain }
    }
    const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await redis.do(client => client.info('stats')))![1])
    for (const [after, limit] of [
      [0, 1_000],
      [1_500, 1_000],
      [10_001, 3_998],
      [29_999, 1],
    ] as const) {
      const before = await sent()
      const entries = await log.entries(doc, after, limit)
      expect(entries.map(({ version }) => version)).toEqual(Array.from({ length: limit }, (_, i) => after + i + 1))
      expect((await sent()) - before).toBeLessThan(200 * (limit + 2_000)) // bytes; entries lie there by the thousand
    }
  } finally {
    await store.close()
  }
})

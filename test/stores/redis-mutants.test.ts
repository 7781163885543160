// The laws have teeth in Redis too: each fault put into a script is caught by one of them.

import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Announcement } from '../../src/engine/ports.ts'
import type { AuthorId, DocId } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { harden, prune, scripts, trim } from '../../src/stores/redis/scripts.ts'
import { redisStore } from '../../src/stores/redis.ts'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'
import { RedisServer } from '../redis.ts'

/** In this script, this text, which must occur once, becomes that one. */
type Fault = readonly [fault: string, script: string, found: string, became: string]

const faults: readonly Fault[] = [
  [
    'any epoch is good for an append',
    'append',
    "if not log or log.epoch ~= epoch then return 'epoch' end",
    "if not log then return 'epoch' end",
  ],
  [
    'any epoch is good for a read',
    'read',
    "if not log or log.epoch ~= epoch then return 'epoch' end",
    "if not log then return 'epoch' end",
  ],
  [
    'a position ahead of the log is good',
    'append',
    "if version > log.version then return 'behind' end",
    'if version > log.version then return nil end',
  ],
  ['a position below the horizon is good', 'append', "if version < log.horizon then return 'horizon' end", ''],
  ['[R1] the chain is not compared', 'append', "if known ~= chain then return 'fork' end", ''],
  [
    '[R1] the chain in the middle of a stretch is that of its end',
    'append',
    'return string.sub(fields[2 * nth - 1], 1, 16)',
    'return string.sub(fields[#fields - 1], 1, 16)',
  ],
  [
    '[R1] the chain of a stretch’s first entry is the one before it',
    'append',
    'return string.sub(fields[1], 18, 33)',
    'return string.sub(fields[1], 1, 16)',
  ],
  ['[R13] duplicates are taken', 'append', 'if tonumber(seq) > last then', 'if true then'],
  ['[R13] an equal seq is taken', 'append', 'if tonumber(seq) > last then', 'if tonumber(seq) >= last then'],
  ['[R13] duplicates within a batch are taken', 'append', 'local last = rows[author] and rows[author][1]', 'local last = nil'],
  ['[R13] the authors’ rows are not kept', 'append', "redis.call('HSET', KEYS[3], author,", 'local _ = (author ..'],
  [
    '[R13] seqs are compared as words',
    'append',
    'if tonumber(landed) > log.pruned then last = tonumber(known) end',
    'if tonumber(landed) > log.pruned then last = known >= seq and 2 ^ 53 or 0 end',
  ],
  ['[R13] to plant again forgets what has been appended', 'plant', "'HSETNX', KEYS[3]", "'HSET', KEYS[3]"],
  ['[R7] rows above the mark are deleted', 'prune', '<= log.pruned', '<= log.pruned + 2'],
  ['the body does not count for the chain', 'append', ".. seq .. '|' .. body)", ".. seq .. '|')"],
  ['a version is left out', 'append', 'version = version + 1', 'version = version + (version > 3 and 2 or 1)'],
  ['a removed log leaves its authors', 'remove', 'KEYS[2], KEYS[3], KEYS[4])\nlocal', 'KEYS[2], KEYS[4])\nlocal'],
  ['a removed log leaves no word', 'remove', ", 'x', 1)", ')'],
  ['nobody hears of a removed log', 'remove', 'redis.call(ARGV[4], ARGV[3]', 'local _ = (ARGV[3]'],
  ['what is brought from elsewhere can be opened half', 'open', "if log.planted then return { 'planted' } end", ''],
  [
    'what is brought from elsewhere takes any place',
    'plant',
    'if log and (log.planted or log.version > 0) then',
    'if log and log.planted then',
  ],
  [
    'any import goes on with any other',
    'plant',
    'log.planted and log.epoch == ARGV[1] and log.floor == tonumber(ARGV[2]) and log.floorChain == ARGV[3]',
    'log.planted',
  ],
  ['[R13] an import brings no authors', 'plant', 'for i = 4, #ARGV, 2 do', 'for i = 4, 0 do'],
  [
    '[R1] an import ends with a checkpoint of another history',
    'settle',
    'if chainAt(log, version) ~= ARGV[5] then return 0 end',
    '',
  ],
  ['an import ends without the checkpoint that it needs', 'settle', 'elseif log.floor > 0 then return 0 end', 'end'],
  ['an import does not end', 'settle', "redis.call('HDEL', KEYS[1], 'i')", ''],
  ['nothing is announced', 'append', 'redis.call(ARGV[5], ARGV[4]', 'local _ = (ARGV[4]'],
  ['a stretch is written without its end', 'append', 'if fields then write() end', ''],
  ['the head is not moved', 'append', "'v', string.format('%.0f', version), ", ''],
  [
    'an open forgets the checkpoint',
    'open',
    "log.checkpoint > 0 and redis.call('HMGET', KEYS[4], 'e', 'v', 'c', 'h', 'p', 'b')",
    'nil',
  ],
  ['each open makes a new log', 'open', 'if not log then', 'if log == nil or log.version == 0 then'],
  [
    '[R3] a horizon above the log’s version is raised to',
    'raise',
    'math.min(tonumber(ARGV[2]), log.version)',
    'tonumber(ARGV[2])',
  ],
  ['[R3] a horizon is lowered', 'raise', 'if to > log.horizon then', 'if true then'],
  ['[R3] raising ignores the epoch', 'raise', 'if not log or log.epoch ~= ARGV[1] then return -1 end', ''],
  ['[R3] a checkpoint above the horizon’s reach is stored', 'checkpoint', 'or horizon > log.horizon', ''],
  ['[R5] a checkpoint at its own horizon is stored', 'checkpoint', 'or version <= horizon', 'or version < horizon'],
  ['a checkpoint of another history is stored', 'checkpoint', 'if chainAt(log, version) ~= ARGV[3] then return 0 end', ''],
  ['an older checkpoint is stored', 'checkpoint', 'or version < log.checkpoint', ''],
  ['[R7] a prune mark is lowered', 'checkpoint', 'or pruned < log.pruned', ''],
  ['[R7] a prune mark above the horizon is taken', 'checkpoint', 'if pruned > horizon or', 'if'],
  ['a checkpoint trims nothing', 'checkpoint', 'if horizon > floor then', 'if false then'],
  [
    'a checkpoint trims up to its version',
    'checkpoint',
    'floor, floorChain = horizon, chainAt(log, horizon)',
    'floor, floorChain = version, chainAt(log, version)',
  ],
  ['a trim takes one too many', 'trim', "'~', id(log.floor + 1), 'LIMIT', 2000", 'id(log.floor + 2)'],
  ['who shows is not listed', 'show', "redis.call('HSET', KEYS[1], peer, own .. ARGV[i + 2])", ''],
  ['presence is not told', 'show', 'if #news > 0 then', 'if false then'],
  ['a post takes down what still hangs', 'post', '<= tonumber(ARGV[3])', '<= tonumber(ARGV[3]) + 2000'],
  ['a post takes down nothing else, and loses itself', 'post', "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", ''],
  ['a post does not move the mark', 'post', "redis.call('SET', KEYS[2], ARGV[5])", ''],
]

/** Of what is said to be durable, where that is not so with the answer itself. */
const faultsOfDurability: readonly Fault[] = [
  [
    '[R5] a checkpoint ahead of what is durable is stored',
    'checkpoint',
    'if version > durable or version <= horizon',
    'if version <= horizon',
  ],
  ['[R1] any history is durable', 'harden', ' or (version >= log.floor and chainAt(log, version) ~= ARGV[3])', ''],
  ['[R1] any log is durable', 'harden', 'log.epoch ~= ARGV[1] or', ''],
  ['what is durable is not any more', 'harden', 'if version <= log.durable then return {} end', ''],
  ['what is durable is not told', 'harden', "redis.call(ARGV[5], ARGV[4], 'd'", "tostring('d'"],
]

let server: RedisServer
/** Its file is synced every second, so that nothing is durable at once. */
let slow: RedisServer
beforeAll(async () => {
  server = await RedisServer.start()
  slow = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
})
afterAll(() => Promise.all([server.discard(), slow.discard()]))

let rooms = 0
const setup = async (): Promise<StoreUnderLaw> => {
  const options = { url: server.url, prefix: `mutant${rooms++}:`, callLimit: 1_000 }
  let store = redisStore(options)
  const others: { close(): Promise<void> }[] = []
  return {
    store,
    async reopen() {
      await store.close()
      store = redisStore(options)
      return store
    },
    async beside() {
      others.push(redisStore(options))
      return others.at(-1) as ReturnType<typeof redisStore>
    },
    async discard() {
      for (const other of others) await other.close()
      await store.close()
    },
  }
}

const broken = async (): Promise<string | null> => {
  for (const law of storeLaws(setup, { reopen: true, beside: true }, { patience: 500, searches: 2 })) {
    try {
      await law.run()
    } catch {
      return law.name
    }
  }
  return null
}

/** What is said of durability in a new document: how the script `harden` answers, what is durable then, and what was told. */
const saidOfDurability = async (): Promise<unknown> => {
  const prefix = `mutant${rooms++}:`
  const doc = 'doc' as DocId
  const store = redisStore({ url: slow.url, prefix })
  try {
    const told: Announcement[] = []
    await store.log.subscribe(doc, news => {
      if (news.kind === 'durable') told.push(news)
    })
    const { epoch } = await store.log.open(doc)
    const reply = await store.log.append(doc, { epoch, version: 0, chain: emptyChain }, [
      { author: 'ann' as AuthorId, seq: 1, body: 'one' },
      { author: 'ann' as AuthorId, seq: 2, body: 'two' },
    ])
    const [one, two] = reply.ok ? reply.entries.map(({ chain }) => chain) : []
    const early = await store.log.checkpoint(doc, { epoch, version: 1, chain: one!, horizon: 0, pruned: 0, body: '' })
    const places = [
      [epoch, 2, one],
      ['another', 2, two],
      [epoch, 3, two],
      [epoch, 2, two],
      [epoch, 1, one],
      [epoch, 2, two],
    ] as const
    return await slow.do(async redis => {
      const answers: unknown[] = []
      const [meta, log] = [`${prefix}{doc}:meta`, `${prefix}{doc}:log`]
      for (const [epoch, version, chain] of places)
        answers.push(await redis.eval(harden.lua, 2, meta, log, epoch, version, chain!, `${prefix}{doc}:feed`, 'PUBLISH'))
      const held = [epoch, 2, two, 0]
      // Whoever hears this one has heard what was told before.
      const last = new Promise<void>(resolve => void store.signals.subscribe(doc, () => resolve()))
      await store.signals.subscribe(doc, () => {})
      store.signals.send(doc, 'last')
      await last
      return {
        early,
        answers: answers.map(answer => (isDeepStrictEqual(answer, held) ? 'held instead' : answer)),
        durable: await redis.hget(meta, 'd'),
        told: told.map(news => news.kind === 'durable' && news.version),
      }
    })
  } finally {
    await store.close()
  }
}

const soundDurability = {
  early: false,
  answers: ['held instead', 'held instead', 'held instead', [], [], []],
  durable: '2',
  told: [2],
}

it('[R1] [R5] durable is what the log holds, of the history of which it is said, and it is told once', async () => {
  expect(await saidOfDurability()).toEqual(soundDurability)
})

describe('a fault in a script breaks a law', () => {
  it.each(faultsOfDurability)('%s', async (_, name, found, became) => {
    const script = scripts.find(each => each.name.toLowerCase() === `inkwell${name}`) as { lua: string }
    const sound = script.lua
    const parts = sound.split(found)
    expect(parts.length, 'the text of this fault occurs once').toBe(2)
    script.lua = parts.join(became)
    try {
      expect(await saidOfDurability()).not.toEqual(soundDurability)
    } finally {
      script.lua = sound
    }
  })

  it.each(faults)('%s', async (_, name, found, became) => {
    const script = scripts.find(each => each.name.toLowerCase() === `inkwell${name}`) as { lua: string }
    const sound = script.lua
    const parts = sound.split(found)
    expect(parts.length, 'the text of this fault occurs once').toBe(2)
    script.lua = parts.join(became)
    try {
      expect(await broken()).not.toBeNull()
    } finally {
      script.lua = sound
    }
  })
})

it('[R7] what a checkpoint has trimmed and pruned is gone, even when the sweeping breaks off', async () => {
  const sweeping: { lua: string }[] = [trim, prune]
  const sound = sweeping.map(({ lua }) => lua)
  sweeping[0]!.lua = 'return 0'
  sweeping[1]!.lua = "return '0'"
  try {
    expect(await broken()).toBeNull()
  } finally {
    for (const [i, script] of sweeping.entries()) script.lua = sound[i]!
  }
})

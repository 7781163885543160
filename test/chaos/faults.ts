// What is done to the nodes, to Redis and to the lines, and when: all of it from one seed.
// Invariant: whatever a fault begins it ends, so that afterwards everything can go well again; each says by `met` that it has truly
// befallen somebody.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Chance, seeded } from '../../src/testing/index.ts'
import type { Balancer } from '../balancer.ts'
import type { RedisServer } from '../redis.ts'
import type { Site } from './site.ts'
import { cutTail } from './tail.ts'
import type { Pen, Writer } from './writer.ts'

/** What a fault has in its hands. */
export interface Stage {
  readonly redis: RedisServer
  readonly sites: readonly Site[]
  readonly balancer: Balancer
  readonly writers: readonly Writer[]
  /** Lines in Redis' log about subscribers whose output buffer was full. */
  thrownOut(): number
  /** Nothing else is done to the node meanwhile. */
  with(site: Site, use: () => Promise<void>): Promise<void>
  /** Nobody else stops or kills Redis meanwhile. */
  withRedis(use: () => Promise<void>): Promise<void>
  /** One writer goes for good and another one comes. */
  relieve(chance: Chance): Promise<void>
  say(what: string): void
  met(kind: Kind): void
}

const seconds = (chance: Chance, least: number, most: number): Promise<void> =>
  sleep(Math.round(1_000 * (least + (most - least) * chance.next())))

const pasted = 120_000 // units; more than the buffer that a subscriber is left
const buffer = 65_536 // bytes

const kinds = {
  'a node is killed': (stage, chance, site = chance.pick(stage.sites)) =>
    stage.with(site, async () => {
      site.goes()
      await site.node.kill()
      stage.met('a node is killed')
      await seconds(chance, 0, 4)
      await site.comes()
    }),

  'all nodes are killed': async (stage, chance) => {
    await Promise.all(
      stage.sites.map(site =>
        stage.with(site, async () => {
          site.goes()
          await site.node.kill()
          await seconds(chance, 0, 2)
          await site.comes()
        }),
      ),
    )
    stage.met('all nodes are killed')
  },

  'a node is told to go': (stage, chance, site = chance.pick(stage.sites)) =>
    stage.with(site, async () => {
      site.goes()
      const how = await site.node.leave()
      if (how !== 0) throw new Error(`${site.name} was told to go and ended with ${how}: ${site.node.run.err}`)
      stage.met('a node is told to go')
      await site.comes()
    }),

  'a node is stopped': (stage, chance, site = chance.pick(stage.sites)) =>
    stage.with(site, async () => {
      site.node.stop()
      stage.met('a node is stopped')
      await (chance.chance(0.25) ? seconds(chance, 10, 12) : seconds(chance, 1, 5)) // the first is longer than its lease
      site.node.go()
    }),

  'Redis is stopped': (stage, chance) =>
    stage.withRedis(async () => {
      stage.redis.stop()
      stage.met('Redis is stopped')
      await (chance.chance(0.25) ? seconds(chance, 6, 10) : seconds(chance, 0.5, 4))
      stage.redis.go()
    }),

  'Redis is killed': (stage, chance) =>
    stage.withRedis(async () => {
      await stage.redis.kill()
      await seconds(chance, 0, 2)
      await stage.redis.start()
      stage.met('Redis is killed')
    }),

  'Redis loses its tail': (stage, chance) =>
    stage.withRedis(async () => {
      await stage.redis.kill()
      const { bytes, entries } = cutTail(stage.redis.tail, chance.chance(0.7) ? 0 : chance.next())
      stage.say(`${bytes} bytes of the file are gone, with ${entries} entries`)
      if (entries > 0) stage.met('Redis loses its tail')
      await seconds(chance, 0, 1)
      await stage.redis.start()
    }),

  'Redis rewrites its file': async ({ redis, met }) => {
    await redis.do(client => client.bgrewriteaof()).catch(() => {}) // it does already, or is just being killed
    met('Redis rewrites its file')
  },

  'announcements are dropped': async (stage, chance) => {
    const share = chance.chance(0.5) ? 1 : 0.5
    const lines = [chance.pick(stage.sites), ...stage.sites.filter(() => chance.chance(0.4))].map(({ line }) => line)
    const dropped = (): number => stage.sites.reduce((sum, { line }) => sum + line.dropped, 0)
    const before = dropped()
    for (const line of lines) line.drops = () => chance.chance(share)
    await seconds(chance, 1, 5)
    for (let i = 0; i < 100 && dropped() === before; i++) await sleep(100) // Redis is away, and nothing is announced
    for (const line of lines) line.drops = null
    if (dropped() > before) stage.met('announcements are dropped')
  },

  'subscribers are thrown out by their output buffers': async (stage, chance) => {
    const before = stage.thrownOut()
    const pens = (): Pen[] => stage.writers.flatMap(({ pens }) => [...pens.values()])
    const used = new Set<Pen>()
    // A Redis that is started again meanwhile has its old limit, and a writer may be in a tunnel.
    for (let attempt = 0; attempt < 5 && stage.thrownOut() === before; attempt++) {
      await limitSubscribers(stage.redis, `${buffer} 0 0`)
      const pen = chance.pick(pens())
      used.add(pen)
      pen.paste(chance, pasted)
      for (let i = 0; i < 30 && stage.thrownOut() === before; i++) await sleep(100)
    }
    if (stage.thrownOut() > before) stage.met('subscribers are thrown out by their output buffers')
    await limitSubscribers(stage.redis, '33554432 8388608 60')
    for (const pen of used) (pens().includes(pen) ? pen : pens().find(({ doc }) => doc.id === pen.doc.id))?.clean()
  },

  'subscribers are thrown out': async ({ redis, met }) => {
    let thrown: unknown = 0
    // While Redis comes up nobody hears it.
    for (let i = 0; i < 50 && thrown === 0; i++) {
      await sleep(100)
      thrown = await redis.do(client => client.call('CLIENT', 'KILL', 'TYPE', 'PUBSUB')).catch(() => 0)
    }
    if (thrown !== 0) met('subscribers are thrown out')
  },

  'connections of writers are reset': async ({ balancer, met }, chance) => {
    let reset = 0
    for (let i = 0; i < 50 && reset === 0; i++) {
      reset = balancer.reset((_, i) => i === 0 || chance.chance(0.4))
      await sleep(100)
    }
    if (reset > 0) met('connections of writers are reset')
  },

  'connections of writers freeze': async ({ balancer, met }, chance) => {
    const { count, thaw, reset } = balancer.freeze((_, i) => i === 0 || chance.chance(0.2))
    await seconds(chance, 1, 8)
    if (chance.chance(0.5)) thaw()
    else reset()
    if (count > 0) met('connections of writers freeze')
  },

  'connections to Redis break': async ({ sites, met }, chance) => {
    chance.pick(sites).line.cut()
    met('connections to Redis break')
  },

  'answers of Redis are lost': async ({ sites, met }, chance) => {
    const { line } = chance.pick(sites)
    const before = line.swallowed
    line.swallow()
    await seconds(chance, 0.2, 3)
    line.cut()
    if (line.swallowed > before) met('answers of Redis are lost')
  },

  'documents are closed and opened again': async ({ writers, met }, chance) => {
    const writer = chance.pick(writers)
    await Promise.all([...writer.pens.keys()].map(id => writer.reopen(id)))
    met('documents are closed and opened again')
  },

  'writers are in a tunnel': async ({ writers, met }, chance) => {
    const luckless = chance.pick(writers)
    const away = writers.filter(writer => !writer.away && (writer === luckless || chance.chance(0.15)))
    for (const writer of away) {
      writer.away = true
      writer.client.pause()
    }
    await seconds(chance, 2, 15)
    for (const writer of away) {
      writer.away = false
      writer.client.resume()
    }
    if (away.length > 0) met('writers are in a tunnel')
  },

  'writers go and others come': async (stage, chance) => {
    await Promise.all([stage.relieve(chance), stage.relieve(chance)])
    stage.met('writers go and others come')
  },
} as const satisfies Record<string, (stage: Stage, chance: Chance) => Promise<void>>

export type Kind = keyof typeof kinds
export const allKinds = Object.keys(kinds) as readonly Kind[]

const limitSubscribers = (redis: RedisServer, limit: string): Promise<unknown> =>
  redis.do(client => client.config('SET', 'client-output-buffer-limit', `pubsub ${limit}`)).catch(() => {}) // it is just being killed

export interface Planned {
  /** Seconds from the beginning. */
  readonly at: number
  readonly kind: Kind
  readonly seed: number
}

/**
 * Each kind once, in an order of chance, and so on as long as there is time; most faults begin while others are under way.
 * @param pause seconds from one to the next, on average
 */
export const scheduleOf = (seed: number, duration: number, pause = 4): readonly Planned[] => {
  const chance = seeded(seed)
  const mean = Math.min(pause, duration / (1.5 * allKinds.length + 1)) // so that each comes once, even if all pauses are long
  const plan: Planned[] = []
  let deck: Kind[] = []
  for (let at = mean; at < duration; at += mean * (0.5 + chance.next())) {
    if (deck.length === 0) deck = [...allKinds]
    const [kind] = deck.splice(chance.int(deck.length), 1)
    plan.push({ at: Math.round(at * 10) / 10, kind: kind!, seed: chance.int(2 ** 31) })
  }
  return plan
}

export const befall = ({ kind, seed }: Planned, stage: Stage): Promise<void> => kinds[kind](stage, seeded(seed))

// The store for many nodes: one Redis, a master found by sentinels, or a Redis Cluster.
// Invariant: nodes share nothing but what is in Redis, so any of them can die at any instant.

import type { ConnectionOptions } from 'node:tls'
import type { Cluster, Redis } from 'ioredis'
import type { Finding, Store } from '../engine/ports.ts'
import type { Json } from '../ot/type.ts'
import type { DocId } from '../protocol/ids.ts'
import type { ApplicationAdapter } from './adapter.ts'
import { Feed } from './feed.ts'
import { RedisAdapter } from './redis/adapter.ts'
import { type Endpoint, readAddress } from './redis/address.ts'
import { Channels } from './redis/channels.ts'
import { Hardening, longestWait } from './redis/durability.ts'
import { Identity, StoreReplaced } from './redis/identity.ts'
import { Keys } from './redis/keys.ts'
import { RedisLog } from './redis/log.ts'
import { redisNotices } from './redis/notices.ts'
import { RedisPresence } from './redis/presence.ts'
import { Rooms, signalMark } from './redis/rooms.ts'
import { RedisSeats } from './redis/seats.ts'
import { RedisAway, Saying, Wire, type WireOptions } from './redis/wire.ts'
import { signalText } from './signals.ts'

export interface RedisOptions {
  /** `redis://…`, `redis+sentinel://…/name`, `redis+cluster://…`; `rediss` for TLS. */
  readonly url: string
  /** Before every key and channel. Default `inkwell:`. */
  readonly prefix?: string
  /** Replicas that must have an edit before it counts as durable. Default 0: durability is that of Redis' own disk. */
  readonly replicas?: number
  /** Documents may be lost with Redis: without an append-only file this is a warning then, no fault. Default false. */
  readonly volatile?: boolean
  /** Milliseconds after which a call to Redis counts as lost. Default 2,000. */
  readonly callLimit?: number
  readonly tls?: ConnectionOptions
  /** Where a cluster's nodes are reached when that is not where they say they are: `{ '10.0.0.7:6379': { host, port } }`. */
  readonly natMap?: Readonly<Record<string, Endpoint>>
  /** Milliseconds for which the people of a dead node are still shown, and its clients counted. Default 9,000. */
  readonly presenceLease?: number
  /** Appearances in one document; whoever comes later edits unseen. Default 10,000. */
  readonly peersPerDocument?: number
}

/** Of a `redisStore` address only what a connection needs counts here. */
export type RedisAdapterOptions = Pick<RedisOptions, 'url' | 'prefix' | 'callLimit' | 'tls' | 'natMap'>

export interface RedisStore extends Store {
  findings(): Promise<readonly Finding[]>
  time(): Promise<number>
}

/**
 * What carries an application's own Socket.IO messages between servers, for their option `adapter`. It needs Redis 7.0 and may be another
 * Redis than that of the documents, or the same. It connects in the background; while Redis is away each server is alone, with its own
 * clients. @throws on a faulty address
 */
export const redisAdapter = (where: string | RedisAdapterOptions): ApplicationAdapter => {
  const { url, prefix, callLimit = 2_000, tls, natMap }: RedisAdapterOptions = typeof where === 'string' ? { url: where } : where
  const { address, options, name } = readAddress(url)
  return new RedisAdapter(address, name, prefix ?? options.prefix ?? 'inkwell:', { callLimit, tls, natMap })
}

const signalsWaiting = 4_194_304 // bytes that Redis has not taken yet: of a second ago nobody wants to know
const spreadTries = 1_000 // names: a master that has one slot in a hundred is found by one of them
const controlsWaiting = 1_000 // messages behind one that has no answer; the next are not said

/** A store in Redis. It connects in the background; `ready()`, and every call, rejects while Redis is away. @throws on a faulty address */
export const redisStore = (where: string | RedisOptions): RedisStore => {
  const given: RedisOptions = typeof where === 'string' ? { url: where } : where
  const { address, options, name } = readAddress(given.url)
  const prefix = given.prefix ?? options.prefix ?? 'inkwell:'
  const replicas = given.replicas ?? options.replicas ?? 0
  const volatile = given.volatile ?? options.volatile ?? false
  const lines: WireOptions = { callLimit: given.callLimit ?? 2_000, tls: given.tls, natMap: given.natMap }

  const keys = new Keys(prefix, 'db' in address ? address.db : 0)
  const publish = address.kind === 'cluster' ? 'SPUBLISH' : 'PUBLISH'
  const append = new Wire(address, name, 'append', lines)
  const read = new Wire(address, name, 'read', lines)
  const witness = (): Wire => new Wire(address, name, 'witness', { ...lines, callLimit: lines.callLimit + longestWait })
  const channels = new Channels(read, server => read.listener(server))
  const rooms = new Rooms(channels, keys)
  const hardening = new Hardening({ append, keys, publish, replicas, volatile, witness })
  const identity = new Identity({ wire: append, keys, hardening, volatile, cluster: address.kind === 'cluster' })
  const log = new RedisLog({ append, read, keys, rooms, hardening, identity, publish })
  const presence = new RedisPresence({
    wire: read,
    keys,
    rooms,
    publish,
    lease: given.presenceLease ?? 9_000,
    peersPerDocument: given.peersPerDocument ?? 10_000,
  })

  const seats = new RedisSeats({ wire: read, keys, lease: given.presenceLease ?? 9_000 })

  const signalling = new Saying(read, lines, signalsWaiting)
  const publishing = (channel: string, text: string) => (redis: Redis | Cluster) =>
    publish === 'PUBLISH' ? redis.publish(channel, text) : redis.spublish(channel, text)
  const unsaid = (): void => {} // at most once: what cannot be said now is not said
  /** On a cluster: the last signal of each document that is on its way. The next follows it, as control messages do, and for their reason. */
  const signalled = new Map<DocId, Promise<void>>()
  const signal = (doc: DocId, text: string): void => {
    const say = publishing(keys.channel(doc), text)
    const before = signalled.get(doc)
    const said = signalling
      .say(Buffer.byteLength(text), redis => (before === undefined ? say(redis) : before.then(() => say(redis))))
      .catch(unsaid)
    if (publish === 'PUBLISH') return
    signalled.set(doc, said)
    void said.then(() => {
      if (signalled.get(doc) === said) signalled.delete(doc)
    })
  }
  /** One control message after the other: a cluster's client sends what it has sent to the wrong server again, behind what came later. */
  let telling: Promise<void> = Promise.resolve()
  let untold = 0
  const tell = (text: string): void => {
    if (untold >= controlsWaiting) return
    untold++
    telling = telling
      .then(() => read.call(publishing(keys.control, text)))
      .then(unsaid, unsaid)
      .finally(() => untold--)
  }
  const controls = new Feed<'control', Json>()
  /** Kept once somebody has listened: every node listens as long as it lives. */
  let controlling: Promise<unknown> | null = null
  const heedControl = async (): Promise<void> => {
    controlling ??= channels.listen(keys.control, {
      hear: message => tellControl(message.toString()),
      missed: () => {}, // at most once
    })
    try {
      await controlling
    } catch (error) {
      controlling = null
      throw error
    }
  }
  const tellControl = (text: string): void => {
    let message: Json
    try {
      message = JSON.parse(text) as Json
    } catch {
      return // nobody of us has said that
    }
    controls.tell('control', message)
  }

  /** One document on each of a cluster’s masters; one that has hardly a slot may be left out. */
  const spread = (stem: DocId): readonly { readonly server: string; readonly doc: DocId }[] => {
    const slots = read.slots ?? []
    const servers = new Set(slots.flatMap(([master]) => (master === undefined ? [] : [master])))
    const found = new Map<string, DocId>()
    for (let n = 0; n < spreadTries && found.size < servers.size; n++) {
      const doc = (n === 0 ? stem : `${stem} ${n}`) as DocId
      const server = slots[keys.slot(doc)]?.[0]
      if (server !== undefined && !found.has(server)) found.set(server, doc)
    }
    return [...found].map(([server, doc]) => ({ server, doc }))
  }

  /** @throws when Redis does not answer; of a cluster, when no master does */
  const there = async (): Promise<void> => {
    if (address.kind !== 'cluster') return void (await read.call(redis => redis.ping()))
    const masters = await read.servers()
    await Promise.any(masters.map(master => read.inTime(master.ping()))).catch((error: AggregateError) => {
      throw error.errors[0] ?? new RedisAway(`${name} has no master`)
    })
  }

  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await Promise.all([log.close(), presence.close(), seats.close()])
    hardening.close()
    channels.close()
    append.close()
    read.close()
  }
  return {
    name,
    shared: true,
    log,
    presence,
    control: {
      publish: message => tell(JSON.stringify(message)),
      async subscribe(listener) {
        const stop = controls.subscribe('control', listener)
        try {
          await heedControl()
        } catch (error) {
          stop()
          throw error
        }
        return stop
      },
    },
    notices: redisNotices(read, keys),
    seats,
    signals: {
      send: (doc, payload) => signal(doc, `${signalMark}${signalText(payload)}`),
      async subscribe(doc, listener) {
        const stop = rooms.signals.subscribe(doc, listener)
        try {
          const leave = await rooms.hold(doc)
          return () => {
            stop()
            leave()
          }
        } catch (error) {
          stop()
          throw error
        }
      },
    },
    async ready() {
      await hardening.known()
      const [same] = await Promise.all([identity.whole(), there()])
      if (!same) throw new StoreReplaced()
    },
    ...(address.kind === 'cluster' ? { spread } : {}),
    findings: () => hardening.findings(),
    async time() {
      const [seconds, microseconds] = await read.call(redis => redis.time())
      return Number(seconds) * 1_000 + Number(microseconds) / 1_000
    },
    lines: () => [append.line, read.line, channels.line],
    close: () => (closing ??= close()),
  }
}

// What Socket.IO, engine.io and ws keep for each connection, made small once a client is welcome: most of them are idle most of the time.
// Invariant: nothing is taken that is used again, and what is not there as these packages have it is left alone; to them, to clients and
// to an application nothing is different.

import type { EventEmitter } from 'node:events'
import type { Socket } from 'socket.io'
import type { Adapter } from 'socket.io-adapter'
import type { EngineSocket } from './fanout.ts'
import { Alone, Few } from './few.ts'
import { share } from './listeners.ts'

/** As they are inside. */
interface Inside {
  readonly conn: {
    transport: { socket?: WebSocket }
    cleanupFn?: unknown[]
  }
  acks?: object
  _anyListeners?: unknown[]
  readonly client: { sockets?: object; nsps?: object }
}

type WebSocket = EventEmitter & { readonly _socket?: EventEmitter | null; readonly _receiver?: EventEmitter }

/** For a WebSocket with everybody's listeners on it. */
export const lightenSocket = (ws: { readonly _socket?: object | null; readonly _receiver?: object }): void => {
  lighten.ws(ws)
  if (ws._socket) lighten.tcp(ws._socket)
  if (ws._receiver) lighten.receiver(ws._receiver)
}

/** For a socket that has just been welcomed, with everybody's listeners on it. */
export const settle = (socket: Socket, hasInlet: boolean): void => {
  const inside = socket as object as Inside
  const { conn, client } = inside
  const { socket: ws } = conn.transport
  share(inside, hasInlet)
  lighten.socket(socket)
  lighten.conn(conn)
  if (ws !== undefined) {
    lighten.transport(conn.transport)
    lightenSocket(ws)
  }
  if (inside.acks instanceof Map) inside.acks = Few.of(inside.acks)
  if (client.sockets instanceof Map) client.sockets = Few.of(client.sockets)
  if (client.nsps instanceof Map) client.nsps = Few.of(client.nsps)
  if (Array.isArray(inside._anyListeners)) inside._anyListeners = fitted(inside._anyListeners)
  if (Array.isArray(conn.cleanupFn)) conn.cleanupFn = fitted(conn.cleanupFn)
}

/** The same array, without the room for sixteen more that `push` has made. */
const fitted = (list: readonly unknown[]): unknown[] => list.slice()

/**
 * Node keeps the listeners of an emitter in an object that is a hash table, four times as large as it need be. The same in an object
 * with slots; for each kind of emitter of its own, so that it has as many slots as that kind has events.
 */
const lightened = (): ((emitter: object) => void) => {
  function Listeners(): void {}
  Listeners.prototype = Object.create(null)
  const Made = Listeners as unknown as new () => Record<PropertyKey, unknown>
  return emitter => {
    const slot = emitter as { _events?: Record<PropertyKey, unknown> }
    const { _events: before } = slot
    if (typeof before !== 'object' || Object.getPrototypeOf(before) !== null) return
    const after = new Made()
    for (const name of Reflect.ownKeys(before)) if (before[name] !== undefined) after[name] = before[name]
    slot._events = after
  }
}

const lighten = {
  socket: lightened(),
  conn: lightened(),
  transport: lightened(),
  ws: lightened(),
  tcp: lightened(),
  receiver: lightened(),
}

/** Every socket is in a room of its own: two Sets each, in which there is one thing. */
export const lightRooms = (adapter: Adapter): void => {
  const { addAll } = adapter
  const sids = adapter.sids as Map<string, Set<string> | Alone>
  const rooms = adapter.rooms as Map<string, Set<string> | Alone>
  adapter.addAll = (id, wanted) => {
    const own = sids.get(id)
    if (own === undefined && wanted.size === 1 && wanted.has(id) && !rooms.has(id)) {
      const alone = new Alone(id)
      sids.set(id, alone)
      rooms.set(id, alone)
      adapter.emit('create-room', id)
      adapter.emit('join-room', id, id)
      return
    }
    if (own instanceof Alone) sids.set(id, new Set(own))
    for (const room of wanted) {
      const there = rooms.get(room)
      if (there instanceof Alone) rooms.set(room, new Set(there))
    }
    return addAll.call(adapter, id, wanted)
  }
}

interface Pinged {
  readonly readyState: string
  pingIntervalTimer?: NodeJS.Timeout | null
  hasRefreshedPingTimeout?: boolean
  sendPacket?(type: 'ping'): void
  resetPingTimeout?(): void
}

/**
 * Asks all lines whether they are still there, a share of them each second. engine.io has a timer for each; what is left of those is the
 * one that runs while an answer is waited for.
 */
export class Pings {
  /** For each second of the interval whom to ask in it. */
  private readonly slots = new Map<number, Set<Pinged>>()
  private readonly count: number
  private now = 0
  private next = 0

  /** @param interval milliseconds */
  constructor(interval: number) {
    this.count = interval < shortest ? 0 : Math.floor(interval / 1_000)
  }

  /** Answers where the line is; null: engine.io goes on asking it. */
  take(conn: EngineSocket): number | null {
    const line = conn as object as Pinged
    const { pingIntervalTimer: timer, sendPacket, resetPingTimeout } = line
    if (this.count === 0 || !timer || sendPacket === undefined || resetPingTimeout === undefined) return null
    clearTimeout(timer)
    line.pingIntervalTimer = null
    const slot = this.next++ % this.count // not all of those who came together at once
    const lines = this.slots.get(slot)
    if (lines === undefined) this.slots.set(slot, new Set([line]))
    else lines.add(line)
    return slot
  }

  forget(conn: EngineSocket, slot: number | null): void {
    if (slot !== null) this.slots.get(slot)?.delete(conn as object as Pinged)
  }

  /** Called once a second. */
  turn(): void {
    if (this.count === 0) return
    this.now = (this.now + 1) % this.count
    for (const line of this.slots.get(this.now) ?? []) {
      if (line.readyState !== 'open') continue
      line.hasRefreshedPingTimeout = false
      line.sendPacket!('ping')
      line.resetPingTimeout!()
    }
  }
}

const shortest = 5_000 // ms between two pings, below which a second more or less would matter

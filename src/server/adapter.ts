// An application's own namespaces across nodes: Socket.IO's official sharded adapter, over lines that never make it wait.
// Invariant: what this node's own clients are told does not pass through Redis; nothing that Redis, another node or the application's own
// data does here ends the process; Inkwell's namespace has no part in it.

import { createShardedAdapter } from '@socket.io/redis-adapter'
import type { Namespace, Server } from 'socket.io'
import { type Adapter, type ClusterAdapter, type ClusterMessage, MessageType } from 'socket.io-adapter'
import type { ApplicationAdapter } from '../stores/adapter.ts'
import type { Logger } from './log.ts'

type Choice = Parameters<Adapter['broadcast']>[1]

/** What whoever extends a ClusterAdapter may use. */
interface Inside {
  publish(message: Omit<ClusterMessage, 'uid' | 'nsp'>): void
  doPublish(message: ClusterMessage): Promise<string>
  doPublishResponse(to: string, response: unknown): Promise<void>
}

/** Gives every namespace but "/" the adapter, also those that are made later. */
export const acrossNodes = (io: Pick<Server, 'adapter'>, line: ApplicationAdapter, log: Logger): void => {
  const Local = io.adapter() as typeof Adapter
  const client = clientOn(line, log)
  const sharded = createShardedAdapter(client, client, { channelPrefix: line.prefix })
  line.watch(away => {
    if (away === null) log.info({ adapter: line.name }, 'the application’s namespaces reach all nodes again')
    else log.warn({ adapter: line.name, err: away }, 'the application’s namespaces reach this node’s clients only')
  })
  // Socket.IO makes it with `new`, so it must not be an arrow function.
  io.adapter(function adapterOf(nsp: Namespace): Adapter {
    return nsp.name === '/' ? new Local(nsp) : atOnce(sharded(nsp) as ClusterAdapter, Local, log)
  } as never)
}

/**
 * The client that the adapter asks for, in the form of the package `redis`, of which it uses these methods alone. It hears no rejection
 * but that of a publish, so there is none.
 */
const clientOn = (line: ApplicationAdapter, log: Logger) => {
  const stops = new Map<string, () => void>()
  return {
    sPublish: async (channel: string, message: string | Uint8Array) => line.say(channel, message),
    /** Only ever PUBSUB SHARDNUMSUB: how many nodes there are to wait for. */
    async sendCommand([, , channel]: readonly [string, string, string]) {
      // Nobody knows, but the question must not be taken for answered by this node alone: it runs into its time limit.
      return [channel, await line.nodes(channel).catch(() => 2)]
    },
    sSubscribe(channel: string, heard: (message: Buffer, channel: string) => void) {
      const listener = (message: Buffer): void => {
        try {
          heard(message, channel)
        } catch (error) {
          log.error({ err: error, channel }, 'a message of the application from another node could not be delivered')
        }
      }
      stops.get(channel)?.()
      stops.set(channel, line.hear(channel, listener))
    },
    sUnsubscribe(channel: string) {
      stops.get(channel)?.()
      stops.delete(channel)
    },
  }
}

/**
 * The adapter publishes first and tells this node's sockets when that is over, in a later turn: a `socket.emit` after an `io.emit` would
 * overtake it, and a mistake in the data would be a rejection that nobody hears. Here it is the other way round, as without an adapter.
 */
const atOnce = (adapter: ClusterAdapter, Local: typeof Adapter, log: Logger): Adapter => {
  const inside = adapter as unknown as Inside
  const { doPublish, doPublishResponse } = inside
  const here = Local.prototype
  const tellOthers = ({ rooms, except, flags }: Choice, message: (opts: object) => Omit<ClusterMessage, 'uid' | 'nsp'>): void => {
    if (flags?.local !== true) inside.publish(message({ rooms: [...rooms], except: [...(except ?? [])], flags }))
  }
  // What an application has put into a message or into `socket.data` may have no written form. The adapter hears of rejections only.
  const written = async <T>(what: () => Promise<T>): Promise<T> => {
    try {
      return await what()
    } catch (error) {
      log.error({ err: error }, 'a message of the application could not be written for the other nodes')
      throw error
    }
  }
  inside.doPublish = message => written(() => doPublish.call(adapter, message))
  inside.doPublishResponse = (to, response) => written(() => doPublishResponse.call(adapter, to, response))
  return Object.assign(adapter as Adapter, {
    broadcast(packet: object, choice: Choice) {
      here.broadcast.call(adapter, packet, choice)
      tellOthers(choice, opts => ({ type: MessageType.BROADCAST, data: { opts, packet } }) as never)
    },
    addSockets(choice: Choice, rooms: string[]) {
      here.addSockets.call(adapter, choice, rooms)
      tellOthers(choice, opts => ({ type: MessageType.SOCKETS_JOIN, data: { opts, rooms } }) as never)
    },
    delSockets(choice: Choice, rooms: string[]) {
      here.delSockets.call(adapter, choice, rooms)
      tellOthers(choice, opts => ({ type: MessageType.SOCKETS_LEAVE, data: { opts, rooms } }) as never)
    },
    disconnectSockets(choice: Choice, close: boolean) {
      here.disconnectSockets.call(adapter, choice, close)
      tellOthers(choice, opts => ({ type: MessageType.DISCONNECT_SOCKETS, data: { opts, close } }) as never)
    },
  })
}

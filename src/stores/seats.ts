// The seats of a single server, or of several over one memory.
// Invariant: a node's seats are gone when it has closed, and a client that sits on two nodes counts once.

import type { Seats } from '../engine/ports.ts'

/** User → client → the nodes on which it has a seat. */
export type Benches = Map<string, Map<string, Set<object>>>

export interface LocalSeats extends Seats {
  /** Gives back all of this node's. */
  close(): void
}

export const localSeats = (benches: Benches = new Map()): LocalSeats => {
  const node = {}
  const leave = (user: string, client: string): void => {
    const clients = benches.get(user)
    const nodes = clients?.get(client)
    if (clients === undefined || nodes === undefined) return
    nodes.delete(node)
    if (nodes.size === 0) clients.delete(client)
    if (clients.size === 0) benches.delete(user)
  }
  return {
    async take(user, client, most) {
      const clients = benches.get(user)
      const nodes = clients?.get(client)
      if (nodes !== undefined) nodes.add(node)
      else if ((clients?.size ?? 0) >= most) return false
      else if (clients === undefined) benches.set(user, new Map([[client, new Set([node])]]))
      else clients.set(client, new Set([node]))
      return true
    },
    leave,
    close() {
      for (const [user, clients] of [...benches]) for (const client of [...clients.keys()]) leave(user, client)
    },
  }
}

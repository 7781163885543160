// The seats of a single server, or of several over one memory.
// Invariant: a node's seats are gone when it has closed, and a client that sits on two nodes counts once.

import type { Seats } from '../engine/ports.ts'

/** A client and the nodes on which it has a seat. */
interface Sitting {
  readonly client: string
  nodes: readonly object[]
}

/** By user. Arrays of just the length that is needed: nearly every user has one client, on one node, and there are many users. */
export type Benches = Map<string, readonly Sitting[]>

export interface LocalSeats extends Seats {
  /** Gives back all of this node's. */
  close(): void
}

export const localSeats = (benches: Benches = new Map()): LocalSeats => {
  const node = {}
  const leave = (user: string, client: string): void => {
    const bench = benches.get(user) ?? []
    const sitting = bench.find(sitting => sitting.client === client)
    if (sitting === undefined) return
    sitting.nodes = sitting.nodes.filter(other => other !== node)
    if (sitting.nodes.length > 0) return
    if (bench.length > 1)
      benches.set(
        user,
        bench.filter(other => other !== sitting),
      )
    else benches.delete(user)
  }
  return {
    async take(user, client, most) {
      const bench = benches.get(user) ?? []
      const sitting = bench.find(sitting => sitting.client === client)
      if (sitting !== undefined) {
        if (!sitting.nodes.includes(node)) sitting.nodes = sitting.nodes.concat(node)
        return true
      }
      if (bench.length >= most) return false
      benches.set(user, bench.concat({ client, nodes: [node] }))
      return true
    },
    leave,
    close() {
      for (const [user, bench] of [...benches]) for (const { client } of bench) leave(user, client)
    },
  }
}

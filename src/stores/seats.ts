// The seats of a single server, or of several over one memory.
// Invariant: a node's seats are gone when it has closed, and a client that sits on two nodes counts once.

import type { Seats } from '../engine/ports.ts'

/** A client of a user, and the nodes on which it has a seat. */
interface Sitting {
  readonly client: string
  nodes: readonly object[]
  /** Another client of the same user. Nearly every user has one, on one node: an array for each would weigh more than what is in it. */
  next: Sitting | null
}

/** By user. */
export type Benches = Map<string, Sitting>

export interface LocalSeats extends Seats {
  /** Gives back all of this node's. */
  close(): void
}

export const localSeats = (benches: Benches = new Map()): LocalSeats => {
  const node = {}
  const here = [node]
  const leave = (user: string, client: string): void => {
    let before: Sitting | null = null
    let sitting = benches.get(user) ?? null
    while (sitting !== null && sitting.client !== client) [before, sitting] = [sitting, sitting.next]
    if (sitting === null) return
    sitting.nodes = sitting.nodes.filter(other => other !== node)
    if (sitting.nodes.length > 0) return
    if (before !== null) before.next = sitting.next
    else if (sitting.next !== null) benches.set(user, sitting.next)
    else benches.delete(user)
  }
  return {
    take(user, client, most) {
      const first = benches.get(user) ?? null
      let taken = 0
      for (let sitting = first; sitting !== null; sitting = sitting.next) {
        if (sitting.client === client) {
          if (!sitting.nodes.includes(node)) sitting.nodes = sitting.nodes.concat(node)
          return true
        }
        taken++
      }
      if (taken >= most) return false
      benches.set(user, { client, nodes: here, next: first })
      return true
    },
    leave,
    close() {
      for (const user of [...benches.keys()])
        for (let sitting = benches.get(user) ?? null; sitting !== null; sitting = sitting.next) leave(user, sitting.client)
    },
  }
}

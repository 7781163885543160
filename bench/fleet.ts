// What a number of connections needs in nodes, Redis shards and network, by arithmetic from what one of each costs.
// Invariant: pure; `counted` finds by a seeded simulation, edit by edit, what `fleet` works out, and a test holds the two together.

/** What is asked of an installation. */
export interface Demand {
  readonly connections: number
  /** People in a document, spread over the nodes by chance. */
  readonly people: number
  /** Keys a second of each of those who type, and which share of the connections those are. */
  readonly rate: number
  readonly typing: number
}

/** What things cost, each measured by a command that docs/SCALING.md names. */
export interface Costs {
  /** Microseconds of a node's CPU for writing an edit to one reader, all that goes before it included. */
  readonly delivery: number
  /** Microseconds of nodes' CPU for an edit that one more node hears of. */
  readonly hearing: number
  /** Microseconds of Redis' CPU for an edit that one other node is told of, and more for each node besides. */
  readonly append: number
  readonly telling: number
  /** KiB of a node's memory for a connection. */
  readonly connection: number
  /** Bytes to a reader for an edit. */
  readonly down: number
}

/** Share of a core that may be used: what is above it is for bursts, joins and the failure of a neighbour. */
const used = 0.5

export interface Fleet {
  readonly nodes: number
  readonly shards: number
  /** Of all documents, in a second. */
  readonly edits: number
  readonly deliveries: number
  /** Times that a node is told of an edit of another one. */
  readonly heard: number
  /** GiB of memory for the connections of a node, and Mbit/s to them. */
  readonly memory: number
  readonly toClients: number
}

/** Nodes on which somebody of a document is expected to be, where each of its people is on any with the same chance. */
export const spreadOver = (people: number, nodes: number): number => nodes * (1 - (1 - 1 / nodes) ** people)

export const fleet = (demand: Demand, costs: Costs): Fleet => {
  const { connections, people, rate, typing } = demand
  const edits = connections * typing * rate
  const deliveries = edits * people
  let nodes = 1
  // More nodes hear of each edit, which costs them, so it is asked anew with each.
  for (;;) {
    const heard = edits * (spreadOver(people, nodes) - 1)
    const needed = Math.max(1, Math.ceil((deliveries * costs.delivery + heard * costs.hearing) / (used * 1e6)))
    if (needed <= nodes) break
    nodes = needed
  }
  const heard = edits * (spreadOver(people, nodes) - 1)
  const told = Math.max(0, spreadOver(people, nodes) - 2)
  const shards = nodes === 1 ? 0 : Math.max(1, Math.ceil((edits * (costs.append + told * costs.telling)) / (used * 1e6)))
  return {
    nodes,
    shards,
    edits,
    deliveries,
    heard,
    memory: (connections * costs.connection) / nodes / 2 ** 20,
    toClients: (deliveries * costs.down * 8) / 1e6 / nodes,
  }
}

export interface Counted {
  readonly edits: number
  readonly appends: number
  readonly heard: number
  /** Frames written to readers, and commits in them. */
  readonly frames: number
  readonly deliveries: number
}

/**
 * The same, edit by edit for so many seconds: people come to nodes by chance and type by chance; a node offers what has come while its
 * last append was under way, every node that has the document is told once, and writes one frame to each of its readers, or one a tick
 * with all of it.
 * @param random from 0 up to, not including, 1
 * @param append milliseconds that an append takes
 * @param tick milliseconds for which commits are gathered; 0: the node has time
 */
export const counted = (
  demand: Demand,
  {
    nodes,
    seconds,
    append,
    tick,
  }: { readonly nodes: number; readonly seconds: number; readonly append: number; readonly tick: number },
  random: () => number,
): Counted => {
  const { connections, people, rate, typing } = demand
  const found = { edits: 0, appends: 0, heard: 0, frames: 0, deliveries: 0 }
  for (let document = 0; document < connections / people; document++) {
    const places = Array.from({ length: people }, () => Math.floor(random() * nodes))
    const readers = new Map<number, number>()
    for (const node of places) readers.set(node, (readers.get(node) ?? 0) + 1)
    const times: (readonly [at: number, node: number])[] = []
    for (const node of places) {
      if (random() >= typing) continue
      const pause = () => -Math.log(1 - random()) / rate
      for (let at = pause(); at < seconds; at += pause()) times.push([at * 1_000, node])
    }
    times.sort(([a], [b]) => a - b)
    /** When the append of a node is answered, and what it carries. */
    const batches: { readonly node: number; readonly at: number; edits: number }[] = []
    const last = new Map<number, { readonly node: number; readonly at: number; edits: number }>()
    for (const [at, node] of times) {
      const before = last.get(node)
      if (before !== undefined && before.at - append > at) before.edits++
      else {
        const batch = { node, at: Math.max(at, before?.at ?? 0) + append, edits: 1 }
        batches.push(batch)
        last.set(node, batch)
      }
      found.edits++
    }
    found.appends += batches.length
    const frames = new Set<number>()
    for (const { node, at, edits } of batches) {
      found.deliveries += edits * people
      for (const other of readers.keys()) if (other !== node) found.heard += edits
      frames.add(tick === 0 ? at : Math.ceil(at / tick))
    }
    found.frames += frames.size * people
  }
  return found
}

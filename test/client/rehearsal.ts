// How two real clients can make the edits of a recorded session, each on the very version on which it was made.
// Invariant: a client edits only while it knows exactly what the recorded author knew, and its edits reach the log in units that no
// recorded knowledge of the other one cuts in two.
import type { ConcurrentTrace } from '../traces.ts'

/** One thing that happens: author 0 or 1 makes its next run of edits, its submission enters the log, it hears the next commit. */
export type Move = readonly [kind: 'edit' | 'append' | 'hear', author: 0 | 1]

/** Transactions of one author without anything between them that either side noticed: made as one edit. */
export interface Run {
  /** Numbers in the trace. */
  readonly txns: readonly number[]
  /** How many transactions of the other one were known. */
  readonly known: number
  /** How many of one's own there are once it is made. */
  readonly end: number
  /** The other one made an edit knowing all of mine before this run, and nothing of it: it must not be sent together with those. */
  readonly cut: boolean
}

/** What the client of one author is doing. Numbers of transactions; 0: nothing. */
interface Client {
  readonly next: number
  readonly inFlight: number
  readonly buffered: number
  readonly appended: boolean
  readonly heard: number
  readonly known: number
}

interface Stage {
  readonly clients: readonly [Client, Client]
  /** Whose commits they are, and how many transactions of that author are in the log then. */
  readonly log: readonly { readonly author: 0 | 1; readonly end: number }[]
}

const authors = [0, 1] as const

export const runsOf = (trace: ConcurrentTrace): readonly [Run[], Run[]] => {
  const knowledge: [number, number][] = []
  const own: [number[], number[]] = [[], []]
  const known: [number[], number[]] = [[], []]
  for (const [i, { parents, agent }] of trace.txns.entries()) {
    const me = agent as 0 | 1
    const most = (author: 0 | 1) => Math.max(0, ...parents.map(parent => knowledge[parent]![author]))
    if (most(me) !== own[me].length) throw new Error(`transaction ${i} was not made on the one before it of the same author`)
    known[me].push(most(other(me)))
    own[me].push(i)
    const mine = own[me].length
    knowledge.push(me === 0 ? [mine, most(1)] : [most(0), mine])
  }
  const runs = (me: 0 | 1): Run[] => {
    const cuts = new Set(known[other(me)])
    const out: { txns: number[]; known: number; end: number; cut: boolean }[] = []
    for (const [i, txn] of own[me].entries()) {
      const last = out.at(-1)
      if (last !== undefined && !cuts.has(i) && last.known === known[me][i]) {
        last.txns.push(txn)
        last.end = i + 1
      } else out.push({ txns: [txn], known: known[me][i]!, end: i + 1, cut: cuts.has(i) })
    }
    return out
  }
  return [runs(0), runs(1)]
}

/**
 * Looks for an order of moves, depth first. A client has one submission in flight and one buffer; which of two submissions enters the
 * log first, and how long each client waits to hear of it, is ours to choose, and most choices are dead ends a few moves later.
 */
export const rehearse = (runs: readonly [readonly Run[], readonly Run[]]): Move[] => {
  const asleep: Client = { next: 0, inFlight: 0, buffered: 0, appended: false, heard: 0, known: 0 }
  const first: Stage = { clients: [asleep, asleep], log: [] }
  const path: { readonly stage: Stage; readonly moves: Move[]; readonly by: Move | null }[] = []
  const seen = new Set<string>()
  const enter = (stage: Stage, by: Move | null) => {
    const from = Math.min(...stage.clients.map(({ heard }) => heard))
    const name = JSON.stringify([stage.clients, stage.log.length, stage.log.slice(from)])
    if (seen.has(name)) return
    seen.add(name)
    path.push({ stage, moves: movesIn(stage, runs).reverse(), by })
  }
  enter(first, null)
  while (path.length > 0) {
    const { stage, moves } = path.at(-1)!
    if (isOver(stage, runs)) return path.flatMap(({ by }) => (by === null ? [] : [by]))
    const move = moves.pop()
    if (move === undefined) path.pop()
    else enter(after(stage, move, runs), move)
  }
  throw new Error('no order of moves lets two clients make these edits where they were made')
}

const other = (author: 0 | 1): 0 | 1 => (author === 0 ? 1 : 0)

const isOver = ({ clients, log }: Stage, runs: readonly [readonly Run[], readonly Run[]]): boolean =>
  authors.every(me => clients[me].next === runs[me].length && clients[me].inFlight === 0 && clients[me].heard === log.length)

/** Edits first, in the order of the trace. */
const movesIn = ({ clients, log }: Stage, runs: readonly [readonly Run[], readonly Run[]]): Move[] => {
  const nextRun = (me: 0 | 1) => runs[me][clients[me].next]
  const edits = authors.filter(me => {
    const run = nextRun(me)
    return run !== undefined && clients[me].known === run.known && !(clients[me].buffered > 0 && run.cut)
  })
  edits.sort((a, b) => nextRun(a)!.txns[0]! - nextRun(b)!.txns[0]!)
  const hears = authors.filter(me => {
    const entry = log[clients[me].heard]
    const run = nextRun(me)
    return entry !== undefined && (entry.author === me || run === undefined || entry.end <= run.known)
  })
  const appends = authors.filter(me => clients[me].inFlight > 0 && !clients[me].appended)
  return [
    ...edits.map((me): Move => ['edit', me]),
    ...hears.map((me): Move => ['hear', me]),
    ...appends.map((me): Move => ['append', me]),
  ]
}

const after = ({ clients, log }: Stage, [kind, me]: Move, runs: readonly [readonly Run[], readonly Run[]]): Stage => {
  const client = clients[me]
  const become = (part: Partial<Client>): readonly [Client, Client] => {
    const changed = { ...client, ...part }
    return me === 0 ? [changed, clients[1]] : [clients[0], changed]
  }
  switch (kind) {
    case 'edit': {
      const { end } = runs[me][client.next]!
      return {
        log,
        clients: become({ next: client.next + 1, ...(client.inFlight === 0 ? { inFlight: end } : { buffered: end }) }),
      }
    }
    case 'append':
      return { log: [...log, { author: me, end: client.inFlight }], clients: become({ appended: true }) }
    case 'hear': {
      const entry = log[client.heard]!
      const heard = client.heard + 1
      if (entry.author !== me) return { log, clients: become({ heard, known: entry.end }) }
      return { log, clients: become({ heard, inFlight: client.buffered, buffered: 0, appended: false }) }
    }
  }
}

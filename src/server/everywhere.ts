// What an operator asks of all nodes at once, over their store: who is connected, and that connections be closed.
// Invariant: each node answers for its own connections; it tells no more than `mostTold` of them, in no more than `mostBytes`, and how
// many there are.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Clock, ControlChannel } from '../engine/ports.ts'
import type { Json } from '../ot/type.ts'
import type { Gateway, Whom } from './gateway.ts'

const asking = 1_500 // ms in which whoever is there answers
const mostTold = 500 // connections that a node tells of at once: every node hears the answer, some hundred bytes each
const mostBytes = 262_144 // of an answer: one connection may have dozens of documents with long names

export const whomShape = z.strictObject({
  connection: z.string().optional(),
  user: z.string().optional(),
  document: z.string().optional(),
})

const questionOf = z.discriminatedUnion('kind', [
  /** `node`: the one that asks, and has done it already; `ask`: how many they were is to be said. */
  z.object({ kind: z.literal('kick'), node: z.string(), whom: whomShape, ask: z.string().optional() }),
  z.object({ kind: z.literal('connections?'), whom: whomShape, limit: z.number(), ask: z.string() }),
])

const answerOf = z.object({
  kind: z.literal('connections'),
  ask: z.string(),
  /** The node’s, for people. */
  name: z.string(),
  /** As the admin listener tells them. */
  connections: z.array(z.json()),
  count: z.number(),
})

/** What one node says of its connections. */
export type Told = z.infer<typeof answerOf>

export interface EverywhereParts {
  readonly control: ControlChannel
  readonly node: string
  readonly name: () => string
  readonly edge: Pick<Gateway, 'seen' | 'kick'>
}

/** Heeds what is asked from now on; answers how to stop. */
export const heedOperators = ({ control, node, name, edge }: EverywhereParts): Promise<() => void> =>
  control.subscribe(word => {
    const { success, data } = questionOf.safeParse(word)
    if (!success) return
    const answer = (ask: string, connections: readonly Json[], count: number): void =>
      control.publish({ kind: 'connections', ask, name: name(), connections, count })
    if (data.kind === 'connections?') {
      const { connections, count } = edge.seen(data.whom, Math.max(1, Math.min(mostTold, data.limit)))
      answer(data.ask, fitting(connections as readonly object[] as readonly Json[]), count)
    } else if (data.node !== node) {
      const count = edge.kick(data.whom)
      if (data.ask !== undefined) answer(data.ask, [], count)
    }
  })

/** As many of the first as an answer holds. */
const fitting = (connections: readonly Json[]): readonly Json[] => {
  let bytes = 0
  const end = connections.findIndex(connection => (bytes += Buffer.byteLength(JSON.stringify(connection))) > mostBytes)
  return end < 0 ? connections : connections.slice(0, end)
}

const gathered = async (control: ControlChannel, clock: Clock, question: (ask: string) => Json): Promise<readonly Told[]> => {
  const ask = randomBytes(6).toString('base64url')
  const told: Told[] = []
  const stop = await control.subscribe(word => {
    const { success, data } = answerOf.safeParse(word)
    if (success && data.ask === ask) told.push(data)
  })
  control.publish(question(ask))
  await new Promise<void>(resolve => clock.after(asking, resolve))
  stop()
  return told.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** What the nodes say that are there. */
export const connectionsEverywhere = (control: ControlChannel, clock: Clock, whom: Whom, limit: number) =>
  gathered(control, clock, ask => ({ kind: 'connections?', ask, whom: { ...whom }, limit }) as Json)

/** Closes connections on all nodes; of each node that is there, how many. */
export const kickEverywhere = (control: ControlChannel, clock: Clock, whom: Whom) =>
  gathered(control, clock, ask => ({ kind: 'kick', node: '', ask, whom: { ...whom } }) as Json)

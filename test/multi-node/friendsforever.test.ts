// A recorded session of two people, each at a node of their own.

import { afterEach, expect, it } from 'vitest'
import { type Client, connect } from '../../src/client/index.ts'
import { enact } from '../client/enact.ts'
import { rehearse, runsOf } from '../client/rehearsal.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { concurrentTrace } from '../traces.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const closing = (client: Client): Client => {
  ends.push(() => client.close())
  return client
}

// The log decides ties by the order in which edits reach it, so "the same" has to fix that order: in both sessions each edit is made on
// the version on which it was recorded, and one edit at a time is on its way. What is left is what nodes could do differently.
it('[P1] [P4] the history of friendsforever, its authors on different nodes, ends as the very text it has on one node', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes'] })
  ends.push(() => redis.discard())
  const nodes = await Promise.all([1, 2, 3].map(() => InkwellNode.start({ store: redis.url })))
  for (const node of nodes) ends.push(() => node.kill())
  const [here, there, elsewhere] = nodes.map(({ url }) => url) as [string, string, string]
  const trace = concurrentTrace('friendsforever')
  const runs = runsOf(trace)
  const moves = rehearse(runs)
  const [one, two] = await Promise.all([
    enact({ trace, runs, moves, urls: [here, here], doc: 'on-one', closing }),
    enact({ trace, runs, moves, urls: [here, there], doc: 'on-two', closing }),
  ])
  const newcomer = await closing(connect(elsewhere)).open('on-two')
  const [text, ...others] = [...one.docs, ...two.docs, newcomer].map(doc => doc.text)
  expect(text!.length).toBe(trace.endContent.length)
  expect(others.map(other => other === text)).toEqual([true, true, true, true])
  expect(two).toMatchObject({ done: runs.map(({ length }) => length), entries: one.entries })
  expect([...two.docs, newcomer].map(({ version }) => version)).toEqual([one.entries, one.entries, one.entries])
})

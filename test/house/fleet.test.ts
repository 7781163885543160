// The arithmetic of docs/SCALING.md against a simulation that counts edit by edit.

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { counted, type Demand, fleet, spreadOver } from '../../bench/fleet.ts'
import { seededRandom } from '../../src/testing/type-laws.ts'
import { refreshScaling, scalingPage } from './scaling.ts'

const costs = { delivery: 10, hearing: 10, append: 50, telling: 10, connection: 12, down: 50 }
const seed = Number(process.env.SEED ?? 7)

const near = (found: number, expected: number, percent: number, what: string): void =>
  expect(Math.abs(found / expected - 1), `seed ${seed}, ${what}: ${found}, not ${expected}`).toBeLessThan(percent / 100)

it.each<readonly [Demand, nodes: number]>([
  [{ connections: 20_000, people: 10, rate: 2, typing: 0.3 }, 4],
  [{ connections: 20_000, people: 2, rate: 1, typing: 1 }, 16],
  [{ connections: 20_000, people: 200, rate: 0.5, typing: 0.2 }, 8],
])('what is worked out for %o on %d nodes is what is counted', (demand, nodes) => {
  const found = counted(demand, { nodes, seconds: 20, append: 2, tick: 0 }, seededRandom(seed))
  const { edits, deliveries } = fleet(demand, costs)
  near(found.edits / 20, edits, 4, 'edits')
  near(found.deliveries / 20, deliveries, 4, 'deliveries')
  near(found.heard / found.edits, spreadOver(demand.people, nodes) - 1, 4, 'heard')
})

it('a quiet document costs an append and a frame to each reader for every edit, a busy one less than that of both', () => {
  const quiet = counted(
    { connections: 10_000, people: 10, rate: 1, typing: 0.1 },
    { nodes: 4, seconds: 20, append: 2, tick: 0 },
    seededRandom(seed),
  )
  expect(quiet.appends / quiet.edits).toBeGreaterThan(0.99)
  expect(quiet.frames / quiet.deliveries).toBeGreaterThan(0.98)
  const busy = counted(
    { connections: 2_000, people: 1_000, rate: 2, typing: 1 },
    { nodes: 4, seconds: 20, append: 2, tick: 50 },
    seededRandom(seed),
  )
  near(busy.edits, 80_000, 2, 'edits')
  near(busy.frames, 2 * 1_000 * 20 * 20, 2, 'frames') // one a tick for each reader
  expect(busy.appends / busy.edits).toBeLessThan(0.75)
})

it('more nodes hear of an edit the more there are, but never more than have somebody in the document', () => {
  expect([1, 2, 1_000].map(nodes => Number(spreadOver(10, nodes).toFixed(2)))).toEqual([1, 2, 9.96])
  const demand = { connections: 100_000, people: 10, rate: 1, typing: 0.1 }
  expect(fleet(demand, costs)).toMatchObject({ edits: 10_000, deliveries: 100_000 })
  expect(fleet({ ...demand, connections: 1_000 }, costs)).toMatchObject({ nodes: 1, shards: 0, heard: 0 })
})

it('docs/SCALING.md says what follows from what things cost', () => {
  const page = readFileSync(scalingPage, 'utf8')
  expect(page, 'run `npx tsx scripts/scaling.ts`').toBe(refreshScaling(page))
})

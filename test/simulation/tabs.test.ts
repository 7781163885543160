// The search that carries the promises where a browser has several tabs, a storage that fails, and tabs that die.
// Invariant: a failure names its seed, and `SEED=n npm test -- test/simulation/tabs` runs that one alone and tells each step.

import { expect, test } from 'vitest'
import { simulateTabs } from './tabs-world.ts'

const only = process.env.SEED === undefined ? null : Number(process.env.SEED)
const count = Math.ceil(200 * Number(process.env.SEEDS_SHARE ?? 1))

test('[P1] [P2] [P3] [R12] tabs that crash, a storage that fails and lines that break lose nothing that was kept, and double nothing', async () => {
  const total: Record<string, number> = {}
  const seeds = only === null ? Array.from({ length: count }, (_, i) => 1 + i) : [only]
  for (const seed of seeds) {
    const counts = await simulateTabs({ seed, steps: 100, ...(only === null ? {} : { trace: console.log }) })
    for (const [what, n] of Object.entries(counts)) total[what] = (total[what] ?? 0) + n
  }
  // A search that never meets what it looks for proves nothing.
  const faults = ['crashed', 'closed', 'opened offline', 'denied', 'line cut', 'storage full', 'storage slow', 'unlucky return']
  const told = ['draft', 'document closed', 'lost with its tab']
  if (only === null) for (const what of [...faults, ...told]) expect(total[what], what).toBeGreaterThan(count / 4)
})

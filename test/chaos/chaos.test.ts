// Two minutes of everything that can go wrong between real processes, in the manner of a stress runtime: it checks itself.
// Longer, and with other seeds: npm run chaos -- --minutes 30 --seed 7.

import { expect, it } from 'vitest'
import { chaos } from './chaos.ts'

const seed = Number(process.env.SEED ?? 1)

it(`[P1] [P2] [P3] [P4] [P5] 30 writers in 5 documents on 3 nodes over one Redis come through two minutes of faults as if nothing had been (seed ${seed})`, async () => {
  const { commits, typed, promised } = await chaos({ seed, seconds: 125, say: line => process.stdout.write(`${line}\n`) })
  expect(commits).toBeGreaterThan(500)
  expect(promised).toBeGreaterThan(typed / 2)
}, 1_500_000) // some of its waits may take four minutes each before they say what they waited for

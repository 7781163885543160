// docs/LIMITS.md and the sources say the same.

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { limitsPage, ofEngine, ofLine, refreshLimits } from './limits.ts'

it('[P5] docs/LIMITS.md is what the sources make of it: npx tsx scripts/limits.ts', () => {
  const page = readFileSync(limitsPage, 'utf8')
  expect(refreshLimits(page)).toBe(page)
})

it('[P5] every limit says what it bounds, and why by so much', () => {
  const silent = [...ofEngine, ...ofLine].filter(({ says, reason }) => says === '' || reason === '').map(({ name }) => name)
  expect(silent).toEqual([])
})

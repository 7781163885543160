// Writes the tables of docs/LIMITS.md anew from the sources: `npx tsx scripts/limits.ts`.
// Invariant: what is on disk is exactly what the sources say.

import { readFileSync, writeFileSync } from 'node:fs'
import { limitsPage, refreshLimits } from '../test/house/limits.ts'

writeFileSync(limitsPage, refreshLimits(readFileSync(limitsPage, 'utf8')))

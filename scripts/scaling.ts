// Writes the tables of docs/SCALING.md anew from what things cost: `npx tsx scripts/scaling.ts`.
// Invariant: what is on disk is exactly what follows.

import { readFileSync, writeFileSync } from 'node:fs'
import { refreshScaling, scalingPage } from '../test/house/scaling.ts'

writeFileSync(scalingPage, refreshScaling(readFileSync(scalingPage, 'utf8')))

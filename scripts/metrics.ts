// Writes the tables of docs/METRICS.md anew from the sources: `npx tsx scripts/metrics.ts`.
// Invariant: what is on disk is exactly what the sources say.

import { readFileSync, writeFileSync } from 'node:fs'
import { metricsPage, refreshMetrics } from '../test/house/metrics.ts'

writeFileSync(metricsPage, refreshMetrics(readFileSync(metricsPage, 'utf8')))

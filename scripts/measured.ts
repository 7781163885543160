// Fills the table "Measured" of the README from results of the benches: `npx tsx scripts/measured.ts bench/results/*.json`.
// Invariant: every number in that table was written by a run, and its row names the command that measures it again.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Results } from '../bench/row.ts'
import { measuredIn } from '../test/house/measured.ts'
import { between } from '../test/house/page.ts'

const readme = join(import.meta.dirname, '..', 'README.md')
const all = process.argv.slice(2).map(file => JSON.parse(readFileSync(file, 'utf8')) as Results)
if (all.length === 0) throw new Error('say from which results: `npx tsx scripts/measured.ts bench/results/*.json`')
writeFileSync(readme, between(readFileSync(readme, 'utf8'), 'measured', measuredIn(all)))

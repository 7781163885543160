// Writes docs/vectors.json anew from the code: `npx tsx scripts/vectors.ts`.
//
// A change of a case that was there before is a change of what edits mean: two versions would then hold different texts. So
// cases may be added, but an old one changes only together with the protocol's version.
// Invariant: what is on disk is exactly what the code makes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeVectors, printVectors } from '../test/ot/vectors.ts'

writeFileSync(join(import.meta.dirname, '..', 'docs', 'vectors.json'), printVectors(makeVectors()))

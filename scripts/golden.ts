// Writes test/protocol/golden.json anew from the examples: `npx tsx scripts/golden.ts`.
//
// A change in that file is a change of the wire. Once a version is released, old clients and servers meet new ones, so then:
//   1. raise `max` in src/protocol/version.ts, and keep reading and writing the version before it until `min` is raised too;
//   2. run this script;
//   3. add the printed line to `pinned` in test/protocol/golden.test.ts, beside the older ones;
//   4. say in docs/PROTOCOL.md and CHANGELOG.md what became different.
// Only before the first release may a pinned hash be replaced instead.
// Invariant: the file on disk is exactly what the code makes.

import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeGolden, printGolden } from '../test/protocol/golden.ts'

const golden = makeGolden()
const text = printGolden(golden)
writeFileSync(join(import.meta.dirname, '..', 'test', 'protocol', 'golden.json'), text)
process.stdout.write(`  ${golden.protocol}: '${createHash('sha256').update(text).digest('hex')}',\n`)

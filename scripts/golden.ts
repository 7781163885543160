// Writes test/protocol/golden.json and the examples in docs/PROTOCOL.md anew from the code: `npx tsx scripts/golden.ts`.
//
// A change in that file is a change of the wire. Once a version is released, old clients and servers meet new ones, so then:
//   1. raise `max` in src/protocol/version.ts, and keep reading and writing the version before it until `min` is raised too;
//   2. run this script;
//   3. add the printed line to `pinned` in test/protocol/golden.test.ts, beside the older ones;
//   4. say in docs/PROTOCOL.md and CHANGELOG.md what became different.
// Only before the first release may a pinned hash be replaced instead.
// Invariant: what is on disk is exactly what the code makes.

import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { refresh } from '../test/protocol/document.ts'
import { makeGolden, printGolden } from '../test/protocol/golden.ts'

const root = join(import.meta.dirname, '..')
const golden = makeGolden()
const text = printGolden(golden)
writeFileSync(join(root, 'test', 'protocol', 'golden.json'), text)
const document = join(root, 'docs', 'PROTOCOL.md')
writeFileSync(document, refresh(readFileSync(document, 'utf8'), golden))
process.stdout.write(`  ${golden.protocol}: '${createHash('sha256').update(text).digest('hex')}',\n`)

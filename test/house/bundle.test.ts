// What reaches a browser when a page imports a face of Inkwell.

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bundle, serverSide } from './bundle.ts'

const root = join(import.meta.dirname, '..', '..')
const sources = [
  { find: /^inkwell$/, replacement: join(root, 'src/index.ts') },
  { find: /^inkwell\/client\/tracing$/, replacement: join(root, 'src/client/tracing/index.ts') },
  { find: /^inkwell\/(\w+)$/, replacement: `${root}/src/$1/index.ts` },
]

it.each([
  ['inkwell', "export { textType } from 'inkwell'"],
  ['inkwell/client', "export { connect } from 'inkwell/client'"],
  ['inkwell/client/tracing', "export { traceEdits } from 'inkwell/client/tracing'"],
  ['inkwell/codemirror', "export { collaboration } from 'inkwell/codemirror'"],
])('a page that imports %s loads nothing of the server', async (face, entry) => {
  const { modules, gzipped } = await bundle(root, entry, sources)
  expect(serverSide(modules)).toEqual([])
  console.log(`${face}: ${(gzipped / 1024).toFixed(1)} KiB gzipped, ${modules.length} modules`)
})

it('a page that imports inkwell/client loads at most 35 KiB of it, gzipped, beside socket.io-client', async () => {
  const { gzipped } = await bundle(root, "export { connect } from 'inkwell/client'", sources, ['socket.io-client'])
  console.log(`inkwell/client without socket.io-client: ${(gzipped / 1024).toFixed(1)} KiB gzipped`)
  expect(gzipped).toBeLessThanOrEqual(35 * 1_024)
  const besides = "export { connect, browserStorage } from 'inkwell/client'"
  const { gzipped: keeping } = await bundle(root, besides, sources, ['socket.io-client'])
  console.log(`with browserStorage: ${(keeping / 1024).toFixed(1)} KiB gzipped`)
  expect(keeping - gzipped).toBeLessThanOrEqual(3 * 1_024)
})

it('the check notices our server side, also where tree shaking would remove it again', async () => {
  const { modules } = await bundle(root, `import '${root}/src/stores/memory.ts'`)
  expect(serverSide(modules)).toContain(join(root, 'src/stores/memory.ts'))
})

it('the check notices what only Node has', async () => {
  const { modules } = await bundle(root, "import { readFileSync } from 'node:fs'\nexport const read = () => readFileSync('a')")
  expect(serverSide(modules)).toHaveLength(1)
})

it('the check notices a package of the server side', async () => {
  const { modules } = await bundle(
    root,
    "export { default } from 'fast-diff'\nexport { Decoder } from 'socket.io-parser'\nimport { z } from 'zod'\nexport const c = z",
  )
  expect(serverSide(modules).every(id => id.includes('/zod/'))).toBe(true)
  expect(serverSide(modules)).not.toEqual([])
})

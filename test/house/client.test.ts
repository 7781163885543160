// The sample of docs/CLIENT.md, compiled and run as it stands there.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { serving } from '../server/worlds.ts'
import { run } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const text = readFileSync(join(root, 'docs/CLIENT.md'), 'utf8')
const samples = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, , code]) => code!)
const folder = join(root, 'test-artefacts', 'client') // inside the package, so that `inkwell/client` means what is built here
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

it('[P7] the sample prints the span of its edit, and the compiler accepts it', async () => {
  const [sample, ...others] = samples
  expect(others).toEqual([])
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const { port } = new URL(await serving())
  const file = join(folder, 'sample.ts')
  writeFileSync(file, sample!.replaceAll('3000', port))
  const printed = await run(process.execPath, ['--import', tsx, file], root)
  expect(printed).toContain("name: 'inkwell edit'")
  expect(printed).toContain("'inkwell.document': 'meeting-notes'")
  expect(printed).toContain('status: { code: 0 }')
  const config = { extends: '../../tsconfig.json', compilerOptions: { noEmit: true }, include: [], files: ['sample.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  expect(await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], root)).toBe('')
}, 120_000)

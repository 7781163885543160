// The tarball that users install, in an empty project of theirs.

import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bundle, serverSide } from './bundle.ts'
import { run } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
let project: string
let packed: readonly string[]

beforeAll(async () => {
  project = realpathSync(mkdtempSync(join(tmpdir(), 'inkwell-pack-')))
  const said = await npm(root, 'pack', '--json', '--pack-destination', project)
  const [{ filename, files }] = JSON.parse(said.slice(said.search(/^\[/m))) // before it stands what the build said
  packed = files.map((file: { path: string }) => file.path)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'a-project', private: true, type: 'module' }))
  const besides = ['@codemirror/state', '@codemirror/view', '@types/node'].map(
    name => `${name}@${manifest.devDependencies[name]}`,
  )
  await npm(project, 'install', '--prefer-offline', join(project, filename), ...besides)
}, 300_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

it('the tarball holds what is built, what is to be read and what operators start from, and no sources or tests', () => {
  expect(packed.filter(path => !/^(dist|docs|deploy)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path))).toEqual(
    [],
  )
  expect(packed.filter(path => /\.(test|spec)\.|(?<!\.d)\.ts$/.test(path))).toEqual([])
  expect(
    ['LICENSE', 'README.md', 'dist/cli/main.js', 'dist/demo/index.html', 'dist/dashboard/index.html'].filter(
      path => !packed.includes(path),
    ),
  ).toEqual([])
})

it('every subpath export names files that are in the tarball', () => {
  const targets = Object.values(manifest.exports as Record<string, string | Record<string, string>>)
    .flatMap(target => (typeof target === 'string' ? target : Object.values(target)))
    .map(path => path.replace('./', ''))
  expect(targets.length).toBeGreaterThan(10)
  expect(targets.filter(path => !packed.includes(path))).toEqual([])
})

it('plain JavaScript imports every face, starts a server, types on one client and reads on another', async () => {
  writeFileSync(join(project, 'plain.js'), readFileSync(join(import.meta.dirname, 'project', 'plain.js')))
  const said = await run(process.execPath, ['plain.js'], project)
  expect(JSON.parse(said)).toEqual({ version: manifest.version, his: 'Hi there', kept: 'Hi there' })
})

it.each([
  ['NodeNext', { module: 'NodeNext', moduleResolution: 'NodeNext' }],
  ['Bundler', { module: 'ESNext', moduleResolution: 'Bundler' }],
])('strict TypeScript accepts the faces with moduleResolution %s, and refuses their misuse', async (name, resolution) => {
  const folder = join(project, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'faces.ts'), readFileSync(join(import.meta.dirname, 'project', 'faces.ts')))
  const compilerOptions = {
    ...resolution,
    target: 'ES2022',
    lib: ['ES2022', 'DOM'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['faces.ts'] }))
  expect(await run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], project)).toBe('')
})

it('npx inkwell tells how it is used', async () => {
  const said = await npm(project, 'exec', '--no', '--', 'inkwell', '--help')
  expect(said).toContain('Usage: inkwell')
  expect(said).toContain('serve')
})

it('a page that bundles the installed client loads nothing of the server', async () => {
  const { modules, gzipped } = await bundle(project, "export { connect } from 'inkwell/client'")
  expect(modules).toContain(join(project, 'node_modules/inkwell/dist/client/index.js'))
  expect(serverSide(modules)).toEqual([])
  console.log(`inkwell/client as installed: ${(gzipped / 1024).toFixed(1)} KiB gzipped`)
})

function npm(folder: string, ...args: readonly string[]): Promise<string> {
  return run('npm', args, folder)
}

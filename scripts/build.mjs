// Builds dist/: the compiled package and, in dist/demo and dist/dashboard, the pages.
// Invariant: dist/ is replaced whole or not at all, so a failed build leaves the last good one and a server running from it unharmed.

import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { root, run, say, toolScript } from './run.mjs'

const dist = join(root, 'dist')
const next = join(root, `.dist-${process.pid}`)
const old = join(root, `.dist-${process.pid}-old`)
const stampPath = join(root, 'node_modules', '.cache', 'inkwell-build')
const inputs = [
  'src',
  'demo',
  'dashboard',
  'scripts',
  'tsconfig.json',
  'tsconfig.build.json',
  'package.json',
  'package-lock.json',
]

const started = performance.now()
const source = hashOfInputs() // taken before compiling: what is edited meanwhile makes the next build run again
if (existsSync(stampPath) && readFileSync(stampPath, 'utf8') === `${source} ${hashOfDist()}`) {
  say('build', 'dist is up to date', started)
} else {
  try {
    await compile()
    for (const page of ['demo', 'dashboard']) await bundle(page)
    replaceDist()
  } finally {
    rmSync(next, { recursive: true, force: true })
    rmSync(old, { recursive: true, force: true })
  }
  mkdirSync(dirname(stampPath), { recursive: true })
  writeFileSync(stampPath, `${source} ${hashOfDist()}`)
  say('build', 'dist is new', started)
}

async function compile() {
  const since = performance.now()
  await orFail('tsc', [toolScript('typescript', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', next])
  const cli = join(next, 'cli', 'main.js')
  if (existsSync(cli)) {
    if (!readFileSync(cli, 'utf8').startsWith('#!')) fail('src/cli/main.ts does not open with #!/usr/bin/env node')
    chmodSync(cli, 0o755)
  }
  say('build', `compiled ${files(next).filter(path => path.endsWith('.js')).length} modules`, since)
}

async function bundle(page) {
  if (!existsSync(join(root, page, 'index.html'))) return
  const since = performance.now()
  const outDir = join(next, page)
  await orFail('vite', [
    toolScript('vite'),
    'build',
    page,
    '--base',
    './',
    '--outDir',
    outDir,
    '--emptyOutDir',
    '--logLevel',
    'warn',
  ])
  say('build', `bundled the ${page}, ${files(outDir).length} files`, since)
}

function replaceDist() {
  if (existsSync(dist)) renameSync(dist, old)
  renameSync(next, dist)
}

function hashOfInputs() {
  const hash = createHash('sha256').update(process.version)
  for (const input of inputs) {
    for (const path of files(join(root, input)))
      hash
        .update(`${relative(root, path)}\0`)
        .update(readFileSync(path))
        .update('\0')
  }
  return hash.digest('hex')
}

/** Changes when somebody deletes or edits what was built. */
function hashOfDist() {
  const hash = createHash('sha256')
  for (const path of files(dist)) hash.update(`${relative(dist, path)} ${statSync(path).size}\0`)
  return hash.digest('hex')
}

function files(path) {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { withFileTypes: true })
    .filter(entry => entry.name !== 'node_modules')
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap(entry => (entry.isDirectory() ? files(join(path, entry.name)) : [join(path, entry.name)]))
}

async function orFail(name, args) {
  const { code, output } = await run(process.execPath, args)
  if (code === 0) return
  process.stderr.write(output)
  fail(`${name} ended with code ${code}`)
}

function fail(sentence) {
  say('build', `failed: ${sentence}`)
  rmSync(next, { recursive: true, force: true })
  process.exit(1)
}

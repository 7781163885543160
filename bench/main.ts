// Runs the benchmarks: `npm run bench`, `npm run bench -- ot server`, `-- scale --case idle`, `--quick`, `--json results.json`,
// `--report page.html`. `--from results.json` measures nothing and shows what that file holds.
// Invariant: exits with 1 when a gate does not hold, a bench throws, or nothing was measured.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { pageOf } from './report.ts'
import { type BenchOptions, bound, holds, type Results, type Row, shown } from './row.ts'

/** A file beside this one that measures something: it exports its name and how to run it. */
interface Bench {
  readonly name: string
  bench(options: BenchOptions): Promise<readonly Row[]>
}

const { values: flags, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    report: { type: 'string' },
    from: { type: 'string' },
    case: { type: 'string', multiple: true, default: [] },
  },
})

const benches = await found()
const unknown = asked.filter(name => !benches.some(bench => bench.name === name))
if (unknown.length > 0) {
  console.error(`bench: there is no ${unknown.join(', ')}; there is ${benches.map(bench => bench.name).join(', ')}`)
  process.exit(1)
}

const old = flags.from === undefined ? null : (JSON.parse(readFileSync(flags.from, 'utf8')) as Results)
const machine = old?.machine ?? facts()
console.log(`${machine.cores} × ${machine.cpu}, ${machine.memory} GiB, ${machine.system}, Node ${machine.node}`)
if (flags.quick) console.log('quick: short rounds, rough numbers')

const results: Record<string, readonly Row[]> = { ...old?.results }
const broken: string[] = []
for (const [name, rows] of Object.entries(results)) print(name, rows)
for (const bench of old === null ? benches.filter(({ name }) => asked.length === 0 || asked.includes(name)) : []) {
  const since = performance.now()
  try {
    const rows = await bench.bench({ quick: flags.quick, cases: flags.case })
    results[bench.name] = rows.map(row => ({ command: `npm run bench -- ${bench.name}`, ...row }))
    print(bench.name, results[bench.name]!, performance.now() - since)
  } catch (error) {
    broken.push(bench.name)
    console.error(`\n${bench.name} broke off:`, error)
  }
}

const rows = Object.values(results).flat()
const failed = rows.filter(row => !holds(row))
const written: Results = { machine, quick: old?.quick ?? flags.quick, results }
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(written, null, 2)}\n`)
if (flags.report !== undefined) writeFileSync(flags.report, pageOf(written))

const gated = rows.filter(row => row.gate !== undefined).length
console.log(
  `\n${rows.length} rows; ${gated - failed.length} of ${gated} gates hold${broken.length > 0 ? `; broken off: ${broken.join(', ')}` : ''}`,
)
for (const row of failed) console.log(`does not hold: ${row.what}: ${shown(row.value)} ${row.unit}, ${bound(row)}`)
process.exitCode = failed.length > 0 || broken.length > 0 || rows.length === 0 ? 1 : 0

async function found(): Promise<Bench[]> {
  const files = readdirSync(import.meta.dirname).filter(file => file.endsWith('.ts') && file !== basename(import.meta.filename))
  const modules = await Promise.all(files.sort().map(file => import(pathToFileURL(join(import.meta.dirname, file)).href)))
  return modules.filter((module): module is Bench => typeof module.name === 'string' && typeof module.bench === 'function')
}

function facts() {
  const [first] = cpus()
  return {
    cores: cpus().length,
    cpu: first?.model.trim() ?? 'unknown',
    memory: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()}`,
    node: process.versions.node,
    date: new Date().toISOString(),
  }
}

function print(name: string, rows: readonly Row[], ms: number | null = null) {
  console.log(`\n${name}${ms === null ? '' : ` (${(ms / 1000).toFixed(1)} s)`}`)
  const cells = rows.map(row => [
    row.what,
    `${shown(row.value)} ${row.unit}`,
    row.gate === undefined ? '' : `${holds(row) ? 'holds' : 'FAILS'}: ${bound(row)}`,
    Object.entries(row.beside ?? {})
      .map(([other, value]) => `${other} ${shown(value)}`)
      .join(', '),
  ])
  const widths = [0, 1, 2].map(column => Math.max(0, ...cells.map(cell => cell[column]!.length)))
  for (const [what, value, gate, beside] of cells) {
    console.log(`  ${what!.padEnd(widths[0]!)}  ${value!.padStart(widths[1]!)}  ${gate!.padEnd(widths[2]!)}  ${beside}`.trimEnd())
  }
}

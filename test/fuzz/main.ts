// The fuzzers for as long as one likes: npm run fuzz -- --minutes 10 --seed 7. With --shared an application has a namespace of its own
// on the server that is tried. With --json the findings as one line of JSON.
// Invariant: exits with 0 only when nothing failed.

import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    shared: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1)) // and what was started goes with it

const [seed, minutes] = [Number(values.seed), Number(values.minutes)]
if (!Number.isSafeInteger(seed) || !(minutes > 0)) {
  process.stderr.write('fuzz: --seed is a whole number, and --minutes a number above 0\n')
  process.exit(2)
}
const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`)
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
try {
  const found = await fuzz({ seed, seconds: minutes * 60, say, strict: true, shared: values.shared })
  const { inputs, tally, stalls, p99, edits, memory, rss } = found
  if (values.json) process.stdout.write(`${JSON.stringify({ seed, minutes, ...found })}\n`)
  for (const [what, count] of Object.entries(tally)) say(`  ${String(count).padStart(8)}  ${what}`)
  say(`seed ${seed} holds: ${inputs} inputs in ${minutes} min, ${edits} edits of neighbours`)
  say(`  longest stall   ${stalls[1].toFixed(1)} ms, quiet ${stalls[0].toFixed(1)} ms (CPU in one turn of the event loop)`)
  const [quiet, beside, tried] = p99
  say(
    `  neighbours p99  ${tried.toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms (while another server on this machine is tried: ${beside?.toFixed(1)} ms)`,
  )
  say(`  memory          ${mib(memory[1])}, base ${mib(memory[0])} (heap and beside it, after a collection)`)
  say(`  resident        ${mib(rss[1])}, base ${mib(rss[0])}`)
  process.exit(0)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

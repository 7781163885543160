// The chaos for as long as one likes: npm run chaos -- --minutes 30 --seed 7. With --runs 10 the seeds after it too.

import { parseArgs } from 'node:util'
import { chaos } from './chaos.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    runs: { type: 'string', default: '1' },
    writers: { type: 'string', default: '30' },
    documents: { type: 'string', default: '5' },
    pause: { type: 'string', default: '4' },
  },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1)) // and what was started goes with it

const seconds = values.seconds === undefined ? Number(values.minutes) * 60 : Number(values.seconds)
const [writers, documents, pause] = [values.writers, values.documents, values.pause].map(Number) as [number, number, number]
let failed = 0
for (let seed = Number(values.seed); seed < Number(values.seed) + Number(values.runs); seed++) {
  try {
    const { counts, ...sums } = await chaos({
      seed,
      seconds,
      writers,
      documents,
      pause,
      say: line => process.stdout.write(`${line}\n`),
    })
    process.stdout.write(`seed ${seed} holds: ${JSON.stringify({ ...sums, ...counts })}\n`)
  } catch (error) {
    failed++
    process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`)
  }
}
process.exit(failed === 0 ? 0 : 1)

// One server to be measured, as it is built, that is seen more or less as it is told: `node seen.mjs [part of the edits that are traced]`.
// Invariant: the same process is measured with and without: two that do the same differ by more than what is looked for.

import { openSync } from 'node:fs'
import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { destination, pino } from 'pino'
import { Buckets } from '../dist/server/exposition.js'
import { createServer, memoryStore } from '../dist/server/index.js'

/** Spans are handed over and forgotten: what a collector costs is another program's. */
const keepNothing = { export: (_spans, done) => done({ code: 0 }), shutdown: async () => {} }
const tracer = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(keepNothing)] })

const many = 1_000_000
const server = await createServer({
  store: memoryStore(),
  logger: pino({ level: 'silent' }, destination({ fd: openSync('/dev/null', 'w'), sync: true })),
  limits: {
    ...{ handshakesPerAddress: many, handshakesPerSecond: many, strangersPerAddress: many, pingInterval: 600_000 },
    ...{ messagesPerLine: many, messagesPerUser: many }, // the bench's one writer types two thousand keys a second
  },
  traceRatio: Number(process.argv[2] ?? 0.01),
})
const { url } = await server.listen(0)

// What is counted by additions cannot be switched off, nor told apart from nothing.
const { add } = Buckets.prototype
let counting = true
Buckets.prototype.add = function (value) {
  if (counting) add.call(this, value)
}
setInterval(() => counting && void server.metrics(), 15_000) // as deploy/prometheus/prometheus.yml says

const seen = kind => {
  counting = kind !== 'off'
  server.logLevel = kind === 'on' ? 'debug' : 'silent'
  trace.disable()
  if (kind === 'on') trace.setGlobalTracerProvider(tracer)
}

process.on('message', ask => {
  if (ask !== 'cpu') seen(ask)
  process.send(process.cpuUsage())
})
process.on('disconnect', () => process.exit())
process.send(url)

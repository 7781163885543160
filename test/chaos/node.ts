// A node that can be looked into, started like the command: node.ts serve --port … --store …. On SIGUSR2 it writes down what it holds.
// Invariant: it ends with 0 when it is told to stop, and of nothing else; a mistake that nobody catches ends it with 1.

import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { pino } from 'pino'
import { createServer } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

const { values } = parseArgs({
  allowPositionals: true,
  options: { port: { type: 'string' }, store: { type: 'string' }, limits: { type: 'string', default: '{}' } },
})
const log = pino({ level: 'info', base: null })
const server = await createServer({ store: redisStore(values.store!), logger: log, limits: JSON.parse(values.limits) })
process.on('SIGTERM', () => void server.close().then(() => process.exit(0)))
let looks = 0
process.on('SIGUSR2', () => {
  gc()
  // What waited for the first sweep to go is gone with the second.
  setTimeout(() => {
    gc()
    const { heapUsed, external, rss } = process.memoryUsage()
    log.info({ nth: ++looks, inside: { heapUsed, external, rss, ...server.engine.counts } })
  }, 50)
})
await server.listen(Number(values.port))

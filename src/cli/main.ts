#!/usr/bin/env node
// The command: `inkwell serve` runs a server until it is told to stop.
// Invariant: it exits with 0 after a clean stop, 2 for a faulty configuration, 1 for anything else.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { pino } from 'pino'
import { unreachable } from '../protocol/unreachable.ts'
import { ConfigurationError, createServer, embeddedStore, type InkwellServer, memoryStore, type Store } from '../server/index.ts'
import { configurationOf, demoFault, type Flags, type Serving, type Setting, settings } from './configuration.ts'

const fail = (faults: readonly string[]): never => {
  process.stderr.write(`inkwell: the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}\n`)
  for (const fault of faults) process.stderr.write(`  - ${fault}\n`)
  process.exit(2)
}

const storeOf = async (store: Serving['store']): Promise<Store> => {
  switch (store.kind) {
    case 'memory':
      return memoryStore()
    case 'embedded':
      return embeddedStore({ path: store.path })
    case 'redis': {
      const { redisStore } = await import('../stores/redis.ts') // whoever has no Redis need not load its client
      return redisStore(store.url)
    }
    default:
      return unreachable(store)
  }
}

const serve = async (flags: Flags): Promise<void> => {
  const read = configurationOf(flags, process.env)
  const demo = fileURLToPath(new URL('../demo', import.meta.url))
  const noDemo = (Array.isArray(read) ? flags.demo === true : (read as Serving).demo) ? demoFault(demo) : null
  const faults = [...(Array.isArray(read) ? read : []), ...(noDemo === null ? [] : [noDemo])]
  if (faults.length > 0) fail(faults)
  const serving = read as Serving

  const log = pino({ level: serving.logLevel, base: { name: 'inkwell' } })
  let server: InkwellServer
  let url: string
  try {
    server = await createServer({
      store: await storeOf(serving.store),
      logger: log,
      transports: serving.transports,
      ...(serving.origins === undefined ? {} : { origins: serving.origins }),
      ...(serving.demo ? { demo } : {}),
    })
    ;({ url } = await server.listen(serving.port, serving.host))
  } catch (error) {
    if (error instanceof ConfigurationError) return fail(error.faults)
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL')
      return fail([`--port, --host: cannot listen on ${serving.host}:${serving.port} (${code})`])
    throw error
  }

  if (process.stderr.isTTY)
    process.stderr.write(`Inkwell listens on ${url}${serving.demo ? ', with the demo page' : ''}. Ctrl-C stops it.\n`)

  let stopping = false
  const stop = (why: string, code: number): void => {
    if (stopping) {
      log.warn({ why }, 'asked again: stopping at once')
      process.exit(code || 1)
    }
    stopping = true
    log.info({ why }, 'stopping')
    server.close().then(
      () => process.exit(code),
      error => {
        log.fatal({ err: error }, 'could not stop cleanly')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', () => stop('SIGTERM', 0))
  process.on('SIGINT', () => stop('SIGINT', 0))
  // A mistake that nobody caught: what is in memory may be wrong, what is in the log is not. Say so, save what can be saved, go.
  const dire = (error: unknown): void => {
    log.fatal({ err: error }, 'an error that nobody caught')
    stop('uncaught error', 1)
  }
  process.on('unhandledRejection', dire)
  process.on('uncaughtException', dire)
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('inkwell').description('Many pens, one text: a real-time collaboration server.').version(version)
program.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2)) // an unknown flag is a fault of configuration too
const command = program.command('serve').description('run a server').copyInheritedSettings(program)
for (const setting of Object.values(settings) as Setting[]) {
  const otherwise = setting.otherwise === undefined ? '' : `, default: ${setting.otherwise}`
  command.addOption(new Option(setting.flag, `${setting.says} (${setting.variable}${otherwise})`))
}
command.action(serve)
program.parseAsync().catch(error => {
  process.stderr.write(`inkwell: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(1)
})

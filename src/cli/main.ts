#!/usr/bin/env node
// The command: `inkwell serve` runs a server until it is told to stop; the others do one thing and end.
// Invariant: it exits with 0 after a clean end, 2 for a faulty configuration, 1 for anything else, a store that is away included.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Argument, Command, Option } from 'commander'
import { pino } from 'pino'
import { unreachable } from '../protocol/unreachable.ts'
import {
  ConfigurationError,
  createServer,
  embeddedStore,
  type InkwellServer,
  jwt,
  memoryStore,
  type Store,
} from '../server/index.ts'
import { configurationOf, demoFault, type Serving, settings } from './configuration.ts'
import { load, loadOf, loadSettings } from './load.ts'
import { operations } from './operations.ts'
import { processOut } from './print.ts'
import { askedOf, type CommandName, carryOut, commands } from './revoke.ts'
import { type Flags, fileFlag, type Settings } from './settings.ts'
import { printToken, tokenOf, tokenSettings } from './token.ts'
import { keepWorkers, slotOf, whenToldToStop } from './workers.ts'

const fail = (faults: readonly string[], code = 2): never => {
  process.stderr.write(`inkwell: the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}\n`)
  for (const fault of faults) process.stderr.write(`  - ${fault}\n`)
  process.exit(code)
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

/** @throws {ConfigurationError} when somebody else listens there already, or nobody may */
const listens = async <T>(
  flags: string,
  { host, port }: { readonly host: string; readonly port: number },
  listen: () => Promise<T>,
): Promise<T> =>
  listen().catch(error => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL')
      throw new ConfigurationError([`${flags}: cannot listen on ${host}:${port} (${code})`])
    throw error
  })

const serve = async (flags: Flags): Promise<void> => {
  const read = configurationOf(flags, process.env)
  const demo = fileURLToPath(new URL('../demo', import.meta.url))
  const noDemo = (Array.isArray(read) ? flags.demo === true : (read as Serving).demo) ? demoFault(demo) : null
  const faults = [...(Array.isArray(read) ? read : []), ...(noDemo === null ? [] : [noDemo])]
  if (faults.length > 0) fail(faults)
  const serving = read as Serving

  const slot = slotOf(process.env)
  const log = pino({ level: serving.logLevel, base: { name: 'inkwell', ...(slot === null ? {} : { worker: slot }) } })
  if (slot === null && serving.workers > 1) {
    process.exitCode = await keepWorkers(serving.workers, log)
    return
  }
  // A worker heeds its parent from the start: before it serves anybody there is nothing to end but itself.
  let heed = (_why: string): void => process.exit(0)
  if (slot !== null) {
    whenToldToStop(why => heed(why))
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {}) // that is for the parent
  }
  let server: InkwellServer
  let url: string
  try {
    server = await createServer({
      store: await storeOf(serving.store),
      logger: log,
      transports: serving.transports,
      trustProxy: serving.trustProxy,
      traceRatio: serving.traceRatio,
      limits: { stopWithin: serving.stopWithin },
      ...(serving.jwt === null ? {} : { authenticate: jwt(serving.jwt) }),
      ...(serving.origins === undefined ? {} : { origins: serving.origins }),
      ...(serving.demo ? { demo } : {}),
    })
    // Each worker has its own, as an operator asks each node.
    const admin = serving.admin && { ...serving.admin, port: serving.admin.port && serving.admin.port + (slot ?? 1) - 1 }
    if (admin !== null) await listens('--admin-port, --admin-host', admin, () => server.listenAdmin(admin.port, admin))
    ;({ url } = await listens('--port, --host', serving, () => server.listen(serving.port, serving.host)))
  } catch (error) {
    if (error instanceof ConfigurationError) return fail(error.faults, error.passing ? 1 : 2)
    throw error
  }

  if (process.stderr.isTTY)
    process.stderr.write(`Inkwell listens on ${url}${serving.demo ? ', with the demo page' : ''}. Ctrl-C stops it.\n`)

  let asked = 0
  let worst = 0
  const stop = (why: string, code: number): void => {
    asked++
    worst = Math.max(worst, code)
    if (asked > 2) {
      log.warn({ why }, 'asked a third time: stopping at once')
      process.exit(1)
    }
    if (asked === 2) {
      log.warn({ why }, 'asked again: waiting for nobody any more')
      return server.hurry()
    }
    log.info({ why }, 'stopping')
    setTimeout(() => {
      log.fatal('could not stop in time')
      process.exit(1)
    }, serving.stopWithin).unref()
    server.close().then(
      () => leave(worst),
      error => {
        log.fatal({ err: error }, 'could not stop cleanly')
        leave(1)
      },
    )
  }
  // By itself, once nothing is left to do. While lines of the log are under way, process.exit() has pino wait for whoever reads them,
  // without end when nobody does any more.
  const leave = (code: number): void => {
    process.exitCode = code
    setTimeout(() => process.exit(), 1_000).unref() // something is left that should not be
  }
  // What happens now, in full, until it is said again.
  process.on('SIGUSR2', () => {
    const more = serving.logLevel === 'debug' ? 'trace' : 'debug'
    const level = server.logLevel === serving.logLevel ? more : serving.logLevel
    server.logLevel = level
    log.info({ logLevel: level }, 'log level')
  })
  heed = why => stop(why, 0)
  if (slot === null) for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal, 0))
  // A mistake that nobody caught: what is in memory may be wrong, what is in the log is not. Say so, save what can be saved, go.
  const dire = (error: unknown): void => {
    log.fatal({ err: error }, 'an error that nobody caught')
    stop('uncaught error', 1)
  }
  process.on('unhandledRejection', dire)
  process.on('uncaughtException', dire)
}

/** Does a command's work; what it could not do is said in a sentence. */
const ended = async (work: () => Promise<number>): Promise<void> => {
  process.exitCode = 1 // should nothing be left to wait for before it is done
  try {
    process.exitCode = await work()
  } catch (error) {
    const { message, cause } = error as Error & { readonly cause?: { readonly message?: string } }
    process.stderr.write(`inkwell: ${message}${cause?.message === undefined ? '' : `: ${cause.message}`}\n`)
    process.exitCode = 1
  }
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('inkwell').description('Many pens, one text: a real-time collaboration server.').version(version)
program.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2)) // an unknown flag is a fault of configuration too
const add = (
  name: string,
  says: string,
  settings: Settings,
  run: (flags: Flags, given: string[]) => Promise<void>,
  examples: readonly string[] = [],
): void => {
  const command = program.command(name).description(says).copyInheritedSettings(program)
  const given = name.includes(' ') // words that stand in the name itself
  if (examples.length > 0) command.addHelpText('after', `\nExamples:\n${examples.map(line => `  $ ${line}\n`).join('')}`)
  const words = Object.entries(settings).filter(([, { flag }]) => !flag.startsWith('-'))
  // Left out, it is told with all other faults.
  for (const [, { flag, says }] of words) command.addArgument(new Argument(flag.replace(/^<(.*)>$/, '[$1]'), says))
  for (const [name, setting] of Object.entries(settings)) {
    if (!setting.flag.startsWith('-')) continue
    const { variable, otherwise, many, filed } = setting
    const notes = [...(variable === null ? [] : [variable]), ...(otherwise === undefined ? [] : [`default: ${otherwise}`])]
    const option = new Option(setting.flag, `${setting.says}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`)
    option.attributeName = () => name
    if (many) option.argParser((value: string, before?: string) => (before === undefined ? value : `${before},${value}`))
    command.addOption(option)
    if (!filed) continue
    const file = new Option(fileFlag(name, setting).flag, `a file with that${variable === null ? '' : ` (${variable}_FILE)`}`)
    file.attributeName = () => fileFlag(name, setting).name
    command.addOption(file)
  }
  command.action((...said: unknown[]) => {
    if (given) return run(said[1] as Flags, said[0] as string[])
    const named = words.map(([name], i) => [name, said[i]] as const).filter(([, value]) => value !== undefined)
    return run({ ...(said[words.length] as Flags), ...(Object.fromEntries(named) as Flags) }, [])
  })
}

add('serve', 'run a server', settings, serve)
add('token', 'print a token for trying things out', tokenSettings, async flags => {
  const token = tokenOf(flags, process.env)
  return 'secret' in token ? printToken(token) : fail(token)
})
add(
  'load <url...>',
  'put a load on a server, or on several nodes in turns, and tell how it bears it',
  loadSettings,
  async (flags, urls) => {
    const asked = loadOf(urls, flags, process.env)
    if (!('plan' in asked)) return fail(asked)
    if (!(await load(asked))) process.exitCode = 1
  },
)
for (const name of Object.keys(commands) as CommandName[])
  add(name, commands[name].says, commands[name].settings, async flags => {
    const asked = askedOf(name, flags, process.env, Date.now())
    if (!('command' in asked)) return fail(asked)
    await ended(async () => {
      process.stdout.write(await carryOut(asked))
      return 0
    })
  })
for (const [name, command] of Object.entries(operations))
  add(
    name,
    command.says,
    command.settings,
    async flags => {
      const work = command.prepare(flags, process.env)
      if (typeof work !== 'function') return fail(work)
      await ended(() => work(processOut()))
    },
    command.examples,
  )
program.parseAsync().catch(error => {
  process.stderr.write(`inkwell: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(1)
})

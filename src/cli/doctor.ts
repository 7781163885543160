// `inkwell doctor`: looks at everything that a server stands on, and says of each thing that is wrong how to mend it.
// Invariant: nothing is changed or begun; one thing that cannot be looked at hides no other.

import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, resolve } from 'node:path'
import { readBody } from '../engine/entry.ts'
import type { Store } from '../engine/ports.ts'
import type { Command } from './command.ts'
import { jsonSetting } from './command.ts'
import { configurationOf, type Serving, settings as serveSettings } from './configuration.ts'
import { jsonLine, type Out, shown, sizeOf, table } from './print.ts'
import { withStore } from './reach.ts'
import { type Environment, type Flags, readSettings, type Settings } from './settings.ts'
import type { Where } from './words.ts'

/** What a look came to. */
export interface Finding {
  readonly about: string
  readonly state: 'well' | 'warning' | 'fault'
  readonly says: string
  readonly mend: string
}

const well = (about: string, says: string): Finding => ({ about, state: 'well', says, mend: '' })
const warning = (about: string, says: string, mend: string): Finding => ({ about, state: 'warning', says, mend })
const fault = (about: string, says: string, mend: string): Finding => ({ about, state: 'fault', says, mend })

/** What doctor takes from the machine; tests give another. */
export interface Machine {
  readonly node: string
  /** Files that this process may have open; null: nobody says so here. */
  readonly files: number | null
  /** Bytes free to us, and bytes in all, where a path lies. */
  space(path: string): { readonly free: number; readonly all: number }
  now(): number
}

export const thisMachine: Machine = {
  node: process.versions.node,
  get files() {
    if (!existsSync('/proc/self/limits')) return null
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? null : soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
  },
  space: path => {
    const { bavail, blocks, bsize } = statfsSync(path)
    return { free: bavail * bsize, all: blocks * bsize }
  },
  now: () => Date.now(),
}

const oldestNode = [20, 12] as const
const files = { least: 1_024, enough: 16_384 } // one for each client, and some dozens
const room = { least: 268_435_456, enough: 2_147_483_648 } // bytes: journals are 16 MiB each, and the database takes new pages before it lets go of old ones
const skew = { told: 1_000, much: 5_000 } // ms: a token may be off by 5 s
const looked = 200 // documents whose last edit is looked at
const patience = 2_000 // ms for a server to answer

const ofNode = ({ node }: Machine): Finding => {
  const [major = 0, minor = 0] = node.split('.').map(Number)
  return major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])
    ? well('node', `Node ${node}, ${availableParallelism()} cores`)
    : fault('node', `Node ${node} is older than ${oldestNode.join('.')}`, `install Node ${oldestNode.join('.')} or later`)
}

const ofFiles = ({ files: limit }: Machine): Finding => {
  if (limit === null) return well('file limit', 'is not known on this system')
  const says = `${limit} files may be open, so ${Math.max(0, limit - 100)} clients at most`
  const mend = 'ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit'
  if (limit < files.least) return fault('file limit', says, mend)
  return limit < files.enough ? warning('file limit', says, mend) : well('file limit', says)
}

const ofConfiguration = (read: Serving | readonly string[], environment: Environment): readonly Finding[] => {
  if (Array.isArray(read))
    return (read as string[]).map(sentence => fault('configuration', sentence, 'mend the setting, as inkwell serve --help says'))
  const { jwt, origins, admin, host } = read as Serving
  const production = environment.NODE_ENV === 'production'
  const found = [well('configuration', 'inkwell serve would take it')]
  if (!production)
    found.push(
      warning(
        'production',
        'NODE_ENV is not production: faults that lose documents or let anybody in are only warned of',
        'NODE_ENV=production',
      ),
    )
  if (jwt === null)
    found.push(
      (host === '127.0.0.1' || host === 'localhost' ? warning : fault)(
        'tokens',
        'anybody who reaches this server may read and write everything',
        'give --jwt-secret-file, --jwt-public-key-file or --jwt-jwks-url',
      ),
    )
  else if (jwt.issuer === undefined && jwt.audience === undefined)
    found.push(
      warning(
        'tokens',
        'any token of this key opens the door, also one meant for another service',
        'give --jwt-audience, or --jwt-issuer',
      ),
    )
  else found.push(well('tokens', 'are asked for, with whom they are from or for'))
  found.push(
    origins?.includes('*')
      ? warning('origins', 'the pages of every site may connect', 'name those that may: --origins https://app.example')
      : well('origins', origins === undefined ? 'pages of this host may connect' : `pages of ${origins.join(', ')} may connect`),
  )
  if (admin === null)
    found.push(warning('admin', 'there is no listener for an operator’s commands', '--admin-port 3100 --admin-token-file …'))
  else if (admin.host !== '127.0.0.1' && admin.host !== 'localhost')
    found.push(warning('admin', `its listener is open to other machines (${admin.host}), without TLS`, '--admin-host 127.0.0.1'))
  else found.push(well('admin', 'its listener is for this machine alone'))
  return found
}

const ofSpace = (where: Where, machine: Machine): readonly Finding[] => {
  if (where.kind !== 'embedded') return []
  let path = resolve(where.path)
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path)
  const { free, all } = machine.space(path)
  const says = `${sizeOf(free)} of ${sizeOf(all)} are free at ${path}`
  const mend = 'make room, or move the directory to a larger disk (inkwell backup) before writers are refused'
  if (free < room.least) return [fault('disk', says, mend)]
  return [free < room.enough ? warning('disk', says, mend) : well('disk', says)]
}

/** When somebody has last written, by the clock of the node that took it. */
const lastTime = async ({ log }: Pick<Store, 'log'>): Promise<number> => {
  let last = 0
  for (const id of await log.documents(null, looked)) {
    const about = await log.about(id)
    if (about === null || about.planted || about.version === 0) continue
    const [entry] = await log.entries(id, about.version - 1, 1)
    if (entry !== undefined) last = Math.max(last, readBody(entry.body).time)
  }
  return last
}

const apart = (ms: number, what: string): Finding => {
  const says = `${what} ${(Math.abs(ms) / 1_000).toFixed(1)} s ${ms > 0 ? 'ahead of' : 'behind'} this machine’s`
  const mend = 'set the clocks by NTP: tokens end too early or late, and times of edits are off'
  return (Math.abs(ms) > skew.much ? fault : warning)('clock', says, mend)
}

const ofStore = async (where: Where, machine: Machine): Promise<readonly Finding[]> => {
  if (where.kind === 'memory')
    return [warning('store', 'what is in memory goes with the process', '--store embedded:./inkwell-data')]
  if (where.kind === 'embedded' && !existsSync(where.path)) return [well('store', `${where.path} will be made`)]
  try {
    return await withStore(where, async store => {
      const found: Finding[] = [well('store', `${store.name} answers`)]
      for (const { severity, sentence, mend } of (await store.findings?.()) ?? [])
        found.push((severity === 'fault' ? fault : warning)('store', sentence, mend))
      if (store.time !== undefined) {
        const asked = machine.now()
        const time = await store.time()
        const answered = machine.now()
        const off = time < asked ? time - asked : time > answered ? time - answered : 0
        found.push(Math.abs(off) > skew.told ? apart(off, 'the clock of the store is') : well('clock', 'goes with the store’s'))
      }
      const ahead = (await lastTime(store)) - machine.now()
      if (ahead > skew.told) found.push(apart(ahead, 'the last edit in the store is'))
      else if (store.time === undefined) found.push(well('clock', 'is not behind the last edit in the store'))
      return found
    })
  } catch (error) {
    const { message } = error as Error
    if (message.includes('in use by another server'))
      return [
        well(
          'store',
          `${where.kind === 'embedded' ? where.path : ''} is in use by a server: it looks after that itself (/readyz)`,
        ),
      ]
    return [
      fault(
        'store',
        message,
        where.kind === 'redis' ? 'is Redis there, is the address right, may this machine reach it?' : 'see the message',
      ),
    ]
  }
}

/** Whether a server runs there, and what it says of itself. */
const ofServer = async ({ host, port }: Serving): Promise<readonly Finding[]> => {
  if (port === 0) return []
  const url = `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host}:${port}`
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(patience) }).catch(error => error as Error)
  if (answer instanceof Error) {
    const { code } = (answer.cause ?? {}) as { readonly code?: string }
    if (code === 'ECONNREFUSED') return [well('server', `none runs at ${url} now`)]
    return [
      warning(
        'server',
        `${url} does not answer (${code ?? answer.message})`,
        'look at its log; a server that hangs is killed and started again',
      ),
    ]
  }
  const said = (await answer.json().catch(() => ({}))) as {
    readonly reasons?: readonly string[]
    readonly checks?: readonly { readonly reason?: string; readonly mend?: string }[]
  }
  const { reasons = [], checks = [] } = said
  if (answer.ok && reasons.length === 0) return [well('server', `${url} is ready`)]
  const mend = `curl ${url}/readyz says for each since when, and what to do`
  return reasons.length === 0
    ? [fault('server', `${url}/readyz answers ${answer.status}`, mend)]
    : reasons.map(reason =>
        (answer.ok ? warning : fault)('server', reason, checks.find(check => check.reason === reason)?.mend ?? mend),
      )
}

const doctorSettings = { ...serveSettings, ...jsonSetting } as const satisfies Settings

export const diagnosed = async (flags: Flags, environment: Environment, machine: Machine): Promise<readonly Finding[]> => {
  const read = configurationOf(flags, environment)
  const { store } = readSettings({ store: serveSettings.store }, flags, environment).values as { readonly store?: Where }
  const here = [ofNode(machine), ofFiles(machine), ...ofConfiguration(read, environment)]
  const [space, kept, server] = await Promise.all([
    store === undefined ? [] : ofSpace(store, machine),
    store === undefined ? [] : ofStore(store, machine),
    Array.isArray(read) ? [] : ofServer(read as Serving),
  ])
  return [...here, ...space, ...kept, ...server]
}

const print = async (found: readonly Finding[], json: boolean, out: Out): Promise<number> => {
  if (json) for (const each of found) await out.write(jsonLine(each))
  else {
    const rows = found.map(({ about, state, says }) => [state === 'well' ? 'ok' : state, about, says])
    await out.write(table(['', '', ''], rows, out).replace(/^.*\n/, line => (out.terminal ? '' : line)))
    const wrong = found.filter(({ state }) => state !== 'well')
    if (wrong.length > 0) await out.write('\nWhat to do:\n')
    for (const { about, mend } of wrong) await out.write(`  ${shown(`${about}: ${mend}`, out)}\n`)
  }
  return found.some(({ state }) => state === 'fault') ? 1 : 0
}

export const doctorCommands = {
  doctor: {
    says: 'look at what a server stands on: configuration, store, clocks, limits, disk; ends with 1 when something is a fault',
    examples: ['inkwell doctor', 'inkwell doctor --store redis://localhost:6379 --json'],
    settings: doctorSettings,
    prepare(flags, environment) {
      const { values, faults } = readSettings({ json: jsonSetting.json }, flags, environment)
      if (faults.length > 0) return faults
      return async out => print(await diagnosed(flags, environment, thisMachine), values.json, out)
    },
  },
} as const satisfies Record<string, Command>

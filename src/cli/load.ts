// `inkwell load`: puts a load on a deployment and tells how it bears it.
// Invariant: it touches no document but those whose names begin with its prefix.

import { existsSync, writeFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { reportOf } from '../load/report.ts'
import { type Outcome, processesFor, run } from '../load/run.ts'
import { type Plan, seats } from '../load/schedule.ts'
import { tableOf } from '../load/table.ts'
import { issueToken } from '../server/jwt.ts'
import { secretSetting } from './configuration.ts'
import { type Environment, type Flags, readSettings, type Settings } from './settings.ts'
import { duration, switched, word } from './words.ts'

const number = (least: number, most: number, whole = true) =>
  z
    .string()
    .transform(Number)
    .refine(
      value => value >= least && value <= most && (!whole || Number.isInteger(value)),
      `must be a ${whole ? 'whole ' : ''}number from ${least.toLocaleString('en-US')} to ${most.toLocaleString('en-US')}`,
    )

const own = (flag: string, says: string, otherwise: string, shape: z.ZodType<number>) =>
  ({ flag, variable: null, says, otherwise, shape }) as const

export const loadSettings = {
  documents: own('--documents <n>', 'documents', '10', number(1, 100_000)),
  writers: own('--writers <n>', 'clients that type, in each document', '10', number(0, 100_000)),
  readers: own('--readers <n>', 'clients that only read, in each document', '0', number(0, 100_000)),
  rate: own('--rate <n>', 'characters a second of each writer', '1', number(0.01, 100_000, false)),
  seconds: own('--seconds <n>', 'length of a round', '10', number(0.5, 86_400, false)),
  warmUp: own('--warm-up <n>', 'seconds of typing before the first round', '5', number(0, 3_600, false)),
  rounds: own('--rounds <n>', 'rounds; the median of them is told', '3', number(1, 1_000)),
  drain: own('--drain <time>', 'how long the last characters may take to arrive', '10s', duration),
  length: own('--length <n>', 'characters that are put into a new document first', '1000', number(0, 10_000_000)),
  connectRate: own('--connect-rate <n>', 'clients that connect in a second', '500', number(1, 100_000)),
  prefix: {
    flag: '--prefix <text>',
    variable: null,
    says: 'how names of documents begin; default: load-, and by chance',
    shape: word.optional(),
  },
  token: { flag: '--token <text>', variable: null, says: 'what all clients say of who they are', shape: word.optional() },
  secret: {
    ...secretSetting,
    says: 'instead: a secret, with which a token is made for each client; a server lets one user have only a few',
  },
  processes: {
    flag: '--processes <n>',
    variable: null,
    says: 'processes that play the clients; default: the cores less one',
    shape: number(1, 64).optional(),
  },
  pid: {
    flag: '--pid <list>',
    variable: null,
    says: 'processes of the server on this machine, whose CPU and memory are told too',
    shape: z
      .string()
      .regex(/^\d+(,\d+)*$/, 'must be numbers of processes')
      .optional(),
  },
  json: { flag: '--json', variable: null, says: 'print what came of it as JSON', shape: switched.default(false) },
  report: { flag: '--report <file>', variable: null, says: 'write a page with charts', shape: word.optional() },
} as const satisfies Settings

interface Asked {
  readonly urls: readonly URL[]
  readonly plan: Plan
  readonly secret: string | null
  readonly token: string | null
  readonly processes: number
  readonly pids: readonly number[]
  readonly json: boolean
  readonly report: string | null
}

/** Either what is asked, or every fault in it. */
export const loadOf = (given: readonly string[], flags: Flags, environment: Environment): Asked | readonly string[] => {
  const { values, faults } = readSettings(loadSettings, flags, environment)
  const more = given
    .filter(url => !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    .map(url => `${url}: is no http:// or https:// address`)
  for (const id of faults.length > 0 ? [] : (values.pid?.split(',') ?? []))
    if (!existsSync(`/proc/${id}/stat`)) more.push(`--pid: there is no process ${id} that this machine tells of`)
  if (faults.length + more.length > 0) return [...faults, ...more]
  const { secret, token, processes, pid, json, report, prefix, drain, ...numbers } = values
  const plan: Plan = {
    ...numbers,
    drain: drain / 1_000,
    prefix: prefix ?? `load-${Math.floor(Math.random() * 2 ** 30).toString(36)}-`,
  }
  if (seats(plan) === 0) return ['--writers, --readers: there is nobody in the documents']
  return {
    ...{ urls: given.map(url => new URL(url)), plan, json, secret: secret ?? null, token: token ?? null, report: report ?? null },
    processes: processes ?? processesFor(seats(plan)),
    pids: pid === undefined ? [] : pid.split(',').map(Number),
  }
}

/** Whether everything arrived. */
export const load = async ({ urls, plan, secret, token, processes, pids, json, report }: Asked): Promise<boolean> => {
  const total = seats(plan)
  const here = urls.every(({ hostname }) => isLoopback(hostname))
  const lasts = (plan.warmUp + plan.rounds * plan.seconds + plan.drain + total / plan.connectRate + 600) * 1_000
  const tokens =
    secret === null
      ? token === null
        ? null
        : [token]
      : await Promise.all(
          Array.from({ length: total }, (_, i) =>
            issueToken({ secret, user: `load-${i}`, documents: { [`${plan.prefix}*`]: 'write' }, lives: lasts }),
          ),
        )
  const terminal = process.stderr.isTTY
  const outcome = await run({
    plan,
    tongue: 'inkwell',
    addresses: urls.map(addressOf),
    tokens,
    locals: here ? loopbacks(total) : [],
    processes,
    player: fileURLToPath(new URL(`../load/player${extname(import.meta.filename)}`, import.meta.url)),
    pids,
    progress: stage => {
      if (terminal) process.stderr.write(`\r\u001b[K${stage}`)
    },
  })
  if (terminal) process.stderr.write('\r\u001b[K')
  const title = `inkwell load: ${plan.documents} documents, ${plan.writers} writers and ${plan.readers} readers in each, ${plan.rate} characters a second`
  process.stdout.write(json ? `${JSON.stringify({ title, plan, ...outcome }, null, 2)}\n` : `${title}\n${tableOf(outcome)}`)
  if (report !== null) writeFileSync(report, reportOf(title, outcome))
  return arrived(outcome)
}

const arrived = ({ failed, unconfirmed, rounds }: Outcome): boolean =>
  Object.keys(failed).length === 0 && unconfirmed === 0 && rounds.every(({ deliveries, wanted }) => deliveries === wanted)

const isLoopback = (host: string): boolean => host === 'localhost' || /^127\./.test(host)

const addressOf = ({ hostname, port, protocol }: URL) => ({
  host: hostname === 'localhost' ? '127.0.0.1' : hostname.replace(/^\[|\]$/g, ''),
  port: Number(port || (protocol === 'https:' ? 443 : 80)),
  secure: protocol === 'https:',
})

const perAddress = 2_000 // clients: far below the ports of one address, and a server counts handshakes by address

/** Addresses of this machine, as many as so many clients need. */
const loopbacks = (clients: number): string[] =>
  process.platform === 'linux'
    ? Array.from({ length: Math.min(250, Math.ceil(clients / perAddress)) }, (_, i) => `127.0.0.${i + 2}`)
    : []

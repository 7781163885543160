// `inkwell migrate`: all documents from one store into another, while people work on them but for the last moment.
// Invariant: until the end nobody can open anything in the new store, and nothing is changed in the old one; what arrives is what was there.

import { z } from 'zod'
import type { About, Store } from '../engine/ports.ts'
import type { DocId } from '../protocol/ids.ts'
import { systemClock } from '../server/clock.ts'
import { askNodes } from '../server/nodes.ts'
import type { Command } from './command.ts'
import { adminTokenSetting } from './configuration.ts'
import { isBeginning, isStretch } from './exchange.ts'
import { Planting, partsOf } from './parts.ts'
import { type Out, Progress, shown } from './print.ts'
import { everyDocument, type Reach, type Records, whereFaults, withRecords, withStore } from './reach.ts'
import { readSettings, type Settings } from './settings.ts'
import { switched, where } from './words.ts'

const settings = {
  from: {
    flag: '--from <where>',
    variable: null,
    says: 'the store as it is, or http://… where its server listens for this (serve --admin-port)',
    shape: z.string('is missing'),
  },
  to: { flag: '--to <where>', variable: null, says: 'the store as it is to be', shape: z.string('is missing').pipe(where) },
  finish: {
    flag: '--finish',
    variable: null,
    says: 'the servers of the old store are stopped: bring what is left, and open the new one',
    shape: switched.default(false),
  },
  adminToken: adminTokenSetting,
} as const satisfies Settings

const examples = [
  'inkwell migrate --from http://127.0.0.1:3100 --to redis://localhost:6379',
  'inkwell migrate --from embedded:./inkwell-data --to redis://localhost:6379 --finish',
]

export const migrateCommands = {
  migrate: {
    says: 'bring all documents into another store: first while servers run, then with --finish when they are stopped',
    examples,
    settings,
    prepare(flags, environment) {
      const { values, faults: found, sources } = readSettings(settings, flags, environment)
      const faults = [...found]
      const { from: given, to, finish, adminToken } = values
      let from: Reach | null = null
      if (given !== undefined && /^https?:/.test(given)) {
        if (!URL.canParse(given)) faults.push('--from: is no URL')
        else if (adminToken !== undefined) from = { kind: 'admin', admin: { url: given, token: adminToken } }
        else if (sources.adminToken !== undefined)
          faults.push('--from: nothing is told there without --admin-token-file (or INKWELL_ADMIN_TOKEN)')
        if (finish) faults.push('--finish: its server has to be stopped by then, so --from names the store itself')
      } else if (given !== undefined) {
        const read = where.safeParse(given)
        if (read.success) {
          faults.push(...whereFaults(read.data, '--from'))
          from = { kind: 'store', where: read.data }
        } else faults.push(...read.error.issues.map(({ message }) => `--from: ${message}`))
      }
      if (to?.kind === 'memory') faults.push('--to: what is in the memory of a server goes with it')
      if (to !== undefined && given !== undefined && flags.to === given) faults.push('--from, --to: are the same')
      if (faults.length > 0 || from === null) return faults
      const source = from
      return out => withStore(to, target => migrated(source, target, finish, out))
    },
  },
} as const satisfies Record<string, Command>

const migrated = async (from: Reach, target: Store, finish: boolean, out: Out): Promise<number> => {
  if (from.kind === 'admin') return withRecords(from, source => copied(source, target, false, out))
  return withStore(from.where, async source => {
    if (finish && source.shared) {
      const nodes = (await askNodes(source.control, systemClock)).list(systemClock.now(), false)
      if (nodes.length > 0)
        throw new Error(`${nodes.length} servers still run on ${source.name} (inkwell nodes): stop them, then finish`)
    }
    const code = await copied(source.log, target, finish, out)
    if (finish) await notices(source, target)
    return code
  })
}

/** Revocations hold in the new store too. */
const notices = async (source: Store, target: Store): Promise<void> => {
  const now = Date.now()
  for (const notice of (await source.notices.read(null, now))?.notices ?? []) await target.notices.post(notice, now)
}

const copied = async (source: Records, target: Store, finish: boolean, out: Out): Promise<number> => {
  const progress = new Progress(out, 'migrate')
  const count = { documents: 0, commits: 0 }
  const passed = (commits: number): void => {
    count.commits += commits
    progress.at(0, null, `${count.documents} documents, ${count.commits} commits`)
  }
  for await (const id of everyDocument(source)) {
    count.documents++
    await oneDocument(source, target, id, finish, passed)
  }
  const left = finish ? await without(source, target) : []
  progress.end()
  for (const id of left)
    out.say(
      `${shown(id, out)} is in ${target.name}, and was deleted at the source: if it was brought from there, delete it there too (inkwell delete)\n`,
    )
  const words = `${count.documents} documents are in ${target.name}, ${count.commits} commits of them new`
  out.say(finish ? `${words}; start the servers on it now\n` : `${words}; stop the servers, then finish: --finish\n`)
  return left.length === 0 ? 0 : 1
}

/**
 * Removes what was brought before and has been deleted at the source since. Answers what was open to everybody by then, because a finish
 * broke off behind it: that is told, and not removed, since nothing shows that it came from there.
 */
const without = async (source: Records, target: Store): Promise<readonly DocId[]> => {
  const left: DocId[] = []
  for await (const id of everyDocument(target.log)) {
    const there = await source.about(id)
    if (there !== null && there.version > 0) continue
    if ((await target.log.about(id))?.planted) await target.log.remove(id)
    else if (there?.removed) left.push(id)
  }
  return left
}

const oneDocument = async (
  source: Records,
  target: Store,
  id: DocId,
  finish: boolean,
  passed: (commits: number) => void,
): Promise<void> => {
  let there = await target.log.about(id)
  if (there?.planted && !(await goesOn(source, id, there))) {
    await target.log.remove(id) // the source has fallen back since, or come so far that what is between is gone
    there = null
  }
  let planting: Planting | null = null
  for await (const part of partsOf(source, id, there?.planted ? there.version : null)) {
    if (isBeginning(part)) planting = await Planting.begin(target.log, id, part)
    else if (isStretch(part)) {
      await planting?.take(part)
      passed(part.entries.length)
    }
  }
  if (planting === null) return
  if (finish) await planting.end()
  else await planting.durable()
}

/** Whether what was brought of a document before is the beginning of what the source has. */
const goesOn = async (source: Records, id: DocId, { epoch, version, chain }: About): Promise<boolean> => {
  const about = await source.about(id)
  if (about === null || about.epoch !== epoch || version > about.version || version < about.floor.version) return false
  if (version === about.floor.version) return chain === about.floor.chain
  const [entry] = await source.entries(id, version - 1, 1)
  return entry?.version === version && entry.chain === chain
}

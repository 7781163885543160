// An operator's looks: which documents there are, what is in one and how it came about, who is connected.
// Invariant: looking changes nothing.

import { z } from 'zod'
import type { Commit } from '../engine/entry.ts'
import { countOf, pageOf } from '../engine/page.ts'
import { Past } from '../engine/past.ts'
import type { Store } from '../engine/ports.ts'
import { servedText } from '../ot/served.ts'
import type { Json } from '../ot/type.ts'
import { docId, Fault } from '../protocol/fields.ts'
import type { DocId, Version } from '../protocol/ids.ts'
import { systemClock } from '../server/clock.ts'
import { connectionsEverywhere, kickEverywhere } from '../server/everywhere.ts'
import { type Command, jsonSetting, reaching } from './command.ts'
import { storeSetting } from './configuration.ts'
import { jsonLine, type Out, shown, sizeOf, spanOf, table } from './print.ts'
import {
  type Admin,
  adminSettings,
  ask,
  type Reach,
  type Records,
  reachSettings,
  somePageAt,
  withRecords,
  withStore,
} from './reach.ts'
import type { Setting, Settings } from './settings.ts'
import { count, switched, type Where, where, word } from './words.ts'

const types = [servedText]

/** A document's id, as one types it. */
export const docWord = word.transform((text, context): DocId => {
  try {
    return docId(text)
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    context.addIssue({ code: 'custom', message: error.message })
    return z.NEVER
  }
})

export const docArgument = {
  flag: '<doc>',
  variable: null,
  says: 'the id of a document',
  shape: docWord,
} as const satisfies Setting
export const versionArgument = {
  flag: '<version>',
  variable: null,
  says: 'how many commits lie behind it',
  shape: count,
} as const satisfies Setting

const reading = { ...jsonSetting, ...reachSettings } as const satisfies Settings

const pages = 10_000 // entries read at a time

/** @throws when there is no such document */
const aboutOf = async (records: Records, doc: DocId) => {
  const about = await records.about(doc)
  if (about === null || about.version === 0) throw new Error(`nobody has written to ${JSON.stringify(doc)}`)
  if (about.planted) throw new Error(`${JSON.stringify(doc)} is being imported`)
  return about
}

/** The document as it was at a version, or as it is now. @throws with the versions that can be had */
export const pastOf = async (records: Records, doc: DocId, version: Version | null): Promise<Past> => {
  const { floor, checkpointed, version: head } = await aboutOf(records, doc)
  if (version !== null && version > head)
    throw new Error(`${JSON.stringify(doc)} is at version ${head}; there is no ${version} yet`)
  if (version !== null && version < checkpointed) {
    if (floor.version > 0)
      throw new Error(`version ${version} of ${JSON.stringify(doc)} is no longer kept; what is kept begins with ${checkpointed}`)
    const past = new Past(types, null)
    while (past.head < version) {
      const page = await somePageAt(records, doc, past.head, Math.min(pages, version - past.head))
      if (countOf(page) === 0) throw new Error(`${JSON.stringify(doc)} has changed meanwhile: try again`)
      past.take(page)
    }
    return past
  }
  const { checkpoint, tail } = await records.open(doc)
  const past = new Past(types, checkpoint)
  past.take(pageOf(tail.filter(entry => version === null || entry.version <= version)))
  return past
}

const contentOf = (past: Past): Json => (past.type === null ? '' : past.type.snapshotToJson(past.value))

const print = async (past: Past, doc: DocId, json: boolean, out: Out): Promise<void> => {
  const value = contentOf(past)
  const { head: version, chain } = past
  if (json) return out.write(jsonLine({ id: doc, version, chain, ...(typeof value === 'string' ? { text: value } : { value }) }))
  const text = typeof value === 'string' ? value : jsonLine(value)
  await out.write(shown(out.terminal && !text.endsWith('\n') ? `${text}\n` : text, out))
}

/** What an op does, in a word: how much it puts in, takes away, and where. */
const deedOf = (op: Json): string => {
  if (!Array.isArray(op)) return JSON.stringify(op).slice(0, 60)
  let [at, added, removed, first] = [0, 0, 0, -1]
  for (const part of op as readonly Json[]) {
    if (typeof part === 'number' && part > 0) at += part
    else if (first < 0) first = at
    if (typeof part === 'string') added += part.length
    else if (typeof part === 'number' && part < 0) removed -= part
  }
  const words = [...(added > 0 ? [`+${added}`] : []), ...(removed > 0 ? [`-${removed}`] : [])]
  return words.length === 0 ? 'nothing' : `${words.join(' ')} at ${first}`
}

const aboutAtOnce = 32

interface Busy {
  readonly id: DocId
  readonly version: Version
  readonly durable: Version
  readonly members: number
  readonly commitsPerSecond: number
  readonly deliveriesPerSecond: number
}

const printBusy = async (admin: Admin, limit: number, json: boolean, out: Out): Promise<void> => {
  const { busiest } = await ask<{ busiest: readonly Busy[] }>(admin, `/v1/load?limit=${Math.min(10_000, Math.max(1, limit))}`)
  if (json) {
    for (const each of busiest) await out.write(jsonLine(each))
    return
  }
  const rows = busiest.map(({ id, version, durable, members, commitsPerSecond, deliveriesPerSecond }) => [
    ...[id, version, durable, members],
    ...[commitsPerSecond, deliveriesPerSecond].map(rate => Number(rate.toFixed(1))),
  ])
  await out.write(table(['document', 'version', 'durable', 'here', 'commits/s', 'deliveries/s'], rows, out))
}

interface Connected {
  readonly id: string
  readonly user: { readonly id: string }
  readonly address: string
  readonly since: number
  readonly documents: readonly { readonly id: DocId; readonly right: string | null }[]
  readonly bytesIn: number
  readonly bytesOut: number
  readonly behind: boolean
}

/** Of connections servers alone know: one of them, or all of a Redis. */
const serversSettings = {
  ...adminSettings,
  store: {
    flag: storeSetting.flag,
    variable: storeSetting.variable,
    alias: storeSetting.alias,
    says: 'or all servers of this Redis: redis://…; REDIS_URL counts too',
    shape: where.optional(),
  } satisfies Setting,
} as const satisfies Settings

const serversFaults = ({ adminUrl, store }: { readonly adminUrl?: string | undefined; readonly store?: Where | undefined }) =>
  adminUrl !== undefined || store?.kind === 'redis'
    ? []
    : ['--admin-url: say at which server: one that runs with --admin-port; or --store: the Redis of all of them']

const overStore = <T>(reach: Reach & { readonly kind: 'store' }, use: (store: Store) => Promise<T>): Promise<T> =>
  withStore(reach.where, use)

export const lookCommands = {
  documents: reaching(
    {
      says: 'list the documents of a store, or with --busy those that cost a server most',
      examples: [
        'inkwell documents',
        'inkwell documents --store redis://localhost:6379 --after minutes --limit 100',
        'inkwell documents --busy --admin-url http://127.0.0.1:3100',
      ],
      settings: {
        after: { flag: '--after <id>', variable: null, says: 'begin behind this id', shape: docWord.optional() },
        limit: { flag: '--limit <number>', variable: null, says: 'how many at most', otherwise: '1000', shape: count },
        busy: {
          flag: '--busy',
          variable: null,
          says: 'those open at the server, the costliest first',
          shape: switched.default(false),
        },
        ...reading,
      },
    },
    async ({ after, limit, busy, json }, reach, out) => {
      if (busy && reach.kind === 'admin') return printBusy(reach.admin, limit, json, out)
      return withRecords(reach, async records => {
        const rows: { id: DocId; version: number; durable: number; horizon: number; checkpoint: number; importing: boolean }[] =
          []
        const look = async (ids: readonly DocId[]): Promise<void> => {
          const abouts = await Promise.all(ids.map(id => records.about(id)))
          for (const [i, about] of abouts.entries()) {
            if (about === null) continue // removed meanwhile
            const { version, durable, horizon, checkpointed: checkpoint, planted: importing } = about
            rows.push({ id: ids[i]!, version, durable, horizon, checkpoint, importing })
          }
        }
        for (let last = after ?? null, left = limit; left > 0; ) {
          const ids = await records.documents(last, Math.min(left, aboutAtOnce))
          await look(ids)
          left -= ids.length
          if (ids.length < aboutAtOnce) break
          last = ids.at(-1)!
          if (json) for (const row of rows.splice(0)) await out.write(jsonLine(row))
        }
        if (json) for (const row of rows) await out.write(jsonLine(row))
        else
          await out.write(
            table(
              ['document', 'version', 'durable', 'horizon', 'checkpoint', ''],
              rows.map(row => [
                row.id,
                row.version,
                row.durable,
                row.horizon,
                row.checkpoint,
                row.importing ? 'being imported' : '',
              ]),
              out,
            ),
          )
      })
    },
    ({ busy, adminUrl }) => (busy && adminUrl === undefined ? ['--busy: only a server knows that: --admin-url'] : []),
  ),

  cat: reaching(
    {
      says: 'print a document as it is now',
      examples: ['inkwell cat minutes', 'inkwell cat minutes --store redis://localhost:6379 > minutes.txt'],
      settings: { doc: docArgument, ...reading },
    },
    ({ doc, json }, reach, out) => withRecords(reach, async records => print(await pastOf(records, doc, null), doc, json, out)),
  ),

  at: reaching(
    {
      says: 'print a document as it was at a version',
      examples: ['inkwell at minutes 41'],
      settings: { doc: docArgument, version: versionArgument, ...reading },
    },
    ({ doc, version, json }, reach, out) =>
      withRecords(reach, async records => print(await pastOf(records, doc, version), doc, json, out)),
  ),

  log: reaching(
    {
      says: 'print the latest commits of a document: who changed what, when',
      examples: ['inkwell log minutes', 'inkwell log minutes --limit 3 --json'],
      settings: {
        doc: docArgument,
        limit: { flag: '--limit <number>', variable: null, says: 'how many at most', otherwise: '20', shape: count },
        after: { flag: '--after <version>', variable: null, says: 'those after this version instead', shape: count.optional() },
        ...reading,
      },
    },
    ({ doc, limit, after, json }, reach, out) =>
      withRecords(reach, async records => {
        const past = await pastOf(records, doc, null)
        const { floor, head } = past
        if (after !== undefined && after < floor.version)
          throw new Error(`the commits up to ${floor.version} of ${JSON.stringify(doc)} are no longer kept`)
        const start = after ?? Math.max(floor.version, head - limit)
        const commits = Array.from({ length: Math.max(0, Math.min(limit, head - start)) }, (_, i) => past.at(start + i + 1))
        const opOf = (commit: Commit): Json => past.type!.opToJson(commit.op)
        if (json) {
          for (const commit of commits) await out.write(jsonLine({ ...commit, op: opOf(commit) }))
          return
        }
        const rows = commits.map(commit => {
          const { version, time, user, author, seq } = commit
          return [version, new Date(time).toISOString(), user, `${author}:${seq}`, deedOf(opOf(commit))]
        })
        await out.write(table(['version', 'time', 'user', 'author:seq', 'change'], rows, out))
      }),
  ),

  connections: reaching(
    {
      says: 'list who is connected to a server, or to all of a Redis: since when, from where, in which documents',
      examples: [
        'inkwell connections --store redis://localhost:6379 --user ada',
        'inkwell connections --admin-url http://127.0.0.1:3100',
        'inkwell connections --admin-url http://127.0.0.1:3100 --doc minutes --json',
      ],
      settings: {
        user: { flag: '--user <id>', variable: null, says: 'those of this user', shape: word.optional() },
        doc: { flag: '--doc <id>', variable: null, says: 'those in this document', shape: docWord.optional() },
        limit: { flag: '--limit <number>', variable: null, says: 'how many at most', otherwise: '1000', shape: count },
        ...jsonSetting,
        ...serversSettings,
      },
    },
    async ({ user, doc, limit, json }, reach, out) => {
      const most = Math.min(10_000, Math.max(1, limit))
      const whom = { ...(user === undefined ? {} : { user }), ...(doc === undefined ? {} : { document: doc }) }
      /** The casts: nodes tell the same as the admin listener. */
      const told =
        reach.kind === 'store'
          ? await overStore(reach, ({ control }) => connectionsEverywhere(control, systemClock, whom, most))
          : [
              {
                name: null,
                ...(await ask<{ connections: readonly Connected[]; count: number }>(
                  reach.admin,
                  `/v1/connections?${new URLSearchParams({ limit: String(most), ...whom })}`,
                )),
              },
            ]
      const connections = told
        .flatMap(({ name, connections }) =>
          (connections as readonly Connected[]).map(each => (name === null ? each : { node: name, ...each })),
        )
        .slice(0, most)
      const count = told.reduce((sum, { count }) => sum + count, 0)
      if (json) {
        for (const each of connections) await out.write(jsonLine(each))
        return
      }
      const now = Date.now()
      const rows = connections.map(({ id, user, address, since, documents, bytesIn, bytesOut, behind, ...at }) => [
        ...('node' in at ? [at.node as string] : []),
        id,
        user.id,
        address,
        spanOf(now - since),
        documents.map(({ id, right }) => (right === 'write' ? id : `${id} (${right ?? '?'})`)).join(' '),
        sizeOf(bytesIn),
        sizeOf(bytesOut),
        behind ? 'behind' : '',
      ])
      const head = reach.kind === 'store' ? ['node'] : []
      await out.write(table([...head, 'connection', 'user', 'address', 'for', 'documents', 'in', 'out', ''], rows, out))
      if (count > connections.length) out.say(`${count - connections.length} more: --limit\n`)
    },
    serversFaults,
  ),

  kick: reaching(
    {
      says: 'close connections on all servers; clients come back by themselves, so to keep somebody out use revoke',
      examples: [
        'inkwell kick --user ada --store redis://localhost:6379',
        'inkwell kick --user ada --admin-url http://127.0.0.1:3100',
        'inkwell kick --connection K3xB-1 --admin-url http://127.0.0.1:3100',
      ],
      settings: {
        user: { flag: '--user <id>', variable: null, says: 'those of this user', shape: word.optional() },
        connection: {
          flag: '--connection <id>',
          variable: null,
          says: 'this one, as listed by connections',
          shape: word.optional(),
        },
        doc: { flag: '--doc <id>', variable: null, says: 'those in this document', shape: docWord.optional() },
        ...serversSettings,
      },
    },
    async ({ user, connection, doc }, reach, out) => {
      const whom = {
        ...(user === undefined ? {} : { user }),
        ...(connection === undefined ? {} : { connection }),
        ...(doc === undefined ? {} : { document: doc }),
      }
      if (reach.kind === 'store') {
        const told = await overStore(reach, ({ control }) => kickEverywhere(control, systemClock, whom))
        const closed = told.reduce((sum, { count }) => sum + count, 0)
        return out.say(`closed ${closed} at ${told.length} ${told.length === 1 ? 'server' : 'servers'}\n`)
      }
      const { kicked } = await ask<{ kicked: number }>(reach.admin, '/v1/kick', whom)
      out.say(`closed ${kicked} at this server; others that share its store have been told\n`)
    },
    values => [
      ...serversFaults(values),
      ...(values.user === undefined && values.connection === undefined && values.doc === undefined
        ? ['--user, --connection, --doc: at least one of them']
        : []),
    ],
  ),
} as const satisfies Record<string, Command>

// Where an operator's command finds its documents: in a store, or at a server that runs with an admin listener.
// Invariant: a command works alike on both; a store that a server holds is never touched behind its back.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pageOf } from '../engine/page.ts'
import type { About, Checkpoint, Entry, Log, LogReply, NewEntry, Opened, Page, Seed, Store } from '../engine/ports.ts'
import type { DocId, Epoch, Position, Version } from '../protocol/ids.ts'
import { embeddedStore } from '../server/index.ts'
import { adminTokenSetting, storeSetting } from './configuration.ts'
import type { Reading, Setting, Settings } from './settings.ts'
import { type Where, where, word } from './words.ts'

/** What commands need of a log. A server gives it over HTTP. */
export type Records = Pick<Log, 'about' | 'open' | 'entries' | 'page' | 'documents' | 'append' | 'plant' | 'settle'>

/** Entries of a log in one piece. */
export const pageAt = async (
  records: Pick<Records, 'entries' | 'page'>,
  doc: DocId,
  after: Version,
  limit: number,
): Promise<Page> =>
  records.page === undefined ? pageOf(await records.entries(doc, after, limit)) : records.page(doc, after, limit)

/** As many of them as one piece has room for, and one at least. */
export const somePageAt = async (
  records: Pick<Records, 'entries' | 'page'>,
  doc: DocId,
  after: Version,
  limit: number,
): Promise<Page> => {
  try {
    return await pageAt(records, doc, after, limit)
  } catch (error) {
    if (limit === 1 || !(error instanceof RangeError)) throw error
    return somePageAt(records, doc, after, Math.ceil(limit / 2))
  }
}

export interface Admin {
  readonly url: string
  readonly token: string
}

/** Where to go, once the settings are sound. */
export type Reach = { readonly kind: 'admin'; readonly admin: Admin } | { readonly kind: 'store'; readonly where: Where }

export const adminSettings = {
  adminUrl: {
    flag: '--admin-url <url>',
    variable: 'INKWELL_ADMIN_URL',
    says: 'where a server listens for this: see serve --admin-port',
    shape: word.refine(URL.canParse, 'is no URL').optional(),
  },
  adminToken: adminTokenSetting,
} as const satisfies Settings

export const reachSettings = {
  ...adminSettings,
  store: {
    flag: storeSetting.flag,
    variable: storeSetting.variable,
    alias: storeSetting.alias,
    says: 'or the store: redis://…, or embedded:<directory> while no server runs on it; REDIS_URL counts too',
    otherwise: storeSetting.otherwise,
    shape: where,
  } satisfies Setting,
} as const satisfies Settings

/** The cast: these settings have been read with the shapes above. */
const given = ({ values, sources }: Pick<Reading<Settings>, 'values' | 'sources'>) => ({
  ...(values as { adminUrl?: string; adminToken?: string; store?: Where }),
  sources: sources as { adminUrl?: string; adminToken?: string; store?: string },
})

/** What is wrong with where a command is to go. */
export const reachFaults = (reading: Pick<Reading<Settings>, 'values' | 'sources'>): readonly string[] => {
  const { adminUrl, adminToken, store, sources } = given(reading)
  if (adminUrl !== undefined)
    return adminToken !== undefined || sources.adminToken === undefined
      ? []
      : [`${sources.adminUrl}: nothing is done there without --admin-token-file (or INKWELL_ADMIN_TOKEN)`]
  if (!('store' in reading.sources)) return ['--admin-url: say at which server: one that runs with --admin-port']
  return store === undefined ? [] : whereFaults(store, sources.store === 'default' ? '--store' : sources.store!)
}

export const whereFaults = (store: Where, source: string): readonly string[] => {
  if (store.kind === 'memory') return [`${source}: what is in the memory of a server is reached by --admin-url only`]
  if (store.kind === 'embedded' && !existsSync(join(store.path, 'data.mdb')))
    return [`${source}: there is no data in ${store.path}; say where: --admin-url, or another --store`]
  return []
}

export const reachOf = (reading: Pick<Reading<Settings>, 'values' | 'sources'>): Reach => {
  const { adminUrl, adminToken, store } = given(reading)
  return adminUrl === undefined
    ? { kind: 'store', where: store! }
    : { kind: 'admin', admin: { url: adminUrl, token: adminToken! } }
}

/** Opens a store for one command. @throws with one sentence that says what to do when a server holds it */
export const withStore = async <T>(where: Where, use: (store: Store) => Promise<T>): Promise<T> => {
  const store = await storeAt(where)
  try {
    await store.ready().catch(error => {
      const held = (error as Error).message.includes('in use by another server')
      throw held
        ? new Error(`${(error as Error).message}. Ask that server: --admin-url (it needs --admin-port), or stop it`)
        : error
    })
    return await use(store)
  } finally {
    await store.close()
  }
}

const storeAt = async (where: Where): Promise<Store> => {
  if (where.kind === 'redis') {
    const { redisStore } = await import('../stores/redis.ts') // whoever has no Redis need not load its client
    return redisStore(where.url)
  }
  if (where.kind === 'embedded') return embeddedStore({ path: where.path })
  throw new Error('what is in the memory of a server is reached by --admin-url only')
}

export const withRecords = <T>(reach: Reach, use: (records: Records) => Promise<T>): Promise<T> =>
  reach.kind === 'store' ? withStore(reach.where, ({ log }) => use(log)) : use(recordsAt(reach.admin))

/** An answer that is no 2xx. */
class Refused extends Error {
  readonly code: string
  constructor(
    url: string,
    status: number,
    answer: { readonly code?: string; readonly message?: string; readonly detail?: string },
  ) {
    super(`${url} answers ${status}: ${[answer.message, answer.detail].filter(Boolean).join(' ')}`)
    this.code = answer.code ?? ''
  }
}

/** Asks a server. @throws with one sentence when it does not do it */
export const ask = async <T>({ url, token }: Admin, path: string, body?: unknown): Promise<T> => {
  const response = await fetch(new URL(path, url), {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }).catch(error => {
    throw new Error(`no answer from ${url}`, { cause: (error as Error).cause ?? error })
  })
  if (!response.ok) throw new Refused(url, response.status, (await response.json().catch(() => ({}))) as object)
  return (response.status === 204 ? undefined : await response.json()) as T
}

const orNull = async <T>(answer: Promise<T>): Promise<T | null> =>
  answer.catch(error => {
    if (error instanceof Refused && error.code === 'not-found') return null
    throw error
  })

const recordsAt = (admin: Admin): Records => {
  const at = (doc: DocId, what = ''): string => `/v1/log/${encodeURIComponent(doc)}${what}`
  return {
    about: doc => orNull(ask<About>(admin, at(doc))),
    open: doc => ask<Opened>(admin, at(doc, '/open')),
    entries: (doc, after: Version, limit: number) => ask<Entry[]>(admin, at(doc, `/entries?after=${after}&limit=${limit}`)),
    append: (doc, position: Position, entries: readonly NewEntry[]) =>
      ask<LogReply>(admin, at(doc, '/append'), { at: position, entries }),
    plant: async (doc, seed: Seed) => (await ask<{ about: About | null }>(admin, at(doc, '/plant'), seed)).about,
    settle: async (doc, epoch: Epoch, checkpoint: Checkpoint | null) =>
      (await ask<{ settled: boolean }>(admin, at(doc, '/settle'), { epoch, checkpoint })).settled,
    async documents(after, limit) {
      const query = new URLSearchParams({ limit: String(limit), ...(after === null ? {} : { after }) })
      const { documents } = await ask<{ documents: readonly { readonly id: DocId }[] }>(admin, `/v1/documents?${query}`)
      return documents.map(({ id }) => id)
    },
  }
}

/** All documents, in the order of their ids, or those behind one. */
export async function* everyDocument(records: Pick<Records, 'documents'>, behind: DocId | null = null): AsyncGenerator<DocId> {
  for (let after = behind; ; ) {
    const page: readonly DocId[] = await records.documents(after, 1_000)
    yield* page
    if (page.length < 1_000) return
    after = page.at(-1)!
  }
}

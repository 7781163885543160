// An operator's commands about rights: told to a running server, or to all of them by way of their Redis.
// Invariant: a command that ends well has been heeded by the server, or is in Redis, where every server looks within a second.

import { pino } from 'pino'
import { z } from 'zod'
import { systemClock } from '../server/clock.ts'
import { nameOfToken } from '../server/jwt.ts'
import { type Holding, type Revocation, Revocations } from '../server/revocations.ts'
import { storeSetting } from './configuration.ts'
import { type Admin, adminSettings, ask } from './reach.ts'
import { type Environment, type Flags, readSettings, type Setting, type Settings } from './settings.ts'
import { duration, switched, where, word } from './words.ts'

const user = { flag: '--user <id>', variable: null, says: 'whom it is about', shape: word.optional() } as const satisfies Setting
const token = {
  flag: '--token <name>',
  variable: null,
  says: 'or the token: its name (jti), or all of it, which tells its name and its end',
  shape: word.optional(),
} as const satisfies Setting
const doc = {
  flag: '--doc <id>',
  variable: null,
  says: 'the document, or in which one',
  shape: word.optional(),
} as const satisfies Setting
const reach = {
  ...adminSettings,
  store: {
    flag: storeSetting.flag,
    variable: storeSetting.variable,
    alias: storeSetting.alias,
    says: 'or the Redis that all servers share: redis://…; REDIS_URL counts too',
    shape: where.optional(),
  },
} as const satisfies Settings

/** Each command, with its settings. */
export const commands = {
  revoke: {
    says: 'take rights back: of a user, of a token, in a document',
    settings: {
      user,
      token,
      doc,
      read: { flag: '--read', variable: null, says: 'leave the right to read', shape: switched.default(false) },
      lasts: {
        flag: '--for <time>',
        variable: null,
        says: "for how long; default: 1d, or until a token's end",
        shape: duration.optional(),
      },
      ...reach,
    },
  },
  restore: { says: 'take a revocation back before its time', settings: { user, token, doc, ...reach } },
  recheck: { says: 'have the application asked again what somebody may do', settings: { user, doc, ...reach } },
  revocations: { says: 'list what is revoked', settings: reach },
} as const satisfies Record<string, { readonly says: string; readonly settings: Settings }>

export type CommandName = keyof typeof commands

interface Asked extends Revocation {
  readonly command: CommandName
  readonly at: Admin | { readonly redis: string }
}

/** Either what is asked of whom, or every fault in it. */
export const askedOf = (command: CommandName, flags: Flags, environment: Environment, now: number): Asked | readonly string[] => {
  const reading = readSettings<Settings>(commands[command].settings, flags, environment)
  const faults = [...reading.faults]
  // The casts: each is of its setting's shape, or not among the settings of this command.
  const { adminUrl, adminToken, store } = reading.values as {
    adminUrl?: string
    adminToken?: string
    store?: { kind: string; url: string }
  }
  const { user, token, doc, read, lasts } = reading.values as {
    user?: string
    token?: string
    doc?: string
    read?: boolean
    lasts?: number
  }
  if (adminUrl !== undefined && adminToken === undefined && reading.sources.adminToken !== undefined)
    faults.push(`${reading.sources.adminUrl}: nothing is done there without --admin-token-file (or INKWELL_ADMIN_TOKEN)`)
  const nowhere =
    reading.sources.adminUrl === 'default' && (store === undefined ? reading.sources.store === 'default' : store.kind !== 'redis')
  if (nowhere) faults.push('--admin-url, --store: say where: a server that runs with --admin-port, or the Redis of all of them')
  if (user !== undefined && token !== undefined) faults.push('--user, --token: one of them, not both')
  if ((command === 'revoke' || command === 'restore') && user === undefined && token === undefined && doc === undefined)
    faults.push('--user, --token, --doc: at least one of them')
  const whole = token?.includes('.') ? nameOfToken(token) : undefined
  if (whole === null) faults.push('--token: has no name (jti) by which it could be revoked; revoke its user')
  if (faults.length > 0) return faults
  const rest = whole?.ends == null ? undefined : Math.max(1, whole.ends - now + slack)
  const name = whole?.name ?? token
  return {
    command,
    at: adminUrl === undefined ? { redis: store!.url } : { url: adminUrl, token: adminToken! },
    ...(user === undefined ? {} : { user }),
    ...(name === undefined ? {} : { token: name }),
    ...(doc === undefined ? {} : { document: doc }),
    ...(read ? { leaves: 'read' as const } : {}),
    ...((lasts ?? rest) === undefined ? {} : { lasts: lasts ?? rest }),
  }
}

const slack = 600_000 // ms by which servers may take a token for longer than it says: their clock tolerance at most

/** Does what is asked; answers what there is to print. @throws with one sentence when it could not be done */
export const carryOut = async ({ command, at, ...given }: Asked): Promise<string> => {
  const held = 'redis' in at ? await overRedis(command, at.redis, given) : await overHttp(command, at, given)
  return held.map(line).join('')
}

const overRedis = async (command: CommandName, url: string, given: Revocation): Promise<readonly Holding[]> => {
  const { redisStore } = await import('../stores/redis.ts')
  const store = redisStore(url)
  const revocations = new Revocations({ store, clock: systemClock, log: pino({ level: 'silent' }), affected: () => {} })
  try {
    await store.ready()
    await revocations.start()
    const { leaves: _, lasts: __, ...subject } = given
    if (command === 'revoke') await revocations.revoke(given)
    else if (command === 'restore') await revocations.restore(subject)
    else if (command === 'recheck') await revocations.recheck(subject)
    else return revocations.list()
    return []
  } finally {
    revocations.close()
    await store.close()
  }
}

const holdings = z.array(
  z.object({
    user: z.string().optional(),
    token: z.string().optional(),
    document: z.string().optional(),
    leaves: z.enum(['none', 'read']),
    until: z.number(),
  }),
)

const overHttp = async (command: CommandName, admin: Admin, given: Revocation): Promise<readonly Holding[]> => {
  if (command === 'revocations') return holdings.parse(await ask(admin, '/v1/revocations'))
  await ask(admin, `/v1/${command}`, given)
  return []
}

const line = ({ user, token, document, leaves, until }: Holding): string =>
  `${[
    ...(user === undefined ? [] : [`user ${user}`]),
    ...(token === undefined ? [] : [`token ${token}`]),
    ...(document === undefined ? [] : [`document ${document}`]),
    leaves === 'read' ? 'may read' : 'out',
    `until ${new Date(until).toISOString()}`,
  ].join('\t')}\n`

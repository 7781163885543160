// What `inkwell serve` was told, by flags and by variables, as the options of a server.
// Invariant: every fault is found in one pass and told together.

import { existsSync } from 'node:fs'
import { z } from 'zod'
import { adminTokenFault, adminTokenLength } from '../server/admin.ts'
import { type JwtOptions, jwtFaults } from '../server/jwt.ts'
import { originFault } from '../server/origins.ts'
import {
  type Environment,
  type Flags,
  readSettings,
  type Setting,
  type Settings,
  unknownVariables,
  variablesOf,
} from './settings.ts'
import { documents, duration, list, part, port, proxies, switched, type Where, where, word, workers } from './words.ts'
import { slotVariable } from './workers.ts'

export interface Serving {
  readonly port: number
  readonly host: string
  readonly store: Where
  readonly demo: boolean
  readonly logLevel: (typeof levels)[number]
  readonly origins: readonly string[] | undefined
  readonly transports: readonly ('websocket' | 'polling')[]
  /** Milliseconds. */
  readonly stopWithin: number
  readonly trustProxy: number
  /** From 0 to 1. */
  readonly traceRatio: number
  /** Processes that share the port; each is a node. */
  readonly workers: number
  /** Null: everybody is a guest. */
  readonly jwt: JwtOptions | null
  /** Null: there is no listener for an operator. */
  readonly admin: { readonly port: number; readonly host: string; readonly token: string } | null
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

export const storeSetting = {
  flag: '--store <where>',
  variable: 'INKWELL_STORE',
  alias: 'REDIS_URL',
  says: 'embedded:<directory>, redis://host:port/db (also redis+sentinel, redis+cluster, rediss) or memory:; REDIS_URL counts too',
  otherwise: 'embedded:./inkwell-data',
  shape: where,
} as const satisfies Setting

export const secretSetting = {
  flag: '--jwt-secret <text>',
  variable: 'INKWELL_JWT_SECRET',
  says: 'secret of tokens signed with HS256, at least 32 bytes',
  filed: true,
  shape: word.optional(),
} as const satisfies Setting

export const issuerSetting = {
  flag: '--jwt-issuer <list>',
  variable: 'INKWELL_JWT_ISSUER',
  says: 'who must have issued a token (iss): one of these, separated by commas',
  shape: list.optional(),
} as const satisfies Setting

export const audienceSetting = {
  flag: '--jwt-audience <list>',
  variable: 'INKWELL_JWT_AUDIENCE',
  says: 'for whom a token must be (aud): one of these',
  shape: list.optional(),
} as const satisfies Setting

export const adminTokenSetting = {
  flag: '--admin-token <text>',
  variable: 'INKWELL_ADMIN_TOKEN',
  says: `what an operator must say there, at least ${adminTokenLength} characters`,
  filed: true,
  shape: word.optional(),
} as const satisfies Setting

export const settings = {
  port: {
    flag: '--port <number>',
    variable: 'INKWELL_PORT',
    alias: 'PORT',
    says: 'port to listen on; 0 takes a free one',
    otherwise: '3000',
    shape: port,
  },
  host: {
    flag: '--host <address>',
    variable: 'INKWELL_HOST',
    says: 'address to listen on; 0.0.0.0 lets other machines in',
    otherwise: '127.0.0.1',
    shape: word,
  },
  store: storeSetting,
  demo: { flag: '--demo', variable: 'INKWELL_DEMO', says: 'serve the demo page at /', shape: switched.default(false) },
  logLevel: {
    flag: '--log-level <level>',
    variable: 'INKWELL_LOG_LEVEL',
    says: levels.join(', '),
    otherwise: 'info',
    shape: z.enum(levels, `must be one of ${levels.join(', ')}`),
  },
  origins: {
    flag: '--origins <list>',
    variable: 'INKWELL_ORIGINS',
    says: 'origins of web pages that may connect, separated by commas; default: this host',
    shape: list
      .superRefine((origins, context) => {
        for (const origin of origins) {
          const fault = originFault(origin)
          if (fault !== null) context.addIssue({ code: 'custom', message: fault })
        }
      })
      .optional(),
  },
  transports: {
    flag: '--transports <list>',
    variable: 'INKWELL_TRANSPORTS',
    says: 'websocket, or websocket,polling',
    otherwise: 'websocket',
    shape: list.pipe(z.array(z.enum(['websocket', 'polling'], 'must be websocket, or websocket,polling')).min(1)),
  },
  stopWithin: {
    flag: '--stop-within <time>',
    variable: 'INKWELL_STOP_WITHIN',
    says: 'time from being told to stop to being gone: below that after which the orchestrator kills',
    otherwise: '28s',
    shape: duration,
  },
  trustProxy: {
    flag: '--trust-proxy <number>',
    variable: 'INKWELL_TRUST_PROXY',
    says: 'proxies in front, each of which appends to X-Forwarded-For; 0 believes no such header',
    otherwise: '0',
    shape: proxies,
  },
  traceRatio: {
    flag: '--trace-ratio <part>',
    variable: 'INKWELL_TRACE_RATIO',
    says: 'part of the edits of which there are spans, where a tracer of OpenTelemetry is registered (node --import); 1 for all',
    otherwise: '0.01',
    shape: part,
  },
  workers: {
    flag: '--workers <number>',
    variable: 'INKWELL_WORKERS',
    says: 'processes that share the port, each a node of its own: for a host of many cores; needs a Redis',
    otherwise: '1',
    shape: workers,
  },
  jwtSecret: secretSetting,
  jwtPublicKey: {
    flag: '--jwt-public-key <pem>',
    variable: 'INKWELL_JWT_PUBLIC_KEY',
    says: 'public key of tokens signed with RS256, ES256 or EdDSA, in PEM',
    filed: true,
    shape: word.optional(),
  },
  jwtJwksUrl: {
    flag: '--jwt-jwks-url <url>',
    variable: 'INKWELL_JWT_JWKS_URL',
    says: 'where the issuer of tokens publishes its public keys',
    shape: word.optional(),
  },
  jwtIssuer: issuerSetting,
  jwtAudience: audienceSetting,
  jwtClockTolerance: {
    flag: '--jwt-clock-tolerance <time>',
    variable: 'INKWELL_JWT_CLOCK_TOLERANCE',
    says: "by how much the issuer's clock may differ, e.g. 30s",
    otherwise: '5s',
    shape: duration,
  },
  jwtDocuments: {
    flag: '--jwt-documents <list>',
    variable: 'INKWELL_JWT_DOCUMENTS',
    says: "rights of tokens that bring none, e.g. 'notes-*:write,*:read'; default: none",
    shape: documents.optional(),
  },
  adminPort: {
    flag: '--admin-port <number>',
    variable: 'INKWELL_ADMIN_PORT',
    says: "port for an operator's commands (inkwell revoke, …); the second worker takes the next one, and so on; default: no port",
    shape: port.optional(),
  },
  adminHost: {
    flag: '--admin-host <address>',
    variable: 'INKWELL_ADMIN_HOST',
    says: 'address to listen on for them',
    otherwise: '127.0.0.1',
    shape: word,
  },
  adminToken: adminTokenSetting,
} as const satisfies Settings

/** Variables of other commands, which may stand beside those of this one. */
const others = ['INKWELL_ADMIN_URL', slotVariable]

/** What the options of `jwt()` are called here. */
const flagsOfJwt: { readonly [option: string]: keyof typeof settings } = {
  secret: 'jwtSecret',
  publicKey: 'jwtPublicKey',
  jwksUrl: 'jwtJwksUrl',
  clockTolerance: 'jwtClockTolerance',
  documents: 'jwtDocuments',
}

/** Either what to serve, or every fault in it, one line each. */
export const configurationOf = (flags: Flags, environment: Environment): Serving | readonly string[] => {
  const reading = readSettings(settings, flags, environment)
  const { values, sources } = reading
  const production = environment.NODE_ENV === 'production'
  const faults = [...reading.faults]
  const { port, host, store, demo, logLevel, origins, transports, stopWithin, trustProxy, traceRatio, workers } = values
  const { adminPort, adminHost, adminToken } = values
  const { jwtSecret, jwtPublicKey, jwtJwksUrl, jwtIssuer, jwtAudience, jwtClockTolerance, jwtDocuments } = values

  const jwt: JwtOptions = {
    ...(jwtSecret === undefined ? {} : { secret: jwtSecret }),
    ...(jwtPublicKey === undefined ? {} : { publicKey: jwtPublicKey }),
    ...(jwtJwksUrl === undefined ? {} : { jwksUrl: jwtJwksUrl }),
    ...(jwtIssuer === undefined ? {} : { issuer: jwtIssuer }),
    ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
    ...(jwtClockTolerance === undefined ? {} : { clockTolerance: jwtClockTolerance }),
    ...(jwtDocuments === undefined ? {} : { documents: jwtDocuments }),
  }
  const keys = ['jwtSecret', 'jwtPublicKey', 'jwtJwksUrl'] as const
  const [given, unreadable] = [keys.filter(name => values[name] !== undefined), keys.some(name => sources[name] === undefined)]
  if (given.length > 1) faults.push(`${given.map(name => sources[name]).join(', ')}: one of them, not more`)
  else if (given.length === 1) {
    for (const fault of jwtFaults(jwt)) {
      const [option, ...rest] = fault.split(': ')
      faults.push(`${sources[flagsOfJwt[option!]!]}: ${rest.join(': ')}`)
    }
  } else if (!unreadable) {
    const useless = (['jwtIssuer', 'jwtAudience', 'jwtDocuments'] as const).filter(name => values[name] !== undefined)
    for (const name of useless)
      faults.push(`${sources[name]}: is of no use without --jwt-secret, --jwt-public-key or --jwt-jwks-url`)
    if (production)
      faults.push(
        'NODE_ENV: in production nobody gets in without authentication: give --jwt-secret-file, --jwt-public-key-file or --jwt-jwks-url',
      )
  }

  if (production && origins?.includes('*'))
    faults.push(`${sources.origins}: * lets the pages of every site in; in production name those that may`)
  const weak = adminToken === undefined ? null : adminTokenFault(adminToken)
  if (weak !== null) faults.push(`${sources.adminToken}: ${weak}`)
  if (adminPort !== undefined && adminToken === undefined && sources.adminToken !== undefined)
    faults.push(`${sources.adminPort}: nobody gets in there without --admin-token-file (or INKWELL_ADMIN_TOKEN)`)

  if (workers !== undefined && workers > 1) {
    if (store !== undefined && store.kind !== 'redis')
      faults.push(`${sources.workers}: each worker is a node, and nodes share a Redis: --store redis://host:port`)
    if (transports?.includes('polling'))
      faults.push(`${sources.workers}: polling needs one worker for all of a client's requests, and a shared port gives it any`)
    if (adminPort !== undefined && adminPort + workers > 65_536)
      faults.push(`${sources.adminPort}: ${workers} workers need as many ports from there on, up to 65535`)
  }

  for (const variable of unknownVariables(environment, [...variablesOf(settings), ...others]))
    faults.push(`${variable}: there is no such setting`)
  if (faults.length > 0) return faults
  return {
    ...{ port, host, store, demo, logLevel, origins, transports, stopWithin, trustProxy, traceRatio, workers },
    jwt: given.length === 0 ? null : jwt,
    admin: adminPort === undefined || adminToken === undefined ? null : { port: adminPort, host: adminHost, token: adminToken },
  }
}

export const demoFault = (folder: string): string | null =>
  existsSync(folder) ? null : `--demo: the demo page is not in this installation (${folder} is missing)`

// What `inkwell serve` was told, by flags and by variables, as the options of a server.
// Invariant: every fault is found in one pass and told together; a flag wins over its variable.

import { existsSync } from 'node:fs'
import { z } from 'zod'
import { redisFault } from '../stores/redis/address.ts'

export interface Serving {
  readonly port: number
  readonly host: string
  readonly store:
    | { readonly kind: 'memory' }
    | { readonly kind: 'embedded'; readonly path: string }
    | { readonly kind: 'redis'; readonly url: string }
  readonly demo: boolean
  readonly logLevel: (typeof levels)[number]
  readonly origins: readonly string[] | undefined
  readonly transports: readonly ('websocket' | 'polling')[]
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** A setting: its flag, what commander should say of it, and what holds when nobody says anything. */
export interface Setting {
  readonly flag: string
  readonly variable: string
  readonly says: string
  readonly otherwise?: string
}

export const settings = {
  port: { flag: '--port <number>', variable: 'INKWELL_PORT', says: 'port to listen on; 0 takes a free one', otherwise: '3000' },
  host: {
    flag: '--host <address>',
    variable: 'INKWELL_HOST',
    says: 'address to listen on; 0.0.0.0 lets other machines in',
    otherwise: '127.0.0.1',
  },
  store: {
    flag: '--store <where>',
    variable: 'INKWELL_STORE',
    says: 'embedded:<directory>, redis://host:port/db (also redis+sentinel, redis+cluster, rediss) or memory:; REDIS_URL counts too',
    otherwise: 'embedded:./inkwell-data',
  },
  demo: { flag: '--demo', variable: 'INKWELL_DEMO', says: 'serve the demo page at /' },
  logLevel: { flag: '--log-level <level>', variable: 'INKWELL_LOG_LEVEL', says: levels.join(', '), otherwise: 'info' },
  origins: {
    flag: '--origins <list>',
    variable: 'INKWELL_ORIGINS',
    says: 'origins of web pages that may connect, separated by commas; default: this host',
  },
  transports: {
    flag: '--transports <list>',
    variable: 'INKWELL_TRANSPORTS',
    says: 'websocket, or websocket,polling',
    otherwise: 'websocket',
  },
} as const satisfies Record<string, Setting>

type Name = keyof typeof settings
export type Flags = { readonly [name in Name]?: string | boolean }
export type Environment = { readonly [name: string]: string | undefined }

const list = z
  .string()
  .transform(text => text.split(',').map(part => part.trim()))
  .transform(parts => parts.filter(part => part !== ''))

const switched = z
  .union([z.boolean(), z.enum(['true', 'false', '1', '0', ''])], 'must be true or false')
  .transform(value => value === true || value === 'true' || value === '1')

const store = z.string().transform((text, context): Serving['store'] => {
  const colon = text.indexOf(':')
  const [scheme, rest] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  if (scheme === 'memory' && rest === '') return { kind: 'memory' }
  if (scheme === 'embedded' && rest !== '') return { kind: 'embedded', path: rest }
  if (/^rediss?(\+\w+)?$/.test(scheme!)) {
    const fault = redisFault(text)
    if (fault === null) return { kind: 'redis', url: text }
    context.addIssue({ code: 'custom', message: fault })
    return z.NEVER
  }
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(text)} is none of embedded:<directory>, redis://host:port and memory:`,
  })
  return z.NEVER
})

const shapes = {
  port: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a number from 0 to 65535')
    .transform(Number)
    .refine(port => port <= 65_535, 'must be a number from 0 to 65535'),
  host: z.string().min(1, 'must not be empty'),
  store,
  demo: switched.default(false),
  logLevel: z.enum(levels, `must be one of ${levels.join(', ')}`),
  origins: list.optional(),
  transports: list.pipe(z.array(z.enum(['websocket', 'polling'], 'must be websocket, or websocket,polling')).min(1)),
} satisfies Record<Name, z.ZodType>

/** Either what to serve, or every fault in it, one line each. */
export const configurationOf = (flags: Flags, environment: Environment): Serving | readonly string[] => {
  const faults: string[] = []
  const read = (name: Name): unknown => {
    const setting: Setting = settings[name]
    const sources: readonly (readonly [source: string, value: string | boolean | undefined])[] = [
      [setting.flag.split(' ', 1)[0]!, flags[name]],
      [setting.variable, isAddress(environment[setting.variable]) ? undefined : environment[setting.variable]],
      // What platforms give their applications.
      ...(name === 'port' ? [['PORT', environment.PORT] as const] : []),
      ...(name === 'store' ? [['REDIS_URL', environment.REDIS_URL] as const] : []),
      ['default', setting.otherwise],
    ]
    const [source, value] = sources.find(([, value]) => value !== undefined) ?? ['default', undefined]
    const { success, data, error } = shapes[name].safeParse(value)
    if (success) return data
    faults.push(...error.issues.map(issue => `${source}: ${issue.message}`))
    return undefined
  }

  const names = Object.keys(settings) as Name[]
  // The cast: where a value is missing there is a fault, and with a fault nothing of it is used.
  const serving = Object.fromEntries(names.map(name => [name, read(name)])) as unknown as Serving

  for (const variable of Object.keys(environment)) {
    if (
      variable.startsWith('INKWELL_') &&
      !ofKubernetes.test(variable) &&
      !names.some(name => settings[name].variable === variable)
    )
      faults.push(`${variable}: there is no such setting`)
  }
  if (environment.NODE_ENV === 'production')
    faults.push(
      'NODE_ENV: in production nobody gets in without authentication, which this command does not offer yet; ' +
        'use createServer({ authenticate }) of inkwell/server',
    )
  return faults.length > 0 ? faults : serving
}

// Set in every pod next to a Kubernetes service that is called inkwell; INKWELL_PORT is then one of these, tcp://10.0.0.7:3000.
const ofKubernetes = /^INKWELL_(SERVICE_|PORT_\d)/
const isAddress = (value: string | undefined): boolean => value?.startsWith('tcp://') === true

export const demoFault = (folder: string): string | null =>
  existsSync(folder) ? null : `--demo: the demo page is not in this installation (${folder} is missing)`

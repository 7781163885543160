// How people write the values of settings.
// Invariant: a value is understood as a whole or refused in one sentence.

import { z } from 'zod'
import { type Documents, documentsFault } from '../server/patterns.ts'
import { redisFault } from '../stores/redis/address.ts'

export const port = z
  .string()
  .regex(/^\d{1,5}$/, 'must be a number from 0 to 65535')
  .transform(Number)
  .refine(port => port <= 65_535, 'must be a number from 0 to 65535')

export const proxies = z
  .string()
  .regex(/^\d{1,2}$/, 'must be a number from 0 to 16')
  .transform(Number)
  .refine(proxies => proxies <= 16, 'must be a number from 0 to 16')

export const part = z
  .string()
  .regex(/^(0|1|0?\.\d{1,9})$/, 'must be a number from 0 to 1')
  .transform(Number)

export const workers = z
  .string()
  .regex(/^\d{1,3}$/, 'must be a number from 1 to 128')
  .transform(Number)
  .refine(workers => workers >= 1 && workers <= 128, 'must be a number from 1 to 128')

export const count = z
  .string('is missing')
  .regex(/^\d{1,15}$/, 'must be a whole number')
  .transform(Number)

export const word = z.string('is missing').min(1, 'must not be empty')

export const list = z
  .string()
  .transform(text => text.split(',').map(part => part.trim()))
  .transform(parts => parts.filter(part => part !== ''))

export const switched = z
  .union([z.boolean(), z.enum(['true', 'false', '1', '0', ''])], 'must be true or false')
  .transform(value => value === true || value === 'true' || value === '1')

export type Where =
  | { readonly kind: 'memory' }
  | { readonly kind: 'embedded'; readonly path: string }
  | { readonly kind: 'redis'; readonly url: string }

export const where = z.string().transform((text, context): Where => {
  const no = (message: string): never => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  const colon = text.indexOf(':')
  const [scheme, rest] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  if (scheme === 'memory' && rest === '') return { kind: 'memory' }
  if (scheme === 'embedded' && rest !== '') return { kind: 'embedded', path: rest }
  if (!/^rediss?(\+\w+)?$/.test(scheme!))
    return no(`${JSON.stringify(text)} is none of embedded:<directory>, redis://host:port and memory:`)
  const fault = redisFault(text)
  return fault === null ? { kind: 'redis', url: text } : no(fault)
})

const units: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `1h`, `7d`, as milliseconds. */
export const duration = z.string().transform((text, context): number => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  if (number !== undefined) return Math.round(Number(number) * units[unit!]!)
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is no time such as 90s, 30m, 1h or 7d` })
  return z.NEVER
})

/** `notes-*:write,*:read`; the right stands behind the last colon, as an id may have some. */
export const documents = list.transform((parts, context): Documents => {
  const pairs = parts.map(
    part => [part.slice(0, Math.max(0, part.lastIndexOf(':'))), part.slice(part.lastIndexOf(':') + 1)] as const,
  )
  const rights = Object.fromEntries(pairs)
  const fault = documentsFault(rights)
  if (fault === null) return rights as Documents
  context.addIssue({ code: 'custom', message: `must look like 'notes-*:write,*:read': ${fault}` })
  return z.NEVER
})

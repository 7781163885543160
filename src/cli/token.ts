// `inkwell token`: a token for trying things out, signed with the secret that `inkwell serve --jwt-secret` has too.
// Invariant: nothing but the token goes to standard output.

import { issueToken, type TokenOptions } from '../server/jwt.ts'
import { audienceSetting, issuerSetting, secretSetting } from './configuration.ts'
import { type Environment, type Flags, readSettings, type Settings } from './settings.ts'
import { documents, duration, word } from './words.ts'

export const tokenSettings = {
  user: { flag: '--user <id>', variable: null, says: 'whose it is', shape: word },
  name: { flag: '--name <text>', variable: null, says: 'what others call him', shape: word.optional() },
  doc: {
    flag: '--doc <pattern:right>',
    variable: null,
    says: "what he may do where, e.g. 'notes-*:write'; may be given again",
    many: true,
    shape: documents.optional(),
  },
  expires: { flag: '--expires <time>', variable: null, says: 'after which time it ends', otherwise: '1h', shape: duration },
  secret: secretSetting,
  issuer: issuerSetting,
  audience: audienceSetting,
} as const satisfies Settings

/** Either what to issue, or every fault in it. */
export const tokenOf = (flags: Flags, environment: Environment): TokenOptions | readonly string[] => {
  const { values, faults, sources } = readSettings(tokenSettings, flags, environment)
  const { user, name, doc, expires, secret, issuer, audience } = values
  const more: string[] = []
  if (secret === undefined) {
    if (sources.secret !== undefined)
      more.push('--jwt-secret: is missing; INKWELL_JWT_SECRET, or a file that --jwt-secret-file names, will do')
  } else if (Buffer.byteLength(secret) < 32)
    more.push(`${sources.secret}: has ${Buffer.byteLength(secret)} bytes, and at least 32 are needed`)
  if (faults.length + more.length > 0) return [...faults, ...more]
  return {
    ...{ secret: secret!, user, documents: doc ?? {}, lives: expires },
    ...(name === undefined ? {} : { name }),
    ...(issuer?.[0] === undefined ? {} : { issuer: issuer[0] }),
    ...(audience?.[0] === undefined ? {} : { audience: audience[0] }),
  }
}

export const printToken = async (options: TokenOptions): Promise<void> => {
  process.stdout.write(`${await issueToken(options)}\n`)
}

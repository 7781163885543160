// A ready-made `authenticate` for signed tokens (JWT), and the tokens of a development machine.
// Invariant: which algorithms are taken follows from the key that the operator gave, never from the token.

import { createHmac, createPublicKey, createSecretKey, type KeyObject, randomUUID, timingSafeEqual } from 'node:crypto'
import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify, SignJWT } from 'jose'
import { isWellFormed, userTextLength } from '../protocol/fields.ts'
import { type Authenticate, type Identity, type Stranger, tokenNameLength } from './identity.ts'
import { ConfigurationError } from './options.ts'
import { type Documents, documentsFault } from './patterns.ts'

/** One of `secret`, `publicKey` and `jwksUrl`. */
export interface JwtOptions {
  /** Shared with whoever issues the tokens (HS256); at least 32 bytes, a string counted in UTF-8. */
  readonly secret?: string | Uint8Array
  /** The issuer's public key in PEM: RSA of 2,048 bits or more (RS256), P-256 (ES256) or Ed25519 (EdDSA). */
  readonly publicKey?: string
  /**
   * Where the issuer publishes its public keys, by https (http on this machine only). They are read when the first token comes, every
   * ten minutes, and when a token names an unknown key, but then at most twice a minute; five seconds are allowed for an answer.
   */
  readonly jwksUrl?: string
  /** The claim `iss` must be this, or one of these. Default: not looked at. */
  readonly issuer?: string | readonly string[]
  /** The claim `aud` must name this, or one of these. Default: not looked at. */
  readonly audience?: string | readonly string[]
  /** Milliseconds by which the issuer's clock may differ from ours. Default 5,000. */
  readonly clockTolerance?: number
  /** Names of the claims that are read. Default: `sub`, `name`, `color`, `inkwell`. */
  readonly claims?: {
    /** The user's id; a token without it is nobody's. */
    readonly user?: string
    readonly name?: string
    readonly color?: string
    /** An object whose `documents` are rights by patterns: `{ "documents": { "notes-*": "write", "*": "read" } }`. */
    readonly rights?: string
  }
  /** Rights of tokens that bring none. Default: none in any document. Where `authorize` is given, that decides. */
  readonly documents?: Documents
}

const usualTolerance = 5_000
const secretBytes = 32 // as long as the hash: shorter ones can be guessed from one token
const keysKept = 600_000 // ms between two looks at the issuer's keys: a key that is withdrawn is good for this long
const keysCooling = 30_000 // ms after a look in which no unknown key causes another: tokens are free to invent
const keysWithin = 5_000 // ms for an answer

/** Who signs, and by which algorithms alone. */
type Key =
  | { readonly kind: 'shared' | 'fixed'; readonly key: KeyObject; readonly algorithms: string[] }
  | { readonly kind: 'published'; readonly keys: ReturnType<typeof createRemoteJWKSet>; readonly algorithms: string[] }

/**
 * An `authenticate` for JSON Web Tokens. A token must be signed by the key given, name a user and an end (`exp`), and be good now.
 * @throws {ConfigurationError} with everything that is wrong with the options
 */
export const jwt = (options: JwtOptions): Authenticate => {
  const faults = jwtFaults(options)
  if (faults.length > 0) throw new ConfigurationError(faults.map(fault => `jwt: ${fault}`))
  const key = keyOf(options)
  const { issuer, audience, clockTolerance = usualTolerance, claims = {}, documents = {} } = options
  const names = { user: 'sub', name: 'name', color: 'color', rights: 'inkwell', ...claims }
  const checks: JWTVerifyOptions = {
    algorithms: key.algorithms,
    requiredClaims: ['exp', names.user],
    clockTolerance: clockTolerance / 1_000,
    ...(issuer === undefined ? {} : { issuer: listed(issuer) }),
    ...(audience === undefined ? {} : { audience: listed(audience) }),
  }

  const lookedAt = async (token: string): Promise<Identity | Stranger | null> => {
    let payload: JWTPayload
    try {
      payload = await verified(token, key, checks)
    } catch (error) {
      if (error instanceof errors.JOSEError && ofTheToken.has(error.code)) return { stranger: error.message }
      throw error // the issuer's keys cannot be had
    }
    return identityIn(payload, names, clockTolerance, documents)
  }
  const authenticate: Authenticate = token => {
    if (token === undefined) return null
    const claims = key.kind === 'shared' ? surelySigned(token, key.key, checks) : undefined
    return claims === undefined ? lookedAt(token) : identityIn(claims, names, clockTolerance, documents)
  }
  const { jwksUrl } = options
  return jwksUrl === undefined ? authenticate : Object.assign(authenticate, { check: () => keysThere(jwksUrl) })
}

/** A look of its own: one through the cache would have it take the keys for fresh, and tokens of a new key would wait. */
const keysThere = async (url: string): Promise<void> => {
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(keysWithin) })
  if (!response.ok) throw new Error(`${url} answers ${response.status}`)
  const { keys } = (await response.json()) as { readonly keys?: unknown }
  if (!Array.isArray(keys)) throw new Error(`${url} answers without keys`)
}

/** What is wrong with these options, one sentence each, the option's name before it. */
export const jwtFaults = (options: JwtOptions): string[] => {
  const { secret, publicKey, jwksUrl, clockTolerance = 0, documents = {} } = options
  const faults: string[] = []
  const given = [secret, publicKey, jwksUrl].filter(one => one !== undefined)
  if (given.length !== 1)
    faults.push(`${given.length === 0 ? 'none' : 'more than one'} of secret, publicKey and jwksUrl is given`)
  if (secret !== undefined) {
    const bytes = bytesOf(secret)
    if (bytes.length < secretBytes) faults.push(`secret: has ${bytes.length} bytes, and at least ${secretBytes} are needed`)
    if (/-----BEGIN/.test(Buffer.from(bytes).toString('latin1')))
      faults.push('secret: is a key in PEM; a public one is given as publicKey')
  }
  if (publicKey !== undefined) {
    const read = publicKeyIn(publicKey)
    if (typeof read === 'string') faults.push(`publicKey: ${read}`)
  }
  if (jwksUrl !== undefined) {
    const fault = addressFault(jwksUrl)
    if (fault !== null) faults.push(`jwksUrl: ${fault}`)
  }
  if (!(clockTolerance >= 0 && clockTolerance <= longestTolerance))
    faults.push(`clockTolerance: must be from 0 to ${longestTolerance} milliseconds`)
  const fault = documentsFault(documents)
  if (fault !== null) faults.push(`documents: ${fault}`)
  return faults
}

const longestTolerance = 600_000 // ms; a clock that is further off is to be set

const keyOf = ({ secret, publicKey, jwksUrl }: JwtOptions): Key => {
  if (secret !== undefined) return { kind: 'shared', key: createSecretKey(bytesOf(secret)), algorithms: ['HS256'] }
  if (publicKey !== undefined) return { kind: 'fixed', ...(publicKeyIn(publicKey) as PublicKey) }
  const keys = createRemoteJWKSet(new URL(jwksUrl!), {
    cacheMaxAge: keysKept,
    cooldownDuration: keysCooling,
    timeoutDuration: keysWithin,
  })
  return { kind: 'published', keys, algorithms: ['RS256', 'ES256', 'EdDSA', 'Ed25519'] }
}

interface PublicKey {
  readonly key: KeyObject
  readonly algorithms: string[]
}

/** The key and what it can verify, or what is wrong with it. */
const publicKeyIn = (pem: string): PublicKey | string => {
  if (/PRIVATE KEY/.test(pem)) return 'is a private key, which nobody but the issuer should have'
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    return 'is no public key in PEM'
  }
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= 2_048 ? { key, algorithms: ['RS256'] } : `is an RSA key of ${modulusLength} bits; 2048 are needed`
    case 'ec':
      return namedCurve === 'prime256v1'
        ? { key, algorithms: ['ES256'] }
        : `is on the curve ${namedCurve}, and only P-256 is taken`
    case 'ed25519':
      return { key, algorithms: ['EdDSA', 'Ed25519'] }
    default:
      return `is a key for ${key.asymmetricKeyType}; RSA, P-256 and Ed25519 are taken`
  }
}

const addressFault = (address: string): string | null => {
  const url = URL.canParse(address) ? new URL(address) : null
  if (url === null) return `${JSON.stringify(address)} is no URL`
  const near = url.hostname === 'localhost' || url.hostname === '127.0.0.1' || url.hostname === '[::1]'
  return url.protocol === 'https:' || (url.protocol === 'http:' && near)
    ? null
    : 'must be https: whoever can change the keys on their way can be anybody'
}

/** All that can be wrong with a token itself. Everything else that goes wrong is the keys' fault, and passes. */
const ofTheToken: ReadonlySet<string> = new Set(
  [
    errors.JWTExpired,
    errors.JWTClaimValidationFailed,
    errors.JWTInvalid,
    errors.JWSInvalid,
    errors.JWSSignatureVerificationFailed,
    errors.JOSEAlgNotAllowed,
    errors.JOSENotSupported,
    errors.JWKSNoMatchingKey,
  ].map(({ code }) => code),
)

/**
 * The claims of a token that the secret has signed, and no doubt about it; undefined: let jose look, and say what is wrong. It works in
 * another thread, which costs ten times what the signature does, and everybody who comes back after a restart has one.
 */
const surelySigned = (token: string, secret: KeyObject, checks: JWTVerifyOptions): JWTPayload | undefined => {
  const [head = '', claims = '', signature = '', more] = token.split('.')
  if (!isPlain(head) || more !== undefined) return undefined
  const due = Buffer.from(createHmac('sha256', secret).update(`${head}.${claims}`).digest('base64url'))
  const given = Buffer.from(signature) // of which a stranger says any sign, and each may be several bytes
  if (given.length !== due.length || !timingSafeEqual(given, due)) return undefined
  return surelyGood(claims, checks)
}

/** Claims about which jose would say nothing, by the same checks; undefined: it may have something to say. */
const surelyGood = (
  encoded: string,
  { requiredClaims = [], clockTolerance, issuer, audience }: JWTVerifyOptions,
): JWTPayload | undefined => {
  const text = /^[\w-]+$/.test(encoded) ? Buffer.from(encoded, 'base64url').toString() : ''
  if (!text.startsWith('{') || text.includes('\ufffd')) return undefined
  let payload: JWTPayload
  try {
    payload = JSON.parse(text) as JWTPayload
  } catch {
    return undefined // not JSON: jose will say so
  }
  if (!requiredClaims.every(name => Object.hasOwn(payload, name))) return undefined
  const now = Math.floor(Date.now() / 1_000)
  const tolerance = clockTolerance as number
  const { exp, nbf = 0, iat = 0, iss, aud } = payload
  if (![exp, nbf, iat].every(Number.isFinite) || exp! <= now - tolerance || nbf > now + tolerance) return undefined
  if (issuer !== undefined && (!Object.hasOwn(payload, 'iss') || !listed(issuer).includes(iss!))) return undefined
  if (audience !== undefined && ![aud].flat().some(one => one !== undefined && listed(audience).includes(one))) return undefined
  return payload
}

/** Whether a header says HS256 and nothing that would have to be understood. There are few, and issuers write the same each time. */
const isPlain = (head: string): boolean => {
  const known = plain.get(head)
  if (known !== undefined) return known
  let header: unknown
  try {
    header = JSON.parse(Buffer.from(head, 'base64url').toString())
  } catch {
    // Not JSON: jose will say so.
    return false
  }
  if (typeof header !== 'object' || header === null || 'crit' in header || 'b64' in header) return false
  const is = 'alg' in header && header.alg === 'HS256'
  if (is && head.length < 200 && plain.size < 16) plain.set(head, true)
  return is
}

const plain = new Map<string, true>()

const verified = async (token: string, key: Key, checks: JWTVerifyOptions): Promise<JWTPayload> => {
  if (key.kind !== 'published') return (await jwtVerify(token, key.key, checks)).payload
  try {
    return (await jwtVerify(token, key.keys, checks)).payload
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    // An issuer that changes keys without naming them: one of those that fit has signed it, or none.
    for await (const one of error) {
      try {
        return (await jwtVerify(token, one, checks)).payload
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

const identityIn = (
  payload: JWTPayload,
  names: { readonly user: string; readonly name: string; readonly color: string; readonly rights: string },
  tolerance: number,
  otherwise: Documents,
): Identity | Stranger => {
  const claim = (name: string): unknown => (Object.hasOwn(payload, name) ? payload[name] : undefined)
  const id = claim(names.user)
  const name = claim(names.name)
  const color = claim(names.color)
  const jti = claim('jti')
  if (typeof id !== 'string' || id === '' || id.length > userTextLength || !isWellFormed(id))
    return { stranger: `the claim ${names.user} must be a string of 1 to ${userTextLength} characters` }
  if (jti !== undefined && (typeof jti !== 'string' || jti === '' || jti.length > tokenNameLength))
    return { stranger: `the claim jti must be a string of 1 to ${tokenNameLength} characters` }
  if (!Number.isFinite(payload.exp)) return { stranger: 'the claim exp must be a time' }
  const rights = claim(names.rights)
  const documents = rights === undefined ? otherwise : documentsIn(rights)
  if (typeof documents === 'string') return { stranger: `the claim ${names.rights}: ${documents}` }
  return {
    id,
    // What is only for the eyes of others keeps nobody out.
    ...(typeof name === 'string' && isWellFormed(name) ? { name: name.slice(0, userTextLength).replace(cutPair, '') } : {}),
    ...(typeof color === 'string' && /^#[0-9A-Fa-f]{6}$/.test(color) ? { color } : {}),
    ...(jti === undefined ? {} : { token: jti }),
    expires: payload.exp! * 1_000 + tolerance,
    documents,
  }
}

const cutPair = /[\ud800-\udbff]$/

/** Rights that are there but cannot be read are no reason to guess. */
const documentsIn = (rights: unknown): Documents | string => {
  if (typeof rights !== 'object' || rights === null || !Object.hasOwn(rights, 'documents')) return 'has no documents'
  const { documents } = rights as { readonly documents: unknown }
  return documentsFault(documents) ?? (documents as Documents)
}

const bytesOf = (secret: string | Uint8Array): Uint8Array =>
  typeof secret === 'string' ? new TextEncoder().encode(secret) : secret

const listed = (one: string | readonly string[]): string[] => (typeof one === 'string' ? [one] : [...one])

export interface TokenOptions {
  readonly secret: string
  readonly user: string
  readonly name?: string
  readonly documents: Documents
  /** Milliseconds. */
  readonly lives: number
  readonly issuer?: string
  readonly audience?: string
}

/** A token such as `jwt({ secret })` takes, for trying things out; in earnest the application issues its own. */
export const issueToken = ({ secret, user, name, documents, lives, issuer, audience }: TokenOptions): Promise<string> => {
  const now = Math.floor(Date.now() / 1_000)
  const token = new SignJWT({ ...(name === undefined ? {} : { name }), inkwell: { documents } })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(user)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + Math.ceil(lives / 1_000))
  if (issuer !== undefined) token.setIssuer(issuer)
  if (audience !== undefined) token.setAudience(audience)
  return token.sign(bytesOf(secret))
}

/** The name of a token, and when it ends in milliseconds since 1970, as the token itself has it, unchecked; null: it has none. */
export const nameOfToken = (token: string): { readonly name: string; readonly ends: number | null } | null => {
  try {
    const { jti, exp } = decodeJwt(token)
    return jti === undefined ? null : { name: jti, ends: exp === undefined ? null : exp * 1_000 }
  } catch (error) {
    if (error instanceof errors.JOSEError) return null
    throw error
  }
}

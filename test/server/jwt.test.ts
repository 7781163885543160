// Whose a signed token is: what is taken, what is not, and that the token has no say in how it is checked.

import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { exportJWK, jwtVerify, SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import type { DocId } from '../../src/protocol/ids.ts'
import { ConfigurationError, type Identity, type JwtOptions, jwt, type Stranger } from '../../src/server/index.ts'
import { issueToken } from '../../src/server/jwt.ts'
import { rightIn, shared } from '../../src/server/patterns.ts'
import { afterwards } from './worlds.ts'

const secret = 'a secret of more than 32 bytes, which nobody knows'
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string
const now = (): number => Math.floor(Date.now() / 1_000)

/** A sound token, but for what a test changes. */
const signed = (
  key: KeyObject | Uint8Array,
  { alg = 'HS256', kid, claims = {} }: { alg?: string; kid?: string; claims?: Record<string, unknown> } = {},
): Promise<string> =>
  new SignJWT({ sub: 'ada', iat: now(), exp: now() + 60, ...claims })
    .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
    .sign(key)

const bytes = new TextEncoder().encode(secret)
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const asks = async (options: JwtOptions, token: string | undefined): Promise<Identity | Stranger | null> =>
  jwt(options)(token, null)

/** Null where somebody was recognized, why not otherwise. */
const no = async (options: JwtOptions, token: string): Promise<string | null> => {
  const answer = await asks(options, token)
  if (answer === null) return 'null'
  return 'stranger' in answer ? answer.stranger : null
}

describe('jwt() takes', () => {
  it.each([
    ['HS256', { secret }, bytes],
    ['RS256', { publicKey: pem(rsa.publicKey) }, rsa.privateKey],
    ['ES256', { publicKey: pem(ec.publicKey) }, ec.privateKey],
    ['EdDSA', { publicKey: pem(ed.publicKey) }, ed.privateKey],
  ] as const)('%s, and reads whose it is, for how long, its name and its rights', async (alg, options, key) => {
    const exp = now() + 60
    const inkwell = { documents: { 'notes-*': 'write' } }
    const claims = { exp, name: 'Ada', color: '#0e7490', jti: 't-1', inkwell, admin: true }
    expect(await asks(options, await signed(key, { alg, claims }))).toEqual({
      id: 'ada',
      name: 'Ada',
      color: '#0e7490',
      token: 't-1',
      expires: exp * 1_000 + 5_000,
      documents: { 'notes-*': 'write' },
    })
  })

  it('a token of the issuer and for the audience that are named, or one of those', async () => {
    const options = { secret, issuer: ['https://a.example', 'https://b.example'], audience: 'inkwell' }
    const of = (iss: string, aud: unknown) => signed(bytes, { claims: { iss, aud } })
    expect(await no(options, await of('https://b.example', ['other', 'inkwell']))).toBeNull()
    expect(await no(options, await of('https://c.example', 'inkwell'))).toMatch(/"iss"/)
    expect(await no(options, await of('https://a.example', 'other'))).toMatch(/"aud"/)
    expect(await no(options, await signed(bytes))).toMatch(/"(aud|iss)"/)
  })

  it('claims by other names, and for tokens that bring no rights those of the options', async () => {
    const options: JwtOptions = {
      secret,
      claims: { user: 'email', name: 'nick', rights: 'https://example.com/inkwell' },
      documents: { '*': 'read' },
    }
    const claims = { email: 'ada@example.com', nick: 'A', name: 'Ada' }
    expect(await asks(options, await signed(bytes, { claims }))).toMatchObject({
      id: 'ada@example.com',
      name: 'A',
      documents: { '*': 'read' },
    })
    const rights = { ...claims, 'https://example.com/inkwell': { documents: { x: 'write' } } }
    expect(await asks(options, await signed(bytes, { claims: rights }))).toMatchObject({ documents: { x: 'write' } })
    expect(await asks({ secret }, await signed(bytes))).toMatchObject({ id: 'ada', documents: {} })
  })

  it('a name that is too long as far as it may go, and no color that is none', async () => {
    const claims = { name: `${'x'.repeat(127)}🖋`, color: 'red' }
    expect(await asks({ secret }, await signed(bytes, { claims }))).toEqual(
      expect.objectContaining({ id: 'ada', name: 'x'.repeat(127) }),
    )
    expect(await asks({ secret }, await signed(bytes, { claims }))).not.toHaveProperty('color')
  })

  it('a clock that differs by as much as is said', async () => {
    const late = (seconds: number) => signed(bytes, { claims: { exp: now() - seconds } })
    expect(await no({ secret, clockTolerance: 10_000 }, await late(8))).toBeNull()
    expect(await no({ secret, clockTolerance: 10_000 }, await late(12))).toMatch(/"exp"/)
    expect(await no({ secret, clockTolerance: 0 }, await late(1))).toMatch(/"exp"/)
    const early = await signed(bytes, { claims: { nbf: now() + 60 } })
    expect(await no({ secret }, early)).toMatch(/"nbf"/)
  })

  it('what `inkwell token` makes', async () => {
    const token = await issueToken({ secret, user: 'ada', documents: { '*': 'write' }, lives: 3_600_000, issuer: 'me' })
    expect(await asks({ secret, issuer: 'me' }, token)).toEqual({
      id: 'ada',
      token: expect.stringMatching(/^[0-9a-f-]{36}$/),
      expires: expect.closeTo(Date.now() + 3_605_000, -4),
      documents: { '*': 'write' },
    })
  })
})

describe('[P6] jwt() does not take', () => {
  it('a token that says how it is to be checked: none, or by the public key as a secret', async () => {
    const claims = { sub: 'ada', exp: now() + 60 }
    const none = (alg: string) => `${base64({ alg, typ: 'JWT' })}.${base64(claims)}.`
    const every: JwtOptions[] = [{ secret }, ...[rsa, ec, ed].map(({ publicKey }) => ({ publicKey: pem(publicKey) }))]
    for (const options of every)
      for (const alg of ['none', 'None', 'NONE', 'nOnE']) expect(await no(options, none(alg))).toMatch(/alg/i)
    for (const { publicKey } of [rsa, ec, ed]) {
      const known = pem(publicKey)
      // What everybody can read, used as if it were the secret: in every spelling that somebody's library might have taken.
      for (const guess of [known, known.trim(), known.replaceAll('\n', ''), publicKey.export({ type: 'spki', format: 'der' })]) {
        const forged = await signed(typeof guess === 'string' ? new TextEncoder().encode(guess) : guess)
        expect(await no({ publicKey: known }, forged)).toMatch(/alg/i)
      }
    }
    expect(await no({ secret }, await signed(rsa.privateKey, { alg: 'RS256' }))).toMatch(/alg/i)
    expect(await no({ secret }, await signed(new Uint8Array(64), { alg: 'HS512' }))).toMatch(/alg/i)
    expect(await no({ publicKey: pem(rsa.publicKey) }, await signed(rsa.privateKey, { alg: 'PS256' }))).toMatch(/alg/i)
    // A key that the token brings along is not looked at.
    const jwk = await exportJWK(ec.publicKey)
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const bringing = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', jwk }).sign(other.privateKey)
    expect(await no({ publicKey: pem(ec.publicKey) }, bringing)).toMatch(/signature/)
  })

  it('one that the secret has signed, and that asks for more than a signature or is written in another way', async () => {
    const by = (header: object, claims: object = { sub: 'ada', exp: now() + 60 }): string => {
      const said = `${base64(header)}.${base64(claims)}`
      return `${said}.${createHmac('sha256', secret).update(said).digest('base64url')}`
    }
    const good = by({ alg: 'HS256' })
    expect(await no({ secret }, good)).toBe(null)
    expect(await no({ secret }, by({ typ: 'JWT', alg: 'HS256', kid: 'k' }))).toBe(null)
    for (const token of [
      by({ alg: 'HS256', crit: ['exp'], exp: 1 }),
      by({ alg: 'HS256', crit: ['b64'], b64: false }),
      by({ alg: 'hs256' }),
      by({ alg: 'HS384' }),
      by({}),
      by([]),
      by({ alg: 'HS256' }, [1]),
      by({ alg: 'HS256' }, { sub: 'ada', exp: 'soon' }),
      by({ alg: 'HS256' }, { sub: 'ada', exp: now() - 60 }),
      by({ alg: 'HS256' }, { sub: 'ada', exp: now() + 60, nbf: now() + 30 }),
      `${good}.`,
      `${good}.x`,
      `.${good}`,
      good.slice(0, -1),
      good.replace(/^./, 'f'),
    ])
      expect(await no({ secret }, token), token).toMatch(/./)
  })

  it('one that was changed, cut, or signed by another key', async () => {
    const token = await signed(bytes)
    const [head, body, signature] = token.split('.') as [string, string, string]
    const bad = [
      `${head}.${base64({ sub: 'eve', exp: now() + 60 })}.${signature}`,
      `${head}.${body}.${signature.slice(0, -2)}`,
      `${head}.${body}.`,
      `${head}.${body}`,
      `${token}.${signature}`,
      '',
      'x',
      '...',
      'ä.ö.ü',
      `${base64({ alg: 'HS256', crit: ['exp'] })}.${body}.${signature}`,
      `${base64({ alg: 'HS256', b64: false, crit: ['b64'] })}.${body}.${signature}`,
      await signed(new TextEncoder().encode(`${secret}!`)),
    ]
    for (const each of bad) expect(await no({ secret }, each), each).not.toBeNull()
    // A signature of as many signs as one has, each of several bytes.
    expect(await no({ secret }, `${base64({ alg: 'HS256' })}.e30.${'é'.repeat(43)}`)).not.toBeNull()
    expect(await asks({ secret }, undefined)).toBeNull()
  })

  it.each([
    ['has no end', { exp: undefined }],
    ['has no end in words', { exp: 'tomorrow' }],
    ['names nobody', { sub: undefined }],
    ['names somebody by an empty string', { sub: '' }],
    ['names somebody by a number', { sub: 7 }],
    ['names somebody by far too long a name', { sub: 'x'.repeat(129) }],
    ['has a name of its own that is none', { jti: { $ne: null } }],
    ['has rights that are no object', { inkwell: 'write' }],
    ['has rights without documents', { inkwell: {} }],
    ['has a list of documents', { inkwell: { documents: ['*'] } }],
    ['has a right that is none', { inkwell: { documents: { '*': 'admin' } } }],
    ['has an empty pattern', { inkwell: { documents: { '': 'write' } } }],
  ])('one that %s', async (_, claims) => {
    expect(await no({ secret }, await signed(bytes, { claims }))).not.toBeNull()
  })
})

const seed = Number(process.env.SEED ?? 20_261_126)

it(`[P6] a token of a shared secret is taken exactly where jose takes it, whatever it claims, SEED=${seed}`, async () => {
  const time = fc.oneof(
    fc
      .integer({ min: -90, max: 90 })
      .filter(away => Math.abs(Math.abs(away) - 5) > 3)
      .map(away => now() + away), // far from the edge, which moves
    fc.constantFrom(undefined, null, 'soon', {}, 0, -1, 1.5, 1e300),
  )
  const name = fc.oneof(fc.constantFrom('ada', 'ben', 'here', 'there', '\ufffd', '', undefined, null, 7, [], {}))
  const claims = fc.record({
    sub: fc.constantFrom('ada', 'ada', '\ufffd', undefined),
    exp: time,
    nbf: fc.oneof(fc.constant(undefined), time),
    iat: fc.oneof(fc.constant(undefined), time),
    iss: name,
    aud: fc.oneof(name, fc.array(name, { maxLength: 3 })),
  })
  const options = fc.record(
    {
      issuer: fc.constantFrom<string | string[]>('here', ['here', 'there']),
      audience: fc.constantFrom<string | string[]>('ada', ['ada', 'ben']),
    },
    { requiredKeys: [] },
  )
  const head = base64({ alg: 'HS256' })
  await fc.assert(
    fc.asyncProperty(claims, options, async (claimed, bounds) => {
      const said = `${head}.${base64(claimed)}`
      const token = `${said}.${createHmac('sha256', secret).update(said).digest('base64url')}`
      const checks = { algorithms: ['HS256'], requiredClaims: ['exp', 'sub'], clockTolerance: 5, ...bounds }
      const taken = await jwtVerify(token, bytes, checks).then(
        () => null,
        error => (error as Error).message,
      )
      expect(await no({ secret, ...bounds }, token)).toBe(taken)
    }),
    { seed, numRuns: 500 },
  )
})

describe('published keys', () => {
  interface Issuer {
    readonly url: string
    readonly asked: () => number
    keys: unknown
    how: 'well' | 'not at all' | 'with an error'
  }

  const issuer = async (...keys: readonly unknown[]): Promise<Issuer> => {
    let asked = 0
    const http = createServer((_request, response) => {
      asked++
      if (state.how === 'with an error') response.writeHead(500).end()
      else if (state.how === 'well') response.end(JSON.stringify({ keys: state.keys }))
    })
    await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
    afterwards(() => {
      http.closeAllConnections()
      return new Promise(resolve => http.close(resolve))
    })
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/keys`
    const state: Issuer = { url, asked: () => asked, keys, how: 'well' }
    return state
  }

  const published = async (key: KeyObject, more: object = {}): Promise<object> => ({ ...(await exportJWK(key)), ...more })

  it('of every kind verify, are read once, and only for what they are for', async () => {
    const { url, asked } = await issuer(
      await published(rsa.publicKey, { kid: 'r' }),
      await published(ec.publicKey, { kid: 'e' }),
      await published(ed.publicKey, { kid: 'd' }),
      { kty: 'oct', k: Buffer.from(secret).toString('base64url'), kid: 's' },
    )
    const authenticate = jwt({ jwksUrl: url })
    const of = async (key: KeyObject | Uint8Array, alg: string, kid: string) =>
      authenticate(await signed(key, { alg, kid }), null)
    const good = await Promise.all([
      of(rsa.privateKey, 'RS256', 'r'),
      of(ec.privateKey, 'ES256', 'e'),
      of(ed.privateKey, 'EdDSA', 'd'),
    ])
    expect(good).toEqual(Array(3).fill(expect.objectContaining({ id: 'ada' })))
    expect(await of(bytes, 'HS256', 's')).toHaveProperty('stranger') // a secret that is published is none
    expect(await of(ec.privateKey, 'ES256', 'r')).toHaveProperty('stranger')
    expect(asked()).toBe(1)
  })

  it('change: a token by a new one is taken once the old reading has cooled down, and tokens by invented ones ask for nothing', async () => {
    const authority = await issuer(await published(ec.publicKey, { kid: 'old' }))
    const authenticate = jwt({ jwksUrl: authority.url })
    const old = await signed(ec.privateKey, { alg: 'ES256', kid: 'old' })
    expect(await authenticate(old, null)).toMatchObject({ id: 'ada' })
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    authority.keys = [await published(next.publicKey, { kid: 'new' })]
    const fresh = await signed(next.privateKey, { alg: 'ES256', kid: 'new' })
    for (let i = 0; i < 20; i++) await authenticate(await signed(next.privateKey, { alg: 'ES256', kid: `invented ${i}` }), null)
    expect(authority.asked()).toBe(1)
    const time = Date.now
    try {
      Date.now = () => time() + 31_000
      expect(await authenticate(fresh, null)).toMatchObject({ id: 'ada' })
      expect(await authenticate(old, null)).toHaveProperty('stranger')
      expect(authority.asked()).toBe(2)
    } finally {
      Date.now = time
    }
  })

  it('without names are tried one after the other', async () => {
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { url } = await issuer(await published(ec.publicKey), await published(next.publicKey))
    const authenticate = jwt({ jwksUrl: url })
    for (const { privateKey } of [ec, next])
      expect(await authenticate(await signed(privateKey, { alg: 'ES256' }), null)).toMatchObject({ id: 'ada' })
    const strange = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(await authenticate(await signed(strange.privateKey, { alg: 'ES256' }), null)).toHaveProperty('stranger')
    const claims = { exp: now() - 60 }
    expect(await authenticate(await signed(next.privateKey, { alg: 'ES256', claims }), null)).toMatchObject({
      stranger: expect.stringContaining('exp'),
    })
  })

  it('that cannot be had are no fault of the token: whoever asks is to try again', async () => {
    const authority = await issuer(await published(ec.publicKey))
    const token = await signed(ec.privateKey, { alg: 'ES256' })
    authority.how = 'with an error'
    const authenticate = jwt({ jwksUrl: authority.url })
    await expect(authenticate(token, null)).rejects.toThrow('200 OK')
    authority.how = 'well'
    authority.keys = 'none'
    await expect(authenticate(token, null)).rejects.toThrow('malformed')
    await expect(jwt({ jwksUrl: 'http://127.0.0.1:1/' })(token, null)).rejects.toThrow()
    authority.keys = [await published(ec.publicKey)]
    expect(await authenticate(token, null)).toMatchObject({ id: 'ada' })
  })

  it('of an issuer that does not answer are not waited for without end', async () => {
    const authority = await issuer()
    authority.how = 'not at all'
    await expect(jwt({ jwksUrl: authority.url })(await signed(ec.privateKey, { alg: 'ES256' }), null)).rejects.toThrow(
      'timed out',
    )
  }, 60_000)
})

describe('a faulty configuration', () => {
  it.each<[JwtOptions, readonly string[]]>([
    [{}, ['none of secret, publicKey and jwksUrl']],
    [{ secret, publicKey: pem(ec.publicKey) }, ['more than one of']],
    [{ secret: 'short' }, ['secret: has 5 bytes']],
    [{ secret: pem(rsa.publicKey) }, ['secret: is a key in PEM']],
    [{ publicKey: 'x' }, ['publicKey: is no public key']],
    [{ publicKey: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }, ['publicKey: is a private key']],
    [
      { publicKey: pem(generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey) },
      ['publicKey: is an RSA key of 1024 bits'],
    ],
    [
      { publicKey: pem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey) },
      ['publicKey: is on the curve secp256k1'],
    ],
    [{ publicKey: pem(generateKeyPairSync('x25519').publicKey) }, ['publicKey: is a key for x25519']],
    [{ jwksUrl: 'keys' }, ['jwksUrl: "keys" is no URL']],
    [{ jwksUrl: 'http://issuer.example/keys' }, ['jwksUrl: must be https']],
    [
      { secret: '', clockTolerance: -1, documents: { '*': 'all' as 'write' } },
      ['secret: has 0 bytes', 'clockTolerance: ', 'documents: the right for "\\*"'],
    ],
  ])('%# is told in all its parts at once', (options, faults) => {
    let error: unknown
    try {
      jwt(options)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(ConfigurationError)
    expect((error as ConfigurationError).faults).toEqual(faults.map(fault => expect.stringMatching(`^jwt: ${fault}`)))
  })
})

describe('patterns of document ids', () => {
  it.each([
    ['notes-7', { '*': 'read' }, 'read'],
    ['notes-7', { '*': 'read', 'notes-*': 'write' }, 'write'],
    ['notes-7', { 'notes-*': 'write', '*': 'read' }, 'write'],
    ['notes-7', { 'notes-*': 'write', 'notes-7': 'none', '*': 'read' }, 'none'],
    ['notes-7', { 'notes-7': 'read', 'notes-7*': 'write' }, 'read'],
    ['notes-7', { notes: 'write' }, 'none'],
    ['notes', { 'notes*': 'write' }, 'write'],
    ['notes-7', { '*-7': 'write' }, 'none'],
    ['*-7', { '*-7': 'write' }, 'write'],
    ['a*', { 'a*': 'read', 'a**': 'write' }, 'write'],
    ['Notes-7', { 'notes-*': 'write' }, 'none'],
    ['notes-7', { 'notes-.': 'write', '.*': 'read', 'notes-\\d': 'write' }, 'none'],
    ['constructor', {}, 'none'],
    ['toString', { '*': 'read' }, 'read'],
    ['__proto__', JSON.parse('{"__proto__":"write"}'), 'write'],
  ] as const)('%s by %j: %3$s', (doc, documents, right) => {
    expect(rightIn(documents, doc as DocId)).toBe(right)
  })

  it('[P5] [P6] are one object for all who have the same, and never those of somebody else, however many kinds there are', () => {
    const mine: Record<string, 'read' | 'write'> = { 'notes-*': 'read' }
    const kept = shared(mine)
    mine['notes-*'] = 'write' // what the application does with its own object afterwards
    expect([shared({ 'notes-*': 'read' }) === kept, rightIn(kept, 'notes-7' as DocId)]).toEqual([true, 'read'])
    expect(() => Object.assign(kept, { '*': 'write' })).toThrow(TypeError)
    const kinds = Array.from({ length: 1_000 }, (_, i) => ({ [`notes-${i}`]: 'write' as const }))
    const alike = [{ a: 'read', b: 'read' }, { 'aread b': 'read' }, { 'aread 1 b': 'read' }] as const
    const all = [...alike, ...kinds, ...kinds].map(kind => [kind, shared(kind)])
    expect(all.filter(([kind, held]) => JSON.stringify(kind) !== JSON.stringify(held))).toEqual([])
  })
})

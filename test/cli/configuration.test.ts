// What flags and variables mean, without starting anything.

import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { configurationOf } from '../../src/cli/configuration.ts'
import { askedOf } from '../../src/cli/revoke.ts'
import { tokenOf } from '../../src/cli/token.ts'
import { issueToken } from '../../src/server/jwt.ts'

const folder = mkdtempSync(join(tmpdir(), 'inkwell-configuration-'))
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

const usual = {
  port: 3000,
  host: '127.0.0.1',
  store: { kind: 'embedded', path: './inkwell-data' },
  demo: false,
  logLevel: 'info',
  origins: undefined,
  transports: ['websocket'],
  stopWithin: 28_000,
  trustProxy: 0,
  traceRatio: 0.01,
  workers: 1,
  jwt: null,
  admin: null,
}

describe('what is said', () => {
  it('nothing at all is a sound configuration, open to this machine only', () => {
    expect(configurationOf({}, {})).toEqual(usual)
  })

  it('a flag wins over its variable, and INKWELL_PORT over PORT', () => {
    expect(configurationOf({}, { PORT: '1' })).toEqual({ ...usual, port: 1 })
    expect(configurationOf({}, { PORT: '1', INKWELL_PORT: '2' })).toEqual({ ...usual, port: 2 })
    expect(configurationOf({ port: '3' }, { PORT: '1', INKWELL_PORT: '2' })).toEqual({ ...usual, port: 3 })
  })

  it('every flag has a variable', () => {
    const environment = {
      INKWELL_HOST: '0.0.0.0',
      INKWELL_STORE: 'memory:',
      INKWELL_DEMO: 'true',
      INKWELL_LOG_LEVEL: 'debug',
      INKWELL_ORIGINS: 'https://a.example, https://b.example',
      INKWELL_TRANSPORTS: 'websocket,polling',
      INKWELL_TRUST_PROXY: '2',
      INKWELL_TRACE_RATIO: '0.5',
    }
    expect(configurationOf({}, environment)).toEqual({
      ...usual,
      host: '0.0.0.0',
      store: { kind: 'memory' },
      demo: true,
      logLevel: 'debug',
      origins: ['https://a.example', 'https://b.example'],
      transports: ['websocket', 'polling'],
      stopWithin: 28_000,
      trustProxy: 2,
      traceRatio: 0.5,
      workers: 1,
    })
    expect(configurationOf({ store: 'embedded:/var/lib/with:colon' }, environment)).toMatchObject({
      store: { kind: 'embedded', path: '/var/lib/with:colon' },
    })
  })

  it('a Redis is asked for by its address, and REDIS_URL is what platforms call it', () => {
    const redis = { kind: 'redis', url: 'redis+cluster://a:7000,b:7000' }
    expect(configurationOf({ store: redis.url }, { REDIS_URL: 'redis://other' })).toMatchObject({ store: redis })
    expect(configurationOf({}, { REDIS_URL: redis.url })).toMatchObject({ store: redis })
    expect(configurationOf({}, { REDIS_URL: redis.url, INKWELL_STORE: 'memory:' })).toMatchObject({ store: { kind: 'memory' } })
  })

  it('the variables that Kubernetes sets beside a service of the name inkwell mean nothing', () => {
    const environment = {
      INKWELL_PORT: 'tcp://10.0.0.7:3000',
      INKWELL_PORT_3000_TCP_ADDR: '10.0.0.7',
      INKWELL_SERVICE_HOST: '10.0.0.7',
      INKWELL_SERVICE_PORT: '3000',
    }
    expect(configurationOf({}, environment)).toEqual(usual)
  })
})

describe('faults', () => {
  it('are all told at once, each by the flag or variable in which it stands', () => {
    const faults = configurationOf(
      { port: '70000', store: 'postgres://x', logLevel: 'loud' },
      {
        INKWELL_TRANSPORTS: 'websocket,pigeon',
        INKWELL_TRUST_PROXY: '17',
        INKWELL_DEMO: 'maybe',
        INKWELL_PROT: '1',
        NODE_ENV: 'production',
        INKWELL_ORIGINS: 'https://a.example/page,*',
        INKWELL_ADMIN_PORT: '0',
        INKWELL_ADMIN_TOKEN: 'short',
      },
    )
    expect(faults).toEqual([
      expect.stringMatching(/^--port: /),
      expect.stringMatching(/^--store: "postgres/),
      expect.stringMatching(/^INKWELL_DEMO: /),
      expect.stringMatching(/^--log-level: /),
      expect.stringMatching(/^INKWELL_ORIGINS: "https:\/\/a.example\/page" is not an origin/),
      expect.stringMatching(/^INKWELL_TRANSPORTS: /),
      expect.stringMatching(/^INKWELL_TRUST_PROXY: must be a number from 0 to 16/),
      expect.stringMatching(/^NODE_ENV: in production nobody gets in/),
      expect.stringMatching(/^INKWELL_ADMIN_TOKEN: has 5 characters/),
      expect.stringMatching(/^INKWELL_PROT: there is no such setting/),
    ])
  })

  it('a faulty address of a Redis is one, told without its password', () => {
    const faults = configurationOf({ store: 'redis://ann:secret@localhost/first' }, {})
    expect(faults).toEqual([expect.stringMatching(/^--store: a database is a number/)])
    expect(JSON.stringify(faults)).not.toContain('secret')
    expect(configurationOf({}, { REDIS_URL: 'redis+elsewhere://localhost' })).toEqual([
      expect.stringMatching(/^REDIS_URL: is no address of a Redis/),
    ])
  })

  it.each(['', 'x', '-1', '65536', '3000x', '3.5'])('the port %j is one', port => {
    expect(configurationOf({ port }, {})).toEqual(['--port: must be a number from 0 to 65535'])
  })
})

describe('authentication', () => {
  const secret = 'a secret of more than 32 bytes, which nobody knows'
  const publicKey = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string

  it('is by a secret, a public key or published keys, and then production has nothing against it', () => {
    const production = { NODE_ENV: 'production' }
    const tolerance = { clockTolerance: 5_000 }
    expect(configurationOf({ jwtSecret: secret }, production)).toEqual({ ...usual, jwt: { secret, ...tolerance } })
    expect(configurationOf({ jwtPublicKey: publicKey }, production)).toMatchObject({ jwt: { publicKey } })
    const environment = {
      ...production,
      INKWELL_JWT_JWKS_URL: 'https://issuer.example/keys',
      INKWELL_JWT_ISSUER: 'https://issuer.example',
      INKWELL_JWT_AUDIENCE: 'inkwell, notes',
      INKWELL_JWT_CLOCK_TOLERANCE: '1m',
      INKWELL_JWT_DOCUMENTS: 'urn:notes:*:write,*:read',
    }
    expect(configurationOf({}, environment)).toMatchObject({
      jwt: {
        jwksUrl: 'https://issuer.example/keys',
        issuer: ['https://issuer.example'],
        audience: ['inkwell', 'notes'],
        clockTolerance: 60_000,
        documents: { 'urn:notes:*': 'write', '*': 'read' },
      },
    })
  })

  it('finds its secrets in files, by flag or by variable, less the end of the line that editors add', () => {
    const path = file('secret', `${secret}\n`)
    for (const said of [configurationOf({ jwtSecretFile: path }, {}), configurationOf({}, { INKWELL_JWT_SECRET_FILE: path })])
      expect(said).toMatchObject({ jwt: { secret } })
    expect(configurationOf({ jwtPublicKeyFile: file('key', publicKey) }, {})).toMatchObject({
      jwt: { publicKey: publicKey.trimEnd() },
    })
    expect(
      configurationOf({ jwtSecretFile: path }, { INKWELL_JWT_SECRET: 'not this one, although it is long enough' }),
    ).toMatchObject({
      jwt: { secret },
    })
    const admin = { adminPort: '7000', adminTokenFile: file('token', 'sixteen-or-more-characters\r\n') }
    expect(configurationOf(admin, {})).toMatchObject({
      admin: { port: 7_000, host: '127.0.0.1', token: 'sixteen-or-more-characters' },
    })
  })

  it('that is faulty is told in all its parts, where they stand, and without the secret', () => {
    const faults = (flags: Record<string, string>, environment: Record<string, string> = {}) =>
      configurationOf(flags, environment)
    expect(faults({ jwtSecret: 'hunter2' })).toEqual([expect.stringMatching(/^--jwt-secret: has 7 bytes/)])
    expect(faults({ jwtSecret: publicKey })).toEqual([expect.stringMatching(/^--jwt-secret: is a key in PEM/)])
    expect(faults({}, { INKWELL_JWT_SECRET_FILE: file('short', 'hunter2'), INKWELL_JWT_CLOCK_TOLERANCE: '1d' })).toEqual([
      expect.stringMatching(/^INKWELL_JWT_SECRET_FILE: has 7 bytes/),
      expect.stringMatching(/^INKWELL_JWT_CLOCK_TOLERANCE: must be from 0 to 600000/),
    ])
    expect(faults({ jwtSecretFile: join(folder, 'nowhere') }, { NODE_ENV: 'production' })).toEqual([
      '--jwt-secret-file: cannot be read (ENOENT)',
    ])
    expect(faults({ jwtSecret: secret, jwtSecretFile: 'x' })).toEqual(['--jwt-secret, --jwt-secret-file: one of them, not both'])
    expect(faults({ jwtSecret: secret }, { INKWELL_JWT_JWKS_URL: 'https://a.example' })).toEqual([
      '--jwt-secret, INKWELL_JWT_JWKS_URL: one of them, not more',
    ])
    expect(faults({ jwtJwksUrl: 'http://issuer.example/keys' })).toEqual([
      expect.stringMatching(/^--jwt-jwks-url: must be https/),
    ])
    expect(faults({ jwtIssuer: 'me', jwtDocuments: '*' })).toEqual([
      expect.stringMatching(/^--jwt-documents: must look like/),
      expect.stringMatching(/^--jwt-issuer: is of no use without/),
    ])
    expect(faults({ adminPort: '1', adminToken: 'sixteen or more characters' })).toEqual([
      expect.stringMatching(/^--admin-token: has characters other than/),
    ])
    expect(faults({ adminPort: '1' })).toEqual([expect.stringMatching(/^--admin-port: nobody gets in there without/)])
    expect(faults({ jwtSecret: secret, origins: '*' }, { NODE_ENV: 'production' })).toEqual([
      expect.stringMatching(/^--origins: \* lets the pages of every site in/),
    ])
    expect(configurationOf({ origins: '*' }, {})).toMatchObject({ origins: ['*'] })
  })
})

describe('a token for trying things out', () => {
  it('is made of flags, and of the variables that the server has too', () => {
    const secret = 'a secret of more than 32 bytes, which nobody knows'
    const environment = { INKWELL_JWT_SECRET: secret, INKWELL_JWT_ISSUER: 'me', INKWELL_JWT_AUDIENCE: 'you,them' }
    const flags = { user: 'ada', name: 'Ada', doc: 'notes-*:write,*:read', expires: '90s' }
    expect(tokenOf(flags, environment)).toEqual({
      ...{ secret, user: 'ada', name: 'Ada', lives: 90_000, issuer: 'me', audience: 'you' },
      documents: { 'notes-*': 'write', '*': 'read' },
    })
    expect(tokenOf({ user: 'ada' }, environment)).toMatchObject({ documents: {}, lives: 3_600_000 })
    expect(tokenOf({ user: '', expires: '1 year', doc: '*:all' }, { INKWELL_JWT_SECRET: 'hunter2' })).toEqual([
      '--user: must not be empty',
      expect.stringMatching(/^--doc: must look like .* must be none, read or write$/),
      '--expires: "1 year" is no time such as 90s, 30m, 1h or 7d',
      expect.stringMatching(/^INKWELL_JWT_SECRET: has 7 bytes/),
    ])
  })
})

describe('an operator’s command', () => {
  const admin = { INKWELL_ADMIN_URL: 'http://localhost:7000', INKWELL_ADMIN_TOKEN: 'sixteen-or-more-characters' }
  const at = { url: admin.INKWELL_ADMIN_URL, token: admin.INKWELL_ADMIN_TOKEN }
  const now = 1_700_000_000_000

  it('goes to a server, or to the Redis of all of them', () => {
    expect(askedOf('revoke', { user: 'ann', doc: 'diary', read: true, lasts: '7d' }, admin, now)).toEqual({
      ...{ command: 'revoke', at, user: 'ann', document: 'diary', leaves: 'read', lasts: 604_800_000 },
    })
    expect(askedOf('recheck', {}, { REDIS_URL: 'redis://localhost' }, now)).toEqual({
      command: 'recheck',
      at: { redis: 'redis://localhost' },
    })
    expect(askedOf('restore', { token: 't' }, { ...admin, INKWELL_STORE: 'redis://localhost' }, now)).toMatchObject({
      at,
      token: 't',
    })
  })

  it('reads from a whole token its name, and for how long it matters', async () => {
    const secret = 'a secret of more than 32 bytes, which nobody knows'
    const token = await issueToken({ secret, user: 'ann', documents: {}, lives: 60_000 })
    const asked = askedOf('revoke', { token }, admin, Date.now())
    expect(asked).toMatchObject({ token: expect.stringMatching(/^[0-9a-f-]{36}$/), lasts: expect.closeTo(660_000, -4) })
    expect(askedOf('revoke', { token: 'a.b.c' }, admin, now)).toEqual([expect.stringMatching(/^--token: has no name/)])
  })

  it('that is faulty is told so in all its parts', () => {
    expect(askedOf('revoke', {}, {}, now)).toEqual([
      expect.stringMatching(/^--admin-url, --store: say where/),
      '--user, --token, --doc: at least one of them',
    ])
    expect(askedOf('restore', { user: 'a', token: 'b' }, { INKWELL_STORE: 'memory:' }, now)).toEqual([
      expect.stringMatching(/^--admin-url, --store: say where/),
      '--user, --token: one of them, not both',
    ])
    expect(askedOf('revocations', { adminUrl: 'http://localhost:1' }, {}, now)).toEqual([
      expect.stringMatching(/^--admin-url: nothing is done there without/),
    ])
    expect(askedOf('recheck', { adminUrl: 'here', store: 'redis://x/y' }, admin, now)).toEqual([
      '--admin-url: is no URL',
      expect.stringMatching(/^--store: a database is a number/),
    ])
  })
})

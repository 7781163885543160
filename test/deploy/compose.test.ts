// compose.yaml, the image and the server that they run. There is no Docker where the tests run: the files are held against each other
// and against the Compose specification's names; the server itself is run, from no more than the image has.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { connect } from '../../src/client/index.ts'
import { Run } from '../nodes.ts'
import { freePort } from '../ports.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'
import { shipped } from './proxies.ts'

const root = join(import.meta.dirname, '..', '..')
const text = shipped('compose.yaml')
const dockerfile = shipped('Dockerfile')

interface Service {
  readonly [key: string]: unknown
  readonly image: string
  readonly build?: { readonly context: string; readonly dockerfile: string }
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly healthcheck?: object
}
const { services, volumes }: { services: Record<string, Service>; volumes: object } = parse(text)
const { redis, haproxy, ...others } = services as { redis: Service; haproxy: Service; [name: string]: Service }
const nodes = Object.entries(others)

/** What the Compose specification calls the parts of a service that are used here. */
const known = [
  ...[
    'image',
    'build',
    'command',
    'environment',
    'depends_on',
    'volumes',
    'ports',
    'healthcheck',
    'restart',
    'stop_grace_period',
  ],
  ...['read_only', 'cap_drop', 'security_opt', 'ulimits'],
]

describe('compose.yaml', () => {
  it('is two nodes alike, Redis and HAProxy, in words that Compose knows', () => {
    expect(nodes.map(([name]) => name)).toEqual(['node1', 'node2'])
    expect(nodes[0]![1]).toEqual(nodes[1]![1])
    expect(Object.values(services).flatMap(service => Object.keys(service).filter(key => !known.includes(key)))).toEqual([])
  })

  it('names only files that are there, and volumes that it has', () => {
    for (const { build, volumes: mounts = [] } of Object.values(services)) {
      if (build !== undefined) expect(existsSync(join(root, 'deploy', build.context, build.dockerfile))).toBe(true)
      for (const [source] of mounts.map(mount => mount.split(':') as [string]))
        expect([source, source.startsWith('./') ? existsSync(join(root, 'deploy', source)) : source in volumes]).toEqual([
          source,
          true,
        ])
    }
  })

  it('waits only for services that it has and that can tell how they are', () => {
    for (const { depends_on = {} } of Object.values(services))
      for (const [name, { condition }] of Object.entries(depends_on)) {
        expect(condition).toBe('service_healthy')
        expect([name, services[name]?.healthcheck !== undefined || dockerfile.includes('\nHEALTHCHECK ')]).toEqual([name, true])
      }
  })

  it('sets only what the programs read, and connects what listens with what is named', () => {
    const read = (source: string, pattern: RegExp): Set<string> => new Set([...source.matchAll(pattern)].map(([, name]) => name!))
    const [, node] = nodes[0]!
    const ofNode = read(shipped('server.mjs').match(/const \{([^}]*)\} = process\.env/)![1]!, /(\w+) = /g)
    expect(Object.keys(node.environment!).filter(name => !ofNode.has(name))).toEqual([])
    expect(node.environment!.REDIS_URL).toMatch(/@redis:6379$/)
    expect(redis.command).toEqual(expect.arrayContaining([redis.volumes![0]!.split(':')[1]])) // it is given the file that is mounted

    const ofProxy = read(shipped('haproxy.cfg'), /presetenv (\w+)/g)
    expect(Object.keys(haproxy.environment!).filter(name => !ofProxy.has(name))).toEqual([])
    const port = dockerfile.match(/^EXPOSE (\d+)$/m)![1]
    expect(dockerfile).toContain(`PORT=${port}`)
    expect(nodes.map(([name]) => `${name}:${port}`)).toEqual([
      haproxy.environment!.INKWELL_NODE_1,
      haproxy.environment!.INKWELL_NODE_2,
    ])
    expect(haproxy.ports!.map(pair => `:${pair.split(':')[1]}`)).toEqual([haproxy.environment!.INKWELL_LISTEN])
    // Only HAProxy can be reached from outside.
    expect(Object.entries(services).flatMap(([name, { ports }]) => (ports === undefined ? [] : [name]))).toEqual(['haproxy'])
  })

  it('asks for every secret that it needs, and says at its head how to make them', () => {
    const asked = new Set([...text.matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name!))
    expect([...asked].sort()).toEqual(['REDIS_PASSWORD', 'TOKEN_SECRET'])
    for (const name of asked) expect(text).toContain(`${name}=$(openssl rand -hex 32)`)
  })

  it('gives a node more time to stop than it takes', () => {
    const seconds = (name: string): number => Number(String(others[name]!.stop_grace_period).replace('s', ''))
    for (const [name] of nodes) expect(seconds(name)).toBeGreaterThanOrEqual(30) // 20 s of hints, and what follows
  })
})

describe('the image', () => {
  const stages = dockerfile.split(/^FROM /m).slice(1)
  const copied = (stage: string): string[] =>
    [...stage.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, sources]) => sources!.split(' '))

  it('is built from everything that a build reads, all of it there and let through', () => {
    const [building] = stages as [string]
    const inputs = readFileSync(join(root, 'scripts', 'build.mjs'), 'utf8').match(/const inputs = \[([^\]]*)\]/)![1]!
    for (const [, input] of inputs.matchAll(/'([^']+)'/g)) expect(copied(building)).toContain(input)
    const allowed = shipped('Dockerfile.dockerignore').split('\n')
    expect(allowed[0]).toBe('*')
    for (const source of stages.flatMap(copied)) {
      expect([source, existsSync(join(root, source))]).toEqual([source, true])
      expect([source, allowed.includes(`!${source}`) || /^tsconfig/.test(source)]).toEqual([source, true])
    }
  })

  it('runs as nobody in particular, in production, without a shell in between', () => {
    const [, running] = stages as [string, string]
    expect(running).toMatch(/^USER node$/m)
    expect(running).toMatch(/^ENV NODE_ENV=production /m)
    expect(running).toMatch(/^CMD \["node", "deploy\/server\.mjs"\]$/m)
  })
})

describe('the server of the image', () => {
  const secret = 'a secret of at least 32 characters'
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-image-'))
  const program = join(folder, 'deploy', 'server.mjs')
  let redis: RedisServer
  beforeAll(async () => {
    // What the last stage of the Dockerfile copies; the packages are the project's.
    for (const name of ['package.json', 'dist']) cpSync(join(root, name), join(folder, name), { recursive: true })
    mkdirSync(join(folder, 'deploy'))
    cpSync(join(root, 'deploy', 'server.mjs'), program)
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    expect(readdirSync(folder).sort()).toEqual(['deploy', 'dist', 'node_modules', 'package.json'])
    redis = await RedisServer.start({ file: join(root, 'deploy', 'redis.conf') })
  })
  afterAll(async () => {
    await redis.discard()
    rmSync(folder, { recursive: true })
  })

  const runs = (args: readonly string[], environment: Record<string, string>): Run => {
    const run = new Run(args, { NODE_ENV: 'production', TOKEN_SECRET: secret, REDIS_URL: redis.url, ...environment }, program)
    afterwards(() => run.signal('SIGKILL'))
    return run
  }

  it('[P6] lets in whom a token names, in production, and nobody else; and stops when it is told to', async () => {
    const port = await freePort()
    const run = runs([], { PORT: String(port) })
    const { url } = (await run.says(line => 'url' in line)) as unknown as { url: string }
    const made = async (user: string, environment: Record<string, string> = {}): Promise<string> => {
      const making = runs(['token', user], environment)
      await making.ended
      return making.out.trim()
    }
    const token = await made('ann b.c/ü')
    const old = await made('ann', { NODE_OPTIONS: '--import=data:text/javascript,Date.now=()=>0' })
    expect(JSON.parse(Buffer.from(old.split('.')[1]!, 'base64url').toString())).toEqual({ sub: 'ann', exp: 86_400 })
    const foreign = await made('ann', { TOKEN_SECRET: `${secret}, another one` })

    const comes = (shown?: string) => {
      const client = connect(url, shown === undefined ? {} : { token: () => shown })
      afterwards(() => client.close())
      return new Promise<string>(resolve => {
        client.on('error', error => resolve(error.code))
        client.on('status', status => status === 'online' && resolve(client.user!.id))
      })
    }
    const [head, claims, signature] = token.split('.') as [string, string, string]
    const others = Buffer.from(JSON.stringify({ sub: 'ben', exp: 9_999_999_999 })).toString('base64url')
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url')
    const bad = [undefined, '', 'ann', `${head}.${claims}.`, `${head}.${others}.${signature}`, `${none}.${others}.`, old, foreign]
    expect(await comes(token)).toBe('ann b.c/ü')
    expect(await Promise.all(bad.map(comes))).toEqual(bad.map(() => 'unauthenticated'))

    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
    expect(run.log.at(-1)).toMatchObject({ msg: 'stopped' })
  })

  it('does not start without a secret or a Redis, nor on a Redis that may lose documents', async () => {
    const careless = await RedisServer.start()
    afterwards(() => careless.discard())
    const [bare, unsafe] = [runs([], { TOKEN_SECRET: 'short', REDIS_URL: '' }), runs([], { REDIS_URL: careless.url })]
    expect(await Promise.all([bare.ended, unsafe.ended])).toEqual([2, 2])
    expect(bare.err).toMatch(/^REDIS_URL: .*\nTOKEN_SECRET: /)
    expect(unsafe.err).toContain('store: Redis keeps no append-only file')
  })
})

// `inkwell doctor` names what is wrong, says how to mend it, and does not stop at the first thing.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { diagnosed, type Machine, thisMachine } from '../../src/cli/doctor.ts'
import type { Environment, Flags } from '../../src/cli/settings.ts'
import { embeddedStore } from '../../src/server/index.ts'
import { freePort } from '../ports.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, opens, serverWith } from '../server/worlds.ts'
import { does } from './does.ts'

const sound: Machine = { node: '20.12.0', files: 65_536, space: () => ({ free: 2 ** 40, all: 2 ** 41 }), now: () => Date.now() }

const production = async (): Promise<Record<string, string>> => ({
  NODE_ENV: 'production',
  PORT: String(await freePort()),
  INKWELL_JWT_SECRET: 'a secret of more than 32 bytes, which nobody knows',
  INKWELL_JWT_AUDIENCE: 'notes',
  INKWELL_ADMIN_PORT: '3100',
  INKWELL_ADMIN_TOKEN: 'sixteen-or-more-characters',
})

const wrong = async (flags: Flags, environment: Environment, machine: Machine): Promise<string[]> =>
  (await diagnosed(flags, environment, machine))
    .filter(({ state }) => state !== 'well')
    .map(({ about, state, says, mend }) => {
      expect(mend).not.toBe('')
      return `${state}: ${about}: ${says}`
    })

const redisWith = async (...settings: string[]): Promise<RedisServer> => {
  const redis = await RedisServer.start({ settings })
  afterwards(() => redis.discard())
  return redis
}

const directory = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-doctor-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  return path
}

it('[P7] where all is well it says so, and ends with 0', async () => {
  const redis = await redisWith('--appendonly', 'yes', '--maxmemory-policy', 'noeviction')
  const environment = { ...(await production()), REDIS_URL: redis.url }
  const found = await wrong({}, environment, sound)
  expect(found.filter(sentence => !sentence.includes('published'))).toEqual([]) // holes of this machine's Redis are no business of ours here
  const { code, out } = await does('doctor', { json: true }, environment)
  expect(code).toBe(0)
  expect(out.split('\n').map(line => line && JSON.parse(line).about)).toEqual(
    expect.arrayContaining(['node', 'store', 'clock', 'tokens']),
  )
})

it('[P7] it finds what would lose documents in Redis, with what to type; and ends with 1', async () => {
  const redis = await redisWith('--appendonly', 'no', '--maxmemory-policy', 'allkeys-lru')
  const environment = { ...(await production()), REDIS_URL: redis.url }
  const found = await wrong({}, environment, sound)
  expect(found).toContain('fault: store: Redis keeps no append-only file, so its restart loses documents')
  expect(found.join()).toContain('fault: store: Redis evicts keys when its memory is full (maxmemory-policy allkeys-lru)')
  const { code, out } = await does('doctor', {}, environment)
  expect(code).toBe(1)
  expect(out).toContain('  store: redis-cli config set appendonly yes')
})

it('[P7] it finds clocks that are apart: this machine’s and Redis’, this machine’s and that of the last edit', async () => {
  const redis = await redisWith('--appendonly', 'yes')
  const environment = { ...(await production()), REDIS_URL: redis.url }
  const off = (ms: number): Machine => ({ ...sound, now: () => Date.now() + ms })
  const ofClock = async (found: Promise<string[]>) => (await found).filter(sentence => sentence.includes('clock'))
  expect(await ofClock(wrong({}, environment, off(60_000)))).toEqual([
    expect.stringMatching(/^fault: clock: the clock of the store is (59|60)\.\d s behind this machine’s$/),
  ])
  expect(await ofClock(wrong({}, environment, off(-2_000)))).toEqual([
    expect.stringMatching(/^warning: clock: the clock of the store is (1|2)\.\d s ahead of this machine’s$/),
  ])
  const path = directory()
  const server = await serverWith({ store: embeddedStore({ path }) })
  await (await opens((await server.listen(0)).url, 'minutes')).types('x')
  await server.close()
  const embedded = { ...(await production()), INKWELL_STORE: `embedded:${path}` }
  expect(await wrong({}, embedded, sound)).toEqual([])
  expect(await wrong({}, embedded, off(-3_600_000))).toEqual([
    expect.stringMatching(/^fault: clock: the last edit in the store is 3\d{3}\.\d s ahead of this machine’s$/),
  ])
})

it('[P7] it finds too few files, a disk that fills, an old Node, a Redis that is away and every fault of the settings, all at once', async () => {
  const machine: Machine = { node: '20.11.1', files: 512, space: () => ({ free: 2 ** 20, all: 2 ** 40 }), now: () => Date.now() }
  const environment = {
    ...(await production()),
    INKWELL_STORE: `embedded:${directory()}`,
    INKWELL_ORIGINS: '*',
    INKWELL_COLOUR: 'blue',
  }
  expect(await wrong({}, environment, machine)).toEqual([
    'fault: node: Node 20.11.1 is older than 20.12',
    'fault: file limit: 512 files may be open, so 412 clients at most',
    'fault: configuration: INKWELL_ORIGINS: * lets the pages of every site in; in production name those that may',
    'fault: configuration: INKWELL_COLOUR: there is no such setting',
    expect.stringMatching(/^fault: disk: 1\.0 MiB of 1\.0 TiB are free at /),
  ])
  const away = { ...(await production()), REDIS_URL: 'redis://127.0.0.1:1' }
  expect(await wrong({}, away, sound)).toEqual([
    expect.stringMatching(/^fault: store: .*no connection to redis:\/\/127\.0\.0\.1:1/),
  ])
  expect(thisMachine.files).toBeGreaterThan(0)
  expect(thisMachine.space('/').all).toBeGreaterThan(0)
})

it('[P6] [P7] it warns of what lets in too many', async () => {
  const { INKWELL_JWT_SECRET, PORT } = (await production()) as { INKWELL_JWT_SECRET: string; PORT: string }
  const store = `embedded:${join(directory(), 'new')}`
  const open = await wrong({ host: '0.0.0.0', store }, { PORT }, sound)
  expect(open).toEqual([
    'warning: production: NODE_ENV is not production: faults that lose documents or let anybody in are only warned of',
    'fault: tokens: anybody who reaches this server may read and write everything',
    'warning: admin: there is no listener for an operator’s commands',
  ])
  const wide = { NODE_ENV: 'production', PORT, INKWELL_JWT_SECRET, INKWELL_ADMIN_TOKEN: 'sixteen-or-more-characters' }
  expect(await wrong({ store, adminPort: '3100', adminHost: '0.0.0.0' }, wide, sound)).toEqual([
    'warning: tokens: any token of this key opens the door, also one meant for another service',
    'warning: admin: its listener is open to other machines (0.0.0.0), without TLS',
  ])
})

it('[P7] it asks the server that runs, and repeats what that says of itself', async () => {
  const path = directory()
  const server = await serverWith({ store: embeddedStore({ path }) })
  const { port } = await server.listen(0)
  const environment = { ...(await production()), PORT: String(port), INKWELL_STORE: `embedded:${path}` }
  expect(await wrong({}, environment, sound)).toEqual([])
  server.drain()
  expect(await wrong({}, environment, sound)).toEqual([expect.stringMatching(/^fault: server: .*drain/)])
})

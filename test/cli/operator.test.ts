// The commands of an operator, and of whoever tries things out: run beside a server in production.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { askedOf, type CommandName, carryOut } from '../../src/cli/revoke.ts'
import type { Environment, Flags } from '../../src/cli/settings.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { Run } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, connects, opens, serverWith } from '../server/worlds.ts'

const inkwell = (args: readonly string[], environment: Record<string, string> = {}): Run => {
  const run = new Run(args, environment)
  afterwards(() => run.signal('SIGKILL'))
  return run
}

/** What a command prints, once it has ended well. */
const printed = async (args: readonly string[], environment: Record<string, string> = {}): Promise<string> => {
  const run = inkwell(args, environment)
  expect([await run.ended, run.err]).toEqual([0, ''])
  return run.out
}

/** The same, without a process of its own. */
const does = async (command: CommandName, flags: Flags, environment: Environment): Promise<string> => {
  const asked = askedOf(command, flags, environment, Date.now())
  if (!('command' in asked)) throw new Error(asked.join('\n'))
  return carryOut(asked)
}

it('[P6] a server in production lets in whom a token names, and an operator puts him out and lets him in again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-operator-'))
  afterwards(() => rmSync(folder, { recursive: true }))
  const secret = join(folder, 'secret')
  writeFileSync(secret, 'a secret of more than 32 bytes, which nobody knows\n')
  const environment = { INKWELL_JWT_SECRET_FILE: secret, INKWELL_ADMIN_TOKEN: 'sixteen-or-more-characters' }
  const server = inkwell(['serve', '--port', '0', '--admin-port', '0', '--store', `embedded:${join(folder, 'data')}`], {
    ...environment,
    NODE_ENV: 'production',
  })
  const { url: adminUrl } = await server.says(({ msg }) => msg.endsWith('for an operator'))
  const { url } = await server.says(line => 'store' in line && 'url' in line)
  expect(server.out).not.toContain('ANYBODY MAY ENTER')
  const asks = { ...environment, INKWELL_ADMIN_URL: adminUrl as string }

  const writer = (
    await printed(['token', '--user', 'ada', '--doc', 'notes-*:write', '--doc', '*:read', '--expires', '10m'], environment)
  ).trim()
  expect((await connects(url as string).refusedHello()).code).toBe('unauthenticated')
  const ada = await opens(url as string, 'notes-1', { token: writer })
  await ada.types('by token')
  expect((await connects(url as string, { token: writer }).join('diary')).right).toBe('read')

  expect(await printed(['revoke', '--user', 'ada', '--for', '1h'], asks)).toBe('')
  expect((await ada.client.next('refused')).refusal.code).toBe('revoked')
  expect(await does('revocations', {}, asks)).toMatch(/^user ada\tout\tuntil \d{4}-\d\d-\d\dT[\d:.]+Z\n$/)
  expect(await does('restore', { user: 'ada' }, asks)).toBe('')
  const again = await opens(url as string, 'notes-1', { token: writer })
  expect(await does('revoke', { token: writer, doc: 'notes-1', read: true }, asks)).toBe('')
  expect((await again.client.next('right')).right).toBe('read')

  const refused = inkwell(['recheck'], { ...asks, INKWELL_ADMIN_TOKEN: 'another-one-of-that-length' })
  expect([await refused.ended, refused.err]).toEqual([1, expect.stringContaining(`${adminUrl} answers 401`)])
  await expect(does('recheck', {}, { ...asks, INKWELL_ADMIN_URL: 'http://127.0.0.1:1' })).rejects.toThrow(
    'no answer from http://127.0.0.1:1',
  )
  server.signal('SIGTERM')
  expect(await server.ended).toBe(0)
})

it('[P6] an operator reaches all servers by way of their Redis', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const servers = await Promise.all(
    [0, 1].map(() => serverWith({ store: redisStore(redis.url), authenticate: token => ({ id: token ?? 'nobody' }) })),
  )
  const urls = await Promise.all(servers.map(async server => (await server.listen(0)).url))
  const people = await Promise.all(urls.map(url => opens(url, 'diary', { token: 'ada' })))
  const environment = { REDIS_URL: redis.url }
  expect(await does('revoke', { doc: 'diary', read: true }, environment)).toBe('')
  for (const { client } of people) expect((await client.next('right')).right).toBe('read')
  expect(await does('revocations', {}, environment)).toMatch(/^document diary\tmay read\tuntil /)
  expect(await does('restore', { doc: 'diary' }, environment)).toBe('')
  for (const { client } of people) expect((await client.next('right')).right).toBe('write')
  await expect(does('recheck', {}, { REDIS_URL: 'redis://127.0.0.1:1' })).rejects.toThrow('no connection to redis://127.0.0.1:1')
})

// An operator changes documents under the hands of those who write in them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { embeddedStore } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, opens, serverWith } from '../server/worlds.ts'
import { Tunnel } from '../tunnel.ts'
import { does, prints } from './does.ts'

const token = 'sixteen-or-more-characters'
const minutes = 'minutes' as DocId
const event = (doc: {
  on(name: 'draft', listener: (draft: { readonly text: string; readonly cause: string }) => void): unknown
}) => new Promise<string>(resolve => doc.on('draft', ({ text, cause }) => resolve(`${cause}: ${text}`)))

it('[P3] a deleted document hands the unsent text over as a draft, and does not come back, wherever it is still held', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const store = redisStore(redis.url)
  afterwards(() => store.close())
  const servers = await Promise.all([0, 1].map(() => serverWith({ store: redisStore(redis.url) })))
  const [here, there] = await Promise.all(servers.map(async server => server.listen(0)))
  const tunnel = await Tunnel.to(() => there!.port)
  afterwards(() => tunnel.discard())
  const options = { random: () => 0 }
  const [ann, bob] = [connect(here!.url, options), connect(tunnel.url, options)]
  for (const client of [ann, bob]) afterwards(() => client.close())
  const [near, far] = await Promise.all([ann.open('minutes'), bob.open('minutes')])
  near.insert(0, 'what is deleted')
  await near.settled('durable')
  const seen = new Promise<void>(resolve => far.on('change', () => far.text === near.text && resolve()))
  if (far.text !== near.text) await seen

  tunnel.swallow()
  far.insert(far.text.length, ', and what was typed in a tunnel')
  const draft = event(far)
  const admin = { INKWELL_ADMIN_URL: (await servers[0]!.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  expect(await does('delete', { doc: 'minutes', yes: true }, admin)).toEqual({ code: 0, out: '', said: '' })
  tunnel.spare()
  tunnel.loseSwallowed()
  expect(await draft).toContain(', and what was typed in a tunnel')

  // Both nodes had it in memory with its whole history, from the first edit on.
  expect(await store.log.about(minutes)).toMatchObject({ version: 0, checkpointed: 0 })
  expect(await store.log.documents(null, 9)).toEqual([])
  expect(await does('delete', { doc: 'minutes', yes: true }, { REDIS_URL: redis.url })).toMatchObject({ code: 1 })
  await does('restore-version', { doc: 'minutes', version: '1' }, admin).then(
    () => expect.unreachable(),
    error => expect(error.message).toBe('nobody has written to "minutes"'),
  )
  for (const server of servers) await server.restore({ document: 'minutes' })
  const again = await connectsTo(here!.url, 'minutes')
  expect([again.text, again.version]).toEqual(['', 0])
})

const connectsTo = async (url: string, doc: string) => {
  const client = connect(url, { random: () => 0 })
  afterwards(() => client.close())
  return client.open(doc)
}

it('[R11] a node that holds the whole history of a document that was removed does not offer it again', async () => {
  const server = await serverWith()
  const { url } = await server.listen(0)
  const { url: adminUrl } = await server.listenAdmin(0, { token })
  const environment = { INKWELL_ADMIN_URL: adminUrl, INKWELL_ADMIN_TOKEN: token }
  const ann = await opens(url, 'minutes')
  await ann.types('what is deleted')
  await ann.types('!')
  await does('delete', { doc: 'minutes', yes: true }, environment)
  expect((await ann.client.next('left')).refusal.code).toBe('forbidden')
  await server.restore({ document: 'minutes' })
  expect((await fetch(`${url}/v1/documents/minutes`)).status).toBe(404)
  const bob = await opens(url, 'minutes')
  expect([bob.shows, bob.at.version]).toEqual(['', 0])
})

it('what a directory holds is deleted while no server runs on it; and only by whoever says that he means it', async () => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-change-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  const server = await serverWith({ store: embeddedStore({ path }) })
  await (await opens((await server.listen(0)).url, 'minutes')).types('x')
  await server.close()
  const environment = { INKWELL_STORE: `embedded:${path}` }
  await expect(does('delete', { doc: 'minutes' }, environment)).rejects.toThrow(
    '--yes: is missing; what is deleted is gone for good',
  )
  expect(await does('delete', { doc: 'minutes', yes: true, lasts: '1h' }, environment)).toMatchObject({ code: 0 })
  expect(await prints('documents', {}, environment)).toBe('')
})

it('[P1] an old version comes back as one more commit, which everybody sees and anybody can take back', async () => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const server = await serverWith({ store: redisStore(redis.url) })
  const { url } = await server.listen(0)
  const admin = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  const ann = await opens(url, 'minutes')
  await ann.types('All was well.')
  await ann.types('yes', 3)
  expect(await prints('restore-version', { doc: 'minutes', version: '1' }, { REDIS_URL: redis.url })).toBe('3\n')
  await ann.showing('All was well.')
  await ann.types(' Still is.')
  expect(await prints('restore-version', { doc: 'minutes', version: '2', as: 'support' }, admin)).toBe('5\n')
  await ann.showing('Allyes was well.')
  expect((await prints('log', { doc: 'minutes', limit: '1' }, admin)).split('\t')[2]).toBe('support')
  expect(await does('restore-version', { doc: 'minutes', version: '5' }, admin)).toEqual({
    ...{ code: 0, out: '' },
    said: '"minutes" reads now as it did at version 5\n',
  })
  await expect(does('restore-version', { doc: 'minutes', version: '6' }, admin)).rejects.toThrow('there is no 6 yet')
})

// Documents move from a server's own directory into a Redis, and back, under the hands of those who write in them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { type DocId, type Epoch, emptyChain } from '../../src/protocol/ids.ts'
import { createServer, embeddedStore, type InkwellServer } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, serverWith } from '../server/worlds.ts'
import { Tunnel } from '../tunnel.ts'
import { does, prints } from './does.ts'
import { writeHistories } from './histories.ts'

const token = 'sixteen-or-more-characters'

it('[P2] [R1] a move while people write: readers stay, who types meanwhile types on offline, and nothing is lost or doubled', async () => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-migrate-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  const old = `embedded:${path}`
  const environment = { INKWELL_ADMIN_TOKEN: token }

  await writeHistories(() => embeddedStore({ path }))
  let server: InkwellServer = await createServer({ store: embeddedStore({ path }), logger: 'silent' })
  afterwards(() => server.close())
  let { port } = await server.listen(0)
  const { url: from } = await server.listenAdmin(0, { token })
  const tunnel = await Tunnel.to(() => port)
  afterwards(() => tunnel.discard())
  const client = connect(tunnel.url, { random: () => 0 })
  afterwards(() => client.close())
  const doc = await client.open('minutes')
  const drafts: string[] = []
  doc.on('draft', ({ text }) => drafts.push(text))
  doc.insert(0, 'before')
  await doc.settled('durable')
  await server.revoke({ user: 'eve', lasts: 3_600_000 })

  const to = redis.url
  const first = await does('migrate', { from, to }, environment)
  expect(first.said).toContain(`3 documents are in ${to}, `)
  expect(await prints('documents', {}, { REDIS_URL: to })).toMatch(/minutes\t1\t.*\tbeing imported/)
  await expect(does('migrate', { from: old, to, finish: true }, environment)).rejects.toThrow('is in use by another server')
  doc.insert(doc.text.length, ', while')
  await doc.settled('durable')
  expect((await does('migrate', { from, to }, environment)).said).toContain('1 commits of them new')
  doc.insert(doc.text.length, ', late')
  await doc.settled('durable')

  await server.close()
  doc.insert(doc.text.length, ', offline')
  expect((await does('migrate', { from: old, to, finish: true }, environment)).said).toContain('start the servers on it now')
  server = await serverWith({ store: redisStore(to) })
  ;({ port } = await server.listen(0))
  await doc.settled('durable')
  doc.insert(doc.text.length, ', after')
  await doc.settled('durable')
  expect([doc.text, doc.version, drafts]).toEqual(['before, while, late, offline, after', 5, []])
  const other = connect(tunnel.url, { random: () => 0 })
  afterwards(() => other.close())
  expect((await other.open('minutes')).text).toBe(doc.text)
  expect((await does('verify', {}, { REDIS_URL: to })).out).toMatch(/^sound: 3 documents/)
  expect(await prints('cat', { doc: 'short' }, { REDIS_URL: to })).toBe(
    await prints('cat', { doc: 'short' }, { INKWELL_STORE: old }),
  )
  const admin = await server.listenAdmin(0, { token })
  const { url } = admin
  const held = await fetch(`${url}/v1/revocations`, { headers: { authorization: `Bearer ${token}` } })
  expect(await held.json()).toMatchObject([{ user: 'eve' }])

  // And back: nobody moves documents from under a server that runs.
  const back = `embedded:${mkdtempSync(join(tmpdir(), 'inkwell-migrate-'))}`
  afterwards(() => rmSync(back.slice('embedded:'.length), { recursive: true, force: true }))
  await does('migrate', { from: to, to: back }, environment)
  await expect(does('migrate', { from: to, to: back, finish: true }, environment)).rejects.toThrow(/1 servers still run on redis/)
  await expect(does('migrate', { from: to, to: old }, environment)).rejects.toThrow(
    /there is another "minutes" already, at version 3/,
  )
  await client.close()
  await other.close()
  await server.close()
  await does('migrate', { from: to, to: back, finish: true }, environment)
  expect(await prints('cat', { doc: 'minutes' }, { INKWELL_STORE: back })).toBe('before, while, late, offline, after')
})

it('what is wrong with a move is told at once', async () => {
  await expect(does('migrate', { from: 'http://127.0.0.1:1', to: 'memory:', finish: true }, {})).rejects.toThrow(
    [
      '--from: nothing is told there without --admin-token-file (or INKWELL_ADMIN_TOKEN)',
      '--finish: its server has to be stopped by then, so --from names the store itself',
      '--to: what is in the memory of a server goes with it',
    ].join('\n'),
  )
  await expect(does('migrate', { from: 'redis://h:1', to: 'redis://h:1' }, {})).rejects.toThrow('--from, --to: are the same')
  await expect(does('migrate', {}, {})).rejects.toThrow('--from: is missing\n--to: is missing')
})

it('what was brought and is deleted at the source before the end goes, or is told where it was open to everybody by then', async () => {
  const [old, there] = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'inkwell-migrate-')))
  afterwards(() => {
    for (const path of [old, there]) rmSync(path!, { recursive: true, force: true })
  })
  const [from, to] = [`embedded:${old}`, `embedded:${there}`]
  await writeHistories(() => embeddedStore({ path: old! }))
  await does('migrate', { from, to }, {})
  // One is begun and has no entry yet, as one is on which a move broke off at once.
  const target = embeddedStore({ path: there! })
  const seed = { epoch: 'begun' as Epoch, floor: { version: 0, chain: emptyChain }, authors: [] }
  expect(await target.log.plant('begun' as DocId, seed)).not.toBeNull()
  await target.close()
  const source = embeddedStore({ path: old! })
  expect(await source.log.remove('short' as DocId)).toBe(true)
  await source.close()
  expect((await does('migrate', { from, to, finish: true }, {})).code).toBe(0)
  expect(await prints('documents', {}, { INKWELL_STORE: to })).toMatch(/^whole\t.*\n$/)
  const now = embeddedStore({ path: there! })
  expect(await now.log.about('begun' as DocId)).toMatchObject({ planted: false, removed: true })
  await now.close()

  // The end is asked for again, after a deletion at the source.
  const again = embeddedStore({ path: old! })
  expect(await again.log.remove('whole' as DocId)).toBe(true)
  await again.close()
  const { code, said } = await does('migrate', { from, to, finish: true }, {})
  expect(said).toContain('whole is in embedded:')
  expect(said).toContain('and was deleted at the source')
  expect(code).toBe(1)
})

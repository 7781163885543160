// An operator has a running server say more, and less again.

import { expect, it } from 'vitest'
import { serverWith } from '../server/worlds.ts'
import { does, prints } from './does.ts'

const token = 'sixteen-or-more-characters'

it('[P7] the level of a running server’s log is told and changed', async () => {
  const server = await serverWith({ logger: 'silent' })
  const admin = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  expect(await prints('log-level', {}, admin)).toBe('silent\n')
  expect(await prints('log-level', { level: 'fatal' }, admin)).toBe('fatal, was silent\n')
  expect(await prints('log-level', { json: true }, admin)).toBe('{"level":"fatal"}\n')
  expect(server.logLevel).toBe('fatal')
})

it('a level that is none, and no server to tell it to, are said before anything is done', async () => {
  await expect(does('log-level', { level: 'loud' }, { INKWELL_ADMIN_TOKEN: token })).rejects.toThrow(
    /must be one of trace, debug[\s\S]*--admin-url: say at which server/,
  )
})

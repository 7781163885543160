// Two people, three lines, one document: the way of an edit through a real server and real sockets.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { defaultLimits } from '../../src/engine/index.ts'
import { createServer } from '../../src/server/index.ts'
import { Pen } from './raw.ts'
import { connects, opens, serving } from './worlds.ts'

describe('one document', () => {
  it('[P1] two clients and one that speaks JSON write together and see the same', async () => {
    const url = await serving()
    const [ann, ben, cid] = [await opens(url, 'notes'), await opens(url, 'notes'), await opens(url, 'notes', { form: 'json' })]
    await ann.types('Many pens')
    await cid.showing('Many pens')
    await cid.types(', one text', 9)
    await ben.showing('Many pens, one text')
    await Promise.all([ann.types('A', 0), ben.types('B', 0), cid.types('C', 0)])
    await Promise.all([ann, ben, cid].map(pen => pen.reaching(5)))
    const shown = ann.shows
    expect([ben.shows, cid.shows]).toEqual([shown, shown])
    expect([...shown.slice(0, 3)].sort()).toEqual(['A', 'B', 'C'])
    expect(shown.slice(3)).toBe('Many pens, one text')
    expect([ben.at, cid.at]).toEqual([ann.at, ann.at])
  })

  it('a newcomer is welcomed with the bounds that it must keep, under a name made from its key', async () => {
    const url = await serving({ authenticate: token => ({ id: `user of ${token}`, name: 'Ann', color: '#aa0033' }) })
    const { messageBytes, opComponents, documentLength, presenceBytes, signalBytes } = defaultLimits
    for (const form of ['binary', 'json'] as const) {
      const client = connects(url, { form, token: 'T' })
      expect(await client.next('welcome')).toEqual({
        kind: 'welcome',
        protocol: 1,
        author: expect.stringMatching(/^[\w-]{16}$/),
        user: { id: 'user of T', name: 'Ann', color: '#aa0033' },
        expiresIn: null,
        limits: { messageBytes, opComponents, documentLength, presenceBytes, signalBytes },
        spread: 1_000,
      })
    }
  })

  it('long-polling works where it is allowed', async () => {
    const url = await serving({ transports: ['websocket', 'polling'] })
    const ann = await opens(url, 'notes', { transports: ['polling'] })
    const cid = await opens(url, 'notes', { transports: ['polling'], form: 'json' })
    await ann.types('slowly')
    await cid.showing('slowly')
    expect(ann.shows).toBe('slowly')
    for (const pen of [ann, cid]) await pen.types('x'.repeat(1_048_000)) // the limit of a message is 1 MiB, however it is carried
    await ann.reaching(3)
    expect(ann.shows.length).toBe(2_096_006)
  })
})

describe('the embedded store', () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-server-'))
  const previous = process.cwd()
  afterEach(() => process.chdir(previous))

  it('is the default, in ./inkwell-data, and holds what was written when the server starts again', async () => {
    process.chdir(folder)
    const first = await createServer({ logger: 'silent' })
    const ann = await Pen.opens((await first.listen(0)).url, 'notes')
    await ann.types('still here')
    await first.close()
    const second = await createServer({ logger: 'silent' })
    const ben = await Pen.opens((await second.listen(0)).url, 'notes')
    expect(ben.shows).toBe('still here')
    await second.close()
    process.chdir(previous)
    rmSync(folder, { recursive: true })
  })
})

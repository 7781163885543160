// A disk that fails to sync: the embedded store claims nothing and takes nothing more, and what it has stays readable.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, vi } from 'vitest'
import type { AuthorId, DocId } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'

const disk = vi.hoisted(() => ({ broken: false }))

vi.mock('node:fs', async original => {
  const fs = await original<typeof import('node:fs')>()
  return {
    ...fs,
    fdatasync(fd: number, done: (error: Error | null) => void) {
      if (disk.broken) setImmediate(done, new Error('EIO: i/o error, fdatasync'))
      else fs.fdatasync(fd, done)
    },
  }
})

it('after a failed sync nothing is reported durable, appends are refused with the reason, and reading goes on', async () => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-disk-'))
  const { log, ready, close } = embeddedStore({ path })
  const doc = 'doc' as DocId
  const { epoch } = await log.open(doc)
  const write = (seq: number, version: number, chain = emptyChain) =>
    log.append(doc, { epoch, version, chain }, [{ author: 'ann' as AuthorId, seq, body: '' }])
  const heard: number[] = []
  let told = () => {}
  await log.subscribe(doc, news => {
    if (news.kind !== 'durable') return
    heard.push(news.version)
    told()
  })
  const first = new Promise<void>(resolve => (told = resolve))
  await write(1, 0)
  await first

  disk.broken = true
  expect(await write(2, 0), 'answered: it outlives the process').toMatchObject({ ok: true, durable: 1 })
  await vi.waitFor(() => expect(ready()).rejects.toThrow('the disk failed to keep what was written: EIO'))
  disk.broken = false
  await expect(write(3, 0)).rejects.toThrow('the disk failed to keep what was written: EIO')
  expect(heard).toEqual([1])
  const { tail, durable } = await log.open(doc)
  expect([tail.length, durable]).toEqual([2, 1])
  await close()

  const again = embeddedStore({ path })
  expect(await again.log.open(doc)).toMatchObject({ epoch, durable: 2, tail: [{ seq: 1 }, { seq: 2 }] })
  await again.close()
  rmSync(path, { recursive: true })
})

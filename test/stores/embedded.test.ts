// The embedded store keeps the laws of stores, and those of its own: one process a directory, cheap opening, a full disk.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, it } from 'vitest'
import type { Entry } from '../../src/engine/ports.ts'
import type { AuthorId, DocId, Position } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { link } from '../../src/stores/chain.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'

const seed = Number(process.env.SEED ?? 1)
const house = mkdtempSync(join(tmpdir(), 'inkwell-embedded-'))
afterAll(() => rmSync(house, { recursive: true }))

let rooms = 0
const freshPath = (): string => join(house, String(rooms++))

const setup = async (): Promise<StoreUnderLaw> => {
  const path = freshPath()
  let store = embeddedStore({ path })
  return {
    store,
    async reopen() {
      await store.close()
      store = embeddedStore({ path })
      return store
    },
    discard: () => store.close(),
  }
}

describe('the embedded store', () => {
  for (const law of storeLaws(setup, { reopen: true }, { seed, searches: 5 })) it(law.name, law.run, 60_000)
})

const ann = 'ann' as AuthorId
const doc = 'doc' as DocId

/** Writes `count` entries, a thousand at a time; answers the end. */
const fill = async ({ log }: ReturnType<typeof embeddedStore>, count: number): Promise<Position> => {
  const { epoch } = await log.open(doc)
  let at: Position = { epoch, version: 0, chain: emptyChain }
  while (at.version < count) {
    const batch = Array.from({ length: Math.min(1_000, count - at.version) }, (_, i) => ({
      author: ann,
      seq: at.version + i + 1,
      body: '{"op":[7,"x"]}',
    }))
    const reply = await log.append(doc, at, batch)
    if (!reply.ok) throw new Error(reply.reason)
    const last = reply.entries.at(-1)!
    at = { epoch, version: last.version, chain: last.chain }
  }
  return at
}

const durable = async ({ log }: ReturnType<typeof embeddedStore>, version: number): Promise<void> => {
  await new Promise<void>((resolve, reject) => {
    log
      .subscribe(doc, news => {
        if (news.kind === 'durable' && news.version >= version) resolve()
      })
      .then(() => log.open(doc))
      .then(opened => opened.durable >= version && resolve())
      .catch(reject)
  })
}

describe('the embedded store, by itself', () => {
  it('opens a document of 100,000 commits by its checkpoint and what came after, and nothing else', {
    timeout: 60_000,
  }, async () => {
    const path = freshPath()
    const store = embeddedStore({ path })
    const at = await fill(store, 100_000)
    await durable(store, at.version)
    const [entry] = await store.log.entries(doc, 99_989, 1)
    // nothing is trimmed, so that there is everything to be misread
    expect(
      await store.log.checkpoint(doc, {
        epoch: at.epoch,
        version: 99_990,
        chain: entry!.chain,
        horizon: 0,
        pruned: 0,
        body: 'text',
      }),
    ).toBe(true)
    await store.close()

    const again = embeddedStore({ path })
    const before = again.rowsRead()
    const { checkpoint, tail } = await again.log.open(doc)
    expect(again.rowsRead() - before).toBe(1 + 10)
    expect(checkpoint?.body).toBe('text')
    expect(tail.map(({ version }) => version)).toEqual(Array.from({ length: 10 }, (_, i) => 99_991 + i))
    await again.log.append(doc, at, [{ author: ann, seq: 100_001, body: '' }])
    expect(again.rowsRead() - before, 'nor does an append read the history').toBe(1 + 10)
    await again.close()
  })

  it('refuses its directory to a second store, of this process or another, and lets go of it when it closes', async () => {
    const path = freshPath()
    const first = embeddedStore({ path })
    await first.ready()
    const second = embeddedStore({ path })
    await expect(second.ready()).rejects.toThrow(/is in use by another server \(process \d+\); one directory serves one process/)
    await expect(second.log.open(doc)).rejects.toThrow('is in use')
    await second.close()
    const program = `import { embeddedStore } from ${JSON.stringify(new URL('../../src/stores/embedded.ts', import.meta.url).href)}
      embeddedStore({ path: process.argv[1] }).ready().then(() => console.log('opened'), error => console.log(error.message))`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    for await (const chunk of child.stdout) said += chunk
    expect(said).toContain(`is in use by another server (process ${process.pid})`)
    await fill(first, 1)
    await first.close()
    const third = embeddedStore({ path })
    await third.ready()
    expect((await third.log.open(doc)).tail).toHaveLength(1)
    await third.close()
  })

  it('of many stores that claim one directory in the same moment at most one gets it', async () => {
    for (let round = 0; round < 5; round++) {
      const path = freshPath()
      const stores = Array.from({ length: 4 }, () => embeddedStore({ path }))
      const outcomes = await Promise.allSettled(stores.map(store => store.ready()))
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      await Promise.all(stores.map(store => store.close()))
    }
  })

  it('works in a directory whose path is longer than a socket’s name may be', async () => {
    const path = join(freshPath(), 'deep'.repeat(40), 'deeper'.repeat(20))
    const store = embeddedStore({ path })
    await fill(store, 3)
    await expect(embeddedStore({ path }).ready()).rejects.toThrow('is in use')
    await store.close()
    const again = embeddedStore({ path })
    expect((await again.log.open(doc)).tail).toHaveLength(3)
    await again.close()
  })

  it('says in ready(), and in every call, why it could not open', async () => {
    const path = freshPath()
    mkdirSync(path)
    const store = embeddedStore({ path: join(path, 'data') })
    await store.ready()
    await store.close()
    expect(
      readdirSync(join(path, 'data')).filter(name => !name.endsWith('.mdb')),
      'a closed store leaves its data only',
    ).toEqual([])
    await expect(store.ready()).rejects.toThrow('the store is closed')
    await expect(store.log.append(doc, { epoch: 'e' as never, version: 0, chain: emptyChain }, [])).rejects.toThrow(
      'the store is closed',
    )
    const nowhere = embeddedStore({ path: '/dev/null/inkwell' })
    await expect(nowhere.ready()).rejects.toThrow(/ENOTDIR|EEXIST/)
    await expect(nowhere.log.documents(null, 1)).rejects.toThrow(/ENOTDIR|EEXIST/)
    await nowhere.close()
  })

  // Only Linux lets another process lift the limit.
  it.runIf(process.platform === 'linux')(
    'rejects appends while the disk is full, half-does nothing, and goes on when there is room again',
    {
      timeout: 60_000,
    },
    async () => {
      // A limit on the size of files stands for the full disk: writing fails in the same way. In blocks of 512 bytes, 2 MB.
      const path = freshPath()
      const child = spawn(
        'sh',
        [
          '-c',
          'trap "" XFSZ; ulimit -S -f 4096; exec "$@"',
          'sh',
          process.execPath,
          '--import',
          'tsx',
          new URL('full-child.ts', import.meta.url).pathname,
          path,
        ],
        { stdio: ['ignore', 'pipe', 'ignore'] },
      )
      let failures = 0
      let answered: string[] = []
      for await (const line of createInterface(child.stdout)) {
        const [what, ...words] = line.split(' ')
        if (what === 'answered') answered = words
        if (what === 'failed' && ++failures === 5) spawn('sh', ['-c', `prlimit --pid ${child.pid} --fsize=unlimited:`])
      }
      expect(failures).toBeGreaterThanOrEqual(5)
      const store = embeddedStore({ path })
      const all = await store.log.entries(doc, 0, 1_000_000)
      let chain = emptyChain
      for (const [i, entry] of all.entries()) {
        expect({ ...entry, chain: '' }).toEqual({
          author: ann,
          seq: i + 1,
          version: i + 1,
          body: `${i + 1} `.repeat(2_000),
          chain: '',
        } satisfies Omit<Entry, 'chain'> & { chain: string })
        expect(entry.chain).toBe((chain = link(chain, entry)))
      }
      expect([String(all.length), chain]).toEqual(answered)
      await store.close()
    },
  )
})

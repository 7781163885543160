// A client's storage in files: the laws, cuts and damage at any byte, and processes that are killed while they type.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { fileStorage } from '../../src/client/node/index.ts'
import type { ClientStorage } from '../../src/client/storage.ts'
import { embeddedStore } from '../../src/server/index.ts'
import { seeded } from '../../src/testing/index.ts'
import { afterwards, serving } from '../server/worlds.ts'
import { HandDisk } from './disk.ts'
import { storageLaws } from './storage-laws.ts'

const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-kept-'))
  afterwards(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const server = 'http://localhost:3000'

describe('the laws of a client’s storage hold', () => {
  const laws = storageLaws.map(({ title, check }) => [title, check] as const)

  it.each(laws)('in files: %s', async (_, check) => {
    const path = folder()
    await check(() => fileStorage({ path })(server))
  })

  it.each(laws)('in the hand of tests: %s', async (_, check) => {
    const disk = new HandDisk()
    await check(async () => disk.storage())
  })
})

/** The one file of a box that nobody holds. */
const fileOf = (path: string): string => {
  const [inner = ''] = readdirSync(path)
  const [file = ''] = readdirSync(join(path, inner)).filter(name => name.endsWith('.pen'))
  return join(path, inner, file)
}

const contentsOf = async (path: string): Promise<{ readonly records: [string, string][]; readonly files: string[] }> => {
  const storage: ClientStorage = await fileStorage({ path })(server)
  const box = await storage.hold('box')
  const records = [...(await storage.read('box', ''))].sort()
  await box?.letGo(false)
  await storage.close()
  const [inner = ''] = readdirSync(path)
  return { records, files: readdirSync(join(path, inner)) }
}

describe('a file', () => {
  /** Files as these writes leave them, and what they say after each. */
  const written = async (writes: readonly [string, string | null][][]) => {
    const path = folder()
    const storage = await fileStorage({ path })(server)
    const box = (await storage.hold('box'))!
    const states: [string, string][][] = [[]]
    await box.write([])
    for (const changes of writes) {
      await box.write(changes)
      states.push([...(await storage.read('box', ''))].sort())
    }
    await storage.close()
    return { path, states, bytes: readFileSync(fileOf(path)) }
  }
  const key = fc.constantFrom('key', 'doc/a', 'cell/a/1', 'sound/a', 'ü')
  const writes = fc.array(fc.array(fc.tuple(key, fc.option(fc.string({ unit: 'binary', maxLength: 8 }))), { maxLength: 4 }), {
    minLength: 1,
    maxLength: 6,
  })

  it('[R12] cut off at any byte says what it said after one of its writes, and takes more', async () => {
    await fc.assert(
      fc.asyncProperty(writes, fc.double({ min: 0, max: 1, noNaN: true }), async (made, where) => {
        const { path, states, bytes } = await written(made)
        const cut = Math.floor(where * bytes.length)
        writeFileSync(fileOf(path), bytes.subarray(0, cut))
        const lines = bytes.subarray(0, cut).filter(byte => byte === 10).length
        const { records, files } = await contentsOf(path)
        expect(records).toEqual(states[Math.max(0, lines - 1)])
        expect(files.filter(file => file.endsWith('.damaged'))).toEqual([])
        const storage = await fileStorage({ path })(server)
        const box = (await storage.hold('box'))!
        await box.write([['more', '1']])
        await storage.close()
        expect((await contentsOf(path)).records).toEqual([...(states[Math.max(0, lines - 1)] ?? []), ['more', '1']].sort())
      }),
      { numRuns: 60, seed: 1 },
    )
  })

  it('[R12] with one byte changed says what it said before that line, calls nothing sound, and is kept as it was found', async () => {
    await fc.assert(
      fc.asyncProperty(writes, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), async (made, where) => {
        const { path, states, bytes } = await written(made)
        const at = Math.floor(where * bytes.length)
        const spoilt = Buffer.from(bytes)
        spoilt[at] = spoilt[at]! ^ 0x55
        writeFileSync(fileOf(path), spoilt)
        const line = bytes.subarray(0, at).filter(byte => byte === 10).length
        const inMidst = line < made.length // not the last one, of which nobody may have been told
        const { records, files } = await contentsOf(path)
        const before = states[Math.max(0, line - 1)] ?? []
        expect(records).toEqual(inMidst ? before.filter(([name]) => !name.startsWith('sound/')) : before)
        const kept = files.find(file => file.endsWith('.damaged'))
        expect(kept !== undefined).toBe(inMidst)
      }),
      { numRuns: 60, seed: 2 },
    )
  })

  it('[P5] does not grow with what is written again and again', async () => {
    const path = folder()
    const storage = await fileStorage({ path })(server)
    const box = (await storage.hold('box'))!
    for (let i = 0; i < 300; i++) await box.write([['a', `${i} ${'x'.repeat(10_000)}`]])
    await box.write([['b', 'last']])
    await storage.close()
    expect(readFileSync(fileOf(path)).length).toBeLessThan(400_000)
    expect((await contentsOf(path)).records).toEqual([
      ['a', `299 ${'x'.repeat(10_000)}`],
      ['b', 'last'],
    ])
  })
})

/** A process that types, and says what it has been told to be kept. */
class Typist {
  readonly process: ChildProcess
  readonly gone: Promise<void>
  /** The last number that was kept. */
  kept = 0
  complaints = ''
  private tellKept = (): void => {}

  constructor(url: string, path: string, run: string, line: 'up' | 'down' | 'cut') {
    const program = new URL('files-child.ts', import.meta.url).pathname
    this.process = spawn(process.execPath, ['--import', 'tsx', program, url, path, run, line], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.process.stderr!.on('data', chunk => (this.complaints += chunk))
    const lines = createInterface(this.process.stdout!)
    lines.on('line', said => {
      this.kept = Number(said)
      this.tellKept()
    })
    this.gone = Promise.all([
      new Promise(resolve => this.process.once('exit', resolve)),
      new Promise(resolve => lines.once('close', resolve)),
    ]).then(() => {})
    afterwards(() => this.kill())
  }

  /** Until so many are kept; fails when the process ends first. */
  async until(count: number): Promise<void> {
    const enough = new Promise<void>(resolve => {
      this.tellKept = () => {
        if (this.kept >= count) resolve()
      }
      this.tellKept()
    })
    await Promise.race([enough, this.gone.then(() => Promise.reject(new Error(`the typist is gone: ${this.complaints}`)))])
  }

  kill(): Promise<void> {
    this.process.kill('SIGKILL')
    return this.gone
  }
}

describe('processes that are killed while they type', () => {
  const held = async (url: string): Promise<string> =>
    ((await (await fetch(`${url}/v1/documents/doc`)).json()) as { readonly text: string }).text

  /** Each typist's numbers are in the text once, from 1 up to at least what was kept, and nothing else is there. */
  const judge = (text: string, kept: ReadonlyMap<string, number>): void => {
    const found = new Map<string, number[]>()
    for (const [, run = '', number] of text.matchAll(/(\w+)\.(\d+);/g)) {
      found.set(run, [...(found.get(run) ?? []), Number(number)])
    }
    for (const [run, numbers] of found) {
      expect(
        numbers.sort((a, b) => a - b),
        run,
      ).toEqual(numbers.map((_, i) => i + 1))
    }
    for (const [run, count] of kept) expect(found.get(run)?.length ?? 0, `${run}: kept ${count}`).toBeGreaterThanOrEqual(count)
    expect(text.replaceAll(/\w+\.\d+;/g, '')).toBe('')
  }

  /** A client that goes on where they left off, until everything is with the server. */
  const settle = async (url: string, path: string): Promise<void> => {
    const client = connect(url, { storage: fileStorage({ path }) })
    const doc = await client.open('doc')
    await expect.poll(() => readdirSync(join(path, readdirSync(path)[0]!)).filter(file => file.endsWith('.pen')).length, {
      timeout: 60_000,
    }).toBe(1) // biome-ignore format: one thought
    await doc.settled()
    expect(client.drafts).toEqual([])
    await client.close()
  }

  it('[P2] [P3] with and without a line, again and again on one folder: what was kept is in the document, everything once', async () => {
    const seed = Number(process.env.SEED ?? 5)
    const random = seeded(seed)
    const path = folder()
    const data = folder()
    const url = await serving({ store: embeddedStore({ path: data }) })
    const kept = new Map<string, number>()
    for (let run = 1; run <= 6; run++) {
      const typist = new Typist(url, path, `run${run}`, run % 3 === 0 ? 'down' : 'up')
      await typist.until(3 + random.int(20))
      await sleep(random.int(30)) // somewhere in a write, a send or an answer
      await typist.kill()
      kept.set(`run${run}`, typist.kept)
    }
    await settle(url, path)
    judge(await held(url), kept)
  })

  it('[P2] [P3] several at a time on one folder, each with a pen of its own; the last one brings home what all have left', async () => {
    const path = folder()
    const url = await serving()
    const typists = ['ann', 'ben', 'cid'].map((name, i) => new Typist(url, path, name, i === 1 ? 'cut' : 'up'))
    await Promise.all(typists.map(typist => typist.until(15)))
    await Promise.all(typists.map(typist => typist.kill()))
    await settle(url, path)
    judge(await held(url), new Map(typists.map((typist, i) => [['ann', 'ben', 'cid'][i]!, typist.kept])))
  })
})

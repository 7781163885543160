// Documents leave a store by `inkwell export` and come into another by `inkwell import`, whatever happens on the way.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { firstLine, isBeginning, isStretch, lineOf } from '../../src/cli/exchange.ts'
import { Planting, partsOf } from '../../src/cli/parts.ts'
import { writeBody } from '../../src/engine/entry.ts'
import type { Store } from '../../src/engine/ports.ts'
import { type AuthorId, type Chain, type DocId, type Epoch, emptyChain, type Position } from '../../src/protocol/ids.ts'
import { embeddedStore, memoryStore } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { afterwards, connects, opens, serverWith } from '../server/worlds.ts'
import { does, prints } from './does.ts'
import { writeHistories } from './histories.ts'

const root = join(import.meta.dirname, '..', '..')
const token = 'sixteen-or-more-characters'
const folder = mkdtempSync(join(tmpdir(), 'inkwell-transfer-'))
const source = join(folder, 'source')
const from = { INKWELL_STORE: `embedded:${source}` }
const file = join(folder, 'all.inkwell')
afterAll(() => rmSync(folder, { recursive: true }))

beforeAll(async () => {
  await writeHistories(() => embeddedStore({ path: source }))
  expect(await does('export', { to: file }, from)).toEqual({
    code: 0,
    out: '',
    said: expect.stringMatching(/^exported 2 documents, /),
  })
}, 60_000)

const redisHere = async (): Promise<RedisServer> => {
  const redis = await RedisServer.start()
  afterwards(() => redis.discard())
  return redis
}

/** Everything that a store knows of the two documents. */
const within = async (store: Store) => {
  const docs = await store.log.documents(null, 9)
  const found = await Promise.all(
    docs.map(async id => ({
      id,
      opened: { ...(await store.log.open(id)), durable: 0 },
      entries: await store.log.entries(id, 0, 99),
      about: { ...(await store.log.about(id)), durable: 0 },
    })),
  )
  await store.close()
  return found
}

const inSource = () => within(embeddedStore({ path: source }))

it('[R1] what comes into another store by a file is what it was: epoch, versions, chains, checkpoint; and writers go on', async () => {
  const redis = await redisHere()
  const to = { REDIS_URL: redis.url }
  expect(await does('import', { file }, to)).toEqual({ code: 0, out: '', said: 'imported 2 documents\n' })
  expect(await within(redisStore(redis.url))).toEqual(await inSource())
  expect((await does('verify', {}, to)).out).toMatch(/^sound: 2 documents/)
  expect((await does('import', { file }, to)).said).toBe('imported 0 documents, 2 were there already\n')

  const server = await serverWith({ store: redisStore(redis.url) })
  const { url } = await server.listen(0)
  const pen = await opens(url, 'short')
  await pen.types('and so on')
  expect(pen.at.version).toBe(21)

  // And back, from a running server into a directory.
  const admin = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  const back = join(folder, 'back.inkwell')
  await does('export', { to: back }, admin)
  const path = join(folder, 'back')
  await embeddedStore({ path }).close()
  await makeStore(path)
  await does('import', { file: back }, { INKWELL_STORE: `embedded:${path}` })
  expect(await within(embeddedStore({ path }))).toEqual(await within(redisStore(redis.url)))
})

/** A directory with an empty store. */
const makeStore = async (path: string): Promise<string> => {
  const store = embeddedStore({ path })
  await store.ready()
  await store.close()
  return path
}

it('[P2] an import that is broken off anywhere serves nothing half, and goes on when it is asked for again', async () => {
  const bytes = readFileSync(file)
  const lines = bytes.toString().split('\n')
  const upTo = (line: number): number => Buffer.byteLength(`${lines.slice(0, line).join('\n')}\n`)
  const redis = await redisHere()
  const server = await serverWith({ store: redisStore(redis.url) })
  const { url } = await server.listen(0)
  const other = await opens(url, 'other')
  const to = { REDIS_URL: redis.url }
  const cut = join(folder, 'cut.inkwell')
  for (const [end, says] of [
    [upTo(2), /the file is cut off.*"short" is there up to version \d+, and cannot be opened/],
    [upTo(3) - 40, /the file is cut off.*"short" is there/],
    [upTo(3), /"short" is there up to version 20/],
    [upTo(6), /"whole" is there up to version 20/],
    [upTo(7), /^the file is cut off: what is whole has been imported; get the rest and import it again$/],
  ] as const) {
    writeFileSync(cut, bytes.subarray(0, end))
    await expect(does('import', { file: cut }, to)).rejects.toThrow(says)
    const half = end < upTo(4) ? 'short' : end < upTo(7) ? 'whole' : null
    if (half !== null) {
      const client = connects(url)
      const { refusal } = await client.refused({ kind: 'join', doc: half as DocId, type: 'text', position: null })
      expect([refusal.code, refusal.advice]).toEqual(['unavailable', 'retry'])
      expect(await prints('documents', {}, to)).toContain(`${half}\t`)
      expect(await prints('documents', {}, to)).toContain('being imported')
    }
    await other.types('served on')
  }
  expect((await does('import', { file }, to)).said).toBe('imported 0 documents, 2 were there already\n')
  const there = (await within(redisStore(redis.url))).filter(({ id }) => id !== 'other')
  expect(there).toEqual(await inSource())
  expect((await opens(url, 'whole')).at.version).toBe(20)
})

it('[R13] [P2] an import whose beginning broke off knows all authors when it has come to its end', async () => {
  const doc = 'crowded' as DocId
  const floor = { version: 5, chain: '00112233445566aa' as Chain }
  const start = { epoch: 'elsewhere' as Epoch, ...floor }
  const authors = [{ author: 'ann' as AuthorId, seq: 4, version: 5 }]
  const edits = [1, 2, 3].map(seq => ({ author: 'ben' as AuthorId, seq, body: `${seq}` }))
  const [source, target] = [memoryStore(), memoryStore()]
  await source.log.plant(doc, { epoch: start.epoch, floor, authors })
  const reply = await source.log.append(doc, start, edits)
  if (!reply.ok) throw new Error(reply.reason)
  const { version, chain } = reply.entries.at(-1)!
  const body = JSON.stringify({ authors: [...authors, { author: 'ben', seq: 3, version }].map(row => Object.values(row)) })
  await source.log.settle(doc, start.epoch, { epoch: start.epoch, version, chain, horizon: 5, pruned: 0, body })

  await target.log.plant(doc, { epoch: start.epoch, floor, authors: [] })
  await target.log.append(doc, start, edits.slice(0, 1))
  let planting: Planting | null = null
  for await (const part of partsOf(source.log, doc)) {
    if (isBeginning(part)) planting = await Planting.begin(target.log, doc, part)
    else if (isStretch(part)) await planting!.take(part)
  }
  await planting!.end()
  const again = await target.log.append(doc, { epoch: start.epoch, version, chain }, [
    { author: 'ann' as AuthorId, seq: 4, body: 'it was in before' },
    { author: 'ann' as AuthorId, seq: 5, body: 'it was not' },
  ])
  expect(again.ok && again.entries.map(({ body }) => body)).toEqual(['it was not'])
})

it('[P1] a damaged file is told by its line, and what is damaged is not imported', async () => {
  const damaged = join(folder, 'damaged.inkwell')
  const bytes = readFileSync(file)
  const lines = bytes.toString().split('\n')
  const path = await makeStore(join(folder, 'damaged'))
  const to = { INKWELL_STORE: `embedded:${path}` }
  const says = async (text: string | Buffer, what: string | RegExp): Promise<void> => {
    writeFileSync(damaged, text)
    await expect(does('import', { file: damaged }, to)).rejects.toThrow(what)
  }
  const flipped = Buffer.from(bytes)
  flipped[flipped.indexOf('"entries"') + 40]! ^= 1
  await says(flipped, 'line 3 is damaged')
  await says([...lines.slice(0, 2), ...lines.slice(3)].join('\n'), /"short" should end at version 20, and ends at \d+/)
  await says('something else\n', 'this is no file of inkwell export')
  await says('', 'this is no file of inkwell export')
  await says('x'.repeat(100_000), 'this is no file of inkwell export')
  await says(bytes.subarray(0, 300), 'the file is cut off')
  await says(`${lines.join('\n')}${lines[1]}\n`, 'something follows the end of the file')
  expect(await prints('documents', {}, to)).toContain('whole\t20')
})

it('a document that is there otherwise is left alone and told, and the others come; one comes under another id', async () => {
  const path = await makeStore(join(folder, 'taken'))
  const to = { INKWELL_STORE: `embedded:${path}` }
  const server = await serverWith({ store: embeddedStore({ path }) })
  await (await opens((await server.listen(0)).url, 'short')).types('mine')
  await server.close()
  const done = await does('import', { file }, to)
  expect(done).toEqual({
    ...{ code: 1, out: '' },
    said: 'there is another "short" already, at version 1: delete it first, or leave it\nimported 1 document, 1 were left out\n',
  })
  expect(await prints('cat', { doc: 'short' }, to)).toBe('mine')
  const one = await prints('export', { doc: 'whole' }, from).catch(error => error)
  expect(String(one)).toContain('exported 1 document')
  const single = join(folder, 'single.inkwell')
  await does('export', { doc: 'whole', to: single }, from)
  await does('import', { file: single, as: 'copy' }, to)
  expect(await prints('cat', { doc: 'copy' }, to)).toBe(await prints('cat', { doc: 'whole' }, from))
  await expect(does('import', { file, as: 'more' }, to)).rejects.toThrow('--as: the file has more than one document')
})

it('an export that is broken off goes on behind its last whole document; none is written over', async () => {
  const bytes = readFileSync(file)
  const lines = bytes.toString().split('\n')
  const rest = (text: string): string => text.slice(text.indexOf('\n'))
  for (const [i, end] of [lines[0]!.length + 1, lines[0]!.length + 300, bytes.indexOf('"whole"'), bytes.length - 30].entries()) {
    const to = join(folder, `resumed-${i}.inkwell`)
    writeFileSync(to, bytes.subarray(0, end))
    await expect(does('export', { to }, from)).rejects.toThrow('EEXIST')
    await does('export', { to, resume: true }, from)
    expect(rest(readFileSync(to, 'utf8'))).toBe(rest(bytes.toString()))
    expect((await does('export', { to, resume: true }, from)).said).toBe(`${to} is whole already\n`)
  }
  await expect(does('export', { resume: true }, from)).rejects.toThrow('--resume: needs the file, --to')
  await expect(does('export', {}, from, { terminal: true })).rejects.toThrow('an export is nothing to look at')
  await expect(does('export', { doc: 'none', to: join(folder, 'none') }, from)).rejects.toThrow('nobody has written to "none"')
})

it('[P7] whoever waits at a terminal sees how far it has come; a program is told the outcome alone', async () => {
  const to = join(folder, 'watched.inkwell')
  const path = await makeStore(join(folder, 'watched'))
  const into = { INKWELL_STORE: `embedded:${path}` }
  const clear = '\r\u001b[2K'
  const watched = await does('export', { to }, from, { terminal: true })
  expect(watched.said).toMatch(/^\r.{4}export {2}0 documents, \d+ B.*\r.{4}exported 2 documents, [\d.]+ KiB\n$/)
  const imported = await does('import', { file: to }, into, { terminal: true })
  expect(imported.said).toMatch(/^\r.{4}import \[[█ ]{20}\] \d+ % {2}0 documents, \d+ B.*\r.{4}imported 2 documents\n$/)
  for (const { said } of [watched, imported]) expect(said.split(clear).length).toBeGreaterThan(2)
  expect((await does('import', { file: to }, into)).said).toBe('imported 0 documents, 2 were there already\n')
})

/** A file of one document with a longer history than a small disk holds. */
const longHistory = async (): Promise<string> => {
  const { log, close } = memoryStore()
  const doc = 'long' as DocId
  const { epoch } = await log.open(doc)
  let at: Position = { epoch, version: 0, chain: emptyChain }
  for (let seq = 1; seq <= 3_000; seq++) {
    const body = writeBody({ base: at.version, op: ['x'.repeat(400)], user: 'ann', time: 0, type: seq === 1 ? 'text' : null })
    const reply = await log.append(doc, at, [{ author: 'ann' as AuthorId, seq, body }])
    if (!reply.ok) throw new Error(reply.reason)
    at = { epoch, version: seq, chain: reply.entries[0]!.chain }
  }
  const path = join(folder, 'long.inkwell')
  const parts = []
  for await (const part of partsOf(log, doc)) parts.push(part)
  const lines = [firstLine(0), ...parts, { end: doc as string }, { end: { documents: 1 } }]
  writeFileSync(path, lines.map(lineOf).join(''))
  await close()
  return path
}

/** A command that finds no more room than so many KiB in any file. */
const limited = (room: number, ...args: string[]): Promise<{ code: number | null; said: string }> =>
  new Promise(resolve => {
    const command = [process.execPath, '--import', 'tsx', 'src/cli/main.ts', ...args].map(word => `'${word}'`).join(' ')
    const child = execFile(
      'bash',
      ['-c', `trap '' XFSZ; ulimit -f ${room}; exec ${command}`],
      { cwd: root },
      (_error, _out, said) => resolve({ code: child.exitCode, said }),
    )
  })

it('[P2] a disk that fills stops an export and an import with its reason; nothing half is served, and both go on when there is room', async () => {
  const redis = await redisHere()
  const long = await longHistory()
  await does('import', { file: long }, { REDIS_URL: redis.url })
  const to = join(folder, 'full.inkwell')
  const [out, into] = await Promise.all([
    limited(200, 'export', '--to', to, '--store', redis.url),
    makeStore(join(folder, 'full')).then(path => limited(400, 'import', long, '--store', `embedded:${path}`)),
  ])
  expect(out.said).toMatch(/^inkwell: EFBIG: file too large, write/)
  expect(out.code).toBe(1)
  expect(statSync(to).size).toBeLessThanOrEqual(204_800)
  expect(into.said).toMatch(/EFBIG|File too large/)
  expect(into.code).toBe(1)
  await does('export', { to, resume: true }, { REDIS_URL: redis.url })
  const there = { INKWELL_STORE: `embedded:${join(folder, 'full')}` }
  await expect(does('cat', { doc: 'long' }, there)).rejects.toThrow(/is being imported|nobody has written/)
  expect((await does('import', { file: to }, there)).said).toBe('imported 1 document\n')
  expect((await does('verify', {}, there)).out).toBe('sound: 1 document with 3000 commits\n')
})

it('[P2] a backup of a directory under the hands of its server is whole: a server starts on it, with all that was durable by then', async () => {
  const path = join(folder, 'busy')
  const server = await serverWith({ store: embeddedStore({ path }) })
  const { url } = await server.listen(0)
  const admin = { INKWELL_ADMIN_URL: (await server.listenAdmin(0, { token })).url, INKWELL_ADMIN_TOKEN: token }
  const pens = await Promise.all(['a', 'b', 'c'].map(doc => opens(url, doc)))
  let typed = 0
  let over = false
  const typing = pens.map(async pen => {
    while (!over) {
      await pen.types('x')
      typed++
    }
  })
  while (typed < 100) await pens[0]!.reaching(pens[0]!.at.version + 1)
  const confirmed = pens.map(pen => pen.at.version)
  const copy = join(folder, 'copy')
  expect((await does('backup', { directory: copy }, admin)).said).toBe(`${copy} is a whole copy\n`)
  await expect(does('backup', { directory: copy }, admin)).rejects.toThrow(`there is something at ${copy} already`)
  await expect(does('backup', { directory: '/proc/none' }, admin)).rejects.toThrow('no backup at /proc/none: ENOENT')
  over = true
  await Promise.all(typing)

  const there = { INKWELL_STORE: `embedded:${copy}` }
  expect((await does('verify', {}, there)).out).toMatch(/^sound: 3 documents/)
  const again = await serverWith({ store: embeddedStore({ path: copy }) })
  const { url: second } = await again.listen(0)
  const readers = await Promise.all(['a', 'b', 'c'].map(doc => opens(second, doc)))
  for (const [i, reader] of readers.entries()) {
    expect(reader.at.version).toBeGreaterThanOrEqual(confirmed[i]!)
    expect(reader.at.version).toBeLessThanOrEqual(pens[i]!.at.version)
  }
  const redis = await redisHere()
  await expect(does('backup', { directory: join(folder, 'none') }, { REDIS_URL: redis.url })).rejects.toThrow('by its own means')
})

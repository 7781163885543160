// Back after a long time, on a real server: what was written on a text that the others have long left behind.

import { afterEach, describe, expect, it } from 'vitest'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import { writeBody } from '../../src/engine/entry.ts'
import type { AuthorId, DocId } from '../../src/protocol/ids.ts'
import { createServer, type InkwellServer, memoryStore, type ServerOptions } from '../../src/server/index.ts'
import { seededRandom } from '../../src/testing/type-laws.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const serving = async (options: ServerOptions): Promise<{ readonly server: InkwellServer; readonly url: string }> => {
  const server = await createServer({ logger: 'silent', ...options })
  ends.push(() => server.close())
  return { server, url: (await server.listen(0)).url }
}

const connects = (url: string): Client => {
  const client = connect(url, { random: () => 0 })
  ends.push(() => client.close())
  return client
}

const read = async (url: string): Promise<{ text: string; version: number }> =>
  (await fetch(`${url}/v1/documents/doc`)).json() as Promise<{ text: string; version: number }>

const saved = (doc: TextDocument): Promise<void> =>
  new Promise(resolve => {
    const stop = doc.on('status', status => {
      if (status !== 'saved') return
      stop()
      resolve()
    })
  })

const draftsOf = (doc: TextDocument): { readonly cause: string; readonly text: string }[] => {
  const drafts: { cause: string; text: string }[] = []
  doc.on('draft', ({ cause, text }) => drafts.push({ cause, text }))
  return drafts
}

const times = (text: string, part: string): number => text.split(part).length - 1

describe('[P2] [P3] [R9] 10,000 edits made offline', () => {
  it.each([['typed on at one place'], ['scattered over the text']])('%s meet 10,000 of others as one', async how => {
    const random = seededRandom(1)
    const below = (n: number) => Math.floor(random() * n)
    const store = memoryStore()
    const { url } = await serving({ store, limits: { recentTime: 0, recentCommits: 20_000, checkpointCommits: 1_000_000 } })
    const [client, ben] = [connects(url), await connects(url).open('doc')]
    const doc = await client.open('doc')
    doc.insert(0, 'x'.repeat(20_000))
    await doc.settled()
    client.pause()

    for (let at = 0, i = 0; i < 10_000; i++, at++) {
      if (how.startsWith('scattered')) at = below(doc.length + 1)
      doc.insert(at, '.')
    }

    const { tail, epoch } = store.core.open('doc' as DocId)
    const at = { epoch, version: 1, chain: tail[0]!.chain }
    const entries = Array.from({ length: 10_000 }, (_, i) => {
      const size = 20_000 + i
      const body = { base: i + 1, op: [1 + below(size - 1), '|'], user: 'somebody', time: 0, type: null }
      return { author: 'somebody_else___' as AuthorId, seq: i + 1, body: writeBody(body) }
    })
    expect(store.core.append('doc' as DocId, at, entries)).toMatchObject({ ok: true })

    const drafts = draftsOf(doc)
    const changes: string[] = []
    doc.on('change', ({ origin }) => changes.push(origin))
    const done = saved(doc)
    client.resume()
    await done
    const { text, version } = await read(url)
    expect([version, text.length, drafts, changes]).toEqual([10_002, 40_000, [], ['remote']])
    expect([times(text, '.'), times(text, '|')]).toEqual([10_000, 10_000])
    expect([doc.text, ben.text]).toEqual([text, text])
  })
})

describe('weeks offline, beyond what is kept of the history', () => {
  /** Ann and Ben over a log that keeps only the last twenty commits; Ann's line can be cut as her edit arrives. */
  const weeks = async () => {
    let now = 0
    const store = memoryStore()
    const { append } = store.log
    let arriving = (): void => {}
    const log = {
      ...store.log,
      append: ((doc, at, entries) => {
        if (entries.some(({ author }) => author === ann.author)) arriving()
        return append(doc, at, entries)
      }) as typeof append,
    }
    const { url } = await serving({
      store: { ...store, log },
      limits: { recentTime: 0, recentCommits: 20, checkpointCommits: 20 },
      clock: {
        now: () => Date.now() + now,
        after: (ms, call) => {
          const timer = setTimeout(call, ms)
          return () => clearTimeout(timer)
        },
      },
    })
    const client = connects(url)
    const ann = await client.open('doc')
    const ben = await connects(url).open('doc')
    return {
      ...{ url, client, ann, ben, store },
      /** Ann's edit reaches the log when her line has just broken. */
      async lands(edit: () => void): Promise<void> {
        await new Promise<void>(resolve => {
          arriving = () => {
            client.pause()
            resolve()
          }
          edit()
        })
        arriving = () => {}
        const before = ben.version
        while (ben.version === before) await new Promise<void>(resolve => ben.on('change', () => resolve()))
      },
      passes: (days: number): void => {
        now += days * 24 * 3_600_000
      },
      async benWrites(count: number): Promise<void> {
        for (let i = 0; i < count; i++) {
          ben.insert(ben.length, 'b')
          await ben.settled()
        }
      },
    }
  }

  it('[P3] unsent edits are carried over by the difference', async () => {
    const { url, client, ann, ben, benWrites, store } = await weeks()
    ann.insert(0, 'The quick brown fox jumps over the lazy dog.')
    await ann.settled()
    while (ben.text !== ann.text) await new Promise<void>(resolve => ben.on('change', () => resolve()))
    await benWrites(1)
    client.pause()
    ann.boundary()
    ann.replace(4, 9, 'slow')
    ann.insert(ann.text.indexOf('dog'), 'sleeping ')
    ben.replace(0, 3, 'A')
    await benWrites(100)
    expect(store.core.open('doc' as DocId).horizon).toBeGreaterThan(50)

    const drafts = draftsOf(ann)
    const done = saved(ann)
    client.resume()
    await done
    const { text } = await read(url)
    expect(text).toBe(`A slow brown fox jumps over the lazy sleeping dog.${'b'.repeat(101)}`)
    expect([ann.text, drafts]).toEqual([text, []])
    ann.undo()
    ann.undo()
    await ann.settled()
    expect((await read(url)).text).toBe(`A quick brown fox jumps over the lazy dog.${'b'.repeat(101)}`)
  })

  it('[R6] an edit that had arrived while its answer was lost is in the text once', async () => {
    const { url, client, ann, lands, benWrites } = await weeks()
    await benWrites(1)
    await lands(() => ann.insert(0, 'landed '))
    ann.insert(ann.length, ' and more')
    await benWrites(100)
    const drafts = draftsOf(ann)
    const done = saved(ann)
    client.resume()
    await done
    const { text } = await read(url)
    expect([times(text, 'landed '), times(text, ' and more'), drafts, ann.text]).toEqual([1, 1, [], text])
  })

  it('[R7] when the server has forgotten the author too, it comes back as a draft that may be in the text already', async () => {
    const { url, client, ann, lands, benWrites, passes } = await weeks()
    await benWrites(1)
    await lands(() => ann.insert(0, 'landed '))
    ann.insert(ann.length, ' and more')
    await benWrites(60)
    passes(40)
    await benWrites(60)
    const drafts = draftsOf(ann)
    const done = saved(ann)
    client.resume()
    await done
    const { text } = await read(url)
    expect([times(text, 'landed '), times(text, ' and more'), ann.text]).toEqual([1, 1, text])
    expect(drafts).toEqual([{ cause: 'unknowable', text: 'landed ' }])
  })
})

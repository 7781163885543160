// Export and import as they are built, in turns with what the store itself reads and writes: `node carry.mjs <folder> <rounds>`.
// The folder has `source`, an embedded store with the document `history`. Answers seconds, one of each a round.
// Invariant: what is compared is one process, and each of it comes first in some round; what has been brought in is held against the source.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { transferCommands } from '../dist/cli/transfer.js'
import { emptyChain } from '../dist/protocol/ids.js'
import { embeddedStore } from '../dist/server/index.js'

const [, , folder, rounds] = process.argv
const doc = 'history'
const silent = { write: async () => {}, say: () => {}, terminal: false, watched: false, colour: false, width: 80 }

const command = async (name, flags) => {
  const work = transferCommands[name].prepare(flags, {})
  if (typeof work !== 'function') throw new Error(work.join('\n'))
  if ((await work(silent)) !== 0) throw new Error(`${name} did not end well`)
}

const within = async (path, use) => {
  const store = embeddedStore({ path })
  try {
    await store.ready()
    return await use(store)
  } finally {
    await store.close()
  }
}

const source = join(folder, 'source')
const file = join(folder, 'file')
const pages = 5_000

const everything = await within(source, async ({ log }) => log.entries(doc, 0, Number.MAX_SAFE_INTEGER))
const news = everything.map(({ author, seq, body }) => ({ author, seq, body }))

const read = () =>
  within(source, async ({ log }) => {
    for (let at = 0; at < everything.length; at += pages) await log.entries(doc, at, pages)
  })
let targets = 0
const write = () =>
  within(join(folder, `own-${targets++}`), async ({ log }) => {
    let at = { epoch: (await log.open(doc)).epoch, version: 0, chain: emptyChain }
    for (let i = 0; i < news.length; i += 1_000) {
      const reply = await log.append(doc, at, news.slice(i, i + 1_000))
      const last = reply.entries.at(-1)
      at = { ...at, version: last.version, chain: last.chain }
    }
  })
const exports = async () => {
  rmSync(file, { force: true })
  await command('export', { to: file, store: `embedded:${source}` })
}
let last = ''
const imports = async () => {
  last = join(folder, `target-${targets++}`)
  await within(last, async () => {}) // a command opens no store that is not there
  const since = performance.now()
  await command('import', { file, store: `embedded:${last}` })
  return performance.now() - since
}

// The store's own speed twice: how far the two are apart is what this measurement can tell.
const works = { reads: read, exports, 'reads again': read, writes: write, imports, 'writes again': write }
const seconds = Object.fromEntries(Object.keys(works).map(name => [name, []]))
const turns = [
  ['reads', 'exports', 'reads again'],
  ['writes', 'imports', 'writes again'],
]
for (let round = -1; round < Number(rounds); round++) {
  for (const turn of turns)
    for (const i of turn.keys()) {
      const name = turn[(i + round + 1) % turn.length]
      const since = performance.now()
      const ms = (await works[name]()) ?? performance.now() - since
      if (round >= 0) seconds[name].push(ms / 1_000) // before that it warms up
    }
  const [entry] = await within(last, ({ log }) => log.entries(doc, news.length - 1, 1))
  if (entry?.chain !== everything.at(-1).chain) throw new Error('an import brought something else')
  for (let i = 0; i < targets; i++)
    for (const name of ['own', 'target']) rmSync(join(folder, `${name}-${i}`), { recursive: true, force: true })
}
process.stdout.write(JSON.stringify(seconds))

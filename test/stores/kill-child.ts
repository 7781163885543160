// A server under load that is going to be killed: writes, checkpoints and trims several documents at once, and says what it was promised.
// Invariant: a line on stdout is out before anything else happens, so that no promise is forgotten with its process.

import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry, NewEntry } from '../../src/engine/ports.ts'
import type { AuthorId, DocId, Position } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { openDatabase } from '../../src/stores/embedded-database.ts'
import { embeddedOver } from '../../src/stores/embedded-store.ts'
import { seeded } from '../../src/testing/index.ts'

const [path = '', round = '', seed = ''] = process.argv.slice(2)
const random = seeded(Number(seed))

/** A promise: the log of this document has this chain at this version, and keeps it. */
const say = (kind: 'answered' | 'durable', doc: DocId, version: number, chain: string): void => {
  writeSync(1, `${JSON.stringify([kind, doc, version, chain])}\n`)
}

const run = async (): Promise<void> => {
  // small journals, so that many are filled, settled and deleted
  const { log } = embeddedOver(path, path => openDatabase(path, { journalBytes: 100_000 }))

  const work = async (doc: DocId): Promise<void> => {
    const { epoch, checkpoint, tail } = await log.open(doc)
    const end = tail.at(-1) ?? checkpoint
    let at: Position = { epoch, version: end?.version ?? 0, chain: end?.chain ?? emptyChain }
    const chains = new Map<number, string>()
    await log.subscribe(doc, news => {
      if (news.kind === 'durable') say('durable', doc, news.version, news.chain)
      else for (const entry of news.entries) chains.set(entry.version, entry.chain)
    })

    const writer = async (author: AuthorId): Promise<void> => {
      for (let seq = 0; ; ) {
        const batch: NewEntry[] = Array.from({ length: 1 + random.int(5) }, () => {
          const length = random.chance(0.05) ? 20_000 : random.int(300)
          return { author, seq: ++seq, body: `${doc} ${author} ${seq} ${'é'.repeat(length)}` }
        })
        const reply = await log.append(doc, at, batch)
        if (!reply.ok) throw new Error(`refused: ${reply.reason}`)
        const last: Entry = reply.entries.at(-1)!
        say('answered', doc, last.version, last.chain)
        if (last.version > at.version) at = { epoch, version: last.version, chain: last.chain }
        await new Promise(resolve => setImmediate(resolve)) // a server hears of other things between two edits
      }
    }

    const keeper = async (): Promise<void> => {
      for (;;) {
        await sleep(random.int(20))
        const { durable, horizon, checkpoint } = await log.open(doc)
        const to = Math.max(horizon, Math.min(durable - 1, at.version - 200) - random.int(50))
        await log.raiseHorizon(doc, epoch, to)
        const [entry] = await log.entries(doc, durable - 1, 1)
        if (entry === undefined || durable <= to) continue
        const pruned = Math.max(checkpoint?.pruned ?? 0, to - 1_000)
        const stored = await log.checkpoint(doc, {
          epoch,
          version: durable,
          chain: entry.chain,
          horizon: to,
          pruned,
          body: `${durable} `.repeat(2_000),
        })
        if (!stored && durable > (checkpoint?.version ?? 0))
          throw new Error(`a sound checkpoint was refused: ${durable}, ${to}, ${pruned}`)
      }
    }

    await Promise.all([...['a', 'b', 'c', 'd'].map(name => writer(`${name}${round}` as AuthorId)), keeper()])
  }

  await Promise.all(['notes', 'plan', 'diary'].map(doc => work(doc as DocId)))
}

writeSync(1, '"loaded"\n')
process.stdin.once('data', () => void run()) // opens the store when told to, not before

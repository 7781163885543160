// Fills the disk, as far as its limit on file sizes says, and goes on when the limit is lifted.
// Invariant: it speaks in lines: each append that was refused or, after a refusal, answered; then how many were answered in all.

import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuthorId, DocId } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'

const say = (...words: unknown[]): void => void writeSync(1, `${words.join(' ')}\n`)

const run = async (): Promise<void> => {
  const store = embeddedStore({ path: process.argv[2]! })
  const doc = 'doc' as DocId
  const { epoch } = await store.log.open(doc)
  let at = { epoch, version: 0, chain: emptyChain }
  let refused = 0
  for (let seq = 1, after = 0; after < 20; ) {
    try {
      const reply = await store.log.append(doc, at, [{ author: 'ann' as AuthorId, seq, body: `${seq} `.repeat(2_000) }])
      if (!reply.ok) throw new Error(`refused with ${reply.reason}`)
      const last = reply.entries.at(-1)!
      at = { epoch, version: last.version, chain: last.chain }
      seq++
      if (refused > 0) after++
    } catch (error) {
      refused++
      say('failed', (error as Error).message)
      await sleep(50)
    }
  }
  await store.close()
  say('answered', at.version, at.chain)
}

void run()

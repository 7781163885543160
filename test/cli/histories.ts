// Documents with a history, as two people write them: what the operator's commands are tried on.

import { expect, vi } from 'vitest'
import type { Store } from '../../src/engine/ports.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import { createServer } from '../../src/server/index.ts'
import { Pen } from '../server/raw.ts'

/** Two people write twenty edits, with a checkpoint at twelve or later; `short` forgets what is older than four before that. */
export const writeHistories = async (open: () => Store): Promise<void> => {
  for (const [doc, recentCommits] of [
    ['whole', 100],
    ['short', 4],
  ] as const) {
    const store = open()
    const server = await createServer({
      store,
      logger: 'silent',
      limits: { checkpointCommits: 12, recentTime: 0, recentCommits },
    })
    const { url } = await server.listen(0)
    const pens = [await Pen.opens(url, doc), await Pen.opens(url, doc)]
    for (let i = 0; i < 20; i++) {
      await pens[i % 2]!.reaching(i)
      if (i === 11) await vi.waitFor(async () => expect((await store.log.about(doc as DocId))?.durable).toBe(i)) // or nothing is trimmed
      await pens[i % 2]!.types(`${i} `, i)
    }
    for (const pen of pens) pen.client.close()
    await server.close()
  }
}

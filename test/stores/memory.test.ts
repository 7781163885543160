// The memory store keeps the laws of stores, with durability of its own and in the test's hand.

import { describe, expect, it } from 'vitest'
import type { Appearance } from '../../src/engine/ports.ts'
import type { DocId, PeerId } from '../../src/protocol/ids.ts'
import type { MemoryOptions } from '../../src/stores/memory.ts'
import { MemoryLog, memoryStore } from '../../src/stores/memory.ts'
import { localPresence } from '../../src/stores/presence.ts'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'

const seed = Number(process.env.SEED ?? 1)

const setup = (options: MemoryOptions) => async (): Promise<StoreUnderLaw> => {
  const core = new MemoryLog(options)
  const store = memoryStore(options, core)
  return {
    store,
    async reopen() {
      await store.close()
      return memoryStore(options, core)
    },
    beside: async () => memoryStore(options, core),
    ...(options.durable === 'by hand' && { durableUpTo: async (doc, version) => core.durableUpTo(doc, version) }),
    lose: async (doc, to) => core.lose(doc, to),
    discard: () => store.close(),
  }
}

const doors = { reopen: true, beside: true, lose: true }

describe('the memory store', () => {
  for (const law of storeLaws(setup({}), doors, { seed })) it(law.name, law.run)
})

describe('the memory store, durable by hand', () => {
  for (const law of storeLaws(setup({ durable: 'by hand' }), { ...doors, durableUpTo: true }, { seed })) it(law.name, law.run)
})

it('[P5] a presence board shows no more peers than its limit, and still follows those that it shows', async () => {
  const board = localPresence({ peersPerDocument: 2 })
  const doc = 'doc' as DocId
  const show = (peer: string, version: number): void => {
    board.show(doc, { peer: peer as PeerId, user: { id: peer }, author: 'ann', version, state: {} } as Appearance)
  }
  const seen = async () => (await board.list(doc)).map(({ peer, version }) => `${peer} ${version}`)
  show('p1', 1)
  show('p2', 1)
  show('p3', 1)
  show('p1', 2)
  expect(await seen()).toEqual(['p1 2', 'p2 1'])
  board.remove(doc, 'p2' as PeerId)
  show('p3', 2)
  expect(await seen()).toEqual(['p1 2', 'p3 2'])
})

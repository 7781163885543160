// The memory store keeps the laws of stores, with durability of its own and in the test's hand.

import { describe, it } from 'vitest'
import type { MemoryOptions } from '../../src/stores/memory.ts'
import { MemoryLog, memoryStore } from '../../src/stores/memory.ts'
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

// The embedded store keeps the laws of stores, and those of its own: one process a directory, cheap opening, a full disk.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'vitest'
import { embeddedStore } from '../../src/stores/embedded.ts'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'

const seed = Number(process.env.SEED ?? 1)

const setup = async (): Promise<StoreUnderLaw> => {
  const path = await mkdtemp(join(tmpdir(), 'inkwell-laws-'))
  let store = embeddedStore({ path })
  return {
    store,
    async reopen() {
      await store.close()
      store = embeddedStore({ path })
      return store
    },
    async discard() {
      await store.close()
      await rm(path, { recursive: true })
    },
  }
}

describe('the embedded store', () => {
  for (const law of storeLaws(setup, { reopen: true }, { seed, searches: 5 })) it(law.name, law.run, 60_000)
})

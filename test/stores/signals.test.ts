// What nodes say to each other, in the stores of a single server. Signals have a law of their own.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Store } from '../../src/engine/ports.ts'
import { embeddedStore } from '../../src/stores/embedded.ts'
import { memoryStore } from '../../src/stores/memory.ts'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

const each = async (use: (store: Store) => Promise<void>): Promise<void> => {
  const path = mkdtempSync(join(tmpdir(), 'inkwell-signals-'))
  for (const store of [memoryStore(), embeddedStore({ path })]) {
    await use(store)
    await store.close()
  }
  rmSync(path, { recursive: true })
}

it('a control message reaches every listener, as a copy, after the call; who has called off hears no more', () =>
  each(async ({ control }) => {
    const heard: unknown[] = []
    await control.subscribe(message => heard.push(message))
    const stop = await control.subscribe(message => heard.push(message))
    const message = { kick: ['ann'] }
    control.publish(message)
    message.kick.push('bob')
    expect(heard).toEqual([])
    await turn()
    stop()
    control.publish('drain')
    await turn()
    expect(heard).toEqual([{ kick: ['ann'] }, { kick: ['ann'] }, 'drain'])
  }))

// Boxes in IndexedDB, held by Web Locks: the storage of a page.
// Invariant: a box is written to by the page that has its lock, and the browser takes a lock back when its page is gone, however it went.

import { type IDBPDatabase, openDB } from 'idb'
import type { Box, Changes, ClientStorage, OpenStorage, Records } from './storage.ts'

export interface BrowserStorageOptions {
  /** Keeps what is one user's apart from what is another's on the same device: the user's id, as the application knows it. Default '' */
  readonly namespace?: string
}

/**
 * Keeps documents in this browser. Where that is not possible (a page that came by plain http from elsewhere than this machine, a
 * private window that allows nothing) the client says so by a `storage-failed` error, and goes on without.
 */
export const browserStorage =
  ({ namespace = '' }: BrowserStorageOptions = {}): OpenStorage =>
  async server => {
    if (globalThis.navigator?.locks === undefined || globalThis.indexedDB === undefined) {
      throw new Error('a page has IndexedDB and Web Locks only if it came by https, or from this very machine')
    }
    const name = `inkwell ${new URL(server, globalThis.location?.href).href} ${namespace}`
    // The number stays 1: what changes is told by the `schema` in the records, so that pages of two ages can be open side by side.
    const database = await openDB(name, 1, {
      upgrade: db => {
        db.createObjectStore(store)
      },
      blocking: (_, __, event) => (event.target as IDBDatabase).close(), // somebody deletes it all: what is written from now on fails
    })
    return new BrowserStorage(name, database)
  }

/** Every record, under [box, key]. */
const store = 'records'

class BrowserStorage implements ClientStorage {
  private readonly name: string
  private readonly database: IDBPDatabase
  private readonly held = new Map<string, () => void>()

  constructor(name: string, database: IDBPDatabase) {
    this.name = name
    this.database = database
  }

  async boxes(): Promise<readonly string[]> {
    const names: string[] = []
    let cursor = await this.database.transaction(store).store.openKeyCursor()
    while (cursor !== null) {
      const [box] = cursor.key as [string, string]
      names.push(box)
      cursor = await cursor.continue([box, []]) // an array lies behind every string: the first key of the next box
    }
    return names
  }

  async read(box: string, prefix: string): Promise<Records> {
    const range = IDBKeyRange.bound([box, prefix], [box, `${prefix}\uffff`])
    const { store: records } = this.database.transaction(store)
    const [keys, values] = await Promise.all([records.getAllKeys(range), records.getAll(range)])
    return new Map(keys.map((key, i) => [(key as [string, string])[1], values[i] as string]))
  }

  hold(name: string, within = 0): Promise<Box | null> {
    return new Promise((resolve, reject) => {
      const holding = (lock: Lock | null): Promise<void> | undefined => {
        if (lock === null) {
          resolve(null)
          return undefined
        }
        return new Promise(release => {
          this.held.set(name, release)
          resolve({
            name,
            write: changes => this.write(name, changes),
            letGo: async emptied => {
              if (emptied) await this.database.delete(store, IDBKeyRange.bound([name], [name, []]))
              this.letGo(name)
            },
          })
        })
      }
      const how: LockOptions = within === 0 ? { ifAvailable: true } : { signal: AbortSignal.timeout(within) }
      navigator.locks
        .request(`${this.name} ${name}`, how, holding)
        .catch(error => (how.signal?.aborted ? resolve(null) : reject(error)))
    })
  }

  async close(): Promise<void> {
    for (const name of [...this.held.keys()]) this.letGo(name)
    this.database.close()
  }

  private letGo(name: string): void {
    this.held.get(name)?.()
    this.held.delete(name)
  }

  /**
   * In one transaction. `relaxed`: it is in the hands of the system when this resolves, which outlives the page and the browser, but not
   * a machine that loses its power. Waiting for the disk would cost every key its time there; and what such a machine gives back is
   * never more than it should be, which the session notices (R12).
   */
  private async write(box: string, changes: Changes): Promise<void> {
    const transaction = this.database.transaction(store, 'readwrite', { durability: 'relaxed' })
    const { store: records } = transaction
    const requests = changes.map(([key, value]) => (value === null ? records.delete([box, key]) : records.put(value, [box, key])))
    transaction.commit()
    await Promise.all([...requests, transaction.done])
  }
}

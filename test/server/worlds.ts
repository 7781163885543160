// Servers for tests, on free ports of this machine's own address.
// Invariant: whatever a test opened here is closed after it.

import { afterEach } from 'vitest'
import { createServer, type InkwellServer, memoryStore, type ServerOptions } from '../../src/server/index.ts'
import { Pen, RawClient, type RawOptions } from './raw.ts'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Calls `end` when the test is over; the latest first. */
export const afterwards = (end: () => unknown): void => {
  ends.push(end)
}

export const serverWith = async (options: ServerOptions = {}): Promise<InkwellServer> => {
  const server = await createServer({ store: memoryStore(), logger: 'silent', ...options })
  afterwards(() => server.close())
  return server
}

export const serving = async (options: ServerOptions = {}): Promise<string> => (await (await serverWith(options)).listen(0)).url

export const opens = async (url: string, doc: string, options: RawOptions = {}): Promise<Pen> => {
  const pen = await Pen.opens(url, doc, options)
  afterwards(() => pen.client.close())
  return pen
}

export const connects = (url: string, options: RawOptions = {}): RawClient => {
  const client = new RawClient(url, options)
  afterwards(() => client.close())
  return client
}

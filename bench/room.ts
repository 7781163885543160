// What several benches do alike: one who types, some who read, and the middle of what was measured.
// Invariant: an edit is confirmed before the next is typed, so that none rides along with another.

import { type ConnectOptions, connect, type TextDocument } from '../src/client/index.ts'

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!

/** A document that the first of these clients writes and the others read. */
export const room = async (url: string, doc: string, whose: readonly ConnectOptions[]) => {
  const clients = whose.map(options => connect(url, options))
  const docs: TextDocument[] = []
  for (const client of clients) docs.push(await client.open(doc))
  const writer = docs[0]!
  return {
    async types(edits: number): Promise<void> {
      for (let i = 0; i < edits; i++) {
        if (i % 2 === 0) writer.insert(0, 'x')
        else writer.delete(0, 1)
        await writer.settled('sequenced')
      }
    },
    close: () => Promise.all(clients.map(client => client.close())),
  }
}

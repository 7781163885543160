// What a node tells of its connections over the store, where every other node hears it too.

import { expect, it } from 'vitest'
import type { Json } from '../../src/ot/type.ts'
import { heedOperators } from '../../src/server/everywhere.ts'
import type { Seen } from '../../src/server/gateway.ts'

const seen = (n: number, documents: number) =>
  ({
    id: `line-${n}`,
    documents: Array.from({ length: documents }, () => ({ id: 'd'.repeat(256), right: 'write' })),
  }) as object as Seen

it.each([
  ['few documents', 2, 400],
  ['as many documents with as long names as there may be', 64, 14],
])(
  '[P5] an answer is bounded in bytes too: of four hundred connections in %s it tells the first, and says how many there are',
  async (_, documents, told) => {
    const all = Array.from({ length: 400 }, (_, n) => seen(n, documents))
    const said: Json[] = []
    let asks = (_: Json): void => {}
    await heedOperators({
      control: {
        publish: word => void said.push(word),
        subscribe: async hear => {
          asks = hear
          return () => {}
        },
      },
      node: 'here',
      name: () => 'here',
      edge: { seen: (_, limit) => ({ connections: all.slice(0, limit), count: all.length }), kick: () => 0 },
    })
    asks({ kind: 'connections?', whom: {}, limit: 500, ask: 'a' })
    expect(said).toEqual([{ kind: 'connections', ask: 'a', name: 'here', count: 400, connections: all.slice(0, told) }])
    expect(JSON.stringify(said).length).toBeLessThan(270_000)
  },
)

// Pages of a log for commands: as long as there is room for, and never none.

import { expect, it } from 'vitest'
import { somePageAt } from '../../src/cli/reach.ts'
import { countOf, pageOf } from '../../src/engine/page.ts'
import type { Entry } from '../../src/engine/ports.ts'
import type { DocId } from '../../src/protocol/ids.ts'

const entry = (version: number) =>
  ({ version, author: 'ann', seq: version, body: '[]', chain: '0'.repeat(16) }) as unknown as Entry

it('[P7] a page of entries for which there is no room is asked for again in halves; what fails otherwise is told', async () => {
  const asked: number[] = []
  const records = {
    entries: () => Promise.reject(new Error('pages are there')),
    page: async (_doc: DocId, after: number, limit: number) => {
      asked.push(limit)
      if (limit > 3) throw new RangeError('too long')
      return pageOf(Array.from({ length: limit }, (_, i) => entry(after + 1 + i)))
    },
  }
  expect(countOf(await somePageAt(records, 'notes' as DocId, 7, 10))).toBe(3)
  expect(asked).toEqual([10, 5, 3])
  const torn = { ...records, page: () => Promise.reject(new Error('torn')) }
  await expect(somePageAt(torn, 'notes' as DocId, 7, 10)).rejects.toThrow('torn')
  const never = { ...records, page: () => Promise.reject(new RangeError('not even one')) }
  await expect(somePageAt(never, 'notes' as DocId, 7, 10)).rejects.toThrow('not even one')
})

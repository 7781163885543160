// What the server writes to its log of what happens in its engine.

import { pino } from 'pino'
import { expect, it } from 'vitest'
import type { DocId } from '../../src/protocol/ids.ts'
import { writeDown } from '../../src/server/log.ts'

it('[P5] with a store that is away a thousand documents are one error in ten seconds, and the next one says how many they were', () => {
  let time = 0
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug', base: null, timestamp: false }, { write: line => lines.push(JSON.parse(line)) })
  const tell = writeDown(log, () => time)
  const away = (call: string) => {
    for (let i = 0; i < 1_000; i++)
      tell({ kind: 'store-failed', doc: `doc${i}` as DocId, call, error: new Error('no connection to redis://127.0.0.1:6379') })
  }
  away('read')
  time = 9_999
  away('read')
  time = 10_000
  away('read')
  away('append')
  const errors = lines.filter(({ level }) => level === 50)
  expect(errors.map(({ doc, call, untold }) => [doc, call, untold])).toEqual([
    ['doc0', 'read', undefined],
    ['doc0', 'read', 1_999],
    ['doc0', 'append', undefined],
  ])
  expect(lines, 'all of them are there for whoever asks for more').toHaveLength(4_000)
})

it('any number of different faults take a bounded place in memory, and each is told', () => {
  const lines: string[] = []
  const tell = writeDown(pino({}, { write: line => lines.push(line) }), () => 0)
  for (let i = 0; i < 1_000; i++) tell({ kind: 'store-failed', doc: 'doc' as DocId, call: 'read', error: `fault ${i}` })
  expect(lines).toHaveLength(1_000)
})

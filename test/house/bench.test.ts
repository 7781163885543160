// The gates of the benchmarks, as numbers in the hand: whether they are kept is measured, how they are judged is tested.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Gate, holds } from '../../bench/row.ts'

const row = (value: number, gate?: Gate) => ({ what: 'a measure', value, unit: '×', ...(gate === undefined ? {} : { gate }) })

it('a gate is kept up to its bound and broken beyond it', () => {
  expect([1.4, 1.5, 1.6].map(value => holds(row(value, { atMost: 1.5 })))).toEqual([true, true, false])
  expect([2.9, 3, 3.1].map(value => holds(row(value, { atLeast: 3 })))).toEqual([false, true, true])
})

it('a row without a gate is for reading only, and a measure that came to nothing keeps no gate', () => {
  expect(holds(row(1e9))).toBe(true)
  expect([holds(row(Number.NaN, { atMost: 1 })), holds(row(Number.NaN, { atLeast: 1 }))]).toEqual([false, false])
})

it('a benchmark that does not exist is refused by name, with code 1', async () => {
  const root = join(import.meta.dirname, '..', '..')
  const { code, said } = await new Promise<{ code: number | null; said: string }>(resolve => {
    const child = execFile(
      process.execPath,
      ['--import', 'tsx', 'bench/main.ts', 'tea-leaves'],
      { cwd: root },
      (_error, _out, said) => resolve({ code: child.exitCode, said }),
    )
  })
  expect(said).toContain('there is no tea-leaves')
  expect(code).toBe(1)
})

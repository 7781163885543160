// The gates of the benchmarks, as numbers in the hand: whether they are kept is measured, how they are judged is tested.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Gate, holds } from '../../bench/row.ts'
import { measuredIn } from './measured.ts'

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

it('every row of the table in the README names the bench, and the case of it, that measures it', () => {
  const root = join(import.meta.dirname, '..', '..')
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const [, table] = /<!-- measured -->\n(.*?)<!-- end of measured -->/s.exec(readme)!
  const rows = table!.split('\n').filter(line => line.startsWith('| ') && !line.startsWith('| What'))
  expect(rows.length).toBeGreaterThan(0)
  for (const row of rows) {
    const [, bench, , asked] = /`npm run bench -- (\w+)( --quick)?(?: --case (\w+))?` \|$/.exec(row) ?? []
    expect(bench, row).toBeDefined()
    const source = readFileSync(join(root, 'bench', `${bench}.ts`), 'utf8')
    if (asked !== undefined) expect(source, row).toMatch(new RegExp(`^  (${asked},|${asked}: \\w+,)$`, 'm'))
  }
})

it('results become a table: what was measured, what stood beside it, what is asked, and by which command', () => {
  const machine = { cores: 2, cpu: 'a processor', memory: 24, system: 'linux', node: '20.1.0', date: '2026-11-26T00:00:00.000Z' }
  const rows = [
    { ...row(2.5, { atMost: 2 }), beside: { inkwell: 1_234.5, ws: 0.12345 }, command: 'npm run bench -- scale --case idle' },
    row(3),
  ]
  expect(
    measuredIn([{ machine, quick: false, results: { scale: rows } }])
      .split('\n')
      .slice(2),
  ).toEqual([
    '| What | Inkwell | Beside it | Asked | Command |',
    '|---|---:|---|---|---|',
    '| a measure | 2.5 × | ws 0.123 | at most 2 ×: **does not hold** | `npm run bench -- scale --case idle` |',
    '| a measure | 3 × |  |  | `npm run bench -- scale` |',
  ])
})

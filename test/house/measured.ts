// The table "Measured" of the README, as results of the benches have it.
// Invariant: a row says what was measured, what stood beside it in the same run, what is asked of it, and by which command.

import { bound, holds, type Results, type Row, shown } from '../../bench/row.ts'

export const measuredIn = (all: readonly Results[]): string => {
  const machines = new Set(all.map(({ machine }) => `${machine.cores} × ${machine.cpu}, ${machine.system}, Node ${machine.node}`))
  const rows = all.flatMap(({ quick, results }) =>
    Object.entries(results).flatMap(([name, rows]) => rows.map(row => rowOf(row, quick ? `${name} --quick` : name))),
  )
  return [
    `On ${[...machines].join('; ')}, everything beside it in the same run.`,
    '',
    '| What | Inkwell | Beside it | Asked | Command |',
    '|---|---:|---|---|---|',
    ...rows,
  ].join('\n')
}

const rowOf = (row: Row, bench: string): string => {
  const { what, value, unit, beside = {}, command = `npm run bench -- ${bench}` } = row
  const others = Object.entries(beside)
    .filter(([name]) => name !== 'inkwell')
    .map(([name, other]) => `${name} ${shown(other)}`)
  const asked = row.gate === undefined ? '' : `${bound(row)}${holds(row) ? '' : ': **does not hold**'}`
  return `| ${what} | ${shown(value)} ${unit} | ${others.join(', ')} | ${asked} | \`${command}\` |`
}

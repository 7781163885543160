// What came of a run, as text for a terminal.

import type { Latency, Outcome, Round } from './run.ts'

export const tableOf = ({ machine, clients, connecting, rounds, median, faults, failed, unconfirmed }: Outcome): string => {
  const columns = [...rounds.map((round, i) => [`round ${i + 1}`, round] as const), ['median', median] as const]
  const rows = lines.flatMap(([name, of]) => {
    const cells = columns.map(([, round]) => of(round))
    return cells.some(cell => cell === null) ? [] : [[name, ...cells.map(cell => cell!)]]
  })
  const table = [['', ...columns.map(([name]) => name)], ...rows]
  const widths = table[0]!.map((_, column) => Math.max(...table.map(row => row[column]!.length)))
  const body = table.map(row =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd(),
  )
  const busy = Math.max(...rounds.map(({ generator }) => generator.cores))
  const notes = [
    ...listed('refused or broken, and gone on', faults),
    ...listed('clients that gave up', failed),
    ...(unconfirmed === 0 ? [] : [`${unconfirmed} characters were never confirmed`]),
    ...(busy > 0.8 ? [`the generator itself was busy (${shown(busy)} cores): give it more --processes or another machine`] : []),
  ]
  return [
    `${machine.cores} × ${machine.cpu}, ${machine.memory} GiB, ${machine.system}, Node ${machine.node}`,
    `${clients} clients came in within ${shown(connecting.seconds)} s, p99 ${shown(connecting.latency.p99)} ms each`,
    '',
    ...body,
    ...(notes.length === 0 ? [] : ['', ...notes]),
    '',
  ].join('\n')
}

const listed = (what: string, counts: Readonly<Record<string, number>>): string[] => {
  const some = Object.entries(counts)
  return some.length === 0 ? [] : [`${what}: ${some.map(([code, count]) => `${code} ${count}`).join(', ')}`]
}

const times = ({ p50, p99, p999, max }: Latency): string => [p50, p99, p999, max].map(shown).join(' / ')

const lines: readonly (readonly [name: string, of: (round: Round) => string | null])[] = [
  ['characters typed', ({ typed }) => shown(typed)],
  ['deliveries a second', ({ deliveriesPerSecond }) => shown(deliveriesPerSecond)],
  ['not delivered', ({ wanted, deliveries }) => shown(wanted - deliveries)],
  ['keystroke to the others, p50 / p99 / p99.9 / max ms', ({ delivery }) => times(delivery)],
  ['keystroke to confirmation, the same', ({ confirmation }) => times(confirmation)],
  ['characters in a submission', ({ composed }) => shown(composed)],
  ['bytes up, per character', ({ bytesUp }) => shown(bytesUp)],
  ['bytes down, per delivery', ({ bytesDown }) => shown(bytesDown)],
  ['server, cores', ({ server }) => server && shown(server.cores)],
  ['server, share of the time without a core that it wanted', ({ server }) => server && shown(server.waited)],
  ['server, CPU µs per character', ({ server }) => server && shown(server.perCharacter)],
  ['server, CPU µs per delivery', ({ server }) => server && shown(server.perDelivery)],
  ['server, MiB in memory', ({ server }) => server && shown(server.rss)],
  ['generator, cores of its busiest process', ({ generator }) => shown(generator.cores)],
  ['generator, share of the time without a core that it wanted', ({ generator }) => shown(generator.waited)],
  ['generator, late by itself, p99 ms', ({ generator }) => shown(generator.late99)],
]

/** Three digits that matter. */
export const shown = (value: number): string => {
  if (!Number.isFinite(value)) return '–'
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)))
}

// What came of a run, as a page that needs nothing else: charts drawn as SVG, and the table.
// Invariant: the page loads nothing, and what it is given as text stays text.

import type { Outcome } from './run.ts'
import { shown, tableOf } from './table.ts'

export const reportOf = (title: string, outcome: Outcome): string => {
  const { seconds, distribution, rounds } = outcome
  const at = seconds.map((_, i) => i)
  const charts = [
    chart('Keystroke to the others, by second', 'seconds', 'ms', at, [
      ['p50', seconds.map(({ p50 }) => p50)],
      ['p99', seconds.map(({ p99 }) => p99)],
    ]),
    chart('Deliveries, by second', 'seconds', 'a second', at, [['deliveries', seconds.map(({ deliveries }) => deliveries)]]),
    chart(
      'Keystroke to the others: so many percent of the deliveries took up to …',
      'percent',
      'ms',
      distribution.map(([, share]) => share * 100),
      [['all rounds', distribution.map(([ms]) => ms)]],
    ),
    ...(rounds.some(({ server }) => server === null)
      ? []
      : [
          chart(
            'CPU of the server, by round',
            'round',
            'cores',
            rounds.map((_, i) => i + 1),
            [['cores', rounds.map(({ server }) => server!.cores)]],
          ),
        ]),
  ]
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escaped(title)}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
  pre { overflow-x: auto; background: #f4f4f2; padding: 1rem; border-radius: 6px }
  svg { width: 100%; height: auto } text { font: 12px system-ui, sans-serif; fill: #555 }
  figure { margin: 2rem 0 } figcaption { font-weight: 600 }
</style>
<h1>${escaped(title)}</h1>
<pre>${escaped(tableOf(outcome))}</pre>
${charts.join('\n')}
</html>
`
}

const colours = ['#0e7490', '#c2410c', '#6d28d9']
const [width, height, left, right, top, bottom] = [800, 260, 64, 16, 12, 36]

type Line = readonly [name: string, values: readonly number[]]

const chart = (title: string, across: string, up: string, at: readonly number[], lines: readonly Line[]): string => {
  const values = lines.flatMap(([, values]) => values).filter(Number.isFinite)
  const most = nice(Math.max(...values, Number.MIN_VALUE))
  const [first, last] = [Math.min(...at), Math.max(...at)]
  const x = (value: number): number => left + ((value - first) / (last - first || 1)) * (width - left - right)
  const y = (value: number): number => height - bottom - (value / most) * (height - top - bottom)
  const grid = [0, 0.25, 0.5, 0.75, 1].map(share => {
    const level = y(share * most).toFixed(1)
    return `<path d="M${left} ${level}H${width - right}" stroke="#ddd"/><text x="${left - 6}" y="${level}" text-anchor="end" dominant-baseline="middle">${shown(share * most)}</text>`
  })
  const paths = lines.map(([name, values], i) => {
    const points = values.flatMap((value, j) =>
      Number.isFinite(value) ? [`${x(at[j]!).toFixed(1)} ${y(value).toFixed(1)}`] : [],
    )
    const colour = colours[i % colours.length]
    return `<path d="M${points.join('L')}" fill="none" stroke="${colour}" stroke-width="2"/><text x="${width - right}" y="${top + 14 * (i + 1)}" text-anchor="end" style="fill:${colour}">${escaped(name)}</text>`
  })
  const ends = [first, last].map(
    (value, i) =>
      `<text x="${x(value)}" y="${height - bottom + 18}" text-anchor="${i === 0 ? 'start' : 'end'}">${shown(value)}</text>`,
  )
  return `<figure><figcaption>${escaped(title)} (${up})</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img">${grid.join('')}${paths.join('')}${ends.join('')}<text x="${width / 2}" y="${height - 4}" text-anchor="middle">${escaped(across)}</text></svg></figure>`
}

/** The next number above that is easy to read. */
const nice = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 2.5, 5, 10].map(step => step * power).find(step => step >= value)!
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`)

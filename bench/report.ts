// What came of a run of the benches, as one page: facts of the machine, a table, and a chart for each row that has others beside it.
// Invariant: the page loads nothing, names for each number the command that measures it, and what it is given as text stays text.

import { bound, holds, type Results, type Row, shown } from './row.ts'

export const pageOf = ({ machine, quick, results }: Results): string => {
  const rows = Object.values(results).flat()
  const gated = rows.filter(({ gate }) => gate !== undefined)
  const kept = gated.filter(holds).length
  const facts = `${machine.cores} × ${machine.cpu}, ${machine.memory} GiB, ${machine.system}, Node ${machine.node}, ${machine.date.slice(0, 10)}`
  const sections = Object.entries(results).map(
    ([name, rows]) => `<h2>${escaped(name)}</h2>\n${tableOf(rows)}\n${rows.map(chartsOf).join('')}`,
  )
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Inkwell, measured</title>
<style>${style}</style>
<h1>Inkwell, measured</h1>
<p>${escaped(facts)}</p>
${quick ? '<p><strong>Short rounds: the numbers are rough.</strong></p>\n' : ''}<p>${kept} of ${gated.length} gates hold.</p>
${sections.join('\n')}
</html>
`
}

const style = `
  :root { color-scheme: light dark; --ink: #1a1a1a; --soft: #666; --line: #ddd; --paper: #fff; --bar: #b8b8b0; --own: #0e7490; --bad: #b91c1c }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #eceae4; --soft: #a3a19b; --line: #3a3a38; --paper: #171716; --bar: #5d5c58; --own: #38b6d4; --bad: #f87171 }
  }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink); background: var(--paper) }
  .table { overflow-x: auto } table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line) }
  td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums } code, small { color: var(--soft) }
  .fails { color: var(--bad); font-weight: 600 } figure { margin: 1.5rem 0 } figcaption { font-weight: 600 }
  svg { width: 100%; max-width: 44rem; height: auto } text { font: 13px system-ui, sans-serif; fill: var(--ink) }
  rect { fill: var(--bar) } rect.own { fill: var(--own) }`

const tableOf = (rows: readonly Row[]): string => {
  const line = (row: Row): string =>
    `<tr><td>${escaped(row.what)}${row.command === undefined ? '' : `<br><code>${escaped(row.command)}</code>`}</td>` +
    `<td class="number">${shown(row.value)} ${escaped(row.unit)}</td>` +
    `<td>${row.gate === undefined ? '' : `<span class="${holds(row) ? 'holds' : 'fails'}">${holds(row) ? 'holds' : 'does not hold'}</span>: ${bound(row)}`}</td></tr>`
  return `<div class="table"><table><thead><tr><th>What</th><th>Measured</th><th>Gate</th></tr></thead><tbody>\n${rows.map(line).join('\n')}\n</tbody></table></div>`
}

/** What stands beside a row, by its unit: one chart for each in which there is something to compare. */
const chartsOf = ({ what, unit, beside = {} }: Row): string => {
  const groups = new Map<string, [name: string, value: number][]>()
  for (const [key, value] of Object.entries(beside)) {
    const [name, own] = parted(key)
    const group = own ?? unit
    if (!Number.isFinite(value)) continue
    if (!groups.has(group)) groups.set(group, [])
    groups.get(group)!.push([name, value])
  }
  return [...groups].map(([unit, bars]) => (bars.length < 2 ? '' : chart(what, unit, bars))).join('')
}

const units = ['p99 ms', 'ms', 'µs', 'KiB', '/s']

/** `ws p99 ms` is that of `ws`. */
const parted = (key: string): readonly [name: string, unit: string | null] => {
  const unit = units.find(unit => key.endsWith(` ${unit}`))
  return unit === undefined ? [key, null] : [key.slice(0, -unit.length - 1), unit]
}

const [width, names, numbers, step] = [700, 150, 90, 26]

const chart = (title: string, unit: string, bars: readonly (readonly [name: string, value: number])[]): string => {
  const most = Math.max(...bars.map(([, value]) => value), Number.MIN_VALUE)
  const lines = bars.map(([name, value], i) => {
    const length = Math.max(1, (Math.max(0, value) / most) * (width - names - numbers))
    const middle = i * step + step / 2
    return (
      `<text x="${names - 8}" y="${middle}" text-anchor="end" dominant-baseline="middle">${escaped(name)}</text>` +
      `<rect${name.startsWith('inkwell') ? ' class="own"' : ''} x="${names}" y="${i * step + 4}" width="${length.toFixed(1)}" height="${step - 8}" rx="2"/>` +
      `<text x="${(names + length + 8).toFixed(1)}" y="${middle}" dominant-baseline="middle">${shown(value)}</text>`
    )
  })
  const said = `${title}: ${bars.map(([name, value]) => `${name} ${shown(value)}`).join(', ')} ${unit}`
  return `<figure><figcaption>${escaped(title)} <small>${escaped(unit)}</small></figcaption>
<svg viewBox="0 0 ${width} ${bars.length * step}" role="img" aria-label="${escaped(said)}">${lines.join('')}</svg></figure>
`
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`)

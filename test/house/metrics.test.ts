// docs/METRICS.md, what a server exports, and what alerts and dashboard ask for: the same metrics, no other.

import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { Table } from '../../src/server/exposition.ts'
import { metricTable } from '../../src/server/metrics.ts'
import { processTable } from '../../src/server/process.ts'
import { serving } from '../server/worlds.ts'
import { metricsPage, queries, refreshMetrics, rules } from './metrics.ts'

const all: Table = { ...metricTable, ...processTable }

const exported = async () => {
  const text = await (await fetch(`${await serving()}/metrics`)).text()
  return [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, name, help, type]) => ({ name, help, type }))
}

it('[P7] docs/METRICS.md is what the sources make of it: npx tsx scripts/metrics.ts', () => {
  const page = readFileSync(metricsPage, 'utf8')
  expect(refreshMetrics(page)).toBe(page)
})

it('[P7] a server exports exactly the metrics that are documented, as what they are documented', async () => {
  expect(await exported()).toEqual(Object.entries(all).map(([name, { help, type }]) => ({ name, help, type })))
})

it('[P7] names and units follow Prometheus’ conventions: counters end in _total, histograms in a unit', () => {
  const rows = Object.entries(all)
  expect(rows.filter(([name, { type }]) => (type === 'counter') !== name.endsWith('_total')).map(([name]) => name)).toEqual([])
  const units = /_(seconds|bytes|entries)$/
  expect(rows.filter(([name, { type }]) => type === 'histogram' && !units.test(name)).map(([name]) => name)).toEqual([])
})

it('[P7] alerts and dashboard ask for metrics that there are, by labels that they have', () => {
  const recorded = new Set(rules.flatMap(({ record }) => record ?? []))
  const known = new Map<string, readonly string[]>()
  for (const [name, { type, labels: own = [] }] of Object.entries(all)) {
    const labels = [...own, 'job', 'instance']
    if (type !== 'histogram') known.set(name, labels)
    else for (const end of ['_bucket', '_sum', '_count']) known.set(`${name}${end}`, labels)
  }
  const asked = [...rules, ...queries].map(({ expr }) => expr)
  const faults = asked.flatMap(expr =>
    [...expr.matchAll(/\b((?:inkwell|process|nodejs)[_:][\w:]+)(?:\{([^}]*)\})?/g)].flatMap(([, name, selector = '']) => {
      if (recorded.has(name!)) return []
      const labels = known.get(name!)
      if (labels === undefined) return [`${name} is no metric`]
      return [...selector.matchAll(/(\w+)\s*[=!]/g)].flatMap(([, label]) =>
        labels.includes(label!) ? [] : [`${name} has no label ${label}`],
      )
    }),
  )
  expect(faults).toEqual([])
  // And the other way round: whatever is exported is on the dashboard or in an alert, but for these.
  const words = asked.join('\n')
  const unseen = Object.keys(all).filter(name => !words.includes(name))
  expect(unseen).toEqual(['inkwell_build_info', 'nodejs_version_info', 'nodejs_heap_size_total_bytes'])
})

it('[P7] every alert says how bad it is, what is wrong, and what to do', () => {
  const alerts = rules.filter(({ alert }) => alert !== undefined)
  expect(alerts.length).toBeGreaterThan(10)
  const silent = alerts.filter(
    ({ labels, annotations }) =>
      !['page', 'ticket'].includes(labels?.severity ?? '') || !annotations?.summary || !annotations.action,
  )
  expect(silent.map(({ alert }) => alert)).toEqual([])
})

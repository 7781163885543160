// The metrics and alerts as their sources have them, as a page for operators.
// Invariant: what a metric is and what to do about it are written once, beside its name.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import type { Table } from '../../src/server/exposition.ts'
import { metricTable } from '../../src/server/metrics.ts'
import { processTable } from '../../src/server/process.ts'
import { between } from './page.ts'

const root = join(import.meta.dirname, '..', '..')

interface Rule {
  readonly alert?: string
  readonly record?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: { readonly severity: string }
  readonly annotations?: { readonly summary: string; readonly action: string }
}

export const metricsPage = join(root, 'docs', 'METRICS.md')
export const alertsFile = join(root, 'deploy', 'prometheus', 'alerts.yml')
export const scrapeFile = join(root, 'deploy', 'prometheus', 'prometheus.yml')
const dashboardFile = join(root, 'deploy', 'grafana', 'inkwell.json')

export const rules: readonly Rule[] = (
  parse(readFileSync(alertsFile, 'utf8')) as { groups: readonly { rules: readonly Rule[] }[] }
).groups.flatMap(group => group.rules)

/** Every query of the dashboard, with the title of its panel. */
export const queries: readonly { readonly title: string; readonly expr: string }[] = (() => {
  const { panels, annotations } = JSON.parse(readFileSync(dashboardFile, 'utf8')) as {
    panels: readonly { title: string; targets?: readonly { expr: string }[] }[]
    annotations: { list: readonly { name: string; expr: string }[] }
  }
  return [
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr }))),
    ...annotations.list.map(({ name: title, expr }) => ({ title, expr })),
  ]
})()

const table = (...rows: readonly (readonly string[])[]): string => {
  const [head, ...rest] = rows
  const line = (cells: readonly string[]) => `| ${cells.map(cell => cell.trim().replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head!), line(head!.map(() => '---')), ...rest.map(line)].join('\n')
}

/** docs/METRICS.md with its tables as the sources have them. */
export const refreshMetrics = (page: string): string => {
  const columns = ['Metric', 'Type', 'What it is', 'What to do']
  const rows = (metrics: Table) =>
    Object.entries(metrics).map(([name, { type, help, act, labels = [] }]) => [
      `\`${name}\`${labels.length === 0 ? '' : ` by ${labels.map(label => `\`${label}\``).join(', ')}`}`,
      type,
      help,
      act,
    ])
  const alerts = rules.flatMap(({ alert, labels, annotations, expr, for: after }) =>
    alert === undefined
      ? []
      : [
          [
            alert,
            labels!.severity,
            `\`${expr.trim().replaceAll(/\s+/g, ' ')}\`${after === undefined ? '' : ` for ${after}`}`,
            annotations!.action,
          ],
        ],
  )
  const parts: Readonly<Record<string, string>> = {
    'metrics of inkwell': table(columns, ...rows(metricTable)),
    'metrics of the process': table(columns, ...rows(processTable)),
    alerts: table(['Alert', 'Severity', 'When', 'What to do'], ...alerts),
  }
  return Object.entries(parts).reduce((page, [name, content]) => between(page, name, content), page)
}

// What docs/SCALING.md says of 100,000 and of 1,000,000 connections, worked out from what one of each costs.
// Invariant: a number of that page is measured, and then names its command, or follows from those that are.

import { join } from 'node:path'
import { type Costs, type Demand, fleet, spreadOver } from '../../bench/fleet.ts'
import { between } from './page.ts'

/** As measured, on a core of the machine that the README names, and by what. */
const units: readonly (readonly [name: keyof Costs, value: number, unit: string, what: string, command: string])[] = [
  [
    'delivery',
    11.9,
    'µs',
    'CPU of a node for an edit written to one reader, at 5,000 edits a second, all before it included',
    'npm run bench -- scale --case busy',
  ],
  [
    'hearing',
    88,
    'µs',
    'CPU of both nodes together for an edit that goes to another one by Redis, against one that stays',
    'npm run bench -- nodes',
  ],
  [
    'append',
    54.7,
    'µs',
    'CPU of Redis for an edit: script, log, announcement to two nodes, append-only file',
    'npm run bench -- scale --case nodes',
  ],
  ['telling', 0.349, 'µs', 'and for each further node that has the document open', 'npm run bench -- redis'],
  ['connection', 8, 'KiB', 'memory of a node for a connection in one document', 'npm run bench -- scale --case idle'],
  ['down', 24.7, 'bytes', 'to a reader for an edit, frame included', 'npm run bench -- scale --case quiet'],
]

const costs = Object.fromEntries(units.map(([name, value]) => [name, value])) as unknown as Costs

const demands: readonly (readonly [name: string, demand: Demand])[] = [
  ['100,000, pages of 10, one in ten types', { connections: 100_000, people: 10, rate: 2, typing: 0.1 }],
  ['100,000, pages of 10, all type', { connections: 100_000, people: 10, rate: 2, typing: 1 }],
  ['1,000,000, pages of 10, one in ten types', { connections: 1_000_000, people: 10, rate: 2, typing: 0.1 }],
  ['1,000,000, pages of 3, one in a hundred types', { connections: 1_000_000, people: 3, rate: 2, typing: 0.01 }],
]

const n = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: value < 1 ? 3 : value < 100 ? 1 : 0 })

const unitTable = (): string =>
  ['| One | Costs | Command |', '|---|---:|---|']
    .concat(units.map(([, value, unit, what, command]) => `| ${what} | ${n(value)} ${unit} | \`${command}\` |`))
    .join('\n')

const fleetTable = (): string =>
  [
    '| Connections | Edits/s | Deliveries/s | Nodes, a core each | Nodes with somebody of one page | GiB for connections, and Mbit/s to them, of a node | Redis shards |',
    '|---|---:|---:|---:|---:|---:|---:|',
  ]
    .concat(
      demands.map(([name, demand]) => {
        const found = fleet(demand, costs)
        return `| ${name} | ${n(found.edits)} | ${n(found.deliveries)} | ${n(found.nodes)} | ${n(spreadOver(demand.people, found.nodes))} | ${n(found.memory)} and ${n(found.toClients)} | ${n(found.shards)} |`
      }),
    )
    .join('\n')

/** The same where nobody else hears of an edit: all of a page are at one node. */
const togetherTable = (): string =>
  ['| Connections | Nodes, a core each | GiB for connections, and Mbit/s to them, of a node |', '|---|---:|---:|']
    .concat(
      demands.map(([name, demand]) => {
        const found = fleet(demand, { ...costs, hearing: 0 })
        return `| ${name} | ${n(found.nodes)} | ${n(found.memory)} and ${n(found.toClients)} |`
      }),
    )
    .join('\n')

export const scalingPage = join(import.meta.dirname, '..', '..', 'docs', 'SCALING.md')

/** docs/SCALING.md with its tables as they follow. */
export const refreshScaling = (page: string): string =>
  between(between(between(page, 'units', unitTable()), 'fleets', fleetTable()), 'together', togetherTable())

// The three things that can be looked at: the whole server, one document, one connection.
// Invariant: a view is made once for its address and then only filled; it asks for no more than it shows.

import { Chart } from './charts.ts'
import { element, facts, link, table } from './elements.ts'
import { numberOf, quantileOf, rateOf, type Scrape } from './numbers.ts'
import { type Connection, commits, connections, load, one } from './server.ts'
import { bytes, clock, count, duration } from './words.ts'

export interface View {
  readonly element: HTMLElement
  readonly charts: readonly Chart[]
  /** Asks for what it shows, and shows it. `before`: what was scraped some ten seconds ago. */
  refresh(before: Scrape, now: Scrape): Promise<void>
}

const perSecond = (value: number): string => `${count(value)}/s`

/** These go on in every view, so that coming back shows no gap. */
export const serverCharts = () => {
  const rows = [
    {
      chart: new Chart(
        'Connections',
        [
          { name: 'connections', colour: '--one' },
          { name: 'in documents', colour: '--two' },
        ],
        count,
        5,
      ),
      read: (_before: Scrape, now: Scrape) => [numberOf(now, 'inkwell_connections'), numberOf(now, 'inkwell_members')],
    },
    {
      chart: new Chart(
        'Edits a second',
        [
          { name: 'that came here', colour: '--one' },
          { name: 'elsewhere', colour: '--two' },
          { name: 'written to readers', colour: '--three' },
        ],
        perSecond,
        10,
      ),
      read: (before: Scrape, now: Scrape) => [
        rateOf(before, now, 'inkwell_commits_total', 'origin="here"'),
        rateOf(before, now, 'inkwell_commits_total', 'origin="elsewhere"'),
        rateOf(before, now, 'inkwell_commits_sent_total'),
      ],
    },
    {
      chart: new Chart(
        'How long an edit takes (p99)',
        [
          { name: 'to its version', colour: '--one' },
          { name: 'to other nodes', colour: '--two' },
          { name: 'to all readers', colour: '--three' },
        ],
        duration,
        0.02,
      ),
      read: (before: Scrape, now: Scrape) => [
        quantileOf(before, now, 'inkwell_commit_duration_seconds', 0.99),
        quantileOf(before, now, 'inkwell_feed_delay_seconds', 0.99),
        quantileOf(before, now, 'inkwell_delivery_duration_seconds', 0.99),
      ],
    },
    {
      chart: new Chart('Not durable for', [{ name: 'oldest edit', colour: '--one' }], duration, 1),
      read: (_before: Scrape, now: Scrape) => [numberOf(now, 'inkwell_durability_lag_seconds')],
    },
    {
      chart: new Chart(
        'Memory',
        [
          { name: 'process', colour: '--one' },
          { name: 'heap', colour: '--two' },
          { name: 'waits for clients', colour: '--three' },
        ],
        bytes,
        1_048_576,
      ),
      read: (_before: Scrape, now: Scrape) => [
        numberOf(now, 'process_resident_memory_bytes'),
        numberOf(now, 'nodejs_heap_size_used_bytes'),
        numberOf(now, 'inkwell_write_buffer_bytes'),
      ],
    },
    {
      chart: new Chart(
        'Event loop delay',
        [
          { name: 'p50', colour: '--one' },
          { name: 'p99', colour: '--two' },
        ],
        duration,
        0.02,
      ),
      read: (_before: Scrape, now: Scrape) => [
        numberOf(now, 'nodejs_eventloop_lag_p50_seconds'),
        numberOf(now, 'nodejs_eventloop_lag_p99_seconds'),
      ],
    },
  ] as const
  return {
    charts: rows.map(({ chart }) => chart),
    add(before: Scrape, now: Scrape): void {
      for (const { chart, read } of rows) chart.add(now.at, read(before, now))
    },
  }
}

export const overview = (charts: readonly Chart[]): View => {
  const documents = table(
    'Documents, the costliest first',
    ['Document', '#Version', '#Readers here', '#Edits', '#To readers', '#Not durable'],
    'No document is open here.',
  )
  const people = table(
    'Connections, up to thirty',
    ['Connection', 'User', 'Documents', 'Since', '#From it', '#To it', '#Waits'],
    'Nobody is connected.',
  )
  return {
    element: element(
      'section',
      {},
      element('div', { class: 'charts' }, ...charts.map(chart => chart.element)),
      documents.element,
      people.element,
    ),
    charts,
    async refresh() {
      const [{ busiest }, { connections: found }] = await Promise.all([load(), connections()])
      documents.fill(
        busiest.map(({ id, version, durable, members, commitsPerSecond, deliveriesPerSecond }) => [
          link('document', id),
          count(version),
          count(members),
          perSecond(commitsPerSecond),
          perSecond(deliveriesPerSecond),
          count(version - durable),
        ]),
      )
      people.fill(
        found.map(({ id, user, documents, since, bytesIn, bytesOut, waiting, behind }) => [
          link('connection', id),
          user.name ?? user.id,
          count(documents.length),
          clock(since),
          bytes(bytesIn),
          bytes(bytesOut),
          behind ? `${bytes(waiting)}, behind` : bytes(waiting),
        ]),
      )
    },
  }
}

/** What an op does, in numbers: nobody's text is shown. */
const sizeOf = (op: unknown): string => {
  if (!Array.isArray(op)) return 'of another type'
  let [inserted, deleted] = [0, 0]
  for (const part of op) {
    if (typeof part === 'string') inserted += part.length
    else if (typeof part === 'number' && part < 0) deleted -= part
  }
  return [...(inserted > 0 ? [`+${count(inserted)}`] : []), ...(deleted > 0 ? [`−${count(deleted)}`] : [])].join(' ') || '±0'
}

export const documentView = (id: string): View => {
  const chart = new Chart('Edits a second', [{ name: 'edits', colour: '--one' }], perSecond, 10)
  const about = facts()
  const here = table('Who is here, on all nodes', ['User', 'Author', '#At version'], 'Nobody.')
  const recent = table('Recent commits', ['#Version', 'User', 'Author', '#Seq', 'When', '#Units'], 'None are kept.')
  const connected = table('Connections of this node', ['Connection', 'User', 'Right'], 'None.')
  let before: { readonly at: number; readonly version: number } | null = null
  return {
    element: element(
      'section',
      {},
      element('h1', {}, id),
      about.element,
      element('div', { class: 'charts' }, chart.element),
      here.element,
      connected.element,
      recent.element,
    ),
    charts: [chart],
    async refresh(_before, now) {
      const query = `&document=${encodeURIComponent(id)}`
      const [found, page, lines, { busiest }] = await Promise.all([one(id), commits(id), connections(query), load()])
      chart.add(now.at, [before === null ? null : Math.max(0, found.version - before.version) / (now.at - before.at)])
      before = { at: now.at, version: found.version }
      const open = busiest.find(document => document.id === id)
      about.fill([
        ['Version', count(found.version)],
        ...(open === undefined ? [] : [['Durable up to', count(open.durable)] as const]),
        ['People', count(found.people)],
        ['Type', found.type],
        ['Epoch', found.epoch],
      ])
      here.fill(found.peers.map(({ user, author, version }) => [user.name ?? user.id, author, count(version)]))
      connected.fill(
        lines.connections.map(({ id: line, user, documents }) => [
          link('connection', line),
          user.name ?? user.id,
          documents.find(document => document.id === id)?.right ?? 'not known',
        ]),
      )
      recent.fill(
        [...page.commits]
          .reverse()
          .map(({ version, user, author, seq, time, op }) => [count(version), user, author, count(seq), clock(time), sizeOf(op)]),
      )
    },
  }
}

export const connectionView = (id: string): View => {
  const chart = new Chart(
    'Traffic',
    [
      { name: 'from it', colour: '--one' },
      { name: 'to it', colour: '--two' },
    ],
    value => `${bytes(value)}/s`,
    1_024,
  )
  const about = facts()
  const documents = table('Documents', ['Document', 'Right'], 'In none.')
  let before: { readonly at: number; readonly line: Connection } | null = null
  return {
    element: element(
      'section',
      {},
      element('h1', {}, id),
      about.element,
      element('div', { class: 'charts' }, chart.element),
      documents.element,
    ),
    charts: [chart],
    async refresh(_before, now) {
      const [line] = (await connections(`&connection=${encodeURIComponent(id)}`)).connections
      if (line === undefined) {
        about.fill([['Connection', 'It is not here (any more).']])
        documents.fill([])
        return
      }
      const last = before
      const rate = (of: 'bytesIn' | 'bytesOut') => (last === null ? null : (line[of] - last.line[of]) / (now.at - last.at))
      chart.add(now.at, [rate('bytesIn'), rate('bytesOut')])
      before = { at: now.at, line }
      about.fill([
        ['User', line.user.name === undefined ? line.user.id : `${line.user.name} (${line.user.id})`],
        ['Author', line.author],
        ['Address', line.address],
        ['Since', clock(line.since)],
        ['Form', line.form],
        ['From it', bytes(line.bytesIn)],
        ['To it', bytes(line.bytesOut)],
        ['Waits for it', line.behind ? `${bytes(line.waiting)}: it is behind` : bytes(line.waiting)],
      ])
      documents.fill(line.documents.map(({ id, right }) => [link('document', id), right ?? 'not known']))
    },
  }
}

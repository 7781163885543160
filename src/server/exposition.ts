// Tables of metrics as prom-client shows them: what each row is, and what its numbers are when somebody asks.
// Invariant: a row is shown under its own name and help; between two scrapes nothing of prom-client runs.

import { Counter, Gauge, Registry } from 'prom-client'

export interface Row {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What it is, for Prometheus and people. */
  readonly help: string
  /** What to do with it. */
  readonly act: string
  readonly labels?: readonly string[]
  /** Of a histogram: the upper bounds of its buckets, ascending. */
  readonly buckets?: readonly number[]
}

export type Table = { readonly [name: string]: Row }
export type NamesOf<T extends Table, Type extends Row['type']> = {
  [N in keyof T & string]: T[N]['type'] extends Type ? N : never
}[keyof T & string]

/** One number, or one for each set of labels. */
export type Reading = number | readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[]
export type Readings<T extends Table> = { readonly [N in NamesOf<T, 'counter' | 'gauge'>]: () => Reading }
export type Histograms<T extends Table> = { readonly [N in NamesOf<T, 'histogram'>]: Buckets }

/** A histogram that costs an edit next to nothing: prom-client's own looks its labels up for every number. */
export class Buckets {
  private readonly bounds: readonly number[]
  private readonly counts: number[]
  private sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array(bounds.length + 1).fill(0)
  }

  add(value: number): void {
    const { bounds } = this
    let at = 0
    while (at < bounds.length && value > bounds[at]!) at++
    this.counts[at]!++
    this.sum += value
  }

  /** In Prometheus' form: each bucket counts what is at or below its bound. */
  shown(
    name: string,
  ): readonly { readonly metricName: string; readonly labels: { le?: number | string }; readonly value: number }[] {
    let all = 0
    const buckets = this.counts.map((count, i) => {
      all += count
      return { metricName: `${name}_bucket`, labels: { le: this.bounds[i] ?? '+Inf' }, value: all }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: {}, value: this.sum },
      { metricName: `${name}_count`, labels: {}, value: all },
    ]
  }
}

export const bucketsOf = <T extends Table>(table: T): Histograms<T> =>
  Object.fromEntries(
    Object.entries(table).flatMap(([name, { buckets }]) => (buckets === undefined ? [] : [[name, new Buckets(buckets)]])),
  ) as Histograms<T> // each row with buckets is one

export const contentType = Registry.PROMETHEUS_CONTENT_TYPE

/** Answers the text of a table as it is now. */
export const exposed = <T extends Table>(table: T, readings: Readings<T>, histograms: Histograms<T>): (() => Promise<string>) => {
  const registry = new Registry()
  for (const [name, { type, help, labels = [] }] of Object.entries<Row>(table)) {
    const shape = { name, help, labelNames: labels, registers: [registry] }
    if (type === 'histogram') {
      const buckets = histograms[name as keyof Histograms<T>] as Buckets
      const metric = { name, help, type, get: async () => ({ name, help, type, values: buckets.shown(name) }) }
      registry.registerMetric(metric as never) // what a registry needs of a metric, and no more
      continue
    }
    const read = readings[name as keyof Readings<T>] as () => Reading
    if (type === 'gauge') {
      new Gauge({
        ...shape,
        collect() {
          this.reset()
          for (const [labels, value] of each(read())) this.set(labels, value)
        },
      })
    } else
      new Counter({
        ...shape,
        collect() {
          this.reset()
          for (const [labels, value] of each(read())) this.inc(labels, value)
        },
      })
  }
  return () => registry.metrics()
}

const each = (reading: Reading) => (typeof reading === 'number' ? ([[{}, reading]] as const) : reading)

/** A count for each value of a label. */
export const by = (label: string, counts: { readonly [value: string]: number }): Reading =>
  Object.entries(counts).map(([value, count]) => [{ [label]: value }, count])

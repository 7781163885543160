// Prometheus' text as numbers: what a metric is now, how fast it grows, and quantiles of what fell into its buckets lately.
// Invariant: pure functions of what was scraped; where nothing is known the answer is null, never a number that was made up.

/** One scrape: when, in seconds, and the value of each line. */
export interface Scrape {
  readonly at: number
  readonly values: ReadonlyMap<string, number>
}

export const readScrape = (text: string, at: number): Scrape => {
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const space = line.lastIndexOf(' ')
    values.set(line.slice(0, space), Number(line.slice(space + 1)))
  }
  return { at, values }
}

/** Lines of a metric, with their labels as they stand there. */
const linesOf = (scrape: Scrape, name: string): readonly (readonly [labels: string, value: number])[] =>
  [...scrape.values].flatMap(([line, value]) =>
    line === name || line.startsWith(`${name}{`) ? [[line.slice(name.length), value] as const] : [],
  )

/** The sum of all lines of a metric, or of those in whose labels `where` stands. */
export const numberOf = (scrape: Scrape, name: string, where = ''): number | null => {
  const lines = linesOf(scrape, name).filter(([labels]) => labels.includes(where))
  return lines.length === 0 ? null : lines.reduce((sum, [, value]) => sum + value, 0)
}

/** How much it has grown a second between two scrapes; a server that was started anew begins at nothing. */
export const rateOf = (before: Scrape, now: Scrape, name: string, where = ''): number | null => {
  const [from, to] = [numberOf(before, name, where), numberOf(now, name, where)]
  if (from === null || to === null || now.at <= before.at) return null
  return Math.max(0, to - from) / (now.at - before.at)
}

/** The quantile of what came between two scrapes, as Prometheus works it out: linear within its bucket. Null: nothing came. */
export const quantileOf = (before: Scrape, now: Scrape, name: string, quantile: number): number | null => {
  const earlier = new Map(linesOf(before, `${name}_bucket`))
  const buckets = linesOf(now, `${name}_bucket`)
    .map(([labels, count]) => {
      const [, bound] = /le="([^"]+)"/.exec(labels)!
      return { upTo: bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), count: count - (earlier.get(labels) ?? 0) }
    })
    .sort((a, b) => a.upTo - b.upTo)
  const all = buckets.at(-1)?.count ?? 0
  if (all <= 0) return null
  const rank = quantile * all
  let [lower, below] = [0, 0]
  for (const { upTo, count } of buckets) {
    if (count >= rank && count > below) {
      return upTo === Number.POSITIVE_INFINITY ? lower : lower + ((upTo - lower) * (rank - below)) / (count - below)
    }
    ;[lower, below] = [upTo, count]
  }
  return lower
}

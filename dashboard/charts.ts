// Charts that go on: each has its lines, and takes a point for each of them whenever there is one.
// Invariant: a chart keeps as much as it shows, and no more; its colours are those of the page, by day and by night.

import uPlot from 'uplot'

/** Points that a chart keeps: a quarter of an hour, at one every two seconds. */
const kept = 450
const shortest = 60 // seconds that it shows at least

export interface Line {
  readonly name: string
  /** A custom property of the page's style. */
  readonly colour: '--one' | '--two' | '--three'
}

export class Chart {
  readonly element: HTMLElement
  private readonly lines: readonly Line[]
  private readonly written: (value: number) => string
  private readonly times: number[] = []
  private readonly values: (number | null)[][]
  private readonly top: number
  private plot: uPlot | null = null

  /** @param top what the chart reaches to at least: what is nothing must not look like a mountain */
  constructor(title: string, lines: readonly Line[], written: (value: number) => string, top: number) {
    this.top = top
    this.lines = lines
    this.written = written
    this.values = lines.map(() => [])
    this.element = document.createElement('figure')
    const caption = document.createElement('figcaption')
    caption.textContent = title
    this.element.append(caption)
  }

  /** @param at seconds since 1970 */
  add(at: number, values: readonly (number | null)[]): void {
    this.times.push(at)
    for (const [i, value] of values.entries()) this.values[i]!.push(value)
    if (this.times.length > kept) for (const list of [this.times, ...this.values]) list.shift()
    this.plot?.setData([this.times, ...this.values] as uPlot.AlignedData)
    this.tell()
  }

  /** Beside the names of the lines stand their latest values, unless somebody points at others. */
  private tell(): void {
    if (this.times.length > 0 && this.plot?.cursor.idx == null) this.plot?.setLegend({ idx: this.times.length - 1 }, false)
  }

  /** Draws it anew, where the page has another width or other colours. */
  draw(): void {
    if (!this.element.isConnected) return
    this.plot?.destroy()
    const style = getComputedStyle(document.documentElement)
    const colour = (name: string) => style.getPropertyValue(name).trim()
    const axis = {
      stroke: colour('--faint'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { stroke: colour('--line'), width: 1 },
      font: '11px system-ui, sans-serif',
    }
    const time = (at: number) => new Date(at * 1_000).toLocaleTimeString('en-GB')
    this.plot = new uPlot(
      {
        width: this.element.clientWidth,
        height: 170,
        cursor: { y: false, drag: { x: false, y: false } },
        scales: {
          x: {
            range: (_plot, first, last) => {
              const end = last ?? Date.now() / 1_000
              return [Math.min(first ?? end, end - shortest), end]
            },
          },
          y: { range: (_plot, _least, most) => [0, Math.max((most ?? 0) * 1.1, this.top)] },
        },
        axes: [
          { ...axis, space: 70, values: (_plot, at) => at.map(time) },
          { ...axis, size: 62, values: (_plot, at) => at.map(this.written) },
        ],
        series: [
          { value: (_plot, at) => (at === null ? '' : time(at)) },
          ...this.lines.map(({ name, colour: line }) => ({
            label: name,
            stroke: colour(line),
            width: 1.5,
            points: { show: false },
            spanGaps: false,
            value: (_plot: uPlot, value: number | null) => (value === null ? '–' : this.written(value)),
          })),
        ],
        legend: { live: true },
      },
      [this.times, ...this.values] as uPlot.AlignedData,
      this.element,
    )
    this.tell()
  }
}

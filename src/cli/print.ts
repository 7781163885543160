// How a command speaks: tables for people, lines for programs, a bar for whoever waits.
// Invariant: nothing that is in a document or a name reaches a terminal as a command; without a terminal there is no colour and no bar.

export interface Out {
  /** Results. */
  write(text: string | Uint8Array): Promise<void>
  /** What is said besides. */
  say(text: string): void
  /** Whether a person reads the results, and how wide what is said may be. */
  readonly terminal: boolean
  readonly width: number
  /** Whether a person reads what is said besides. */
  readonly watched: boolean
  readonly colour: boolean
}

/** This process's own. */
export const processOut = (): Out => ({
  write: text =>
    new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        if (error.code === 'EPIPE') process.exit(0) // whoever read has enough: `inkwell log … | head`
        reject(error)
      }
      process.stdout.once('error', failed)
      process.stdout.write(text, error => {
        process.stdout.off('error', failed)
        if (error == null) resolve()
        else failed(error)
      })
    }),
  say: text => void process.stderr.write(text),
  terminal: process.stdout.isTTY === true,
  watched: process.stderr.isTTY === true,
  width: process.stdout.columns ?? 80,
  colour: process.stdout.isTTY === true && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb',
})

/** Anything that is no letter to a terminal, but for line feed and tab. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const commands = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** As it may be shown: on a terminal a document's control characters would be commands to it. */
export const shown = (text: string, { terminal }: Pick<Out, 'terminal'>): string =>
  terminal ? text.replaceAll(commands, '\ufffd') : text

type Cell = string | number | boolean | null | undefined

const cellOf = (cell: Cell): string => (cell === null || cell === undefined ? '' : String(cell).replaceAll(/[\n\t]/g, ' '))

/** Rows of a table: with a head and in columns on a terminal, else with tabs between, which every program can cut. */
export const table = (head: readonly string[], rows: readonly (readonly Cell[])[], out: Out): string => {
  if (!out.terminal) return rows.map(row => `${row.map(cellOf).join('\t')}\n`).join('')
  const cells = rows.map(row => row.map(cell => shown(cellOf(cell), out)))
  const widths = head.map((name, i) => Math.max(name.length, ...cells.map(row => (row[i] ?? '').length)))
  const numeric = head.map((_, i) => rows.every(row => typeof row[i] === 'number' || cellOf(row[i]) === ''))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  const top = line(head)
  return `${out.colour ? `\u001b[1m${top}\u001b[0m` : top}\n${cells.map(row => `${line(row)}\n`).join('')}`
}

export const jsonLine = (value: unknown): string => `${JSON.stringify(value)}\n`

const pause = 100 // ms between two drawings

/** How far something has come, drawn on a terminal only. `total` null: nobody knows yet. */
export class Progress {
  readonly #out: Out
  readonly #what: string
  #drawn = 0

  constructor(out: Out, what: string) {
    this.#out = out
    this.#what = what
  }

  at(done: number, total: number | null, note: string): void {
    if (!this.#out.watched) return
    const now = performance.now()
    if (now - this.#drawn < pause) return
    this.#drawn = now
    const share = total === null || total === 0 ? null : Math.min(1, done / total)
    const bar = share === null ? '' : ` [${'█'.repeat(Math.round(share * 20)).padEnd(20)}] ${Math.floor(share * 100)} %`
    const line = `${this.#what}${bar}  ${note}`
    this.#out.say(`\r\u001b[2K${shown(line, { terminal: true }).slice(0, this.#out.width - 1)}`)
  }

  end(): void {
    if (this.#out.watched && this.#drawn > 0) this.#out.say('\r\u001b[2K')
  }
}

export const sizeOf = (bytes: number): string => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let [value, unit] = [bytes, 0]
  while (value >= 1_024 && unit < units.length - 1) [value, unit] = [value / 1_024, unit + 1]
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** How long ago, or how long something takes: 45 s, 12 min, 3 h, 5 d. */
export const spanOf = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 100) return `${seconds} s`
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`
}

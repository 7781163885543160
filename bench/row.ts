// What every benchmark answers: rows, each a number with its unit, what stood beside it in the same run, and what must hold.
// Invariant: a gate bounds `value` itself; where the promise is a ratio, the ratio is the value.

export interface Row {
  /** What was measured, for people: `keystroke to the other client, p50, against a bare Socket.IO echo`. */
  readonly what: string
  readonly value: number
  /** `ns`, `µs`, `ms`, `KiB`, `×` … */
  readonly unit: string
  /** The same for others, or for the parts of a ratio, in the same run: `{ 'ot.js': 31, CodeMirror: 25 }`. */
  readonly beside?: Readonly<Record<string, number>>
  /** What measures this row alone; left out, the bench's own. */
  readonly command?: string
  /** What must hold; a row without one is for reading only. */
  readonly gate?: Gate
}

export type Gate = { readonly atMost: number } | { readonly atLeast: number }

export interface BenchOptions {
  /** Fewer and shorter rounds: shows that the bench works, its numbers are rough. */
  readonly quick: boolean
  /** Cases of it, by name, for a bench that has some; none: all. */
  readonly cases?: readonly string[]
}

/** Whether a row keeps its gate; one without a gate does, and a number that is none does not. */
export function holds({ value, gate }: Row): boolean {
  if (gate === undefined) return true
  return 'atMost' in gate ? value <= gate.atMost : value >= gate.atLeast
}

/** Results as they are written: of a bench by its name. */
export interface Results {
  readonly machine: {
    readonly cores: number
    readonly cpu: string
    /** GiB. */
    readonly memory: number
    readonly system: string
    readonly node: string
    readonly date: string
  }
  readonly quick: boolean
  readonly results: Readonly<Record<string, readonly Row[]>>
}

/** A gate in words. */
export function bound({ gate, unit }: Row): string {
  if (gate === undefined) return ''
  return 'atMost' in gate ? `at most ${shown(gate.atMost)} ${unit}` : `at least ${shown(gate.atLeast)} ${unit}`
}

/** Three digits that matter, and none that do not. */
export function shown(value: number): string {
  if (!Number.isFinite(value) || Math.abs(value) >= 1000) return value.toLocaleString('en-US', { maximumFractionDigits: 0 })
  return String(Number(value.toPrecision(3)))
}

// What a command is: its words and flags, what can be wrong with them, and what it does.
// Invariant: nothing is begun before everything that was given is sound.

import type { Out } from './print.ts'
import { type Reach, reachFaults, reachOf } from './reach.ts'
import { type Environment, type Flags, type Reading, readSettings, type Settings, type Values } from './settings.ts'
import { switched } from './words.ts'

export interface Command {
  readonly says: string
  /** Lines as one types them. */
  readonly examples: readonly string[]
  readonly settings: Settings
  /** What is to be done, or every fault in what was given. */
  prepare(flags: Flags, environment: Environment): Work | readonly string[]
}

/** Does it, and answers the code with which the command ends. */
export type Work = (out: Out) => Promise<number>

export const jsonSetting = {
  json: { flag: '--json', variable: null, says: 'for programs: one JSON value a line', shape: switched.default(false) },
} as const satisfies Settings

/** A command that goes to a store or a server; `more` finds what else can be wrong. */
export const reaching = <S extends Settings>(
  about: { readonly says: string; readonly examples: readonly string[]; readonly settings: S },
  /** Answers a code, where it is not 0. */
  run: (values: Values<S>, reach: Reach, out: Out) => Promise<unknown>,
  more: (values: Values<S>, sources: Reading<S>['sources']) => readonly string[] = () => [],
): Command => ({
  ...about,
  prepare(flags, environment) {
    const reading = readSettings(about.settings, flags, environment)
    const faults = [...reading.faults, ...reachFaults(reading)]
    const others = reading.faults.length === 0 ? more(reading.values, reading.sources) : []
    if (faults.length + others.length > 0) return [...faults, ...others]
    return async out => {
      const code = await run(reading.values, reachOf(reading), out)
      return typeof code === 'number' ? code : 0
    }
  },
})

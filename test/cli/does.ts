// An operator's commands in this process: what they print, say and end with.

import { operations } from '../../src/cli/operations.ts'
import type { Environment, Flags } from '../../src/cli/settings.ts'

interface Done {
  readonly code: number
  /** What it printed, */
  readonly out: string
  /** and what it said besides. */
  readonly said: string
}

export interface Screen {
  readonly terminal?: boolean
  readonly colour?: boolean
}

/** Runs a command. @throws with all faults when it would not begin */
export const does = async (
  name: string,
  flags: Flags,
  environment: Environment,
  { terminal = false, colour = false }: Screen = {},
): Promise<Done> => {
  const work = operations[name]!.prepare(flags, environment)
  if (typeof work !== 'function') throw new Error(work.join('\n'))
  const printed: Buffer[] = []
  let said = ''
  const code = await work({
    write: async text => void printed.push(Buffer.from(text as string)),
    say: text => (said += text),
    terminal,
    watched: terminal,
    colour,
    width: 80,
  })
  return { code, out: Buffer.concat(printed).toString(), said }
}

/** What a command prints that ends well and has nothing to say besides. */
export const prints = async (name: string, flags: Flags, environment: Environment, screen?: Screen): Promise<string> => {
  const { code, out, said } = await does(name, flags, environment, screen)
  if (code !== 0 || said !== '') throw new Error(`${name} ended with ${code} and said ${said}`)
  return out
}

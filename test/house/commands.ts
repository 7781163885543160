// The commands as their sources have them, as a page for operators.
// Invariant: what a command, a flag or a variable is for is written once, where it is read.

import { join } from 'node:path'
import { settings as serving } from '../../src/cli/configuration.ts'
import { loadSettings } from '../../src/cli/load.ts'
import { operations } from '../../src/cli/operations.ts'
import { commands } from '../../src/cli/revoke.ts'
import { fileFlag, type Settings } from '../../src/cli/settings.ts'
import { tokenSettings } from '../../src/cli/token.ts'

export const commandsPage = join(import.meta.dirname, '..', '..', 'docs', 'COMMANDS.md')

interface Described {
  readonly says: string
  readonly examples?: readonly string[]
  readonly settings: Settings
}

/** Every command of `inkwell`, in the order of its help. */
export const described: Readonly<Record<string, Described>> = {
  serve: { says: 'run a server', settings: serving },
  token: { says: 'print a token for trying things out', settings: tokenSettings },
  load: { says: 'put a load on a server, or on several nodes in turns, and tell how it bears it', settings: loadSettings },
  ...commands,
  ...operations,
}

/** Every flag of every command, with the variable that says the same. */
export const flagsOf = (settings: Settings): readonly (readonly [flag: string, variable: string | null])[] =>
  Object.entries(settings).flatMap(([name, setting]) => {
    const { flag, variable, filed } = setting
    const file = [fileFlag(name, setting).flag, variable === null ? null : `${variable}_FILE`] as const
    return filed ? [[flag, variable] as const, file] : [[flag, variable] as const]
  })

const cell = (text: string): string => text.replaceAll('|', '\\|')

const section = ([name, { says, examples = [], settings }]: [string, Described]): string => {
  const files = Object.entries(settings).filter(([, { filed }]) => filed)
  const rows = Object.values(settings).map(({ flag, variable, otherwise, says }) => {
    const code = (text: string | null | undefined): string => (text == null || text === '' ? '' : `\`${cell(text)}\``)
    return `| ${code(flag)} | ${code(variable)} | ${code(otherwise)} | ${cell(says)} |`
  })
  return [
    `## inkwell ${name}`,
    '',
    `${says[0]!.toUpperCase()}${says.slice(1)}.`,
    ...(examples.length === 0 ? [] : ['', ...examples.map(example => `- \`${example}\``)]),
    ...(rows.length === 0 ? [] : ['', '| Flag | Variable | Default | |', '|---|---|---|---|', ...rows]),
    ...(files.length === 0
      ? []
      : ['', `In a file: ${files.map(([name, setting]) => `\`${fileFlag(name, setting).flag}\``).join(', ')}.`]),
    '',
  ].join('\n')
}

export const commandsText = (): string =>
  [
    '# Commands',
    '',
    'Every command of `inkwell` with its flags. A flag wins over its variable; all faults are told in one report, with exit code 2, before',
    'anything is done. What they are good for stands in [OPERATIONS](OPERATIONS.md). This page is made from the sources by',
    '`npx tsx scripts/commands.ts`.',
    '',
    ...Object.entries(described).map(section),
  ].join('\n')

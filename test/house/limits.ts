// The limits as their sources have them, as a page for operators.
// Invariant: what a limit is, its default and the reason for it are written once, beside the number.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { defaultLimits } from '../../src/engine/index.ts'
import { defaultLineLimits } from '../../src/server/index.ts'
import { between } from './page.ts'

const root = join(import.meta.dirname, '..', '..')

interface Documented {
  readonly name: string
  readonly value: number
  readonly says: string
  readonly reason: string
}

const documented = (file: string, defaults: object): Documented[] => {
  const source = readFileSync(join(root, file), 'utf8')
  return Object.entries(defaults).map(([name, value]) => ({
    name,
    value: value as number,
    says: new RegExp(`/\\*\\* ([^\\n]*?) \\*/\\n  readonly ${name}: number`).exec(source)?.[1] ?? '',
    reason: new RegExp(`^  ${name}: [\\d_]+, // (.*)$`, 'm').exec(source)?.[1] ?? '',
  }))
}

export const ofEngine = documented('src/engine/limits.ts', defaultLimits)
export const ofLine = documented('src/server/options.ts', defaultLineLimits)

const rows = (limits: readonly Documented[]): string =>
  ['| Limit | Default | What it bounds | Why so much |', '|---|---:|---|---|']
    .concat(
      limits.map(({ name, value, says, reason }) => `| \`${name}\` | ${value.toLocaleString('en-US')} | ${says} | ${reason} |`),
    )
    .join('\n')

/** docs/LIMITS.md with its tables as the sources have them. */
export const refreshLimits = (page: string): string =>
  between(between(page, 'limits of documents', rows(ofEngine)), 'limits of lines', rows(ofLine))

export const limitsPage = join(root, 'docs', 'LIMITS.md')

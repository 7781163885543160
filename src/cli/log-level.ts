// An operator's command about the log of a running server: how much it says, and from now on.

import { z } from 'zod'
import { logLevels } from '../server/log.ts'
import { type Command, jsonSetting, reaching } from './command.ts'
import { jsonLine } from './print.ts'
import { adminSettings, ask } from './reach.ts'
import type { Setting } from './settings.ts'

const level = {
  flag: '<level>',
  variable: null,
  says: `${logLevels.join(', ')}; left out: say which it is`,
  shape: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).optional(),
} as const satisfies Setting

export const logLevel: Command = reaching(
  {
    says: 'say how much a running server writes to its log, or change that',
    examples: [
      'inkwell log-level debug --admin-url http://localhost:9100',
      'inkwell log-level --admin-url http://localhost:9100',
    ],
    settings: { level, ...jsonSetting, ...adminSettings },
  },
  async ({ level, json }, reach, out) => {
    if (reach.kind !== 'admin') throw new Error('only a running server has a log: --admin-url')
    const found = await ask<{ level: string; was?: string }>(
      reach.admin,
      '/v1/log-level',
      level === undefined ? undefined : { level },
    )
    await out.write(json ? jsonLine(found) : `${found.level}${found.was === undefined ? '' : `, was ${found.was}`}\n`)
  },
)

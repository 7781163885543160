// The operator's commands by their names, in the order in which the help lists them.

import { changeCommands } from './change.ts'
import type { Command } from './command.ts'
import { doctorCommands } from './doctor.ts'
import { logLevel } from './log-level.ts'
import { lookCommands } from './look.ts'
import { migrateCommands } from './migrate.ts'
import { nodeCommands } from './nodes.ts'
import { transferCommands } from './transfer.ts'
import { verifyCommands } from './verify.ts'

export const operations: Readonly<Record<string, Command>> = {
  ...lookCommands,
  ...verifyCommands,
  ...doctorCommands,
  ...changeCommands,
  ...nodeCommands,
  'log-level': logLevel,
  ...transferCommands,
  ...migrateCommands,
}

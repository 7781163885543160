// Writes docs/COMMANDS.md anew from the sources: `npx tsx scripts/commands.ts`.
// Invariant: what is on disk is exactly what the sources say.

import { writeFileSync } from 'node:fs'
import { commandsPage, commandsText } from '../test/house/commands.ts'

writeFileSync(commandsPage, commandsText())

// Makes dist/ new, for benches that measure Inkwell as it is delivered.
// Invariant: what is measured is the source as it lies here.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

let under: Promise<unknown> | null = null

/** Once, however many benches of a run ask. */
export const build = async (): Promise<void> => {
  under ??= promisify(execFile)(process.execPath, [join(import.meta.dirname, '..', 'scripts', 'build.mjs')])
  await under
}

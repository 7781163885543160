// Runs one tool and tells the caller what it said.
// Invariant: a tool never reads standard input, so nothing here can wait for a person.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)

/** The script behind a command that a package in node_modules brings, so that no shell and no PATH is needed. */
export function toolScript(packageName, command = packageName) {
  const manifestPath = require.resolve(`${packageName}/package.json`, { paths: [root] })
  const { bin } = require(manifestPath)
  return join(dirname(manifestPath), typeof bin === 'string' ? bin : bin[command])
}

/**
 * Runs a program to its end. `show` lets its output through as it comes, otherwise the output is kept and answered.
 * @returns {Promise<{ code: number, output: string }>} a program that cannot be started counts as code 127
 */
export function run(program, args, { show = false, env = process.env } = {}) {
  return new Promise(resolve => {
    const kept = []
    const child = spawn(program, args, {
      cwd: root,
      env,
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
    })
    child.stdout?.on('data', chunk => kept.push(chunk))
    child.stderr?.on('data', chunk => kept.push(chunk))
    child.on('error', error => resolve({ code: 127, output: String(error.message) }))
    child.on('close', (code, signal) =>
      resolve({ code: code ?? 1, output: Buffer.concat(kept).toString() + (signal ? `ended by ${signal}` : '') }),
    )
  })
}

/** Says one line of progress, e.g. `build: compiled 83 files (1.2 s)`. Plain text: a log keeps it as it is. */
export function say(part, sentence, since) {
  const seconds = since === undefined ? '' : ` (${((performance.now() - since) / 1000).toFixed(1)} s)`
  process.stdout.write(`${part}: ${sentence}${seconds}\n`)
}

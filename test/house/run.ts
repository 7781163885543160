// Runs a program to its end, as a user would in a shell of their own.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** What it wrote to standard output. @throws with everything it said when it ends with another code than 0 */
export async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { cwd, env: shellEnvironment(), maxBuffer: 2 ** 26 })).stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${program} ${args.join(' ')}:\n${stdout}\n${stderr}`, { cause: error })
  }
}

/** Without what npm and Vitest tell their children about the project that they work on. */
export function shellEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^npm_(?!config_(registry|userconfig|cache)$)|^NODE_ENV$|^VITEST/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

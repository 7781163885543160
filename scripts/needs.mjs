// The programs that the tests need and npm does not bring.
// Invariant: nothing is installed unless something is missing, and what cannot be installed is named in one line.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, say } from './run.mjs'

/** `any`: names under which the program may be found; `debian`: the package that brings it. */
const ofTests = [
  { any: ['chromium', 'chromium-browser', 'google-chrome'], debian: 'chromium' },
  { any: ['redis-server'], debian: 'redis-server' },
]

/** @returns {Promise<boolean>} whether everything is there now */
export async function ensureNeeds(needs = ofTests) {
  const lacking = missing(needs)
  if (lacking.length === 0) return true

  const packages = lacking.map(need => need.debian)
  const apt = await aptCommand()
  if (apt) {
    const since = performance.now()
    say('needs', `installing ${packages.join(', ')}`)
    const updated = await run(apt[0], [...apt.slice(1), 'update'], { env: quiet })
    const installed = await run(apt[0], [...apt.slice(1), 'install', '-y', '--no-install-recommends', ...packages], {
      env: quiet,
    })
    if (missing(needs).length === 0) {
      say('needs', `installed ${packages.join(', ')}`, since)
      return true
    }
    process.stderr.write(updated.code === 0 ? installed.output : updated.output + installed.output)
  }
  say(
    'needs',
    `missing on this machine: ${packages.join(', ')}. Install them (Debian: apt-get install ${packages.join(' ')}) and try again`,
  )
  return false
}

const quiet = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }

function missing(needs) {
  return needs.filter(need => !need.any.some(onPath))
}

function onPath(name) {
  return (process.env.PATH ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false // not in this folder
    }
  })
}

/** How apt-get can be called here without asking anybody, or undefined. */
async function aptCommand() {
  if (!onPath('apt-get')) return undefined
  if (process.getuid?.() === 0) return ['apt-get']
  // env: sudo drops the environment, and apt must not stop to ask.
  if (onPath('sudo') && (await run('sudo', ['-n', 'true'])).code === 0) {
    return ['sudo', '-n', 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get']
  }
  return undefined
}

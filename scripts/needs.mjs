// The programs that the tests need and npm does not bring.
// Invariant: nothing is installed unless something is missing, what cannot be installed is named in one line, and no service is left
// running that was not there before: the tests start programs themselves.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, say } from './run.mjs'

/** `any`: names under which the program may be found; `debian`: the package that brings it; `service`: what that package starts. */
const ofTests = [
  { any: ['chromium', 'chromium-browser', 'google-chrome'], debian: 'chromium' },
  { any: ['redis-server'], debian: 'redis-server', service: 'redis-server' },
  { any: ['nginx'], debian: 'nginx', service: 'nginx' },
  { any: ['haproxy'], debian: 'haproxy', service: 'haproxy' },
  { any: ['openssl'], debian: 'openssl' },
  { any: ['curl'], debian: 'curl' },
  { any: ['systemd-analyze'], debian: 'systemd' },
  { any: ['prometheus'], debian: 'prometheus', service: 'prometheus' },
]

/** @returns {Promise<boolean>} whether everything is there now */
export async function ensureNeeds(needs = ofTests) {
  const lacking = missing(needs)
  if (lacking.length === 0) return true

  const packages = lacking.map(need => need.debian)
  const asRoot = onPath('apt-get') ? await rootRun() : undefined
  if (asRoot) {
    const since = performance.now()
    say('needs', `installing ${packages.join(', ')}`)
    const updated = await asRoot('apt-get', 'update')
    const installed = await asRoot('apt-get', 'install', '-y', '--no-install-recommends', ...packages)
    const services = lacking.flatMap(need => need.service ?? [])
    // Where there is no systemd, as in a container, this fails and nothing has been started.
    if (services.length > 0 && onPath('systemctl')) await asRoot('systemctl', 'disable', '--now', ...services)
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
  return folders().some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false // not in this folder
    }
  })
}

/** Debian keeps servers in sbin, which is on root's PATH only. */
function folders() {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
}

/** Runs a program as root without asking anybody; undefined: that cannot be done here. */
async function rootRun() {
  if (process.getuid?.() === 0) return (program, ...args) => run(program, args, { env: quiet })
  // env: sudo drops the environment, and apt must not stop to ask.
  if (onPath('sudo') && (await run('sudo', ['-n', 'true'])).code === 0)
    return (...command) => run('sudo', ['-n', 'env', 'DEBIAN_FRONTEND=noninteractive', ...command])
  return undefined
}

// What the lock file promises about the packages that come along.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
}

const lock: { readonly packages: Readonly<Record<string, Locked>> } = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', '..', 'package-lock.json'), 'utf8'),
)
const locked = Object.entries(lock.packages).filter(([path]) => path !== '')

it('the lock file ties the packages to no host: npm takes them from the registry of whoever installs', () => {
  expect(locked.length).toBeGreaterThan(100)
  expect(locked.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([])
})

it('the lock file ties every package to its content', () => {
  expect(locked.filter(([, entry]) => entry.integrity === undefined && !entry.link).map(([path]) => path)).toEqual([])
})

// Earlier versions have published advisories; `overrides` in package.json keeps every copy above them.
it.each([
  ['engine.io', [6, 6, 11]],
  ['ws', [8, 21, 1]],
  ['socket.io-parser', [4, 2, 7]],
] as const)('every copy of %s is at least %j', (name, least) => {
  const copies = locked.filter(([path]) => path === `node_modules/${name}` || path.endsWith(`/node_modules/${name}`))
  expect(copies.length).toBeGreaterThan(0)
  expect(copies.filter(([, entry]) => isOlder(entry.version!, least)).map(([path, entry]) => `${path} ${entry.version}`)).toEqual(
    [],
  )
})

it('[the check itself] versions are compared number by number, and a prerelease comes before its release', () => {
  const ours = ['6.6.10', '6.6.11', '6.6.11-rc.1', '6.10.0', '5.99.99', '7.0.0-alpha']
  expect(ours.filter(version => isOlder(version, [6, 6, 11]))).toEqual(['6.6.10', '6.6.11-rc.1', '5.99.99'])
})

function isOlder(version: string, least: readonly [number, number, number]): boolean {
  const [numbers, prerelease] = version.split('-', 2)
  const parts = numbers!.split('.').map(Number)
  const at = least.findIndex((part, index) => parts[index] !== part)
  return at === -1 ? prerelease !== undefined : parts[at]! < least[at]!
}

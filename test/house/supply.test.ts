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

/** Below these there are published advisories; `overrides` in package.json keeps every copy above them where a range alone would not. */
const least: readonly (readonly [name: string, least: readonly [number, number, number], why: string])[] = [
  [
    'engine.io',
    [6, 6, 11],
    'CVE-2026-102599, CVE-2026-59725, GHSA-gr94-w7qr-f4j3, CVE-2023-31125, CVE-2022-41940, CVE-2022-21676',
  ],
  ['ws', [8, 21, 1], 'CVE-2026-62389, CVE-2026-48779, CVE-2026-45736, CVE-2024-37890'],
  ['socket.io-parser', [4, 2, 7], 'CVE-2026-69185, CVE-2026-33151, CVE-2023-32695, CVE-2022-2421'],
  ['socket.io', [4, 6, 2], 'CVE-2024-38355'],
  ['msgpackr', [1, 10, 1], 'CVE-2023-52079'],
]

it.each(least)('[P5] every copy of %s is at least %j: %s', (name, least) => {
  const copies = locked.filter(([path]) => path === `node_modules/${name}` || path.endsWith(`/node_modules/${name}`))
  expect(copies.length).toBeGreaterThan(0)
  expect(copies.filter(([, entry]) => isOlder(entry.version!, least)).map(([path, entry]) => `${path} ${entry.version}`)).toEqual(
    [],
  )
})

// msgpack5: CVE-2021-21368 and CVE-2026-107301 let a packet into a prototype. The others: one packet, and the process is gone or hangs.
// notepack.io comes with the official Redis adapter, and reads only what servers say to each other.
it('[P5] MessagePack parsers that one packet can poison or crash are not there at all, in the lock file or in what is installed', () => {
  const parsers = ['socket.io-msgpack-parser', 'msgpack5', 'msgpack-lite', '@msgpack/msgpack']
  const paths = locked.map(([path]) => path)
  const installed = readFileSync(join(import.meta.dirname, '..', '..', 'node_modules', '.package-lock.json'), 'utf8')
  expect(parsers.filter(name => paths.some(path => `/${path}`.endsWith(`/node_modules/${name}`)))).toEqual([])
  expect(parsers.filter(name => installed.includes(`node_modules/${name}"`))).toEqual([])
})

it('[P5] what is installed is what the lock file says', () => {
  const installed: typeof lock = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', '..', 'node_modules', '.package-lock.json'), 'utf8'),
  )
  const others = Object.entries(installed.packages).filter(([path, { version }]) => lock.packages[path]?.version !== version)
  expect(others.map(([path]) => path)).toEqual([])
})

it('[P5] package.json holds what is nested above them too, and SECURITY.md tells an application to do the same', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'SECURITY.md'), 'utf8')
  const told = JSON.parse(/```json\n([^`]+)```/.exec(page)![1]!) as { overrides: Readonly<Record<string, string>> }
  const { overrides } = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as typeof told
  for (const held of [overrides, told.overrides]) {
    const nested = least.filter(([name]) => ['engine.io', 'ws', 'socket.io-parser'].includes(name))
    expect(nested.filter(([name, least]) => isOlder(held[name]!.replace(/^\^/, ''), least)).map(([name]) => name)).toEqual([])
  }
  expect(told.overrides).toEqual(Object.fromEntries(Object.keys(told.overrides).map(name => [name, overrides[name]])))
})

it('[P5] whoever installs inkwell beside others gets no older ones either: its own ranges begin above them', () => {
  const root = (lock.packages[''] as { dependencies?: Readonly<Record<string, string>> } | undefined)?.dependencies ?? {}
  const direct = least.filter(([name]) => name in root)
  expect(direct.length).toBeGreaterThan(0)
  expect(direct.filter(([name, least]) => isOlder(root[name]!.replace(/^[^\d]*/, ''), least)).map(([name]) => name)).toEqual([])
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

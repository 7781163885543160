// The unit for systemd, as systemd itself reads it, and held against the command.

import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { configurationOf } from '../../src/cli/configuration.ts'
import { afterwards } from '../server/worlds.ts'
import { shipped } from './proxies.ts'

const text = shipped('inkwell.service')
const all = (name: string): string[] => [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value!)

const analyze = (...words: readonly string[]): Promise<{ readonly code: number; readonly said: string }> =>
  new Promise(resolve =>
    execFile('systemd-analyze', words, { env: { ...process.env, SYSTEMD_COLORS: '0' } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : 1, said: out + err }),
    ),
  )

const copied = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-systemd-'))
  afterwards(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'inkwell.service')
  copyFileSync(new URL('../../deploy/inkwell.service', import.meta.url), path)
  return path
}

it('systemd understands every line of it', async () => {
  const path = copied()
  expect(await analyze('verify', path)).toEqual({ code: 0, said: '' })
  writeFileSync(path, text.replace('ProtectHome=yes', 'ProtectHomes=yes'))
  expect((await analyze('verify', path)).said).toContain('ProtectHomes')
})

it('systemd finds little that it could still take away from it: an exposure below 2 of 10', async () => {
  expect(await analyze('security', '--offline=yes', '--threshold=20', copied())).toMatchObject({ code: 0 })
})

it('its settings are sound, a faulty configuration is not tried again, and it has the time that a stop takes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-systemd-'))
  afterwards(() => rmSync(folder, { recursive: true }))
  for (const credential of all('LoadCredential')) writeFileSync(join(folder, credential.split(':')[0]!), 'x'.repeat(64))
  const environment = Object.fromEntries(
    all('Environment').map(line => line.replace('%d', folder).replace('%S', '/var/lib').split('=') as [string, string]),
  )
  const read = configurationOf({}, environment) as Exclude<ReturnType<typeof configurationOf>, readonly string[]>
  expect(read).toMatchObject({ store: { kind: 'embedded', path: '/var/lib/inkwell' }, admin: { port: 9100 } })
  expect(all('StateDirectory')).toEqual(['inkwell'])
  expect(Number(all('TimeoutStopSec')[0]) * 1_000).toBeGreaterThanOrEqual(read.stopWithin + 2_000)
  expect(all('RestartPreventExitStatus')).toEqual(['2'])
})

// What `npm test` does on a machine that lacks a program, acted out with an apt-get of our own.

import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'

const script = pathToFileURL(join(import.meta.dirname, '..', '..', 'scripts', 'needs.mjs')).href
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'inkwell-needs-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

it('a machine that has everything is left alone', async () => {
  program('quill', 'exit 0')
  program('apt-get', `echo "$@" >> ${folder}/calls`)
  expect(await ensure()).toEqual({ code: 0, said: '' })
  expect(() => readFileSync(join(folder, 'calls'))).toThrow('ENOENT')
})

it('what is missing is installed by apt-get where nobody has to be asked', async () => {
  program('sudo', 'while [ "$1" = "-n" ]; do shift; done; exec "$@"') // for whoever runs the tests without being root
  symlinkSync('/usr/bin/env', join(folder, 'env'))
  program('true', 'exit 0')
  program('apt-get', `echo "$DEBIAN_FRONTEND $@" >> ${folder}/calls; [ "$1" = update ] || ${link('quill')}`)
  const { code, said } = await ensure()
  expect(said).toMatch(/^needs: installing quill\nneeds: installed quill \(.* s\)\n$/)
  expect(code).toBe(0)
  expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe(
    'noninteractive update\nnoninteractive install -y --no-install-recommends quill\n',
  )
})

it('a service that came with it is stopped, now and at the next start of the machine', async () => {
  program('sudo', 'while [ "$1" = "-n" ]; do shift; done; exec "$@"')
  symlinkSync('/usr/bin/env', join(folder, 'env'))
  program('true', 'exit 0')
  program('systemctl', `echo "systemctl $@" >> ${folder}/calls; exit 1`)
  program('apt-get', `[ "$1" = update ] || ${link('quill')}`)
  expect((await ensure({ service: 'quilld' })).code).toBe(0)
  expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe('systemctl disable --now quilld\n')
})

it('what cannot be installed is named in one line', async () => {
  expect(await ensure()).toEqual({
    code: 1,
    said: 'needs: missing on this machine: quill. Install them (Debian: apt-get install quill) and try again\n',
  })
})

it('an apt-get that fails is quoted', async () => {
  program('sudo', 'while [ "$1" = "-n" ]; do shift; done; exec "$@"')
  symlinkSync('/usr/bin/env', join(folder, 'env'))
  program('true', 'exit 0')
  program('apt-get', 'echo "no space left"; exit 100')
  const { code, said } = await ensure()
  expect(code).toBe(1)
  expect(said).toContain('no space left')
  expect(said).toMatch(/needs: missing on this machine: quill\..*\n$/)
})

/** Puts a program on the only PATH that the script under test sees. */
function program(name: string, body: string) {
  writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`)
  chmodSync(join(folder, name), 0o755)
}

function link(name: string) {
  return `/bin/ln -s /bin/sh ${join(folder, name)}`
}

function ensure(more: { service?: string } = {}): Promise<{ code: number; said: string }> {
  const need = JSON.stringify({ any: ['pen', 'quill'], debian: 'quill', ...more })
  const code = `const { ensureNeeds } = await import(${JSON.stringify(script)}); process.exitCode = (await ensureNeeds([${need}])) ? 0 : 1`
  return new Promise(resolve => {
    const child = execFile(
      process.execPath,
      ['--input-type=module', '--eval', code],
      { env: { PATH: folder } },
      (_error, out, err) => resolve({ code: child.exitCode ?? -1, said: err + out }),
    )
  })
}

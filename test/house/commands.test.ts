// The documents and the command know the same commands, flags and variables.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Run } from '../nodes.ts'
import { commandsPage, commandsText, described, flagsOf } from './commands.ts'

const root = join(import.meta.dirname, '..', '..')
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
]
const manifests = ['deploy/inkwell.service', 'deploy/kubernetes/inkwell.yaml']

it('docs/COMMANDS.md is what the sources make of it: npx tsx scripts/commands.ts', () => {
  expect(readFileSync(commandsPage, 'utf8')).toBe(commandsText())
})

it('the help lists these commands and no other', async () => {
  const help = new Run(['--help'])
  await help.ended
  const listed = [...help.out.slice(help.out.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name!)
  expect(listed.filter(name => name !== 'help').sort()).toEqual(Object.keys(described).sort())
})

it.each([...pages, ...manifests])('%s names no command, flag or variable of inkwell that is not there', page => {
  const text = readFileSync(join(root, page), 'utf8')
  const all = Object.values(described).flatMap(({ settings }) => flagsOf(settings))
  const flags = new Set(['--help', ...all.map(([flag]) => flag.split(' ')[0]!)])
  const variables = new Set(all.flatMap(([, variable]) => variable ?? []))
  // What HAProxy's own file reads from its environment.
  const foreign = /^INKWELL_(LISTEN|NODE|STATUS)/
  const unknown = [...text.matchAll(/\bINKWELL_[A-Z][A-Z_]*[A-Z]/g)]
    .map(([name]) => name)
    .filter(name => !variables.has(name) && !foreign.test(name))
  expect(unknown).toEqual([])
  const lines = [...text.matchAll(/\binkwell ([a-z-]+)((?: [^`\n#|]*)?)/g)]
  const commanded = lines.filter(([, name]) => name! in described)
  const wrong = commanded.flatMap(([line, , rest]) =>
    [...rest!.matchAll(/(?<![\w-])--[a-z-]+/g)].filter(([flag]) => !flags.has(flag)).map(() => line),
  )
  expect(wrong).toEqual([])
})

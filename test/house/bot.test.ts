// The example of a program that edits a document, run as a user runs it: by Node alone, with the package as it is built.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { connect, type TextDocument } from '../../src/client/index.ts'
import { afterwards, serving } from '../server/worlds.ts'
import { shellEnvironment } from './run.ts'

const root = join(import.meta.dirname, '..', '..')

it('examples/bot.mjs writes beside a person, and ends by itself when it is told to', async () => {
  const url = await serving()
  const client = connect(url)
  afterwards(() => client.close())
  const doc = await client.open('meeting-notes')
  doc.insert(0, 'Notes of :today:')
  await doc.settled()
  const bot = spawn(process.execPath, ['examples/bot.mjs', url, 'meeting-notes'], {
    cwd: root,
    env: shellEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  afterwards(() => bot.kill('SIGKILL'))
  let said = ''
  bot.stdout.on('data', chunk => (said += chunk))
  const ended = new Promise(resolve => bot.once('exit', resolve))
  await shows(doc, /^Notes of \d{4}-\d\d-\d\d\nThe bot is here\.$/)
  doc.insert(0, ':today::today: ')
  await shows(doc, /^\d{4}-\d\d-\d\d\d{4}-\d\d-\d\d Notes of \d{4}/)
  bot.kill('SIGTERM')
  expect(await ended).toBe(0)
  expect(said).toMatch(/^bot: in meeting-notes at version \d+\nbot: gone\n$/)
})

const shows = (doc: TextDocument, pattern: RegExp): Promise<void> =>
  new Promise(resolve => {
    const look = () => {
      if (!pattern.test(doc.text)) return
      stop()
      resolve()
    }
    const stop = doc.on('change', look)
    look()
  })

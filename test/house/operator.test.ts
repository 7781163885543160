// docs/OPERATOR.md: its commands run in their order, with the built command, a server and two Redis; and no command of an operator is missing.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { operations } from '../../src/cli/operations.ts'
import { connect } from '../../src/client/index.ts'
import { freePort } from '../ports.ts'
import { RedisServer } from '../redis.ts'
import { shellEnvironment } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const text = readFileSync(join(root, 'docs', 'OPERATOR.md'), 'utf8')
const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, , code]) => code!.trim().split('\n'))
const [serve, look, act, carry, into, move, finish, ...others] = blocks as string[][]

const folder = mkdtempSync(join(tmpdir(), 'inkwell-operator-'))
const ports = new Map<string, string>()
const redis: RedisServer[] = []
let server: ChildProcess | null = null
const token = 'sixteen-or-more-characters'

beforeAll(async () => {
  for (const port of ['3000', '3100']) ports.set(port, String(await freePort()))
  for (const port of ['6379', '6380']) {
    redis.push(await RedisServer.start())
    ports.set(port, String(redis.at(-1)!.port))
  }
})
afterAll(async () => {
  server?.kill('SIGKILL')
  await Promise.all(redis.map(each => each.discard()))
  rmSync(folder, { recursive: true })
})

/** The words of a command on this machine: the built package, free ports, a directory of the test's own. */
const wordsOf = (line: string): readonly string[] => {
  const here = [...ports].reduce((line, [port, free]) => line.replaceAll(new RegExp(`\\b${port}\\b`, 'g'), free), line)
  const words = here.replaceAll('"', '').replaceAll('$PWD', folder).split(' ')
  expect(words.slice(0, 2)).toEqual(['npx', 'inkwell'])
  return words.slice(2)
}

const begin = (line: string): ChildProcess =>
  spawn(process.execPath, [join(root, 'dist', 'cli', 'main.js'), ...wordsOf(line)], {
    cwd: folder,
    env: {
      ...shellEnvironment(),
      INKWELL_ADMIN_TOKEN: token,
      // What is typed without a place goes to the server.
      ...(/ (serve|migrate|doctor)|--store/.test(line) ? {} : { INKWELL_ADMIN_URL: `http://127.0.0.1:${ports.get('3100')}` }),
      ...(line.includes('doctor') ? { PORT: ports.get('3000')! } : {}),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })

/** What a command prints. */
const does = async (line: string): Promise<string> => {
  const child = begin(line)
  let [out, said] = ['', '']
  child.stdout!.on('data', chunk => (out += chunk))
  child.stderr!.on('data', chunk => (said += chunk))
  const code = await new Promise(resolve => child.once('close', resolve))
  expect([line, code, said.replace(/^(exported|imported|closed|\S+ is a whole copy|\d+ documents are in).*\n/, '')]).toEqual([
    line,
    0,
    '',
  ])
  return out
}

const inTurn = async (lines: readonly string[] | undefined): Promise<string[]> => {
  const said: string[] = []
  for (const line of lines ?? []) said.push(await does(line))
  return said
}

it('[P7] an operator does what the page says, as it says', async () => {
  server = begin(serve![0]!)
  server.stdout!.resume()
  server.stderr!.resume()
  const url = `http://127.0.0.1:${ports.get('3000')}`
  while (
    !(await fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(50)
  const client = connect(url)
  const [minutes, scratch] = await Promise.all(['minutes', 'scratch'].map(doc => client.open(doc)))
  minutes!.insert(0, 'All was well.')
  await minutes!.settled('durable')
  minutes!.insert(0, 'Yes. ')
  scratch!.insert(0, 'a scratch')
  await Promise.all([minutes, scratch].map(doc => doc!.settled('durable')))

  const [doctor, documents, busy, connections, cat, at, log, verify] = await inTurn(look)
  expect(doctor).toContain('ok\tserver\t')
  expect(documents).toMatch(/^minutes\t2\t.*\nscratch\t1\t/)
  expect(busy).toMatch(/minutes\t2\t/)
  expect(connections).toContain('\tminutes')
  expect([cat, at]).toEqual(['Yes. All was well.', 'All was well.'])
  expect(
    log!
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).version),
  ).toEqual([1, 2])
  expect(verify).toBe('sound: 2 documents with 3 commits\n')

  const restored = new Promise<void>(resolve => minutes!.on('change', () => minutes!.text === 'All was well.' && resolve()))
  const [version] = await inTurn(act)
  expect(version).toBe('3\n')
  await restored
  await inTurn(carry)
  expect(existsSync(join(folder, 'copy', 'data.mdb'))).toBe(true)
  const [, sound] = await inTurn(into)
  expect(sound).toBe('sound: 1 document with 3 commits\n')

  await inTurn(move)
  await client.close()
  const ended = new Promise(resolve => server!.once('exit', resolve))
  server.kill('SIGTERM')
  expect(await ended).toBe(0)
  await inTurn(finish)
  expect(await does(`npx inkwell cat minutes --store redis://localhost:6380`)).toBe('All was well.')
  expect(others).toEqual([])
})

it('every command of an operator is on the page or on that of operations', () => {
  const pages = text + readFileSync(join(root, 'docs', 'OPERATIONS.md'), 'utf8')
  expect(Object.keys(operations).filter(name => !new RegExp(`(inkwell |\`)${name}\\b`).test(pages))).toEqual([])
})

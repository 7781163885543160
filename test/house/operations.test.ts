// docs/OPERATIONS.md: its commands run in their order with the real programs, its table of settings is the command's own, and what it
// says of the log is what the log says.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { settings } from '../../src/cli/configuration.ts'
import type { Setting } from '../../src/cli/settings.ts'
import { connect } from '../../src/client/index.ts'
import { freePort } from '../ports.ts'
import { run, shellEnvironment } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const text = readFileSync(join(root, 'docs', 'OPERATIONS.md'), 'utf8')
const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
  language: language!,
  lines: code!.trim().split('\n'),
}))
const [oneNode, looks, manyNodes, hang, off, death, emptied, backup, restore, ...others] = blocks.map(({ lines }) => lines)

const folder = mkdtempSync(join(tmpdir(), 'inkwell-operations-'))
const ports = new Map<string, string>()
const running = new Set<ChildProcess>()
const killAll = (): void => {
  for (const child of running) end(child, 'SIGKILL')
}
process.on('exit', killAll)

beforeAll(async () => {
  symlinkSync(join(root, 'deploy'), join(folder, 'deploy'))
  mkdirSync(join(folder, 'redis'))
  for (const port of ['3000', '3001', '3002', '6379', '8080', '8404']) ports.set(port, String(await freePort()))
})
afterAll(() => {
  killAll()
  rmSync(folder, { recursive: true })
})

/** The command on this machine: on free ports of its own address, with the built package, in a directory of the test's own. */
const here = (line: string): string =>
  [...ports]
    .reduce((line, [port, free]) => line.replaceAll(new RegExp(`\\b${port}\\b`, 'g'), free), line)
    .replace('npx inkwell', `"${process.execPath}" "${join(root, 'dist', 'cli', 'main.js')}"`)
    .replace('0.0.0.0', '127.0.0.1')
    .replace('LISTEN=:', 'LISTEN=127.0.0.1:')
    .replace('redis-server deploy/redis.conf', `redis-server deploy/redis.conf --port ${ports.get('6379')}`)
    .replaceAll('/var/lib/redis', join(folder, 'redis'))

const environment = () => ({
  ...shellEnvironment(),
  PATH: `${process.env.PATH ?? ''}:/usr/sbin`,
  INKWELL_STATUS: `127.0.0.1:${ports.get('8404')}`,
})

const inShell = (...lines: readonly string[]): Promise<string> =>
  run('bash', ['-e', '-o', 'pipefail', '-c', lines.map(here).join('\n')], folder)

/** Starts what runs until it is stopped. */
const starts = (line: string): ChildProcess => {
  const { INKWELL_STATUS, ...rest } = environment()
  const env = line.includes('haproxy') ? { ...rest, INKWELL_STATUS } : rest // the nodes know no such setting
  // A group of its own, since the shell may stand between.
  const child = spawn('bash', ['-c', here(line)], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  let said = ''
  child.stderr!.on('data', chunk => (said += chunk))
  running.add(child)
  child.on('exit', code => {
    if (running.delete(child) && code !== null) console.error(`${line} ended with ${code}: ${said}`)
  })
  return child
}

const end = (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  running.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  process.kill(-child.pid!, signal)
  return gone
}

const answering = async (path: string): Promise<void> => {
  const ok = (): Promise<boolean> =>
    fetch(here(`http://localhost:${path}`)).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await ok())) await sleep(50)
}

const redisAnswering = async (): Promise<void> => {
  while (!(await inShell('redis-cli -p 6379 ping').catch(() => '')).includes('PONG')) await sleep(50)
}

it('there is no command that these tests do not run', () => {
  expect(blocks.map(({ language }) => language)).toEqual(Array(9).fill('sh'))
  expect(others).toEqual([])
})

it('one node starts, lives and is ready, as told', async () => {
  const [line] = oneNode as [string]
  const node = starts(line)
  await answering('3000/livez')
  expect(await inShell(...looks!)).toBe('{"status":"ok"}{"status":"ok"}')
  expect(existsSync(join(folder, 'inkwell-data'))).toBe(true)
  await end(node, 'SIGTERM')
})

it('[P4] many nodes run as told; and a backup taken as told brings back every document when it is put back as told; the drills go as told', async () => {
  const [redis, first, second, haproxy] = manyNodes as [string, string, string, string]
  const begin = async (): Promise<ChildProcess[]> => {
    const store = starts(redis)
    await redisAnswering()
    const rest = [first, second, haproxy].map(starts)
    for (const path of ['3001/readyz', '3002/readyz', '8080/proxyz']) await answering(path)
    return [...rest, store]
  }
  const programs = await begin()
  const clients = [{}, { transports: ['polling'] }].map(options => connect(here('http://localhost:8080'), options as object))
  const docs = await Promise.all(clients.map(client => client.open('minutes')))
  docs[0]!.insert(0, 'what is kept')
  await docs[0]!.settled('durable')
  await answering('8404/metrics')

  expect(await inShell(...backup!)).toContain('OK')
  docs[1]!.insert(0, 'what came after the backup, ')
  await docs[1]!.settled('durable')
  await Promise.all(clients.map(client => client.close()))
  for (const program of programs) await end(program, 'SIGTERM')

  await inShell(...restore!)
  const again = await begin()
  const reader = connect(here('http://localhost:8080'))
  expect((await reader.open('minutes')).text).toBe('what is kept')

  // What the table of mishaps says to do, while there is a Redis to say it to.
  const mending = [...text.matchAll(/`(redis-cli config set [^`]+)`/g)].map(([, command]) => command!)
  expect(mending.length).toBe(3)
  for (const command of mending) expect(await inShell(command.replace('redis-cli', 'redis-cli -p 6379'))).toBe('OK\n')

  // The drills, with somebody who types.
  const doc = await reader.open('minutes')
  const typing = setInterval(() => doc.insert(doc.length, '.'), 200)
  await inShell(...hang!)
  await inShell(...off!)
  await inShell(...death!)
  again.push(starts(second))
  await inShell(hang!.at(-1)!) // well again
  await inShell(...emptied!)
  clearInterval(typing)
  await doc.settled('durable')
  expect(doc.text).toMatch(/^what is kept\.+$/)

  await reader.close()
  for (const program of again) await end(program, 'SIGTERM')
})

it('the table of settings is that of the command', () => {
  const rows = Object.values(settings as Record<string, Setting>).map(({ flag, variable, otherwise, says }) => {
    const cells = [`\`${flag}\``, `\`${variable}\``, otherwise === undefined ? '' : `\`${otherwise}\``, says]
    return `| ${cells.join(' | ')} |`
  })
  const start = text.indexOf('| Flag | Variable |')
  const table = text.slice(start, text.indexOf('\n\n', start)).split('\n').slice(2)
  expect(table).toEqual(rows)
})

it('what it quotes from the log and of Redis’ settings is what the sources say', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .map(path => readFileSync(join(root, 'src', path), 'utf8'))
    .join('\n')
  const quoted = [...text.matchAll(/"msg":"([^"]+)"/g)].map(([, message]) => message!)
  expect(new Set(quoted).size).toBeGreaterThan(5)
  expect(quoted.filter(message => !sources.includes(`'${message}'`))).toEqual([])
  for (const sentence of ['Redis evicts keys when its memory is full', 'no answer', 'no connection']) {
    expect(text).toContain(sentence)
    expect(sources).toContain(sentence)
  }
})

it('every bench that it names is there, and every heading that it points to', () => {
  const benches = [...text.matchAll(/npm run bench -- (\w+)/g)].map(([, name]) => name!)
  expect(benches.length).toBeGreaterThan(3)
  expect(benches.filter(name => !existsSync(join(root, 'bench', `${name}.ts`)))).toEqual([])
  const headings = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w ]/g, '')
      .replaceAll(' ', '-'),
  )
  const pointed = [...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor!)
  expect(pointed.filter(anchor => !headings.includes(anchor))).toEqual([])
})

// The command as an operator meets it: started, spoken to, told to stop.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createServer, embeddedStore } from '../../src/server/index.ts'
import { Pen } from '../server/raw.ts'
import { afterwards, opens } from '../server/worlds.ts'

const root = join(import.meta.dirname, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'inkwell-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

interface Run {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  /** The code with which it ended, or the signal. */
  readonly ended: Promise<number | string>
}

const inkwell = (args: readonly string[], environment: Record<string, string> = {}): Run => {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'src', 'cli', 'main.ts'), ...args], {
    cwd: root,
    env: { PATH, HOME, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const said = { out: '', err: '' }
  child.stdout.on('data', chunk => (said.out += chunk))
  child.stderr.on('data', chunk => (said.err += chunk))
  const ended = new Promise<number | string>(resolve => child.on('close', (code, signal) => resolve(code ?? signal!)))
  return { child, out: () => said.out, err: () => said.err, ended }
}

const lines = (run: Run): Record<string, unknown>[] =>
  run
    .out()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>)

/** The line with which it says that it listens. */
const listening = async (run: Run): Promise<Record<string, unknown>> => {
  const found = (): Record<string, unknown> | undefined => lines(run).find(line => 'url' in line)
  while (found() === undefined) {
    const more = new Promise(resolve => run.child.stdout!.once('data', resolve))
    const end = await Promise.race([more.then(() => null), run.ended])
    if (end !== null) throw new Error(`it ended with ${end}: ${run.err()}`)
  }
  return found()!
}

describe('serve', () => {
  it('says in JSON what listens where, what is kept how, and loudly that anybody may enter', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const line = await listening(run)
    expect(line).toMatchObject({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      store: 'memory:',
      durability: 'memory',
    })
    expect(line.msg).toMatch(/anybody may enter/)
    expect(lines(run).find(({ level }) => level === 40)?.msg).toMatch(/^ANYBODY MAY ENTER/)
    expect(run.out()).not.toContain('\u001b')
    expect(await (await fetch(`${line.url}/readyz`)).json()).toEqual({ status: 'ok' })
    run.child.kill('SIGINT')
    expect(await run.ended).toBe(0)
  })

  it('[P2] stops cleanly on SIGTERM while people type: every edit that was confirmed is there afterwards', async () => {
    const path = join(folder, 'data')
    const run = inkwell(['serve', '--port', '0', '--store', `embedded:${path}`])
    const url = (await listening(run)).url as string
    const pens = [await Pen.opens(url, 'notes'), await Pen.opens(url, 'notes'), await Pen.opens(url, 'notes', { form: 'json' })]
    let confirmed = 0
    let stopped = false
    const typing = pens.map(async pen => {
      while (!stopped) {
        const result = await Promise.race([pen.types('x').then(() => 'confirmed'), pen.client.down])
        if (result !== 'confirmed') return
        if (++confirmed === 50) run.child.kill('SIGTERM')
      }
    })
    expect(await run.ended).toBe(0)
    stopped = true
    await Promise.all(typing)
    for (const pen of pens) pen.client.close()
    expect(confirmed).toBeGreaterThanOrEqual(50)
    expect(lines(run).at(-1)).toMatchObject({ msg: 'stopped' })

    const server = await createServer({ store: embeddedStore({ path }), logger: 'silent' })
    afterwards(() => server.close())
    const reader = await opens((await server.listen(0)).url, 'notes')
    expect(reader.shows).toMatch(/^x+$/)
    expect(reader.shows.length).toBeGreaterThanOrEqual(confirmed)
    expect(reader.at.version).toBe(reader.shows.length)
  })

  it('tells every fault of its configuration in one report, and listens to nothing', async () => {
    const run = inkwell(['serve', '--port', 'many', '--log-level', 'loud'], {
      INKWELL_STORE: 'redis://localhost/first',
      INKWELL_PROT: '1',
    })
    expect(await run.ended).toBe(2)
    expect(run.err().split('\n')).toEqual([
      'inkwell: the configuration has 4 faults',
      expect.stringContaining('--port: '),
      expect.stringContaining('INKWELL_STORE: a database is a number'),
      expect.stringContaining('--log-level: '),
      expect.stringContaining('INKWELL_PROT: there is no such setting'),
      '',
    ])
    expect(run.out()).toBe('')
  })

  it('an unknown flag, an origin that is none, and a port that is taken are faults of the configuration too', async () => {
    const first = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const port = new URL((await listening(first)).url as string).port
    const unknown = inkwell(['serve', '--colour'])
    const taken = inkwell(['serve', '--port', port, '--store', 'memory:'])
    const origin = inkwell(['serve', '--port', '0', '--store', 'memory:', '--origins', 'example.com'])
    expect(await Promise.all([unknown, taken, origin].map(run => run.ended))).toEqual([2, 2, 2])
    expect(taken.err()).toContain('EADDRINUSE')
    expect(origin.err()).toContain('origins.0')
  })

  it('in production it starts for nobody, as long as it cannot ask who they are', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'], { NODE_ENV: 'production' })
    expect(await run.ended).toBe(2)
    expect(run.err()).toContain('authentication')
  })

  it('a second signal hurries', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const url = (await listening(run)).url as string
    const pen = await Pen.opens(url, 'notes')
    // A client that does not answer keeps the first stop waiting for a second.
    const { transport } = pen.client.socket.io.engine as unknown as { transport: { ws: { _socket: { pause(): void } } } }
    transport.ws._socket.pause()
    run.child.kill('SIGTERM')
    run.child.kill('SIGINT')
    expect(await run.ended).toBe(1)
    expect(lines(run).at(-1)).toMatchObject({ msg: 'asked again: stopping at once' })
    pen.client.close()
  })
})

it('--version and --help say what they should', async () => {
  const [version, help] = [inkwell(['--version']), inkwell(['serve', '--help'])]
  expect(await Promise.all([version.ended, help.ended])).toEqual([0, 0])
  expect(version.out()).toMatch(/^\d+\.\d+\.\d+\n$/)
  for (const flag of ['--port', '--host', '--store', '--demo', '--log-level', '--origins', '--transports'])
    expect(help.out()).toContain(flag)
})

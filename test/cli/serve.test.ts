// The command as an operator meets it: started, spoken to, told to stop.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createServer, embeddedStore } from '../../src/server/index.ts'
import { Run } from '../nodes.ts'
import { Pen } from '../server/raw.ts'
import { afterwards, opens } from '../server/worlds.ts'

const folder = mkdtempSync(join(tmpdir(), 'inkwell-cli-'))
afterAll(() => rmSync(folder, { recursive: true }))

const inkwell = (args: readonly string[], environment: Record<string, string> = {}): Run => {
  const run = new Run(args, environment)
  afterwards(() => run.signal('SIGKILL'))
  return run
}

/** The line with which it says that it listens. */
const listening = (run: Run) => run.says(line => 'url' in line)

describe('serve', () => {
  it('says in JSON what listens where, what is kept how, and loudly that anybody may enter', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const line = await listening(run)
    expect(line).toMatchObject({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      store: 'memory:',
      durability: 'memory',
      trustProxy: 0,
    })
    expect(line.msg).toMatch(/anybody may enter/)
    expect(run.log.find(({ level }) => level === 40)?.msg).toMatch(/^ANYBODY MAY ENTER/)
    expect(run.out).not.toContain('\u001b')
    expect(await (await fetch(`${line.url}/readyz`)).json()).toEqual({ status: 'ok' })
    run.signal('SIGINT')
    expect(await run.ended).toBe(0)
  })

  it('[P7] says more on SIGUSR2, and less when it is said again', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const url = (await listening(run)).url as string
    run.signal('SIGUSR2')
    await run.says(({ logLevel }) => logLevel === 'debug')
    ;(await Pen.opens(url, 'notes')).client.close()
    await run.says(({ msg, doc }) => msg === 'joined' && doc === 'notes')
    run.signal('SIGUSR2')
    await run.says(({ logLevel }) => logLevel === 'info')
    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  it('[P2] stops cleanly on SIGTERM while people type: every edit that was confirmed is there afterwards', async () => {
    const path = join(folder, 'data')
    const run = inkwell(['serve', '--port', '0', '--store', `embedded:${path}`, '--trust-proxy', '2'])
    const line = await listening(run)
    const url = line.url as string
    expect(line.trustProxy).toBe(2)
    const pens = [await Pen.opens(url, 'notes'), await Pen.opens(url, 'notes'), await Pen.opens(url, 'notes', { form: 'json' })]
    let confirmed = 0
    let stopped = false
    const typing = pens.map(async pen => {
      while (!stopped) {
        const result = await Promise.race([pen.types('x').then(() => 'confirmed'), pen.client.down])
        if (result !== 'confirmed') return
        if (++confirmed === 50) run.signal('SIGTERM')
      }
    })
    expect(await run.ended).toBe(0)
    stopped = true
    await Promise.all(typing)
    for (const pen of pens) pen.client.close()
    expect(confirmed).toBeGreaterThanOrEqual(50)
    expect(run.log.at(-1)).toMatchObject({ msg: 'stopped' })

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
    expect(run.err.split('\n')).toEqual([
      'inkwell: the configuration has 4 faults',
      expect.stringContaining('--port: '),
      expect.stringContaining('INKWELL_STORE: a database is a number'),
      expect.stringContaining('--log-level: '),
      expect.stringContaining('INKWELL_PROT: there is no such setting'),
      '',
    ])
    expect(run.out).toBe('')
  })

  it('an unknown flag, an origin that is none, and a port that is taken are faults of the configuration too', async () => {
    const first = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const port = new URL((await listening(first)).url as string).port
    const unknown = inkwell(['serve', '--colour'])
    const taken = inkwell(['serve', '--port', port, '--store', 'memory:'])
    const origin = inkwell(['serve', '--port', '0', '--store', 'memory:', '--origins', 'example.com'])
    expect(await Promise.all([unknown, taken, origin].map(run => run.ended))).toEqual([2, 2, 2])
    expect(taken.err).toContain('EADDRINUSE')
    expect(origin.err).toContain('--origins: "example.com" is not an origin')
  })

  it('in production it starts for nobody, as long as it cannot ask who they are', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'], { NODE_ENV: 'production' })
    expect(await run.ended).toBe(2)
    expect(run.err).toContain('authentication')
  })

  it('stops also when nobody reads its log any more', async () => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    await listening(run)
    run.ignore()
    run.signal('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  it.each([
    ['a second signal hurries, and the end is clean', 2, 0, 'stopped'],
    ['a third signal ends it at once', 3, 1, 'asked a third time: stopping at once'],
  ])('%s', async (_, signals, code, last) => {
    const run = inkwell(['serve', '--port', '0', '--store', 'memory:'])
    const url = (await listening(run)).url as string
    const pen = await Pen.opens(url, 'notes')
    // A client that does not answer keeps the first stop waiting for a second.
    const { transport } = pen.client.socket.io.engine as unknown as { transport: { ws: { _socket: { pause(): void } } } }
    transport.ws._socket.pause()
    run.signal('SIGTERM')
    await run.says(({ msg }) => msg === 'stopping')
    for (let i = 1; i < signals; i++) run.signal(i % 2 === 1 ? 'SIGINT' : 'SIGTERM')
    expect(await run.ended).toBe(code)
    expect(run.log.at(-1)).toMatchObject({ msg: last })
    pen.client.close()
  })
})

it('--version and --help say what they should', async () => {
  const [version, help] = [inkwell(['--version']), inkwell(['serve', '--help'])]
  expect(await Promise.all([version.ended, help.ended])).toEqual([0, 0])
  expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/)
  for (const flag of ['--port', '--host', '--store', '--demo', '--log-level', '--origins', '--transports'])
    expect(help.out).toContain(flag)
})

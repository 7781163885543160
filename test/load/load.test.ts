// The load generator against a real server: what it counts is what was typed, refused and delivered.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { loadOf } from '../../src/cli/load.ts'
import { Histogram } from '../../src/load/histogram.ts'
import type { Outcome } from '../../src/load/run.ts'
import { jwt } from '../../src/server/index.ts'
import { Run } from '../nodes.ts'
import { afterwards, serverWith, serving } from '../server/worlds.ts'

const load = async (url: string, ...args: readonly string[]): Promise<{ code: number | string; outcome: Outcome }> => {
  const run = new Run(['load', url, '--json', '--warm-up', '0.5', '--seconds', '1', '--rounds', '2', ...args])
  afterwards(() => run.signal('SIGKILL'))
  const code = await run.ended
  return { code, outcome: JSON.parse(run.out) as Outcome }
}

it('[P7] twenty clients type through a server: every character reaches everybody else, is confirmed, and is in the text', async () => {
  const server = await serverWith()
  const { url, port } = await server.listen(0)
  const page = join(mkdtempSync(join(tmpdir(), 'inkwell-load-')), 'out.html')
  afterwards(() => rmSync(page, { force: true }))
  const { code, outcome } = await load(
    `http://localhost:${port}`,
    ...['--documents', '2', '--writers', '8', '--readers', '2', '--rate', '10', '--length', '100', '--prefix', 'try-'],
    ...['--processes', '2', '--pid', String(process.pid), '--report', page],
  )
  expect(outcome).toMatchObject({ clients: 20, faults: {}, failed: {}, unconfirmed: 0 })
  expect(outcome.rounds).toHaveLength(2)
  for (const { typed, deliveries, wanted, delivery, server } of [...outcome.rounds, outcome.median]) {
    expect(typed).toBe(160)
    expect({ deliveries, wanted }).toEqual({ deliveries: 9 * 160, wanted: 9 * 160 })
    expect(delivery.p50).toBeGreaterThan(0)
    expect([delivery.p50, delivery.p90, delivery.p99, delivery.p999, delivery.max]).toEqual(
      [delivery.p50, delivery.p90, delivery.p99, delivery.p999, delivery.max].sort((a, b) => a - b),
    )
    expect(server!.rss).toBeGreaterThan(10)
  }
  expect(code).toBe(0)

  const text = ((await (await fetch(`${url}/v1/documents/try-1`)).json()) as { text: string }).text
  expect(text.replace(/[. ]/g, '')).toHaveLength(8 * 25)
  expect(text).toHaveLength(8 * 25 + 100)
  expect(readFileSync(page, 'utf8').match(/<svg/g)).toHaveLength(4)
})

it('[P7] what is refused and goes on, and who is refused and does not, are told by code; then it ends with 1', async () => {
  const secret = 'a secret of more than 32 bytes, which nobody knows'
  const url = await serving({ authenticate: jwt({ secret }), limits: { messagesPerLine: 3, messagesPerUser: 3 } })
  const strangers = await load(url, '--documents', '2', '--writers', '2')
  expect(strangers.outcome).toMatchObject({ clients: 0, failed: { unauthenticated: 4 } })
  expect(strangers.code).toBe(1)
  const hasty = await load(url, '--documents', '2', '--writers', '2', '--rate', '15', '--jwt-secret', secret)
  expect(hasty.outcome).toMatchObject({ clients: 4, failed: {}, unconfirmed: 0, faults: { 'slow-down': expect.any(Number) } })
  expect(hasty.outcome.rounds.map(({ deliveries, wanted }) => wanted - deliveries)).toEqual([0, 0])
  expect(hasty.code).toBe(0)
})

it('[P7] where a key comes more seldom than a round, what is counted by the clock is counted to the last round’s end', async () => {
  const { outcome } = await load(await serving(), '--documents', '2', '--writers', '8', '--rate', '0.5')
  expect(outcome.rounds.reduce((sum, { typed }) => sum + typed, 0)).toBeLessThan(2 * 8 * 2)
  for (const { deliveries, deliveriesPerSecond, generator } of outcome.rounds) {
    expect(deliveries).toBeGreaterThan(0)
    expect(deliveriesPerSecond).toBeGreaterThan(0)
    expect(generator.cores).toBeGreaterThan(0)
  }
})

it('every fault of its arguments is told at once', () => {
  expect(loadOf(['ftp://nowhere', 'http://here'], { writers: 'many', rounds: '0' }, {})).toEqual([
    '--writers: must be a whole number from 0 to 100,000',
    '--rounds: must be a whole number from 1 to 1,000',
    'ftp://nowhere: is no http:// or https:// address',
  ])
  const nobody = '4194999' // above what Linux gives
  expect(loadOf(['http://here'], { pid: nobody }, {})).toEqual([
    `--pid: there is no process ${nobody} that this machine tells of`,
  ])
})

it('a histogram gives back what went in, within three percent, also when it is put together of two', () => {
  const [one, other] = [new Histogram(), new Histogram()]
  for (let ms = 1; ms <= 10_000; ms++) (ms % 2 === 0 ? one : other).add(ms / 10)
  one.merge(other)
  expect(one.count).toBe(10_000)
  for (const share of [0.001, 0.5, 0.99, 0.999, 1])
    expect(Math.abs(one.quantile(share) / (share * 1_000) - 1)).toBeLessThan(0.032)
  expect(new Histogram().quantile(0.5)).toBeNaN()
})

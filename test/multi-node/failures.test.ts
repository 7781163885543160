// What can fail around a node, each with real parts: /readyz, the metrics and `inkwell doctor` show it and its cause, and it clears itself.

import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { diagnosed, thisMachine } from '../../src/cli/doctor.ts'
import type { Check, CheckName } from '../../src/server/checks.ts'
import { systemClock } from '../../src/server/clock.ts'
import { jwt, type ServerOptions } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisServer, startCluster } from '../redis.ts'
import { afterwards, opens, serverWith } from '../server/worlds.ts'

vi.setConfig({ testTimeout: 180_000 })
const patience = { timeout: 90_000, interval: 100 }

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
})
afterAll(() => redis.discard())

/** A node that looks after itself thirty times as often as usual. */
const node = async ({ limits = {}, ...options }: ServerOptions = {}): Promise<string> => {
  const server = await serverWith({
    store: redisStore({ url: redis.url, callLimit: 1_000 }),
    limits: { canaryEvery: 300, unreadyAfter: 1_000, ...limits },
    ...options,
  })
  return (await server.listen(0)).url
}

/** A failure that can be begun and ended. */
interface Around {
  /** The node that is to tell of it. */
  readonly url: string
  begin(): unknown
  end(): unknown
}

interface Row {
  readonly name: string
  readonly check: CheckName
  readonly reason: RegExp
  /** Whether the node is still sent newcomers. */
  readonly ready: boolean
  /** Milliseconds for which it stays so: some looks more. That nothing else happens no event tells. */
  readonly lasts?: number
  readonly around: () => Promise<Around>
}

const table: readonly Row[] = [
  {
    name: 'Redis is slow: it takes no writes for a while',
    check: 'canary',
    reason: /not taken by the log \(append\): no answer in time/,
    ready: false,
    around: async () => ({
      url: await node(),
      begin: () => redis.do(client => client.call('CLIENT', 'PAUSE', '600000', 'WRITE')),
      end: () => redis.do(client => client.call('CLIENT', 'UNPAUSE')),
    }),
  },
  {
    name: 'Redis hangs',
    check: 'store',
    reason: /^store redis has not answered for \d+ s: no answer in time$/,
    ready: false,
    around: async () => ({ url: await node(), begin: () => redis.stop(), end: () => redis.go() }),
  },
  {
    name: 'Redis is gone',
    check: 'store',
    reason: /^store redis has not answered for \d+ s: no connection$/,
    ready: false,
    around: async () => ({ url: await node(), begin: () => redis.kill(), end: () => redis.start() }),
  },
  {
    name: 'Redis is full',
    check: 'canary',
    reason: /\(append\): Redis is full$/,
    ready: false,
    around: async () => ({
      url: await node(),
      begin: () => redis.do(client => client.config('SET', 'maxmemory', '1')),
      end: () => redis.do(client => client.config('SET', 'maxmemory', '0')),
    }),
  },
  {
    name: 'the append-only file is switched off',
    check: 'settings',
    reason: /^Redis keeps no append-only file/,
    ready: true,
    around: async () => ({
      url: await node(),
      begin: () => redis.do(client => client.config('SET', 'appendonly', 'no')),
      end: () => redis.do(client => client.config('SET', 'appendonly', 'yes')),
    }),
  },
  {
    name: 'Redis is emptied',
    check: 'store',
    reason: /^store redis: it is not the one that this node has worked with/,
    ready: false,
    around: async () => {
      const url = await node()
      const mark = (await redis.do(client => client.get('inkwell:{store}:mark')))!
      return {
        url,
        begin: () => redis.do(client => client.flushall()),
        end: () => redis.do(client => client.set('inkwell:{store}:mark', mark)), // what a file put back brings along
      }
    },
  },
  {
    name: 'a node is dead',
    check: 'nodes',
    reason: /^a node is lost: nothing was heard for \d+ s$/,
    ready: true,
    around: async () => {
      const url = await node()
      const other = await InkwellNode.start({ store: redis.url })
      afterwards(() => other.kill())
      return { url, begin: () => other.kill(), end: () => other.start() }
    },
  },
  {
    name: 'a document is hot',
    check: 'load',
    reason: /^one document has \d+ commits a second$/,
    ready: true,
    around: async () => {
      const url = await node({ limits: { hotCommits: 8 } })
      const pen = await opens(url, 'hot')
      let typing = true
      const types = async (): Promise<void> => {
        for (; typing; await sleep(50)) await pen.types('x', 0)
      }
      let over = Promise.resolve()
      return {
        url,
        begin: () => void (over = types()),
        end: () => {
          typing = false
          return over
        },
      }
    },
  },
  {
    name: 'a reader is slow',
    check: 'readers',
    reason: /^1 of 2 clients read more slowly than they are sent$/,
    ready: true,
    around: async () => {
      const [waitingBytes, rate] = [1_073_741_824, 1_073_741_824]
      const url = await node({ limits: { waitingBytes, bytesPerLine: rate, bytesPerUser: rate, stuckTime: 3_600_000 } })
      const [ann, deaf] = [await opens(url, 'long'), await opens(url, 'long')]
      const { transport } = deaf.client.socket.io.engine as unknown as {
        transport: { ws: { _socket: { pause(): void; resume(): void } } }
      }
      const socket = transport.ws._socket
      return {
        url,
        async begin() {
          socket.pause()
          for (let i = 0; i < 25; i++) await ann.types('x'.repeat(400_000), 0) // socket and kernel take some megabytes
        },
        end: () => socket.resume(),
      }
    },
  },
  {
    name: 'the issuer of tokens is gone',
    check: 'tokens',
    reason: /^the issuer of tokens does not give its keys$/,
    ready: true,
    around: async () => {
      let there = true
      const issuer = createHttpServer((_request, response) => response.writeHead(there ? 200 : 503).end('{"keys":[]}'))
      await new Promise<void>(resolve => issuer.listen(0, '127.0.0.1', resolve))
      afterwards(() => issuer.close())
      const jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/keys`
      return {
        url: await node({ authenticate: jwt({ jwksUrl }) }),
        begin: () => void (there = false),
        end: () => void (there = true),
      }
    },
  },
  {
    name: 'a clock is off',
    check: 'clock',
    reason: /^this node’s clock and that of the store are 6[01] s apart$/,
    ready: true,
    around: async () => {
      let off = 0
      const clock = { now: () => systemClock.now() + off, after: systemClock.after.bind(systemClock) }
      return { url: await node({ clock }), begin: () => void (off = 61_000), end: () => void (off = 0) }
    },
  },
  {
    name: 'the disk of the embedded store is full',
    check: 'canary',
    reason: /\(append\): the disk is full$/,
    ready: false,
    around: async () => {
      const path = mkdtempSync(join(tmpdir(), 'inkwell-full-'))
      afterwards(() => rmSync(path, { recursive: true }))
      // A limit on the size of files stands for the full disk: writing fails in the same way.
      const script = new URL('full-node.ts', import.meta.url).pathname
      const words = ['-c', 'trap "" XFSZ; exec "$@"', 'sh', process.execPath, '--import', 'tsx', script, path]
      const child = spawn('sh', words, { stdio: ['ignore', 'pipe', 'ignore'] }) // LMDB prints each write that fails
      afterwards(() => child.kill('SIGKILL'))
      const url = await new Promise<string>(resolve => createInterface(child.stdout).once('line', resolve))
      const limit = (bytes: string) => execFileSync('prlimit', ['--pid', String(child.pid), `--fsize=${bytes}:`])
      return { url, begin: () => limit('1'), end: () => limit('unlimited') }
    },
  },
  {
    name: 'one master of a Redis Cluster is gone',
    check: 'canary',
    reason: /\(append\), on 1 of 3 servers of the store/,
    ready: true, // the documents on the other two go on
    around: async () => {
      const cluster = await startCluster(3, ['--appendonly', 'yes', '--cluster-require-full-coverage', 'no'])
      afterwards(() => cluster.discard())
      const url = await node({ store: redisStore({ url: cluster.url, callLimit: 1_000 }) })
      const [last] = cluster.nodes.slice(-1) as [RedisServer]
      return { url, begin: () => last.kill(), end: () => last.start() }
    },
  },
  {
    name: 'one master of a Redis Cluster hangs',
    check: 'canary',
    reason: /\(append\), on 1 of 3 servers of the store/,
    ready: true,
    lasts: 8_000, // the canary gives up after five seconds, and tries again
    around: async () => {
      const cluster = await startCluster(3, ['--appendonly', 'yes', '--cluster-require-full-coverage', 'no'])
      afterwards(() => cluster.discard())
      // As by default: each look at the store waits for the part that hangs.
      const url = await node({ store: redisStore({ url: cluster.url }), limits: { unreadyAfter: 5_000 } })
      const [last] = cluster.nodes.slice(-1) as [RedisServer]
      return { url, begin: () => last.stop(), end: () => last.go() }
    },
  },
]

const checksAt = async (url: string) => {
  const response = await fetch(`${url}/readyz`)
  const { checks = [] } = (await response.json()) as { checks?: readonly Check[] }
  return { status: response.status, checks }
}

/** What `inkwell doctor` says of a server that runs. */
const doctorAt = async (url: string) => {
  const flags = { host: '127.0.0.1', port: new URL(url).port, store: 'memory:' }
  return (await diagnosed(flags, {}, thisMachine)).filter(({ about }) => about === 'server')
}

const metricsAt = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text()

it.each(table.map(row => [row.name, row] as const))(
  '[P7] %s: shown by /readyz, doctor and the metrics with its cause and what to do, and cleared by itself',
  async (_, row) => {
    const { check, reason, ready, lasts = 0 } = row
    const { url, begin, end } = await row.around()
    await vi.waitFor(async () => expect(await checksAt(url)).toEqual({ status: 200, checks: [] }), patience)
    await begin()
    try {
      await vi.waitFor(async () => {
        const { status, checks } = await checksAt(url)
        const found = checks.find(({ name }) => name === check)
        expect([status, found?.reason]).toEqual([ready ? 200 : 503, expect.stringMatching(reason)])
        expect(found).toMatchObject({ ok: false, mend: expect.stringMatching(/\w/), since: expect.stringMatching(/Z$/) })
        expect(await doctorAt(url)).toContainEqual({
          about: 'server',
          state: ready ? 'warning' : 'fault',
          says: expect.stringMatching(reason),
          mend: found!.mend,
        })
        const metrics = await metricsAt(url)
        expect(metrics).toContain(`inkwell_check_ok{check="${check}"} 0`)
        expect(metrics).toContain(`inkwell_ready ${Number(ready)}`)
      }, patience)
      for (const until = Date.now() + lasts; Date.now() < until; await sleep(100)) {
        const { status, checks } = await checksAt(url)
        expect([status, checks.map(({ name }) => name)]).toEqual([ready ? 200 : 503, expect.arrayContaining([check])])
      }
    } finally {
      await end()
    }
    await vi.waitFor(async () => expect(await checksAt(url)).toEqual({ status: 200, checks: [] }), patience)
    expect(await metricsAt(url)).toContain(`inkwell_check_ok{check="${check}"} 1`)
  },
)

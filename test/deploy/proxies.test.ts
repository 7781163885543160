// The shipped configurations of nginx and HAProxy at work: two nodes behind them, one Redis behind the nodes, all of it real.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Client, type ConnectOptions, connect, type TextDocument } from '../../src/client/index.ts'
import { defaultLineLimits } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisLine, RedisServer } from '../redis.ts'
import { afterwards, connects, opens, serverWith } from '../server/worlds.ts'
import { checked, type Pair, proxies, ShippedProxy, shipped } from './proxies.ts'

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
})
afterAll(() => redis.discard())

const hostOf = (url: string): string => new URL(url).host

const client = (url: string, options: ConnectOptions = {}): Client => {
  const made = connect(url, options)
  afterwards(() => made.close())
  return made
}

/** Resolves when the document shows what is wanted. */
const showing = (doc: TextDocument, wanted: (text: string) => boolean): Promise<void> =>
  new Promise(resolve => {
    const look = (): void => {
      if (wanted(doc.text)) resolve()
    }
    doc.on('change', look)
    look()
  })

/** All of them show one text, and the words are in it, each once. */
const agreeing = async (docs: readonly TextDocument[], words: readonly string[]): Promise<string> => {
  await Promise.all(docs.map(doc => showing(doc, text => words.every(word => text.includes(word)))))
  const [text, ...others] = new Set(docs.map(doc => doc.text))
  expect(others).toEqual([])
  expect(text!.length).toBe(words.join('').length)
  return text!
}

const read = async (url: string, doc: string): Promise<unknown> =>
  ((await (await fetch(`${url}/v1/documents/${doc}`)).json()) as { text: unknown }).text

describe.each(proxies)('two nodes behind %s', name => {
  let nodes: readonly InkwellNode[]
  let balancer: ShippedProxy
  beforeAll(async () => {
    const options = { store: redis.url, args: ['--transports', 'websocket,polling', '--log-level', 'debug'] }
    nodes = await Promise.all([InkwellNode.start(options), InkwellNode.start(options)])
    balancer = await ShippedProxy.start(name, nodes.map(({ url }) => hostOf(url)) as unknown as Pair)
  })
  afterAll(async () => {
    await Promise.all(nodes.map(node => node.kill())) // also when the proxy could not be started
    await balancer.end()
  })

  /** At which node somebody is who has opened this document, which nobody else has. */
  const nodeOf = (doc: string): Promise<number> =>
    Promise.race(nodes.map((node, i) => node.run.says(line => line.msg === 'opened' && line.doc === doc).then(() => i)))

  let owned = 0
  /** People in one document, and at which node each is. */
  const people = async (shared: string, options: readonly ConnectOptions[]) => {
    const clients = options.map(each => client(balancer.url, each))
    const docs = await Promise.all(clients.map(each => each.open(shared)))
    const at = await Promise.all(
      clients.map(async each => {
        const own = `${name}-own-${owned++}`
        await each.open(own)
        return nodeOf(own)
      }),
    )
    return { clients, docs, at }
  }

  /** They come until both nodes have one: where somebody is sent is chance, or depends on who has just gone. */
  const atBoth = async (shared: string, options: ConnectOptions) => {
    const { clients, docs, at } = await people(shared, Array(3).fill(options))
    while (new Set(at).size < 2) {
      const another = await people(shared, [options])
      clients.push(...another.clients)
      docs.push(...another.docs)
      at.push(...another.at)
    }
    return { clients, docs, at }
  }

  it('[P4] WebSockets spread over both nodes without stickiness, and all edit one document', async () => {
    const { docs, at } = await people('spread', Array(6).fill({}))
    for (const node of [0, 1]) expect(at.filter(each => each === node).length).toBeGreaterThanOrEqual(2)
    const words = docs.map((_, i) => `(${name} ${i})`)
    for (const [i, doc] of docs.entries()) doc.insert(0, words[i]!)
    const text = await agreeing(docs, words)
    await Promise.all(docs.map(doc => doc.settled('durable')))
    expect(await read(balancer.url, 'spread')).toBe(text)
    for (const doc of docs) doc.delete(0, doc.text.length)
    await Promise.all(docs.map(doc => showing(doc, text => text === '')))
  })

  it('[P4] a line that polls stays at one node, whichever it is, and meets the WebSockets of the others', async () => {
    const writing = await atBoth('polled', {})
    const polling = await atBoth('polled', { transports: ['polling'] })
    const docs = [...writing.docs, ...polling.docs]
    const broken: string[] = []
    for (const [i, each] of polling.clients.entries()) each.on('status', status => broken.push(`${i} ${status}`))
    for (const doc of docs) doc.delete(0, doc.text.length)
    await Promise.all(docs.map(doc => showing(doc, text => text === '')))
    const words = docs.flatMap((_, i) => Array.from({ length: 5 }, (_, k) => `(${name} ${i}.${k})`))
    for (let k = 0; k < 5; k++) {
      for (const [i, doc] of docs.entries()) doc.insert(0, words[5 * i + k]!)
      await Promise.all(docs.map(doc => doc.settled('sequenced')))
    }
    await agreeing(docs, words)
    expect(broken).toEqual([]) // a node ends a line of which it knows nothing
  })

  it('a client of another make, without a name for its line, polls first and then changes to a WebSocket at the same node', async () => {
    const pens = await Promise.all(
      Array.from({ length: 3 }, () =>
        opens(balancer.url, `changing-${name}`, { form: 'json', transports: ['polling', 'websocket'] }),
      ),
    )
    await Promise.all(
      pens.map(({ client }) => vi.waitUntil(() => client.socket.io.engine.transport.name === 'websocket', { timeout: 60_000 })),
    )
    for (const [i, pen] of pens.entries()) await pen.types(`(${i})`)
    await Promise.all(pens.map(pen => pen.reaching(3)))
    expect(new Set(pens.map(pen => pen.shows)).size).toBe(1)
  })

  it('lets through a message as long as a node takes, and stops what is longer', async () => {
    const { docs } = await people('large', [{}, { transports: ['polling'] }])
    const page = 'x'.repeat(1_048_000)
    const before = docs[0]!.text.length
    for (const doc of docs) {
      doc.insert(0, page)
      await doc.settled('sequenced')
    }
    await Promise.all(docs.map(doc => showing(doc, text => text.length === before + 2_096_000)))
    const post = (bytes: number) => announced(`${balancer.url}/socket.io/?EIO=4&transport=polling&sid=none`, bytes)
    expect(await post(1_485_482)).toBe(400) // from a node: no such line
    expect(await post(1_486_849)).toBe(413)
  })

  it('shows the public the paths of clients and nothing of the operator', async () => {
    const status = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(`${balancer.url}${path}`, { method })).status
    for (const path of ['/', '/livez', '/readyz', '/metrics', '/admin', '/v1x/documents/a', '/socket.ioo/'])
      expect([path, await status(path)]).toEqual([path, 404])
    expect(await status('/proxyz')).toBe(200)
    expect(await status('/v1/documents/nobody')).toBe(404)
    expect([405, 403]).toContain(await status('/v1/documents/nobody', 'DELETE'))
    const outside = await fetch(`${balancer.url}/v1/documents/nobody`)
    expect(await outside.json()).toMatchObject({ code: 'not-found' }) // in the words of a node
  })

  it('Host and Origin reach the nodes as they were sent: a page of this host may connect, one of another may not', async () => {
    const asks = (path: string, origin: string) => answered(`${balancer.url}${path}?EIO=4&transport=polling`, origin)
    for (const path of ['/socket.io/', '/json/']) {
      expect((await asks(path, 'http://docs.example.com:8443')).statusCode).toBe(200)
      expect((await asks(path, 'http://docs.example.com')).statusCode).toBe(403)
      expect((await asks(path, 'http://evil.example.com:8443')).statusCode).toBe(403)
    }
  })

  it('[P2] [P3] a node is killed: its people come back through the proxy to the other node, with all that they typed', async () => {
    const [writing, polling] = [await atBoth('killed', {}), await atBoth('killed', { transports: ['polling'] })]
    const [docs, at] = [
      [...writing.docs, ...polling.docs],
      [...writing.at, ...polling.at],
    ]
    for (const doc of docs) doc.delete(0, doc.text.length)
    await Promise.all(docs.map(doc => showing(doc, text => text === '')))
    const [victim, survivor] = nodes as [InkwellNode, InkwellNode]
    const theirs = [...writing.clients, ...polling.clients].filter((_, i) => at[i] === 0)
    const left = theirs.map(each => new Promise<void>(resolve => each.on('status', status => status === 'offline' && resolve())))

    const words = docs.flatMap((_, i) => [`(before ${i})`, `(while ${i})`, `(after ${i})`])
    for (const [i, doc] of docs.entries()) doc.insert(0, words[3 * i]!)
    await victim.kill()
    for (const [i, doc] of docs.entries()) doc.insert(0, words[3 * i + 1]!)
    await Promise.all(left)
    for (const [i, doc] of docs.entries()) doc.insert(0, words[3 * i + 2]!)
    await Promise.all(docs.map(doc => doc.settled('durable')))
    const text = await agreeing(docs, words)
    expect(await read(survivor.url, 'killed')).toBe(text)

    const newcomers = await Promise.all(Array.from({ length: 4 }, () => client(balancer.url).open('killed')))
    expect(newcomers.map(doc => doc.text)).toEqual(Array(4).fill(text))
    await victim.start()
    expect(await read(victim.url, 'killed')).toBe(text)
  })
})

describe.each(proxies)('a node behind %s that drains', name => {
  it('hands its people over, and nobody new notices it', async () => {
    const addresses = new Set<unknown>()
    const servers = await Promise.all(
      ['one', 'two'].map(id =>
        serverWith({
          store: redisStore(redis.url),
          transports: ['websocket', 'polling'],
          limits: { connectionsPerUser: 100 }, // here a user is a server
          authenticate: (_token, request) => {
            addresses.add(request?.headers['x-forwarded-for'])
            return { id }
          },
        }),
      ),
    )
    const urls = await Promise.all(servers.map(async server => (await server.listen(0)).url))
    const balancer = await ShippedProxy.start(name, urls.map(hostOf) as unknown as Pair)
    afterwards(() => balancer.end())
    const forms = [{}, { transports: ['polling'] }] as const
    const comes = async (options: ConnectOptions): Promise<[Client, TextDocument]> => {
      const one = client(balancer.url, options)
      return [one, await one.open(`draining-${name}`)]
    }
    const there = await Promise.all(Array.from({ length: 12 }, (_, i) => comes(forms[i % 2]!)))
    expect(new Set(there.map(([{ user }]) => user?.id))).toEqual(new Set(['one', 'two']))

    servers[0]!.drain()
    // These try once: whoever were sent to the first node would stay outside.
    const newcomers = Array.from({ length: 8 }, (_, i) => connects(balancer.url, forms[i % 2]))
    const welcomed = newcomers.map(each => each.failedLine().catch(() => each.next('welcome')))
    expect(await Promise.all(welcomed)).toEqual(Array(8).fill(expect.objectContaining({ user: { id: 'two' } })))
    for (const [one] of there) await vi.waitUntil(() => one.user?.id === 'two' && one.status === 'online', { timeout: 120_000 })
    const words = there.map((_, i) => `(${i})`)
    for (const [i, [, doc]] of there.entries()) doc.insert(0, words[i]!)
    await agreeing(
      there.map(([, doc]) => doc),
      words,
    )

    // What a client says of its address is not believed.
    await opens(balancer.url, 'spoof', { headers: { 'x-forwarded-for': '203.0.113.9' } })
    expect([...addresses]).toEqual(['127.0.0.1'])
  })
})

it('[P4] HAProxy sees in /readyz that a node has lost Redis: newcomers go elsewhere, and those at the node stay', async () => {
  const line = await RedisLine.to(redis.port)
  afterwards(() => line.discard())
  const limits = { unreadyAfter: 500, connectionsPerUser: 100 }
  const servers = [
    await serverWith({ store: redisStore({ url: line.url, callLimit: 500 }), limits, authenticate: () => ({ id: 'lost' }) }),
    await serverWith({ store: redisStore(redis.url), limits, authenticate: () => ({ id: 'well' }) }),
  ]
  const urls = await Promise.all(servers.map(async server => (await server.listen(0)).url))
  const balancer = await ShippedProxy.start('HAProxy', urls.map(hostOf) as unknown as Pair)
  afterwards(() => balancer.end())
  const clients = Array.from({ length: 4 }, () => client(balancer.url))
  const docs = await Promise.all(clients.map(each => each.open('readiness')))
  const stuck = clients.findIndex(({ user }) => user?.id === 'lost')
  expect(stuck).toBeGreaterThanOrEqual(0)
  const offline: unknown[] = []
  for (const each of clients) each.on('status', status => offline.push(status))

  const status = (is: 'UP' | 'DOWN'): Promise<unknown> =>
    vi.waitUntil(
      async () => {
        const told = await (await fetch(`${balancer.status}/metrics`)).text()
        return told.includes(`haproxy_server_status{proxy="lines",server="node1",state="${is}"} 1`)
      },
      { timeout: 120_000, interval: 100 },
    )
  line.swallow()
  await status('DOWN')
  const newcomers = Array.from({ length: 4 }, () => client(balancer.url))
  await Promise.all(newcomers.map(each => each.open('readiness')))
  expect(newcomers.map(({ user }) => user?.id)).toEqual(Array(4).fill('well'))
  docs[stuck]!.insert(0, 'typed meanwhile')
  expect([offline, clients[stuck]!.status]).toEqual([[], 'online'])

  line.cut() // Redis answers again
  await Promise.all(docs.map(doc => showing(doc, text => text === 'typed meanwhile')))
  await status('UP')
  expect(offline).toEqual([])
})

it('neither gives a quiet line up before a node does', () => {
  const { pingInterval, pingTimeout } = defaultLineLimits
  const limits = [
    ...shipped('haproxy.cfg').matchAll(/^ +timeout (?:client|server|tunnel) +(\d+)s$/gm),
    ...shipped('nginx.conf').matchAll(/^ +proxy_(?:read|send)_timeout +(\d+)s;$/gm),
  ].map(([, seconds]) => Number(seconds))
  expect(limits.length).toBe(5)
  for (const seconds of limits) expect(1_000 * seconds).toBeGreaterThan(pingInterval + pingTimeout)
})

describe('the programs accept the files', () => {
  it.each(proxies)('%s, as they are shipped', async name => {
    expect(await checked(name)).toMatchObject({ code: 0 })
  })

  it.each(proxies)('%s, with the lines for TLS taken in', async name => {
    const folder = mkdtempSync(join(tmpdir(), 'inkwell-tls-'))
    try {
      const files = ['key.pem', 'certificate.pem'].map(file => join(folder, file)) as [string, string]
      const words = [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-subj',
        '/CN=inkwell',
      ]
      execFileSync('openssl', [...words, '-keyout', files[0], '-out', files[1]], { stdio: 'ignore' })
      writeFileSync(join(folder, 'both.pem'), files.map(file => readFileSync(file, 'utf8')).join(''))
      const edit = (text: string): string =>
        text
          .replaceAll(/^( +)# (?=bind :|http-request redirect|http-response set-header|listen 443|ssl_|add_header)/gm, '$1')
          .replace(/^ +bind "\$\{INKWELL_LISTEN\}"\n/m, '')
          .replace('/etc/haproxy/certs/', join(folder, 'both.pem'))
          .replace('/etc/nginx/certs/inkwell.pem', files[1])
          .replace('/etc/nginx/certs/inkwell.key', files[0])
          .replaceAll(/\b(bind :|listen )(443|80)\b/g, '$118$2')
      expect(edit(shipped(name === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'))).toMatch(/^ +(bind :18443 ssl|listen 18443 ssl)/m)
      expect(await checked(name, edit)).toMatchObject({ code: 0 })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('[the check itself] what they do not accept is told', async () => {
    expect(await checked('nginx', text => text.replace('least_conn', 'least_con'))).toMatchObject({
      code: 1,
      said: expect.stringContaining('least_con'),
    })
    expect(await checked('HAProxy', text => text.replace('leastconn', 'leastcon'))).toMatchObject({ code: 1 })
  })
})

/** What a page of an origin is answered, which it believes to have come from docs.example.com:8443. */
const answered = (url: string, origin: string): Promise<IncomingMessage> =>
  new Promise((resolve, reject) =>
    get(url, { headers: { host: 'docs.example.com:8443', origin } }, response => resolve(response.resume())).on('error', reject),
  )

/** The status with which a body of so many bytes is answered, before any of them has been sent. */
const announced = (url: string, bytes: number): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const asking = request(url, { method: 'POST', headers: { 'content-length': bytes } }, response => {
      resolve(response.statusCode)
      asking.destroy()
    })
    asking.on('error', reject) // once it is answered nobody hears that any more
    asking.flushHeaders()
  })

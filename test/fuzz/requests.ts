// HTTP requests that are nearly right, or nothing like it, to every route there is and to some that are not.
// Invariant: a route is asked because Fastify has it, never because somebody remembered to name it here.

import { connect } from 'node:net'
import { errorCodes } from '../../src/protocol/errors.ts'
import type { Chance } from '../../src/testing/random.ts'
import { anything, garbled } from './mutate.ts'
import type { Story } from './story.ts'

export interface Route {
  readonly side: 'public' | 'admin'
  readonly method: string
  readonly path: string
}

export interface Places {
  readonly public: string
  readonly admin: string
  readonly adminToken: string
}

const patience = 120_000 // ms; only ends a hang

const methods = [
  'GET',
  'GET',
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'get',
  'G\u0000T',
]

const ids = [
  ...[
    'arena',
    'quiet',
    'readonly',
    'guarded',
    'guarded%2Fmore',
    'guarded/more',
    '__proto__',
    'constructor',
    'nobody',
    '%00',
    '%ff',
  ],
  ...[
    '%',
    '%zz',
    '..',
    '.',
    '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '%252e',
    'a%2Fb',
    '%ed%a0%80',
    '%F0%9F%96%8B',
    'x'.repeat(257),
    '*',
  ],
  ...[
    'x'.repeat(9_000),
    ':id',
    '%20',
    ';',
    'guarded;x',
    'guarded%00',
    'GUARDED',
    'guarded/',
    '/guarded',
    'guarded%3F',
    'a\\b',
    '{}',
  ],
]

const values = [
  '0',
  '-1',
  '1',
  '1e3',
  '1000',
  '1001',
  '9007199254740993',
  'NaN',
  'Infinity',
  '',
  '%00',
  'one',
  '[]',
  '%7B%7D',
  'x'.repeat(5_000),
]
const names = [
  'after',
  'limit',
  'after',
  'limit',
  'token',
  'access_token',
  '__proto__',
  'constructor',
  'after%5B%5D',
  'sid',
  'EIO',
  'transport',
  'j',
  'b64',
]

const path = (dice: Chance, pattern: string): string => {
  const at = pattern.replace(/:\w+|\*/g, () => dice.pick(ids))
  if (dice.chance(0.1)) return garbled(dice, at).replace(/[\r\n]/g, '')
  return dice.chance(0.05) ? `/${at}` : dice.chance(0.05) ? `http://evil.example.com${at}` : at
}

const query = (dice: Chance, line: boolean): string => {
  const parts = Array.from({ length: dice.int(4) }, () => `${dice.pick(names)}=${dice.pick(values)}`)
  if (line) {
    parts.unshift(
      `EIO=${dice.pick(['4', '4', '4', '3', '5', '', '__proto__'])}`,
      `transport=${dice.pick(['polling', 'polling', 'websocket', 'webtransport', '__proto__', 'constructor', ''])}`,
      ...(dice.chance(0.4) ? [`sid=${dice.pick(['__proto__', 'constructor', 'toString', 'x', 'A'.repeat(20), '', '%00'])}`] : []),
    )
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

/** Whom a request says that it comes from; of some of these nothing is to be had. */
const credentials = (dice: Chance, adminToken: string): readonly string[] =>
  dice.pick<readonly string[]>([
    [],
    [],
    ['Authorization: Bearer nobody'],
    ['Authorization: Bearer writer:http'],
    ['Authorization: Bearer reader:http'],
    [`Authorization: Bearer ${adminToken}`],
    [`Authorization: Bearer ${adminToken}`],
    [`Authorization: Bearer ${adminToken}`],
    [`Authorization: bearer  ${adminToken} `],
    [`Authorization: Basic ${adminToken}`],
    ['Authorization: Bearer nobody', `Authorization: Bearer ${adminToken}`],
    [`Authorization: Bearer ${'x'.repeat(12_000)}`],
    ['Authorization: Bearer \u00ff\u00fe'],
    ['Authorization:'],
    ['Cookie: token=writer:http'],
  ])

const extras = [
  ...['Origin: https://evil.example.com', 'Origin: null', 'Origin: http://127.0.0.1', 'Origin: ', 'Origin: x'.repeat(3)],
  ...[
    'Access-Control-Request-Method: GET',
    'Access-Control-Request-Method: ',
    'Accept: text/html',
    'Accept: */*;q=zz',
    'Range: bytes=0-',
  ],
  ...[
    'If-None-Match: *',
    'Expect: 100-continue',
    'Expect: x',
    'Upgrade: websocket',
    'Upgrade: h2c',
    'Connection: Upgrade',
    'TE: trailers',
  ],
  ...[
    'X-Forwarded-For: ',
    'X-Forwarded-For: 10.0.0.1, ::1, x',
    'X-Forwarded-For: \u00ff',
    'X-Forwarded-Host: evil',
    'Forwarded: for=x',
  ],
  ...[
    'Accept-Encoding: gzip, br',
    'Content-Encoding: gzip',
    `X-Long: ${'x'.repeat(9_000)}`,
    '__proto__: x',
    'constructor: x',
    'X-HTTP-Method-Override: PUT',
  ],
  ...[
    'Sec-WebSocket-Key: x',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Extensions: permessage-deflate',
    'Accept-Version: 9.x',
    'Bad Header: x',
  ],
]

const usually = Array<null>(15).fill(null)

const types = [
  'application/json',
  'application/json',
  'application/json; charset=utf-7',
  'text/plain',
  'multipart/form-data; boundary=x',
  '',
  'x',
]

/** What an operator may say, of people and documents of whom nobody else here is one. */
const orders = (dice: Chance): unknown =>
  dice.pick<unknown>([
    { user: 'victim' },
    { user: 'victim', leaves: 'none', lasts: 1_000 },
    { document: 'victim' },
    { token: 'victim' },
    { user: 'victim', document: 'victim', leaves: 'read' },
    { user: 'victim', lasts: dice.pick([-1, 0, 0.5, 1e308, 2 ** 53]) },
    { user: anything(dice, false) },
    { user: 'victim', leaves: anything(dice, false) },
    { document: anything(dice, false) },
    anything(dice, false),
    JSON.parse('{"__proto__":{"user":"victim"},"user":"victim"}'),
    {},
  ])

const body = (dice: Chance): string => {
  const text = JSON.stringify(orders(dice)) ?? ''
  return dice.chance(0.3) ? garbled(dice, text) : text
}

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Sends bytes and reads until the server ends the line; what it says to what. */
const asks = (url: string, bytes: Buffer, mayRead: boolean, story: Story): Promise<readonly Answer[]> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const heard: Buffer[] = []
    const late = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no end of an HTTP request within ${patience} ms: ${bytes.toString('latin1', 0, 300)}`))
    }, patience)
    socket.on('data', (part: Buffer) => heard.push(part))
    socket.on('error', () => {}) // it may be cut while we write
    socket.on('close', () => {
      clearTimeout(late)
      const all = Buffer.concat(heard)
      if (!mayRead && all.includes(story.canary)) story.fails('a text was given to one who has no right to it', bytes)
      resolve(answersIn(all.toString('latin1')))
    })
    socket.end(bytes) // nothing more comes: whoever waits for the rest of a body waits in vain
  })

const answersIn = (text: string): Answer[] =>
  text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter(part => part.startsWith('HTTP/1.1 '))
    .map(part => {
      const [head = '', ...rest] = part.split('\r\n\r\n')
      return { status: Number(head.slice(9, 12)), head, body: rest.join('\r\n\r\n') }
    })

export class Requests {
  private readonly dice: Chance
  private readonly story: Story
  private readonly places: Places
  private readonly routes: readonly Route[]

  constructor(places: Places, routes: readonly Route[], dice: Chance, story: Story) {
    this.places = places
    this.routes = routes
    this.dice = dice
    this.story = story
  }

  /** Every route once as it should be asked, by nobody in particular: none may answer with a mistake of its own. */
  async round(): Promise<void> {
    for (const route of this.routes) await this.ask(route, route.method)
  }

  async one(): Promise<void> {
    const { dice } = this
    const route = dice.chance(0.15) ? line(dice) : dice.pick(this.routes)
    await this.ask(route, dice.chance(0.5) ? route.method : dice.pick(methods))
  }

  private async ask(route: Route, method: string): Promise<void> {
    const { dice, story, places } = this
    const isLine = /^\/(socket\.io|json)\//.test(route.path)
    const target = `${path(dice, route.path)}${query(dice, isLine)}`
    // Whoever may drain a node drains it: there only those ask who may not.
    const harmless = route.path !== '/v1/drain'
    const may = route.side === 'admin' && harmless && dice.chance(0.5)
    const who = may
      ? [`Authorization: Bearer ${places.adminToken}`]
      : credentials(dice, harmless ? places.adminToken : 'x'.repeat(32))
    const content =
      dice.chance(0.6) && method !== 'GET' ? body(dice) : dice.chance(0.1) ? 'x'.repeat(dice.pick([1, 1_025, 17_000])) : ''
    const size = Buffer.byteLength(content)
    const strange = dice.pick(['framing', 'framing', 'version', 'end', 'host', ...usually])
    const framing = dice.pick<readonly string[]>(
      strange === 'framing'
        ? [
            [`Content-Length: ${size + dice.pick([1, -1, 1_000_000, 2 ** 40])}`],
            ['Content-Length: -1'],
            ['Content-Length: 0x10'],
            [`Content-Length: ${size}`, `Content-Length: ${size + 1}`],
            ['Transfer-Encoding: chunked'],
            ['Transfer-Encoding: chunked', `Content-Length: ${size}`],
            ['Transfer-Encoding: gzip, chunked'],
            [],
          ]
        : [[`Content-Length: ${size}`]],
    )
    const head = [
      `${method} ${target} HTTP/${strange === 'version' ? dice.pick(['1.0', '2.0', '0.9', '1.1x']) : '1.1'}`,
      ...(strange === 'host'
        ? dice.pick([[], ['Host: evil.example.com'], ['Host: a', 'Host: b'], ['Host: ']])
        : ['Host: 127.0.0.1']),
      'Connection: close',
      ...who,
      ...framing,
      ...(content === '' ? [] : [`Content-Type: ${dice.pick(types)}`]),
      ...(isLine ? [`X-Forwarded-For: 203.0.${dice.int(256)}.${dice.int(256)}`] : []),
      ...Array.from({ length: dice.pick([0, 0, 1, 3]) }, () => dice.pick(extras)),
    ]
    const end = strange === 'end' ? dice.pick(['\n', '\r']) : '\r\n'
    const text = `${head.join(end)}${end}${end}${content}`
    const bytes = Buffer.from(text, dice.chance(0.8) ? 'utf8' : 'latin1')
    const isOperator = route.side === 'admin' && text.includes(places.adminToken)
    story.input(bytes)
    const answers = await asks(places[route.side], bytes, isOperator, story)
    story.counts(`route ${route.side} ${route.method} ${route.path}`)
    if (answers.length === 0) story.counts('http nothing') // CONNECT is for proxies: Node ends the line
    for (const answer of answers) this.judge(route.side, text, answer)
  }

  private judge(side: Route['side'], asked: string, { status, head, body }: Answer): void {
    const { story, places } = this
    const bytes = Buffer.from(asked)
    story.counts(`http ${side} ${status}`)
    if (status >= 500 && status !== 505 && status !== 501) story.fails(`HTTP ${status}`, bytes)
    if (/^(server|x-powered-by|via):/im.test(head)) story.fails('an answer tells what serves it', bytes)
    if (status < 200) return // what matters comes behind it
    if (status < 300) {
      // Who has a token may have something; nobody else has, save for what anybody may know.
      const isPreflight = status === 204 && asked.startsWith('OPTIONS')
      const open = /^\S+ (https?:\/\/[^/ ]+)?\/+(livez|readyz|metrics|socket\.io\/|json\/)/i.test(asked)
      if (side === 'admin' && /^content-type: (text\/(html|css|javascript)|application\/javascript|image\/)/im.test(head)) return // the dashboard, empty
      const token = side === 'admin' ? places.adminToken : 'http'
      if (!isPreflight && !(side === 'public' && open) && !asked.includes(token))
        story.fails('something was had without a token', bytes)
      if (
        side === 'public' &&
        /guarded/i.test(asked.split('\n', 1)[0]!) &&
        body.includes('"text"') &&
        !body.includes('"text":""')
      )
        story.fails('a document was read by one who has no right to it', bytes)
      return
    }
    if (/fastify|node\.?js|socket\.io|inkwell|\n\s+at /i.test(body)) story.fails('a refusal tells what serves it', bytes)
    if (!/^content-type: application\/json/im.test(head)) return
    let code: unknown
    try {
      code = (JSON.parse(body.replace(/^[0-9a-f]+\r\n|\r\n0(\r\n)*$/gi, '')) as { code?: unknown }).code
    } catch {
      return // in pieces, or cut off because the line was
    }
    const isEngineIo = typeof code === 'number' // its own table, at the paths of lines
    if (!isEngineIo && !(errorCodes as readonly unknown[]).includes(code) && status !== 503)
      story.fails('a refusal that is no row of the table', Buffer.from(`${body}\n${asked}`))
  }
}

const line = (dice: Chance): Route => ({
  side: 'public',
  method: dice.pick(['GET', 'POST']),
  path: dice.pick(['/socket.io/', '/json/', '/socket.io', '/json/x', '/socket.io/socket.io.js']),
})

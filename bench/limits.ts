// What limits, rights and tokens cost: of each edit, and of a connection that is only there.
// Invariant: both servers are the same build in processes of their own, measured in turns with the same edits; in one of them nobody is
// counted, nobody asked for his right and no token looked at.

import { fork } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Admission } from '../src/server/admission.ts'
import { Entry } from '../src/server/entry.ts'
import { Gateway } from '../src/server/gateway.ts'
import { createServer, jwt, memoryStore } from '../src/server/index.ts'
import { frame, open } from '../test/websocket.ts'
import { median, room } from './room.ts'
import type { BenchOptions, Row } from './row.ts'

// ---- the child: a server with limits, or one without

type Kind = 'without' | 'with'
type Ask = 'cpu' | 'held'
const asChild = 'serve-for-limits'
const secret = 'a secret of more than thirty-two characters'

/** What can be switched off by no option. Members that are private to the compiler are there all the same. */
const unbound = (): void => {
  const [admission, entry, gateway] = [Admission.prototype, Entry.prototype, Gateway.prototype] as unknown as Record<
    string,
    unknown
  >[]
  Object.assign(admission!, {
    knock: () => null,
    watch: () => {},
    of: () => nobody,
    heard: () => {},
    seat: async () => null,
    sweep: () => {},
  })
  Object.assign(entry!, { overdue: () => false, outcast: () => null, rightOf: async () => 'write' })
  Object.assign(gateway!, { inStep: () => true })
}
const nobody = { since: 0, user: null, until: 0, received: 0 }

const serve = async (kind: Kind): Promise<void> => {
  if (kind === 'without') unbound()
  const many = 1_000_000
  const server = await createServer({
    store: memoryStore(),
    logger: 'silent',
    authenticate: kind === 'without' ? () => ({ id: 'somebody' }) : jwt({ secret }),
    limits: {
      ...{ handshakesPerAddress: many, handshakesPerSecond: many, strangersPerAddress: many, pingInterval: 600_000 },
      // Counted all the same, and nobody is slowed down: edits come faster here than anybody may type.
      ...{ messagesPerLine: many, messagesPerUser: many, bytesPerLine: 1_000 * many, bytesPerUser: 1_000 * many },
    },
  })
  const { url } = await server.listen(0)
  process.on('message', async (ask: Ask) => {
    if (ask === 'cpu') return process.send!(process.cpuUsage())
    for (let i = 0; i < 3; i++) {
      global.gc!() // the child is started so that it is there
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    const { heapUsed, external, rss } = process.memoryUsage()
    process.send!({ used: heapUsed + external, rss } satisfies Held)
  })
  process.on('disconnect', () => process.exit())
  process.send!(url)
}

if (process.argv[2] === asChild) await serve(process.argv[3] as Kind)

interface Held {
  readonly used: number
  readonly rss: number
}

const serving = async (kind: Kind) => {
  const child = fork(fileURLToPath(import.meta.url), [asChild, kind], { execArgv: [...process.execArgv, '--expose-gc'] })
  const [url] = (await once(child, 'message')) as [string]
  const asks = async <T>(ask: Ask): Promise<T> => {
    child.send(ask)
    const [answer] = await once(child, 'message')
    return answer as T // the child is this very file
  }
  return {
    url,
    async cpu(): Promise<number> {
      const { user, system } = await asks<NodeJS.CpuUsage>('cpu')
      return user + system
    },
    held: () => asks<Held>('held'),
    async stop(): Promise<void> {
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

/** A token with everything that is looked at: its end, its name, and rights by pattern. */
const tokenOf = (user: string): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const documents = { 'private-*': 'none', 'limited-*': 'write', '*': 'read' }
  const claims = { sub: user, jti: `token of ${user}`, exp: Math.floor(Date.now() / 1_000) + 86_400, inkwell: { documents } }
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`
}

const kinds: readonly Kind[] = ['without', 'with']

// ---- edits

const people = ['writer', 'reader'].map(user => ({ token: async () => tokenOf(user) }))

const editRow = async (quick: boolean): Promise<Row> => {
  const [rounds, edits] = quick ? [6, 150] : [20, 250]
  const servers = await Promise.all(kinds.map(serving))
  const rooms = await Promise.all(servers.map(({ url }) => room(url, 'limited-document', people)))
  const costs: number[][] = kinds.map(() => [])
  for (let round = 0; round < 2 * rounds; round++) {
    for (const k of kinds.keys()) {
      const i = (k + round) % kinds.length // nobody is always the first
      const before = await servers[i]!.cpu()
      await rooms[i]!.types(edits)
      const spent = (await servers[i]!.cpu()) - before
      if (round >= rounds) costs[i]!.push(spent / edits) // the first half warms up
    }
  }
  for (const { close } of rooms) await close()
  for (const { stop } of servers) await stop()
  const [off, on] = costs as [number[], number[]]
  return {
    what: 'server CPU of an edit with one reader, memory store: limits, rights and tokens, against none of them',
    value: median(on.map((cost, round) => cost / off[round]!)), // of one round: the machine may be busy with other things
    unit: '×',
    beside: { 'µs with': median(on), 'µs without': median(off) },
    gate: { atMost: 1.1 },
  }
}

// ---- connections

/** A line that says hello in JSON and then nothing. */
const silentLine = async (url: string, user: string): Promise<Socket> => {
  const answer = await open(`${url}/json/?EIO=4&transport=websocket`)
  if (answer.kind === 'no') throw new Error(`the handshake was answered with ${answer.status}`)
  const { socket } = answer
  const welcome = new Promise<void>((resolve, reject) => {
    socket.on('data', chunk => chunk.includes('"welcome"') && resolve())
    socket.on('close', () => reject(new Error('a line was ended')))
  })
  const hello = { protocol: [1, 1], key: randomBytes(16).toString('base64url'), token: tokenOf(user) }
  socket.write(frame(1, `40${JSON.stringify(hello)}`))
  await welcome
  socket.removeAllListeners('close')
  return socket
}

const idleRow = async (quick: boolean): Promise<Row> => {
  const size = quick ? 500 : 4_000
  const held: { used: number; rss: number }[] = []
  for (const kind of kinds) {
    const server = await serving(kind)
    const lines: Socket[] = []
    const opens = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += 50)
        lines.push(
          ...(await Promise.all(Array.from({ length: 50 }, (_, j) => silentLine(server.url, `user-${lines.length + j}`)))),
        )
    }
    try {
      await opens(200) // what the first ones bring along is nobody's
      const before = await server.held()
      await opens(size)
      const after = await server.held()
      held.push({ used: (after.used - before.used) / size, rss: (after.rss - before.rss) / size })
    } finally {
      for (const line of lines) line.destroy()
      await server.stop()
    }
  }
  const [off, on] = held as [Held, Held]
  return {
    what: `an idle connection, each another user's, of ${size.toLocaleString('en-US')}: what limits, rights and tokens add to the heap`,
    value: (on.used - off.used) / 1_024,
    unit: 'KiB',
    beside: {
      'KiB with': on.used / 1_024,
      'KiB without': off.used / 1_024,
      'resident KiB with': on.rss / 1_024,
      'resident KiB without': off.rss / 1_024,
    },
    gate: { atMost: 0.5 },
  }
}

export const name = 'limits'

export const bench = async ({ quick }: BenchOptions): Promise<readonly Row[]> => [await editRow(quick), await idleRow(quick)]

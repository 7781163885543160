// A server to be measured, as a child of the bench: `node serve.mjs sharedb`, each peer as plainly as its documentation sets it up, or
// `node serve.mjs inkwell memory: [secret of tokens]`, as it is built.
// Invariant: peers store nothing, and nobody logs; what the bench asks is answered by a message.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const rooms = new Map()

const enter = (name, line) => {
  const room = rooms.get(name) ?? new Set()
  rooms.set(name, room)
  room.add(line)
  return room
}

/** Keeps no document: passes on what anybody in the room says, to the one who said it too. */
const ws = async http => {
  const { WebSocketServer } = await import('ws')
  new WebSocketServer({ server: http }).on('connection', (line, request) => {
    const room = enter(request.url, line)
    line.on('message', (bytes, binary) => {
      const said = binary ? bytes : bytes.toString()
      for (const other of room) other.send(said)
    })
    line.on('close', () => room.delete(line))
    line.send('ready')
  })
}

const socketIo = async (http, options = {}) => {
  const { Server } = await import('socket.io')
  new Server(http, { transports: ['websocket'], serveClient: false, ...options }).on('connection', socket => {
    socket.on('join', (name, done) => {
      socket.join(name)
      done()
    })
    socket.on('edit', (name, writer, k, text, done) => {
      socket.to(name).emit('edit', writer, k, text)
      done()
    })
  })
}

const socketIoMessagePack = async http => {
  const { default: parser } = await import('socket.io-msgpack-parser')
  await socketIo(http, { parser })
}

const sharedb = async http => {
  const { WebSocketServer } = await import('ws')
  const { default: ShareDB } = await import('sharedb')
  const { default: JSONStream } = await import('@teamwork/websocket-json-stream')
  const { type } = await import('ot-text-unicode')
  ShareDB.types.register(type)
  const backend = new ShareDB()
  new WebSocketServer({ server: http }).on('connection', line => {
    const stream = new JSONStream(line)
    stream.on('error', () => {}) // a client that is gone while it is written to; nobody else hears of it
    backend.listen(stream)
  })
}

const hocuspocus = async http => {
  const { WebSocketServer } = await import('ws')
  const { Hocuspocus } = await import('@hocuspocus/server')
  const server = new Hocuspocus({ quiet: true, onAuthenticate: async ({ token }) => ({ token }) })
  const lines = new WebSocketServer({ noServer: true })
  http.on('upgrade', (request, socket, head) =>
    lines.handleUpgrade(request, socket, head, line => server.handleConnection(line, request)),
  )
}

const yWebsocket = async http => {
  const { setupWSConnection } = await import('@y/websocket-server/utils')
  const { WebSocketServer } = await import('ws')
  new WebSocketServer({ server: http }).on('connection', setupWSConnection)
}

/** Brings its own http.Server, as `inkwell serve` does. Built, since the compiler that benches run under makes what it runs slower. */
const inkwell = async () => {
  const [, , , place, secret] = process.argv
  const dist = path => import(new URL(`../../dist/${path}`, import.meta.url).href)
  const { createServer: createInkwell, embeddedStore, jwt, memoryStore } = await dist('server/index.js')
  const { redisStore } = await dist('stores/redis.js')
  const server = await createInkwell({
    store: place === 'memory:' ? memoryStore() : place.startsWith('redis:') ? redisStore(place) : embeddedStore({ path: place }),
    logger: 'silent',
    ...(secret === undefined ? {} : { authenticate: jwt({ secret, documents: { '*': 'write' } }) }),
  })
  return (await server.listen(0)).url
}

const peers = {
  inkwell,
  ws,
  socketio: socketIo,
  'socketio-msgpack': socketIoMessagePack,
  sharedb,
  hocuspocus,
  'y-websocket': yWebsocket,
}

const http = createServer()
let url = await peers[process.argv[2]](http)
if (url === undefined) {
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  url = `http://127.0.0.1:${http.address().port}`
}

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
process.on('message', ask => {
  if (ask === 'memory') {
    for (let i = 0; i < 4; i++) globalThis.gc?.()
    process.send(process.memoryUsage().rss)
  } else if (ask === 'delay') {
    process.send(delay.percentile(99) / 1e6)
    delay.reset()
  }
})
process.on('disconnect', () => process.exit())
process.send(url)

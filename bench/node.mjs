// One node to be measured, as it is built: `node node.mjs memory: | redis://… | a folder [relay]`; with `relay` a bare Socket.IO server beside it.
// Invariant: it runs from dist/, without the loader that the benches run under: that makes closures dearer than they are.

import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { Server } from 'socket.io'
import { createServer, embeddedStore, memoryStore } from '../dist/server/index.js'
import { redisStore } from '../dist/stores/redis.js'

const [, , place, beside] = process.argv
const store =
  place === 'memory:' ? memoryStore() : place.startsWith('redis:') ? redisStore(place) : embeddedStore({ path: place })
// Its clients are no people: they type a thousand keys a second, one after the other, and would be told to slow down.
const server = await createServer({ store, logger: 'silent', limits: { messagesPerLine: 1_000_000, messagesPerUser: 1_000_000 } })
const { url } = await server.listen(0)

const http = createHttpServer()
const relay = beside === 'relay' ? new Server(http, { transports: ['websocket'], serveClient: false }) : null
relay?.on('connection', socket => {
  socket.on('key', key => socket.broadcast.emit('key', key))
  socket.on('edit', (_, acknowledge) => acknowledge())
})
if (relay !== null) {
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
}

process.on('message', ask => {
  if (ask === 'cpu') process.send(process.cpuUsage())
  else void Promise.all([relay?.close(), server.close()]).then(() => process.disconnect())
})
process.send(relay === null ? url : { inkwell: url, bare: `http://127.0.0.1:${http.address().port}` })

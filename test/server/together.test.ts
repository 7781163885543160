// What leaves together: several messages for one client in one system call.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket as NetSocket } from 'node:net'
import { Server, type Socket } from 'socket.io'
import { io } from 'socket.io-client'
import { expect, it } from 'vitest'
import { createParser } from '../../src/protocol/parser.ts'
import { Fanout } from '../../src/server/fanout.ts'
import { newTally } from '../../src/server/tally.ts'
import { afterwards } from './worlds.ts'

it('[P8] two messages that are said together reach each of ten clients in one write, in their order', async () => {
  const http = createServer()
  const server = new Server(http, { parser: createParser({ end: 'server' }), transports: ['websocket'] })
  const sockets: Socket[] = []
  server.on('connection', socket => sockets.push(socket))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as AddressInfo
  const parser = createParser({ end: 'client' })
  const clients = Array.from({ length: 10 }, () =>
    io(`http://127.0.0.1:${port}`, { parser, transports: ['websocket'], forceNew: true }),
  )
  afterwards(async () => {
    for (const client of clients) client.close()
    await server.close()
  })
  await Promise.all(clients.map(client => once(client as never, 'connect')))
  const fanout = new Fanout({ behindBytes: 1_000_000, waitingBytes: 1_000_000, applicationBytes: 1_000_000 }, newTally())
  const lines = sockets.map(({ conn }) => fanout.open('binary', 'ann' as never, conn, {} as never))
  let [single, several] = [0, 0]
  for (const { conn } of sockets) {
    const { _socket: tcp } = (conn.transport as unknown as { socket: { _socket: NetSocket } }).socket
    const { _write: write, _writev: writev } = tcp
    tcp._write = (...words) => {
      single++
      write.apply(tcp, words)
    }
    tcp._writev = (...words) => {
      several++
      writev!.apply(tcp, words)
    }
  }
  const heard = clients.map(client => {
    const spreads: number[] = []
    return new Promise<number[]>(resolve => {
      client.on('alive', ({ spread }) => spreads.push(spread) === 3 && resolve(spreads))
    })
  })
  fanout.together(() => {
    fanout.deliver(lines, { kind: 'alive', spread: 1 })
    fanout.deliver(lines, { kind: 'alive', spread: 2 })
  })
  expect([single, several]).toEqual([10, 0])
  fanout.deliver(lines, { kind: 'alive', spread: 3 })
  expect(await Promise.all(heard)).toEqual(Array(10).fill([1, 2, 3]))
})

// Sockets that keep to no protocol, one after the other; most of them are to be ended by the server.
// Invariant: whatever was opened here is destroyed before it resolves.

import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Chance } from '../../src/testing/random.ts'
import { frame, open } from '../websocket.ts'
import { misframed } from './misframed.ts'
import type { Story } from './story.ts'

const patience = 120_000 // ms; only ends a hang
const hello = JSON.stringify({ protocol: [1, 1], key: 'k'.repeat(22), token: 'writer:abuse' })

const ended = (socket: Socket, what: string, story: Story): Promise<void> =>
  new Promise(resolve => {
    socket.resume()
    const late = setTimeout(() => {
      story.fails(`a line outlives ${what}`, Buffer.alloc(0))
      resolve()
    }, patience)
    const over = (): void => {
      clearTimeout(late)
      resolve()
    }
    if (socket.destroyed) over()
    else socket.once('close', over)
  })

export const abuse = async (url: string, dice: Chance, story: Story): Promise<void> => {
  const open1 = async (form: 'json' | 'socket.io'): Promise<Socket | null> => {
    const answer = await open(`${url}/${form}/?EIO=4&transport=websocket`, {
      'x-forwarded-for': `198.18.${dice.int(256)}.${dice.int(256)}`,
    })
    return answer.kind === 'line' ? answer.socket : null
  }
  const opened: Socket[] = []
  const line = async (): Promise<Socket | null> => {
    const socket = await open1(dice.pick(['json', 'socket.io']))
    if (socket !== null) opened.push(socket)
    return socket
  }
  const tcp = (): Socket => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', () => {})
    opened.push(socket)
    return socket
  }
  try {
    switch (dice.int(7)) {
      case 0: {
        const [what, bytes] = dice.pick(misframed)
        const socket = await line()
        if (socket === null) return
        if (dice.chance(0.5)) socket.write(frame(1, `40${hello}`))
        socket.write(bytes())
        await ended(socket, what, story)
        return story.counts(`abuse ${what}`)
      }
      case 1: {
        const socket = tcp()
        socket.write('GET /json/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n')
        for (let i = 0; i < 10; i++) {
          socket.write('X-More: y\r\n')
          await sleep(100)
        }
        return story.counts('abuse a slow head')
      }
      case 2: {
        const socket = await line()
        if (socket === null) return
        socket.write(Buffer.concat(Array.from({ length: 5_000 }, () => frame(dice.pick([9, 10]), 'x'))))
        await sleep(200)
        return story.counts('abuse pings')
      }
      case 3: {
        // Joins, asks, and never reads.
        const socket = await line()
        if (socket === null) return
        socket.pause()
        socket.write(frame(1, `40${hello}`))
        for (let i = 0; i < 200; i++) socket.write(frame(1, '42["join",{"doc":"quiet","type":"text","position":null}]'))
        await sleep(2_000)
        return story.counts('abuse a reader who does not read')
      }
      case 4: {
        // A thousand lines a second, for half a second.
        const knocks = Array.from({ length: 500 }, async (_, i) => {
          await sleep(i)
          const socket = await open1('json').catch(() => null)
          socket?.destroy()
        })
        await Promise.all(knocks)
        await sleep(2_000)
        return story.counts('abuse a crowd')
      }
      case 5: {
        const socket = tcp()
        socket.write(
          dice.pick([
            '\u0000\u0001\u0002\r\n\r\n',
            `GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(10_000)}\r\n`,
            'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
          ]),
        )
        await ended(socket, 'what is no HTTP', story)
        return story.counts('abuse no HTTP')
      }
      default: {
        const socket = await line()
        if (socket === null) return
        await ended(socket, 'having nothing to say', story)
        return story.counts('abuse silence')
      }
    }
  } finally {
    for (const socket of opened) socket.destroy()
  }
}

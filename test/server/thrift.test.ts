// What is kept small for a connection behaves as the large thing did in whose place it stands.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connectionsOf } from '../../src/server/fanout.ts'
import { Alone, Few } from '../../src/server/few.ts'
import { connects, serverWith } from './worlds.ts'

const seed = Number(process.env.SEED ?? 20_261_126)

describe('in the place of a Map or a Set', () => {
  const key = fc.constantFrom('a', 'b', 'c', '')
  const call = fc.oneof(
    fc.tuple(fc.constant('set' as const), key, fc.nat(9)),
    fc.tuple(fc.constantFrom('get' as const, 'has' as const, 'delete' as const), key),
    fc.tuple(fc.constant('clear' as const)),
  )

  it(`Few answers as a Map does, SEED=${seed}`, () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 12 }), calls => {
        const map = new Map<string, number>()
        const few = new Few<string, number>()
        for (const each of calls) {
          const [ours, theirs] = [few, map].map(it => {
            switch (each[0]) {
              case 'set':
                return it.set(each[1], each[2]) === (it as never)
              case 'clear':
                return it.clear()
              default:
                return it[each[0]](each[1])
            }
          })
          expect([ours, few.size]).toEqual([theirs, map.size])
          expect([...few].sort()).toEqual([...map].sort())
          expect([[...few.keys()].sort(), [...few.values()].sort()]).toEqual([[...map.keys()].sort(), [...map.values()].sort()])
          const seen: unknown[] = []
          few.forEach((value, name) => {
            seen.push([name, value])
          })
          expect(seen.sort()).toEqual([...map].sort())
        }
      }),
      { seed },
    )
  })

  it('Alone is a Set of one, until that one is gone', () => {
    for (const gone of [['b'], ['b', 'a'], ['a', 'a']]) {
      const [alone, set] = [new Alone('a'), new Set(['a'])]
      for (const id of gone) expect(alone.delete(id)).toBe(set.delete(id))
      expect([alone.size, alone.has('a'), alone.has('b'), [...alone], [...alone.values()]]).toEqual([
        set.size,
        set.has('a'),
        false,
        [...set],
        [...set],
      ])
    }
  })
})

it('an application’s own rooms, answers and listeners work on lines of documents too', async () => {
  const server = await serverWith()
  const { url } = await server.listen(0)
  const { io } = server
  const said: unknown[] = []
  io.on('connection', socket => {
    socket.on('say', (word, answer) => answer(`${word}!`))
    socket.onAny(name => said.push(name))
  })
  const [ada, ben, cy] = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = connects(url)
      await client.next('welcome')
      return client
    }),
  )
  const ids = [ada, ben, cy].map(client => client!.socket.id!)
  const heard: string[][] = [[], [], []]
  for (const [i, client] of [ada, ben, cy].entries()) {
    client!.socket.on('word', (word: string) => heard[i]!.push(word))
    client!.socket.on('ask', (answer: (i: number) => void) => answer(i))
  }
  expect((await io.fetchSockets()).map(({ id }) => id).sort()).toEqual([...ids].sort())
  const of = (i: number) => io.sockets.sockets.get(ids[i]!)!
  io.to(ids[0]!).emit('word', 'to one')
  of(0).to(ids[1]!).emit('word', 'from one to another')
  of(0).broadcast.emit('word', 'to all others')
  of(1).join('room')
  of(2).join(['room', ids[0]!])
  io.to('room').emit('word', 'to a room')
  io.to(ids[0]!).emit('word', 'to the room of one')
  of(2).leave('room')
  io.to('room').except(ids[1]!).emit('word', 'to nobody')
  expect([...of(2).rooms].sort()).toEqual([ids[0]!, ids[2]!].sort())
  expect(await of(0).emitWithAck('ask')).toBe(0)
  expect(await Promise.all([of(1).emitWithAck('ask'), of(1).emitWithAck('ask'), of(2).emitWithAck('ask')])).toEqual([1, 1, 2])
  expect((await io.timeout(60_000).emitWithAck('ask')).sort()).toEqual([0, 1, 2])
  expect(await ada!.socket.emitWithAck('say', 'hi')).toBe('hi!')
  expect(heard).toEqual([
    ['to one', 'to the room of one'],
    ['from one to another', 'to all others', 'to a room'],
    ['to all others', 'to a room', 'to the room of one'],
  ])
  expect(said).toEqual(['say'])
  ben!.socket.disconnect()
  io.in(ids[2]!).disconnectSockets(true)
  await Promise.all([ben!.down, cy!.down])
  await expect.poll(() => io.sockets.sockets.size).toBe(1)
  const { adapter } = io.of('/')
  expect([[...adapter.rooms.keys()], [...adapter.sids.keys()]]).toEqual([[ids[0]], [ids[0]]])
})

it.each(['past Socket.IO', 'through Socket.IO'])(
  '[P5] an idle line is asked whether it is there, without a timer of its own, and ended when it is not: %s',
  async way => {
    const server = await serverWith({ limits: { pingInterval: 5_000, pingTimeout: 1_000 } })
    if (way === 'through Socket.IO') void server.io
    const { url } = await server.listen(0)
    const here = connects(url)
    const gone = connects(url)
    await Promise.all([here.next('welcome'), gone.next('welcome')])
    gone.socket.io.engine.transport.send = () => {} // it hears, and never says a word again
    const timers = connectionsOf(server.io.engine).map(conn => {
      const { pingIntervalTimer, timer } = conn as { pingIntervalTimer?: unknown; timer?: unknown }
      return pingIntervalTimer ?? timer ?? null
    })
    expect(timers).toEqual([null, null])
    await new Promise(resolve => here.socket.io.on('ping', resolve as () => void))
    await gone.down
    expect(here.socket.connected).toBe(true)
  },
)

// The line that lasts, its calls and its time held in the hand: when it dials, when it moves, when it gives up, when it wakes.
import { describe, expect, it } from 'vitest'
import { refusal } from '../../src/protocol/errors.ts'
import type { Handle } from '../../src/protocol/ids.ts'
import type { ClientMessage, ServerMessage } from '../../src/protocol/messages.ts'
import { HeldLine } from './calls.ts'

const leave: ClientMessage = { kind: 'leave', handle: 1 as Handle }
const durable: ServerMessage = { kind: 'durable', handle: 1 as Handle, version: 1 }
const probes = (messages: readonly ClientMessage[]): number => messages.filter(({ kind }) => kind === 'probe').length

describe('the schedule', () => {
  it('spreads every attempt from nothing up to twice as long as the one before, thirty seconds at most', () => {
    const held = new HeldLine()
    for (let i = 0; i < 9; i++) {
      held.clock.pass(15_000)
      held.call.ends('refused')
    }
    const waits = held.dialled.map((at, i) => at - 15_000 * i)
    expect(waits).toEqual([0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
    const never = new HeldLine({ random: () => 0 })
    for (let i = 0; i < 5; i++) {
      never.clock.pass(0)
      never.call.ends()
    }
    expect(never.dialled).toEqual([0, 0, 0, 0, 0])
  })

  it('begins anew only after a line has held for five seconds, so that a server that drops at once is not stormed', () => {
    const held = new HeldLine()
    const waits: number[] = []
    for (const holds of [0, 0, 4_999, 5_000, 0]) {
      const before = held.clock.now()
      held.clock.pass(15_000)
      waits.push(held.dialled.at(-1)! - before)
      held.call.welcomes()
      held.clock.pass(holds)
      held.call.ends('io server disconnect')
    }
    held.clock.pass(15_000)
    expect(waits).toEqual([0, 500, 1_000, 2_000, 500])
  })

  it('a crowd that lost its server comes back over as long as the server has told, and whose line alone is silent sooner', () => {
    const crowd = HeldLine.up({ spread: 40_000 })
    crowd.call.ends()
    crowd.clock.pass(19_999)
    expect(crowd.calls.length).toBe(1)
    crowd.clock.pass(1)
    expect(crowd.calls.length).toBe(2)

    const told = HeldLine.up()
    told.call.says({ kind: 'alive', spread: 6_000 })
    told.call.ends()
    told.clock.pass(60_000)
    expect([told.dialled[1], told.told]).toEqual([
      3_000,
      ['down: transport close', 'down: no welcome in time', 'down: no welcome in time'],
    ])

    const alone = HeldLine.up({ spread: 40_000 })
    alone.line.send(leave)
    alone.clock.pass(60_000)
    expect(alone.dialled[1]).toBeLessThan(15_000)
  })

  it('waits as long as the server asks for and then comes by chance, for it may have asked the same of all; five minutes at most', () => {
    const held = new HeldLine()
    held.clock.pass(0)
    held.call.ends('refused', refusal('slow-down', undefined, 12_345))
    held.clock.pass(13_000)
    expect(held.dialled).toEqual([0, 12_345 + 500])
    held.call.ends('refused', refusal('slow-down', undefined, 2 ** 50))
    const before = held.clock.now()
    held.clock.pass(400_000)
    expect(held.dialled[2]! - before).toBe(300_000 + 1_000)
  })

  it('gives a call up after twenty seconds without a welcome', () => {
    const held = new HeldLine()
    held.clock.pass(19_999)
    expect([held.call.over, held.told]).toEqual([false, []])
    held.clock.pass(1)
    expect([held.call.over, held.told]).toEqual([true, ['down: no welcome in time']])
  })
})

describe('[P4] a node that is about to stop', () => {
  it('is left only once another one has said welcome, and nobody is told of a break', () => {
    const held = HeldLine.up()
    const [before] = held.calls
    before!.drains(700)
    held.clock.pass(699)
    expect(held.calls.length).toBe(1)
    held.clock.pass(1)
    const [, after] = held.calls
    held.line.send(leave)
    before!.says(durable)
    expect([before!.sent, after!.sent, held.told]).toEqual([[leave], [], ['durable']])
    after!.welcomes()
    expect([before!.over, after!.over, held.told]).toEqual([true, false, ['up']])
    before!.says(durable) // was on its way
    before!.ends()
    held.line.send(leave)
    expect([before!.sent.length, after!.sent, held.told]).toEqual([1, [leave], []])
    after!.says(durable)
    expect(held.told).toEqual(['durable'])
  })

  it('is left after the documents have asked to be joined on the new line', () => {
    const order: string[] = []
    const held = HeldLine.up()
    const [before] = held.calls
    before!.hangUp = () => order.push('hung up')
    before!.drains()
    held.clock.pass(0)
    held.call.send = ({ kind }) => order.push(kind)
    held.events.push = () => {
      held.line.send({ kind: 'leave', handle: 9 as Handle }) // stands for the joins
      return 0
    }
    held.call.welcomes()
    expect(order).toEqual(['leave', 'hung up'])
  })

  it('serves on while no other one is to be found, and is tried to be left again and again', () => {
    const held = HeldLine.up()
    held.call.drains(100)
    for (let i = 0; i < 4; i++) {
      held.clock.pass(15_000)
      held.call.ends('refused', refusal('draining'))
    }
    const [before] = held.calls
    before!.says(durable)
    expect([held.calls.length, before!.over, held.told]).toEqual([5, false, ['durable']])
    expect(held.dialled).toEqual([0, 100, 15_500, 31_000, 47_000])
    before!.ends()
    expect(held.told).toEqual(['down: transport close'])
    held.clock.pass(500)
    expect(held.calls.length, 'the break is a break like any other').toBe(6)
  })

  it('that goes before its time does not make its clients come all at once: each keeps the moment that it was given', () => {
    const held = HeldLine.up()
    held.call.drains(7_000)
    held.clock.pass(1_000)
    held.call.ends()
    held.wake()
    expect(held.told).toEqual(['down: transport close'])
    held.clock.pass(5_999)
    expect(held.calls.length).toBe(1)
    held.clock.pass(1)
    held.call.welcomes()
    expect([held.calls.length, held.told]).toEqual([2, ['up']])
  })

  it('that goes while another one is being dialled: that call goes on', () => {
    const held = HeldLine.up()
    held.call.drains()
    held.clock.pass(0)
    held.calls[0]!.ends()
    held.clock.pass(3_000)
    held.call.welcomes()
    expect([held.calls.length, held.told]).toEqual([2, ['down: transport close', 'up']])
  })

  it('says so twice: the later word counts, and a call under way goes on', () => {
    const held = HeldLine.up()
    held.call.drains(5_000)
    held.call.drains(1_000)
    held.clock.pass(1_000)
    held.calls[0]!.drains(9_000)
    held.call.welcomes()
    held.clock.pass(60_000)
    expect([held.dialled, held.told]).toEqual([[0, 1_000], ['up']])
  })

  it('elsewhere the client is refused for good: it stays as long as it can, and is told when the node has gone', () => {
    const held = HeldLine.up({ renewable: false })
    held.call.drains()
    held.clock.pass(0)
    held.call.ends('refused', refusal('unauthenticated'))
    expect(held.told).toEqual([])
    held.calls[0]!.ends()
    held.clock.pass(1_000)
    held.call.ends('refused', refusal('unauthenticated'))
    expect(held.events.at(-1)).toMatchObject({ kind: 'down', final: true, refusal: { code: 'unauthenticated' } })
  })
})

describe('the other end', () => {
  it('is asked when something was sent and nothing has come for three seconds, and given up five seconds later', () => {
    const held = HeldLine.up()
    held.line.send(leave)
    held.clock.pass(1_000)
    held.line.send(leave) // more of the same does not buy it time
    held.clock.pass(1_998)
    expect(probes(held.call.sent)).toBe(0)
    held.clock.pass(5)
    expect(probes(held.call.sent)).toBe(1)
    held.clock.pass(4_990)
    expect(held.told).toEqual([])
    held.clock.pass(20)
    expect([held.told, held.calls[0]!.over]).toEqual([['down: no answer'], true])
  })

  it('is left in peace while it talks, and while nothing is asked of it', () => {
    const held = HeldLine.up()
    held.clock.pass(600_000)
    for (let i = 0; i < 100; i++) {
      held.line.send(leave)
      held.clock.pass(2_900)
      held.call.says(durable)
    }
    expect(held.call.sent.every(({ kind }) => kind === 'leave')).toBe(true)
    held.clock.pass(600_000)
    expect([held.calls.length, held.clock.waiting]).toEqual([1, 0])
  })

  it.each(['message', 'pulse', 'alive'] as const)('that gives any sign of life is not given up: %s', sign => {
    const held = HeldLine.up()
    for (let i = 0; i < 5; i++) {
      held.line.send(leave)
      held.clock.pass(7_000)
      if (sign === 'pulse') held.call.pulses()
      else held.call.says(sign === 'message' ? durable : { kind: 'alive', spread: 1_000 })
    }
    held.clock.pass(60_000)
    expect([held.calls.length, probes(held.call.sent)]).toEqual([1, 5])
  })

  it('has time to answer what is long: a megabyte on a slow line takes a minute', () => {
    const held = HeldLine.up()
    held.call.bytes = 1_048_576
    held.line.send(leave)
    held.clock.pass(66_900)
    expect(probes(held.call.sent)).toBe(0)
    held.clock.pass(200)
    expect(probes(held.call.sent)).toBe(1)
    held.clock.pass(60_000)
    expect(held.told).toEqual([])
    held.clock.pass(80_000)
    expect(held.told[0]).toBe('down: no answer')
  })

  it('given up in vain is given twice as long the next time, and a line that answers is trusted again', () => {
    const patience = (held: HeldLine): number => {
      held.call.welcomes()
      held.line.send(leave)
      const since = held.clock.now()
      const { call } = held
      while (!call.over) held.clock.pass(1)
      const took = held.clock.now() - since
      while (held.call === call) held.clock.pass(1)
      return took
    }
    const held = new HeldLine()
    held.clock.pass(0)
    const small = 2 // milliseconds for twenty bytes
    const rest = (ms: number) => ms + 2 * small
    expect([0, 1, 2, 3, 4].map(() => patience(held))).toEqual([8_000, 13_000, 23_000, 43_000, 43_000].map(rest))
    held.call.welcomes()
    held.line.send(leave)
    held.clock.pass(4_000)
    held.call.says({ kind: 'alive', spread: 1_000 })
    held.call.ends()
    held.clock.pass(15_000)
    expect(patience(held)).toBe(rest(8_000))
  })

  it('is not blamed for an alarm that comes late: this machine has slept or was busy, and asks again', () => {
    let slept = 0
    const held = HeldLine.up()
    const { clock } = held
    const now = clock.now.bind(clock)
    clock.now = () => now() + slept
    held.line.send(leave)
    clock.pass(4_000)
    expect(probes(held.call.sent)).toBe(1)
    slept = 3_600_000
    clock.pass(4_100)
    expect([probes(held.call.sent), held.told]).toEqual([2, []])
    held.call.says(durable)
    clock.pass(60_000)
    expect(held.told).toEqual(['durable'])
  })
})

describe('waking', () => {
  it('tries at once what would have been tried later, and begins the schedule anew', () => {
    const held = new HeldLine()
    for (let i = 0; i < 6; i++) {
      held.clock.pass(15_000)
      held.call.ends()
    }
    held.clock.pass(2_000)
    held.wake()
    expect(held.calls.length).toBe(7)
    held.call.ends()
    held.clock.pass(500)
    expect(held.calls.length).toBe(8)
  })

  it('does not call before the time that the server has asked for', () => {
    const held = new HeldLine()
    held.clock.pass(0)
    held.call.ends('refused', refusal('slow-down', undefined, 10_000))
    held.clock.pass(9_999)
    held.wake()
    expect(held.calls.length).toBe(1)
    held.clock.pass(1)
    held.wake()
    expect(held.calls.length).toBe(2)
  })

  it('again and again storms nobody: once a second at most', () => {
    const held = new HeldLine()
    held.clock.pass(0)
    for (let i = 0; i < 1_000; i++) {
      held.call.ends()
      held.wake()
      held.clock.pass(10)
    }
    expect(held.calls.length).toBeLessThanOrEqual(21) // the schedule's own, at half a second after each
  })

  it('dials anew what has been under way for two seconds: it may go to a network that is gone', () => {
    const held = new HeldLine()
    held.clock.pass(1_999)
    held.wake()
    expect(held.calls.length).toBe(1)
    held.clock.pass(1)
    held.wake()
    expect(held.calls.map(({ over }) => over)).toEqual([true, false])
    held.calls[0]!.welcomes()
    expect(held.told).toEqual([])
  })

  it('asks on a line that is up whether the other end is still there', () => {
    const held = HeldLine.up()
    held.clock.pass(3_600_000)
    held.wake()
    held.wake()
    expect(held.call.sent).toEqual([{ kind: 'probe' }])
    held.clock.pass(4_999)
    expect(held.told).toEqual([])
    held.clock.pass(1)
    expect(held.told).toEqual(['down: no answer'])
  })

  it('changes nothing on a line that is paused or closed', () => {
    const held = HeldLine.up()
    held.line.pause()
    held.wake()
    held.clock.pass(60_000)
    expect([held.calls.length, held.clock.waiting, held.listening]).toEqual([1, 0, true])
    held.line.close()
    held.wake()
    expect([held.calls.length, held.clock.waiting, held.listening]).toEqual([1, 0, false])
  })
})

describe('closing and pausing', () => {
  const states: Record<string, (held: HeldLine) => void> = {
    waiting: () => {},
    dialling: held => held.clock.pass(0),
    up: held => {
      held.clock.pass(0)
      held.call.welcomes()
    },
    'waiting for an answer': held => {
      held.clock.pass(0)
      held.call.welcomes()
      held.line.send(leave)
      held.clock.pass(4_000)
    },
    'about to move': held => {
      held.clock.pass(0)
      held.call.welcomes()
      held.call.drains(1_000)
    },
    moving: held => {
      held.clock.pass(0)
      held.call.welcomes()
      held.call.drains()
      held.clock.pass(0)
    },
  }

  it.each(Object.keys(states))('%s: neither leaves an alarm or a call behind', state => {
    for (const end of ['pause', 'close'] as const) {
      const held = new HeldLine()
      states[state]!(held)
      held.line[end]()
      expect([held.clock.waiting, held.calls.every(({ over }) => over)]).toEqual([0, true])
      const before = held.told
      for (const call of held.calls) {
        call.welcomes()
        call.says(durable)
        call.ends()
      }
      expect([held.told, end === 'pause' ? before.at(-1) : 'down: paused']).toEqual([[], 'down: paused'])
    }
  })

  it('from inside the event that says that it is up, while it moves: both calls are hung up', () => {
    const held = HeldLine.up()
    held.call.drains()
    held.clock.pass(0)
    held.events.push = () => {
      held.line.close()
      return 0
    }
    held.call.welcomes()
    expect([held.calls.map(({ over }) => over), held.clock.waiting]).toEqual([[true, true], 0])
  })
})

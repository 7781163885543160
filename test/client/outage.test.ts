// What an application is told while its server cannot be reached.
import { expect, it } from 'vitest'
import { connect, type Transport } from '../../src/client/index.ts'
import { refusal } from '../../src/protocol/errors.ts'
import { HeldLine } from './calls.ts'
import { HandClock } from './hand.ts'

/** A client on a line that is held in the hand, and all that it says. */
const client = () => {
  const clock = new HandClock()
  let held: HeldLine | undefined
  const transport: Transport = listen => {
    held = new HeldLine({ clock })
    held.events.push = event => {
      listen(event!)
      return 0
    }
    return held.line
  }
  const made = connect('held:', { transport, clock })
  const heard: string[] = []
  made.on('status', status => heard.push(status))
  made.on('error', ({ code, advice, detail }) => heard.push(`${code}, ${advice}: ${detail}`))
  return { client: made, clock, held: held!, heard }
}

it('[P7] a server that cannot be reached is told of after ten seconds, once, with the reason; the line is tried further', () => {
  const { clock, held, heard } = client()
  clock.pass(9_999)
  expect(heard).toEqual([])
  held.call.ends('websocket error')
  clock.pass(1)
  expect(heard).toEqual(['unreachable, retry: websocket error'])
  clock.pass(600_000)
  expect(heard.length).toBe(1)
  expect(held.calls.length).toBeGreaterThan(15)
  while (held.call.over) clock.pass(1_000)
  held.call.welcomes()
  expect(heard.splice(0).slice(1)).toEqual(['online'])
})

it('[P7] each outage is told of anew; one that is over before ten seconds is not worth a word', () => {
  const { clock, held, heard } = client()
  clock.pass(0)
  held.call.welcomes()
  for (let i = 0; i < 3; i++) {
    clock.pass(10_000)
    held.call.ends()
    clock.pass(9_000)
    held.call.welcomes()
  }
  expect(heard).toEqual(['online', 'offline', 'online', 'offline', 'online', 'offline', 'online'])
  held.call.ends()
  clock.pass(30_000)
  expect(heard.filter(word => word.startsWith('unreachable'))).toEqual(['unreachable, retry: transport close'])
})

it('[P7] nobody is told of a line that is not wanted: paused, closed, or refused for good', async () => {
  const paused = client()
  paused.client.pause()
  paused.clock.pass(60_000)
  expect(paused.heard).toEqual([])
  paused.client.resume()
  paused.clock.pass(10_000)
  expect(paused.heard).toEqual(['unreachable, retry: no attempt has ended'])

  const closed = client()
  await closed.client.close()
  const refused = client()
  refused.clock.pass(0)
  refused.held.call.ends('refused', refusal('unsupported-protocol'))
  for (const { clock } of [closed, refused]) clock.pass(60_000)
  expect([closed.heard, refused.heard]).toEqual([['closed'], ['closed', 'unsupported-protocol, reload: undefined']])
  expect([closed.clock.waiting, refused.clock.waiting]).toEqual([0, 0])
})

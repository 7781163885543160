// What comes in the same breath over one line: the order is kept, and what was to be told is told.

import type { Socket } from 'node:net'
import { expect, it } from 'vitest'
import { encodeClientFrame } from '../../src/protocol/codec.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import type { ClientMessage, ServerMessage } from '../../src/protocol/messages.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { Frames, frame, open } from '../websocket.ts'
import { afterwards, serving } from './worlds.ts'

const { Encoder, Decoder } = createParser({ end: 'client' })

/** A line in the binary form that answers no ping, with what has come over it. */
class Breath {
  readonly heard: ServerMessage[] = []
  pings = 0
  private readonly socket: Socket
  private changed = (): void => {}

  private constructor(socket: Socket) {
    this.socket = socket
    const decoder = new Decoder().on('decoded', ({ data }) => {
      if (!Array.isArray(data)) return // the answer to the hello
      const [kind, message] = data as [string, ServerMessage]
      this.heard.push({ ...message, kind } as ServerMessage)
    })
    const frames = new Frames((opcode, payload) => {
      if (opcode === 2) decoder.add(payload)
      else if (payload.toString() === '2') this.pings++
      this.changed()
    })
    socket.on('data', bytes => frames.add(bytes))
    socket.on('close', () => this.changed())
  }

  static async welcome(url: string): Promise<Breath> {
    const answer = await open(`${url}/socket.io/?EIO=4&transport=websocket`)
    if (answer.kind === 'no') throw new Error(answer.body)
    afterwards(() => answer.socket.destroy())
    const line = new Breath(answer.socket)
    const hello = { protocol: [1, 1], key: 'k'.repeat(22) }
    answer.socket.write(frame(2, new Encoder().encode({ type: 0, nsp: '/', data: hello })[0]))
    await line.until(() => line.kinds.includes('welcome'))
    return line
  }

  get kinds(): readonly string[] {
    return this.heard.map(({ kind }) => kind)
  }

  /** In one write to the socket, so that they arrive in one piece. */
  says(...parts: readonly (ClientMessage | Uint8Array)[]): void {
    this.socket.write(Buffer.concat(parts.map(part => frame(2, part instanceof Uint8Array ? part : encodeClientFrame(part)))))
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.socket.destroyed) throw new Error('the line has ended')
      await new Promise<void>(resolve => (this.changed = resolve))
    }
  }
}

const join: ClientMessage = { kind: 'join', doc: 'notes' as DocId, type: 'text', position: null }

it('[P1] leaving and joining again in one breath, while an answer to a ping is waited for, are heard in their order', async () => {
  const url = await serving({ limits: { pingInterval: 200, pingTimeout: 60_000, beat: 3_600_000 } })
  const line = await Breath.welcome(url)
  line.says(join)
  await line.until(() => line.kinds.includes('joined'))
  const { handle } = line.heard.find(({ kind }) => kind === 'joined') as ServerMessage & { kind: 'joined' }
  await line.until(() => line.pings > 0)
  line.says({ kind: 'leave', handle }, join)
  await line.until(() => line.kinds.filter(kind => kind === 'joined').length === 2 || line.kinds.includes('refused'))
  expect(line.kinds).not.toContain('refused')
})

it('[P1] a message that asks for an acknowledgement is not overtaken by the one behind it', async () => {
  const url = await serving({ limits: { beat: 3_600_000 } })
  const line = await Breath.welcome(url)
  line.says(join)
  await line.until(() => line.kinds.includes('joined'))
  const { handle } = line.heard.find(({ kind }) => kind === 'joined') as ServerMessage & { kind: 'joined' }
  line.says(encodeClientFrame({ kind: 'leave', handle }, 7), join)
  await line.until(() => line.kinds.filter(kind => kind === 'joined').length === 2 || line.kinds.includes('refused'))
  expect(line.kinds).not.toContain('refused')
})

it('[R14] a frame that cannot be read, in one breath with a message that is answered, is answered too', async () => {
  const url = await serving({ limits: { beat: 3_600_000 } })
  const line = await Breath.welcome(url)
  line.says({ kind: 'probe' }, Uint8Array.of(0x9f, 0xff, 0xff))
  await line.until(() => line.kinds.includes('refused'))
  expect(line.kinds.slice(-2)).toEqual(['alive', 'refused'])
})

// Acts out the rehearsal of a recorded session with two real clients, each on a server of its own or both on one.
// Invariant: submissions enter the log one at a time, in the order of the rehearsal, and each client hears of a commit when it is its turn.

import { systemClock } from '../../src/client/clock.ts'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import { lastingLine } from '../../src/client/line.ts'
import { socketIo } from '../../src/client/socketio.ts'
import { surroundings } from '../../src/client/surroundings.ts'
import type { Line, LineEvent, Transport } from '../../src/client/transport.ts'
import { composeAll } from '../../src/ot/algebra.ts'
import { replace, type TextOp } from '../../src/ot/op.ts'
import type { ClientKey } from '../../src/protocol/ids.ts'
import type { ClientMessage, ServerMessage } from '../../src/protocol/messages.ts'
import type { ConcurrentTrace } from '../traces.ts'
import { HandClock } from './hand.ts'
import type { Move, Run } from './rehearsal.ts'

interface Session {
  readonly trace: ConcurrentTrace
  readonly runs: readonly [readonly Run[], readonly Run[]]
  readonly moves: readonly Move[]
  /** Of the server at which each of the two works. */
  readonly urls: readonly [string, string]
  readonly doc: string
  /** Given each client, which is to be closed after the test. */
  readonly closing: (client: Client) => Client
}

interface Enacted {
  /** As the two have them at the end. */
  readonly docs: readonly TextDocument[]
  /** How many runs each has made. */
  readonly done: readonly number[]
  /** How many submissions have entered the log. */
  readonly entries: number
}

export const enact = async ({ trace, runs, moves, urls, doc: id, closing }: Session): Promise<Enacted> => {
  const lines = [new HeldLine(), new HeldLine()] as const
  const docs: TextDocument[] = []
  // Their clock stands: here a submission may wait as long as it likes.
  for (const [i, url] of urls.entries())
    docs.push(await closing(connect(url, { transport: lines[i]!.transport(url), clock: new HandClock() })).open(id))
  for (const line of lines) line.held = true
  const done = [0, 0]
  const behind = [0, 0]
  const heard = [0, 0]
  const entries: boolean[] = [] // whether what the rehearsal took for a commit is one
  for (const [kind, me] of moves) {
    const doc = docs[me]!
    switch (kind) {
      case 'edit': {
        const ops: TextOp[] = []
        let { length } = doc
        for (const txn of runs[me][done[me]!++]!.txns) {
          for (const [at, deleted, inserted] of trace.txns[txn]!.patches) {
            ops.push(replace(length, at, at + deleted, inserted))
            length += inserted.length - deleted
          }
        }
        doc.apply(composeAll(ops))
        break
      }
      case 'append':
        entries.push(lines[me].submit())
        if (entries.at(-1)) for (const author of [0, 1] as const) await lines[author].arrived(++behind[author]!)
        break
      case 'hear':
        if (!entries[heard[me]!++]) break
        lines[me].hear()
        behind[me]!--
    }
  }
  for (const line of lines) line.release()
  return { docs, done, entries: entries.filter(Boolean).length }
}

/** A line on which submissions wait until they may go, and everything that the server says until it may be heard. */
class HeldLine {
  private line: Line | null = null
  private readonly outgoing: ClientMessage[] = []
  private readonly incoming: LineEvent[] = []
  private listen: (event: LineEvent) => void = () => {}
  private wake = () => {}
  held = false

  transport(url: string): Transport {
    return listen => {
      this.listen = listen
      const key = crypto.randomUUID().replaceAll('-', '').slice(0, 22) as ClientKey
      const hello = async () => ({ protocol: [1, 1] as const, key })
      const { random } = Math
      const dial = socketIo({ url, hello, joins: () => [], transports: ['websocket'], path: '/socket.io/', random })
      const line = lastingLine({ dial, renewable: false, clock: systemClock, random, surroundings })(event => {
        if (!this.held) return listen(event)
        if (event.kind !== 'message') throw new Error(`the line is ${event.kind} in the middle of the session`)
        this.incoming.push(event)
        this.wake()
      })
      this.line = line
      return { ...bound(line), send: message => this.send(message) }
    }
  }

  private send(message: ClientMessage): void {
    if (this.held && message.kind === 'submit') this.outgoing.push(message)
    else this.line?.send(message)
  }

  /** Lets the one submission go that waits; false when what was typed has cancelled out and there is none. */
  submit(): boolean {
    const [message, second] = this.outgoing.splice(0)
    if (second !== undefined) throw new Error('two submissions of one client are in flight')
    if (message !== undefined) this.line?.send(message)
    return message !== undefined
  }

  /** How many commits have come from the server that were not heard yet. */
  async arrived(count: number): Promise<void> {
    while (this.incoming.filter(isCommits).length < count) await new Promise<void>(resolve => (this.wake = resolve))
  }

  /** Hears the next commit, and what came before it. */
  hear(): void {
    for (;;) {
      const event = this.incoming.shift()!
      this.listen(event)
      if (isCommits(event)) return
    }
  }

  release(): void {
    this.held = false
    for (const event of this.incoming.splice(0)) this.listen(event)
  }
}

const isCommits = (event: LineEvent): boolean => {
  if (event.kind !== 'message' || event.message.kind !== 'commits') return false
  const { commits }: ServerMessage & { readonly kind: 'commits' } = event.message
  if (commits.length !== 1) throw new Error(`a frame of ${commits.length} commits, though they enter the log one at a time`)
  return true
}

const bound = (line: Line): Line => ({
  send: message => line.send(message),
  pause: () => line.pause(),
  resume: () => line.resume(),
  close: () => line.close(),
})

// A line whose calls are held in the hand: when they are dialled, what is said on them and how they end is up to the test.
// Invariant: nothing here takes time; the clock passes when the test says so.

import type { Clock } from '../../src/client/clock.ts'
import { type LineOptions, lastingLine } from '../../src/client/line.ts'
import type { Call, CallEvent, Line, LineEvent } from '../../src/client/transport.ts'
import type { Refusal } from '../../src/protocol/errors.ts'
import { refusal } from '../../src/protocol/errors.ts'
import type { AuthorId } from '../../src/protocol/ids.ts'
import type { ClientMessage, ServerMessage } from '../../src/protocol/messages.ts'
import { HandClock } from './hand.ts'

export class HandCall implements Call {
  readonly sent: ClientMessage[] = []
  /** The client has hung up. */
  over = false
  /** What a message counts. */
  bytes = 20
  private readonly listen: (event: CallEvent) => void

  constructor(listen: (event: CallEvent) => void) {
    this.listen = listen
  }

  send(message: ClientMessage): number {
    this.sent.push(message)
    return this.bytes
  }

  hangUp(): void {
    this.over = true
  }

  welcomes(spread = 1_000): void {
    const limits = { messageBytes: 1_000, opComponents: 10, documentLength: 100, presenceBytes: 100, signalBytes: 100 }
    const author = 'AAAAAAAAAAAAAAAA' as AuthorId
    this.listen({
      kind: 'welcome',
      welcome: { kind: 'welcome', protocol: 1, author, user: { id: 'ann' }, expiresIn: null, limits, spread },
    })
  }

  says(message: ServerMessage): void {
    this.listen({ kind: 'message', message })
  }

  pulses(): void {
    this.listen({ kind: 'pulse' })
  }

  /** The node is about to stop. */
  drains(after?: number): void {
    this.says({ kind: 'refused', doc: null, handle: null, seq: null, refusal: refusal('draining', undefined, after) })
  }

  ends(reason = 'transport close', why: Refusal | null = null): void {
    this.listen({ kind: 'ended', reason, refusal: why })
  }
}

export class HeldLine<C extends Clock = HandClock> {
  readonly clock: C
  readonly calls: HandCall[] = []
  /** When they were dialled. */
  readonly dialled: number[] = []
  readonly events: LineEvent[] = []
  readonly line: Line
  wake = (): void => {}
  listening = false

  /** @param dialled is told of every call */
  constructor(options: Partial<LineOptions> = {}, dialled: (call: HandCall) => void = () => {}) {
    const { clock = new HandClock() } = options
    this.clock = clock as C
    this.line = lastingLine({
      dial: listen => {
        const call = new HandCall(listen)
        this.calls.push(call)
        this.dialled.push(clock.now())
        dialled(call)
        return call
      },
      renewable: true,
      random: () => 0.5,
      surroundings: {
        onWake: call => {
          this.wake = call
          this.listening = true
          return () => {
            this.listening = false
          }
        },
      },
      ...options,
      clock,
    })(event => this.events.push(event))
  }

  /** One that is up, its first events taken. */
  static up(options: Partial<LineOptions> & { readonly spread?: number } = {}): HeldLine {
    const held = new HeldLine(options)
    held.clock.pass(0)
    held.call.welcomes(options.spread)
    held.events.length = 0
    return held
  }

  /** The latest call. */
  get call(): HandCall {
    return this.calls.at(-1)!
  }

  /** What was told since the last look, in short. */
  get told(): string[] {
    return this.events
      .splice(0)
      .map(event =>
        event.kind === 'down' ? `down: ${event.reason}` : event.kind === 'message' ? event.message.kind : event.kind,
      )
  }
}

// A line that lasts: dials again after a break, moves to another node before its own one stops, and finds out when the other end is dead.
// Invariant: at most one call is listened to; a second one is dialled beside it only to take its place.

import type { Refusal } from '../protocol/errors.ts'
import type { ClientMessage, ServerMessage, Welcome } from '../protocol/messages.ts'
import type { Clock } from './clock.ts'
import { afterAsking, afterSending, heard, type Liveness, lookAt } from './liveness.ts'
import { delayBefore, firstDelay, longestHint } from './schedule.ts'
import type { Surroundings } from './surroundings.ts'
import type { Call, CallEvent, Dial, Line, LineEvent } from './transport.ts'

export interface LineOptions {
  readonly dial: Dial
  /** Whether the next call may come with another token; if not, a server that wants one has said its last word. */
  readonly renewable: boolean
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly surroundings: Pick<Surroundings, 'onWake'>
}

/** Milliseconds that a line must have held before the next break counts as the first again: a server that drops at once is not stormed. */
const steadyAfter = 5_000

/** Milliseconds for a call, from asking for the token to the welcome. */
const callWithin = 20_000

/** Milliseconds after which a call under way is dialled anew on waking: it may have been begun on a network that is gone. */
const stuckAfter = 2_000

/** Milliseconds between two calls that were not waited for: a page that is shown and hidden is no reason to storm a server. */
const wakePause = 1_000

/** Milliseconds by which an alarm may be late; beyond that this machine has slept or was busy, and nothing is the server's fault. */
const lateAfter = 1_000

type State =
  | { readonly kind: 'paused' }
  | { readonly kind: 'down'; readonly next: Next }
  | { readonly kind: 'up'; readonly call: Call; readonly since: number; readonly move: Next | null }
  | { readonly kind: 'closed' }

/** The call to come. */
type Next =
  /** `earliest`: before that the server wants no call. `allotted`: the server gave each of its clients a moment of its own. */
  | { readonly kind: 'waiting'; readonly earliest: number; readonly allotted: boolean; readonly stop: () => void }
  | { readonly kind: 'dialling'; readonly call: Call; readonly since: number; readonly stop: () => void }

export const lastingLine =
  (options: LineOptions) =>
  (listen: (event: LineEvent) => void): Line =>
    new LastingLine(options, listen)

class LastingLine implements Line {
  private readonly options: LineOptions
  private readonly listen: (event: LineEvent) => void
  private readonly stopListening: () => void
  private state: State
  private failures = 0
  /** Milliseconds over which the clients of the node that welcomed last should come back, should it go away. */
  private crowd = firstDelay
  /** The same for the present outage: silence on my own line alone is no reason to expect a crowd. */
  private spread = firstDelay
  private lastDialled = Number.NEGATIVE_INFINITY

  private liveness: Liveness = heard
  private stopLooking: (() => void) | null = null
  /** Lines given up for their silence, in a row. */
  private verdicts = 0

  constructor(options: LineOptions, listen: (event: LineEvent) => void) {
    this.options = options
    this.listen = listen
    this.state = { kind: 'down', next: this.wait(0) } // not now: whoever opened the line has it in hand before the first event
    this.stopListening = options.surroundings.onWake(() => this.wake())
  }

  send(message: ClientMessage): void {
    if (this.state.kind !== 'up') return
    const bytes = this.state.call.send(message)
    if (bytes === 0) return
    this.liveness = afterSending(this.liveness, this.now, bytes)
    this.look()
  }

  pause(): void {
    if (this.state.kind === 'closed' || this.state.kind === 'paused') return
    this.drop()
    this.state = { kind: 'paused' }
    this.listen({ kind: 'down', reason: 'paused', refusal: null, final: false })
  }

  resume(): void {
    if (this.state.kind !== 'paused') return
    this.failures = 0
    this.state = { kind: 'down', next: this.wait(0) }
  }

  close(): void {
    if (this.state.kind === 'closed') return
    this.drop()
    this.end()
  }

  private get now(): number {
    return this.options.clock.now()
  }

  // ---- calls

  private wait(ms: number, after = 0, allotted = false): Next {
    const earliest = this.now + Math.min(after, longestHint)
    return { kind: 'waiting', earliest, allotted, stop: this.options.clock.after(ms, () => this.dial()) }
  }

  private dial(): void {
    const { clock, dial } = this.options
    this.lastDialled = this.now
    const call: Call = dial(event => this.hear(call, event))
    const stop = clock.after(callWithin, () => this.ended(call, 'no welcome in time', null))
    this.follow({ kind: 'dialling', call, since: this.now, stop })
  }

  private get next(): Next | null {
    const { state } = this
    return state.kind === 'down' ? state.next : state.kind === 'up' ? state.move : null
  }

  /** What is tried next, in the place of what was. */
  private follow(next: Next): void {
    const { state } = this
    if (state.kind === 'down') this.state = { kind: 'down', next }
    else if (state.kind === 'up') this.state = { ...state, move: next }
  }

  private hear(call: Call, event: CallEvent): void {
    switch (event.kind) {
      case 'welcome':
        return this.welcomed(call, event.welcome)
      case 'message':
      case 'pulse':
        if (this.state.kind !== 'up' || this.state.call !== call) return
        if (this.liveness.kind === 'asked') this.verdicts = 0
        this.liveness = heard
        if (event.kind === 'message') this.receive(event.message)
        return
      case 'ended':
        return this.ended(call, event.reason, event.refusal)
    }
  }

  private welcomed(call: Call, welcome: Welcome): void {
    const { state, next } = this
    if (next?.kind !== 'dialling' || next.call !== call) return
    next.stop()
    const before = state.kind === 'up' ? state.call : null
    this.crowd = welcome.spread
    this.forgetLiveness()
    this.state = { kind: 'up', call, since: this.now, move: null }
    this.listen({ kind: 'up', welcome })
    before?.hangUp() // not before the documents have asked to be joined on the new one
  }

  private receive(message: ServerMessage): void {
    switch (message.kind) {
      case 'alive':
        this.crowd = message.spread
        return
      case 'refused': {
        const { refusal, doc, handle, seq } = message
        const ofLine = doc === null && handle === null && seq === null
        if (refusal.code === 'draining' && ofLine) return this.moveAway(refusal)
        if (refusal.code === 'revoked' && ofLine) return this.putOut(refusal)
      }
    }
    this.listen({ kind: 'message', message })
  }

  /** The node is about to stop and says when to look for another one. Nobody needs to hear of it: until then everything goes on. */
  private moveAway({ after = 0 }: Refusal): void {
    if (this.state.kind !== 'up' || this.state.move?.kind === 'dialling') return
    this.state.move?.stop()
    this.failures = 0
    this.follow(this.wait(Math.min(after, longestHint), 0, true))
  }

  /** The user has no business there any more. */
  private putOut(refusal: Refusal): void {
    this.drop()
    this.end()
    this.listen({ kind: 'down', reason: refusal.message, refusal, final: true })
  }

  /** This call is of no use (any more). `alone`: I found that out myself, by its silence. */
  private ended(call: Call, reason: string, refusal: Refusal | null, alone = false): void {
    const { state, next } = this
    if (next?.kind === 'dialling' && next.call === call) return this.failed(next, reason, refusal)
    if (state.kind !== 'up' || state.call !== call) return
    call.hangUp()
    this.forgetLiveness()
    if (this.now - state.since >= steadyAfter) this.failures = 0
    this.spread = alone ? firstDelay : Math.max(firstDelay, this.crowd)
    this.state = { kind: 'down', next: this.goesOn(next) ?? this.waitTurn(refusal) }
    this.listen({ kind: 'down', reason, refusal, final: false })
  }

  /** A call beside the one that has ended is what one would begin now; so is the moment that the server has allotted. */
  private goesOn(next: Next | null): Next | null {
    if (next === null || next.kind === 'dialling' || next.allotted) return next
    next.stop()
    return null
  }

  /** A call could not be made. */
  private failed(next: Next & { kind: 'dialling' }, reason: string, refusal: Refusal | null): void {
    next.stop()
    next.call.hangUp()
    if (this.state.kind === 'up') return this.follow(this.waitTurn(refusal)) // the call before still holds
    const final = refusal !== null && this.isFinal(refusal)
    if (final) this.end()
    else this.follow(this.waitTurn(refusal))
    this.listen({ kind: 'down', reason, refusal, final })
  }

  private waitTurn(refusal: Refusal | null): Next {
    const after = refusal?.after ?? 0
    const attempt = { failures: this.failures++, spread: this.spread, after, chance: this.options.random() }
    return this.wait(delayBefore(attempt), after)
  }

  private isFinal({ advice }: Refusal): boolean {
    return advice === 'stop' || advice === 'reload' || (advice === 'reauthenticate' && !this.options.renewable)
  }

  private end(): void {
    this.state = { kind: 'closed' }
    this.stopListening()
  }

  /** Lets go of whatever there is; nothing of it is heard any more. */
  private drop(): void {
    const { state, next } = this
    next?.stop()
    if (next?.kind === 'dialling') next.call.hangUp()
    if (state.kind === 'up') state.call.hangUp()
    this.forgetLiveness()
  }

  // ---- waking

  /** The network may be back or another one, or the machine has slept: what was waited for can be tried now. */
  private wake(): void {
    const { state, next } = this
    if (next?.kind === 'waiting' && !next.allotted && this.now >= next.earliest) this.hurry(next)
    else if (next?.kind === 'dialling' && this.now - next.since >= stuckAfter) {
      next.call.hangUp()
      this.hurry(next)
    }
    if (state.kind === 'up' && this.liveness.kind !== 'asked') this.ask(state.call)
  }

  private hurry(next: Next): void {
    if (this.now - this.lastDialled < wakePause) return
    this.failures = 0 // why they failed is probably over
    next.stop()
    this.dial()
  }

  // ---- the other end

  private ask(call: Call): void {
    call.send({ kind: 'probe' })
    this.liveness = afterAsking(this.liveness, this.now)
    this.look()
  }

  /** Sees to it that somebody looks when it is time. An alarm that is set already looks for itself whether its time has come. */
  private look(): void {
    const at = lookAt(this.liveness, this.verdicts)
    if (at === null || this.stopLooking !== null) return
    this.stopLooking = this.options.clock.after(Math.max(0, at - this.now), () => {
      this.stopLooking = null
      this.judge(this.now - at > lateAfter)
    })
  }

  private judge(late: boolean): void {
    const { state, liveness } = this
    if (state.kind !== 'up') return
    const at = lookAt(liveness, this.verdicts)
    if (at === null) return
    if (at > this.now) return this.look()
    if (liveness.kind === 'sent' || late) return this.ask(state.call)
    this.verdicts++
    this.ended(state.call, 'no answer', null, true)
  }

  private forgetLiveness(): void {
    this.liveness = heard
    this.stopLooking?.()
    this.stopLooking = null
  }
}

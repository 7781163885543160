// A line over Socket.IO with Inkwell's parser, made anew after a break by a schedule of our own.
// Invariant: at most one socket at a time is listened to; nothing is given to a socket that is not connected, for it would be kept
// and sent ahead of the next join.

import { Manager, type Socket } from 'socket.io-client'
import type { Refusal } from '../protocol/errors.ts'
import { readRefusal } from '../protocol/json.ts'
import type { ClientMessage, Hello, ServerMessage, Welcome } from '../protocol/messages.ts'
import { createParser } from '../protocol/parser.ts'
import type { Clock } from './clock.ts'
import type { Line, LineEvent, Transport } from './transport.ts'

export interface SocketIoOptions {
  readonly url: string
  /** Asked anew at every attempt, so that a token may be fresh. */
  readonly hello: () => Promise<Hello>
  /** Whether `hello` may bring another token next time; if not, a server that wants one has said its last word. */
  readonly renewable: boolean
  readonly transports: readonly ('websocket' | 'polling')[]
  readonly path: string
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

/** Milliseconds. Full jitter: the nth attempt after a break comes after random(0, min(longest, first · 2ⁿ)), the very first too. */
const firstDelay = 1_000
const longestDelay = 30_000

/** Milliseconds that a line must have held before the next break counts as the first again. */
const steadyAfter = 5_000

/** Milliseconds for an attempt, from asking for the token to the welcome. */
const attemptWithin = 20_000

type State =
  | { readonly kind: 'paused' }
  | { readonly kind: 'waiting'; readonly stop: () => void }
  | { readonly kind: 'trying'; readonly socket: Socket; readonly stop: () => void }
  | { readonly kind: 'up'; readonly socket: Socket; readonly since: number; readonly stop: () => void }
  | { readonly kind: 'closed' }

/** All that a server sends by name; what else may come is the application's own. */
const serverKinds: Readonly<Record<ServerMessage['kind'], true>> = {
  joined: true,
  commits: true,
  durable: true,
  beat: true,
  presence: true,
  left: true,
  refused: true,
  signalled: true,
}

const isMessage = (kind: string, _: unknown): _ is ServerMessage => Object.hasOwn(serverKinds, kind)

export const socketIo =
  (options: SocketIoOptions): Transport =>
  listen =>
    new SocketIoLine(options, listen)

class SocketIoLine implements Line {
  private readonly options: SocketIoOptions
  private readonly listen: (event: LineEvent) => void
  private readonly parser = createParser({ end: 'client' })
  private state: State = { kind: 'paused' }
  private failures = 0

  constructor(options: SocketIoOptions, listen: (event: LineEvent) => void) {
    this.options = options
    this.listen = listen
    this.wait(0) // not now: whoever opened the line has it in hand before the first event
  }

  send(message: ClientMessage): void {
    if (this.state.kind === 'up' && this.state.socket.connected) this.state.socket.emit(message.kind, message)
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
    this.wait(0)
  }

  close(): void {
    if (this.state.kind === 'closed') return
    this.drop()
    this.state = { kind: 'closed' }
  }

  private wait(ms: number): void {
    this.state = { kind: 'waiting', stop: this.options.clock.after(ms, () => this.attempt()) }
  }

  private attempt(): void {
    const { url, transports, path, clock } = this.options
    // A manager and a socket for each attempt: neither buffers nor listeners of an earlier one can get into it.
    const manager = new Manager(url, {
      path,
      parser: this.parser,
      transports: [...transports],
      autoConnect: false,
      reconnection: false,
      timeout: attemptWithin,
      ...(transports.includes('polling') ? { query: { line: lineName(this.options.random) } } : {}),
    })
    const socket = manager.socket('/', { auth: (give: (hello: object) => void) => this.greet(socket, give) })
    const stop = clock.after(attemptWithin, () => this.fail(socket, 'no welcome in time', null))
    this.state = { kind: 'trying', socket, stop }
    socket.on('connect_error', (error: Error & { readonly data?: unknown }) => {
      this.fail(socket, error.message, readRefusal(error.data))
    })
    socket.on('disconnect', reason => this.fail(socket, reason, null))
    socket.onAny((kind: string, content: unknown) => {
      if (kind === 'welcome')
        this.welcomed(socket, content as Welcome) // the parser gives this name to a sound Welcome only
      else if (isMessage(kind, content)) this.heard(socket, content)
    })
    socket.connect()
  }

  private greet(socket: Socket, give: (hello: object) => void): void {
    this.options.hello().then(
      hello => {
        if (this.listensTo(socket)) give(hello)
      },
      error => this.fail(socket, `no token: ${error instanceof Error ? error.message : String(error)}`, null),
    )
  }

  private welcomed(socket: Socket, welcome: Welcome): void {
    const { state } = this
    if (state.kind !== 'trying' || state.socket !== socket) return
    state.stop()
    this.state = { kind: 'up', socket, since: this.options.clock.now(), stop: nothing }
    this.listen({ kind: 'up', welcome })
  }

  private heard(socket: Socket, message: ServerMessage): void {
    const { state } = this
    if (state.kind !== 'up' || state.socket !== socket) return
    this.listen({ kind: 'message', message })
    if (message.kind === 'refused' && message.refusal.code === 'draining' && message.handle === null && message.doc === null) {
      this.moveAway(socket, message.refusal)
    }
  }

  /** The node is about to stop and says when to look for another one. */
  private moveAway(socket: Socket, why: Refusal): void {
    const { state } = this
    if (state.kind !== 'up') return
    state.stop()
    this.state = { ...state, stop: this.options.clock.after(why.after ?? 0, () => this.fail(socket, 'draining', null)) }
  }

  /** This socket is of no use (any more). */
  private fail(socket: Socket, reason: string, why: Refusal | null): void {
    const { state } = this
    if (!this.listensTo(socket)) return
    if (state.kind === 'up' && this.options.clock.now() - state.since >= steadyAfter) this.failures = 0
    this.drop()
    const final = why !== null && this.isFinal(why)
    if (final) this.state = { kind: 'closed' }
    else this.wait(Math.max(this.delay(), why?.after ?? 0))
    this.listen({ kind: 'down', reason, refusal: why, final })
  }

  private isFinal({ advice }: Refusal): boolean {
    return advice === 'stop' || advice === 'reload' || (advice === 'reauthenticate' && !this.options.renewable)
  }

  private delay(): number {
    return this.options.random() * Math.min(longestDelay, firstDelay * 2 ** this.failures++)
  }

  private listensTo(socket: Socket): boolean {
    return (this.state.kind === 'trying' || this.state.kind === 'up') && this.state.socket === socket
  }

  /** Lets go of whatever there is; nothing of it is heard any more. */
  private drop(): void {
    const { state } = this
    switch (state.kind) {
      case 'waiting':
        return state.stop()
      case 'trying':
      case 'up':
        state.stop()
        state.socket.offAny()
        state.socket.off()
        state.socket.disconnect()
        return
      default:
    }
  }
}

/**
 * A line that polls is many requests, all for the node that opened it. By this name a load balancer sends them there without cookies,
 * which a browser keeps back from another origin. It is another one at each attempt, so that the next may reach another node.
 */
const lineName = (random: () => number): string => Math.floor(random() * 2 ** 48).toString(36)

const nothing = (): void => {}

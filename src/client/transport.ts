// The ports through which a client reaches its server: a line that lasts, and the single call of which a line makes one after another.
// Invariant: messages arrive in the order sent while a line is up; after `down`, or another `up`, nothing of before arrives any more.

import type { Refusal } from '../protocol/errors.ts'
import type { ClientMessage, Hello, ServerMessage, Welcome } from '../protocol/messages.ts'

export type LineEvent =
  /** Welcome somewhere. Without a `down` before it: this node has taken the place of another that is about to stop. */
  | { readonly kind: 'up'; readonly welcome: Welcome }
  | { readonly kind: 'message'; readonly message: ServerMessage }
  /** The line broke or could not be made; `refusal` when the server said why. `final`: trying again is of no use. */
  | { readonly kind: 'down'; readonly reason: string; readonly refusal: Refusal | null; readonly final: boolean }

/** One line to a server. It makes itself anew after a break until `close` is called. */
export interface Line {
  send(message: ClientMessage): void
  /** Breaks the connection now and stays away until `resume`; for a switch that cuts the line, and for tests. */
  pause(): void
  resume(): void
  close(): void
}

/** Opens a line; every event of it goes to `listen`, in order. `hello` is to be asked anew at every attempt to reach the server. */
export type Transport = (listen: (event: LineEvent) => void, hello: () => Promise<Hello>) => Line

export type CallEvent =
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  | { readonly kind: 'message'; readonly message: ServerMessage }
  /** A sign of life that is no message. */
  | { readonly kind: 'pulse' }
  /** It could not be made, or it broke: the last event of a call. */
  | { readonly kind: 'ended'; readonly reason: string; readonly refusal: Refusal | null }

/** One connection, from dialling to its end. */
export interface Call {
  /** Sends now or never; answers how many bytes went out. */
  send(message: ClientMessage): number
  /** Ends it; nothing of it is heard any more. */
  hangUp(): void
}

/** Begins a call. `listen` is not called before this has returned. */
export type Dial = (listen: (event: CallEvent) => void) => Call

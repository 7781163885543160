// The port through which a client reaches its server: a line that opens, carries messages in order, and breaks.
// Invariant: messages arrive in the order sent while the line is up; after `down` nothing of that line arrives any more.

import type { Refusal } from '../protocol/errors.ts'
import type { ClientMessage, ServerMessage, Welcome } from '../protocol/messages.ts'

export type LineEvent =
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

/** Opens a line; every event of it goes to `listen`, in order. */
export type Transport = (listen: (event: LineEvent) => void) => Line

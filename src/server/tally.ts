// What a server counts at its edge since it started: plain numbers, for whoever wants to read them.
// Invariant: counting is an addition; what is counted has no names but those of closed tables, so a tally never grows.

import { type ErrorCode, errorCodes } from '../protocol/errors.ts'
import type { ClientMessage, ServerMessage, Welcome } from '../protocol/messages.ts'

type Received = ClientMessage['kind'] | 'malformed'
type Sent = (ServerMessage | Welcome)['kind']
/** Why a line was cut: too much waited that had to arrive, nothing was taken for too long, or it was one of the application's. */
type Cut = 'waiting' | 'stuck' | 'application'

export interface Tally {
  /** Clients that were welcomed. */
  welcomed: number
  receivedBytes: number
  sentBytes: number
  readonly received: { [kind in Received]: number }
  readonly sent: { [kind in Sent]: number }
  /** By what was told, whether to a client, to a hello or to a handshake. */
  readonly refusals: { [code in ErrorCode]: number }
  readonly cuts: { [why in Cut]: number }
  /** As they were when the lines were last looked at: bytes that wait for all of them, and how many are behind. */
  heldBytes: number
  behind: number
}

export const newTally = (): Tally => ({
  welcomed: 0,
  receivedBytes: 0,
  sentBytes: 0,
  received: { join: 0, leave: 0, submit: 0, present: 0, signal: 0, authenticate: 0, probe: 0, malformed: 0 },
  sent: {
    welcome: 0,
    joined: 0,
    commits: 0,
    durable: 0,
    beat: 0,
    presence: 0,
    left: 0,
    refused: 0,
    signalled: 0,
    right: 0,
    authenticated: 0,
    alive: 0,
  },
  refusals: Object.fromEntries(errorCodes.map(code => [code, 0])) as Tally['refusals'],
  cuts: { waiting: 0, stuck: 0, application: 0 },
  heldBytes: 0,
  behind: 0,
})

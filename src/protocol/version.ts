// Which versions of the protocol are spoken here, and how two ends agree on one.
// Invariant: the highest version that both ends speak is taken, or none; the golden messages in test/protocol are pinned to `max`.

import { type Refusal, refusal } from './errors.ts'

export interface ProtocolVersions {
  readonly min: number
  readonly max: number
}

export const protocolVersions: ProtocolVersions = { min: 1, max: 1 }

/** The version that a client offering [min, max] and this server will speak. */
export const negotiate = (
  client: readonly [min: number, max: number],
  server: ProtocolVersions = protocolVersions,
): number | Refusal => {
  const agreed = Math.min(client[1], server.max)
  if (agreed >= client[0] && agreed >= server.min) return agreed
  return refusal('unsupported-protocol', `client ${client[0]} to ${client[1]}, server ${server.min} to ${server.max}`)
}

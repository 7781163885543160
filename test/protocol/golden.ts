// The golden messages: every example in both of its forms, as they stand on the wire.
// Invariant: golden.json is what this makes of examples.ts; it changes only when the wire does.

import { encodeClientFrame, encodeServerFrame } from '../../src/protocol/codec.ts'
import { errorCodes, refusal } from '../../src/protocol/errors.ts'
import { jsonEvent } from '../../src/protocol/json.ts'
import { createParser } from '../../src/protocol/parser.ts'
import { protocolVersions } from '../../src/protocol/version.ts'
import { fromClient, fromServer, hellos } from './examples.ts'

export interface GoldenMessage {
  readonly kind: string
  readonly name: string
  readonly from: 'client' | 'server'
  /** The payload of the event called `kind`; of a hello, the payload of the CONNECT packet. */
  readonly json: unknown
  /** The whole binary frame, in the namespace "/" and without an acknowledgement. */
  readonly hex: string
}

export interface Golden {
  readonly protocol: number
  readonly errors: readonly (readonly [code: string, advice: string])[]
  readonly messages: readonly GoldenMessage[]
}

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

export const makeGolden = (): Golden => {
  const client = new (createParser({ end: 'client' }).Encoder)()
  return {
    protocol: protocolVersions.max,
    errors: errorCodes.map(code => [code, refusal(code).advice] as const),
    messages: [
      ...hellos.map(({ name, message }) => ({
        kind: 'hello',
        name,
        from: 'client' as const,
        json: message,
        hex: hexOf(client.encode({ type: 0, nsp: '/', data: message })[0] as Uint8Array),
      })),
      ...fromClient.map(({ name, message }) => ({
        kind: message.kind,
        name,
        from: 'client' as const,
        json: jsonEvent(message)[1],
        hex: hexOf(encodeClientFrame(message)),
      })),
      ...fromServer.map(({ name, message }) => ({
        kind: message.kind,
        name,
        from: 'server' as const,
        json: jsonEvent(message)[1],
        hex: hexOf(encodeServerFrame(message)),
      })),
    ],
  }
}

/** As the file holds it: one message a line, so that a change shows which. */
export const printGolden = ({ protocol, errors, messages }: Golden): string =>
  [
    '{',
    `"protocol": ${protocol},`,
    '"errors": [',
    errors.map(row => JSON.stringify(row)).join(',\n'),
    '],',
    '"messages": [',
    messages.map(message => JSON.stringify(message)).join(',\n'),
    ']',
    '}',
    '',
  ].join('\n')

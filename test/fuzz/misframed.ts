// WebSocket frames and messages that each end the line on which they come.
// Invariant: none of them depends on what was said before.

import { frame } from '../websocket.ts'

export const misframed: readonly (readonly [what: string, bytes: () => Buffer])[] = [
  ['text that is no UTF-8', () => frame(1, Buffer.from([0x34, 0x32, 0xff, 0xfe]))],
  ['a frame that is not masked', () => frame(1, '42["probe"]', { mask: false })],
  ['an opcode that is none', () => frame(3, 'x')],
  ['a control frame in pieces', () => frame(9, 'x', { fin: false })],
  ['a control frame of 126 bytes', () => frame(9, 'x'.repeat(126))],
  ['a continuation of nothing', () => frame(0, 'x')],
  ['a message begun within another', () => Buffer.concat([frame(1, 'x', { fin: false }), frame(1, 'x')])],
  [
    'two thousand pieces of one byte',
    () => Buffer.concat([frame(1, '4', { fin: false }), ...Array.from({ length: 2_000 }, () => frame(0, 'x', { fin: false }))]),
  ],
  ['a length of eight exabytes', () => Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])],
  ['a length beyond the limit', () => Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 1, 2, 3, 4])],
  ['a message of 2 MiB', () => frame(1, 'x'.repeat(2_097_152))],
  ['reserved bits', () => Buffer.from([0xf1, 0x80, 1, 2, 3, 4])],
  ['a packet that engine.io does not know', () => frame(1, '9')],
  ['a ping in the wrong direction', () => frame(1, '2probe')],
]

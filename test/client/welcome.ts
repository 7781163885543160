// What a server says first, where a test speaks for it.

import type { Welcome } from '../../src/protocol/messages.ts'

export const welcome: Welcome = {
  kind: 'welcome',
  protocol: 1,
  author: 'AAAAAAAAAAAAAAAA' as Welcome['author'],
  expiresIn: null,
  user: { id: 'ann' },
  limits: { messageBytes: 1_000, opComponents: 10, documentLength: 100, presenceBytes: 100, signalBytes: 100 },
  spread: 1_000,
}

// The faces as a user of TypeScript sees them; pack.test.ts has the compiler read this in a project of its own.

import { createServer as createHttpServer } from 'node:http'
import type { Extension } from '@codemirror/state'
import type { DocumentType, TextOp } from 'inkwell'
import { insert, textType } from 'inkwell'
import type { Change, Document, DocumentStatus, Draft, Peer, TextDocument } from 'inkwell/client'
import { connect } from 'inkwell/client'
import { collaboration } from 'inkwell/codemirror'
import { embeddedStore } from 'inkwell/embedded'
import type { InkwellServer, Right, Store, User } from 'inkwell/server'
import { createServer } from 'inkwell/server'

export async function serve(): Promise<InkwellServer> {
  const store: Store = embeddedStore({ path: './inkwell-data' })
  const server = await createServer({
    store,
    authenticate: async (token: string | undefined): Promise<User | null> =>
      token === 'sesame' ? { id: 'ann', name: 'Ann' } : null,
    authorize: (user, documentId): Right => (user.id === documentId ? 'write' : 'read'),
    limits: { documentLength: 1_000_000 },
    origins: ['https://example.org'],
  })
  const { port, url }: { port: number; url: string } = await server.listen(3000)
  console.log(port, url)
  server.drain()
  await server.close()
  return createServer({ attach: createHttpServer() })
}

export async function write(): Promise<void> {
  const client = connect('http://localhost:3000', { token: async () => 'sesame' })
  const doc: TextDocument = await client.open('meeting-notes')
  const status: DocumentStatus = doc.status
  const text: string = doc.text
  const version: number = doc.version
  console.log(status, text, version)
  doc.insert(0, 'Hello')
  doc.delete(0, 5)
  doc.replace(0, 5, 'Hi')
  const op: TextOp = insert(doc.length, 0, 'Well, ')
  doc.apply(op)
  const undone: boolean = doc.undo()
  const redone: boolean = doc.redo()
  console.log(undone, redone)
  await doc.settled('durable')
  const off: () => void = doc.on('change', ({ op, origin, author }) => console.log(op, origin, author))
  doc.on('change', (change: Change<TextOp>) => console.log(change.selection))
  doc.on('status', (now: DocumentStatus) => console.log(now))
  doc.on('draft', draft => draft.restore())
  doc.on('error', ({ code, advice }) => console.log(code, advice))
  doc.presence.set({ cursor: { anchor: 3, head: 7 } })
  const peers: readonly Peer[] = doc.presence.peers
  doc.presence.on('change', (now: readonly Peer[]) => console.log(now.length, peers))
  off()
  await doc.close()
  await client.close()
}

export const extension = (doc: TextDocument): Extension => collaboration(doc)
export const named: DocumentType<never, never>['name'] = textType.name
export const discard = <S, O>(doc: Document<S, O>, use: (draft: Draft<S, O>) => void) => doc.on('draft', use)

// A face that takes anything would let all of the above pass.
export function refused(doc: TextDocument): void {
  // @ts-expect-error a position is a number
  doc.insert('0', 'Hello')
  // @ts-expect-error there is no such event
  doc.on('chnage', () => undefined)
  // @ts-expect-error nor such a level
  void doc.settled('forever')
  // @ts-expect-error nor such an option
  void createServer({ sotre: embeddedStore({ path: '.' }) })
}

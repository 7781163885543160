// The name under which one edit is found everywhere: in the logs of all nodes, and in traces.
// Invariant: it follows from document, author and seq, which every node and the author know; so nothing has to travel with the edit.

import { hash } from 'node:crypto'
import type { AuthorId, DocId, Seq } from '../protocol/ids.ts'
import { traceName } from '../protocol/trace.ts'

export interface Trace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits: the span of the edit itself, at the client, to which all that nodes do with it belongs. */
  readonly spanId: string
}

/** The SHA-256 of `<document>\n<author>\n<seq>`: its first 16 bytes and the next 8. */
export const traceOf = (doc: DocId, author: AuthorId, seq: Seq): Trace => {
  const digest = hash('sha256', traceName(doc, author, seq))
  return { traceId: digest.slice(0, 32), spanId: digest.slice(32, 48) }
}

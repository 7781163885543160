// How an edit is called in traces and logs, and which edits are followed at all.
// Invariant: both follow from document, author and seq, which every node and the author know; so nothing has to travel with the edit.

import type { AuthorId, DocId, Seq } from './ids.ts'

/** Of its SHA-256 the first 16 bytes are the trace, and the next 8 the span of the edit itself, to which all that is done with it belongs. */
export const traceName = (doc: DocId, author: AuthorId, seq: Seq): string => `${doc}\n${author}\n${seq}`

/** Whether an edit is among those that are followed: the same everywhere, and cheaper to say than what its trace is called. */
export const isFollowed = (author: AuthorId, seq: Seq, ratio: number): boolean => {
  if (ratio >= 1) return true
  let hash = 0x811c9dc5 ^ seq
  const { length } = author
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ author.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32 < ratio
}

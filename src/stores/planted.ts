// What a store says of a document that is being brought to it from elsewhere.

import type { DocId } from '../protocol/ids.ts'

/** Why it cannot be opened. */
export const unfinished = (doc: DocId): string =>
  `the document ${JSON.stringify(doc)} is being imported: let that come to its end (inkwell import), or give it up (inkwell delete)`

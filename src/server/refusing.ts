// A refusal on its way through Socket.IO, which passes only errors on.
// Invariant: `data` is all that a client needs; `message` is for a log.

import type { Refusal } from '../protocol/errors.ts'
import { presentable } from '../protocol/fields.ts'

/** The client hears it as `connect_error`, with the refusal as `error.data`. */
export class Refusing extends Error {
  readonly data: Refusal
  constructor(why: Refusal) {
    super(why.message)
    this.data = presentable(why)
  }
}

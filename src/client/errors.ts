// The error that this client throws, rejects with and reports: a refusal, the server's or its own.
// Invariant: `code` is a row of the protocol's table, or one of the few below that no server sends.

import type { Advice, ErrorCode, Refusal } from '../protocol/errors.ts'

export class InkwellError extends Error {
  override readonly name = 'InkwellError'
  /** `closed`: the document or the client has been closed here. */
  readonly code: ErrorCode | 'closed'
  readonly advice: Advice
  /** Names the offending value and its limit, where there is one. */
  readonly detail: string | undefined

  constructor(refusal: Omit<Refusal, 'code'> & { readonly code: ErrorCode | 'closed' }) {
    super(refusal.detail === undefined ? refusal.message : `${refusal.message} (${refusal.detail})`)
    this.code = refusal.code
    this.advice = refusal.advice
    this.detail = refusal.detail
  }
}

export const closedHere = (what: 'document' | 'client'): InkwellError =>
  new InkwellError({ code: 'closed', advice: 'stop', message: `The ${what} is closed.` })

// The error that this client throws, rejects with and reports: a refusal, the server's or its own.
// Invariant: `code` is a row of the protocol's table, or one of `OwnCode`, which no server sends.

import type { Advice, ErrorCode, Refusal } from '../protocol/errors.ts'
import { Fault } from '../protocol/fields.ts'

/**
 * `closed`: the document or the client has been closed here. `diverged`: the text here is not the server's, and is asked for anew.
 * `storage-failed`: what is typed is not kept on this device for now; that is tried further. `storage-damaged`: what was kept cannot be
 * read, and has been set aside. `too-many-drafts`: the document takes no edits until some of its drafts are restored or discarded.
 * `unreachable`: no line has come about for a while; it is tried further.
 */
type OwnCode = 'closed' | 'diverged' | 'storage-damaged' | 'storage-failed' | 'too-many-drafts' | 'unreachable'

export class InkwellError extends Error {
  override readonly name = 'InkwellError'
  readonly code: ErrorCode | OwnCode
  readonly advice: Advice
  /** Names the offending value and its limit, where there is one. */
  readonly detail: string | undefined

  constructor(refusal: Omit<Refusal, 'code'> & { readonly code: ErrorCode | OwnCode }) {
    super(refusal.detail === undefined ? refusal.message : `${refusal.message} (${refusal.detail})`)
    this.code = refusal.code
    this.advice = refusal.advice
    this.detail = refusal.detail
  }
}

export const closedHere = (what: 'document' | 'client'): InkwellError =>
  new InkwellError({ code: 'closed', advice: 'stop', message: `The ${what} is closed.` })

export const tooManyDrafts = (): InkwellError =>
  new InkwellError({ code: 'too-many-drafts', advice: 'stop', message: 'The document has too many drafts.' })

export const diverged = (detail: string): InkwellError =>
  new InkwellError({ code: 'diverged', advice: 'rejoin', message: 'The text here is not that of the server.', detail })

/** What the protocol's reader makes of a value; its refusal as an InkwellError. */
export const parsed = <T>(read: () => T): T => {
  try {
    return read()
  } catch (fault) {
    if (fault instanceof Fault) throw new InkwellError(fault.refusal)
    throw fault
  }
}

/** @param reason why the last attempt failed */
export const unreachableNow = (reason: string): InkwellError =>
  new InkwellError({ code: 'unreachable', advice: 'retry', message: 'The server cannot be reached.', detail: reason })

/** @param why what the storage said */
export const storageFailed = (why: unknown): InkwellError =>
  new InkwellError({
    code: 'storage-failed',
    advice: 'retry',
    message: 'What is typed is not kept on this device for now.',
    detail: String(why),
  })

/** @param what the record that cannot be read */
export const storageDamaged = (what: string, why: Error): InkwellError =>
  new InkwellError({
    code: 'storage-damaged',
    advice: 'stop',
    message: 'What was kept on this device cannot be read.',
    detail: `${what}: ${why.message}`,
  })

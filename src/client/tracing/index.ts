// Spans of one's own edits for OpenTelemetry: from the first key to the server's word that the edit is in the document.
// Invariant: a span has the trace that every node gives the same edit, and nobody's text. A page that does not import this loads nothing of it.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, type Tracer, trace } from '@opentelemetry/api'
import type { AuthorId, DocId, Seq } from '../../protocol/ids.ts'
import { isFollowed, traceName } from '../../protocol/trace.ts'
import type { LiveDocument, TextDocument } from '../document.ts'
import { levelOf } from '../session.ts'

export interface TracingOptions {
  /** Default: that of the provider that is registered. */
  readonly tracer?: Tracer
  /** The part of the edits of which there are spans, from 0 to 1: the same ones as on servers with this `traceRatio`. Default 0.01. */
  readonly ratio?: number
}

/** An edit that has left and is not known to be in the document. */
interface Sent {
  readonly author: AuthorId
  readonly seq: Seq
  /** Milliseconds since 1970: when its first key was pressed, and when it left. */
  readonly typed: number
  readonly left: number
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')

const contextOf = async (doc: string, { author, seq }: Sent) => {
  const name = new TextEncoder().encode(traceName(doc as DocId, author, seq))
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', name))
  const [traceId, spanId] = [hex(digest.subarray(0, 16)), hex(digest.subarray(16, 24))]
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true })
}

/**
 * Makes a span `inkwell edit` of each edit of one's own, in the trace in which the servers' spans of it are. Needs `crypto.subtle`, so in a
 * browser a page over HTTPS (or of localhost). Answers how to stop.
 */
export const traceEdits = (document: TextDocument, { tracer, ratio = 0.01 }: TracingOptions = {}): (() => void) => {
  const live = document as LiveDocument<unknown, unknown>
  let sent: readonly Sent[] = []
  let known = live.session.seq
  let typed: number | null = null
  let handedBack = false

  const tell = async (edit: Sent, end: number, refused: boolean): Promise<void> => {
    const { author, seq, typed: startTime, left } = edit
    const attributes = { 'inkwell.document': document.id, 'inkwell.author': author, 'inkwell.seq': seq }
    const span = (tracer ?? trace.getTracer('inkwell')).startSpan(
      'inkwell edit',
      { kind: SpanKind.CLIENT, startTime, attributes },
      await contextOf(document.id, edit),
    )
    span.addEvent('sent', left)
    if (refused) span.setStatus({ code: SpanStatusCode.ERROR, message: 'handed back' })
    span.end(end)
  }
  const look = (): void => {
    const { session } = live
    const { author, seq } = session
    const now = Date.now()
    if (seq > known && author !== null) {
      for (let next = known + 1; next <= seq; next++)
        if (isFollowed(author, next, ratio)) sent = [...sent, { author, seq: next, typed: typed ?? now, left: now }]
      known = seq
      typed = null
    }
    const over = sent.filter(edit => levelOf(session, edit.seq) !== 'sent')
    if (over.length === 0) return
    sent = sent.filter(edit => !over.includes(edit))
    for (const edit of over) void tell(edit, now, handedBack)
    handedBack = false
  }
  const stops = [
    document.on('change', ({ origin }) => {
      if (origin === 'local' || origin === 'undo' || origin === 'redo') typed ??= Date.now()
      look()
    }),
    document.on('draft', () => {
      handedBack = true
    }),
    document.on('progress', look),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}

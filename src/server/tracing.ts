// Spans of an edit's way (its commit, its being heard of elsewhere, its delivery) for OpenTelemetry, where the application has a tracer.
// Invariant: without a registered tracer an event costs one look; spans hold names and times, and nobody's text.

import {
  type Attributes,
  type Context,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { EngineEvent } from '../engine/index.ts'
import type { AuthorId, DocId, Seq, Version } from '../protocol/ids.ts'
import { isFollowed } from '../protocol/trace.ts'
import { traceOf } from './trace.ts'

/** The tracer that somebody has registered; null: nobody has. */
const registered = (): Tracer | null => {
  const provider = trace.getTracerProvider()
  if (!(provider instanceof ProxyTracerProvider)) return provider.getTracer('inkwell')
  return provider.getDelegateTracer('inkwell') ?? null
}

/** Where an edit's spans hang: under a span of its author's which nobody has to send, so that all nodes name the same one. */
const placeOf = (doc: DocId, author: AuthorId, seq: Seq): Context =>
  trace.setSpanContext(ROOT_CONTEXT, { ...traceOf(doc, author, seq), traceFlags: TraceFlags.SAMPLED, isRemote: true })

/** An edit on its way to the readers of this node: what its delivery hangs on, and since when. */
interface Followed {
  readonly version: Version
  readonly at: number
  readonly context: Context
  readonly attributes: Attributes
}

/** @param ratio the part of the edits that is followed, from 0 to 1 */
export const followEdits = (now: () => number, ratio: number): ((event: EngineEvent) => void) => {
  /** What is known and not delivered yet, by document. */
  const known = new Map<DocId, Followed[]>()

  return event => {
    const { kind } = event
    if (kind === 'resynced' || kind === 'evicted') return void known.delete(event.doc)
    if (kind !== 'committed' && kind !== 'heard' && kind !== 'delivered' && kind !== 'refused') return
    // What is not followed is not looked at any further, not even for whether there is a tracer.
    if (kind === 'delivered') {
      const waiting = known.get(event.doc)
      if (waiting === undefined) return
      const tracer = registered()
      if (tracer === null) return known.clear()
      const end = now()
      const left = waiting.filter(({ version }) => version > event.version)
      if (left.length === 0) known.delete(event.doc)
      else known.set(event.doc, left)
      for (const { version, at: startTime, context, attributes } of waiting) {
        if (version > event.version) continue
        const more = { ...attributes, 'inkwell.readers': event.readers, 'inkwell.readers_behind': event.behind }
        tracer.startSpan('inkwell deliver', { kind: SpanKind.PRODUCER, startTime, attributes: more }, context).end(end)
      }
      return
    }
    const { doc, author, seq } = event
    if (doc === null || seq === null || !isFollowed(author, seq, ratio)) return
    const tracer = registered()
    if (tracer === null) return
    const end = now()
    const context = placeOf(doc, author, seq)
    const attributes = { 'inkwell.document': doc, 'inkwell.author': author, 'inkwell.seq': seq }
    if (kind === 'refused') {
      const refused = { ...attributes, 'inkwell.connection': event.connection, 'inkwell.refusal': event.code }
      const span = tracer.startSpan('inkwell refuse', { kind: SpanKind.SERVER, startTime: end, attributes: refused }, context)
      span.setStatus({ code: SpanStatusCode.ERROR, message: event.code })
      return span.end(end)
    }
    const versioned = { ...attributes, 'inkwell.version': event.version }
    const startTime = end - Math.max(0, event.ms)
    const span =
      kind === 'heard'
        ? tracer.startSpan('inkwell hear', { kind: SpanKind.CONSUMER, startTime, attributes: versioned }, context)
        : tracer.startSpan(
            'inkwell commit',
            { kind: SpanKind.SERVER, startTime, attributes: { ...versioned, 'inkwell.connection': event.connection } },
            context,
          )
    span.end(end)
    const followed = { version: event.version, at: end, context: trace.setSpan(context, span), attributes: versioned }
    const waiting = known.get(doc)
    if (waiting === undefined) known.set(doc, [followed])
    else waiting.push(followed)
  }
}

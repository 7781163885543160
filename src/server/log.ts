// What the server writes to its log: one JSON object a line, for machines first.
// Invariant: nobody's text, token or key is in it.

import { type Logger, pino } from 'pino'
import type { EngineEvent } from '../engine/index.ts'
import type { AuthorId, DocId, Seq } from '../protocol/ids.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { traceOf } from './trace.ts'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** An error with what it says, whence it comes and why, and nothing else: clients of databases hang on it what was to be written. */
const plainError = (error: unknown): unknown => {
  if (!(error instanceof Error)) return typeof error === 'object' ? 'an object that is no error' : error
  const { name, message, stack, cause } = error
  const { code } = error as { readonly code?: unknown }
  return {
    type: name,
    message,
    stack,
    ...(typeof code === 'string' ? { code } : {}),
    ...(cause === undefined ? {} : { cause: plainError(cause) }),
  }
}

/** The same error without a word that it may repeat. */
export const without = (error: unknown, secret: string | undefined): unknown => {
  if (!secret || !(error instanceof Error)) return error
  const clean = new Error(error.message.replaceAll(secret, '[token]'))
  clean.name = error.name
  clean.stack = error.stack?.replaceAll(secret, '[token]') ?? ''
  return clean
}

/** A log of our own, also on top of an application's, whose level it has to begin with. */
export const loggerOf = (given: Logger | LogLevel): Logger => {
  const serializers = { err: plainError }
  return typeof given === 'string'
    ? pino({ level: given, base: { name: 'inkwell' }, serializers })
    : given.child({}, { serializers, level: given.level })
}

/** The name under which an edit is found on all nodes. */
const traced = ({ doc, author, seq }: { doc: DocId | null; author: AuthorId; seq: Seq | null }) =>
  doc === null || seq === null ? {} : { trace: traceOf(doc, author, seq).traceId }

const sameFaultAfter = 10_000 // ms until one fault is an error again; with a store that is away every open document has it
const faultsKept = 100

/** Writes the engine's events down: what happens all the time is for `trace` and `debug`, what should not happen is a warning. */
export const writeDown = (log: Logger, now: () => number): ((event: EngineEvent) => void) => {
  /** By what went wrong: when it was told, and how often it has happened since. */
  const told = new Map<string, { readonly at: number; more: number }>()

  const failed = ({ error, ...facts }: Extract<EngineEvent, { kind: 'store-failed' }>): void => {
    const fault = `${facts.call}: ${error instanceof Error ? error.message : String(error)}`
    const last = told.get(fault)
    if (last !== undefined && now() - last.at < sameFaultAfter) {
      last.more++
      return log.debug({ ...facts, err: error }, facts.kind)
    }
    if (told.size >= faultsKept) told.clear()
    told.set(fault, { at: now(), more: 0 })
    log.error({ ...facts, err: error, ...(last === undefined ? {} : { untold: last.more }) }, facts.kind)
  }

  return event => {
    switch (event.kind) {
      case 'appended':
      case 'delivered':
        return log.trace(event, event.kind)
      case 'committed':
      case 'heard':
        if (log.isLevelEnabled('trace')) log.trace({ ...event, ...traced(event) }, event.kind)
        return
      case 'joined':
      case 'left':
      case 'opened':
      case 'evicted':
      case 'checkpointed':
      case 'crowded':
        return log.debug(event, event.kind)
      case 'refused': {
        const { detail: _, ...facts } = event // it may quote what somebody wrote
        return log.debug({ ...facts, ...traced(event) }, event.kind)
      }
      case 'gap':
      case 'resynced':
      case 'diverged':
        return log.warn(event, event.kind)
      case 'damaged':
        return log.error(event, event.kind)
      case 'store-failed':
        return failed(event)
      default:
        return unreachable(event)
    }
  }
}

// What the server writes to its log: one JSON object a line, for machines first.
// Invariant: nobody's text, token or key is in it.

import { type Logger, pino } from 'pino'
import type { EngineEvent } from '../engine/index.ts'
import { unreachable } from '../protocol/unreachable.ts'

export type { Logger }

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export const loggerOf = (given: Logger | LogLevel): Logger =>
  typeof given === 'string' ? pino({ level: given, base: { name: 'inkwell' } }) : given

/** Writes the engine's events down: what happens all the time is for `trace` and `debug`, what should not happen is a warning. */
export const writeDown =
  (log: Logger) =>
  (event: EngineEvent): void => {
    switch (event.kind) {
      case 'appended':
      case 'delivered':
        return log.trace(event, event.kind)
      case 'opened':
      case 'evicted':
      case 'checkpointed':
        return log.debug(event, event.kind)
      case 'refused': {
        const { detail: _, ...facts } = event // it may quote what somebody wrote
        return log.debug(facts, event.kind)
      }
      case 'gap':
      case 'resynced':
      case 'diverged':
        return log.warn(event, event.kind)
      case 'damaged':
        return log.error(event, event.kind)
      case 'store-failed': {
        const { error, ...facts } = event
        return log.error({ ...facts, err: error }, event.kind)
      }
      default:
        return unreachable(event)
    }
  }

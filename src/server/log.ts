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
      case 'committed':
      case 'heard':
      case 'delivered':
        return log.trace(event, event.kind)
      case 'joined':
      case 'left':
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
      case 'store-failed':
        return failed(event)
      default:
        return unreachable(event)
    }
  }
}

// Keeps the token of an open line fresh: asks the application for another one before the old one ends, and sends that.
// Invariant: one question to the application at a time on a line, and an answer goes out only on the line for which it was asked.

import type { Clock } from './clock.ts'

export interface RenewalPort {
  readonly clock: Clock
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly token: () => string | Promise<string>
  readonly send: (token: string) => void
}

/** After which part of a token's life another one is asked for: tokens that were given out together are not renewed together. */
const earliest = 0.7
const latest = 0.9

/** Milliseconds before the next attempt, at least: a token that has no second left is not asked for a thousand times. */
const leastPause = 1_000

/** Milliseconds before another attempt, at most, when the server or the application had no token to give. */
const retryPause = 5_000

const longestTimeout = 2 ** 31 - 1 // ms; a longer one would ring at once

export class Renewal {
  private readonly port: RenewalPort
  private stop: () => void = nothing
  /** Counts lines; even while there is none. */
  private line = 0
  /** The line for which the application has been asked; null: it has answered. */
  private asking: number | null = null

  constructor(port: RenewalPort) {
    this.port = port
  }

  /** A line is up whose token is good for so many milliseconds; null: it has no end. */
  up(expiresIn: number | null): void {
    this.line++
    this.renewed(expiresIn)
  }

  /** The server has taken the new token. */
  renewed(expiresIn: number | null): void {
    this.stop()
    if (expiresIn === null) return
    const part = earliest + (latest - earliest) * this.port.random()
    this.askAfter(Math.min(longestTimeout, expiresIn * part))
  }

  /** The server has not taken it, or says that the old one has ended. */
  refused(): void {
    this.askAfter(this.port.random() * retryPause)
  }

  down(): void {
    this.line++
    this.stop()
    this.stop = nothing
  }

  private askAfter(ms: number): void {
    this.stop()
    this.stop = this.port.clock.after(Math.max(leastPause, ms), () => void this.ask())
  }

  private async ask(): Promise<void> {
    const { line } = this
    if (this.asking === line) return
    this.asking = line
    try {
      const token = await this.port.token()
      if (line === this.line) this.port.send(token)
    } catch {
      // The application cannot give one now. Should it never, the server ends the line, and whoever makes it anew is told why.
      if (line === this.line) this.refused()
    } finally {
      if (this.asking === line) this.asking = null
    }
  }
}

const nothing = (): void => {}

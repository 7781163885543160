// Lets callers who ask the same question at the same time share one answer.
// Invariant: an answer is shared only by those who asked before its question was sent, so nobody gets one older than his question.

export class Flights<Answer> {
  readonly #flying = new Map<string, Promise<Answer>>()
  readonly #waiting = new Map<string, Promise<Answer>>()

  /** Whoever comes while a flight is in the air takes the next one, with all others who do. */
  share(question: string, ask: () => Promise<Answer>): Promise<Answer> {
    const waiting = this.#waiting.get(question)
    if (waiting !== undefined) return waiting
    const before: Promise<unknown> = this.#flying.get(question) ?? Promise.resolve()
    const over = (): void => {
      if (this.#flying.get(question) === flight) this.#flying.delete(question)
    }
    const start = (): Promise<Answer> => {
      this.#waiting.delete(question)
      this.#flying.set(question, flight)
      return ask().finally(over)
    }
    const flight = before.then(start, start)
    this.#waiting.set(question, flight)
    return flight
  }
}

// What a load generator has to know of a server's language, and what it wants to hear from whoever speaks it.
// Invariant: a talk keeps no text; what was typed is known by who typed it and as which of his characters.

/** One client's place in the run. */
export interface Seat {
  readonly index: number
  readonly document: string
  /** The first of a document puts so many characters into it; 0: nothing. */
  readonly seed: number
  readonly writes: boolean
  /** Where it types, at first. */
  readonly place: number
  readonly token: string | null
}

export interface Wire {
  send(frame: Uint8Array | string): void
  /** Ends the line; a new one is opened after so many milliseconds. */
  again(after: number): void
}

export interface Ear {
  /** The client is in its document, and what it types is known to the others by this name. */
  joined(name: string): void
  /** Whose that name is; -1: nobody's, or not known yet. */
  whose(name: string): number
  /** A writer's characters, from the k-th on, have reached this client. */
  arrived(writer: number, k: number, count: number): void
  /** All that this client has typed up to the k-th character, not included, is in the history. */
  confirmed(k: number): void
  /** Something was refused, or is wrong. */
  fault(code: string): void
  /** This client will not go on. */
  failed(code: string): void
}

/** One client's conversation. */
export interface Talk {
  /** A line is open, the first one or another. */
  opened(): void
  heard(bytes: Buffer, text: boolean): void
  /** Types its next character. */
  type(): void
  /** Characters that it has typed and that are not in the history yet. */
  readonly pending: number
  /** Sends so far: with composing they are fewer than characters. */
  readonly sends: number
}

/** `ledger` is shared by all clients of a document in this process. */
export interface Tongue {
  pathOf(seat: Seat): string
  talk(seat: Seat, wire: Wire, ear: Ear, ledger: Ledger): Talk
}

const kept = 16_384 // versions; a client that is further behind has been put out long since

/** What the commits of a document were, by version: whoever hears of one that another client here has heard of need not read it again. */
export class Ledger {
  private readonly versions = new Float64Array(kept).fill(-1)
  private readonly writers = new Int32Array(kept)
  private readonly firsts = new Float64Array(kept)
  private readonly counts = new Int32Array(kept)
  /** Writer → how many characters of his are in the history. */
  private readonly next = new Map<number, number>()
  /** What a talk wants to remember of a version, e.g. the position there. */
  private readonly notes: unknown[] = new Array(kept)

  has(version: number): boolean {
    return this.versions[version & (kept - 1)] === version
  }

  /** The commit that makes this version: so many characters of this writer's. */
  write(version: number, writer: number, first: number, count: number): void {
    const slot = version & (kept - 1)
    this.versions[slot] = version
    this.writers[slot] = writer
    this.firsts[slot] = first
    this.counts[slot] = count
    this.notes[slot] = undefined
    if (writer >= 0) this.next.set(writer, first + count)
  }

  /** Which character of his the writer's next one should be. */
  nextOf(writer: number): number {
    return this.next.get(writer) ?? 0
  }

  writer(version: number): number {
    return this.writers[version & (kept - 1)]!
  }

  first(version: number): number {
    return this.firsts[version & (kept - 1)]!
  }

  count(version: number): number {
    return this.counts[version & (kept - 1)]!
  }

  note(version: number): unknown {
    return this.has(version) ? this.notes[version & (kept - 1)] : undefined
  }

  annotate(version: number, note: unknown): void {
    if (this.has(version)) this.notes[version & (kept - 1)] = note
  }
}

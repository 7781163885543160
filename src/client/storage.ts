// The port through which a client keeps what must outlive it: boxes of records, each in the hands of one client at a time.
// Invariant: what a write brings is there as a whole or not at all, and never without what earlier writes of that box brought.

/** Records to put, or with null to take away. */
export type Changes = readonly (readonly [key: string, value: string | null])[]

export type Records = ReadonlyMap<string, string>

/** What is kept for one server. */
export interface ClientStorage {
  /** The names of all boxes, in any order. */
  boxes(): Promise<readonly string[]>
  /** The records of a box whose keys begin with `prefix`, also of one that somebody else holds. */
  read(box: string, prefix: string): Promise<Records>
  /**
   * Takes a box into one's hands, made anew where there is none. It stays there until it is let go, or this page or process ends,
   * however it ends. Null: somebody else holds it, after waiting `within` milliseconds (0) for it.
   */
  hold(box: string, within?: number): Promise<Box | null>
  /** Boxes still held are let go. */
  close(): Promise<void>
}

/** A box in one's hands. */
export interface Box {
  readonly name: string
  /** Resolves when the changes outlive this page or process. */
  write(changes: Changes): Promise<void>
  /** Lets go of it; `emptied`: it and all that is in it are no more. */
  letGo(emptied: boolean): Promise<void>
}

/** Opens what is kept for the server at this address. Rejects where nothing can be kept. */
export type OpenStorage = (server: string) => Promise<ClientStorage>

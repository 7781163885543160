// The port through which a client keeps what must outlive it: boxes of records, each in the hands of one client at a time.
// Invariant: what a write brings is there as a whole or not at all, and never without what earlier writes of that box brought.

/** Records to put, or with null to take away. */
export type Changes = readonly (readonly [key: string, value: string | null])[]

export type Records = ReadonlyMap<string, string>

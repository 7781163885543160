// What carries an application's own messages from node to node: the port between its Socket.IO namespaces and Redis.
// Invariant: at most once, in no order between channels, and nobody ever waits: documents have nothing to do with it.

export interface ApplicationAdapter {
  /** For people: where it is, without its password. */
  readonly name: string
  /** With what the names of its channels begin. */
  readonly prefix: string
  /** Bytes that were said and that nobody has taken yet. */
  readonly waiting: number
  /** Says it to every node that hears the channel, the sender's own included; to nobody when it cannot be said now. */
  say(channel: string, message: string | Uint8Array): void
  /** Hears a channel as soon and as long as that is possible; the answer calls it off. The listener must not throw. */
  hear(channel: string, listener: (message: Buffer) => void): () => void
  /** How many nodes hear a channel now. @throws when nobody can say */
  nodes(channel: string): Promise<number>
  /** Calls with the reason when what is said stops reaching the others, and with null when it reaches them again. */
  watch(changed: (away: Error | null) => void): void
  close(): void
}

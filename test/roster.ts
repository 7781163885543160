// Who a client shows as here, by the messages that it has heard: docs/PROTOCOL.md, [W32] to [W35], in the plainest way.

import type { PresenceState, ServerMessage, User } from '../src/protocol/messages.ts'

export class Roster {
  people = 0
  readonly peers = new Map<string, { readonly user: User; readonly state: PresenceState }>()
  /** Every peer who was shown and then was not, as often as that happened. */
  readonly gone: string[] = []
  /** Frames heard, and how many of them were whole. */
  readonly frames = { changes: 0, whole: 0 }

  static of(messages: readonly ServerMessage[]): Roster {
    const roster = new Roster()
    for (const message of messages) roster.hears(message)
    return roster
  }

  get names(): string[] {
    return [...this.peers.keys()].sort()
  }

  hears(message: ServerMessage): void {
    if (message.kind === 'joined') {
      this.people = message.people
      for (const { peer, user, state } of message.peers) this.peers.set(peer, { user, state })
    }
    if (message.kind !== 'presence') return
    this.people = message.people
    this.frames[message.whole ? 'whole' : 'changes']++
    const named = new Set<string>(message.changes.map(({ peer }) => peer))
    if (message.whole) for (const peer of this.peers.keys()) if (!named.has(peer)) this.leaves(peer)
    for (const change of message.changes) {
      if (change.kind === 'gone') this.leaves(change.peer)
      else this.peers.set(change.peer, { user: change.user, state: change.state })
    }
  }

  private leaves(peer: string): void {
    if (this.peers.delete(peer)) this.gone.push(peer)
  }
}

// Who is in which document, for a server that is the only one.
// Invariant: a peer appears in a document at most once, and every change of the list is news to its listeners.

import type { Appearance, PresenceBoard, PresenceNews } from '../engine/ports.ts'
import type { DocId, PeerId } from '../protocol/ids.ts'
import { Feed } from './feed.ts'

export interface PresenceOptions {
  /** Appearances in one document; whoever comes later edits unseen. Default 10,000: one node's connections, all in one document. */
  readonly peersPerDocument?: number
}

export const localPresence = ({ peersPerDocument = 10_000 }: PresenceOptions = {}): PresenceBoard => {
  const documents = new Map<DocId, Map<PeerId, Appearance>>()
  const feed = new Feed<DocId, readonly PresenceNews[]>()
  return {
    show(doc, appearance) {
      let peers = documents.get(doc)
      if (peers === undefined) documents.set(doc, (peers = new Map()))
      if (peers.size >= peersPerDocument && !peers.has(appearance.peer)) return
      peers.set(appearance.peer, appearance)
      feed.tell(doc, [{ kind: 'here', appearance }])
    },
    remove(doc, peer) {
      const peers = documents.get(doc)
      if (!peers?.delete(peer)) return
      if (peers.size === 0) documents.delete(doc)
      feed.tell(doc, [{ kind: 'gone', peer }])
    },
    list: async doc => [...(documents.get(doc)?.values() ?? [])],
    subscribe: async (doc, listener) => feed.subscribe(doc, listener),
  }
}

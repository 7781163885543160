// What nodes and applications say to each other, for a server that is the only one.
// Invariant: whoever listens hears a copy of his own, as if it had come over a wire, and never from inside the sender's call.

import type { ControlChannel, Signals } from '../engine/ports.ts'
import { signalBytes } from '../engine/ports.ts'
import type { Json } from '../ot/type.ts'
import type { DocId } from '../protocol/ids.ts'
import { Feed } from './feed.ts'

/** A payload as it travels. @throws {RangeError} when it is too long */
export const signalText = (payload: Json): string => {
  const text = JSON.stringify(payload)
  const bytes = Buffer.byteLength(text)
  if (bytes > signalBytes) throw new RangeError(`a signal of ${bytes} bytes; the limit is ${signalBytes}`)
  return text
}

export const localControl = (): ControlChannel => {
  const feed = new Feed<'control', Json>()
  return {
    publish(message) {
      const text = JSON.stringify(message)
      queueMicrotask(() => feed.tell('control', JSON.parse(text) as Json))
    },
    subscribe: async listener => feed.subscribe('control', listener),
  }
}

export const localSignals = (): Signals => {
  const feed = new Feed<DocId, Json>()
  return {
    send(doc, payload) {
      const text = signalText(payload)
      queueMicrotask(() => feed.tell(doc, JSON.parse(text) as Json))
    },
    subscribe: async (doc, listener) => feed.subscribe(doc, listener),
  }
}

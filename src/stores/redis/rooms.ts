// What is said in a document's channel, given to those whom it concerns: entries, presence, signals.
// Invariant: a message is read once, however many listen; what cannot be read is nobody's news.

import type { Announcement, PresenceNews } from '../../engine/ports.ts'
import type { Json } from '../../ot/type.ts'
import type { Chain, DocId, Epoch } from '../../protocol/ids.ts'
import { Feed } from '../feed.ts'
import type { Channels } from './channels.ts'
import { announcementOf } from './entries.ts'
import type { Keys } from './keys.ts'

/** The first character of a message says what it is; scripts write the first three. */
export const signalMark = 's'

const caredForAtOnce = 16 // a reconnect with 10,000 documents must not be a flood
const carePause = 500 // ms; a Redis that can be heard and not be asked is about to change

export class Rooms {
  readonly #channels: Pick<Channels, 'listen'>
  readonly #keys: Keys
  readonly announcements = new Feed<DocId, Announcement>()
  readonly news = new Feed<DocId, readonly PresenceNews[]>()
  readonly signals = new Feed<DocId, Json>()
  readonly #rooms = new Map<DocId, Room>()

  /** Rooms that were not heard for a while, and what is done about it. */
  readonly #missed = new Set<DocId>()
  readonly #cares: ((doc: DocId) => Promise<void>)[] = []
  #caring = 0

  constructor(channels: Pick<Channels, 'listen'>, keys: Keys) {
    this.#channels = channels
    this.#keys = keys
  }

  /** Hears a document's channel until the answer is called. */
  async hold(doc: DocId): Promise<() => void> {
    const known = this.#rooms.get(doc)
    const room: Room = known ?? { holders: 0, heard: this.#listen(doc) }
    if (known === undefined) this.#rooms.set(doc, room)
    room.holders++
    let held = true
    const leave = (): void => {
      if (!held) return
      held = false
      if (--room.holders > 0) return
      if (this.#rooms.get(doc) === room) this.#rooms.delete(doc)
      room.heard.then(
        stop => stop(),
        () => {}, // it was never heard
      )
    }
    try {
      await room.heard
      return leave
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Has each room looked after that was not heard for a while: again and again until that has succeeded, or nobody is in it. */
  whenMissed(care: (doc: DocId) => Promise<void>): void {
    this.#cares.push(care)
  }

  /** This room may have missed something. */
  lookAfter(doc: DocId): void {
    this.#missed.add(doc)
    this.#care()
  }

  #care(): void {
    while (this.#caring < caredForAtOnce) {
      const [doc] = this.#missed
      if (doc === undefined) return
      this.#missed.delete(doc)
      this.#caring++
      Promise.all(this.#cares.map(care => care(doc)))
        .catch(() => {
          const again = (): void => {
            if (!this.#rooms.has(doc)) return
            this.#missed.add(doc)
            this.#care()
          }
          setTimeout(again, carePause * (0.5 + Math.random())).unref()
        })
        .finally(() => {
          this.#caring--
          this.#care()
        })
    }
  }

  #listen(doc: DocId): Promise<() => void> {
    return this.#channels.listen(this.#keys.channel(doc), {
      hear: message => this.#hear(doc, message.toString()),
      missed: () => this.lookAfter(doc),
    })
  }

  #hear(doc: DocId, message: string): void {
    try {
      switch (message[0]) {
        case 'e': {
          const [epoch, durable, ...stretch] = JSON.parse(message.slice(1)) as [Epoch, string, string, string[]]
          this.announcements.tell(doc, announcementOf(epoch, Number(durable), stretch))
          break
        }
        case 'd': {
          const [epoch, version, chain] = JSON.parse(message.slice(1)) as [Epoch, string, Chain]
          this.announcements.tell(doc, { kind: 'durable', epoch, version: Number(version), chain })
          break
        }
        case 'p':
          this.news.tell(doc, JSON.parse(message.slice(1)) as PresenceNews[])
          break
        case signalMark:
          this.signals.tell(doc, JSON.parse(message.slice(1)) as Json)
          break
        default:
          break // of a later version of Inkwell
      }
    } catch {
      // Somebody else's message in our channel. What is of ours and lost in this way is read from the log, like anything that is lost.
    }
  }
}

interface Room {
  holders: number
  readonly heard: Promise<() => void>
}

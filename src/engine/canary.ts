// Documents of the house's own, one on each server of the store, in which a node tries out what it does for everybody: take an edit, order it, announce it, hear another's.
// Invariant: no client can name one, listings leave them out, and neither their texts nor their histories grow.

import type { AuthorId, DocId, Seq, Version } from '../protocol/ids.ts'
import type { LiveDocument } from './document.ts'
import { type Type, writeBody } from './entry.ts'
import type { EngineOptions, Song, Step } from './face.ts'
import type { Limits } from './limits.ts'
import { isPrivate, privateMark } from './ports.ts'
import type { Soon } from './soon.ts'

/** Milliseconds that a step may take; where durability is looked for every half second it takes three or four. */
const patience: { readonly [step in Step]: number } = {
  append: 5_000,
  announcement: 3_000,
  hearing: 3_000,
  sequence: 5_000,
  durability: 10_000,
}

/** Bounds of private documents: what is kept of them is some kilobytes, whatever happens in them. */
export const limitsFor = (doc: DocId, limits: Limits): Limits =>
  isPrivate(doc)
    ? { ...limits, recentTime: 0, recentCommits: 20, checkpointCommits: 100, checkpointBytes: 32_768, authorRetention: 3_600_000 }
    : limits

export interface CanaryParts {
  readonly options: EngineOptions
  readonly visit: <T>(doc: DocId, use: (document: LiveDocument) => Promise<T>) => Soon<T>
}

export class Canary {
  readonly #parts: CanaryParts
  readonly #stem: DocId
  readonly #type: Type
  /** Two authors, each the other's stranger; new ones in every run of a node. */
  readonly #self: AuthorId
  readonly #stranger: AuthorId
  #lastSeq = 0

  constructor(parts: CanaryParts) {
    this.#parts = parts
    const { types, randomId } = parts.options
    this.#type = types[0]!
    this.#stem = `${privateMark}canary ${this.#type.name}` as DocId
    this.#self = randomId() as AuthorId
    this.#stranger = randomId() as AuthorId
  }

  /** Tries everything out once, on all servers at the same time. One at a time; never rejects. */
  async sing(): Promise<Song> {
    const seq = ++this.#lastSeq as Seq
    const places = this.#parts.options.store.spread?.(this.#stem) ?? []
    if (places.length === 0) return this.#singIn(this.#stem, seq)
    const songs = await Promise.all(places.map(({ doc }) => this.#singIn(doc, seq)))
    const took: { [step in Step]?: number } = {}
    for (const step of Object.keys(patience) as Step[]) {
      const times = songs.map(song => song.took[step])
      if (times.every(ms => ms !== undefined)) took[step] = Math.max(...times)
    }
    const failed = songs.flatMap(({ failed }, i) => (failed === null ? [] : [{ ...failed, server: places[i]!.server }]))
    // A server that takes what is written and has not yet made it safe serves; one that takes nothing does not.
    const refusing = failed.filter(({ step }) => step !== 'durability')
    const worst = refusing.length > 0 ? refusing : failed
    if (worst[0] === undefined) return { took, failed: null }
    const { server, ...first } = worst[0]
    return { took, failed: { ...first, on: { server, failed: worst.length, of: places.length } } }
  }

  async #singIn(doc: DocId, seq: Seq): Promise<Song> {
    const { clock } = this.#parts.options
    const took: { [step in Step]?: number } = {}
    let step: Step = 'append'
    let since = clock.now()
    const next = (to: Step): void => {
      const now = clock.now()
      took[step] = now - since
      since = now
      step = to
    }
    try {
      await this.#parts.visit(doc, document => this.#perform(document, seq, next))
      took.durability = clock.now() - since
      return { took, failed: null }
    } catch (error) {
      return { took, failed: { step, why: error instanceof Error ? error.message : String(error) } }
    }
  }

  async #perform(document: LiveDocument, seq: Seq, next: (step: Step) => void): Promise<void> {
    const { store, clock } = this.#parts.options
    const { id } = document
    let heard: Version = 0
    let stir = (): void => {}
    const listening = store.log.subscribe(id, announcement => {
      if (announcement.kind !== 'entries') return
      if (announcement.entries.some(entry => entry.author === this.#stranger && entry.seq === seq))
        heard = announcement.from + announcement.entries.length
      stir()
    })
    const stopWatching = document.watch(() => stir())
    const until = (step: Step, what: string, is: () => boolean): Promise<void> =>
      this.#inTime(
        step,
        what,
        new Promise(resolve => {
          stir = () => {
            if (is()) resolve()
          }
          stir()
        }),
      )
    try {
      await this.#inTime('append', 'no channel of announcements', listening)
      const [at, edit] = await document.whenCurrent(sequencer => {
        sequencer.adopt(this.#type)
        const { type, position } = sequencer
        const op = type!.opToJson(type!.noop(type!.size(sequencer.snapshot)))
        const first = position.version === 0 ? type!.name : null
        return [position, { base: position.version, op, user: '', time: clock.now(), type: first }] as const
      })
      const entry = { author: this.#stranger, seq, body: writeBody(edit) }
      const reply = await this.#inTime('append', 'no answer from the log', store.log.append(id, at, [entry]))
      if (!reply.ok) throw new Error(`the log does not go on from where it was read: ${reply.reason}`)
      const landed = reply.entries.find(({ author }) => author === this.#stranger)?.version
      if (landed === undefined) throw new Error('the log has not taken what it was offered')
      next('announcement')
      await until('announcement', 'nothing came by the store’s feed', () => heard >= landed)
      next('hearing')
      await until('hearing', 'the document did not hear of it', () => document.version >= landed)
      next('sequence')
      const no = await document.whenOpen(sequencer => {
        const { type, position } = sequencer
        const op = type!.opToJson(type!.noop(type!.size(sequencer.snapshot)))
        return document.submitForHouse({ author: this.#self, seq, position, op, user: '', connection: '' })
      })
      if (no !== null) throw new Error(`refused: ${no.code}`)
      await until('sequence', 'no commit', () => document.lastSeqOf(this.#self) >= seq)
      next('durability')
      const { version } = document
      await until('durability', 'it stays in doubt', () => document.durableVersion >= version)
    } finally {
      stopWatching()
      listening.then(
        stop => stop(),
        () => {}, // told above
      )
    }
  }

  #inTime<T>(step: Step, late: string, work: Promise<T>): Promise<T> {
    const ms = patience[step]
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.options.clock.after(ms, () => reject(new Error(`${late} within ${ms} ms`)))
      work.then(resolve, reject).finally(cancel)
    })
  }
}

// Who is in a document, as this node knows it: everybody for the count, the active ones to be shown.
// Invariant: as many are shown as there are people and places; the answers of `news`, applied one after the other, give exactly those.

import type { AuthorId, PeerId } from '../protocol/ids.ts'
import type { PeerEntry, PresenceChange } from '../protocol/messages.ts'
import type { Appearance } from './ports.ts'

/** One author is one person. An older appearance of the same one is a line that has not been noticed to be dead. */
interface Person {
  /** The one that came last is the one that counts. Mostly there is no other, so this is no Map. */
  appearances: readonly Appearance[]
  /** When something was last seen of this person but coming; 0: never. */
  active: number
}

export interface PeopleNews {
  readonly people: number
  readonly changes: readonly PresenceChange[]
}

export class People {
  private readonly places: number
  private readonly activeFor: number
  private readonly all = new Map<AuthorId, Person>()
  private readonly owners = new Map<PeerId, AuthorId>()
  private readonly shown = new Set<Person>()
  /** Peers of whom there is something new since the last news. */
  private readonly fresh = new Set<PeerId>()
  /** Peers whom the readers have been told of. */
  private readonly told = new Set<PeerId>()
  private countTold = 0
  private stirred = false

  /**
   * @param places how many are shown at most
   * @param activeFor milliseconds for which somebody who is shown keeps the place without doing anything
   */
  constructor(places: number, activeFor: number) {
    this.places = places
    this.activeFor = activeFor
  }

  get count(): number {
    return this.all.size
  }

  /** Whether `news` may have something to say. */
  get restless(): boolean {
    return this.stirred
  }

  here(appearance: Appearance, now: number): void {
    const { author, peer } = appearance
    let person = this.all.get(author)
    if (person === undefined) this.all.set(author, (person = { appearances: [], active: 0 }))
    const before = person.appearances.find(other => other.peer === peer)
    if (before !== undefined && same(before, appearance)) return // a store says again what it is not sure to have said
    person.appearances =
      before === undefined
        ? person.appearances.concat(appearance)
        : person.appearances.map(other => (other === before ? appearance : other))
    this.owners.set(peer, author)
    this.fresh.add(peer)
    this.stirred = true
    if (before !== undefined) this.stir(person, now)
    else if (this.shown.size < this.places) this.shown.add(person)
  }

  gone(peer: PeerId): void {
    const author = this.owners.get(peer)
    const person = author === undefined ? undefined : this.all.get(author)
    if (author === undefined || person === undefined) return
    this.owners.delete(peer)
    this.fresh.delete(peer)
    person.appearances = person.appearances.filter(other => other.peer !== peer)
    this.stirred = true
    if (person.appearances.length > 0) return
    this.all.delete(author)
    this.shown.delete(person)
  }

  /** An edit of this author is in. */
  wrote(author: AuthorId, now: number): void {
    const person = this.all.get(author)
    if (person !== undefined) this.stir(person, now)
  }

  /** What somebody who knows what was told before has to learn; null: nothing. */
  news(): PeopleNews | null {
    if (!this.stirred) return null
    this.stirred = false
    this.fill()
    const now = new Map<PeerId, Appearance>()
    for (const person of this.shown) {
      const appearance = latest(person)
      now.set(appearance.peer, appearance)
    }
    const changes: PresenceChange[] = []
    for (const peer of this.told) {
      if (now.has(peer)) continue
      this.told.delete(peer)
      changes.push({ kind: 'gone', peer })
    }
    for (const [peer, appearance] of now) {
      if (this.told.has(peer) && !this.fresh.has(peer)) continue
      this.told.add(peer)
      changes.push({ kind: 'here', ...peerEntry(appearance) })
    }
    this.fresh.clear()
    if (changes.length === 0 && this.countTold === this.count) return null
    this.countTold = this.count
    return { people: this.count, changes }
  }

  /** Those who are shown now: what a newcomer starts from. The next news goes on from there. */
  known(): PeerEntry[] {
    this.fill()
    const known: PeerEntry[] = []
    for (const person of this.shown) known.push(peerEntry(latest(person)))
    // Those whom only the newcomer knows, or only the others: whoever of them is shown at the next news is told of to everybody.
    for (const { peer } of known) {
      if (this.told.has(peer)) continue
      this.fresh.add(peer)
      this.told.add(peer)
    }
    if (this.told.size === known.length) return known
    const peers = new Set(known.map(({ peer }) => peer))
    for (const peer of this.told) if (!peers.has(peer)) this.fresh.add(peer)
    return known
  }

  /** Everybody, up to so many: for whoever looks on and is told no news. */
  everybody(limit: number): PeerEntry[] {
    const found: PeerEntry[] = []
    for (const person of this.all.values()) {
      if (found.length >= limit) break
      found.push(peerEntry(latest(person)))
    }
    return found
  }

  private stir(person: Person, now: number): void {
    person.active = now
    if (this.shown.has(person) || this.places === 0) return
    if (this.shown.size >= this.places) {
      let silent: Person | null = null
      for (const other of this.shown) if (silent === null || other.active < silent.active) silent = other
      if (silent === null || now - silent.active < this.activeFor) return // all of them are at it: nobody's caret flickers
      this.shown.delete(silent)
    }
    this.shown.add(person)
    this.stirred = true
  }

  /** Somebody who was shown has left: the place goes to whoever was active last. */
  private fill(): void {
    const free = Math.min(this.places, this.count) - this.shown.size
    if (free <= 0) return
    const hidden = [...this.all.values()].filter(person => !this.shown.has(person))
    for (const person of hidden.sort((a, b) => b.active - a.active).slice(0, free)) this.shown.add(person)
  }
}

const latest = ({ appearances }: Person): Appearance => appearances.at(-1)!

const same = (a: Appearance, b: Appearance): boolean =>
  a === b || (a.version === b.version && JSON.stringify(a.state) === JSON.stringify(b.state))

const peerEntry = ({ peer, user, author, version, state }: Appearance): PeerEntry => ({ peer, user, author, version, state })

// People who type without a pause into one document, and the account of every letter.
// Invariant: each letter is typed once in the world, so that a letter lost or doubled shows in the text itself.

import { type Client, type Clock, type ConnectOptions, connect, type TextDocument } from '../../src/client/index.ts'
import { type Chance, seeded } from '../../src/testing/index.ts'
import { afterwards } from '../server/worlds.ts'

/** Letters that each of them has: CJK ideographs, one UTF-16 unit each. */
const share = 1_000
const firstLetter = 0x4e00

/** Real time, only quicker: what takes the client ten seconds takes one. */
export const hurried: Clock = {
  now: () => performance.now() * 10,
  after(ms, call) {
    const timer = setTimeout(call, ms / 10)
    return () => clearTimeout(timer)
  },
}

/** A line may break at any moment and comes back; what is closed does not. */
const saved = async (doc: TextDocument): Promise<void> => {
  while (doc.status !== 'saved' && doc.status !== 'closed') {
    await new Promise<void>(resolve => {
      const stop = doc.on('status', () => {
        stop()
        resolve()
      })
    })
  }
}

export class Typist {
  readonly client: Client
  readonly doc: TextDocument
  typed = ''
  /** Letters they have deleted, of anybody's. */
  deleted = ''
  /** Words that were handed back. */
  readonly drafts: string[] = []
  readonly #number: number
  readonly #chance: Chance
  #timer: NodeJS.Timeout | undefined

  private constructor(client: Client, doc: TextDocument, number: number, chance: Chance) {
    this.client = client
    this.doc = doc
    this.#number = number
    this.#chance = chance
    doc.on('draft', ({ text }) => this.drafts.push(text))
  }

  static async sitsDown(url: string, id: string, number: number, seed: number, options: ConnectOptions): Promise<Typist> {
    const client = connect(url, options)
    afterwards(() => client.close())
    return new Typist(client, await client.open(id), number, seeded(seed * 1_000 + number))
  }

  types(): void {
    this.#timer = setTimeout(() => {
      this.types()
      if (this.typed.length === share) return
      const { doc } = this
      const at = this.#chance.int(doc.length + 1)
      if (doc.length > 50 && this.#chance.chance(0.1)) {
        const to = Math.min(doc.length, at + this.#chance.int(4))
        this.deleted += doc.text.slice(at, to)
        return doc.delete(at, to)
      }
      const letter = String.fromCharCode(firstLetter + this.#number * share + this.typed.length)
      this.typed += letter
      doc.insert(at, letter)
    }, this.#chance.int(100))
  }

  stops(): void {
    clearTimeout(this.#timer)
  }
}

export class Typists {
  readonly people: readonly Typist[]
  readonly #id: string
  private constructor(people: readonly Typist[], id: string) {
    this.people = people
    this.#id = id
  }

  static async at(url: string, count: number, seed: number, options: ConnectOptions = {}): Promise<Typists> {
    const id = `typed-${seed}`
    const people = await Promise.all(Array.from({ length: count }, (_, i) => Typist.sitsDown(url, id, i, seed, options)))
    afterwards(() => {
      for (const typist of people) typist.stops()
    })
    return new Typists(people, id)
  }

  type(): void {
    for (const typist of this.people) typist.types()
  }

  /** Until together they have typed so many letters more. */
  async letters(more: number): Promise<void> {
    const before = this.#typed
    const most = this.people.length * share
    while (this.#typed < Math.min(before + more, most)) await new Promise(resolve => setTimeout(resolve, 5))
  }

  get #typed(): number {
    return this.people.reduce((sum, { typed }) => sum + typed.length, 0)
  }

  /** Until so many of them have a line. */
  async online(count: number): Promise<void> {
    const up = () => this.people.filter(({ client }) => client.status === 'online').length
    while (up() < count) await new Promise(resolve => setTimeout(resolve, 5))
  }

  /** Until the status of every client is this one. */
  async all(status: Client['status']): Promise<void> {
    for (const { client } of this.people) {
      while (client.status !== status) {
        await new Promise<void>(resolve => {
          const stop = client.on('status', () => {
            stop()
            resolve()
          })
        })
      }
    }
  }

  /** Stops typing, waits until everything is saved and everybody has heard of it, and answers what is wrong; nothing when all is well. */
  async account(url: string): Promise<string[]> {
    for (const typist of this.people) typist.stops()
    await Promise.all(this.people.map(({ doc }) => doc.settled('durable').catch(() => undefined))) // a draft is looked at below
    const read = (await (await fetch(`${url}/v1/documents/${this.#id}`)).json()) as { text: string; version: number }
    for (const { doc } of this.people) {
      while (doc.version < read.version) {
        await new Promise<void>(resolve => {
          const stop = doc.on('change', () => {
            stop()
            resolve()
          })
        })
      }
    }
    await Promise.all(this.people.map(({ doc }) => saved(doc)))
    const wrong: string[] = []
    for (const [i, { doc, drafts }] of this.people.entries()) {
      if (doc.text !== read.text) wrong.push(`the text of ${i} differs from the server's`)
      if (doc.status === 'closed') wrong.push(`the document of ${i} is closed`)
      if (drafts.length > 0) wrong.push(`${i} was handed back ${JSON.stringify(drafts)}`)
    }
    const times = new Map<string, number>()
    for (const letter of read.text) times.set(letter, (times.get(letter) ?? 0) + 1)
    for (const [letter, n] of times) if (n > 1) wrong.push(`${letter} is there ${n} times`)
    const deleted = new Set(this.people.flatMap(typist => [...typist.deleted]))
    for (const letter of this.people.flatMap(({ typed }) => [...typed])) {
      if (!times.delete(letter) && !deleted.has(letter)) wrong.push(`${letter} is lost`)
    }
    for (const letter of times.keys()) wrong.push(`nobody has typed ${letter}`)
    return wrong
  }
}

// The nodes of one store, as each tells the others of itself; and what can be asked of one from any of them.
// Invariant: nobody is called lost while this node does not hear itself either: then it is the channel that is away.

import { z } from 'zod'
import type { Clock, ControlChannel } from '../engine/ports.ts'
import type { Fault } from './checks.ts'

const telling = 3_000 // ms between two words of a node about itself
const tellingOften = 1_000 // while it drains
const silence = 10_000 // ms without a word, after three were due, until a node counts as lost
const mourning = 300_000 // ms for which a lost node is told of; one of the same name that comes takes its place
const asking = 1_500 // ms in which whoever is there answers

const wordOf = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('node'),
    node: z.string(),
    /** Host and port, for people. */
    name: z.string(),
    pid: z.number(),
    version: z.string(),
    state: z.enum(['serving', 'draining', 'gone']),
    connections: z.number(),
    /** Milliseconds since 1970 by its own clock. */
    started: z.number(),
    ready: z.boolean(),
  }),
  z.object({ kind: z.literal('nodes?') }),
  z.object({ kind: z.literal('drain'), node: z.string() }),
])
type Word = Extract<z.infer<typeof wordOf>, { kind: 'node' }>

/** A node as it was last heard. */
export interface NodeSeen {
  readonly node: string
  readonly name: string
  /** On its machine. */
  readonly pid: number
  readonly version: string
  readonly state: 'serving' | 'draining' | 'lost'
  readonly ready: boolean
  readonly connections: number
  /** Milliseconds since 1970. */
  readonly started: number
  /** Milliseconds since it was heard. */
  readonly silent: number
}

/** What has been heard of nodes, by whoever listens. */
export class NodeTable {
  readonly #heard = new Map<string, { readonly word: Word; readonly at: number }>()

  hear(word: Word, now: number): void {
    for (const [node, other] of this.#heard) {
      const replaced = other.word.name === word.name && node !== word.node && now - other.at > telling * 2
      if (replaced || now - other.at > silence + mourning) this.#heard.delete(node)
    }
    if (word.state === 'gone') this.#heard.delete(word.node)
    else this.#heard.set(word.node, { word, at: now })
  }

  /** @param judge whether silence is theirs: who hears nobody at all calls nobody lost */
  list(now: number, judge = true): readonly NodeSeen[] {
    return [...this.#heard.values()]
      .filter(({ at }) => now - at <= silence + mourning)
      .map(({ word: { kind: _, state, ...about }, at }) => ({
        ...about,
        state: judge && now - at > silence ? ('lost' as const) : state === 'gone' ? 'draining' : state,
        silent: now - at,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.started - b.started))
  }

  heardAt(node: string): number | null {
    return this.#heard.get(node)?.at ?? null
  }
}

/** Asks who is there, and listens for a moment; `drain`: and tells that node to hand its clients over. */
export const askNodes = async (control: ControlChannel, clock: Clock, drain?: string): Promise<NodeTable> => {
  const table = new NodeTable()
  const stop = await control.subscribe(said => {
    const { success, data } = wordOf.safeParse(said)
    if (success && data.kind === 'node') table.hear(data, clock.now())
  })
  if (drain !== undefined) control.publish({ kind: 'drain', node: drain })
  control.publish({ kind: 'nodes?' })
  await new Promise<void>(resolve => clock.after(asking, resolve))
  stop()
  return table
}

export interface NodesParts {
  readonly control: ControlChannel
  readonly node: string
  readonly name: () => string
  readonly version: string
  readonly about: () => { readonly state: 'serving' | 'draining'; readonly connections: number; readonly ready: boolean }
  /** This node is told to hand its clients over. */
  readonly drain: () => void
  readonly clock: Clock
}

export class Nodes {
  readonly #parts: NodesParts
  readonly #table = new NodeTable()
  readonly #started: number
  #stops: (() => void)[] = []
  #telling: () => void = () => {}
  #closed = false

  constructor(parts: NodesParts) {
    this.#parts = parts
    this.#started = parts.clock.now()
  }

  /** @throws when the channel cannot be had */
  async start(): Promise<void> {
    const { control, clock, drain } = this.#parts
    this.#stops.push(
      await control.subscribe(said => {
        const { success, data } = wordOf.safeParse(said)
        if (!success || this.#closed) return
        if (data.kind === 'node') this.#table.hear(data, clock.now())
        else if (data.kind === 'drain') {
          if (this.#isMe(data.node)) drain()
        } else this.tell()
      }),
    )
    this.#beat()
  }

  /** Tells of this node at once. */
  tell(): void {
    const { control, node, name, version, about } = this.#parts
    if (!this.#closed)
      control.publish({ kind: 'node', node, name: name(), pid: process.pid, version, started: this.#started, ...about() })
  }

  list(): readonly NodeSeen[] {
    const now = this.#parts.clock.now()
    return this.#table.list(now, this.#hearsItself(now))
  }

  /** Has a node hand its clients over, this one or another; false when none of that id or name is known here. */
  drain(which: string | undefined): string | null {
    const { node, control, drain } = this.#parts
    const found = which === undefined ? node : this.list().find(one => one.node === which || one.name === which)?.node
    if (found === undefined) return null
    if (found === node) drain()
    else control.publish({ kind: 'drain', node: found })
    return found
  }

  fault(): Fault | null {
    const lost = this.list().filter(({ state }) => state === 'lost')
    if (lost.length === 0) return null
    const [first] = lost
    return {
      reason: `${lost.length === 1 ? 'a node is' : `${lost.length} nodes are`} lost: nothing was heard for ${Math.round(first!.silent / 1_000)} s`,
      mend: 'inkwell nodes names it; start it again, or wait: after five minutes it is forgotten',
      unready: false,
      detail: lost.map(({ name, node }) => `${name} (${node})`).join(', '),
    }
  }

  close(): void {
    const { control, node, name, version, about } = this.#parts
    this.#telling()
    if (!this.#closed)
      control.publish({
        kind: 'node',
        node,
        name: name(),
        pid: process.pid,
        version,
        started: this.#started,
        ...about(),
        state: 'gone',
      })
    this.#closed = true
    for (const stop of this.#stops.splice(0)) stop()
  }

  #isMe(which: string): boolean {
    return which === this.#parts.node || which === this.#parts.name()
  }

  #hearsItself(now: number): boolean {
    const at = this.#table.heardAt(this.#parts.node)
    return at !== null && now - at < 2 * telling
  }

  #beat(): void {
    const { about, clock } = this.#parts
    this.tell()
    if (this.#closed) return
    this.#telling = clock.after(about().state === 'draining' ? tellingOften : telling, () => this.#beat())
  }
}

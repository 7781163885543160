// A deploy in the middle of the day: every node is told to go and comes back, one after the other, while people type.

import { afterEach, expect, it } from 'vitest'
import { type Client, connect, type TextDocument } from '../../src/client/index.ts'
import { seeded } from '../../src/testing/index.ts'
import { Balancer } from '../balancer.ts'
import { Alphabet } from '../chaos/ledger.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisServer } from '../redis.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const seed = Number(process.env.SEED ?? 1)
const alphabet = new Alphabet()

/** Types ten characters a second, wherever his hand falls, until he is told to stop. */
class Typist {
  readonly client: Client
  readonly doc: TextDocument
  typed = ''
  /** How often a line came up. */
  lines = 1
  /** What he would have to be bothered with. */
  readonly bothered: string[] = []
  readonly #typing: NodeJS.Timeout

  private constructor(client: Client, doc: TextDocument, chance: ReturnType<typeof seeded>) {
    this.client = client
    this.doc = doc
    client.on('status', status => {
      if (status === 'online') this.lines++
    })
    // What is tried again by itself is nothing to bother anybody with.
    const told = ({ advice, message }: { readonly advice: string; readonly message: string }): void => {
      if (advice !== 'retry' && advice !== 'rejoin') this.bothered.push(message)
    }
    client.on('error', told)
    doc.on('error', told)
    doc.on('draft', ({ cause, text }) => this.bothered.push(`${cause}: ${text}`))
    this.#typing = setInterval(() => {
      const text = alphabet.fresh(1 + chance.int(2))
      this.typed += text
      doc.insert(chance.int(doc.length + 1), text)
    }, 100)
  }

  static async sitsDown(url: string, id: string, chance: ReturnType<typeof seeded>): Promise<Typist> {
    const client = connect(url)
    ends.push(() => client.close())
    const typist = new Typist(client, await client.open(id), chance)
    ends.push(() => typist.stops())
    return typist
  }

  /** Resolves when what he has typed by now is in the log. */
  async goesOn(): Promise<void> {
    const { length } = this.typed
    while (this.typed.length < length + 5) await new Promise(resolve => setTimeout(resolve, 20))
    await this.doc.settled('sequenced')
  }

  stops(): void {
    clearInterval(this.#typing)
  }
}

it(`[P2] [P4] all nodes are restarted while people type: nobody loses a character or is bothered, and one reconnect a restart is enough (seed ${seed})`, async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  ends.push(() => redis.discard())
  const nodes = await Promise.all([1, 2, 3].map(() => InkwellNode.start({ store: redis.url })))
  for (const node of nodes) ends.push(() => node.kill())
  const balancer = await Balancer.checking(nodes.map(({ port }) => port))
  ends.push(() => balancer.discard())
  const chance = seeded(seed)
  const ids = ['minutes', 'plan', 'letter']
  const typists = await Promise.all(
    Array.from({ length: 12 }, (_, i) => Typist.sitsDown(balancer.url, ids[i % ids.length]!, seeded(chance.int(2 ** 31)))),
  )

  for (const node of nodes) {
    await Promise.all(typists.map(typist => typist.goesOn()))
    expect(await node.leave()).toBe(0)
    await Promise.all(typists.map(typist => typist.goesOn())) // through the two others
    await node.start()
  }
  await Promise.all(typists.map(typist => typist.goesOn()))

  for (const typist of typists) typist.stops()
  await Promise.all(typists.map(({ doc }) => doc.settled()))
  expect(typists.map(({ doc }) => doc.status)).toEqual(typists.map(() => 'saved'))
  expect(typists.flatMap(({ bothered }) => bothered)).toEqual([])
  for (const { lines } of typists) expect(lines).toBeLessThanOrEqual(1 + nodes.length)
  // Whoever moves before his node stops is offline at no time: only the connections tell that somebody did.
  expect(balancer.opened).toBeGreaterThanOrEqual(typists.length + nodes.length)

  for (const id of ids) {
    const here = typists.filter(({ doc }) => doc.id === id)
    const newcomer = connect(nodes[0]!.url)
    ends.push(() => newcomer.close())
    const { text, version } = await newcomer.open(id)
    await Promise.all(here.map(({ doc }) => reaching(doc, version)))
    expect(here.map(({ doc }) => doc.text === text)).toEqual(here.map(() => true))
    expect([...text].sort().join('')).toBe([...here.map(({ typed }) => typed).join('')].sort().join(''))
  }
})

const reaching = async (doc: TextDocument, version: number): Promise<void> => {
  while (doc.version < version) await new Promise<void>(resolve => doc.on('change', () => resolve()))
}

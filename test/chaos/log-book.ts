// What stands in the log, read from Redis itself while it is written: later it is trimmed, or loses its tail.
// Invariant: nothing of the store's own reading is used, so a mistake in it cannot hide itself.

import { textType } from '../../src/ot/text.ts'
import type { Chain } from '../../src/protocol/ids.ts'
import { emptyChain } from '../../src/protocol/ids.ts'
import { link } from '../../src/stores/chain.ts'
import type { RedisServer } from '../redis.ts'

export interface Line {
  readonly version: number
  readonly author: string
  readonly seq: number
  readonly body: string
  readonly chain: Chain
  readonly before: Chain
}

/** Everything that is not as it must be, one sentence each. */
export type Faults = string[]

export interface Replay {
  readonly text: string
  /** Every code point that some entry has put in. */
  readonly inserted: ReadonlySet<string>
  /** Author and number of each. */
  readonly edits: ReadonlySet<string>
}

const meta = (doc: string): string => `inkwell:{${doc}}:meta`
const log = (doc: string): string => `inkwell:{${doc}}:log`

export class LogBook {
  readonly #redis: RedisServer
  readonly #docs: readonly string[]
  /** By document, then by chain. */
  readonly #lines = new Map<string, Map<string, Line>>()

  constructor(redis: RedisServer, docs: readonly string[]) {
    this.#redis = redis
    this.#docs = docs
    for (const doc of docs) this.#lines.set(doc, new Map())
  }

  /** Takes down what is new; to be called more often than the log is trimmed. */
  async read(): Promise<void> {
    await this.#redis.do(async redis => {
      for (const doc of this.#docs) {
        const lines = this.#lines.get(doc)!
        const fresh: Line[] = []
        let known = false
        for (let from = '+'; !known; ) {
          const stretches = await redis.xrevrange(log(doc), from, '-', 'COUNT', 16)
          for (const [id, fields] of stretches) {
            from = `(${id}`
            for (const line of linesOf(id, fields)) {
              known ||= lines.has(line.chain)
              fresh.push(line)
            }
          }
          if (stretches.length < 16) break
        }
        // Only now: had the reading broken off, what is known would have a hole below it.
        for (const line of fresh) lines.set(line.chain, line)
      }
    })
  }

  /** How far a document's log goes, by Redis' own word. */
  async head(doc: string): Promise<{ readonly version: number; readonly chain: Chain; readonly durable: number }> {
    const [version, chain, durable] = await this.#redis.do(redis => redis.hmget(meta(doc), 'v', 'c', 'd'))
    return { version: Number(version ?? 0), chain: (chain ?? emptyChain) as Chain, durable: Number(durable ?? 0) }
  }

  /** The history that ends in `head`, from version 1 on; what is wrong with it is added to `faults`. */
  history(doc: string, head: { readonly version: number; readonly chain: Chain }, faults: Faults): readonly Line[] {
    const lines = this.#lines.get(doc)!
    const history: Line[] = []
    const seen = new Set<string>()
    for (let { version, chain } = head; chain !== emptyChain; version--) {
      const line = lines.get(chain)
      if (line === undefined) {
        faults.push(`${doc}: version ${version} (${chain}) was never seen in the log`)
        break
      }
      if (line.version !== version) faults.push(`${doc}: ${line.version} stands where version ${version} should`)
      if (link(line.before, line) !== chain) faults.push(`${doc}: the chain at ${version} is not that of its entry`)
      const key = `${line.author} ${line.seq}`
      if (seen.has(key)) faults.push(`${doc}: ${key} is in the log twice`)
      seen.add(key)
      history.unshift(line)
      chain = line.before
    }
    if (history[0]?.version !== 1) faults.push(`${doc}: the history begins with version ${history[0]?.version}`)
    return history
  }
}

/** A stretch of the stream: of each entry a label `chain seq author` and a body; before the first label the chain before it. */
const linesOf = (id: string, fields: readonly string[]): Line[] => {
  const last = Number(id.split('-')[0])
  const [start, ...first] = fields[0]!.split(' ')
  let before = start as Chain
  const lines: Line[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const [chain, seq, author] = i === 0 ? first : fields[i]!.split(' ')
    const version = last - (fields.length - i) / 2 + 1
    lines.push({ version, author: author!, seq: Number(seq), body: fields[i + 1]!, chain: chain as Chain, before })
    before = chain as Chain
  }
  return lines
}

/** The text as the log says it, by the plainest possible reading. */
export const replay = (history: readonly Line[]): Replay => {
  let text = textType.empty
  const inserted = new Set<string>()
  const ops: ReturnType<typeof textType.opFromJson>[] = []
  const sizes = [0]
  for (const { body } of history) {
    const [base, json] = JSON.parse(body) as [number, never]
    let op = textType.opFromJson(json, sizes[base]!)
    for (const char of op.inserted) inserted.add(char)
    for (const other of ops.slice(base)) op = textType.transform(op, other, 'left')
    text = textType.apply(text, op)
    ops.push(op)
    sizes.push(text.length)
  }
  return { text: text.toString(), inserted, edits: new Set(history.map(({ author, seq }) => `${author} ${seq}`)) }
}

// How entries lie in a stream and travel in a channel.
// Invariant: what the append script writes is read here, and nowhere else.

import type { Announcement, Entry } from '../../engine/ports.ts'
import type { AuthorId, Chain, Epoch, Version } from '../../protocol/ids.ts'

/** An entry of the stream as Redis answers it. See scripts.ts for the fields. */
export type Stretch = readonly [id: string, fields: readonly string[]]

/** Some of them as scripts answer them: in JSON, which costs Redis and the client that reads it less than an answer of so many parts. Empty: none. */
export type Stretches = string

export const stretchesOf = (text: Stretches): readonly Stretch[] => (text === '' ? [] : (JSON.parse(text) as Stretch[]))

/** A place to go on from; where the chain is not known it is not compared. */
export interface From {
  readonly version: Version
  readonly chain: Chain | null
}

const chainLength = 16

const startOf = ([id, fields]: Stretch): { readonly version: Version; readonly chain: Chain } => ({
  version: Number(id.slice(0, id.indexOf('-'))) - fields.length / 2,
  chain: fields[0]!.slice(0, chainLength) as Chain,
})

const entriesIn = (stretch: Stretch): Entry[] => {
  const [, fields] = stretch
  const { version } = startOf(stretch)
  const entries: Entry[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const label = fields[i]!
    const start = i === 0 ? chainLength + 1 : 0
    const seq = start + chainLength + 1
    const author = label.indexOf(' ', seq) + 1
    entries.push({
      author: label.slice(author) as AuthorId,
      seq: Number(label.slice(seq, author - 1)),
      body: fields[i + 1]!,
      version: version + i / 2 + 1,
      chain: label.slice(start, start + chainLength) as Chain,
    })
  }
  return entries
}

/** The entries after a place, in stretches of which the first may begin before it; null when they do not continue it. */
export const entriesOf = (stretches: readonly Stretch[], from: From): Entry[] | null => {
  const all: Entry[] = []
  let end = from
  for (const stretch of stretches) {
    const start = startOf(stretch)
    if (start.version > end.version) return null
    const entries = entriesIn(stretch)
    const known = end.version - start.version // entries of it that lie at or before the end
    const chain = known === 0 ? start.chain : entries[known - 1]?.chain
    if (end.chain !== null && chain !== undefined && chain !== end.chain) return null
    for (let i = known; i < entries.length; i++) all.push(entries[i]!)
    end = entries.at(-1)!.version >= end.version ? entries.at(-1)! : end
  }
  return all
}

export const announcementOf = (epoch: Epoch, durable: Version, stretch: Stretch): Extract<Announcement, { kind: 'entries' }> => {
  const { version, chain } = startOf(stretch)
  return { kind: 'entries', epoch, from: version, chain, entries: entriesIn(stretch), durable }
}

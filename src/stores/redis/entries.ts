// How entries lie in a stream and travel in a channel.
// Invariant: what the append script writes is read here, and nowhere else.

import type { Announcement, Entry } from '../../engine/ports.ts'
import type { AuthorId, Chain, Epoch, Version } from '../../protocol/ids.ts'

/** An entry of the stream as Redis answers it. See scripts.ts for the fields. */
export type Stretch = readonly [id: string, fields: readonly string[]]

const entriesIn = (fields: readonly string[], after: Version): Entry[] => {
  const from = Number(fields[1])
  const entries: Entry[] = []
  for (let i = 2 + 2 * Math.max(0, after - from); i + 1 < fields.length; i += 2) {
    const label = fields[i]!
    const space = label.indexOf(' ', chainLength + 1)
    entries.push({
      author: label.slice(space + 1) as AuthorId,
      seq: Number(label.slice(chainLength + 1, space)),
      body: fields[i + 1]!,
      version: from + i / 2,
      chain: label.slice(0, chainLength) as Chain,
    })
  }
  return entries
}

const chainLength = 16

/** The entries after a version, in stretches of which the first may begin before it; null when there is a gap. */
export const entriesOf = (stretches: readonly Stretch[], after: Version): Entry[] | null => {
  const all: Entry[] = []
  let end = after
  for (const [, fields] of stretches) {
    if (Number(fields[1]) > end) return null
    for (const entry of entriesIn(fields, end)) all.push(entry)
    end = Number(fields[1]) + fields.length / 2 - 1
  }
  return all
}

export const announcementOf = (epoch: Epoch, durable: Version, fields: readonly string[]): Announcement => {
  const from = Number(fields[1])
  return { kind: 'entries', epoch, from, chain: fields[0] as Chain, entries: entriesIn(fields, from), durable }
}

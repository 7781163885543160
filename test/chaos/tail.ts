// How much of Redis' append-only file may be lost without breaking a promise, and the loss of it.
// Invariant: nothing is cut that has been reported durable.
//
// After `kill -9` the file is whole, since the system still has what was written; what a machine that fails would lose is what was not
// synced. That cannot be seen from outside, but its bound can: with `appendfsync everysec` an edit is reported durable only once the
// script `harden` has set the document's durable version, and that stands in the file too. The file is synced in its order, so up to the
// last entry which any `harden` has vouched for everything is on the disk, and everything behind it may be gone. The cut goes further
// than most failures would (some three seconds of writing against one), and never too far.

import { readFileSync, truncateSync } from 'node:fs'

interface Command {
  readonly words: readonly string[]
  /** Where the command ends, or the transaction in which it is. */
  end: number
}

/** The commands of an append-only file, as far as they are whole. */
const commandsIn = (bytes: Buffer): Command[] => {
  const commands: Command[] = []
  let transaction: Command[] | null = null
  let at = 0
  const line = (mark: string): number => {
    const end = bytes.indexOf('\r\n', at)
    if (end < 0 || String.fromCharCode(bytes[at]!) !== mark) throw new RangeError(`no ${mark} at byte ${at}`)
    const value = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2
    return value
  }
  try {
    while (at < bytes.length) {
      const words: string[] = []
      for (let count = line('*'); count > 0; count--) {
        const length = line('$')
        if (at + length + 2 > bytes.length) return commands
        words.push(bytes.toString('utf8', at, at + length))
        at += length + 2
      }
      const command: Command = { words, end: at }
      const [name] = words
      if (name === 'MULTI') transaction = []
      else if (name === 'EXEC') {
        for (const inside of transaction ?? []) commands.push({ ...inside, end: at })
        transaction = null
      } else if (transaction !== null) transaction.push(command)
      else commands.push(command)
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error // it ends in the middle of a word
  }
  return commands
}

interface Stretch {
  readonly from: number
  readonly to: number
  readonly end: number
}

/** From which byte on the file may be gone, and how many entries of the log stand behind that. */
const loseable = (bytes: Buffer): { readonly from: number; readonly entriesAfter: (byte: number) => number } => {
  const durable = new Map<string, number>()
  const stretches = new Map<string, Stretch[]>()
  for (const { words, end } of commandsIn(bytes)) {
    const [name, key = ''] = words
    const doc = /^inkwell:\{(.*)\}:(meta|log)$/.exec(key)
    if (doc === null) continue
    if (name === 'HSET' && doc[2] === 'meta') {
      for (let i = 2; i < words.length; i += 2) {
        if (words[i] === 'e') stretches.set(doc[1]!, []) // a new log
        if (words[i] === 'd') durable.set(doc[1]!, Number(words[i + 1]))
      }
    } else if (name === 'XADD') {
      const at = words.findIndex(word => /^\d+-0$/.test(word))
      const to = Number(words[at]!.slice(0, -2))
      const known = stretches.get(doc[1]!) ?? []
      stretches.set(doc[1]!, known)
      known.push({ from: to - (words.length - at - 1) / 2 + 1, to, end })
    }
  }
  let from = 0
  for (const [doc, version] of durable)
    for (const stretch of stretches.get(doc) ?? []) if (stretch.from <= version) from = Math.max(from, stretch.end)
  const all = [...stretches.values()].flat()
  return {
    from,
    entriesAfter: byte => all.reduce((sum, { from, to, end }) => (end > byte ? sum + to - from + 1 : sum), 0),
  }
}

/** Where each file was cut last: what was left then came back from the disk, also where the news that it was durable has gone. */
const kept = new Map<string, number>()

/** Cuts off the end of a file that nobody writes, as much as may be lost or less. @param share from 0, all of it, to 1, nothing */
export const cutTail = (path: string, share: number): { readonly bytes: number; readonly entries: number } => {
  const bytes = readFileSync(path)
  const { from, entriesAfter } = loseable(bytes)
  const least = Math.min(Math.max(from, kept.get(path) ?? 0), bytes.length)
  const at = least + Math.floor((bytes.length - least) * share)
  truncateSync(path, at)
  kept.set(path, at)
  return { bytes: bytes.length - at, entries: entriesAfter(at) }
}

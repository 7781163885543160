// `inkwell verify`: replays every log, and holds it against its hashes and its checkpoint.
// Invariant: nothing is written; the command ends well only when all that it was to look at is sound.

import type { About } from '../engine/ports.ts'
import { Verification } from '../engine/verification.ts'
import { servedText } from '../ot/served.ts'
import type { DocId, Version } from '../protocol/ids.ts'
import { link } from '../stores/chain.ts'
import { type Command, jsonSetting, reaching } from './command.ts'
import { docWord } from './look.ts'
import { jsonLine, Progress, shown } from './print.ts'
import { everyDocument, type Records, reachSettings, withRecords } from './reach.ts'

const types = [servedText]
const pages = 5_000 // entries read at a time
const unreadable = 1_000 // versions that are tried one by one to find out which of them it is; beyond, the whole page is told

interface Verified {
  readonly id: DocId
  readonly commits: number
  readonly flaws: readonly { readonly version: Version; readonly sentence: string }[]
  readonly untold: number
  /** Why not everything could be checked; null: everything was. */
  readonly unread: string | null
}

/** Looks at one document as far as it goes now. @throws when the store is away */
const verified = async (records: Records, id: DocId, about: About, passed: (commits: number) => void): Promise<Verified> => {
  const { floor, version } = about
  let cannotOpen: string | null = null
  const opened = await records.open(id).catch(error => {
    cannotOpen = (error as Error).message
    return null
  })
  const checkpoint = opened?.checkpoint ?? null
  // Without an answer nothing is known of the checkpoint: that is the flaw, and not that there should be one.
  const seen = cannotOpen === null ? about : { ...about, checkpointed: 0 }
  const verification = new Verification(types, seen, checkpoint, link)
  const read = async (from: Version, count: number): Promise<void> => {
    try {
      const entries = await records.entries(id, from, count)
      verification.take(entries)
      passed(entries.length)
      if (entries.length < count && from + entries.length < version)
        verification.gap(from + entries.length + 1, from + count, 'they are not there')
    } catch (error) {
      const { message } = error as Error
      if (count === 1 || count > unreadable) {
        if (count > unreadable)
          for (let at = 0; at < count; at += unreadable) await read(from + at, Math.min(unreadable, count - at))
        else verification.gap(from + 1, from + 1, message)
        return
      }
      const half = Math.floor(count / 2)
      await read(from, half)
      await read(from + half, count - half)
    }
  }
  for (let at = floor.version; at < version; at += pages) await read(at, Math.min(pages, version - at))
  if (version > floor.version)
    await records.entries(id, version - 1, 1).catch(error => {
      if (verification.flaws.length === 0) verification.gap(version, version, (error as Error).message)
    })
  verification.end()
  const flaws =
    cannotOpen === null ? verification.flaws : [{ version, sentence: `cannot be opened: ${cannotOpen}` }, ...verification.flaws]
  return { id, commits: version - floor.version, flaws, untold: verification.untold, unread: verification.unread }
}

const attempts = 5

/** A log that was trimmed under the reader's hands is looked at again: what was missing then is no flaw. */
export const atRest = async (records: Records, id: DocId, about: About, passed: (commits: number) => void): Promise<Verified> => {
  let [before, found] = [about, await verified(records, id, about, passed)]
  for (let attempt = 1; attempt < attempts && found.flaws.length > 0; attempt++) {
    const now = await records.about(id)
    if (now === null) return { ...found, commits: 0, flaws: [], untold: 0 } // removed meanwhile
    const { epoch, floor, checkpointed } = before
    if (now.epoch === epoch && now.floor.version === floor.version && now.checkpointed === checkpointed) break
    before = now
    found = await verified(records, id, now, passed)
  }
  return found
}

export const verifyCommands = {
  verify: reaching(
    {
      says: 'replay logs and hold them against their hashes and checkpoints; ends with 1 when something is wrong',
      examples: ['inkwell verify', 'inkwell verify minutes --store redis://localhost:6379', 'inkwell verify --json | jq .flaws'],
      settings: {
        doc: { flag: '[doc]', variable: null, says: 'the id of a document; all when left out', shape: docWord.optional() },
        ...jsonSetting,
        ...reachSettings,
      },
    },
    ({ doc, json }, reach, out) =>
      withRecords(reach, async records => {
        const progress = new Progress(out, 'verify')
        let [documents, commits, wrong] = [0, 0, 0]
        const passed = (count: number): void => {
          commits += count
          progress.at(0, null, `${documents} documents, ${commits} commits`)
        }
        const look = async (id: DocId): Promise<void> => {
          const about = await records.about(id)
          if (about === null) return // removed meanwhile
          if (about.planted) return void out.say(`${shown(id, out)}: is being imported\n`)
          documents++
          const found = await atRest(records, id, about, passed)
          if (found.flaws.length > 0) wrong++
          if (json) return out.write(jsonLine(found))
          for (const { version, sentence } of found.flaws)
            await out.write(`${shown(id, out)}: version ${version} ${shown(sentence, out)}\n`)
          if (found.untold > 0) await out.write(`${shown(id, out)}: ${found.untold} more\n`)
          if (found.unread !== null) out.say(`${shown(id, out)}: ${found.unread}\n`)
        }
        if (doc === undefined) for await (const id of everyDocument(records)) await look(id)
        else {
          if ((await records.about(doc)) === null) throw new Error(`nobody has written to ${JSON.stringify(doc)}`)
          await look(doc)
        }
        progress.end()
        if (!json) {
          const all = `${documents} ${documents === 1 ? 'document' : 'documents'} with ${commits} commits`
          await out.write(wrong === 0 ? `sound: ${all}\n` : `${wrong} of ${all} ${wrong === 1 ? 'is' : 'are'} not sound\n`)
        }
        return wrong === 0 ? 0 : 1
      }),
  ),
} as const satisfies Record<string, Command>

// `inkwell verify`: replays every log, and holds it against its hashes and its checkpoint.
// Invariant: nothing is written; the command ends well only when all that it was to look at is sound.

import { countOf } from '../engine/page.ts'
import type { About, Page } from '../engine/ports.ts'
import type { Findings } from '../engine/verification.ts'
import type { DocId, Version } from '../protocol/ids.ts'
import { type Checkers, checkers } from './checking.ts'
import { type Command, jsonSetting, reaching } from './command.ts'
import { docWord } from './look.ts'
import { jsonLine, Progress, shown } from './print.ts'
import { everyDocument, pageAt, type Records, reachSettings, withRecords } from './reach.ts'

const pages = 5_000 // entries read at a time
const atOnce = 4 // documents: the next are read while the last are checked
const unreadable = 1_000 // versions that are tried one by one to find out which of them it is; beyond, the whole page is told

interface Verified extends Findings {
  readonly id: DocId
  readonly commits: number
}

/** What is read, by whom it is checked, and who is told how many commits have been. */
export interface Verifying {
  readonly records: Records
  readonly checkers: Checkers
  readonly passed: (commits: number) => void
}

/** Looks at one document as far as it goes now. @throws when the store is away */
const verified = async ({ records, checkers, passed }: Verifying, id: DocId, about: About): Promise<Verified> => {
  const { floor, version } = about
  let cannotOpen: string | null = null
  // Without a checkpoint opening it would read all of it, which is read below.
  const opened =
    about.checkpointed === 0
      ? null
      : await records.open(id).catch(error => {
          cannotOpen = (error as Error).message
          return null
        })
  // Without an answer nothing is known of the checkpoint: that is the flaw, and not that there should be one.
  const seen = cannotOpen === null ? about : { ...about, checkpointed: 0 }
  const checking = checkers.begin(seen, opened?.checkpoint ?? null)
  const read = async (from: Version, count: number): Promise<void> => {
    let page: Page
    try {
      page = await pageAt(records, id, from, count)
    } catch (error) {
      const { message } = error as Error
      if (count === 1 || count > unreadable) {
        if (count > unreadable)
          for (let at = 0; at < count; at += unreadable) await read(from + at, Math.min(unreadable, count - at))
        else checking.gap(from + 1, from + 1, message)
        return
      }
      const half = Math.floor(count / 2)
      await read(from, half)
      return read(from + half, count - half)
    }
    const found = countOf(page)
    await checking.take(page)
    passed(found)
    if (found < count && from + found < version) checking.gap(from + found + 1, from + count, 'they are not there')
  }
  for (let at = floor.version; at < version; at += pages) await read(at, Math.min(pages, version - at))
  const last =
    version === floor.version
      ? null
      : await records.entries(id, version - 1, 1).then(
          () => null,
          error => (error as Error).message,
        )
  const { flaws, ...found } = await checking.end()
  const before = cannotOpen === null ? [] : [{ version, sentence: `cannot be opened: ${cannotOpen}` }]
  const after = last === null || flaws.length > 0 ? [] : [{ version, sentence: `cannot be read: ${last}` }]
  return { id, commits: version - floor.version, flaws: [...before, ...flaws, ...after], ...found }
}

const attempts = 5

/** A log that was trimmed under the reader's hands is looked at again: what was missing then is no flaw. */
export const atRest = async (verifying: Verifying, id: DocId, about: About): Promise<Verified> => {
  let [before, found] = [about, await verified(verifying, id, about)]
  for (let attempt = 1; attempt < attempts && found.flaws.length > 0; attempt++) {
    const now = await verifying.records.about(id)
    if (now === null) return { ...found, commits: 0, flaws: [], untold: 0 } // removed meanwhile
    const { epoch, floor, checkpointed } = before
    if (now.epoch === epoch && now.floor.version === floor.version && now.checkpointed === checkpointed) break
    before = now
    found = await verified(verifying, id, now)
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
        const verifying = { records, checkers: checkers(), passed }
        /** Answers how to tell of it. */
        const look = async (id: DocId): Promise<() => Promise<void>> => {
          const about = await records.about(id)
          if (about === null) return async () => {} // removed meanwhile
          if (about.planted) return async () => out.say(`${shown(id, out)}: is being imported\n`)
          const found = await atRest(verifying, id, about)
          documents++
          if (found.flaws.length > 0) wrong++
          return () => tell(found)
        }
        const tell = async ({ id, ...found }: Verified): Promise<void> => {
          if (json) return out.write(jsonLine({ id, ...found }))
          for (const { version, sentence } of found.flaws)
            await out.write(`${shown(id, out)}: version ${version} ${shown(sentence, out)}\n`)
          if (found.untold > 0) await out.write(`${shown(id, out)}: ${found.untold} more\n`)
          if (found.unread !== null) out.say(`${shown(id, out)}: ${found.unread}\n`)
        }
        try {
          if (doc === undefined) {
            const looks: Promise<() => Promise<void>>[] = []
            for await (const id of everyDocument(records)) {
              const looked = look(id)
              looked.catch(() => {}) // told when it is its turn
              if (looks.push(looked) >= atOnce) await (await looks.shift()!)()
            }
            for (const looked of looks) await (await looked)()
          } else {
            if ((await records.about(doc)) === null) throw new Error(`nobody has written to ${JSON.stringify(doc)}`)
            await (await look(doc))()
          }
        } finally {
          await verifying.checkers.close()
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

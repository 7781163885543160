// `inkwell export` and `inkwell import`: documents with their histories, to a file and from it.
// Invariant: either can be broken off at any moment and asked for again: it goes on, and nothing is there twice or half.

import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { DocId } from '../protocol/ids.ts'
import { type Command, reaching } from './command.ts'
import { firstLine, isBeginning, isStretch, isVoid, lineOf, linesOf, linesOfPage } from './exchange.ts'
import { docWord } from './look.ts'
import { isPage, Planting, piecesOf } from './parts.ts'
import { type Out, Progress, shown, sizeOf } from './print.ts'
import { ask, everyDocument, type Records, reachSettings, withRecords, withStore } from './reach.ts'
import { switched, word } from './words.ts'

/** Where an export goes. */
interface Sink {
  write(what: string | Uint8Array): Promise<void>
  end(): Promise<void>
}

const atOnce = { read: 1_048_576, written: 262_144 } // bytes that are read of a file, or written, in one go: some thousand entries

/** A file, or what follows of one that was broken off. @throws when it is there and is not to be gone on with */
const fileSink = async (path: string, keep: number): Promise<Sink> => {
  const file = await open(path, keep > 0 ? 'r+' : 'wx')
  await file.truncate(keep)
  let at = keep
  let waiting: Uint8Array[] = []
  let length = 0
  /** What is on its way to the disk, while the next is read from the store. */
  let writing: Promise<void> = Promise.resolve()
  const put = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at)
      done += bytesWritten
      at += bytesWritten
    }
  }
  const flush = async (): Promise<void> => {
    await writing
    writing = put(waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting))
    waiting = []
    length = 0
    writing.catch(() => {}) // told to whoever flushes next
  }
  return {
    async write(what) {
      const bytes = typeof what === 'string' ? Buffer.from(what) : what
      waiting.push(bytes)
      length += bytes.length
      if (length >= atOnce.written) await flush()
    },
    async end() {
      try {
        await flush()
        await writing
        await file.sync()
      } finally {
        await file.close()
      }
    },
  }
}

const outSink = (out: Out): Sink => ({ write: what => out.write(what), end: async () => {} })

/** How far a file that was broken off goes: to the end of its last whole document. Null: it came to its end. */
const brokenOff = async (
  path: string,
): Promise<{ readonly keep: number; readonly last: DocId | null; readonly documents: number } | null> => {
  let [keep, documents, last] = [0, 0, null as DocId | null]
  try {
    for await (const { line, end } of linesOf(createReadStream(path))) {
      if ('inkwell' in line) keep = end
      else if ('end' in line) {
        if (typeof line.end === 'object') return null
        keep = end
        last = line.end as DocId
        documents++
      }
    }
  } catch (error) {
    if (keep === 0) throw error
  }
  return { keep, last, documents }
}

const exported = async (records: Records, doc: DocId, sink: Sink, wrote: (bytes: number) => void): Promise<boolean> => {
  let any = false
  for await (const piece of piecesOf(records, doc)) {
    for (const line of isPage(piece) ? linesOfPage(piece) : [lineOf(piece)]) {
      await sink.write(line)
      wrote(line.length)
    }
    any = true
  }
  if (any) await sink.write(lineOf({ end: doc }))
  return any
}

/** What there is of a file, and how many bytes that is; null where nobody can know. */
const sourceOf = async (path: string): Promise<{ readonly chunks: AsyncIterable<Uint8Array>; readonly bytes: number | null }> =>
  path === '-'
    ? { chunks: process.stdin as AsyncIterable<Uint8Array>, bytes: null }
    : { chunks: createReadStream(path, { highWaterMark: atOnce.read }), bytes: (await stat(path)).size }

export const transferCommands = {
  export: reaching(
    {
      says: 'write documents with their histories to a file; broken off, it goes on with --resume',
      examples: [
        'inkwell export --to documents.inkwell',
        'inkwell export minutes --store redis://localhost:6379 > minutes.inkwell',
      ],
      settings: {
        doc: { flag: '[doc]', variable: null, says: 'the id of a document; all when left out', shape: docWord.optional() },
        to: { flag: '--to <file>', variable: null, says: 'where to; default: standard output', shape: word.optional() },
        resume: {
          flag: '--resume',
          variable: null,
          says: 'go on with a file that was broken off',
          shape: switched.default(false),
        },
        ...reachSettings,
      },
    },
    async ({ doc, to, resume }, reach, out) => {
      if (to === undefined && out.terminal) throw new Error('an export is nothing to look at: name a file with --to')
      const before = to !== undefined && resume ? await brokenOff(to) : { keep: 0, last: null, documents: 0 }
      if (before === null) return void out.say(`${to} is whole already\n`)
      return withRecords(reach, async records => {
        const sink = to === undefined ? outSink(out) : await fileSink(to, before.keep)
        const progress = new Progress(out, 'export')
        let { documents } = before
        let bytes = before.keep
        const wrote = (more: number): void => {
          bytes += more
          progress.at(0, null, `${documents} documents, ${sizeOf(bytes)}`)
        }
        try {
          if (before.keep === 0) await sink.write(lineOf(firstLine(Date.now())))
          if (doc === undefined) {
            for await (const id of everyDocument(records, before.last)) if (await exported(records, id, sink, wrote)) documents++
          } else if (before.last !== doc) {
            if (!(await exported(records, doc, sink, wrote))) throw new Error(`nobody has written to ${JSON.stringify(doc)}`)
            documents++
          }
          await sink.write(lineOf({ end: { documents } }))
        } finally {
          await sink.end()
          progress.end()
        }
        out.say(`exported ${documents} ${documents === 1 ? 'document' : 'documents'}, ${sizeOf(bytes)}\n`)
      })
    },
    ({ to, resume }) => (resume && to === undefined ? ['--resume: needs the file, --to'] : []),
  ),

  backup: reaching(
    {
      says: 'copy the directory of an embedded store while its server runs; a server can be started on the copy',
      examples: ['inkwell backup /backups/may --admin-url http://127.0.0.1:3100', 'inkwell backup /backups/may'],
      settings: {
        directory: { flag: '<directory>', variable: null, says: 'a new one, on the machine of the server', shape: word },
        ...reachSettings,
      },
    },
    async ({ directory }, reach, out) => {
      const path = resolve(directory)
      if (reach.kind === 'admin') await ask(reach.admin, '/v1/backup', { directory: path })
      else
        await withStore(reach.where, async store => {
          if (store.backup === undefined) throw new Error(`${store.name} is backed up by its own means: see docs/OPERATIONS.md`)
          await store.backup(path)
        })
      out.say(`${path} is a whole copy\n`)
    },
  ),

  import: reaching(
    {
      says: 'bring documents of an export into a store; broken off, it goes on when it is asked for again',
      examples: [
        'inkwell import documents.inkwell --store redis://localhost:6379',
        'inkwell import minutes.inkwell --as minutes-of-may',
      ],
      settings: {
        file: { flag: '<file>', variable: null, says: 'the file of an export; - for standard input', shape: word },
        as: {
          flag: '--as <id>',
          variable: null,
          says: 'under another id; for a file of one document',
          shape: docWord.optional(),
        },
        ...reachSettings,
      },
    },
    async ({ file, as }, reach, out) => {
      const { chunks, bytes } = await sourceOf(file)
      return withRecords(reach, records => imported(records, chunks, bytes, as ?? null, out))
    },
  ),
} as const satisfies Record<string, Command>

const imported = async (
  records: Records,
  chunks: AsyncIterable<Uint8Array>,
  bytes: number | null,
  as: DocId | null,
  out: Out,
): Promise<number> => {
  const progress = new Progress(out, 'import')
  const count = { whole: 0, there: 0, refused: 0 }
  let current: { readonly doc: DocId; planting: Planting | null } | null = null
  let ended = false
  try {
    for await (const { line, end } of linesOf(chunks)) {
      progress.at(end, bytes, `${count.whole + count.there} documents, ${sizeOf(end)}`)
      if (ended) throw new Error('something follows the end of the file')
      if (isBeginning(line)) {
        if (as !== null && current !== null) throw new Error('--as: the file has more than one document')
        const doc: DocId = as ?? line.doc
        current = { doc, planting: null }
        try {
          current.planting = await Planting.begin(records, doc, line)
          if (current.planting === null) count.there++
        } catch (error) {
          count.refused++
          progress.end()
          out.say(`${shown((error as Error).message, out)}\n`)
        }
      } else if (isStretch(line)) await current?.planting?.take(line)
      else if (isVoid(line))
        continue // it begins again, and what is there of it goes on
      else if ('end' in line) {
        ended = typeof line.end === 'object'
        if (ended || current?.planting == null) continue
        await current.planting.end()
        count.whole++
        current.planting = null
      }
    }
    if (!ended) throw new Error('the file is cut off: what is whole has been imported; get the rest and import it again')
  } catch (error) {
    progress.end()
    const half =
      current?.planting == null
        ? ''
        : ` (${JSON.stringify(current.doc)} is there up to version ${current.planting.version}, and cannot be opened)`
    throw new Error(`${(error as Error).message}${half}`, { cause: (error as Error).cause })
  }
  progress.end()
  const words = [
    `imported ${count.whole} ${count.whole === 1 ? 'document' : 'documents'}`,
    ...(count.there > 0 ? [`${count.there} were there already`] : []),
    ...(count.refused > 0 ? [`${count.refused} were left out`] : []),
  ]
  out.say(`${words.join(', ')}\n`)
  return count.refused === 0 ? 0 : 1
}

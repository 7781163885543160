// An operator's changes to a document: delete it for good, bring an old version of it back.
// Invariant: what writers have not sent yet is not lost by either, and what is brought back is one more commit that everybody sees.

import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { readBody, writeBody } from '../engine/entry.ts'
import type { AuthorId } from '../protocol/ids.ts'
import { systemClock } from '../server/clock.ts'
import { deleteDocument } from '../server/deletion.ts'
import { Revocations } from '../server/revocations.ts'
import { type Command, reaching } from './command.ts'
import { docArgument, pastOf, versionArgument } from './look.ts'
import { ask, reachSettings, withRecords, withStore } from './reach.ts'
import { duration, switched, word } from './words.ts'

export const changeCommands = {
  delete: reaching(
    {
      says: 'delete a document for good: everybody is put out, and gets what is unsent as a draft; then all of it is removed',
      examples: ['inkwell delete minutes --yes', 'inkwell delete minutes --yes --for 1h --admin-url http://127.0.0.1:3100'],
      settings: {
        doc: docArgument,
        yes: {
          flag: '--yes',
          variable: null,
          says: 'say that you mean it: nothing brings it back',
          shape: switched.default(false),
        },
        lasts: {
          flag: '--for <time>',
          variable: null,
          says: 'for how long nobody may begin another one of that name; default: 30d',
          shape: duration.optional(),
        },
        ...reachSettings,
      },
    },
    async ({ doc, lasts }, reach, out) => {
      const forSo = lasts === undefined ? {} : { lasts }
      const removed =
        reach.kind === 'admin'
          ? (await ask<{ removed: boolean }>(reach.admin, '/v1/delete', { document: doc, ...forSo })).removed
          : await withStore(reach.where, async store => {
              const log = pino({ level: 'silent' })
              const revocations = new Revocations({ store, clock: systemClock, log, affected: () => {} })
              try {
                await revocations.start()
                return await deleteDocument({ store, revocations }, doc, lasts)
              } finally {
                revocations.close()
              }
            })
      if (removed) return
      out.say(`nobody had written to ${JSON.stringify(doc)}\n`)
      return 1
    },
    ({ yes }) => (yes ? [] : ['--yes: is missing; what is deleted is gone for good']),
  ),

  'restore-version': reaching(
    {
      says: 'bring an old version of a document back, as one more commit on top of it; whoever has it open sees that at once',
      examples: ['inkwell restore-version minutes 41', 'inkwell restore-version minutes 41 --as support'],
      settings: {
        doc: docArgument,
        version: versionArgument,
        as: { flag: '--as <user>', variable: null, says: 'who is said to have done it', otherwise: 'operator', shape: word },
        ...reachSettings,
      },
    },
    ({ doc, version, as: user }, reach, out) =>
      withRecords(reach, async records => {
        const old = await pastOf(records, doc, version)
        const { epoch } = (await records.about(doc))!
        const now = await pastOf(records, doc, null)
        const { type } = now
        if (type === null) throw new Error(`nobody has written to ${JSON.stringify(doc)}`)
        const op = type.diff(now.value, old.type === null ? type.empty : old.value)
        if (type.isNoop(op)) return void out.say(`${JSON.stringify(doc)} reads now as it did at version ${version}\n`)
        const author = randomBytes(12).toString('base64url') as AuthorId
        const body = writeBody({ base: now.head, op: type.opToJson(op), user, time: Date.now(), type: null })
        const reply = await records.append(doc, { epoch, version: now.head, chain: now.chain }, [{ author, seq: 1, body }])
        if (!reply.ok) throw new Error(`${JSON.stringify(doc)} has changed meanwhile (${reply.reason}): try again`)
        const landed = reply.entries.find(entry => entry.author === author)
        if (landed === undefined) throw new Error('the commit is not in the log')
        await out.write(`${landed.version}\n`)
        const others = landed.version - 1 - readBody(landed.body).base
        if (others > 0) out.say(`${others} edits came in between, and are kept\n`)
      }),
  ),
} as const satisfies Record<string, Command>

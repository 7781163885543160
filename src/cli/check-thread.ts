// The thread of `inkwell verify` that replays the documents of which it is told.
// Invariant: it answers each page once it is through with it, and each document's end with what was found.

import { parentPort } from 'node:worker_threads'
import type { Check } from '../engine/verification.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { type Answer, type Told, textCheck } from './checking.ts'
import { entriesOf } from './page.ts'

const port = parentPort!
const open = new Map<number, Check>()
const answer = (answer: Answer): void => port.postMessage(answer)

port.on('message', (told: Told) => {
  const { id } = told
  if (told.kind === 'begin') return void open.set(id, textCheck(told.about, told.checkpoint))
  const check = open.get(id)!
  switch (told.kind) {
    case 'page':
      check.take(entriesOf(told.page))
      return answer({ kind: 'taken' })
    case 'gap':
      return check.gap(...told.gap)
    case 'end':
      open.delete(id)
      return answer({ kind: 'found', id, findings: check.end() })
    default:
      return unreachable(told)
  }
})

// The thread of `inkwell verify`: it checks the links of the documents of which it is told.
// Invariant: it answers each page once it is through with it, and each document's end with what was found.

import { parentPort } from 'node:worker_threads'
import type { Check } from '../engine/verification.ts'
import { unreachable } from '../protocol/unreachable.ts'
import { type Answer, linkCheck, type Told } from './checking.ts'

const port = parentPort!
const open = new Map<number, Check>()
const answer = (answer: Answer): void => port.postMessage(answer)

port.on('messageerror', error => {
  throw error // a page that cannot be taken apart here: whoever waits for the answer must learn of it
})
port.on('message', (told: Told) => {
  const { id } = told
  if (told.kind === 'begin') return void open.set(id, linkCheck(told.about))
  const check = open.get(id)!
  switch (told.kind) {
    case 'page':
      check.take(told.page)
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

// A process that types into a document until it is killed: `run1.1;run1.2;…`. It prints the number of the last one that is kept.
// Invariant: a number is printed before anything else happens, and only when the client has said that it is kept.

import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/client/index.ts'
import { fileStorage } from '../../src/client/node/index.ts'

const [url = '', path = '', run = '', line = ''] = process.argv.slice(2)

const client = connect(url, { storage: fileStorage({ path }) })
client.on('error', error => {
  if (error.code.startsWith('storage')) throw error
})
if (line === 'down') client.pause()
const doc = await client.open('doc')
if (line === 'cut') client.pause()

let typed = 0
doc.on('kept', kept => {
  if (kept) writeSync(1, `${typed}\n`)
})
for (;;) {
  typed++
  doc.insert(doc.length, `${run}.${typed};`)
  await sleep(5)
}

// One writer who types through the SDK as fast as it takes his keys: `node writer.mjs http://… characters`; prints characters a second.
// Invariant: what is counted is in the history, and the server's text has it.

import { connect } from '../../dist/client/index.js'

const [, , url, count] = process.argv
const client = connect(url)
const doc = await client.open('one-writer')

const type = async characters => {
  const since = performance.now()
  for (let i = 0; i < characters; i++) {
    doc.insert(doc.length, 'x')
    if (i % 64 === 63) await new Promise(setImmediate) // what comes from the server is read in between, as in a page
  }
  await doc.settled('sequenced')
  return (characters / (performance.now() - since)) * 1_000
}

await type(Number(count) / 4) // warms up
const speed = await type(Number(count))
const { text } = await (await fetch(`${url}/v1/documents/one-writer`)).json()
if (text !== doc.text) throw new Error('the server holds another text than its client')
await client.close()
console.log(speed)

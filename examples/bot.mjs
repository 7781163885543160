// A script that edits a document beside people: it puts today's date in the place of every ":today:" that anybody types.
//
//   node examples/bot.mjs http://localhost:3000 meeting-notes
//
// It says hello in the document's last line, and takes its leave of the document on Ctrl-C.

import { connect } from 'inkwell/client'

const [url = 'http://localhost:3000', id = 'meeting-notes'] = process.argv.slice(2)

const client = connect(url)
client.on('error', error => console.error(`bot: ${error.message}`))

const doc = await client.open(id)
doc.insert(doc.length, `${doc.length === 0 ? '' : '\n'}The bot is here.`)
await doc.settled() // durable: it survives whatever the store survives
console.log(`bot: in ${id} at version ${doc.version}`)

const word = ':today:'
const replaceAll = () => {
  for (let at = doc.text.indexOf(word); at >= 0; at = doc.text.indexOf(word))
    doc.replace(at, at + word.length, new Date().toISOString().slice(0, 10))
}
doc.on('change', ({ origin }) => {
  if (origin === 'remote' || origin === 'resync') replaceAll()
})
replaceAll()

process.once('SIGINT', leave)
process.once('SIGTERM', leave)

async function leave() {
  await client.close() // waits a moment for what is on its way
  console.log('bot: gone')
}

// What a user of plain JavaScript does with an installed inkwell; run by pack.test.ts in a project of its own.

import assert from 'node:assert/strict'
import * as main from 'inkwell'
import * as client from 'inkwell/client'
import * as clientNode from 'inkwell/client/node'
import * as clientTracing from 'inkwell/client/tracing'
import * as codemirror from 'inkwell/codemirror'
import * as embedded from 'inkwell/embedded'
import manifest from 'inkwell/package.json' with { type: 'json' }
import * as server from 'inkwell/server'
import * as testing from 'inkwell/testing'

for (const [name, face] of Object.entries({ main, client, clientNode, clientTracing, codemirror, embedded, server, testing })) {
  assert.ok(Object.keys(face).length > 0, `${name} exports nothing`)
}

const node = await server.createServer({ store: server.memoryStore(), logger: 'silent' })
const { url } = await node.listen(0)

const ann = client.connect(url, { storage: clientNode.fileStorage({ path: './kept-by-ann' }) })
const bob = client.connect(url)
const hers = await ann.open('meeting-notes')
const his = await bob.open('meeting-notes')

const seen = new Promise(resolve => his.on('change', () => his.text === 'Hi there' && resolve(his.text)))
hers.insert(0, 'Hello there')
hers.replace(0, 5, 'Hi')
await hers.settled('durable')
await seen
assert.ok(hers.kept || (await new Promise(resolve => hers.on('kept', resolve))))

const answer = await fetch(`${url}/v1/documents/meeting-notes`)
const kept = await answer.json()

await Promise.all([ann.close(), bob.close()])
await node.close()

process.stdout.write(JSON.stringify({ version: manifest.version, his: his.text, kept: kept.text }))

// A node with the embedded store in the directory given, for a test that fills its disk: it says its address, and runs until it is killed.

import { createServer, embeddedStore } from '../../src/server/index.ts'

const server = await createServer({
  store: embeddedStore({ path: process.argv[2]! }),
  logger: 'silent',
  limits: { canaryEvery: 300, unreadyAfter: 1_000 },
})
process.stdout.write(`${(await server.listen(0)).url}\n`)

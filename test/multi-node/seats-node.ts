// A node that believes everybody who he says he is, for a test that kills it: seats-node.ts <Redis> <lease>. It says its address, and runs.

import { createServer } from '../../src/server/index.ts'
import { redisStore } from '../../src/stores/redis.ts'

const [url, lease] = process.argv.slice(2)
const server = await createServer({
  store: redisStore({ url: url!, presenceLease: Number(lease) }),
  authenticate: token => (token === undefined ? null : { id: token }),
  logger: 'silent',
})
process.stdout.write(`${(await server.listen(0)).url}\n`)

// A node of its own process that shows people in documents and has a seat for each of them, for tests that stop or kill it: redis-node.ts <url> <lease> <doc> <peer>…

import type { AuthorId, DocId, PeerId } from '../../src/protocol/ids.ts'
import { redisStore } from '../../src/stores/redis.ts'

const [url, lease, doc, ...peers] = process.argv.slice(2) as [string, string, string, ...string[]]
const store = redisStore({ url, presenceLease: Number(lease) })
for (const peer of peers) {
  store.presence.show(doc as DocId, {
    peer: peer as PeerId,
    user: { id: `user of ${peer}` },
    author: `author of ${peer}` as AuthorId,
    version: 0,
    state: {},
  })
  Promise.resolve(store.seats.take('ann', peer, 1_000)).catch(() => {}) // it is said again
}
process.on('SIGTERM', () => void store.close().then(() => process.exit(0)))

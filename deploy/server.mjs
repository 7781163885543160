// A node in earnest, as compose.yaml runs it: documents in Redis, and nobody gets in without a token. Make it your own: what your
// application knows about its users goes into `authenticate` and `authorize`.
//
//   node deploy/server.mjs             serves
//   node deploy/server.mjs token ann   prints a token for the user ann, good for a day
//
// A page then says connect(url, { token: … }), with a token that your application made for who is signed in there.
// `inkwell serve` is not used here: it lets everybody in as a guest, and in production therefore does not start.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { redisStore } from 'inkwell/redis'
import { ConfigurationError, createServer } from 'inkwell/server'

const { REDIS_URL = '', TOKEN_SECRET = '', ORIGINS = '', HOST = '127.0.0.1', PORT = '3000' } = process.env

const missing = [
  ...(REDIS_URL === '' ? ['REDIS_URL: where Redis is, redis://user:password@host:6379'] : []),
  ...(TOKEN_SECRET.length < 32
    ? ['TOKEN_SECRET: what tokens are signed with, at least 32 characters, the same at every node']
    : []),
]
if (missing.length > 0) fail(missing)

const [command, user] = process.argv.slice(2)
if (command === 'token' && user !== undefined) console.log(tokenFor(user, 86_400))
else if (command === undefined) await serve()
else fail([`${command}: either nothing, or token <user>`])

async function serve() {
  const server = await createServer({
    store: redisStore(REDIS_URL),
    authenticate: token => userOf(token),
    // Polling is for networks that break WebSockets; the proxies beside this file keep such a line at one node.
    transports: ['websocket', 'polling'],
    // Pages of other hosts than this one, https://app.example.com,https://other.example.com
    ...(ORIGINS === '' ? {} : { origins: ORIGINS.split(',') }),
  }).catch(error => (error instanceof ConfigurationError ? fail(error.faults) : Promise.reject(error)))
  await server.listen(Number(PORT), HOST)
  // Hands its people over to the other nodes and ends; give it 30 s.
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => server.close())
}

/** `until.user.signature`, the user percent-encoded. */
function tokenFor(user, seconds) {
  const claim = `${Math.floor(Date.now() / 1000) + seconds}.${encodeURIComponent(user)}`
  return `${claim}.${signatureOf(claim)}`
}

function userOf(token) {
  const [, claim, until, user, signature] = /^((\d+)\.([^/]+))\.([\w-]{43})$/.exec(token ?? '') ?? []
  if (claim === undefined || !timingSafeEqual(Buffer.from(signature), Buffer.from(signatureOf(claim)))) return null
  return Number(until) * 1000 > Date.now() ? { id: decodeURIComponent(user) } : null
}

function signatureOf(claim) {
  return createHmac('sha256', TOKEN_SECRET).update(claim).digest('base64url')
}

function fail(faults) {
  for (const fault of faults) console.error(fault)
  process.exit(2)
}

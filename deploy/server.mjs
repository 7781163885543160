// A node in earnest, as compose.yaml runs it: documents in Redis, and nobody gets in without a token. Make it your own.
//
//   node deploy/server.mjs             serves
//   node deploy/server.mjs token ann   prints a token for the user ann, good for a day, to try it out
//
// A page then says connect(url, { token: … }), with a JSON Web Token that your application made for who is signed in there, signed with
// TOKEN_SECRET (HS256). Whoever has one may write everywhere here; for less see `documents` and `authorize`. Where this is all that you
// need, `inkwell serve --jwt-secret-file … --jwt-documents '*:write'` does the same.

import { createHmac } from 'node:crypto'
import { redisStore } from 'inkwell/redis'
import { ConfigurationError, createServer, jwt } from 'inkwell/server'

const {
  REDIS_URL = '',
  TOKEN_SECRET = '',
  ORIGINS = '',
  HOST = '127.0.0.1',
  PORT = '3000',
  INKWELL_TRUST_PROXY = '0',
} = process.env

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
    authenticate: jwt({ secret: TOKEN_SECRET, documents: { '*': 'write' } }),
    // Polling is for networks that break WebSockets; the proxies beside this file keep such a line at one node.
    transports: ['websocket', 'polling'],
    // The proxies beside this file say in X-Forwarded-For who calls: limits of strangers are then those of each address.
    trustProxy: Number(INKWELL_TRUST_PROXY),
    // Pages of other hosts than this one, https://app.example.com,https://other.example.com
    ...(ORIGINS === '' ? {} : { origins: ORIGINS.split(',') }),
  }).catch(error => (error instanceof ConfigurationError ? fail(error.faults) : Promise.reject(error)))
  await server.listen(Number(PORT), HOST)
  // Hands its people over to the other nodes and ends; give it 30 s. Asked again it waits for nobody any more.
  let asked = 0
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => (asked++ === 0 ? server.close() : server.hurry()))
}

function tokenFor(user, seconds) {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + seconds }
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${content}.${createHmac('sha256', TOKEN_SECRET).update(content).digest('base64url')}`
}

function fail(faults) {
  for (const fault of faults) console.error(fault)
  process.exit(2)
}

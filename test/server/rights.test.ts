// Who may do what, as a table: identity, right and action, before and after everything that can happen to a right; on one node, and on
// two over Redis, where the client is at the one and everything else happens at the other.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Refusal } from '../../src/protocol/errors.ts'
import type { DocId } from '../../src/protocol/ids.ts'
import type { ClientMessage, Joined, Right, ServerMessage, Welcome } from '../../src/protocol/messages.ts'
import { type Documents, embeddedStore, type InkwellServer, jwt, memoryStore, type Store } from '../../src/server/index.ts'
import { rightIn } from '../../src/server/patterns.ts'
import { redisStore } from '../../src/stores/redis.ts'
import { RedisServer } from '../redis.ts'
import { type Form, RawClient } from './raw.ts'
import { afterwards, serverWith } from './worlds.ts'

const secret = 'a secret of more than 32 bytes, which nobody knows'
const bytes = (text: string) => new TextEncoder().encode(text)

interface Claims {
  readonly user?: string
  readonly documents?: Documents
  readonly jti?: string
  /** Seconds from now. */
  readonly lives?: number
}

const tokenOf = ({ user = 'ann', documents = {}, jti = 'token-1', lives = 3_600 }: Claims, key = secret): Promise<string> =>
  new SignJWT({ inkwell: { documents } })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setJti(jti)
    .setExpirationTime(Math.floor(Date.now() / 1_000) + lives)
    .sign(bytes(key))

// ---- worlds

interface World {
  /** Where the client is, and where everything else happens; the same on one node. */
  readonly near: InkwellServer
  readonly far: InkwellServer
  readonly nearUrl: string
  readonly farUrl: string
  /** What the application's own `authorize` says instead of the token. */
  readonly instead: Map<string, Right>
}

const world = async (stores: readonly Store[], tokenGrace = 60_000): Promise<World> => {
  const instead = new Map<string, Right>()
  const servers = await Promise.all(
    stores.map(store =>
      serverWith({
        store,
        authenticate: jwt({ secret, clockTolerance: 0 }),
        authorize: ({ id, documents = {} }, doc) => instead.get(`${id} ${doc}`) ?? rightIn(documents, doc),
        limits: { tokenGrace },
      }),
    ),
  )
  const urls = await Promise.all(servers.map(async server => (await server.listen(0)).url))
  return { near: servers[0]!, far: servers.at(-1)!, nearUrl: urls[0]!, farUrl: urls.at(-1)!, instead }
}

let redis: RedisServer
beforeAll(async () => {
  redis = await RedisServer.start()
})
afterAll(() => redis.discard())

let rooms = 0
const kinds: readonly (readonly [string, () => readonly Store[]])[] = [
  ['one node, memory', () => [memoryStore()]],
  [
    'one node, embedded',
    () => {
      const path = mkdtempSync(join(tmpdir(), 'inkwell-rights-'))
      afterwards(() => rmSync(path, { recursive: true }))
      return [embeddedStore({ path })]
    },
  ],
  [
    'two nodes over Redis',
    () => {
      const prefix = `rights${rooms++}:`
      return [redisStore({ url: redis.url, prefix }), redisStore({ url: redis.url, prefix })]
    },
  ],
]

// ---- people

const doc = 'diary' as DocId

type Heard = (ServerMessage | Welcome) & { readonly kind: string }

/** A connection, and everything that it has heard. */
class Ear {
  readonly client: RawClient
  readonly heard: Heard[] = []
  /** The refusal of its hello, or that its line has ended. */
  end: string | null = null
  private readonly wakes = new Set<() => void>()

  constructor(url: string, token: string | undefined, form: Form = 'binary') {
    this.client = new RawClient(url, { form, ...(token === undefined ? {} : { token }) })
    const { socket } = this.client
    const ended = (how: string): void => {
      this.end ??= how
      this.wake()
    }
    socket.onAny((kind: string, content: object) => {
      this.heard.push({ ...content, kind } as Heard)
      this.wake()
    })
    socket.on('connect_error', error => ended((error as Error & { data: Refusal }).data.code))
    socket.on('disconnect', () => ended('no line'))
    afterwards(() => this.client.close())
  }

  private wake(): void {
    for (const wake of this.wakes) wake()
    this.wakes.clear()
  }

  /** The first thing that `look` finds, now or when more has happened here or at `other`. */
  async finds<T>(look: () => T | undefined, other?: Ear): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      await new Promise<void>(wake => {
        this.wakes.add(wake)
        other?.wakes.add(wake)
      })
    }
  }

  /** The first message of this kind after so many others. */
  async next<K extends Heard['kind']>(kind: K, since = 0): Promise<Extract<Heard, { kind: K }>> {
    return this.finds(() =>
      this.heard.slice(since).find((message): message is Extract<Heard, { kind: K }> => message.kind === kind),
    )
  }

  hasHeard(mark: string): boolean {
    return this.heard.some(message => JSON.stringify(message).includes(mark))
  }

  /** What became of something that is said now: `well` when the witness hears the mark, a refusal's code, or that there is no line. */
  async says(message: ClientMessage, mark: string, well: string, witness: Ear): Promise<string> {
    const since = this.heard.length
    if (this.end === null) this.client.send(message)
    const outcome = await this.finds(() => {
      if (witness.hasHeard(mark)) return well
      const no = this.heard.slice(since).find(heard => heard.kind === 'refused')
      return no?.kind === 'refused' ? no.refusal.code : (this.end ?? undefined)
    }, witness)
    if (outcome !== well) refusedMarks.push(mark)
    return outcome
  }
}

/** What nobody may ever hear. */
const refusedMarks: string[] = []
let marks = 0
let seq = 0

/** Somebody at the far node who writes, and hears everything. */
const witnessIn = async ({ farUrl }: World): Promise<Ear> => {
  refusedMarks.length = 0
  const witness = new Ear(farUrl, await tokenOf({ user: 'witness', documents: { '*': 'write' }, jti: 'witness' }))
  const { handle, content } = await joins(witness)
  witness.client.send({ kind: 'submit', handle, seq: 1, position: content.position, op: ['Dear diary'] })
  await witness.next('commits')
  return witness
}

const joins = async (ear: Ear): Promise<Joined> => {
  await ear.next('welcome')
  ear.client.send({ kind: 'join', doc, type: 'text', position: null })
  return ear.next('joined')
}

/** What came of each action: what it is for, a refusal's code, an HTTP status, or that there is no line any more. */
interface Outcome {
  readonly submit: string
  readonly present: string
  readonly signal: string
  /** What he hears of what others write, show and say. */
  readonly hears: 'all' | 'nothing'
  readonly document: number
  readonly commits: number
}

const asks = async ({ nearUrl }: World, token: string | undefined): Promise<Pick<Outcome, 'document' | 'commits'>> => {
  const status = async (path: string): Promise<number> => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
    return (await fetch(`${nearUrl}/v1/documents/${doc}${path}`, { headers })).status
  }
  return { document: await status(''), commits: await status('/commits?after=0') }
}

/** Tries everything on a line that is there or was, under a handle that it has or had. */
const tries = async (
  world: World,
  ear: Ear,
  token: string | undefined,
  { handle, content }: Joined,
  witness: Ear,
): Promise<Outcome> => {
  const mark = (what: string): string => `${what} ${marks++}!`
  const [submitted, presented, signalled] = [mark('submit'), mark('present'), mark('signal')]
  const { position } = content
  const did = {
    submit: await ear.says({ kind: 'submit', handle, seq: ++seq, position, op: [submitted] }, submitted, 'committed', witness),
    present: await ear.says({ kind: 'present', handle, version: 0, state: { mark: presented } }, presented, 'seen', witness),
    signal: await ear.says({ kind: 'signal', handle, name: 'mark', payload: signalled }, signalled, 'heard', witness),
  }
  return { ...did, hears: await hears(world, ear, did.present === 'seen', witness), ...(await asks(world, token)) }
}

/** The witness writes, shows and says something; somebody at the near node hears it, and so does everybody who is in. */
const hears = async (world: World, ear: Ear, isIn: boolean, witness: Ear): Promise<Outcome['hears']> => {
  const beside = new Ear(world.nearUrl, await tokenOf({ user: `beside ${marks++}`, documents: { '*': 'read' }, jti: 'beside' }))
  await joins(beside)
  const said = ['text', 'state', 'word'].map(what => `${what} ${marks++}!`) as [string, string, string]
  const { handle, content } = await witness.next('joined')
  witness.client.send({ kind: 'submit', handle, seq: ++witnessSeq, position: content.position, op: [said[0]] })
  witness.client.send({ kind: 'present', handle, version: 0, state: { mark: said[1] } })
  witness.client.send({ kind: 'signal', handle, name: 'mark', payload: said[2] })
  const all = (one: Ear) => one.finds(() => (said.every(mark => one.hasHeard(mark)) ? true : undefined))
  await all(beside)
  beside.client.close()
  if (isIn) await all(ear)
  else if (ear.end === null) {
    const since = ear.heard.length
    ear.client.send({ kind: 'probe' })
    await ear.finds(() => ear.end ?? ear.heard.slice(since).find(({ kind }) => kind === 'alive'))
  }
  return isIn ? 'all' : said.some(mark => ear.hasHeard(mark)) ? ('something' as never) : 'nothing'
}
let witnessSeq = 1

/** Comes anew: what is said to the hello, and what then can be done. */
const enters = async (world: World, token: string | undefined, witness: Ear, form: Form = 'binary'): Promise<unknown> => {
  const ear = new Ear(world.nearUrl, token, form)
  const hello = await ear.finds(() => ear.end ?? ear.heard[0]?.kind)
  if (hello !== 'welcome') return { hello, ...(await asks(world, token)) }
  ear.client.send({ kind: 'join', doc, type: 'text', position: null })
  const answer = await ear.finds(() => ear.heard.find(({ kind }) => kind === 'joined' || kind === 'refused'))
  if (answer.kind === 'joined') return { join: answer.right, ...(await tries(world, ear, token, answer, witness)) }
  // Without a handle of its own it tries that of others: the numbers are small and easily guessed.
  const theirs = await witness.next('joined')
  return { join: answer.kind === 'refused' && answer.refusal.code, ...(await tries(world, ear, token, theirs, witness)) }
}

/** Something that comes after everything that was tried before reaches the witness, who must not have heard what was refused. */
const nothingSlippedThrough = async (world: World, witness: Ear): Promise<void> => {
  const token = await tokenOf({ user: 'bystander', documents: { '*': 'write' }, jti: 'bystander' })
  expect(await enters(world, token, witness)).toEqual(writes)
  expect(refusedMarks.filter(mark => witness.hasHeard(mark))).toEqual([])
}

// ---- the table

const stillWrites: Outcome = {
  submit: 'committed',
  present: 'seen',
  signal: 'heard',
  hears: 'all',
  document: 200,
  commits: 200,
}
const onlyReads: Outcome = { ...stillWrites, submit: 'forbidden' }
const isOut: Outcome = {
  submit: 'not-joined',
  present: 'not-joined',
  signal: 'not-joined',
  hears: 'nothing',
  document: 403,
  commits: 403,
}
const noLine = { submit: 'no line', present: 'no line', signal: 'no line', hears: 'nothing' } as const

const writes = { join: 'write', ...stillWrites }
const reads = { join: 'read', ...onlyReads }
const outside = { join: 'forbidden', ...isOut }
const nobody = { hello: 'unauthenticated', document: 401, commits: 401 }

const all: Documents = { '*': 'write' }

describe.each(kinds)('[P6] %s: somebody who comes', (_, stores) => {
  it.each<readonly [string, () => Promise<string | undefined>, unknown]>([
    ['without a token', async () => undefined, nobody],
    ['with a token of somebody else’s making', () => tokenOf({ documents: all }, `not ${secret}`), nobody],
    ['with a token that has ended', () => tokenOf({ documents: all, lives: -1 }), nobody],
    ['with no right', () => tokenOf({}), outside],
    ['with no right here', () => tokenOf({ documents: { '*': 'write', diary: 'none' } }), outside],
    ['to read', () => tokenOf({ documents: { 'dia*': 'read', '*': 'none' } }), reads],
    ['to write', () => tokenOf({ documents: { diary: 'write' } }), writes],
  ])('%s', async (_who, token, expected) => {
    const place = await world(stores())
    const witness = await witnessIn(place)
    for (const form of ['binary', 'json'] as const) expect(await enters(place, await token(), witness, form)).toEqual(expected)
    await nothingSlippedThrough(place, witness)
  })
})

/** What can happen to somebody who is in, writing: how it comes about, and what he is told. */
interface Event {
  readonly what: string
  readonly grace?: number
  readonly happens: (world: World, ear: Ear) => unknown
  readonly told: (ear: Ear) => Promise<unknown>
  /** What he can do on the line that he has, */
  readonly still: Outcome
  /** and when he comes anew with the same token. */
  readonly anew: unknown
  /** Whether the same token still opens other documents. */
  readonly elsewhere: string
}

/** A token that ends in a moment, brought in band: the line was made with one that lives. On its way it may have ended already. */
const ends = async (ear: Ear): Promise<void> => {
  for (;;) {
    const since = ear.heard.length
    ear.client.send({ kind: 'authenticate', token: await tokenOf({ documents: all, jti: 'short', lives: 2 }) })
    const answer = await ear.finds(() =>
      ear.heard.slice(since).find(({ kind }) => kind === 'authenticated' || kind === 'refused'),
    )
    if (answer.kind === 'authenticated') return
  }
}

const told = {
  read: async (ear: Ear) => expect((await ear.next('right')).right).toBe('read'),
  left: async (ear: Ear) => expect((await ear.next('left')).refusal).toMatchObject({ code: 'forbidden', advice: 'stop' }),
  refused: (code: string) => async (ear: Ear) => expect((await ear.next('refused')).refusal.code).toBe(code),
  dismissed: (code: string) => async (ear: Ear) => {
    expect((await ear.next('refused')).refusal.code).toBe(code)
    await ear.client.down
  },
}

const events: readonly Event[] = [
  {
    what: 'his token ends, and the grace is not over',
    happens: (_, ear) => ends(ear),
    told: told.refused('unauthenticated'),
    still: stillWrites,
    anew: writes, // with the token that lives
    elsewhere: 'write',
  },
  {
    what: 'his token ends, and the grace is over',
    grace: 0,
    happens: (_, ear) => ends(ear),
    told: told.dismissed('unauthenticated'),
    still: { ...stillWrites, ...noLine },
    anew: writes,
    elsewhere: 'write',
  },
  {
    what: 'he is revoked',
    happens: ({ far }) => far.revoke({ user: 'ann' }),
    told: told.dismissed('revoked'),
    still: { ...noLine, document: 403, commits: 403 },
    anew: { hello: 'revoked', document: 403, commits: 403 },
    elsewhere: 'revoked',
  },
  {
    what: 'his token is revoked',
    happens: ({ far }) => far.revoke({ token: 'token-1' }),
    told: told.dismissed('unauthenticated'),
    still: { ...noLine, document: 401, commits: 401 },
    anew: nobody,
    elsewhere: 'unauthenticated',
  },
  {
    what: 'his token is revoked in the document, and he in another',
    happens: ({ far }) =>
      far.revoke({ user: 'ann', document: 'other' }).then(() => far.revoke({ token: 'token-1', document: doc })),
    told: told.left,
    still: isOut,
    anew: outside,
    elsewhere: 'forbidden',
  },
  {
    what: 'he is revoked in the document',
    happens: ({ far }) => far.revoke({ user: 'ann', document: doc }),
    told: told.left,
    still: isOut,
    anew: outside,
    elsewhere: 'write',
  },
  {
    what: 'he may only read any more',
    happens: ({ far }) => far.revoke({ user: 'ann', leaves: 'read' }),
    told: told.read,
    still: onlyReads,
    anew: reads,
    elsewhere: 'read',
  },
  {
    what: 'with his token one may only read any more',
    happens: ({ far }) => far.revoke({ token: 'token-1', leaves: 'read' }),
    told: told.read,
    still: onlyReads,
    anew: reads,
    elsewhere: 'read',
  },
  {
    what: 'he may only read in the document any more',
    happens: ({ far }) => far.revoke({ user: 'ann', document: doc, leaves: 'read' }),
    told: told.read,
    still: onlyReads,
    anew: reads,
    elsewhere: 'write',
  },
  {
    what: 'authorize lets him only read any more, and is asked again about him',
    happens: ({ far, instead }) => {
      instead.set(`ann ${doc}`, 'read')
      return far.recheck({ user: 'ann' })
    },
    told: told.read,
    still: onlyReads,
    anew: reads,
    elsewhere: 'write',
  },
  {
    what: 'authorize keeps him out, and is asked again about the document',
    happens: ({ far, instead }) => {
      instead.set(`ann ${doc}`, 'none')
      return far.recheck({ document: doc })
    },
    told: told.left,
    still: isOut,
    anew: outside,
    elsewhere: 'write',
  },
  {
    what: 'he brings a token with fewer rights',
    happens: async (_, { client }) =>
      client.send({ kind: 'authenticate', token: await tokenOf({ documents: { '*': 'read' }, jti: 'other' }) }),
    told: told.read,
    still: onlyReads,
    anew: writes,
    elsewhere: 'write',
  },
]

describe.each(kinds)('[P6] %s: somebody who is in, and', (_, stores) => {
  it.each(events.map(event => [event.what, event] as const))(
    '%s',
    async (_what, { grace, happens, told, still, anew, elsewhere }) => {
      const place = await world(stores(), grace)
      const witness = await witnessIn(place)
      const token = await tokenOf({ documents: all })
      const ear = new Ear(place.nearUrl, token)
      const joined = await joins(ear)
      expect(await tries(place, ear, token, joined, witness)).toEqual(stillWrites)
      await happens(place, ear)
      await told(ear)
      expect(await tries(place, ear, token, joined, witness)).toEqual(still)
      expect(await enters(place, token, witness)).toEqual(anew)
      const other = new Ear(place.nearUrl, token)
      other.client.send({ kind: 'join', doc: 'other' as DocId, type: 'text', position: null })
      const answer = await other.finds(() => other.end ?? other.heard.find(({ kind }) => kind === 'joined' || kind === 'refused'))
      expect(
        typeof answer === 'string'
          ? answer
          : answer.kind === 'joined'
            ? answer.right
            : answer.kind === 'refused' && answer.refusal.code,
      ).toBe(elsewhere)
      await nothingSlippedThrough(place, witness)
    },
  )
})

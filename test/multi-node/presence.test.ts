// People and what they say to each other, over three nodes on one Redis.

import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { connect, type Signal, type TextDocument } from '../../src/client/index.ts'
import type { Joined } from '../../src/protocol/messages.ts'
import { InkwellNode } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { Roster } from '../roster.ts'
import { RawClient, type RawOptions } from '../server/raw.ts'

const patience = { timeout: 60_000, interval: 20 }

let redis: RedisServer
let nodes: readonly InkwellNode[]
beforeAll(async () => {
  redis = await RedisServer.start({ settings: ['--appendonly', 'yes'] })
  nodes = await Promise.all([1, 2, 3].map(() => InkwellNode.start({ store: redis.url })))
})
afterAll(async () => {
  await Promise.all((nodes ?? []).map(node => node.kill()))
  await redis?.discard()
})

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const opens = async (node: number, doc: string): Promise<TextDocument> => {
  const client = connect(nodes[node]!.url)
  ends.push(() => client.close())
  return client.open(doc)
}

/** Somebody who speaks messages, and keeps books of who is here. */
const joins = async (node: number, doc: string, options: RawOptions = {}) => {
  const client = new RawClient(nodes[node]!.url, options)
  ends.push(() => client.close())
  const roster = new Roster()
  client.socket.onAny((kind, payload) => roster.hears({ ...payload, kind }))
  const joined: Joined = await client.join(doc)
  return { client, roster, joined, handle: joined.handle, peer: joined.peer }
}

it('[P4] [W36] a signal reaches everybody else on every node, in both forms of the protocol, whoever may read', async () => {
  const [ann, ben] = [await opens(0, 'signals'), await opens(1, 'signals')]
  const json = await joins(2, 'signals', { form: 'json' })
  const heard: Signal[][] = [ann, ben].map(doc => {
    const signals: Signal[] = []
    doc.on('signal', signal => signals.push(signal))
    return signals
  })
  await vi.waitFor(() => expect(json.roster.people).toBe(3), patience)
  expect(ann.signal('wave', { to: ['all', 'ä🖋'] })).toBe(true)
  const wave = await json.client.next('signalled')
  expect(wave).toMatchObject({ name: 'wave', payload: { to: ['all', 'ä🖋'] }, user: { id: `guest-${ann.author}` } })
  json.client.emit('signal', {
    handle: json.handle,
    name: 'lie',
    payload: null,
    peer: wave.peer,
    user: wave.user, // what no signal has is not looked at
  })
  await vi.waitFor(
    () => expect(heard.map(signals => signals.map(({ name }) => name))).toEqual([['lie'], ['wave', 'lie']]),
    patience,
  )
  expect(heard[1]![1]).toMatchObject({ peer: json.peer, payload: null })
  expect(heard[1]![1]!.user).not.toEqual(wave.user)
})

it('[W36] [P6] nobody is somebody else by saying so in a presence state', async () => {
  const [ann, eve] = [await opens(0, 'names'), await joins(1, 'names', { form: 'json' })]
  const state = { user: { id: 'guest-boss' }, author: ann.author, peer: 'boss', cursor: null }
  eve.client.emit('present', {
    handle: eve.handle,
    version: 0,
    state,
    user: { id: 'guest-boss' },
    author: ann.author,
    peer: 'boss',
  })
  await vi.waitFor(() => expect(ann.presence.peers.map(({ state }) => state)).toEqual([state]), patience)
  const [seen] = ann.presence.peers
  expect([seen!.peer, seen!.user.id]).toEqual([eve.peer, `guest-${seen!.author}`])
  expect(seen!.author).not.toBe(ann.author)
})

it('[P4] [P5] [P7] of a crowd everybody knows the number and the active ones; those of a killed node are gone, once', async () => {
  const ann = await opens(0, 'crowd')
  const crowd = await Promise.all(Array.from({ length: 129 }, (_, i) => joins(i % 3, 'crowd')))
  const rosters = crowd.map(({ roster }) => roster)
  const everybody = (of: readonly Roster[], people: number, shown: number) =>
    vi.waitFor(() => {
      expect(new Set(of.map(roster => roster.people))).toEqual(new Set([people]))
      expect(new Set(of.map(roster => roster.peers.size))).toEqual(new Set([shown]))
      expect(ann.presence.count).toBe(people)
    }, patience)
  await everybody(rosters, 130, 100)

  // Who has just come and does nothing costs a number. Whoever moves is seen, once somebody has been silent for long enough.
  const hidden = crowd.find(({ peer }) => rosters.some(({ peers }) => !peers.has(peer)))!
  await vi.waitFor(
    () => {
      hidden.client.send({ kind: 'present', handle: hidden.handle, version: 0, state: { at: Date.now() } })
      expect(rosters.filter(({ peers }) => peers.has(hidden.peer)).length).toBe(rosters.length)
      expect(ann.presence.peers.some(({ peer }) => peer === hidden.peer)).toBe(true)
    },
    { ...patience, interval: 200 },
  )
  await everybody(rosters, 130, 100)

  const before = rosters.map(({ gone }) => gone.length)
  await nodes[2]!.kill()
  const [alive, dead] = [crowd.filter((_, i) => i % 3 < 2), crowd.filter((_, i) => i % 3 === 2)]
  const left = alive.map(({ roster }) => roster)
  await everybody(left, 87, 87)
  const lost = new Set<string>(dead.map(({ peer }) => peer))
  for (const [i, { roster }] of crowd.entries()) {
    if (i % 3 === 2) continue
    const told = roster.gone.slice(before[i])
    expect(new Set(told).size, 'told once').toBe(told.length)
    expect(
      told.every(peer => lost.has(peer)),
      'and of the dead only',
    ).toBe(true)
    expect(roster.names.some(peer => lost.has(peer))).toBe(false)
  }
  expect(ann.presence.peers).toHaveLength(86)
})

// Twenty people type while their server is stopped, killed and frozen, and while the network does to their lines what networks do.
// The server is a process of its own, with its documents on disk; two of them, over Redis, when one is drained to the other.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { InkwellNode } from '../nodes.ts'
import { RedisServer } from '../redis.ts'
import { afterwards } from '../server/worlds.ts'
import { Tunnel } from '../tunnel.ts'
import { hurried, Typists } from './typists.ts'

let node: InkwellNode
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkwell-bad-days-'))
  node = await InkwellNode.start({ store: `embedded:${join(folder, 'data')}` })
})
afterAll(async () => {
  node.go()
  await node.kill()
  rmSync(folder, { recursive: true, force: true })
})

let seed = Number(process.env.SEED ?? 1)

/** Twenty people at their keys, in a document of their own; all of what they do goes through a tunnel, to `at()`. */
const day = async (at: () => InkwellNode = () => node) => {
  const tunnel = await Tunnel.to(() => at().port)
  afterwards(() => tunnel.discard())
  const typists = await Typists.at(tunnel.url, 20, seed++, { clock: hurried, random: () => Math.random() / 4 })
  typists.type()
  await typists.letters(200)
  return { tunnel, typists }
}

describe(`[P2] [P3] twenty people type, SEED=${seed}, and`, () => {
  it('the server is stopped and started again', async () => {
    const { typists } = await day()
    expect(await node.leave()).toBe(0)
    await typists.all('offline')
    await typists.letters(200)
    await node.start()
    await typists.all('online')
    await typists.letters(200)
    expect(await typists.account(node.url)).toEqual([])
  })

  it('the server is killed, and again soon after it has come back', async () => {
    const { typists } = await day()
    for (const back of [1, 20]) {
      await node.kill()
      await typists.letters(100)
      await node.start()
      await typists.online(back)
    }
    await typists.all('online')
    expect(await typists.account(node.url)).toEqual([])
  })

  it('their server is drained to another one, which in its turn is drained to the first when that is back', async () => {
    const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    afterwards(() => redis.discard())
    const nodes = [await InkwellNode.start({ store: redis.url }), await InkwellNode.start({ store: redis.url })] as const
    for (const each of nodes) afterwards(() => each.kill())
    let to: 0 | 1 = 0
    const { typists } = await day(() => nodes[to])
    for (const from of [0, 1] as const) {
      to = from === 0 ? 1 : 0
      expect(await nodes[from].leave()).toBe(0)
      await typists.letters(200)
      await nodes[from].start()
    }
    await typists.all('online')
    await typists.letters(200)
    expect(await typists.account(nodes[to].url)).toEqual([])
  })

  it('the server is frozen until all have given it up, and thaws', async () => {
    const { typists } = await day()
    node.stop()
    await typists.all('offline')
    await typists.letters(200)
    node.go()
    await typists.all('online')
    await typists.letters(200)
    expect(await typists.account(node.url)).toEqual([])
  })

  it('their lines are reset, again and again', async () => {
    const { tunnel, typists } = await day()
    for (let i = 0; i < 8; i++) {
      tunnel.reset()
      await typists.letters(60)
    }
    await typists.all('online')
    expect(await typists.account(node.url)).toEqual([])
  })

  it('their lines lead nowhere, old ones and new ones, and nobody says so', async () => {
    const { tunnel, typists } = await day()
    tunnel.swallow()
    await typists.all('offline')
    await typists.letters(200)
    tunnel.spare()
    await typists.all('online')
    await typists.letters(200)
    expect(await typists.account(node.url)).toEqual([])
  })

  it.each(['near', 'far'] as const)('their lines are half closed: %s end', async end => {
    const { tunnel, typists } = await day()
    for (let i = 0; i < 3; i++) {
      const before = tunnel.opened
      tunnel.halfClose(end)
      while (tunnel.opened < before + 20) await new Promise(resolve => setTimeout(resolve, 5))
      await typists.letters(20)
    }
    await typists.all('online')
    expect(await typists.account(node.url)).toEqual([])
  })
})

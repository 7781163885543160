// An operator has one of two nodes hand over its clients while hundreds of people type.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterEach, expect, it, vi } from 'vitest'
import { Balancer } from '../balancer.ts'
import { InkwellNode, Run } from '../nodes.ts'
import { RedisServer } from '../redis.ts'

vi.setConfig({ testTimeout: 300_000 })

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const [people, processes, rooms] = [500, 2, 100]

interface Told {
  readonly room: string
  readonly words: readonly string[]
  readonly bothered: readonly string[]
  readonly offline: number
  readonly status: string
}

/** Some of the people. */
class Crowd {
  readonly #child: ChildProcess
  readonly #said = new Map<string, unknown>()
  #hear = (): void => {}

  constructor(url: string, from: number, count: number) {
    const script = new URL('typing-child.ts', import.meta.url).pathname
    this.#child = spawn(process.execPath, ['--import', 'tsx', script, url, String(from), String(count), String(rooms)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    ends.push(() => this.#child.kill('SIGKILL'))
    createInterface(this.#child.stdout!).on('line', line => {
      for (const [what, said] of Object.entries(JSON.parse(line) as object)) this.#said.set(what, said)
      this.#hear()
    })
  }

  async says<T>(what: string): Promise<T> {
    while (!this.#said.has(what)) {
      if (this.#child.exitCode !== null) throw new Error(`they are gone, with ${this.#child.exitCode}`)
      await new Promise<void>(resolve => {
        this.#hear = resolve
        this.#child.once('exit', () => resolve())
      })
    }
    return this.#said.get(what) as T
  }

  stop(): Promise<readonly Told[]> {
    this.#child.stdin!.write('stop\n')
    return this.says('told')
  }
}

const inkwell = async (...args: readonly string[]): Promise<Run> => {
  const run = new Run(args)
  expect([await run.ended, run.err]).toEqual([0, expect.anything()])
  return run
}

it('[P2] [P3] [P4] inkwell drain empties one of two nodes under 500 who type: no edit is lost or doubled, nobody is bothered, and it is done in time', async () => {
  const redis = await RedisServer.start({ settings: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  ends.push(() => redis.discard())
  const nodes = (await Promise.all([0, 1].map(() => InkwellNode.start({ store: redis.url })))) as [InkwellNode, InkwellNode]
  for (const node of nodes) ends.push(() => node.kill())
  const balancer = await Balancer.checking(nodes.map(({ port }) => port))
  ends.push(() => balancer.discard())
  const share = people / processes
  const crowds = Array.from({ length: processes }, (_, i) => new Crowd(balancer.url, i * share, share))
  for (const crowd of crowds) expect(await crowd.says('sitting')).toBe(share)

  const list = async () =>
    (await inkwell('nodes', '--json', '--store', redis.url)).out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { node: string; name: string; state: string; connections: number })
  const before = await list()
  expect(before.map(({ state }) => state)).toEqual(['serving', 'serving'])
  expect(before.reduce((sum, { connections }) => sum + connections, 0)).toBe(people)
  const leaving = before.find(({ name }) => name.endsWith(`:${nodes[0].port}`))!
  expect(leaving.connections).toBeGreaterThan(people / 10)

  const drained = await inkwell('drain', leaving.name, '--json', '--store', redis.url, '--wait', '25s') // less than an orchestrator gives
  expect(JSON.parse(drained.out.trim().split('\n').at(-1)!)).toEqual({ node: leaving.node, connections: 0 })
  expect((await fetch(`${nodes[0].url}/readyz`)).status).toBe(503)
  expect((await list()).map(({ node, state, connections }) => [node === leaving.node, state, connections])).toEqual(
    expect.arrayContaining([
      [true, 'draining', 0],
      [false, 'serving', people],
    ]),
  )
  expect(await nodes[0].leave()).toBe(0)

  const told = (await Promise.all(crowds.map(crowd => crowd.stop()))).flat()
  expect(told).toHaveLength(people)
  expect(told.flatMap(({ bothered }) => bothered)).toEqual([])
  expect(new Set(told.map(({ status }) => status))).toEqual(new Set(['saved']))
  expect(told.filter(({ offline }) => offline > 0).length).toBeLessThan(people / 4) // half of them moved; the new line comes before the old one goes
  const words = new Map<string, string[]>()
  for (const each of told) words.set(each.room, [...(words.get(each.room) ?? []), ...each.words])
  for (const [room, typed] of words) {
    const { text } = (await (await fetch(`${nodes[1].url}/v1/documents/${room}`)).json()) as { text: string }
    expect(text.trim().split(' ').sort()).toEqual(typed.map(word => word.trim()).sort())
  }
  expect([...words.values()].flat().length).toBeGreaterThan(people)
})

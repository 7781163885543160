// Frames for very many readers: others are served in between, and nobody's order suffers.

import { expect, it, vi } from 'vitest'
import { afterwards, opens, serverWith } from './worlds.ts'

it('[P8] a frame for three hundred readers lets another document go in between; each reader gets every frame once, in order', async () => {
  const server = await serverWith({ limits: { beat: 3_600_000 } })
  const { url } = await server.listen(0)
  const readers = await Promise.all(Array.from({ length: 300 }, () => opens(url, 'big')))
  const [ann, ben, eve] = [await opens(url, 'big'), await opens(url, 'small'), await opens(url, 'small')]
  const arrivals: string[] = []
  const heard = readers.map(({ client }) => {
    const froms: [from: number, commits: number][] = []
    client.socket.onAny((kind, { from, commits }) => {
      if (kind !== 'commits') return
      arrivals.push('big')
      froms.push([from, commits.length])
    })
    return froms
  })
  eve.client.socket.onAny(kind => kind === 'commits' && arrivals.push('small'))

  // Time passes quicker for whoever looks at the clock often, as the one does who writes to many.
  const now = performance.now.bind(performance)
  let looks = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 2 * looks++)
  afterwards(() => vi.restoreAllMocks())

  const typed = ann.types('a', 0)
  const beside = ben.types('b', 0)
  await Promise.all([typed, beside])
  for (let i = 0; i < 4; i++) await ann.types('a', 0)
  await Promise.all([...readers.map(reader => reader.reaching(5)), eve.reaching(1)])
  expect(arrivals.indexOf('small'), 'many had their frame after the other document').toBeLessThan(250)
  for (const frames of heard) {
    const ends = frames.map(([from, commits]) => from + commits)
    expect(
      frames.map(([from]) => from),
      'each begins where the one before it ended',
    ).toEqual([0, ...ends.slice(0, -1)])
    expect(ends.at(-1)).toBe(5)
  }
})

import { expect, it } from 'vitest'
import { afterwards } from '../../src/server/afterwards.ts'

it('[P8] what happens is heard when the work that it happened in is done, in its order, once', async () => {
  const heard: number[] = []
  const say = afterwards<number>(
    item => {
      heard.push(item)
      if (item === 2) say(3)
    },
    () => {},
  )
  say(1)
  say(2)
  expect(heard).toEqual([])
  await Promise.resolve()
  expect(heard).toEqual([1, 2])
  await Promise.resolve()
  expect(heard).toEqual([1, 2, 3])
})

it('[P7] a hearing that fails is told, and costs nobody the next one', async () => {
  const heard: number[] = []
  const failures: unknown[] = []
  const say = afterwards<number>(
    item => {
      if (item === 1) throw new Error('no room')
      heard.push(item)
    },
    error => failures.push(error),
  )
  say(1)
  say(2)
  await Promise.resolve()
  expect(heard).toEqual([2])
  expect(failures).toEqual([new Error('no room')])
})

// What every storage of a client must keep, run against each of them: in files, in a browser, and the one in the hand of tests.
// Invariant: nothing but the port is used, and nothing that only one surrounding has, so that a page can run the laws as well.

import type { Box, ClientStorage } from '../../src/client/storage.ts'

export interface StorageLaw {
  readonly title: string
  /** `page` opens what is kept at one place, each time as another page or process would. */
  check(page: () => Promise<ClientStorage>): Promise<void>
}

const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}

const same = (found: unknown, expected: unknown, what: string): void => {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)]
  if (left !== right) throw new Error(`${what}: ${left?.slice(0, 300)} is not ${right?.slice(0, 300)}`)
}

const held = async (storage: ClientStorage, name: string): Promise<Box> => {
  const box = await storage.hold(name)
  if (box === null) throw new Error(`${name} could not be held`)
  return box
}

const under = async (storage: ClientStorage, box: string, prefix = ''): Promise<[string, string][]> =>
  [...(await storage.read(box, prefix))].sort(([a], [b]) => (a < b ? -1 : 1))

export const storageLaws: readonly StorageLaw[] = [
  {
    title: 'what was written is there when it is opened again, and reading by a prefix gives what is under it and nothing else',
    async check(page) {
      const first = await page()
      const box = await held(first, 'one')
      await box.write([
        ['doc/a', '1'],
        ['doc/a/b', '2'],
        ['doc', '3'],
        ['doc0', '4'],
        ['é/😀', 'ü\n"\\\u2028'],
        ['empty', ''],
      ])
      await box.write([
        ['doc', null],
        ['doc/a', '5'],
        ['never there', null],
      ])
      await first.close()
      const second = await page()
      same(await under(second, 'one', 'doc/'), [['doc/a', '5'], ['doc/a/b', '2']], 'under doc/') // biome-ignore format: a table
      same(await under(second, 'one', 'é'), [['é/😀', 'ü\n"\\\u2028']], 'an odd name')
      same((await under(second, 'one')).length, 5, 'all records')
      same(await under(second, 'two'), [], 'a box that is not there')
      same(await second.boxes(), ['one'], 'boxes')
      await second.close()
    },
  },
  {
    title: 'a box has one holder, until it lets go or closes',
    async check(page) {
      const [first, second] = [await page(), await page()]
      const box = await held(first, 'one')
      await box.write([['a', '1']])
      must((await second.hold('one')) === null, 'two pages hold one box')
      must((await first.hold('one')) === null, 'one page holds a box twice')
      same(await under(second, 'one'), [['a', '1']], 'what somebody else holds')
      await box.letGo(false)
      const again = await held(second, 'one')
      await again.write([['b', '2']])
      same(await under(first, 'one'), [['a', '1'], ['b', '2']], 'what the next holder has written') // biome-ignore format: a table
      await second.close()
      const third = await held(first, 'one')
      await third.letGo(false)
      await first.close()
    },
  },
  {
    title: 'a box that is waited for comes to whoever waits when its holder lets go, and not once it has waited long enough',
    async check(page) {
      const [first, second] = [await page(), await page()]
      const box = await held(first, 'one')
      await box.write([['a', '1']])
      must((await second.hold('one', 50)) === null, 'whoever waited long enough had the box')
      const waiting = second.hold('one', 60_000)
      must((await Promise.race([waiting, second.read('one', '')])) !== null, 'it did not wait')
      await box.letGo(false)
      const again = await waiting
      if (again === null) throw new Error('it was let go, and whoever waited does not have it')
      await again.write([['b', '2']])
      must((await first.hold('one')) === null, 'two pages hold one box')
      await Promise.all([first.close(), second.close()])
    },
  },
  {
    title: 'of many that reach for a box at the same time, one has it',
    async check(page) {
      const pages = await Promise.all(Array.from({ length: 8 }, () => page()))
      const first = await held(pages[0]!, 'one')
      await first.write([['a', '1']])
      await first.letGo(false)
      const found = await Promise.all(pages.map(each => each.hold('one')))
      same(found.filter(box => box !== null).length, 1, 'holders')
      await Promise.all(pages.map(each => each.close()))
    },
  },
  {
    title: 'a box that is let go emptied is no more, and the others are as they were',
    async check(page) {
      const storage = await page()
      const [one, two] = [await held(storage, 'one'), await held(storage, 'two')]
      await one.write([['a', '1']])
      await two.write([['b', '2']])
      await one.letGo(true)
      same(await storage.boxes(), ['two'], 'boxes')
      same(await under(storage, 'one'), [], 'records of what is gone')
      const again = await held(storage, 'one')
      await again.write([['c', '3']])
      same(await under(storage, 'one'), [['c', '3']], 'records of the new one')
      await storage.close()
    },
  },
  {
    title: 'writes come one after the other, also those that were begun before the one before them was over',
    async check(page) {
      const storage = await page()
      const box = await held(storage, 'one')
      const writes: Promise<void>[] = []
      for (let i = 1; i <= 200; i++) {
        writes.push(
          box.write([
            ['last', String(i)],
            [`n${i}`, 'x'.repeat(i)],
            [`n${i - 1}`, null],
          ]),
        )
      }
      await Promise.all(writes)
      await storage.close()
      const again = await page()
      same(await under(again, 'one'), [['last', '200'], ['n200', 'x'.repeat(200)]], 'records') // biome-ignore format: a table
      await again.close()
    },
  },
  {
    title: 'records of megabytes are kept as they are',
    async check(page) {
      const storage = await page()
      const box = await held(storage, 'one')
      const long = 'a longer text, with ünïcödé 😀 '.repeat(70_000)
      await box.write([['long', long]])
      for (let i = 0; i < 20; i++) await box.write([['short', String(i)]])
      await storage.close()
      const again = await page()
      must((await again.read('one', 'long')).get('long') === long, 'the text is another one')
      same(await under(again, 'one', 'short'), [['short', '19']], 'the short one')
      await again.close()
    },
  },
]

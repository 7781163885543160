// Those who go on typing while the server is tried, in a process of their own: each edit is waited for, and timed.
// Invariant: whatever one of them typed is in the document, once and in its order, but for what has scrolled out at its head: the text stays
// of one length, so that what it takes to open it is the same in the first minute and in the last.

import { setTimeout as sleep } from 'node:timers/promises'
import { Pen } from '../server/raw.ts'
import type { Typed } from './fuzz.ts'

const pause = 20 // ms between two letters of one of them
const longest = 8_000 // letters, of less than a minute; whoever types one more takes the first one out

const [url, count] = [process.argv[2]!, Number(process.argv[3])]
const pens = await Promise.all(
  Array.from({ length: count }, (_, i) =>
    Pen.opens(url, 'quiet', { token: `neighbour:${i}`, form: i % 2 === 0 ? 'binary' : 'json' }),
  ),
)
const begun = pens[0]!.shows
const own = pens.map(() => '')
const firstSign = 0x4e00
const each = 100 // signs of his own that each of them writes
const writerOf = (sign: string): number => Math.floor((sign.charCodeAt(0) - firstSign) / each)
let times: number[] = []
let working = true
let lost: string | null = null

const types = async (pen: Pen, i: number): Promise<void> => {
  for (let n = 0; working; n++) {
    const letter = String.fromCharCode(firstSign + each * i + (n % each))
    const since = performance.now()
    await (pen.length < longest ? pen.types(letter) : pen.edits([-1, pen.length - 1, letter]))
    times.push(performance.now() - since)
    own[i] += letter
    await sleep(pause)
  }
}
/** Resolves when somebody cannot go on. */
const stopped = Promise.race(
  pens.flatMap(({ client }) => [
    client.down.then(why => `a neighbour lost the line: ${why}`),
    client.next('refused').then(({ refusal }) => `a neighbour was refused: ${refusal.code} ${refusal.detail ?? ''}`),
  ]),
).then(why => {
  if (working) lost = why
})
const typing = Promise.race([Promise.all(pens.map(types)), stopped])

const faultIn = (): string | null => {
  const signs = [...pens[0]!.shows]
  let left = 0
  for (const [i, typed] of own.entries()) {
    const mine = signs.filter(sign => writerOf(sign) === i).join('')
    left += mine.length
    if (!typed.endsWith(mine))
      return `of what neighbour ${i} typed there is something else than its end: ${mine.length} of ${typed.length}`
  }
  // Two who take out the same first letter take out one: the text may have become longer, never shorter.
  const all = own.join('').length
  if (left < Math.min(all, longest)) return `${left} letters of the neighbours are there of ${all}`
  const others = signs.filter(sign => own[writerOf(sign)] === undefined).join('')
  return begun.endsWith(others) ? null : 'there is more in the document of the neighbours than they typed'
}

process.on('message', async (ask: string) => {
  if (ask === 'times') {
    process.send!({ times, lost } satisfies Typed)
    times = []
    return
  }
  if (ask === 'text') {
    working = false
    await typing
    // The last letters of each are shown to the first as well, in the end.
    if (lost === null) await pens[0]!.reaching(Math.max(...pens.map(({ at }) => at.version)))
    process.send!({ fault: lost ?? faultIn(), text: pens[0]!.shows })
    return
  }
  for (const pen of pens) pen.client.close()
  process.disconnect()
})
process.send!({})

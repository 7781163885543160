// Those who go on typing while the server is tried, in a process of their own: each edit is waited for, and timed.
// Invariant: whatever one of them typed is in the document, once and in its order.

import { setTimeout as sleep } from 'node:timers/promises'
import { Pen } from '../server/raw.ts'
import type { Typed } from './fuzz.ts'

const pause = 20 // ms between two letters of one of them

const [url, count] = [process.argv[2]!, Number(process.argv[3])]
const pens = await Promise.all(
  Array.from({ length: count }, (_, i) =>
    Pen.opens(url, 'quiet', { token: `neighbour:${i}`, form: i % 2 === 0 ? 'binary' : 'json' }),
  ),
)
const before = pens[0]!.shows.length
const own = pens.map(() => '')
const letters = pens.map((_, i) => String.fromCharCode(0x4e00 + 100 * i)) // each of them writes signs of his own
let times: number[] = []
let working = true
let lost: string | null = null

const types = async (pen: Pen, i: number): Promise<void> => {
  for (let n = 0; working; n++) {
    const letter = String.fromCharCode(letters[i]!.charCodeAt(0) + (n % 100))
    const since = performance.now()
    await pen.types(letter)
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
  const shown = pens[0]!.shows
  for (const [i, typed] of own.entries()) {
    const first = letters[i]!.charCodeAt(0)
    const mine = [...shown].filter(sign => sign.charCodeAt(0) >= first && sign.charCodeAt(0) < first + 100).join('')
    if (mine !== typed) return `neighbour ${i} typed ${typed.length} letters and ${mine.length} are there`
  }
  return shown.length - before === own.join('').length ? null : 'there is more in the document of the neighbours than they typed'
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

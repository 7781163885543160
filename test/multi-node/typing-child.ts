// People who type, in a process of their own: `typing-child.ts <url> <first number> <how many> <documents>`.
// Invariant: each of them writes words that nobody else writes, so what is lost or doubled shows; it speaks in lines of JSON.

import { createInterface } from 'node:readline'
import { connect } from '../../src/client/index.ts'
import { seeded } from '../../src/testing/index.ts'

const [url, from, count, documents] = [process.argv[2]!, ...process.argv.slice(3).map(Number)] as [string, number, number, number]
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`)
const everyMs = 4_000 // between two words of one of them

const sitsDown = async (number: number) => {
  const client = connect(url)
  const doc = await client.open(`room-${number % documents}`)
  const [words, bothered]: [string[], string[]] = [[], []]
  let offline = 0
  const told = ({ advice, message }: { readonly advice: string; readonly message: string }): void => {
    if (advice !== 'retry' && advice !== 'rejoin') bothered.push(message) // the rest is tried again by itself
  }
  client.on('error', told)
  client.on('status', status => {
    if (status === 'offline') offline++
  })
  doc.on('error', told)
  doc.on('draft', ({ cause, text }) => bothered.push(`${cause}: ${text}`))
  const type = (): void => {
    const word = `${number}.${words.length} `
    words.push(word)
    doc.insert(0, word) // before all others: no word stands in another one
  }
  const chance = seeded(number)
  let timer = setTimeout(function again() {
    type()
    timer = setTimeout(again, everyMs)
  }, chance.int(everyMs))
  return {
    client,
    doc,
    stops: () => clearTimeout(timer),
    told: () => ({ room: doc.id, words, bothered, offline, status: doc.status }),
  }
}

const people: Awaited<ReturnType<typeof sitsDown>>[] = []
for (let i = 0; i < count; i += 25)
  people.push(...(await Promise.all(Array.from({ length: Math.min(25, count - i) }, (_, k) => sitsDown(from + i + k)))))
say({ sitting: people.length })
for await (const line of createInterface(process.stdin)) {
  if (line !== 'stop') continue
  for (const { stops } of people) stops()
  await Promise.all(people.map(({ doc }) => doc.settled('durable')))
  say({ told: people.map(({ told }) => told()) })
  await Promise.all(people.map(({ client }) => client.close()))
  break
}
process.exit()

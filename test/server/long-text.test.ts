// A long text for whoever joins is written in bytes that are kept for the next one.
// Invariant: nobody can tell, in whatever form and over whatever transport the text comes.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer, type InkwellServer, memoryStore } from '../../src/server/index.ts'
import { type Form, Pen, RawClient, type RawOptions } from './raw.ts'

const awkward = ' "quoted" \\ back \n\t\u0000\u001f\u2028 é 中 🖋 }}] '
const texts = { first: awkward.repeat(400), second: `${awkward.repeat(400)}.`, plain: 'x'.repeat(70_000) }

let server: InkwellServer
let url: string
beforeAll(async () => {
  server = await createServer({ store: memoryStore(), transports: ['websocket', 'polling'], logger: 'silent' })
  url = (await server.listen(0)).url
  for (const [doc, text] of Object.entries(texts)) {
    const pen = await Pen.opens(url, doc)
    await pen.types(text)
    pen.client.close()
  }
})
afterAll(() => server.close())

const joins = async (options: RawOptions, docs: readonly string[]): Promise<unknown[]> => {
  const client = new RawClient(url, options)
  const shown: unknown[] = []
  for (const doc of docs) {
    const { content, doc: about, people } = await client.join(doc)
    shown.push([about, people > 0, content.kind === 'snapshot' && content.value === texts[doc as keyof typeof texts]])
  }
  client.close()
  return shown
}

const order = ['first', 'second', 'first', 'plain'] as const
const ways = (['binary', 'json'] as const).flatMap(form => (['websocket', 'polling'] as const).map(way => [form, way] as const))

it.each(ways)('[P1] a long text comes as it is, in %s over %s, whichever was sent before it', async (form: Form, way) => {
  const docs = [...new Set(order)]
  expect(await joins({ form, transports: [way] }, docs)).toEqual(docs.map(doc => [doc, true, true]))
})

it('[P1] a crowd gets the text that each of them asked for, whatever the others get in the same tick', async () => {
  const crowd = ways.flatMap(([form, way]) => order.map(doc => joins({ form, transports: [way] }, [doc])))
  expect(await Promise.all(crowd)).toEqual(ways.flatMap(() => order.map(doc => [[doc, true, true]])))
})

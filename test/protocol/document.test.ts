// The document and the code say the same.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { opcodes } from '../../src/protocol/codec.ts'
import * as face from '../../src/protocol/index.ts'
import { readClientMessage, readHello, readServerMessage } from '../../src/protocol/json.ts'
import { createParser, type Packet } from '../../src/protocol/parser.ts'
import { errorRows, refresh, sectionOf } from './document.ts'
import { makeGolden } from './golden.ts'

const root = join(import.meta.dirname, '..', '..')
const document = readFileSync(join(root, 'docs', 'PROTOCOL.md'), 'utf8')
const golden = makeGolden()
const kinds = ['hello', ...Object.keys(opcodes)]

describe('docs/PROTOCOL.md', () => {
  it('is what the code makes of it: npx tsx scripts/golden.ts', () => {
    expect(refresh(document, golden)).toBe(document)
  })

  it.each(kinds)('%s: its example is the golden one, and the validator reads it', kind => {
    const blocks = [...(sectionOf(document, kind) ?? '').matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(([, text]) =>
      JSON.parse(text!),
    )
    const examples = golden.messages.filter(message => message.kind === kind)
    expect(blocks.length).toBeGreaterThan(0)
    expect(blocks).toEqual(examples.slice(0, blocks.length).map(({ json }) => json))
    for (const payload of blocks) {
      const read =
        kind === 'hello'
          ? readHello(payload)
          : (examples[0]!.from === 'client' ? readClientMessage : readServerMessage)(kind, payload)
      expect(read).toEqual({ ok: true, message: kind === 'hello' ? payload : { kind, ...payload } })
    }
  })

  it.each(Object.entries(opcodes))('%s: its opcode is %i', (kind, opcode) => {
    expect(sectionOf(document, kind)).toContain(`opcode ${opcode};`)
  })

  it('has a section for each kind and for no other', () => {
    expect([...document.matchAll(/^### `(.*)`$/gm)].map(([, kind]) => kind)).toEqual(kinds)
  })

  it('[W42] its error table is the table', () => {
    const table = document
      .slice(document.indexOf('## Errors'))
      .split('\n')
      .filter(line => line.startsWith('| `'))
    expect(`${table.join('\n')}\n`).toBe(errorRows())
  })

  it('every rule has a number of its own, in ascending order', () => {
    const numbers = [...document.matchAll(/^- \*\*\[W(\d+)\]\*\*/gm)].map(([, number]) => Number(number))
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
    expect(numbers.length).toBeGreaterThan(30)
  })

  it('[W8] every line of the sample session is read by the end it is sent to', () => {
    const lines = [...document.matchAll(/^```session\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text!.trim().split('\n'))
    expect(lines.length).toBeGreaterThan(15)
    for (const line of lines) {
      const packets: Packet[] = []
      const end = line[0] === '>' ? 'server' : 'client'
      ;new (createParser({ end, form: 'json' }).Decoder)().on('decoded', packet => packets.push(packet)).add(line.slice(2))
      const [packet] = packets
      if (packet?.type === 0) {
        if (end === 'server') expect(readHello(packet.data).ok).toBe(true)
        continue
      }
      // A refused here would be the parser's own finding, unless the server itself says it.
      expect((packet!.data as unknown[])[0], line).toBe(line.match(/^. 2\["(\w+)"/)![1])
    }
  })

  it('the session, told in the binary form, is less than half as long', () => {
    const lines = [...document.matchAll(/^```session\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text!.trim().split('\n'))
    let bytes = 0
    let characters = 0
    for (const line of lines) {
      const sender = line[0] === '>' ? 'client' : 'server'
      const receiver = line[0] === '>' ? 'server' : 'client'
      const decoder = new (createParser({ end: receiver, form: 'json' }).Decoder)()
      const encoder = new (createParser({ end: sender }).Encoder)()
      decoder.on('decoded', packet => (bytes += encoder.encode(packet)[0]!.length))
      decoder.add(line.slice(2))
      characters += line.length - 2
    }
    expect(bytes).toBeLessThan(characters / 2)
  })
})

it('the face of the protocol offers these values and no others', () => {
  expect(Object.keys(face).sort()).toEqual([
    'ParseError',
    'clientBounds',
    'createParser',
    'decodeClientMessage',
    'decodeServerMessage',
    'emptyChain',
    'encodeClientFrame',
    'encodeServerFrame',
    'errorCodes',
    'jsonEvent',
    'negotiate',
    'opcodes',
    'protocolVersions',
    'readClientMessage',
    'readHello',
    'readRefusal',
    'readServerMessage',
    'refusal',
    'refusedOf',
    'samePosition',
    'serverBounds',
    'unreachable',
  ])
})

// The wire does not change unless somebody means it to.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeClientMessage, decodeServerMessage, opcodes } from '../../src/protocol/codec.ts'
import { readClientMessage, readHello, readServerMessage } from '../../src/protocol/json.ts'
import { createParser, type Packet } from '../../src/protocol/parser.ts'
import { negotiate, protocolVersions } from '../../src/protocol/version.ts'
import { bytesOf, type Golden, makeGolden, printGolden } from './golden.ts'

// One line a version. How a line is added, and when one may be replaced, is said in scripts/golden.ts.
const pinned: { readonly [version: number]: string } = {
  1: 'b22f50c2f2d8edfcc197beb93da2ae40829e1a3ed52c5ea5f312cf5af9283a75',
}

const text = readFileSync(join(import.meta.dirname, 'golden.json'), 'utf8')
const golden: Golden = JSON.parse(text)

describe('[W5] the wire is pinned to its version', () => {
  it('golden.json is what this version was pinned with: see scripts/golden.ts', () => {
    expect(golden.protocol).toBe(protocolVersions.max)
    expect(createHash('sha256').update(text).digest('hex')).toBe(pinned[protocolVersions.max])
  })

  it('the code writes exactly the golden messages and the golden error rows', () => {
    expect(printGolden(makeGolden())).toBe(text)
  })

  it('every kind of message is among them', () => {
    expect([...new Set(golden.messages.map(({ kind }) => kind))].sort()).toEqual(['hello', ...Object.keys(opcodes)].sort())
  })

  it.each(golden.messages.filter(({ kind }) => kind !== 'hello'))('$kind, $name: both forms are read as one message', message => {
    const { kind, from, json, hex } = message
    const fromJson = from === 'client' ? readClientMessage(kind, json) : readServerMessage(kind, json)
    const fromBytes = from === 'client' ? decodeClientMessage(bytesOf(hex)) : decodeServerMessage(bytesOf(hex))
    expect(fromJson).toEqual({ ok: true, message: { kind, ...(json as object) } })
    expect(fromBytes).toEqual(fromJson)
  })

  it.each(golden.messages.filter(({ kind }) => kind === 'hello'))('a hello $name is the payload of CONNECT', ({ json, hex }) => {
    const packets: Packet[] = []
    const decoder = new (createParser({ end: 'server' }).Decoder)().on('decoded', packet => packets.push(packet))
    decoder.add(bytesOf(hex))
    expect(packets).toEqual([{ type: 0, nsp: '/', data: json }])
    expect(readHello(json)).toEqual({ ok: true, message: json })
  })
})

describe('[W4] the highest version that both speak is agreed on', () => {
  it.each([
    [[1, 1], { min: 1, max: 1 }, 1],
    [[1, 5], { min: 1, max: 3 }, 3],
    [[2, 3], { min: 1, max: 9 }, 3],
    [[3, 3], { min: 3, max: 4 }, 3],
  ] as const)('a client of %j and a server of %j speak %i', (client, server, agreed) => {
    expect(negotiate(client, server)).toBe(agreed)
  })

  it.each([
    [[1, 1], { min: 2, max: 3 }],
    [[4, 9], { min: 2, max: 3 }],
    [[3, 2], { min: 1, max: 9 }],
  ] as const)('a client of %j and a server of %j have none in common', (client, server) => {
    expect(negotiate(client, server)).toMatchObject({ code: 'unsupported-protocol', advice: 'reload' })
  })
})

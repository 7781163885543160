// The plan of the house, held against its real sources and against small bad ones.

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect, it } from 'vitest'
import { faultsOf, type Packages, type Source } from './plan.ts'

const root = join(import.meta.dirname, '..', '..')

it('the sources keep to the plan of the house', () => {
  const sources = sourcesIn('src', 'demo', 'dashboard', 'bench')
  expect(sources.map(source => source.path)).toContain('src/ot/type.ts')
  expect(faultsOf(sources, packagesOf(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))))).toEqual([])
})

const packages: Packages = {
  shipped: new Set([
    'socket.io',
    'socket.io-client',
    'lmdb',
    'ioredis',
    'fastify',
    'jose',
    'prom-client',
    '@opentelemetry/api',
    '@socket.io/redis-adapter',
    'socket.io-adapter',
    '@codemirror/view',
  ]),
  faces: new Map([
    ['inkwell/client', 'src/client/index.ts'],
    ['inkwell', 'src/index.ts'],
  ]),
}

type File = readonly [path: string, code: string]

function faults(...files: readonly File[]): string[] {
  return faultsOf(
    files.map(([path, code]) => ({ path, text: `// A room made for this test.\n${code}` })),
    packages,
  )
}

const text: File = ['src/ot/text.ts', 'export const a = 1']

const bad: Readonly<Record<string, readonly File[]>> = {
  'a static import that climbs': [
    ['src/ot/a.ts', "import { x } from '../protocol/b.ts'"],
    ['src/protocol/b.ts', ''],
  ],
  'an import of types that climbs': [
    ['src/ot/a.ts', "import type { X } from '../protocol/b.ts'"],
    ['src/protocol/b.ts', ''],
  ],
  'a type written as import()': [
    ['src/ot/a.ts', "let x: import('../protocol/b.ts').X"],
    ['src/protocol/b.ts', ''],
  ],
  'a dynamic import that climbs': [
    ['src/ot/a.ts', "export const x = () => import('../protocol/b.ts')"],
    ['src/protocol/b.ts', ''],
  ],
  'a re-export that climbs': [
    ['src/ot/a.ts', "export { x } from '../protocol/b.ts'"],
    ['src/protocol/b.ts', ''],
  ],
  'a re-export of everything that climbs': [
    ['src/ot/a.ts', "export * from '../protocol/b.ts'"],
    ['src/protocol/b.ts', ''],
  ],
  'an import only for its effect that climbs': [
    ['src/ot/a.ts', "import '../protocol/b.ts'"],
    ['src/protocol/b.ts', ''],
  ],
  'client naming engine': [
    ['src/client/a.ts', "import { x } from '../engine/b.ts'"],
    ['src/engine/b.ts', ''],
  ],
  'engine naming client': [
    ['src/engine/a.ts', "import { x } from '../client/b.ts'"],
    ['src/client/b.ts', ''],
  ],
  'server naming client': [
    ['src/server/a.ts', "import { x } from '../client/b.ts'"],
    ['src/client/b.ts', ''],
  ],
  'stores naming client': [
    ['src/stores/a.ts', "import { x } from '../client/b.ts'"],
    ['src/client/b.ts', ''],
  ],
  'a page naming what only a client in Node has': [
    ['src/client/a.ts', "import { x } from './node/b.ts'"],
    ['src/client/node/b.ts', ''],
  ],
  'a page naming a process': [
    ['src/client/a.ts', "import { x } from '../process/b.ts'"],
    ['src/process/b.ts', ''],
  ],
  'a binding naming the engine': [
    ['src/codemirror/a.ts', "import { x } from '../engine/b.ts'"],
    ['src/engine/b.ts', ''],
  ],
  'the demo naming the server': [
    ['demo/a.ts', "import { x } from '../src/server/b.ts'"],
    ['src/server/b.ts', ''],
  ],
  'the dashboard naming the server': [
    ['dashboard/a.ts', "import { x } from '../src/server/b.ts'"],
    ['src/server/b.ts', ''],
  ],
  'the main face naming the client': [
    ['src/index.ts', "export { x } from './client/b.ts'"],
    ['src/client/b.ts', ''],
  ],
  'a room naming the main face': [
    ['src/protocol/a.ts', "import { x } from '../index.ts'"],
    ['src/index.ts', ''],
  ],
  'a room naming a face of its own package': [
    ['src/engine/a.ts', "import { x } from 'inkwell/client'"],
    ['src/client/index.ts', ''],
  ],
  'a room outside the plan': [['src/attic/a.ts', "import { x } from '../ot/text.ts'"], text],
  'an import of what is not there': [['src/protocol/a.ts', "import { x } from '../ot/gone.ts'"]],
  'ioredis outside stores/redis': [['src/stores/memory.ts', "import Redis from 'ioredis'"]],
  'lmdb outside stores/embedded': [['src/server/a.ts', "import { open } from 'lmdb'"]],
  'socket.io outside server/': [['src/cli/a.ts', "import { Server } from 'socket.io'"]],
  'a path inside socket.io outside server/': [['src/cli/a.ts', "import type { X } from 'socket.io/dist/typed-events'"]],
  'an adapter of socket.io outside server/': [['src/cli/a.ts', "import { x } from '@socket.io/redis-adapter'"]],
  'jose outside server/jwt': [['src/server/gateway.ts', "import { jwtVerify } from 'jose'"]],
  'prom-client in the engine': [['src/engine/events.ts', "import { Counter } from 'prom-client'"]],
  'OpenTelemetry in the engine': [['src/engine/events.ts', "import { trace } from '@opentelemetry/api'"]],
  'what adapters of socket.io stand on outside server/': [
    ['src/stores/redis.ts', "import { MessageType } from 'socket.io-adapter'"],
  ],
  'socket.io-client outside its adapter': [['src/client/document.ts', "import { io } from 'socket.io-client'"]],
  'CodeMirror outside codemirror/ and demo/': [['src/client/document.ts', "import { EditorView } from '@codemirror/view'"]],
  'a package that is not shipped': [['src/protocol/a.ts', "import fc from 'fast-check'"]],
  'node: in a pure room': [['src/ot/a.ts', "import { randomBytes } from 'node:crypto'"]],
  'node: in the browser': [['src/client/offline.ts', "import { readFile } from 'node:fs/promises'"]],
  'a timer in a pure room': [['src/engine/a.ts', 'export const f = () => setTimeout(() => 0, 1)']],
  'the clock in a pure room': [['src/engine/a.ts', 'export const now = () => Date.now()']],
  'a date as a type in a pure room': [['src/engine/a.ts', 'export type At = Date']],
  'the clock handed on in a pure room': [['src/engine/a.ts', 'export const world = { performance }']],
  'chance in a pure room': [['src/ot/a.ts', 'export const f = () => Math.random()']],
  'chance by another spelling': [['src/ot/a.ts', "export const f = Math['random']"]],
  'the process in a pure room': [['src/protocol/a.ts', 'export const mode = process.env.NODE_ENV']],
  'the console in a pure room': [['src/client/session.ts', 'export const f = () => console.log(1)']],
  'crypto by way of globalThis': [['src/client/undo.ts', 'export const id = globalThis.crypto.randomUUID()']],
  'a circle of two': [
    ['src/ot/a.ts', "import { b } from './b.ts'"],
    ['src/ot/b.ts', "import { a } from './a.ts'"],
  ],
  'a circle of types': [
    ['src/ot/a.ts', "import type { B } from './b.ts'"],
    ['src/ot/b.ts', "import type { C } from './c.ts'"],
    ['src/ot/c.ts', "import type { A } from './a.ts'"],
  ],
  'a file that imports itself': [['src/ot/a.ts', "import { a } from './a.ts'"]],
  'an import whose module cannot be read': [['src/cli/a.ts', 'export const load = (name: string) => import(name)']],
}

it.each(Object.entries(bad))('the check notices %s', (_title, files) => {
  expect(faults(...files)).toHaveLength(1)
})

it.each([
  ['', 'export const a = 1'],
  ['a marker only', '// @ts-check\nexport const a = 1'],
  ['code first', 'export const a = 1\n// This file adds numbers to each other.'],
])('the check notices a file that does not open with a sentence %s', (_title, code) => {
  expect(faultsOf([{ path: 'src/ot/a.ts', text: code }], packages)).toHaveLength(1)
})

it('the check says which file, which import and which floors', () => {
  expect(faults(['src/ot/a.ts', "import { x } from '../protocol/b.ts'"], ['src/protocol/b.ts', ''])).toEqual([
    'src/ot/a.ts (ot, floor 1) imports src/protocol/b.ts (protocol, floor 2)',
  ])
  expect(faults(['src/ot/b.ts', "import './a.ts'"], ['src/ot/a.ts', "import './b.ts'"])).toEqual([
    'import circle: src/ot/b.ts → src/ot/a.ts → src/ot/b.ts',
  ])
})

const good: Readonly<Record<string, readonly File[]>> = {
  'imports downward and within a room': [
    ['src/engine/a.ts', "import { b } from './b.ts'\nimport { t } from '../ot/text.ts'"],
    ['src/engine/b.ts', ''],
    text,
  ],
  'the owners of their packages': [
    ['src/stores/embedded.ts', "import 'lmdb'"],
    ['src/stores/redis-scripts.ts', "import 'ioredis'"],
    ['src/client/socketio.ts', "import 'socket.io-client'"],
    ['src/server/a.ts', "import 'socket.io'\nimport 'node:http'"],
  ],
  'peers that are measured in bench/': [
    [
      'bench/a.ts',
      "import { Server } from 'socket.io'\nimport sharedb from 'sharedb'\nimport '../src/server/b.ts'\nimport '../test/traces.ts'",
    ],
    ['src/server/b.ts', ''],
  ],
  'the demo using the faces': [
    ['demo/main.ts', "import { connect } from 'inkwell/client'\nimport './style.css'\nimport '@codemirror/view'"],
    ['src/client/index.ts', ''],
  ],
  'own names like those of globals': [
    [
      'src/engine/a.ts',
      'export const f = (document: string, { clock: performance }: C) => document.length + performance.now()\nexport const x = { process: 1, Date: 2 }\nexport const y = x.process + Math.max(x.Date)',
    ],
  ],
  'timers outside the pure rooms': [
    ['src/client/document.ts', 'export const f = () => setTimeout(() => Date.now(), Math.random())'],
  ],
}

it.each(Object.entries(good))('the check allows %s', (_title, files) => {
  expect(faults(...files)).toEqual([])
})

function sourcesIn(...folders: readonly string[]): Source[] {
  return folders.flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter(name => /\.tsx?$/.test(name) && !name.includes('node_modules'))
      .map(name => posix.join(folder, name.replaceAll('\\', '/')))
      .map(path => ({ path, text: readFileSync(join(root, path), 'utf8') })),
  )
}

interface Manifest {
  readonly name: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>
}

function packagesOf(manifest: Manifest): Packages {
  const faces = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === 'string'
      ? []
      : [[posix.join(manifest.name, subpath), target.default.replace(/^\.\/dist\/(.*)\.js$/, 'src/$1.ts')] as const],
  )
  return { shipped: new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })), faces: new Map(faces) }
}

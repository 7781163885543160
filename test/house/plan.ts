// The plan of the house (docs/ARCHITECTURE.md): which room may name which, and what source files make of it.
// Invariant: `faultsOf` is a pure function of paths and texts, so that the plan itself can be tested on small bad examples.

import { posix } from 'node:path'
import { read } from './read.ts'

/** Rooms may import from rooms on a lower floor, and from themselves. */
const floors: Readonly<Record<string, number>> = {
  ot: 1,
  process: 1,
  protocol: 2,
  client: 3,
  engine: 3,
  load: 3,
  stores: 4,
  testing: 4,
  server: 5,
  codemirror: 5,
  cli: 6,
  demo: 6,
  dashboard: 6,
  bench: 6,
}

/** Pairs that the floors alone would allow. The first never names the second. */
const never: readonly (readonly [from: RegExp, to: RegExp, why: string])[] = [
  [/^(stores|server)$/, /^client$/, 'the server side does not know the client'],
  [
    /^(client|codemirror|demo|dashboard)$/,
    /^(engine|load|stores|server|cli|testing)$/,
    'nothing of the server may enter a browser bundle',
  ],
]

/** Packages that only some files may name. bench/ is free: it measures the stock parts beside ours. */
const owned: readonly (readonly [name: RegExp, owner: RegExp])[] = [
  [/^ioredis$/, /^src\/stores\/redis/],
  [/^lmdb$/, /^src\/stores\/embedded/],
  [/^idb$/, /^src\/client\/browser\.ts$/],
  [/^(socket\.io(-adapter)?|engine\.io|@socket\.io\/(?!component-emitter).*)$/, /^src\/server\//],
  [/^(fastify|@fastify\/.*)$/, /^src\/server\//],
  [/^jose$/, /^src\/server\/jwt\.ts$/],
  [/^prom-client$/, /^src\/server\/exposition\.ts$/],
  [/^@opentelemetry\//, /^src\/(server\/tracing|client\/tracing\/index)\.ts$/],
  [/^(socket\.io-client|engine\.io-client)$/, /^src\/client\/socketio\.ts$/],
  [/^(codemirror|@codemirror\/.*)$/, /^(src\/codemirror|demo)\//],
  [/^uplot$/, /^dashboard\//],
]

/** Files in which time, chance and I/O are arguments. */
const pure =
  /^src\/(ot|protocol|engine)\/|^src\/client\/(session|undo|peers|transport|schedule|liveness|storage|record|pile)\.ts$/
const browser = /^(src\/(client\/(?!node\/)|codemirror)|demo\/(?!vite\.config\.ts$)|dashboard\/)/
const nodeOnly = /^src\/(process|client\/node)\//

export interface Source {
  /** from the root of the repository, with forward slashes: `src/ot/text.ts` */
  readonly path: string
  readonly text: string
}

export interface Packages {
  /** what an installed inkwell brings along or asks for */
  readonly shipped: ReadonlySet<string>
  /** the package's own subpaths and the sources behind them: `inkwell/client` → `src/client/index.ts` */
  readonly faces: ReadonlyMap<string, string>
}

/** Everything in these sources that the plan does not allow, one sentence each; nothing when they keep to it. */
export function faultsOf(sources: readonly Source[], packages: Packages): string[] {
  const parsed = sources.map(source => ({ ...source, ...read(source.path, source.text) }))
  const known = new Set(sources.map(source => source.path))
  const faults: string[] = []
  const edges = new Map<string, string[]>()

  for (const { path, text, imports, globals, opening } of parsed) {
    const targets: string[] = []
    for (const name of imports) {
      if (name === undefined) {
        // bench/ finds its files by their place in the folder; everyone else says what it loads.
        if (!path.startsWith('bench/')) faults.push(`${path} loads a module whose name cannot be read from the source`)
        continue
      }
      const target = localTarget(path, name, packages)
      if (target === undefined) {
        faults.push(...packageFaults(path, name, packages))
        continue
      }
      targets.push(target)
      if (/^(src|demo|dashboard|bench)\/.*\.tsx?$/.test(target) && !known.has(target))
        faults.push(`${path} imports ${name}, which does not exist`)
      faults.push(...floorFaults(path, target))
    }
    edges.set(path, targets)

    if (pure.test(path)) faults.push(...globals.map(name => `${path} uses ${name}; in a pure room it is an argument`))
    if (path.startsWith('src/') && !isSentence(opening)) {
      faults.push(`${path} does not open with a comment that says what it is for: ${JSON.stringify(text.slice(0, 40))}`)
    }
  }
  return [...faults, ...circles(edges).map(circle => `import circle: ${circle.join(' → ')}`)]
}

function floorFaults(path: string, target: string): string[] {
  const from = roomOf(path)
  const to = roomOf(target)
  if (browser.test(path) && nodeOnly.test(target)) return [`${path} imports ${target}; it has to run in a browser`]
  if (to === 'face')
    return /^(demo|dashboard|bench)$/.test(from) ? [] : [`${path} imports ${target}, the face that is for others`]
  if (from === to) return []
  if (from === 'bench' && to === 'test') return [] // the editing traces lie there
  if (from === 'bench' && to === 'cli') return [] // what a command costs is measured as it is
  if (from === 'face') return floors[to]! <= 2 ? [] : [`${path} imports ${target}; the main face shows ot and protocol only`]
  if (floors[from] === undefined) return [`${path} stands in no room of the plan`]
  if (floors[to] === undefined) return [`${path} imports ${target}, which stands in no room of the plan`]
  if (floors[to] >= floors[from])
    return [`${path} (${from}, floor ${floors[from]}) imports ${target} (${to}, floor ${floors[to]})`]
  return never
    .filter(([upper, lower]) => upper.test(from) && lower.test(to))
    .map(([, , why]) => `${path} imports ${target}: ${why}`)
}

function packageFaults(path: string, name: string, packages: Packages): string[] {
  const node = name.startsWith('node:')
  if (node && pure.test(path)) return [`${path} imports ${name}; a pure room does no I/O`]
  if (node && browser.test(path)) return [`${path} imports ${name}; it has to run in a browser`]
  if (node || path.startsWith('bench/')) return []

  const packageName = name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
  const faults = owned
    .filter(([names, owner]) => names.test(packageName) && !owner.test(path))
    .map(([, owner]) => `${path} names ${packageName}; only ${owner.source.replaceAll('\\', '')} may`)
  if (path.startsWith('src/') && !packages.shipped.has(packageName)) {
    faults.push(`${path} imports ${packageName}, which an installed inkwell does not bring`)
  }
  return faults
}

function roomOf(path: string): string {
  const [first, second, ...rest] = path.split('/')
  if (first !== 'src') return first!
  return rest.length === 0 ? 'face' : second!
}

/** The source behind an import of this package's own code; undefined for any other package. */
function localTarget(path: string, name: string, packages: Packages): string | undefined {
  const face = packages.faces.get(name)
  if (face !== undefined) return face
  if (!name.startsWith('.')) return undefined
  return posix.normalize(posix.join(posix.dirname(path), name.replace(/[?#].*$/, '')))
}

/** The first circle through each file that lies on one, each circle once. Types count: a circle of types is one too. */
function circles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (path: string) => {
    const at = trail.indexOf(path)
    if (at >= 0) found.push([...trail.slice(at), path])
    if (at >= 0 || done.has(path)) return
    trail.push(path)
    for (const target of edges.get(path) ?? []) visit(target)
    trail.pop()
    done.add(path)
  }
  for (const path of edges.keys()) visit(path)
  return found
}

function isSentence(comment: string): boolean {
  return /^[A-Z`"'(][\s\S]{12,}?[.:]/.test(comment)
}

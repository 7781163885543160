// Bundles code for a browser, in memory, and tells what went into the bundle.
// Invariant: every module that the bundler so much as read is listed, also one that tree shaking removed again.

import { gzipSync } from 'node:zlib'
import { type AliasOptions, build } from 'vite'

export interface Bundle {
  /** ids of all modules in the graph, with forward slashes */
  readonly modules: readonly string[]
  readonly code: string
  readonly gzipped: number
}

/**
 * `root` is the folder from which bare imports in `entry`, a module's source, are looked up; what is `external` is left out and not
 * even read.
 */
export async function bundle(
  root: string,
  entry: string,
  alias: AliasOptions = {},
  external: readonly string[] = [],
): Promise<Bundle> {
  const modules: string[] = []
  const built = await build({
    root,
    configFile: false,
    logLevel: 'silent',
    resolve: { alias },
    build: {
      write: false,
      minify: true,
      rollupOptions: { input: `${root}/entry-of-test.js`, preserveEntrySignatures: 'strict', external: [...external] },
    },
    plugins: [
      {
        name: 'entry-of-test',
        enforce: 'pre',
        resolveId: id => (id === `${root}/entry-of-test.js` ? id : undefined),
        load: id => (id === `${root}/entry-of-test.js` ? entry : undefined),
        moduleParsed: ({ id }) => {
          modules.push(id.replaceAll('\\', '/'))
        },
      },
    ],
  })
  const outputs = [built].flat().flatMap(result => ('output' in result ? result.output : []))
  const code = outputs.map(output => (output.type === 'chunk' ? output.code : '')).join('\n')
  return { modules, code, gzipped: gzipSync(code).length }
}

/** The modules that have no business in a browser: our server side, the packages it stands on, and Node's own. */
export function serverSide(modules: readonly string[]): string[] {
  return modules.filter(id => serverRoom.test(id) || serverPackage.test(id) || nodeBuiltin.test(id))
}

const serverRoom = /\/(src|dist)\/(engine|stores|server|cli|testing|process|client\/node)\//
const serverPackage =
  /\/node_modules\/(socket\.io|engine\.io|socket\.io-adapter|@socket\.io\/redis-adapter|fastify|@fastify\/[^/]+|pino|lmdb|ioredis|commander|zod|ws|prom-client|jose)\//
// Vite puts an empty module in the place of what only Node has.
const nodeBuiltin = /^node:|__vite-browser-external/

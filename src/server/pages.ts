// The operator's page: a handful of files, read once, for a browser that has no token yet.
// Invariant: nothing of the server is in them, and no other file can be had by any address.

import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, sep } from 'node:path'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export interface StaticPage {
  readonly type: string
  readonly content: Buffer
}

/** By path: `/`, `/assets/index-1a2b.js`. */
export const pagesIn = (folder: string): ReadonlyMap<string, StaticPage> =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && extname(entry.name) in types)
      .map(({ parentPath, name }) => {
        const file = join(parentPath, name)
        const path = file.slice(folder.length).split(sep).join('/').replace(/^\/*/, '/')
        return [path === '/index.html' ? '/' : path, { type: types[extname(name)]!, content: readFileSync(file) }]
      }),
  )

/** It runs what came from here and asks here, nothing else. */
export const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

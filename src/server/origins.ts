// Which web pages may talk to this server.
// Invariant: a request that a browser sent for a page of an origin not allowed is refused before anything is read from it.

import type { IncomingHttpHeaders } from 'node:http'

/** Exact origins such as `https://app.example.com`; `*` stands for every one. */
export type Origins = readonly string[]

export type OriginRule = (request: { readonly headers: IncomingHttpHeaders }) => boolean

/**
 * A request without an Origin header comes from no browser page and passes: pages are what this rule is about, people are what
 * `authenticate` is about. A page that this very host served always passes.
 */
export const originRule = (origins: Origins | null, development: boolean): OriginRule => {
  const allowed = new Set(origins ?? [])
  return ({ headers }) => {
    const { origin, host } = headers
    if (origin === undefined || allowed.has('*') || allowed.has(origin)) return true
    const url = parse(origin)
    if (url === null) return false // "null": a sandboxed frame or a file
    if (origins === null && development && isLocal(url.hostname)) return true
    return url.host === host
  }
}

/** What is wrong with an entry of a list of origins; null: nothing. */
export const originFault = (origin: string): string | null => {
  if (origin === '*') return null
  const url = parse(origin)
  return url !== null && url.origin === origin && origin !== 'null'
    ? null
    : `${JSON.stringify(origin)} is not an origin: it should look like https://app.example.com, without a path`
}

const isLocal = (hostname: string): boolean =>
  hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)

const parse = (origin: string): URL | null => {
  try {
    return new URL(origin)
  } catch {
    return null // not a URL at all
  }
}

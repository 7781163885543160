// Rights as a token's claims give them: by patterns of document ids.
// Invariant: what no pattern allows is not allowed, and no pattern can make the match take longer than its own length.

import { isWellFormed } from '../protocol/fields.ts'
import type { DocId } from '../protocol/ids.ts'
import type { Right } from '../protocol/messages.ts'

/**
 * `{ 'notes-*': 'write', '*': 'read', 'notes-7': 'none' }`. A pattern that ends in `*` fits every id that begins with what stands
 * before it; any other fits the one id that it is. An exact one counts before any other, and among those the longest. Without one
 * that fits there is no right.
 */
export type Documents = { readonly [pattern: string]: Right }

export const rightIn = (documents: Documents, doc: DocId): Right => {
  let right: Right = 'none'
  let best = -1
  for (const [pattern, given] of Object.entries(documents)) {
    const open = pattern.endsWith('*')
    const stem = open ? pattern.slice(0, -1) : pattern
    const weight = open ? stem.length : Number.POSITIVE_INFINITY
    if (weight <= best || !(open ? doc.startsWith(stem) : doc === stem)) continue
    right = given
    best = weight
  }
  return right
}

const rights: ReadonlySet<unknown> = new Set(['none', 'read', 'write'] satisfies Right[])

export const isRight = (value: unknown): value is Right => rights.has(value)

/** The lower of two rights. */
export const lower = (a: Right, b: Right): Right => (a === 'none' || b === 'none' ? 'none' : a === 'read' ? a : b)

/** What keeps a value from being rights by patterns, in one sentence; null: nothing. */
export const documentsFault = (value: unknown): string | null => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'rights must be an object of patterns'
  for (const [pattern, right] of Object.entries(value)) {
    if (pattern === '' || !isWellFormed(pattern)) return 'a pattern of document ids is empty or has a lone surrogate'
    if (!isRight(right)) return `the right for ${JSON.stringify(pattern)} must be none, read or write`
  }
  return null
}

const known = new Map<string, Documents>()
const mostKnown = 256 // sets of rights; whoever's are forgotten has them to himself
const longest = 1_024 // characters of a set that more than one is likely to have

/** The same rights as one object that nobody can change: there are a few kinds of users, and very many of each. */
export const shared = (documents: Documents): Documents => {
  let key = '' // of no other rights: it says how long each pattern is, and a right is one of three words
  for (const pattern of Object.keys(documents)) key += `${documents[pattern]} ${pattern.length} ${pattern}`
  const before = known.get(key)
  if (before !== undefined) return before
  const own = Object.freeze({ ...documents })
  if (key.length > longest) return own
  if (known.size >= mostKnown) known.clear()
  known.set(key, own)
  return own
}

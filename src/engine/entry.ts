// What an entry of the log says, and how it becomes a commit: the one computation that every node must do alike.
// Invariant: a commit is a pure function of its entry and the commits after the entry's base; nothing else may flow in.

import { type DocumentType, type Json, OpError } from '../ot/type.ts'
import type { AuthorId, Chain, Seq, Version } from '../protocol/ids.ts'
import type { Entry } from './ports.ts'

/** A document type about whose values the engine knows nothing. */
export type Type = DocumentType<unknown, unknown>

/** An edit in its place: `op` changes version - 1 into version. */
export interface Commit {
  readonly version: Version
  readonly chain: Chain
  readonly author: AuthorId
  readonly seq: Seq
  readonly op: unknown
  readonly user: string
  /** Milliseconds since 1970 on the node that took it. */
  readonly time: number
}

export interface Body {
  /** The version on which `op` was made. */
  readonly base: Version
  readonly op: Json
  readonly user: string
  readonly time: number
  /** Only at base 0: the type of which the document is to be. */
  readonly type: string | null
}

/** As JSON: short, readable in any tool, and 33 bytes cheaper in memory than the objects. */
export const writeBody = ({ base, op, user, time, type }: Body): string =>
  JSON.stringify(type === null ? [base, op, user, time] : [base, op, user, time, type])

/** @throws when the store gives back what no engine has written */
export const readBody = (body: string): Body => {
  const keystroke = readKeystroke(body)
  if (keystroke !== null) return keystroke
  const [base, op, user, time, type] = JSON.parse(body) as [Version, Json, string, number, string?]
  return { base, op, user, time, type: type ?? null }
}

const open = 0x5b
const close = 0x5d
const comma = 0x2c
const quote = 0x22
const minus = 0x2d
const backslash = 0x5c
const zero = 0x30
const nine = 0x39
const longestCopied = 12 // units: from 13 on V8 makes of a part of a string a view, which keeps all of the string in memory

/** Users as they have been read, so that a thousand entries of one hold the name once. */
const users = new Map<string, string>()
const usersKept = 1_000

/** Where the reading of a body has come to. Nobody else runs while one is read, and an object for each of them would cost a third. */
let at = 0

/** The whole number at this place; -1: there is none in the one form that JSON has for it, or it is too long to be exact. */
const readNumber = (body: string): number => {
  const from = at
  let value = 0
  for (let digit = body.charCodeAt(at) - zero; digit >= 0 && digit <= 9; digit = body.charCodeAt(++at) - zero)
    value = value * 10 + digit
  const digits = at - from
  return digits === 0 || digits > 15 || (digits > 1 && body.charCodeAt(from) === zero) ? -1 : value
}

/** The text that begins at this place, behind its quote; null: it is longer, or not plain ASCII. */
const readPlain = (body: string, longest: number): string | null => {
  const from = at
  for (let code = body.charCodeAt(at); code !== quote; code = body.charCodeAt(++at))
    if (!(code >= 0x20 && code < 0x7f) || code === backslash || at - from >= longest) return null
  return body.slice(from, at++)
}

/**
 * A body as `writeBody` makes it of an edit by hand (whole numbers, short plain text, no type), read in one pass: most of a log is
 * that, and JSON.parse takes thrice as long. Null: it is something else.
 */
const readKeystroke = (body: string): Body | null => {
  if (body.charCodeAt(0) !== open) return null
  at = 1
  const base = readNumber(body)
  if (base < 0 || body.charCodeAt(at++) !== comma || body.charCodeAt(at++) !== open) return null
  const op: (number | string)[] = []
  let next = body.charCodeAt(at) === close ? body.charCodeAt(at++) : comma
  while (next === comma) {
    const first = body.charCodeAt(at)
    if (first === quote || first === minus) at++
    const part = first === quote ? readPlain(body, longestCopied) : readNumber(body)
    if (part === null || part === -1 || (first === minus && part === 0)) return null
    op.push(first === minus ? -part : part)
    next = body.charCodeAt(at++)
  }
  if (next !== close || body.charCodeAt(at++) !== comma || body.charCodeAt(at++) !== quote) return null
  const name = readPlain(body, body.length)
  if (name === null || body.charCodeAt(at++) !== comma) return null
  const time = readNumber(body)
  if (time < 0 || body.charCodeAt(at) !== close || at !== body.length - 1) return null
  let user = users.get(name)
  if (user === undefined) {
    if (users.size >= usersKept) users.clear()
    user = JSON.parse(`"${name}"`) as string // a copy: a part of a body would keep all of the page that it came in
    users.set(user, user)
  }
  return { base, op, user, time, type: null }
}

/**
 * Reads the bodies of edits by hand where they lie: kept are some units, some letters put there, some taken away. One object serves for
 * all of a history, and what it does not know is for `readBody`.
 */
export class Strokes {
  base: Version = 0
  skip = 0
  inserted = ''
  deleted = 0
  private at = 0

  /** False: it is something else, or damaged. The letters have no surrogates. */
  read(text: string, from: number, to: number): boolean {
    this.at = from
    this.skip = 0
    this.inserted = ''
    this.deleted = 0
    if (!this.passes(text, open) || (this.base = this.number(text)) < 0) return false
    if (!this.passes(text, comma) || !this.passes(text, open)) return false
    let next = text.charCodeAt(this.at)
    if (next >= zero && next <= nine) {
      if ((this.skip = this.number(text)) <= 0 || !this.passes(text, comma)) return false
      next = text.charCodeAt(this.at)
    }
    if (next === quote) {
      const start = this.at + 1
      if (!this.word(text, to) || this.at - 1 === start || this.at - 1 - start > longestCopied) return false
      this.inserted = text.slice(start, this.at - 1)
      next = text.charCodeAt(this.at)
      if (next === comma) next = text.charCodeAt(++this.at)
      else if (next !== close) return false
    }
    if (next === minus) {
      this.at++
      if ((this.deleted = this.number(text)) <= 0) return false
    } else if (this.inserted === '') return false
    if (!this.passes(text, close) || !this.passes(text, comma) || !this.word(text, to) || !this.passes(text, comma)) return false
    return this.number(text) >= 0 && this.passes(text, close) && this.at === to
  }

  private passes(text: string, code: number): boolean {
    return text.charCodeAt(this.at++) === code
  }

  /** As `readNumber`. */
  private number(text: string): number {
    const from = this.at
    let at = from
    let value = 0
    for (let digit = text.charCodeAt(at) - zero; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - zero)
      value = value * 10 + digit
    this.at = at
    const digits = at - from
    return digits === 0 || digits > 15 || (digits > 1 && text.charCodeAt(from) === zero) ? -1 : value
  }

  /** Passes a text in quotes in which every unit stands for itself. */
  private word(text: string, to: number): boolean {
    let at = this.at
    if (text.charCodeAt(at++) !== quote) return false
    for (let code = text.charCodeAt(at); code !== quote; code = text.charCodeAt(++at))
      if (at >= to || code < 0x20 || code === backslash || (code >= 0xd800 && code < 0xe000)) return false
    this.at = at + 1
    return true
  }
}

/** The base alone, which stands first: for whoever need not know the rest yet. */
export const baseOf = (body: string): Version => Number.parseInt(body.slice(1), 10)

/** The commits that a node holds: versions floor + 1 … head without a gap, and the chain at each of them and at the floor. */
export class History {
  floor: Version
  private floorChain: Chain
  private commits: Commit[] = []

  constructor(floor: Version, chain: Chain) {
    this.floor = floor
    this.floorChain = chain
  }

  get head(): Version {
    return this.floor + this.commits.length
  }

  get chain(): Chain {
    return this.commits.at(-1)?.chain ?? this.floorChain
  }

  chainAt(version: Version): Chain | undefined {
    return version === this.floor ? this.floorChain : this.commits[version - this.floor - 1]?.chain
  }

  /** The commit that made `version`. @throws RangeError when it is not held */
  at(version: Version): Commit {
    const commit = this.commits[version - this.floor - 1]
    if (commit === undefined) throw new RangeError(`commit ${version} is not among ${this.floor + 1} to ${this.head}`)
    return commit
  }

  after(version: Version): readonly Commit[] {
    return this.commits.slice(Math.max(0, version - this.floor))
  }

  push(commit: Commit): void {
    if (commit.version !== this.head + 1) throw new RangeError(`commit ${commit.version} pushed at head ${this.head}`)
    this.commits.push(commit)
  }

  /** Forgets the commits up to `version`; the chain there is kept. */
  drop(version: Version): void {
    if (version <= this.floor) return
    const chain = this.chainAt(version)
    if (chain === undefined) throw new RangeError(`cannot drop up to ${version}: held are ${this.floor} to ${this.head}`)
    this.commits = this.commits.slice(version - this.floor)
    this.floor = version
    this.floorChain = chain
  }
}

/** What deriving a commit needs of the commits before it. */
export type Commits = Pick<History, 'head' | 'at'>

/** An op made at `from`, as it is at the head. */
export const rebase = (type: Type, history: Commits, op: unknown, from: Version): unknown => {
  let moved = op
  for (let version = from + 1; version <= history.head; version++) moved = type.transform(moved, history.at(version).op, 'left')
  return moved
}

/**
 * The commit of the next entry. An entry that says nothing sensible (another type raced to create the document; a damaged store)
 * changes nothing, on every node alike.
 * @param size of the document at a version that the history holds
 * @param known the op of an entry that this node has written itself, which spares reading it again
 */
export const derive = (
  type: Type,
  history: Commits,
  size: (version: Version) => number,
  entry: Entry,
  body: Body,
  known: unknown | undefined,
): Commit => {
  const { author, seq, version, chain } = entry
  return { version, chain, author, seq, op: meant(type, history, size, body, known), user: body.user, time: body.time }
}

const meant = (
  type: Type,
  history: Commits,
  size: (version: Version) => number,
  body: Body,
  known: unknown | undefined,
): unknown => {
  if (body.type !== null && body.type !== type.name) return type.noop(size(history.head))
  let op = known
  if (op === undefined) {
    try {
      op = type.opFromJson(body.op, size(body.base))
    } catch (error) {
      if (!(error instanceof OpError)) throw error
      return type.noop(size(history.head))
    }
  }
  return rebase(type, history, op, body.base)
}

// The laws of stores have teeth: each fault put into a copy of the memory store is caught by one of them.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { StoreUnderLaw } from '../../src/testing/index.ts'
import { storeLaws } from '../../src/testing/index.ts'

type Source = 'memory.ts' | 'feed.ts' | 'presence.ts' | 'signals.ts' | 'notices.ts' | 'seats.ts'
type Memory = typeof import('../../src/stores/memory.ts')

/** What is wrong with the copy: in this file, this text, which must occur, became that one. */
type Fault = readonly [fault: string, file: Source, found: string, became: string]

const faults: readonly Fault[] = [
  // positions
  ['any epoch is good', 'memory.ts', 'log === undefined || at.epoch !== log.epoch', 'log === undefined'],
  [
    'a position ahead of the log is good',
    'memory.ts',
    "if (at.version > versionOf(log)) return 'behind'",
    'if (at.version > versionOf(log)) return null',
  ],
  ['a position below the horizon is good', 'memory.ts', "if (at.version < log.horizon) return 'horizon'", ''],
  ['a position at the horizon is refused', 'memory.ts', 'if (at.version < log.horizon)', 'if (at.version <= log.horizon)'],
  [
    'a fork is said before the horizon',
    'memory.ts',
    "if (at.version < log.horizon) return 'horizon'",
    "if (chainAt(log, Math.max(at.version, log.floor.version)) !== at.chain) return 'fork'\n  if (at.version < log.horizon) return 'horizon'",
  ],
  ['[R1] the chain is not compared', 'memory.ts', "chainAt(log, at.version) === at.chain ? null : 'fork'", 'null'],
  [
    '[R1] the chain of the whole log is compared',
    'memory.ts',
    'chainAt(log, at.version) === at.chain',
    'chainAt(log, versionOf(log)) === at.chain',
  ],
  [
    'a refused append leaves its authors behind',
    'memory.ts',
    "if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }\n    const from",
    "if (reason !== null && log) for (const e of entries) log.authors.set(e.author, { seq: e.seq, version: 1 })\n    if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }\n    const from",
  ],
  // removing, and bringing from elsewhere
  ['a removed document says nothing of it', 'memory.ts', '{ removed: true })', '{})'],
  [
    'a removed document keeps its epoch',
    'memory.ts',
    'this.#create(doc, this.#epochs(), { removed',
    'this.#create(doc, log.epoch, { removed',
  ],
  [
    'nobody hears of a removed document',
    'memory.ts',
    "this.#feed.tell(doc, { kind: 'durable', epoch, version: 0, chain: emptyChain })",
    '',
  ],
  ['what is brought from elsewhere can be opened half', 'memory.ts', 'if (log.planted) throw new Error(unfinished(doc))', ''],
  [
    'what is brought from elsewhere takes any place',
    'memory.ts',
    '!same && (log.planted || versionOf(log) > 0)',
    '!same && log.planted',
  ],
  [
    'an import begins again instead of going on',
    'memory.ts',
    'const same = log?.planted &&',
    'const same = false && log?.planted &&',
  ],
  ['any import goes on with any other', 'memory.ts', 'log?.planted && log.epoch === epoch &&', 'log?.planted &&'],
  ['[R13] an import brings no authors', 'memory.ts', 'planted.authors.set(author, row)', ''],
  ['[R1] an import ends with a checkpoint of another history', 'memory.ts', ': !holds(log, checkpoint)', ': false'],
  [
    'an import ends without the checkpoint that it needs',
    'memory.ts',
    'checkpoint === null ? log.floor.version > 0',
    'checkpoint === null ? false',
  ],
  ['an import does not end', 'memory.ts', 'log.planted = false\n', ''],
  // appending
  ['[R13] duplicates are taken', 'memory.ts', 'if (seq <= (log.authors.get(author)?.seq ?? 0)) continue', ''],
  ['[R13] an equal seq is taken', 'memory.ts', 'if (seq <= (log', 'if (seq < (log'],
  ['[R13] only an equal seq is dropped', 'memory.ts', 'if (seq <= (log.authors', 'if (seq === (log.authors'],
  [
    '[R13] a gap in the seqs is dropped',
    'memory.ts',
    'if (seq <= (log.authors.get(author)?.seq ?? 0)) continue',
    'if (log.authors.has(author) && seq !== log.authors.get(author)!.seq + 1) continue',
  ],
  [
    '[R13] duplicates within a batch are taken',
    'memory.ts',
    '?.seq ?? 0)) continue',
    '?.seq ?? 0) && log.authors.get(author)!.version <= from) continue',
  ],
  ['[R13] the authors’ rows are not kept', 'memory.ts', 'log.authors.set(author, landed(entry))', ''],
  ['each chain links to the first', 'memory.ts', 'link(chainAt(log, version - 1),', 'link(emptyChain,'],
  [
    'the body does not count for the chain',
    'memory.ts',
    'link(chainAt(log, version - 1), { author, seq, body })',
    "link(chainAt(log, version - 1), { author, seq, body: '' })",
  ],
  [
    'a version is left out',
    'memory.ts',
    'const version = versionOf(log) + 1',
    'const version = versionOf(log) + (versionOf(log) > 3 ? 2 : 1)',
  ],
  ['the body is trimmed', 'memory.ts', 'const entry = { author, seq, body,', 'const entry = { author, seq, body: body.trim(),'],
  [
    'the reply brings the caller’s own entries only',
    'memory.ts',
    'return { ok: true, entries: after(log, at.version), durable: log.durable, horizon: log.horizon }\n  }\n\n  read',
    'return { ok: true, entries: after(log, from), durable: log.durable, horizon: log.horizon }\n  }\n\n  read',
  ],
  [
    'the reply brings what was missed only',
    'memory.ts',
    'return { ok: true, entries: after(log, at.version), durable: log.durable, horizon: log.horizon }\n  }\n\n  read',
    'return { ok: true, entries: after(log, at.version).filter(e => e.version <= from), durable: log.durable, horizon: log.horizon }\n  }\n\n  read',
  ],
  [
    'the log is one for all documents',
    'memory.ts',
    'const log = this.#documents.get(doc) ?? this.#create(doc, this.#epochs())',
    'const log = this.#documents.values().next().value ?? this.#create(doc, this.#epochs())\n    this.#documents.set(doc, log)',
  ],
  ['opening makes a new log', 'memory.ts', 'this.#documents.get(doc) ?? this.#create', 'this.#create'],
  [
    'the tail begins at the horizon',
    'memory.ts',
    'after(log, log.checkpoint?.version ?? 0)',
    'after(log, log.checkpoint?.horizon ?? 0)',
  ],
  [
    'the tail lacks its end',
    'memory.ts',
    'return { epoch, checkpoint, tail,',
    'return { epoch, checkpoint, tail: tail.slice(0, 40),',
  ],
  // announcing
  ['nothing is announced', 'memory.ts', 'if (versionOf(log) > from) {', 'if (versionOf(log) < from) {'],
  ['an append that adds nothing is announced', 'memory.ts', 'if (versionOf(log) > from) {', 'if (versionOf(log) >= from) {'],
  [
    'a batch is announced without its last entry',
    'memory.ts',
    'entries: after(log, from), durable: log.durable })',
    'entries: after(log, from).slice(0, entries.length - 1 || 1), durable: log.durable })',
  ],
  [
    'the announcement has the chain after its entries',
    'memory.ts',
    'from, chain, entries: after(log, from), durable',
    'from, chain: chainAt(log, versionOf(log)), entries: after(log, from), durable',
  ],
  [
    'the announcement starts one too high',
    'memory.ts',
    'epoch: log.epoch, from, chain,',
    'epoch: log.epoch, from: from + 1, chain,',
  ],
  [
    'entries are announced before they are in the log',
    'memory.ts',
    'for (const { author, seq, body } of entries) {',
    "const next = entries[0]\n    if (next && next.seq > (log.authors.get(next.author)?.seq ?? 0)) this.#feed.tell(doc, { kind: 'entries', epoch: log.epoch, from, chain, entries: [{ ...next, version: from + 1, chain: link(chain, next) }], durable: log.durable })\n    for (const { author, seq, body } of entries) {",
  ],
  [
    'announcements overtake each other',
    'memory.ts',
    "this.#feed.tell(doc, { kind: 'entries', epoch: log.epoch, from, chain, entries: after(log, from), durable: log.durable })",
    "const news = { kind: 'entries' as const, epoch: log.epoch, from, chain, entries: after(log, from), durable: log.durable }\n      setTimeout(() => this.#feed.tell(doc, news), from % 2 ? 20 : 0)",
  ],
  [
    'refused entries are announced',
    'memory.ts',
    "if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }\n    const from",
    "if (log && reason !== null && entries.length > 0) this.#feed.tell(doc, { kind: 'entries', epoch: log.epoch, from: versionOf(log), chain: at.chain, entries: [{ ...entries[0]!, version: versionOf(log) + 1, chain: at.chain }], durable: 0 })\n    if (log === undefined || reason !== null) return { ok: false, reason: reason ?? 'epoch' }\n    const from",
  ],
  ['nothing ever becomes durable', 'memory.ts', "if (this.#durable === 'at once') log", "if (this.#durable === 'by hand') log"],
  [
    'durability is ahead of the log',
    'memory.ts',
    "if (this.#durable === 'at once') log.durable = versionOf(log)",
    "if (this.#durable === 'at once') log.durable = versionOf(log) + 1",
  ],
  [
    'durability goes back',
    'memory.ts',
    "if (this.#durable === 'at once') log.durable = versionOf(log)",
    "if (this.#durable === 'at once') log.durable = entries.length === 0 ? versionOf(log) : versionOf(log) % 2",
  ],
  [
    'durability is not announced',
    'memory.ts',
    "this.#feed.tell(doc, { kind: 'durable', epoch: log.epoch, version: reached, chain: chainAt(log, reached) })",
    '',
  ],
  [
    '[R1] durability is announced with the chain of the end',
    'memory.ts',
    'chain: chainAt(log, reached) })',
    'chain: chainAt(log, versionOf(log)) })',
  ],
  // horizon, checkpoint, trimming, pruning
  [
    '[R3] the horizon can fall',
    'memory.ts',
    'Math.max(log.horizon, Math.min(horizon, versionOf(log)))',
    'Math.min(horizon, versionOf(log))',
  ],
  [
    '[R3] the horizon can pass the log',
    'memory.ts',
    'Math.max(log.horizon, Math.min(horizon, versionOf(log)))',
    'Math.max(log.horizon, horizon)',
  ],
  ['[R3] raising the horizon answers the horizon', 'memory.ts', 'return versionOf(log)\n  }', 'return log.horizon\n  }'],
  [
    '[R3] any epoch may raise the horizon',
    'memory.ts',
    'if (log === undefined || log.epoch !== epoch) return null',
    'if (log === undefined) return null',
  ],
  [
    '[R3] raising the horizon trims',
    'memory.ts',
    'return versionOf(log)\n  }',
    'this.#trim(log, log.horizon)\n    return versionOf(log)\n  }',
  ],
  [
    'a checkpoint of any epoch is stored',
    'memory.ts',
    'if (log === undefined || epoch !== log.epoch) return false',
    'if (log === undefined) return false',
  ],
  [
    'a checkpoint with any chain is stored',
    'memory.ts',
    ' || chainAt(log, version) !== checkpoint.chain) return false',
    ') return false',
  ],
  ['a checkpoint replaces a newer one', 'memory.ts', 'if (version < (log.checkpoint?.version ?? 0)) return false', ''],
  [
    'a checkpoint never replaces another',
    'memory.ts',
    'if (version < (log.checkpoint?.version ?? 0)) return false',
    'if (log.checkpoint !== null) return false',
  ],
  [
    '[R5] a checkpoint may be ahead of what is durable',
    'memory.ts',
    'if (version > log.durable || version <= horizon)',
    'if (version <= horizon)',
  ],
  [
    '[R5] a checkpoint may stand at its horizon',
    'memory.ts',
    'version <= horizon) return false',
    'version < horizon) return false',
  ],
  ['[R3] a checkpoint’s horizon may be above the log’s', 'memory.ts', 'if (horizon > log.horizon) return false', ''],
  ['[R7] the prune mark may be above the horizon', 'memory.ts', 'if (pruned > horizon || pruned <', 'if (pruned <'],
  [
    '[R7] the prune mark may fall',
    'memory.ts',
    'if (pruned > horizon || pruned < (log.checkpoint?.pruned ?? 0)) return false',
    'if (pruned > horizon) return false',
  ],
  [
    'a refused checkpoint trims',
    'memory.ts',
    'if (version > log.durable ||',
    'this.#trim(log, Math.min(horizon, versionOf(log)))\n    if (version > log.durable ||',
  ],
  ['the checkpoint is not stored', 'memory.ts', 'log.checkpoint = checkpoint\n    this', 'this'],
  [
    'the checkpoint loses its body',
    'memory.ts',
    'log.checkpoint = checkpoint\n    this',
    'log.checkpoint = { ...checkpoint, body: checkpoint.body.slice(0, 500_000) }\n    this',
  ],
  ['nothing is trimmed', 'memory.ts', 'this.#trim(log, horizon)', ''],
  ['one entry too many is trimmed', 'memory.ts', 'this.#trim(log, horizon)', 'this.#trim(log, horizon + 1)'],
  ['one entry too few is trimmed', 'memory.ts', 'this.#trim(log, horizon)', 'this.#trim(log, horizon - 1)'],
  ['everything below the log’s horizon is trimmed', 'memory.ts', 'this.#trim(log, horizon)', 'this.#trim(log, log.horizon)'],
  ['the chain at the horizon goes with its entry', 'memory.ts', 'chain: trimmed.at(-1)!.chain }', 'chain: emptyChain }'],
  [
    '[R7] no author is ever pruned',
    'memory.ts',
    'for (const [author, row] of log.authors) if (row.version <= pruned) log.authors.delete(author)\n    for',
    'for',
  ],
  [
    '[R7] authors are pruned at the horizon',
    'memory.ts',
    'of log.authors) if (row.version <= pruned) log.authors.delete(author)\n    for',
    'of log.authors) if (row.version <= horizon) log.authors.delete(author)\n    for',
  ],
  [
    '[R7] the author at the mark is spared',
    'memory.ts',
    'of log.authors) if (row.version <= pruned) log.authors.delete(author)\n    for',
    'of log.authors) if (row.version < pruned) log.authors.delete(author)\n    for',
  ],
  [
    '[R7] all authors are pruned',
    'memory.ts',
    'of log.authors) if (row.version <= pruned) log.authors.delete(author)\n    for',
    'of log.authors) if (pruned > 0 && row) log.authors.delete(author)\n    for',
  ],
  ['[R1] after a lost tail its authors are still known', 'memory.ts', 'log.authors = new Map(log.authorsAtFloor)\n', ''],
  [
    '[R13] what a first try to plant did not bring stays unknown',
    'memory.ts',
    'if (!planted.authors.has(author)) planted.authors.set(author, row)',
    'if (!same) planted.authors.set(author, row)',
  ],
  [
    '[R13] to plant again forgets what has been appended',
    'memory.ts',
    'if (!planted.authors.has(author)) planted.authors.set(author, row)',
    'planted.authors.set(author, row)',
  ],
  [
    'nobody knows that something was removed',
    'memory.ts',
    'checkpointed, planted, removed }',
    'checkpointed, planted, removed: false }',
  ],
  // listings
  ['what is planted is not listed', 'memory.ts', '(versionOf(log) > 0 || log.planted)', 'versionOf(log) > 0'],
  ['a page of entries lacks its last one', 'memory.ts', 'entry.version <= start + limit', 'entry.version < start + limit'],
  [
    'a page of entries counts what is kept',
    'memory.ts',
    'after(log, start).filter(entry => entry.version <= start + limit)',
    'after(log, start).slice(0, limit)',
  ],
  [
    'documents nobody wrote to are listed',
    'memory.ts',
    'versionOf(log) > 0 || log.planted',
    'versionOf(log) >= 0 || log.planted',
  ],
  [
    'a page of documents begins with the end of the last one',
    'memory.ts',
    'compareIds(doc, start) > 0',
    'compareIds(doc, start) >= 0',
  ],
  ['documents are listed in JavaScript’s order', 'memory.ts', '.sort(compareIds)', '.sort()'],
  // the feed
  ['calling off calls nothing off', 'feed.ts', 'if (set?.delete(own) && set.size === 0)', 'if (set?.has(own) && set.size === 0)'],
  ['calling off calls everybody off', 'feed.ts', 'if (set?.delete(own) && set.size === 0) this', 'if (set?.delete(own)) this'],
  [
    'only the first listener hears',
    'feed.ts',
    'for (const listener of [...set]) {',
    'for (const listener of [...set].slice(0, 1)) {',
  ],
  ['a listener that throws silences the feed', 'feed.ts', 'queueMicrotask(() => {\n          throw bug\n        })', 'throw bug'],
  // presence
  ['nobody is listed', 'presence.ts', 'peers.set(appearance.peer, appearance)', ''],
  [
    'the first state stays',
    'presence.ts',
    'peers.set(appearance.peer, appearance)',
    'if (!peers.has(appearance.peer)) peers.set(appearance.peer, appearance)',
  ],
  [
    'a change is no news',
    'presence.ts',
    "feed.tell(doc, [{ kind: 'here', appearance }])",
    "if (appearance.version < 2) feed.tell(doc, [{ kind: 'here', appearance }])",
  ],
  ['leaving is no news', 'presence.ts', "feed.tell(doc, [{ kind: 'gone', peer }])", ''],
  [
    'leaving is news every time',
    'presence.ts',
    'if (!peers?.delete(peer)) return',
    'if (!peers) return\n      peers.delete(peer)',
  ],
  ['whoever leaves takes everybody along', 'presence.ts', 'if (peers.size === 0) documents.delete(doc)', 'documents.delete(doc)'],
  [
    'a room is everybody’s',
    'presence.ts',
    'let peers = documents.get(doc)',
    'let peers = documents.get(doc) ?? documents.values().next().value',
  ],
  // signals
  ['a signal goes nowhere', 'signals.ts', 'queueMicrotask(() => feed.tell(doc, JSON.parse(text) as Json))', ''],
  ['a signal changes on its way', 'signals.ts', 'feed.tell(doc, JSON.parse(text) as Json)', 'feed.tell(doc, text && payload)'],
  ['a signal may be of any length', 'signals.ts', 'if (bytes > signalBytes) throw', 'if (bytes < 0) throw'],
  // what nodes say
  ['a control message goes nowhere', 'signals.ts', "queueMicrotask(() => feed.tell('control', JSON.parse(text) as Json))", ''],
  [
    'a control message is heard from inside the call',
    'signals.ts',
    "queueMicrotask(() => feed.tell('control', JSON.parse(text) as Json))",
    "feed.tell('control', JSON.parse(text) as Json)",
  ],
  [
    'a control message changes on its way',
    'signals.ts',
    "feed.tell('control', JSON.parse(text) as Json)",
    "feed.tell('control', text && message)",
  ],
  [
    'a control message is heard twice',
    'signals.ts',
    "queueMicrotask(() => feed.tell('control', JSON.parse(text) as Json))",
    "for (const _ of 'ab') queueMicrotask(() => feed.tell('control', JSON.parse(text) as Json))",
  ],
  ['the longest signal is too long', 'signals.ts', 'if (bytes > signalBytes) throw', 'if (bytes >= signalBytes) throw'],
  // notices
  ['a notice hangs for ever', 'notices.ts', '.filter(({ until }) => until > now)', ''],
  ['a notice hangs for a moment too long', 'notices.ts', 'until > now', 'until >= now'],
  ['a post takes down what still hangs', 'notices.ts', 'until <= now', 'until > now'],
  ['a post does not move the mark', 'notices.ts', 'posted++', ''],
  ['the mark is always another', 'notices.ts', 'if (mark ===', 'if (mark === mark + 1 && mark ==='],
  [
    'an earlier notice stays in its place',
    'notices.ts',
    'hanging.set(copy.key, copy)',
    'if (!hanging.has(copy.key)) hanging.set(copy.key, copy)',
  ],
  ['each store has a board of its own', 'memory.ts', 'notices: core.notices', 'notices: localNotices()'],
  // seats
  ['anybody gets a seat', 'seats.ts', '>= most) return false', '>= most) return true'],
  ['one seat too many', 'seats.ts', '>= most) return false', '> most) return false'],
  [
    'a client that has a seat may lose it',
    'seats.ts',
    '        if (sitting.client === client) {',
    '        if (sitting.client === client && taken + 1 < most) {',
  ],
  ['a user’s other clients are forgotten', 'seats.ts', 'nodes: here, next: first }', 'nodes: here, next: null }'],
  ['a seat is not given back', 'seats.ts', 'else benches.delete(user)', ''],
  [
    'one of two seats is not given back',
    'seats.ts',
    'if (before !== null) before.next = sitting.next',
    'if (before !== null) return',
  ],
  [
    'with one of two seats both are given back',
    'seats.ts',
    'else if (sitting.next !== null) benches.set(user, sitting.next)',
    '',
  ],
  ['a seat on both is given back by one', 'seats.ts', 'if (sitting.nodes.length > 0) return', ''],
  ['a client on two nodes sits on one', 'seats.ts', 'sitting.nodes = sitting.nodes.concat(node)', ''],
  ['whoever closes keeps the seats', 'memory.ts', 'seats.close()', ''],
  ['each store counts for itself', 'memory.ts', 'localSeats(core.benches)', 'localSeats()'],
]

const home = new URL('../../src/stores/', import.meta.url).pathname
const workshop = mkdtempSync(join(tmpdir(), 'inkwell-mutants-'))
afterAll(() => rmSync(workshop, { recursive: true }))

const sources: readonly Source[] = ['memory.ts', 'feed.ts', 'presence.ts', 'signals.ts', 'notices.ts', 'seats.ts']

/** The memory store, built from a copy of its sources with one fault in it. */
const build = async (name: string, fault: Fault | null): Promise<Memory> => {
  for (const file of sources) {
    let text = readFileSync(join(home, file), 'utf8')
    if (fault?.[1] === file) {
      const parts = text.split(fault[2])
      expect(parts.length, `the text of this fault occurs once in ${file}`).toBe(2)
      text = parts.join(fault[3])
    }
    for (const other of sources) text = text.replace(`'./${other}'`, `'${join(workshop, `${name}-${other}`)}'`)
    text = text.replaceAll("'./", `'${home}`).replaceAll("'../", `'${join(home, '..')}/`)
    writeFileSync(join(workshop, `${name}-${file}`), text)
  }
  return import(/* @vite-ignore */ join(workshop, `${name}-memory.ts`))
}

/** The first law that a store breaks, in one of its two manners of durability. */
const broken = async ({ MemoryLog, memoryStore }: Memory): Promise<string | null> => {
  for (const durable of ['at once', 'by hand'] as const) {
    const setup = async (): Promise<StoreUnderLaw> => {
      const core = new MemoryLog({ durable })
      const store = memoryStore({}, core)
      return {
        store,
        async reopen() {
          await store.close()
          return memoryStore({}, core)
        },
        beside: async () => memoryStore({}, core),
        durableUpTo: async (doc, version) => core.durableUpTo(doc, version),
        lose: async (doc, to) => core.lose(doc, to),
        discard: () => store.close(),
      }
    }
    const doors = { reopen: true, beside: true, lose: true, durableUpTo: durable === 'by hand' }
    for (const law of storeLaws(setup, doors, { patience: 500, searches: 2 })) {
      try {
        await law.run()
      } catch {
        return law.name
      }
    }
  }
  return null
}

describe('a fault in a store breaks a law', () => {
  it('the copy without a fault keeps all of them', async () => {
    expect(await broken(await build('sound', null))).toBeNull()
  })
  for (const [i, fault] of faults.entries()) {
    it(fault[0], async () => {
      expect(await broken(await build(`m${i}`, fault))).not.toBeNull()
    })
  }
})

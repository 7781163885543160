// The rules R1–R15 (docs/ARCHITECTURE.md), each taken out of the code by the smallest change that does so.
// Invariant: every `find` stands exactly once in its file, so that a mutant cannot silently become the real thing.

import type { WorldOptions } from './world.ts'

export interface Mutant {
  readonly rule: string
  /** What is taken away. */
  readonly without: string
  readonly edits: readonly { readonly file: string; readonly find: string; readonly put: string }[]
  /** The worlds in which it shows. Default: `all`. */
  readonly faults?: WorldOptions['faults']
  /** A seed that showed it when this was written; a change of the simulation may need another, which is then searched for. */
  readonly seed: number
}

const memory = 'src/stores/memory.ts'
const sequencer = 'src/engine/sequencer.ts'
const session = 'src/client/session.ts'

export const mutants: readonly Mutant[] = [
  {
    rule: 'R1',
    seed: 9,
    without: 'the chain in a position: epoch and version alone name a history',
    edits: [{ file: memory, find: "return chainAt(log, at.version) === at.chain ? null : 'fork'", put: 'return null' }],
  },
  {
    rule: 'R2',
    seed: 90,
    without: 'comparing the part of a frame that overlaps with what is held',
    edits: [
      {
        file: sequencer,
        find: 'return shared === undefined || shared.chain === this.history.chainAt(shared.version)',
        put: 'return true',
      },
    ],
  },
  {
    rule: 'R3',
    seed: 698,
    without: 'a checkpoint at or above the version at which the horizon was raised',
    edits: [{ file: sequencer, find: ' || this.head < saving.atLeast', put: '' }],
  },
  {
    rule: 'R4',
    seed: 1,
    without: 'reading the log before commits below a raised horizon are dropped',
    edits: [
      {
        file: sequencer,
        find: "this.saving = { kind: 'reaching', horizon, atLeast }",
        put: "this.saving = { kind: 'reaching', horizon, atLeast }\n    this.forget(Math.min(atLeast, this.head))",
      },
    ],
  },
  {
    rule: 'R5',
    seed: 3,
    without: 'waiting until what a checkpoint holds is durable',
    edits: [
      { file: sequencer, find: 'this.saving.checkpoint.version <= this.durableVersion', put: 'true' },
      { file: memory, find: 'if (version > log.durable || version <= horizon) return false // R5', put: '' },
    ],
  },
  {
    rule: 'R6',
    seed: 20,
    without: 'telling a joiner which of its edits a snapshot holds',
    edits: [
      {
        file: 'src/engine/document.ts',
        find: 'landed: last === null ? null : { seq: last.seq, version: last.version },',
        put: 'landed: last === null ? null : null,',
      },
    ],
  },
  {
    rule: 'R7',
    seed: 16,
    without: 'the prune mark: an author who is not in the table counts as one whose edits are not in',
    edits: [
      {
        file: session,
        find: 'const unknowable = content.landed === null && sent.length + confirmed.length > 0 && oldest < content.pruned',
        put: 'const unknowable = content.landed === null && sent.length + confirmed.length > 0 && oldest < -1',
      },
    ],
  },
  {
    rule: 'R9',
    seed: 2,
    without: 'comparing the commit of an own edit with the edit in flight',
    edits: [{ file: 'src/ot/queue.ts', find: 'own === 0 && type.equals(units[0]!.op, commit)', put: 'own === 0' }],
  },
  {
    rule: 'R9, composed',
    seed: 56,
    faults: 'days',
    without: 'a commit of the receiver being a unit by itself in what it has missed',
    edits: [{ file: 'src/engine/catchup.ts', find: 'if (author !== receiver)', put: 'if (author !== null)' }],
  },
  {
    rule: 'R10',
    seed: 24,
    without: 'keeping what is confirmed until it is durable',
    edits: [
      {
        file: session,
        find: 'while (confirmed.length > 0 && confirmed.at(-1)!.seq > landed)',
        put: 'while (confirmed.length < 0)',
      },
    ],
  },
  {
    rule: 'R12',
    seed: 7,
    without: 'storing an edit before it is sent',
    edits: [{ file: session, find: "if (first.seq === null) this.effects.push({ kind: 'persist' })", put: '' }],
  },
  {
    rule: 'R12, given back',
    seed: 8,
    without: 'doubting what has no number when the storage turns out to have forgotten what was sent',
    edits: [{ file: session, find: 'while (this.state.units.at(-1)?.seq === null)', put: 'while (this.state.seq < 0)' }],
  },
  {
    rule: 'R13',
    seed: 1,
    without: 'the log refusing a number that an author has used',
    edits: [{ file: memory, find: 'if (seq <= (log.authors.get(author)?.seq ?? 0)) continue', put: '' }],
  },
]

/** Rules that the simulation does not miss: somebody else keeps the promise, or it is about manners. Each has a test of its own. */
export const missedBy: readonly (Omit<Mutant, 'seed'> & { readonly tests: string })[] = [
  {
    rule: 'R8',
    tests: 'test/engine/engine.test.ts',
    without: 'refusing a number below that of a commit since the base',
    edits: [{ file: sequencer, find: "return later ? 'later' : null", put: 'return null' }],
  },
  {
    rule: 'R11',
    tests: 'test/engine/engine.test.ts',
    without: 'the node offering again what it has delivered and the log has lost',
    edits: [
      {
        file: sequencer,
        find: 'this.lost = { agreed: common.value, units }',
        put: 'this.lost = { agreed: common.value, units: units.slice(0, 0) }',
      },
    ],
  },
  {
    rule: 'R11',
    tests: 'test/engine/engine.test.ts',
    without: 'dropping what went lost and whose author has used a later number since',
    edits: [
      {
        file: sequencer,
        find: 'else if ((this.authors.get(first.author)?.seq ?? 0) < first.seq) return',
        put: 'else if (first.seq > 0) return',
      },
    ],
  },
  {
    rule: 'R13',
    tests: 'test/engine/engine.test.ts',
    without: 'reading the log before anything more is offered when an append was not answered',
    edits: [{ file: sequencer, find: 'this.inDoubt = true', put: 'this.inDoubt = false' }],
  },
  {
    rule: 'R10',
    tests: 'test/client/session.test.ts',
    without: 'remembering whole what a difference has thinned out',
    edits: [{ file: session, find: 'if (removes(undo) >= removes(edit.undo)) return', put: 'return' }],
  },
  {
    rule: 'R14',
    tests: 'test/engine/engine.test.ts',
    without: 'telling the author of a submission that it is refused',
    edits: [
      {
        file: 'src/engine/engine.ts',
        find: 'if (no !== null) this.refuse(stay?.doc ?? null, message.handle, message.seq, no)',
        put: '',
      },
    ],
  },
]

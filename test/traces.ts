// Reads the editing histories in test/traces, for tests and benches.
// Invariant: positions are UTF-16 units (the files hold no character above U+FFFF, so code points and units are the same).
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** Like Array.splice: at `position` delete so many, insert text. Each is made on the result of the one before. */
export type Patch = readonly [position: number, deleted: number, inserted: string]

export interface SequentialTrace {
  readonly startContent: string
  readonly endContent: string
  readonly txns: readonly { readonly time: string; readonly patches: readonly Patch[] }[]
}

export interface ConcurrentTxn {
  /** Numbers of earlier transactions; the patches were made on the merge of these. None: on the empty text. */
  readonly parents: readonly number[]
  readonly agent: number
  readonly time: string
  readonly patches: readonly Patch[]
}

export interface ConcurrentTrace {
  readonly endContent: string
  readonly numAgents: number
  readonly txns: readonly ConcurrentTxn[]
}

export const sequentialTraces = ['automerge-paper', 'rustcode', 'sveltecomponent', 'seph-blog1'] as const

export type SequentialTraceName = (typeof sequentialTraces)[number] | 'friendsforever_flat'

export function sequentialTrace(name: SequentialTraceName): SequentialTrace {
  return read(name) as SequentialTrace
}

export function concurrentTrace(name: 'friendsforever'): ConcurrentTrace {
  return read(name) as ConcurrentTrace
}

/** All patches of a trace in their order. */
export function patchesOf(trace: SequentialTrace): Patch[] {
  return trace.txns.flatMap(txn => txn.patches)
}

function read(name: string): unknown {
  return JSON.parse(gunzipSync(readFileSync(new URL(`./traces/${name}.json.gz`, import.meta.url))).toString('utf8'))
}

// What stands behind an error of the store, and what to do about it, in words that everybody may read.
// Invariant: nothing of the error itself is repeated: it may say where the store lies, and under which name one enters there.

export interface Cause {
  readonly cause: string
  readonly mend: string
  /** It is not to be waited out. */
  readonly final?: true
}

const causes: readonly (readonly [RegExp, Cause])[] = [
  [
    /was replaced/,
    {
      cause: 'it is not the one that this node has worked with: it was emptied, or is another one',
      mend: 'put its data back, nodes then go on by themselves; or start the nodes anew to go on with what is there',
      final: true,
    },
  ],
  [
    /ENOSPC|no space left|MAP_FULL|EFBIG|file too large|EDQUOT/i,
    {
      cause: 'the disk is full',
      mend: 'make room on the disk of the data directory; edits that wait are then written by themselves',
    },
  ],
  [/^OOM /, { cause: 'Redis is full', mend: 'raise maxmemory: redis-cli config set maxmemory 2gb, and in its file' }],
  [
    /MISCONF/,
    { cause: 'Redis cannot write its file', mend: 'look at the disk of Redis, and at aof_last_write_status in INFO persistence' },
  ],
  [/READONLY/, { cause: 'Redis is a replica', mend: 'name the master, or the sentinels, in --store' }],
  [/NOAUTH|WRONGPASS|NOPERM/, { cause: 'Redis lets nobody in', mend: 'look at user, password and access list in --store' }],
  [/CLUSTERDOWN/, { cause: 'the cluster is down', mend: 'redis-cli cluster info; bring its masters back' }],
  [/LOADING/, { cause: 'Redis reads its file', mend: 'nothing: it serves when it has' }],
  [/no connection/, { cause: 'no connection', mend: 'bring the store back; nodes notice by themselves' }],
  [
    /no answer|within \d+ ms/,
    { cause: 'no answer in time', mend: 'redis-cli --latency, SLOWLOG GET, and the disk: aof_delayed_fsync in INFO persistence' },
  ],
]

/** Null: none that is known here; then the log has the error. */
export const causeOf = (error: unknown): Cause | null => {
  const message = error instanceof Error ? `${error.message} ${(error as NodeJS.ErrnoException).code ?? ''}` : String(error)
  return causes.find(([sign]) => sign.test(message))?.[1] ?? null
}

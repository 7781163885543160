// How the tests run: two files at a time, each in a process of its own, so that a file may crash, fork or kill as it likes.
// Invariant: a time limit only ends a hang; no test may pass or fail by how fast the machine is.

import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, longest first: started early, they leave no core idle at the end. */
const long = [
  /test\/chaos\//,
  /test\/simulation\//,
  /test\/stores\//,
  /test\/ot\//,
  /test\/client\/traces/,
  /test\/multi-node\//,
  /test\/browser\//,
  /test\/house\/(pack|readme)/,
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = long.findIndex(pattern => pattern.test(moduleId))
      return at === -1 ? long.length : at
    }
    return (await super.sort(files)).sort((left, right) => rank(left) - rank(right))
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2, // what a small CI machine has; the heavy files keep a core busy each
    sequence: { sequencer: LongestFirst },
    testTimeout: 600_000, // the longest simulation takes about a tenth of this on two cores
    hookTimeout: 300_000, // installing the packed tarball from a cold cache
    teardownTimeout: 30_000,
    allowOnly: false, // a forgotten .only would hide every other test
  },
})

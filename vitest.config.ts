// How the tests run: two at a time, each file in a process of its own, so that a file may crash, fork or kill as it likes.
// Invariant: a time limit only ends a hang; no test may pass or fail by how fast the machine is.

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2, // what a small CI machine has; the heavy files keep a core busy each
    testTimeout: 600_000, // the longest simulation takes about a tenth of this on two cores
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    allowOnly: false, // a forgotten .only would hide every other test
  },
})

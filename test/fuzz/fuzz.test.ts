// Some seconds of what `npm run fuzz` does for as long as one likes.

import { describe, expect, it } from 'vitest'
import { fuzz } from './fuzz.ts'

const seed = Number(process.env.SEED ?? 1)

describe.each([
  ['documents alone', false],
  ['an application’s namespace besides', true],
])('a server with %s', (_, shared) => {
  it(`[P5] [P6] messages, packets and requests that are nearly right harm neither the server nor those who type (seed ${seed})`, async () => {
    const say = (line: string) => process.stdout.write(`${line}\n`)
    const { tally, edits } = await fuzz({ seed, seconds: 8, strict: false, shared, say })
    expect(edits).toBeGreaterThan(50)
    // A fuzzer that is never let in finds nothing.
    const outcomes = ['binary', 'json'].flatMap(form =>
      ['welcome', 'taken', 'refused', 'closed', 'hello refused'].map(what => `${what} ${form}`),
    )
    expect(outcomes.filter(what => (tally[what] ?? 0) < 3)).toEqual([])
    const statuses = ['public 200', 'public 400', 'public 401', 'public 404', 'admin 200', 'admin 400', 'admin 401', 'admin 404']
    expect(statuses.filter(status => tally[`http ${status}`] === undefined)).toEqual([])
  }, 600_000)
})

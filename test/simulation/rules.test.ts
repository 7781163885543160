// Each rule of "the log decides" is taken out of a copy of the code, and the simulation must notice.
// Invariant: a rule whose loss goes unnoticed fails here: then the simulation does not cover its ground.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { run } from '../house/run.ts'
import { type Mutant, missedBy, mutants } from './mutants.ts'
import type { simulate } from './world.ts'

const root = join(import.meta.dirname, '../..')

/** A copy of the code without a rule, and of the tests in these folders; answers where it is. */
const copyWithout = ({ rule, edits }: Omit<Mutant, 'seed'>, folders: readonly string[]): string => {
  const place = join(root, 'test-artefacts/mutants', rule)
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place, { recursive: true })
  cpSync(join(root, 'src'), join(place, 'src'), { recursive: true })
  for (const folder of folders) cpSync(join(root, folder), join(place, folder), { recursive: true })
  for (const { file, find, put } of edits) {
    const code = readFileSync(join(place, file), 'utf8')
    expect(code.split(find), `${file} has once: ${find}`).toHaveLength(2)
    writeFileSync(
      join(place, file),
      code.replace(find, () => put),
    )
  }
  return place
}

const simulationWithout = async (mutant: Omit<Mutant, 'seed'>): Promise<typeof simulate> => {
  const place = copyWithout(mutant, ['test/simulation'])
  const copy = (await import(pathToFileURL(join(place, 'test/simulation/world.ts')).href)) as { simulate: typeof simulate }
  return copy.simulate
}

const named = <T extends Omit<Mutant, 'seed'>>(all: readonly T[]) =>
  all.map(mutant => [mutant.rule, mutant.without, mutant] as const)

test.each(named(mutants))('[%s] the simulation breaks without %s', async (_, __, mutant) => {
  const broken = await simulationWithout(mutant)
  const seeds = [mutant.seed, ...Array.from({ length: 2_500 }, (_, i) => i + 1)]
  let failure: string | null = null
  for (const seed of seeds) {
    failure = await broken({ seed, steps: 1_000, mode: 'mix', faults: mutant.faults ?? 'all' }).then(
      () => null,
      (error: Error) => error.message,
    )
    if (failure !== null) break
  }
  expect(failure, 'no seed failed').toMatch(/^seed \d+: /)
})

test.each(named(missedBy))('[%s] its own test breaks without %s', async (rule, _, mutant) => {
  const { tests } = mutant
  const place = copyWithout(mutant, ['test/simulation', dirname(tests)])
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const outcome = run(process.execPath, [vitest, 'run', '--root', place, tests, '-t', `\\[${rule}\\]`], place)
  await expect(outcome).rejects.toThrow(/AssertionError/)
})

test('[R15] the simulation finds words mixed when the later op goes right', async () => {
  const broken = await simulationWithout({
    rule: 'R15',
    without: '',
    edits: [
      {
        file: 'src/engine/entry.ts',
        find: "type.transform(moved, history.at(version).op, 'left')",
        put: "type.transform(moved, history.at(version).op, 'right')",
      },
      {
        file: 'src/ot/queue.ts',
        find: "type.transformPair(unit.op, shown, 'left')",
        put: "type.transformPair(unit.op, shown, 'right')",
      },
      {
        file: 'test/simulation/world.ts',
        find: "op = textType.transform(op, other, 'left')",
        put: "op = textType.transform(op, other, 'right')",
      },
    ],
  })
  let [typed, mixed] = [0, 0]
  for (let seed = 50_000; seed < 50_200; seed++) {
    const outcome = await broken({ seed, steps: 300, mode: 'type', faults: 'none' })
    typed += outcome.typed
    mixed += outcome.mixed
  }
  expect(mixed / typed).toBeGreaterThan(0.3)
})

// Runs the tests: everything by `npm test`, a part by `npm test -- test/ot`.
// Invariant: exits with 0 only when at least one test ran, none failed, and the static checks of a whole run held.

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureNeeds } from './needs.mjs'
import { root, run, say, toolScript } from './run.mjs'

const asked = process.argv.slice(2)
const reportPath = join(root, 'test-artefacts', 'vitest.json')

process.exitCode = await main()

async function main() {
  if (!(await ensureNeeds())) return 1

  if ((await run(process.execPath, [join(root, 'scripts', 'build.mjs')], { show: true })).code !== 0) return 1

  if (asked.length === 0) {
    const since = performance.now()
    const checked = await run('npm', ['run', '--silent', 'check'])
    if (checked.code !== 0) {
      process.stderr.write(checked.output)
      say('check', 'failed: npm run check')
      return 1
    }
    say('check', 'types, formatting and unused code are fine', since)
  } else {
    say('check', 'left out, a part was asked for; npm run check runs it')
  }

  mkdirSync(join(root, 'test-artefacts'), { recursive: true })
  rmSync(reportPath, { force: true })
  say('test', `vitest run ${asked.join(' ')}`.trimEnd())
  const env = process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' }
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`]
  const { code } = await run(process.execPath, [toolScript('vitest'), 'run', ...reporters, ...asked], { show: true, env })

  const { passed, failed } = readReport()
  if (failed === 0 && passed > 0 && code !== 0)
    say('test', `vitest ended with code ${code} for a reason that no test shows; see above`)
  // On a line of its own and in this form: machines that run the tests read it.
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
  return code === 0 && failed === 0 && passed > 0 ? 0 : 1
}

/** A file that could not be loaded has no tests to count; it counts as one that failed. */
function readReport() {
  let report
  try {
    report = JSON.parse(readFileSync(reportPath, 'utf8'))
  } catch (error) {
    say('test', `vitest left no report: ${error.message}`)
    return { passed: 0, failed: 0 }
  }
  const unloadable = report.testResults.filter(
    file => file.status === 'failed' && file.assertionResults.every(test => test.status !== 'failed'),
  )
  return { passed: report.numPassedTests, failed: report.numFailedTests + unloadable.length }
}

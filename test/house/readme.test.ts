// Every sample and every command in the README, run.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { issueToken } from '../../src/server/jwt.ts'
import { chromiumPath } from '../chromium.ts'
import { bundle } from './bundle.ts'
import { run, shellEnvironment } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const blocks = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({
  language: language!,
  code: code!,
}))
const [serverSample, clientSample, editorSample, earnestSample, ...others] = blocks
  .filter(block => /^(ts|js)$/.test(block.language))
  .map(block => block.code)

// Inside the package, so that `inkwell/client` means what is built here.
const folder = join(root, 'test-artefacts', 'readme')
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
let data: string
let port: number
let server: ChildProcess

beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  data = mkdtempSync(join(tmpdir(), 'inkwell-readme-'))
  port = await freePort()
})
afterAll(() => {
  server?.kill('SIGKILL')
  rmSync(data, { recursive: true, force: true })
})

it('there is no sample that these tests do not run', () => {
  expect(others).toEqual([])
  expect([serverSample, clientSample, editorSample, earnestSample]).not.toContain(undefined)
  expect(blocks.filter(block => !/^(ts|js|sh)$/.test(block.language))).toEqual([])
})

it('the compiler accepts every sample', async () => {
  const files = [serverSample, clientSample, editorSample, earnestSample].map((code, index) => {
    writeFileSync(join(folder, `sample-${index}.ts`), code!)
    return `sample-${index}.ts`
  })
  const compilerOptions = { noEmit: true }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: [], files }),
  )
  expect(await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], root)).toBe('')
})

it('the samples of server, client and editor work together as they stand there', async () => {
  server = spawn(process.execPath, ['--import', tsx, written('server.ts', serverSample!)], {
    cwd: data,
    env: shellEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise<void>((resolve, reject) => {
    server.stdout!.on('data', chunk => String(chunk).includes(`:${port}`) && resolve())
    server.on('exit', code => reject(new Error(`the server sample ended with code ${code}`)))
  })

  expect(await run(process.execPath, ['--import', tsx, written('client.ts', clientSample!)], data)).toBe('local: Hello\n')

  const page = createServer((_request, response) => response.setHeader('content-type', 'text/html').end(html))
  const { code } = await bundle(root, withPort(editorSample!))
  const html = `<!doctype html><meta charset="utf-8"><body><script type="module">${code.replaceAll('</script', '<\\/script')}</script>`
  await new Promise<void>(resolve => page.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] })
  try {
    const tab = await browser.newPage()
    const faults: string[] = []
    tab.on('pageerror', error => faults.push(error.message))
    await tab.goto(`http://localhost:${(page.address() as AddressInfo).port}/`)
    const editor = tab.locator('.cm-content')
    await editor.getByText('Hello').click()
    await tab.keyboard.press('End')
    await tab.keyboard.type(' from the editor')
    await expect.poll(kept, { timeout: 60_000 }).toBe('Hello from the editor')
    expect(faults).toEqual([])
  } finally {
    await browser.close()
    page.close()
  }
})

it('the sample with tokens starts in production, and lets in whom a token names', async () => {
  const secret = 'a secret of more than 32 bytes, which nobody knows'
  const environment = { ...shellEnvironment(), NODE_ENV: 'production', INKWELL_JWT_SECRET: secret }
  const own = await freePort()
  const sample = join(folder, 'earnest.ts')
  writeFileSync(sample, earnestSample!.replaceAll(/\b3000\b/g, String(own)))
  const earnest = spawn(process.execPath, ['--import', tsx, sample], {
    cwd: mkdtempSync(join(data, 'earnest-')),
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await new Promise<void>((resolve, reject) => {
      earnest.stdout.on('data', chunk => String(chunk).includes(`:${own}`) && resolve())
      earnest.on('exit', code => reject(new Error(`the sample ended with code ${code}`)))
    })
    const token = await issueToken({ secret, user: 'ada', documents: {}, lives: 60_000 })
    const status = async (headers: Record<string, string>) =>
      (await fetch(`http://127.0.0.1:${own}/v1/documents/notes`, { headers })).status
    expect(await status({})).toBe(401)
    expect(await status({ authorization: `Bearer ${token}` })).toBe(403) // a token that says of itself that it has no right
  } finally {
    earnest.kill('SIGKILL')
  }
})

it('every npm command exists, and the command line of the README answers', async () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const named = [...readme.matchAll(/npm (?:run ([\w-]+)|(test|start))\b/g)].map(([, script, short]) => script ?? short!)
  expect(named.length).toBeGreaterThan(4)
  expect(named.filter(name => scripts[name] === undefined)).toEqual([])

  expect(await run(process.execPath, [join(root, 'dist/cli/main.js'), 'serve', '--help'], root)).toContain('INKWELL_PORT')
})

it('the command line of continuous integration is that of the README', () => {
  const commands = readFileSync(join(root, '.ci/run'), 'utf8')
    .split('\n')
    .filter(line => line.startsWith('npm '))
  expect(commands).toEqual(['npm ci', 'npm test'])
  for (const command of commands) expect(readme).toContain(command)
})

it.each([
  'README.md',
  'CHANGELOG.md',
  'docs/OFFLINE.md',
  'docs/OPERATIONS.md',
  'docs/ARCHITECTURE.md',
  'docs/CLIENT.md',
  'docs/PROTOCOL.md',
])('every relative link in %s leads to a file', name => {
  const links = [...readFileSync(join(root, name), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path]) => path!)
  expect(links.filter(path => !existsSync(join(root, dirname(name), path)))).toEqual([])
})

const withPort = (code: string) => code.replaceAll(/\b3000\b/g, String(port))

function written(name: string, code: string): string {
  writeFileSync(join(folder, name), withPort(code))
  return join(folder, name)
}

async function kept(): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/documents/meeting-notes`)
  return ((await answer.json()) as { text: string }).text
}

async function freePort(): Promise<number> {
  const probe = createTcpServer()
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  return port
}

// The samples of docs/APPLICATION.md, compiled and run as they stand there: two servers, one Redis, a client at each.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RedisServer } from '../redis.ts'
import { run, shellEnvironment } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const text = readFileSync(join(root, 'docs/APPLICATION.md'), 'utf8')
const [serverSample, clientSample, ...others] = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, , code]) => code!)
const folder = join(root, 'test-artefacts', 'application')
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

const started: ChildProcess[] = []
let redis: RedisServer
beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  redis = await RedisServer.start()
})
afterAll(async () => {
  for (const child of started) child.kill('SIGKILL')
  await redis.discard()
})

const written = (name: string, code: string, port: number): string => {
  writeFileSync(join(folder, name), code.replaceAll('6379', String(redis.port)).replaceAll(/\b3000\b/g, String(port)))
  return join(folder, name)
}

/** Starts a program; the answer reads what it says, line by line. */
const starts = (file: string): AsyncIterator<string> => {
  const child = spawn(process.execPath, ['--import', tsx, file], {
    env: shellEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  started.push(child)
  return linesOf(child)
}

async function* linesOf({ stdout }: ChildProcess): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of stdout!) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop()!
    yield* lines
  }
  throw new Error('the program ended')
}

const serverAt = async (name: string): Promise<number> => {
  const lines = starts(written(name, serverSample!, 0))
  for (;;) {
    const { url } = JSON.parse((await lines.next()).value) as { url?: string }
    if (url !== undefined) return Number(new URL(url).port)
  }
}

it('there are two samples, and the compiler accepts them', async () => {
  expect(others).toEqual([])
  const files = [serverSample, clientSample].map((code, i) => {
    writeFileSync(join(folder, `sample-${i}.ts`), code!)
    return `sample-${i}.ts`
  })
  const settings = { extends: '../../tsconfig.json', compilerOptions: { noEmit: true }, include: [], files }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  expect(await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], root)).toBe('')
})

it('[P4] what one client says in a room the other hears, who is connected to another server', async () => {
  const ports = [await serverAt('server-0.ts'), await serverAt('server-1.ts')]
  const first = starts(written('client-0.ts', clientSample!, ports[0]!))
  expect((await first.next()).value).toBe('Guest: Hello')
  const second = starts(written('client-1.ts', clientSample!, ports[1]!))
  expect((await second.next()).value).toBe('Guest: Hello')
  expect((await first.next()).value).toBe('Guest: Hello')
})

it('every relative link leads to a file', () => {
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(([, path]) => path!)
  expect(links.length).toBeGreaterThan(0)
  expect(links.filter(path => !existsSync(join(root, dirname('docs/APPLICATION.md'), path)))).toEqual([])
})

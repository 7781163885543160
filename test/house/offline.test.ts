// The samples of docs/OFFLINE.md: all compiled, and the one for Node run as it stands there, without a server and with one.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { embeddedStore, type InkwellServer } from '../../src/server/index.ts'
import { serverWith } from '../server/worlds.ts'
import { run } from './run.ts'

const root = join(import.meta.dirname, '..', '..')
const text = readFileSync(join(root, 'docs/OFFLINE.md'), 'utf8')
const samples = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, , code]) => code!)
const folder = join(root, 'test-artefacts', 'offline')
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
})

it('the compiler accepts every sample', async () => {
  const files = samples.map((code, index) => {
    writeFileSync(join(folder, `sample-${index}.ts`), code)
    return `sample-${index}.ts`
  })
  expect(files).toHaveLength(4)
  const compilerOptions = { noEmit: true }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: [], files }),
  )
  expect(await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], root)).toBe('')
})

it('a program keeps what it could not send, opens it without a line, and sends it once when the server is back', async () => {
  const port = await freePort()
  const file = join(folder, 'diary.ts')
  writeFileSync(file, samples[1]!.replaceAll(/\b3000\b/g, String(port)))
  const write = (line: string) => run(process.execPath, ['--import', tsx, file, line], folder)
  const data = join(folder, 'data')
  const serves = async (): Promise<InkwellServer> => {
    const server = await serverWith({ store: embeddedStore({ path: data }) })
    await server.listen(port)
    return server
  }
  const server = await serves()
  expect(await write('Monday')).toMatch(/^(saved|saving): "Monday\\n"\n$/)
  await server.close()
  expect(await write('Tuesday')).toBe('offline: "Monday\\nTuesday\\n"\n')
  expect(await write('Wednesday')).toBe('offline: "Monday\\nTuesday\\nWednesday\\n"\n')
  await serves()
  expect(await write('Thursday')).toContain('"Monday\\nTuesday\\nWednesday\\nThursday\\n"')
  const answer = await fetch(`http://127.0.0.1:${port}/v1/documents/diary`)
  expect(((await answer.json()) as { text: string }).text).toBe('Monday\nTuesday\nWednesday\nThursday\n')
})

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise(resolve => probe.close(resolve))
  return port
}

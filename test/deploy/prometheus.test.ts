// A real Prometheus with the files of deploy/prometheus scrapes a real server, and answers every query of alerts and dashboard.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer, type InkwellServer, memoryStore } from '../../src/server/index.ts'
import { alertsFile, queries, rules, scrapeFile } from '../house/metrics.ts'
import { freePort } from '../ports.ts'
import { Pen } from '../server/raw.ts'

const token = 'sixteen-or-more-characters'
const folder = mkdtempSync(join(tmpdir(), 'inkwell-prometheus-'))
let server: InkwellServer
let admin: string
let pen: Pen
let prometheus: ChildProcess
let said = ''
let api: string
const end = (): void => void prometheus?.kill('SIGKILL')
process.on('exit', end)

const promtool = (words: readonly string[], input = ''): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile('promtool', [...words], (error, out, err) =>
      error ? reject(new Error(out + err)) : resolve(out + err),
    )
    child.stdin!.end(input)
  })

const asks = async <T>(path: string): Promise<T> => {
  const response = await fetch(`${api}/api/v1/${path}`)
  const { status, data, error } = (await response.json()) as { status: string; data: T; error?: string }
  if (status !== 'success') throw new Error(error)
  return data
}

const value = async (expr: string): Promise<number | null> => {
  const { result } = await asks<{ result: { value: [number, string] }[] }>(`query?query=${encodeURIComponent(expr)}`)
  return result[0] === undefined ? null : Number(result[0].value[1])
}

beforeAll(async () => {
  server = await createServer({ store: memoryStore(), logger: 'silent' })
  const { url } = await server.listen(0)
  admin = (await server.listenAdmin(0, { token })).url
  pen = await Pen.opens(url, 'notes')
  await pen.types('seen')
  const tokenFile = join(folder, 'token')
  writeFileSync(tokenFile, `${token}\n`)
  cpSync(alertsFile, join(folder, 'alerts.yml'))
  const settings = readFileSync(scrapeFile, 'utf8')
    .replaceAll('15s', '1s')
    .replace('/etc/prometheus/inkwell-admin-token', tokenFile)
    .replace('localhost:9100', new URL(admin).host)
  writeFileSync(join(folder, 'prometheus.yml'), settings)
  const listen = `127.0.0.1:${await freePort()}`
  api = `http://${listen}`
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${listen}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  prometheus.stderr!.on('data', chunk => (said += chunk))
  while (
    !(await fetch(`${api}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (prometheus.exitCode !== null) throw new Error(`prometheus ended: ${said}`)
    await sleep(50)
  }
})

afterAll(async () => {
  end()
  pen?.client.close()
  await server?.close()
  rmSync(folder, { recursive: true, force: true })
})

it('[P7] Prometheus’ own checks find nothing in what a server exports, nor in the rules and the configuration', async () => {
  const text = await (await fetch(`${admin}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text()
  expect(await promtool(['check', 'metrics'], text)).toBe('')
  expect(await promtool(['check', 'rules', alertsFile])).toContain('SUCCESS')
  expect(await promtool(['check', 'config', join(folder, 'prometheus.yml')])).toContain('SUCCESS')
})

it('[P7] Prometheus scrapes a server by the admin token, and knows what it knows', async () => {
  await expect.poll(() => value('up{job="inkwell"}'), { timeout: 120_000 }).toBe(1)
  await expect.poll(() => value('inkwell_connections'), { timeout: 60_000 }).toBe(1)
  expect(await value('sum(inkwell_commits_total)')).toBe(1)
  expect(await value('inkwell_commit_duration_seconds_count')).toBe(1)
})

it('[P7] every rule is evaluated without an error, and none fires for a server that is well', async () => {
  type Rules = { groups: { rules: { name: string; health: string; lastError?: string; state?: string }[] }[] }
  const all = async () => (await asks<Rules>('rules')).groups.flatMap(group => group.rules)
  await expect.poll(async () => (await all()).filter(({ health }) => health === 'unknown').length, { timeout: 120_000 }).toBe(0)
  const found = await all()
  expect(found).toHaveLength(rules.length)
  expect(found.filter(({ health }) => health !== 'ok')).toEqual([])
  expect(found.filter(({ state }) => state === 'firing').map(({ name }) => name)).toEqual([])
})

it('[P7] every query of the dashboard is answered', async () => {
  expect(queries.length).toBeGreaterThan(30)
  const instance = new URL(admin).host
  for (const { title, expr } of queries) {
    const asked = expr.replaceAll('$instance', instance).replaceAll('$__rate_interval', '1m')
    await expect(value(asked).then(() => title)).resolves.toBe(title)
  }
})

it('[P7] a server that has gone is an alert, which names what to do', async () => {
  pen.client.close()
  await server.close()
  const down = async () => {
    const { alerts } = await asks<{
      alerts: { labels: { alertname: string }; annotations: { action: string }; state: string }[]
    }>('alerts')
    return alerts.find(({ labels }) => labels.alertname === 'InkwellDown')
  }
  await expect
    .poll(down, { timeout: 120_000 })
    .toMatchObject({ state: 'pending', annotations: { action: expect.stringContaining('Start it again') } })
})

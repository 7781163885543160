// nginx and HAProxy with the configurations that are shipped, on ports and in front of nodes of the test's own.
// Invariant: nothing of a file is changed but what it says one is to put in; whatever was started is ended by its process id.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../ports.ts'

const deploy = join(import.meta.dirname, '..', '..', 'deploy')
export const shipped = (name: string): string => readFileSync(join(deploy, name), 'utf8')

export const proxies = ['HAProxy', 'nginx'] as const
export type ProxyName = (typeof proxies)[number]

/** host:port of two nodes. */
export type Pair = readonly [string, string]

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGTERM') // not SIGKILL: nginx would leave its workers behind
})

/** Debian keeps them where only root looks. */
const environment = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  PATH: `${process.env.PATH ?? ''}:/usr/sbin`,
  ...more,
})

interface Outcome {
  readonly code: number | null
  readonly said: string
}

const ends = async (child: ChildProcess): Promise<Outcome> => {
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (said += chunk))
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  return { code, said }
}

/** A running proxy. */
export class ShippedProxy {
  readonly url: string
  /** Where its operator looks in; only HAProxy has such a place. */
  readonly status: string
  readonly #child: ChildProcess
  readonly #ended: Promise<Outcome>
  readonly #folder: string

  private constructor(port: number, status: number, folder: string, command: readonly string[], more: Record<string, string>) {
    this.url = `http://127.0.0.1:${port}`
    this.status = `http://127.0.0.1:${status}`
    this.#folder = folder
    const [program, ...args] = command as [string, ...string[]]
    this.#child = spawn(program, args, { env: environment(more), stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.#child)
    this.#ended = ends(this.#child)
  }

  /** Resolves once it answers. */
  static async start(name: ProxyName, nodes: Pair): Promise<ShippedProxy> {
    const [port, status] = [await freePort(), await freePort()]
    const folder = mkdtempSync(join(tmpdir(), 'inkwell-proxy-'))
    const more: Record<string, string> =
      name === 'HAProxy' ? haproxyEnvironment(nodes, `127.0.0.1:${port}`, `127.0.0.1:${status}`) : {}
    const command =
      name === 'HAProxy'
        ? ['haproxy', '-db', '-f', join(deploy, 'haproxy.cfg')]
        : nginxCommand(folder, nginxText(nodes, `127.0.0.1:${port}`), 'daemon off;')
    const proxy = new ShippedProxy(port, status, folder, command, more)
    for (;;) {
      const there = await fetch(`${proxy.url}/proxyz`).then(
        () => true,
        () => false,
      )
      if (there) return proxy
      const over = await Promise.race([proxy.#ended, sleep(20)])
      if (over !== undefined) throw new Error(`${name} ended with ${over.code}: ${over.said}`)
    }
  }

  async end(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#ended
    running.delete(this.#child)
    rmSync(this.#folder, { recursive: true })
  }
}

const haproxyEnvironment = ([first, second]: Pair, listen: string, status: string): Record<string, string> => ({
  INKWELL_LISTEN: listen,
  INKWELL_STATUS: status,
  INKWELL_NODE_1: first,
  INKWELL_NODE_2: second,
})

/** Nodes and port put where the file says, and the places of nginx' own files, which are root's unless one says others. */
const nginxText = (nodes: Pair | null, listen: string | null): string => {
  let text = shipped('nginx.conf')
  const replace = (from: string, to: string): void => {
    if (!text.includes(from)) throw new Error(`nginx.conf has no ${from}`)
    text = text.replaceAll(from, to)
  }
  if (listen !== null) replace('listen 8080;', `listen ${listen};`)
  if (nodes !== null) {
    replace('127.0.0.1:3001', nodes[0])
    replace('127.0.0.1:3002', nodes[1])
  }
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${name};`)
  replace('http {', ['http {', 'access_log off;', ...places].join('\n'))
  return text
}

const nginxCommand = (folder: string, text: string, more: string): readonly string[] => {
  mkdirSync(join(folder, 'logs'), { recursive: true })
  writeFileSync(join(folder, 'nginx.conf'), text)
  return ['nginx', '-e', 'stderr', '-p', folder, '-c', 'nginx.conf', '-g', `pid nginx.pid; ${more}`]
}

/** What the program says of a configuration that it need not serve. `edit`: what an operator makes of it. */
export const checked = async (name: ProxyName, edit = (text: string): string => text): Promise<Outcome> => {
  const folder = mkdtempSync(join(tmpdir(), 'inkwell-proxy-'))
  try {
    if (name === 'nginx') {
      const [program, ...args] = nginxCommand(folder, edit(nginxText(null, null)), '') as [string, ...string[]]
      return await ends(spawn(program, ['-t', ...args], { env: environment() }))
    }
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(file, edit(shipped('haproxy.cfg')))
    return await ends(spawn('haproxy', ['-c', '-f', file], { env: environment() }))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

// Signs of life: sockets in a directory on which living processes listen, so that whatever one of them left is told from what is in use.
// Invariant: the kernel takes a sign away when its process dies, however it dies; so there is no need for pids, clocks or timeouts.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, unlinkSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join, relative } from 'node:path'

/** Longest socket path that every system takes; the kernel's own bound is 104 on macOS and 108 on Linux, with a zero at the end. */
const socketPathBytes = 103

const socketName = /^owner-[0-9a-f]{16}\.sock$/

/** This process lives as far as others can tell by `token`. */
export interface Sign {
  readonly token: string
  end(): Promise<void>
}

export interface Signs {
  give(): Promise<Sign>
  /** Whether the process that has given this sign still lives. Whatever is not plainly dead counts as living. */
  lives(token: string): Promise<boolean>
  /** Removes the sockets that killed processes left behind. */
  sweep(): Promise<void>
  close(): void
}

/** @throws where the system takes no socket in this directory */
export const signsIn = (directory: string): Signs => {
  const { path, done } = sockets(directory)
  const given = new Set<string>()
  const lives = (token: string) => (given.has(token) ? Promise.resolve(true) : answers(path(token)))
  return {
    lives,
    async give() {
      const token = randomBytes(8).toString('hex')
      const unlisten = await listen(path(token))
      given.add(token)
      return {
        token,
        end() {
          given.delete(token)
          return unlisten()
        },
      }
    },
    async sweep() {
      for (const file of readdirSync(directory)) {
        const token = socketName.test(file) ? file.slice('owner-'.length, -'.sock'.length) : null
        if (token === null || (await lives(token))) continue
        try {
          unlinkSync(join(directory, file))
        } catch (error) {
          if (!hasCode(error, 'ENOENT')) throw error // its process was only just leaving, and took it along
        }
      }
    },
    close: done,
  }
}

const hasCode = (error: unknown, ...codes: string[]): boolean => codes.includes((error as NodeJS.ErrnoException).code ?? '')

/** Spells the paths of sockets in a directory so that the kernel takes them however long the directory's own path is. */
const sockets = (directory: string): { path(token: string): string; done(): void } => {
  if (process.platform === 'win32') return { path: token => `\\\\.\\pipe\\inkwell-${token}`, done: () => {} }
  const name = (token: string): string => `owner-${token}.sock`
  const near = [directory, relative(process.cwd(), directory) || '.'].sort((a, b) => a.length - b.length)[0]!
  if (Buffer.byteLength(join(near, name('0'.repeat(16)))) <= socketPathBytes)
    return { path: token => join(near, name(token)), done: () => {} }
  if (process.platform !== 'linux') throw new Error(`the path of the data directory is too long for a socket in it: ${directory}`)
  const handle = openSync(directory, 'r')
  return { path: token => `/proc/self/fd/${handle}/${name(token)}`, done: () => closeSync(handle) }
}

const answers = (path: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', error => resolve(!hasCode(error, 'ECONNREFUSED', 'ENOENT')))
  })

const listen = (path: string): Promise<() => Promise<void>> =>
  new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.unref()
    server.once('error', reject)
    // exclusive: a worker of node:cluster would else share its parent's socket, and outlive its own claim
    server.listen({ path, exclusive: true }, () => resolve(() => new Promise(closed => server.close(() => closed()))))
  })

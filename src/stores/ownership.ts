// Keeps a data directory to one process, since announcements reach only the process that makes them.
// Invariant: an owner listens on a socket of its own for as long as it owns; the kernel takes the socket away when it dies, however it
// dies, so a stale claim is told from a living one without pids, clocks or timeouts.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readdirSync, unlinkSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join, relative } from 'node:path'

/** Where the present claim is written. `swap` is atomic across processes: it writes `next` only where `expected` still stands. */
export interface ClaimSlot {
  read(): string | null
  swap(expected: string | null, next: string | null): boolean
}

/** Longest socket path that every system takes; the kernel's own bound is 104 on macOS and 108 on Linux, with a zero at the end. */
const socketPathBytes = 103

const socketName = /^owner-[0-9a-f]{16}\.sock$/

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

/** Whether somebody listens. Whatever is not plainly nobody counts as somebody. */
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

/**
 * Takes the directory for this process; resolves with how to give it back.
 * @throws when another living process, or another store in this one, has it.
 */
export const claim = async (directory: string, slot: ClaimSlot): Promise<() => Promise<void>> => {
  const { path, done } = sockets(directory)
  const token = randomBytes(8).toString('hex')
  const mine = `${token} ${process.pid}`
  const unlisten = await listen(path(token))
  const giveUp = async (): Promise<void> => {
    await unlisten()
    done()
  }
  for (;;) {
    const [owner = '', pid] = slot.read()?.split(' ') ?? []
    if (owner !== '' && (await answers(path(owner)))) {
      await giveUp()
      throw new Error(
        `the data directory ${directory} is in use by another server (process ${pid}); one directory serves one process`,
      )
    }
    if (slot.swap(owner === '' ? null : `${owner} ${pid}`, mine)) break
  }
  await sweep(directory, token, path)
  return async () => {
    slot.swap(mine, null)
    await giveUp()
  }
}

/** Removes the sockets that killed processes left behind. */
const sweep = async (directory: string, token: string, path: (token: string) => string): Promise<void> => {
  for (const file of readdirSync(directory)) {
    const other = socketName.test(file) ? file.slice('owner-'.length, -'.sock'.length) : token
    if (other === token || (await answers(path(other)))) continue
    try {
      unlinkSync(join(directory, file))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error // its process was only just leaving, and took it along
    }
  }
}

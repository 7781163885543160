// Lines made by hand, for tests that do with them what no library would.
// Invariant: what was opened here is destroyed after the test.

import type { Socket } from 'node:net'
import { type Opened, open } from '../websocket.ts'
import { afterwards } from './worlds.ts'

export const knock = async (url: string, headers: Readonly<Record<string, string>> = {}, path = '/json/'): Promise<Opened> => {
  const answer = await open(`${url}${path}?EIO=4&transport=websocket`, headers)
  if (answer.kind === 'line') afterwards(() => answer.socket.destroy())
  return answer
}

/** A line, or the test has failed. */
export const line = async (url: string, headers?: Readonly<Record<string, string>>): Promise<Socket> => {
  const answer = await knock(url, headers)
  if (answer.kind === 'no') throw new Error(`the server answered ${answer.status} ${answer.body}`)
  return answer.socket
}

/** Resolves when the server has ended a line; what it says before that is let go. */
export const ended = (socket: Socket): Promise<void> =>
  new Promise(resolve => {
    socket.resume()
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })

// Ports for programs that cannot be told to take a free one, or that must come back where they were.

import { createServer } from 'node:net'

/** A port below the range from which the system hands out its own, so that nobody is given it between our look and the start. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = 11_000 + Math.floor(Math.random() * 11_000) // a Redis Cluster's node also takes the port 10,000 above
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

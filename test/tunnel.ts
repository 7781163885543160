// The way between clients and their server, which a test can break in every way in which networks do.
// Invariant: whatever has gone through it ends with it; what it swallows never arrives.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

interface Pair {
  /** The client's end. */
  readonly near: Socket
  /** The server's end. */
  readonly far: Socket
  swallowing: boolean
}

export class Tunnel {
  readonly port: number
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #swallowing = false
  /** Connections that were made through it. */
  opened = 0

  private constructor(server: Server, target: () => number) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', near => this.#carry(near, connect({ port: target(), host: '127.0.0.1', allowHalfOpen: true })))
  }

  /** @param target the port of the server, asked for each connection */
  static async to(target: () => number): Promise<Tunnel> {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return new Tunnel(server, target)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size
  }

  #carry(near: Socket, far: Socket): void {
    const pair: Pair = { near, far, swallowing: this.#swallowing }
    this.#pairs.add(pair)
    this.opened++
    const ways = [
      [near, far],
      [far, near],
    ] as const
    for (const [from, to] of ways) {
      from.on('data', chunk => {
        if (!pair.swallowing) to.write(chunk)
      })
      from.on('end', () => {
        if (!pair.swallowing) to.end()
      })
      from.on('error', () => this.#end(pair))
      from.on('close', () => {
        // A peer that is gone is news too, and a hole lets none through.
        if (!pair.swallowing) this.#end(pair)
      })
    }
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair)
    pair.near.destroy()
    pair.far.destroy()
  }

  /** Every connection is reset, at both ends. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
  }

  /** A black hole: whatever is sent, on old connections or new ones, is taken and never arrives; nobody is told anything. */
  swallow(): void {
    this.#swallowing = true
    for (const pair of this.#pairs) pair.swallowing = true
  }

  /** New connections work. Those that fell into the hole stay there, as after a change of network. */
  spare(): void {
    this.#swallowing = false
  }

  /** The server hears at last that those in the hole are gone. */
  loseSwallowed(): void {
    for (const pair of this.#pairs) if (pair.swallowing) this.#end(pair)
  }

  /** Closes the way towards one end only: `near`: clients hear that the server has no more to say, while it still listens. */
  halfClose(end: 'near' | 'far'): void {
    for (const pair of this.#pairs) pair[end].end()
  }

  async discard(): Promise<void> {
    for (const pair of this.#pairs) this.#end(pair)
    await new Promise(resolve => this.#server.close(resolve))
  }
}

// A load balancer without stickiness that a test holds in its hand: each new connection goes to the next node in turn.
// Invariant: whatever it has opened ends with it.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

interface Pair {
  readonly near: Socket
  readonly far: Socket
}

export class Balancer {
  readonly port: number
  readonly #server: Server
  readonly #targets: () => readonly number[]
  readonly #pairs = new Set<Pair>()
  #turn = 0
  #checks: NodeJS.Timeout | undefined
  /** Connections that have reached a node. */
  opened = 0

  private constructor(server: Server, targets: () => readonly number[]) {
    this.#server = server
    this.#targets = targets
    this.port = (server.address() as AddressInfo).port
    server.on('connection', near => {
      near.on('error', () => near.destroy())
      this.#give(near, this.#turn++, 0)
    })
  }

  /** @param targets ports of the nodes that are in the rotation now; one that refuses is passed by */
  static async over(targets: () => readonly number[]): Promise<Balancer> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return new Balancer(server, targets)
  }

  /** Over nodes that are asked again and again whether they are ready. */
  static async checking(ports: readonly number[]): Promise<Balancer> {
    const ready = new Set(ports)
    const balancer = await Balancer.over(() => ports.filter(port => ready.has(port)))
    balancer.#checks = setInterval(() => {
      for (const port of ports)
        fetch(`http://127.0.0.1:${port}/readyz`).then(
          ({ ok }) => (ok ? ready.add(port) : ready.delete(port)),
          () => ready.delete(port),
        )
    }, 100)
    return balancer
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get open(): number {
    return this.#pairs.size
  }

  #give(near: Socket, turn: number, refused: number): void {
    const ports = this.#targets()
    const port = ports[turn % ports.length]
    if (port === undefined || refused === ports.length) return void near.destroy()
    const far = connect(port, '127.0.0.1')
    const next = (): void => this.#give(near, turn + 1, refused + 1)
    far.once('error', next)
    far.once('connect', () => {
      far.off('error', next)
      if (near.destroyed) return void far.destroy()
      this.opened++
      const pair = { near, far }
      this.#pairs.add(pair)
      const end = (): void => {
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      }
      for (const socket of [near, far]) socket.on('error', end).on('close', end)
      near.pipe(far)
      far.pipe(near)
    })
  }

  /** Resets the connections that are chosen, at both ends; answers how many. */
  reset(chosen: (pair: Pair, i: number) => boolean): number {
    const reset = [...this.#pairs].filter(chosen)
    for (const { near, far } of reset) {
      near.resetAndDestroy()
      far.resetAndDestroy()
    }
    return reset.length
  }

  /** Some connections carry nothing any more, as when somebody is in a tunnel, until they are thawed or reset. */
  freeze(chosen: (pair: Pair, i: number) => boolean): {
    readonly count: number
    readonly thaw: () => void
    readonly reset: () => void
  } {
    const frozen = [...this.#pairs].filter(chosen)
    for (const { near, far } of frozen) {
      near.unpipe(far).pause()
      far.unpipe(near).pause()
    }
    return {
      count: frozen.length,
      thaw: () => {
        for (const { near, far } of frozen) {
          near.pipe(far)
          far.pipe(near)
        }
      },
      reset: () => this.reset(pair => frozen.includes(pair)),
    }
  }

  async discard(): Promise<void> {
    clearInterval(this.#checks)
    for (const { near, far } of this.#pairs) {
      near.destroy()
      far.destroy()
    }
    await new Promise(resolve => this.#server.close(resolve))
  }
}

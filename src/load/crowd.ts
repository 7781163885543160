// One process's share of the clients: opened, typing by the schedule, and counting what arrives when.
// Invariant: the loop is open. A character is typed when it is due, whatever has become of the ones before, and late counts as late.

import { Histogram } from './histogram.ts'
import { interval, now, type Plan, phase, placeOf, roundOf, typed, waitedOf } from './schedule.ts'
import { type Address, WebSocketLine } from './socket.ts'
import { type Ear, Ledger, type Seat, type Talk, type Tongue, type Wire } from './tongue.ts'

/** What one process is told to do. */
export interface Share {
  readonly plan: Plan
  readonly tongue: string
  /** Nodes; clients take turns with them. */
  readonly addresses: readonly Address[]
  /** Clients from this one up to, not including, that one. */
  readonly from: number
  readonly to: number
  readonly tokens: readonly string[] | null
  /** Addresses of this machine from which the clients come; empty: whichever the system takes. */
  readonly locals: readonly string[]
  readonly connectRate: number
}

export interface RoundCount {
  /** Keystroke to each of the others, and keystroke to "it is in the history". */
  readonly delivered: Histogram
  readonly confirmed: Histogram
  /** By how much the generator itself was late. */
  readonly late: Histogram
  typed: number
  sends: number
  /** Microseconds of the generator's CPU, and bytes on the wire. */
  cpu: number
  /** Microseconds for which it wanted a core that others had. */
  waited: number
  up: number
  down: number
  /** What arrived in this time, whenever it was due, and what became known to be in the history. */
  arrived: number
  landed: number
}

type Meters = Pick<RoundCount, 'cpu' | 'waited' | 'up' | 'down' | 'arrived' | 'landed' | 'sends'>

export interface Count {
  readonly rounds: readonly RoundCount[]
  /** Deliveries by the second in which they were due, from the start on. */
  readonly seconds: readonly Histogram[]
  readonly faults: Readonly<Record<string, number>>
  /** Clients that gave up, and why. */
  readonly failed: Readonly<Record<string, number>>
  /** Opening a line until the document is there. */
  readonly connect: Histogram
  /** Characters that were typed and never confirmed. */
  readonly pending: number
}

const opening = 64 // lines that one process opens at a time
const slack = 2 // ms by which a timer of this process may be late without a keystroke's being counted as late
const longest = 120_000 // ms for a client to come in, however often it has to try
const patience = 5 // lines that fail before a client's first document is there
const remembered = 64 // keystrokes of a writer whose real time is kept

export class Crowd {
  readonly share: Share
  readonly traffic = { up: 0, down: 0, arrived: 0, landed: 0 }
  readonly connect = new Histogram()
  readonly faults: Record<string, number> = {}
  readonly failed: Record<string, number> = {}
  private readonly tongue: Tongue
  private readonly ledgers = new Map<number, Ledger>()
  private readonly clients: Client[] = []
  private readonly bySeat = new Map<number, Client>()
  private readonly names = new Map<string, number>()
  private readonly phases: Float64Array
  private readonly rounds: RoundCount[]
  private readonly seconds: Histogram[] = []
  private readonly gap: number
  private start = Number.POSITIVE_INFINITY
  /** When the frame that is being read came. */
  at = 0
  private joined = 0
  private stopped = false
  private whenQuiet = (): void => {}

  constructor(share: Share, tongue: Tongue) {
    this.share = share
    this.tongue = tongue
    const { plan } = share
    this.gap = interval(plan)
    this.phases = Float64Array.from({ length: plan.documents * (plan.writers + plan.readers) }, (_, seat) => phase(plan, seat))
    this.rounds = Array.from({ length: plan.rounds }, () => ({
      ...{ delivered: new Histogram(), confirmed: new Histogram(), late: new Histogram() },
      ...{ typed: 0, sends: 0, cpu: 0, waited: 0, up: 0, down: 0, arrived: 0, landed: 0 },
    }))
  }

  get size(): number {
    return this.joined
  }

  /** Opens the first clients of documents, or all others; resolves when each is in its document or has given up. */
  async gather(first: boolean): Promise<readonly (readonly [seat: number, name: string])[]> {
    const { plan, from, to, addresses, tokens, locals, connectRate } = this.share
    const waiting: number[] = []
    for (let seat = from; seat < to; seat++) if ((placeOf(plan, seat).nth === 0) === first) waiting.push(seat)
    const names: [number, string][] = []
    let open = 0
    let next = 0
    const began = now()
    await new Promise<void>(resolve => {
      const more = (): void => {
        const allowed = ((now() - began) / 1_000) * connectRate + 1
        while (next < waiting.length && open < opening && next < allowed) {
          const index = waiting[next++]!
          open++
          const { document, writes, nth } = placeOf(plan, index)
          let ledger = this.ledgers.get(document)
          if (ledger === undefined) this.ledgers.set(document, (ledger = new Ledger()))
          const seat: Seat = {
            index,
            document: `${plan.prefix}${document}`,
            seed: nth === 0 ? plan.length : 0,
            writes,
            place: plan.length === 0 ? 0 : (nth * 7_919) % plan.length,
            token: tokens === null ? null : tokens[index % tokens.length]!,
          }
          const at = addresses[index % addresses.length]!
          const address = locals.length === 0 ? at : { ...at, from: locals[index % locals.length] }
          const client = new Client(this, seat, address, this.tongue, ledger, name => {
            open--
            if (name !== null) names.push([index, name])
            if (next < waiting.length) more()
            else if (open === 0) resolve()
          })
          this.clients.push(client)
          client.open()
        }
        if (next < waiting.length && open < opening) setTimeout(more, 5)
      }
      if (waiting.length === 0) resolve()
      else more()
    })
    return names
  }

  /** All names of the run that this process may meet. */
  meet(names: readonly (readonly [seat: number, name: string])[]): void {
    for (const [seat, name] of names) this.names.set(name, seat)
  }

  /** Types from `start` on; resolves after the last round, when everything typed here is in the history or the time for it is over. */
  async type(start: number): Promise<void> {
    const { plan } = this.share
    this.start = start
    const writers = this.clients
      .filter(({ seat }) => seat.writes)
      .sort((a, b) => this.phases[a.seat.index]! - this.phases[b.seat.index]!)
    const measured = this.watchRounds()
    await new Promise<void>(resolve => {
      const all = writers.length * typed(plan)
      let done = 0
      const due = (): number =>
        start + this.phases[writers[done % writers.length]!.seat.index]! + Math.floor(done / writers.length) * this.gap
      const more = (): void => {
        if (this.stopped) return resolve()
        for (let at = now(); done < all && due() <= at; done++) {
          const writer = writers[done % writers.length]!
          const k = Math.floor(done / writers.length)
          const wanted = due()
          const round = this.rounds[roundOf(plan, wanted - start)]
          if (round !== undefined) {
            round.typed++
            round.late.add(at - wanted)
          }
          writer.type(k, at)
        }
        if (done >= all) return resolve()
        setTimeout(more, Math.max(1, Math.floor(due() - now())))
      }
      more()
    })
    const ends = now() + plan.drain * 1_000
    await new Promise<void>(resolve => {
      this.whenQuiet = resolve
      const look = (): void => {
        if (this.stopped || now() > ends || this.pending === 0) resolve()
        else setTimeout(look, 20)
      }
      look()
    })
    if (!this.stopped) await measured
  }

  stop(): Count {
    this.stopped = true
    this.whenQuiet()
    for (const client of this.clients) client.leave()
    const { rounds, seconds, faults, failed, connect } = this
    return { rounds, seconds, faults, failed, connect, pending: this.pending }
  }

  private get pending(): number {
    let pending = 0
    for (const client of this.clients) pending += client.pending
    return pending
  }

  /** What is counted by the clock, from the beginning of each round to its end; resolves at the last one's. */
  private watchRounds(): Promise<unknown> {
    const { plan } = this.share
    return Promise.all(
      this.rounds.map((round, i) => {
        let before = this.meters()
        const begins = this.start + (plan.warmUp + i * plan.seconds) * 1_000 - now()
        setTimeout(() => (before = this.meters()), begins)
        return new Promise<void>(resolve => {
          const ends = (): void => {
            const after = this.meters()
            for (const meter of Object.keys(after) as (keyof Meters)[]) round[meter] = after[meter] - before[meter]
            resolve()
          }
          setTimeout(ends, begins + plan.seconds * 1_000)
        })
      }),
    )
  }

  private meters(): Meters {
    const { user, system } = process.cpuUsage()
    const sends = this.clients.reduce((sum, { sends }) => sum + sends, 0)
    return { cpu: user + system, waited: waitedOf('self'), ...this.traffic, sends }
  }

  // ---- what clients tell

  whose(name: string): number {
    return this.names.get(name) ?? -1
  }

  arrived(writer: number, k: number, count: number): void {
    const { plan } = this.share
    this.traffic.arrived += count
    const client = this.bySeat.get(writer) // if it is one of this process
    for (let i = k; i < k + count; i++) {
      const since = this.phases[writer]! + i * this.gap
      const took = this.at - this.start - since - (client?.forgiven(i, this.start + since) ?? 0)
      const round = this.rounds[roundOf(plan, since)]
      round?.delivered.add(took)
      const second = Math.floor(since / 1_000)
      if (second >= 0) (this.seconds[second] ??= new Histogram()).add(took)
    }
  }

  confirmed(writer: Client, from: number, to: number): void {
    this.traffic.landed += to - from
    for (let k = from; k < to; k++) {
      const since = this.phases[writer.seat.index]! + k * this.gap
      const took = this.at - this.start - since - writer.forgiven(k, this.start + since)
      this.rounds[roundOf(this.share.plan, since)]?.confirmed.add(took)
    }
  }

  enter(client: Client): void {
    this.joined++
    this.bySeat.set(client.seat.index, client)
  }

  fault(code: string): void {
    this.faults[code] = (this.faults[code] ?? 0) + 1
  }

  fail(code: string): void {
    this.failed[code] = (this.failed[code] ?? 0) + 1
  }
}

class Client implements Wire, Ear {
  readonly seat: Seat
  private readonly crowd: Crowd
  private readonly address: Address
  private readonly talk: Talk
  private readonly path: string
  private line: WebSocketLine | null = null
  private state: 'coming' | 'here' | 'gone' = 'coming'
  private began = 0
  private attempts = 0
  private landed = 0
  /** When its last keystrokes were really typed. */
  private readonly times: Float64Array | null
  private readonly settled: (name: string | null) => void

  constructor(
    crowd: Crowd,
    seat: Seat,
    address: Address,
    tongue: Tongue,
    ledger: Ledger,
    settled: (name: string | null) => void,
  ) {
    this.crowd = crowd
    this.seat = seat
    this.address = address
    this.settled = settled
    this.path = tongue.pathOf(seat)
    this.times = seat.writes ? new Float64Array(remembered) : null
    this.talk = tongue.talk(seat, this, this, ledger)
  }

  get pending(): number {
    return this.state === 'gone' ? 0 : this.talk.pending
  }

  get sends(): number {
    return this.talk.sends
  }

  open(): void {
    if (this.state === 'gone') return
    if (this.began === 0) {
      this.began = now()
      setTimeout(() => {
        if (this.state === 'coming') this.failed('no answer')
      }, longest)
    }
    const line: WebSocketLine = new WebSocketLine(
      this.address,
      this.path,
      {
        open: () => this.talk.opened(),
        frame: (bytes, text) => {
          this.crowd.at = now()
          this.talk.heard(bytes, text)
        },
        closed: why => {
          if (this.line !== line || this.state === 'gone') return
          this.crowd.fault(why)
          this.line = null
          if (this.state === 'coming' && ++this.attempts === patience) return this.failed(why)
          setTimeout(() => this.open(), 500 + Math.random() * 1_000)
        },
      },
      this.crowd.traffic,
    )
    this.line = line
  }

  type(k: number, at: number): void {
    if (this.state !== 'here') return
    this.times![k % remembered] = at
    this.talk.type()
  }

  leave(): void {
    this.state = 'gone'
    this.line?.hangUp()
  }

  /** Milliseconds by which a timer made this keystroke late, if they are so few that it must have been the timer. */
  forgiven(k: number, due: number): number {
    const late = this.times![k % remembered]! - due
    return late > 0 && late <= slack ? late : 0
  }

  // ---- the wire

  send(frame: Uint8Array | string): void {
    this.line?.send(frame)
  }

  again(after: number): void {
    const { line } = this
    this.line = null
    line?.hangUp()
    setTimeout(() => this.open(), after)
  }

  // ---- the ear

  joined(name: string): void {
    if (this.state !== 'coming') return
    this.state = 'here'
    this.crowd.connect.add(now() - this.began)
    this.crowd.enter(this)
    this.settled(name)
  }

  whose(name: string): number {
    return this.crowd.whose(name)
  }

  arrived(writer: number, k: number, count: number): void {
    if (writer !== this.seat.index) this.crowd.arrived(writer, k, count)
  }

  confirmed(k: number): void {
    this.crowd.confirmed(this, this.landed, k)
    this.landed = k
  }

  fault(code: string): void {
    this.crowd.fault(code)
  }

  failed(code: string): void {
    if (this.state === 'gone') return
    const coming = this.state === 'coming'
    this.leave()
    this.crowd.fail(code)
    if (coming) this.settled(null)
  }
}

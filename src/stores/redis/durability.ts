// What Redis can promise about what was written, and when that has come true.
// Invariant: nothing is called durable before Redis has shown that it is, by the strictest rule that its settings and version allow.

import type { Redis } from 'ioredis'
import type { Durability, Finding } from '../../engine/ports.ts'
import type { Chain, DocId, Epoch, Version } from '../../protocol/ids.ts'
import { mendedBy } from './advisories.ts'
import { type Keys, slotOf } from './keys.ts'
import * as scripts from './scripts.ts'
import { RedisAway, type Wire } from './wire.ts'

/** What one server says of itself. Null: it does not tell. */
export interface ServerSettings {
  readonly version: readonly [major: number, minor: number]
  /** A release with holes that are published, and the one without them. */
  readonly holed: { readonly release: string; readonly mended: string } | null
  readonly appendonly: boolean
  readonly appendfsync: 'always' | 'everysec' | 'no' | null
  readonly fsyncWhileRewriting: boolean
  /** The append-only file is being written anew, or about to be. */
  readonly rewriting: boolean
  readonly evicts: string | null
  readonly replica: boolean
}

/**
 * How it is known that everything before a moment is durable:
 *
 * - `at once`: with the reply itself. `appendfsync always` answers after the fsync; in memory there is nothing to wait for.
 * - `wait`: a write after that moment, on the same connection, is known to so many replicas (WAIT).
 * - `waitaof`: or is on the server's own disk (WAITAOF, Redis 7.2).
 * - `watch`: `appendfsync everysec` before 7.2 has no command for it. A look at INFO that finds no fsync under way, later than that
 *   moment, is followed by others, half a second apart; when the sixth or a later one finds no fsync under way either, it is durable.
 *   Why: after the first look everything is handed to the file; an fsync begins within 1.1 s of the server's running time, and whatever
 *   began before the last look is over by then. Each look in between shows that the server was running. A failed write, another run of
 *   the server, or (where it does not sync while it rewrites) a rewrite begins the count anew.
 * - `never`: a file was promised and is switched off. Nothing counts as durable until it is on again, and whole.
 */
type Rule =
  | { readonly kind: 'at once' }
  | { readonly kind: 'wait' | 'waitaof'; readonly replicas: number }
  | { readonly kind: 'watch'; readonly fsyncWhileRewriting: boolean }
  | { readonly kind: 'never' }

interface Promised {
  readonly durability: Durability
  readonly rule: Rule
  readonly findings: readonly Finding[]
}

export const readSettings = (info: string, config: Readonly<Record<string, string>> | null): ServerSettings => {
  const says = infoOf(info)
  const release = says.redis_version ?? ''
  const [major = 0, minor = 0] = release.split('.').map(Number)
  const mended = mendedBy(release, says.server_name)
  const policy = config?.['maxmemory-policy'] ?? says.maxmemory_policy ?? null
  const fsync = config?.appendfsync
  return {
    version: [major, minor],
    holed: mended === null ? null : { release, mended },
    appendonly: config?.appendonly === undefined ? says.aof_enabled === '1' : config.appendonly === 'yes',
    appendfsync: fsync === 'always' || fsync === 'everysec' || fsync === 'no' ? fsync : null,
    fsyncWhileRewriting: config?.['no-appendfsync-on-rewrite'] === 'no',
    rewriting: beginning(says),
    evicts: policy === null || policy === 'noeviction' ? null : policy,
    replica: says.role === 'slave',
  }
}

const beginning = (says: Readonly<Record<string, string | undefined>>): boolean =>
  says.aof_rewrite_in_progress === '1' || says.aof_rewrite_scheduled === '1'

const infoOf = (info: string): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(
    info.split('\n').flatMap(line => [/^(\w+):(.*?)\r?$/.exec(line)?.slice(1)].filter(pair => pair !== undefined)),
  )

/** What is taken for true of a server that has not been asked since it was away. */
const unasked = (last: ServerSettings): ServerSettings => ({
  ...last,
  appendfsync: last.appendfsync === 'always' ? 'everysec' : last.appendfsync,
  fsyncWhileRewriting: false,
})

/** What servers with these settings can promise, and what is to be said about them. The weakest of them counts. */
export const promisedBy = (
  servers: readonly ServerSettings[],
  { replicas, volatile }: { readonly replicas: number; readonly volatile: boolean },
): Promised => {
  const findings = new Map<string, Finding>()
  const find = (severity: Finding['severity'], sentence: string, mend: string): void =>
    void findings.set(sentence, { severity, sentence, mend })
  const lossy = volatile || replicas > 0 ? 'warning' : 'fault'
  for (const { version, holed, appendonly, appendfsync, evicts, replica } of servers) {
    if (version[0] < 7)
      find(
        'fault',
        `Redis ${version.join('.')} is older than 7.0, with which nothing here has been tested`,
        'use Redis 7.0 or later',
      )
    if (holed !== null)
      find(
        'warning',
        `Redis ${holed.release} has holes that are published`,
        `use Redis ${holed.mended} or later, or see whether your distribution has mended it under this number`,
      )
    if (!appendonly)
      find(
        lossy,
        'Redis keeps no append-only file, so its restart loses documents',
        'redis-cli config set appendonly yes, and in its file: appendonly yes, appendfsync everysec or always',
      )
    else if (appendfsync === 'no')
      find(
        lossy,
        'Redis leaves it to the system when the append-only file reaches the disk',
        'set appendfsync everysec or always',
      )
    else if (appendfsync === null)
      find(
        'warning',
        'Redis does not tell its settings (CONFIG GET); appendfsync is taken to be everysec',
        'see in your provider’s console',
      )
    if (evicts !== null)
      find(
        'fault',
        `Redis evicts keys when its memory is full (maxmemory-policy ${evicts}), documents included`,
        'set maxmemory-policy noeviction',
      )
    if (replica) find('fault', 'Redis is a replica and takes no writes', 'name the master, or the sentinels')
  }
  const all = [...findings.values()]
  if (replicas > 0) return { durability: 'replicated', rule: { kind: 'wait', replicas }, findings: all }
  const synced = servers.every(({ appendonly, appendfsync }) => appendonly && appendfsync !== 'no')
  if (!synced) return { durability: 'memory', rule: { kind: 'at once' }, findings: all }
  if (servers.every(({ appendfsync }) => appendfsync === 'always'))
    return { durability: 'disk', rule: { kind: 'at once' }, findings: all }
  const waits = servers.every(({ version: [major, minor] }) => major > 7 || (major === 7 && minor >= 2))
  return {
    durability: 'disk',
    rule: waits
      ? { kind: 'waitaof', replicas: 0 }
      : { kind: 'watch', fsyncWhileRewriting: servers.every(server => server.fsyncWhileRewriting) },
    findings: all,
  }
}

interface Place {
  readonly epoch: Epoch
  readonly version: Version
  readonly chain: Chain
}

/** A document of which something is not durable yet. */
interface Owing {
  /** The newest place that is known. */
  newest: Place | null
  own: boolean
  /** When it began, or somebody last said that something of it is durable. */
  since: number
  /** Places that a look has passed, oldest first, and the number of that look. */
  readonly passed: { readonly look: number; readonly place: Place; readonly own: boolean }[]
}

/** Somebody who goes on only when a place is durable. */
interface Waiting {
  readonly doc: DocId
  readonly place: Place
  resolve: () => void
}

const lookEvery = 500 // ms
const askEvery = 2_000 // ms between two looks at settings that promise nothing
const looks = 6 // from the one that passes a place to the one that proves it, both counted; see `watch`
const othersFirst = 2_000 // ms for the node that wrote something to say that it is durable; then whoever has the document open does
const hardeningAtOnce = 64
const provedWithin = 10_000 // ms for which one is kept waiting who wants to know
const asks = 2 // of one write, whether it is durable, before a later one is asked about

/** Milliseconds that one such question may take. Replicas are asked at once; an fsync begins within 1.1 s. */
const patience = { wait: 500, waitaof: 1_500 }

/** Milliseconds for which the connection that waits is kept waiting. */
export const longestWait = Math.max(patience.wait, patience.waitaof)

/** How one server's looks went. */
interface Watch {
  look: number
  run: string
  /** The file was off; it is whole again only after the rewrite with which it begins. */
  off: boolean
}

export interface HardeningParts {
  readonly append: Wire
  readonly keys: Keys
  readonly publish: 'PUBLISH' | 'SPUBLISH'
  readonly replicas: number
  readonly volatile: boolean
  /** A connection that may be kept waiting, for `longestWait` beyond what a call may take. */
  readonly witness: () => Wire
}

export class Hardening {
  readonly #parts: HardeningParts
  #promised: Promised | null = null
  #asking: Promise<void> | null = null
  #masters = ''
  /** What is being asked may have been answered before a server came back: then it is asked once more. */
  #doubted = false
  /** Of each master that has been seen, by name. */
  readonly #settings = new Map<string, ServerSettings>()
  /** By server (its place in the list of masters), then by document. */
  readonly #owing = new Map<DocId, Owing>()
  readonly #watches = new Map<string, Watch>()
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | null = null
  #witness: Wire | null = null
  #closed = false

  constructor(parts: HardeningParts) {
    this.#parts = parts
    // Whoever answers next may be set otherwise.
    parts.append.whenLost(() => (this.#promised = null))
    parts.append.whenServerLost(() => this.#doubt())
    parts.append.whenMapped(() => this.#mapped())
  }

  get durability(): Durability {
    return this.#promised?.durability ?? this.#last ?? (this.#parts.replicas > 0 ? 'replicated' : 'memory')
  }
  #last: Durability | null = null
  /** The append-only file was there and has been switched off. */
  #off = false

  /** Whether what is written is as durable as it will be. Ask after `known()`. */
  get atOnce(): boolean {
    return this.#promised?.rule.kind === 'at once'
  }

  get isKnown(): boolean {
    return this.#promised !== null
  }

  /** Resolves when the settings are known. */
  known(): Promise<void> {
    if (this.#promised !== null) return resolved
    this.#asking ??= this.#ask().finally(() => (this.#asking = null))
    return this.#asking
  }

  /** Asks anew: somebody may have set it otherwise. */
  async findings(): Promise<readonly Finding[]> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = null))
    await this.#asking
    return this.#promised?.findings ?? []
  }

  /** A place in a document's log that is not durable yet. `own`: this node wrote it. */
  note(doc: DocId, { epoch, version, chain }: Place, own: boolean): void {
    if (this.atOnce || this.#closed) return
    const owing = this.#owing.get(doc)
    const place = { epoch, version, chain }
    if (owing === undefined) this.#owing.set(doc, { newest: place, own, since: Date.now(), passed: [] })
    else {
      const newest = owing.newest ?? owing.passed.at(-1)?.place
      if (newest !== undefined && newest.epoch === epoch && newest.version >= version) {
        owing.own ||= own && newest.version === version
        return
      }
      owing.own = own || (owing.newest !== null && owing.own)
      owing.newest = place
    }
    this.#timer ??= setTimeout(() => this.#turn(), 0)
  }

  /** Resolves when a place that this node has written is durable. @throws when that is not known in time */
  async proved(doc: DocId, place: Place): Promise<void> {
    if (this.atOnce) return
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { doc, place, resolve }
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting)
        reject(new Error(`it is done, but after ${provedWithin / 1_000} s Redis has not said that it is safe (inkwell doctor)`))
      }, provedWithin)
      waiting.resolve = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#waiting.add(waiting)
      this.note(doc, place, true)
    })
  }

  /** Somebody has said that a document is durable up to here. */
  reached(doc: DocId, { epoch, version }: { readonly epoch: Epoch; readonly version: Version }): void {
    for (const waiting of this.#waiting) {
      if (waiting.doc !== doc || waiting.place.epoch !== epoch || waiting.place.version > version) continue
      this.#waiting.delete(waiting)
      waiting.resolve()
    }
    const owing = this.#owing.get(doc)
    if (owing === undefined) return
    while (owing.passed[0] !== undefined && (owing.passed[0].place.version <= version || owing.passed[0].place.epoch !== epoch))
      owing.passed.shift()
    if (owing.newest !== null && owing.newest.epoch === epoch && owing.newest.version <= version) owing.newest = null
    if (owing.newest === null && owing.passed.length === 0) this.#owing.delete(doc)
    else if ((owing.newest ?? owing.passed.at(-1)?.place)?.epoch === epoch) owing.since = Date.now() // somebody cares for it
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#owing.clear()
    this.#witness?.close()
  }

  async #ask(): Promise<void> {
    do {
      this.#doubted = false
      await this.#askOnce()
      if (this.#doubted) this.#weaken()
    } while (this.#doubted && !this.#closed)
  }

  async #askOnce(): Promise<void> {
    const { append, replicas, volatile } = this.#parts
    const servers = await append.servers()
    const answers = await Promise.allSettled(servers.map(server => append.inTime(settingsOf(server))))
    // One of many that does not answer is taken for less than it may be: else nothing could be written to the others until it is back.
    const [other] = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []))
    const settings = answers.map((answer, i) => {
      const name = nameOf(servers[i]!)
      if (answer.status === 'rejected') {
        if (other === undefined) throw answer.reason
        return unasked(this.#settings.get(name) ?? other)
      }
      this.#settings.set(name, answer.value)
      return answer.value
    })
    const promised = promisedBy(settings, { replicas, volatile })
    // What was promised is kept to: a file that was switched off makes nothing durable, neither then nor until it is whole again.
    this.#off =
      !volatile &&
      ((this.#last === 'disk' && promised.durability === 'memory') || (this.#off && settings.some(({ rewriting }) => rewriting)))
    this.#promised = this.#off ? { ...promised, durability: 'disk', rule: { kind: 'never' } } : promised
    this.#last = this.#promised.durability
    this.#masters = mastersOf(servers)
  }

  /** A cluster has a new map; with new masters in it there may be new settings. */
  #mapped(): void {
    this.#parts.append.servers().then(
      servers => {
        if (mastersOf(servers) !== this.#masters) this.#doubt()
      },
      () => {}, // it is away; then nothing is promised either
    )
  }

  /**
   * A server of a cluster is new or comes back, and may have been started otherwise: nothing is durable with the reply alone until all
   * have been asked. Nobody waits for that: one that hangs would hold up who writes to the others.
   */
  #doubt(): void {
    if (this.#promised === null || this.#closed) return
    this.#weaken()
    this.#doubted = true
    this.#asking ??= this.#ask().finally(() => (this.#asking = null))
    this.#asking.catch(() => {}) // the cluster is away; it is asked again when somebody looks
  }

  #weaken(): void {
    const promised = this.#promised
    if (promised?.rule.kind === 'at once' && promised.durability === 'disk')
      this.#promised = { ...promised, rule: { kind: 'watch', fsyncWhileRewriting: false } }
  }

  /** Looks after what is owed, as long as something is. */
  #turn(): void {
    this.#round().then(
      pause => this.#again(pause),
      () => this.#again(lookEvery), // Redis is away: nothing becomes durable meanwhile
    )
  }

  #again(pause: number): void {
    this.#timer = null
    if (this.#owing.size > 0 && !this.#closed) this.#timer = setTimeout(() => this.#turn(), pause)
  }

  async #round(): Promise<number> {
    await this.known()
    const { rule } = this.#promised!
    if (rule.kind === 'at once') {
      // What was owed under another rule has come true with this one; nobody else tells those who wait for it.
      await this.#harden(
        [...this.#owing].flatMap(([doc, { newest, passed }]): [DocId, Place][] => {
          const place = newest ?? passed.at(-1)?.place
          return place === undefined ? [] : [[doc, place]]
        }),
      )
      this.#owing.clear()
      return 0
    }
    if (rule.kind === 'never') {
      await this.findings()
      return askEvery
    }
    const wire = rule.kind === 'watch' ? this.#parts.append : (this.#witness ??= this.#parts.witness())
    const servers = await wire.servers()
    const { slots } = wire
    const byServer = new Map<Redis, DocId[]>(servers.map(server => [server, []]))
    const byName = new Map(servers.map(server => [nameOf(server), server]))
    for (const doc of this.#owing.keys()) {
      const server = slots === null ? servers[0] : byName.get(slots[slotOf(this.#parts.keys.meta(doc))]?.[0] ?? '')
      if (server !== undefined) byServer.get(server)?.push(doc)
    }
    const outcomes = await Promise.allSettled(
      [...byServer]
        .filter(([, docs]) => docs.length > 0)
        .map(([server, docs]) =>
          rule.kind === 'watch' ? this.#look(wire, server, docs, rule) : this.#wait(wire, server, docs, rule),
        ),
    )
    return rule.kind === 'watch' || outcomes.some(({ status }) => status === 'rejected') ? lookEvery : 5
  }

  /** Documents whose newest place may be proved now: one's own, and those of others that nobody has cared for. */
  #due(docs: readonly DocId[]): { readonly doc: DocId; readonly owing: Owing; readonly place: Place; readonly own: boolean }[] {
    const now = Date.now()
    return docs.flatMap(doc => {
      const owing = this.#owing.get(doc)
      if (owing?.newest == null || (!owing.own && now - owing.since < othersFirst)) return []
      return [{ doc, owing, place: owing.newest, own: owing.own }]
    })
  }

  async #look(wire: Wire, server: Redis, docs: readonly DocId[], rule: Rule & { kind: 'watch' }): Promise<void> {
    const name = nameOf(server)
    const due = this.#due(docs) // before the question: what is answered by now is older than it
    const said = infoOf(await wire.inTime(server.info()))
    const watch = this.#watches.get(name) ?? { look: 0, run: '', off: false }
    this.#watches.set(name, watch)
    const rewriting = said.aof_rewrite_in_progress !== '0' || said.rdb_bgsave_in_progress !== '0'
    watch.off = said.aof_enabled !== '1' || (watch.off && beginning(said))
    const broken =
      watch.off ||
      said.aof_last_write_status !== 'ok' ||
      said.run_id !== watch.run ||
      said.role !== 'master' ||
      (rewriting && !rule.fsyncWhileRewriting)
    watch.run = said.run_id ?? ''
    watch.look++
    if (broken) {
      for (const doc of docs) {
        const owing = this.#owing.get(doc)
        if (owing === undefined) continue
        const last = owing.passed.at(-1)
        if (owing.newest === null && last !== undefined) Object.assign(owing, { newest: last.place, own: last.own })
        owing.passed.length = 0
      }
      return
    }
    if (said.aof_pending_bio_fsync !== '0') return
    for (const { owing, place, own } of due) {
      owing.passed.push({ look: watch.look, place, own })
      if (owing.newest === place) Object.assign(owing, { newest: null, own: false })
    }
    const proved: [DocId, Place][] = []
    for (const doc of docs) {
      const place = this.#owing.get(doc)?.passed.findLast(({ look }) => look <= watch.look - (looks - 1))?.place
      if (place !== undefined) proved.push([doc, place])
    }
    await this.#harden(proved)
  }

  async #wait(wire: Wire, server: Redis, docs: readonly DocId[], rule: Rule & { kind: 'wait' | 'waitaof' }): Promise<void> {
    const due = this.#due(docs)
    const [first] = due
    if (first === undefined) return
    await wire.inTime(server.set(this.#parts.keys.witness(first.doc), '1', 'PX', 60_000))
    // Asked again at once, and without a write in between: a new write would need a new fsync, and could miss one after the other.
    for (let asked = 0; !(await enough(wire, server, rule)); asked++)
      if (asked === asks - 1) throw new RedisAway(`not enough replicas answer, or none in time (${rule.kind} ${rule.replicas})`)
    await this.#harden(due.map(({ doc, place }): [DocId, Place] => [doc, place]))
  }

  async #harden(proved: readonly (readonly [DocId, Place])[]): Promise<void> {
    const { append, keys, publish } = this.#parts
    for (let i = 0; i < proved.length; i += hardeningAtOnce) {
      await Promise.all(
        proved.slice(i, i + hardeningAtOnce).map(async ([doc, place]) => {
          const instead = await append.run<[] | [Epoch, Version, Chain, Version]>(
            scripts.harden,
            [keys.meta(doc), keys.log(doc)],
            [place.epoch, place.version, place.chain, keys.channel(doc), publish],
          )
          this.reached(doc, place)
          if (instead.length === 0) return
          // It has another history by now, of which less may have been written: then nobody has noted that, since more was known to be.
          const [epoch, version, chain, durable] = instead
          if (version > durable) this.note(doc, { epoch, version, chain }, true)
        }),
      )
    }
  }
}

const resolved = Promise.resolve()

/** Whether the last write on this connection is where the rule wants it. */
const enough = async (wire: Wire, server: Redis, { kind, replicas }: Rule & { kind: 'wait' | 'waitaof' }): Promise<boolean> => {
  if (kind === 'wait') return (await wire.inTime(server.wait(replicas, patience.wait))) >= replicas
  const [local] = (await wire.inTime(server.call('WAITAOF', '1', '0', String(patience.waitaof)))) as readonly unknown[]
  return Number(local) >= 1
}

const mastersOf = (servers: readonly Redis[]): string => servers.map(nameOf).sort().join(' ')
const nameOf = ({ options: { host, port } }: Redis): string => `${host}:${port}`

const settingsOf = async (server: Redis): Promise<ServerSettings> => {
  const asked = ['appendonly', 'appendfsync', 'no-appendfsync-on-rewrite', 'maxmemory-policy']
  const config = Promise.all(asked.map(name => server.config('GET', name) as Promise<readonly string[]>)).then(
    pairs => Object.fromEntries(pairs.filter(pair => pair.length >= 2).map(pair => [pair[0], pair[1]] as [string, string])),
    (error: Error) => {
      if (error.name === 'ReplyError') return null // a managed service that does not let one look
      throw error
    },
  )
  const [info, settings] = await Promise.all([server.info(), config])
  return readSettings(info, settings)
}

// What a server shows to Prometheus: one table of metrics, each with what to do about it, and where its numbers come from.
// Invariant: a scrape reads what has been counted and looks at no connection; no label has a value that a client can make up.

import type { Engine, EngineEvent, Song } from '../engine/index.ts'
import type { Store } from '../engine/ports.ts'
import type { Admission } from './admission.ts'
import type { Check } from './checks.ts'
import { bucketsOf, by, contentType, exposed, type Readings, type Table } from './exposition.ts'
import { processMetrics } from './process.ts'
import type { Tally } from './tally.ts'

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const
const powers = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024] as const

export const metricTable = {
  inkwell_build_info: {
    type: 'gauge',
    help: 'Always 1; says which version runs, and on what kind of store.',
    act: 'After a deployment every node should say the new version.',
    labels: ['version', 'store', 'durability'],
  },
  inkwell_ready: {
    type: 'gauge',
    help: 'Whether this node should be sent clients: 1, or 0.',
    act: '0 on one node: see its `/readyz` for the reason. 0 on all: it is the store.',
  },
  inkwell_check_ok: {
    type: 'gauge',
    help: 'Whether a check of this node is well: 1, or 0.',
    act: 'What each means stands in OPERATIONS; `/readyz` says since when it fails and what to do.',
    labels: ['check'],
  },
  inkwell_canary_seconds: {
    type: 'gauge',
    help: 'For how long the last edit of the node’s own was waited for, by step; a step that did not come true has no value.',
    act: 'What a writer would have waited for at a node where nobody else writes. Its edits count in no other metric.',
    labels: ['step'],
  },
  inkwell_draining: {
    type: 'gauge',
    help: 'Whether this node is about to stop: 1, or 0.',
    act: 'Expected while you deploy. 1 for minutes: the process does not end; see its log.',
  },

  inkwell_connections: {
    type: 'gauge',
    help: 'Clients that are connected and welcome.',
    act: 'Compare the nodes; when one has far more than its share, look at the balancer. For memory see the sizing table.',
  },
  inkwell_strangers: {
    type: 'gauge',
    help: 'Open lines that have not said yet who they are.',
    act: 'Many for long: `authenticate` hangs, or somebody opens lines and says nothing (limits.strangersPerAddress).',
  },
  inkwell_connections_opened_total: {
    type: 'counter',
    help: 'Clients that have been welcomed.',
    act: 'A high rate with a steady number of connections: clients come and go; look at pings, proxies and their timeouts.',
  },
  inkwell_connections_cut_total: {
    type: 'counter',
    help: 'Lines that were cut because their client did not read.',
    act: 'A few are telephones in tunnels. Many at once: the network between, or a proxy that buffers.',
    labels: ['reason'],
  },
  inkwell_readers_behind: {
    type: 'gauge',
    help: 'Connections for which more waits than limits.behindBytes, as of the last second.',
    act: 'They get presence late and text in pieces; nobody else is slowed down. Many at once: the network.',
  },
  inkwell_write_buffer_bytes: {
    type: 'gauge',
    help: 'Bytes that clients have not taken yet, as of the last second.',
    act: 'Bounded for each client. Growing with connections: their network, or this node’s.',
  },
  inkwell_received_bytes_total: {
    type: 'counter',
    help: 'Bytes of messages from clients.',
    act: 'For sizing the network. A jump with no more connections: see inkwell_messages_received_total.',
  },
  inkwell_sent_bytes_total: {
    type: 'counter',
    help: 'Bytes of messages to clients, frames included.',
    act: 'For sizing the network.',
  },
  inkwell_messages_received_total: {
    type: 'counter',
    help: 'Messages from clients, by kind; submit is an edit, malformed none of the protocol.',
    act: 'malformed: a client of another version, or somebody who tries things.',
    labels: ['kind'],
  },
  inkwell_messages_sent_total: {
    type: 'counter',
    help: 'Messages to clients, by kind.',
    act: 'commits and presence make the load. Growing presence: many carets in one document.',
    labels: ['kind'],
  },
  inkwell_refusals_total: {
    type: 'counter',
    help: 'Refusals that were told, by the code of the error table.',
    act: 'docs/PROTOCOL.md says what each means. unauthenticated: tokens or the clock; slow-down: limits; internal: report it with the log.',
    labels: ['code'],
  },

  inkwell_documents_open: {
    type: 'gauge',
    help: 'Documents open on this node.',
    act: 'For memory. They leave it limits.idleDocument after the last reader.',
  },
  inkwell_members: {
    type: 'gauge',
    help: 'Clients in documents; one that is in two counts twice. So many presences this node shows.',
    act: 'Beside inkwell_connections: how many documents a client has open.',
  },
  inkwell_members_lagging: {
    type: 'gauge',
    help: 'Clients in documents who get their commits later, in pieces, since they do not read fast enough.',
    act: 'As inkwell_readers_behind.',
  },
  inkwell_frame_interval_seconds: {
    type: 'gauge',
    help: 'The longest that commits of a document are gathered for their frame now; 0: every frame goes at once.',
    act: 'Up to frameTick (0.05): the node is busy writing. More: one document’s frames would take over half of the process; give it a node of its own.',
  },
  inkwell_documents_full: {
    type: 'gauge',
    help: 'Documents in which as many write as this node takes; whoever comes later reads for now.',
    act: 'One text for very many: raise writersPerDocument if the node has time left, or let more of them read only.',
  },
  inkwell_documents_paced: {
    type: 'gauge',
    help: 'Documents in which so many write that they are told to send their edits less often, since the node has no time left.',
    act: 'Edits take up to writerPace × writers longer. Lasting: a document has outgrown its node; take other documents from it.',
  },
  inkwell_joins_total: {
    type: 'counter',
    help: 'Documents that were joined, by what the client got: snapshot, commits, or composed commits.',
    act: 'Many snapshots after a deployment: clients came back with nothing, or later than history is kept.',
    labels: ['content'],
  },
  inkwell_join_duration_seconds: {
    type: 'histogram',
    help: 'From a client’s being let in to the document being sent, opening and reading the log included.',
    act: 'Slow with a healthy store: long logs; see inkwell_checkpoints_total.',
    buckets: seconds,
  },

  inkwell_commits_total: {
    type: 'counter',
    help: 'Commits of documents open here: of edits that came to this node (here), or to another one (elsewhere).',
    act: 'The load. None here while inkwell_submissions_waiting grows: the store does not answer.',
    labels: ['origin'],
  },
  inkwell_commits_sent_total: {
    type: 'counter',
    help: 'Commits written to readers: each counts once for each of them.',
    act: 'The work of this node. By inkwell_commits_total it is the mean number of readers.',
  },
  inkwell_submissions_waiting: {
    type: 'gauge',
    help: 'Edits that have come and have no version yet.',
    act: 'Growing: the store does not answer; see inkwell_store_up and inkwell_append_duration_seconds.',
  },
  inkwell_commit_duration_seconds: {
    type: 'histogram',
    help: 'From an edit’s arrival at this node until it has its version.',
    act: 'What a writer waits for “saved”. Slow: compare inkwell_append_duration_seconds (the store) and nodejs_eventloop_lag_p99_seconds (this node).',
    buckets: seconds,
  },
  inkwell_delivery_duration_seconds: {
    type: 'histogram',
    help: 'From commits being known here until their frame is written to every reader who keeps up.',
    act: 'Grows with the readers of one document. Slow: one document is very busy, or the node is; spread over more nodes.',
    buckets: seconds,
  },
  inkwell_feed_delay_seconds: {
    type: 'histogram',
    help: 'From an edit’s arrival at another node until it is known here, by the clocks of the two.',
    act: 'Slow on all nodes: Redis. On one: that node is busy. Constant and large, or nothing below a bound: the clocks differ.',
    buckets: seconds,
  },
  inkwell_append_duration_seconds: {
    type: 'histogram',
    help: 'From offering a batch of edits to the store until it answers.',
    act: 'Slow: `redis-cli --latency` and SLOWLOG, or the disk of the embedded store.',
    buckets: seconds,
  },
  inkwell_append_entries: {
    type: 'histogram',
    help: 'Edits in one batch.',
    act: 'Grows when edits come faster than the store answers; that is how load is borne.',
    buckets: powers,
  },
  inkwell_appended_bytes_total: {
    type: 'counter',
    help: 'Characters of entries that were appended to logs.',
    act: 'For the disk of the store.',
  },
  inkwell_durability_lag_seconds: {
    type: 'gauge',
    help: 'How long ago the oldest edit came that has its version and is not durable yet; 0: all are.',
    act: 'Some seconds are usual with appendfsync everysec. Growing without end: the append-only file was switched off, the disk hangs, or replicas are missing.',
  },

  inkwell_feed_gaps_total: {
    type: 'counter',
    help: 'Announcements of other nodes that were missed; the log was read instead.',
    act: 'Now and then usual. Steadily: Redis cuts this node off (client-output-buffer-limit), or the network.',
  },
  inkwell_resyncs_total: {
    type: 'counter',
    help: 'Documents whose log was another one than known, and was opened anew, by reason.',
    act: 'Redis fell and came back with less (behind, fork), or empty (epoch). mistake: report it with the log.',
    labels: ['reason'],
  },
  inkwell_hash_mismatches_total: {
    type: 'counter',
    help: 'How often a client found that its text was not the server’s, and took it anew.',
    act: 'Should be 0: report it with the lines "diverged" of the log.',
  },
  inkwell_damaged_total: {
    type: 'counter',
    help: 'Documents found damaged, in a checkpoint or in memory.',
    act: 'Bad disk or memory. The line "damaged" says which document, and whether it was mended.',
    labels: ['where'],
  },
  inkwell_checkpoints_total: {
    type: 'counter',
    help: 'Checkpoints that were stored.',
    act: 'None for hours while commits come: logs grow and opening gets slow; see inkwell_store_failures_total.',
  },

  inkwell_store_up: {
    type: 'gauge',
    help: 'Whether the store answers: 1, or 0.',
    act: '0: typing goes on and nothing is lost, but nothing is saved. See “When something goes wrong”.',
  },
  inkwell_store_failures_total: {
    type: 'counter',
    help: 'Calls to the store that failed or were not answered in time, by call.',
    act: 'The line "store-failed" says why.',
    labels: ['call'],
  },
  inkwell_store_connections_up: {
    type: 'gauge',
    help: 'Connections to the store that are up; none with a store on this machine.',
    act: '0 for one of them: Redis is away or refuses it; see the log.',
    labels: ['connection'],
  },
  inkwell_store_connections_lost_total: {
    type: 'counter',
    help: 'How often a connection to the store was lost.',
    act: 'Once for each restart of Redis. More: the network, or Redis sends this node away.',
    labels: ['connection'],
  },
} as const satisfies Table

export interface MetricsParts {
  readonly version: string
  readonly counts: () => Engine['counts']
  readonly store: Store
  readonly tally: Tally
  readonly admission: () => Admission['counts']
  /** Clients that are welcome now. */
  readonly connections: () => number
  readonly draining: () => boolean
  readonly health: () => Promise<{ readonly ready: boolean; readonly up: boolean }>
  readonly checks: () => readonly Check[]
  readonly lastSong: () => Song | null
  readonly now: () => number
}

export class Metrics {
  readonly contentType = contentType
  private readonly histograms = bucketsOf(metricTable)
  private readonly shown: () => Promise<string>
  private readonly totals = { here: 0, elsewhere: 0, sent: 0, bytes: 0, gaps: 0, checkpoints: 0 }
  private readonly joins = { snapshot: 0, commits: 0, composed: 0 }
  private readonly resyncs = { epoch: 0, behind: 0, fork: 0, horizon: 0, mistake: 0 }
  private readonly damages = { checkpoint: 0, memory: 0 }
  private readonly failures: { [call: string]: number } = {}
  private readonly parts: MetricsParts
  /** As they were when the scrape began: counting takes a look at every open document, and the store is asked. */
  private found: { readonly counts: Engine['counts']; readonly ready: boolean; readonly up: boolean } | null = null

  constructor(parts: MetricsParts) {
    this.parts = parts
    this.shown = exposed(metricTable, this.readings(), this.histograms)
  }

  /** The text that Prometheus reads. */
  async text(): Promise<string> {
    const { ready, up } = await this.parts.health()
    this.found = { counts: this.parts.counts(), ready, up }
    return (await this.shown()) + (await processMetrics())
  }

  readonly observe = (event: EngineEvent): void => {
    const { histograms, totals } = this
    switch (event.kind) {
      case 'joined':
        this.joins[event.content]++
        return histograms.inkwell_join_duration_seconds.add(event.ms / 1_000)
      case 'appended':
        totals.bytes += event.bytes
        histograms.inkwell_append_entries.add(event.entries)
        return histograms.inkwell_append_duration_seconds.add(event.ms / 1_000)
      case 'committed':
        totals.here++
        return histograms.inkwell_commit_duration_seconds.add(event.ms / 1_000)
      case 'heard':
        totals.elsewhere++
        return histograms.inkwell_feed_delay_seconds.add(Math.max(0, event.ms) / 1_000)
      case 'delivered':
        totals.sent += event.commits * event.readers
        return histograms.inkwell_delivery_duration_seconds.add(event.ms / 1_000)
      case 'gap':
        totals.gaps++
        return
      case 'checkpointed':
        totals.checkpoints++
        return
      case 'resynced':
        this.resyncs[event.reason in this.resyncs ? (event.reason as keyof typeof this.resyncs) : 'mistake']++
        return
      case 'damaged':
        this.damages[event.where]++
        return
      case 'store-failed':
        this.failures[event.call] = (this.failures[event.call] ?? 0) + 1
        return
      default:
        return // counted where it is told to a client, or of no use as a number
    }
  }

  private readings(): Readings<typeof metricTable> {
    const { version, store, tally, admission, connections, draining, checks, lastSong, now } = this.parts
    const { totals, joins, resyncs, damages, failures } = this
    const found = () => this.found!
    const lines = () => store.lines?.() ?? []
    return {
      inkwell_build_info: () => [
        [{ version, store: store.name.split(':', 1)[0]!, durability: store.log.durability }, 1], // where it lies is nobody's business
      ],
      inkwell_ready: () => Number(found().ready),
      inkwell_check_ok: () => checks().map(({ name, ok }) => [{ check: name }, Number(ok)] as const),
      inkwell_canary_seconds: () => Object.entries(lastSong()?.took ?? {}).map(([step, ms]) => [{ step }, ms / 1_000] as const),
      inkwell_draining: () => Number(draining()),
      inkwell_connections: connections,
      inkwell_strangers: () => admission().strangers,
      inkwell_connections_opened_total: () => tally.welcomed,
      inkwell_connections_cut_total: () => by('reason', tally.cuts),
      inkwell_readers_behind: () => tally.behind,
      inkwell_write_buffer_bytes: () => tally.heldBytes,
      inkwell_received_bytes_total: () => tally.receivedBytes,
      inkwell_sent_bytes_total: () => tally.sentBytes,
      inkwell_messages_received_total: () => by('kind', tally.received),
      inkwell_messages_sent_total: () => by('kind', tally.sent),
      inkwell_refusals_total: () => by('code', tally.refusals),
      inkwell_documents_open: () => found().counts.documents,
      inkwell_members: () => found().counts.joined,
      inkwell_members_lagging: () => found().counts.lagging,
      inkwell_frame_interval_seconds: () => found().counts.interval / 1_000,
      inkwell_documents_full: () => found().counts.full,
      inkwell_documents_paced: () => found().counts.paced,
      inkwell_joins_total: () => by('content', joins),
      inkwell_commits_total: () => by('origin', { here: totals.here, elsewhere: totals.elsewhere }),
      inkwell_commits_sent_total: () => totals.sent,
      inkwell_submissions_waiting: () => found().counts.waiting,
      inkwell_appended_bytes_total: () => totals.bytes,
      inkwell_durability_lag_seconds: () => {
        const { undurableSince } = found().counts
        return undurableSince === null ? 0 : Math.max(0, now() - undurableSince) / 1_000
      },
      inkwell_feed_gaps_total: () => totals.gaps,
      inkwell_resyncs_total: () => by('reason', resyncs),
      inkwell_hash_mismatches_total: () => found().counts.diverged,
      inkwell_damaged_total: () => by('where', damages),
      inkwell_checkpoints_total: () => totals.checkpoints,
      inkwell_store_up: () => Number(found().up),
      inkwell_store_failures_total: () => by('call', failures),
      inkwell_store_connections_up: () => lines().map(({ name, up }) => [{ connection: name }, Number(up)] as const),
      inkwell_store_connections_lost_total: () => lines().map(({ name, losses }) => [{ connection: name }, losses] as const),
    }
  }
}

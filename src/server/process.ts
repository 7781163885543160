// What the process shows of itself to Prometheus: CPU, memory, file descriptors, how late its loop is.
// Invariant: there is one for all servers of the process, begun when somebody asks first; nothing is measured for nobody.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { exposed, type Table } from './exposition.ts'

export const processTable = {
  process_cpu_seconds_total: {
    type: 'counter',
    help: 'CPU that the process has used, of all its threads.',
    act: 'A node uses one core and a little. Near 1 a second: more nodes.',
  },
  process_resident_memory_bytes: {
    type: 'gauge',
    help: 'Memory that the process takes.',
    act: 'Hold it against the limit of the container. By connections: the recording rule inkwell:memory_per_connection:bytes.',
  },
  process_start_time_seconds: {
    type: 'gauge',
    help: 'When the process was started, in seconds since 1970.',
    act: 'A jump is a restart.',
  },
  process_open_fds: {
    type: 'gauge',
    help: 'File descriptors that are open.',
    act: 'Two thirds of process_max_fds: raise the limit (`ulimit -n`, LimitNOFILE).',
  },
  process_max_fds: {
    type: 'gauge',
    help: 'File descriptors that may be open.',
    act: 'A node needs one for each client, and some.',
  },
  nodejs_version_info: {
    type: 'gauge',
    help: 'Always 1; says which Node.js runs.',
    act: 'All nodes should say the same.',
    labels: ['version'],
  },
  nodejs_heap_size_used_bytes: {
    type: 'gauge',
    help: 'Objects in memory, garbage included.',
    act: 'Growing for hours with steady connections and documents: report it.',
  },
  nodejs_heap_size_total_bytes: {
    type: 'gauge',
    help: 'What is set aside for them.',
    act: 'Near --max-old-space-size: the process is about to be out of memory.',
  },
  nodejs_external_memory_bytes: {
    type: 'gauge',
    help: 'Memory outside the heap: buffers, what waits for clients.',
    act: 'Beside inkwell_write_buffer_bytes.',
  },
  nodejs_gc_seconds_total: {
    type: 'counter',
    help: 'Time spent on collecting garbage since the first scrape.',
    act: 'More than a tenth of the time: too little memory.',
  },
  nodejs_eventloop_lag_p50_seconds: {
    type: 'gauge',
    help: 'How late the event loop was, in the last 15 to 30 seconds: median.',
    act: 'As the next.',
  },
  nodejs_eventloop_lag_p99_seconds: {
    type: 'gauge',
    help: 'How late the event loop was, in the last 15 to 30 seconds: one time in a hundred.',
    act: 'Above 0.1: this node is too busy, or something in `authenticate` or `authorize` blocks.',
  },
  nodejs_eventloop_lag_max_seconds: {
    type: 'gauge',
    help: 'How late the event loop was, in the last 15 to 30 seconds: at most.',
    act: 'Single peaks: a large document was opened, or garbage collected.',
  },
} as const satisfies Table

const looking = 10 // ms between two looks at the event loop
const window = 15_000 // ms of a window; the one before it is shown with it, so that nobody's scrape hides a peak from another's

const begun = (): (() => Promise<string>) => {
  const loop = monitorEventLoopDelay({ resolution: looking })
  loop.enable()
  let collecting = 0 // ms
  new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) collecting += duration
  }).observe({ entryTypes: ['gc'] })

  let memory = process.memoryUsage()
  const calm = { p50: 0, p99: 0, max: 0 }
  let [late, before, since] = [calm, calm, performance.now()]
  let open: number | null = null
  const most = limitOfFiles()
  const started = Date.now() / 1_000 - process.uptime()
  const known = (value: number | null) => (value === null ? [] : value)

  const text = exposed(
    processTable,
    {
      process_cpu_seconds_total: () => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1e6
      },
      process_resident_memory_bytes: () => memory.rss,
      process_start_time_seconds: () => started,
      process_open_fds: () => known(open),
      process_max_fds: () => known(most),
      nodejs_version_info: () => [[{ version: process.version }, 1]],
      nodejs_heap_size_used_bytes: () => memory.heapUsed,
      nodejs_heap_size_total_bytes: () => memory.heapTotal,
      nodejs_external_memory_bytes: () => memory.external,
      nodejs_gc_seconds_total: () => collecting / 1_000,
      nodejs_eventloop_lag_p50_seconds: () => late.p50,
      nodejs_eventloop_lag_p99_seconds: () => late.p99,
      nodejs_eventloop_lag_max_seconds: () => late.max,
    },
    {},
  )
  return async () => {
    open = openFiles()
    memory = process.memoryUsage()
    const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - looking / 1_000)
    const now = { p50: beyond(loop.percentile(50)), p99: beyond(loop.percentile(99)), max: beyond(loop.max) }
    late = {
      p50: Math.max(before.p50, now.p50),
      p99: Math.max(before.p99, now.p99),
      max: Math.max(before.max, now.max),
    }
    if (performance.now() - since >= window) {
      before = now
      since = performance.now()
      loop.reset()
    }
    return text()
  }
}

/** Null: not on Linux. Since 6.2 it says at once how many there are; before, each is a name to be read, thousands at a busy node. */
const openFiles = (): number | null => {
  try {
    return statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length
  } catch {
    return null
  }
}

const limitOfFiles = (): number | null => {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? null : Number(soft)
  } catch {
    return null // not on Linux
  }
}

let text: (() => Promise<string>) | null = null
export const processMetrics = (): Promise<string> => (text ??= begun())()

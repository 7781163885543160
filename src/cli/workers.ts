// `inkwell serve --workers N`: one command, N nodes as processes of their own, behind one port of this host.
// Invariant: a worker is a node like any other, over the same Redis; the parent touches no document and outlives all workers.

import cluster, { type Worker } from 'node:cluster'
import type { Logger } from 'pino'

/** In a worker's environment: which of the workers it is, from 1 on. */
export const slotVariable = 'INKWELL_WORKER'

const pause = { first: 200, longest: 30_000 } // ms before a worker that died is started again; doubled each time
const steady = 60_000 // ms after which a worker counts as sound, so that its next death is its first

const stopWord = 'stop'

/** Calls whenever the parent of this worker wants it to stop, also when the parent is there no more. */
export const whenToldToStop = (stop: (why: string) => void): void => {
  process.on('message', word => {
    if (word === stopWord) stop('told by the parent')
  })
  process.on('disconnect', () => stop('the parent is gone'))
}

/** Which worker this process is; null: it is none. */
export const slotOf = (environment: { readonly [name: string]: string | undefined }): number | null =>
  cluster.isWorker ? Number(environment[slotVariable]) : null

/** Keeps so many workers running until it is told to stop; resolves with the exit code of it all. */
export const keepWorkers = (count: number, log: Logger): Promise<number> =>
  new Promise(resolve => {
    const workers = new Map<number, Worker>()
    const again = new Set<NodeJS.Timeout>()
    let stopping = false
    let listening = false
    let code = 0

    const end = (): void => {
      if (stopping && workers.size === 0) resolve(code)
    }

    const stop = (why: string): void => {
      log.info({ why, workers: workers.size }, stopping ? 'asked again: workers are told again' : 'stopping all workers')
      stopping = true
      for (const timer of again) clearTimeout(timer)
      for (const worker of workers.values()) if (worker.isConnected()) worker.send(stopWord)
      end()
    }

    const start = (slot: number, deaths: number): void => {
      if (stopping) return
      const worker = cluster.fork({ [slotVariable]: String(slot) })
      const since = Date.now()
      workers.set(slot, worker)
      worker.on('listening', () => {
        listening = true
        log.info({ slot, pid: worker.process.pid }, 'a worker listens')
      })
      const gone = (exited: number | null, signal: string | null): void => {
        if (workers.get(slot) !== worker) return
        workers.delete(slot)
        if (stopping) {
          code ||= exited ?? 1
          return end()
        }
        if (exited === 2 && !listening) {
          // The configuration is at fault, which starting again does not mend. It has been told.
          code = 2
          return stop('a faulty configuration')
        }
        const times = Date.now() - since > steady ? 1 : deaths + 1
        const wait = Math.min(pause.longest, pause.first * 2 ** (times - 1))
        log.error({ slot, code: exited, signal, startedAgainIn: wait }, 'a worker has ended')
        const timer = setTimeout(() => {
          again.delete(timer)
          start(slot, times)
        }, wait)
        again.add(timer)
      }
      worker.on('exit', gone)
      worker.on('error', error => {
        log.error({ slot, err: error }, 'a worker could not be started or told')
        if (worker.process.pid === undefined) gone(null, null) // it never was, so it does not end either
      })
    }

    // A terminal's Ctrl-C, or a signal to the whole group, reaches the workers too; they heed this process alone.
    process.on('SIGINT', () => stop('SIGINT'))
    process.on('SIGTERM', () => stop('SIGTERM'))
    process.on('SIGUSR2', () => {
      for (const worker of workers.values()) worker.process.kill('SIGUSR2')
    })
    for (let slot = 1; slot <= count; slot++) start(slot, 0)
  })

// An operator's commands about nodes: which there are, and that one of them is to hand its clients over.
// Invariant: `drain` ends well only when the node itself has said that nobody is left at it.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../engine/ports.ts'
import { systemClock } from '../server/clock.ts'
import { askNodes, type NodeSeen } from '../server/nodes.ts'
import { type Command, jsonSetting, reaching } from './command.ts'
import { jsonLine, type Out, shown, spanOf, table } from './print.ts'
import { ask, type Reach, reachSettings, withStore } from './reach.ts'
import type { Setting, Settings } from './settings.ts'
import { duration, word } from './words.ts'

const settings = { ...jsonSetting, ...reachSettings } as const satisfies Settings

/** Looks at the nodes, and has one drain on the way. Those of a store are asked over it; a server is asked for those that it hears. */
interface Looking {
  nodes(): Promise<readonly NodeSeen[]>
  /** Answers the id of the node that was told. @throws when there is none of that id or name */
  drain(which: string | undefined): Promise<string>
}

const overStore = (store: Store): Looking => {
  if (!store.shared) throw new Error('a store that one server holds has no other nodes; ask that server: --admin-url')
  const nodes = async (): Promise<readonly NodeSeen[]> =>
    (await askNodes(store.control, systemClock)).list(systemClock.now(), false)
  return {
    nodes,
    async drain(which) {
      const found = (await nodes()).find(({ node, name }) => node === which || name === which)
      if (found === undefined) throw new Error(`no node answers by ${JSON.stringify(which)}; inkwell nodes lists them`)
      await askNodes(store.control, systemClock, found.node)
      return found.node
    },
  }
}

const looking = <T>(reach: Reach, use: (looking: Looking) => Promise<T>): Promise<T> => {
  if (reach.kind === 'store') return withStore(reach.where, store => use(overStore(store)))
  const { admin } = reach
  return use({
    nodes: async () => (await ask<{ nodes: readonly NodeSeen[] }>(admin, '/v1/nodes')).nodes,
    drain: async which => (await ask<{ node: string }>(admin, '/v1/drain', which === undefined ? {} : { node: which })).node,
  })
}

const line = ({ node, name, pid, version, state, ready, connections, started, silent }: NodeSeen) => ({
  ...{ node, name, pid, version, state, ready, connections },
  started: new Date(started).toISOString(),
  silentSeconds: Math.round(silent / 1_000),
})

const listed = async (out: Out, nodes: readonly NodeSeen[], json: boolean): Promise<void> => {
  if (json) {
    for (const node of nodes) await out.write(jsonLine(line(node)))
    return
  }
  const now = systemClock.now()
  const rows = nodes.map(({ node, name, version, state, ready, connections, started }) => [
    ...[node, name, version, ready || state !== 'serving' ? state : 'not ready'],
    ...[connections, spanOf(now - started)],
  ])
  await out.write(table(['node', 'name', 'version', 'state', 'connections', 'runs for'], rows, out))
}

const nodes = reaching(
  {
    says: 'list the nodes: what each says of itself, and which are lost',
    examples: ['inkwell nodes --store redis://localhost:6379', 'inkwell nodes --admin-url http://localhost:9100 --json'],
    settings,
  },
  ({ json }, reach, out) => looking(reach, async look => listed(out, await look.nodes(), json)),
)

const nodeArgument = {
  flag: '<node>',
  variable: null,
  says: 'its id or name, as nodes lists it; with --admin-url it may be left out: then that server',
  shape: word.optional(),
} as const satisfies Setting

const drain = reaching(
  {
    says: 'have a node hand its clients over to the others; it takes no new ones until it is started anew',
    examples: ['inkwell drain 8fK2mQxa --store redis://localhost:6379', 'inkwell drain --admin-url http://localhost:9100'],
    settings: {
      node: nodeArgument,
      wait: {
        flag: '--wait <time>',
        variable: null,
        says: 'how long to wait until nobody is left there',
        otherwise: '60s',
        shape: duration,
      },
      ...settings,
    },
  },
  ({ node: which, wait, json }, reach, out) =>
    looking(reach, async look => {
      if (which === undefined && reach.kind === 'store') throw new Error('say which node: inkwell nodes lists them')
      const node = await look.drain(which)
      const until = systemClock.now() + wait
      for (let last = -1; ; await sleep(500)) {
        const seen = (await look.nodes()).find(one => one.node === node)
        // One that is gone has said so, or has been stopped since: nobody is left there either.
        const left = seen === undefined || seen.state === 'lost' ? 0 : seen.state === 'serving' ? null : seen.connections
        if (left !== null && left !== last) {
          if (json) await out.write(jsonLine({ node, connections: left }))
          else out.say(`${shown(node, out)} drains: ${left} ${left === 1 ? 'client is' : 'clients are'} left\n`)
        }
        if (left === 0) return 0
        last = left ?? last
        if (systemClock.now() >= until) {
          out.say(
            `inkwell: ${last < 0 ? 'it has not said that it drains' : `${last} clients do not move; stop the node to let go of them`}\n`,
          )
          return 1
        }
      }
    }),
)

export const nodeCommands: Readonly<Record<string, Command>> = { nodes, drain }

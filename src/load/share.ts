// A process that plays its share of the clients, told what to do by the one that started it.
// Invariant: it ends with the one that started it.

import { Crowd, type Share } from './crowd.ts'
import type { Tongue } from './tongue.ts'

export type Told =
  | { readonly kind: 'share'; readonly share: Share }
  | { readonly kind: 'gather'; readonly first: boolean }
  | { readonly kind: 'meet'; readonly names: readonly (readonly [seat: number, name: string])[] }
  | { readonly kind: 'type'; readonly start: number }
  | { readonly kind: 'stop' }

/** Serves the parent process in these languages. */
export const play = (tongues: Readonly<Record<string, Tongue>>): void => {
  let crowd: Crowd | null = null
  const answer = (value: unknown): void => void process.send?.(value)
  const told = async (message: Told): Promise<unknown> => {
    if (message.kind === 'share') {
      crowd = new Crowd(message.share, tongues[message.share.tongue]!)
      return null
    }
    switch (message.kind) {
      case 'gather':
        return crowd!.gather(message.first)
      case 'meet':
        return crowd!.meet(message.names)
      case 'type':
        return crowd!.type(message.start)
      case 'stop':
        return crowd!.stop()
    }
  }
  process.on('message', (message: Told) => {
    told(message).then(
      value => answer({ kind: 'done', value }),
      error => answer({ kind: 'broken', why: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
  setInterval(() => answer({ kind: 'progress', joined: crowd?.size ?? 0 }), 500).unref()
}

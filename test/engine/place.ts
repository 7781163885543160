// One node held in the hand, with clients that only speak messages: what a test of the engine builds its world from.

import type { Load } from '../../src/engine/cadence.ts'
import type { EngineEvent } from '../../src/engine/events.ts'
import { type Connection, createEngine, type EngineOptions, type Outlet } from '../../src/engine/index.ts'
import { defaultLimits, type Limits } from '../../src/engine/limits.ts'
import { textType } from '../../src/ot/text.ts'
import type { AnyDocumentType, Json } from '../../src/ot/type.ts'
import type { AuthorId, DocId, Epoch, Handle, Position, Seq } from '../../src/protocol/ids.ts'
import type { Commits, DocumentRequest, Joined, Right, ServerMessage } from '../../src/protocol/messages.ts'
import { MemoryLog } from '../../src/stores/memory.ts'
import { type HandClock, type HandStore, handClock, handStore, settle } from '../simulation/hand.ts'

export const notes = 'notes' as DocId

export interface Speaker {
  readonly connection: Connection
  readonly heard: ServerMessage[]
  /** Whether the line is slower than what is said to it. */
  slow(behind: boolean): void
  /** What came since the last call. */
  news(): ServerMessage[]
  say(message: DocumentRequest): Promise<void>
  /** Gets another right, of which the engine is told. */
  may(right: Right): Promise<void>
  join(position?: Position | null, doc?: DocId, type?: string): Promise<ServerMessage>
  submit(joined: Joined, position: Position, seq: Seq, op: Json): Promise<void>
}

export interface Place {
  readonly log: MemoryLog
  readonly clock: HandClock
  readonly hand: HandStore
  readonly events: EngineEvent[]
  readonly engine: ReturnType<typeof createEngine>
  speaker(author: string, right?: Right): Speaker
  /** Lets calls to the store be answered until nothing moves. */
  flow(): Promise<void>
}

export const place = (
  options: {
    readonly limits?: Partial<Limits>
    readonly types?: readonly AnyDocumentType[]
    readonly log?: MemoryLog
    readonly flowing?: boolean
    readonly load?: () => Load
    readonly together?: EngineOptions['together']
    /** For frames of commits: what the one who writes them answers. */
    readonly writing?: (frame: Commits) => Promise<number> | undefined
    /** Sees each message as it is delivered, with those whom it is for. */
    readonly deliver?: (outlets: readonly Outlet[], message: ServerMessage) => void
    /** Instead of what the speakers were given. */
    readonly authorize?: EngineOptions['authorize']
  } = {},
): Place => {
  const { log = new MemoryLog() } = options
  const clock = handClock()
  const hand = handStore(log, () => 1)
  const events: EngineEvent[] = []
  const rights = new Map<string, Right>()
  let ids = 0
  const engineOptions: EngineOptions = {
    store: hand.store,
    clock,
    randomId: () => `peer${(++ids).toString(36)}`.padEnd(16, '0'),
    types: options.types ?? [textType],
    limits: { ...defaultLimits, ...options.limits },
    authorize: options.authorize ?? (async user => rights.get(user.id) ?? 'write'),
    deliver: (outlets, message) => {
      options.deliver?.(outlets, message)
      for (const outlet of outlets) {
        const { heard } = outlet as unknown as { heard: ServerMessage[] }
        const own = structuredClone(message)
        const stay = heard.findLast(({ kind }) => kind === 'joined') as Joined | undefined
        if (stay !== undefined) epochs.set(own, stay.content.position.epoch)
        heard.push(own)
      }
      return message.kind === 'commits' ? options.writing?.(message) : undefined
    },
    ...(options.load === undefined ? {} : { load: options.load }),
    ...(options.together === undefined ? {} : { together: options.together }),
    observe: event => events.push(event),
  }
  const engine = createEngine(engineOptions)
  const flow = async () => {
    for (let quiet = 0; quiet < 3; ) {
      await settle()
      if (hand.calls.length + hand.feed.length === 0) quiet++
      else quiet = 0
      while (hand.calls.length > 0) {
        hand.calls[0]!.answer()
        await settle()
      }
      while (hand.feed.length > 0) hand.hear()
    }
  }
  return {
    log,
    clock,
    hand,
    events,
    engine,
    flow,
    speaker(author, right = 'write') {
      rights.set(author, right)
      const heard: ServerMessage[] = []
      let told = 0
      const outlet = { name: author, open: true, behind: false, heard }
      const connection = engine.connect({ author: author.padEnd(16, '_') as AuthorId, user: { id: author } }, outlet)
      const speaker: Speaker = {
        connection,
        heard,
        slow: behind => {
          outlet.behind = behind
        },
        news: () => heard.slice(told, (told = heard.length)),
        async say(message) {
          connection.receive(message)
          if (options.flowing ?? true) await flow()
        },
        async may(right) {
          rights.set(author, right)
          connection.recheck(null)
          if (options.flowing ?? true) await flow()
          else await settle()
        },
        async join(position = null, doc = notes, type = 'text') {
          await speaker.say({ kind: 'join', doc, type, position })
          return speaker.news().find(message => message.kind === 'joined' || message.kind === 'refused')!
        },
        submit: ({ handle }, position, seq, op) => speaker.say({ kind: 'submit', handle: handle as Handle, seq, position, op }),
      }
      return speaker
    },
  }
}

/** In which epoch a message came: only `joined` says so. */
const epochs = new WeakMap<ServerMessage, Epoch>()

/** Where a join or a commits frame has brought its receiver. */
export const positionOf = (message: ServerMessage): Position => {
  if (message.kind === 'joined') return message.content.position
  if (message.kind === 'commits') return { epoch: epochs.get(message)!, ...message.position }
  throw new Error(`no position in ${message.kind}`)
}

export const joinedBy = (message: ServerMessage): Joined => {
  if (message.kind !== 'joined') throw new Error(`not joined but ${JSON.stringify(message)}`)
  return message
}

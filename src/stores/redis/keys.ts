// The names of everything that the store keeps in Redis.
// Invariant: all keys and the channel of one document lie in one slot of a cluster, and no two documents share a name, whatever their ids.

import type { DocId } from '../../protocol/ids.ts'
import { soundPrefix } from './address.ts'

/** Buckets of the index of documents, so that in a cluster it is spread over the nodes. Fixed: it is part of the stored form. */
const buckets = 16

export class Keys {
  readonly #prefix: string
  readonly #channels: string
  /** @param db channels know no databases, so their names carry its number */
  constructor(prefix: string, db: number) {
    this.#prefix = soundPrefix(prefix)
    this.#channels = db === 0 ? prefix : `${prefix}db${db}:`
  }

  /** epoch, version, chain, horizon, floor, durable version, checkpoint, prune mark */
  meta = (doc: DocId): string => this.#of(doc, 'meta')
  /** the entries, several in one entry of the stream; its id is the last one's version */
  log = (doc: DocId): string => this.#of(doc, 'log')
  /** author → seq and version of its last edit */
  authors = (doc: DocId): string => this.#of(doc, 'authors')
  checkpoint = (doc: DocId): string => this.#of(doc, 'checkpoint')
  /** peer → the node that shows it, and its appearance */
  here = (doc: DocId): string => this.#of(doc, 'here')
  /** written only so that a server can be asked whether what came before is safe */
  witness = (doc: DocId): string => this.#of(doc, 'witness')

  channel = (doc: DocId): string => `${this.#channels}{${tag(doc)}}:feed`
  get control(): string {
    return `${this.#channels}control`
  }

  /** Before the channels of an application's own namespaces. */
  get application(): string {
    return `${this.#channels}socket.io`
  }
  /** key → until when, and the notice */
  get notices(): string {
    return `${this.#prefix}{notices}:board`
  }
  /** by which nodes know that it is still the same Redis */
  get mark(): string {
    return `${this.#prefix}{store}:mark`
  }
  /** the same for each of the parts of a cluster's slots */
  get marks(): readonly string[] {
    return markTags().map(tag => `${this.#prefix}{${tag}}:mark`)
  }
  /** in which of those parts a document lies */
  markOf = (doc: DocId): number => Math.floor(this.slot(doc) / slotsPerMark)
  /** in which slot of a cluster a document lies */
  slot = (doc: DocId): number => slotOf(tag(doc))
  /** another string with every post */
  get noticesMark(): string {
    return `${this.#prefix}{notices}:mark`
  }

  index = (doc: DocId): string => this.#bucket(this.slot(doc) % buckets)
  get indexes(): readonly string[] {
    return Array.from({ length: buckets }, (_, bucket) => this.#bucket(bucket))
  }

  /** live nodes by when their lease ends; dead ones by when their graves are looked after again; documents of a node */
  get leases(): string {
    return `${this.#prefix}{nodes}:leases`
  }
  get graves(): string {
    return `${this.#prefix}{nodes}:graves`
  }
  /** nodes that hold seats by when their lease ends */
  get hosts(): string {
    return `${this.#prefix}{nodes}:hosts`
  }
  /** of a user: each seat as the node that holds it and the client */
  seatsOf = (user: string): string => `${this.#prefix}{user-${encodeURIComponent(user)}}:seats`

  documentsOf = (node: string): string => `${this.#prefix}{nodes}:documents:${node}`

  #of(doc: DocId, what: string): string {
    return `${this.#prefix}{${tag(doc)}}:${what}`
  }

  #bucket(bucket: number): string {
    return `${this.#prefix}{documents-${bucket}}:index`
  }
}

/** Slots of a cluster that share a mark: few enough that each of up to 32 servers with slots in a row has a mark of its own. */
const slotsPerMark = 256

/** For each of these parts the first of the tags mark-0, mark-1, … that lies in it. */
const markTags = (): readonly string[] => {
  const tags: string[] = Array(16_384 / slotsPerMark).fill('')
  for (let n = 0, missing = tags.length; missing > 0; n++) {
    const part = Math.floor(slotOf(`mark-${n}`) / slotsPerMark)
    if (tags[part] !== '') continue
    tags[part] = `mark-${n}`
    missing--
  }
  return tags
}

/** Percent-encoding leaves no brace, so the hash tag ends where it should; an id is never empty, so the tag is none either. */
const tag = (doc: DocId): string => encodeURIComponent(doc)

/** The slot of a Redis Cluster in which a key lies: CRC-16 (XMODEM) of its hash tag, of 16,384. */
export const slotOf = (key: string): number => {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key
  let crc = 0
  for (const byte of Buffer.from(hashed)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80_00 ? ((crc << 1) ^ 0x10_21) & 0xff_ff : (crc << 1) & 0xff_ff
  }
  return crc % 16_384
}

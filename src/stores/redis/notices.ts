// The notice board in Redis: one hash for all nodes, and a mark that says whether it has changed.
// Invariant: the mark changes with every post and in the same step, so whoever has seen a mark has seen what was posted before it.

import { randomBytes } from 'node:crypto'
import { type Notice, type NoticeBoard, noticesKept } from '../../engine/ports.ts'
import type { Json } from '../../ot/type.ts'
import type { Keys } from './keys.ts'
import { post } from './scripts.ts'
import type { Wire } from './wire.ts'

export const redisNotices = (wire: Wire, keys: Keys): NoticeBoard => ({
  async post({ key, body, until }, now) {
    const text = `${Math.ceil(until)} ${JSON.stringify(body)}`
    const mark = randomBytes(9).toString('base64url')
    const others = await wire.run<number>(post, [keys.notices, keys.noticesMark], [key, text, now, noticesKept, mark])
    if (others >= noticesKept) throw new RangeError(`${others} notices hang on the board; the limit is ${noticesKept}`)
  },
  async read(mark, now) {
    // The mark first: what is posted between the two is then read twice, and not missed.
    const present = (await wire.call(redis => redis.get(keys.noticesMark))) ?? ''
    if (present === mark) return null
    const all = await wire.call(redis => redis.hgetall(keys.notices))
    const notices = Object.entries(all).flatMap(([key, text]) => noticeOf(key, text) ?? [])
    return { mark: present, notices: notices.filter(({ until }) => until > now) }
  },
})

/** Null: nobody of us has written that. */
const noticeOf = (key: string, text: string): Notice | null => {
  const space = text.indexOf(' ')
  const until = Number(text.slice(0, space))
  if (space < 1 || !Number.isFinite(until)) return null
  try {
    return { key, body: JSON.parse(text.slice(space + 1)) as Json, until }
  } catch {
    return null
  }
}

// The notice board of a single server.
// Invariant: a notice is seen by every read after its post, and one whose time is over by none.

import { type Notice, type NoticeBoard, noticesKept } from '../engine/ports.ts'

/** What a board writes down, so that it is there again after a restart; nothing by default. */
export interface NoticeShelf {
  /** In one step: this notice in the place of the one with its key, and those keys gone. Resolves when it is safe. */
  keep(notice: Notice, gone: readonly string[]): Promise<void>
  /** What was kept before. */
  readonly kept: readonly Notice[]
}

const forgetful: NoticeShelf = { keep: async () => {}, kept: [] }

export const localNotices = (shelf: NoticeShelf = forgetful): NoticeBoard => {
  const hanging = new Map(shelf.kept.map(notice => [notice.key, notice]))
  let posted = 0
  return {
    async post(notice, now) {
      const gone = [...hanging.values()].filter(({ until }) => until <= now).map(({ key }) => key)
      const others = hanging.size - gone.length - (hanging.has(notice.key) && !gone.includes(notice.key) ? 1 : 0)
      if (others >= noticesKept) throw new RangeError(`${others} notices hang on the board; the limit is ${noticesKept}`)
      const copy: Notice = { key: notice.key, body: structuredClone(notice.body), until: notice.until }
      await shelf.keep(copy, gone)
      for (const key of gone) hanging.delete(key)
      hanging.set(copy.key, copy)
      posted++
    },
    async read(mark, now) {
      if (mark === `${posted}`) return null
      return { mark: `${posted}`, notices: structuredClone([...hanging.values()].filter(({ until }) => until > now)) }
    },
  }
}
